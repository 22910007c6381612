"""Connections that nobody uses are closed, those that are used are not."""

from __future__ import annotations

import contextlib
import json
import resource
import socket
import time
from collections.abc import Callable

import pytest

from tests.serve.conftest import QUESTIONS, Serving, wait_until
from tscli.serve import connection, safety
from tscli.serve.connection import Connection, most_connections

Start = Callable[..., Serving]
HEAD = b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n"


@pytest.fixture
def server(serving: Start, monkeypatch: pytest.MonkeyPatch) -> Serving:
    monkeypatch.setattr(Connection, "head_s", 0.5)
    return serving()


def connected(server: Serving) -> socket.socket:
    address = server.http.base_url
    return socket.create_connection((address.host, address.port or 0), timeout=30)


def trickle(slow: socket.socket) -> None:
    for _ in range(1000):
        slow.sendall(b"X-A: b\r\n")
        time.sleep(0.02)


def is_open(one: socket.socket) -> bool:
    try:
        return bool(one.recv(1))
    except TimeoutError:
        return True
    except ConnectionResetError:
        return False


def test_a_client_that_does_not_read_its_replies_is_ended(server: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Connection, "read_s", 0.5)
    request = b"GET /page/page.js HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    with connected(server) as lazy:
        lazy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        lazy.settimeout(0.2)
        with contextlib.suppress(TimeoutError, ConnectionError):
            for _ in range(10_000):  # more than fits on the way
                lazy.sendall(request)
        wait_until(lambda: not server.server.server_state.connections)


def test_a_client_that_reads_slowly_but_does_gets_all_of_it(server: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Connection, "read_s", 0.5)
    request, count = b"GET /page/page.js HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", 40
    with connected(server) as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        slow.sendall(request * count)
        found = b""
        while found.count(b"HTTP/1.1 200 OK") < count or not found.endswith(b"\n"):
            time.sleep(0.02)
            found += slow.recv(8192)


@pytest.mark.parametrize(
    "sent",
    [b"NONSENSE\r\n\r\n", b"GET /health HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01"],
    ids=["no HTTP", "no Host", "TLS"],
)
def test_what_is_no_http_gets_an_error_in_openais_form(server: Serving, sent: bytes) -> None:
    with connected(server) as strange:
        strange.sendall(sent + b"\r\n\r\n")
        reply = b"".join(iter(lambda: strange.recv(65536), b""))
    head, _, body = reply.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 ")
    assert b"application/json" in head
    assert json.loads(body)["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize(
    "sent",
    [b"", HEAD, HEAD + b"\r\n", b"POST /v1/models HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 50\r\n\r\nx"],
    ids=["nothing", "half a head", "one request", "a body that nobody reads"],
)
def test_a_connection_that_brings_no_request_is_closed(server: Serving, sent: bytes) -> None:
    with connected(server) as idle:
        idle.sendall(sent)
        while idle.recv(65536):
            pass  # a reply, and at last the end


def test_a_head_that_trickles_is_not_waited_for(server: Serving) -> None:
    with connected(server) as slow:
        slow.sendall(HEAD)
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            trickle(slow)


def test_a_request_that_goes_on_may_take_longer_than_a_head(server: Serving) -> None:
    body = json.dumps({"model": "shelf", "messages": [{"role": "user", "content": QUESTIONS[0]}]}).encode()
    with connected(server) as slow:
        head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(body)}\r\n\r\n"
        slow.sendall(head.encode() + body[:10])
        time.sleep(1.0)  # twice as long as a head may take
        slow.sendall(body[10:])
        assert b"Odile Farrant" in b"".join(iter(lambda: slow.recv(65536), b""))


def test_a_body_that_does_not_go_on_is_given_up(server: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(safety, "STALL_S", 0.3)
    with connected(server) as stalled:
        kind = b"Content-Type: multipart/form-data; boundary=x\r\nContent-Length: 500\r\n\r\n--x\r\n"
        stalled.sendall(b"POST /api/uploads?library=shelf HTTP/1.1\r\nHost: 127.0.0.1\r\n" + kind)
        assert stalled.recv(65536).startswith(b"HTTP/1.1 408 ")


def test_connections_leave_files_for_the_libraries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda which: (256, 256))
    assert most_connections() == 64
    monkeypatch.setattr(resource, "getrlimit", lambda which: (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert most_connections() == connection.MOST_CONNECTIONS


def test_beyond_the_limit_connections_are_refused_at_once(serving: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tscli.serve.run.most_connections", lambda: 8)
    server = serving()
    idle = [connected(server) for _ in range(40)]
    try:
        for one in idle:
            one.settimeout(0.5)
        assert sum(is_open(one) for one in idle) == 16
        last = next(one for one in idle if is_open(one))
        last.settimeout(30)
        last.sendall(HEAD + b"\r\n")
        reply = b"".join(iter(lambda: last.recv(65536), b""))
        assert reply.startswith(b"HTTP/1.1 503 ")
        assert json.loads(reply.partition(b"\r\n\r\n")[2])["error"]["type"] == "server_error"
    finally:
        for one in idle:
            one.close()
    wait_until(lambda: len(server.server.server_state.connections) < 8)
    assert server.http.get("/health").status_code == 200
