"""What is run and how: a context's tokens, and the chains of segments that documents are."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tscli.ingest.sketching import reads_by_sketch
from tscli.selection.config import SelectionConfig
from tscli.store import PlannedSegment

Chain = tuple[PlannedSegment, ...]  # a document's, behind what they were computed behind
Ask = Callable[[Tensor], Sequence[Tensor]]  # of a context's tokens, the prompts that its sketch is fitted to


@dataclass(frozen=True)
class PrefillJob:
    """What is run and how: token_ids, int32 [T], the whole context; prompts: as `grow_sketch` has them, of the whole context;
    own_prompts: of each chain that is long enough to be read by a sketch, by its last segment; kv_dtype: of the pages, see
    `Fingerprint`; window: chains of at most so many tokens are attended densely."""

    token_ids: np.ndarray
    config: SelectionConfig
    dense: bool = False
    prompts: Sequence[Tensor] = ()
    own_prompts: Mapping[str, Sequence[Tensor]] = field(default_factory=dict)
    kv_dtype: str | None = None
    window: int = 0

    @classmethod
    def of(
        cls, token_ids: np.ndarray, planned: Sequence[PlannedSegment], config: SelectionConfig, ask: Ask, **kinds: Any
    ) -> PrefillJob:
        """With the prompts that `ask` makes of the whole context, and of each long chain by itself: what else is in the library
        changes nothing in its keys and values."""
        work = cls(token_ids, config, **kinds)
        long = [chain for chain in in_chains(planned) if reads_by_sketch(sum(segment.num_tokens for segment in chain))]
        own = {chain[-1].id: ask(work.ids(chain)) for chain in long}
        return replace(work, prompts=ask(torch.from_numpy(token_ids)), own_prompts=own)

    def ids(self, segments: Sequence[PlannedSegment]) -> Tensor:
        """Their tokens, int64."""
        parts = [self.token_ids[part.start :][: part.num_tokens] for part in segments]
        return torch.from_numpy(np.concatenate(parts).astype(np.int64))


def in_chains(planned: Sequence[PlannedSegment]) -> list[Chain]:
    """Each document's segments behind those that they were computed behind; one chain where documents are read jointly."""
    chains: list[Chain] = []
    until: dict[str | None, Chain] = {None: ()}
    for segment in planned:
        before = until[segment.parent]
        chain = until[segment.id] = (*before, segment)
        if chains and chains[-1] is before:
            chains.pop()
        chains.append(chain)
    return chains


def prefix_of(chains: Collection[Chain]) -> Chain:
    """The segments that all chains begin with."""
    every = [set(chain) for chain in chains]
    return tuple(segment for segment in next(iter(chains), ()) if all(segment in chain for chain in every))
