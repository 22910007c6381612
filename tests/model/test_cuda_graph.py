"""Steps in buffers of fixed sizes select and answer as ordinary ones do; what a CUDA graph would hold, run step by step."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.model.architectures import ARCHITECTURES, make_decoder, make_model
from tscli.answer.engine import Engine, Request
from tscli.answer.token_select_strategy import TokenSelectStrategy
from tscli.library.layout import DevicePages, pack_tail
from tscli.model.attention import Attention
from tscli.model.compatibility import find_parts
from tscli.model.cuda_graph import ROOM, GraphedSteps, GraphRun, fits
from tscli.model.decoder import Decoder
from tscli.model.hf_decoder import HFDecoder
from tscli.model.kv import KVState
from tscli.model.step import LayerStep, Observer, Trace
from tscli.selection import candidates
from tscli.selection.config import SelectionConfig
from tscli.selection.sketch import Moments, Sketch
from tscli.tokens import Prompt

CONFIG = SelectionConfig(k=24, n_init=4, n_local=32, chunk=16, pool=5, scan="exact", theta=1.01)
UNSLIDING = [name for name in ARCHITECTURES if all(window is None for window in make_decoder(name).shape.sliding)]


def ids(tokens: int, seed: int = 1) -> Tensor:
    return torch.randint(1, 128, (tokens,), generator=torch.Generator().manual_seed(seed))


def paged(decoder: Decoder, tokens: int = 300) -> KVState:
    """A state whose tokens lie in one segment."""
    state = decoder.new_state()
    for part in ids(tokens).to(decoder.device).split(CONFIG.chunk):
        decoder.forward(part, Attention(state, decoder.rotator, CONFIG), logits=False)
    return decoder.new_state([pack_tail(state, None)])


def replaced(state: KVState, dtype: torch.dtype) -> KVState:
    """The same pages in another dtype than the model's."""
    pages = state.segments[0]
    other = KVState([], layers=3, kv_heads=2, head_dim=16, dtype=state.dtype, device=state.device)
    other.extend(DevicePages(pages.key.to(dtype), pages.value.to(dtype), pages.num_tokens))
    return other


def sketched(state: KVState, decoder: Decoder) -> Sketch:
    """A sketch of all of its keys, by all coordinates."""
    layers, group = decoder.layers, decoder.q_heads // decoder.kv_heads
    moments, places = Moments(layers, decoder.kv_heads, 16), torch.arange(state.committed, device=state.device)
    for layer in range(layers):
        key = state.keys_at(layer, places)
        moments.add_keys(layer, key)
        moments.add_queries(layer, key.repeat_interleave(group, dim=0))
    found = Sketch.empty(moments.projection(16).to(state.device))
    found.extend(state.segments[0].key, state.committed)
    return found


