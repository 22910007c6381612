"""The seam computes what transformers computes: logits equal in float32, chunked, dense and at compact positions."""

from __future__ import annotations

import pytest
import torch

from tests.model.architectures import ARCHITECTURES, WINDOW, make_decoder
from tscli.errors import TscliError
from tscli.model.attention import Attention, DenseAttention
from tscli.model.compatibility import find_parts
from tscli.model.parity import check_parity
from tscli.model.step import Trace
from tscli.selection.config import SelectionConfig

TOKENS, CHUNK = 100, 13
EVERYTHING = SelectionConfig(k=200, n_init=4, n_local=16, chunk=16)


@pytest.mark.parametrize("mode", ["dense", "compact positions"])
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_chunked_logits_equal_those_of_stock_transformers(name: str, mode: str) -> None:
    decoder = make_decoder(name)
    token_ids = torch.randint(1, 128, (TOKENS,))
    reference = decoder.reference_logits(token_ids)
    run = (DenseAttention if mode == "dense" else Attention)(decoder.new_state(), decoder.rotator, EVERYTHING)
    for start in range(0, TOKENS, CHUNK):
        logits = decoder.forward(token_ids[start : start + CHUNK], run)
        last = min(TOKENS, start + CHUNK) - 1
        assert logits is not None
        assert float((logits - reference[last]).abs().max()) <= 1e-5


@pytest.mark.parametrize("name", ["mistral", "gemma2", "gemma3_text"])
def test_models_with_sliding_windows_say_so(name: str) -> None:
    assert any(f"sliding window ({WINDOW} tokens)" in note for note in make_decoder(name).notes)


def test_a_sliding_layer_attends_to_its_window_only() -> None:
    steps = []
    decoder = make_decoder("gemma3_text")
    run = Attention(decoder.new_state(), decoder.rotator, EVERYTHING, trace=Trace(steps.append))
    decoder.forward(torch.randint(1, 128, (60,)), run)
    steps.clear()
    decoder.forward(torch.randint(1, 128, (1,)), run)
    assert [(step.kind, step.attended) for step in steps] == [("window", WINDOW), ("selected", 61), ("window", WINDOW)]


@pytest.mark.parametrize(
    ("name", "why"),
    [("opt", "learned positions"), ("bloom", "ALiBi"), ("deepseek_v3", "latent attention"), ("gpt2", "learned")],
)
def test_architectures_that_do_not_fit_are_refused_by_name(name: str, why: str) -> None:
    from transformers import AutoConfig, AutoModelForCausalLM

    sizes = {"hidden_size": 32, "num_attention_heads": 4, "num_hidden_layers": 1, "vocab_size": 64}
    if name == "opt":
        sizes |= {"ffn_dim": 32, "word_embed_proj_dim": 32}
    if name == "deepseek_v3":
        sizes |= {"intermediate_size": 32, "moe_intermediate_size": 16, "n_routed_experts": 8, "num_key_value_heads": 4}
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(name, **sizes))
    with pytest.raises(TscliError, match=name) as caught:
        find_parts(model, name)
    assert why in str(caught.value)


def test_the_parity_check_passes_a_model_that_fits() -> None:
    assert check_parity(make_decoder("qwen3")) < 1e-4


def test_the_parity_check_refuses_a_wrong_rotation() -> None:
    decoder = make_decoder("llama")
    decoder.rotator = make_decoder("llama-llama3").rotator  # another frequency table: logits differ
    with pytest.raises(TscliError, match="does not run correctly"):
        check_parity(decoder)
