"""What attention says of a step and to whom, what the model tells it, and where one query's attention went."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, Protocol

import torch
from torch import Tensor

from tscli.model.selectors import LayerQuery
from tscli.selection.select import Selection, select
from tscli.selection.sketch import Moments

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
    selected: int = 0
    selection: Selection | None = None
    reused: bool = False
    trace: AttentionTrace | None = None


Observer = Callable[[LayerStep], None]
Audit = Callable[[Selection, int, Tensor], None]  # what is attended, the first candidate, the exact votes [n] of all


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
    """What layers call instead of their own attention, told when all of them have seen new tokens; see `Attention`."""

    def __call__(self, query: Tensor, key: Tensor, value: Tensor, call: LayerCall) -> Tensor: ...

    def keep(self, query: Tensor, key: Tensor, value: Tensor, call: LayerCall) -> None: ...

    def advance(self, num_tokens: int) -> None: ...


@dataclass(frozen=True)
class Pass:
    """What is to go through a model: token ids, int64 [t], over the run's state; rows: of which of them logits are wanted."""

    token_ids: Tensor
    run: Run
    rows: Sequence[int]


@dataclass
class Trace:
    """Who is told what of an attention while it runs.

    observe: is told what each layer did. layer: the one whose attention itself is told, too. audit: is shown each selection
    beside the exact votes of all candidates, which are computed for it. moments: gathers the queries that select.
    """

    observe: Observer | None = None
    layer: int | None = None
    audit: Audit | None = None
    moments: Moments | None = None
    _shares: Tensor | None = field(default=None, init=False)

    def asked(self, query: LayerQuery) -> None:
        """A layer is about to select by this query, or would if anything were asked of it."""
        if self.moments is not None:
            self.moments.add_queries(query.layer, query.rotated)

    def selected(self, query: LayerQuery, local_start: int, selection: Selection) -> None:
        """A layer attends to this selection."""
        if self.audit is not None:
            self.audit(selection, query.config.n_init, query.vote(local_start))

    def votes_on_all(self, query: LayerQuery) -> Selection | None:
        """Everything cached and its votes, for whoever wants to see where an answer came from that attends to all of it."""
        n = query.state.length
        if self.observe is None or n == 0:
            return None
        return select(query.scores(0, n), 0, n, replace(query.config, k=n, share=None, pool=0))

    def weighs(self, call: LayerCall) -> bool:
        """Whether this layer's attention itself is asked for."""
        return self.observe is not None and self.layer == call.layer and call.window is None

    def weigh(self, query: Tensor, key: Tensor, call: LayerCall) -> None:
        """A layer attends by this query to these keys, both rotated; see `attention_of_last`."""
        if self.weighs(call):
            self._shares = attention_of_last(query, key, call)

    def report(self, step: LayerStep, positions: Tensor) -> None:
        """What a layer did, and the cached tokens that it attended to (int64 [s])."""
        if self.observe is None:
            return
        shares, self._shares = self._shares, None
        trace = None if shares is None else AttentionTrace(positions, shares[: positions.shape[0]])
        self.observe(step if trace is None else replace(step, trace=trace))


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