@pytest.mark.parametrize(
    ("name", "scan"), [*((name, "exact") for name in UNSLIDING), *((name, "sketch") for name in ("llama", "gpt_neox", "gemma"))]
)
def test_steps_are_those_of_an_attention_run(name: str, scan: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(candidates, "SKETCH_FROM", 64)
    monkeypatch.setattr(candidates, "num_candidates", lambda k, n: 2 * k)
    monkeypatch.setattr("tscli.model.cuda_graph.num_candidates", lambda k, n: 2 * k)
    decoder, config = make_decoder(name), CONFIG
    if scan == "sketch":
        config = SelectionConfig(**{**vars(CONFIG), "scan": "sketch"})
    state = paged(decoder)
    if scan == "sketch":
        state.sketch = sketched(state, decoder)
    seen: list[LayerStep] = []
    run = Attention(state, decoder.rotator, CONFIG, trace=Trace(seen.append, decoder.last_selecting_layer))
    decoder.forward(ids(9, 2), run)
    assert fits(state, config, decoder.shape.sliding, 6)
    fixed = GraphRun(state, decoder.rotator, config, decoder.last_selecting_layer)
    steps = GraphedSteps(decoder, fixed)
    steps.begin()
    for token in ids(6, 3):
        seen.clear()
        wanted = decoder.forward(token[None], run)
        logits, taken = steps.step(int(token)), steps.run.taken()
        torch.testing.assert_close(logits, wanted, rtol=1e-4, atol=1e-4)
        for mine, other in zip(taken, seen, strict=True):
            assert mine.selection is not None
            assert other.selection is not None
            assert mine.selection.positions.tolist() == other.selection.positions.tolist()
            assert (mine.layer, mine.kind, mine.attended, mine.selected) == (
                other.layer,
                other.kind,
                other.attended,
                other.selected,
            )
            assert mine.selection.local_start == other.selection.local_start
            voted = mine.selection.votes > 0  # the sketch knows no votes of neighbours that were no candidates
            assert scan == "sketch" or bool(voted.all())
            votes = mine.selection.votes[voted], other.selection.votes[voted]
            torch.testing.assert_close(*votes, rtol=0.05 if scan == "sketch" else 1e-4, atol=1e-5)
            assert (mine.trace is None) is (other.trace is None)
            if mine.trace is not None and other.trace is not None:
                assert mine.trace.positions.tolist() == other.trace.positions.tolist()
                torch.testing.assert_close(mine.trace.shares, other.trace.shares, rtol=1e-3, atol=1e-5)


def answer(strategy: TokenSelectStrategy, prompt: Tensor, tokens: int, observe: Observer | None = None) -> list[int]:
    request = Request(strategy, Prompt(tuple(prompt.tolist()), 0, prompt.shape[0]), tokens, observe=observe)
    return list(Engine(strategy.decoder).answer(request))


def test_an_answer_by_captured_steps_is_the_ordinary_one_and_the_state_is_as_before() -> None:
    decoder, found, seen = make_decoder(), [], [list[LayerStep](), list[LayerStep]()]
    for captures, steps in zip((False, True), seen, strict=True):
        strategy = TokenSelectStrategy(decoder, paged(decoder), CONFIG, "token", frozenset())
        strategy.captures = captures
        for seed in (4, 5):  # the second goes on with the first one's buffers
            found.append(answer(strategy, ids(7, seed), 12, steps.append))
            assert strategy.state.length == 300
        assert (strategy._steps is not None) is captures
        assert strategy.state.tokens_run == 2 * (7 + 11)
    assert found[:2] == found[2:]
    assert [(s.layer, s.selection.positions.tolist()) for s in seen[0] if s.selection] == [
        (s.layer, s.selection.positions.tolist()) for s in seen[1] if s.selection
    ]


def test_rotations_that_depend_on_the_length_are_not_captured() -> None:
    decoder = make_decoder()
    decoder.rotator._grows = False
    strategy = TokenSelectStrategy(decoder, paged(decoder), CONFIG, "token", frozenset())
    strategy.captures = True
    assert len(answer(strategy, ids(3, 4), 3)) == 3
    assert strategy._steps is None


def test_what_changes_its_sizes_is_not_captured() -> None:
    decoder = make_decoder()
    state, none = paged(decoder), (None,) * decoder.layers
    assert fits(state, CONFIG, none, ROOM - 1)
    assert not fits(state, CONFIG, none, ROOM)  # nowhere to keep the tail's last token
    assert not fits(state, SelectionConfig(**{**vars(CONFIG), "share": 0.1}), none, 12)  # more to select with every tenth token
    assert not fits(replaced(state, torch.bfloat16), CONFIG, none, 4)
    assert not fits(state, CONFIG, (None, 16, None), 4)
    assert not fits(state, SelectionConfig(**{**vars(CONFIG), "metric": "hard"}), none, 4)
    assert not fits(state, SelectionConfig(**{**vars(CONFIG), "k": 0}), none, 4)
    assert not fits(paged(decoder, 50), CONFIG, none, 4)  # nothing to choose
    assert not fits(decoder.new_state([*state.segments, *state.segments]), CONFIG, none, 4)
    assert not fits(decoder.new_state(), CONFIG, none, 4)


@pytest.mark.parametrize("scan", ["exact", "sketch"])
def test_tokens_that_have_left_the_local_window_are_candidates(scan: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(candidates, "SKETCH_FROM", 64)
    for place in ("tscli.selection.candidates", "tscli.model.selectors", "tscli.model.cuda_graph"):
        monkeypatch.setattr(f"{place}.num_candidates", lambda k, n: 2 * k)
    decoder, config = make_decoder(), SelectionConfig(**{**vars(CONFIG), "n_local": 4, "k": 40, "scan": scan})
    state = paged(decoder)
    state.sketch = sketched(state, decoder) if scan == "sketch" else None
    seen: list[LayerStep] = []
    exact = SelectionConfig(**{**vars(config), "scan": "exact"})
    run = Attention(state, decoder.rotator, exact, trace=Trace(seen.append))
    decoder.forward(ids(20, 2), run)
    steps = GraphedSteps(decoder, GraphRun(state, decoder.rotator, config, decoder.last_selecting_layer))
    steps.begin()
    selected = set[int]()
    for token in ids(6, 3):
        seen.clear()
        wanted, logits = decoder.forward(token[None], run), steps.step(int(token))
        torch.testing.assert_close(logits, wanted, rtol=1e-4, atol=1e-4)
        for mine, other in zip(steps.run.taken(), seen, strict=True):
            assert mine.selection is not None
            assert other.selection is not None
            assert mine.selection.positions.tolist() == other.selection.positions.tolist()
            selected.update(mine.selection.positions.tolist())
    assert max(selected) >= 300  # where the tail begins


def test_a_state_goes_on_from_where_the_steps_ended() -> None:
    decoder = make_decoder()
    states = [paged(decoder) for _ in range(2)]
    runs = [Attention(state, decoder.rotator, CONFIG) for state in states]
    for run in runs:
        decoder.forward(ids(9, 2), run)
    steps = GraphedSteps(decoder, GraphRun(states[1], decoder.rotator, CONFIG, decoder.last_selecting_layer))
    steps.begin()
    for token in ids(4, 3):
        decoder.forward(token[None], runs[0])
        steps.step(int(token))
    steps.end()
    assert states[0].length == states[1].length == 313
    assert states[0].tokens_run == states[1].tokens_run == 13
    torch.testing.assert_close(states[1].tail_rows(), states[0].tail_rows(), rtol=1e-4, atol=1e-5)
    wanted, found = (decoder.forward(ids(1, 5), run) for run in runs)
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)


def test_one_step_of_61_is_compared_with_the_exact_one_and_widens_what_recalls_too_little(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(candidates, "SKETCH_FROM", 64)
    monkeypatch.setattr("tscli.answer.token_select_strategy.EVERY", 5)
    for place in ("tscli.selection.candidates", "tscli.model.selectors", "tscli.model.cuda_graph"):
        monkeypatch.setattr(f"{place}.num_candidates", lambda k, n: k)
    decoder, config = make_decoder(), SelectionConfig(**{**vars(CONFIG), "scan": "sketch"})
    state = paged(decoder)
    state.sketch = sketched(state, decoder)
    strategy = TokenSelectStrategy(decoder, state, config, "chunk", frozenset())
    strategy.captures = True
    tokens = answer(strategy, ids(7, 4), 12)
    assert len(tokens) == 12
    assert len(strategy.guard.masses) == 1 + 2 * decoder.layers  # the question's first, then the layers of steps 5 and 10
    assert strategy.state.length == 300
    assert strategy.state.tokens_run == 7 + 11
    assert strategy._steps is not None
    assert strategy._steps.run.widths == tuple(strategy.guard.factor(layer) for layer in range(decoder.layers))
    strategy.guard._factor[1] = 4
    answer(strategy, ids(7, 4), 3)
    assert strategy._steps.run.widths[1] == 4


@pytest.mark.gpu
@pytest.mark.parametrize("scan", ["exact", "sketch"])
def test_a_captured_step_replays_as_it_ran(scan: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(candidates, "SKETCH_FROM", 64)
    device, model = torch.device("cuda"), make_model("llama").cuda()
    decoder = HFDecoder(model, find_parts(model, "llama"), "llama", Path(), device)
    config = SelectionConfig(**{**vars(CONFIG), "scan": scan, "k": 4})
    state = paged(decoder, 300)
    state.sketch = sketched(state, decoder) if scan == "sketch" else None
    runs = [GraphRun(state, decoder.rotator, config, decoder.last_selecting_layer) for _ in range(2)]
    captured, plain = (GraphedSteps(decoder, run) for run in runs)
    for steps in (captured, plain):
        steps.begin()
    for token in ids(6, 3).tolist():
        plain._token.fill_(token)
        with torch.inference_mode():
            wanted = plain._through()
        torch.testing.assert_close(captured.step(token), wanted, rtol=1e-4, atol=1e-4)
