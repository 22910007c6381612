"""Answers a second at 1, 4 and 16 clients: `python tests/harness/serve_throughput.py [--library NAME] [--gguf FILE]`.

`tscli serve` over a library, and llama.cpp on the same .gguf file with the documents as the beginning of every prompt, as
llama-cpp-python's server runs it: one model behind a lock, whose cache keeps the longest beginning that prompts share. Each
client asks one question after the other. llama.cpp's documents are run once before anything is counted; how long that took is
in the report. Documents beyond the model's window are run all the same: it is speed that is compared here.

Without --library, samples/ by the embedded reader; without --gguf, tscli alone.
"""

from __future__ import annotations

import argparse
import json
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
from serve_process import ROOT, Heard, ServeProcess, percentile, questions_of, served

Ask = Callable[[str], Heard]
Thread = Callable[[], Ask]


def main() -> int:
    asked = _arguments()
    questions, report = questions_of(asked.questions, asked.limit), dict[str, Any]()
    report["settings"] = {name: value.name if isinstance(value, Path) else value for name, value in vars(asked).items()}
    with served(asked.library) as library:
        server = ServeProcess(library, "--parallel", str(asked.parallel), "--queue", "64")
        try:

            def client() -> Ask:
                own = httpx.Client(base_url=server.address, timeout=600)
                return lambda question: server.ask(own, question)

            client()(questions[0])  # opens the library
            report["tscli serve"] = [_row(count, client, questions, asked.seconds) for count in asked.clients]
            report["memory_bytes"] = server.memory_bytes()
        finally:
            server.stop()
        if asked.gguf:
            report |= _llama_cpp(asked, library, questions)
    text = json.dumps(report, indent=1)
    if asked.out:
        asked.out.write_text(text + "\n", encoding="utf-8")
    print(text)
    for name in ("tscli serve", "llama.cpp"):
        for row in report.get(name, []):
            speed = f"{row['answers_per_s']:.2f} answers/s, {row['tokens_per_s']:.1f} tokens/s"
            first = f"first token p50 {row['first_token_p50_s']:.2f} s, p95 {row['first_token_p95_s']:.2f} s"
            print(f"{name:12} {row['clients']:3} clients: {speed}, {first}")
    return 0


def _row(count: int, client: Thread, questions: list[str], seconds: float) -> dict[str, Any]:
    """So many clients for so long; an answer that began in time is waited for, and counts."""
    heard, lock, began = list[Heard](), threading.Lock(), time.perf_counter()

    def run(number: int) -> None:
        ask, at = client(), number
        while time.perf_counter() - began < seconds:
            answer = ask(questions[at % len(questions)])
            assert answer.text is not None, answer
            with lock:
                heard.append(answer)
            at += count

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took, first = time.perf_counter() - began, [one.first_s for one in heard if one.first_s is not None]
    return {
        "clients": count,
        "seconds": took,
        "answers": len(heard),
        "answers_per_s": len(heard) / took,
        "tokens_per_s": sum(one.tokens for one in heard) / took,
        "first_token_p50_s": percentile(first, 0.5) or 0.0,
        "first_token_p95_s": percentile(first, 0.95) or 0.0,
        "total_p50_s": percentile([one.total_s for one in heard], 0.5),
    }


def _llama_cpp(asked: argparse.Namespace, library: str, questions: list[str]) -> dict[str, Any]:
    """The same by llama-cpp-python: a lock around one model, as its server has it."""
    import llama_cpp
    import torch

    text, lock = _text_of(library), threading.Lock()
    counting = llama_cpp.Llama(str(asked.gguf), vocab_only=True, verbose=False)
    room = len(counting.tokenize(text.encode())) + 1024
    counting.close()
    threads = asked.threads or torch.get_num_threads()
    model = llama_cpp.Llama(str(asked.gguf), n_ctx=room, n_threads=threads, n_threads_batch=threads, verbose=False)

    def ask(question: str) -> Heard:
        messages = [
            {"role": "system", "content": f"Answer from these documents.\n\n{text}"},
            {"role": "user", "content": question},
        ]
        came, first, pieces, tokens = time.perf_counter(), None, list[str](), 0
        with lock:
            for event in model.create_chat_completion(messages, stream=True, temperature=0.0, max_tokens=48):  # type: ignore[arg-type]
                piece = event["choices"][0]["delta"].get("content")  # type: ignore[index,union-attr]
                if piece:
                    first = first or time.perf_counter() - came
                    tokens += 1
                    pieces.append(str(piece))
        return Heard(200, "".join(pieces), first, time.perf_counter() - came, tokens)

    began = time.perf_counter()
    ask(questions[0])
    read_s = time.perf_counter() - began
    rows = [_row(count, lambda: ask, questions, asked.seconds) for count in asked.clients]
    how = {"version": llama_cpp.__version__, "context_tokens": room - 1024, "threads": threads, "read_documents_s": read_s}
    return {"llama.cpp": rows, "llama.cpp settings": how}


def _text_of(library: str) -> str:
    """The documents of a library as the model read them."""
    import tscli

    with tscli.open_library(library) as session:
        return session.tokenizer.decode(session.context.token_ids.tolist())


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--library", help="of TSCLI_HOME; default: samples/ by the embedded reader")
    parser.add_argument("--gguf", type=Path, help="the file that the library's model was read from")
    parser.add_argument("--questions", type=Path, default=ROOT / "samples" / "questions.jsonl", help="JSON lines")
    parser.add_argument("--limit", type=int, default=16, help="how many of them")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 4, 16])
    parser.add_argument("--seconds", type=float, default=60, help="for each number of clients")
    parser.add_argument("--parallel", type=int, default=16)
    parser.add_argument("--threads", type=int, help="of llama.cpp; default: as many as torch has")
    parser.add_argument("--out", type=Path, help="where the JSON goes, beside stdout")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
