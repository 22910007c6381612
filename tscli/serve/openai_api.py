"""/v1/models, /v1/chat/completions and /v1/responses: libraries as models, asked by whatever speaks to OpenAI's API.

An answer's citations and statistics are in the field `tscli`, which standard clients ignore.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from tscli.errors import LibraryError, TscliError
from tscli.serve.asking import Asking, ClientGone, Reply, unless_gone
from tscli.serve.chat_reply import ChatReply
from tscli.serve.engine_thread import EngineThread
from tscli.serve.job import Failed, Started
from tscli.serve.openai_request import Completion, read_completion, read_json, read_response
from tscli.serve.replies import CLIENT_GONE, BadRequest, json_reply, model_label, reply_of, without_paths
from tscli.serve.responses_reply import ResponsesReply
from tscli.serve.served_libraries import PAPER, ServedLibraries
from tscli.serve.settings import ServeSettings

BODY_S = 30.0  # within which a request's body must have come


@dataclass(frozen=True)
class Form:
    """A way in which questions are put and answered. read: of a body, and of the most tokens where it does not say."""

    read: Callable[[Mapping[str, Any], int], Completion]
    reply: Callable[[Completion, Started, ServedLibraries], Reply]


CHAT, RESPONSES = Form(read_completion, ChatReply), Form(read_response, ResponsesReply)


class OpenAIRoutes:
    """The endpoints over these libraries, answered by this engine."""

    def __init__(self, served: ServedLibraries, engine: EngineThread, settings: ServeSettings) -> None:
        self._served, self._engine, self._settings = served, engine, settings

    def routes(self) -> list[Route]:
        """What the application routes here."""
        return [
            Route("/v1/models", self.models),
            Route("/v1/models/{model:path}", self.model),
            Route("/v1/chat/completions", self.complete, methods=["POST"]),
            Route("/v1/responses", self.respond, methods=["POST"]),
        ]

    def models(self, request: Request) -> Response:
        """Each library, and each to be asked by the paper's way."""
        names = [name + way for name in self._served.names for way in ("", PAPER)]
        return json_reply({"object": "list", "data": [self._model(name) for name in names]})

    def model(self, request: Request) -> Response:
        """One of them."""
        name = request.path_params["model"]
        if self._served.find(name) is None:
            return reply_of(_unknown(name))
        return json_reply(self._model(name))

    def _model(self, name: str) -> dict[str, Any]:
        about: dict[str, Any] = {"id": name, "object": "model", "created": 0, "owned_by": "tscli"}
        target = self._served.find(name)
        try:
            manifests = [self._served.manifest(one) for one in target.names] if target else []
        except LibraryError as error:
            said = str(error)
            for one in target.names if target else ():
                said = without_paths(said, one, self._served.folder(one))
            return {**about, "tscli": {"error": said}}
        details = {
            "model": model_label(manifests[0].fingerprint.model_id) if manifests else None,
            "tokens": sum(manifest.num_tokens for manifest in manifests),
            "documents": sum(len(manifest.documents) for manifest in manifests),
        }
        created = max((_seconds(manifest.created) for manifest in manifests), default=0)
        return {**about, "created": created, "tscli": details}

    async def complete(self, request: Request) -> Response:
        """A question as chat completions put it, answered at once or piece by piece."""
        return await self._asked(request, CHAT)

    async def respond(self, request: Request) -> Response:
        """The same as responses put it."""
        return await self._asked(request, RESPONSES)

    async def _asked(self, request: Request, form: Form) -> Response:
        try:
            body = await asyncio.wait_for(request.body(), BODY_S)
        except TimeoutError:
            return reply_of(BadRequest(f"the body did not come within {BODY_S:.0f} s", status=408))
        except ClientDisconnect:
            return Response(status_code=CLIENT_GONE)
        try:
            wanted = form.read(read_json(body), self._settings.max_new_tokens)
            target = self._served.find(wanted.model)
            if target is None:
                raise _unknown(wanted.model)
            asking = Asking(self._engine, wanted)
            self._engine.submit(asking.job(target))
        except TscliError as error:
            return reply_of(error)
        return await self._answer(request, asking, wanted, form)

    async def _answer(self, request: Request, asking: Asking, wanted: Completion, form: Form) -> Response:
        try:
            started = await unless_gone(request, asking.next())
            if isinstance(started, Failed):
                return reply_of(started.error)
            assert isinstance(started, Started)
            reply = form.reply(wanted, started, self._served)
            if wanted.stream:
                events, asking.is_streamed = asking.stream(reply), True
                return StreamingResponse(events, media_type="text/event-stream", headers={"Cache-Control": "no-store"})
            done = await unless_gone(request, asking.done())
            return reply_of(done.error) if isinstance(done, Failed) else json_reply(reply.whole(asking.text, done))
        except ClientGone:
            return Response(status_code=CLIENT_GONE)
        finally:
            if not asking.is_streamed:
                asking.leave()


def _unknown(name: str) -> BadRequest:
    return BadRequest(
        f"no library is served by the name {name[:100]!r}; /v1/models lists them", "model", "model_not_found", 404
    )


def _seconds(moment: str) -> int:
    try:
        return int(datetime.fromisoformat(moment).timestamp())
    except ValueError:
        return 0
