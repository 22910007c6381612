"""Sparse attention over a cache: what is attended, what is reused, and that nothing is left behind."""

from __future__ import annotations

import pytest
import torch

from tests.model.architectures import make_decoder
from tscli.library.layout import pack, pack_tail
from tscli.model.attention import Attention, DenseAttention
from tscli.model.decoder import Decoder
from tscli.model.growing_rows import DenseKeys
from tscli.model.kv import KVState
from tscli.model.selectors import SelectionCache
from tscli.model.step import LayerCall, LayerStep, Trace
from tscli.selection.config import SelectionConfig

CONFIG = SelectionConfig(k=16, n_init=4, n_local=16, chunk=16)


def filled(decoder: Decoder, tokens: int, config: SelectionConfig = CONFIG) -> KVState:
    state = decoder.new_state()
    run = Attention(state, decoder.rotator, config)
    ids = torch.randint(1, 128, (tokens,), generator=torch.Generator().manual_seed(1))
    for start in range(0, tokens, config.chunk):
        decoder.forward(ids[start : start + config.chunk], run, logits=False)
    return state


def step(decoder: Decoder, state: KVState, config: SelectionConfig, reuse: SelectionCache | None = None) -> list[LayerStep]:
    steps: list[LayerStep] = []
    run = Attention(state, decoder.rotator, config, reuse, trace=Trace(steps.append))
    decoder.forward(torch.tensor([7]), run)
    return steps


def test_a_step_attends_to_init_selected_local_and_itself() -> None:
    decoder = make_decoder()
    steps = step(decoder, filled(decoder, 150), CONFIG)
    assert [(s.selected, s.attended) for s in steps] == [(16, 4 + 16 + 16 + 1)] * 3
    for s in steps:
        assert s.selection is not None
        assert all(4 <= position < 150 - 16 for position in s.selection.positions.tolist())


def test_a_k_of_zero_attends_to_init_and_local_tokens_only() -> None:
    decoder = make_decoder()
    config = SelectionConfig(k=0, n_init=4, n_local=16, chunk=16)
    steps = step(decoder, filled(decoder, 150, config), config)
    assert [(s.selected, s.attended, s.selection) for s in steps] == [(0, 4 + 16 + 1, None)] * 3


def test_selecting_everything_equals_attending_to_everything() -> None:
    """With k >= N nothing is left out, so sparse decode gives the dense step's logits at the same positions."""
    decoder = make_decoder("qwen2")
    ids = torch.randint(1, 128, (150,))
    logits = []
    for config in (SelectionConfig(k=134 - 4, n_init=4, n_local=16, chunk=16), SelectionConfig(k=1000, chunk=16)):
        state = filled(decoder, 150, SelectionConfig(k=1000, chunk=16))
        run = Attention(state, decoder.rotator, config)
        logits.append(decoder.forward(ids[:1], run))
    assert logits[0] is not None
    assert torch.allclose(logits[0], logits[1], atol=1e-5)


def test_a_reused_selection_keeps_attending_to_what_left_the_local_window() -> None:
    decoder = make_decoder()
    state = filled(decoder, 150)
    reuse = SelectionCache(theta=-1.0)  # every query counts as similar
    for made in range(5):
        steps = step(decoder, state, CONFIG, reuse)
        assert all(s.reused == (made > 0) for s in steps)
        assert all(s.attended == 4 + 16 + 16 + made + 1 for s in steps)  # the window grows by one a step


def test_a_selection_is_made_anew_once_a_chunk_has_left_the_window() -> None:
    decoder = make_decoder()
    state, reuse = filled(decoder, 150), SelectionCache(theta=-1.0)
    reused = [step(decoder, state, CONFIG, reuse)[0].reused for _ in range(CONFIG.chunk + 3)]
    assert reused == [False] + [True] * CONFIG.chunk + [False, True]


def test_a_theta_of_one_reselects_at_each_step() -> None:
    decoder = make_decoder()
    state, reuse = filled(decoder, 150), SelectionCache(theta=1.01)
    assert not any(s.reused for _ in range(4) for s in step(decoder, state, CONFIG, reuse))


def test_cropping_forgets_the_question() -> None:
    decoder = make_decoder()
    source = filled(decoder, 128)
    pages = pack_tail(source, None)
    key, value = pages.key, pages.value

    class Segment:
        num_tokens = 128
        scales = None

    segment = Segment()
    segment.key, segment.value = key, value  # type: ignore[attr-defined]
    state = decoder.new_state([segment])  # type: ignore[list-item]
    first = decoder.forward(torch.tensor([3, 9]), Attention(state, decoder.rotator, CONFIG))
    assert state.length == 130
    state.crop()
    again = decoder.forward(torch.tensor([3, 9]), Attention(state, decoder.rotator, CONFIG))
    assert first is not None
    assert again is not None
    assert torch.equal(first, again)


