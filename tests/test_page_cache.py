"""What is read into the page cache before a library is opened: the first things first, and never too much."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tscli import page_cache
from tscli.paths import library_folder, retrieval_heads_file

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux is told")
Sent = list[tuple[str, int, int]]
FINGERPRINT = {
    "model_hash": "ab" * 32,
    "num_layers": 4,
    "num_kv_heads": 2,
    "head_dim": 5,
    "page_size": 2,
    "dtype": "bfloat16",
    "kv_dtype": None,
}


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> Sent:
    """What is sent to nowhere: the file, from which byte, how many; by one thread, and no ends of files."""
    found: Sent = []

    def send(nowhere: int, file: int, start: int, count: int) -> int:
        took = min(count, 60)  # as Linux may send less than it is asked for
        assert os.readlink(f"/proc/self/fd/{nowhere}") == os.devnull
        found.append((Path(os.readlink(f"/proc/self/fd/{file}")).name, start, took))
        return took

    monkeypatch.setattr(os, "sendfile", send)
    for name, value in (("THREADS", 1), ("END_BYTES", 0), ("AROUND", 0)):
        monkeypatch.setattr(page_cache, name, value)
    return found


def write_library(name: str, sketch: str | None = "sketch-1.pt", **made: object) -> Path:
    folder = library_folder(name)
    (folder / "segments").mkdir(parents=True)
    segments = [{"id": "aa", "num_tokens": 3}, {"id": "bb", "num_tokens": 2}]
    manifest = {"sketch_file": sketch, "context_file": "context-1.pt", "segments": segments, "fingerprint": FINGERPRINT | made}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    for file, size in (("sketch-1.pt", 100), ("context-1.pt", 40), ("segments/aa.pt", 200), ("segments/bb.pt", 80)):
        (folder / file).write_bytes(bytes(size))
    return folder


def calibrate(*heads: tuple[int, int]) -> None:
    file = retrieval_heads_file(str(FINGERPRINT["model_hash"]))
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps({"heads": heads}))


def test_the_sketch_is_read_first_and_of_each_segment_its_keys(sent: Sent) -> None:
    write_library("shelf")
    page_cache.read_ahead(["shelf"]).join()
    sketch = [("sketch-1.pt", 0, 60), ("sketch-1.pt", 60, 40)]
    assert sent == [*sketch, ("context-1.pt", 0, 40), ("aa.pt", 0, 60), ("aa.pt", 60, 40), ("bb.pt", 0, 40)]


def test_where_heads_vote_only_the_keys_of_their_layers_are_read(sent: Sent) -> None:
    write_library("shelf", sketch="")
    calibrate((2, 1), (1, 0), (2, 0))
    page_cache.read_ahead(["shelf"]).join()
    # a layer's keys take 2 pages of 2 slots for 2 heads of 5 numbers in 2 bytes: 80; of the shorter segment 40
    assert sent == [
        ("context-1.pt", 0, 40),
        ("aa.pt", 80, 60),
        ("aa.pt", 140, 20),
        ("aa.pt", 160, 40),  # no further than the file goes
        ("bb.pt", 40, 40),
    ]


def test_where_their_keys_have_a_file_of_their_own_only_that_is_read(sent: Sent) -> None:
    folder = write_library("shelf", sketch="")
    (folder / "head-keys-1.pt").write_bytes(bytes(50))
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(
        json.dumps({**manifest, "head_keys_file": "head-keys-1.pt", "head_keys": [[1, 0], [2, 0]]})
    )
    calibrate((2, 1), (1, 0))
    page_cache.read_ahead(["shelf"]).join()
    assert sent == [("context-1.pt", 0, 40), ("head-keys-1.pt", 0, 50)]
    sent.clear()
    retrieval_heads_file(str(FINGERPRINT["model_hash"])).write_text(json.dumps({"heads": [(0, 1)]}))  # calibrated anew
    page_cache.read_ahead(["shelf"]).join()
    assert {name for name, _, _ in sent} == {"context-1.pt", "aa.pt", "bb.pt"}


def test_of_int8_pages_the_scales_are_read_too(sent: Sent) -> None:
    write_library("shelf", sketch="", kv_dtype="int8", num_layers=1)
    calibrate((0, 1))
    page_cache.read_ahead(["shelf"]).join()
    assert sent == [("context-1.pt", 0, 40), ("aa.pt", 0, 40), ("aa.pt", 80, 16), ("bb.pt", 0, 20), ("bb.pt", 40, 8)]


def test_where_a_sketch_is_kept_all_keys_are_read(sent: Sent) -> None:
    write_library("shelf")
    calibrate((0, 1))
    page_cache.read_ahead(["shelf"]).join()
    assert ("aa.pt", 60, 40) in sent


def test_the_ends_of_all_files_come_before_everything_else(sent: Sent, monkeypatch: pytest.MonkeyPatch) -> None:
    write_library("shelf")
    monkeypatch.setattr(page_cache, "END_BYTES", 30)
    monkeypatch.setattr(page_cache, "AROUND", 5)
    page_cache.read_ahead(["shelf"]).join()
    files = (("sketch-1.pt", 100), ("context-1.pt", 40), ("aa.pt", 200), ("bb.pt", 80))
    assert sent[:8] == [end for file, size in files for end in ((file, size - 30, 30), (file, 0, 5))]
    assert len(sent) > 8


def test_no_more_is_read_than_half_of_the_memory_that_is_left(sent: Sent, monkeypatch: pytest.MonkeyPatch) -> None:
    write_library("shelf", sketch=None)
    monkeypatch.setattr(page_cache, "available_bytes", lambda: 2 * (40 + 100))
    page_cache.read_ahead(["shelf"]).join()
    assert sent == [("context-1.pt", 0, 40), ("aa.pt", 0, 60), ("aa.pt", 60, 40)]


def test_several_threads_read_each_part_once(sent: Sent, monkeypatch: pytest.MonkeyPatch) -> None:
    write_library("shelf")
    page_cache.read_ahead(["shelf"]).join()
    one, sent[:] = list(sent), []
    monkeypatch.setattr(page_cache, "THREADS", 4)
    page_cache.read_ahead(["shelf"]).join()
    assert sorted(sent) == sorted(one)


def test_where_no_more_threads_can_be_started_one_reads_it_all(sent: Sent, monkeypatch: pytest.MonkeyPatch) -> None:
    write_library("shelf")
    monkeypatch.setattr(page_cache, "THREADS", 4)
    start, started = threading.Thread.start, list[threading.Thread]()

    def refuse(thread: threading.Thread) -> None:
        if started:
            raise RuntimeError("can't start new thread")
        started.append(thread)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refuse)
    page_cache.read_ahead(["shelf"]).join()
    assert sum(took for _, _, took in sent) == 100 + 40 + 100 + 40


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
