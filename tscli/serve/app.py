"""The application: routes, and what stands before them all."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from tscli.serve.engine_thread import EngineThread
from tscli.serve.metrics import CountRequests, Metrics
from tscli.serve.openai_api import OpenAIRoutes
from tscli.serve.page_routes import page_routes
from tscli.serve.replies import error_message, error_reply, json_reply
from tscli.serve.safety import SECURITY_HEADERS, Safety
from tscli.serve.served_libraries import ServedLibraries
from tscli.serve.settings import ServeSettings

COUNTED = ("/v1/models", "/v1/chat/completions", "/v1/responses", "/metrics", "/health", "/")


def make_app(served: ServedLibraries, settings: ServeSettings, warn: Callable[[str], None] | None = None) -> Starlette:
    """The application over these libraries; `app.state.engine` is the thread that answers, from start to shutdown.

    warn: hears of what no client is told; None: stderr.
    """
    metrics = Metrics()
    remembers = settings.remembers and not served.read_only
    said = warn or (lambda line: print(f"tscli: {line}", file=sys.stderr))
    engine = EngineThread(served, metrics, settings.parallel, settings.queue, remembers=remembers, warn=said)

    page, end_page = page_routes(served)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        engine.start()
        try:
            yield
        finally:
            engine.close()
            end_page()

    async def health(request: Request) -> Response:
        alive = engine.is_alive
        return json_reply({"status": "ok" if alive else "no engine"}, 200 if alive else 503)

    async def counted(request: Request) -> Response:
        return PlainTextResponse(metrics.text(engine.waiting, engine.going), media_type="text/plain; version=0.0.4")

    own = [Route("/health", health), Route("/metrics", counted)]
    app = Starlette(
        routes=[*own, *OpenAIRoutes(served, engine, settings).routes(), *page],
        middleware=[Middleware(CountRequests, metrics=metrics, route_of=_route), Middleware(Safety, settings=settings)],
        exception_handlers={HTTPException: _refused, Exception: _failed},  # type: ignore[dict-item]
        lifespan=lifespan,
    )
    app.state.engine = engine
    return app


def _route(path: str) -> str:
    """What a path is counted as: there are few of these, whatever is asked for."""
    return path if path in COUNTED else "other"


async def _refused(request: Request, error: HTTPException) -> Response:
    asked, headers = f"{request.method} {request.url.path[:100]}", dict(error.headers or {})
    if error.status_code == 404:
        return error_reply(
            404, f"there is no {asked}; the API is below /v1 (POST /v1/chat/completions or /v1/responses), the page at /"
        )
    allowed = f"; allowed there: {headers['Allow']}" if "Allow" in headers else ""
    return error_reply(error.status_code, f"{asked}: {error.detail}{allowed}", **headers)


async def _failed(request: Request, error: Exception) -> Response:
    reply = error_reply(500, error_message(error))
    reply.headers.update(SECURITY_HEADERS)  # it stands outside of what adds them
    return reply
