"""A disk that is full, a file that grows too long, an interrupt in the middle: an error of its kind, and nothing is lost."""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.store.conftest import FINGERPRINT, SEGMENT, pages, tokens
from tscli.errors import ResourceError
from tscli.store import (
    Writer,
    plan_chain,
    verify,
)

Make = Callable[..., Path]


def test_a_full_disk_is_a_resource_error_and_nothing_is_lost(make_library: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = make_library()
    planned = plan_chain(FINGERPRINT.digest(), tokens(64, seed=9), SEGMENT)

    def no_space(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", no_space)
    with Writer(folder) as writer, pytest.raises(ResourceError, match="no space left"):
        writer.write_segment(planned[0], *pages(planned[0]))
    monkeypatch.undo()
    assert not list(folder.rglob("*.tmp"))
    assert verify(folder) == []


def test_a_file_size_limit_counts_as_a_full_disk(make_library: Make) -> None:
    folder = make_library()
    program = (
        "import resource, signal, sys; from pathlib import Path\n"
        "from tests.store.conftest import FINGERPRINT, tokens, pages\n"
        "from tscli.store import Writer, plan_chain\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (9000, 9000))\n"
        "planned = plan_chain(FINGERPRINT.digest(), tokens(64, seed=9), 64)[0]\n"
        "with Writer(Path(sys.argv[1])) as writer: writer.write_segment(planned, *pages(planned))\n"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", program, str(folder)], capture_output=True, text=True, cwd=root, check=False)
    assert "ResourceError" in done.stderr
    assert verify(folder) == []


@pytest.mark.parametrize("number", [1, 2, 4])
def test_an_interrupt_while_tensors_are_written_is_an_interrupt_and_leaves_no_file(
    make_library: Make, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    folder = make_library()
    planned = plan_chain(FINGERPRINT.digest(), tokens(64, seed=9), SEGMENT)
    before = sorted(folder.rglob("*"))

    class Interrupted(io.FileIO):
        writes = 0

        def write(self, data: bytes) -> int:  # type: ignore[override]
            self.writes += 1
            if self.writes == number:  # torch, which closes its file, then fails in its own words
                raise KeyboardInterrupt
            return super().write(data)

    with Writer(folder) as writer:
        monkeypatch.setattr("tscli.durable_files.open_private", lambda path: Interrupted(path, "w"))
        with pytest.raises(KeyboardInterrupt):
            writer.write_segment(planned[0], *pages(planned[0]))
    assert sorted(folder.rglob("*")) == before
