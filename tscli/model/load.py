"""Load any Hugging Face decoder and put the seam in. Knows transformers; knows nothing of libraries or text.

The seam (nothing per architecture): the rotary embedding is replaced by the identity, so that the stock attention hands
unrotated queries and keys to the attention function registered here under the name "tscli".
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tscli.errors import ResourceError, TscliError, UsageError
from tscli.model.attention import AttentionRun, LayerCall
from tscli.model.fits import Parts, find_parts
from tscli.model.identity import locate, weights_hash
from tscli.model.kv import KVState, Pages
from tscli.model.options import EMBEDDED, LoadOptions
from tscli.model.rotary import IdentityRotary, Rotator

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
ATTENTION_NAME = "tscli"


class Decoder:
    """A loaded model with the seam in place; `forward` runs tokens through it over an `AttentionRun`."""

    def __init__(self, module: Any, parts: Parts, model_id: str, folder: Path, device: torch.device) -> None:
        self.module = module
        self.model_id = model_id
        self.folder = folder
        self.device = device
        self.config = module.config.get_text_config()
        self.dtype: torch.dtype = module.dtype
        self.layers = len(parts.attentions)
        self.q_heads, self.kv_heads, self.head_dim = parts.q_heads, parts.kv_heads, parts.head_dim
        self.window = int(self.config.max_position_embeddings)
        self.rope = dict(getattr(self.config, "rope_parameters", None) or {})
        self.tokens_run = 0
        self._parts = parts
        kinds = [self.rope, *(value for value in self.rope.values() if isinstance(value, dict))]
        rope_type = next((str(kind["rope_type"]) for kind in kinds if "rope_type" in kind), "default")
        self.rotator = Rotator(parts.rotary, parts.rotate, getattr(self.config, "layer_types", None), rope_type)
        self._identity = IdentityRotary(parts.rotary, parts.rotary_dim)
        self._stock_attention = self.config._attn_implementation
        self._engage(True)

    @torch.inference_mode()
    def forward(self, token_ids: Tensor, run: AttentionRun, *, logits: bool = True) -> Tensor | None:
        """Run token_ids (int64 [t]) over the run's state and count them in; the last token's logits [vocab] float32."""
        for attention in self._parts.attentions:
            attention.__dict__["tscli_run"] = run
        try:
            if logits:
                out = self.module(token_ids[None], use_cache=False, logits_to_keep=1).logits[0, -1].float()
            else:
                self.module.base_model(token_ids[None], use_cache=False)
                out = None
        finally:
            for attention in self._parts.attentions:
                attention.__dict__["tscli_run"] = None
        run.state.advance(token_ids.shape[0])
        self.tokens_run += token_ids.shape[0]
        return out

    @torch.inference_mode()
    def stock_logits(self, token_ids: Tensor) -> Tensor:
        """What transformers itself computes for token_ids (int64 [t]) in one pass: [t, vocab] float32."""
        self._engage(False)
        try:
            logits: Tensor = self.module(token_ids[None], use_cache=False).logits[0].float()
            return logits
        finally:
            self._engage(True)

    def _engage(self, ours: bool) -> None:
        setattr(self._parts.rotary_owner, self._parts.rotary_name, self._identity if ours else self._parts.rotary)
        self.module.set_attn_implementation(ATTENTION_NAME if ours else self._stock_attention)

    def new_state(self, segments: Sequence[Pages] = ()) -> KVState:
        """An empty tail behind these committed pages."""
        shape = {"layers": self.layers, "kv_heads": self.kv_heads, "head_dim": self.head_dim}
        return KVState(segments, dtype=self.dtype, device=self.device, **shape)

    @cached_property
    def hash(self) -> str:
        """Identity of configuration and weights, see `identity.weights_hash`."""
        return weights_hash(self.folder)

    @property
    def kv_bytes_per_token(self) -> int:
        """Bytes that one token's keys and values take over all layers."""
        return 2 * self.layers * self.kv_heads * self.head_dim * self.dtype.itemsize

    @property
    def selection_defaults(self) -> dict[str, Any]:
        """The selection settings that the model brings along in a file tscli.json beside its weights, if any."""
        path = self.folder / "tscli.json"
        return dict(json.loads(path.read_text()).get("selection", {})) if path.is_file() else {}

    @property
    def question_default(self) -> str:
        """How this model's questions are best run (tscli.json), "token" where it does not say."""
        path = self.folder / "tscli.json"
        return str(json.loads(path.read_text()).get("question", "token")) if path.is_file() else "token"

    @property
    def last_selecting_layer(self) -> int:
        """The last layer without a sliding window."""
        return max((layer for layer, window in enumerate(self._parts.windows) if window is None), default=0)

    @property
    def notes(self) -> list[str]:
        """What the user should know about this model's layers."""
        windows = [window for window in self._parts.windows if window is not None]
        if not windows:
            return []
        return [f"{len(windows)} of {self.layers} layers have a sliding window ({windows[0]:,} tokens) and attend to that only"]


def load_decoder(options: LoadOptions) -> Decoder:
    """Load the model and put the seam in; UsageError, ResourceError or TscliError say what is wrong with it."""
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging

    logging.disable_progress_bar()  # the command line shows its own
    logging.set_verbosity_error()
    model = options.model or EMBEDDED
    device = pick_device(options.device)
    folder = locate(model, options.revision)
    dtype = _pick_dtype(options.dtype, device)
    register_attention()
    try:
        module = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, local_files_only=folder.is_dir())
    except (OSError, ValueError, KeyError) as error:
        first = str(error).strip().splitlines()[0]
        raise TscliError(f"{model} cannot be loaded: {first}; give a decoder in Hugging Face layout with --model") from error
    except MemoryError as error:
        raise ResourceError(f"{model} does not fit in memory; choose a smaller model or --dtype bfloat16") from error
    module = module.eval().to(device)
    return Decoder(module, find_parts(module, model), model, folder, device)


def pick_device(name: str) -> torch.device:
    """The device to run on: cuda where there is one, else cpu; UsageError for one that is not there."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise UsageError("--device cuda: no CUDA device is available to torch; use --device cpu or leave it out")
    try:
        return torch.device(name)
    except RuntimeError:
        raise UsageError(f"--device {name}: unknown; use auto, cpu or cuda") from None


def _pick_dtype(name: str, device: torch.device) -> torch.dtype:
    """bfloat16 where the processor multiplies it natively, float32 elsewhere."""
    if name == "auto":
        native = device.type == "cuda" or torch.cpu._is_avx512_bf16_supported()
        return torch.bfloat16 if native else torch.float32
    if name not in DTYPES:
        raise UsageError(f"--dtype {name}: unknown; use auto, {', '.join(DTYPES)}")
    return DTYPES[name]


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
    run: AttentionRun = module.__dict__["tscli_run"]
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    call = LayerCall(int(module.layer_idx), scale, sliding_window, softcap)  # type: ignore[arg-type]
    return run(query[0], key[0], value[0], call).transpose(0, 1)[None].contiguous(), None