def test_full_attention_forgets_what_was_behind_tokens_that_are_only_kept() -> None:
    state, keys, rotator = make_decoder().new_state(), DenseKeys(), make_decoder().rotator
    query, key, value = torch.randn(4, 30, 16), torch.randn(2, 30, 16), torch.randn(2, 30, 16)
    call, found = LayerCall(0, 0.25, None, None), list[torch.Tensor]()

    def tokens(start: int, stop: int) -> list[torch.Tensor]:
        return [part[:, start:stop] for part in (query, key, value)]

    for held in (keys, DenseKeys()):
        run = DenseAttention(state, rotator, CONFIG, held)
        if held is keys:  # an answer that is forgotten, of which the run holds more than the state
            run(*tokens(0, 20), call)
            state.tail_tokens += 20
            state.rewind(10)
        run.keep(*tokens(20, 25), call)
        state.tail_tokens += 5
        found.append(run(*tokens(25, 30), call))
        state.rewind(10)
    assert torch.equal(found[0], found[1])


def test_full_attention_forgets_what_the_state_forgets() -> None:
    decoder, found = make_decoder(), []
    ids = torch.randint(1, 128, (60,), generator=torch.Generator().manual_seed(2))
    for astray in ([], [7, 8, 9]):
        state, keys = decoder.new_state(), DenseKeys()
        decoder.forward(ids, DenseAttention(state, decoder.rotator, CONFIG, keys), logits=False)
        for token in astray:
            decoder.forward(torch.tensor([token]), DenseAttention(state, decoder.rotator, CONFIG, keys))
        state.rewind(60)
        for token in (3, 4):
            found.append(decoder.forward(torch.tensor([token]), DenseAttention(state, decoder.rotator, CONFIG, keys)))
    assert found[0] is not None
    assert found[1] is not None
    assert torch.equal(found[0], found[2])
    assert torch.equal(found[1], found[3])


@pytest.mark.parametrize("tokens", [1, 63, 64, 65, 200])
def test_the_tail_as_pages_holds_the_same_keys(tokens: int) -> None:
    decoder = make_decoder()
    state = filled(decoder, tokens)
    pages = pack_tail(state, None)
    key, value = pages.key, pages.value
    assert key.shape == (3, -(-tokens // 64), 2, 64, 16)
    positions = torch.arange(tokens)
    for layer in range(3):
        expected_key, expected_value = state.gather(layer, positions)
        assert torch.equal(key[layer].transpose(0, 1).flatten(1, 2)[:, :tokens], expected_key)
        assert torch.equal(value[layer].transpose(0, 1).flatten(1, 2)[:, :tokens], expected_value)


@pytest.mark.parametrize("kept", ["int8", "bfloat16"])
def test_a_tail_is_packed_a_layer_at_a_time_as_it_would_be_in_one_piece(kept: str) -> None:
    state = filled(make_decoder(), 130)
    whole, made = pack_tail(state, None), pack_tail(state, kept)
    wanted = pack(whole.key, whole.value, 130, kept)
    assert torch.equal(made.key, wanted.key)
    assert torch.equal(made.value, wanted.value)
    assert (made.scales is None) == (kept != "int8")
    for own, expected in zip(made.scales or (), wanted.scales or (), strict=True):
        assert torch.equal(own, expected)


@pytest.mark.parametrize("kept", [None, "bfloat16", "int8"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_compiled_loops_give_what_torch_gives(
    dtype: torch.dtype, kept: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoder = make_decoder()
    source = filled(decoder, 192)
    whole = pack_tail(source, None)
    key, value = whole.key.to(dtype), whole.value.to(dtype)
    config = SelectionConfig(k=24, n_init=4, n_local=16, chunk=16, pool=3)
    parts, found = [(slice(0, 2), 100), (slice(2, 3), 64)], []
    for from_tokens in (0, 1 << 40):
        monkeypatch.setattr("tscli_kernels.compiled.FROM_TOKENS", from_tokens)
        pages = [pack(*(part[:, pages] for part in (key, value)), count, kept) for pages, count in parts]
        state = KVState(pages, layers=3, kv_heads=2, head_dim=16, dtype=dtype, device=torch.device("cpu"))
        assert state.is_read_compiled is (from_tokens == 0)
        draw, outs = torch.Generator().manual_seed(1), []
        run = Attention(state, decoder.rotator, config)
        for t in (16, 1, 1, 7, 1):  # chunks and steps, over pages and tail
            for layer in range(3):
                query, new_key, new_value = (torch.randn(h, t, 16, generator=draw).to(dtype) for h in (4, 2, 2))
                outs.append(run(query, new_key, new_value, LayerCall(layer, 0.25, None, None)).float())
            state.advance(t)
        positions = torch.tensor([0, 99, 100, 163, 164, 189])
        mine = [state.scores(1, query[:, 0].float(), 189), state.scores_at(1, query[:, 0].float(), positions)]
        found.append(torch.cat([part.flatten() for part in (*outs, *mine, *state.gather(2, positions))]))
    torch.testing.assert_close(
        found[0], found[1], rtol=1e-4 if dtype == torch.float32 else 2e-2, atol=1e-4 if dtype == torch.float32 else 2e-2
    )
