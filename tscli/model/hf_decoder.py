"""Any Hugging Face decoder with the seam put in. Knows transformers; knows nothing of libraries or text.

The seam (nothing per architecture): the rotary embedding is replaced by the identity, so that transformers' attention hands
unrotated queries and keys to the attention function registered here under the name "tscli".
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tscli.errors import ResourceError, TscliError
from tscli.model.compatibility import Parts, find_parts
from tscli.model.decoder import Decoder, Shape
from tscli.model.linear import Linear, OtherLinear, replace_linears
from tscli.model.rotary import IdentityRotary, Rotator
from tscli.model.step import LayerCall, Run

ATTENTION_NAME = "tscli"


class HFDecoder(Decoder):
    """A model of transformers with the seam in place."""

    def __init__(self, module: Any, parts: Parts, model_id: str, folder: Path, device: torch.device) -> None:
        config = module.config.get_text_config()
        rope = dict(getattr(config, "rope_parameters", None) or {})
        kinds = [rope, *(value for value in rope.values() if isinstance(value, dict))]
        rope_type = next((str(kind["rope_type"]) for kind in kinds if "rope_type" in kind), "default")
        shape = Shape(
            kind=str(config.model_type),
            vocab_size=int(config.vocab_size),
            q_heads=parts.q_heads,
            kv_heads=parts.kv_heads,
            head_dim=parts.head_dim,
            window=int(config.max_position_embeddings),
            sliding=tuple(parts.windows),
            rope=rope,
        )
        rotator = Rotator(parts.rotary, parts.rotate, getattr(config, "layer_types", None), rope_type)
        super().__init__(shape, rotator, model_id, folder, module.dtype, device)
        self.module = module
        self.num_parameters = sum(part.numel() for part in module.parameters())
        self._parts = parts
        self._identity = IdentityRotary(parts.rotary, parts.rotary_dim)
        self._stock_attention = config._attn_implementation
        self._engage(True)

    def _run(self, token_ids: Tensor, run: Run, ends: list[int]) -> Tensor | None:
        for attention in self._parts.attentions:
            attention.__dict__["tscli_run"] = run
        try:
            if ends:
                kept = torch.tensor(ends, device=token_ids.device)
                found: Tensor = self.module(token_ids[None], use_cache=False, logits_to_keep=kept).logits[0].float()
                return found
            self.module.base_model(token_ids[None], use_cache=False)
            return None
        finally:
            for attention in self._parts.attentions:
                attention.__dict__["tscli_run"] = None

    @torch.inference_mode()
    def reference_logits(self, token_ids: Tensor) -> Tensor:
        """What transformers itself computes for token_ids (int64 [t]) in one pass: [t, vocab] float32."""
        self._engage(False)
        try:
            logits: Tensor = self.module(token_ids[None], use_cache=False).logits[0].float()
            return logits
        finally:
            self._engage(True)

    @property
    def weights(self) -> list[Tensor]:
        """All that is held of the parameters, each once."""
        kept = [part for part in self.module.modules() if isinstance(part, OtherLinear)]
        return [*self.module.parameters(), *(tensor for part in kept for tensor in part.made.tensors)]

    def _replace_linears(self, other: Callable[[Linear], Linear], *, head: bool) -> None:
        replace_linears(self.module if head else self.module.base_model, other)

    def _engage(self, ours: bool) -> None:
        setattr(self._parts.rotary_owner, self._parts.rotary_name, self._identity if ours else self._parts.rotary)
        self.module.set_attn_implementation(ATTENTION_NAME if ours else self._stock_attention)


def load_hf(model: str, folder: Path, dtype: torch.dtype, device: torch.device) -> HFDecoder:
    """Load the model by transformers and put the seam in; ResourceError or TscliError say what is wrong with it."""
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging

    logging.disable_progress_bar()  # the command line shows its own
    logging.set_verbosity_error()
    register_attention()
    try:
        module = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, local_files_only=folder.is_dir())
    except (OSError, ValueError, KeyError) as error:
        first = str(error).strip().splitlines()[0]
        raise TscliError(f"{model} cannot be loaded: {first}; give a decoder in Hugging Face layout with --model") from error
    except MemoryError as error:
        raise ResourceError(f"{model} does not fit in memory; choose a smaller model or --dtype bfloat16") from error
    module = module.eval().to(device)
    return HFDecoder(module, find_parts(module, model), model, folder, device)


def register_attention() -> None:
    """Make our attention and our absent mask known to transformers."""
    from transformers import AttentionInterface, AttentionMaskInterface

    AttentionInterface.register(ATTENTION_NAME, _attention)
    AttentionMaskInterface.register(ATTENTION_NAME, _no_mask)


def _no_mask(*_: Any, **__: Any) -> None:
    """Causality and windows are ours: the model need not build a mask."""


def _attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    sliding_window: int | None = None,
    softcap: float | None = None,
    **_: Any,
) -> tuple[Tensor, None]:
    """The attention function that the model's layers call; [1, heads, t, head_dim] in, [1, t, heads, head_dim] out."""
    run: Run = module.__dict__["tscli_run"]
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    call = LayerCall(int(module.layer_idx), scale, sliding_window, softcap)  # type: ignore[arg-type]
    return run(query[0], key[0], value[0], call).transpose(0, 1)[None].contiguous(), None
