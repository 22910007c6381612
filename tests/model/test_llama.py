"""The Llama decoder against transformers, for every kind of model that it claims; and what it leaves to transformers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForCausalLM

from tests.model.architectures import LLAMA3_ROPE, SIZES
from tests.model.states import tail_of
from tscli.model.attention import Attention, DenseAttention
from tscli.model.hf_decoder import HFDecoder, load_hf
from tscli.model.llama import LlamaDecoder, Misfit, load_llama
from tscli.model.load import load_decoder
from tscli.model.options import LoadOptions
from tscli.model.parity import check_parity
from tscli.selection.config import SelectionConfig

CPU = torch.device("cpu")
LINEAR = {"rope_type": "linear", "factor": 4.0, "rope_theta": 10000.0}
FITTING: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("llama", {}),
    "llama with tied embeddings": ("llama", {"tie_word_embeddings": True}),
    "llama with biases": ("llama", {"attention_bias": True, "mlp_bias": True}),
    "llama 3.1": ("llama", {"rope_parameters": LLAMA3_ROPE}),
    "llama with linear scaling": ("llama", {"rope_parameters": LINEAR}),
    "mistral": ("mistral", {"sliding_window": None}),
    "qwen2": ("qwen2", {}),
    "qwen3": ("qwen3", {}),
}
OTHERS: dict[str, tuple[str, dict[str, Any]]] = {
    "another architecture": ("olmo2", {}),
    "a sliding window": ("mistral", {"sliding_window": 24}),
    "another activation": ("llama", {"hidden_act": "gelu"}),
    "another rope type": ("llama", {"rope_parameters": {"rope_type": "yarn", "rope_theta": 10000.0, "factor": 4.0}}),
}


def save(folder: Path, kind: str, more: dict[str, Any]) -> Path:
    default = AutoConfig.for_model(kind)
    sizes = {key: value for key, value in SIZES.items() if hasattr(default, key)}
    ids = dict.fromkeys(("pad_token_id", "bos_token_id", "eos_token_id"), 0)
    torch.manual_seed(len(more))
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **{**sizes, **ids, **more}))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0.0 if parameter.ndim > 1 else 0.5, 0.15)
    model.save_pretrained(folder)
    return folder


def run_in_chunks(decoder: LlamaDecoder, token_ids: torch.Tensor) -> torch.Tensor:
    run = DenseAttention(decoder.new_state(), decoder.rotator, SelectionConfig())
    decoder.forward(token_ids[:-7], run, logits=False)
    decoder.forward(token_ids[-7:-1], run)
    logits = decoder.forward(token_ids[-1:], run)
    assert logits is not None
    return logits


@pytest.mark.parametrize("name", FITTING)
def test_its_logits_are_those_of_transformers(tmp_path: Path, name: str) -> None:
    folder = save(tmp_path, *FITTING[name])
    decoder, hf = load_llama("m", folder, torch.float32, CPU), load_hf("m", folder, torch.float32, CPU)
    token_ids = torch.randint(128, (300,), generator=torch.Generator().manual_seed(1))
    wanted = hf.reference_logits(token_ids)
    for found in (run_in_chunks(decoder, token_ids), decoder.reference_logits(token_ids)[-1]):
        assert torch.linalg.vector_norm(found - wanted[-1]) < 1e-5 * torch.linalg.vector_norm(wanted[-1])


@pytest.mark.parametrize("int8", [False, True])
@pytest.mark.parametrize("name", ["llama", "llama with tied embeddings", "llama with biases"])
def test_likelihoods_by_a_shortlist_are_those_of_all_logits(tmp_path: Path, name: str, int8: bool) -> None:
    decoder = load_llama("m", save(tmp_path, *FITTING[name]), torch.float32, CPU)
    if int8:
        decoder.use_int8_weights()
    token_ids, rows = torch.randint(128, (33,)), [2, 7, 8, 20, 31]
    said, others = token_ids[[row + 1 for row in rows]], torch.randint(128, (50,))
    some = torch.cat([said, others]).unique()
    for shortlist in (torch.arange(128), some, said.unique()):
        found = decoder.likelihoods(token_ids, fresh_run(decoder), rows, said, shortlist)
        logits = decoder.forward_rows(token_ids, fresh_run(decoder), rows)
        assert logits is not None
        exact = logits.double()
        wanted = exact.gather(1, said[:, None])[:, 0] - exact[:, shortlist].logsumexp(dim=1)
        assert torch.linalg.vector_norm(found - wanted) <= 1e-5 * torch.linalg.vector_norm(wanted)


def fresh_run(decoder: LlamaDecoder) -> DenseAttention:
    return DenseAttention(decoder.new_state(), decoder.rotator, SelectionConfig())


@pytest.mark.parametrize("name", FITTING)
def test_it_is_the_same_model_to_a_library(tmp_path: Path, name: str) -> None:
    folder = save(tmp_path, *FITTING[name])
    decoder, hf = load_llama("m", folder, torch.float32, CPU), load_hf("m", folder, torch.float32, CPU)
    assert decoder.shape == hf.shape
    assert sum(weight.numel() for weight in decoder.weights) == sum(weight.numel() for weight in hf.weights)


@pytest.mark.parametrize("name", OTHERS)
def test_what_it_does_not_do_is_left_to_transformers(tmp_path: Path, name: str) -> None:
    folder = save(tmp_path, *OTHERS[name])
    with pytest.raises(Misfit):
        load_llama("m", folder, torch.float32, CPU)
    assert isinstance(load_decoder(LoadOptions(str(folder), dtype="float32", device="cpu")), HFDecoder)


def test_weights_that_it_does_not_know_are_left_to_transformers(tmp_path: Path) -> None:
    file = save(tmp_path, "llama", {}) / "model.safetensors"
    weights = load_file(file)
    save_file({**weights, "model.layers.0.self_attn.sinks": torch.zeros(4)}, file, metadata={"format": "pt"})
    with pytest.raises(Misfit, match=r"unknown weights \(model.layers.0.self_attn.sinks\)"):
        load_llama("m", tmp_path, torch.float32, CPU)
    weights.pop("model.layers.1.mlp.up_proj.weight")
    save_file(weights, file, metadata={"format": "pt"})
    with pytest.raises(Misfit, match=r"lacks weights \(model.layers.1.mlp.up_proj.weight\)"):
        load_llama("m", tmp_path, torch.float32, CPU)


def test_a_model_that_looked_as_if_it_fitted_says_why_it_runs_slower(tmp_path: Path) -> None:
    decoder = load_decoder(
        LoadOptions(str(save(tmp_path, "llama", dict(OTHERS["another rope type"][1]))), dtype="float32", device="cpu")
    )
    assert decoder.notes == ["runs with transformers' layers, which are slower: its positions are scaled as yarn"]


def test_another_architecture_runs_by_transformers_without_a_word(tmp_path: Path) -> None:
    assert load_decoder(LoadOptions(str(save(tmp_path, "olmo2", {})), dtype="float32", device="cpu")).notes == []


def test_weights_that_lie_there_twice_are_read_once(tmp_path: Path) -> None:
    file = save(tmp_path, "llama", {}) / "model.safetensors"
    weights = load_file(file)
    file.rename(tmp_path / "model-00001-of-00001.safetensors")
    index = {"weight_map": dict.fromkeys(weights, "model-00001-of-00001.safetensors")}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    save_file({"layers.0.attention.wq.weight": torch.ones(2)}, tmp_path / "consolidated.safetensors")
    assert isinstance(load_decoder(LoadOptions(str(tmp_path), dtype="float32", device="cpu")), LlamaDecoder)


def test_rope_parameters_of_older_files_are_understood(tmp_path: Path) -> None:
    save(tmp_path, "llama", {"rope_parameters": LLAMA3_ROPE})
    config = json.loads((tmp_path / "config.json").read_text())
    rope = config.pop("rope_parameters")
    config["rope_theta"] = rope.pop("rope_theta")
    config["rope_scaling"] = rope
    (tmp_path / "config.json").write_text(json.dumps(config))
    decoder, hf = load_llama("m", tmp_path, torch.float32, CPU), load_hf("m", tmp_path, torch.float32, CPU)
    assert decoder.shape == hf.shape


def test_the_parity_check_refuses_wrong_arithmetic(tmp_path: Path) -> None:
    decoder = load_llama("m", save(tmp_path, "llama", {}), torch.float32, CPU)
    assert check_parity(decoder) < 1e-5
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "rms_norm_eps": 1.0}))  # which transformers reads, later
    with pytest.raises(Exception, match="does not run correctly"):
        check_parity(decoder)


def test_a_prefill_without_logits_leaves_the_same_keys_and_values(tmp_path: Path) -> None:
    decoder = load_llama("m", save(tmp_path, "qwen3", {}), torch.float32, CPU)
    token_ids = torch.randint(128, (200,), generator=torch.Generator().manual_seed(2))
    tails = []
    for logits in (False, True):
        state = decoder.new_state()
        run = Attention(state, decoder.rotator, SelectionConfig(k=16, n_init=4, n_local=16, chunk=32))
        for chunk in token_ids.split(32):
            decoder.forward(chunk, run, logits=logits)
        tails.append(tail_of(state))
    assert torch.equal(*tails)
