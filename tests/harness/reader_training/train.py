"""Train the embedded reader: `python -m tests.harness.reader_training.train --data DIR --out DIR [--init-from DIR] ...`.

Llama in Hugging Face layout, from scratch or from another checkpoint, on CPU or GPU. Writes a checkpoint, a line of figures
(log.jsonl) and an exported model (bf16) every few minutes; `--resume` goes on from the checkpoint. Knows the optimiser and
the schedule; what the model learns from is `corpus`'s business.
"""

import argparse
import json
import math
import os
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.functional import cross_entropy
from transformers import AutoModelForCausalLM, LlamaConfig, PreTrainedModel

from tests.harness.reader_training.corpus import (
    ANSWER_WEIGHT,
    ASK,
    EOS,
    Corpus,
    Encode,
    Sequence,
    Sources,
    batch,
    encoder,
    load_sources,
    second_reading,
)
from tests.harness.reader_training.crossing import Crossing, cross, register
from tests.harness.reader_training.draws import draws
from tests.harness.reader_training.evaluate import exact_match
from tests.harness.reader_training.needles import REFUSAL
from tests.harness.reader_training.vocabulary import SIDE_FILES, train_tokenizer
from tests.harness.reader_training.voting import DISTANCE, Asked, Voter
from tscli import reader

ABSENT = 1  # questions without an answer among those of a second reading
STATED = 10  # tokens before an answer that must be selected with it, or the question could not be answered


@dataclass
class Progress:
    """What a run has done so far; saved with every checkpoint."""

    step: int = 0
    tokens: int = 0
    seconds: float = 0.0
    best: float = 0.0
    losses: list[float] = field(default_factory=list)
    votes: list[float] = field(default_factory=list)


class Optimizers:
    """Muon for the matrices of the layers, AdamW for embeddings and norms; one learning rate for both."""

    def __init__(self, model: nn.Module, rate: float) -> None:
        layers = [p for n, p in model.named_parameters() if p.ndim == 2 and "embed" not in n and "lm_head" not in n]
        held = {id(p) for p in layers}
        others = [p for p in model.parameters() if id(p) not in held]
        self.all: list[torch.optim.Optimizer] = [
            torch.optim.Muon(layers, lr=rate, weight_decay=0.05, adjust_lr_fn="match_rms_adamw"),
            torch.optim.AdamW(others, lr=rate, betas=(0.9, 0.98), weight_decay=0.0),
        ]

    def step(self, rate: float) -> None:
        for optimizer in self.all:
            for group in optimizer.param_groups:
                group["lr"] = rate
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)


