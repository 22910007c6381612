"""The reply of /v1/responses: one object, or the events by which it comes about. Nothing of it is kept."""

from __future__ import annotations

import time
from typing import Any
from uuid import uuid4

from tscli.serve.answer_fields import AnswerFields, is_whole, usage
from tscli.serve.job import Done, Started
from tscli.serve.openai_request import Completion
from tscli.serve.replies import error_message, error_status, json_text
from tscli.serve.served_libraries import ServedLibraries

AT = {"output_index": 0, "content_index": 0}
CODES = {429: "rate_limit_exceeded", 400: "invalid_prompt"}  # of those that OpenAI has for a response; else server_error


class ResponsesReply:
    """See `asking.Reply`."""

    def __init__(self, wanted: Completion, started: Started, served: ServedLibraries) -> None:
        self._wanted, self._fields = wanted, AnswerFields(wanted, started, served)
        self._item_id = f"msg_{uuid4().hex}"
        self._head = {
            "id": f"resp_{uuid4().hex}",
            "object": "response",
            "created_at": int(time.time()),
            "model": wanted.model,
            "instructions": None,  # they had no effect
            "max_output_tokens": wanted.max_new_tokens,
            "metadata": {},
            "parallel_tool_calls": False,
            "previous_response_id": None,
            "reasoning": {"effort": None, "summary": None},
            "store": False,
            "temperature": wanted.sampling.temperature,
            "text": {"format": {"type": "text"}},
            "tool_choice": "none",
            "tools": [],
            "top_p": wanted.sampling.top_p,
            "truncation": "disabled",
            "user": None,
        }
        self._number = 0  # of the events so far

    def whole(self, text: str, done: Done) -> dict[str, Any]:
        """See `asking.Reply`."""
        status = "completed" if is_whole(done) else "incomplete"
        missing = None if is_whole(done) else {"reason": "max_output_tokens"}
        return {
            **self._state(status, [self._item(status, text + self._fields.footnotes(done))]),
            "incomplete_details": missing,
            "usage": usage(done, "input", "output"),
            "tscli": self._fields.details(done),
        }

    def begun(self) -> str:
        """See `asking.Reply`."""
        state = self._state("in_progress", [])
        empty = {**self._item("in_progress", ""), "content": []}
        return (
            self._event("response.created", response=state)
            + self._event("response.in_progress", response=state)
            + self._event("response.output_item.added", output_index=0, item=empty)
            + self._event("response.content_part.added", item_id=self._item_id, **AT, part=_part(""))
        )

    def piece(self, text: str) -> str:
        """See `asking.Reply`."""
        return self._event("response.output_text.delta", item_id=self._item_id, **AT, delta=text, logprobs=[])

    def done(self, text: str, done: Done) -> str:
        """See `asking.Reply`."""
        notes, whole = self._fields.footnotes(done), self.whole(text, done)
        text, last = text + notes, "completed" if is_whole(done) else "incomplete"
        return (
            (self.piece(notes) if notes else "")
            + self._event("response.output_text.done", item_id=self._item_id, **AT, text=text, logprobs=[])
            + self._event("response.content_part.done", item_id=self._item_id, **AT, part=_part(text))
            + self._event("response.output_item.done", output_index=0, item=whole["output"][0])
            + self._event(f"response.{last}", response=whole)
        )

    def failed(self, error: BaseException) -> str:
        """See `asking.Reply`."""
        said = {"code": CODES.get(error_status(error)[0], "server_error"), "message": error_message(error)}
        return self._event("response.failed", response={**self._state("failed", []), "error": said})

    def _state(self, status: str, output: list[dict[str, Any]]) -> dict[str, Any]:
        return {**self._head, "status": status, "error": None, "incomplete_details": None, "output": output, "usage": None}

    def _item(self, status: str, text: str) -> dict[str, Any]:
        return {"id": self._item_id, "type": "message", "role": "assistant", "status": status, "content": [_part(text)]}

    def _event(self, kind: str, **content: Any) -> str:
        self._number += 1
        return f"event: {kind}\ndata: {json_text({'type': kind, 'sequence_number': self._number - 1, **content})}\n\n"


def _part(text: str) -> dict[str, Any]:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
