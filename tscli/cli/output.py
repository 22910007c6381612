"""Where things are printed: results to stdout, everything else to stderr; numbers for people; nothing raw from documents."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import tscli
from tscli import internals

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import Console
    from rich.text import Text

    from tscli import BytesPerToken, LoadOptions

CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")
DROPPED = re.compile(r"[\r\u202a-\u202e\u2066-\u2069]")  # moves the cursor, or the direction of what follows
NEW_LINE = re.compile(r"[\n\u2028\u2029]")
# What JSON would let through: C1 controls (one of them starts a terminal command), directions, halves of characters.
RAW_IN_JSON = re.compile(r"[\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


@dataclass(frozen=True)
class Settings:
    """The global flags."""

    quiet: bool
    debug: bool


def stderr() -> Console:
    """A console on stderr; NO_COLOR and redirection are honoured by rich."""
    from rich.console import Console

    return Console(stderr=True, highlight=False, emoji=False, markup=False, soft_wrap=False)


def animated() -> bool:
    """Whether stderr is a terminal that a moving line can be drawn on, whatever colours are forced."""
    return sys.stderr.isatty() and not stderr().is_dumb_terminal


@contextmanager
def working(settings: Settings, text: str) -> Iterator[Callable[[str, int, int], None]]:
    """A moving line while something takes time; nothing when quiet or without a terminal.

    What it yields tells of a part that takes long (what, work done, work in all): in that line, or without a terminal as in
    `progress`.
    """
    if settings.quiet or not animated():
        with progress(settings) as on_step:
            yield on_step
        return
    with stderr().status(plain(text)) as status:
        yield lambda what, done, total: status.update(plain(f"{text}: {what}, {done / max(1, total):.0%}"))


def plain(text: str) -> Text:
    """A line for rich to show as it is: brackets in a name are no markup."""
    from rich.text import Text

    return Text(safe_line(text))


def fetch_model(settings: Settings, load: LoadOptions, library: str | None = None) -> Path | None:
    """Download or convert a model that is not here yet, before anything else moves on the terminal; the folder of its files,
    None where the default is meant, which is here.

    library: the one whose own model is meant where none is named.
    """
    if load.model is None and library is not None:
        with working(settings, f"opening library {library}"):
            load = internals.library_model(library)
    if load.model is None:
        return None
    text = f"{load.model} is not on this machine yet: downloading it into"
    with steps(settings) as on_step:
        return tscli.fetch_model(
            load,
            progress=not settings.quiet and animated(),
            on_download=lambda folder: say(settings, safe_line(f"{text} {folder}")),
            on_step=on_step,
        )


@contextmanager
def steps(settings: Settings) -> Iterator[Callable[[str, int, int], None]]:
    """A bar for steps with their own ends (what is done, how much of it, of how much), there from the first of them on;
    without a terminal a line for each."""
    with ExitStack() as stack:
        shown: list[Callable[[str, int, int], None]] = []

        def step(text: str, done: int, total: int) -> None:
            if not shown:
                shown.append(stack.enter_context(progress(settings)))
            shown[0](text, done, total)

        yield step


@contextmanager
def progress(settings: Settings) -> Iterator[Callable[[str, int, int], None]]:
    """A bar with what is done now and the time left (work done, work in all, 0 where nobody knows); without a terminal a
    line for each thing done."""
    last = [""]

    def line(text: str, done: int, total: int) -> None:
        if text != last[0]:
            last[0] = text
            say(settings, f"{done / max(1, total):4.0%}  {text}")

    if settings.quiet or not animated():
        yield line
        return
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    columns = (BarColumn(), TaskProgressColumn(), TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn())
    with Progress(*columns, TextColumn("{task.description}", markup=False), console=stderr()) as bar:
        task = bar.add_task("", visible=False)  # until there is something to do

        def update(text: str, done: int, total: int) -> None:
            bar.update(task, description=safe_line(text), completed=done, total=total or None, visible=True)

        yield update


@contextmanager
def byte_progress(settings: Settings, text: str) -> Iterator[Callable[[int, int], None] | None]:
    """A bar with bytes done, bytes in all, speed and time left; None when quiet or without a terminal."""
    if settings.quiet or not animated():
        yield None
        return
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    columns = (BarColumn(), DownloadColumn(binary_units=True), TransferSpeedColumn(), TextColumn("left"), TimeRemainingColumn())
    with Progress(TextColumn("{task.description}"), *columns, console=stderr()) as bar:
        task = bar.add_task(safe_line(text), total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def say(settings: Settings, text: str) -> None:
    """A line on stderr, unless quiet."""
    if not settings.quiet:
        print(safe(text), file=sys.stderr)


def error_line(text: str) -> None:
    """An error on stderr, on one line: nothing in it can pass for a line of its own."""
    print(f"tscli: {safe_line(text)}", file=sys.stderr)


def print_json(content: Any) -> None:
    """One JSON object or list on stdout."""
    print(as_json(content, indent=2))


def as_json(content: Any, indent: int | None = None) -> str:
    """JSON that drives no terminal and that stdout's encoding can carry; readers get the very strings back."""
    try:
        text = json.dumps(content, ensure_ascii=False, indent=indent)
        text = RAW_IN_JSON.sub(lambda match: f"\\u{ord(match[0]):04x}", text)
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        return json.dumps(content, indent=indent)
    return text


