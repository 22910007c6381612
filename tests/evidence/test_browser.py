"""The page about an answer in a real browser: nothing that other people wrote runs in it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

import tscli
from tests.evidence import browser
from tests.evidence.test_report import HOSTILE, report, session  # noqa: F401 - a fixture

BROWSER = browser.find()
RUNS = "document.title='SCRIPT-RAN'"


def shown(page: str, folder: Path) -> str:
    """The page as it is once its scripts have run."""
    file = folder / "page.html"
    file.write_text(page, encoding="utf-8")
    command = [
        str(BROWSER),
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        f"--user-data-dir={folder / 'profile'}",
        "--dump-dom",
    ]
    done = subprocess.run(
        [*command, "--virtual-time-budget=2000", file.as_uri()], capture_output=True, text=True, check=True, timeout=120
    )
    return done.stdout


@pytest.mark.skipif(BROWSER is None, reason="there is no headless Chromium")
def test_no_script_of_other_people_runs(session: tscli.Session, tmp_path: Path) -> None:  # noqa: F811
    question = " ".join(text.replace("alert(1)", RUNS) for text in HOSTILE)
    page = shown(report(session, question), tmp_path)
    assert "<title>SCRIPT-RAN" not in page
    assert "<h1" in page
    naked = shown(f"<title>x</title><img src=x onerror={RUNS}>", tmp_path)
    assert "<title>SCRIPT-RAN" in naked  # the test would see one that runs
    unescaped = report(session, "What?").replace("</header>", f"<img src=x onerror={RUNS}><script>{RUNS}</script></header>")
    assert "<title>SCRIPT-RAN" not in shown(unescaped, tmp_path)  # the page's own policy holds even then
