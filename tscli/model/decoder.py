"""A decoder as the engine sees it: tokens run over an `AttentionRun`, and what of the model is worth knowing.

Knows nothing of how the model is computed (`plain`, `stock`), of libraries or of text.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tscli.model.attention import AttentionRun
from tscli.model.identity import weights_hash
from tscli.model.kv import KVState, Pages
from tscli.model.rotary import Rotator


@dataclass(frozen=True)
class Shape:
    """window: positions it was trained for; sliding: per layer its sliding window, None where it attends to everything.

    rope: the rotary embedding's parameters as transformers has them in a configuration.
    """

    kind: str
    vocab_size: int
    q_heads: int
    kv_heads: int
    head_dim: int
    window: int
    sliding: tuple[int | None, ...]
    rope: dict[str, Any] = field(default_factory=dict)


class Decoder(ABC):
    """A loaded model; `forward` runs tokens through it and counts them."""

    def __init__(
        self, shape: Shape, rotator: Rotator, model_id: str, folder: Path, dtype: torch.dtype, device: torch.device
    ) -> None:
        self.shape = shape
        self.rotator = rotator
        self.model_id = model_id
        self.folder = folder
        self.dtype = dtype
        self.device = device
        self.layers = len(shape.sliding)
        self.q_heads, self.kv_heads, self.head_dim = shape.q_heads, shape.kv_heads, shape.head_dim
        self.window = shape.window
        self.tokens_run = 0

    @torch.inference_mode()
    def forward(self, token_ids: Tensor, run: AttentionRun, *, logits: bool = True) -> Tensor | None:
        """Run token_ids (int64 [t]) over the run's state and count them in; the last token's logits [vocab] float32."""
        out = self._run(token_ids, run, logits)
        run.state.advance(token_ids.shape[0])
        self.tokens_run += token_ids.shape[0]
        return out

    @abstractmethod
    def _run(self, token_ids: Tensor, run: AttentionRun, logits: bool) -> Tensor | None:
        """Every layer appends its keys and values to the run's state; the last token's logits where they are asked for."""

    @abstractmethod
    def stock_logits(self, token_ids: Tensor) -> Tensor:
        """What transformers itself computes for token_ids (int64 [t]) in one pass: [t, vocab] float32."""

    @property
    @abstractmethod
    def weights(self) -> list[Tensor]:
        """All parameters, each once."""

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
        return dict(self._brought_along.get("selection", {}))

    @property
    def question_default(self) -> str:
        """How this model's questions are best run (tscli.json), "token" where it does not say."""
        return str(self._brought_along.get("question", "token"))

    @cached_property
    def _brought_along(self) -> dict[str, Any]:
        path = self.folder / "tscli.json"
        return dict(json.loads(path.read_text())) if path.is_file() else {}

    @property
    def documents_default(self) -> str:
        """How this model's documents are best run (tscli.json), "joint" where it does not say."""
        return str(self._brought_along.get("documents", "joint"))

    @property
    def last_selecting_layer(self) -> int:
        """The last layer without a sliding window."""
        return max((layer for layer, window in enumerate(self.shape.sliding) if window is None), default=0)

    @property
    def notes(self) -> list[str]:
        """What the user should know about this model's layers."""
        windows = [window for window in self.shape.sliding if window is not None]
        if not windows:
            return []
        return [f"{len(windows)} of {self.layers} layers have a sliding window ({windows[0]:,} tokens) and attend to that only"]
