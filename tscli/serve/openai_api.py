"""/v1/models and /v1/chat/completions: libraries as models, asked by whatever speaks to OpenAI's API.

An answer's citations and statistics are in the field `tscli`, which standard clients ignore.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable
from contextlib import suppress
from datetime import datetime
from typing import Any, TypeVar
from uuid import uuid4

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from tscli.errors import LibraryError, TscliError
from tscli.evidence import sources_json, statistics_json
from tscli.serve.engine_thread import EngineThread
from tscli.serve.job import Begun, Done, Event, Failed, Job, Piece
from tscli.serve.openai_request import Completion, read_completion, read_json
from tscli.serve.places import citation_place, map_place
from tscli.serve.replies import (
    CLIENT_GONE,
    BadRequest,
    error_content,
    error_message,
    error_status,
    json_reply,
    json_text,
    model_label,
    reply_of,
    without_paths,
)
from tscli.serve.settings import ServeSettings
from tscli.serve.shelf import PAPER, Asked, Shelf

BODY_S = 30.0  # within which a request's body must have come
SYSTEM = "the system message has no effect: a library's own instruction stands before its documents (tscli ingest --system)"
ALONE = "earlier messages have no effect: this model's chat template has no further turns"
T = TypeVar("T")


class ClientGone(Exception):
    """Nobody waits for the reply any more."""


class OpenAIRoutes:
    """The endpoints over these libraries, answered by this engine."""

    def __init__(self, shelf: Shelf, engine: EngineThread, settings: ServeSettings) -> None:
        self._shelf, self._engine, self._settings = shelf, engine, settings

    def routes(self) -> list[Route]:
        """What the application routes here."""
        return [
            Route("/v1/models", self.models),
            Route("/v1/models/{model:path}", self.model),
            Route("/v1/chat/completions", self.complete, methods=["POST"]),
        ]

    def models(self, request: Request) -> Response:
        """Each library, and each to be asked by the paper's way."""
        names = [name + way for name in self._shelf.names for way in ("", PAPER)]
        return json_reply({"object": "list", "data": [self._model(name) for name in names]})

    def model(self, request: Request) -> Response:
        """One of them."""
        name = request.path_params["model"]
        if self._shelf.find(name) is None:
            return reply_of(_unknown(name))
        return json_reply(self._model(name))

    def _model(self, name: str) -> dict[str, Any]:
        about: dict[str, Any] = {"id": name, "object": "model", "created": 0, "owned_by": "tscli"}
        asked = self._shelf.find(name)
        try:
            manifests = [self._shelf.manifest(one) for one in asked.names] if asked else []
        except LibraryError as error:
            said = str(error)
            for one in asked.names if asked else ():
                said = without_paths(said, one, self._shelf.folder(one))
            return {**about, "tscli": {"error": said}}
        details = {
            "model": model_label(manifests[0].fingerprint.model_id) if manifests else None,
            "tokens": sum(manifest.num_tokens for manifest in manifests),
            "documents": sum(len(manifest.documents) for manifest in manifests),
        }
        created = max((_seconds(manifest.created) for manifest in manifests), default=0)
        return {**about, "created": created, "tscli": details}

    async def complete(self, request: Request) -> Response:
        """A question, answered at once or piece by piece."""
        try:
            body = await asyncio.wait_for(request.body(), BODY_S)
        except TimeoutError:
            return reply_of(BadRequest(f"the body did not come within {BODY_S:.0f} s", status=408))
        except ClientDisconnect:
            return Response(status_code=CLIENT_GONE)
        try:
            wanted = read_completion(read_json(body), self._settings.max_new_tokens)
            asked = self._shelf.find(wanted.model)
            if asked is None:
                raise _unknown(wanted.model)
            asking = _Asking(self._engine, wanted)
            self._engine.submit(asking.job(asked))
        except TscliError as error:
            return reply_of(error)
        return await self._answer(request, asking, wanted)

    async def _answer(self, request: Request, asking: _Asking, wanted: Completion) -> Response:
        try:
            begun = await _unless_gone(request, asking.next())
            if isinstance(begun, Failed):
                return reply_of(begun.error)
            assert isinstance(begun, Begun)
            reply = _Reply(wanted, begun, self._shelf)
            if wanted.stream:
                chunks, asking.is_streamed = asking.chunks(reply), True
                return StreamingResponse(chunks, media_type="text/event-stream", headers={"Cache-Control": "no-store"})
            done = await _unless_gone(request, asking.done())
            return reply_of(done.error) if isinstance(done, Failed) else json_reply(reply.whole(asking.text, done))
        except ClientGone:
            return Response(status_code=CLIENT_GONE)
        finally:
            if not asking.is_streamed:
                asking.leave()


