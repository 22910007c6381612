"""Office files that are cut, bombs, of another kind, encrypted or empty end as one line that says why and what to do."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.documents.hostile_office import GOOD, MAIN, ODD, REFUSED
from tscli.documents import Document, Failure, PassedOver, load

EMPTY = {f"empty.{kind}": b"" for kind in GOOD}
FILES = {**REFUSED, **ODD, **EMPTY, **{f"good.{kind}": data for kind, data in GOOD.items()}}


@cache
def ends() -> dict[str, Document | Failure | PassedOver]:
    """What each file ends as, by its name; all are read by one worker, one behind the other."""
    with TemporaryDirectory() as folder:
        for name, data in FILES.items():
            (Path(folder) / name).write_bytes(data)
        loaded = load([Path(folder)], page_seconds=60, memory_bytes=1 << 30, workers=1)
    return {end.path.split("/")[-1]: end for end in (*loaded.documents, *loaded.failures, *loaded.passed_over)}


def reason(name: str) -> str:
    end = ends()[name]
    assert isinstance(end, Failure), end
    assert "\n" not in end.reason
    return end.reason


@pytest.mark.slow
def test_every_file_ends_in_some_way() -> None:
    assert sorted(ends()) == sorted(FILES)


@pytest.mark.parametrize("kind", GOOD)
def test_good_files_beside_them_are_read(kind: str) -> None:
    end = ends()[f"good.{kind}"]
    assert isinstance(end, Document)
    assert "The fee is five crowns." in end.pages[0]
    assert end.warnings == ()


@pytest.mark.parametrize("name", [*REFUSED, *EMPTY])
def test_what_cannot_be_read_is_a_failure_with_a_way_out(name: str) -> None:
    words = ("again", "anew", "without a password", "split it", "holds no text")
    assert any(word in reason(name) for word in words)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        *[(f"cut.{kind}", "damaged or incomplete") for kind in MAIN],
        *[(f"encrypted.{kind}", "is encrypted") for kind in MAIN],
        *[(f"entities.{kind}", "XML entities") for kind in MAIN if kind != "epub"],
        *[(f"deep.{kind}", "nests more than 500") for kind in MAIN if kind != "epub"],
        *[(f"picture.{kind}", f"is not a .{kind} file") for kind in (*MAIN, "rtf", "ipynb", "eml")],
        *[(f"empty.{kind}", "is empty (0 bytes)") for kind in GOOD],
        ("old.docx", "older binary file"),
        ("deep.ipynb", "nested too deep"),
        ("cut.ipynb", "is not a notebook, or is incomplete"),
        ("no-part.docx", "not a Word document"),
        ("no-part.epub", "not an EPUB book"),
        ("nested.eml", "nests too many parts"),
    ],
)
def test_each_reason_is_told_in_its_own_words(name: str, words: str) -> None:
    assert words in reason(name)


def test_huge_cells_and_rows_are_read_as_far_as_they_hold_text() -> None:
    sizes = {name: len(end.pages[0]) for name, end in ends().items() if isinstance(end, Document)}
    assert sizes["cell.xlsx"] > 20_000_000
    assert sizes["repeated.ods"] < 10_000
    assert sizes["far.xlsx"] < 10_000
    assert sizes["spaces.odt"] < 10_000
