"""How a question is read: alone to vote, then after each candidate passage to see which of them makes it likely.

Pass 1: the question after the prefix, no document attended, up to the last retrieval head's layer; there its queries score
these heads' keys of all cached tokens. Pass 2: the question once more after each candidate's cached keys, all of them in one
batch. A passage that answers a question makes it likely (query likelihood, Ponte and Croft 1998; by language models, arXiv
2204.07496), and does so in other words than its own, too. How much likelier than without any passage says whether any of them
answers it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from tscli.answer.passages import Passage
from tscli.model.decoder import Decoder
from tscli.model.gathered import GatheredRun, Rows, Seen, Watch
from tscli.model.kv import KVState
from tscli.selection.retrieval_heads import RetrievalHeads
from tscli.tokens import Prompt

DISTANCE = 512  # places between all cached keys, which are scored unrotated, and a question's first token
MOST_GAIN, MOST_LOSS = 3.0, 1.0  # nats that one token of a question counts for
BATCH_TOKENS = 2048  # of the questions after passages, that go through the model together


class HeadQueries:
    """Watches a pass for the retrieval heads' queries of the last `count` tokens, rotated as they are scored."""

    def __init__(self, decoder: Decoder, retrieval_heads: RetrievalHeads, count: int) -> None:
        self._decoder = decoder
        self._retrieval_heads = retrieval_heads
        self._count = count
        self.queries: dict[int, Tensor] = {}  # by place among the retrieval heads: [count, head_dim] float32

    def __call__(self, seen: Seen) -> None:
        wanted = self._retrieval_heads.of_layer(seen.layer)
        if not wanted:
            return
        query = seen.unrotated[[head for _, head in wanted], -self._count :].float()
        places = torch.arange(DISTANCE, DISTANCE + query.shape[1], device=query.device)
        turned = self._decoder.rotator(query, places, seen.layer, length=DISTANCE + query.shape[1])
        for (place, _), one in zip(wanted, turned, strict=True):
            self.queries[place] = one


