"""A real server, asked as its users will ask it: by the `openai` client and by plain HTTP."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import openai
import pytest

import tscli
from tests.evidence.test_report import HOSTILE as XSS
from tests.serve.conftest import QUESTIONS, Serving, ingest
from tscli import internals

Start = Callable[..., Serving]
MESSAGES = [{"role": "user", "content": QUESTIONS[0]}]


@pytest.fixture
def shelf(serving: Start) -> Serving:
    return serving()


def asked_by_hand(question: str, **how: Any) -> tuple[tscli.Answer, dict[str, Any]]:
    """As `tscli ask --json` has it."""
    with tscli.open_library("shelf") as session:
        stream = session.ask(question, **how)
        list(stream)
        return stream.answer, internals.answer_json(session, stream.answer, tscli.find_evidence(session, stream.answer))


def events(text: str) -> list[Any]:
    lines = [line.removeprefix("data: ") for line in text.split("\n\n") if line]
    assert lines[-1] == "[DONE]"
    return [json.loads(line) for line in lines[:-1]]


@pytest.mark.parametrize("question", QUESTIONS)
def test_streamed_or_not_the_answer_is_that_of_ask(shelf: Serving, question: str) -> None:
    by_hand, line = asked_by_hand(question)
    messages: Any = [{"role": "user", "content": question}]
    whole = shelf.client.chat.completions.create(model="shelf", messages=messages)
    pieces = list(shelf.client.chat.completions.create(model="shelf", messages=messages, stream=True))
    assert whole.choices[0].message.content == by_hand.text
    assert "".join(piece.choices[0].delta.content or "" for piece in pieces) == by_hand.text
    assert pieces[-1].choices[0].finish_reason == whole.choices[0].finish_reason == "stop"
    for told in (whole.model_extra, pieces[-1].model_extra):
        assert told is not None
        for name in ("citations", "sources"):  # of which the page wants more
            pairs = zip(told["tscli"][name], line[name], strict=True)
            assert [{key: one.get(key) for key in wanted} for one, wanted in pairs] == line[name]
        assert told["tscli"]["weak"] == line["weak"]
        assert told["tscli"]["statistics"]["tokens"] == line["tokens"]


def test_the_documents_are_counted_as_cached(shelf: Serving) -> None:
    usage = shelf.client.chat.completions.create(model="shelf", messages=MESSAGES).usage  # type: ignore[call-overload]
    by_hand, _ = asked_by_hand(QUESTIONS[0])
    assert usage.prompt_tokens_details.cached_tokens == by_hand.statistics.total_tokens
    assert usage.prompt_tokens == by_hand.statistics.total_tokens + by_hand.statistics.prompt_tokens
    assert usage.completion_tokens == by_hand.statistics.generated_tokens
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens


def test_a_stream_ends_with_the_usage_where_that_is_asked_for(shelf: Serving) -> None:
    told = events(shelf.ask(QUESTIONS[0], stream=True, stream_options={"include_usage": True}).text)
    assert [one["usage"] for one in told[:-1]] == [None] * (len(told) - 1)
    assert told[-1]["choices"] == []
    assert told[-1]["usage"]["prompt_tokens_details"]["cached_tokens"] > 0
    assert len({one["id"] for one in told}) == 1
    assert "usage" not in events(shelf.ask(QUESTIONS[0], stream=True).text)[-1]


def test_each_library_is_a_model_and_another_by_the_papers_way(shelf: Serving) -> None:
    assert [model.id for model in shelf.client.models.list()] == ["shelf", "shelf@paper"]
    assert shelf.client.models.retrieve("shelf@paper").created > 0
    with tscli.open_library("shelf", question_mode="token", voters="all") as session:
        stream = session.ask(QUESTIONS[0])
        list(stream)
    whole = shelf.client.chat.completions.create(model="shelf@paper", messages=MESSAGES)  # type: ignore[call-overload]
    assert whole.choices[0].message.content == stream.answer.text
    assert whole.model_extra["tscli"]["statistics"]["selection"]["total"] == stream.answer.statistics.total_tokens


def test_several_libraries_are_asked_together(shelf: Serving, tmp_path: Path) -> None:
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "letter.txt").write_text("The clerk is Anselm Pryce. The cook is Ines Vale.\n")
    ingest(tmp_path / "letters", "letters")
    told = shelf.ask("Who is the clerk?", model="shelf+letters").json()
    assert told["choices"][0]["message"]["content"] == "Anselm Pryce"
    assert told["tscli"]["citations"][0]["library"] == "letters"


def test_a_stop_ends_the_answer_before_it(shelf: Serving) -> None:
    whole = shelf.ask(QUESTIONS[0]).json()["choices"][0]["message"]["content"]
    assert whole == "Odile Farrant"
    for stop in ("rran", ["nothing of it", "rran"]):
        told = shelf.ask(QUESTIONS[0], stop=stop).json()["choices"][0]
        assert (told["message"]["content"], told["finish_reason"]) == ("Odile Fa", "stop")
        streamed = events(shelf.ask(QUESTIONS[0], stop=stop, stream=True).text)
        assert "".join(one["choices"][0]["delta"].get("content", "") for one in streamed) == "Odile Fa"


def test_a_stop_changes_nothing_of_how_much_is_cached(shelf: Serving) -> None:
    for model in ("shelf", "shelf@paper"):
        told = shelf.ask(QUESTIONS[0], model=model, stop="e").json()
        assert told["usage"]["prompt_tokens_details"]["cached_tokens"] == tscli.info("shelf").num_tokens
        assert told["tscli"]["statistics"]["tokens"]["recomputed"] == 0


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
def test_an_answer_that_got_too_long_says_so(shelf: Serving, name: str) -> None:
    told = shelf.ask(QUESTIONS[0], **{name: 2}).json()
    assert told["choices"][0]["finish_reason"] == "length"
    assert told["usage"]["completion_tokens"] == 2


def test_a_longest_answer_beyond_the_models_window_is_no_error(shelf: Serving) -> None:
    assert shelf.ask(QUESTIONS[0], max_tokens=10_000_000).json()["choices"][0]["message"]["content"] == "Odile Farrant"


def test_sampling_is_that_of_ask(shelf: Serving) -> None:
    with tscli.open_library("shelf") as session:
        texts = list[str]()
        for seed in range(6):
            how = {"temperature": 2.0, "top_p": 0.99, "seed": seed}
            stream = session.ask(QUESTIONS[3], **how)  # type: ignore[arg-type]
            list(stream)
            texts.append(stream.answer.text)
            assert shelf.ask(QUESTIONS[3], **how).json()["choices"][0]["message"]["content"].rstrip() == texts[-1]
    assert len(set(texts)) > 1


def test_citations_stand_below_the_text_where_that_is_asked_for(shelf: Serving) -> None:
    note = '[1] docs/facts.txt: "The harbour master is Odile Farrant."'
    told = shelf.ask(QUESTIONS[0], citations="text").json()["choices"][0]["message"]["content"]
    assert told.startswith(f"Odile Farrant\n\n{note}")
    streamed = events(shelf.ask(QUESTIONS[0], citations="text", stream=True).text)
    assert "".join(one["choices"][0]["delta"].get("content", "") for one in streamed) == told


def test_what_has_no_effect_is_said(shelf: Serving) -> None:
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": "Hello."},
        *MESSAGES,
    ]
    told = shelf.ask("", messages=messages).json()
    assert told["choices"][0]["message"]["content"] == "Odile Farrant"
    notes = " ".join(told["tscli"]["notes"])
    assert "system message has no effect" in notes
    assert "earlier messages have no effect" in notes  # the embedded reader has no turns


@pytest.mark.parametrize("stream", [False, True])
def test_what_cannot_be_asked_is_an_error_before_anything_is_streamed(shelf: Serving, stream: bool) -> None:
    unknown = shelf.ask("Who?", model="nothing", stream=stream)
    assert (unknown.status_code, unknown.json()["error"]["code"]) == (404, "model_not_found")
    long = shelf.ask("Who? " * 20_000, stream=stream)
    assert (long.status_code, long.json()["error"]["code"]) == (400, "context_length_exceeded")
    empty = shelf.ask(" ", stream=stream)
    assert (empty.status_code, empty.json()["error"]["param"]) == (400, "messages")


def test_errors_are_those_that_the_client_knows(shelf: Serving) -> None:
    with pytest.raises(openai.NotFoundError):
        shelf.client.chat.completions.create(model="nothing", messages=MESSAGES)  # type: ignore[call-overload]
    with pytest.raises(openai.BadRequestError, match="temperature"):
        shelf.client.chat.completions.create(model="shelf", messages=MESSAGES, temperature=9)  # type: ignore[call-overload]
    with pytest.raises(openai.NotFoundError):
        shelf.client.models.retrieve("nothing")
    with pytest.raises(openai.NotFoundError):
        shelf.client.embeddings.create(model="shelf", input="x")


@pytest.mark.parametrize(
    ("content", "status"),
    [(b"", 400), (b"{", 400), (b"[]", 400), (b"[" * 9_999, 400), (b"\xff", 400), (b" " * (2 << 20), 413)],
)
def test_a_body_that_is_none_is_an_error_in_the_same_form(shelf: Serving, content: bytes, status: int) -> None:
    reply = shelf.http.post("/v1/chat/completions", content=content)
    assert reply.status_code == status
    assert set(reply.json()["error"]) == {"message", "type", "param", "code"}


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_another_method_is_none(shelf: Serving, method: str) -> None:
    reply = shelf.http.request(method, "/v1/chat/completions")
    assert reply.status_code == 405
    assert "error" in reply.json()


@pytest.mark.parametrize(
    "name",
    ["../shelf", "../../etc/passwd", "/etc/passwd", "..%2fetc%2fpasswd", "shelf/../shelf", "./shelf", "shelf\0", "."],
)
def test_no_name_leads_to_a_file_that_is_not_served(shelf: Serving, home: Path, name: str) -> None:
    for model in (name, name + "@paper", f"shelf+{name}", str(home / "libraries" / "shelf")):
        assert shelf.ask(QUESTIONS[0], model=model).status_code == 404
    raw = "".join(f"%{byte:02x}" for byte in name.encode())  # a client would tidy up the dots
    assert shelf.http.get(f"/v1/models/{raw}").status_code == 404


def test_a_name_that_is_not_served_is_not_given_back_whole(shelf: Serving) -> None:
    assert len(shelf.ask(QUESTIONS[0], model="x" * 100_000).text) < 1000


def test_who_misses_the_route_is_told_where_it_is(shelf: Serving) -> None:
    told = shelf.http.post("/chat/completions", json={})
    assert told.status_code == 404
    assert "POST /v1/chat/completions" in told.json()["error"]["message"]
    told = shelf.http.get("/v1/chat/completions")
    assert (told.status_code, told.headers["allow"]) == (405, "POST")
    assert told.json()["error"]["message"].endswith("allowed there: POST")


def test_only_the_libraries_that_were_named_are_served(serving: Start, tmp_path: Path) -> None:
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "letter.txt").write_text("The mayor is Agnes Holt.\n")
    ingest(tmp_path / "letters", "letters")
    named = serving(("shelf",))
    assert [model.id for model in named.client.models.list()] == ["shelf", "shelf@paper"]
    assert named.ask("Who is the mayor?", model="letters").status_code == 404


@pytest.mark.slow
def test_nothing_of_a_document_or_a_question_is_markup_in_a_reply(serving: Start, documents: Path) -> None:
    for number, text in enumerate(XSS):
        (documents / f"x{number}.txt").write_text(f"The password of gate {number} is {text} indeed.\n")
    ingest(documents)
    shelf = serving()
    for number, text in enumerate(XSS[:4]):
        for more in ({}, {"stream": True}, {"model": text}, {"stop": text}, {text: text}, {"citations": "text"}):
            reply = shelf.ask(f"What is the password of gate {number}? {text}", **more)  # type: ignore[arg-type]
            assert reply.headers["content-type"].split(";")[0] in ("application/json", "text/event-stream")
            assert reply.headers["x-content-type-options"] == "nosniff"
            assert "<" not in reply.text
    reply = shelf.http.get("/v1/models/<script>alert(1)</script>")
    assert "<" not in reply.text
    assert "<" not in shelf.http.get("/<script>alert(1)</script>").text


def test_metrics_count_what_was_done_and_hold_nothing_that_was_said(shelf: Serving) -> None:
    shelf.ask(QUESTIONS[0])
    shelf.ask(QUESTIONS[0], model="secret")
    shelf.http.get("/secret")
    text = shelf.http.get("/metrics").text
    rows = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    assert rows['tscli_requests_total{route="/v1/chat/completions",status="200"}'] == "1"
    assert rows['tscli_requests_total{route="/v1/chat/completions",status="404"}'] == "1"
    assert rows['tscli_requests_total{route="other",status="404"}'] == "1"
    assert rows['tscli_tokens_total{kind="recomputed"}'] == "0"
    assert rows["tscli_first_token_seconds_count"] == rows['tscli_first_token_seconds_bucket{le="+Inf"}'] == "1"
    assert rows["tscli_queue_length"] == rows["tscli_answering"] == "0"
    assert "secret" not in text
    assert "harbour" not in text


def test_questions_are_remembered_for_coverage_unless_that_is_not_wanted(serving: Start) -> None:
    serving(remembers=False).ask(QUESTIONS[0])
    assert tscli.coverage("shelf").questions == 0
    remembering = serving()
    remembering.ask(QUESTIONS[0])
    remembering.stop()
    assert tscli.coverage("shelf").questions == 1