def marking() -> bool:
    """Whether stdout is a terminal that text can be dimmed on; NO_COLOR is honoured."""
    from rich.console import Console

    console = Console()
    return sys.stdout.isatty() and not console.no_color and not console.is_dumb_terminal


def dim(text: str) -> str:
    """Dimmed and underlined, the spaces around it not; for a terminal."""
    bare = text.strip()
    return text.replace(bare, f"\x1b[2;4m{bare}\x1b[0m", 1) if bare else text


def faint(text: str) -> str:
    """Dimmed where NO_COLOR does not forbid it; for a terminal on stderr."""
    return text if stderr().no_color else f"\x1b[2m{text}\x1b[0m"


def safe(text: str) -> str:
    """Text without control characters (a file name or an answer must not drive the terminal); line breaks and tabs stay."""
    return DROPPED.sub("", CONTROL.sub("\ufffd", text))


def safe_line(text: str) -> str:
    """The same on one line."""
    return safe(NEW_LINE.sub("\u240a", text).replace("\t", " "))


def size(num_bytes: float) -> str:
    """Bytes in binary units: 1.2 GiB."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if num_bytes < 1023.95:  # 1,024.0 is 1.0 of the next
            return f"{num_bytes:,.0f} {unit}" if unit == "B" else f"{num_bytes:,.1f} {unit}"
        num_bytes /= 1024
    return f"{num_bytes:,.1f} TiB"


def per_token(one: BytesPerToken) -> str:
    """What a token takes, and what a question reads of it: KV 22.5 KiB, head keys 512 B; retrieval heads scan 512 B of keys."""
    beside = {"sketch": one.sketch, "head keys": one.head_keys}
    parts = [f"KV {size(one.kv)}", *(f"{name} {size(taken)}" for name, taken in beside.items() if taken)]
    heads = f"; retrieval heads scan {size(one.scanned)}, {one.keys_scanned:.1%} of the keys" if one.scanned else ""
    others = "; the head keys are of an earlier calibration, the next ingest makes them anew" if one.of_other_heads else ""
    return ", ".join(parts) + heads + others


def duration(seconds: float) -> str:
    """Seconds for people: 0.12 s, 42 s, 3 min 12 s, 2 h 5 min."""
    if seconds < 9.995:
        return f"{seconds:.2f} s"
    if seconds < 59.5:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def kinds(dtype: str, kv_dtype: str, weights: str) -> str:
    """The dtype that a model computes in, and what is not of that dtype."""
    pages, linear = (f"{name} {what}" if name != dtype else "" for name, what in ((kv_dtype, "pages"), (weights, "weights")))
    return ", ".join(part for part in (dtype, pages, linear) if part)


def counted(number: int, noun: str) -> str:
    """1 page, 2 pages, 1,048,576 tokens."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
