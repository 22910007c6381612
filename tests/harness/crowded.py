"""One writer and eight readers at a time: `python tests/harness/crowded.py --runs 20 [--seed N]`.

Each run lets a library grow by a document at a time, joint or independent, while eight processes open it, ask and close again,
over and over. Whatever a reader sees must be one of the states that were committed, never an older one than before, and its
answer the one that an undisturbed library of that state gives, token by token. A second writer must be told the first one's
process. In the end the library is removed under the readers: each answer must be right or end with an error that says so.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import random
import re
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from workspace import QUESTION, Workspace, ended, in_child, make_workspace, runs_of

import tscli
from tscli.cli.app import run as run_command
from tscli.errors import LibraryError
from tscli.store import Writer

READERS = 8
KINDS = ("joint", "independent")


def main() -> int:
    asked = runs_of(__doc__, 20)
    chance, answers, refused = random.Random(asked.seed), 0, 0
    with make_workspace() as workspace:
        expected = [_expected(workspace, kind) for kind in KINDS]
        for number in range(asked.runs):
            right, gone = _run(workspace, KINDS[number % 2], expected[number % 2], chance)
            answers, refused = answers + right, refused + gone
    print(f"crowded: {asked.runs} of {asked.runs} runs; {READERS} readers beside a writer got {answers} answers, all of a")
    print(f"committed state and right; {refused} attempts after the removal ended with an error that says so")
    return 0


def _expected(workspace: Workspace, kind: str) -> dict[int, list[int]]:
    """The answer of each state, by its number of tokens."""
    workspace.use_home(f"expected-{kind}")
    found = {}
    for count in range(1, len(workspace.documents) + 1):
        workspace.make("lib", workspace.documents[:count], kind)
        with tscli.open_library("lib", load=workspace.load) as session:
            found[int(session.context.token_ids.shape[0])] = workspace.ask("lib")
    return found


def _run(workspace: Workspace, kind: str, expected: dict[int, list[int]], chance: random.Random) -> tuple[int, int]:
    home = workspace.use_home("home")
    shutil.rmtree(home, ignore_errors=True)
    folder = workspace.make("lib", workspace.documents[:1], kind)
    stop, reports = workspace.folder / "stop", [workspace.folder / f"reader-{number}.json" for number in range(READERS)]
    stop.unlink(missing_ok=True)
    with _beside(lambda report: _read(workspace, expected, stop, report), reports) as readers:
        _write(workspace, folder, kind, chance)
        stop.touch()
        assert [ended(reader) for reader in readers] == [0] * READERS
    assert not folder.exists(), "a reader brought it back"
    told = [json.loads(report.read_text()) for report in reports]
    assert all(report["last"] == "gone" for report in told)
    return sum(report["answers"] for report in told), READERS


@contextlib.contextmanager
def _beside(work: Callable[[Path], int], reports: list[Path]) -> Iterator[list[int]]:
    """Children that are killed when the test ends before they do: they would ask for ever."""
    children = [in_child(lambda report=report: work(report)) for report in reports]  # type: ignore[misc]
    try:
        yield children
    except BaseException:
        for child in children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        raise


def _write(workspace: Workspace, folder: Path, kind: str, chance: random.Random) -> None:
    """Let the library grow, refuse a second writer, remove it."""
    for count in range(2, len(workspace.documents) + 1):
        time.sleep(chance.uniform(0, 0.3))
        assert ended(in_child(lambda count=count: _grow(workspace, count, kind))) == 0  # type: ignore[misc]
    with Writer(folder):
        assert ended(in_child(lambda: _second_writer(workspace, os.getppid()))) == 0
    time.sleep(chance.uniform(0, 0.5))
    tscli.remove("lib")
    assert not folder.exists()


def _grow(workspace: Workspace, count: int, kind: str) -> int:
    workspace.make("lib", workspace.documents[:count], kind)
    return 0


def _second_writer(workspace: Workspace, holder: int) -> int:
    said = io.StringIO()
    arguments = ["--model", str(workspace.model), "--dtype", "float32", "--device", "cpu", "--quiet"]
    with contextlib.redirect_stderr(said):
        code = run_command(["ingest", str(workspace.documents[0]), "-l", "lib", *arguments])
    assert code == LibraryError.exit_code, said.getvalue()
    assert re.search(rf"being written by process {holder} ", said.getvalue()), said.getvalue()
    return 0


def _read(workspace: Workspace, expected: dict[int, list[int]], stop: Path, report: Path) -> int:
    """Ask until the library is gone."""
    answers, newest = 0, 0
    while True:
        ending = stop.exists()
        try:
            with tscli.open_library("lib", load=workspace.load) as session:
                tokens = int(session.context.token_ids.shape[0])
                stream = session.ask(QUESTION, max_new_tokens=6, temperature=1.0, seed=0)
                list(stream)
        except LibraryError as error:
            if "no library" not in str(error) or (tscli.home() / "libraries" / "lib").exists():
                raise
            if ending:
                break
            continue
        assert tokens >= newest, "an older state than before"
        assert stream.answer.token_ids == expected[tokens], f"another answer over {tokens} tokens"
        answers, newest = answers + 1, tokens
    report.write_text(json.dumps({"answers": answers, "last": "gone"}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
