"""Small models made on the spot, one per architecture that must run through the seam."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM

from tscli import reader
from tscli.model.compatibility import find_parts
from tscli.model.hf_decoder import HFDecoder, register_attention

THE_PAPERS = {"documents": "joint", "voters": "all", "prefill": "sparse"}  # of random weights no head finds anything
SIZES = {
    "vocab_size": 128,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "head_dim": 16,
    "num_experts": 4,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 32,
    "num_local_experts": 4,
    "query_pre_attn_scalar": 16,
}
LLAMA3_ROPE = {
    "rope_type": "llama3",
    "rope_theta": 10000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}
YARN_ROPE = {"rope_type": "yarn", "rope_theta": 10000.0, "factor": 4.0, "original_max_position_embeddings": 64}
WINDOW = 24
ARCHITECTURES: dict[str, dict[str, Any]] = {
    "llama": {},
    "llama-llama3": {"rope_parameters": LLAMA3_ROPE},
    "llama-yarn": {"rope_parameters": YARN_ROPE},
    "qwen2": {},
    "qwen3": {},
    "qwen3_moe": {},
    "mistral": {"sliding_window": WINDOW},
    "mixtral": {},
    "phi3": {},
    "gemma": {},
    "gemma2": {"sliding_window": WINDOW},
    "gemma3_text": {
        "sliding_window": WINDOW,
        "layer_types": ["sliding_attention", "full_attention", "sliding_attention"],
    },
    "olmo2": {},
    "granite": {},
    "cohere": {},
    "glm": {},
    "glm4": {},
    "smollm3": {},
    "starcoder2": {},
    "ernie4_5": {},
    "gpt_neox": {},
    "stablelm": {},
}


def make_model(name: str, seed: int = 0, **changed: Any) -> Any:
    """A random model of this architecture, large enough in its weights that attention matters; with these settings changed."""
    kind = name.split("-", maxsplit=1)[0]
    default = AutoConfig.for_model(kind)
    sizes = {key: value for key, value in SIZES.items() if hasattr(default, key)}
    ids = dict.fromkeys(("pad_token_id", "bos_token_id", "eos_token_id"), 0)
    config = AutoConfig.for_model(kind, **{**sizes, **ids, **ARCHITECTURES.get(name, {}), **changed})
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_config(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.normal_(0, 0.15)
    return model


def make_decoder(name: str = "llama", seed: int = 0, **changed: Any) -> HFDecoder:
    """The model of this architecture with the seam in place."""
    register_attention()
    model = make_model(name, seed, **changed)
    return HFDecoder(model, find_parts(model, name), name, Path(), torch.device("cpu"))


def save_small_model(folder: Path) -> None:
    """A random float32 Llama in Hugging Face layout with the embedded reader's tokenizer and a small selection."""
    vocab = json.loads((reader.path() / "config.json").read_text())["vocab_size"]
    model = make_model("llama")
    model.resize_token_embeddings(vocab)
    with torch.no_grad():
        model.model.embed_tokens.weight.normal_(0, 0.3, generator=torch.Generator().manual_seed(2))
    model.save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "generation_config.json"):
        shutil.copy(reader.path() / name, folder / name)
    selection = {"k": 48, "n_init": 4, "n_local": 16, "chunk": 32, "pool": 3}
    prompt = json.loads((reader.path() / "tscli.json").read_text())["prompt"]
    (folder / "tscli.json").write_text(json.dumps({"selection": selection, "prompt": prompt, **THE_PAPERS}))
