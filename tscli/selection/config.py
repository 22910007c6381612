"""The settings of TokenSelect, their limits, and how they adapt to a model's window. Knows no tensors."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal

from tscli.errors import UsageError

Metric = Literal["soft", "hard", "raw"]
Scale = Literal["none", "sqrt"]
Scan = Literal["sketch", "exact"]
HeadMapping = Literal["grouped", "modulo"]


@dataclass(frozen=True)
class SelectionConfig:
    """How tokens are selected; the defaults are the paper's (section 5.1).

    k: tokens selected per query: a count, or with `share` a share of the context. 0 selects nothing, which is StreamingLLM
        (arXiv 2309.17453): first and local tokens only.
    n_init, n_local: first tokens, and tokens right before the query's chunk, that are always attended.
    chunk: tokens of a document that go through the model together and select once, by their mean query.
    theta: cosine similarity from which a decode step reuses the last selection (Selection Cache, Algorithm 1).
    scale: factor on dot products before the softmax of the vote: none (the paper), or 1/sqrt(head_dim).
    pool: width of the max-pooling of votes over neighbouring tokens; 0 is the paper.
    metric: soft vote (Eq. 7), or hard vote or raw scores, which the paper's ablation rejects.
    head_mapping: which kv head's keys a query head is scored against: that of its group, or, as the paper's public code has it,
        head % kv_heads ("modulo"), to show what that costs.
    scan: whether long contexts are scanned by the sketch of their keys, its candidates scored exactly, or exactly throughout.
    """

    k: int = 2048
    share: float | None = None
    n_init: int = 128
    n_local: int = 512
    chunk: int = 512
    theta: float = 0.9
    scale: Scale = "none"
    pool: int = 0
    metric: Metric = "soft"
    scan: Scan = "sketch"
    head_mapping: HeadMapping = "grouped"

    def __post_init__(self) -> None:
        _require(self.k >= 0, f"k must not be negative, got {self.k}")
        _require(self.share is None or 0 < self.share <= 1, f"k as a share must lie in (0%, 100%], got {self.share}")
        _require(self.n_init >= 0 and self.n_local >= 0, "n_init and n_local must not be negative")
        _require(
            16 <= self.chunk <= 16384 and self.chunk & (self.chunk - 1) == 0,
            f"chunk must be a power of two from 16 to 16384 (segments are whole chunks), got {self.chunk}",
        )
        _require(
            -1 <= self.theta <= 1.01,
            f"theta, a cosine similarity, must lie in -1 to 1.01 (over 1 nothing is reused), got {self.theta}",
        )
        _require(self.pool == 0 or (self.pool > 0 and self.pool % 2 == 1), f"pool must be 0 or an odd width, got {self.pool}")
        _require(self.scale in ("none", "sqrt"), f"scale must be none or sqrt, got {self.scale}")
        _require(self.scan in ("sketch", "exact"), f"scan must be sketch or exact, got {self.scan}")
        _require(self.head_mapping in ("grouped", "modulo"), f"head_mapping must be grouped or modulo, got {self.head_mapping}")
        _require(self.metric in ("soft", "hard", "raw"), f"metric must be soft, hard or raw, got {self.metric}")

    def count(self, num_candidates: int) -> int:
        """How many of so many candidates are selected."""
        if self.share is None:
            return min(self.k, num_candidates)
        return min(num_candidates, max(1, math.ceil(self.share * num_candidates)))

    @property
    def window(self) -> int:
        """The largest number of positions that a chunk spans."""
        return self.n_init + self.k + self.n_local + self.chunk

    def prefill_settings(self) -> dict[str, Any]:
        """What shapes the cached keys and values; part of a library's fingerprint (theta matters for decode only)."""
        settings = asdict(self)
        del settings["theta"]
        return settings


@dataclass(frozen=True)
class SelectionOptions:
    """What a user may set; None leaves it to the model. k: "2048", 2048 or "20%"."""

    k: str | int | None = None
    n_init: int | None = None
    n_local: int | None = None
    chunk: int | None = None
    theta: float | None = None
    scale: str | None = None
    pool: int | None = None
    metric: str | None = None
    scan: str | None = None
    head_mapping: str | None = None

    def check(self) -> None:
        """UsageError where no model could be asked so."""
        resolve(self, {}, sys.maxsize)


def resolve(options: SelectionOptions, model_defaults: Mapping[str, Any], window: int) -> SelectionConfig:
    """The user's options over the model's own defaults over the paper's, fitted to the model's trained window.

    Defaults that do not fit the window are shrunk; settings that the user named and that do not fit raise UsageError.
    """
    known = {field.name for field in fields(SelectionConfig)}
    if unknown := set(model_defaults) - known:
        raise UsageError(f"the model's tscli.json names unknown selection settings: {', '.join(sorted(unknown))}")
    base = _fit(replace(SelectionConfig(), **model_defaults), window)
    chosen = {name: value for name, value in vars(options).items() if value is not None}
    if "k" in chosen:
        chosen["k"], chosen["share"] = _parse_k(chosen["k"], base.k)
    config = replace(base, **chosen)
    if config.window > window:
        raise UsageError(
            f"n_init {config.n_init} + k {config.k} + n_local {config.n_local} + chunk {config.chunk} = {config.window} "
            f"positions, but the model was trained for {window}; choose smaller values"
        )
    return config


def _fit(config: SelectionConfig, window: int) -> SelectionConfig:
    if config.window <= window:
        return config
    chunk = max(16, min(config.chunk, 1 << (window // 4).bit_length() - 1))
    n_init = min(config.n_init, window // 32)
    n_local = min(config.n_local, window // 8)
    return replace(config, chunk=chunk, n_init=n_init, n_local=n_local, k=max(1, window - chunk - n_init - n_local))


def _parse_k(value: str | int, default: int) -> tuple[int, float | None]:
    text = str(value).strip()
    try:
        if text.endswith("%"):
            return default, float(text[:-1]) / 100
        return int(text), None
    except ValueError:
        raise UsageError(f"k must be a count such as 2048 or a share such as 20%, got {text!r}") from None


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise UsageError(message)
