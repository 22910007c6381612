"""Methods by name, contexts of a length, trials of a small random model, and the figures made of them."""

from __future__ import annotations

from itertools import repeat
from pathlib import Path
from random import Random

import pytest
import torch

from tscli.answer.token_select_strategy import TokenSelectStrategy
from tscli.errors import UsageError
from tscli.evaluation import run, tasks
from tscli.evaluation.context import build
from tscli.evaluation.methods import parse_methods
from tscli.evaluation.results import Agreement, agreement_of, results_of
from tscli.evaluation.run import evaluate_tasks
from tscli.evaluation.trial import Trial
from tscli.model.options import LoadOptions
from tscli.selection.config import SelectionConfig
from tscli.tokens import load_template, load_tokenizer

BASE = SelectionConfig(k=48, n_init=4, n_local=16, chunk=32, pool=3)


def test_methods_change_one_setting_and_share_prefills_where_they_can() -> None:
    names = [
        "dense",
        "streaming",
        "tokenselect",
        "tokenselect-metric=hard",
        "tokenselect-theta=0.5",
        "tokenselect-question=chunk",
    ]
    dense, streaming, plain, hard, loose, chunk = parse_methods(names, BASE, "two_pass", 512)
    assert dense.dense
    assert (streaming.config.k, streaming.config.n_local, streaming.config.window) == (0, 64, BASE.window)
    assert plain.config == BASE
    assert plain.question == hard.question == "two_pass"
    assert hard.config.metric == "hard"
    assert (loose.config.theta, chunk.question) == (0.5, "chunk")
    assert plain.prefill_key == loose.prefill_key == chunk.prefill_key
    assert len({method.prefill_key for method in (dense, streaming, plain, hard)}) == 4


def test_the_reference_codes_head_mapping_is_another_method() -> None:
    wrong, exact = parse_methods(["tokenselect-head_mapping=modulo", "tokenselect-scan=exact"], BASE, "token", 512)
    assert wrong.config.head_mapping == "modulo"
    assert exact.config.scan == "exact"
    with pytest.raises(UsageError, match="head_mapping must be"):
        parse_methods(["tokenselect-head_mapping=other"], BASE, "token", 512)


@pytest.mark.parametrize(
    "name", ["sparse", "tokenselect-", "tokenselect-size=3", "tokenselect-pool=x", "tokenselect-question=no"]
)
def test_unknown_methods_are_refused_by_name(name: str) -> None:
    with pytest.raises(UsageError):
        parse_methods([name], BASE, "token", 512)


def test_a_context_has_its_length_and_its_needles_at_their_depths(small_model: Path) -> None:
    tokenizer = load_tokenizer(str(small_model))
    template = load_template(tokenizer)
    exam = tasks.needles(Random(2), ["single-numbers"], 5)
    ids = build(exam, tokenizer, template, repeat("Nothing happened on that day."), 2000)
    assert 1980 <= len(ids) <= 2000
    text = tokenizer.decode(ids.tolist())
    for item in exam.items:
        assert text.index(item.wanted[0]) / len(text) == pytest.approx(item.depth, abs=0.08)
    with pytest.raises(UsageError, match="ask fewer questions"):
        build(exam, tokenizer, template, repeat("Nothing."), 60)


def test_every_method_answers_every_question_of_every_length(small_model: Path) -> None:
    load = LoadOptions(str(small_model), dtype="float32", device="cpu")
    methods = ("dense", "streaming", "tokenselect", "tokenselect-question=chunk")
    trials = list(
        evaluate_tasks([400, 600], ["passkey", "single-numbers", "key-value"], methods, load, num_questions=2, max_dense=500)
    )
    asked = {(trial.length, trial.task, trial.question, trial.method) for trial in trials}
    assert len(asked) == len(trials) == 5 * (4 + 3)
    assert {trial.length for trial in trials if trial.method == "dense"} == {400}
    assert all(0 <= trial.score <= 1 for trial in trials)
    with pytest.raises(UsageError, match="choose among"):
        next(evaluate_tasks([400], ["nonsense"], load=load))


