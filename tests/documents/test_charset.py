"""Text files of every encoding: what is lost is counted, what hides is taken out and told, pictures inside are left out."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from tscli.documents import load
from tscli.documents.charset import Decoded, decode, is_binary
from tscli.documents.invisible import hidden, visible
from tscli.documents.plain import text_of
from tscli.errors import UsageError

RUSSIAN = "\u041d\u0430\u0447\u0430\u043b\u044c\u043d\u0438\u043a \u043f\u043e\u0440\u0442\u0430 \u0418\u0432\u0430\u043d."
HEBREW = "\u05de\u05e0\u05d4\u05dc \u05d4\u05e0\u05de\u05dc \u05d4\u05d5\u05d0 \u05d3\u05d5\u05d3 \u05dc\u05d5\u05d9."
JAPANESE = "\u3053\u308c\u306f\u65e5\u672c\u8a9e\u306e\u6587\u7ae0\u3067\u3059\u3002"
HARBOUR = "\u6e2f\u9577\u306f\u5c71\u7530\u82b1\u5b50\u3067\u3059\u3002\u96fb\u8a71\u306f\u5341\u4e8c\u756a\u3002"
GREEK = "\u039f \u03bb\u03b9\u03bc\u03b5\u03bd\u03ac\u03c1\u03c7\u03b7\u03c2 \u03b5\u03af\u03bd\u03b1\u03b9 \u03b5\u03b4\u03ce."
TURKISH = "Liman m\u00fcd\u00fcr\u00fc Ay\u015fe Y\u0131lmaz'd\u0131r, \u0130stanbul'da."
POLISH = "Pchn\u0105\u0107 w t\u0119 \u0142\u00f3d\u017a je\u017ca lub o\u015bm skrzy\u0144 fig."
LATIN = "Le caf\u00e9 est ferm\u00e9 \u00e0 midi."


@pytest.mark.parametrize("broken", [b"\xff", b"\xc3", b"\x80\x80", b"\xed\xa0\x80"])
def test_utf8_with_a_broken_place_stays_utf8_and_the_place_is_told(broken: bytes) -> None:
    found = decode("The caf\u00e9 of Zo\u00eb M\u00fcller. ".encode() + broken + b" end")
    assert found.encoding == "utf-8"
    assert found.text.startswith("The caf\u00e9 of Zo\u00eb M\u00fcller. \ufffd")
    assert "not valid utf-8" in (found.warning or "")


@pytest.mark.parametrize(
    ("encoding", "text"),
    [("koi8-r", RUSSIAN), ("cp1251", RUSSIAN), ("cp1255", HEBREW), ("euc_jp", JAPANESE), ("euc_jp", HARBOUR), ("cp1253", GREEK),
     ("cp1254", TURKISH), ("cp1252", LATIN)],
)  # fmt: skip
def test_encodings_of_other_scripts_are_told_apart(encoding: str, text: str) -> None:
    assert decode(text.encode(encoding)).text == text


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
@pytest.mark.parametrize("text", ["The harbour master of Holm, caf\u00e9.\n", RUSSIAN + "\n", JAPANESE + "\n"])
def test_wide_text_without_a_mark_is_read(encoding: str, text: str) -> None:
    data = (text * 5).encode(encoding)
    assert not is_binary(data)
    assert decode(data).text == text * 5


@pytest.mark.parametrize(
    "data",
    [
        bytes(range(256)) * 8,
        b"\x7fELF\2\1\1" + bytes(100),
        b"\x89PNG\r\n\x1a\n" + bytes(40),
        b"RIFF\x24\0\0\0WAVEfmt \x10\0\0\0\1\0\1\0",
    ],
)
def test_binary_files_are_no_text(data: bytes) -> None:
    assert is_binary(data)


def test_a_log_with_nuls_is_read_and_they_are_told(tmp_path: Path) -> None:
    (tmp_path / "a.log").write_bytes(b"boot ok\n\0\nThe fee is five.\nend" + bytes(4000) + b"again")
    document = load([tmp_path]).documents[0]
    assert document.pages == ("boot ok\n\nThe fee is five.\nend again",)
    assert "4,001 NUL bytes" in document.warnings[0]


def test_an_encoding_that_is_named_is_used_where_nothing_else_says(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes("Gr\u00f6\u00dfe".encode("mac_roman"))
    (tmp_path / "b.txt").write_text("Gr\u00f6\u00dfe", encoding="utf-8")
    (tmp_path / "c.txt").write_bytes(JAPANESE.encode("iso2022_jp"))
    pages = [document.pages[0] for document in load([tmp_path], encoding="mac_roman").documents]
    assert pages[:2] == ["Gr\u00f6\u00dfe", "Gr\u00f6\u00dfe"]
    assert load([tmp_path / "c.txt"], encoding="iso2022_jp").documents[0].pages == (JAPANESE,)


@pytest.mark.parametrize("name", ["nonsense", "hex", "", "a\0b"])
def test_a_name_that_is_no_encoding_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="no such encoding"):
        load([tmp_path], encoding=name)


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("har\u200bbour\u00ad \u2060x\ufeff", "harbour x"),
        ("\u202ea\u202c \u2067b\u2069\u200f", "a b"),
        ("a\U000e0068\U000e0069b", "ab"),
        ("f\u200dee", "fee"),
        ("\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645", "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645"),
        ("\U0001f469\u200d\U0001f4bb", "\U0001f469\u200d\U0001f4bb"),
    ],
)
def test_invisible_characters_are_taken_out_where_they_mean_nothing(text: str, seen: str) -> None:
    assert visible(text) == seen


def test_invisible_characters_are_told_where_they_hide_text() -> None:
    told = text_of("fee\nfive\U000e0069\U000e0067\U000e006e".encode())[2]
    assert told == ("3 invisible characters that can hide text or turn it around were taken out, the first in line 2",)
    assert hidden("pay \u202etxt.exe") is not None
    assert hidden("har\u200bbour") is None
    assert hidden("\U0001f3f4\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f") is None


def test_pictures_inside_of_text_are_left_out_and_told() -> None:
    data = base64.b64encode(bytes(range(256)) * 200).decode()
    for text in (
        f"![m](data:image/png;base64,{data})\nfee",
        f"[m]: <data:image/png;base64,{data}>\nfee",
        f'url("data:font/woff2;base64,{data}") fee',
    ):
        found, _, told = text_of(text.encode(), ".md")
        assert len(found) < 60
        assert found.endswith("fee")
        assert "left out" in told[0]


def test_drawings_in_markdown_give_their_words_and_code_stays_as_it_is() -> None:
    svg = '<svg><path d="M0 0L9 9"/><text>words</text></svg>'
    found = text_of(f"a {svg} b\n\n```html\n{svg}\n```\n".encode(), ".md")[0]
    assert found == f"a words b\n\n```html\n{svg}\n```"
    assert text_of(svg.encode(), ".svg")[0] == svg


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("Hamnkaptenen heter \u00c5sa Str\u00f6m och avgiften \u00e4r fem kronor.", "cp1252"),
        ("Op\u0142ata wynosi pi\u0119\u0107 z\u0142otych.", "cp1250"),
        ("\u6e2f\u53e3\u4f7f\u7528Python\u7a0b\u5e8f\uff0c\u8d39\u7528\u662f\u4e94\u5143\u3002", "gbk"),
    ],
)
def test_no_encoding_is_guessed_that_tears_words_apart(text: str, encoding: str) -> None:
    assert decode(text.encode(encoding)).text == text


@pytest.mark.parametrize(
    ("text", "encodings"),
    [
        ("Příliš žluťoučký kůň", ("cp1250", "iso8859-2")),
        ("Ředitel: Jiří Dvořák", ("cp1250", "iso8859-2")),
        ("Kierownik: Łukasz Wójcik", ("cp1250", "iso8859-2")),
        ("Żółw śpi.", ("cp1250", "iso8859-2")),
        ("Cena: 30 zł", ("cp1250", "iso8859-2")),
        ("A hűtő zárva.", ("cp1250", "iso8859-2")),
        ("Kuća je žuta, a čamac šaren.", ("cp1250", "iso8859-2")),
        ("Casa galbenă şi câinele", ("cp1250", "iso8859-2")),
        ("Où est le café ?", ("cp1252", "iso8859-15")),
        ("Não há pão.", ("cp1252",)),
        ("Räksmörgås på ön", ("cp1252",)),
        ("£45 – “quoted”, 20 °C, 3 m²", ("cp1252",)),
        ("één coördinaat", ("cp1252",)),
    ],
)
def test_a_few_words_of_a_latin_alphabet_are_read_right(text: str, encodings: tuple[str, ...]) -> None:
    for encoding in encodings:
        assert decode(text.encode(encoding)).text == text


@pytest.mark.parametrize("text", ["Kůň", "Ključ", "Účet č. 12: 450 Kč"])
def test_what_fits_two_encodings_is_told_with_the_way_out(text: str) -> None:
    found = decode(text.encode("cp1250"))
    assert found.warning is not None
    assert "--encoding cp1250" in found.warning
    assert decode(text.encode("cp1250"), "cp1250") == Decoded(text, "cp1250")


def test_nothing_is_told_of_what_all_encodings_read_alike() -> None:
    assert decode("Schlüssel für Müller".encode("cp1252")).warning is None
    assert decode(("Élève reçu à l'école. " * 9).encode("cp1252")).warning is None


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        (HARBOUR, "iso2022_jp"),
        ("\u012elinkdama fechtuotojo \u0161paga sublyk\u010diojusi", "cp1257"),
        ("\u00dcber den Wolken mu\u00df die Freiheit gr\u00f6\u00dfer sein", "cp437"),
        ("\u00dcber den Wolken mu\u00df die Freiheit gr\u00f6\u00dfer sein", "cp850"),
    ],
)
def test_text_of_older_systems_is_read(text: str, encoding: str) -> None:
    assert decode(text.encode(encoding)).text == text


@pytest.mark.parametrize(
    ("head", "encoding"),
    [
        ('<?xml version="1.0" encoding="iso-8859-2"?>', "iso8859-2"),
        ("# -*- coding: iso-8859-2 -*-", "iso8859-2"),
        ('@charset "iso-8859-2";', "iso8859-2"),
        ('"Content-Type: text/plain; charset=ISO-8859-2\\n"', "iso8859-2"),
        ("\\usepackage[latin2]{inputenc}", "iso8859-2"),
        ('<?xml version="1.0" encoding="no-such"?>', "cp1250"),
    ],
)
def test_what_a_text_says_of_its_encoding_is_believed_where_it_is_true(head: str, encoding: str) -> None:
    found = decode(f"{head}\n{POLISH}\n".encode("iso8859-2" if encoding != "cp1250" else "cp1250"))
    assert found.text.endswith(f"\n{POLISH}\n")


def test_orders_to_terminals_and_overstruck_letters_are_no_text() -> None:
    log = b"\x1b[31mERROR\x1b[0m disk full\x1b[K\n\x1b]0;title\x07$ ls\nN\bNA\bA _\bu"
    assert not is_binary(log)
    assert text_of(log)[0] == "ERROR disk full\n$ ls\nNA u"
