"""Files that are uploaded: planned first, ingested one lot at a time, thrown away where they are not ingested."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

import tscli
from tests.serve.page_server import serving, settled
from tscli.paths import library_folder
from tscli.serve.served_libraries import ServedLibraries
from tscli.serve.settings import ServeSettings
from tscli.serve.uploads import FOLDER, LONGEST, clean_name

TEXT = ("glass.txt", b"The glass bell hangs in the tower of Aldermoor. It was cast in 1731.\n" * 3)
HOSTILE_NAMES = (
    "../../../evil.txt",
    "..\\..\\evil.txt",
    "/etc/passwd",
    "C:\\evil.txt",
    "..",
    ".bashrc",
    "a\x00b\n.txt",
    "\u202egpj.txt",
    "",
    "x" * 400,
)


@pytest.fixture
def client(tmp_path: Path) -> Iterator[httpx.Client]:
    make_library(tmp_path)
    with serving(ServedLibraries(["one"])) as opened:
        yield opened


def make_library(tmp_path: Path) -> None:
    (tmp_path / "first.txt").write_text("The lighthouse stands on the northern rock.\n")
    tscli.prepare([tmp_path / "first.txt"], "one", tscli.LoadOptions("reader")).run()


def upload(client: httpx.Client, *files: tuple[str, bytes], library: str = "one") -> httpx.Response:
    return client.post("/api/uploads", params={"library": library}, files=[("files", file) for file in files])


def kept() -> list[Path]:
    return [path for path in (library_folder("one") / FOLDER).rglob("*") if path.is_file()]


def test_an_upload_is_planned_started_and_then_asked_about(client: httpx.Client) -> None:
    job = upload(client, TEXT).json()["id"]
    plan = settled(client, job, "planned")["plan"]
    assert isinstance(plan, dict)
    assert [(d["path"], d["status"]) for d in plan["documents"]] == [("glass.txt", "new")]
    assert plan["prefill_tokens"] > 0
    assert plan["new_bytes"] > 0
    assert plan["estimated_seconds"] is not None
    assert len(tscli.info("one").documents) == 1  # nothing has happened yet
    assert client.post(f"/api/uploads/{job}/start").status_code == 202
    report = settled(client, job, "done")["report"]
    assert isinstance(report, dict)
    assert report["documents"] == 2
    documents = client.get("/api/libraries/one/documents").json()["documents"]
    assert [document["name"] for document in documents] == ["first.txt", "glass.txt"]
    question = {"model": "one", "messages": [{"role": "user", "content": "Where does the glass bell hang?"}]}
    cited = client.post("/v1/chat/completions", json=question).json()["tscli"]["citations"]
    assert cited[0]["file"] == "glass.txt"
    file = client.get(f"/api/libraries/one/documents/{documents[1]['id']}/file")
    assert file.content == TEXT[1]


@pytest.mark.slow
def test_what_is_cancelled_is_thrown_away(client: httpx.Client) -> None:
    job = upload(client, TEXT).json()["id"]
    settled(client, job, "planned")
    assert kept()
    assert client.delete(f"/api/uploads/{job}").json()["state"] == "cancelled"
    assert not kept()
    assert client.post(f"/api/uploads/{job}/start").status_code == 409
    assert len(tscli.info("one").documents) == 1


def test_only_one_ingest_goes_on_at_a_time_and_is_found_again(client: httpx.Client) -> None:
    assert client.get("/api/uploads").json() == {"upload": None}
    job = upload(client, TEXT).json()["id"]
    assert client.get("/api/uploads").json()["upload"]["id"] == job
    reply = upload(client, ("other.txt", b"Another text."))
    assert (reply.status_code, reply.json()["error"]["code"]) == (409, "busy")
    client.delete(f"/api/uploads/{job}")
    assert upload(client, ("other.txt", b"Another text.")).status_code == 202


@pytest.mark.slow
def test_what_cannot_be_read_is_told_and_thrown_away(client: httpx.Client) -> None:
    job = upload(client, ("broken.pdf", b"%PDF-1.7 and nothing more")).json()["id"]
    end = time.monotonic() + 60
    while (said := client.get(f"/api/uploads/{job}").json())["state"] not in ("planned", "failed"):
        assert time.monotonic() < end
        time.sleep(0.1)
    lost = said["error"] if said["state"] == "failed" else said["plan"]["failures"][0]["path"]
    assert "broken.pdf" in lost
    client.delete(f"/api/uploads/{job}")
    assert not kept()


@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_a_hostile_name_stays_a_name(name: str) -> None:
    clean = clean_name(name, [])
    assert clean
    assert "/" not in clean
    assert "\\" not in clean
    assert not clean.startswith(".")
    assert clean.isprintable()
    assert len(clean.encode()) <= LONGEST


def test_names_that_are_alike_are_told_apart() -> None:
    assert clean_name("a.txt", ["A.txt"]) == "a (2).txt"
    assert clean_name("x/a.txt", ["a.txt", "a (2).txt"]) == "a (3).txt"


def test_hostile_names_write_nowhere_else(client: httpx.Client, home: Path) -> None:
    before = set(home.rglob("*"))
    files = [(name, b"The text %d." % number) for number, name in enumerate(HOSTILE_NAMES) if name]
    job = upload(client, *files).json()["id"]
    new = {path for path in home.rglob("*") if path.is_file()} - before
    written = {path for path in new if FOLDER in path.parts}
    assert len(written) == len(files)
    assert len({path.parent for path in written}) == 1
    assert {path.stat().st_mode & 0o077 for path in (*written, *(path.parent for path in written))} == {0}
    client.delete(f"/api/uploads/{job}")


def test_what_a_killed_server_left_is_removed_in_time_and_what_the_library_holds_is_not(client: httpx.Client) -> None:
    uploads = library_folder("one") / FOLDER
    for name, age in (("old", 3 * 24 * 3600), ("new", 60)):
        (uploads / name).mkdir(parents=True)
        (uploads / name / "left.txt").write_text("left behind")
        os.utime(uploads / name, (time.time() - age,) * 2)
    held = uploads / "held"
    held.mkdir()
    (held / "bell.txt").write_bytes(TEXT[1])
    tscli.prepare([held / "bell.txt"], "one").run()
    os.utime(held, (0, 0))
    job = upload(client, ("other.txt", b"Another text.")).json()["id"]
    client.delete(f"/api/uploads/{job}")
    assert {path.parent.name for path in kept()} == {"new", "held"}


def test_a_server_that_is_read_only_takes_nothing(tmp_path: Path) -> None:
    make_library(tmp_path)
    with serving(ServedLibraries(["one"], read_only=True)) as client:
        assert client.get("/api/libraries").json()["read_only"] is True
        reply = upload(client, TEXT)
        assert (reply.status_code, reply.json()["error"]["code"]) == (403, "read_only")
        assert not kept()


def test_too_many_bytes_are_refused_and_nothing_is_kept(tmp_path: Path) -> None:
    make_library(tmp_path)
    with serving(ServedLibraries(["one"]), ServeSettings(port=0, upload_bytes=50_000)) as client:
        assert upload(client, ("large.txt", b"word " * 20_000)).status_code == 413

        def in_chunks() -> Iterator[bytes]:  # without saying how many there will be
            yield b'--x\r\nContent-Disposition: form-data; name="files"; filename="large.txt"\r\n\r\n'
            for _ in range(20):
                yield b"word " * 1000
            yield b"\r\n--x--\r\n"

        headers = {"Content-Type": "multipart/form-data; boundary=x"}
        assert client.post("/api/uploads?library=one", content=in_chunks(), headers=headers).status_code == 413
        assert not kept()
        assert upload(client, TEXT).status_code == 202  # the next one is taken


@pytest.mark.parametrize(
    "content", [b"", b"--x--\r\n", b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\nb\r\n--x--\r\n', b"no parts"]
)
def test_a_request_without_files_is_refused(client: httpx.Client, content: bytes) -> None:
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    assert client.post("/api/uploads?library=one", content=content, headers=headers).status_code == 400
    assert client.post("/api/uploads?library=one", json={"files": "a"}).status_code == 400
    assert not kept()


@pytest.mark.parametrize("library", ["", "none", "../one", "/etc/somewhere", ".."])
def test_a_library_that_is_not_served_takes_nothing(client: httpx.Client, library: str) -> None:
    assert upload(client, TEXT, library=library).status_code == 404


@pytest.mark.slow
def test_where_all_libraries_are_served_an_upload_makes_a_new_one(home: Path) -> None:
    with serving(ServedLibraries()) as client:
        assert client.get("/api/libraries").json() == {"libraries": [], "read_only": False, "takes_new": True}
        assert upload(client, TEXT, library="../evil").status_code == 404
        job = upload(client, TEXT, library="default").json()["id"]
        settled(client, job, "planned")
        client.delete(f"/api/uploads/{job}")
        assert not (home / "libraries" / "default").exists()
        job = upload(client, TEXT, library="default").json()["id"]
        settled(client, job, "planned")
        client.post(f"/api/uploads/{job}/start")
        settled(client, job, "done")
        assert [each["name"] for each in client.get("/api/libraries").json()["libraries"]] == ["default"]


def test_a_page_of_another_site_uploads_nothing(client: httpx.Client) -> None:
    headers = {"Origin": "https://elsewhere.example"}
    reply = client.post("/api/uploads?library=one", files={"files": TEXT}, headers=headers)
    assert reply.status_code == 403
    assert not kept()


def test_who_leaves_while_uploading_leaves_nothing(client: httpx.Client, caplog: pytest.LogCaptureFixture) -> None:
    with socket.create_connection((client.base_url.host, client.base_url.port or 0)) as leaving:
        kind = "Content-Type: multipart/form-data; boundary=x"
        head = f"POST /api/uploads?library=one HTTP/1.1\r\nHost: 127.0.0.1\r\n{kind}\r\nContent-Length: 5000\r\n\r\n"
        leaving.sendall(head.encode() + b'--x\r\nContent-Disposition: form-data; name="f"; filename="a.txt"\r\n\r\nabc')
        until = time.monotonic() + 30
        while upload(client, TEXT).json().get("error", {}).get("code") != "busy":
            assert time.monotonic() < until
    until = time.monotonic() + 30
    while (told := upload(client, TEXT)).status_code != 202:
        assert time.monotonic() < until, told.text
    client.delete(f"/api/uploads/{told.json()['id']}")
    assert not kept()
    assert not caplog.records


@pytest.mark.slow
def test_an_ingest_ends_with_its_server(tmp_path: Path) -> None:
    make_library(tmp_path)
    with serving(ServedLibraries(["one"])) as client:
        job = upload(client, TEXT).json()["id"]
        settled(client, job, "planned")
        assert kept()
    assert not kept()  # the process was waiting to be told to run; it is gone, and what it would have read with it
