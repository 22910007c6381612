"""What a PDF holds beside its pages' text: fields, comments, files, labels; and why one cannot be read, in its own words."""

from __future__ import annotations

import io
from pathlib import Path

import pypdf
import pytest
from pypdf.annotations import FreeText, Line, Rectangle, Text
from pypdf.generic import (
    ArrayObject,
    BooleanObject,
    DecodedStreamObject,
    DictionaryObject,
    NameObject,
    TextStringObject,
)

from tests.documents.hostile import pages_of
from tests.documents.pdfs import at, lines, painted, with_attachments, with_fields, written
from tscli.documents import Document, Loaded, load


def loaded(tmp_path: Path, data: bytes, name: str = "a.pdf") -> Loaded:
    (tmp_path / name).write_bytes(data)
    return load([tmp_path / name], ocr="off", workers=1)


def read(tmp_path: Path, data: bytes) -> Document:
    found = loaded(tmp_path, data)
    assert found.failures == ()
    return found.documents[0]


def test_values_of_fields_are_read_whether_they_are_painted_or_not(tmp_path: Path) -> None:
    fields = [
        {"/FT": "/Tx", "/T": "name", "/V": "Odile Farrant"},
        {"/FT": "/Tx", "/T": "f2", "/TU": "Yearly salary", "/V": "Kr 48,210"},
        {"/FT": "/Btn", "/T": "member", "/V": "/Yes", "/AS": "/Yes"},
        {"/FT": "/Btn", "/T": "retired", "/V": "/Off", "/AS": "/Off"},
        {"/FT": "/Ch", "/T": "port", "/Opt": [["H", "Holm"], ["L", "Lund"]], "/V": "L"},
        {"/FT": "/Tx", "/T": "pin", "/Ff": 1 << 13, "/V": "1234"},
        {"/FT": "/Tx", "/T": "hidden", "/F": 2, "/V": "unseen"},
        {"/FT": "/Tx", "/T": "empty", "/V": ""},
    ]
    page = read(tmp_path, with_fields(painted(lines("Application")), fields)).pages[0]
    assert page == "Application\nname: Odile Farrant\nYearly salary: Kr 48,210\nmember: yes\nport: Lund"


def field(left: int, bottom: int, right: int, **entries: object) -> dict[str, object]:
    return {"/FT": "/Tx", "/Rect": [left, bottom, right, bottom + 16], **{f"/{key}": value for key, value in entries.items()}}


def test_a_value_stands_behind_its_label(tmp_path: Path) -> None:
    page = (
        at(72, 700, "Name:") + at(300, 700, "Born in:") + at(72, 660, "Fee in crowns: __________") + at(72, 620, "Thank you.")
    )
    fields = [
        field(360, 696, 460, T="b", V="Lund"),
        field(110, 696, 280, T="a", V="Odile Farrant"),
        field(160, 656, 220, T="c", V="4310"),
    ]
    text = read(tmp_path, with_fields(painted(page), fields)).pages[0]
    assert text == "Name: Odile Farrant Born in: Lund\nFee in crowns: __________ 4310\nThank you."


def test_a_value_without_a_label_on_its_line_stands_by_itself_with_its_name(tmp_path: Path) -> None:
    page = at(72, 700, "Name") + at(72, 600, "Signed in Holm") + at(72, 500, "From ______ to ______ by ship")
    fields = [
        field(72, 670, 300, T="full name", V="Odile Farrant"),
        field(100, 496, 140, T="start", V="Lund"),
        {**field(72, 540, 300, T="why", V="one\rtwo"), "/Rect": [72, 530, 300, 590]},
        field(40, 596, 60, T="agreed", FT="/Btn", V="/Yes", AS="/Yes"),
    ]
    text = read(tmp_path, with_fields(painted(page), fields)).pages[0]
    assert text.split("\n") == [
        *("Name", "full name: Odile Farrant", "Signed in Holm", "agreed: yes", "why: one", "two"),
        *("From ______ to ______ by ship", "start: Lund"),
    ]


