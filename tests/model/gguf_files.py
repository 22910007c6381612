"""Small GGUF files made on the spot: a random Llama with a byte-level BPE tokenizer, in whatever kind of blocks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch
from gguf import GGMLQuantizationType as Kind
from transformers import AutoConfig, AutoModelForCausalLM

from tscli.tokens.byte_level import byte_alphabet

SIZES = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "max_position_embeddings": 256,
}
SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
MERGES = ("Ġ t", "h e", "Ġt he", "i n", "Ġ Ġ", "e r", "q q", "j j", "z z", "x x", "Q Q", "J J", "Z Z")  # in all 17 * 16 tokens
TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
TOKENS = (*SPECIAL, *sorted(byte_alphabet()), *("".join(merge.split()) for merge in MERGES))
Change = Callable[[Any], None]


def make_llama(*, tied: bool = True, seed: int = 0, vocabulary: int = len(TOKENS)) -> Any:
    """A random float32 Llama, over TOKENS or as many others."""
    torch.manual_seed(seed)
    ids = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 2}
    config = AutoConfig.for_model("llama", vocab_size=vocabulary, tie_word_embeddings=tied, **SIZES, **ids)
    model = AutoModelForCausalLM.from_config(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0.0 if parameter.ndim > 1 else 1.0, 0.15)
    return model


def write_llama(
    path: Path,
    model: Any,
    kind: Kind = Kind.F32,
    *,
    architecture: str = "llama",
    tokenizer: bool = True,
    pre: str = "smollm",
    template: str | None = TEMPLATE,
    change: Change = lambda writer: None,
) -> Path:
    """Write the model as llama.cpp would have it; change may add keys and tensors before the file is written."""
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_context_length(SIZES["max_position_embeddings"])
    writer.add_embedding_length(SIZES["hidden_size"])
    writer.add_block_count(SIZES["num_hidden_layers"])
    writer.add_feed_forward_length(SIZES["intermediate_size"])
    writer.add_head_count(SIZES["num_attention_heads"])
    writer.add_head_count_kv(SIZES["num_key_value_heads"])
    writer.add_layer_norm_rms_eps(model.config.rms_norm_eps)
    writer.add_rope_dimension_count(SIZES["head_dim"])
    writer.add_rope_freq_base(10000.0)
    writer.add_vocab_size(model.config.vocab_size)
    if tokenizer:
        _add_tokenizer(writer, pre, template)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, SIZES["num_hidden_layers"])
    heads = {"q_proj": SIZES["num_attention_heads"], "k_proj": SIZES["num_key_value_heads"]}
    for name, part in model.state_dict().items():
        if name == "lm_head.weight" and model.config.tie_word_embeddings:
            continue
        turned = heads.get(name.split(".")[-2])
        weight = part if turned is None else part.unflatten(0, (turned, 2, -1)).transpose(1, 2).reshape(part.shape)
        _add(writer, str(names.get_name(name, try_suffixes=(".weight",))), weight.numpy(), kind)
    change(writer)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _add(writer: Any, name: str, weight: np.ndarray, kind: Kind) -> None:
    kind = Kind.F32 if weight.ndim == 1 else kind
    writer.add_tensor(name, weight if kind == Kind.F32 else gguf.quants.quantize(weight, kind), raw_dtype=kind)


def _add_tokenizer(writer: Any, pre: str, template: str | None) -> None:
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre)
    writer.add_token_list(list(TOKENS))
    writer.add_token_types([3 if token in SPECIAL else 1 for token in TOKENS])
    writer.add_token_merges(list(MERGES))
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    if template is not None:
        writer.add_chat_template(template)
