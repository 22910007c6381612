"""Who may ask, how much at once, and what browsers are told: pure ASGI, around every route.

A page of another site can make a browser ask a server on this machine. Its Host is then not ours (a name that was rebound to
127.0.0.1), or its Origin is its own; both are refused before anything is read.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import ipaddress
import socket
from collections.abc import Iterable
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tscli.serve.replies import error_reply
from tscli.serve.settings import LOOPBACK, ServeSettings

UPLOADS = "/api/uploads"  # requests below it may have `upload_bytes`
OPEN = ("/health",)  # needs no token: it says nothing
SECURITY_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; frame-ancestors 'self'; base-uri 'none'; form-action 'self'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}


STALL_S = 30.0  # that the next bytes of a body are waited for


class TooLarge(Exception):
    """A body has more bytes than are read."""


class TooSlow(Exception):
    """A body does not go on."""


class Safety:
    """Refuses what is not for us, then lets the application answer under its limits."""

    def __init__(self, app: ASGIApp, settings: ServeSettings) -> None:
        self._app, self._settings = app, settings
        own = (socket.gethostname(),) if settings.is_everywhere else ()  # as `addresses` says
        self._hosts = {_bare(name) for name in (*LOOPBACK, settings.host, *own, *settings.allow_host)}
        self._cookie = f"tscli_{settings.port}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
            return
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        origin = headers.get("origin")

        async def sealed(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._seal(MutableHeaders(scope=message), origin)
            await send(message)

        reply = self._refusal(scope, headers) or self._preflight(scope, headers) or self._admission(scope, headers)
        if reply is not None:
            await reply(scope, receive, sealed)
        else:
            await self._limited(scope, receive, sealed)

    def _refusal(self, scope: Scope, headers: Headers) -> Response | None:
        """Of another host's or another site's requests, and of bodies that say they are too large."""
        host, origin = headers.get("host", ""), headers.get("origin")
        if not self._is_ours(host):
            return error_reply(403, "this server does not answer to that name; start it with --allow-host NAME", code="host")
        if origin is not None and origin not in self._settings.cors and _site(origin) != host.lower():
            return error_reply(
                403, "pages of other sites may not ask; start the server with --cors ORIGIN to allow one", code="origin"
            )
        size = headers.get("content-length", "0")
        if not (size.isascii() and size.isdigit()):
            return error_reply(400, "Content-Length is not a number")
        return self._too_large(scope) if int(size) > self._limit(scope) else None

    def _preflight(self, scope: Scope, headers: Headers) -> Response | None:
        """A browser asks whether a page of an origin that was named may ask."""
        if scope["method"] != "OPTIONS" or headers.get("origin") not in self._settings.cors:
            return None
        allowed = {"Access-Control-Allow-Methods": "GET, POST", "Access-Control-Allow-Headers": "authorization, content-type"}
        return Response(status_code=204, headers={**allowed, "Access-Control-Max-Age": "600"})

    def _admission(self, scope: Scope, headers: Headers) -> Response | None:
        """Who brings no token is refused; who opens the page with it gets a cookie instead."""
        token = self._settings.token
        if token is None or scope["path"] in OPEN:
            return None
        if scope["path"] == "/" and scope["method"] == "GET":
            given = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[0]
            if given and _same(given, token):
                reply = RedirectResponse("/", 303)
                reply.set_cookie(self._cookie, _cookie_of(token), httponly=True, samesite="strict", path="/")
                return reply
        scheme, _, given = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and _same(given.strip(), token):
            return None
        if _same(_cookie(headers.getlist("cookie"), self._cookie), _cookie_of(token)):
            return None
        message = "a token is needed: Authorization: Bearer TOKEN, or open the page as /?token=TOKEN"
        return error_reply(401, message, code="invalid_api_key", WWW_Authenticate="Bearer")

    async def _limited(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The application's answer; a body that turns out to be too large ends it."""
        limit, read, more, started = self._limit(scope), 0, True, False

        async def counted() -> Message:
            nonlocal read, more
            try:
                message = await asyncio.wait_for(receive(), STALL_S if more else None)
            except TimeoutError:
                if started:
                    return {"type": "http.disconnect"}  # it is answered already, or being answered, without its body
                raise TooSlow from None
            more = message.get("more_body", False)
            if message["type"] == "http.request":
                read += len(message.get("body", b""))
                if read > limit:
                    raise TooLarge
            return message

        async def noted(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self._app(scope, counted, noted)
        except (TooLarge, TooSlow) as error:
            if started:
                raise
            slow = error_reply(408, f"nothing more of the body came for {STALL_S:.0f} s; send it again", Connection="close")
            await (slow if isinstance(error, TooSlow) else self._too_large(scope))(scope, receive, send)

    def _is_ours(self, host: str) -> bool:
        """Whether this is a name that we are called by. With a token any address will do: only names can be rebound."""
        name = _bare(urlsplit(f"//{host}").hostname or "") if _is_plain(host) else ""
        return name in self._hosts or (not self._settings.is_loopback and _is_address(name))

    def _limit(self, scope: Scope) -> int:
        own = scope["path"] == UPLOADS or scope["path"].startswith(UPLOADS + "/")
        return self._settings.upload_bytes if own else self._settings.body_bytes

    def _too_large(self, scope: Scope) -> Response:
        return error_reply(413, f"the body has more than {self._limit(scope):,} bytes", Connection="close")

    def _seal(self, headers: MutableHeaders, origin: str | None) -> None:
        for name, value in SECURITY_HEADERS.items():
            headers.setdefault(name, value)
        if origin in self._settings.cors and origin is not None:
            headers["Access-Control-Allow-Origin"] = origin
            headers["Cross-Origin-Resource-Policy"] = "cross-origin"
            headers.add_vary_header("Origin")


def _site(origin: str) -> str:
    """The name and port of an origin; nothing where it is none."""
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""


def _bare(name: str) -> str:
    return name.lower().strip("[]").removesuffix(".")


def _is_plain(host: str) -> bool:
    """Whether a Host header is a name or an address, perhaps with a port, and nothing else."""
    try:
        parts = urlsplit(f"//{host}")
        parts.port  # noqa: B018 - ValueError where it is none
    except ValueError:
        return False
    return bool(host) and parts.netloc == host and "@" not in host


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _same(given: str, wanted: str) -> bool:
    """Compared in a time that says nothing of how much of it is right."""
    return hmac.compare_digest(given.encode(errors="surrogatepass"), wanted.encode())


def _cookie_of(token: str) -> str:
    """What stands for the token in a browser, which keeps it in a file."""
    return hashlib.sha256(f"tscli page {token}".encode()).hexdigest()


def _cookie(headers: Iterable[str], name: str) -> str:
    for header in headers:
        try:
            morsel = SimpleCookie(header).get(name)
        except CookieError:
            continue
        if morsel is not None:
            return morsel.value
    return ""
