"""Stock transformers on the same model and tokens: its own attention, its DynamicCache, prefilled once and kept.

It runs in the dtype with which a short trial is fastest here. Knows nothing of our attention.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tscli.bench.rows import Unavailable
from tscli.bench.setting import Say, forget_peak_rss
from tscli.memory import available_bytes
from tscli.model.decoder import Decoder
from tscli.model.known import kv_bytes

COPIES = 3.0  # of the keys and values: the cache, one as it grows or is saved, and masks
TRIED, STEPS = 256, 4  # tokens of the trial's prefill, and decoded ones
DTYPES = {"cpu": (torch.float32, torch.bfloat16), "cuda": (torch.float32, torch.bfloat16, torch.float16)}


def open_transformers(decoder: Decoder, room: int, say: Say = lambda _: None) -> TransformersPeer:
    """The decoder's model in stock transformers, in the fastest dtype; room: tokens that its cache will hold.

    A dtype in which memory does not hold the model is not tried; Unavailable where it holds none.
    """
    tried_s: dict[str, float] = {}
    by_name = {str(dtype).removeprefix("torch."): dtype for dtype in DTYPES[decoder.device.type]}
    for name, dtype in by_name.items():
        if not _fits(decoder, name, dtype, room):
            say(f"transformers: memory does not hold the model in {name}")
            continue
        try:
            tried_s[name] = TransformersPeer(decoder.folder, dtype, decoder.device).trial()
        except torch.OutOfMemoryError:
            say(f"transformers: the GPU does not hold the model in {name}")
        forget_peak_rss()  # rows count what the chosen one takes
    if not tried_s:
        raise Unavailable("memory holds the model in no dtype")
    best = min(tried_s, key=tried_s.__getitem__)
    say(f"transformers: {best} is fastest")
    return TransformersPeer(decoder.folder, by_name[best], decoder.device, tried_s)


def _fits(decoder: Decoder, name: str, dtype: torch.dtype, room: int) -> bool:
    """Whether the model and its cache of `room` tokens fit in what memory can be had; on a GPU nobody counts beforehand."""
    free = available_bytes() if decoder.device.type == "cpu" else None
    cache = kv_bytes(decoder.layers, decoder.kv_heads, decoder.head_dim, name) * room
    return free is None or decoder.num_parameters * dtype.itemsize + COPIES * cache <= free


class TransformersPeer:
    """The model as transformers runs it, with the cache of one context; tried_s: seconds of the trial in each dtype."""

    def __init__(
        self, folder: Path, dtype: torch.dtype, device: torch.device, tried_s: Mapping[str, float] | None = None
    ) -> None:
        from transformers import AutoModelForCausalLM
        from transformers.utils import logging

        logging.disable_progress_bar()
        logging.set_verbosity_error()
        self.module: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype).eval().to(device)
        self.cache: Any = None
        self.device, self.dtype = device, dtype
        self.tried_s = dict(tried_s or {})

    @property
    def fields(self) -> dict[str, Any]:
        """Its version, its dtype, and how long each that was tried took."""
        name = str(self.dtype).removeprefix("torch.")
        what = {"backend": f"{self.device.type} {name}, kv {name}, weights {name}", "kv_dtype": name, "weights": name}
        size = self.module.num_parameters() * self.dtype.itemsize
        return {"versions": {"transformers": version("transformers")}, **what, "size": size, "tried_s": self.tried_s}

    def trial(self) -> float:
        """Seconds of a prefill of TRIED tokens and STEPS decoded ones, the better of two; what is kept is let go of."""
        ids = torch.ones(TRIED, dtype=torch.int64, device=self.device)
        self.prefill(ids)  # warms up
        self.decode(1)
        seconds = []
        for _ in range(2):
            prefill_s = self.prefill(ids)
            times = self.decode(STEPS)
            seconds.append(prefill_s + times[-1] - times[0])
        self.close()
        return min(seconds)

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