def count_votes(
    decoder: Decoder, state: KVState, retrieval_heads: RetrievalHeads, queries: dict[int, Tensor], first: int, stop: int
) -> Tensor:
    """The retrieval heads' votes on cached tokens [first, stop): [heads, stop - first] float32.

    queries: by place among the heads, [t, head_dim] float32, as many of each.
    """
    votes = torch.empty(len(retrieval_heads.heads), stop - first, dtype=torch.float32, device=decoder.device)
    for (layer, kv_head), places in _by_keys(retrieval_heads, decoder.q_heads // decoder.kv_heads).items():
        asked = torch.stack([queries[place] for place in places])
        state.head_votes(layer, kv_head, asked, first, stop, votes, places)
    return votes


def _by_keys(retrieval_heads: RetrievalHeads, group: int) -> dict[tuple[int, int], list[int]]:
    """Retrieval heads' places by layer and kv head: those that share keys, which are read once for them all."""
    found: dict[tuple[int, int], list[int]] = {}
    for place, (layer, head) in enumerate(retrieval_heads.heads):
        found.setdefault((layer, head // group), []).append(place)
    return found


@torch.inference_mode()
def question_votes(
    decoder: Decoder, state: KVState, retrieval_heads: RetrievalHeads, prompt: Prompt, before: Tensor, first: int, stop: int
) -> Tensor:
    """Pass 1: the votes of a question's own tokens on cached tokens [first, stop), [heads, stop - first].

    before: positions that the question is read behind: the prefix, and a conversation so far.
    """
    watch = HeadQueries(decoder, retrieval_heads, prompt.stop - prompt.start)
    run = GatheredRun(
        state, decoder.rotator, [Rows.behind_each_other(before)], watch=watch, last_layer=retrieval_heads.last_layer
    )
    decoder.forward(torch.tensor(prompt.ids[: prompt.stop], device=decoder.device), run, logits=False)
    return count_votes(decoder, state, retrieval_heads, watch.queries, first, stop)


@dataclass(frozen=True)
class PassageReading:
    """A question read after each of these passages: by how many nats per token each of them makes it likelier than no passage
    does, and the run that read it, without any passage first; None where there was not one run for all of them."""

    passages: tuple[Passage, ...]
    gains: tuple[float, ...]
    run: GatheredRun | None

    def resumed(self, sequences: Sequence[tuple[Passage | None, Rows]], num_tokens: int, watch: Watch) -> GatheredRun | None:
        """A run after so many of the question's tokens, over each passage's rows; None: without any passage."""
        if self.run is None:
            return None
        rows = dict[int, Rows]()
        for passage, own in sequences:
            number = 0 if passage is None else 1 + self.passages.index(passage)
            read = self.run.rows[number]
            kept = torch.isin(read.positions, own.positions)  # not the first tokens of its document
            rows[number] = Rows(read.positions[kept], read.places[kept], read.next_place)
        return self.run.resumed(rows, num_tokens, watch)


@torch.inference_mode()
def read_after_passages(
    decoder: Decoder,
    state: KVState,
    prompt: Prompt,
    before: Tensor,
    passages: Sequence[Passage],
    shortlist: Tensor,
    excluded: Tensor | None = None,
) -> PassageReading:
    """Pass 2: the question once more after each passage.

    A passage stands after its document's first tokens, which say what it is about; the answer does without them, which would
    only distract it. A token counts for at most MOST_GAIN, or a name that stands in many passages would outweigh what is asked
    of it. shortlist: see `PassageFinder.shortlist`; logits of all tokens would take a tenth to a fifth of the time to the first
    token. before: see `question_votes`; passages stand between the prefix and what else there is. excluded: positions, int64,
    that no question is read after.
    """
    if not passages:
        return PassageReading((), (), None)
    behind = [with_passages(before, [passage], state, lead=True, excluded=excluded) for passage in passages]
    rows = [with_passages(before, [], state), *behind]
    own, num_tokens, shortlist = list(prompt.ids[: prompt.stop]), prompt.stop, shortlist.to(decoder.device)
    per_batch, found = max(1, BATCH_TOKENS // num_tokens), list[Tensor]()
    resumable = len(rows) <= per_batch and not decoder.rotator.depends_on_length
    for start in range(0, len(rows), per_batch):
        part = rows[start : start + per_batch]
        run = GatheredRun(state, decoder.rotator, part, resumable=resumable)
        first = max(1, prompt.start)
        wanted = [at * num_tokens + place - 1 for at in range(len(part)) for place in range(first, num_tokens)]
        said = torch.tensor(own[first:] * len(part), device=decoder.device)
        likely = decoder.likelihoods(torch.tensor(own * len(part), device=decoder.device), run, wanted, said, shortlist)
        found.append(likely.view(len(part), -1))
    every = torch.cat(found)  # [1 + passages, tokens]
    gains = (every[1:] - every[0]).clamp(-MOST_LOSS, MOST_GAIN).mean(dim=1).tolist()
    return PassageReading(tuple(passages), tuple(gains), run if resumable else None)


def with_passages(
    before: Tensor, passages: Sequence[Passage], state: KVState, *, lead: bool = False, excluded: Tensor | None = None
) -> Rows:
    """Passages in this order between the documents' prefix and a conversation's tokens, both of `before`, each followed by its
    repeated sentences; lead: each after the first tokens of its document, but for those that are excluded."""
    prefix, spoken = before[before < state.committed], before[before >= state.committed]
    spans = list[Tensor]()
    for passage in passages:
        repeated = [torch.arange(*sentence, device=before.device) for sentence in passage.repeated]
        if lead:
            own = torch.arange(passage.lead, passage.lead_end, device=before.device)
            own = own if excluded is None else own[~torch.isin(own, excluded)]
            spans.append(own if not repeated else own[~torch.isin(own, torch.cat(repeated))])
        spans.append(torch.arange(passage.start, passage.end, device=before.device))
        spans += repeated
    return Rows.behind_each_other(torch.cat([prefix, *spans, spoken]))
