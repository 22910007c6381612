"""A decoder's weights as a GGUF file, which llama.cpp reads: Llama and Mistral with plain rotary positions.

The vocabulary is a number: tokens go in as ids. Knows the file format through the package gguf; runs nothing.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from tscli.bench.rows import Unavailable
from tscli.model.decoder import Decoder
from tscli.model.llama import IGNORED


def write_gguf(decoder: Decoder, path: Path) -> None:
    """Write the decoder's weights in its own dtype, norms in float32; Unavailable where they do not fit llama.cpp's llama."""
    import gguf

    shape, config = decoder.shape, json.loads((decoder.folder / "config.json").read_text(encoding="utf-8"))
    tensors = {name: part for file in sorted(decoder.folder.glob("*.safetensors")) for name, part in load_file(file).items()}
    tensors = {name: part for name, part in tensors.items() if not IGNORED.fullmatch(name)}
    if config.get("tie_word_embeddings"):
        tensors.pop("lm_head.weight", None)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, decoder.layers)
    found = {name: names.get_name(name, try_suffixes=(".weight",)) for name in tensors}
    plain = shape.rope.get("rope_type") == "default" and not any(shape.sliding)
    if shape.kind not in ("llama", "mistral") or not plain or not found or not all(found.values()):
        raise Unavailable(
            f"only Llama and Mistral with plain rotary positions and no biases are converted, not this {shape.kind}"
        )
    writer: Any = gguf.GGUFWriter(path, gguf.MODEL_ARCH_NAMES[gguf.MODEL_ARCH.LLAMA])
    writer.add_context_length(shape.window)
    writer.add_embedding_length(int(config["hidden_size"]))
    writer.add_block_count(decoder.layers)
    writer.add_feed_forward_length(int(config["intermediate_size"]))
    writer.add_head_count(shape.q_heads)
    writer.add_head_count_kv(shape.kv_heads)
    writer.add_key_length(shape.head_dim)
    writer.add_value_length(shape.head_dim)
    writer.add_layer_norm_rms_eps(float(config["rms_norm_eps"]))
    writer.add_rope_dimension_count(shape.head_dim)
    writer.add_rope_freq_base(float(shape.rope["rope_theta"]))
    writer.add_vocab_size(shape.vocab_size)
    writer.add_tokenizer_model("none")
    for name, part in tensors.items():
        heads = {"q_proj": shape.q_heads, "k_proj": shape.kv_heads}.get(name.split(".")[-2])
        _add(writer, str(found[name]), part if heads is None else _interleaved(part, heads), decoder.dtype)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _interleaved(weight: Tensor, heads: int) -> Tensor:
    """Rows of each head in llama.cpp's order for RoPE, which turns neighbours where transformers turns halves."""
    return weight.unflatten(0, (heads, 2, -1)).transpose(1, 2).reshape(weight.shape)


def _add(writer: Any, name: str, tensor: Tensor, dtype: torch.dtype) -> None:
    """One tensor, in float32 where it is a norm; bfloat16, which NumPy does not have, as its bytes."""
    from gguf import GGMLQuantizationType

    tensor = tensor.to(torch.float32 if tensor.dim() == 1 else dtype).contiguous()
    if tensor.dtype == torch.bfloat16:
        writer.add_tensor(name, tensor.view(torch.uint8).numpy(), raw_dtype=GGMLQuantizationType.BF16)
    else:
        writer.add_tensor(name, tensor.numpy())
