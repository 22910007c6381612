"""Find a model's retrieval heads: invented look-ups hidden in prose, and each head's rank of the window that holds the answer.

A question is read alone, as it will be (`answer.question_reading`); every head of every layer votes, and those are chosen that
rank the right window best, for questions in the statement's own words and in others alike. Then, with these heads: how many
passages give most answers, together or each separately, whether what they change had better count for more, and how much
likelier a passage must make a question to answer it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib import resources

import numpy as np
import torch
from torch import Tensor

from tscli.answer.calibration.lookups import LookUp, look_ups
from tscli.answer.contrast import CONTRAST, contrasted
from tscli.answer.mixture import mixed, weights_of
from tscli.answer.passages import Passage, PassageFinder
from tscli.answer.question_reading import DISTANCE, question_votes, read_after_passages, with_passages
from tscli.library.dense_prefill import prefill_documents
from tscli.model.decoder import Decoder
from tscli.model.gathered import GatheredRun, Rows, Seen
from tscli.model.kv import KVState
from tscli.selection.retrieval_heads import WINDOW, RetrievalHeads, head_votes, window_votes
from tscli.tokens import Context, Prompt, SourceText, Template, Tokenizer, build_context
from tscli.tokens.sentences import sentence_spans

OnProgress = Callable[[str, int, int], None]  # what is done now; done, in all
SEED = 1
DOCUMENTS = 3  # that the look-ups are hidden in
MOST_HEADS = 8
ENOUGH = 0.7  # of the best head's skill, for another one to vote as well
MOST_KEYS = 0.05  # of all keys that these heads may read for a question: heads of a group share theirs
CANDIDATES = 8
APART = 3  # passages read separately, where no number of them together is clearly better
TOGETHER = (2, 3, 4)
CLEARLY = 0.15  # of the questions: with no like statements near the right one, these are kind to passages together
BETTER = 1 / 36  # of the questions: so much better, in the mean over passages apart and together, must answers by contrast be
REFUSED = 0.02  # of questions that have an answer, at most so many may be refused


@dataclass(frozen=True)
class LookUpLibrary:
    """Prose with look-ups in it, read: the state over it, and where each look-up's statement stands, tokens [start, stop)."""

    context: Context
    state: KVState
    look_ups: tuple[LookUp, ...]
    spans: tuple[tuple[int, int], ...]

    @property
    def before(self) -> Tensor:
        """Positions of the prefix."""
        return torch.arange(self.context.documents[0].token_start, device=self.state.device)


