"""Requests as clients write them are understood; each wrong field is named."""

from __future__ import annotations

from typing import Any

import pytest

from tscli.serve.openai_request import read_completion, read_json, read_response
from tscli.serve.replies import BadRequest

USER = {"role": "user", "content": "Who?"}


def read(**more: Any) -> Any:
    return read_completion({"model": "shelf", "messages": [USER], **more}, 128)


def test_what_is_not_said_has_the_defaults_of_ask() -> None:
    wanted = read()
    assert (wanted.question, wanted.earlier, wanted.max_new_tokens, wanted.stops) == ("Who?", (), 128, ())
    assert (wanted.sampling.temperature, wanted.sampling.top_p, wanted.sampling.seed) == (0.0, 1.0, None)
    assert not wanted.stream


def test_null_is_as_if_it_was_left_out() -> None:
    names = ("n", "stop", "max_tokens", "temperature", "top_p", "seed", "stream", "stream_options", "citations")
    assert read(**dict.fromkeys(names)) == read()


def test_half_a_character_is_refused_wherever_it_stands() -> None:
    for messages in ([{"role": "user", "content": "\ud800?"}], [USER, {"role": "assistant", "content": "\udfff"}, USER]):
        with pytest.raises(BadRequest, match="half a character") as told:
            read(messages=messages)
        assert told.value.param == "messages"


def test_a_stop_that_is_empty_is_said_to_be_that() -> None:
    for stop in ("", [""]):
        with pytest.raises(BadRequest, match="none of them empty"):
            read(stop=stop)


def test_the_newer_name_of_the_longest_answer_goes_first() -> None:
    assert read(max_tokens=5).max_new_tokens == 5
    assert read(max_tokens=5, max_completion_tokens=7).max_new_tokens == 7


def test_earlier_turns_are_questions_and_their_answers() -> None:
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hello"},
        {"role": "user", "content": [{"type": "text", "text": "Who "}, {"type": "text", "text": "is it?"}]},
        {"role": "assistant", "content": "Odile."},
        {"role": "assistant", "content": None, "tool_calls": []},
        {"role": "user", "content": "And then?"},
    ]
    wanted = read(messages=messages)
    assert wanted.earlier == (("Hello\nWho is it?", "Odile."),)
    assert wanted.question == "And then?"
    assert wanted.has_system


def test_what_open_webui_and_litellm_send_beside_is_ignored() -> None:
    more = {
        "stream": True,
        "stream_options": {"include_usage": True},
        "user": "u1",
        "metadata": {"chat_id": "1"},
        "tools": [],
        "tool_choice": "auto",
        "response_format": {"type": "text"},
        "frequency_penalty": 0,
        "presence_penalty": 0,
        "logit_bias": {},
        "logprobs": False,
        "parallel_tool_calls": True,
        "extra_body": {},
        "store": False,
    }
    wanted = read(**more)
    assert wanted.stream
    assert wanted.include_usage


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("model", None),
        ("model", 5),
        ("messages", None),
        ("messages", []),
        ("messages", "Who?"),
        ("messages", ["Who?"]),
        ("messages", [{"role": "user", "content": " "}]),
        ("messages", [USER, {"role": "assistant", "content": "Odile."}]),
        ("messages", [{"role": "wizard", "content": "Who?"}]),
        ("messages", [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "file:///etc/passwd"}}]}]),
        ("messages", [{"role": "user", "content": [5]}]),
        ("messages", [{"role": "user", "content": {"text": "Who?"}}]),
        ("n", 2),
        ("stop", 5),
        ("stop", ["a"] * 17),
        ("stop", [""]),
        ("max_tokens", 0),
        ("max_tokens", 1.5),
        ("max_tokens", True),
        ("max_completion_tokens", "9"),
        ("temperature", -1),
        ("temperature", 3),
        ("temperature", "hot"),
        ("temperature", float("nan")),
        ("temperature", 10**400),
        ("top_p", 0),
        ("top_p", 1.5),
        ("seed", "x"),
        ("seed", 1 << 70),
        ("stream", "yes"),
        ("stream_options", []),
        ("citations", "html"),
    ],
)
def test_a_wrong_field_is_named(field: str, value: object) -> None:
    with pytest.raises(BadRequest) as raised:
        read(**{field: value})
    assert raised.value.param == field
    assert raised.value.status == 400


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("model", None),
        ("input", None),
        ("input", " "),
        ("input", []),
        ("input", 5),
        ("input", ["Who?"]),
        ("input", [{"type": "item_reference", "id": "msg_1"}]),
        ("input", [{"role": "user", "content": [{"type": "input_image", "image_url": "file:///etc/passwd"}]}]),
        ("input", [{"role": "user", "content": "\ud800?"}]),
        ("instructions", 5),
        ("previous_response_id", "resp_1"),
        ("conversation", "conv_1"),
        ("prompt", {"id": "pmpt_1"}),
        ("background", True),
        ("max_output_tokens", 0),
        ("temperature", 3),
        ("stream", "yes"),
        ("citations", "html"),
    ],
)
def test_a_wrong_field_of_a_response_is_named(field: str, value: object) -> None:
    with pytest.raises(BadRequest) as raised:
        read_response({"model": "shelf", "input": "Who?", field: value}, 128)
    assert raised.value.param == field
    assert raised.value.status == 400


def test_the_input_of_a_response_is_a_text_or_a_conversation_of_which_some_was_said_by_nobody() -> None:
    said = read_response({"model": "shelf", "input": "Who?"}, 9)
    assert (said.question, said.earlier, said.max_new_tokens, said.has_system) == ("Who?", (), 9, False)
    items = [
        {"role": "developer", "content": "Be brief."},
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Who is it?"}]},
        {"type": "reasoning", "id": "rs_1", "summary": []},
        {"type": "function_call", "call_id": "call_1", "name": "look", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "call_1", "output": "nothing"},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Odile.", "annotations": []}]},
        {"role": "user", "content": "And since when?"},
    ]
    wanted = read_response({"model": "shelf", "input": items, "max_output_tokens": 5, "instructions": None}, 9)
    assert (wanted.question, wanted.earlier) == ("And since when?", (("Who is it?", "Odile."),))
    assert (wanted.max_new_tokens, wanted.has_system) == (5, True)
    assert read_response({"model": "shelf", "input": "Who?", "instructions": "Be brief."}, 9).has_system


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"Who?"', b"\xff\xfe", b"[" * 100_000, b"{}x"])
def test_what_is_no_json_object_is_refused(body: bytes) -> None:
    with pytest.raises(BadRequest):
        read_json(body)
