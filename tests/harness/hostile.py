"""Mutated documents through the reading of documents: `python tests/harness/hostile.py --runs N [--seed S]`.

Each run mutates eight files of samples/ and of the collections beside the checkout, where there are any, and reads them; then
as many office files, of each kind, every other one within one of its parts. The office bombs are read once. What must hold:
every file ends as a document, a failure or passed over; text is clean; nothing takes longer or more memory than its
limits; the process that reads stays up. Prints one JSON object; the exit code is 1 where something did not hold.
"""

from __future__ import annotations

import argparse
import io
import json
import random
import resource
import sys
import tempfile
import time
import zipfile
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "kernels")]

from tests.documents.hostile import mutated  # noqa: E402 - found only now
from tests.documents.hostile_office import GOOD, MAIN, ODD, REFUSED, with_part  # noqa: E402
from tscli.documents import load  # noqa: E402

FILES_PER_RUN, LARGEST_SEED = 8, 1 << 20
PAGE_SECONDS, FILE_SECONDS, MEMORY = 5.0, 30.0, 1 << 30
COLLECTIONS = (ROOT / "samples", ROOT.parent / "shared" / "data" / "pdf-samples", ROOT.parent / "shared" / "data" / "peps")


def main() -> None:
    """Run, print what was found."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--collection", type=Path, action="append", default=[], help="A folder with more files to mutate.")
    arguments = parser.parse_args()
    found = fuzz(arguments.runs, arguments.seed, [*COLLECTIONS, *arguments.collection])
    found["broken"] = [*found["broken"], *office_bombs()]  # type: ignore[misc]
    print(json.dumps(found, indent=1))
    sys.exit(1 if found["broken"] else 0)


def fuzz(runs: int, seed: int, collections: list[Path]) -> dict[str, object]:
    """What became of the mutated files, and what of that must not be."""
    seeds = [
        path
        for folder in collections
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.suffix and 0 < path.stat().st_size <= LARGEST_SEED
    ]
    pdfs, others = [path for path in seeds if path.suffix == ".pdf"], [path for path in seeds if path.suffix != ".pdf"]
    ends: Counter[str] = Counter()
    broken: list[str] = []
    slowest = 0.0
    for run in range(seed, seed + runs):
        choose = random.Random(run)
        chosen = [choose.choice(pdfs if choose.random() < 0.75 or not others else others) for _ in range(FILES_PER_RUN)]
        data = [path.read_bytes() for path in chosen]
        files = {
            f"{n}{path.suffix}": mutated(content, data, choose)
            for n, (path, content) in enumerate(zip(chosen, data, strict=True))
        }
        office = {
            f"{kind}-{n}.{kind}": _office(kind, choose) for n, kind in enumerate(choose.sample(sorted(GOOD), FILES_PER_RUN))
        }
        for some in (files, office):
            problems, took = _written_and_read(some, ends)
            slowest = max(slowest, took)
            broken += [f"run {run}: {problem}" for problem in problems]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {
        "files": 2 * runs * FILES_PER_RUN,
        "seeds": len(seeds),
        **dict(ends),
        "slowest_run_s": round(slowest, 1),
        "peak_rss_bytes": peak,
        "broken": broken,
    }


def office_bombs() -> list[str]:
    """What must not be, of office files made to do harm."""
    return _written_and_read(REFUSED | ODD | {f"empty.{kind}": b"" for kind in GOOD}, Counter())[0]


def _office(kind: str, choose: random.Random) -> bytes:
    """A good file of this kind, changed as a whole or within the part that holds its text."""
    if kind not in MAIN or choose.random() < 0.5:
        return mutated(GOOD[kind], list(GOOD.values()), choose)
    with zipfile.ZipFile(io.BytesIO(GOOD[kind])) as package:
        part = package.read(MAIN[kind])
    return with_part(kind, MAIN[kind], mutated(part, [part, *GOOD.values()], choose))


def _written_and_read(files: dict[str, bytes], ends: Counter[str]) -> tuple[list[str], float]:
    with tempfile.TemporaryDirectory() as folder:
        for name, content in files.items():
            (Path(folder) / name).write_bytes(content)
        started = time.monotonic()
        problems = _read(Path(folder), ends)
        took = time.monotonic() - started
    if took > len(files) * (FILE_SECONDS + PAGE_SECONDS):
        problems.append(f"took {took:.0f} s")
    return problems, took


def _read(folder: Path, ends: Counter[str]) -> list[str]:
    files = sorted(path.name for path in folder.iterdir())
    done: list[str] = []
    try:
        loaded = load(
            [folder / name for name in files],
            page_seconds=PAGE_SECONDS,
            file_seconds=FILE_SECONDS,
            memory_bytes=MEMORY,
            workers=1,
            on_file=lambda path, *_: done.append(path),
        )
    except Exception as error:  # whatever it is, it must not be
        return [f"{type(error).__name__}: {error}"]
    ends["documents"] += len(loaded.documents)
    ends["failures"] += len(loaded.failures)
    ends["lost_pages"] += sum("lost" in warning for document in loaded.documents for warning in document.warnings)
    problems = []
    named = [*(document.path for document in loaded.documents), *(failure.path for failure in loaded.failures)]
    named = [path for path in named if path in files or path.split("/")[0] not in files]  # files within a PDF stand beside it
    if sorted(named) != files or sorted(done) != files:
        problems.append(f"files are not accounted for: {sorted(set(files) ^ set(named))}")
    problems += [f"{f.path}: its reason is no line: {f.reason!r}" for f in loaded.failures if not f.reason or "\n" in f.reason]
    for document in loaded.documents:
        if any("\0" in page or "\r" in page or page != page.encode(errors="replace").decode() for page in document.pages):
            problems.append(f"{document.path}: text is not clean")
    return problems


if __name__ == "__main__":
    main()
