"""What an answer cost and where it came from. Plain data and the recorder that gathers it; no model, no files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch

from tscli.answer.token_attribution import TokenAttribution, token_attribution
from tscli.model.step import LayerStep
from tscli.selection.guard import Guard
from tscli.tokens import Context, State, page_name, shown


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
    """How much of the exact selections the sketch's selections held, as means over the `compared` cases where both were made.

    vote_mass: share of the exact selection's votes. recall: share of its tokens (recall@k).
    """

    compared: int
    vote_mass: float
    recall: float

    @classmethod
    def of(cls, guard: Guard) -> Fidelity | None:
        """The guard's comparisons so far; None where it made none."""
        return cls(len(guard.masses), mean(guard.masses), mean(guard.recalls)) if guard.masses else None


@dataclass(frozen=True)
class QuestionReading:
    """How retrieval heads read a question. heads: (layer, head) of each; keys_scanned: their share of all cached keys.
    passages: tokens [start, end) of those that the answer attended to, best first, followed by those that came in while it was
    made; gains: by how many nats a token each makes the question likelier, of those that came in later the best one's.
    """

    heads: list[list[int]]
    keys_scanned: float
    passages: list[tuple[int, int]]
    gains: list[float]
    answered: bool


@dataclass(frozen=True)
class Statistics:
    """The figures of one answer; tokens are counts, times are seconds.

    ttft_s: from the question to the answer's first text. It consists of question_s, in which the question is read,
        first_decode_s, the pass that makes the first token, and held_s, until a token is grounded in the passages
        (`answer.grounding`).
    load_s: what opening the library took; not part of ttft_s.
    scan: "sketch" where long contexts are scanned by the sketch, else "exact". fidelity: over all answers since the library
        was opened.
    confidence: how likely the answer's own words were, see `answer.confidence`; None where that is not known.
    thought_tokens: tokens of generated_tokens that belong to thoughts, their marks included.
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
    reading: QuestionReading | None = None
    layers: list[LayerStatistics] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    thought_tokens: int = 0
    held_s: float = 0.0
    confidence: float | None = None


@dataclass(frozen=True)
class Answer:
    """An answered question. thoughts: what the model thought before its answer, which is no part of the rest."""

    question: str
    text: str
    token_ids: list[int]
    statistics: Statistics
    sources: list[Source]
    attribution: list[TokenAttribution] = field(default_factory=list)
    thoughts: str = ""


@dataclass(frozen=True)
class _Seen:
    """What one layer's step drew on, where that was asked, and its votes: positions int64 [n], votes float64 [n]."""

    attribution: TokenAttribution | None
    positions: torch.Tensor
    votes: torch.Tensor


class Recorder:
    """Observes the layers' steps while tokens are made. attribution: per step of a token that was shown, what it drew on.

    What the steps of thoughts drew on and voted for counts for nothing; of steps that are not known to be of either it is kept
    until they are, and of tokens that may never be shown until they are.
    """

    def __init__(self, num_tokens: int, n_init: int) -> None:
        self.attribution: list[TokenAttribution] = []
        self._n_init = n_init
        self._votes = torch.zeros(num_tokens, dtype=torch.float64)
        self._steps: dict[int, list[LayerStep]] = {}
        self._state: State = "answer"
        self._held: list[_Seen] = []
        self._unshown: list[_Seen] = []

    def take(self, state: State) -> None:
        """What the steps from here on are of."""
        self._state = state

    def settle(self, *, counts: bool) -> None:
        """Whether the steps that were held are of an answer."""
        held, self._held = self._held, []
        self._unshown += held if counts else []

    def show(self, count: int | None = None) -> None:
        """The next so many of an answer's steps count that did not yet; None: all of them."""
        for seen in self._unshown[:count]:
            self._count(seen)
        del self._unshown[:count]

    def leave_out(self) -> None:
        """The steps since the last that counted are no answer's."""
        self._unshown = []

    def __call__(self, step: LayerStep) -> None:
        """Take one layer's step; its votes on document tokens are summed up, reused selections counting again."""
        # What is kept of each step must not grow with the context.
        self._steps.setdefault(step.layer, []).append(replace(step, selection=None, trace=None))
        if self._state == "thought" or step.selection is None:
            return
        num_tokens, attribution = self._votes.shape[0], None
        if step.trace is not None:
            attribution = token_attribution(step.trace, step.selection, num_tokens, self._n_init)
        positions, votes = step.selection.positions.cpu(), step.selection.votes.cpu().double()
        cached = positions < num_tokens
        seen = _Seen(attribution, positions[cached], votes[cached].clamp_min(0))
        (self._held if self._state == "open" else self._unshown).append(seen)

    def _count(self, seen: _Seen) -> None:
        if seen.attribution is not None:
            self.attribution.append(seen.attribution)
        self._votes.index_add_(0, seen.positions, seen.votes)

    def add(self, attribution: TokenAttribution) -> None:
        """Take what an answer without tokens drew on."""
        positions, shares = torch.from_numpy(attribution.positions), torch.from_numpy(attribution.shares).double()
        self._count(_Seen(attribution, positions, shares))

    def forget(self) -> None:
        """What was made is no answer: nothing of it counts."""
        self.attribution, self._held, self._unshown = [], [], []
        self._votes.zero_()

    def layers(self) -> list[LayerStatistics]:
        """Means per layer."""
        return [
            LayerStatistics(
                layer,
                steps[0].kind,
                mean([step.selected for step in steps]),
                mean([step.attended for step in steps]),
                mean([float(step.reused) for step in steps]),
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


def mean(values: Sequence[float]) -> float:
    """The mean; 0 of nothing."""
    return float(sum(values) / len(values)) if values else 0.0
