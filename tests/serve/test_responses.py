"""/v1/responses, as the `openai` client and plain HTTP ask it; and requests in the shapes in which other programs send them."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx
import openai
import pytest

from tests.serve.conftest import QUESTIONS, Serving
from tscli.serve.answer_fields import SYSTEM

Start = Callable[..., Serving]


@pytest.fixture
def shelf(serving: Start) -> Serving:
    return serving()


def respond(shelf: Serving, asked: object, **more: object) -> httpx.Response:
    return shelf.http.post("/v1/responses", json={"model": "shelf", "input": asked, **more})


def test_the_answer_is_that_of_chat_completions(shelf: Serving) -> None:
    chat = shelf.ask(QUESTIONS[0]).json()
    whole = shelf.client.responses.create(model="shelf", input=QUESTIONS[0])
    assert whole.output_text == chat["choices"][0]["message"]["content"] == "Odile Farrant"
    assert (whole.status, whole.error, whole.incomplete_details) == ("completed", None, None)
    assert whole.usage is not None
    counted = whole.usage.input_tokens, whole.usage.output_tokens, whole.usage.input_tokens_details.cached_tokens
    said = chat["usage"]
    assert counted == (said["prompt_tokens"], said["completion_tokens"], said["prompt_tokens_details"]["cached_tokens"])
    assert whole.model_extra is not None
    assert whole.model_extra["tscli"]["citations"] == chat["tscli"]["citations"]


def test_a_stream_comes_about_in_events_that_the_client_knows(shelf: Serving) -> None:
    text, kinds, numbers = "", list[str](), list[int]()
    with shelf.client.responses.stream(model="shelf", input=QUESTIONS[0]) as stream:
        for event in stream:
            kinds.append(event.type)
            numbers.append(event.sequence_number)
            if event.type == "response.output_text.delta":
                text += event.delta
        whole = stream.get_final_response()
    assert text == whole.output_text == "Odile Farrant"
    assert kinds[:4] == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
    ]
    assert set(kinds[4:-4]) == {"response.output_text.delta"}
    assert kinds[-4:] == [
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]
    assert numbers == list(range(len(kinds)))
    assert whole.model_extra is not None
    assert whole.model_extra["tscli"]["citations"]


def test_it_can_be_asked_by_curl(shelf: Serving) -> None:
    told = respond(shelf, QUESTIONS[0], instructions="Be brief.", citations="text").json()
    assert (told["object"], told["store"], told["previous_response_id"]) == ("response", False, None)
    assert told["output"][0]["content"][0]["text"].startswith("Odile Farrant\n\n[1] ")
    assert SYSTEM in told["tscli"]["notes"]
    lines = respond(shelf, QUESTIONS[0], stream=True).text.split("\n\n")
    assert lines[-1] == ""
    for line in lines[:-1]:
        kind, data = line.split("\n")
        assert json.loads(data.removeprefix("data: "))["type"] == kind.removeprefix("event: ")


def test_an_answer_that_got_too_long_is_incomplete(shelf: Serving) -> None:
    whole = shelf.client.responses.create(model="shelf", input=QUESTIONS[0], max_output_tokens=1)
    assert whole.status == whole.output[0].status == "incomplete"  # type: ignore[union-attr]
    assert whole.incomplete_details is not None
    assert whole.incomplete_details.reason == "max_output_tokens"
    last = respond(shelf, QUESTIONS[0], max_output_tokens=1, stream=True).text.split("\n\n")[-2]
    assert last.startswith("event: response.incomplete\n")


def test_what_would_have_to_be_kept_is_refused_clearly(shelf: Serving) -> None:
    with pytest.raises(openai.BadRequestError, match="no response is kept here") as raised:
        shelf.client.responses.create(model="shelf", input="And why?", previous_response_id="resp_1")
    assert raised.value.param == "previous_response_id"
    with pytest.raises(openai.NotFoundError, match="no library is served"):
        shelf.client.responses.create(model="none", input="Who?")


def test_an_error_behind_the_first_event_ends_the_stream(shelf: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("the harbour master")

    monkeypatch.setattr("tscli.serve.engine_thread.find_evidence", broken)
    last = respond(shelf, QUESTIONS[0], stream=True).text.split("\n\n")[-2]
    assert last.startswith("event: response.failed\n")
    said = json.loads(last.split("data: ")[1])["response"]
    assert (said["status"], said["error"]["code"]) == ("failed", "server_error")
    assert "harbour" not in last


OPEN_WEBUI = {  # its chats, as they come behind its own filters: a system prompt, what was said, and settings of its own
    "model": "shelf",
    "stream": True,
    "stream_options": {"include_usage": True},
    "messages": [
        {"role": "system", "content": "You are a helpful assistant."},
        {"role": "user", "content": "Who is the harbour master?"},
        {"role": "assistant", "content": "Odile Farrant"},
        {"role": "user", "content": [{"type": "text", "text": "What is the ferry called?"}]},
    ],
    "temperature": 0.0,
    "top_p": 0.9,
    "frequency_penalty": 0,
    "seed": 0,
    "stop": ["\n\n\n"],
    "max_tokens": 64,
    "user": {"name": "A", "id": "1", "email": "a@b", "role": "admin"},
    "metadata": {"chat_id": "1", "message_id": "2"},
    "tools": [],
}
LITELLM = {  # its proxy's, with what clients of other providers send along
    "model": "shelf",
    "messages": [{"role": "user", "content": "What is the ferry called?", "name": "a"}],
    "max_completion_tokens": 64,
    "parallel_tool_calls": True,
    "response_format": {"type": "text"},
    "logit_bias": {},
    "logprobs": False,
    "top_logprobs": None,
    "presence_penalty": 0.0,
    "reasoning_effort": "low",
    "service_tier": "auto",
    "extra_headers": {"x": "y"},
    "n": 1,
    "user": "a",
}
LITELLM_RESPONSES = {
    "model": "shelf",
    "input": [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": "What is the ferry called?"}]}],
    "instructions": "",
    "include": [],
    "max_output_tokens": 64,
    "metadata": {"a": "b"},
    "parallel_tool_calls": True,
    "reasoning": {"effort": "low"},
    "store": True,
    "stream": False,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "tools": [],
    "truncation": "disabled",
    "user": "a",
}


def test_requests_in_the_shape_of_open_webui_are_answered(shelf: Serving) -> None:
    reply = shelf.http.post("/v1/chat/completions", json=OPEN_WEBUI, headers={"X-OpenWebUI-User-Name": "A"})
    told: list[Any] = [json.loads(line[6:]) for line in reply.text.split("\n\n")[:-2]]
    assert "".join(one["choices"][0]["delta"].get("content", "") for one in told[:-1]) == "the Petrel"
    assert told[-1]["usage"]["completion_tokens"] > 0
    listed = shelf.http.get("/v1/models", headers={"Authorization": "Bearer x"}).json()
    assert {"id", "object", "owned_by"} <= set(listed["data"][0])


def test_requests_in_the_shape_of_litellm_are_answered(shelf: Serving) -> None:
    chat = shelf.http.post("/v1/chat/completions", json=LITELLM).json()
    assert chat["choices"][0]["message"]["content"] == "the Petrel"
    response = shelf.http.post("/v1/responses", json=LITELLM_RESPONSES).json()
    assert response["output"][0]["content"][0]["text"] == "the Petrel"
