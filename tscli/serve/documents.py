"""The documents of a library for the page: a list, the file itself, and its text as the model read it.

A client names a library and a document's id, never a path. A file is given out only while its bytes are those that were
ingested; text comes from the library's own tokens, as JSON. Nothing of a document is ever sent as HTML.
"""

from __future__ import annotations

import hashlib
import os
import stat
import threading
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from tscli.errors import LibraryError, TscliError
from tscli.library.own_settings import own_model
from tscli.model.identity import full_name, locate
from tscli.model.options import LoadOptions
from tscli.serve.replies import CLIENT_GONE, BadRequest, json_reply, reply_of, without_paths
from tscli.serve.served_libraries import ServedLibraries
from tscli.store import Fingerprint, Manifest
from tscli.tokens import Context, Tokenizer, known_tokenizer, load_tokenizer, spell

MOST_TOKENS = 6000  # of a text that are sent at once
BLOCK = 1 << 20  # bytes that are read at a time
ID = 24  # characters of a document's id
MOST_HASHES = 1024

Endpoint = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True)
class Document:
    """A document of a library: its place among the others, and what the manifest records of it."""

    number: int
    record: Mapping[str, Any]

    @property
    def id(self) -> str:
        """Names this content under this name: another one once the file was ingested anew with other content."""
        return document_id(str(self.record["path"]), str(self.record["sha256"]))

    @property
    def is_pdf(self) -> bool:
        """Whether browsers may be given the file to show."""
        return str(self.record["source"]).lower().endswith(".pdf")


def document_id(path: str, sha256: str) -> str:
    """The id of a document by its name in the library and its content's hash."""
    return hashlib.sha256(f"{path}\0{sha256}".encode(errors="surrogatepass")).hexdigest()[:ID]


def document_routes(served: ServedLibraries) -> list[Route]:
    """`/api/libraries`, and below it `/{library}/documents[/{document}/file | /text]`."""

    hashes, texts = FileHashes(), Texts(served)

    async def libraries(_: Request) -> Response:
        return json_reply(await run_in_threadpool(_libraries, served))

    async def documents(request: Request) -> Response:
        manifest = await run_in_threadpool(_manifest, served, request.path_params["library"])
        return json_reply({"documents": [_line(Document(*each)) for each in enumerate(manifest.documents)]})

    async def file(request: Request) -> Response:
        manifest = await run_in_threadpool(_manifest, served, request.path_params["library"])
        reply = await run_in_threadpool(_file, hashes, _of_id(manifest, request.path_params["document"]))
        return reply if request.method != "HEAD" else Response(headers=dict(reply.headers))

    async def text(request: Request) -> Response:
        library, document = request.path_params["library"], request.path_params["document"]
        await run_in_threadpool(_manifest, served, library)  # it is served
        asked = {name: _number(request, name) for name in ("first", "last", "page")}
        return json_reply(await run_in_threadpool(texts.of, library, document, **asked))

    routes = {"": documents, "/{document}/file": file, "/{document}/text": text}
    below = [Route("/api/libraries/{library:path}/documents" + path, told(run)) for path, run in reversed(routes.items())]
    return [Route("/api/libraries", told(libraries)), *below]


def told(run: Endpoint) -> Endpoint:
    """The same, with errors of ours as replies, and nothing of it kept by anyone between."""

    async def endpoint(request: Request) -> Response:
        try:
            reply = await run(request)
        except TscliError as error:
            reply = reply_of(error)
        except ClientDisconnect:
            reply = Response(status_code=CLIENT_GONE)
        reply.headers.setdefault("Cache-Control", "no-cache, private")
        return reply

    return endpoint


def refused(status: int, code: str, message: str) -> BadRequest:
    """A request that is answered by an error; code: for programs."""
    return BadRequest(message, None, code, status)


def no_such_library(name: str) -> BadRequest:
    """There is none of this name, or it is not served."""
    return refused(404, "library_not_found", f"no library is served by the name {name[:100]!r}; /api/libraries lists them")


def _libraries(served: ServedLibraries) -> dict[str, Any]:
    """One that cannot be read says why, and stands in nobody's way."""
    found: list[dict[str, Any]] = []
    for name in served.names:
        try:
            manifest = served.manifest(name)
            found.append({"name": name, "documents": len(manifest.documents), "tokens": manifest.num_tokens})
        except LibraryError as error:
            found.append(
                {"name": name, "documents": 0, "tokens": 0, "error": without_paths(str(error), name, served.folder(name))}
            )
    return {"libraries": found, "read_only": served.read_only, "takes_new": served.takes_new}


def _manifest(served: ServedLibraries, library: str) -> Manifest:
    """Of a library that is served; the name is compared, never made a path of before that."""
    if library not in served.names:
        raise no_such_library(library)
    return served.manifest(library)


def _of_id(manifest: Manifest, wanted: str) -> Document:
    for each in enumerate(manifest.documents):
        if (document := Document(*each)).id == wanted:
            return document
    raise refused(404, "document_not_found", "the library no longer holds this document, or holds a changed one; ask again")


def _line(document: Document) -> dict[str, Any]:
    record = document.record
    tokens = int(record["token_end"]) - int(record["token_start"])
    kind = "pdf" if document.is_pdf else "text"
    of = {"pages": int(record["num_pages"]), "paged": bool(record["paged"]), "tokens": tokens}
    return {"id": document.id, "name": str(record["path"]), "kind": kind, **of}


def _number(request: Request, name: str) -> int | None:
    given = request.query_params.get(name)
    if given is None:
        return None
    if not (given.isascii() and given.isdigit() and len(given) < 12):
        raise refused(400, "bad_number", f"{name} is {given[:40]!r}; it must be a number")
    return int(given)


