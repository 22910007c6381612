"""What the methods of one benchmark share: model, tokens, repetitions, the fields of every row, and the limits."""

from __future__ import annotations

import gc
import resource
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from itertools import cycle, islice, pairwise
from math import inf
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tscli.bench.text import QUESTIONS, MeasuredText
from tscli.memory import available_bytes, give_back_memory
from tscli.model.decoder import Decoder
from tscli.selection.config import SelectionConfig
from tscli.selection.retrieval_heads import RetrievalHeads
from tscli.tokens import Prompt

PREFILL_LIMIT_S = 300.0  # what is expected to take longer is not prefilled whole, and the row says so
DECODE_LIMIT_S = 120.0  # of all repetitions: where steps are so slow, fewer are made
TRIAL, FEWEST = 2, 4  # tokens that are decoded first, and tokens of a repetition
Say = Callable[[str], None]


@dataclass(frozen=True)
class Bench:
    """One model, the text that it reads, and how often and how long it decodes.

    retrieval_heads: of a model that is asked by passages; None where all heads vote, as in the paper. gguf: the file that the
    model was read from. full_prefill: whether every length is prefilled whole, however long that takes.
    """

    decoder: Decoder
    config: SelectionConfig
    n_gen: int
    repetitions: int
    say: Say
    text: MeasuredText
    kv_dtype: str | None = None
    retrieval_heads: RetrievalHeads | None = None
    gguf: Path | None = None
    full_prefill: bool = False

    def kept(self, method: str) -> str | None:
        """What keys and values are kept in by this method: dense ones always in the model's dtype, to compare with."""
        return self.kv_dtype if method == "tokenselect" else None

    def ids(self, length: int) -> Tensor:
        """The text's tokens, int64 [length] on the model's device: the same for every method."""
        return self.text.ids(length).to(self.decoder.device)

    def asked(self, repetitions: int = 1) -> list[tuple[str, Prompt]]:
        """The questions, each with its prompt: one for each repetition, round and round, and each at least once."""
        once = [(question, self.text.template.prompt(self.text.tokenizer, question)) for question in QUESTIONS]
        return list(islice(cycle(once), max(repetitions, len(once))))

    def names(self, length: int, n_gen: int | None = None) -> tuple[str, str]:
        """llama-bench's names of the prefill and of the decode of so many tokens (None: as many as asked for) at this depth."""
        return f"pp{length}", f"tg{self.n_gen if n_gen is None else n_gen} @ d{length}"

    @property
    def prefill_limit_s(self) -> float:
        """Seconds from which on a prefill is not run whole."""
        return inf if self.full_prefill else PREFILL_LIMIT_S

    def above_limit(self, seconds: float, by: str) -> str | None:
        """Why a prefill is not run whole that was estimated by what `by` says to take so long; None where it is."""
        if seconds <= self.prefill_limit_s:
            return None
        rough = float(f"{seconds:.2g}")
        return f"estimated {rough:,.0f} s by {by}, the limit is {PREFILL_LIMIT_S:,.0f} s (--full-prefill runs it)"

    @property
    def trial(self) -> int:
        """Tokens that are decoded first: they warm up, and say how long a step takes."""
        return min(TRIAL, self.n_gen)

    def decodes(self, trial: Sequence[float]) -> tuple[int, int]:
        """Tokens and repetitions to decode, fewer than asked for where these would take longer than DECODE_LIMIT_S; trial: the
        times at which a decode began and made its tokens."""
        step_s = min(later - earlier for earlier, later in pairwise(trial))
        tokens = min(self.n_gen, max(FEWEST, int(DECODE_LIMIT_S / step_s)))
        repetitions = max(1, min(self.repetitions, int(DECODE_LIMIT_S / (step_s * tokens))))
        if (tokens, repetitions) != (self.n_gen, self.repetitions):
            times = f"{repetitions} times" if repetitions > 1 else "once"
            self.say(f"a step takes {step_s:.1f} s: {tokens} tokens are decoded, {times}")
        return tokens, repetitions

    def common(self, method: str, length: int, *, on_disk: bool = False) -> dict[str, Any]:
        """The fields that each row of a method has."""
        decoder = self.decoder
        dtype, ours = decoder.dtype_name, method in ("dense", "tokenselect")
        kv, weights = self.kept(method) or dtype, decoder.weights_name if ours else dtype
        held = sum(weight.nbytes for weight in decoder.weights)
        return {
            "model": decoder.model_id,
            "size": held if ours else decoder.num_parameters * decoder.dtype.itemsize,
            "params": decoder.num_parameters,
            "backend": f"{decoder.device.type} {dtype}, kv {kv}{' on disk' * on_disk}, weights {weights}",
            "kv_dtype": kv,
            "weights": weights,
            "threads": torch.get_num_threads(),
            "method": method,
            "n_ctx": length,
            "selection": dict(vars(self.config)),
            "versions": {name: version(name) for name in ("torch", "transformers")},
            "time": datetime.now(UTC).isoformat(timespec="seconds"),
        }

    def probe(self, length: int) -> int:
        """Tokens of the shorter of two prefills from which a dense one of `length` is estimated."""
        return max(1, min(length // 2, 1024))

    def kv_bytes(self, method: str, length: int) -> int:
        """Bytes of a context's keys and values, as the method keeps them."""
        return self.decoder.kv_bytes_per_token(self.kept(method)) * length

    def shortage(self, length: int, copies: float, method: str = "dense") -> str | None:
        """Why so many copies of a context's keys and values, as the method keeps them, cannot be held; None where they can, or
        where nobody tells."""
        needed, free = copies * self.kv_bytes(method, length), available_bytes()
        if free is None or needed <= free or self.decoder.device.type != "cpu":
            return None
        return f"its keys and values need about {needed / 2**30:,.1f} GiB of memory, {free / 2**30:,.1f} GiB are free"


def dense_seconds(run: Callable[[int], float], length: int, probe: int) -> float:
    """Seconds of a prefill whose cost has a linear and a quadratic part; run: seconds that one of so many tokens takes."""
    run(probe)  # warms up
    short, double = run(probe), run(2 * probe)
    quadratic = max(0.0, (double - 2 * short) / (2 * probe**2))
    linear = max(0.0, short / probe - quadratic * probe)
    return linear * length + quadratic * length**2


def peak_rss() -> int:
    """The most memory in bytes that this process has held since `forget_peak_rss`, or since it began where that cannot be."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def forget_peak_rss() -> None:
    """Count the most memory anew from here, where the kernel can (Linux); what was measured before is let go of."""
    gc.collect()  # models that refer to themselves
    give_back_memory()
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
