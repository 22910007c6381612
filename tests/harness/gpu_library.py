"""A library on a GPU, from ingest to answers, beside the same on the CPU: `python tests/harness/gpu_library.py TOKENS [JSON]`.

Prose with statements hidden in it is ingested by each of the two. Then new processes ask for the statements: the CPU; the GPU
with room for the pages, which come layer by layer while the question is read; and the GPU with so much of its memory taken that
the pages stay mapped and what is selected goes there. Each says how many answers are right, how many are the CPU's to the
letter, the parts of the time to the first token, how fast it decoded, and the peak of the GPU's memory in use.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from datetime import date
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
QUESTIONS, FILES, A_SENTENCE = 20, 8, 22  # tokens, about
INGEST = """
import json, sys, tscli
load = tscli.LoadOptions("reader", dtype="bfloat16", device=sys.argv[3])
report = tscli.prepare([sys.argv[1]], sys.argv[2], load, options=tscli.IngestOptions(max_tokens=1 << 22, processes=1)).run()
print(json.dumps({"tokens": report.total_tokens, "seconds": report.seconds, "bytes": report.bytes}))
"""
ASK = """
import json, sys, torch, tscli
library, device, room, scan = sys.argv[1:5]
taken = None
if device != "cpu" and room == "mapped":  # what the library keeps free is all that stays free
    from tscli.library.layout import GPU_KEPT
    free, total = torch.cuda.mem_get_info()
    taken = torch.empty(int(free - GPU_KEPT * total), dtype=torch.uint8, device=device)
answers = []
selection = tscli.SelectionOptions(scan=scan)
with tscli.open_library(library, tscli.LoadOptions("reader", dtype="bfloat16", device=device), selection=selection) as session:
    places = {part.key.device.type for part in session.strategy.state.segments}
    assert places == ({"cpu"} if device == "cpu" or room == "mapped" else {"cuda"}), places
    for question in json.loads(sys.stdin.read()):
        stream = session.ask(question, max_new_tokens=48)
        list(stream)
        answers.append(stream.answer)
first, speeds = answers[0].statistics, sorted(answer.statistics.decode_tps for answer in answers)
used = torch.cuda.max_memory_allocated() - (0 if taken is None else taken.nbytes) if device != "cpu" else 0
print(json.dumps({"texts": [answer.text for answer in answers], "scan": first.scan, "load_s": first.load_s,
    "question_s": first.question_s, "first_decode_s": first.first_decode_s, "decode_tps": speeds[len(speeds) // 2],
    "recomputed_tokens": sum(answer.statistics.recomputed_tokens for answer in answers), "gpu_peak_bytes": used,
    "vote_mass": answers[-1].statistics.fidelity and answers[-1].statistics.fidelity.vote_mass}))
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tokens", type=int, help="about so many of the embedded reader's")
    parser.add_argument("json", type=Path, nargs="?")
    parser.add_argument("--device", default="cuda", help="cpu: to try this without a GPU")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        asked = write_documents(Path(folder) / "docs", args.tokens)
        path = os.pathsep.join([str(ROOT), str(ROOT / "kernels"), os.environ.get("PYTHONPATH", "")])
        environment = {**os.environ, "TSCLI_HOME": f"{folder}/home", "PYTHONPATH": path}
        found = _compared(Path(folder) / "docs", asked, args.device, environment)
    if args.json is not None:
        args.json.write_text(json.dumps(found, indent=1) + "\n")
    return 0 if all(row["same_as_cpu"] >= len(asked) - 1 and not row["recomputed_tokens"] for row in found["asks"]) else 1


def write_documents(folder: Path, num_tokens: int) -> list[tuple[str, str]]:
    """FILES files of prose with statements in them; the questions, each with its answer."""
    from tscli.evaluation.haystack import invented
    from tscli.evaluation.tasks import needles

    rng = Random(3)
    exam = needles(rng, ["single-words", "single-numbers"], QUESTIONS // 2)
    sentences = list(islice(invented(rng), num_tokens // A_SENTENCE))
    for needle in sorted(exam.needles, key=lambda needle: needle.depth, reverse=True):
        sentences.insert(round(needle.depth * len(sentences)), needle.text)
    folder.mkdir()
    size = -(-len(sentences) // FILES)
    for number in range(FILES):
        text = " ".join(sentences[number * size : (number + 1) * size])
        (folder / f"part-{number}.txt").write_text(text + "\n")
    return [(item.question, item.wanted[0]) for item in exam.items]


def _compared(docs: Path, asked: Sequence[tuple[str, str]], device: str, environment: dict[str, str]) -> dict[str, Any]:
    import tscli
    from tscli.ingest.doctor import processor

    found: dict[str, Any] = {
        "date": date.today().isoformat(),
        "hardware": {"processor": processor(), "gpu": _gpu(), "cores": os.cpu_count()},
        "versions": tscli.versions(),
        "ingests": {},
        "asks": [],
    }
    for place in dict.fromkeys(("cpu", device)):
        found["ingests"][place] = json.loads(_run(INGEST, [str(docs), f"by-{place}", place], environment))
        print("ingest", place, found["ingests"][place], flush=True)
    questions = [question for question, _ in asked]
    rooms = ("resident", "mapped") if device != "cpu" else ("resident",)
    for scan in ("sketch", "exact"):
        texts: list[str] = []
        for library, place, room in [("by-cpu", "cpu", "mapped"), *((f"by-{device}", device, room) for room in rooms)]:
            _run(ASK, [library, place, room, scan], environment, questions[:1])  # kernels are compiled, once for a machine
            row = json.loads(_run(ASK, [library, place, room, scan], environment, questions))
            answers = row.pop("texts")
            texts = texts or answers
            row["right"] = sum(wanted in answer for answer, (_, wanted) in zip(answers, asked, strict=True))
            row["same_as_cpu"] = sum(mine == cpu for mine, cpu in zip(answers, texts, strict=True))
            found["asks"].append({"device": place, "pages": room, "questions": len(asked), **row})
            print("ask", found["asks"][-1], flush=True)
    return found


def _gpu() -> str | None:
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else None


def _run(program: str, arguments: list[str], environment: dict[str, str], questions: Sequence[str] = ()) -> str:
    command = [sys.executable, "-c", program, *arguments]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, input=json.dumps(questions), text=True, env=environment)
    return done.stdout.splitlines()[-1]


if __name__ == "__main__":
    sys.path[:0] = [str(ROOT), str(ROOT / "kernels")]  # run as a script, only its own folder is there
    sys.exit(main())
