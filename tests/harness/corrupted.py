"""Damage libraries at random, ask, repair: `python tests/harness/corrupted.py --runs 1000 [--seed N]`.

Each run takes a whole library whose checksums were just remembered and damages one of the files that answers come from: flips,
zeroes, cuts off, appends, swaps with another library's, deletes, doubles, sets the clock back, edits the manifest. Opening it
must be refused with the damaged file and the repair named; `tscli.repair` must bring back every bit. What answers do not come
from (sidecars, remembered checksums, the manifest's copy, files nobody knows) must not change an answer.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from workspace import Workspace, digest, make_workspace, runs_of, tell

import tscli
from tscli.errors import DamagedLibrary
from tscli.store import open_library

Damage = Callable[[Path, Path, random.Random], Path | None]  # library, another one -> the file that must be named


def main() -> int:
    asked = runs_of(__doc__, 1000)
    chance, done = random.Random(asked.seed), Counter[str]()
    with make_workspace() as workspace:
        workspace.use_home("pristine")
        kinds = ("joint", "independent")
        for kind in kinds:
            workspace.make(kind, workspace.documents, kind)
        other = workspace.use_home("other") / "libraries" / "other"
        workspace.make("other", workspace.documents[1:])
        pristine = workspace.folder / "pristine" / "libraries"
        expected = {kind: digest(pristine / kind) for kind in kinds}
        workspace.use_home("pristine")
        answers = {kind: workspace.ask(kind) for kind in kinds}
        for number in range(asked.runs):
            kind, damage = kinds[number % 2], chance.choice((*DAMAGES, *HARMLESS))
            folder = _copy(workspace, pristine / kind)
            named = damage(folder, other, chance)
            done[damage.__name__] += 1
            where = f"run {number}: {kind}, {damage.__name__}, {named}"
            if named is None:
                assert workspace.ask(kind) == answers[kind], f"another answer after {where}"
            else:
                _check_refused(kind, named, where)
            tscli.repair(kind)
            assert tscli.verify(kind) == [], f"not whole after {where}"
            assert digest(folder) == expected[kind], f"not repaired: {where}"
            tell(number + 1, asked.runs)
    refused = sum(done[damage.__name__] for damage in DAMAGES)
    print(f"corrupted: {refused} of {refused} damaged libraries were refused by name and repaired bit for bit;")
    print(f"{asked.runs - refused} with damage elsewhere answered as before ({dict(sorted(done.items()))})")
    return 0


def _copy(workspace: Workspace, pristine: Path) -> Path:
    """A copy whose files have been verified, as those of a library in use."""
    home = workspace.use_home("home")
    shutil.rmtree(home, ignore_errors=True)
    folder = home / "libraries" / pristine.name
    shutil.copytree(pristine, folder)
    open_library(folder)
    time.sleep(0.01)  # the clock by which files are dated ticks slowly
    return folder


def _check_refused(library: str, named: Path, where: str) -> None:
    try:
        tscli.open_library(library)
    except DamagedLibrary as error:
        words = str(error)
        assert str(named) in words, f"does not name {named}: {words} ({where})"
        assert f"tscli repair {library}" in words, f"names no repair: {words} ({where})"
    else:
        raise AssertionError(f"was opened: {where}")


def _files(folder: Path) -> list[Path]:
    """The files that answers come from."""
    named = [path for pattern in ("context-*.pt", "sketch-*.pt") for path in sorted(folder.glob(pattern))]
    return [folder / "manifest.json", *named, *sorted((folder / "segments").glob("*.pt"))]


def flipped(folder: Path, _: Path, chance: random.Random) -> Path:
    path = chance.choice(_files(folder))
    with path.open("r+b") as file:
        at = chance.randrange(path.stat().st_size)
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ 1 << chance.randrange(8)]))
    return path


def flipped_and_dated_back(folder: Path, other: Path, chance: random.Random) -> Path:
    times = {path: path.stat() for path in _files(folder)}
    path = flipped(folder, other, chance)
    os.utime(path, ns=(times[path].st_atime_ns, times[path].st_mtime_ns))
    return path


def zeroed(folder: Path, _: Path, chance: random.Random) -> Path:
    path = chance.choice(_files(folder))
    data = bytearray(path.read_bytes())
    at = chance.randrange(len(data))
    at = next(place for place in (*range(at, len(data)), *range(at)) if data[place])  # something that is not zero yet
    data[at : at + 512] = bytes(len(data[at : at + 512]))
    path.write_bytes(bytes(data))
    return path


def cut_off(folder: Path, _: Path, chance: random.Random) -> Path:
    path = chance.choice(_files(folder))
    os.truncate(path, chance.randrange(path.stat().st_size))
    return path


def appended(folder: Path, _: Path, chance: random.Random) -> Path:
    path = chance.choice(_files(folder))
    with path.open("ab") as file:
        file.write(chance.randbytes(chance.randint(1, 100)))
    return path


def deleted(folder: Path, _: Path, chance: random.Random) -> Path:
    path = chance.choice(_files(folder))
    path.unlink()
    return path


def swapped(folder: Path, other: Path, chance: random.Random) -> Path:
    """With a file of the same kind of another library, under the name that this one has; its sidecar too."""
    path = chance.choice(_files(folder)[1:])
    kind = path.name.split("-", maxsplit=1)[0] if "-" in path.name else ""
    alike = [file for file in _files(other)[1:] if (file.name.startswith(kind) if kind else file.parent.name == "segments")]
    foreign = chance.choice(alike)
    shutil.copy2(foreign, path)
    if not kind:
        about, sidecar = json.loads(foreign.with_suffix(".json").read_text()), path.with_suffix(".json")
        mine = json.loads(sidecar.read_text())
        sidecar.write_text(json.dumps({**mine, "xxh3": about["xxh3"], "size_bytes": about["size_bytes"]}))
    return path


def swapped_manifest(folder: Path, other: Path, chance: random.Random) -> Path:
    """Another library's, whole, with its checksum: what it names is not there."""
    shutil.copy2(other / "manifest.json", folder)
    return folder


