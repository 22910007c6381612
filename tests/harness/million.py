"""Ingest a folder of a million tokens, ask it from new processes: `python tests/harness/million.py FOLDER QUESTION [JSON]`.

For joint and for independent documents: seconds of an ingest of 131,072 tokens of them and of one of all, memory; then the
question by `tscli ask --json`, first with the library's files dropped from the page cache, then warm: the parts of the time
from the process's start to the first token, resident memory, anonymous and mapped, what was read from the disk. The libraries
go into a temporary folder. With `--library NAME QUESTION [JSON]` a library that is there is asked, and nothing is ingested.
With `--ingest MODEL FOLDER NAME [JSON]` a folder is ingested as `tscli ingest --kv-dtype int8` does, and nothing is asked.
Memory of the ingesting process and of all of its children is looked at every SAMPLE_S: the peaks of resident (RSS), of
proportional (PSS) and of anonymous memory, of the process itself and summed over all.
"""

from __future__ import annotations

import compileall
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import date
from pathlib import Path
from typing import Any

PART, SAMPLE_S = 131_072, 0.2
FIELDS = {"rss": "Rss:", "pss": "Pss:", "anonymous": "Anonymous:"}
INGEST = """
import json, sys, time, tscli
import resource
started = time.perf_counter()
options = tscli.IngestOptions(documents=sys.argv[2] or None, kv_dtype=sys.argv[5], max_tokens=1 << 21)
preparation = tscli.prepare([sys.argv[1]], sys.argv[3], load=tscli.LoadOptions(sys.argv[4]), options=options)
planned = time.perf_counter() - started
report = preparation.run()
status = dict(line.split(":", 1) for line in open("/proc/self/status").read().splitlines())
print(json.dumps({"tokens": report.total_tokens, "read_and_tokenise_s": planned, "prefill_s": report.seconds,
    "processes": preparation.plan.processes, "bytes": report.bytes,
    "other_process_peak_rss_kib": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss,
    "peak_rss_kib": int(status["VmHWM"].split()[0]), "anonymous_at_the_end_kib": int(status["RssAnon"].split()[0])}))
"""
ROUNDS = 3
PARTS = ("process_start_s", "import_s", "load_s", "question_s", "first_decode_s", "from_start_s", "decode_tps")


def main() -> None:
    folder, question = sys.argv[1], sys.argv[2]
    found: dict[str, Any] = {"date": date.today().isoformat(), "question": question}
    with tempfile.TemporaryDirectory() as home, tempfile.TemporaryDirectory() as part:
        environment = {**os.environ, "TSCLI_HOME": home}
        _cut(Path(folder), Path(part))
        for kind in ("joint", "independent"):
            how = (kind, kind, "reader", "auto")
            found[kind] = {"ingest_of_a_part": _watched([INGEST, part, *how], {**environment, "TSCLI_HOME": f"{home}/apart"})}
            found[kind]["ingest"] = _watched([INGEST, folder, *how], environment)
            print(kind, found[kind]["ingest_of_a_part"], found[kind]["ingest"], flush=True)
            found[kind]["ask"] = _ask(kind, question, environment)
    _keep(found, sys.argv[3:])


def ask_library() -> None:
    """Ask a library that is there."""
    library, question = sys.argv[2:4]
    found = {"date": date.today().isoformat(), "question": question, library: {"ask": _ask(library, question, {**os.environ})}}
    _keep(found, sys.argv[4:])


def ingest_folder() -> None:
    """Ingest a folder into a library that stays."""
    model, folder, library = sys.argv[2:5]
    found = {"date": date.today().isoformat(), "model": Path(model).name}
    found["ingest"] = _watched([INGEST, folder, "", library, model, "int8"], {**os.environ})
    print(found["ingest"], flush=True)
    _keep(found, sys.argv[5:])


def _keep(found: dict[str, Any], files: list[str]) -> None:
    import tscli
    from tscli.ingest.doctor import processor

    found = {**found, "hardware": {"processor": processor(), "cores": os.cpu_count()}, "versions": tscli.versions()}
    for file in files:
        Path(file).write_text(json.dumps(found, indent=1) + "\n")


