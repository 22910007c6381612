"""Kill ingests at random moments, go on, compare: `python tests/harness/killed.py --runs 200 [--seed N]`.

Each run makes a library, or lets one grow, in up to three attempts that are ended by SIGKILL, SIGTERM or SIGINT, half of them
after a random time, half at a random file operation or in the moments behind it; then one that is left alone. After every
death the lock must be free and readers must see what was committed last. In the end tokens, provenance, keys, values and
sketch must be bit for bit those of an undisturbed ingest, and no file may be there that an undisturbed one does not leave.
"""

from __future__ import annotations

import contextlib
import io
import os
import random
import re
import shutil
import signal
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock
from workspace import Workspace, digest, ended, in_child, make_workspace, runs_of, tell

from tscli.cli.app import run as run_command
from tscli.cli.exit_codes import INTERRUPTED
from tscli.store import read_manifest

SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
FILE_EVENTS = ("open", "os.rename", "os.remove", "os.link", "os.mkdir")
EXPECTED = re.compile(
    r"manifest\.json|manifest\.copy\.json|lock|lock\.holder|verified\.json|(context|sketch)-[0-9a-f]+-[0-9a-f]+\.pt"
    r"|segments/[0-9a-f]{32}\.(pt|json)"
)


@dataclass(frozen=True)
class Undisturbed:
    """What an ingest of this kind leaves; before: what readers see until it commits, None where there is no library yet."""

    start: Path | None
    before: str | None
    after: str
    seconds: float
    events: int


def main() -> int:
    asked = runs_of(__doc__, 200)
    chance, deaths = random.Random(asked.seed), Counter[str]()
    with make_workspace() as workspace:
        kinds = [_undisturbed(workspace, grown=False), _undisturbed(workspace, grown=True)]
        for number in range(asked.runs):
            _run(workspace, kinds[number % 2], chance, deaths)
            tell(number + 1, asked.runs)
    shown = ", ".join(f"{count} {name}" for name, count in sorted(deaths.items()))
    print(f"killed: {asked.runs} of {asked.runs} runs ended bit-identical, nothing left over ({shown})")
    return 0


def _ingest(workspace: Workspace) -> int:
    """As the command line does it."""
    model = ["--model", str(workspace.model), "--dtype", "float32", "--device", "cpu"]
    said = io.StringIO()
    arguments = ["ingest", *map(str, workspace.documents), "-l", "lib", "--documents", "joint", "--quiet", *model]
    try:
        with contextlib.redirect_stderr(said):
            code = run_command(arguments)
    except KeyboardInterrupt:  # in the moment before the command, or behind it
        return INTERRUPTED
    if code not in (0, INTERRUPTED):
        print(said.getvalue())
    return code


def _undisturbed(workspace: Workspace, *, grown: bool) -> Undisturbed:
    start, before = None, None
    if grown:
        home = workspace.use_home("start")
        before, start = digest(workspace.make("lib", workspace.documents[:1])), home
    home = _begin(workspace, start)
    counted = workspace.folder / "events"

    def counting() -> int:
        seen = [0]
        sys.addaudithook(lambda event, arguments: _count(event, arguments, home, seen))
        code = _ingest(workspace)
        counted.write_text(str(seen[0]))
        return code

    assert ended(in_child(counting)) == 0
    home, started = _begin(workspace, start), time.perf_counter()
    assert ended(in_child(lambda: _ingest(workspace))) == 0
    seconds = time.perf_counter() - started
    return Undisturbed(start, before, digest(home / "libraries" / "lib"), seconds, int(counted.read_text()))


def _begin(workspace: Workspace, start: Path | None) -> Path:
    home = workspace.use_home("home")
    shutil.rmtree(home, ignore_errors=True)
    if start is not None:
        shutil.copytree(start, home)
    return home


def _run(workspace: Workspace, kind: Undisturbed, chance: random.Random, deaths: Counter[str]) -> None:
    home = _begin(workspace, kind.start)
    folder = home / "libraries" / "lib"
    for _ in range(chance.randint(1, 3)):
        number, temporary = chance.choice(SIGNALS), set(folder.rglob(".*.tmp"))
        code = _killed(workspace, home, kind, number, chance)
        assert code in (0, INTERRUPTED if number == signal.SIGINT else -number), f"ended with {code} after {number!r}"
        deaths[number.name if code else "done before"] += 1
        _check_dead(folder, kind)
        left = set(folder.rglob(".*.tmp")) - temporary
        assert code != INTERRUPTED or not left, f"left behind by an interrupt: {left}"
    assert ended(in_child(lambda: _ingest(workspace))) == 0
    assert digest(folder) == kind.after, "not what an undisturbed ingest makes"
    names = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()]
    assert not (left := [name for name in names if not EXPECTED.fullmatch(name)]), f"left over: {left}"


def _killed(workspace: Workspace, home: Path, kind: Undisturbed, number: signal.Signals, chance: random.Random) -> int:
    """The exit code of an ingest that gets this signal."""
    if chance.random() < 0.5:
        at, seen, behind_s = chance.randint(1, kind.events), [0], chance.choice((0.0, chance.uniform(0, 0.005)))

        def watched() -> int:
            def hook(event: str, arguments: tuple[object, ...]) -> None:
                if _count(event, arguments, home, seen) and seen[0] == at:
                    _send(number, behind_s)

            sys.addaudithook(hook)
            return _ingest(workspace)

        return ended(in_child(watched))
    child = in_child(lambda: _ingest(workspace))
    time.sleep(chance.uniform(0, kind.seconds))
    os.kill(child, number)
    return ended(child)


def _send(number: signal.Signals, behind_s: float) -> None:
    """To this process, now or so many seconds later, when it may be in the middle of writing."""
    if not behind_s:
        os.kill(os.getpid(), number)
        return
    victim = os.pidfd_open(os.getpid())
    if os.fork() == 0:
        time.sleep(behind_s)
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(victim, number)
        os._exit(0)


def _count(event: str, arguments: tuple[object, ...], home: Path, seen: list[int]) -> bool:
    """Count what touches a library's files, and say so."""
    counts = event in FILE_EVENTS and any(str(home) in str(argument) for argument in arguments[:2])
    seen[0] += counts
    return counts


def _check_dead(folder: Path, kind: Undisturbed) -> None:
    if not folder.exists():
        return
    lock = FileLock(folder / "lock", timeout=0)
    lock.acquire()  # raises where it outlived its owner
    lock.release()
    manifest = read_manifest(folder)
    seen = digest(folder) if manifest is not None else None
    assert seen in (kind.before, kind.after), "readers see what was never committed"


if __name__ == "__main__":
    sys.exit(main())
