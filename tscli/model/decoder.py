"""A decoder as prefill and answers see it: tokens run over an attention, and what of the model is worth knowing.

Knows nothing of how the model is computed (`llama`, `hf_decoder`), of libraries or of text.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tscli.errors import UsageError
from tscli.model.batched import BatchedRun
from tscli.model.gathered import StopForward
from tscli.model.gguf_header import OnStep
from tscli.model.identity import weights_hash
from tscli.model.kv import KVState
from tscli.model.linear import Linear
from tscli.model.pages import Pages
from tscli.model.rotary import Rotator
from tscli.model.step import Pass, Run
from tscli_kernels import PAGE_SCALE, has_byte_products, has_int8_products, two_bytes_are_faster

SLOW_IN_TORCH = (torch.float32,)  # dtypes of inputs that torch multiplies by few bits without vectors
VECTORS = ("AVX2", "AVX512")  # for which torch has products of 4-bit weights
FEW, FEWEST = 16, 4  # tokens of a pass that 4-bit and 8-bit weights are faster for; more of them are faster by full ones
MOST_TOKENS = {4: FEW, 8: FEWEST}
MOST_IN_BLOCKS = {4: 16, 8: 8}  # likewise, where they are multiplied in blocks


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
    """A loaded model; `forward` runs tokens through it and counts them. num_parameters: in whatever they are held."""

    num_parameters: int

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
        self.int8_weights = False
        self.two_bytes = False  # whether wide linear layers multiply 16-bit integers instead of float32
        self.few_bits: tuple[int, ...] = ()  # of the weights that answers are made by, where the model's file has such: 4, 8
        self.in_blocks = False  # whether these are multiplied in blocks
        self.runs_by: tuple[int, ...] = ()  # which of these run what runs now
        self.remarks: list[str] = []  # of how it was loaded

    @torch.inference_mode()
    def forward(self, token_ids: Tensor, run: Run, *, logits: bool = True) -> Tensor | None:
        """Run token_ids (int64 [t]) over the run's state and count them in; the last token's logits [vocab] float32, None
        where none are asked for or the run has seen enough before the last layer."""
        out = self.forward_rows(token_ids, run, [token_ids.shape[0] - 1] if logits else [])
        return None if out is None else out[0]

    @torch.inference_mode()
    def forward_rows(self, token_ids: Tensor, run: Run, rows: Sequence[int]) -> Tensor | None:
        """As `forward`; the logits of these of the tokens, [rows, vocab] float32."""
        try:
            out = self._run(token_ids, run, list(rows))
        except StopForward:
            out = None
        run.advance(token_ids.shape[0])
        return out

    @torch.inference_mode()
    def likelihoods(self, token_ids: Tensor, run: Run, rows: Sequence[int], said: Tensor, shortlist: Tensor) -> Tensor:
        """As `forward_rows`; the natural logarithm of the probability that each of the rows gives to what was said behind it
        (int64 [rows]), told from the tokens of a shortlist alone: [rows] float32.

        shortlist: int64 [m], ascending, with every token that was said.
        """
        logits = self._shortlist_logits(token_ids, run, list(rows), shortlist)
        run.advance(token_ids.shape[0])
        return logits.gather(1, torch.searchsorted(shortlist, said)[:, None])[:, 0] - logits.logsumexp(dim=-1)

    @torch.inference_mode()
    def forward_batch(self, passes: Sequence[Pass]) -> Sequence[Tensor]:
        """Several passes as one; the logits of each, [rows, vocab] float32.

        On the CPU a pass gets bit for bit what it would by itself: its own tokens alone say which weights run it, and no row of
        a linear layer depends on the others (`rowwise_linear`). Transformers' layers and a GPU may round otherwise.
        """
        found: dict[int, Tensor] = {}
        for bits in dict.fromkeys(map(self._bits_for, passes)):
            of = [number for number, one in enumerate(passes) if self._bits_for(one) == bits]
            found |= zip(of, self._forward_together([passes[number] for number in of], bits), strict=True)
        return [found[number] for number in range(len(passes))]

    def _bits_for(self, one: Pass) -> tuple[int, ...]:
        most = MOST_IN_BLOCKS if self.in_blocks else MOST_TOKENS
        return tuple(bits for bits in self.few_bits if one.token_ids.shape[0] <= most[bits])

    def _forward_together(self, passes: Sequence[Pass], bits: tuple[int, ...]) -> Sequence[Tensor]:
        batch = BatchedRun(passes)
        run, rows = (passes[0].run, passes[0].rows) if len(passes) == 1 else (batch, batch.rows)
        self.runs_by = bits
        try:
            out = self.forward_rows(torch.cat([one.token_ids for one in passes]), run, rows)
        finally:
            self.runs_by = ()
        assert out is not None
        return out.split([len(one.rows) for one in passes])

    @abstractmethod
    def _run(self, token_ids: Tensor, run: Run, ends: list[int]) -> Tensor | None:
        """Every layer appends its keys and values to the run's state; the logits of the rows `ends`, [ends, vocab] float32."""

    def _shortlist_logits(self, token_ids: Tensor, run: Run, ends: list[int], shortlist: Tensor) -> Tensor:
        """As `_run`, of these tokens of the vocabulary: [ends, m] float32; a decoder may do without computing the others."""
        logits = self._run(token_ids, run, ends)
        assert logits is not None
        return logits[:, shortlist]

    @abstractmethod
    def reference_logits(self, token_ids: Tensor) -> Tensor:
        """What transformers itself computes for token_ids (int64 [t]) by the full weights, in one pass: [t, vocab] float32."""

    @property
    @abstractmethod
    def weights(self) -> list[Tensor]:
        """All that is held of the parameters, each once."""

    def use_int8_weights(self) -> None:
        """From now on the linear layers multiply 8-bit integers; UsageError where that cannot be done rightly here."""
        if self.device.type != "cpu":
            raise UsageError(
                f"--weights int8 (given, or what the library was made with) needs the CPU, and the model is on "
                f"{self.device.type}; use --device cpu"
            )
        if not has_int8_products():
            raise UsageError("--weights int8: this processor's sums of 8-bit products overflow (it has no VNNI); leave it out")
        self._replace_linears(Linear.to_int8, head=True)
        self.int8_weights, self.few_bits = True, ()

    def use_two_bytes(self) -> None:
        """From now on the linear layers of a model in float32 multiply 16-bit integers, where that is faster here: its next
        tokens differ by some millionths of a nat. No full weights are kept of what is multiplied so. The head keeps its own:
        often a few of its rows are wanted."""
        if self.device.type == "cpu" and self.dtype == torch.float32 and two_bytes_are_faster():
            self._replace_linears(Linear.to_two_bytes, head=False)
            self.two_bytes = any(weight.is_mkldnn for weight in self.weights)

    def use_few_bits(self, on_step: OnStep | None = None, *, lasting: bool = False) -> None:
        """From now on answers are made, a few tokens at a time, by the 4- and 8-bit weights that the model's file has; nothing
        where it has none, or the processor no vectors for them. Documents and questions go on to be read by full ones.
        lasting: compiled loops multiply them, where the processor has the instruction for it; to load these takes a third of a
        second.

        on_step is told how far packing them is, the first time.
        """
        if self.device.type == "cpu" and torch.backends.cpu.get_cpu_capability().startswith(VECTORS):
            self.few_bits = self._file_bits()
            slow = self.dtype in SLOW_IN_TORCH
            self.in_blocks = bool(self.few_bits) and (lasting or slow) and has_byte_products()
            if slow and not self.in_blocks:
                self.few_bits = ()

    def _file_bits(self) -> tuple[int, ...]:
        """In how few bits the model's file has weights, and these are multiplied here: 4, 8."""
        return ()

    @abstractmethod
    def _replace_linears(self, other: Callable[[Linear], Linear], *, head: bool) -> None:
        """Multiply by what this makes of each linear layer, of the head, too, or without it."""

    @property
    def dtype_name(self) -> str:
        """What the model computes in, such as "bfloat16"."""
        return str(self.dtype).removeprefix("torch.")

    @property
    def weights_name(self) -> str:
        """What its linear layers' weights are: "int8", "int16", or the name of the dtype."""
        return "int8" if self.int8_weights else "int16" if self.two_bytes else self.dtype_name

    def new_state(self, segments: Sequence[Pages] = ()) -> KVState:
        """An empty tail behind these committed pages."""
        shape = {"layers": self.layers, "kv_heads": self.kv_heads, "head_dim": self.head_dim}
        return KVState(segments, dtype=self.dtype, device=self.device, **shape)

    @cached_property
    def hash(self) -> str:
        """Identity of configuration and weights, see `identity.weights_hash`."""
        return weights_hash(self.folder)

    def kv_bytes_per_token(self, kv_dtype: str | None = None) -> int:
        """Bytes that one token's keys and values take over all layers: in the model's dtype (None), bfloat16 or int8."""
        sizes = {None: self.head_dim * self.dtype.itemsize, "bfloat16": 2 * self.head_dim}
        row = sizes.get(kv_dtype, self.head_dim + PAGE_SCALE.itemsize)
        return 2 * self.layers * self.kv_heads * row

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
        """How this model's documents are best run (tscli.json), "independent" where it does not say."""
        return str(self._brought_along.get("documents", "independent"))

    @property
    def voters_default(self) -> str:
        """Which heads vote for this model's passages (tscli.json): "calibrated" ones where it does not say, or "all"."""
        return str(self._brought_along.get("voters", "calibrated"))

    @property
    def prefill_default(self) -> str:
        """How this model's documents are attended (tscli.json): in "sections" where it does not say, or "sparse"."""
        return str(self._brought_along.get("prefill", "sections"))

    @property
    def last_selecting_layer(self) -> int:
        """The last layer without a sliding window."""
        return max((layer for layer, window in enumerate(self.shape.sliding) if window is None), default=0)

    @property
    def notes(self) -> list[str]:
        """What the user should know about this model's layers."""
        windows = [window for window in self.shape.sliding if window is not None]
        notes = [*self.remarks, *(["linear layers run with int8 weights"] if self.int8_weights else [])]
        notes += ["wide linear layers multiply 16-bit integers, which is faster here than float32"] if self.two_bytes else []
        bits = " and ".join(map(str, self.few_bits))
        notes += [f"answers are made with the file's own weights in {bits} bits"] if bits else []
        if not windows:
            return notes
        return [
            *notes,
            f"{len(windows)} of {self.layers} layers have a sliding window ({windows[0]:,} tokens) and attend to that only",
        ]


def native_dtype(device: torch.device) -> torch.dtype:
    """bfloat16 where the processor multiplies it natively, float32 elsewhere."""
    native = device.type == "cuda" or torch.cpu._is_avx512_bf16_supported()
    return torch.bfloat16 if native else torch.float32
