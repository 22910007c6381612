"""The page about an answer in a real browser: by keyboard and pointer, by day and night, on a phone and a desk."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

import tscli
from tests.evidence.browser import Page, find, page

ROOT = Path(__file__).parents[2]
BROWSER = find()
DREW = "document.getElementById('drew').textContent"
FOCUSED = "document.querySelectorAll('.token') && [...document.querySelectorAll('.token')].indexOf(document.activeElement)"
MARKED = "[...document.querySelectorAll('.passages li.on')].map((li) => li.id).join(' ')"

pytestmark = pytest.mark.skipif(BROWSER is None, reason="there is no Chromium on this machine")


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page about an answer of the embedded reader, with a file name as long as they come."""
    folder = tmp_path_factory.mktemp("report")
    (folder / "docs").mkdir()
    shutil.copy(ROOT / "samples" / "harbour-handbook.pdf", folder / "docs")
    shutil.copy(ROOT / "samples" / "glossary.md", folder / "docs" / f"{'a-long-name-without-a-space-' * 8}.md")
    library = str(folder / "library")
    tscli.prepare([folder / "docs"], library=library).run()
    with tscli.open_library(library) as session:
        stream = session.ask("What is the depth at the North Quay?")
        list(stream)
        found = tscli.find_evidence(session, stream.answer)
        (folder / "report.html").write_text(tscli.render_report(session, stream.answer, found), encoding="utf-8")
    return folder / "report.html"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    assert BROWSER is not None
    with page(BROWSER, tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.fixture
def opened(browser: Page, report: Path) -> Page:
    browser.look(1280, 900, dark=False)
    browser.open(report)
    return browser


def test_tab_reaches_the_answer_once_and_arrows_walk_through_its_words(opened: Page) -> None:
    count = opened.run("document.querySelectorAll('.token').length")
    assert count > 2
    opened.press("Tab")
    walked = [opened.run(FOCUSED)]
    for key in ("ArrowRight", "ArrowRight", "ArrowLeft", "End", "ArrowRight", "Home", "ArrowLeft"):
        opened.press(key)
        walked.append(opened.run(FOCUSED))
    assert walked == [0, 1, 2, 1, count - 1, count - 1, 0, 0]
    opened.press("ArrowRight")
    opened.press("Tab")
    assert opened.run(FOCUSED) == -1
    opened.press("Tab", shift=True)
    assert opened.run(FOCUSED) == 1  # back where it was, not at the beginning


def test_the_focus_is_seen_and_shows_what_the_pointer_shows(opened: Page) -> None:
    opened.press("Tab")
    assert opened.run("getComputedStyle(document.activeElement).outlineWidth") == "2px"
    by_keys = []
    for _ in range(3):
        by_keys.append((opened.run(DREW), opened.run(MARKED)))
        opened.press("ArrowRight")
    opened.run("document.activeElement.blur()")
    by_pointer = []
    for number in range(3):
        opened.point(".token", number)
        by_pointer.append((opened.run(DREW), opened.run(MARKED)))
    assert by_keys == by_pointer
    assert len(set(by_keys)) > 1
    assert any("passage-1" in marked for _, marked in by_keys)
    opened.point("h1")
    assert opened.run(MARKED) == ""


def test_escape_puts_away_what_is_shown_and_the_focus_stays(opened: Page) -> None:
    hint = opened.run(DREW)
    opened.press("Tab")
    assert opened.run(DREW) != hint
    opened.press("Escape")
    assert (opened.run(DREW), opened.run(MARKED), opened.run(FOCUSED)) == (hint, "", 0)
    opened.press("ArrowRight")
    assert opened.run(DREW) != hint


@pytest.mark.parametrize("width", [320, 390, 1280])
@pytest.mark.parametrize("dark", [False, True])
def test_nothing_is_wider_than_the_window_by_day_and_by_night(browser: Page, report: Path, width: int, dark: bool) -> None:
    browser.look(width, 844, dark=dark)
    browser.open(report)
    assert browser.run("document.documentElement.scrollWidth") == width
    wide = "[...document.querySelectorAll('main *')].filter((e) => e.getBoundingClientRect().right > innerWidth + .5).length"
    assert browser.run(wide) == 0
    red = int(browser.run("getComputedStyle(document.body).backgroundColor").split("(")[1].split(",")[0])
    assert (red < 64) is dark


def test_nothing_is_asked_of_the_network_and_nothing_complains(browser: Page, report: Path) -> None:
    browser.open(report)
    browser.press("Tab")
    assert set(browser.requests) == {report.as_uri()}
    assert browser.complaints == []
    browser.run("console.error('as a test of this test')")
    browser.run("fetch('https://example.org/').catch(() => 0)")
    assert len(browser.complaints) >= 2  # the second is the page's own policy, which forbids it
