"""Attention straight over pages in one piece is the attention over gathered rows."""

from __future__ import annotations

from threading import Event

import pytest
import torch
from torch import Tensor

pytest.importorskip("triton", reason="triton is not installed here (it is for Linux)")

from tests.model.architectures import make_decoder
from tscli.library.layer_upload import LayerUpload
from tscli.library.layout import pack_tail
from tscli.model import attention
from tscli.model.attention import Attention
from tscli.model.decoder import Decoder
from tscli.model.kv import KVState
from tscli.model.pages import Pages
from tscli.selection.config import SelectionConfig
from tscli_kernels import attend_selected

CONFIG = SelectionConfig(k=16, n_init=4, n_local=16, chunk=16)
CPU = torch.device("cpu")


def ids(tokens: int) -> Tensor:
    return torch.randint(1, 128, (tokens,), generator=torch.Generator().manual_seed(tokens))


def committed(decoder: Decoder, lengths: list[int]) -> list[Pages]:
    """Segments of so many tokens each, their last pages partly empty."""
    state = decoder.new_state()
    for length in lengths:
        for part in ids(length).split(CONFIG.chunk):
            decoder.forward(part, Attention(state, decoder.rotator, CONFIG), logits=False)
        pages = pack_tail(state, None)
        state.crop()
        state.extend(pages)
    return state.segments


def one_pool(state: KVState, layer: int) -> tuple[Tensor, Tensor]:
    return state.segments[0].key[layer], state.segments[0].value[layer]


def in_one_piece(segments: list[Pages], device: torch.device) -> Pages:
    upload = LayerUpload(segments, device)
    for layer in range(len(upload.pages.key)):
        upload(layer)
    return upload.pages


def test_pages_in_one_piece_hold_the_same_rows_without_gaps() -> None:
    decoder = make_decoder()
    segments = committed(decoder, [100, 30, 70])
    whole = in_one_piece(segments, CPU)
    assert whole.num_tokens == 200
    assert whole.key.shape[1] == 4
    apart, together = decoder.new_state(segments), decoder.new_state([whole])
    positions = torch.arange(200)
    for layer in range(decoder.layers):
        for mine, wanted in zip(together.gather(layer, positions), apart.gather(layer, positions), strict=True):
            assert torch.equal(mine, wanted)


@pytest.mark.parametrize("name", ["llama", "qwen2", "gemma2", "phi3"])
def test_steps_and_chunks_over_pages_are_those_over_gathered_rows(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    decoder = make_decoder(name)
    assert decoder.rotator.turns_halves
    segments, taken = [in_one_piece(committed(decoder, [100, 50]), CPU)], list[bool]()
    found = []

    def counted(*given: Tensor, **how: float | None) -> tuple[Tensor, Tensor]:
        taken.append(True)
        return attend_selected(*given, **how)  # type: ignore[arg-type]

    monkeypatch.setattr(attention, "attend_selected", counted)
    for pool, times in ((KVState.whole_pages, 0), (one_pool, 5 * decoder.shape.sliding.count(None))):
        monkeypatch.setattr(KVState, "whole_pages", pool)
        state = decoder.new_state(segments)
        logits = []
        for part in (ids(1), ids(5), ids(1), ids(40), ids(1)):  # a tail of one token, of a few, of more than the local window
            logits.append(decoder.forward(part, Attention(state, decoder.rotator, CONFIG)))
        found.append(torch.stack([row for row in logits if row is not None]))
        assert len(taken) == times
    torch.testing.assert_close(found[1], found[0], rtol=1e-4, atol=1e-5)


def test_a_model_that_turns_neighbours_takes_the_gathered_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    decoder = make_decoder("cohere")
    assert not decoder.rotator.turns_halves
    state = decoder.new_state([in_one_piece(committed(decoder, [100]), CPU)])
    before = decoder.forward(ids(1), Attention(state, decoder.rotator, CONFIG))
    state.crop()
    monkeypatch.setattr(KVState, "whole_pages", one_pool)
    after = decoder.forward(ids(1), Attention(state, decoder.rotator, CONFIG))
    assert before is not None
    assert after is not None
    assert torch.equal(before, after)


class Slow:
    """Pages of which a layer comes only when it is let go."""

    def __init__(self, pages: Pages, error: Exception | None = None) -> None:
        self.value, self.scales, self.num_tokens = pages.value, None, pages.num_tokens
        self.go = [Event() for _ in pages.key]
        self.shape, self.dtype, self._key, self._error = pages.key.shape, pages.key.dtype, pages.key, error
        self.key = self

    def __getitem__(self, layer: int) -> Tensor:
        if layer:
            self.go[layer].wait(60)
        if self._error is not None and layer:
            raise self._error
        return self._key[layer]


def test_a_layer_can_be_read_while_the_next_ones_are_on_their_way() -> None:
    decoder = make_decoder()
    pages = committed(decoder, [100])[0]
    slow = Slow(pages)
    upload = LayerUpload([slow], CPU)  # type: ignore[list-item]
    upload(0)
    assert torch.equal(upload.pages.key[0], pages.key[0])
    assert not upload.pages.key[1].any()
    for event in slow.go:
        event.set()
    state = decoder.new_state([upload.pages])
    state.wait_for_layer = upload
    positions = torch.arange(100)
    for mine, wanted in zip(state.gather(2, positions), decoder.new_state([pages]).gather(2, positions), strict=True):
        assert torch.equal(mine, wanted)


def test_what_keeps_pages_from_coming_is_raised_where_they_are_waited_for() -> None:
    slow = Slow(committed(make_decoder(), [100])[0], OSError("the disk is gone"))
    upload = LayerUpload([slow], CPU)  # type: ignore[list-item]
    for event in slow.go:
        event.set()
    with pytest.raises(OSError, match="the disk is gone"):
        upload(2)
