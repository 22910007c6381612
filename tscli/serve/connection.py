"""Closes connections that are idle or not read from: they would keep all others out, and need no token for that.

What uvicorn answers by itself is said in OpenAI's form.
"""

from __future__ import annotations

import asyncio
import resource
from contextlib import suppress
from typing import Any

import h11
from starlette.responses import Response
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from tscli.serve.replies import error_reply

MOST_CONNECTIONS = 1024
HEAD_S = 20.0  # within which a request's head must have come, from the connection's begin or from the reply before it
READ_S = 120.0  # within which a client must have read on, once nothing more fits on its way


def most_connections() -> int:
    """How many are answered at a time; twice as many may be open, half of the files that this process may have open."""
    most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MOST_CONNECTIONS if most == resource.RLIM_INFINITY else max(8, min(MOST_CONNECTIONS, most // 4))


class Connection(H11Protocol):
    """uvicorn's, which waits for ever for a request's head, for the rest of a body that nobody reads, and for a client that
    does not read."""

    head_s, read_s = HEAD_S, READ_S
    _late: asyncio.TimerHandle | None = None
    _unread: asyncio.TimerHandle | None = None

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._most, self.limit_concurrency = self.limit_concurrency, None

    @property
    def app(self) -> ASGIApp:
        """Who answers the request that has come: the application, or where there are too many, a refusal."""
        return self._app if self._most is None or max(len(self.connections), len(self.tasks)) < self._most else _too_many()

    @app.setter
    def app(self, app: ASGIApp) -> None:
        self._app = app

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """It begins, unless there are too many."""
        super().connection_made(transport)
        if self._most is not None and len(self.connections) > 2 * self._most:
            transport.abort()
        self._expect()

    def connection_lost(self, exc: Exception | None) -> None:
        """It has ended."""
        self._expect_nothing()
        self._is_read()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """The client reads more slowly than it is answered; nothing more is written until it has."""
        super().pause_writing()
        self._is_read()
        self._unread = self.loop.call_later(self.read_s, self.transport.abort)

    def resume_writing(self) -> None:
        """It has read on."""
        self._is_read()
        super().resume_writing()

    def send_400_response(self, msg: str) -> None:
        """To what is no HTTP; where a reply has begun already, there is only the end."""
        reply = error_reply(400, f"{msg.rstrip('.')}; send HTTP/1.1", Connection="close")
        events = (
            h11.Response(status_code=reply.status_code, headers=reply.raw_headers),
            h11.Data(data=bytes(reply.body)),
            h11.EndOfMessage(),
        )
        with suppress(h11.LocalProtocolError):
            self.transport.write(b"".join(self.conn.send(event) or b"" for event in events))
        self.transport.close()

    def on_response_complete(self) -> None:
        """A reply has been sent; another request may follow."""
        super().on_response_complete()
        self._expect()

    def _expect(self) -> None:
        self._expect_nothing()
        self._late = self.loop.call_later(self.head_s, self._close_unless_asked, self.cycle)

    def _expect_nothing(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _is_read(self) -> None:
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None

    def _close_unless_asked(self, before: Any) -> None:
        """before: the request that was the latest when the waiting began."""
        if self.cycle is before:
            self.transport.close()  # once the client has read what there is
            if self._unread is None:
                self._unread = self.loop.call_later(self.read_s, self.transport.abort)


def _too_many() -> Response:
    return error_reply(503, "too many connections are open; try again in a moment", Connection="close", Retry_After="2")
