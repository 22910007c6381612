"""What a step drew on: attention sorted by where it went, with a small random model; and that it is the attention itself."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import tscli
from tscli.answer import token_attribution
from tscli.model.step import LayerCall, attention_of_last
from tscli_kernels import reference


@pytest.fixture
def load(small_model: Path) -> tscli.LoadOptions:
    return tscli.LoadOptions(str(small_model), dtype="float32", device="cpu")


def ask(load: tscli.LoadOptions, **options: object) -> tuple[tscli.Answer, tscli.Session]:
    with tscli.open_library(load=load, **options) as session:  # type: ignore[arg-type]
        stream = session.ask("Where does the stone stand?", max_new_tokens=6)
        list(stream)
    return stream.answer, session


@pytest.mark.parametrize("softcap", [None, 5.0])
@pytest.mark.parametrize(("q_heads", "kv_heads"), [(4, 4), (8, 2), (5, 1)])
def test_shares_are_the_attention_that_the_reference_computes(q_heads: int, kv_heads: int, softcap: float | None) -> None:
    generator = torch.Generator().manual_seed(q_heads)
    query = torch.randn(q_heads, 3, 8, generator=generator)
    key = torch.randn(kv_heads, 63, 8, generator=generator)
    # Against values that are the rows' own names, attention is its weights.
    names = torch.eye(63).expand(kv_heads, 63, 63)
    expected = reference.attend(query[:, -1:], key, names, scaling=0.3, softcap=softcap).mean(dim=0)[0]
    shares = attention_of_last(query, key, LayerCall(0, 0.3, None, softcap))
    torch.testing.assert_close(shares, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("question_mode", ["token", "chunk", "two_pass"])
def test_each_answer_token_has_all_its_attention_accounted_for(
    load: tscli.LoadOptions, write_documents: Callable[..., Path], question_mode: str
) -> None:
    tscli.prepare([write_documents()], load=load).run()
    answer, session = ask(load, question_mode=question_mode)
    assert len(answer.attribution) == len(answer.token_ids)
    for step in answer.attribution:
        assert step.positions.shape == step.shares.shape == (48,)
        assert session.config.n_init <= step.positions.min()
        assert float(step.shares.sum()) + step.sinks + step.local + step.own == pytest.approx(1.0, abs=1e-5)
        assert min(step.sinks, step.own) > 0


@pytest.mark.parametrize("dense", [False, True])
def test_where_all_is_attended_all_of_the_documents_counts(
    load: tscli.LoadOptions, write_documents: Callable[..., Path], dense: bool
) -> None:
    tscli.prepare([write_documents(words=12, files=("a.txt",))], load=load).run()
    answer, session = ask(load, dense=dense, selection=tscli.SelectionOptions(k=200))
    total = session.context.token_ids.shape[0]
    for step in answer.attribution:
        assert step.positions.tolist() == list(range(total))
        assert (step.sinks, step.local) == (0.0, 0.0)
        assert float(step.shares.sum()) + step.own == pytest.approx(1.0, abs=1e-5)


def test_no_more_is_kept_of_a_step_than_the_heaviest(
    load: tscli.LoadOptions, write_documents: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    tscli.prepare([write_documents()], load=load).run()
    whole, _ = ask(load)
    monkeypatch.setattr(token_attribution, "KEPT", 7)
    kept, _ = ask(load)
    for all_of_it, part in zip(whole.attribution, kept.attribution, strict=True):
        assert sorted(part.shares) == pytest.approx(sorted(all_of_it.shares)[-7:])
        assert (part.positions[1:] > part.positions[:-1]).all()
