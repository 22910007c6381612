"""Hands a question to the engine's thread and its events to the event loop; knows nothing of the form of replies."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import suppress
from typing import Any, Protocol, TypeVar

from starlette.requests import Request

from tscli.serve.engine_thread import EngineThread
from tscli.serve.job import Done, Event, Failed, Job, Piece
from tscli.serve.openai_request import Completion
from tscli.serve.served_libraries import Target

T = TypeVar("T")


class ClientGone(Exception):
    """Nobody waits for the reply any more."""


class Reply(Protocol):
    """The objects of one reply, in one of OpenAI's forms; events are text as they are sent."""

    def whole(self, text: str, done: Done) -> dict[str, Any]:
        """The reply to a request that does not stream."""

    def begun(self) -> str:
        """The events before an answer's first piece."""

    def piece(self, text: str) -> str:
        """The event of one piece."""

    def done(self, text: str, done: Done) -> str:
        """The events after the last piece; text: all of them."""

    def failed(self, error: BaseException) -> str:
        """The events where there is no more of an answer."""


class Asking:
    """A job, and what is heard of it."""

    def __init__(self, engine: EngineThread, wanted: Completion) -> None:
        self._engine, self._wanted = engine, wanted
        self._events: asyncio.Queue[Event] = asyncio.Queue()
        self._loop = asyncio.get_running_loop()
        self._job: Job | None = None
        self.is_streamed = False
        self.text = ""

    def job(self, target: Target) -> Job:
        """To be submitted."""
        wanted = self._wanted
        how = wanted.max_new_tokens, wanted.sampling, wanted.stops
        self._job = Job(target, wanted.question, wanted.earlier, *how, tell=self._tell)
        return self._job

    def _tell(self, event: Event) -> None:
        with suppress(RuntimeError):  # where the loop has been closed, nobody hears anything any more
            self._loop.call_soon_threadsafe(self._events.put_nowait, event)

    async def next(self) -> Event:
        """What happens next; `text` is all that was told of the answer."""
        event = await self._events.get()
        if isinstance(event, Piece):
            self.text += event.text
        return event

    async def done(self) -> Done | Failed:
        """The end."""
        while True:
            event = await self.next()
            if isinstance(event, (Done, Failed)):
                return event

    def leave(self) -> None:
        """Nothing more is wanted; of a job that is done already this says nothing."""
        if self._job is not None:
            self._engine.leave(self._job)
            self._job = None  # which refers to this

    async def stream(self, reply: Reply) -> AsyncIterator[str]:
        """The answer as server-sent events."""
        try:
            yield reply.begun()
            while True:
                event = await self.next()
                if isinstance(event, Piece):
                    yield reply.piece(event.text)
                elif isinstance(event, Done):
                    yield reply.done(self.text, event)
                    return
                elif isinstance(event, Failed):
                    yield reply.failed(event.error)
                    return
        finally:
            self.leave()


async def unless_gone(request: Request, wanted: Awaitable[T]) -> T:
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