def calibrate(
    decoder: Decoder, tokenizer: Tokenizer, template: Template, on_progress: OnProgress | None = None
) -> RetrievalHeads:
    """Choose the retrieval heads of a model; 48 s on two cores for one of 135M parameters, 96 s for one of 0.5B, loading it
    included."""
    tell = on_progress or (lambda *_: None)
    tell("reading prose with look-ups in it", 0, 1)
    library = make_look_up_library(decoder, tokenizer, template, SEED)
    asked = [(number, text) for number, one in enumerate(library.look_ups) for text in (one.literal, one.reworded)]
    prompts = [template.prompt(tokenizer, text) for _, text in asked]
    targets = [library.spans[number] for number, _ in asked]
    windows = []
    for done, prompt in enumerate(prompts):
        windows.append(all_windows(decoder, library, prompt))
        tell("asking every head", done + 1, len(prompts))
    right = [_right_windows(library, span) for span in targets]
    group = decoder.q_heads // decoder.kv_heads
    heads, skill = choose(windows, right, group, max(1, int(MOST_KEYS * decoder.layers * decoder.kv_heads)))
    places = tuple((head // decoder.q_heads, head % decoder.q_heads) for head in heads)
    chosen = RetrievalHeads(places, tuple(skill), passages=1, apart=False, absent_below=0.0)
    return _with_limits(decoder, tokenizer, template, library, chosen, tell)


def make_look_up_library(decoder: Decoder, tokenizer: Tokenizer, template: Template, seed: int) -> LookUpLibrary:
    """Hide the look-ups of a seed in documents of prose, and read these."""
    prose = resources.files("tscli.answer.calibration").joinpath("prose.txt").read_text(encoding="utf-8")
    sentences = [" ".join(prose[start:end].split()) for start, end in sentence_spans(prose)]
    hidden, per_document = look_ups(seed), -(-len(look_ups(seed)) // DOCUMENTS)
    sources, places = [], list[tuple[int, int, int]]()
    for number in range(DOCUMENTS):
        own = hidden[number * per_document : (number + 1) * per_document]
        text, chars = _with_statements(sentences[number * len(sentences) // DOCUMENTS :][: len(sentences) // DOCUMENTS], own)
        places += [(number, start, end) for start, end in chars]
        sources.append(SourceText(f"part {number + 1}", str(number), (text,), False, f"part {number + 1}"))
    context = build_context(tokenizer, template, sources)
    state = prefill_documents(decoder, context.token_ids, [document.token_start for document in context.documents])
    return LookUpLibrary(context, state, tuple(hidden), tuple(_tokens_of(context, *place) for place in places))


def choose(
    windows: Sequence[Tensor], right: Sequence[Sequence[int]], group: int, most_keys: int
) -> tuple[list[int], list[float]]:
    """The most skilled heads that read the keys of at most so many kv heads, those with the most skill together, and each one's
    skill: the mean reciprocal rank of the right window.

    windows: of each question, every head's votes [heads, w]; right: the windows that hold its answer. group: heads, one behind
    the other, that share their keys.
    """
    ranks = torch.tensor([[_rank(row, own) for row in votes] for votes, own in zip(windows, right, strict=True)])
    skill = ranks.float().reciprocal().mean(dim=0)  # [heads]
    order = skill.argsort(descending=True, stable=True).tolist()
    able = [head for head in order if skill[head] >= ENOUGH * skill[order[0]]]
    together: dict[int, float] = {}
    for head in able:
        together[head // group] = together.get(head // group, 0.0) + float(skill[head])
    read = sorted(together, key=lambda keys: -together[keys])[:most_keys]
    chosen = [head for head in able if head // group in read][:MOST_HEADS]
    return chosen, skill[chosen].tolist()


@torch.inference_mode()
def all_windows(decoder: Decoder, library: LookUpLibrary, prompt: Prompt) -> Tensor:
    """Every head's votes on the windows of such a library by a question's own tokens: [layers * q_heads, w]."""
    first, stop, count = int(library.before.shape[0]), library.state.committed, prompt.stop - prompt.start
    found: list[Tensor] = []

    def watch(seen: Seen) -> None:
        places = torch.arange(DISTANCE, DISTANCE + count, device=seen.query.device)
        query = decoder.rotator(seen.unrotated[:, -count:].float(), places, seen.layer, length=DISTANCE + count)
        positions = torch.arange(first, stop, device=seen.query.device)
        keys = library.state.keys_at(seen.layer, positions).float()  # [kv_heads, n, head_dim]
        scores = torch.matmul(query.unflatten(0, (decoder.kv_heads, -1)).flatten(1, 2), keys.transpose(1, 2))
        per_head = scores.unflatten(1, (-1, count)).flatten(0, 1)  # [q_heads, count, n]
        found.append(window_votes(torch.stack([head_votes(head) for head in per_head])))

    run = GatheredRun(library.state, decoder.rotator, [Rows.behind_each_other(library.before)], watch=watch)
    decoder.forward(torch.tensor(prompt.ids[: prompt.stop], device=decoder.device), run, logits=False)
    return torch.cat(found).cpu()


def _with_limits(
    decoder: Decoder,
    tokenizer: Tokenizer,
    template: Template,
    library: LookUpLibrary,
    retrieval_heads: RetrievalHeads,
    tell: OnProgress,
) -> RetrievalHeads:
    """With passages read separately, or so many together that clearly more answers come out right; with contrast or without;
    and with the gain that nearly all of these questions exceed."""
    finder, stop = PassageFinder(library.context, tokenizer), library.state.committed
    gains, by_contrast, half = list[float](), torch.zeros(2, 1 + len(TOGETHER)), library.look_ups[::2]
    for done, one in enumerate(half):
        for text in (one.literal, one.reworded):
            prompt = template.prompt(tokenizer, text)
            votes = question_votes(decoder, library.state, retrieval_heads, prompt, library.before, finder.first, stop)
            found = finder.best(votes, CANDIDATES)
            gain = read_after_passages(
                decoder, library.state, prompt, library.before, found, finder.shortlist(prompt.ids, found)
            ).gains
            best = sorted(zip(gain, found, strict=True), key=lambda pair: -pair[0])
            gains.append(max(gain))
            by_contrast += torch.tensor(_says(decoder, tokenizer, library, prompt, best, one))
        tell("asking with passages", done + 1, len(half))
    contrast = CONTRAST if float((by_contrast[1] - by_contrast[0]).mean()) >= BETTER * len(gains) else 0.0
    right, count, apart = by_contrast[1 if contrast else 0], APART, True
    if float(right[1:].max() - right[0]) >= CLEARLY * len(gains):
        count, apart = TOGETHER[int(right[1:].argmax())], False
    absent_below = float(np.quantile(gains, REFUSED))
    return replace(retrieval_heads, passages=count, apart=apart, absent_below=absent_below, contrast=contrast)


@torch.inference_mode()
def _says(
    decoder: Decoder,
    tokenizer: Tokenizer,
    library: LookUpLibrary,
    prompt: Prompt,
    best: Sequence[tuple[float, Passage]],
    one: LookUp,
) -> list[list[bool]]:
    """Whether the model says the answer after the question and the statement so far: with passages apart, then with so many
    together as TOGETHER has; all of these without contrast, then with it.

    best: passages with their gains, the best first.
    """
    stated = one.statement[: one.statement.index(one.answer)].strip()
    led, said = (encoded.ids.tolist() for encoded in tokenizer.encode_text([f" {stated}" if stated else "", f" {one.answer}"]))
    passages, weights = [passage for _, passage in best], weights_of([gain for gain, _ in best[:APART]])
    behind = [[passage] for passage in passages[:APART]] + [passages[:count][::-1] for count in TOGETHER]
    rows = [with_passages(library.before, one, library.state) for one in ([], *behind)]
    ids, first = [*prompt.ids, *led, *said], len(prompt.ids) + len(led)
    wanted = [number * len(ids) + place for number in range(len(rows)) for place in range(first - 1, len(ids) - 1)]
    run = GatheredRun(library.state, decoder.rotator, rows)
    logits = decoder.forward_rows(torch.tensor(ids * len(rows), device=decoder.device), run, wanted)
    assert logits is not None
    without, *read = logits.unflatten(0, (len(rows), len(said)))  # [said, vocab] each
    apart, together = torch.stack(read[: -len(TOGETHER)], dim=1), read[-len(TOGETHER) :]
    ways = [torch.stack([mixed(each.log_softmax(dim=-1), weights.to(each.device)) for each in apart]), *together]
    return [[_said(way, without, contrast) == said for way in ways] for contrast in (0.0, CONTRAST)]


def _said(read: Tensor, without: Tensor, contrast: float) -> list[int]:
    """The likeliest tokens by logits [said, vocab] each."""
    return [int(contrasted(*pair, contrast).argmax()) for pair in zip(read, without, strict=True)]


def _with_statements(sentences: Sequence[str], own: Sequence[LookUp]) -> tuple[str, list[tuple[int, int]]]:
    """The sentences with the statements spread among them, and where those stand, in characters."""
    text, chars, gap = "", list[tuple[int, int]](), len(sentences) / len(own)
    for number, sentence in enumerate(sentences):
        text += f"{sentence} "
        if len(chars) < len(own) and number >= gap * (len(chars) + 0.5):
            statement = own[len(chars)].statement
            chars.append((len(text), len(text) + len(statement)))
            text += f"{statement} "
    return text, chars


def _tokens_of(context: Context, document: int, start: int, end: int) -> tuple[int, int]:
    """The tokens that characters [start, end) of a document's one page lie in."""
    own = context.documents[document]
    inside = np.arange(own.token_start, own.token_end)
    inside = inside[context.page[inside] > 0]
    held = inside[(context.char_end[inside] > start) & (context.char_start[inside] < end)]
    return int(held[0]), int(held[-1]) + 1


def _right_windows(library: LookUpLibrary, span: tuple[int, int]) -> list[int]:
    first = int(library.before.shape[0])
    return list(range((span[0] - first) // WINDOW, (span[1] - 1 - first) // WINDOW + 1))


def _rank(windows: Tensor, right: Sequence[int]) -> int:
    """How many windows have more than the best right one, and one."""
    return int((windows > windows[list(right)].max()).sum()) + 1