@pytest.mark.parametrize(("turn", "matrix"), [(90, b"0 1 -1 0 300 100"), (270, b"0 -1 1 0 300 600")])
def test_values_of_a_turned_page_stand_behind_its_text(tmp_path: Path, turn: int, matrix: bytes) -> None:
    """Its letters stand upright as it is shown."""
    content = b"BT /F 12 Tf %s Tm (Name:) Tj ET" % matrix
    data = with_fields(painted(content, page=b"/Rotate %d" % turn), [{"/FT": "/Tx", "/T": "name", "/V": "Odile"}])
    assert read(tmp_path, data).pages == ("Name:\n\nname: Odile",)


def test_a_page_of_fields_is_no_scan(tmp_path: Path) -> None:
    document = read(tmp_path, with_fields(painted(b""), [{"/FT": "/Tx", "/T": "name", "/V": "Odile Farrant"}]))
    assert document.pages == ("name: Odile Farrant",)
    assert document.pages_without_text == ()
    assert document.warnings == ()


def test_typed_text_and_comments_are_read(tmp_path: Path) -> None:
    writer = pypdf.PdfWriter(io.BytesIO(painted(lines("Contract"))))
    writer.add_annotation(0, FreeText(text="Approved by Odile", rect=(72, 500, 300, 520)))
    writer.add_annotation(0, Text(text="Check the date", rect=(72, 400, 90, 420), title_bar="Marit"))
    assert read(tmp_path, written(writer)).pages == ("Contract\nApproved by Odile\n\nComment by Marit: Check the date",)


def test_a_button_whose_states_are_numbers_is_read_by_what_they_mean(tmp_path: Path) -> None:
    field = {"/FT": "/Btn", "/T": "port", "/Ff": 1 << 15, "/V": "/1", "/AS": "/1", "/Opt": ["Holm", "Lund"]}
    assert read(tmp_path, with_fields(painted(lines("Form")), [field])).pages == ("Form\nport: Lund",)


def test_remarks_on_drawn_lines_and_shapes_are_comments(tmp_path: Path) -> None:
    writer = pypdf.PdfWriter(io.BytesIO(painted(lines("Plan"))))
    writer.add_annotation(0, Line(p1=(72, 500), p2=(200, 500), rect=(72, 500, 200, 510), text="move this wall"))
    writer.add_annotation(0, Rectangle(rect=(72, 300, 200, 400)))
    assert read(tmp_path, written(writer)).pages == ("Plan\n\nComment: move this wall",)


def test_a_field_without_a_value_is_read_by_what_it_paints_or_by_its_text_with_formats(tmp_path: Path) -> None:
    formatted = '<?xml version="1.0"?><body><p>two &amp; three</p></body>'
    fields = [{"/FT": "/Tx", "/T": "a"}, {"/FT": "/Tx", "/T": "b", "/RV": formatted}, {"/FT": "/Tx", "/T": "c", "/Ff": 1 << 13}]
    writer = pypdf.PdfWriter(io.BytesIO(with_fields(painted(lines("Form")), fields)))
    look = DecodedStreamObject()
    look.set_data(b"BT /F 12 Tf 2 4 Td (one) Tj ET")
    resources = writer.pages[0]["/Resources"]
    look.update({NameObject("/Subtype"): NameObject("/Form"), NameObject("/Resources"): resources})
    for number in (0, 2):
        field = writer.pages[0]["/Annots"][number].get_object()  # type: ignore[index]
        field[NameObject("/AP")] = DictionaryObject({NameObject("/N"): writer._add_object(look)})
    assert read(tmp_path, written(writer)).pages == ("Form\na: one\nb: two & three",)


