"""What the model's attention layers call instead of their own attention: append, select, attend.

One `AttentionRun` is one pass of tokens over one `KVState`. Reads pages through the state, selects through
`tscli.selection`, rotates with the model's own rotary embedding. Knows no files, tokens or text.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from tscli.model.kv import DenseKeys, KVState
from tscli.model.paged import attend_paged
from tscli.model.rotary import Rotator
from tscli.model.step import AttentionTrace, Kind, LayerCall, LayerStep, Observer, attention_of_last
from tscli.selection.candidates import num_candidates, search, select_among, uses_sketch
from tscli.selection.config import SelectionConfig
from tscli.selection.guard import Guard
from tscli.selection.question_votes import QuestionVotes, nearby
from tscli.selection.select import Selection, select, vote_of
from tscli.selection.selection_cache import SelectionCache
from tscli.selection.sketch import Moments
from tscli_kernels import attend, attend_causal, attend_turned

Audit = Callable[[Selection, int, Tensor], None]  # what is attended, the first candidate, the exact votes [n] of all


class AttentionRun:
    """TokenSelect attention (paper, Figure 2) of new tokens over the tokens that `state` holds.

    reuse: a SelectionCache for decode steps; None where every query selects for itself. votes: gathers the votes of a
    question's tokens, and the answer's on what stands around `fixed`: a selection that all layers use instead of their own.
    dense: full attention at true positions instead of selection. observe: called once per layer. guard: compares samples of
    what the sketch selects with the exact scan. moments: gathers the queries as they are scored.
    audit: is shown each selection beside the exact votes of all candidates, which are computed for it.
    dense_from: from this position on everything is attended, however far back the local window reaches.
    traced_layer: the layer whose attention itself is reported to `observe`. excluded: positions (int64) that no
    selection and no local window attends to (a layer of sliding windows still does).
    """

    def __init__(
        self,
        state: KVState,
        rotator: Rotator,
        config: SelectionConfig,
        *,
        reuse: SelectionCache | None = None,
        votes: QuestionVotes | None = None,
        fixed: Selection | None = None,
        dense: DenseKeys | None = None,
        observe: Observer | None = None,
        guard: Guard | None = None,
        moments: Moments | None = None,
        audit: Audit | None = None,
        dense_from: int | None = None,
        traced_layer: int | None = None,
        excluded: Tensor | None = None,
    ) -> None:
        self.state = state
        self.rotator = rotator
        self.config = config
        self.reuse = reuse
        self.votes = votes
        self.fixed = fixed
        self.dense = dense
        self.observe = observe
        self.guard = guard
        self.moments = moments
        self.audit = audit
        self.dense_from = dense_from
        self.traced_layer = traced_layer
        self.excluded = excluded
        self._shares: Tensor | None = None

    def __call__(self, query: Tensor, key: Tensor, value: Tensor, call: LayerCall) -> Tensor:
        """query [q_heads, t, head_dim], key and value [kv_heads, t, head_dim], all unrotated; [q_heads, t, head_dim]."""
        if call.window is not None:
            out = self._window(query, key, value, call, call.window)
        elif self.dense is not None:
            out = self._dense(query, key, value, call, self.dense)
        else:
            out = self._sparse(query, key, value, call)
        self.state.append(call.layer, key, value)
        return out

    def keep(self, query: Tensor, key: Tensor, value: Tensor, call: LayerCall) -> None:
        """Append keys and values without attending: nobody asks for what this layer would give."""
        if self.moments is not None:
            self._mean_query(query, call.layer)
        self.state.append(call.layer, key, value)

    def advance(self, num_tokens: int) -> None:
        """All layers have seen so many tokens."""
        self.state.advance(num_tokens)

    def _sparse(self, query: Tensor, key: Tensor, value: Tensor, call: LayerCall) -> Tensor:
        n, config = self.state.length, self.config
        n_init = min(config.n_init, n)
        recent = n - config.n_local
        local_start = max(n_init, recent if self.dense_from is None else min(recent, self.dense_from))
        candidates = local_start - n_init
        selection, reused, selected = None, False, 0
        if candidates and not config.count(candidates):
            chosen = torch.arange(0, device=query.device)
        elif candidates > config.count(candidates):
            selection, reused = self._select(query, call.layer, local_start)
            if self.audit is not None:
                scores = self._scores(self._mean_query(query, call.layer), call.layer, local_start)[:, n_init:]
                self.audit(selection, n_init, vote_of(scores, config.count(candidates), config))
            local_start = selection.local_start
            chosen = selection.positions
            selected = chosen.shape[0]
        else:
            selection = self._watch(query, call.layer)
            chosen = torch.arange(n_init, local_start, device=query.device)
        init, local = torch.arange(n_init, device=query.device), torch.arange(local_start, n, device=query.device)
        positions = torch.cat([init, chosen, local])
        if self.excluded is not None:
            positions = positions[~torch.isin(positions, self.excluded)]
        out = None if self._weighs(call) else attend_paged(self.state, self.rotator, query, (key, value), positions, call)
        if out is None:
            old_key, old_value = self.state.gather(call.layer, positions)
            out = self._attend(query, (old_key, key), (old_value, value), call)
        self._report(call.layer, "selected", positions.shape[0] + key.shape[1], selected, selection, reused, positions)
        return out

    def _select(self, query: Tensor, layer: int, local_start: int) -> tuple[Selection, bool]:
        config = self.config
        if self.fixed is not None and local_start - self.fixed.local_start <= config.chunk:
            if self.votes is not None and layer == self.votes.layer:
                self._vote_nearby(self._mean_query(query, layer), layer, self.fixed)
            return self.fixed, True
        mean = self._mean_query(query, layer)
        known = self.reuse.lookup(layer, mean) if self.reuse is not None else None
        # What left the local window since that selection stays attended; past a chunk's worth, select anew.
        if known is not None and local_start - known.local_start <= config.chunk:
            return known, True
        selection = self._by_sketch(mean, layer, local_start) or self._by_scan(mean, layer, local_start)
        if self.reuse is not None:
            self.reuse.remember(layer, mean, selection)
        return selection, False

    def _vote_nearby(self, query: Tensor, layer: int, fixed: Selection) -> None:
        """Vote on what stands in and around the fixed selection."""
        assert self.votes is not None
        positions = nearby(fixed, self.config)
        scores = self.state.scores_at(layer, query, positions) * self._scale(query)
        self.votes.add(vote_of(scores, fixed.positions.shape[0], self.config), positions - self.config.n_init)

    def _by_scan(self, query: Tensor, layer: int, local_start: int) -> Selection:
        """Select by the exact scores of all candidates."""
        config = self.config
        scores = self._scores(query, layer, local_start)[:, config.n_init :]
        if self.votes is not None and layer == self.votes.layer:
            self.votes.add(vote_of(scores, config.count(scores.shape[1]), config))
        return select(scores, config.n_init, local_start, config)

    def _by_sketch(self, query: Tensor, layer: int, local_start: int) -> Selection | None:
        """Select among the candidates that the sketch finds, by their exact scores; None where the exact scan is called for."""
        config, sketch = self.config, self.state.sketch
        num = local_start - config.n_init
        if sketch is None or not uses_sketch(config, num):
            return None
        count = num_candidates(config.count(num), num) * (self.guard.factor(layer) if self.guard else 1)
        if count >= num // 2:
            return None
        stop = min(local_start, sketch.length)
        found = search(sketch, layer, query, config.n_init, stop, count)
        rest = torch.arange(stop, local_start, device=query.device)  # not in the sketch yet
        positions = torch.cat([found.positions + config.n_init, rest])
        scale = self._scale(query)
        votes = found.votes(self.state.scores_at(layer, query, positions) * scale, sketch.shift(layer, query), scale)
        selection = select_among(positions, votes, config.n_init, local_start, config)
        if self.guard is not None and self.guard.due():
            scores = self._scores(query, layer, local_start)[:, config.n_init :]
            if not self.guard.compare(layer, selection, select(scores, config.n_init, local_start, config)):
                return None
        if self.votes is not None and layer == self.votes.layer:
            self.votes.add(votes, positions - config.n_init)
        return selection

    def _window(self, query: Tensor, key: Tensor, value: Tensor, call: LayerCall, window: int) -> Tensor:
        """A sliding-window layer: each query sees itself and the window - 1 tokens before it, nothing else."""
        n = self.state.length
        start = max(0, n - window + 1)
        old_key, old_value = self.state.gather(call.layer, torch.arange(start, n, device=query.device))
        first = start if self.dense is not None else 0  # true positions in dense mode, compact ones otherwise
        out = self._attend(query, (old_key, key), (old_value, value), call, first=first, window=window)
        self._report(call.layer, "window", n - start + key.shape[1], 0, None, False)
        return out

    def _dense(self, query: Tensor, key: Tensor, value: Tensor, call: LayerCall, dense: DenseKeys) -> Tensor:
        n, t, layer = self.state.length, key.shape[1], call.layer
        total = n + t
        for start in range(dense.length(layer), n, 16384):
            places = torch.arange(start, min(n, start + 16384), device=query.device)
            old_key, old_value = self.state.gather(layer, places)
            dense.append(layer, self.rotator(old_key, places, layer, length=total), old_value)
        places = torch.arange(n, total, device=query.device)
        all_key, all_value = dense.append(layer, self.rotator(key, places, layer, length=total), value)
        turned = self.rotator(query, places, layer, length=total)
        self._trace(turned, all_key, call)
        self._report(layer, "dense", total, 0, self._watch(query, layer), False, torch.arange(n, device=query.device))
        return attend_causal(turned, all_key, all_value, scaling=call.scaling, softcap=call.softcap)

    def _attend(
        self,
        query: Tensor,
        keys: tuple[Tensor, Tensor],
        values: tuple[Tensor, Tensor],
        call: LayerCall,
        *,
        first: int = 0,
        window: int | None = None,
    ) -> Tensor:
        """Attention over gathered rows followed by the chunk itself, at positions first, first + 1, ... in order."""
        key, value = torch.cat(keys, dim=1), torch.cat(values, dim=1)
        t, s = query.shape[1], key.shape[1]
        if self._is_plain_step(t, call, window):
            cos, sin = self.rotator.table(call.layer, s, query.device)
            return attend_turned(query, key, value, cos, sin, scaling=call.scaling)
        places = torch.arange(first, first + s, device=query.device)
        key = self.rotator(key, places, call.layer, length=first + s)
        query = self.rotator(query, places[-t:], call.layer, length=first + s)
        self._trace(query, key, call)
        if window is None:
            return attend_causal(query, key, value, scaling=call.scaling, softcap=call.softcap)
        mask = window_mask(t, s, window, query.device)
        return attend(query, key, value, scaling=call.scaling, mask=mask, softcap=call.softcap)

    def _is_plain_step(self, t: int, call: LayerCall, window: int | None) -> bool:
        """Whether one query attends over a long context's rows with nothing to it that the compiled loop does not know."""
        known = window is None and call.softcap is None and not self._weighs(call)
        return known and t == 1 and self.state.is_read_compiled and self.rotator.turns_halves

    def _watch(self, query: Tensor, layer: int) -> Selection | None:
        """The votes on everything cached, where all of it is attended and someone wants to see where the answer came from."""
        n = self.state.length
        if self.observe is None or n == 0:
            return None
        scores = self._scores(self._mean_query(query, layer), layer, n)
        return select(scores, 0, n, replace(self.config, k=n, share=None, pool=0))

    def _mean_query(self, query: Tensor, layer: int) -> Tensor:
        """The chunk's mean query, query i rotated to position n_local + i: all candidates, unrotated, look equally far."""
        first, t = self.config.n_local, query.shape[1]
        places = torch.arange(first, first + t, device=query.device)
        turned = self.rotator(query.float(), places, layer, length=first + t)
        if self.moments is not None:
            self.moments.add_queries(layer, turned)
        mean: Tensor = turned.mean(dim=1)  # [q_heads, head_dim]
        return mean if self.config.head_mapping == "grouped" else _as_the_reference_maps(mean, self.state.kv_heads)

    def _scores(self, query: Tensor, layer: int, stop: int) -> Tensor:
        scores, scale = self.state.scores(layer, query, stop), self._scale(query)
        return scores if scale == 1.0 else scores * scale

    def _scale(self, query: Tensor) -> float:
        return float(query.shape[-1] ** -0.5) if self.config.scale == "sqrt" else 1.0

    def _trace(self, query: Tensor, key: Tensor, call: LayerCall) -> None:
        """Keep where this layer's attention goes, if it is asked for."""
        if self._weighs(call):
            self._shares = attention_of_last(query, key, call)

    def _weighs(self, call: LayerCall) -> bool:
        return self.observe is not None and self.traced_layer == call.layer and call.window is None

    def _report(
        self,
        layer: int,
        kind: Kind,
        attended: int,
        selected: int,
        selection: Selection | None,
        reused: bool,
        positions: Tensor | None = None,
    ) -> None:
        if self.observe is None:
            return
        trace, shares, self._shares = None, self._shares, None
        if shares is not None and positions is not None:
            trace = AttentionTrace(positions, shares[: positions.shape[0]])
        self.observe(LayerStep(layer, kind, attended, selected, selection, reused, trace))


def _as_the_reference_maps(query: Tensor, kv_heads: int) -> Tensor:
    """The query heads in an order in which head h is scored against the keys of kv head h % kv_heads instead of h // group."""
    heads = sorted(range(query.shape[0]), key=lambda head: (head % kv_heads, head))
    return query[heads]


def window_mask(t: int, s: int, window: int, device: torch.device) -> Tensor | None:
    """[t, s] bool, True where query i (row s - t + i) may look: not ahead, and within the window; None if everywhere."""
    if t == 1 and s <= window:
        return None
    row = torch.arange(s - t, s, device=device)[:, None]
    column = torch.arange(s, device=device)[None]
    return (column <= row) & (column > row - window)
