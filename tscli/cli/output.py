"""Where things are printed: results to stdout, everything else to stderr; numbers for people; nothing raw from documents."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
BIDI = re.compile(r"[\u202a-\u202e\u2066-\u2069]")


@dataclass(frozen=True)
class Settings:
    """The global flags."""

    quiet: bool
    debug: bool


def stderr() -> Console:
    """A console on stderr; NO_COLOR and redirection are honoured by rich."""
    from rich.console import Console

    return Console(stderr=True, highlight=False, emoji=False, markup=False, soft_wrap=False)


def say(settings: Settings, text: str) -> None:
    """A line on stderr, unless quiet."""
    if not settings.quiet:
        print(safe(text), file=sys.stderr)


def error_line(text: str) -> None:
    """An error on stderr."""
    print(f"tscli: {safe(text)}", file=sys.stderr)


def print_json(content: Any) -> None:
    """One JSON object or list on stdout."""
    print(json.dumps(content, ensure_ascii=False, indent=2))


def safe(text: str) -> str:
    """Text without control characters (a file name or an answer must not drive the terminal); line breaks and tabs stay."""
    return BIDI.sub("", CONTROL.sub("\ufffd", text))


def safe_line(text: str) -> str:
    """The same on one line."""
    return safe(text.replace("\n", "\u240a").replace("\t", " "))


def size(num_bytes: float) -> str:
    """Bytes in binary units: 1.2 GiB."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if num_bytes < 1024:
            return f"{num_bytes:,.0f} {unit}" if unit == "B" else f"{num_bytes:,.1f} {unit}"
        num_bytes /= 1024
    return f"{num_bytes:,.1f} TiB"


def duration(seconds: float) -> str:
    """Seconds for people: 0.12 s, 42 s, 3 min 12 s, 2 h 5 min."""
    if seconds < 10:
        return f"{seconds:.2f} s"
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def versions() -> dict[str, str]:
    """Versions of what answers depend on."""
    import tscli

    return tscli.versions()
