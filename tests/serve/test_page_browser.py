"""The page in a real browser: asked, answered, its citations opened, by pointer and by keys, by day and by night."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.evidence.browser import Page
from tests.serve.browsing import ACTIVE, ANSWERED, BROWSER, QUESTION, tab_to, visit

pytestmark = pytest.mark.skipif(BROWSER is None, reason="there is no Chromium on this machine")


@pytest.mark.parametrize(("width", "dark"), [(1280, False), (390, True)])
def test_a_question_is_answered_and_its_citation_opened_by_keys_alone(
    browser: Page, address: str, width: int, dark: bool
) -> None:
    opened = visit(browser, address, width, dark=dark)
    assert opened.run(ACTIVE) == "question"
    opened.type(QUESTION)
    opened.press("Enter")
    opened.wait(ANSWERED)
    assert "7.2" in opened.run("document.getElementById('answer').textContent")
    assert opened.run("document.getElementById('answer').getAttribute('aria-busy')") == "false"
    assert "tokens of documents cached, 0 computed again" in opened.run("document.getElementById('figures').textContent")
    tab_to(opened, "document.activeElement.matches('#passages button')")
    assert opened.run("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    assert "harbour-handbook.pdf p. 2" in opened.run("document.activeElement.textContent")
    opened.press("Enter")
    opened.wait("document.querySelector('#viewer-body iframe')")
    source = urlsplit(str(opened.run("document.querySelector('#viewer-body iframe').src")))
    assert (f"{source.scheme}://{source.netloc}", source.fragment.split("&")[0]) == (address, "page=2")
    assert opened.run(ACTIVE) == "viewer-title"
    tab_to(opened, "document.activeElement.id === 'as-text'")
    opened.press(" ")
    opened.wait("document.querySelector('#viewer-body mark')")
    assert opened.run("document.querySelector('mark').textContent") == "The depth at the North Quay is 7.2 metres."
    box = "document.querySelector('mark').getBoundingClientRect()"
    assert opened.run(f"{box}.top > 0 && {box}.bottom < innerHeight") is True
    opened.press("Escape")
    assert opened.run("document.getElementById('viewer').hidden") is True
    assert opened.run("document.activeElement.matches('#passages button')") is True  # back where it came from
    assert opened.complaints == []


@pytest.mark.parametrize("width", [320, 390, 1280])
@pytest.mark.parametrize("dark", [False, True])
def test_nothing_is_wider_than_the_window_by_day_and_by_night(browser: Page, address: str, width: int, dark: bool) -> None:
    opened = visit(browser, address, width, dark=dark)
    wide = (
        "[...document.querySelectorAll('body *')].filter((e) => !e.closest('.hidden'))"
        ".filter((e) => e.getBoundingClientRect().right > innerWidth + .5).map((e) => e.outerHTML.slice(0, 80))"
    )

    def fits() -> None:
        assert opened.run("document.documentElement.scrollWidth") == width
        assert opened.run(wide) == []

    fits()
    opened.type(QUESTION)
    opened.press("Enter")
    opened.wait(ANSWERED)
    fits()
    opened.run("[...document.querySelectorAll('#passages button')].find((b) => b.textContent.includes('handbook')).click()")
    opened.wait("document.querySelector('#viewer-body iframe')")
    fits()
    opened.run("document.getElementById('viewer-close').click(); document.getElementById('open-documents').click()")
    opened.wait("document.querySelectorAll('#list li').length > 2")
    fits()
    opened.run("document.getElementById('documents').close(); document.getElementById('open-history').click()")
    fits()
    red = int(opened.run("getComputedStyle(document.body).backgroundColor").split("(")[1].split(",")[0])
    assert (red < 64) is dark


def test_an_answer_can_be_stopped_and_the_next_question_asked(browser: Page, address: str) -> None:
    opened = visit(browser, address)
    opened.type(QUESTION)
    opened.run("document.getElementById('ask').requestSubmit(); document.getElementById('stop').click()")
    opened.wait("document.getElementById('status').textContent === 'Stopped.'")
    assert opened.run("document.getElementById('stop').hidden") is True
    opened.run("document.getElementById('question').focus()")
    opened.press("Enter")
    opened.wait(ANSWERED)
    assert "7.2" in opened.run("document.getElementById('answer').textContent")


def test_a_question_follows_up_what_was_said_before_unless_that_is_not_wanted(browser: Page, address: str) -> None:
    opened = visit(browser, address)
    opened.run(
        "{ const real = fetch; window.said = []; window.fetch = (path, options) => {"
        " if (path.startsWith('v1/')) said.push(JSON.parse(options.body).messages.map((each) => [each.role, each.content]));"
        " return real(path, options); }; }"
    )
    second, third, shown = "And at the South Quay?", "What is a bollard?", "!document.getElementById('follow-line').hidden"

    def put(question: str, number: int) -> str:
        opened.type(question)
        opened.press("Enter")
        opened.wait(f"said.length === {number} && document.getElementById('stop').hidden && {ANSWERED}")
        return str(opened.run("document.getElementById('answer').textContent"))

    assert opened.run(shown) is False
    first_answer = put(QUESTION, 1)
    assert opened.run(shown) is True
    second_answer = put(second, 2)  # typed over the first, which is selected
    said = [["user", QUESTION], ["assistant", first_answer]]
    assert opened.run("said[1]") == [*said, ["user", second]]
    assert opened.run("[...document.querySelectorAll('#turns p')].map((each) => each.textContent)") == [QUESTION, first_answer]
    opened.visit(address)  # a history is all that is left
    opened.run("document.getElementById('open-history').click()")
    opened.run("document.querySelector('#earlier button').click()")
    assert opened.run("document.getElementById('answer').textContent") == second_answer
    assert opened.run("document.querySelectorAll('#turns li').length") == 1
    opened.wait(shown)  # once the libraries are known
    opened.run("document.getElementById('question').focus(); document.getElementById('follow').click(); window.said = []")
    opened.run(
        "{ const real = fetch; window.fetch = (path, options) => {"
        " if (path.startsWith('v1/')) said.push(JSON.parse(options.body).messages); return real(path, options); }; }"
    )
    put(third, 1)
    assert opened.run("said[0]") == [{"role": "user", "content": third}]
    assert opened.run("document.getElementById('turns').hidden") is True
    assert opened.complaints == []


def test_another_library_is_asked_without_what_was_said_to_the_first(browser: Page, address: str) -> None:
    opened = visit(browser, address)
    opened.type(QUESTION)
    opened.press("Enter")
    opened.wait(ANSWERED)
    opened.run("document.querySelector('#libraries input').click()")
    assert opened.run("document.getElementById('follow-line').hidden") is True


def test_a_server_that_is_busy_is_asked_again_and_says_so(browser: Page, address: str) -> None:
    opened = visit(browser, address)
    busy = json.dumps({"error": {"message": "too many questions wait <b>now</b>"}})
    opened.run(
        "{ const real = fetch; let times = 0; window.fetch = (path, options) => path.startsWith('v1/') && !times++"
        f" ? Promise.resolve(new Response({json.dumps(busy)}, {{ status: 429, headers: {{ 'Retry-After': '2' }} }}))"
        " : real(path, options); }"
    )
    opened.type(QUESTION)
    opened.press("Enter")
    opened.wait(
        "document.getElementById('status').textContent.startsWith('too many questions wait <b>now</b> Asking again in ')"
    )
    opened.wait(ANSWERED)


def test_an_error_is_shown_as_the_api_says_it(browser: Page, address: str) -> None:
    opened = visit(browser, address)
    opened.run("document.querySelector('#libraries input').value = 'none<img src=x>'")
    opened.type(QUESTION)
    opened.press("Enter")
    opened.wait("!document.getElementById('problem').hidden")
    said = opened.run("document.getElementById('problem').textContent")
    assert said == "no library is served by the name 'none<img src=x>'; /v1/models lists them"


def test_answers_are_remembered_by_this_browser_until_they_are_cleared(browser: Page, address: str) -> None:
    opened = visit(browser, address)
    opened.type(QUESTION)
    opened.press("Enter")
    opened.wait(ANSWERED)
    answer = opened.run("document.getElementById('answer').textContent")
    opened.visit(address)
    opened.wait("document.querySelectorAll('#document-list li').length > 0")
    opened.run("document.getElementById('open-history').click()")
    opened.run("document.querySelector('#earlier button').click()")
    assert opened.run("document.getElementById('answer').textContent") == answer
    assert opened.run("document.querySelectorAll('#passages button').length") > 0
    opened.run("document.getElementById('open-history').click(); document.getElementById('clear').click()")
    assert opened.run("document.querySelectorAll('#earlier button').length") == 0
    assert opened.run("localStorage.getItem('tscli.history')") is None


@pytest.mark.slow
def test_a_file_is_added_after_its_plan_was_shown(browser: Page, address: str, tmp_path: Path) -> None:
    (tmp_path / "bell.txt").write_text("The glass bell hangs in the tower of Aldermoor.\n")
    opened = visit(browser, address, 390)
    opened.run("document.getElementById('open-documents').click()")
    node = opened.call("DOM.getDocument")["root"]["nodeId"]
    files = opened.call("DOM.querySelector", nodeId=node, selector="#files")["nodeId"]
    opened.call("DOM.setFileInputFiles", nodeId=files, files=[str(tmp_path / "bell.txt")])
    opened.wait("!document.getElementById('job-start').hidden", 240)
    assert "bell.txt" in opened.run("document.querySelector('#plan table').textContent")
    assert "to compute with reader" in opened.run("document.getElementById('plan').textContent")
    assert opened.run(ACTIVE) == "job-start"
    opened.press("Enter")
    opened.wait("document.getElementById('job-status').textContent.startsWith('Done: ')", 240)
    opened.wait("document.getElementById('list').textContent.includes('bell.txt')")
    opened.run("[...document.querySelectorAll('#list button')].find((b) => b.textContent.includes('bell.txt')).click()")
    opened.wait("document.querySelector('.text')")
    assert opened.run("document.querySelector('.text').textContent").startswith("The glass bell hangs in the tower")
