"""Pictures of results: written in the kind that the name says, and refused where they cannot be."""

from pathlib import Path

import pytest

from tscli.errors import UsageError
from tscli.evaluation.picture import check_picture, draw
from tscli.evaluation.results import Result

RESULTS = [
    Result(task, length, depth, method, 10, accuracy, (accuracy - 0.1, accuracy + 0.1))
    for task in ("multikey", "passkey", "single-words", "variables")
    for length in (4096, 16384, 1048576)
    for method, accuracy in (("dense", 0.9), ("tokenselect", 0.8))
    for depth in (None, 0.1, 0.9)
    if not (method == "dense" and length > 16384)
]


@pytest.mark.parametrize(("name", "start"), [("a.png", b"\x89PNG"), ("a.svg", b"<?xml")])
def test_a_picture_is_written(tmp_path: Path, name: str, start: bytes) -> None:
    draw(RESULTS, tmp_path / name)
    data = (tmp_path / name).read_bytes()
    assert data.startswith(start)
    assert len(data) > 10_000


def test_results_without_depths_make_a_picture_too(tmp_path: Path) -> None:
    draw([result for result in RESULTS if result.depth is None], tmp_path / "a.png")
    assert (tmp_path / "a.png").stat().st_size > 5_000


@pytest.mark.parametrize("name", ["a.docx", "absent/a.png", "a", "folder.png"])
def test_what_cannot_be_written_is_an_error_that_names_it_before_anything_is_drawn(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(UsageError, match=name):
        check_picture(tmp_path / name)
    with pytest.raises(UsageError, match=name):
        draw(RESULTS, tmp_path / name)
    check_picture(tmp_path / "a.SVG")
