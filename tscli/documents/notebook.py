"""Jupyter notebooks to text: cells and what they printed, without pictures. Runs in the worker process."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from tscli.documents.charset import decode
from tscli.documents.package import AGAIN, Unreadable
from tscli.documents.plain import without_data

ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
TEXTS = ("text/markdown", "text/latex", "text/plain")  # of several forms of an output, the first that there is


def notebook_text(data: bytes) -> str:
    """The cells of a notebook (versions 3 to 4). Raises Unreadable where it is none."""
    try:
        content = json.loads(decode(data).text)
    except (ValueError, RecursionError) as error:
        why = "nested too deep" if isinstance(error, RecursionError) else error
        raise Unreadable(f"is not a notebook, or is incomplete: it is not valid JSON ({why}); {AGAIN}") from error
    cells = _cells(content)
    if cells is None:
        raise Unreadable(f"is not a notebook: it has no cells; {AGAIN}")
    texts = ("\n".join(_cell(cell)).strip() for cell in cells if isinstance(cell, dict))
    return without_data("\n\n".join(text for text in texts if text))[0]


def _cells(content: Any) -> list[Any] | None:
    if not isinstance(content, dict):
        return None
    if isinstance(content.get("cells"), list):
        return list(content["cells"])
    sheets = content.get("worksheets")
    if not isinstance(sheets, list):
        return None
    return [cell for sheet in sheets if isinstance(sheet, dict) for cell in sheet.get("cells") or ()]


def _cell(cell: dict[str, Any]) -> Iterator[str]:
    source = _joined(cell.get("source", cell.get("input")))
    if cell.get("cell_type") != "code":
        yield source
        return
    yield source.rstrip("\n")
    for output in cell.get("outputs") or ():
        if isinstance(output, dict) and (text := _output(output).strip("\n")):
            yield f"\nOutput:\n{text}"


def _output(output: dict[str, Any]) -> str:
    kind = output.get("output_type")
    if kind == "stream":
        return ESCAPES.sub("", _joined(output.get("text")))
    if kind in ("error", "pyerr"):
        trace = output.get("traceback")
        said = f"{output.get('ename', '')}: {output.get('evalue', '')}"
        return ESCAPES.sub("", "\n".join(map(str, trace))) if isinstance(trace, list) and trace else said
    data = output.get("data")
    forms = (
        data
        if isinstance(data, dict)
        else {f"text/{new}": output.get(old) for new, old in (("plain", "text"), ("latex", "latex"), ("html", "html"))}
    )
    for form in TEXTS:
        if text := _joined(forms.get(form)):
            return ESCAPES.sub("", text)
    if html := _joined(forms.get("text/html")):
        from tscli.documents.markup import html_text

        return html_text(html.encode(errors="replace"), "utf-8", titled=False).text
    return ""


def _joined(text: Any) -> str:
    """Notebooks keep text as one string or as its lines."""
    return "".join(map(str, text)) if isinstance(text, list) else text if isinstance(text, str) else ""