class _Asking:
    """A job on the engine's thread, heard on the event loop's."""

    def __init__(self, engine: EngineThread, wanted: Completion) -> None:
        self._engine, self._wanted = engine, wanted
        self._events: asyncio.Queue[Event] = asyncio.Queue()
        self._loop = asyncio.get_running_loop()
        self._job: Job | None = None
        self.is_streamed = False
        self.text = ""

    def job(self, asked: Asked) -> Job:
        """To be submitted."""
        wanted = self._wanted
        how = wanted.max_new_tokens, wanted.sampling, wanted.stops
        self._job = Job(asked, wanted.question, wanted.earlier, *how, tell=self._tell)
        return self._job

    def _tell(self, event: Event) -> None:
        with suppress(RuntimeError):  # where the loop has been closed, nobody hears anything any more
            self._loop.call_soon_threadsafe(self._events.put_nowait, event)

    async def next(self) -> Event:
        """What happens next."""
        return await self._events.get()

    async def done(self) -> Done | Failed:
        """The end; `text` is then all of the answer."""
        while True:
            event = await self._events.get()
            if isinstance(event, Piece):
                self.text += event.text
            elif isinstance(event, (Done, Failed)):
                return event

    def leave(self) -> None:
        """Nothing more is wanted; of a job that is done already this says nothing."""
        if self._job is not None:
            self._engine.leave(self._job)
            self._job = None  # which refers to this

    async def chunks(self, reply: _Reply) -> AsyncIterator[str]:
        """The answer as server-sent events."""
        try:
            yield reply.chunk({"role": "assistant", "content": ""})
            while True:
                event = await self._events.get()
                if isinstance(event, Piece):
                    yield reply.chunk({"content": event.text})
                elif isinstance(event, Done):
                    if notes := reply.footnotes(event):
                        yield reply.chunk({"content": notes})
                    yield reply.chunk({}, finish=_reason(event), tscli=reply.details(event))
                    if self._wanted.include_usage:
                        yield reply.usage_chunk(event)
                    break
                elif isinstance(event, Failed):
                    status, code = error_status(event.error)
                    yield _sent(error_content(status, error_message(event.error), None, code))
                    break
            yield "data: [DONE]\n\n"
        finally:
            self.leave()


class _Reply:
    """The objects of one reply."""

    def __init__(self, wanted: Completion, begun: Begun, shelf: Shelf) -> None:
        self._wanted, self._shelf = wanted, shelf
        self._head = {"id": f"chatcmpl-{uuid4().hex}", "created": int(time.time()), "model": wanted.model}
        self._notes = [SYSTEM] if wanted.has_system else []
        if wanted.earlier and not begun.follows_up:
            self._notes.append(ALONE)

    def whole(self, text: str, done: Done) -> dict[str, Any]:
        """The reply to a request that does not stream."""
        message = {"role": "assistant", "content": text + self.footnotes(done), "refusal": None}
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": _reason(done)}
        rest = {"usage": _usage(done), "tscli": self.details(done)}
        return {**self._head, "object": "chat.completion", "choices": [choice], **rest}

    def chunk(self, delta: dict[str, str], finish: str | None = None, **more: Any) -> str:
        """One event of a stream."""
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        usage = {"usage": None} if self._wanted.include_usage else {}
        return _sent({**self._head, "object": "chat.completion.chunk", "choices": [choice], **usage, **more})

    def usage_chunk(self, done: Done) -> str:
        """The event behind the last one, for those who asked for it."""
        return _sent({**self._head, "object": "chat.completion.chunk", "choices": [], "usage": _usage(done)})

    def footnotes(self, done: Done) -> str:
        """The citations as lines below the answer, where that is wanted."""
        if not self._wanted.footnotes or not done.evidence.citations:
            return ""
        lines = (f'[{n}] {one.place}: "{one.quote}"' for n, one in enumerate(done.evidence.citations, start=1))
        return "\n\n" + "\n".join(lines)

    def details(self, done: Done) -> dict[str, Any]:
        """The field `tscli`: as of `tscli ask --json`, with a map of where the answer looked."""
        context, names = done.session.context, self._shelf.served_names(done.session)
        library = " + ".join(names.values())
        seen = [
            {"library": names.get(one.library, library), "file": one.file, "share": one.share, "cells": one.cells}
            | map_place(one, context)
            for one in done.map
        ]
        sources = sources_json(done.session, done.answer, done.evidence)
        for told, one in zip(sources["citations"], done.evidence.citations, strict=True):
            told.update(citation_place(one, context))
        for told in (*sources["citations"], *sources["sources"]):
            told["library"] = names.get(told["library"], library)
        return {
            "library": library,
            "model": model_label(done.session.model_name),
            **sources,
            "statistics": statistics_json(done.answer.statistics),
            "map": seen,
            "notes": [*self._notes, *done.answer.statistics.notes],
        }


async def _unless_gone(request: Request, wanted: Awaitable[T]) -> T:
    """What is waited for; ClientGone where the client leaves before."""
    result, gone = asyncio.ensure_future(wanted), asyncio.ensure_future(_gone(request))
    try:
        await asyncio.wait({result, gone}, return_when=asyncio.FIRST_COMPLETED)
        if result.done():
            return result.result()
        raise ClientGone
    finally:
        result.cancel()
        gone.cancel()


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _unknown(name: str) -> BadRequest:
    return BadRequest(
        f"no library is served by the name {name[:100]!r}; /v1/models lists them", "model", "model_not_found", 404
    )


def _sent(content: Any) -> str:
    return f"data: {json_text(content)}\n\n"


def _reason(done: Done) -> str:
    return "stop" if done.stopped or done.answer.statistics.stop_reason == "end" else "length"


def _usage(done: Done) -> dict[str, Any]:
    s = done.answer.statistics
    prompt = s.cached_tokens + s.prompt_tokens
    return {
        "prompt_tokens": prompt,
        "completion_tokens": s.generated_tokens,
        "total_tokens": prompt + s.generated_tokens,
        "prompt_tokens_details": {"cached_tokens": s.cached_tokens - s.recomputed_tokens},
        "completion_tokens_details": {"reasoning_tokens": s.thought_tokens},
    }


def _seconds(moment: str) -> int:
    try:
        return int(datetime.fromisoformat(moment).timestamp())
    except ValueError:
        return 0
