"""Listens on a port until it is told to stop; answers in progress then get some seconds to finish."""

from __future__ import annotations

import asyncio
import errno
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

import uvicorn
from starlette.applications import Starlette

from tscli.errors import TscliError
from tscli.serve.app import make_app
from tscli.serve.connection import Connection, most_connections
from tscli.serve.served_libraries import ServedLibraries
from tscli.serve.settings import ServeSettings


class Server(uvicorn.Server):
    """Told to end, it first tells the engine; a signal is no error. A second Ctrl-C ends it at once."""

    def __init__(self, app: Starlette, settings: ServeSettings) -> None:
        config = uvicorn.Config(
            app,
            log_level="error",
            access_log=False,  # a token may stand in an address
            server_header=False,
            date_header=False,
            lifespan="on",
            ws="none",
            http=Connection,
            limit_concurrency=most_connections(),
            timeout_graceful_shutdown=int(settings.grace_s) + 2,
        )
        super().__init__(config)
        self._engine, self._grace_s = app.state.engine, settings.grace_s
        self._loop: asyncio.AbstractEventLoop | None = None

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Take no more, and let what goes on come to its end."""
        super().handle_exit(sig, frame)
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._engine.drain, self._grace_s)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Handles signals, and is done with them."""
        self._loop = asyncio.get_running_loop()
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {one: signal.signal(one, self.handle_exit) for one in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for one, handler in before.items():
                signal.signal(one, handler)


def run_server(served: ServedLibraries, settings: ServeSettings, on_start: Callable[[list[str]], None]) -> None:
    """Serve until a signal ends it; on_start hears the addresses. TscliError where the port or the host cannot be had."""
    listening = listen(settings)
    server = Server(make_app(served, settings), settings)
    on_start(settings.addresses(listening.getsockname()[1]))
    try:
        server.run(sockets=[listening])
    finally:
        listening.close()


def listen(settings: ServeSettings) -> socket.socket:
    """A socket that listens where the settings say; TscliError where it cannot."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((settings.host, settings.port))
        listening.listen(128)  # from here on nobody who heard the address is refused
    except OSError as error:
        listening.close()
        address = f"port {settings.port} of {settings.host}"
        if error.errno == errno.EADDRINUSE:
            raise TscliError(f"{address} is in use by another program; end that, or choose another --port") from error
        raise TscliError(f"{address} cannot be listened on ({error.strerror}); choose another --port or --host") from error
    return listening