def _ask(library: str, question: str, environment: dict[str, str]) -> list[dict[str, Any]]:
    """Rounds of a question that finds nothing in the page cache and three that do; one before them all, which is not counted,
    for what is compiled once on a machine."""
    import tscli
    import tscli_kernels

    for package in (tscli, tscli_kernels):  # as pip does when it installs
        compileall.compile_dir(Path(package.__file__).parent, quiet=1)
    asked = []
    _ask_once(library, question, environment)
    for cold in ROUNDS * (True, False, False, False):
        if cold:
            _drop(Path(environment["TSCLI_HOME"]) / "libraries" / library)
        asked.append({"page_cache": "cold" if cold else "warm", **_ask_once(library, question, environment)})
        print(asked[-1], flush=True)
    return asked


def _ask_once(library: str, question: str, environment: dict[str, str]) -> dict[str, Any]:
    command = [sys.executable, "-m", "tscli", "ask", "--json", "--no-history", "--max-new-tokens", "32", "-l", library]
    with tempfile.TemporaryFile("w+") as output:
        began, resident = time.perf_counter(), dict.fromkeys(("RssAnon", "RssFile"), 0)
        process = subprocess.Popen([*command, question], env=environment, stdout=output)
        while (ended := os.wait4(process.pid, os.WNOHANG))[0] == 0:
            resident = {kind: max(value, _status(process.pid, kind)) for kind, value in resident.items()}
            time.sleep(0.02)
        took, usage = time.perf_counter() - began, ended[2]
        process.returncode = os.waitstatus_to_exitcode(ended[1])
        output.seek(0)
        answer = json.load(output)
    timing, fidelity = answer["timing"], answer["selection"]["fidelity"]
    return {
        "answer": answer["answer"],
        **{part: timing[part] for part in PARTS},
        "whole_process_s": took,
        "scan": answer["selection"]["scan"],
        "recomputed_tokens": answer["tokens"]["recomputed"],
        "vote_mass": fidelity["vote_mass"] if fidelity else None,
        "peak_rss_kib": usage.ru_maxrss,
        "anonymous_kib": resident["RssAnon"],
        "mapped_kib": resident["RssFile"],
        "read_from_disk_kib": usage.ru_inblock // 2,
    }


def _status(pid: int, kind: str) -> int:
    """KiB, of a process that may be about to end."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next((int(line.split()[1]) for line in lines if line.startswith(f"{kind}:")), 0)


def _run(arguments: list[str], environment: dict[str, str]) -> Any:
    done = subprocess.run([sys.executable, "-c", *arguments], env=environment, check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def _watched(arguments: list[str], environment: dict[str, str]) -> Any:
    """`_run`, with the peaks of its memory and of its children's."""
    process = subprocess.Popen([sys.executable, "-c", *arguments], env=environment, stdout=subprocess.PIPE, text=True)
    own, family = dict.fromkeys(FIELDS, 0), dict.fromkeys(FIELDS, 0)
    while process.poll() is None:
        members = [_memory(number) for number in (process.pid, *_descendants(process.pid))]
        for field in FIELDS:
            own[field] = max(own[field], members[0].get(field, 0))
            family[field] = max(family[field], sum(member.get(field, 0) for member in members))
        time.sleep(SAMPLE_S)
    said = process.communicate()[0]
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, arguments)
    return {**json.loads(said.splitlines()[-1]), "peak_kib": own, "peak_with_children_kib": family}


def _memory(number: int) -> dict[str, int]:
    """What a process holds, in KiB; nothing where it is gone."""
    with suppress(OSError):
        lines = dict(line.split(maxsplit=1) for line in Path(f"/proc/{number}/smaps_rollup").read_text().splitlines()[1:])
        return {field: int(lines[name].split()[0]) for field, name in FIELDS.items()}
    return {}


def _descendants(number: int) -> Iterator[int]:
    with suppress(OSError):
        for task in Path(f"/proc/{number}/task").iterdir():
            for child in map(int, (task / "children").read_text().split()):
                yield child
                yield from _descendants(child)


def _cut(folder: Path, part: Path) -> None:
    """As many of the documents as have about PART tokens, the last one cut."""
    import tscli

    left = PART
    options = tscli.IngestOptions(max_tokens=1 << 21)
    for document in tscli.prepare([folder], "plan", tscli.LoadOptions("reader"), options=options).plan.documents:
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
    {"--library": ask_library, "--ingest": ingest_folder}.get(sys.argv[1], main)()
