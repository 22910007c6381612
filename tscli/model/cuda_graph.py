"""One token at a time where no size changes and nothing is read back, so that a CUDA graph can hold a whole step.

Selection and attention are those of `Attention`; what depends on how many tokens there are by now is computed from a number
that lies on the device. `GraphedSteps` captures and replays. Knows no files, tokens or text.
"""

from __future__ import annotations

import torch
from torch import Tensor

from tscli.model.decoder import Decoder
from tscli.model.kv import KVState
from tscli.model.rotary import Rotator
from tscli.model.selectors import LayerQuery
from tscli.model.step import AttentionTrace, LayerCall, LayerStep, attention_of_last
from tscli.selection.candidates import SAMPLE, num_candidates, uses_sketch
from tscli.selection.config import SelectionConfig
from tscli.selection.select import Selection
from tscli.selection.sketch import Sketch
from tscli_kernels import attend, max_pool, row_index, scan_codes, score_pages, soft_vote, take_rows, top_k, vote_beside
from tscli_kernels.top_k import DAMAGED

ROOM = 512  # tokens of the tail


def fits(state: KVState, config: SelectionConfig, sliding: tuple[int | None, ...], steps: int) -> bool:
    """Whether so many steps behind this state can be taken by a `GraphRun`: pages in one piece where the model runs, as it
    computes; no sliding windows; a selection to be made, of as many tokens in every step; and room for the tail."""
    if len(state.segments) != 1 or state.segments[0].scales is not None:
        return False
    key, behind = state.segments[0].key, state.tail_tokens + steps
    there = key.dtype == state.dtype and key.device.type == state.device.type
    whole_sketch = state.sketch is None or (isinstance(state.sketch, Sketch) and state.sketch.length == state.committed)
    num = state.committed - config.n_local - config.n_init
    plain = config.metric == "soft" and config.head_mapping == "grouped"
    same = 0 < config.count(num) == config.count(num + behind) < num
    return there and whole_sketch and plain and same and behind < ROOM and all(window is None for window in sliding)


