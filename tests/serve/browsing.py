"""The page in a real browser, as the tests of it open and use it."""

from __future__ import annotations

from pathlib import Path

from tests.evidence.browser import Page, find
from tests.evidence.test_report import HOSTILE

ROOT = Path(__file__).parents[2]
BROWSER = find()
QUESTION = "What is the depth at the North Quay?"
RUNS = "document.title='SCRIPT-RAN'"
ACTIVE = "document.activeElement.id || document.activeElement.textContent"
ANSWERED = "!document.getElementById('passages').hidden"
EVIL = [text.replace("alert(1)", RUNS) for text in HOSTILE]


def visit(browser: Page, address: str, width: int = 1280, *, dark: bool = False) -> Page:
    browser.look(width, 844, dark=dark)
    browser.visit(address)
    browser.run("localStorage.clear()")
    browser.requests.clear()
    browser.complaints.clear()
    browser.visit(address)
    browser.wait("document.querySelectorAll('#document-list li').length > 0")
    return browser


def tab_to(browser: Page, condition: str) -> None:
    """By keys alone."""
    for _ in range(60):
        browser.press("Tab")
        if browser.run(condition):
            return
    raise AssertionError(f"Tab never led to {condition}; last: {browser.run(ACTIVE)}")


def check_tame(opened: Page) -> None:
    assert opened.run("document.title") == "tscli"
    assert opened.run("document.querySelectorAll('script').length") == 1
    assert opened.run("document.querySelectorAll('main img, main svg, main style, main a, aside img, aside svg').length") == 0
    attributes = (
        "[...document.querySelectorAll('body *')].flatMap((e) => [...e.attributes])"
        ".filter((a) => a.name.startsWith('on') || /^javascript:/i.test(a.value)).length"
    )
    assert opened.run(attributes) == 0
