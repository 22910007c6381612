"""The routes of documents: what a library names and nothing else, as it was ingested, never as HTML."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest
from bs4 import BeautifulSoup

import tscli
from tests.evidence.test_report import HOSTILE
from tests.serve.page_server import serving
from tscli.serve.served_libraries import ServedLibraries
from tscli.serve.settings import ServeSettings

ROOT = Path(__file__).parents[2]
LONG = " ".join(f"word{number}" for number in range(4000))
SPARE = ("changed.pdf", "nothing.md", "link.md", "pipe.md", "folder.md")  # each for one test, which spoils it
TRAVERSALS = (
    "../../../../etc/passwd",
    "..%2f..%2f..%2fetc%2fpasswd",
    "%2e%2e/%2e%2e/etc/passwd",
    "/etc/passwd",
    "....//etc/passwd",
    "%00",
)


@pytest.fixture(scope="module")
def docs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A PDF, texts, a long one, a page of HTML, and files that are named and filled by somebody hostile."""
    folder = tmp_path_factory.mktemp("docs")
    shutil.copy(ROOT / "samples" / "council-minutes.pdf", folder)
    shutil.copy(ROOT / "samples" / "glossary.md", folder)
    for name in SPARE:
        like = folder / ("council-minutes.pdf" if name.endswith(".pdf") else "glossary.md")
        (folder / name).write_bytes(like.read_bytes() + name.encode())
    for number, text in enumerate(HOSTILE):
        plain = text.replace(chr(0), "")
        name = f"{number} {plain.replace('/', '-')}.txt"
        (folder / name).write_text(f"<p>The stone {number} stands. {plain}", encoding="utf-8")
    (folder / "page.html").write_text("<h1>Stones</h1><script>alert(1)</script><p>They stand.")
    (folder / "long.txt").write_text(LONG)
    return folder