class GraphRun:
    """Attention of single tokens over `state`, whose pages lie in one piece, in buffers of fixed sizes.

    traced_layer: the layer whose attention itself is reported. widths: how many times as many candidates as usual each layer
    takes of a sketch. length: how many tokens there are, on the device.
    """

    def __init__(
        self, state: KVState, rotator: Rotator, config: SelectionConfig, traced_layer: int, widths: tuple[int, ...] = ()
    ) -> None:
        segment, device = state.segments[0], state.device
        self.state = state
        self.widths = widths
        self._rotator = rotator.apart()  # a graph keeps the tables' addresses
        self._config = config
        self._pages = segment.key, segment.value
        layers, _, kv_heads, _, head_dim = segment.key.shape
        self._k = config.count(state.committed - config.n_local - config.n_init)
        self._positions = torch.zeros(layers, self._k, dtype=torch.int64, device=device)  # selected last
        self._votes = torch.zeros(layers, self._k, device=device)
        self._tail = torch.zeros(2, layers, kv_heads, ROOM, head_dim, dtype=segment.key.dtype, device=device)
        self.length = torch.zeros((), dtype=torch.int64, device=device)
        self._nan = torch.zeros(1, dtype=torch.int32, device=device)
        self._places = torch.arange(state.committed + ROOM, device=device)
        self._rows = config.n_init + self._k + config.n_local + 1  # the same in every step
        self._traced_layer = traced_layer
        self._weighed = torch.zeros(self._rows - 1, dtype=torch.int64, device=device), torch.zeros(self._rows, device=device)
        num = state.committed - config.n_init
        self._sketch = state.sketch if isinstance(state.sketch, Sketch) and uses_sketch(config, num) else None

    def load(self) -> None:
        """Take over the state's tail."""
        tail = self.state.tail_rows()
        self._tail[:, :, :, : tail.shape[3]] = tail
        self.length.fill_(self.state.length)
        self._nan.zero_()

    def hand_over(self) -> None:
        """Give the state the tokens that were taken since `load`."""
        state = self.state
        new = self._tail[:, :, :, state.tail_tokens : int(self.length) - state.committed]
        for layer in range(new.shape[1]):
            state.append(layer, new[0, layer], new[1, layer])
        state.tail_tokens += new.shape[3]

    def check(self) -> None:
        """Raise ValueError where a vote was NaN since `load`."""
        if self._nan.item():
            raise ValueError(DAMAGED)

    def __call__(self, query: Tensor, key: Tensor, value: Tensor, call: LayerCall) -> Tensor:
        """As `Attention`, of one token: query [q_heads, 1, head_dim], key and value [kv_heads, 1, head_dim]."""
        config, committed = self._config, self.state.committed
        local_start = self.length - config.n_local
        self._select(query, call.layer, local_start)
        window = local_start + torch.arange(config.n_local, device=query.device)
        positions = torch.cat([self._places[: config.n_init], self._positions[call.layer], window])
        old, at = positions < committed, self.length - committed
        rows = row_index(positions.clamp_max(committed - 1), key.shape[0], self._pages[0].shape[3])
        places = (positions - committed).clamp_min(0)
        keys, values = (
            torch.where(old[None, :, None], take_rows(pages[call.layer], rows), tail[call.layer].index_select(1, places))
            for pages, tail in zip(self._pages, self._tail, strict=True)
        )
        keys, values = torch.cat([keys, key], dim=1), torch.cat([values, value], dim=1)
        asked, turned = self._rotator.side_by_side(query, keys, call.layer)
        out = attend(asked, turned, values, scaling=call.scaling, softcap=call.softcap)
        if call.layer == self._traced_layer:
            self._weighed[0].copy_(positions)
            self._weighed[1].copy_(attention_of_last(asked, turned, call))
        for tail, new in zip(self._tail, (key, value), strict=True):
            tail[call.layer].index_copy_(1, at[None], new)
        return out

    def keep(self, query: Tensor, key: Tensor, value: Tensor, call: LayerCall) -> None:
        """A step always wants its logits."""
        raise NotImplementedError

    def advance(self) -> None:
        """All layers have taken the token."""
        self.length += 1

    def taken(self) -> list[LayerStep]:
        """What the layers did in the last step, as an `Attention` reports it, in the CPU's memory."""
        local_start = int(self.length) - 1 - self._config.n_local
        found, trace = [
            tuple(part.to("cpu", copy=True) for part in some)  # the next step writes over them
            for some in ((self._positions, self._votes), self._weighed)
        ]
        return [
            LayerStep(
                layer,
                "selected",
                self._rows,
                self._k,
                Selection(positions, votes, local_start),
                False,
                AttentionTrace(trace[0], trace[1][:-1]) if layer == self._traced_layer else None,
            )
            for layer, (positions, votes) in enumerate(zip(*found, strict=True))
        ]

    def _select(self, query: Tensor, layer: int, local_start: Tensor) -> None:
        """Choose k of the positions [n_init, local_start)."""
        config = self._config
        asked = LayerQuery(self.state, self._rotator, config, layer, query)
        mean, scale = asked.mean, asked.scale
        outside = (self._places < config.n_init) | (self._places >= local_start)
        num = self.state.committed - config.n_init
        count = num_candidates(self._k, num) * (self.widths[layer] if self.widths else 1)
        if self._sketch is None or count >= num // 2:
            votes = self._votes_of_all(mean, layer, outside, scale)
        else:
            votes = self._votes_by(self._sketch, mean, layer, outside, scale, count)
        pooled = max_pool(votes, config.pool).masked_fill(outside, float("-inf"))
        chosen = top_k(pooled, self._k, nan=self._nan)
        self._positions[layer] = chosen
        self._votes[layer] = votes[chosen]

    def _votes_of_all(self, query: Tensor, layer: int, outside: Tensor, scale: float) -> Tensor:
        """Votes by the exact scores of all tokens; [committed + ROOM]."""
        n = self.state.committed
        scores = torch.empty(query.shape[0], n + ROOM, dtype=torch.float32, device=query.device)
        score_pages(query, self._pages[0][layer], n, out=scores[:, :n])
        score_pages(query, self._tail[0, layer][None], ROOM, out=scores[:, n:])
        return soft_vote(scores.mul_(scale).masked_fill_(outside, float("-inf")))

    def _votes_by(self, sketch: Sketch, query: Tensor, layer: int, outside: Tensor, scale: float, count: int) -> Tensor:
        """Votes of as many candidates as `search` aims at, of outliers and of the tail, by their exact scores; else zero;
        [committed + ROOM]."""
        n, step = self.state.committed, max(1, sketch.length // SAMPLE)
        approximate = scan_codes(sketch.projection.query(layer, query), sketch.key_codes[layer], 0, n)
        sample, _ = sketch.sampled(layer, query, 0, n, step)
        kept = max(1, round(count / sample.shape[0] / step))
        margin = (approximate - sample.topk(kept, dim=-1).values[:, -1:]).amax(dim=0)
        margin.index_fill_(0, sketch.outliers[layer].flatten(), float("inf"))
        margin.masked_fill_(outside[:n], float("-inf"))
        best = margin.topk(min(n, count + sketch.outliers[layer].numel())).indices.sort().values
        key = take_rows(self._pages[0][layer], row_index(best, *self._pages[0].shape[2:4]))
        candidates, keys = torch.cat([best, self._places[n:]]), torch.cat([key, self._tail[0, layer]], dim=1)
        exact = score_pages(query, keys[None], candidates.shape[0]).mul_(scale)
        exact.masked_fill_(outside[candidates], float("-inf"))
        known = outside[:n].index_fill(0, best, True)[::step]
        others = (sample + sketch.shift(layer, query)[:, None]).mul_(scale).masked_fill_(known, float("-inf"))
        votes = vote_beside(exact, others, step)
        return torch.zeros(n + ROOM, device=query.device).index_copy_(0, candidates, votes)


class GraphedSteps:
    """Single tokens through a model over a `GraphRun`; on a GPU the first is captured as a CUDA graph, the others replay it."""

    def __init__(self, decoder: Decoder, run: GraphRun) -> None:
        self._decoder = decoder
        self.run = run
        self._token = torch.zeros(1, dtype=torch.int64, device=decoder.device)
        self._graph: torch.cuda.CUDAGraph | None = None
        self._logits = torch.empty(0)

    def begin(self) -> None:
        """Go on from where the state is."""
        self.run.load()

    @torch.inference_mode()
    def end(self) -> None:
        """The state gets what was taken since `begin`, so that other steps can go on."""
        self.run.hand_over()

    @torch.inference_mode()
    def step(self, token_id: int) -> Tensor:
        """The logits [vocab] behind this token, valid until the next step. Raises ValueError where a vote is NaN."""
        self._token.fill_(token_id)
        self.run.state.tokens_run += 1
        if self._decoder.device.type != "cuda":
            return self._through()
        if self._graph is None:
            self._capture()
        assert self._graph is not None
        self._graph.replay()
        self.run.check()  # waits for the device, as whoever reads the logits would
        return self._logits

    def _through(self) -> Tensor:
        logits = self._decoder.logits_of(self._token, self.run)
        self.run.advance()
        return logits

    def _capture(self) -> None:
        """Run the step twice aside, so that kernels are compiled and tables made, put back what was before, and record it."""
        length = self.run.length.clone()
        aside = torch.cuda.Stream(self._decoder.device)
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            for _ in range(2):
                self._through()
        torch.cuda.current_stream().wait_stream(aside)
        self.run.length.copy_(length)  # what the two wrote behind it is written again
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph, capture_error_mode="thread_local"):  # others may still copy pages
            self._logits = self._through()
