"""What stock transformers does with the same model and the same tokens: one prefill into its DynamicCache, then `generate`.

Knows transformers and nothing of our attention.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor


class TransformersPeer:
    """The model as transformers runs it, with the cache of one context."""

    def __init__(self, folder: Path, dtype: torch.dtype, device: torch.device) -> None:
        from transformers import AutoModelForCausalLM, DynamicCache
        from transformers.utils import logging

        logging.disable_progress_bar()
        logging.set_verbosity_error()
        self.module: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype).eval().to(device)
        self.cache: Any = DynamicCache(config=self.module.config)
        self.device = device

    @torch.inference_mode()
    def prefill(self, ids: Tensor) -> float:
        """Run ids (int64 [n]) in one pass and keep the cache; seconds."""
        started = time.perf_counter()
        self.module(ids[None], past_key_values=self.cache, use_cache=True, logits_to_keep=1)
        self._synchronize()
        return time.perf_counter() - started

    @torch.inference_mode()
    def decode(self, ids: Tensor, n_gen: int) -> list[float]:
        """Greedy tokens by `generate` behind the kept context of ids; the times at which it began and made each token."""
        depth, times = ids.shape[0], [time.perf_counter()]

        def note(_: Tensor, scores: Tensor) -> Tensor:
            self._synchronize()
            times.append(time.perf_counter())
            return scores

        told = torch.cat([ids, ids.new_ones(1)])[None]  # what the cache does not hold is run first
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

    def _synchronize(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
