"""How much less work several questions take that go in step with each other, against one after the other.

    OMP_NUM_THREADS=1 python tests/harness/together.py LIBRARY samples/questions.jsonl [QUESTIONS] [ROUNDS]

Projections, feed-forward and head are computed once for all questions of a step; with "scan" also the exact scores of the first
reading, so that keys are read once. Selection and attention stay each question's own. Prints processor seconds, which other
work on the machine changes little, and how many answers are those of one question at a time. Only for the embedded reader: it
reads its questions twice, and the model is run by its plain lines.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Generator
from contextlib import suppress
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import linear, silu

import tscli
from tscli.engine.session import Session
from tscli.engine.statistics import Recorder
from tscli.model.attention import AttentionRun
from tscli.model.plain import PlainDecoder
from tscli.model.step import LayerCall
from tscli.selection.question_votes import QuestionVotes
from tscli.selection.selection_cache import SelectionCache

LIMIT = 64  # tokens of an answer


class Run(AttentionRun):
    """Takes the scores that were computed for it together with others'."""

    known: Tensor | None = None  # [kv_heads, group, n]

    def _scores(self, query: Tensor, layer: int, stop: int) -> Tensor:
        known, self.known = self.known, None
        return super()._scores(query, layer, stop) if known is None else known[..., :stop].flatten(0, 1)


def answering(session: Session, prompt: list[int], made: list[int]) -> Generator[tuple[int, Run], Tensor, None]:
    """One question as the asker runs it: gives the next token and its run, takes the logits [vocab] behind it."""
    decoder, config, asker = session.decoder, session.config, session.asker
    state = decoder.new_state(asker.state.segments)
    state.sketch, length, last = asker.state.sketch, state.length, decoder.last_selecting_layer
    votes, reuse = QuestionVotes(last), SelectionCache(config.theta)
    recorder = Recorder(length, config.n_init)
    for token in prompt:
        yield token, Run(state, decoder.rotator, config, guard=asker.guard, votes=votes)
    state.rewind(length)
    fixed = votes.selection(config, length)
    logits = torch.empty(0)
    for token in prompt:
        logits = yield token, Run(state, decoder.rotator, config, fixed=fixed, observe=recorder, weigh=last)
    for _ in range(LIMIT):
        token = int(logits.argmax())
        if token in session.template.end_ids:
            return
        made.append(token)
        run = Run(state, decoder.rotator, config, reuse=reuse, votes=votes, fixed=fixed, observe=recorder, weigh=last)
        logits = yield token, run
        fixed = votes.follow(fixed, config) if fixed else None


@torch.inference_mode()
def step(decoder: PlainDecoder, tokens: list[int], runs: list[Run], share_scan: bool) -> Tensor:
    """One token of each question: [questions, vocab]."""
    heads, kv_heads, size = decoder.q_heads, decoder.kv_heads, decoder.head_dim
    x = decoder._embedding[torch.tensor(tokens)]
    for number, layer in enumerate(decoder._layers):
        projected = linear(decoder._normed(x, layer.attention_norm), *layer.qkv)
        stacked = projected.view(-1, heads + 2 * kv_heads, size).transpose(0, 1)
        query, key, value = stacked.split([heads, kv_heads, kv_heads])
        if share_scan:
            _score_together(decoder, number, query, runs)
        call, each = LayerCall(number, size**-0.5, None, None), [slice(i, i + 1) for i in range(len(runs))]
        attended = [run(query[:, i], key[:, i], value[:, i], call) for run, i in zip(runs, each, strict=True)]
        x = x + linear(torch.cat(attended, dim=1).transpose(0, 1).flatten(1), *layer.out)
        gate, up = linear(decoder._normed(x, layer.mlp_norm), *layer.gate_up).chunk(2, dim=-1)
        x = x + linear(silu(gate) * up, *layer.down)
    for run in runs:
        run.state.advance(1)
    return linear(decoder._normed(x, decoder._norm), decoder._head).float()


def _score_together(decoder: PlainDecoder, number: int, query: Tensor, runs: list[Run]) -> None:
    scanning = [(i, run) for i, run in enumerate(runs) if run.fixed is None]
    if len(scanning) < 2:
        return
    means = [run._mean_query(query[:, i : i + 1], number).unflatten(0, (decoder.kv_heads, -1)) for i, run in scanning]
    state = scanning[0][1].state
    scores = state.scores(number, torch.cat(means, dim=1).flatten(0, 1), state.committed)
    apart = scores.unflatten(0, (decoder.kv_heads, len(scanning), -1))
    for place, (_, run) in enumerate(scanning):
        run.known = apart[:, place]


def answer_all(session: Session, prompts: list[list[int]], together: int, share_scan: bool) -> tuple[float, list[list[int]]]:
    """Processor seconds and answers, so many questions at a time."""
    assert isinstance(session.decoder, PlainDecoder)
    answers: list[list[int]] = [[] for _ in prompts]
    waiting = [answering(session, prompt, made) for prompt, made in zip(prompts, answers, strict=True)]
    active: list[tuple[Generator[tuple[int, Run], Tensor, None], tuple[int, Run]]] = []
    started = time.process_time()
    while waiting or active:
        while waiting and len(active) < together:
            first = waiting.pop(0)
            active.append((first, next(first)))
        logits = step(session.decoder, [ask[0] for _, ask in active], [ask[1] for _, ask in active], share_scan)
        going, active = active, []
        for (question, _), own in zip(going, logits, strict=True):
            with suppress(StopIteration):
                active.append((question, question.send(own)))
    return time.process_time() - started, answers


def main() -> None:
    """Ask alternately in every way; the least of all rounds counts."""
    library, file = sys.argv[1:3]
    count, rounds = (int(text) for text in (*sys.argv[3:5], "16", "3")[:2])
    ways = [(1, False), (4, False), (8, False), (16, False), (4, True), (8, True), (16, True)]
    spent: dict[tuple[int, bool], list[float]] = {way: [] for way in ways}
    with tscli.open_library(library, selection=tscli.SelectionOptions(scan="exact")) as session:
        questions = [tscli.read_questions(Path(file))[number].question for number in range(count)]
        prompts = [session.template.question_ids(session.tokenizer, question) for question in questions]
        _, alone = answer_all(session, prompts, 1, False)
        for number in range(rounds):
            for way in ways if number % 2 == 0 else ways[::-1]:
                seconds, answers = answer_all(session, prompts, *way)
                spent[way].append(seconds)
                same = sum(mine == theirs for mine, theirs in zip(answers, alone, strict=True))
                print(
                    f"{way[0]:>2} together{', scan' if way[1] else ''}: {seconds:.2f} s, {same} of {count} answers the same",
                    flush=True,
                )
    for way, seconds_of in spent.items():
        print(f"{way[0]:>2} together{', scan' if way[1] else ''}: {min(spent[ways[0]]) / min(seconds_of):.2f} times")


main()
