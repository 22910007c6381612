"""`tscli serve` under load: `python tests/harness/serve_load.py [--library NAME] [--clients 32] [--seconds 300] [--out FILE]`.

Clients ask without a pause, each of them at random: streamed or not, reading slowly, hanging up half way, with bodies that are
too large or no JSON. At half time the server is killed (SIGKILL) and started again. Every answer must be word for word the one
that the same question gets when it is asked alone, or a proper error. Refusals are told apart from cuts, which only the kill
may make. The memory of the server must be as much at the end as when it was warm. Exit code 1 where any of that does not hold.

Without --library, samples/ are ingested with the embedded reader into a folder that is thrown away.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
from serve_process import ROOT, Heard, ServeProcess, percentile, questions_of, served

KINDS = {"stream": 50, "whole": 20, "vanish": 12, "slow": 8, "huge": 5, "broken": 5}  # of a hundred requests
PROPER = (429, 503)  # what a right question may be told instead of its answer
GROWTH_BYTES, GROWTH = 64 << 20, 1.10  # of memory that is no mapped file, from when it was warm to the end


def main() -> int:
    asked = _arguments()
    with served(asked.library) as library:
        server = ServeProcess(library, "--parallel", str(asked.parallel), "--queue", str(asked.queue))
        try:
            report = _run(server, asked)
        finally:
            code = server.stop()
    report["exit_code"] = code
    problems = report["problems"]
    if code != 0:
        problems.append(f"the server ended with {code}")
    text = json.dumps(report, indent=1)
    if asked.out:
        asked.out.write_text(text + "\n", encoding="utf-8")
    print(text)
    print(f"serve_load: {'; '.join(problems) if problems else 'every answer right or a proper error, memory flat'}")
    return 1 if problems else 0


def _run(server: ServeProcess, asked: argparse.Namespace) -> dict[str, Any]:
    questions = questions_of(asked.questions, asked.limit)
    client = httpx.Client(base_url=server.address, timeout=300)
    server.ask(client, questions[0])  # opens the library
    alone = [server.ask(client, question) for question in questions]
    assert all(heard.text is not None for heard in alone), alone
    right = {question: str(heard.text) for question, heard in zip(questions, alone, strict=True)}
    load = Load(server, right, asked)
    load.run()
    return {
        "settings": {name: value.name if isinstance(value, Path) else value for name, value in vars(asked).items()},
        "single_client": _times([heard.first_s for heard in alone]),
        "under_load": _times(load.first_s),
        "answers_per_s": load.outcomes["right"] / asked.seconds,
        "outcomes": dict(sorted(load.outcomes.items())),
        "memory": load.memory[:: max(1, len(load.memory) // 30)],
        "others": load.others[:20],
        "problems": load.problems(),
    }


class Load:
    """All clients, what they heard, and the memory of the server beside that."""

    def __init__(self, server: ServeProcess, right: dict[str, str], asked: argparse.Namespace) -> None:
        self._server, self._right, self._asked = server, right, asked
        self._lock, self._down = threading.Lock(), threading.Event()
        self._kills: list[tuple[float, float]] = []  # from the kill until it answered again
        self.outcomes: Counter[str] = Counter()
        self.first_s: list[float | None] = []
        self.others: list[dict[str, str]] = []
        self.memory: list[dict[str, float]] = []

    def run(self) -> None:
        """For so many seconds, with a kill in the middle."""
        began = time.monotonic()
        self._until = began + self._asked.seconds
        clients = [threading.Thread(target=self._client, args=(number,)) for number in range(self._asked.clients)]
        for client in clients:
            client.start()
        killed = self._asked.no_kill
        while time.monotonic() < self._until:
            time.sleep(1)
            if not killed and time.monotonic() > began + self._asked.seconds / 2:
                killed = True
                self._kill()
            self.memory.append({"at_s": time.monotonic() - began, **self._server.memory_bytes()})
        for client in clients:
            client.join()

    def problems(self) -> list[str]:
        """What was not as it must be."""
        found = [f"{count} times {name}" for name, count in self.outcomes.items() if name.startswith("BAD")]
        warm, last = self._since_the_kill()
        if warm and last > max(warm * GROWTH, warm + GROWTH_BYTES):
            found.append(f"memory grew from {warm / 2**20:,.0f} to {last / 2**20:,.0f} MiB")
        if not self.outcomes["right"]:
            found.append("nothing was answered")
        return found

    def _since_the_kill(self) -> tuple[float, float]:
        """Memory that is no mapped file: a third into the last process's time, and at its end; medians of some seconds."""
        rows = [row["RssAnon"] for row in self.memory]
        rows = rows if self._asked.no_kill else rows[len(rows) // 2 + 1 :]
        if len(rows) < 6:
            return 0.0, 0.0
        width = max(1, len(rows) // 10)
        warm, last = rows[len(rows) // 3 : len(rows) // 3 + width], rows[-width:]
        return sorted(warm)[len(warm) // 2], sorted(last)[len(last) // 2]

    def _kill(self) -> None:
        began = time.perf_counter()
        self._down.set()
        self._server.kill()
        time.sleep(1)
        self._server.start()
        self._down.clear()
        self._kills.append((began, time.perf_counter()))

    def _client(self, number: int) -> None:
        chance = random.Random(f"{self._asked.seed} {number}")
        while time.monotonic() < self._until:
            with httpx.Client(base_url=self._server.address, timeout=300) as client:
                for _ in range(chance.randint(1, 8)):
                    if time.monotonic() > self._until:
                        return
                    kind = chance.choices(list(KINDS), list(KINDS.values()))[0]
                    began = time.perf_counter()
                    outcome = getattr(self, f"_{kind}")(client, chance)
                    if outcome == "cut":
                        outcome = "cut by the kill" if self._was_killed(began) else f"BAD: cut ({kind})"
                    with self._lock:
                        self.outcomes[outcome] += 1
                    if outcome.startswith(("refused", "cut")):
                        time.sleep(chance.uniform(0.2, 1.0))

    def _was_killed(self, began: float) -> bool:
        return self._down.is_set() or any(began < up and time.perf_counter() > down for down, up in self._kills)

    def _stream(self, client: httpx.Client, chance: random.Random) -> str:
        question = chance.choice(list(self._right))
        heard = self._server.ask(client, question)
        if heard.text is not None:
            with self._lock:
                self.first_s.append(heard.first_s)
        return self._judged(question, heard)

    def _slow(self, client: httpx.Client, chance: random.Random) -> str:
        question = chance.choice(list(self._right))
        return self._judged(question, self._server.ask(client, question, pause_s=0.3))

    def _vanish(self, client: httpx.Client, chance: random.Random) -> str:
        question, patience = chance.choice(list(self._right)), chance.uniform(0.05, 1.5)
        if chance.random() < 0.5:  # before anything is heard
            with httpx.Client(base_url=self._server.address, timeout=patience) as leaving:
                heard = self._server.ask(leaving, question)
                if heard.error == "ReadTimeout":
                    return "vanished"
        else:
            heard = self._server.ask(client, question, leave_after_s=patience)
        return "vanished" if heard.status == 499 else self._judged(question, heard)

    def _whole(self, client: httpx.Client, chance: random.Random) -> str:
        question = chance.choice(list(self._right))
        try:
            reply = client.post("/v1/chat/completions", json=self._server.body(question))
        except httpx.HTTPError:
            return "cut"
        text = reply.json()["choices"][0]["message"]["content"] if reply.status_code == 200 else None
        return self._judged(question, Heard(reply.status_code, text, None, 0.0, 0, reply.text))

    def _huge(self, client: httpx.Client, chance: random.Random) -> str:
        def chunks() -> Iterator[bytes]:
            yield from [b"x" * 65536] * 64

        content: Any = chunks() if chance.random() < 0.5 else b"x" * (4 << 20)
        try:
            reply = client.post("/v1/chat/completions", content=content)
        except (httpx.WriteError, httpx.ReadError, httpx.RemoteProtocolError):
            return "too large: hung up on"  # while it was still sending
        except httpx.HTTPError:
            return "cut"
        return "too large: 413" if reply.status_code == 413 else f"BAD: a huge body got {reply.status_code}"

    def _broken(self, client: httpx.Client, chance: random.Random) -> str:
        content, status = chance.choice(
            [(b"{", 400), (b'{"model": "none", "messages": [{"role": "user", "content": "x"}]}', 404)]
        )
        try:
            reply = client.post("/v1/chat/completions", content=content)
        except httpx.HTTPError:
            return "cut"
        proper = reply.status_code == status and "error" in reply.json()
        return f"broken: {status}" if proper else f"BAD: a broken request got {reply.status_code}"

    def _judged(self, question: str, heard: Heard) -> str:
        if heard.text is not None:
            if heard.text == self._right[question]:
                return "right"
            with self._lock:
                self.others.append({"question": question, "alone": self._right[question], "got": heard.text})
            return "BAD: another answer than alone"
        if heard.status in PROPER and '"error"' in heard.error:
            return f"refused: {heard.status}"
        return "cut" if heard.status == 0 else f"BAD: status {heard.status}"


def _times(values: list[float | None]) -> dict[str, float | int | None]:
    known = [value for value in values if value is not None]
    return {"answers": len(known), "first_token_p50_s": percentile(known, 0.5), "first_token_p95_s": percentile(known, 0.95)}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--library", help="of TSCLI_HOME; default: samples/ by the embedded reader")
    parser.add_argument("--questions", type=Path, default=ROOT / "samples" / "questions.jsonl", help="JSON lines")
    parser.add_argument("--limit", type=int, default=12, help="how many of them")
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--parallel", type=int, default=4)
    parser.add_argument("--queue", type=int, default=32)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--no-kill", action="store_true", help="leave the server alone in the middle")
    parser.add_argument("--out", type=Path, help="where the JSON goes, beside stdout")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
