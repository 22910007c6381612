"""The reply of /v1/chat/completions: one object, or chunks of it."""

from __future__ import annotations

import time
from typing import Any
from uuid import uuid4

from tscli.serve.answer_fields import AnswerFields, is_whole, usage
from tscli.serve.job import Done, Started
from tscli.serve.openai_request import Completion
from tscli.serve.replies import error_content, error_message, error_status, json_text
from tscli.serve.served_libraries import ServedLibraries

END = "data: [DONE]\n\n"


class ChatReply:
    """See `asking.Reply`."""

    def __init__(self, wanted: Completion, started: Started, served: ServedLibraries) -> None:
        self._wanted, self._fields = wanted, AnswerFields(wanted, started, served)
        self._head = {"id": f"chatcmpl-{uuid4().hex}", "created": int(time.time()), "model": wanted.model}

    def whole(self, text: str, done: Done) -> dict[str, Any]:
        """See `asking.Reply`."""
        message = {"role": "assistant", "content": text + self._fields.footnotes(done), "refusal": None}
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": _reason(done)}
        rest = {"usage": _usage(done), "tscli": self._fields.details(done)}
        return {**self._head, "object": "chat.completion", "choices": [choice], **rest}

    def begun(self) -> str:
        """See `asking.Reply`."""
        return self._chunk({"role": "assistant", "content": ""})

    def piece(self, text: str) -> str:
        """See `asking.Reply`."""
        return self._chunk({"content": text})

    def done(self, text: str, done: Done) -> str:
        """See `asking.Reply`; the usage after the last chunk, for those who asked for it."""
        notes = self._fields.footnotes(done)
        last = self._chunk({}, finish=_reason(done), tscli=self._fields.details(done))
        counted = _sent({**self._head, "object": "chat.completion.chunk", "choices": [], "usage": _usage(done)})
        return (self.piece(notes) if notes else "") + last + (counted if self._wanted.include_usage else "") + END

    def failed(self, error: BaseException) -> str:
        """See `asking.Reply`."""
        status, code = error_status(error)
        return _sent(error_content(status, error_message(error), None, code)) + END

    def _chunk(self, delta: dict[str, str], finish: str | None = None, **more: Any) -> str:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        counted = {"usage": None} if self._wanted.include_usage else {}
        return _sent({**self._head, "object": "chat.completion.chunk", "choices": [choice], **counted, **more})


def _sent(content: Any) -> str:
    return f"data: {json_text(content)}\n\n"


def _reason(done: Done) -> str:
    return "stop" if is_whole(done) else "length"


def _usage(done: Done) -> dict[str, Any]:
    return usage(done, "prompt", "completion")
