"""Books, notebooks, mails and drawings: what they show is read, in its order."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.documents.office import epub
from tscli.documents import Document, load
from tscli.documents.rtf import rtf_text

Read = Callable[[str, bytes], Document]
Reason = Callable[[str, bytes], str]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    def one(name: str, data: bytes) -> Document:
        (tmp_path / name).write_bytes(data)
        loaded = load([tmp_path / name], workers=1)
        assert loaded.failures == ()
        return loaded.documents[0]

    return one


@pytest.fixture
def reason(tmp_path: Path) -> Reason:
    def why(name: str, data: bytes) -> str:
        (tmp_path / name).write_bytes(data)
        return load([tmp_path / name], workers=1).failures[0].reason

    return why


def test_a_book_is_read_in_its_own_order_with_its_own_names_of_chapters(read: Read) -> None:
    head = "<?xml version='1.0'?><html xmlns='http://www.w3.org/1999/xhtml'><head><title/></head>"
    page = (head + "<body><p>{}</p></body></html>").format
    chapters = {"z.xhtml": page("The beginning."), "a.xhtml": page("The end.")}
    document = read("a.epub", epub(chapters, ("z.xhtml", "a.xhtml"), {"z.xhtml": "Begin"}))
    assert document.pages == ("The beginning.", "The end.")
    assert document.labels == ("Begin", "a.xhtml")


@pytest.mark.parametrize(
    ("source", "text"),
    [
        (rb"{\rtf1\ansi\ansicpg1252{\fonttbl{\f0 Arial;}}\f0 caf\'e9 {\b five}\par}", "caf\u00e9 five"),
        (rb"{\rtf1\ansi\uc1 caf\u233? \u8364 ?5 \u-10179?\u-9108?\par}", "caf\u00e9 \u20ac5 \U0001f46c"),
        (
            rb"{\rtf1{\fonttbl{\f1\fcharset204 A;}{\f2\fcharset128 M;}}\f1 \'cf\'f0\'e8 \f2 \'8d\'60\'92\'b7}",
            "\u041f\u0440\u0438 \u6e2f\u9577",
        ),
        (rb"{\rtf1\ansi\trowd Name\cell Fee\cell\row\trowd Ida\cell 5\cell\row\pard after\par}", "Name | Fee\nIda | 5\nafter"),
        (rb"{\rtf1 a{\pict\pngblip 89504e47}b{\v hidden}{\*\generator G}{\info{\title T}}\par}", "ab"),
        (rb"{\rtf1\mac caf\'8e{\footnote see {\i there}}\par}", "caf\u00e9\nNote: see there"),
        (b"{\\rtf1 a{\\pict\\bin3 {}}}b}", "ab"),
        (rb"{\rtf1\ansi half {\b bo", "half bo"),
    ],
)
def test_rich_text_is_read_by_its_code_pages(source: bytes, text: str) -> None:
    assert rtf_text(source) == text


def test_a_notebook_gives_cells_and_what_they_printed_without_pictures(read: Read) -> None:
    image = "iVBOR" * 20_000
    outputs = [
        {"output_type": "display_data", "data": {"image/png": image, "text/plain": ["<Figure>"]}},
        {"output_type": "stream", "text": ["fee: 5\n"]},
        {"output_type": "error", "traceback": ["\x1b[31mNameError\x1b[0m: x"]},
        {"output_type": "execute_result", "data": {"text/html": "<table><tr><td>a<td>b</table>"}},
    ]
    cells = [
        {"cell_type": "markdown", "source": ["# Fees\n", f"![m](data:image/png;base64,{image})"]},
        {"cell_type": "code", "source": "plot()", "outputs": outputs},
    ]
    text = read("a.ipynb", json.dumps({"cells": cells, "nbformat": 4}).encode()).pages[0]
    assert [words in text for words in ("# Fees", "plot()", "<Figure>", "fee: 5", "\nNameError: x", "a | b")] == [True] * 6
    assert len(text) < 200


def test_a_mail_gives_headers_body_and_names_of_attachments(read: Read) -> None:
    mail = (
        "From: Odile <o@x.example>\nSubject: =?utf-8?q?caf=C3=A9?=\nMIME-Version: 1.0\n"
        "Content-Type: multipart/mixed; boundary=B\n\n"
        "--B\nContent-Type: text/html; charset=iso-8859-1\nContent-Transfer-Encoding: quoted-printable\n\n"
        "<p>The fee is =93five=94.</p><p hidden>no</p>\n"
        "--B\nContent-Type: application/pdf\nContent-Disposition: attachment; filename=plan.pdf\n\nxxxx\n--B--\n"
    )
    document = read("a.eml", mail.encode())
    assert document.pages[0].split("\n") == [
        "From: Odile <o@x.example>",
        "Subject: caf\u00e9",
        "",
        "The fee is \u201cfive\u201d.",
        "",
        "Attachment: plan.pdf",
    ]
    assert document.warnings == ("attachments not read: plan.pdf",)


def test_parts_of_a_mail_that_stand_below_each_other_are_all_read(read: Read) -> None:
    head = "From: o@x.example\nMIME-Version: 1.0\nContent-Type: multipart/{}; boundary=B\n\n"
    parts = "--B\nContent-Type: text/plain\n\nfirst\n--B\nContent-Type: text/html\n\n<p>second</p>\n--B--\n"
    assert read("a.eml", (head.format("mixed") + parts).encode()).pages[0] == "From: o@x.example\n\nfirst\n\nsecond"
    assert read("b.eml", (head.format("alternative") + parts).encode()).pages[0] == "From: o@x.example\n\nfirst"


@pytest.mark.parametrize(
    ("name", "head", "shown"),
    [
        ("saved", "", "five"),
        ("page.aspx", "", "five"),
        ("page.html.1", "", "five"),
        ("a.php", "<?php ?>", "<?php ?><html>five"),
    ],
)
def test_a_page_is_known_by_its_beginning_where_its_name_says_nothing(read: Read, name: str, head: str, shown: str) -> None:
    assert read(name, f"{head}<html>five".encode()).pages == (shown,)


def test_a_drawing_gives_its_words_and_one_without_is_a_picture(tmp_path: Path) -> None:
    svg = '<svg xmlns="http://www.w3.org/2000/svg">{}<path d="M0 0L9 9"/></svg>'
    (tmp_path / "a.svg").write_text(svg.format("<text>Pier four</text>"), encoding="utf-8")
    (tmp_path / "b.svg").write_text(svg.format(""), encoding="utf-8")
    loaded = load([tmp_path], workers=1)
    assert [document.pages for document in loaded.documents] == [("Pier four",)]
    assert [passed.reason for passed in loaded.passed_over] == ["is a picture"]
