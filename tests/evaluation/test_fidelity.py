"""Fidelity: complete where everything is attended, measured against votes and dense logits where it is not."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tscli.answer.engine import Engine, Request
from tscli.answer.token_select_strategy import TokenSelectStrategy
from tscli.evaluation.fidelity import Audit, Fidelity, fidelity, pooled, replay
from tscli.evaluation.results import FidelityResult, fidelity_of
from tscli.evaluation.trial import Trial
from tscli.ingest.prefill import prefill_in_memory
from tscli.model.decoder import Decoder
from tscli.model.load import load_decoder
from tscli.model.options import LoadOptions
from tscli.selection.config import SelectionConfig
from tscli.selection.select import Selection
from tscli.tokens import Prompt

CONFIG = SelectionConfig(k=24, n_init=4, n_local=16, chunk=32)
PROMPT, ANSWER = Prompt((9, 30, 41, 5), 0, 4), [17, 23, 8]


def strategies(
    model: Path, num_tokens: int, config: SelectionConfig = CONFIG
) -> tuple[TokenSelectStrategy, TokenSelectStrategy, Decoder]:
    decoder = load_decoder(LoadOptions(str(model), dtype="float32", device="cpu"))
    ids = torch.randint(10, 90, (num_tokens,), generator=torch.Generator().manual_seed(3))
    state = prefill_in_memory(decoder, ids, config)
    sparse, dense = (TokenSelectStrategy(decoder, state, config, "token", frozenset(), dense=dense) for dense in (False, True))
    return sparse, dense, decoder


def test_a_context_that_is_attended_as_a_whole_agrees_with_dense(small_model: Path) -> None:
    sparse, dense, _ = strategies(small_model, 30)
    found = fidelity(sparse, dense, PROMPT, ANSWER)
    assert (found.steps, found.vote_mass, found.recall, found.agreement) == (4, 1.0, 1.0, 1.0)
    assert found.kl == pytest.approx(0, abs=1e-5)


def test_exact_selection_recalls_its_own_top_k_and_differs_from_dense(small_model: Path) -> None:
    sparse, dense, _ = strategies(small_model, 400)
    found = fidelity(sparse, dense, PROMPT, ANSWER)
    assert found.recall is not None
    assert found.recall > 0.2  # steps that reuse a selection may miss some
    assert found.vote_mass is not None
    assert 24 / 400 < found.vote_mass < 1
    assert found.kl is not None
    assert found.kl > 0
    strict, dense, _ = strategies(small_model, 400, SelectionConfig(k=24, n_init=4, n_local=16, chunk=32, theta=1.01))
    assert fidelity(strict, dense, PROMPT, ANSWER).recall == 1.0


def test_where_nothing_is_ever_selected_there_is_no_share_of_it(small_model: Path) -> None:
    streaming, dense, _ = strategies(small_model, 200, SelectionConfig(k=0, n_init=4, n_local=16, chunk=32))
    found = fidelity(streaming, dense, PROMPT, ANSWER)
    assert (found.vote_mass, found.recall) == (None, None)
    assert found.agreement is not None
    assert pooled([found, found]).vote_mass is None


def test_without_dense_there_are_no_dense_figures(small_model: Path) -> None:
    sparse, _, _ = strategies(small_model, 200)
    found = fidelity(sparse, None, PROMPT, ANSWER)
    assert found.agreement is None
    assert found.kl is None


def test_a_replay_gives_the_logits_that_made_the_answer_and_leaves_the_cache_as_it_was(small_model: Path) -> None:
    sparse, _, decoder = strategies(small_model, 300)
    engine, length = Engine(decoder), sparse.state.length
    answer = list(engine.answer(Request(sparse, PROMPT, 6)))
    assert replay(sparse, PROMPT, answer[:-1]).argmax(-1).tolist() == answer
    assert sparse.state.length == length
    assert list(engine.answer(Request(sparse, PROMPT, 6))) == answer


def test_an_audit_counts_votes_on_what_is_attended_and_the_exact_top_k_among_it() -> None:
    audit = Audit(SelectionConfig(k=2, n_init=4, n_local=4))
    votes = torch.tensor([0.1, 0.4, 0.0, 0.3, 0.2])  # of tokens 4..8
    audit(Selection(torch.tensor([5, 6]), torch.zeros(2), 9), 4, votes)
    audit(Selection(torch.tensor([5, 6]), torch.zeros(2), 8), 4, votes)  # token 8 left the local window since
    assert audit.masses == pytest.approx([0.4, 0.6])
    assert audit.recalls == pytest.approx([0.5, 0.5])


def test_means_are_over_steps_and_leave_out_what_was_not_run() -> None:
    parts = [Fidelity(1, 1.0, 1.0, 1.0, 0.0), Fidelity(3, 0.5, 0.8, 0.0, 1.0), Fidelity(4, 0.0, 0.0, None, None)]
    assert pooled(parts) == Fidelity(8, pytest.approx(2.5 / 8), pytest.approx(3.4 / 8), 0.25, 0.75)
    trials = [Trial("t", 400, None, m, 1.0, "?", "", (), part) for m, part in zip("aab", parts, strict=True)]
    found = fidelity_of([*trials, Trial("t", 400, None, "c", 1.0, "?", "", ())])
    assert [(f.method, f.length, f.steps) for f in found] == [("a", 400, 4), ("b", 400, 4)]
    assert isinstance(found[0], FidelityResult)
