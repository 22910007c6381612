"""Stock transformers on the same model and tokens: its own attention, its DynamicCache, prefilled once and kept.

Knows the model's folder and nothing of our attention.
"""

from __future__ import annotations

import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor


class TransformersPeer:
    """The model as transformers runs it, with the cache of one context."""

    def __init__(self, folder: Path, dtype: torch.dtype, device: torch.device) -> None:
        from transformers import AutoModelForCausalLM
        from transformers.utils import logging

        logging.disable_progress_bar()
        logging.set_verbosity_error()
        self.module: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype).eval().to(device)
        self.cache: Any = None
        self.device = device

    @property
    def fields(self) -> dict[str, Any]:
        """Its version."""
        return {"versions": {"transformers": version("transformers")}}

    @torch.inference_mode()
    def prefill(self, ids: Tensor) -> float:
        """Run ids (int64 [n]) in one pass into an empty cache, which is kept; seconds."""
        from transformers import DynamicCache

        self.cache = DynamicCache(config=self.module.config)
        started = time.perf_counter()
        self.module(ids[None], past_key_values=self.cache, use_cache=True, logits_to_keep=1)
        self._synchronize()
        return time.perf_counter() - started

    @torch.inference_mode()
    def fill(self, ids: Tensor, depth: int) -> None:
        """Run ids, then lay their keys and values behind each other up to `depth` tokens."""
        self.prefill(ids)
        times = -(-depth // ids.shape[0])
        for layer in self.cache.layers:
            layer.keys, layer.values = (
                part.repeat(1, 1, times, 1)[:, :, :depth].contiguous() for part in (layer.keys, layer.values)
            )

    @torch.inference_mode()
    def question(self, ids: Tensor) -> float:
        """Run ids (int64 [n]) behind the kept cache, which stays as it is; seconds to the first token behind them."""
        depth, started = self.cache.get_seq_length(), time.perf_counter()
        logits = self.module(ids[None], past_key_values=self.cache, use_cache=True, logits_to_keep=1).logits
        int(logits.argmax())
        seconds = time.perf_counter() - started
        self.cache.crop(depth - self.cache.get_seq_length())
        return seconds

    @torch.inference_mode()
    def decode(self, n_gen: int) -> list[float]:
        """Greedy tokens by `generate` behind the kept cache; the times at which it began and made each token."""
        depth, times = self.cache.get_seq_length(), [time.perf_counter()]

        def note(_: Tensor, scores: Tensor) -> Tensor:
            self._synchronize()
            times.append(time.perf_counter())
            return scores

        told = torch.ones(1, depth + 1, dtype=torch.int64, device=self.device)  # only what the cache does not hold is run
        self.module.generate(
            told,
            attention_mask=torch.ones_like(told),
            past_key_values=self.cache,
            max_new_tokens=n_gen,
            min_new_tokens=n_gen,
            do_sample=False,
            logits_processor=[note],
        )
        self.cache.crop(depth - self.cache.get_seq_length())
        return times

    def close(self) -> None:
        """Let go of the cache."""
        self.cache = None

    def _synchronize(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
