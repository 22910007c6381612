"""Uploads from the page: kept next to the library, planned, and ingested by a process of their own, one ingest at a time.

POST /api/uploads?library=NAME takes files; GET /api/uploads/{id} says how far it is, GET /api/uploads how far the latest is;
POST /api/uploads/{id}/start runs what is planned; DELETE /api/uploads/{id} ends it and throws the files away. What a client
calls a file is never more than its name.
"""

from __future__ import annotations

import os
import secrets
import shutil
import time
import unicodedata
from pathlib import Path

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tscli.durable_files import make_private, open_private
from tscli.paths import NAME, disk_free_bytes
from tscli.serve.documents import no_such_library, refused, told
from tscli.serve.ingest_job import IngestJob, remove_unheld
from tscli.serve.replies import json_reply
from tscli.serve.served_libraries import ServedLibraries

FOLDER = "uploads"  # in the library's own: removed with it
MOST_FILES = 200
SPARE = 64 << 20  # bytes of a disk that an upload leaves free
LEFT_S = 24 * 3600.0  # after which an upload that no library holds is nobody's
LONGEST = 120  # bytes of a name


class Uploads:
    """The ingest that there is, or was last."""

    def __init__(self, served: ServedLibraries) -> None:
        self.served = served
        self.job: IngestJob | None = None
        self._receiving = False

    async def receive(self, request: Request) -> Response:
        """Take files, and begin to plan."""
        library = request.query_params.get("library", "")
        self._check(library, request.headers.get("content-length"))
        self._receiving = True
        try:
            await run_in_threadpool(self._sweep, library)
            folder = self.served.folder(library) / FOLDER / secrets.token_hex(8)
            try:
                names = await self._keep(request, folder)
                self.job = IngestJob(library, self.served.given(library), folder, [folder / name for name in names])
            except BaseException:
                shutil.rmtree(folder, ignore_errors=True)
                raise
        finally:
            self._receiving = False
        return json_reply(self.job.state(), 202)

    async def tell(self, request: Request) -> Response:
        """How far it is."""
        return json_reply(self._job(request).state())

    async def latest(self, _: Request) -> Response:
        """The same of the one that there is, for a page that was opened anew; null where there is none."""
        return json_reply({"upload": self.job.state() if self.job else None})

    async def start(self, request: Request) -> Response:
        """Run what is planned."""
        self._writable()
        job = self._job(request)
        if not job.start():
            raise refused(409, "not_planned", f"this ingest is {job.state()['state']}; only one that is planned can be started")
        return json_reply(job.state(), 202)

    async def cancel(self, request: Request) -> Response:
        """End it; what was uploaded is thrown away unless it is ingested already."""
        job = self._job(request)
        await run_in_threadpool(job.cancel)
        return json_reply(job.state())

    def close(self) -> None:
        """End what runs, as the server does when it ends."""
        if self.job is not None:
            self.job.cancel()

    def _sweep(self, library: str) -> None:
        """Remove what servers that were killed left of uploads: files of some age that the library does not hold."""
        for folder in (self.served.folder(library) / FOLDER).glob("*"):
            if time.time() - folder.stat().st_mtime > LEFT_S:
                remove_unheld(self.served.folder(library), folder)

    def _writable(self) -> None:
        if self.served.read_only:
            raise refused(403, "read_only", "this server accepts no documents (--read-only); use tscli ingest")

    def _check(self, library: str, length: str | None) -> None:
        self._writable()
        is_new = self.served.takes_new and NAME.fullmatch(library) is not None
        if library not in self.served.names and not is_new:
            raise no_such_library(library)
        if self._receiving or (self.job is not None and self.job.is_busy):
            raise refused(409, "busy", "another ingest is running; wait for it to end, or cancel it")
        if int(length or 0) + SPARE > disk_free_bytes(self.served.folder(library)):
            raise refused(507, "disk_full", "the disk has no room for these files; make room, or upload fewer")

    def _job(self, request: Request) -> IngestJob:
        if self.job is None or self.job.id != request.path_params["job"]:
            raise refused(404, "upload_not_found", "there is no such upload; it may have been cancelled")
        return self.job

    async def _keep(self, request: Request, folder: Path) -> list[str]:
        """The names under which the files of a request lie in this folder."""
        try:
            async with request.form(max_files=MOST_FILES, max_fields=8) as form:
                files = [part for _, part in form.multi_items() if isinstance(part, UploadFile)]
                if not files:
                    raise refused(400, "no_files", "the request holds no file; send them as multipart/form-data")
                return await run_in_threadpool(_write, files, folder)
        except HTTPException as error:
            raise refused(400, "bad_upload", f"the upload failed: {error.detail}") from error


def upload_routes(uploads: Uploads) -> list[Route]:
    """The routes below `/api/uploads`."""
    return [
        Route("/api/uploads", told(uploads.receive), methods=["POST"]),
        Route("/api/uploads", told(uploads.latest), methods=["GET"]),
        Route("/api/uploads/{job}", told(uploads.tell), methods=["GET"]),
        Route("/api/uploads/{job}", told(uploads.cancel), methods=["DELETE"]),
        Route("/api/uploads/{job}/start", told(uploads.start), methods=["POST"]),
    ]


def _write(files: list[UploadFile], folder: Path) -> list[str]:
    make_private(folder)
    taken: list[str] = []
    for file in files:
        name = clean_name(file.filename or "", taken)
        with open_private(folder / name) as kept:
            shutil.copyfileobj(file.file, kept, 1 << 20)
        taken.append(name)
    return taken


def clean_name(given: str, taken: list[str]) -> str:
    """A file's name as a client gave it, without folders and what cannot be shown, short, not hidden, and none of those that
    are taken; "document" where nothing is left."""
    name = unicodedata.normalize("NFC", given.replace("\\", "/").rsplit("/", 1)[-1].encode(errors="replace").decode())
    name = "".join(char for char in name if char.isprintable()).strip().lstrip(".").strip() or "document"
    stem, suffix = os.path.splitext(name)
    suffix = suffix if len(suffix.encode()) <= 16 else ""
    stem = (stem if suffix else name).encode()[: LONGEST - 16 - len(suffix)].decode(errors="ignore") or "document"
    number, made = 1, stem + suffix
    while made.casefold() in {each.casefold() for each in taken}:
        number += 1
        made = f"{stem} ({number}){suffix}"
    return made
