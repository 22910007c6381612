"""Everything that the page is: its files, the documents that it shows, the files that it takes."""

from __future__ import annotations

from collections.abc import Callable
from importlib import resources

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from tscli.serve.documents import Endpoint, document_routes
from tscli.serve.served_libraries import ServedLibraries
from tscli.serve.uploads import Uploads, upload_routes

KINDS = {"html": "text/html", "css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}


def page_routes(served: ServedLibraries) -> tuple[list[BaseRoute], Callable[[], None]]:
    """The routes of the page, and what is to be called when the server ends."""
    uploads = Uploads(served)
    return [*_static(), *document_routes(served), *upload_routes(uploads)], uploads.close


def _static() -> list[Route]:
    """`/`, and a route for each file that it needs; no path that a client says is ever opened."""
    folder = resources.files("tscli.serve").joinpath("page")
    files = {file.name: file.read_bytes() for file in folder.iterdir() if file.name.rsplit(".", 1)[-1] in KINDS}
    named = {"/" if name == "index.html" else f"/page/{name}": name for name in files}
    return [Route(path, _sender(files[name], KINDS[name.rsplit(".", 1)[-1]])) for path, name in named.items()]


def _sender(content: bytes, kind: str) -> Endpoint:
    async def send(_: Request) -> Response:
        return Response(content, media_type=kind, headers={"Cache-Control": "no-cache"})

    return send