class FileHashes:
    """SHA-256 of open files, computed once for each state of a file; the latest MOST_HASHES are kept."""

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[int, ...], str] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, file: FileIO) -> str:
        """The hash, in hexadecimal."""
        status = os.fstat(file.fileno())
        state = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
        with self._lock:
            known = self._known.get(state)
        if known is None:
            known = _sha256(file)
            with self._lock:
                self._known[state] = known
                while len(self._known) > MOST_HASHES:
                    self._known.popitem(last=False)
        return known


def _sha256(file: FileIO) -> str:
    digest, at = hashlib.sha256(), 0
    while block := os.pread(file.fileno(), BLOCK, at):
        digest.update(block)
        at += len(block)
    return digest.hexdigest()


def _file(hashes: FileHashes, document: Document) -> Response:
    """The bytes that were ingested: of the opened file, which is hashed before the first of them is sent."""
    record = document.record
    file = _open(Path(str(record["source"])), str(record["path"]))
    if hashes.of(file) != record["sha256"]:
        why = "the file has changed since it was ingested; ingest it again, or read its text as the library has it"
        raise refused(409, "document_changed", f"{record['path']}: {why}")
    pdf = document.is_pdf and b"%PDF-" in os.pread(file.fileno(), 1024, 0)
    name = quote(Path(str(record["source"])).name, errors="replace")
    headers = {
        "Content-Length": str(os.fstat(file.fileno()).st_size),
        "Content-Disposition": f"{'inline' if pdf else 'attachment'}; filename*=UTF-8''{name}",
    }
    return StreamingResponse(_blocks(file), 200, headers, "application/pdf" if pdf else "application/octet-stream")


def _open(path: Path, name: str) -> FileIO:
    """A plain file, opened; a pipe is not waited for."""
    try:
        opened = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        why = "was moved or removed" if isinstance(error, FileNotFoundError | NotADirectoryError) else "cannot be read any more"
        raise refused(410, "document_gone", f"{name}: the file {why}; its text is still in the library") from error
    if not stat.S_ISREG(os.fstat(opened).st_mode):
        os.close(opened)
        raise refused(409, "document_changed", f"{name}: is no longer a plain file; ingest it again")
    return FileIO(opened)


def _blocks(file: FileIO) -> Iterator[bytes]:
    with file:
        while block := file.read(BLOCK):
            yield block


class Texts:
    """Tokens of libraries -> text, by each library's own tokenizer, which needs no weights."""

    def __init__(self, served: ServedLibraries) -> None:
        self._served = served
        self._known: dict[str, Tokenizer] = {}
        self._lock = threading.Lock()

    def of(self, library: str, wanted: str, **asked: int | None) -> dict[str, Any]:
        """A stretch of the document of this id; asked: as of `text_around`."""
        opened = self._served.opened(library)  # its manifest and its tokens are of one state
        manifest = opened.libraries[0].manifest
        document = _of_id(manifest, wanted)
        return text_around(opened.context, document.number, self._tokenizer(manifest.fingerprint), **asked)

    def _tokenizer(self, fingerprint: Fingerprint) -> Tokenizer:
        with self._lock:
            known = self._known.get(fingerprint.tokenizer_hash)
            if known is None:
                load = own_model(LoadOptions(), fingerprint)
                folder = locate(full_name(load.model), load.revision)
                known = known_tokenizer(folder, fingerprint.tokenizer_hash) or load_tokenizer(str(folder))
                self._known[fingerprint.tokenizer_hash] = known
            return known


def text_around(
    context: Context, number: int, tokenizer: Tokenizer, *, first: int | None, last: int | None, page: int | None
) -> dict[str, Any]:
    """A page's text, at most MOST_TOKENS around the passage of tokens [first, last) of the document, or from token `first` on
    where there is no `last`; passage: its characters [start, end) in the text. before, behind: tokens from which to ask on.

    BadRequest where the document has no such tokens or page.
    """
    own = context.documents[number]
    size = own.token_end - own.token_start
    begins, ends = 0 if first is None else first, (first or 0) + 1 if last is None else last
    if not 0 <= begins < ends <= size:
        raise refused(400, "bad_passage", f"tokens {begins} to {ends} are none of the document's {size:,}")
    at = own.token_start + begins
    if first is not None and (held := int(context.page[at])) > 0:
        page = held
    page = 1 if page is None else page
    inside = np.flatnonzero(context.page[own.token_start : own.token_end] == page) + own.token_start
    name = {"name": own.path, "page": page, "pages": own.num_pages, "paged": own.paged, "page_name": own.page_name(page)}
    if not 0 < page <= own.num_pages:
        raise refused(404, "page_not_found", f"{own.path} has {own.num_pages:,} pages, none of number {page}")
    if not inside.size:
        return {**name, "text": "", "passage": None, "before": None, "behind": None}
    middle = int(np.searchsorted(inside, at)) if first is not None else 0
    low = max(0, middle - MOST_TOKENS // 2) if last is not None else middle
    shown = inside[low : low + MOST_TOKENS]
    spelled = spell(shown, context, tokenizer)
    passage = None
    if last is not None and (marked := np.flatnonzero((shown >= at) & (shown < own.token_start + ends))).size:
        start, end = int(spelled.bounds[marked[0]]), int(spelled.bounds[marked[-1] + 1])
        passage = [start + len(spelled.text[start:end]) - len(spelled.text[start:end].lstrip()), end]
    before = int(inside[max(0, low - MOST_TOKENS)]) - own.token_start if low else None
    behind = int(inside[low + shown.size]) - own.token_start if low + shown.size < inside.size else None
    return {**name, "text": spelled.text, "passage": passage, "before": before, "behind": behind}
