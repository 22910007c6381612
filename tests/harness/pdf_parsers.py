"""What pypdf, PDFium and `tscli.documents.pdf` make of every page: `python tests/harness/pdf_parsers.py FOLDER... [--all]`.

Prints a Markdown table of the pages on which something differs or is wrong (--all: of all), and the sums: how often each has
which fault, how like the texts are word by word, and milliseconds of CPU. Faults: controls, private use, U+FFFD, characters
that the font maps to no letter (PDFium says so), glued words, letters painted twice, ligatures as one character, words that a
line breaks (`load` joins those of tscli, over all pages).
"""

from __future__ import annotations

import argparse
import difflib
import itertools
import logging
import re
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "kernels")]

import pypdf  # noqa: E402 - tscli is found only now
import pypdfium2  # noqa: E402
from pypdfium2 import raw  # noqa: E402

from tscli.documents import pdf, pdf_choice  # noqa: E402

LIGATURES = re.compile("[\ufb00-\ufb06]")
REPEATED = 0.12  # of neighbouring letters


def main() -> None:
    """Measure, print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--all", action="store_true")
    arguments = parser.parse_args()
    logging.disable(logging.CRITICAL)
    sums: dict[str, Counter[str]] = {name: Counter() for name in ("pypdf", "pdfium", "tscli")}
    num_pages = 0
    print("| page | pypdf | pdfium | tscli | pypdf like pdfium | tscli like pdfium |\n|---|---|---|---|---|---|")
    for name, row in pages(sorted(file for folder in arguments.folders for file in folder.rglob("*.pdf"))):
        num_pages += 1
        shown = {parser: faults(text, unmapped) for parser, (text, unmapped, _) in row.items()}
        for parser, (_, _, seconds) in row.items():
            sums[parser].update(shown[parser])
            sums[parser]["ms"] += round(1000 * seconds)
        same = [likeness(row[parser][0], row["pdfium"][0]) for parser in ("pypdf", "tscli")]
        if arguments.all or any(shown.values()) or min(same) < 0.995:
            cells = [" ".join(f"{kind} {count}" for kind, count in shown[parser].items()) for parser in sums]
            print(f"| {name} | {' | '.join(cells)} | {same[0]:.3f} | {same[1]:.3f} |")
    print(f"\n{num_pages} pages")
    for parser, counts in sums.items():
        print(f"{parser}: {dict(counts)}")


def pages(files: list[Path]) -> Iterator[tuple[str, dict[str, tuple[str, int, float]]]]:
    """File and page -> per parser its text, characters without a letter, and seconds."""
    for file in files:
        try:
            ours = pdf.PdfPages(file, ("openpassword",))
            second = pypdfium2.PdfDocument(file, password="openpassword")
            first = pypdf.PdfReader(file)
            if first.is_encrypted:
                first.decrypt("openpassword")
            count = min(len(second), len(first.pages), ours.count)
        except Exception as error:  # which fails is in the tests
            print(f"| {file.name} | {type(error).__name__} | | | | |")
            continue
        for index in range(count):
            readers: dict[str, Callable[[], tuple[str, int]]] = {
                "pypdf": lambda first=first, index=index: (first.pages[index].extract_text(), 0),  # type: ignore[misc]
                "pdfium": lambda second=second, index=index: by_pdfium(second, index),  # type: ignore[misc]
                "tscli": lambda ours=ours, index=index: (ours.text(index).text, 0),  # type: ignore[misc]
            }
            yield f"{file.name} {index + 1}", {name: timed(read) for name, read in readers.items()}


def timed(read: Callable[[], tuple[str, int]]) -> tuple[str, int, float]:
    """What it reads, and the CPU's seconds; empty where it fails."""
    started = time.process_time()
    try:
        text, unmapped = read()
    except Exception:  # the other parsers' pages are of interest all the same
        text, unmapped = "", 0
    return text, unmapped, time.process_time() - started


def by_pdfium(document: pypdfium2.PdfDocument, index: int) -> tuple[str, int]:
    """Its text as it is, and how many of its characters have no letter."""
    textpage = document[index].get_textpage()
    count = textpage.count_chars()
    return textpage.get_text_range(), sum(raw.FPDFText_HasUnicodeMapError(textpage.raw, at) for at in range(count))


def faults(text: str, unmapped: int) -> dict[str, int]:
    """How many characters of each kind of fault; kinds without any are left out."""
    letters = [pair for pair in itertools.pairwise(text) if pair[0].isalpha()]
    twice = sum(first == second for first, second in letters)
    found = {
        "unmapped": unmapped,
        "controls": len(pdf_choice.CONTROLS.findall(text.replace("\r", "").replace("\x02", "").replace("\ufffe", ""))),
        "private": len(pdf_choice.PRIVATE.findall(text)),
        "replaced": text.count(pdf_choice.REPLACEMENT),
        "glued": sum(len(word) for word in pdf_choice.WORDS.findall(text) if len(word) > pdf_choice.GLUED),
        "twice": twice if twice > REPEATED * max(len(letters), 20) else 0,
        "ligatures": len(LIGATURES.findall(text)),
        "broken words": len(re.findall(r"[^\W\d_][-\xad]\n[^\W\d_]|[^\W\d_][\x02\ufffe]", text.replace("\r", ""))),
    }
    return {kind: count for kind, count in found.items() if count}


def likeness(first: str, second: str) -> float:
    """Of the words, 1.0 where they are the same in the same order."""
    return difflib.SequenceMatcher(None, first.split(), second.split(), autojunk=False).ratio()


if __name__ == "__main__":
    main()
