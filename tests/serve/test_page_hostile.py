"""The page in a real browser before hostile documents and answers: they stay text, and no request leaves the server."""

from __future__ import annotations

import json
from urllib.parse import urlsplit

import pytest

from tests.evidence.browser import Page
from tests.evidence.test_report import HOSTILE
from tests.serve.browsing import ANSWERED, BROWSER, EVIL, QUESTION, check_tame, visit

pytestmark = pytest.mark.skipif(BROWSER is None, reason="there is no Chromium on this machine")


def test_no_request_leaves_the_server_and_nothing_complains(browser: Page, address: str) -> None:
    opened = visit(browser, address)
    opened.type(QUESTION)
    opened.press("Enter")
    opened.wait(ANSWERED)
    opened.run("document.querySelector('#passages button').click()")
    opened.wait("document.querySelector('#viewer-body iframe')")
    own = [url for url in opened.requests if not url.startswith("chrome-extension:")]  # the browser's own PDF viewer
    assert len(own) > 5
    assert {"{0.scheme}://{0.netloc}".format(urlsplit(url)) for url in own} == {address}
    assert opened.complaints == []
    opened.run("fetch('https://example.org/').catch(() => 0)")
    opened.wait("true")
    assert len(opened.complaints) >= 1  # the server's policy forbids it, and this test would see it


def test_what_a_hostile_document_is_called_and_says_stays_text(browser: Page, address: str) -> None:
    opened = visit(browser, address)
    names = opened.run("[...document.querySelectorAll('#document-list bdi')].map((each) => each.textContent)")
    assert len(names) == len(HOSTILE) + 2
    for number in range(len(HOSTILE)):
        opened.run(
            f"[...document.querySelectorAll('#document-list button')].find((b) => b.textContent.includes('/{number} ')).click()"
        )
        opened.wait(f"document.querySelector('.text')?.textContent.startsWith('Stone {number}: ')")
        shown = opened.run("document.querySelector('.text').textContent")
        assert EVIL[number].replace(chr(0), "").split("\u202e")[0].strip() in shown
    check_tame(opened)


def test_what_a_hostile_answer_and_its_citations_say_stays_text(browser: Page, address: str) -> None:
    opened = visit(browser, address)
    library = opened.run("document.querySelector('#libraries input').value")
    told = [
        {
            "question": evil,
            "answer": evil,
            "libraries": [library],
            "when": 0,
            "tscli": {
                "citations": [
                    {"library": evil, "file": evil, "page": evil, "label": evil, "quote": evil, "share": 0.5, "paged": True}
                ],
                "instructions": [{"citation": 0, "words": evil}],
                "weak": [[0, 9]],
                "map": [{"library": evil, "file": evil, "share": 0.5, "cells": [1], "page": evil, "first": evil}],
                "notes": [evil],
            },
        }
        for evil in EVIL
    ]
    opened.run(f"localStorage.setItem('tscli.history', {json.dumps(json.dumps(told))})")
    for number, evil in enumerate(EVIL):
        opened.run("document.getElementById('open-history').click()")
        opened.run(f"document.querySelectorAll('#earlier button')[{number}].click()")
        assert opened.run("document.getElementById('answer').textContent") == evil
        assert opened.run("document.querySelector('.quote').textContent") == evil
        opened.run("document.querySelector('#passages button').click()")
        opened.wait("!document.getElementById('viewer-problem').hidden")
        opened.run("document.querySelector('#map button').click()")
        opened.wait("!document.getElementById('viewer-problem').hidden")
        check_tame(opened)
