"""What is not for us is refused before the application sees it; what it answers is sealed."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from tscli.serve.safety import SECURITY_HEADERS, UPLOADS, Safety
from tscli.serve.settings import ServeSettings

TOKEN = "a-token-of-this-test"


async def echo(request: Request) -> PlainTextResponse:
    return PlainTextResponse(f"{len(await request.body())} bytes")


@pytest.fixture
def client() -> Callable[..., TestClient]:
    def make(**settings: object) -> TestClient:
        routes = [Route(path, echo, methods=["GET", "POST"]) for path in ("/", "/health", "/v1/models", f"{UPLOADS}/x")]
        app = Starlette(routes=routes, middleware=[Middleware(Safety, settings=ServeSettings(**settings))])  # type: ignore[arg-type]
        return TestClient(app, base_url="http://127.0.0.1:8080", follow_redirects=False)

    return make


@pytest.mark.parametrize("host", ["127.0.0.1:8080", "localhost", "LOCALHOST:1", "[::1]:8080", "localhost."])
def test_this_machine_may_be_called_by_its_own_names(client: Callable[..., TestClient], host: str) -> None:
    assert client().get("/", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "127.0.0.1.evil.example",
        "localhost.evil.example",
        "192.168.0.7",
        "",
        "a@localhost",
        "localhost/x",
        "[::1",
        "x:y",
    ],
)
def test_another_name_for_it_is_a_rebound_one(client: Callable[..., TestClient], host: str) -> None:
    reply = client().get("/", headers={"Host": host})
    assert reply.status_code == 403
    assert reply.json()["error"]["code"] == "host"


def test_a_name_may_be_allowed(client: Callable[..., TestClient]) -> None:
    assert client(allow_host=("shelf.lan",)).get("/", headers={"Host": "shelf.lan:8080"}).status_code == 200


def test_beside_a_token_any_address_will_do_but_no_name(client: Callable[..., TestClient]) -> None:
    open_to_all, bearer = client(host="0.0.0.0", token=TOKEN), {"Authorization": f"Bearer {TOKEN}"}
    assert open_to_all.get("/", headers={"Host": "192.168.0.7:8080", **bearer}).status_code == 200
    assert open_to_all.get("/", headers={"Host": "evil.example", **bearer}).status_code == 403


@pytest.mark.parametrize(
    "origin",
    [
        "http://evil.example",
        "null",
        "http://127.0.0.1:9999",
        "http://127.0.0.1.evil.example:8080",
        "",
        "http://[",
        "http://[::1",
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_pages_of_other_sites_may_not_ask(client: Callable[..., TestClient], origin: str, method: str) -> None:
    reply = client().request(method, "/v1/models", headers={"Origin": origin})
    assert reply.status_code == 403
    assert reply.json()["error"]["code"] == "origin"
    assert "access-control-allow-origin" not in reply.headers


def test_our_own_page_may_ask(client: Callable[..., TestClient]) -> None:
    assert client().post("/v1/models", headers={"Origin": "http://127.0.0.1:8080"}).status_code == 200


def test_a_site_that_was_named_may_ask_and_no_other(client: Callable[..., TestClient]) -> None:
    named, other = "http://chat.example", "http://evil.example"
    asked = client(cors=(named,))
    reply = asked.post("/v1/models", headers={"Origin": named})
    assert reply.status_code == 200
    assert reply.headers["access-control-allow-origin"] == named
    assert asked.options("/v1/models", headers={"Origin": named}).status_code == 204
    assert asked.options("/v1/models", headers={"Origin": other}).status_code == 403


def test_a_preflight_is_not_answered_where_no_site_was_named(client: Callable[..., TestClient]) -> None:
    reply = client().options("/v1/models", headers={"Origin": "http://127.0.0.1:8080"})
    assert "access-control-allow-origin" not in reply.headers


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer wrong"},
        {"Authorization": TOKEN},
        {"Authorization": f"Basic {TOKEN}"},
        {"Authorization": "Bearer "},
        {"Authorization": f"Bearer {TOKEN}x"},
        {"Cookie": f"tscli_8080={TOKEN}"},
        {"Cookie": "tscli_8080="},
        {"Cookie": ";;;=\x01"},
    ],
)
def test_without_the_token_nothing_is_answered(client: Callable[..., TestClient], headers: dict[str, str]) -> None:
    reply = client(token=TOKEN).post("/v1/models", headers=headers)
    assert reply.status_code == 401
    assert reply.json()["error"]["code"] == "invalid_api_key"
    assert TOKEN not in reply.text


def test_with_the_token_it_is(client: Callable[..., TestClient]) -> None:
    assert client(token=TOKEN).get("/v1/models", headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 200


def test_health_needs_no_token(client: Callable[..., TestClient]) -> None:
    assert client(token=TOKEN).get("/health").status_code == 200


def test_opened_with_the_token_the_page_gets_a_cookie_instead_of_it(client: Callable[..., TestClient]) -> None:
    page = client(token=TOKEN)
    reply = page.get("/", params={"token": TOKEN})
    assert (reply.status_code, reply.headers["location"]) == (303, "/")
    assert {"HttpOnly", "SameSite=strict"} <= set(reply.headers["set-cookie"].split("; "))
    assert TOKEN not in reply.headers["set-cookie"]
    assert page.get("/v1/models").status_code == 200  # by the cookie
    page.cookies.clear()
    assert page.get("/", params={"token": "wrong"}).status_code == 401


def test_a_body_may_have_so_many_bytes(client: Callable[..., TestClient]) -> None:
    limited = client(body_bytes=100, upload_bytes=200)
    assert limited.post("/v1/models", content=b"x" * 100).text == "100 bytes"
    assert limited.post("/v1/models", content=b"x" * 101).status_code == 413
    assert limited.post(f"{UPLOADS}/x", content=b"x" * 200).text == "200 bytes"
    assert limited.post(f"{UPLOADS}/x", content=b"x" * 201).status_code == 413


def test_a_body_that_does_not_say_its_size_is_counted(client: Callable[..., TestClient]) -> None:
    def chunks() -> Iterator[bytes]:
        yield from [b"x" * 60] * 2

    reply = client(body_bytes=100).post("/v1/models", content=chunks())
    assert reply.status_code == 413
    assert reply.json()["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize("path", ["/", "/nowhere", "/v1/models"])
def test_every_reply_tells_browsers_to_be_careful(client: Callable[..., TestClient], path: str) -> None:
    for headers in ({}, {"Host": "evil.example"}):
        reply = client().get(path, headers=headers)
        assert {name: reply.headers.get(name) for name in SECURITY_HEADERS} == SECURITY_HEADERS
