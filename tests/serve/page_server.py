"""A server of libraries on a free port of this machine, in a thread, for as long as a test wants it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx

from tscli.serve.app import make_app
from tscli.serve.run import Server, listen
from tscli.serve.served_libraries import ServedLibraries
from tscli.serve.settings import ServeSettings


@contextmanager
def serving(served: ServedLibraries, settings: ServeSettings | None = None) -> Iterator[httpx.Client]:
    """A client of it; its `base_url` is where the page is."""
    settings = settings or ServeSettings(port=0)
    listening = listen(settings)
    server = Server(make_app(served, settings), settings)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{listening.getsockname()[1]}", timeout=60) as client:
            yield client
    finally:
        server.should_exit = True
        thread.join()
        listening.close()


def settled(client: httpx.Client, job: str, *states: str, seconds: float = 120) -> dict[str, object]:
    """What is said of an upload once it is in one of these states."""
    end = time.monotonic() + seconds
    while True:
        said: dict[str, object] = client.get(f"/api/uploads/{job}").json()
        if said["state"] in states:
            return said
        assert said["state"] not in ("failed", "cancelled"), said
        assert time.monotonic() < end, said
        time.sleep(0.1)
