"""Ask a library with less memory than it has bytes: `python tests/harness/larger_than_memory.py LIBRARY QUESTION [MIB] [JSON]`.

The question is asked by a process without a limit, then, with the library's files dropped from the page cache, by one in a
control group of MIB (1024) of memory: the page cache of what it reads counts there. By the sketch, and with every key scored.
Needs Linux and the right to make a control group; else it says that it was skipped.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

NEW_TOKENS, SECONDS = 8, 200
ASK = """
import json, resource, sys, time
import tscli
selection = tscli.SelectionOptions(scan=sys.argv[3])
with tscli.open_library(sys.argv[1], selection=selection) as session:
    stream = session.ask(sys.argv[2], max_new_tokens=int(sys.argv[4]))
    text = "".join(stream)
    s = stream.answer.statistics
status = dict(line.split(":", 1) for line in open("/proc/self/status").read().splitlines())
print(json.dumps({"answer": text, "token_ids": stream.answer.token_ids, "scan": s.scan,
    "recomputed_tokens": s.recomputed_tokens, "peak_rss_kib": int(status["VmHWM"].split()[0]),
    "anonymous_kib": int(status["RssAnon"].split()[0]),
    "major_faults": resource.getrusage(resource.RUSAGE_SELF).ru_majflt}))
"""


@dataclass(frozen=True)
class Group:
    """A control group of memory, of either version of their interface."""

    folder: Path
    limit: str
    peak: str


def main() -> int:
    library, question = sys.argv[1], sys.argv[2]
    limit_bytes = int(sys.argv[3] if len(sys.argv) > 3 else 1024) << 20
    import tscli
    from tscli.ingest.doctor import processor
    from tscli.store import library_folder

    files = list(library_folder(library).rglob("*.pt"))
    found: dict[str, Any] = {
        "date": date.today().isoformat(),
        "command": f"python tests/harness/larger_than_memory.py {library} '{question}' {limit_bytes >> 20}",
        "hardware": {"processor": processor(), "cores": os.cpu_count()},
        "versions": tscli.versions(),
        "library_bytes": sum(file.stat().st_size for file in files),
        "limit_bytes": limit_bytes,
    }
    try:
        with group(limit_bytes) as limited:
            for scan in ("sketch", "exact"):
                found[scan] = _compared(files, [library, question, scan, str(NEW_TOKENS)], limited)
                print(scan, found[scan], flush=True)
    except OSError as error:
        print(f"skipped: no control group of memory can be made here ({error})")
        return 0
    if len(sys.argv) > 4:
        Path(sys.argv[4]).write_text(json.dumps(found, indent=1) + "\n")
    return 0 if all(found[scan]["equal"] for scan in ("sketch", "exact")) else 1


def _compared(files: list[Path], arguments: list[str], limited: Group) -> dict[str, Any]:
    """The question without a limit and with one."""
    _ask(arguments, None)  # verifies the files, and loads the compiled loops from the disk
    without = _ask(arguments, None)
    _drop(files)
    with suppress(OSError):  # an older kernel keeps the peak of all
        (limited.folder / limited.peak).write_text("0")
    within = _ask(arguments, limited)
    within["peak_group_bytes"] = int((limited.folder / limited.peak).read_text())
    return {"without_limit": without, "within": within, "equal": without["token_ids"] == within["token_ids"]}


@contextmanager
def group(limit_bytes: int) -> Iterator[Group]:
    """A group of so much memory within this process's own; OSError where none can be made."""
    made = _own_group()
    made.folder.mkdir()
    try:
        (made.folder / made.limit).write_text(str(limit_bytes))
        yield made
    finally:
        made.folder.rmdir()


def _own_group() -> Group:
    root, name = Path("/sys/fs/cgroup"), f"tscli-{os.getpid()}"
    lines = [line.split(":", 2) for line in Path("/proc/self/cgroup").read_text().splitlines()]
    for _, controllers, path in lines:
        if "memory" in controllers.split(","):
            return Group(root / "memory" / path.lstrip("/") / name, "memory.limit_in_bytes", "memory.max_usage_in_bytes")
    own = next((path for number, _, path in lines if number == "0"), "/")
    return Group(root / own.lstrip("/") / name, "memory.max", "memory.peak")


def _ask(arguments: list[str], limited: Group | None) -> dict[str, Any]:
    """From a process of its own."""

    def enter() -> None:  # before it has read anything
        if limited is not None:
            (limited.folder / "cgroup.procs").write_text(str(os.getpid()))

    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", ASK, *arguments],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        timeout=SECONDS,
        preexec_fn=enter,
    )
    return {"seconds": time.perf_counter() - started, **json.loads(done.stdout.splitlines()[-1])}


def _drop(files: list[Path]) -> None:
    """They are to be read from the disk again."""
    os.sync()
    for path in files:
        with path.open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


if __name__ == "__main__":
    sys.exit(main())
