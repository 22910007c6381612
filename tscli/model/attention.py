"""What the model's attention layers call instead of their own attention: append, select, attend, report.

An `Attention` or a `DenseAttention` is one pass of tokens over one `KVState`. What is attended is for a selector to choose
(`selectors`), what is told of it, and to whom, is in a `Trace`; keys are rotated by the model's own embedding, their pages read
through the state. Knows no files, tokens or text.
"""

from __future__ import annotations

import torch
from torch import Tensor

from tscli.model.growing_rows import DenseKeys, GrowingRows
from tscli.model.kv import KVState
from tscli.model.rotary import Rotator
from tscli.model.selectors import LayerQuery, Selector, SketchSelector
from tscli.model.step import LayerCall, LayerStep, Trace
from tscli.selection.config import SelectionConfig
from tscli.selection.select import Selection
from tscli_kernels import attend, attend_causal, attend_selected, attend_turned

TURNED_TOGETHER = 16384  # cached keys that are rotated at once for full attention
Attended = tuple[Tensor, LayerStep, Tensor]  # what comes out, what was done, the cached tokens that were attended


class Attention:
    """TokenSelect attention (paper, Figure 2) of new tokens over the tokens that `state` holds.

    selector: chooses what is attended besides the first tokens and the local window; None: by the sketch, if there is one and
    the settings have it. dense_from: from this position on everything is attended, however far back the local window reaches.
    excluded: positions (int64) that no selection and no local window attends to (a layer of sliding windows still does).
    """

    is_compact = True  # whether what is attended stands at positions 0, 1, ..., or at its own

    def __init__(
        self,
        state: KVState,
        rotator: Rotator,
        config: SelectionConfig,
        selector: Selector | None = None,
        *,
        trace: Trace | None = None,
        dense_from: int | None = None,
        excluded: Tensor | None = None,
    ) -> None:
        self.state = state
        self.rotator = rotator
        self.config = config
        self.selector = selector or SketchSelector()
        self.trace = trace or Trace()
        self.dense_from = dense_from
        self.excluded = excluded

    def __call__(self, query: Tensor, key: Tensor, value: Tensor, call: LayerCall) -> Tensor:
        """query [q_heads, t, head_dim], key and value [kv_heads, t, head_dim], all unrotated; [q_heads, t, head_dim]."""
        attend = self._attend if call.window is None else self._attend_window
        out, step, positions = attend(query, key, value, call)
        self.trace.report(step, positions)
        self.state.append(call.layer, key, value)
        return out

    def keep(self, query: Tensor, key: Tensor, value: Tensor, call: LayerCall) -> None:
        """Append keys and values without attending: nobody asks for what this layer would give."""
        self.trace.asked(self._query(query, call))
        self.state.append(call.layer, key, value)

    def advance(self, num_tokens: int) -> None:
        """All layers have seen so many tokens."""
        self.state.advance(num_tokens)

    def _attend(self, query: Tensor, key: Tensor, value: Tensor, call: LayerCall) -> Attended:
        positions, step = self._select(self._query(query, call))
        return self._over_rows(query, key, value, positions, call), step, positions

    def _select(self, query: LayerQuery) -> tuple[Tensor, LayerStep]:
        """The cached tokens that are attended, int64 [s], ascending; what is told of it."""
        n, config, device = self.state.length, self.config, query.query.device
        n_init, recent = min(config.n_init, n), n - config.n_local
        local_start = max(n_init, recent if self.dense_from is None else min(recent, self.dense_from))
        num = local_start - n_init
        count, selected, reused = config.count(num), 0, False
        selection: Selection | None
        if 0 < count < num:
            self.trace.asked(query)
            selection, reused = self.selector(query, local_start)
            self.trace.selected(query, local_start, selection)
            chosen, local_start = selection.positions, selection.local_start
            selected = chosen.shape[0]
        else:  # all of them or none
            chosen = torch.arange(n_init, n_init + count, device=device)
            selection = self.trace.votes_on_all(query) if count == num else None
        positions = torch.cat([torch.arange(n_init, device=device), chosen, torch.arange(local_start, n, device=device)])
        if self.excluded is not None:
            positions = positions[~torch.isin(positions, self.excluded)]
        attended = positions.shape[0] + query.query.shape[1]
        return positions, LayerStep(query.layer, "selected", attended, selected, selection, reused)

    def _attend_window(self, query: Tensor, key: Tensor, value: Tensor, call: LayerCall) -> Attended:
        """Each query sees itself and the window - 1 tokens before it, nothing else."""
        assert call.window is not None
        n = self.state.length
        positions = torch.arange(max(0, n - call.window + 1), n, device=query.device)
        first = 0 if self.is_compact else n - positions.shape[0]
        out = self._over_rows(query, key, value, positions, call, first)
        return out, LayerStep(call.layer, "window", positions.shape[0] + key.shape[1]), positions

    def _over_rows(
        self, query: Tensor, key: Tensor, value: Tensor, positions: Tensor, call: LayerCall, first: int = 0
    ) -> Tensor:
        """Attention over cached rows followed by the chunk itself, at positions first, first + 1, ... in order: one kernel that
        reads pages on a GPU where they lie, the compiled loop for a step over many rows, or torch for anything."""
        is_plain = call.window is None and self.rotator.turns_halves and not self.trace.weighs(call)
        pages = self.state.whole_pages(call.layer) if is_plain else None
        if pages is not None:
            return self._over_pages(pages, query, (key, value), positions, call)
        old = self.state.gather(call.layer, positions)
        key, value = (torch.cat(parts, dim=1) for parts in zip(old, (key, value), strict=True))
        t, s = query.shape[1], key.shape[1]
        if is_plain and t == 1 and call.softcap is None and self.state.is_read_compiled:
            cos, sin = self.rotator.table(call.layer, s, query.device)
            return attend_turned(query, key, value, cos, sin, scaling=call.scaling)
        query, key = self.rotator.side_by_side(query, key, call.layer, first)
        self.trace.weigh(query, key, call)
        if call.window is None:
            return attend_causal(query, key, value, scaling=call.scaling, softcap=call.softcap)
        mask = window_mask(t, s, call.window, query.device)
        return attend(query, key, value, scaling=call.scaling, mask=mask, softcap=call.softcap)

    def _over_pages(
        self, pages: tuple[Tensor, Tensor], query: Tensor, new: tuple[Tensor, Tensor], positions: Tensor, call: LayerCall
    ) -> Tensor:
        """The same over pages of all committed tokens; new: key and value."""
        num_rows = int(torch.searchsorted(positions, self.state.committed))
        tail = self.state.tail_at(call.layer, positions[num_rows:])
        key, value = (torch.cat(parts, dim=1) for parts in zip(tail, new, strict=True))
        table = self.rotator.table(call.layer, num_rows + key.shape[1], query.device)
        rows = positions[:num_rows]
        out, _ = attend_selected(query, *pages, rows, key, value, *table, scaling=call.scaling, softcap=call.softcap)
        return out

    def _query(self, query: Tensor, call: LayerCall) -> LayerQuery:
        return LayerQuery(self.state, self.rotator, self.config, call.layer, query)


