"""Office files, books, notebooks and mails give what people see in them; what cannot be read says why."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.documents.office import ODF, docx, opendocument, paragraph, pptx, relations, shape, xlsx, zipped
from tscli.documents import Document, load, package
from tscli.documents.formats import shown
from tscli.documents.numbering import written
from tscli.documents.word import word_text

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


@pytest.mark.parametrize("name", ["a.docx", "a.docm"])
def test_word_gives_paragraphs_and_rows_of_tables(read: Read, name: str) -> None:
    cell = "<w:tc>{}</w:tc>".format
    rows = "".join(f"<w:tr>{cell(paragraph(a))}{cell(paragraph(b))}</w:tr>" for a, b in (("Name", "Fee"), ("Ida", "5")))
    text = read(name, docx(f"{paragraph('Odile Farrant')}<w:tbl>{rows}</w:tbl>{paragraph('Behind it.')}")).pages[0]
    assert text == "Odile Farrant\nName | Fee\nIda | 5\nBehind it."


def test_word_leaves_out_what_it_does_not_show(read: Read) -> None:
    gone = "<w:p><w:del><w:r><w:delText>deleted</w:delText></w:r></w:del><w:r><w:instrText>PAGE</w:instrText></w:r></w:p>"
    twice = "<mc:Choice>{0}</mc:Choice><mc:Fallback>{0}</mc:Fallback>".format(paragraph("In a box"))
    drawn = f"<w:p><mc:AlternateContent xmlns:mc='m'>{twice}</mc:AlternateContent></w:p>"
    body = paragraph("secret", run="<w:vanish/>") + gone + drawn + paragraph("shown")
    assert read("a.docx", docx(body)).pages[0].split() == ["In", "a", "box", "shown"]


def test_word_numbers_its_lists_and_headings(read: Read) -> None:
    level = '<w:lvl w:ilvl="{}"><w:start w:val="1"/><w:numFmt w:val="{}"/><w:lvlText w:val="{}"/></w:lvl>'.format
    lists = (
        f'<w:numbering><w:abstractNum w:abstractNumId="7">{level(0, "decimal", "%1.")}{level(1, "lowerLetter", "%1.%2)")}'
        '</w:abstractNum><w:num w:numId="3"><w:abstractNumId w:val="7"/></w:num></w:numbering>'
    )
    styles = '<w:styles><w:style w:styleId="H"><w:pPr><w:numPr><w:numId w:val="3"/></w:numPr></w:pPr></w:style></w:styles>'
    item = '<w:numPr><w:ilvl w:val="1"/><w:numId w:val="3"/></w:numPr>'
    head = '<w:pStyle w:val="H"/>'
    body = "".join(paragraph(text, how) for text, how in (("One", head), ("x", item), ("y", item), ("Two", head), ("z", item)))
    made = docx(body, {"n.xml": lists.replace("<w:", "<w:"), "s.xml": styles}, a="numbering n.xml", b="styles s.xml")
    assert read("a.docx", made).pages[0].split("\n") == ["1. One", "1.a) x", "1.b) y", "2. Two", "2.a) z"]


def test_word_gives_headers_notes_and_comments(read: Read) -> None:
    mark = '<w:r><w:footnoteReference w:id="2"/></w:r>'
    made = docx(
        f"<w:p><w:r><w:t>Fee</w:t></w:r>{mark}</w:p>",
        {
            "h.xml": f"<w:hdr>{paragraph('The board')}</w:hdr>",
            "f.xml": f'<w:footnotes><w:footnote w:id="2">{paragraph("five crowns")}</w:footnote></w:footnotes>',
            "c.xml": f'<w:comments><w:comment w:author="Ida">{paragraph("too much")}</w:comment></w:comments>',
        },
        a="header h.xml",
        b="footnotes f.xml",
        c="comments c.xml",
    )
    assert read("a.docx", made).pages[0].split("\n") == ["The board", "Fee[1]", "[1] five crowns", "Comment by Ida: too much"]


@pytest.mark.parametrize(
    ("number", "form", "text"),
    [(3, "lowerLetter", "c"), (28, "upperLetter", "BB"), (49, "lowerRoman", "xlix"), (7, "decimal", "7")],
)
def test_numbers_are_written_as_lists_write_them(number: int, form: str, text: str) -> None:
    assert written(number, form) == text


def test_slides_are_pages_in_the_order_of_the_presentation(read: Read) -> None:
    document = read("a.pptx", pptx(shape("First") + shape("9", "sldNum"), shape("Second"), order=(2, 1)))
    assert document.pages == ("Second", "First")
    assert document.labels == ("slide 1", "slide 2")
    assert document.paged


def test_sheets_are_pages_and_numbers_are_what_the_sheet_shows(read: Read) -> None:
    styles = '<numFmts><numFmt numFmtId="164" formatCode="#,##0.00&quot; kr&quot;"/></numFmts><cellXfs><xf numFmtId="0"/>'
    styles += '<xf numFmtId="14"/><xf numFmtId="10"/><xf numFmtId="164"/></cellXfs>'
    rows = '<row><c t="s"><v>0</v></c><c s="1"><v>46354</v></c><c s="2"><v>0.055</v></c><c s="3"><v>1234.5</v></c></row>'
    rows += (
        '<row><c r="A2" t="inlineStr"><is><t>in line</t></is></c><c r="C2" t="b"><v>1</v></c><c r="D2"><f>A1*2</f></c></row>'
    )
    document = read("a.xlsx", xlsx({"Fees": rows, "Old": rows, "Empty": ""}, styles, ("Ida",), hidden=("Old",)))
    assert document.pages == ("Fees\n\nIda | 2026-11-28 | 5.50% | 1,234.50 kr\nin line |  | TRUE | =A1*2", "")
    assert document.labels == ("Fees", "Empty")
    assert document.warnings == ("hidden sheets left out: Old",)


@pytest.mark.parametrize(
    ("value", "form", "text"),
    [
        (0.1 + 0.2, "General", "0.3"),
        (-3, "0.00;[Red](0.00)", "(3.00)"),
        (-1234.5, "#,##0.00", "-1,234.50"),
        (-0.25, "0%", "-25%"),
        (1500, '0.0,"k"', "1.5k"),
        (7, "000", "007"),
        (1234567.891, "[$€-407] #,##0.00", "€ 1,234,567.89"),
        (45000, "d. mmmm yyyy", "15. March 2023"),
        (0.5, "h:mm AM/PM", "12:00 PM"),
        (46354.604167, "dd/mm/yyyy hh:mm", "28/11/2026 14:30"),
        (1.25, "[h]:mm", "30:00"),
        (12.5, "#.##", "12.5"),
        (0, '0;-0;"none"', "none"),
        (2958466, "yyyy-mm-dd", "2958466"),
        (3.14159, "0.00E+00", "3.14E+00"),
        (2.5, "# ?/?", "2 1/2"),
        (-0.375, "?/8", "-3/8"),
    ],
)
def test_a_number_is_shown_by_its_format(value: float, form: str, text: str) -> None:
    assert shown(value, form) == text


def test_opendocument_text_keeps_spaces_notes_and_leaves_out_what_was_deleted(read: Read) -> None:
    said = "<text:note-body><text:p>a note</text:p></text:note-body>"
    note = f"<text:note><text:note-citation>1</text:note-citation>{said}</text:note>"
    table = "<table:table><table:table-row>{}</table:table-row></table:table>".format(
        "".join(f"<table:table-cell><text:p>{cell}</text:p></table:table-cell>" for cell in ("Ida", "5"))
    )
    deleted = "<text:tracked-changes><text:p>deleted</text:p></text:tracked-changes>"
    body = f'{deleted}<text:p>a<text:s text:c="2"/>b{note} c</text:p>{table}'
    assert read("a.odt", opendocument("text", body)).pages == ("a  b[1] c\nIda | 5\n[1] a note",)


def test_opendocument_sheets_and_slides_are_pages(read: Read) -> None:
    row = "<table:table-row><table:table-cell><text:p>{}</text:p></table:table-cell></table:table-row>".format
    rest = '<table:table-cell table:number-columns-repeated="16384"/>'
    filler = f'<table:table-row table:number-rows-repeated="1048576">{rest}</table:table-row>'
    sheets = "".join(f'<table:table table:name="{name}">{row(name.lower())}{filler}</table:table>' for name in ("Fees", "Old"))
    document = read("a.ods", opendocument("spreadsheet", sheets))
    assert (document.pages, document.labels) == (("Fees\n\nfees", "Old\n\nold"), ("Fees", "Old"))
    slides = "".join(
        f"<draw:page><draw:frame><draw:text-box><text:p>{text}</text:p></draw:text-box></draw:frame></draw:page>"
        for text in "ab"
    )
    assert read("a.odp", opendocument("presentation", slides)).pages == ("a", "b")


@pytest.mark.parametrize("name", ["a", "a.xlsx", "a.part"])
def test_a_document_by_another_name_is_read_as_what_it_is(read: Read, name: str) -> None:
    assert read(name, docx(paragraph("five crowns"))).pages == ("five crowns",)


def test_hidden_rows_columns_sheets_and_slides_are_left_out_or_named(read: Read) -> None:
    cells = '<c r="A{0}"><v>{0}</v></c><c r="B{0}"><v>7{0}</v></c>'
    rows = f'<row>{cells.format(1)}</row><row hidden="1">{cells.format(2)}</row>'
    data = xlsx({"Fees": f'</sheetData><cols><col min="2" max="2" hidden="1"/></cols><sheetData>{rows}'})
    assert read("a.xlsx", data).pages == ("Fees\n\n1",)
    style = '<style:style style:name="ta2"><style:table-properties table:display="false"/></style:style>'
    table = '<table:table table:name="{}" table:style-name="{}"><table:table-row><table:table-cell><text:p>{}</text:p>'
    table += "</table:table-cell></table:table-row></table:table>"
    content = f"<o:d {ODF} xmlns:o='o' xmlns:style='s'><o:automatic-styles>{style}</o:automatic-styles><o:body><o:spreadsheet>"
    content += table.format("Fees", "ta1", "five") + table.format("Old", "ta2", "six") + "</o:spreadsheet></o:body></o:d>"
    document = read("a.ods", zipped({"content.xml": content}))
    assert (document.labels, document.warnings) == (("Fees",), ("hidden sheets left out: Old",))


def test_boxes_on_a_sheet_are_read(read: Read) -> None:
    parts = {
        "xl/worksheets/_rels/sheet1.xml.rels": relations(d="drawing ../drawings/drawing1.xml"),
        "xl/drawings/drawing1.xml": "<wsDr><sp><txBody><p><r><t>Closed on Mondays</t></r></p></txBody></sp></wsDr>",
    }
    with zipfile.ZipFile(io.BytesIO(xlsx({"Fees": "<row><c><v>5</v></c></row>"}))) as package:
        data = zipped({**{name: package.read(name) for name in package.namelist()}, **parts})
    assert read("a.xlsx", data).pages == ("Fees\n\n5\nClosed on Mondays",)


def test_an_opendocument_in_one_file_is_read(read: Read) -> None:
    flat = f"<office:document {ODF}><office:body><office:text><text:p>five crowns</text:p></office:text></office:body>"
    assert read("a.fodt", f"<?xml version='1.0'?>{flat}</office:document>".encode()).pages == ("five crowns",)


def test_signs_of_words_own_fonts_and_spoken_forms_are_read(read: Read) -> None:
    signs = '<w:r><w:sym w:font="Symbol" w:char="F0B3"/><w:t>5</w:t><w:sym w:font="Wingdings" w:char="F0FE"/></w:r>'
    spoken, base = "<w:rt><w:r><w:t>kan</w:t></w:r></w:rt>", "<w:rubyBase><w:r><w:t>\u6f22</w:t></w:r></w:rubyBase>"
    ruby = f"<w:r><w:ruby>{spoken}{base}</w:ruby></w:r>"
    assert read("a.docx", docx(f"<w:p>{signs}{ruby}</w:p>")).pages == ("\u22655\u2611\u6f22(kan)",)


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("a.docx", b"PK\x03\x04\0\0\0", "damaged or incomplete"),
        ("a.docx", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600), "without a password"),
        ("a.doc", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600), "save it as .docx or PDF"),
        ("a.docx", zipped({"x": "y"}), "holds no word/document.xml"),
        ("a.docx", docx(""), "holds no text"),
        ("a.docx", docx("<w:p>"), "is not valid XML"),
        ("a.pptx", pptx(""), "holds no text"),
        ("a.xlsx", zipped({"xl/workbook.xml": "<x/>"}), "holds no sheet"),
        ("a.odt", zipped({"content.xml": "<x/>"}), "holds no text"),
        ("a.ods", opendocument("spreadsheet", "", **{"META-INF/manifest__xml": "<m><encryption-data/></m>"}), "encrypted"),
        ("a.epub", zipped({"META-INF/encryption.xml": '<e><CipherReference URI="c.xhtml"/></e>'}), "copy protection"),
        ("a.ipynb", b"{", "is not a notebook"),
        ("a.zip", zipped({"notes.txt": "five crowns"}), "zip archive"),
        ("notes.txt.gz", b"\x1f\x8b\x08\x00", "gzip archive"),
        ("a.tar", bytes(257) + b"ustar\x0000" + bytes(300), "tar archive"),
        ("a.7z", b"7z\xbc\xaf\x27\x1c\0\4", "7z archive"),
        ("a.html", b"<body><div id=app></div><script>draw()</script>", "without its scripts"),
        ("a.txt", bytes(range(256)) * 4, "--encoding"),
    ],
)
def test_what_cannot_be_read_says_why(reason: Reason, name: str, data: bytes, words: str) -> None:
    assert words in reason(name, data)


def test_xml_that_declares_entities_is_refused(reason: Reason) -> None:
    bomb = "<!DOCTYPE x [<!ENTITY a 'ha'><!ENTITY b '" + "&a;" * 1000 + "'>]><w:document><w:t>&b;</w:t></w:document>"
    assert "declares XML entities" in reason("a.docx", zipped({"word/document.xml": bomb}))


def test_xml_that_is_nested_too_deep_is_refused(reason: Reason) -> None:
    assert "nests more than" in reason("a.docx", zipped({"word/document.xml": "<a>" * 100_000}))


def test_what_unpacks_to_too_much_is_refused_while_it_is_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(package, "LARGEST_PART", 1 << 20)
    bomb = package.Package(zipped({"word/document.xml": b"<w:t>" + b" " * (8 << 20)}))
    with pytest.raises(package.Unreadable, match="unpacks to more than 1 MiB"):
        word_text(bomb)


def test_a_slide_that_is_damaged_loses_that_slide_only(tmp_path: Path) -> None:
    (tmp_path / "a.pptx").write_bytes(pptx(shape("First"), "</p:broken>", shape("Third")))
    document = load([tmp_path], workers=1).documents[0]
    assert document.pages == ("First", "", "Third")
    assert "page 2 lost" in document.warnings[0]
    assert document.pages_without_text == ()


def test_relations_that_lead_out_of_the_file_are_not_followed(read: Read) -> None:
    made = zipped(
        {
            "word/document.xml": "<w:document><w:t>inside</w:t></w:document>",
            "word/_rels/document.xml.rels": relations(a="header ../../../../etc/passwd"),
        }
    )
    assert read("a.docx", made).pages == ("inside",)
