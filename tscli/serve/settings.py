"""How the server was started. Plain data."""

from __future__ import annotations

import ipaddress
import re
import socket
from dataclasses import dataclass

from tscli.errors import UsageError

LOOPBACK = ("127.0.0.1", "localhost", "::1")
ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://[^/?#\s@*]+")
NAME = re.compile(r"[\w.-]+|\[?[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*\]?")


@dataclass(frozen=True)
class ServeSettings:
    """host, port: where it listens; port 0: a free one. token: what every request must bring, None where that is nothing.

    parallel: answers that go on at a time; queue: how many more may wait. cors: origins of other sites that may ask.
    allow_host: names, besides its own, that it may be called by. max_new_tokens: of an answer whose request names none.
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

    def __post_init__(self) -> None:
        """UsageError where something would never be what a browser says."""
        if not self.host.isascii() or not self.host.strip():
            raise UsageError(f"--host is {self.host!r}; it must be an address or a name; 0.0.0.0 means all addresses")
        for origin in self.cors:
            if ORIGIN.fullmatch(origin) is None:
                why = "as browsers send it: no path, no slash at its end, and no * (each site is named)"
                raise UsageError(f"--cors is {origin!r}; it must be SCHEME://NAME or SCHEME://NAME:PORT, {why}")
        for name in self.allow_host:
            if NAME.fullmatch(name) is None:
                raise UsageError(
                    f"--allow-host is {name!r}; it must be a name alone, such as tscli.lan, without scheme and port"
                )

    @property
    def is_everywhere(self) -> bool:
        """Whether it listens at all addresses of this machine."""
        try:
            return ipaddress.ip_address(self.host).is_unspecified
        except ValueError:
            return False

    def addresses(self, port: int) -> list[str]:
        """Where a browser finds it: on this machine, and, where it listens at all addresses, by the machine's name."""
        hosts = [self.host]
        if self.is_everywhere:
            hosts = ["[::1]" if ":" in self.host else "127.0.0.1", socket.gethostname()]
        return [f"http://{f'[{host}]' if ':' in host and host[0] != '[' else host}:{port}" for host in hosts]

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host in LOOPBACK
