"""A disk that is full, read-only or failing at any step: one error that says so, and the library is as it was or whole."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from tests.store.conftest import fill, tokens
from tscli.errors import ResourceError
from tscli.store import export_library, import_library, library_folder, open_library, verify

STEPS = ("open", "replace", "fsync", "mkdir", "link")
MOST_STEPS = 400


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hundreds of libraries are written here; none must survive a loss of power."""
    monkeypatch.setattr(os, "fsync", lambda _: None)


class Disk:
    """Counts the steps that change a disk and lets the one numbered `fails_at` fail, and all after it."""

    def __init__(self, fails_at: int, number: int) -> None:
        self.fails_at, self.number, self.steps = fails_at, number, 0

    def step(self) -> None:
        self.steps += 1
        if self.steps >= self.fails_at:
            raise OSError(self.number, os.strerror(self.number))

    def file(self, real: Any) -> Any:
        write = real.write
        disk = self

        class Full:
            """A file whose writes are steps; half of the one that fails is written."""

            def write(self, data: Any) -> int:
                try:
                    disk.step()
                except OSError:
                    write(bytes(data)[: len(bytes(data)) // 2])
                    raise
                return int(write(data))

            def __enter__(self) -> Full:
                return self

            def __exit__(self, *_: object) -> None:
                real.close()

            def __getattr__(self, name: str) -> Any:
                return getattr(real, name)

        return Full()


@contextmanager
def failing(monkeypatch: pytest.MonkeyPatch, fails_at: int, number: int) -> Iterator[Disk]:
    disk = Disk(fails_at, number)
    with monkeypatch.context() as patch:
        for name in STEPS:
            real = getattr(os, name)

            def step(*arguments: Any, real: Callable[..., Any] = real, **named: Any) -> Any:
                if real is not os_open or arguments[1] & os.O_CREAT:
                    disk.step()
                return real(*arguments, **named)

            patch.setattr(os, name, step)
        fdopen = os.fdopen
        patch.setattr(os, "fdopen", lambda *arguments, **named: disk.file(fdopen(*arguments, **named)))
        yield disk


os_open = os.open


def every_step(monkeypatch: pytest.MonkeyPatch, number: int, work: Callable[[], object], after: Callable[[int], None]) -> int:
    """Let each step fail in turn until none does; `after` looks at what is left. The number of steps."""
    for fails_at in range(1, MOST_STEPS):
        with failing(monkeypatch, fails_at, number) as disk:
            with suppress(ResourceError):  # any other error fails the test
                work()
            if disk.steps < fails_at:
                return fails_at - 1
        after(fails_at)
    raise AssertionError("there is no end of steps")


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS])
def test_a_first_ingest_leaves_nothing_half_done(monkeypatch: pytest.MonkeyPatch, home: Path, number: int) -> None:
    folder = library_folder("lib")

    def after(_: int) -> None:
        fill(folder, tokens(150))
        assert verify(folder) == []
        assert not list(folder.rglob(".*.tmp"))
        shutil.rmtree(home)

    assert every_step(monkeypatch, number, lambda: fill(folder, tokens(150)), after) > 20


def test_a_library_that_grows_stays_what_it_was(
    monkeypatch: pytest.MonkeyPatch, make_library: Callable[..., Path], home: Path
) -> None:
    folder = make_library(count=150)
    kept = home.with_name("kept")
    shutil.copytree(home, kept)

    def after(_: int) -> None:
        assert verify(folder) == []
        assert open_library(folder).manifest.num_tokens in (150, 300)
        fill(folder, tokens(300))
        assert verify(folder) == []
        shutil.rmtree(home)
        shutil.copytree(kept, home)

    assert every_step(monkeypatch, errno.ENOSPC, lambda: fill(folder, tokens(300)), after) > 20


def test_so_does_one_whose_segments_another_library_holds(
    monkeypatch: pytest.MonkeyPatch, make_library: Callable[..., Path]
) -> None:
    first, second = make_library("first"), library_folder("second")

    def after(_: int) -> None:
        assert verify(first) == []
        shutil.rmtree(second, ignore_errors=True)

    assert every_step(monkeypatch, errno.ENOSPC, lambda: fill(second, tokens(150)), after) > 10


def test_an_export_and_an_import_are_whole_or_not_there(
    monkeypatch: pytest.MonkeyPatch, make_library: Callable[..., Path], tmp_path: Path
) -> None:
    folder, archive = make_library(), tmp_path / "a.tar"

    def after_export(_: int) -> None:
        archive.unlink(missing_ok=True)
        assert verify(folder) == []
        assert not list(tmp_path.glob(".*tmp"))

    every_step(monkeypatch, errno.ENOSPC, lambda: export_library(folder, archive), after_export)
    export_library(folder, archive, force=True)
    other = library_folder("other")

    def after_import(_: int) -> None:
        if (other / "manifest.json").exists():
            assert verify(other) == []
        shutil.rmtree(other, ignore_errors=True)

    every_step(monkeypatch, errno.ENOSPC, lambda: import_library(archive, "other"), after_import)