def test_many_needles_are_spread_over_several_contexts(small_model: Path) -> None:
    load = LoadOptions(str(small_model), dtype="float32", device="cpu")
    steps: list[str] = []
    names = ["single-numbers", "multikey", "passkey"]

    def note(text: str, done: int, total: int) -> None:
        assert done <= total
        steps.append(text)

    trials = list(evaluate_tasks([500], names, ["tokenselect"], load, num_questions=3, on_progress=note))
    assert [trial.task for trial in trials] == ["single-numbers"] * 3 + ["multikey"] * 3 + ["passkey"]
    assert sum("reading" in step for step in steps) > 1
    whole = list(evaluate_tasks([4000], names, ["tokenselect"], load, num_questions=1, on_progress=note))
    assert len(whole) == 3
    assert sum("4,000 tokens" in step and "reading" in step for step in steps) == 1


def test_figures_are_means_over_all_depths_and_by_fifths() -> None:
    def trial(depth: float | None, score: float, method: str = "tokenselect", task: str = "multikey") -> Trial:
        return Trial(task, 4096, depth, method, score, "?", "", ("x",))

    trials = [
        trial(0.05, 1),
        trial(0.15, 0),
        trial(0.95, 1),
        trial(1.0, 0.5),
        trial(0.5, 1, "dense"),
        trial(None, 0.25, task="t"),
    ]
    found = {(r.task, r.method, r.depth): (r.n, r.accuracy) for r in results_of(trials)}
    assert found == {
        ("multikey", "tokenselect", None): (4, 0.625),
        ("multikey", "tokenselect", 0.1): (2, 0.5),
        ("multikey", "tokenselect", 0.9): (2, 0.75),
        ("multikey", "dense", None): (1, 1.0),
        ("t", "tokenselect", None): (1, 0.25),
    }


def test_a_length_that_is_too_short_is_an_error_before_anything_is_read(small_model: Path) -> None:
    load = LoadOptions(str(small_model), dtype="float32", device="cpu")
    with pytest.raises(UsageError, match="a context of 100 tokens is too short: multikey need"):
        next(evaluate_tasks([400, 100], ["multikey"], ["streaming"], load, num_questions=2))


def test_the_way_that_questions_are_run_can_be_chosen_for_all_methods(
    small_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load = LoadOptions(str(small_model), dtype="float32", device="cpu")
    modes = []
    monkeypatch.setattr(
        run, "TokenSelectStrategy", lambda *settings: modes.append(settings[3]) or TokenSelectStrategy(*settings)
    )
    for question in ("chunk", None):
        list(evaluate_tasks([400], ["passkey"], ["tokenselect"], load, question=question))
    assert modes == ["chunk", "token"]
    with pytest.raises(UsageError, match="question mode 'seldom': choose token, chunk, two_pass"):
        next(evaluate_tasks([400], ["passkey"], ["tokenselect"], load, question="seldom"))


def test_answers_are_compared_question_by_question_with_those_of_the_settings_as_they_are() -> None:
    def trial(method: str, question: str, answer: str, task: str = "passkey", length: int = 400) -> Trial:
        return Trial(task, length, None, method, 1.0, question, answer, ("7",))

    exact = "tokenselect-scan=exact"
    trials = [
        trial("dense", "a", "7"),
        trial(exact, "b", "8"),  # another order
        trial(exact, "a", "7"),
        trial("tokenselect", "a", "7"),
        trial("tokenselect", "b", "8."),  # to the letter
        trial("tokenselect", "a", "9", task="multikey"),  # the same question of another task
        trial(exact, "a", "7", length=800),  # nothing to compare with
    ]
    assert agreement_of(trials) == [Agreement(400, exact, "tokenselect", 2, 1)]


def test_pages_are_of_the_kind_that_is_asked_for_also_where_an_evaluation_goes_on(
    small_model: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    load, file = LoadOptions(str(small_model), dtype="float32", device="cpu"), tmp_path / "answers.jsonl"
    kinds = []
    monkeypatch.setattr(
        run,
        "TokenSelectStrategy",
        lambda *settings: kinds.append(settings[1].segments[0].key.dtype) or TokenSelectStrategy(*settings),
    )
    methods = ["dense", "tokenselect"]
    for kind in ("int8", "auto", "model"):
        trials = evaluate_tasks([400], ["passkey"], methods, load, kv_dtype=kind, resume=file if kind == "int8" else None)  # type: ignore[arg-type]
        assert len(list(trials)) == 2
    assert kinds == [torch.int8] * 2 + [torch.bfloat16] * 2 + [torch.float32] * 2
    with pytest.raises(UsageError, match=r"kv_dtype \(there int8, here bfloat16\)"):
        next(evaluate_tasks([400], ["passkey"], methods, load, resume=file))