@pytest.fixture(scope="module")
def library(docs: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """One that is named by its path, so that it outlasts a test's home."""
    name = str(tmp_path_factory.mktemp("shown") / "library")
    options = tscli.IngestOptions(documents="independent")
    tscli.prepare([docs], name, tscli.LoadOptions("reader"), options=options).run()
    return name


@pytest.fixture(scope="module")
def client(library: str) -> Iterator[httpx.Client]:
    with serving(ServedLibraries([library])) as opened:
        opened.headers["x-library"] = "library"
        yield opened


def base(client: httpx.Client) -> str:
    return "/api/libraries/" + quote(client.headers["x-library"], safe="") + "/documents"


def listed(client: httpx.Client) -> dict[str, dict[str, object]]:
    found = client.get(base(client)).json()["documents"]
    return {str(document["name"]).split("/", 1)[1]: document for document in found}


def address(client: httpx.Client, name: str, what: str) -> str:
    return f"{base(client)}/{listed(client)[name]['id']}/{what}"


def test_a_librarys_documents_are_listed_with_pages_and_tokens(client: httpx.Client, library: str) -> None:
    assert client.get("/api/libraries").json()["libraries"] == [
        {
            "name": "library",  # not where it lies
            "documents": len(listed(client)),
            "tokens": tscli.info(library).num_tokens,
        }
    ]
    minutes, glossary = listed(client)["council-minutes.pdf"], listed(client)["glossary.md"]
    assert (minutes["kind"], minutes["pages"], minutes["paged"]) == ("pdf", 6, True)
    assert (glossary["kind"], glossary["pages"], glossary["paged"]) == ("text", 1, False)
    assert all(int(str(document["tokens"])) > 0 for document in listed(client).values())


def test_a_pdf_is_given_out_as_it_was_ingested_to_be_shown(client: httpx.Client, docs: Path) -> None:
    reply = client.get(address(client, "council-minutes.pdf", "file"))
    assert reply.content == (docs / "council-minutes.pdf").read_bytes()
    assert reply.headers["content-type"] == "application/pdf"
    assert reply.headers["content-disposition"].startswith("inline")
    assert reply.headers["x-content-type-options"] == "nosniff"
    head = client.head(address(client, "council-minutes.pdf", "file"))
    assert (head.status_code, head.content, head.headers["content-length"]) == (200, b"", str(len(reply.content)))


def test_any_other_file_is_given_out_to_be_kept_never_to_be_shown(client: httpx.Client) -> None:
    others = [name for name in listed(client) if not name.endswith(".pdf") and name not in SPARE]
    assert len(others) == len(HOSTILE) + 3
    for name in others:
        reply = client.get(address(client, name, "file"))
        assert reply.status_code == 200
        assert reply.headers["content-type"] == "application/octet-stream"
        assert reply.headers["content-disposition"].startswith("attachment; filename*=UTF-8''")
        assert reply.headers["content-security-policy"].startswith("default-src 'self'")


def test_a_changed_file_is_told_and_its_text_is_still_there(client: httpx.Client, docs: Path) -> None:
    file, before = address(client, "changed.pdf", "file"), os.stat(docs / "changed.pdf")
    assert client.get(file).status_code == 200
    content = bytearray((docs / "changed.pdf").read_bytes())
    content[-3] ^= 1
    (docs / "changed.pdf").write_bytes(content)
    os.utime(docs / "changed.pdf", ns=(before.st_atime_ns, before.st_mtime_ns))  # as large and as old as before
    reply = client.get(file)
    assert (reply.status_code, reply.json()["error"]["code"]) == (409, "document_changed")
    assert "has changed since it was ingested" in reply.json()["error"]["message"]
    assert client.get(address(client, "changed.pdf", "text")).json()["text"]


@pytest.mark.parametrize("instead", ["nothing", "link", "pipe", "folder"])
def test_what_stands_in_a_files_place_is_not_given_out(client: httpx.Client, docs: Path, tmp_path: Path, instead: str) -> None:
    file = docs / f"{instead}.md"
    file.unlink()
    (tmp_path / "secret").write_text("a secret")
    if instead == "link":
        file.symlink_to(tmp_path / "secret")
    elif instead == "pipe":
        os.mkfifo(file)
    elif instead == "folder":
        file.mkdir()
    reply = client.get(address(client, file.name, "file"))
    assert reply.status_code == (410 if instead == "nothing" else 409)
    assert "secret" not in reply.text


@pytest.mark.parametrize("path", TRAVERSALS)
def test_no_path_of_a_client_leads_to_a_file(client: httpx.Client, path: str) -> None:
    there = listed(client)["glossary.md"]["id"]
    for wanted in (
        f"/api/libraries/{path}/documents",
        f"{base(client)}/{path}/file",
        f"{base(client)}/{there}/file/{path}",
        f"/api/libraries/{path}/documents/{there}/file",
        f"/page/{path}",
        f"/{path}",
    ):
        reply = client.get(wanted)
        assert reply.status_code == 404, wanted
        assert "root:" not in reply.text


def test_a_library_that_is_not_served_is_not_there(library: str) -> None:
    with serving(ServedLibraries(["another"])) as client:
        for name in (quote(library, safe=""), library, library.removeprefix("/"), "none"):
            reply = client.get(f"/api/libraries/{name}/documents")
            assert (reply.status_code, reply.json()["error"]["code"]) == (404, "library_not_found")


def test_a_document_that_the_library_does_not_hold_is_told(client: httpx.Client) -> None:
    for what in ("file", "text"):
        reply = client.get(f"{base(client)}/{'0' * 24}/{what}")
        assert (reply.status_code, reply.json()["error"]["code"]) == (404, "document_not_found")


def test_a_citations_tokens_lead_to_its_passage_in_the_text(client: httpx.Client) -> None:
    question = {"model": client.headers["x-library"], "messages": [{"role": "user", "content": "What is a fairlead?"}]}
    cited = client.post("/v1/chat/completions", json=question).json()["tscli"]["citations"]
    assert cited
    for each in cited:
        name = each["file"].split("/", 1)[1]
        found = client.get(address(client, name, "text"), params={"first": each["first"], "last": each["last"]}).json()
        start, end = found["passage"]
        assert " ".join(found["text"][start:end].split()) == each["quote"]
        assert found["page"] == each["page"]


def test_of_joined_libraries_citations_and_map_lead_to_the_document_as_it_is_by_itself(tmp_path: Path) -> None:
    (tmp_path / "first.txt").write_text("The lighthouse stands on the northern rock. It is white.\n" * 9)
    shutil.copy(ROOT / "samples" / "harbour-handbook.pdf", tmp_path / "second.pdf")
    for file in ("first.txt", "second.pdf"):
        options = tscli.IngestOptions(documents="independent")
        tscli.prepare([tmp_path / file], file.split(".")[0], tscli.LoadOptions("reader"), options=options).run()
    with serving(ServedLibraries(["first", "second"])) as client:
        question = {"model": "first+second", "messages": [{"role": "user", "content": "What is the depth at the North Quay?"}]}
        told = client.post("/v1/chat/completions", json=question).json()["tscli"]
        cited = next(each for each in told["citations"] if each["file"] == "second.pdf")
        assert cited["start"] > cited["first"]  # behind all documents of the first library
        (document,) = client.get("/api/libraries/second/documents").json()["documents"]
        where = f"/api/libraries/second/documents/{document['id']}/text"
        found = client.get(where, params={"first": cited["first"], "last": cited["last"]}).json()
        assert " ".join(found["text"][slice(*found["passage"])].split()) == cited["quote"]
        row = next(row for row in told["map"] if row["file"] == "second.pdf")
        assert 0 <= row["first"] < document["tokens"]
        assert client.get(where, params={"first": row["first"]}).status_code == 200


def test_a_long_text_comes_in_parts_that_are_the_whole(client: httpx.Client) -> None:
    where = address(client, "long.txt", "text")
    found = client.get(where).json()
    assert found["before"] is None
    text, parts = found["text"], 1
    while found["behind"] is not None:
        found, parts = client.get(where, params={"first": found["behind"]}).json(), parts + 1
        assert found["before"] is not None
        text += found["text"]
    assert parts > 1
    assert text.split() == LONG.split()


@pytest.mark.parametrize(
    "asked", ["first=-1", "first=x", "first=1e9", "first=9&last=9", "first=9&last=99999999", "page=0", "page=7", "page=٣"]
)
def test_tokens_and_pages_that_there_are_not_are_refused(client: httpx.Client, asked: str) -> None:
    reply = client.get(address(client, "council-minutes.pdf", "text") + "?" + asked)
    assert reply.status_code in (400, 404)
    assert reply.json()["error"]["message"]


def test_hostile_text_is_sent_as_json_without_a_sign_of_markup(client: httpx.Client) -> None:
    for name, document in listed(client).items():
        reply = client.get(address(client, name, "text"))
        assert reply.headers["content-type"] == "application/json"
        assert not set("<>&") & set(reply.text)
        assert reply.json()["name"] == document["name"]


def test_a_library_that_is_made_anew_is_shown_anew(tmp_path: Path) -> None:
    (tmp_path / "bell.txt").write_text("The glass bell hangs in a tower.\n")
    tscli.prepare([tmp_path / "bell.txt"], "shown", tscli.LoadOptions("reader")).run()
    with serving(ServedLibraries()) as client:
        client.headers["x-library"] = "shown"
        (before,) = (document["id"] for document in client.get(base(client)).json()["documents"])
        (tmp_path / "bell.txt").write_text("The glass bell is broken.\n")
        tscli.prepare([tmp_path / "bell.txt"], "shown").run()
        assert client.get(f"{base(client)}/{before}/text").status_code == 404
        (now,) = (document["id"] for document in client.get(base(client)).json()["documents"])
        assert client.get(f"{base(client)}/{now}/text").json()["text"].strip() == "The glass bell is broken."


def test_a_token_is_needed_for_the_page_and_all_that_it_shows(library: str) -> None:
    with serving(ServedLibraries([library]), ServeSettings(port=0, token="a-token")) as client:
        for path in ("/", "/page/page.js", "/api/libraries", f"/api/libraries/{quote(library, safe='')}/documents"):
            assert client.get(path).status_code == 401
        files = {"files": ("a.txt", b"text")}
        assert client.post("/api/uploads", params={"library": library}, files=files).status_code == 401
        assert client.get("/?token=a-token").status_code == 303  # its cookie is kept by the client
        assert client.get("/api/libraries").status_code == 200


def test_the_page_names_no_other_server_and_holds_no_script_or_style_of_its_own(client: httpx.Client) -> None:
    soup = BeautifulSoup(client.get("/").text, "html.parser")
    loaded = [str(tag.get("src") or tag.get("href")) for tag in soup.find_all(["script", "link"])]
    assert {client.get(f"/{path}").status_code for path in loaded} == {200}
    assert not any(tag.string for tag in soup.find_all(["script", "style"]))
    names = {name for tag in soup.find_all(True) for name in tag.attrs}
    assert not [name for name in names if name.startswith("on") or name == "style"]
    for file in (ROOT / "tscli" / "serve" / "page").iterdir():
        text = file.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
        assert not re.search(r"https?:|[\"'(`]//|innerHTML|insertAdjacentHTML|\beval\(", text), file.name