def swapped_within(folder: Path, _: Path, chance: random.Random) -> Path:
    """One segment where another one should be, under its name or as a link."""
    path, source = chance.sample(sorted((folder / "segments").glob("*.pt")), 2)
    path.unlink()
    chance.choice((shutil.copy2, os.link, os.symlink))(source, path)
    return path


def edited(folder: Path, _: Path, chance: random.Random) -> Path:
    """Another value, or none, somewhere in the manifest; well-formed, its old checksum kept."""
    path = folder / "manifest.json"
    content = json.loads(path.read_text())
    place: Any = content
    while True:
        key = chance.choice([key for key in place if key != "checksum"] if isinstance(place, dict) else range(len(place)))
        if not isinstance(place[key], (dict, list)) or not place[key]:
            break
        place = place[key]
    if isinstance(place, dict) and chance.random() < 0.2:
        del place[key]
    else:
        value = place[key]
        place[key] = value + 1 if isinstance(value, int) else f"{value}0" if isinstance(value, str) else "other"
    path.write_text(json.dumps(content, indent=1))
    return path


def sidecar_damaged(folder: Path, other: Path, chance: random.Random) -> None:
    path = chance.choice(sorted((folder / "segments").glob("*.json")))
    chance.choice((Path.unlink, lambda file: file.write_bytes(chance.randbytes(50)), lambda file: os.truncate(file, 9)))(path)


def beside_damaged(folder: Path, other: Path, chance: random.Random) -> None:
    path = folder / chance.choice(("manifest.copy.json", "verified.json", "lock.holder"))
    chance.choice((Path.unlink, lambda file: file.write_bytes(chance.randbytes(50)), lambda file: os.truncate(file, 9)))(path)


def doubled(folder: Path, other: Path, chance: random.Random) -> None:
    """Files that no manifest names: a library's own under another name, and another library's."""
    path = chance.choice([*_files(folder), *_files(other)[1:]])
    shutil.copy2(path, folder / chance.choice((".", "segments")) / f"{chance.randbytes(16).hex()}{path.suffix}")


DAMAGES: tuple[Damage, ...] = (
    flipped,
    flipped_and_dated_back,
    zeroed,
    cut_off,
    appended,
    deleted,
    swapped,
    swapped_manifest,
    swapped_within,
    edited,
)
HARMLESS: tuple[Damage, ...] = (sidecar_damaged, beside_damaged, doubled)


if __name__ == "__main__":
    sys.exit(main())
