"""Ingest a folder of a million tokens, ask it from new processes: `python tests/harness/million.py FOLDER QUESTION [JSON]`.

For joint and for independent documents: seconds of an ingest of 131,072 tokens of them and of one of all, memory; then the
question from a process of its own, first with the library's files dropped from the page cache, then warm: the parts of the time
to the first token, and resident memory, anonymous and mapped. The libraries go into a temporary folder.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from datetime import date
from pathlib import Path
from typing import Any

PART = 131_072
INGEST = """
import json, sys, time, tscli
import resource
started = time.perf_counter()
options = tscli.IngestOptions(documents=sys.argv[2], max_tokens=1 << 21)
preparation = tscli.prepare([sys.argv[1]], sys.argv[3], options=options)
planned = time.perf_counter() - started
report = preparation.run()
status = dict(line.split(":", 1) for line in open("/proc/self/status").read().splitlines())
print(json.dumps({"tokens": report.total_tokens, "read_and_tokenise_s": planned, "prefill_s": report.seconds,
    "processes": preparation.plan.processes, "bytes": report.bytes,
    "other_process_peak_rss_kib": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss,
    "peak_rss_kib": int(status["VmHWM"].split()[0]), "anonymous_kib": int(status["RssAnon"].split()[0])}))
"""
ASK = """
import json, sys, time
began = float(sys.argv[3])
started = time.time()
import tscli
with tscli.open_library(sys.argv[1]) as session:
    opened = time.time()
    stream = session.ask(sys.argv[2], max_new_tokens=32)
    pieces = iter(stream)
    first = next(pieces, "")
    answered = time.time()
    text = first + "".join(pieces)
    s = stream.answer.statistics
status = dict(line.split(":", 1) for line in open("/proc/self/status").read().splitlines())
print(json.dumps({"answer": text, "process_start_s": started - began, "import_and_open_s": opened - started,
    "first_token_s": answered - opened, "in_all_s": answered - began, "decode_tps": s.decode_tps, "scan": s.scan,
    "recomputed_tokens": s.recomputed_tokens, "vote_mass": s.fidelity.vote_mass if s.fidelity else None,
    "peak_rss_kib": int(status["VmHWM"].split()[0]), "anonymous_kib": int(status["RssAnon"].split()[0]),
    "mapped_kib": int(status["RssFile"].split()[0])}))
"""


def main() -> None:
    folder, question = sys.argv[1], sys.argv[2]
    found: dict[str, Any] = {"date": date.today().isoformat(), "question": question}
    with tempfile.TemporaryDirectory() as home, tempfile.TemporaryDirectory() as part:
        environment = {**os.environ, "TSCLI_HOME": home}
        _cut(Path(folder), Path(part))
        for kind in ("joint", "independent"):
            found[kind] = {"ingest_of_a_part": _run([INGEST, part, kind, kind], {**environment, "TSCLI_HOME": f"{home}/apart"})}
            found[kind]["ingest"] = _run([INGEST, folder, kind, kind], environment)
            print(kind, found[kind]["ingest_of_a_part"], found[kind]["ingest"], flush=True)
            asked = []
            for cold in (True, False, False, False):
                if cold:
                    _drop(Path(home))
                asked.append({"page_cache": "cold" if cold else "warm", **_ask(kind, question, environment)})
                print(asked[-1], flush=True)
            found[kind]["ask"] = asked
    if len(sys.argv) > 3:
        import tscli
        from tscli.engine.doctor import processor

        found = {**found, "hardware": {"processor": processor(), "cores": os.cpu_count()}, "versions": tscli.versions()}
        Path(sys.argv[3]).write_text(json.dumps(found, indent=1) + "\n")


def _ask(library: str, question: str, environment: dict[str, str]) -> Any:
    return _run([ASK, library, question, str(time.time())], environment)


def _run(arguments: list[str], environment: dict[str, str]) -> Any:
    done = subprocess.run([sys.executable, "-c", *arguments], env=environment, check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def _cut(folder: Path, part: Path) -> None:
    """As many of the documents as have about PART tokens, the last one cut."""
    import tscli

    left = PART
    for document in tscli.prepare([folder], "plan", options=tscli.IngestOptions(max_tokens=1 << 21)).plan.documents:
        text = (folder.parent / document.path).read_text(errors="replace")
        end = len(text) if document.tokens <= left else len(text) * left // document.tokens
        (part / Path(document.path).name).write_text(text[:end])
        left -= document.tokens
        if left <= 0:
            return


def _drop(folder: Path) -> None:
    """The files are to be read from the disk again."""
    os.sync()
    for path in folder.rglob("*.pt"):
        with path.open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


if __name__ == "__main__":
    main()
