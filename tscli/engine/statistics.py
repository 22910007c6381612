"""What an answer cost and where it came from. Plain data and the recorder that gathers it; no model, no files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch

from tscli.engine.drawn import Drawn, drawn_from
from tscli.model.attention import LayerStep
from tscli.selection.guard import Guard
from tscli.tokens import Context, page_name, shown


@dataclass(frozen=True)
class LayerStatistics:
    """One layer over the answer's decode steps; kind is "selected", "window" (sliding window) or "dense"."""

    layer: int
    kind: str
    selected_mean: float
    attended_mean: float
    hit_rate: float


@dataclass(frozen=True)
class Source:
    """A page and its share of the votes of the answer's decode steps. Selection is not proof of causation.

    library: where several are joined; else empty. label: what viewers call the page; empty where that is its number.
    """

    file: str
    page: int
    share: float
    library: str = ""
    label: str = ""

    @property
    def name(self) -> str:
        """The file for people."""
        return shown(self.file, self.library)

    @property
    def page_name(self) -> str:
        """The page for people."""
        return page_name(self.page, self.label)


@dataclass(frozen=True)
class Fidelity:
    """What the sketch's selections held of the exact ones, where both were made: means over `compared` of them.

    vote_mass: share of the votes of the exact selection. recall: share of its tokens (recall@k).
    """

    compared: int
    vote_mass: float
    recall: float

    @classmethod
    def of(cls, guard: Guard) -> Fidelity | None:
        """The guard's comparisons so far; None where it made none."""
        return cls(len(guard.masses), _mean(guard.masses), _mean(guard.recalls)) if guard.masses else None


@dataclass(frozen=True)
class Statistics:
    """The figures of one answer; tokens are counts, times are seconds.

    ttft_s: from the question to the answer's first token: question_s, in which the question is read, and first_decode_s, the
    pass that makes the token. load_s: what opening the library took, which is not in it.
    scan: "sketch" where long contexts are scanned by it, else "exact". fidelity: of all answers since the library was opened.
    """

    cached_tokens: int
    recomputed_tokens: int
    prompt_tokens: int
    generated_tokens: int
    load_s: float
    question_s: float
    first_decode_s: float
    ttft_s: float
    decode_tps: float
    total_s: float
    k: int
    selected_mean: float
    attended_mean: float
    total_tokens: int
    cache_hit_rate: float
    pool: int
    metric: str
    scale: str
    theta: float
    n_init: int
    n_local: int
    dense: bool
    question_mode: str
    stop_reason: str
    scan: str
    fidelity: Fidelity | None
    layers: list[LayerStatistics] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Answer:
    """One question answered."""

    question: str
    text: str
    token_ids: list[int]
    statistics: Statistics
    sources: list[Source]
    drawn: list[Drawn] = field(default_factory=list)


class Recorder:
    """Observes the layers' steps while answer tokens are made. drawn: per step, what its token drew on."""

    def __init__(self, num_tokens: int, n_init: int) -> None:
        self.drawn: list[Drawn] = []
        self._n_init = n_init
        self._votes = torch.zeros(num_tokens, dtype=torch.float64)
        self._steps: dict[int, list[LayerStep]] = {}

    def __call__(self, step: LayerStep) -> None:
        """Take one layer's step; its votes on document tokens are summed up, reused selections counting again."""
        # What is kept of each step must not grow with the context.
        self._steps.setdefault(step.layer, []).append(replace(step, selection=None, weighed=None))
        if step.weighed is not None and step.selection is not None:
            self.drawn.append(drawn_from(step.weighed, step.selection, self._votes.shape[0], self._n_init))
        if step.selection is not None:
            positions, votes = step.selection.positions.cpu(), step.selection.votes.cpu().double()
            cached = positions < self._votes.shape[0]
            self._votes.index_add_(0, positions[cached], votes[cached].clamp_min(0))

    def layers(self) -> list[LayerStatistics]:
        """Means per layer."""
        return [
            LayerStatistics(
                layer,
                steps[0].kind,
                _mean([step.selected for step in steps]),
                _mean([step.attended for step in steps]),
                _mean([float(step.reused) for step in steps]),
            )
            for layer, steps in sorted(self._steps.items())
        ]

    def sources(self, context: Context) -> list[Source]:
        """Pages by their share of the votes, highest first; template, headers and page breaks belong to none."""
        votes = self._votes.numpy()
        chosen = (votes > 0) & (context.page > 0) & (context.document >= 0)
        if not chosen.any():
            return []
        width = int(context.page.max()) + 1
        keys = context.document[chosen].astype(np.int64) * width + context.page[chosen]
        pages, inverse = np.unique(keys, return_inverse=True)
        totals = np.bincount(inverse, weights=votes[chosen])
        order = np.argsort(-totals, kind="stable")
        found = []
        for i in order:
            document, page = divmod(int(pages[i]), width)
            share = float(totals[i] / totals.sum())
            of = context.documents[document]
            found.append(Source(of.path, page, share, context.library_of(document), of.label(page)))
        return found


def _mean(values: Sequence[float]) -> float:
    return float(sum(values) / len(values)) if values else 0.0
