"""Does this architecture fit the seam, and where are its parts? Refuses by name what would run wrongly."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from tscli.errors import TscliError
from tscli.model.rotary import takes_layer_type


@dataclass(frozen=True)
class Parts:
    """What the seam needs of a model."""

    rotary_owner: nn.Module
    rotary_name: str
    rotary: nn.Module
    rotary_dim: int
    rotate: Callable[..., Any]
    attentions: list[nn.Module]
    windows: list[int | None]
    q_heads: int
    kv_heads: int
    head_dim: int


def find_parts(model: Any, name: str) -> Parts:
    """Find rotary embedding and attention layers; TscliError names what does not fit."""
    config = model.config.get_text_config()
    kind = getattr(config, "model_type", type(model).__name__)

    def refuse(reason: str) -> TscliError:
        return TscliError(
            f"{name} ({kind}) does not fit TokenSelect: {reason}; use a decoder with rotary positions and plain "
            "key/value heads (Llama, Qwen, Mistral, Gemma, Phi-3 and the like)"
        )

    if getattr(config, "is_encoder_decoder", False):
        raise refuse("it is an encoder-decoder")
    if getattr(config, "kv_lora_rank", None):
        raise refuse("its keys are compressed (multi-head latent attention)")
    rotaries = [(path, module) for path, module in model.named_modules() if path.split(".")[-1] == "rotary_emb"]
    if not rotaries:
        raise refuse("it has no rotary position embedding (learned positions or ALiBi)")
    if len(rotaries) > 1:
        raise refuse(f"it has {len(rotaries)} rotary embeddings where one is expected")
    attentions = [module for _, module in model.named_modules() if _is_attention(module)]
    layers = int(config.num_hidden_layers)
    if [int(module.layer_idx) for module in attentions] != list(range(layers)):
        raise refuse(f"{len(attentions)} of its {layers} layers are attention with a rotation known to transformers")
    if any(getattr(module, "sinks", None) is not None for module in attentions):
        raise refuse("its attention has learned sinks")
    path, rotary = rotaries[0]
    owner = model.get_submodule(path.rpartition(".")[0])
    rotate = _rotation(attentions[0])
    assert rotate is not None
    q_heads = int(config.num_attention_heads)
    head_dim = int(getattr(config, "head_dim", None) or config.hidden_size // q_heads)
    kv_heads = int(getattr(config, "num_key_value_heads", None) or q_heads)
    windows = [_window(module, config) for module in attentions]
    dim = _rotary_dim(rotary, config)
    return Parts(owner, "rotary_emb", rotary, dim, rotate, attentions, windows, q_heads, kv_heads, head_dim)


def _is_attention(module: nn.Module) -> bool:
    """The innermost module that knows its layer's number and stands beside a rotation function."""
    inner = any(hasattr(child, "layer_idx") for child in module.modules() if child is not module)
    return hasattr(module, "layer_idx") and not inner and _rotation(module) is not None


def _rotation(module: nn.Module) -> Callable[..., Any] | None:
    return getattr(sys.modules[type(module).__module__], "apply_rotary_pos_emb", None)


def _window(module: nn.Module, config: Any) -> int | None:
    """The sliding window that this layer hands to the attention function, for the notes only."""
    window = getattr(module, "sliding_window", getattr(config, "sliding_window", None))
    types = getattr(config, "layer_types", None)
    if types and types[int(module.layer_idx)] != "sliding_attention":  # type: ignore[arg-type]
        return None
    return int(window) if window else None


@torch.no_grad()
def _rotary_dim(rotary: nn.Module, config: Any) -> int:
    """Width of the cos table, asked of the embedding itself."""
    device = next(rotary.buffers()).device
    types = getattr(config, "layer_types", None)
    extra = (types[0],) if takes_layer_type(rotary) and types else ()
    cos, _ = rotary(torch.zeros(1, 1, 1, device=device), torch.zeros(1, 1, dtype=torch.long, device=device), *extra)
    return int(cos.shape[-1])
