"""Each way to choose what is attended, by itself: what it selects, when it asks another one, and whose votes it gathers."""

from __future__ import annotations

from typing import Literal

import pytest
import torch
from torch import Tensor

from tests.model.architectures import make_decoder
from tests.model.states import ids, paged, sketched
from tests.model.test_attention import filled
from tscli.model.attention import Attention
from tscli.model.decoder import Decoder
from tscli.model.kv import KVState
from tscli.model.selectors import (
    ExactSelector,
    FixedSelector,
    LayerQuery,
    SelectionCache,
    SketchSelector,
    as_the_reference_maps,
)
from tscli.selection import candidates
from tscli.selection.config import SelectionConfig
from tscli.selection.guard import ENOUGH, WIDEN, Guard
from tscli.selection.question_votes import QuestionVotes, nearby
from tscli.selection.select import Selection

CONFIG = SelectionConfig(k=16, n_init=4, n_local=16, chunk=16)
TOKENS, LAYER = 150, 2
LOCAL_START = TOKENS - CONFIG.n_local


def asked(
    decoder: Decoder, state: KVState, config: SelectionConfig = CONFIG, layer: int = LAYER, t: int = 1, seed: int = 3
) -> LayerQuery:
    query = torch.randn(4, t, 16, generator=torch.Generator().manual_seed(seed)) * 3
    return LayerQuery(state, decoder.rotator, config, layer, query)


def scores_of(query: LayerQuery, positions: Tensor) -> Tensor:
    """Scores by the definition: each head's own mean query times its group's keys, [q_heads, n]."""
    places = query.config.n_local + torch.arange(query.query.shape[1])
    turned = query.rotator(query.query, places, query.layer, length=int(places[-1]) + 1).mean(dim=1)
    keys = query.state.keys_at(query.layer, positions).repeat_interleave(2, dim=0)
    return (turned[:, None] * keys).sum(-1) * (16**-0.5 if query.config.scale == "sqrt" else 1.0)


@pytest.mark.parametrize("scale", ["none", "sqrt"])
@pytest.mark.parametrize("t", [1, 9])
def test_the_exact_selector_takes_the_most_voted_candidates(scale: Literal["none", "sqrt"], t: int) -> None:
    decoder = make_decoder()
    config = SelectionConfig(k=16, n_init=4, n_local=16, chunk=16, scale=scale)
    query, votes = asked(decoder, filled(decoder, TOKENS), config, t=t), QuestionVotes(LAYER)
    vote = scores_of(query, torch.arange(4, LOCAL_START)).softmax(-1).sum(0)
    selection, reused = ExactSelector(votes)(query, LOCAL_START)
    assert not reused
    assert selection.local_start == LOCAL_START
    assert set(selection.positions.tolist()) == set((vote.topk(16).indices + 4).tolist())
    torch.testing.assert_close(selection.votes, vote[selection.positions - 4], rtol=1e-4, atol=1e-6)
    assert votes._votes is not None
    torch.testing.assert_close(votes._votes, vote, rtol=1e-4, atol=1e-6)


@pytest.fixture
def sketch_pays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(candidates, "SKETCH_FROM", 64)
    monkeypatch.setattr("tscli.model.selectors.num_candidates", lambda k, n: 2 * k)


@pytest.mark.usefixtures("sketch_pays")
def test_the_sketch_selector_selects_as_the_exact_one_and_gathers_its_own_votes() -> None:
    decoder = make_decoder()
    state, votes = paged(decoder, ids(300)), QuestionVotes(LAYER)
    state.sketch = sketched(state, decoder)
    query = asked(decoder, state)
    wanted, _ = ExactSelector()(query, 284)
    selection, reused = SketchSelector(votes=votes)(query, 284)
    assert not reused
    assert selection.positions.tolist() == wanted.positions.tolist()
    torch.testing.assert_close(selection.votes, wanted.votes, rtol=0.05, atol=1e-3)
    assert votes._votes is not None
    assert int((votes._votes > 0).sum()) < 284 - 4  # the candidates' only
    torch.testing.assert_close(votes._votes[selection.positions - 4], selection.votes)