def test_files_within_a_pdf_are_documents_of_their_own_or_named(tmp_path: Path) -> None:
    files = {
        "invoice.pdf": painted(lines("The invoice is 7,310 crowns.")),
        "notes.txt": "Ask Grete for the key.".encode("utf-16"),
        "photo.png": b"\x89PNG\0\0\0",
        "broken.pdf": b"%PDF-1.7\n",
    }
    found = loaded(tmp_path, with_attachments(painted(lines("Cover")), files))
    assert [(document.path, document.pages) for document in found.documents] == [
        ("a.pdf", ("Cover",)),
        ("a.pdf/invoice.pdf", ("The invoice is 7,310 crowns.",)),
        ("a.pdf/notes.txt", ("Ask Grete for the key.",)),
    ]
    assert found.documents[2].source == str(tmp_path.resolve() / "a.pdf" / "notes.txt")
    told = " ".join(found.documents[0].warnings)
    assert "photo.png not read: is a picture" in told
    assert "broken.pdf not read" in told


def test_names_of_files_within_a_pdf_lead_nowhere(tmp_path: Path) -> None:
    found = loaded(tmp_path, with_attachments(painted(lines("Cover")), {"../../etc/passwd": b"one", "a\\..\\\x1b[2J": b"two"}))
    assert [document.path for document in found.documents] == ["a.pdf", "a.pdf/passwd", "a.pdf/\ufffd[2J"]


def test_pages_have_the_labels_that_viewers_show(tmp_path: Path) -> None:
    labels = b"/PageLabels << /Nums [0 << /S /r >> 2 << /S /D >> 4 << /S /A /P (App-) /St 27 >> 5 << /P (Cover) >>] >>"
    document = read(tmp_path, painted(*[lines(f"Sheet {number}") for number in range(1, 7)], catalog=labels))
    assert document.labels == ("i", "ii", "1", "2", "App-AA", "Cover")


def test_labels_that_say_nothing_else_than_the_number_are_none(tmp_path: Path) -> None:
    assert read(tmp_path, painted(lines("a"), lines("b"), catalog=b"/PageLabels << /Nums [0 << /S /D >>] >>")).labels == ()


@pytest.mark.parametrize(
    "tree", [b"<< /Kids [1 0 R] >>", b"[]", b"<< /Nums [0 << /S /r /St 4000000000 >>] >>", b"<< /Nums [(a)] >>"]
)
def test_hostile_labels_do_no_harm(tmp_path: Path, tree: bytes) -> None:
    assert read(tmp_path, painted(lines("Sheet"), catalog=b"/PageLabels " + tree)).pages == ("Sheet",)


def waiting(*parts: str) -> bytes:
    """A form that Adobe's reader alone shows, of these parts."""
    writer = pypdf.PdfWriter(io.BytesIO(painted(lines("Please wait... If this message is not eventually replaced"))))
    writer._root_object[NameObject("/NeedsRendering")] = BooleanObject(True)
    named = ArrayObject()
    for number, part in enumerate(parts):
        stream = DecodedStreamObject()
        stream.set_data(part.encode())
        named += [TextStringObject(str(number)), writer._add_object(stream)]
    form = DictionaryObject({NameObject("/Fields"): ArrayObject(), NameObject("/XFA"): named})
    writer._root_object[NameObject("/AcroForm")] = form
    return written(writer)


def test_the_page_that_asks_to_wait_for_another_reader_is_no_text(tmp_path: Path) -> None:
    found = loaded(tmp_path, waiting())
    assert [document.pages for document in found.documents] == [("",)]
    assert found.documents[0].pages_without_text == (1,)
    assert "XFA" in found.documents[0].warnings[0]
    assert "print it to a plain PDF" in found.documents[0].warnings[0]


def test_what_was_filled_into_such_a_form_is_a_document_beside_it(tmp_path: Path) -> None:
    found = loaded(
        tmp_path,
        waiting(
            '<xdp:xdp xmlns:xdp="x">',
            '<template><subform><field name="a1"><caption><value><text>Harbour master:</text></value></caption></field>'
            '<field name="b2"/></subform></template>',
            '<xfa:datasets xmlns:xfa="y"><xfa:data><form><a1>Odile Farrant</a1><page><b2>4310</b2><c3/>'
            "<d4><body><p>two</p> <p>words</p></body></d4></page></form></xfa:data><dd>no value</dd></xfa:datasets>",
            "</xdp:xdp>",
        ),
    )
    assert found.documents[0].pages_without_text == (1,)
    assert found.documents[1].path == "a.pdf/form data.txt"
    assert found.documents[1].pages == ("Harbour master: Odile Farrant\nb2: 4310\nd4: two words",)


