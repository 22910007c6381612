"""The page about an answer: it loads nothing, runs nothing but its own script, and shows other people's text as text."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from bs4 import BeautifulSoup

import tscli

HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "</style></script><svg/onload=alert(1)>",
    "' onmouseover='alert(1)",
    "{{ 7 * 7 }} {% raw %}",
    "javascript:alert(1) \u202e\u0000\x1b[2J]]>",
    "&lt;b&gt;<!-- <iframe srcdoc='<script>'>",
)


@pytest.fixture
def session(small_model: Path, tmp_path: Path) -> Iterator[tscli.Session]:
    folder = tmp_path / "docs"
    folder.mkdir()
    for number, text in enumerate(HOSTILE):
        plain = text.replace(chr(0), "")  # a file with it is no text
        words = f"{plain}\nThe stone number {number} stands here and stays. " * 30
        (folder / f"{number} {plain.replace('/', '-')}.txt").write_text(words, encoding="utf-8")
    load = tscli.LoadOptions(str(small_model), dtype="float32", device="cpu")
    tscli.prepare([folder], load=load).run()
    with tscli.open_library(load=load) as opened:
        yield opened


def report(session: tscli.Session, question: str) -> str:
    stream = session.ask(question, max_new_tokens=12)
    list(stream)
    return tscli.render_report(session, stream.answer, tscli.find_evidence(session, stream.answer, floor=0.0))


@pytest.mark.parametrize("question", HOSTILE)
def test_hostile_text_stays_text(session: tscli.Session, question: str) -> None:
    soup = BeautifulSoup(report(session, question), "html.parser")
    assert len(soup.find_all("script")) == len(soup.find_all("style")) == 1
    assert not soup.find_all(["img", "svg", "iframe", "object", "embed", "link", "form", "base", "a"])
    names = {name for tag in soup.find_all(True) for name in tag.attrs}
    assert not [name for name in names if name.startswith("on") or name in ("src", "srcdoc", "href", "style")]
    shown = re.sub(r"[\x00-\x1f\u202e]", "", question).strip()
    assert shown in re.sub(r"[\ufffd]", "", soup.h1.get_text())  # type: ignore[union-attr]
    assert "\u202e" not in soup.get_text()
    assert "\x1b" not in soup.get_text()


def test_the_policy_lets_nothing_run_but_the_pages_own_script(session: tscli.Session) -> None:
    soup = BeautifulSoup(report(session, "Where does the stone stand?"), "html.parser")
    policy = soup.find("meta", attrs={"http-equiv": "Content-Security-Policy"})["content"]  # type: ignore[index]
    assert str(policy).startswith("default-src 'none'")
    for name in ("script", "style"):
        digest = base64.b64encode(hashlib.sha256(soup.find(name).string.encode()).digest()).decode()  # type: ignore[union-attr]
        assert f"{name}-src 'sha256-{digest}'" in policy


def test_the_page_says_what_the_answer_said_and_where_it_looked(session: tscli.Session) -> None:
    stream = session.ask("Where does the stone stand?", max_new_tokens=12)
    list(stream)
    evidence = tscli.find_evidence(session, stream.answer, floor=0.0)
    soup = BeautifulSoup(tscli.render_report(session, stream.answer, evidence), "html.parser")
    tokens = soup.select(".token")
    assert [token["tabindex"] for token in tokens] == ["0"] + ["-1"] * (len(tokens) - 1)
    assert len(soup.select(".passages li")) == len(evidence.citations) > 0
    assert len(soup.select(".map li")) == len(session.context.documents) == len(HOSTILE)
    assert "selected by all heads of each layer" in " ".join(div.get_text(" ") for div in soup.select("dl div"))
    assert tscli.CAVEAT in soup.footer.get_text()  # type: ignore[union-attr]


def test_the_page_says_what_makes_the_answer_doubtful(session: tscli.Session) -> None:
    stream = session.ask("Where does the stone stand?", max_new_tokens=4)
    list(stream)
    evidence = replace(tscli.find_evidence(session, stream.answer), missing_words=("<b>airport</b>",))
    answer = replace(stream.answer, statistics=replace(stream.answer.statistics, confidence=0.2))
    soup = BeautifulSoup(tscli.render_report(session, answer, evidence), "html.parser")
    notes = [note.get_text() for note in soup.select("section .note")]
    assert 'The documents do not contain "<b>airport</b>".' in notes
    assert any(note.startswith("The model is unsure of this answer: its own words were 20% likely") for note in notes)


def test_an_answer_without_words_makes_a_page_too(session: tscli.Session) -> None:
    stream = session.ask("Where?", max_new_tokens=1)
    list(stream)
    answer = replace(stream.answer, text="", token_ids=[], attribution=[])
    soup = BeautifulSoup(tscli.render_report(session, answer, tscli.find_evidence(session, answer)), "html.parser")
    assert "attended to no passage" in soup.get_text()