@pytest.mark.usefixtures("sketch_pays")
@pytest.mark.parametrize("why", ["no sketch", "asked for", "too few candidates", "too many of them"])
def test_the_sketch_selector_is_the_exact_one_where_a_sketch_would_not_do(why: str, monkeypatch: pytest.MonkeyPatch) -> None:
    decoder, config = make_decoder(), CONFIG
    state = paged(decoder, ids(300))
    state.sketch = None if why == "no sketch" else sketched(state, decoder)
    if why == "asked for":
        config = SelectionConfig(k=16, n_init=4, n_local=16, chunk=16, scan="exact")
    if why == "too few candidates":
        monkeypatch.setattr(candidates, "SKETCH_FROM", 281)
    if why == "too many of them":
        monkeypatch.setattr("tscli.model.selectors.num_candidates", lambda k, n: n // 2)
    monkeypatch.setattr("tscli.model.selectors.search", lambda *_: pytest.fail("the sketch was searched"))
    query = asked(decoder, state, config)
    found, wanted = (selector(query, 284)[0] for selector in (SketchSelector(), ExactSelector()))
    assert found.positions.tolist() == wanted.positions.tolist()
    assert torch.equal(found.votes, wanted.votes)


@pytest.mark.usefixtures("sketch_pays")
def test_tokens_behind_those_of_the_sketch_are_candidates_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tscli.model.selectors.num_candidates", lambda k, n: n // 2 - 1)
    decoder, selected = make_decoder(), set[int]()
    state = paged(decoder, ids(300))
    state.sketch = sketched(state, decoder)
    decoder.forward(ids(50, 2), Attention(state, decoder.rotator, CONFIG), logits=False)
    for seed in range(6):
        query = asked(decoder, state, seed=seed)
        found, wanted = (selector(query, 334)[0].positions.tolist() for selector in (SketchSelector(), ExactSelector()))
        assert found == wanted
        selected.update(found)
    assert max(selected) >= 300


@pytest.mark.usefixtures("sketch_pays")
def test_what_the_guard_finds_wanting_is_selected_exactly_and_widens_the_layers_candidates() -> None:
    decoder = make_decoder()
    state, guard, votes = paged(decoder, ids(300)), Guard(), QuestionVotes(LAYER)
    state.sketch = sketched(state, decoder)
    state.sketch.key_codes = state.sketch.key_codes.flip(3)  # the codes of other tokens
    query = asked(decoder, state)
    wanted, _ = ExactSelector()(query, 284)
    first, _ = SketchSelector(guard, votes)(query, 284)
    assert guard.masses[0] < ENOUGH
    assert guard.factor(LAYER) == WIDEN
    assert first.positions.tolist() == wanted.positions.tolist()
    assert votes._votes is not None
    assert torch.equal(votes._votes, query.vote(284))  # and those by the sketch are not counted beside them


class Counted:
    """Selects another token each time."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self, query: LayerQuery, local_start: int) -> tuple[Selection, bool]:
        self.times += 1
        return Selection(torch.tensor([self.times]), torch.ones(1), local_start), False


def at_angle(degrees: float, layer: int = 0) -> LayerQuery:
    """A query whose mean points there."""
    decoder, radians = make_decoder(), torch.deg2rad(torch.tensor(degrees))
    query = asked(decoder, decoder.new_state(), layer=layer)
    vars(query)["mean"] = torch.stack([torch.cos(radians), torch.sin(radians)])[None]
    return query


def test_a_similar_query_reuses_and_a_different_one_does_not() -> None:
    cache = SelectionCache(0.9, Counted())
    first, reused = cache(at_angle(0), 10)
    assert not reused
    assert cache(at_angle(20), 10) == (first, True)  # cos 20 = .94
    assert cache(at_angle(0, layer=1), 10)[1] is False  # another layer
    assert cache(at_angle(30), 10)[1] is False  # cos 30 = .87


def test_queries_are_compared_with_the_last_reselecting_one_not_the_last_one() -> None:
    cache = SelectionCache(0.9, Counted())
    cache(at_angle(0), 10)
    assert cache(at_angle(20), 10)[1] is True
    assert cache(at_angle(40), 10)[1] is False  # 20 degrees from the last query, 40 from the last reselection


def test_the_cache_keeps_what_a_like_query_selected_until_a_chunk_has_left_the_window() -> None:
    decoder = make_decoder()
    state = filled(decoder, TOKENS)
    selector = SelectionCache(0.9, ExactSelector())
    query, other = asked(decoder, state), asked(decoder, state, seed=4)
    first, reused = selector(query, LOCAL_START)
    assert not reused
    assert selector(query, LOCAL_START + CONFIG.chunk) == (first, True)
    anew, reused = selector(query, LOCAL_START + CONFIG.chunk + 1)
    assert not reused
    assert anew.local_start == LOCAL_START + CONFIG.chunk + 1
    found, reused = selector(other, LOCAL_START)
    assert not reused
    assert found.positions.tolist() == ExactSelector()(other, LOCAL_START)[0].positions.tolist()
    assert selector(asked(decoder, state, layer=1), LOCAL_START)[1] is False  # each layer by itself


def test_a_fixed_selection_holds_in_all_layers_until_a_chunk_has_left_the_window() -> None:
    decoder = make_decoder()
    state, fixed = filled(decoder, TOKENS), Selection(torch.tensor([40, 41, 90]), torch.ones(3), LOCAL_START)
    selector = FixedSelector(fixed, ExactSelector())
    for layer in range(3):
        assert selector(asked(decoder, state, layer=layer), LOCAL_START + CONFIG.chunk) == (fixed, True)
    query = asked(decoder, state)
    found, reused = selector(query, LOCAL_START + CONFIG.chunk + 1)
    assert not reused
    wanted, _ = ExactSelector()(query, LOCAL_START + CONFIG.chunk + 1)
    assert found.positions.tolist() == wanted.positions.tolist()


@pytest.mark.parametrize("scale", ["none", "sqrt"])
def test_votes_near_a_fixed_selection_are_those_of_the_scaled_scores(scale: Literal["none", "sqrt"]) -> None:
    decoder = make_decoder()
    config = SelectionConfig(k=16, n_init=4, n_local=16, chunk=16, pool=3, scale=scale)
    state, votes = filled(decoder, TOKENS, config), QuestionVotes(LAYER)
    fixed = Selection(torch.tensor([40, 41, 90]), torch.ones(3), LOCAL_START)
    selector = FixedSelector(fixed, votes=votes)
    selector(asked(decoder, state, config, layer=1), LOCAL_START)
    assert votes._votes is None  # another layer's
    query = asked(decoder, state, config)
    selector(query, LOCAL_START)
    positions = nearby(fixed, config)
    expected = torch.zeros(TOKENS).index_add_(0, positions - 4, scores_of(query, positions).softmax(-1).sum(0))
    assert votes._votes is not None
    assert torch.allclose(votes._votes, expected[: votes._votes.shape[0]], atol=1e-5)


@pytest.mark.parametrize(("q_heads", "kv_heads"), [(4, 1), (4, 4), (6, 2), (28, 4)])
def test_the_reference_codes_mapping_is_head_modulo_kv_heads(q_heads: int, kv_heads: int) -> None:
    query = torch.arange(q_heads)[:, None].expand(q_heads, 8).float()
    group, moved = q_heads // kv_heads, as_the_reference_maps(query, kv_heads)[:, 0].int().tolist()
    for place, head in enumerate(moved):
        assert place // group == head % kv_heads
    assert (moved == list(range(q_heads))) is (kv_heads == 1 or group == 1)
