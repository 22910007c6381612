"""Tables and rows on stdout, in every format that a command offers. Knows formats, not what is in them."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tscli.cli.output import as_json, print_json, safe_line
from tscli.errors import UsageError


@dataclass(frozen=True)
class Table:
    """What people read. align: "<" or ">" for each column. heads: none where the columns speak for themselves."""

    heads: Sequence[str]
    align: str
    rows: Sequence[Sequence[str]]


def check_format(output: str, formats: Sequence[str]) -> None:
    """UsageError for one that the command does not have."""
    if output not in formats:
        raise UsageError(f"--output {output}: choose {', '.join(formats)}")


def write(output: str, table: Table, records: Sequence[Mapping[str, Any]], whole: Any = None) -> None:
    """Print the table as md (Markdown) or text (aligned columns), or the records as json, jsonl or csv.

    whole: what json prints instead of the records alone.
    """
    if output == "json":
        print_json(records if whole is None else whole)
    elif output == "jsonl":
        for record in records:
            print(as_json(record))
    elif output == "csv":
        _csv(records)
    elif output == "text":
        _text(table)
    else:
        _markdown(table)


def draw(table: Table, title: str) -> None:
    """With lines around it, as wide as the terminal."""
    from rich.console import Console
    from rich.table import Table as Drawn

    drawn = Drawn(title=title, title_justify="left")
    for head, side in zip(table.heads, table.align, strict=True):
        drawn.add_column(head, justify="left" if side == "<" else "right")
    for row in table.rows:
        drawn.add_row(*map(safe_line, row))
    Console(highlight=False, emoji=False, markup=False).print(drawn)


def _markdown(table: Table) -> None:
    rules = ["---" if side == "<" else "---:" for side in table.align]
    for row in (table.heads, rules, *table.rows):
        print(f"| {' | '.join(safe_line(cell).replace('|', '/') for cell in row)} |")


def _text(table: Table) -> None:
    rows = [[safe_line(cell) for cell in row] for row in ([table.heads] if table.heads else []) + list(table.rows)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = zip(row, widths, table.align, strict=True)
        print("  ".join(f"{cell:{side}{width}}" for cell, width, side in cells).rstrip())


def _csv(records: Sequence[Mapping[str, Any]]) -> None:
    names = dict.fromkeys(name for record in records for name in record)
    writer = csv.DictWriter(sys.stdout, list(names), lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _cell(value) for name, value in record.items()} for record in records)


def _cell(value: Any) -> Any:
    if isinstance(value, (dict, list)):
        return json.dumps(value)
    return safe_line(value) if isinstance(value, str) else value
