"""Attention straight over pages that lie on a GPU in one piece: selected rows are read where they are, by one kernel."""

from __future__ import annotations

import torch
from torch import Tensor

from tscli.model.kv import KVState
from tscli.model.rotary import Rotator
from tscli.model.step import LayerCall
from tscli_kernels import attend_selected


def attend_paged(
    state: KVState, rotator: Rotator, query: Tensor, new: tuple[Tensor, Tensor], positions: Tensor, call: LayerCall
) -> Tensor | None:
    """Softmax attention over the rows at `positions` and the new keys and values, at compact positions.

    query: [q_heads, t, head_dim]; new: key and value [kv_heads, t, head_dim]; all unrotated. positions: int64, ascending.
    [q_heads, t, head_dim]; None where the pages are not in one piece on a GPU, or the model does not rotate halves.
    """
    pages = state.whole_pages(call.layer)
    if pages is None or not rotator.turns_halves:
        return None
    num_rows = int(torch.searchsorted(positions, state.committed))
    tail = state.tail_at(call.layer, positions[num_rows:])
    key, value = (torch.cat(parts, dim=1) for parts in zip(tail, new, strict=True))
    cos, sin = rotator.table(call.layer, num_rows + key.shape[1], query.device)
    out, _ = attend_selected(
        query, *pages, positions[:num_rows], key, value, cos, sin, scaling=call.scaling, softcap=call.softcap
    )
    return out
