"""How the server was started. Plain data."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True)
class ServeSettings:
    """host, port: where it listens; port 0: a free one. token: what every request must bring, None where that is nothing.

    parallel: answers that go on at a time; queue: how many more may wait. cors: origins of other sites that may ask.
    allow_host: names beside its own that it may be called by. max_new_tokens: of an answer whose request names none.
    remembers: whether questions are kept for `tscli coverage`. body_bytes: most bytes of a request; upload_bytes: of one that
    brings a file. grace_s: how long answers may go on once it is told to end.
    """

    host: str = "127.0.0.1"
    port: int = 8080
    token: str | None = None
    parallel: int = 4
    queue: int = 32
    cors: tuple[str, ...] = ()
    allow_host: tuple[str, ...] = ()
    max_new_tokens: int = 128
    remembers: bool = True
    body_bytes: int = 1 << 20
    upload_bytes: int = 256 << 20
    grace_s: float = 5.0

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host in LOOPBACK
