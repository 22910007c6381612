"""What is read into the page cache before a library is opened: the first things first, and never too much."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tscli import page_cache
from tscli.paths import library_folder

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux is told")
Sent = list[tuple[str, int]]


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> Sent:
    """The files that are sent to nowhere, and how many bytes of each."""
    found: Sent = []

    def send(nowhere: int, file: int, start: int, count: int) -> int:
        took = min(count, 60)  # as Linux may send less than it is asked for
        name = Path(os.readlink(f"/proc/self/fd/{file}")).name
        assert os.readlink(f"/proc/self/fd/{nowhere}") == os.devnull
        assert start == sum(count for sent, count in found if sent == name)
        found.append((name, took))
        return took

    monkeypatch.setattr(os, "sendfile", send)
    return found


def write_library(name: str, sketch: str | None = "sketch-1.pt") -> Path:
    folder = library_folder(name)
    (folder / "segments").mkdir(parents=True)
    (folder / "manifest.json").write_text(
        json.dumps({"sketch_file": sketch, "context_file": "context-1.pt", "segments": [{"id": "aa"}, {"id": "bb"}]})
    )
    for file, size in (("sketch-1.pt", 100), ("context-1.pt", 40), ("segments/aa.pt", 200), ("segments/bb.pt", 80)):
        (folder / file).write_bytes(bytes(size))
    return folder


def test_the_sketch_is_read_first_and_of_each_segment_its_keys(sent: Sent) -> None:
    write_library("shelf")
    page_cache.read_ahead(["shelf"]).join()
    assert sent == [("sketch-1.pt", 60), ("sketch-1.pt", 40), ("context-1.pt", 40), ("aa.pt", 60), ("aa.pt", 40), ("bb.pt", 40)]


def test_the_ends_of_all_files_come_before_everything_else(sent: Sent, monkeypatch: pytest.MonkeyPatch) -> None:
    write_library("shelf")
    monkeypatch.setattr(page_cache, "END_BYTES", 30)
    read, ends = os.pread, list[tuple[str, int, int]]()

    def record(file: int, count: int, start: int) -> bytes:
        assert sent == []
        ends.append((Path(os.readlink(f"/proc/self/fd/{file}")).name, count, start))
        return read(file, count, start)

    monkeypatch.setattr(os, "pread", record)
    page_cache.read_ahead(["shelf"]).join()
    assert ends == [("sketch-1.pt", 30, 70), ("context-1.pt", 30, 10), ("aa.pt", 30, 170), ("bb.pt", 30, 50)]
    assert sent != []


def test_no_more_is_read_than_half_of_the_memory_that_is_left(sent: Sent, monkeypatch: pytest.MonkeyPatch) -> None:
    write_library("shelf", sketch=None)
    monkeypatch.setattr(page_cache, "_available_bytes", lambda: 2 * (40 + 100))
    page_cache.read_ahead(["shelf"]).join()
    assert sent == [("context-1.pt", 40), ("aa.pt", 60), ("aa.pt", 40)]


@pytest.mark.parametrize("manifest", ["", "[]", "{}", '{"sketch_file": 1}', '{"sketch_file": "absent", "context_file": 2}'])
def test_of_a_damaged_library_nothing_is_said_here(sent: Sent, manifest: str, capfd: pytest.CaptureFixture[str]) -> None:
    (write_library("shelf") / "manifest.json").write_text(manifest)
    for name in ("shelf", "no such name", "absent"):
        page_cache.read_ahead([name]).join()
    assert sent == []
    assert capfd.readouterr() == ("", "")


def test_a_file_cut_short_meanwhile_ends_it(sent: Sent, monkeypatch: pytest.MonkeyPatch) -> None:
    write_library("shelf")
    monkeypatch.setattr(os, "sendfile", lambda *_: 0)
    reading = page_cache.read_ahead(["shelf"])
    reading.join(timeout=20)
    assert not reading.is_alive()


def test_it_needs_no_torch_and_reads() -> None:
    folder = write_library("shelf")
    os.truncate(folder / "sketch-1.pt", 64 << 20)
    program = (
        "import sys\nfrom tscli import page_cache\npage_cache.read_ahead(['shelf']).join()\n"
        "read = open('/proc/self/io').read()\nassert not {'torch', 'numpy'} & set(sys.modules)\n"
        "assert int(read.split('rchar:')[1].split()[0]) > 64 << 20"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
