"""A small library of the embedded reader, made once, and servers over copies of it."""

from __future__ import annotations

import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import openai
import pytest

import tscli
from tests.evidence.browser import Page, page
from tests.serve.browsing import BROWSER, EVIL, ROOT
from tests.serve.page_server import serving as page_serving
from tscli.serve.app import make_app
from tscli.serve.run import Server
from tscli.serve.served_libraries import ServedLibraries
from tscli.serve.settings import ServeSettings

FACTS = """The harbour master is Odile Farrant. The lighthouse at Marrow Point was built in 1871.
The ferry is called the Petrel.
The new bell weighs 40 kilograms. The head of the night watch is Tobias Wren. The toll for a small boat is 3 crowns.
"""
QUESTIONS = (
    "Who is the harbour master?",
    "When was the lighthouse built?",
    "What is the ferry called?",
    "How heavy is the bell?",
)


@pytest.fixture(scope="session")
def made_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with the library "shelf"."""
    folder = tmp_path_factory.mktemp("served")
    (folder / "docs").mkdir()
    (folder / "docs" / "facts.txt").write_text(FACTS)
    (folder / "docs" / "more.md").write_text("# More\n\nThe crane was painted green in 1990. Nobody knows why.\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TSCLI_HOME", str(folder / "home"))
        ingest(folder / "docs")
    return folder


def ingest(documents: Path, library: str = "shelf") -> None:
    tscli.prepare([documents], library, load=tscli.LoadOptions("reader")).run()


@pytest.fixture
def documents(made_home: Path, home: Path, tmp_path: Path) -> Path:
    """This test's own copy of the library, and the documents that it was made of."""
    shutil.copytree(made_home / "home", home)
    shutil.copytree(made_home / "docs", tmp_path / "docs")
    return tmp_path / "docs"


class Serving:
    """A server that runs in a thread."""

    def __init__(self, served: ServedLibraries, settings: ServeSettings) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.address = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self.said: list[str] = []
        app = make_app(served, settings, self.said.append)
        self.served, self.engine, self.server = served, app.state.engine, Server(app, settings)
        self._thread = threading.Thread(target=self.server.run, kwargs={"sockets": [self._socket]}, daemon=True)
        self._thread.start()
        wait_until(lambda: self.server.started)
        self.client = openai.OpenAI(base_url=f"{self.address}/v1", api_key=settings.token or "none", max_retries=0)
        self.http = httpx.Client(base_url=self.address, timeout=60)

    def ask(self, question: str, **more: object) -> httpx.Response:
        body = {"model": "shelf", "messages": [{"role": "user", "content": question}], **more}
        return self.http.post("/v1/chat/completions", json=body)

    def stop(self) -> None:
        self.server.should_exit = True
        self._thread.join(60)
        assert not self._thread.is_alive()


@pytest.fixture
def serving(documents: Path) -> Iterator[Callable[..., Serving]]:
    """Starts a server over the copy."""
    begun: list[Serving] = []

    def start(names: tuple[str, ...] = (), **settings: object) -> Serving:
        begun.append(Serving(ServedLibraries(names), ServeSettings(**settings)))  # type: ignore[arg-type]
        return begun[-1]

    yield start
    for server in begun:
        server.stop()


def wait_until(true: Callable[[], bool], seconds: float = 60) -> None:
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until, "it did not come about"
        time.sleep(0.01)


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server of a handbook, a glossary, and what somebody hostile wrote: one for each file of tests, as some upload."""
    folder = tmp_path_factory.mktemp("page")
    docs = folder / "docs"
    docs.mkdir()
    shutil.copy(ROOT / "samples" / "harbour-handbook.pdf", docs)
    shutil.copy(ROOT / "samples" / "glossary.md", docs)
    for number, text in enumerate(EVIL):
        plain = text.replace(chr(0), "")
        (docs / f"{number} {plain.replace('/', '-')}.txt").write_text(f"Stone {number}: {plain}\n", encoding="utf-8")
    library = str(folder / "library")
    tscli.prepare([docs], library, tscli.LoadOptions("reader"), options=tscli.IngestOptions(documents="independent")).run()
    with page_serving(ServedLibraries([library])) as client:
        yield str(client.base_url)


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    assert BROWSER is not None
    with page(BROWSER, tmp_path_factory.mktemp("profile")) as opened:
        yield opened