def main() -> None:
    args = parse()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    args.out.mkdir(parents=True, exist_ok=True)
    origin = args.init_from or reader.path()
    if args.vocabulary:
        origin = train_tokenizer(load_sources(args.data), args.vocabulary, reader.path(), args.out / "tokenizer")
    model = load_model(args.init_from, max(args.lengths), args.vocabulary).to(args.device)
    optimizers, progress = Optimizers(model, args.rate), Progress()
    if args.resume and (args.out / "checkpoint.pt").exists():
        restore(args.out / "checkpoint.pt", model, optimizers, progress)
    sources, encode = load_sources(args.data), encoder(origin / "tokenizer.json")
    args.refusal = np.array([*encode(" " + REFUSAL).ids, EOS])

    seed = args.seed + 1_000_003 * progress.step
    streams = {
        length: draws(partial(corpus_of, sources, encode, length, seed + length), args.workers) for length in set(args.lengths)
    }
    exam = held_out_exam(sources, encode, args)
    train(model, optimizers, progress, streams, exam, args, origin)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with books/, peps/, fairytaleqa/")
    parser.add_argument("--out", type=Path, required=True, help="checkpoints, log.jsonl and the exported model/")
    parser.add_argument("--init-from", type=Path, help="a model in HF layout to start from; default: from scratch")
    parser.add_argument("--vocabulary", type=int, help="train a tokenizer of so many tokens first; default: the reader's own")
    parser.add_argument("--resume", action="store_true", help="go on from OUT/checkpoint.pt, if it is there")
    parser.add_argument("--minutes", type=float, default=60.0, help="length of the schedule, resumed time included")
    parser.add_argument(
        "--lengths",
        type=numbers,
        default=(512, 512, 4096),
        help="tokens of the sequences of one step after the other; the longest "
        "is the model's window, in the shortest questions are read a second time",
    )
    parser.add_argument(
        "--short-share", type=float, default=0.75, help="share of the schedule in which none is longer than the first"
    )
    parser.add_argument("--batch-tokens", type=int, default=8192)
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--warmup", type=int, default=50, help="steps")
    parser.add_argument("--save-minutes", type=float, default=4.0)
    parser.add_argument("--eval-sequences", type=int, default=128)
    parser.add_argument("--prose-share", type=float, default=0.2, help="share of the non-answer tokens that are scored")
    parser.add_argument("--others", type=int, default=3, help="documents of other sequences that questions see too")
    parser.add_argument("--cross-share", type=float, default=0.3, help="share of the batches with --others")
    parser.add_argument("--tail", type=int, default=128, help="last tokens of a sequence that see --others")
    parser.add_argument("--vote-weight", type=float, default=0.2, help="weight of the loss on the votes")
    parser.add_argument("--vote-questions", type=int, default=32, help="questions of a batch that the loss on the votes takes")
    parser.add_argument("--second", type=int, default=12, help="questions of a batch that are read a second time in the next")
    parser.add_argument("--k", type=numbers, default=(128, 256, 384), help="tokens that questions select for it, one of these")
    parser.add_argument(
        "--refused", type=float, default=0.1, help="share of those whose answer is not selected that learn to refuse"
    )
    parser.add_argument("--banked", type=int, default=6, help="batches whose documents a question selects from")
    parser.add_argument("--compile", action="store_true", help="torch.compile the layers (needs a C++ compiler)")
    parser.add_argument("--workers", type=int, default=0, help="processes that make sequences; a GPU wants several")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    return parser.parse_args()


def corpus_of(sources: Sources, encode: Encode, length: int, seed: int, worker: int) -> Corpus:
    return Corpus(sources, encode, length, seed + 7919 * worker)


def numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(","))


