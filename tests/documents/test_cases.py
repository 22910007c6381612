"""Files that were read wrongly once, from a collection beside the checkout: TSCLI_TEST_CASES names its folder."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

import pytest

from tscli.documents import Loaded, WalkOptions, load, walk

CASES = Path(os.environ.get("TSCLI_TEST_CASES") or "/nowhere")
pytestmark = pytest.mark.skipif(not CASES.is_dir(), reason="TSCLI_TEST_CASES names no folder of cases")


@cache
def read(folder: str) -> Loaded:
    return load([CASES / folder], page_seconds=60)


def text(path: str) -> str:
    found = [document for document in read(path.split("/", maxsplit=1)[0]).documents if document.path == path]
    assert found, read(path.split("/", maxsplit=1)[0]).failures
    return "\f".join(found[0].pages)


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("html/no-head-close.html", "The harbour master is Odile Farrant."),
        ("html/no-head-close2.html", "The harbour master is Odile Farrant."),
        ("html/noscript-body.html", "The fee is five crowns."),
        ("html/frames.html", "read a.html"),
        ("html/latin1-smart.html", "\u201cOdile\u201d \u2013 it\u2019s 5 \u20ac."),
        ("html/declared-wrong.html", "Caf\u00e9 M\u00fcller"),
        ("html/entities.html", "\u2019x\u2019"),
        ("html/controls.html", "Port\nHolm\nLund\ntyped 4310"),
        ("html/controls.html", "A map of pier four"),
        ("html/controls.html", "Name | Fee\n\nIda | 5\n\nPer | 7\n\none\ntwo\n"),
        ("notebook/n.ipynb", "The fee is *five* crowns."),
        ("notebook/inline-image.md", "The fee is five crowns."),
        ("office/a.docx", "Odile Farrant"),
        ("office/a.docm", "Odile Farrant"),
        ("office/a.epub", "Odile"),
        ("office/a.rtf", "The caf\u00e9 fee is five crowns."),
        ("text-utf16/le.txt", "The harbour master of Holm is Odile Farrant, and the caf\u00e9 opens at nine."),
        ("text-utf16/withbom.txt", "The harbour master of Holm is Odile Farrant, and the caf\u00e9 opens at nine."),
        ("text-utf16/one-nul.log", "The harbour master is Odile Farrant."),
        ("text-encodings/utf8-one-bad-byte.txt", "The caf\u00e9 of Zo\u00eb M\u00fcller opens at nine."),
        ("text-encodings/utf8-cut.txt", "Last word: \u00c5se \ufffd"),
        ("text-encodings/cp1250.txt", "Velitel p\u0159\u00edstavu je Ji\u0159\u00ed Dvo\u0159\u00e1k."),
        ("text-encodings/cp1252.txt", "\u201cF\u00e9e\u201d costs 5 \u20ac"),
        ("text-encodings/eucjp.txt", "\u5c71\u7530\u82b1\u5b50"),
        ("text-encodings/sjis.txt", "\u5c71\u7530\u82b1\u5b50"),
        ("text-encodings/greek.txt", "\u0393\u03b9\u03ce\u03c1\u03b3\u03bf\u03c2"),
        ("text-encodings/hebrew.txt", "\u05d3\u05d5\u05d3 \u05dc\u05d5\u05d9"),
        ("text-encodings/koi8.txt", "\u0418\u0432\u0430\u043d \u041f\u0435\u0442\u0440\u043e\u0432"),
    ],
)
def test_a_case_is_read_as_people_see_it(path: str, words: str) -> None:
    assert words in text(path)


@pytest.mark.parametrize("path", ["notebook/n.ipynb", "notebook/inline-image.md"])
def test_pictures_do_not_become_text(path: str) -> None:
    assert len(text(path)) < 200


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("office/a.zip", "zip archive"),
        ("office/notes.txt.gz", "gzip archive"),
        ("office/a.pptx", "no text"),
        ("office/a.odt", "no text"),
    ],
)
def test_what_is_not_read_is_named(path: str, words: str) -> None:
    assert [words in failure.reason for failure in read(path.split("/", maxsplit=1)[0]).failures if failure.path == path] == [
        True
    ]


def test_broken_places_are_told() -> None:
    documents = {document.path.split("/")[1]: document for document in read("text-encodings").documents}
    for name in ("utf8-one-bad-byte.txt", "utf8-cut.txt"):
        assert documents[name].warnings == ("1 place is not valid utf-8, shown as \ufffd",)


def test_globs_with_braces_find_what_ripgrep_finds() -> None:
    found = walk([CASES / "globs"], WalkOptions(globs=("*.{md,txt}",)))
    assert [file.path for file in found] == ["globs/a.md", "globs/b.txt", "globs/sub/e.md"]
