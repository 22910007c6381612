"""Mutated documents through the reading of documents: `python tests/harness/hostile.py --runs N [--seed S]`.

Each run mutates eight files of samples/ and of the collections beside the checkout, where there are any, and reads them. What
must hold: every file ends as a document, a failure or passed over; text is clean; nothing takes longer or more memory than its
limits; the process that reads stays up. Prints one JSON object; the exit code is 1 where something did not hold.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "kernels")]

from tests.documents.hostile import mutated  # noqa: E402 - found only now
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
        with tempfile.TemporaryDirectory() as folder:
            for number, (path, content) in enumerate(zip(chosen, data, strict=True)):
                (Path(folder) / f"{number}{path.suffix}").write_bytes(mutated(content, data, choose))
            started = time.monotonic()
            problems = _read(Path(folder), ends)
            took = time.monotonic() - started
        slowest = max(slowest, took)
        if took > FILES_PER_RUN * (FILE_SECONDS + PAGE_SECONDS):
            problems.append(f"took {took:.0f} s")
        broken += [f"run {run}: {problem}" for problem in problems]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {
        "files": runs * FILES_PER_RUN,
        "seeds": len(seeds),
        **dict(ends),
        "slowest_run_s": round(slowest, 1),
        "peak_rss_bytes": peak,
        "broken": broken,
    }


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
    if sorted(named) != files or sorted(done) != files:
        problems.append(f"files are not accounted for: {sorted(set(files) ^ set(named))}")
    for document in loaded.documents:
        if any("\0" in page or "\r" in page or page != page.encode(errors="replace").decode() for page in document.pages):
            problems.append(f"{document.path}: text is not clean")
    return problems


if __name__ == "__main__":
    main()