def held_out_exam(sources: Sources, encode: Encode, args: argparse.Namespace) -> dict[int, list[Sequence]]:
    """Sequences in names and wordings never trained, for each length of over 256."""
    exams = {}
    for length in sorted({n for n in args.lengths if n > 256}):
        corpus = Corpus(sources, encode, length, 7, held_out=True)
        exams[length] = [corpus.draw(4) for _ in range(args.eval_sequences * 512 // length)]
    return exams


def load_model(init_from: Path | None, length: int, vocabulary: int | None) -> PreTrainedModel:
    """The model to train, fp32: the given one, or a fresh one of the reader's shape."""
    if init_from:
        model = AutoModelForCausalLM.from_pretrained(init_from, dtype=torch.float32, attn_implementation=register())
    else:
        config = LlamaConfig.from_pretrained(reader.path())
        config.vocab_size = vocabulary or config.vocab_size
        model = AutoModelForCausalLM.from_config(config, dtype=torch.float32, attn_implementation=register())
    model.config.max_position_embeddings = length
    return model.train()


def train(
    model: PreTrainedModel,
    optimizers: Optimizers,
    progress: Progress,
    streams: dict[int, Iterator[Sequence]],
    exam: dict[int, list[Sequence]],
    args: argparse.Namespace,
    origin: Path,
) -> None:
    """Steps until the schedule's end, with a checkpoint and an evaluation every few minutes."""
    body = torch.compile(model.model, dynamic=False) if args.compile else model.model
    voter = Voter(model, args.banked)
    second: list[Sequence] = []  # made from the votes of one step, read in the next
    last = saved = time.monotonic()
    while progress.seconds < 60 * args.minutes:
        early = progress.seconds < 60 * args.minutes * args.short_share
        ready = [length for length in args.lengths if length <= args.lengths[0]] if early else args.lengths
        length = ready[progress.step % len(ready)]
        sequences, rows = [], max(1, args.batch_tokens // length)
        if length == min(args.lengths):
            sequences, second = [s for s in second if len(s.ids) <= length][:rows], []
        sequences += islice(streams[length], rows - len(sequences))
        loss, votes, more = losses(body, model.lm_head, voter, sequences, args.second - len(second), args)
        second += more
        (loss + args.vote_weight * votes).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizers.step(rate_at(progress, args))
        progress.losses.append(loss.item())
        progress.step += 1
        progress.tokens += sum(len(s.ids) for s in sequences)
        progress.votes.append(votes.item())
        now = time.monotonic()
        progress.seconds += now - last
        last = now
        if progress.step % 20 == 0:
            loss_mean, votes_mean = sum(progress.losses[-20:]) / 20, sum(progress.votes[-20:]) / 20
            done = f"{progress.step} {progress.seconds / 60:.1f} min, {progress.tokens / progress.seconds:.0f} tok/s"
            print(f"{done}, loss {loss_mean:.3f}, votes {votes_mean:.3f}", flush=True)
        if now - saved > 60 * args.save_minutes or progress.seconds >= 60 * args.minutes:
            save(model, optimizers, progress, args, origin, exam)
            last = saved = time.monotonic()


def losses(
    body: Callable[..., Any],
    head: nn.Module,
    voter: Voter,
    sequences: list[Sequence],
    num_second: int,
    args: argparse.Namespace,
) -> tuple[torch.Tensor, torch.Tensor, list[Sequence]]:
    """Mean cross entropy by weight, the loss of the votes, and some of the questions for a second reading. Of the tokens that
    are no answers only a random share is scored, at a weight that makes up for it, since the vocabulary's matrix is a quarter
    of the work."""
    device = next(head.parameters()).device
    ids, weights = (torch.from_numpy(part).to(device) for part in batch(sequences))
    weights = weights[:, 1:]
    first = first_question(ids[:, :-1])
    prose_share = args.prose_share
    kept = (weights >= ANSWER_WEIGHT) | ((torch.rand_like(weights) < prose_share) & (weights > 0))
    scale = torch.where(weights >= ANSWER_WEIGHT, weights, weights / prose_share)[kept]
    asked, absent = drawn_questions(sequences)
    votes, second = torch.zeros((), device=device), list[Sequence]()
    with torch.autocast(device.type, dtype=torch.bfloat16):
        crossing = crossing_for(first, ids.shape[1] - 1, args)
        out = body(input_ids=ids[:, :-1], use_cache=False, crossing=crossing, output_hidden_states=True)
        logits = head(out.last_hidden_state[kept])
        if asked:
            again = asked[: max(0, num_second - ABSENT)] + absent[: min(ABSENT, num_second)]
            asked = asked[: args.vote_questions]
            place = torch.arange(ids.shape[1] - 1, device=device)
            document = (place >= 1) & (place < first[:, None])
            votes = voter.loss(out.hidden_states[-2], document, asked)
            second = second_readings(voter, out.hidden_states[-2], document, ids, again, args)
    loss = (cross_entropy(logits.float(), ids[:, 1:][kept], reduction="none") * scale).sum() / scale.sum()
    return loss, votes, second


def second_readings(
    voter: Voter, hidden: torch.Tensor, document: torch.Tensor, ids: torch.Tensor, asked: list[Asked], args: argparse.Namespace
) -> list[Sequence]:
    """Questions beside all that they select; the local window is another document's end. The reply is the answer where that
    and what stands before it are selected, and a refusal where the answer is not selected or there is none."""
    if not asked:
        return []
    k = args.k[int(torch.randint(len(args.k), ()))]
    selected = voter.selected(hidden, document, ids[:, :-1], asked, k).cpu().numpy()
    rows, found = ids.cpu().numpy(), []
    for number, (item, chosen) in enumerate(zip(asked, selected, strict=True)):
        row = rows[item.row]
        reply = row[item.stop : item.end]
        if not item.source_stop or not holds(chosen, row[item.source_start : item.source_stop]):
            if item.source_stop and torch.rand(()).item() > args.refused:
                continue
            reply = args.refusal
        elif not holds(chosen, row[max(1, item.source_start - STATED) : item.source_stop]):
            continue
        other = rows[asked[number - 1].row]
        reads = other[int(document[asked[number - 1].row].sum()) + 1 - DISTANCE :][:DISTANCE]
        found.append(second_reading([row[:4], chosen, reads], row[item.start : item.stop], reply))
    return found


def holds(tokens: np.ndarray, part: np.ndarray) -> bool:
    """Whether the part stands among the tokens, in one piece."""
    return len(part) <= len(tokens) and bool((np.lib.stride_tricks.sliding_window_view(tokens, len(part)) == part).all(1).any())


def drawn_questions(sequences: list[Sequence]) -> tuple[list[Asked], list[Asked]]:
    """The batch's questions in random order: those whose answer's place is known, and those that have no answer."""
    turns = [(row, turn) for row, item in enumerate(sequences) for turn in item.turns]
    turns = [turns[i] for i in torch.randperm(len(turns)).tolist()]
    known = [Asked(row, t.asked, t.answered, t.end, *t.source) for row, t in turns if t.source]
    return known, [Asked(row, t.asked, t.answered, t.end, 0, 0) for row, t in turns if t.kind == "absent"]


def first_question(ids: torch.Tensor) -> torch.Tensor:
    """Where each sequence's first question begins; ids [rows, length] -> [rows]."""
    asks = ids == ASK
    return torch.where(asks.any(dim=1), asks.int().argmax(dim=1), ids.shape[1])


def crossing_for(first: torch.Tensor, length: int, args: argparse.Namespace) -> Crossing | None:
    """The distractors of this batch: in a share of the batches, the documents of `--others` other sequences."""
    if not args.others or torch.rand(()).item() >= args.cross_share:
        return None
    return cross(first, length, min(args.tail, length), args.others)


def rate_at(progress: Progress, args: argparse.Namespace) -> float:
    """Linear warm-up, then a cosine down to a fiftieth at the end of the schedule."""
    done = min(1.0, progress.seconds / (60 * args.minutes))
    return args.rate * min(1.0, (progress.step + 1) / args.warmup) * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * done)))


