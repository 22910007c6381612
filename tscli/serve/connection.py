"""Connections that nobody uses are closed: without a token, too, they would else keep all others out."""

from __future__ import annotations

import asyncio
import resource
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

MOST_CONNECTIONS = 1024
HEAD_S = 20.0  # within which a request's head must have come, from the connection's begin or from the reply before it


def most_connections() -> int:
    """How many are answered at a time; twice as many may be open, half of the files that this process may have open."""
    most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MOST_CONNECTIONS if most == resource.RLIM_INFINITY else max(8, min(MOST_CONNECTIONS, most // 4))


class Connection(H11Protocol):
    """uvicorn's, which waits for ever for a request's head, and for the rest of a body that nobody reads."""

    head_s = HEAD_S
    _late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """It begins, unless there are too many."""
        super().connection_made(transport)
        if self.limit_concurrency is not None and len(self.connections) > 2 * self.limit_concurrency:
            transport.abort()
        self._expect()

    def connection_lost(self, exc: Exception | None) -> None:
        """It has ended."""
        self._expect_nothing()
        super().connection_lost(exc)

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

    def _close_unless_asked(self, before: Any) -> None:
        """before: the request that was the latest when the waiting began."""
        if self.cycle is before:
            self.transport.close()