class DenseAttention(Attention):
    """Full attention at true positions: nothing is selected.

    keys: those of the same state that were rotated before; whatever the state has forgotten since is forgotten there.
    """

    is_compact = False

    def __init__(
        self,
        state: KVState,
        rotator: Rotator,
        config: SelectionConfig,
        keys: DenseKeys | None = None,
        *,
        trace: Trace | None = None,
    ) -> None:
        super().__init__(state, rotator, config, trace=trace)
        self.keys = DenseKeys() if keys is None else keys

    def keep(self, query: Tensor, key: Tensor, value: Tensor, call: LayerCall) -> None:
        """See `Attention`; what was rotated behind the state's end is forgotten before that moves on."""
        if call.layer in self.keys:
            self.keys[call.layer].filled = min(self.keys[call.layer].filled, self.state.length)
        super().keep(query, key, value, call)

    def _attend(self, query: Tensor, key: Tensor, value: Tensor, call: LayerCall) -> Attended:
        n, layer, total = self.state.length, call.layer, self.state.length + key.shape[1]
        held = self.keys.setdefault(layer, GrowingRows(key[:, :0], value[:, :0]))
        held.filled = min(held.filled, n)
        for start in range(held.filled, n, TURNED_TOGETHER):
            places = torch.arange(start, min(n, start + TURNED_TOGETHER), device=query.device)
            old_key, old_value = self.state.gather(layer, places)
            held.append(self.rotator(old_key, places, layer, length=total), old_value)
        places = torch.arange(n, total, device=query.device)
        all_key, all_value = held.append(self.rotator(key, places, layer, length=total), value)
        turned = self.rotator(query, places, layer, length=total)
        self.trace.weigh(turned, all_key, call)
        step = LayerStep(layer, "dense", total, selection=self.trace.votes_on_all(self._query(query, call)))
        out = attend_causal(turned, all_key, all_value, scaling=call.scaling, softcap=call.softcap)
        return out, step, torch.arange(n, device=query.device)


def window_mask(t: int, s: int, window: int, device: torch.device) -> Tensor | None:
    """[t, s] bool, True where query i (row s - t + i) may look: not ahead, and within the window; None if everywhere."""
    if t == 1 and s <= window:
        return None
    places = torch.arange(s, device=device)
    return sees(places[s - t :, None], places, window)


def sees(asked: Tensor, there: Tensor, window: int | None) -> Tensor:
    """bool: whether a token at the position `asked` may look at the one `there`: not ahead, and within a sliding window."""
    mask = there <= asked
    return mask if window is None else mask & (there > asked - window)
