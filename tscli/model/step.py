"""What attention says of a step, and what the model tells it: plain data, and where one query's attention went."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import torch
from torch import Tensor

from tscli.selection.select import Selection

Kind = Literal["selected", "window", "dense"]


@dataclass(frozen=True)
class LayerStep:
    """What one layer did for one chunk or token.

    attended: rows in the softmax; selected: those of them that were chosen by votes. selection: positions and votes,
    over everything cached where nothing had to be left out. trace: the last query's attention, where it was asked for.
    """

    layer: int
    kind: Kind
    attended: int
    selected: int
    selection: Selection | None
    reused: bool
    trace: AttentionTrace | None = None


Observer = Callable[[LayerStep], None]


@dataclass(frozen=True)
class AttentionTrace:
    """Where one query's attention went: positions int64 [s] of cached tokens, shares float32 [s], means over the heads.

    What is missing to 1 went to the tokens of the same chunk.
    """

    positions: Tensor
    shares: Tensor


@dataclass(frozen=True)
class LayerCall:
    """What the model hands to attention besides the tensors."""

    layer: int
    scaling: float
    window: int | None
    softcap: float | None


class Run(Protocol):
    """What layers call instead of their own attention; see `AttentionRun`."""

    def __call__(self, query: Tensor, key: Tensor, value: Tensor, call: LayerCall) -> Tensor: ...

    def keep(self, query: Tensor, key: Tensor, value: Tensor, call: LayerCall) -> None: ...


class CountedRun(Run, Protocol):
    """A run that is told when all layers have seen new tokens."""

    def advance(self, num_tokens: int) -> None: ...


@dataclass(frozen=True)
class Pass:
    """What is to go through a model: token ids, int64 [t], over the run's state; rows: of which of them logits are wanted."""

    token_ids: Tensor
    run: CountedRun
    rows: Sequence[int]


def attention_of_last(query: Tensor, key: Tensor, call: LayerCall) -> Tensor:
    """The last query's attention over all rows, mean over the heads, [s]; computed again, because no kernel hands it out.

    query [q_heads, t, head_dim] and key [kv_heads, s, head_dim], both rotated.
    """
    kv_heads, _, head_dim = key.shape
    last = query[:, -1].reshape(kv_heads, -1, head_dim).float()
    scores = last @ key.float().transpose(1, 2) * call.scaling  # [kv_heads, group, s]
    if call.softcap is not None:
        scores = call.softcap * torch.tanh(scores / call.softcap)
    return torch.softmax(scores, dim=-1).mean(dim=(0, 1))
