"""llama.cpp runs the very same model: the conversion, the saved state, and a context laid out of pieces."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import torch

from tscli.bench.gguf_file import write_gguf
from tscli.bench.llama_cpp_peer import LlamaCppPeer, open_llama_cpp
from tscli.bench.rows import Unavailable
from tscli.model.attention import DenseAttention
from tscli.model.decoder import Decoder
from tscli.model.load import load_decoder
from tscli.model.options import LoadOptions
from tscli.selection.config import SelectionConfig
from tscli.tokens import load_tokenizer

pytest.importorskip("llama_cpp", reason="llama-cpp-python is not installed")
pytest.importorskip("gguf", reason="gguf is not installed")

ROOM = 1024
TEXT = "The harbour master of Marrow Point is Odile Farrant. The lighthouse was built in 1871. Who is the harbour master?"


@pytest.fixture(params=["reader", "random"])
def decoder(request: pytest.FixtureRequest, small_model: Path) -> Decoder:
    model = None if request.param == "reader" else str(small_model)
    return load_decoder(LoadOptions(model, dtype="float32", device="cpu", weights="full"))


@pytest.fixture
def peer(decoder: Decoder, monkeypatch: pytest.MonkeyPatch) -> Iterator[LlamaCppPeer]:
    monkeypatch.setattr(LlamaCppPeer, "_fastest", lambda *_: (1, 0))  # its flash attention rounds
    with closing(open_llama_cpp(decoder, ROOM)) as opened:
        yield opened


def prompt(decoder: Decoder) -> torch.Tensor:
    return torch.tensor(load_tokenizer(str(decoder.folder)).encode_text([TEXT])[0].ids, dtype=torch.int64)


def ours(decoder: Decoder, ids: torch.Tensor, n_gen: int) -> list[np.ndarray]:
    """Logits of the prompt's last token and of the greedy tokens behind it, by our dense decoder."""
    run = DenseAttention(decoder.new_state(), decoder.rotator, SelectionConfig())
    found, fed = [], ids
    for _ in range(n_gen):
        logits = decoder.forward(fed, run)
        assert logits is not None
        found.append(logits.numpy().copy())
        fed = logits.argmax()[None]
    return found


def theirs(peer: LlamaCppPeer, n_gen: int) -> list[np.ndarray]:
    """The same by llama.cpp, whose cache holds the prompt."""
    found = [peer.logits().copy()]
    for _ in range(n_gen - 1):
        peer.run([int(found[-1].argmax())])
        found.append(peer.logits().copy())
    return found


def test_the_converted_model_continues_greedily_as_ours_does(decoder: Decoder, peer: LlamaCppPeer) -> None:
    ids = prompt(decoder)
    peer.prefill(ids)
    wanted, found = ours(decoder, ids, 24), theirs(peer, 24)
    assert [int(logits.argmax()) for logits in found] == [int(logits.argmax()) for logits in wanted]
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-4)  # float32 sums in another order


def test_a_restored_state_continues_as_the_one_that_was_saved(decoder: Decoder, peer: LlamaCppPeer) -> None:
    ids = prompt(decoder)
    peer.prefill(ids)
    first = peer.decode(6)
    assert len(first) == 7
    assert first == sorted(first)
    once = peer.logits().copy()
    peer.decode(6)
    np.testing.assert_array_equal(peer.logits(), once)
    assert peer.length == ids.shape[0] + 6
    assert peer.fields["restore_ms"] > 0


def test_an_answer_begins_in_an_empty_cache(decoder: Decoder, peer: LlamaCppPeer) -> None:
    ids = prompt(decoder)
    peer.prefill(ids[:7])
    times = peer.answer(ids, 5)
    assert len(times) == 6
    assert times == sorted(times)
    assert peer.length == ids.shape[0] + 4
    np.testing.assert_allclose(peer.logits(), ours(decoder, ids, 5)[-1], rtol=1e-4, atol=1e-4)


def test_a_filled_context_holds_the_pieces_turned_to_their_positions(decoder: Decoder, peer: LlamaCppPeer) -> None:
    ids = prompt(decoder)[:10]
    peer.fill(ids, 24)
    assert peer.length == 24
    peer.run([7])
    source, laid = decoder.new_state(), decoder.new_state()
    decoder.forward(ids, DenseAttention(source, decoder.rotator, SelectionConfig()))
    for layer in range(decoder.layers):
        pieces = [source.gather(layer, torch.arange(count)) for count in (4, 10, 10)]
        key, value = (torch.cat([piece[which] for piece in pieces], dim=1) for which in (0, 1))
        laid.append(layer, key, value)
    laid.advance(24)
    wanted = decoder.forward(torch.tensor([7]), DenseAttention(laid, decoder.rotator, SelectionConfig()))
    assert wanted is not None
    np.testing.assert_allclose(peer.logits(), wanted.numpy(), rtol=1e-4, atol=1e-4)


def test_threads_and_flash_attention_are_those_of_the_fastest_trial(decoder: Decoder) -> None:
    said = list[str]()
    with closing(LlamaCppPeer(decoder, ROOM, say=said.append)) as peer:
        tried = peer.fields["tried_s"]
        best = min(tried, key=tried.__getitem__)
        assert said == [f"llama.cpp: {best} is fastest"]
        assert peer.fields["flash_attention"] == best.endswith("on")
        assert best.startswith(f"{peer.fields['threads']} thread")
        peer.prefill(prompt(decoder))
        assert peer.question(prompt(decoder)) > 0


def test_the_very_file_that_was_given_is_run(decoder: Decoder, tmp_path: Path) -> None:
    file = tmp_path / "given.gguf"
    write_gguf(decoder, file)
    with closing(LlamaCppPeer(decoder, ROOM, file)) as peer:
        assert peer.fields["file"] == "given.gguf"
        assert peer.fields["backend"] == "cpu, kv float32, weights all F32"
        assert peer.fields["size"] >= 4 * decoder.num_parameters
    (tmp_path / "broken.gguf").write_bytes(file.read_bytes()[:2000])
    with pytest.raises(Unavailable, match=r"broken\.gguf"):
        LlamaCppPeer(decoder, ROOM, tmp_path / "broken.gguf")
