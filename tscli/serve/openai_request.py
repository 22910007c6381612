"""What a request of chat completions or responses asks for; BadRequest names a wrong field, unknown ones are ignored."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tscli.answer.decode import Sampling
from tscli.errors import UsageError
from tscli.serve.replies import BadRequest

MOST_STOPS = 16
MOST_TEMPERATURE = 2.0
PARTS = {"text": "text", "input_text": "text", "output_text": "text", "refusal": "refusal"}  # where a part has its text

KEPT = ("previous_response_id", "conversation", "prompt")  # fields of responses that name what a server keeps
UNSPOKEN = ("reasoning", "function_call", "function_call_output")  # items of responses that nobody said


@dataclass(frozen=True)
class Completion:
    """One question. earlier: questions and answers before it. footnotes: whether citations are to stand below the text.

    has_system: whether an instruction came along, which has no effect: a library's own stands before its documents.
    """

    model: str
    question: str
    earlier: tuple[tuple[str, str], ...]
    max_new_tokens: int
    sampling: Sampling
    stops: tuple[str, ...]
    stream: bool
    include_usage: bool
    footnotes: bool
    has_system: bool


def read_json(body: bytes) -> Mapping[str, Any]:
    """A body's JSON object."""
    try:
        content = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise BadRequest(f"the body is not valid JSON: {str(error)[:200]}") from error
    if not isinstance(content, dict):
        raise BadRequest("the body must be a JSON object")
    return content


def read_completion(body: Mapping[str, Any], max_new_tokens: int) -> Completion:
    """What is asked; max_new_tokens: where the request does not say."""
    if body.get("n") not in (None, 1):
        raise BadRequest("n must be 1: only one answer is generated", "n")
    question, earlier, has_system = _conversation(body.get("messages"), "messages")
    options = body.get("stream_options")
    if options is not None and not isinstance(options, dict):
        raise BadRequest("stream_options must be an object", "stream_options")
    most = "max_completion_tokens" if body.get("max_completion_tokens") is not None else "max_tokens"
    return Completion(
        model=_model(body),
        question=question,
        earlier=earlier,
        max_new_tokens=_whole(body, most, max_new_tokens),
        sampling=_sampling(body),
        stops=_stops(body.get("stop")),
        stream=_flag(body, "stream"),
        include_usage=_flag(options or {}, "include_usage"),
        footnotes=_footnotes(body),
        has_system=has_system,
    )


def read_response(body: Mapping[str, Any], max_new_tokens: int) -> Completion:
    """As `read_completion`, of a request of responses."""
    for name in KEPT:
        if body.get(name) is not None:
            raise BadRequest(
                f"{name} has nothing to refer to: no response is kept here; send the turns before it as input", name
            )
    if _flag(body, "background"):
        raise BadRequest("background must be false: a response is only sent to the client that waits for it", "background")
    asked, instructions = body.get("input"), body.get("instructions")
    if instructions is not None and not isinstance(instructions, str):
        raise BadRequest("instructions must be a text", "instructions")
    items = [{"role": "user", "content": asked}] if isinstance(asked, str) else asked
    question, earlier, has_system = _conversation(items, "input")
    return Completion(
        model=_model(body),
        question=question,
        earlier=earlier,
        max_new_tokens=_whole(body, "max_output_tokens", max_new_tokens),
        sampling=_sampling(body),
        stops=(),
        stream=_flag(body, "stream"),
        include_usage=False,
        footnotes=_footnotes(body),
        has_system=has_system or bool(instructions),
    )


def _model(body: Mapping[str, Any]) -> str:
    model = body.get("model")
    if not isinstance(model, str) or not model:
        raise BadRequest("model must name a library; /v1/models lists them", "model")
    return model


def _footnotes(body: Mapping[str, Any]) -> bool:
    citations = body.get("citations")
    if citations not in (None, "text", "json"):
        raise BadRequest('citations must be "json" (the field tscli) or "text" (footnotes, too)', "citations")
    return bool(citations == "text")


def _sampling(body: Mapping[str, Any]) -> Sampling:
    temperature, top_p = _number(body, "temperature", 0.0), _number(body, "top_p", 1.0)
    if temperature > MOST_TEMPERATURE:
        raise BadRequest(f"temperature must be from 0 to {MOST_TEMPERATURE:g}", "temperature")
    seed = body.get("seed")
    if seed is not None and (isinstance(seed, bool) or not isinstance(seed, int)):
        raise BadRequest("seed must be a whole number", "seed")
    try:
        return Sampling(temperature, top_p, seed)
    except UsageError as error:
        param = next(name for name in ("temperature", "top_p", "seed") if str(error).startswith(name.replace("_", "-")))
        raise BadRequest(str(error), param) from error


def _stops(stop: object) -> tuple[str, ...]:
    stops = [stop] if isinstance(stop, str) else [] if stop is None else stop
    if not isinstance(stops, list) or not all(isinstance(one, str) and one for one in stops) or len(stops) > MOST_STOPS:
        raise BadRequest(f"stop must be a text, or a list of at most {MOST_STOPS}, and none of them empty", "stop")
    return tuple(stops)


def _number(body: Mapping[str, Any], name: str, default: float) -> float:
    value = body.get(name)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise BadRequest(f"{name} must be a number", name)
    try:
        return float(value)
    except OverflowError as error:
        raise BadRequest(f"{name} is too large", name) from error


def _whole(body: Mapping[str, Any], name: str, default: int) -> int:
    value = body.get(name)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise BadRequest(f"{name} must be a whole number from 1 on", name)
    return value


def _flag(body: Mapping[str, Any], name: str) -> bool:
    value = body.get(name)
    if value is not None and not isinstance(value, bool):
        raise BadRequest(f"{name} must be true or false", name)
    return bool(value)


def _conversation(messages: object, field: str) -> tuple[str, tuple[tuple[str, str], ...], bool]:
    """The last question, the turns before it, and whether there is an instruction. Questions without an answer between them
    are one. field: where the messages stand."""
    if not isinstance(messages, list) or not messages:
        also = "a text, or " if field == "input" else ""
        raise BadRequest(f"{field} must be {also}a list with at least one message", field)
    questions, earlier, has_system = list[str](), list[tuple[str, str]](), False
    for number, message in enumerate(messages):
        at = f"{field}[{number}]"
        if not isinstance(message, dict):
            raise BadRequest(f"{at} must be an object", field)
        if field == "input" and message.get("type", "message") in UNSPOKEN:
            continue
        role, text = message.get("role"), _text(message.get("content"), at, field)
        if any("\ud800" <= char <= "\udfff" for char in text):
            raise BadRequest(f"{at}.content holds half a character (\\ud800); send it whole", field)
        if role in ("system", "developer"):
            has_system = True
        elif role == "user":
            questions.append(text)
        elif role == "assistant":
            if questions and text.strip():
                earlier.append(("\n".join(questions), text))
                questions = []
        elif role not in ("tool", "function"):
            raise BadRequest(f"{at}.role must be system, user or assistant", field)
    question = "\n".join(questions)
    if not question.strip():
        raise BadRequest("the last message must be a question: of the user, and not empty", field)
    return question, tuple(earlier), has_system


def _text(content: object, at: str, field: str) -> str:
    """A message's text; it may come in parts."""
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise BadRequest(f"{at}.content must be a text or a list of parts", field)
    texts = list[str]()
    for part in content:
        text = part.get(PARTS.get(str(part.get("type")), "")) if isinstance(part, dict) else None
        if not isinstance(text, str):
            raise BadRequest(f"{at}.content: only parts of text can be read", field)
        texts.append(text)
    return "".join(texts)