def save(
    model: PreTrainedModel,
    optimizers: Optimizers,
    progress: Progress,
    args: argparse.Namespace,
    origin: Path,
    exam: dict[int, list[Sequence]],
) -> None:
    """Evaluate, log, write the checkpoint, and export the model as `last`, and as `best` where it is."""
    first = int(args.refusal[0])
    results = {str(n): exact_match(model, found, first, rows=max(1, args.batch_tokens // n)) for n, found in exam.items()}
    mean = sum(r["exact_match"] for r in results.values()) / len(results)
    if best := mean >= progress.best:
        progress.best = mean
    state = {"model": model.state_dict(), "optimizers": [o.state_dict() for o in optimizers.all], "progress": vars(progress)}
    torch.save(state, args.out / "checkpoint.part")
    os.replace(args.out / "checkpoint.part", args.out / "checkpoint.pt")
    means = {n: sum(v[-100:]) / max(1, len(v[-100:])) for n, v in (("loss", progress.losses), ("votes", progress.votes))}
    figures = {"step": progress.step, "tokens": progress.tokens, "seconds": round(progress.seconds), **means, **results}
    with (args.out / "log.jsonl").open("a", encoding="utf-8") as log:
        log.write(json.dumps(figures) + "\n")
    print(json.dumps(figures), flush=True)
    for name in ("last", "best") if best else ("last",):
        export(model, args.out / name, origin)


def restore(file: Path, model: PreTrainedModel, optimizers: Optimizers, progress: Progress) -> None:
    """Put the checkpoint's weights, optimiser states and counts in place."""
    state = torch.load(file, weights_only=True, map_location=model.device)
    model.load_state_dict(state["model"])
    for optimizer, saved in zip(optimizers.all, state["optimizers"], strict=True):
        optimizer.load_state_dict(saved)
    vars(progress).update(state["progress"])


def export(model: PreTrainedModel, folder: Path, origin: Path) -> None:
    """Write the model as bf16 in Hugging Face layout, tokenizer and template beside it, in one rename."""
    part = folder.with_name(folder.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    copy = AutoModelForCausalLM.from_config(model.config, dtype=torch.bfloat16)
    copy.load_state_dict(model.state_dict())
    copy.save_pretrained(part)
    for name in SIDE_FILES:
        shutil.copyfile(origin / name, part / name)
    shutil.rmtree(folder, ignore_errors=True)
    os.replace(part, folder)


if __name__ == "__main__":
    main()
