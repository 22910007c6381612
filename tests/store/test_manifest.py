"""A manifest that was edited, cut, lost or made by another model is refused, with what differs and the way out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.store.conftest import FINGERPRINT, edit_manifest
from tscli.errors import LibraryError
from tscli.store import (
    list_libraries,
    open_library,
    require_manifest,
)

Make = Callable[..., Path]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format_version": 99}, "format version 99"),
        ({"num_tokens": 7}, "damaged"),
        ({"segments": []}, "damaged"),
        ({"context_file": "../../etc/passwd"}, "damaged"),
        ({"unheard": 1}, "damaged"),
        ({"fingerprint": {}}, "damaged"),
    ],
)
def test_an_edited_manifest_is_refused(make_library: Make, change: dict[str, object], message: str) -> None:
    folder = make_library()
    edit_manifest(folder, lambda manifest: manifest.update(change))
    with pytest.raises(LibraryError, match=message):
        open_library(folder)


def test_a_manifest_without_a_checksum_is_one_of_before_and_opens(make_library: Make) -> None:
    folder = make_library()
    edit_manifest(folder, lambda manifest: None)
    assert open_library(folder).manifest.num_tokens == 150


@pytest.mark.parametrize(
    ("before", "after"),
    [('"a.txt"', '"b.txt"'), ('"page_size": 16', '"page_size": 17'), ('"checksum"', '"Checksum"'), ("\n", "\r")],
)
def test_a_manifest_in_which_anything_was_changed_is_refused(make_library: Make, before: str, after: str) -> None:
    path = make_library() / "manifest.json"
    path.write_bytes(path.read_bytes().replace(before.encode(), after.encode(), 1))
    with pytest.raises(LibraryError, match=f"{path}.*tscli repair"):
        open_library(path.parent)


@pytest.mark.parametrize("damage", ["{half", None, "[]"])
def test_whoever_meets_a_damaged_manifest_is_told_how_to_mend_this_library(make_library: Make, damage: str | None) -> None:
    path = make_library() / "manifest.json"
    path.unlink() if damage is None else path.write_text(damage)
    with pytest.raises(LibraryError, match=r"to repair it: tscli repair lib$"):
        require_manifest(path.parent)


def test_a_manifest_that_is_not_json_is_refused(make_library: Make) -> None:
    folder = make_library()
    (folder / "manifest.json").write_text("{half")
    with pytest.raises(LibraryError, match="not a manifest"):
        open_library(folder)
    assert [info.error is not None for info in list_libraries()] == [True]


@pytest.mark.parametrize(
    ("field", "value"), [("model_hash", "x"), ("tokenizer_hash", "x"), ("dtype", "bfloat16"), ("rope", {}), ("prefill", {})]
)
def test_another_model_is_refused_with_the_field_that_differs(make_library: Make, field: str, value: object) -> None:
    stored = open_library(make_library())
    with pytest.raises(LibraryError, match=field.replace("_", " ")):
        stored.manifest.check(replace(FINGERPRINT, **{field: value}))  # type: ignore[arg-type]
    stored.manifest.check(replace(FINGERPRINT, model_id="moved", revision="other"))


def test_a_library_whose_manifest_is_gone_is_refused_and_listed_as_damaged(make_library: Make) -> None:
    folder = make_library()
    (folder / "manifest.json").unlink()
    with pytest.raises(LibraryError, match=r"manifest\.json: is missing; .*tscli repair lib"):
        open_library(folder)
    assert [info.error is not None for info in list_libraries()] == [True]
