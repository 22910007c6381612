"""A library that is ingested into again keeps of its sketch what still holds, and has in the end what a new one would have."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest
import torch

import tscli
from tscli.ingest import ingest, prefill, sketching
from tscli.selection import candidates
from tscli.selection.sketch import Sketch
from tscli.store import library_folder, open_library, require_manifest

LETTERS = "abcdefghijklmnopqrstuvwxyz"


class Seen:
    """What was done for sketches: calibrations, and the tokens whose codes were made of keys."""

    def __init__(self) -> None:
        self.calibrations = 0
        self.tokens = 0


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> Seen:
    for module in (candidates, sketching):
        monkeypatch.setattr(module, "SKETCH_FROM", 512)
    monkeypatch.setattr(sketching, "READING_FROM", 2048)
    for module in (ingest, prefill):
        monkeypatch.setattr(module, "SEGMENT_TOKENS", 512)
    seen, calibrate, extend = Seen(), sketching.calibrate, Sketch.extend

    def counted(*arguments: object) -> object:
        seen.calibrations += 1
        return calibrate(*arguments)  # type: ignore[arg-type]

    def extended(self: Sketch, pages: torch.Tensor, num_tokens: int, scale: torch.Tensor | None = None) -> None:
        seen.tokens += num_tokens
        extend(self, pages, num_tokens, scale)

    monkeypatch.setattr(sketching, "calibrate", counted)
    monkeypatch.setattr(Sketch, "extend", extended)
    return seen


@pytest.fixture(params=["joint", "independent"])
def make(
    request: pytest.FixtureRequest, seen: Seen, small_model: Path, tmp_path: Path
) -> Callable[..., tuple[int, int, tscli.IngestReport]]:
    """Ingests the documents; how many calibrations that took, of how many tokens codes were made, and the report."""

    def ingested(library: str = "default") -> tuple[int, int, tscli.IngestReport]:
        load = tscli.LoadOptions(str(small_model), dtype="float32", device="cpu")
        options = tscli.IngestOptions(documents=request.param)
        selection = tscli.SelectionOptions(k=16, n_init=4, n_local=16, chunk=32, pool=3)
        preparation = tscli.prepare([tmp_path / "docs"], library, load, selection, options)
        before = seen.calibrations, seen.tokens  # the plan makes codes too, to take their time
        report = preparation.run()
        return seen.calibrations - before[0], seen.tokens - before[1], report

    return ingested


def write(folder: Path, name: str, words: int, seed: int = 0) -> None:
    draw = Random(f"{name} {seed}")
    (folder / "docs").mkdir(exist_ok=True)
    text = " ".join("".join(draw.choices(LETTERS, k=draw.randint(2, 7))) for _ in range(words))
    (folder / "docs" / name).write_text(text)


def stored(library: str = "default") -> dict[str, torch.Tensor]:
    return open_library(library_folder(library)).sketch


def assert_as_new(make: Callable[..., object], monkeypatch: pytest.MonkeyPatch, elsewhere: Path) -> None:
    """The sketch is bit for bit that of a library which is made of the same documents now."""
    grown = {name: part.clone() for name, part in stored().items()}
    monkeypatch.setenv("TSCLI_HOME", str(elsewhere))  # where there is no library to take segments from
    make()
    new = stored()
    assert grown.keys() == new.keys()
    assert all(torch.equal(grown[name], new[name]) for name in new)


def test_where_nothing_changed_the_sketch_is_kept_as_it_is(
    make: Callable[..., tuple[int, int, tscli.IngestReport]], tmp_path: Path
) -> None:
    write(tmp_path, "a.txt", 500)
    assert make()[0] == 1
    before = require_manifest(library_folder("default"))
    calibrations, tokens, report = make()
    after = require_manifest(library_folder("default"))
    assert (calibrations, tokens, report.prefilled_tokens) == (0, 0, 0)
    assert after.sketch_file == before.sketch_file
    assert after.context_file != before.context_file  # so that the one before was not merely left alone
    assert not tscli.verify()
    assert tscli.prune()[0] == 1  # the context of before
    assert stored()


def test_what_is_appended_is_all_that_codes_are_made_of(
    make: Callable[..., tuple[int, int, tscli.IngestReport]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a.txt", "b.txt"):
        write(tmp_path, name, 300)
    make()
    for name in ("c.txt", "d.txt", "e.txt", "f.txt"):  # several times as much: what was fitted to is still what it was
        write(tmp_path, name, 300)
    calibrations, tokens, report = make()
    assert calibrations == 0
    assert tokens == report.prefilled_tokens
    assert_as_new(make, monkeypatch, tmp_path / "elsewhere")


def test_a_changed_file_behind_what_was_fitted_to_costs_itself(
    make: Callable[..., tuple[int, int, tscli.IngestReport]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a.txt", "b.txt", "c.txt"):
        write(tmp_path, name, 300)
    make()
    write(tmp_path, "b.txt", 320, seed=1)
    calibrations, tokens, report = make()
    assert calibrations == 0
    assert 0 < tokens <= report.prefilled_tokens
    assert_as_new(make, monkeypatch, tmp_path / "elsewhere")


def test_a_change_in_what_was_fitted_to_calibrates_again(
    make: Callable[..., tuple[int, int, tscli.IngestReport]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, "a.txt", 300)
    write(tmp_path, "b.txt", 300)
    make()
    write(tmp_path, "a.txt", 320, seed=1)
    assert make()[0] == 1
    assert_as_new(make, monkeypatch, tmp_path / "elsewhere")


def test_a_damaged_sketch_is_made_anew(make: Callable[..., tuple[int, int, tscli.IngestReport]], tmp_path: Path) -> None:
    write(tmp_path, "a.txt", 500)
    make()
    path = library_folder("default") / require_manifest(library_folder("default")).sketch_file
    path.write_bytes(path.read_bytes()[:-50])
    assert make()[0] == 1
    assert not tscli.verify()
    assert stored()


def test_a_sketch_that_is_to_be_made_anew_is_calibrated_anew(
    make: Callable[..., tuple[int, int, tscli.IngestReport]], seen: Seen, tmp_path: Path
) -> None:
    write(tmp_path, "a.txt", 500)
    make()
    assert tscli.rebuild_sketch()
    assert seen.calibrations == 2