@pytest.mark.parametrize(
    "part", ["<a", '<!DOCTYPE a [<!ENTITY b "c">]><datasets><data><d>&b;</d></data></datasets>', "<a>" * 9999]
)
def test_a_broken_form_of_this_kind_does_no_harm(tmp_path: Path, part: str) -> None:
    assert [document.path for document in loaded(tmp_path, waiting(part)).documents] == ["a.pdf"]


WHOLE = painted(lines("Old page."))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (WHOLE[: len(WHOLE) // 2], "cut off"),
        (b"%PDF-1.7\n", "cut off"),
        (b"<!doctype html><title>Sign in</title>", "HTML"),
        (b"PK\x03\x04\0\0", "ZIP"),
        (b"\x89PNG\r\n", "picture"),
        (b"Dear reader,", "does not begin with %PDF"),
        (pages_of(b"", 0), "no pages"),
        (WHOLE.replace(b"/Type /Catalog /Pages 2 0 R", b"/Type /Nonsense /Foo 2 0 R "), "damaged"),
    ],
)
def test_each_reason_why_a_file_cannot_be_read_is_told_in_its_own_words(tmp_path: Path, data: bytes, reason: str) -> None:
    failure = loaded(tmp_path, data).failures[0]
    assert reason in failure.reason
    assert failure.reason.startswith("cannot be read")


def test_a_pdf_behind_other_bytes_and_without_its_suffix_is_read(tmp_path: Path) -> None:
    found = loaded(tmp_path, b"Received: from mail\r\n\r\n" + WHOLE, name="letter")
    assert found.documents[0].pages == ("Old page.",)


def test_text_about_pdfs_is_text(tmp_path: Path) -> None:
    found = loaded(tmp_path, b"The header is\n%PDF-1.7\nand that is all.\n", name="notes")
    assert found.documents[0].paged is False


def updated(data: bytes) -> bytes:
    """With a second revision, in which the page says something else."""
    number = int(data.split(b"/Contents ")[1].split()[0])
    content = lines("New page.")
    start = len(data) + 1
    body = b"%d 0 obj\n<< /Length %d >>\nstream\n%s\nendstream\nendobj\n" % (number, len(content), content)
    previous = int(data.split(b"startxref\n")[1].split()[0])
    table = b"xref\n%d 1\n%010d 00000 n \ntrailer\n<< /Size 6 /Root 1 0 R /Prev %d >>\n" % (number, start, previous)
    return data + b"\n" + body + table + b"startxref\n%d\n%%%%EOF" % (start + len(body))


@pytest.mark.parametrize("damage", ["none", "offset", "no table"])
def test_the_newest_text_is_read_of_a_damaged_file_too(tmp_path: Path, damage: str) -> None:
    data = updated(WHOLE)
    if damage == "offset":
        data = data[: data.rindex(b"startxref")] + b"startxref\n0\n%%EOF"
    elif damage == "no table":
        data = data.replace(b"xref\n", b"xxxx\n").replace(b"startxxxx", b"startxref")
    document = read(tmp_path, data)
    assert document.pages == ("New page.",)
    assert [warning for warning in document.warnings if "damaged" in warning] != [] or damage == "none"


def test_pages_that_the_count_leaves_out_are_read(tmp_path: Path) -> None:
    data = painted(lines("One."), lines("Two."), lines("Three."))
    for count in (b"/Count 9", b"/Count 1"):
        document = read(tmp_path, data.replace(b"/Count 3", count))
        assert document.pages == ("One.", "Two.", "Three.")
        assert "pages" in document.warnings[0]
