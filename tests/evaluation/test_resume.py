"""An interrupted evaluation goes on where it was, and ends with what an undisturbed one says."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from tscli.errors import UsageError
from tscli.evaluation import Trial, evaluate_tasks, run
from tscli.evaluation.fidelity import Fidelity
from tscli.evaluation.journal import Journal
from tscli.model.options import LoadOptions

TRIAL = Trial("multikey", 4096, 0.5, "tokenselect", 1.0, "What?", "7", ("7", "8"))


def evaluate(model: Path, file: Path | None, **changed: Any) -> Any:
    load = LoadOptions(str(model), dtype="float32", device="cpu")
    settings: dict[str, Any] = {"num_questions": 2, "fidelity": 1, "resume": file, **changed}
    return evaluate_tasks([400, 600], ["single-numbers", "key-value"], ["streaming", "tokenselect"], load, **settings)


def test_what_was_answered_is_not_asked_again(small_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "answers.jsonl"
    undisturbed = list(evaluate(small_model, None))
    list(islice(evaluate(small_model, file), 7))  # stopped in the middle of the second length
    read: list[int] = []
    prefill = run.prefill_in_memory

    def counted(decoder: Any, ids: Any, *args: Any, **settings: Any) -> Any:
        read.append(int(ids.shape[0]))
        return prefill(decoder, ids, *args, **settings)

    monkeypatch.setattr(run, "prefill_in_memory", counted)
    assert list(evaluate(small_model, file)) == undisturbed
    assert 0 < len(read) < 8  # contexts that were done are not even read
    read.clear()
    assert list(evaluate(small_model, file)) == undisturbed
    assert not read


def test_other_settings_are_refused_by_name(small_model: Path, tmp_path: Path) -> None:
    file = tmp_path / "answers.jsonl"
    list(evaluate(small_model, file))
    before = file.read_text()
    with pytest.raises(UsageError, match=r"seed \(there 1, here 2\)"):
        next(evaluate(small_model, file, seed=2))
    with pytest.raises(UsageError, match=r"per_task \(there 2, here 3\)"):
        next(evaluate(small_model, file, num_questions=3))
    assert file.read_text() == before


def test_a_torn_last_line_is_dropped(tmp_path: Path) -> None:
    file = tmp_path / "answers.jsonl"
    kept, torn = TRIAL, replace(TRIAL, question="And?", fidelity=Fidelity(3, 0.5, 1.0, None, None))
    journal = Journal(file, {"seed": 1}, Trial)
    journal.add(kept)
    journal.add(torn)
    assert Journal(file, {"seed": 1}, Trial).entries == {kept.key: kept, torn.key: torn}
    file.write_text(file.read_text()[:-20])
    again = Journal(file, {"seed": 1}, Trial)
    assert again.entries == {kept.key: kept}
    again.add(torn)
    assert Journal(file, {"seed": 1}, Trial).entries == {kept.key: kept, torn.key: torn}


@pytest.mark.parametrize("text", ["hello", "[]\n", json.dumps({"settings": {"seed": 1}}) + '\n{"task": "x"}\n', "\xff\xfe\n"])
def test_another_file_is_refused_and_left_alone(tmp_path: Path, text: str) -> None:
    file = tmp_path / "answers.jsonl"
    file.write_bytes(text.encode("latin-1"))
    with pytest.raises(UsageError, match=r"answers\.jsonl"):
        Journal(file, {"seed": 1}, Trial)
    assert file.read_bytes() == text.encode("latin-1")
