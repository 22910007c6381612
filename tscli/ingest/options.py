"""What a user may choose for an ingest; free of torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tscli.library.kv_dtype import KVDtype

Prefill = Literal["sections", "sparse"]
Documents = Literal["joint", "independent"]
DEFAULT_MAX_TOKENS = 1_048_576


@dataclass(frozen=True)
class IngestOptions:
    """no_ignore, hidden, globs: which files (as ripgrep); passwords: tried on encrypted PDFs after the empty one;
    max_tokens: an error beyond it, never a cut; dense: full attention in prefill instead of TokenSelect;
    documents: "joint" (each is read after those before it) or "independent" (each by itself, so that a changed file costs only
    itself); None: as the library was made, and for a new one as the model brings along, or "joint".
    processes: that run such documents at a time, on the CPU; None: as many as pay by a short measurement.
    prefill: of what does not fit the model's window: in dense "sections" that do, or by "sparse" chunks (the paper); None: as
    the model brings along, or "sections".
    kv_dtype: what keys and values are kept in; "auto": as the library was made, and for a new one the model's dtype.
    system: the instruction before the documents, the empty string for none; None: as the library was made, and for a new one
    what the model brings along, or tscli's own.
    ocr: "auto" reads pages of PDFs that have no text by tesseract or OCRmyPDF where one is installed, "deu+eng" (languages as
    tesseract names them) likewise, in these; "off" never.
    encoding: a Python codec's name, of text files that are not UTF-8 and do not say their own; None: guessed."""

    no_ignore: bool = False
    hidden: bool = False
    globs: tuple[str, ...] = ()
    passwords: tuple[str, ...] = ()
    max_tokens: int = DEFAULT_MAX_TOKENS
    dense: bool = False
    documents: Documents | None = None
    processes: int | None = None
    kv_dtype: KVDtype = "auto"
    prefill: Prefill | None = None
    system: str | None = None
    ocr: str = "auto"
    encoding: str | None = None
