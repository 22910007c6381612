"""The page's picture: `python tests/harness/page_picture.py LIBRARY [QUESTION] [--dark] [--width N] [--output FILE]`.

Serves the library (one of samples/; `make demo` makes one) on a free port, asks the question in a headless Chromium, opens the
first citation beside the answer, and writes docs/pictures/page.png. Needs `tscli[serve]`, Chromium, and nothing of a network.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

from tests.evidence.browser import Page, find, page
from tests.serve.page_server import serving
from tscli.serve.served_libraries import ServedLibraries

ROOT = Path(__file__).parents[2]
HEIGHT = 800
SETTLES_S = 4.0  # what the browser's own PDF viewer takes to draw


def main() -> None:
    """Make the picture; its path and size are printed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("library")
    parser.add_argument("question", nargs="?", default="What is the depth at the North Quay?")
    parser.add_argument("--dark", action="store_true")
    parser.add_argument("--width", type=int, default=1280)
    parser.add_argument("--text", action="store_true", help="the text with the passage marked, rather than the page")
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "pictures" / "page.png")
    given = parser.parse_args()
    browser = find()
    if browser is None:
        raise SystemExit("there is no Chromium on this machine; install it (Debian: apt-get install chromium)")
    with (
        serving(ServedLibraries([given.library], read_only=True)) as client,
        tempfile.TemporaryDirectory() as profile,
        page(browser, Path(profile)) as shown,
    ):
        shown.look(given.width, HEIGHT, dark=given.dark)
        shown.visit(str(client.base_url))
        ask(shown, given.question)
        shown.run("document.querySelector('#passages button').click()")
        shown.wait("document.querySelector('#viewer-body').children.length")
        if given.text:
            shown.run("document.getElementById('as-text').click()")
        time.sleep(SETTLES_S)
        shown.picture(given.output, beyond=False)
    print(f"{given.output}: {given.output.stat().st_size:,} bytes")


def ask(shown: Page, question: str) -> None:
    """Until the answer and its citations are there."""
    shown.wait("document.querySelectorAll('#document-list li').length")
    shown.type(question)
    shown.press("Enter")
    shown.wait("!document.getElementById('passages').hidden", 300)


if __name__ == "__main__":
    main()
