"""What could be saved in selecting, on a library: `python tests/harness/selection_probe.py LIBRARY QUESTIONS [JSON]`.

Per layer, over the queries of real questions and answers: votes and tokens of the exact selection that the sketch recalls,
by rank, without rounding to bytes, and by how many candidates; for how many tokens the norms of what the sketch leaves out
prove that they are no candidates; how much of a selection the layer before has selected too; how often a step could reuse one.
Then the steps of the answers that do reuse one, the question read once (`--question-mode token`) and twice.
"""

from __future__ import annotations

import json
import os
import sys
from collections import defaultdict
from itertools import pairwise
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity

import tscli
from tscli.ingest.doctor import processor
from tscli.ingest.sketching import BLOCK, calibrate, outlying, passages_as_questions
from tscli.model.selectors import LayerQuery, SketchSelector
from tscli.selection.candidates import SKETCH_FROM, Scores, num_candidates, search, select_among
from tscli.selection.select import Selection, select
from tscli.selection.sketch import ranks
from tscli_kernels import encode_sketch, scan_codes

NUM_QUESTIONS, PER_LAYER = 12, 24


def main() -> None:
    library, questions = sys.argv[1], tscli.read_questions(Path(sys.argv[2]))[:NUM_QUESTIONS]
    session = _open(library)
    state, config, decoder = session.strategy.state, session.config, session.decoder
    kept = _queries(session, questions)
    state.sketch = None
    ids = torch.from_numpy(session.context.token_ids.astype("int64"))
    prompts = passages_as_questions(ids, session.tokenizer, session.template)
    projection = calibrate(decoder, state, ids, config, prompts)
    print(f"{state.length:,} tokens; the rank that calibration chooses: {projection.rank} of {decoder.head_dim}")
    full = projection.first(decoder.head_dim)
    print("layer | what | vote mass | recall@k")
    rows: list[dict[str, object]] = []
    last: dict[int, Selection] = {}
    for layer in range(decoder.layers):
        parts = [pages.key[layer].transpose(0, 1).flatten(1, 2)[:, : pages.num_tokens] for pages in state.segments]
        keys = torch.cat(parts, dim=1)
        blocks = [full.keys(layer, part) for part in keys.split(BLOCK, dim=1)]
        key_codes = torch.cat(blocks, dim=2)
        outliers = {r: outlying(full.first(r), layer, blocks) for r in ranks(decoder.head_dim)}
        found: dict[str, list[tuple[float, float]]] = defaultdict(list)
        step = max(1, len(kept[layer]) // PER_LAYER)
        for number, (query, stop) in enumerate(kept[layer][::step]):
            first, end = config.n_init, min(stop, key_codes.shape[2])
            exact = state.scores(layer, query, end)[:, first:]
            wanted = select(exact, first, end, config)
            for name, divisor, as_bytes, factor, kept_out in VARIANTS:
                rank = decoder.head_dim // divisor
                part = key_codes[:, :rank, first:end]
                approximate = _scores(full.query(layer, query)[..., :rank], part, as_bytes)
                count = int(num_candidates(config.count(exact.shape[1]), exact.shape[1]) * factor)
                odd = outliers[rank][(outliers[rank] >= first) & (outliers[rank] < end)] - first
                scan = Scores(approximate, full.shift(layer, query), odd[:0] if kept_out else odd)
                result = search(scan, layer, query, 0, exact.shape[1], count)
                places = result.positions
                votes = result.votes(exact[:, places], scan.shifts)
                found[name].append(_held(wanted, select_among(places + first, votes, first, end, config)))
            found["proved by norms"].append((_proved(exact, query, key_codes[:, :, first:end], full, layer), 0.0))
            if layer and number in last:
                found["selected by the layer before"].append(_held(wanted, last[number]))
            last[number] = wanted
        for name, pairs in found.items():
            mass, recall = (_mean(list(part)) for part in zip(*pairs, strict=True))
            print(f"{layer} | {name} | {mass:.3f} | {recall:.3f}")
            rows.append({"layer": layer, "what": name, "queries": len(pairs), "vote_mass": mass, "recall": recall})
        flat = [query.flatten() for query, _ in kept[layer]]
        near = torch.tensor([float(cosine_similarity(a, b, dim=0)) for a, b in pairwise(flat)])
        like = {theta: float((near >= theta).float().mean()) for theta in (0.8, 0.9, 0.95)}
        print(
            f"{layer} | queries like the one before, by theta | {', '.join(f'{t}: {share:.2f}' for t, share in like.items())}"
        )
        rows.append({"layer": layer, "what": "queries like the one before, by theta", "queries": len(flat), "share": like})
    reuse = [_reuse(library, questions, mode) for mode in ("token", "two_pass")]
    if len(sys.argv) > 3:
        settings = {"rank": projection.rank, "head_dim": decoder.head_dim, "questions": len(questions)}
        found_here = {
            "hardware": {"processor": processor(), "cores": os.cpu_count(), "threads": torch.get_num_threads()},
            "versions": tscli.versions(),
            "tokens": state.length,
            "settings": {**vars(config), **settings},
            "results": rows,
            "reuse": reuse,
        }
        Path(sys.argv[3]).write_text(json.dumps(found_here, indent=1) + "\n")


def _open(library: str) -> tscli.Session:
    session = tscli.open_library(library)
    if (length := session.strategy.state.length) < SKETCH_FROM:
        raise SystemExit(f"{library}: {length:,} tokens; the probe needs {SKETCH_FROM:,}, from which a sketch is made")
    return session


def _reuse(library: str, questions: list[tscli.Question], mode: Literal["token", "two_pass"]) -> dict[str, object]:
    """Share of the answers' steps that reuse a selection, over all layers and of each, and what the guard saw meanwhile."""
    found: list[tscli.Statistics] = []
    with tscli.open_library(library, question_mode=mode) as session:
        for question in questions:
            stream = session.ask(question.question, max_new_tokens=32)
            list(stream)
            found.append(stream.answer.statistics)
        tokens = sum(one.generated_tokens for one in found)
        rate = sum(one.cache_hit_rate * one.generated_tokens for one in found) / tokens
        layers = [
            sum(one.layers[i].hit_rate * one.generated_tokens for one in found) / tokens for i in range(len(found[0].layers))
        ]
    print(f"--question-mode {mode}: {rate:.2f} of the steps of {tokens} answer tokens reuse a selection")
    held = vars(found[-1].fidelity) if found[-1].fidelity else None
    return {
        "question": mode,
        "theta": found[0].theta,
        "answer_tokens": tokens,
        "hit_rate": rate,
        "hit_rate_by_layer": layers,
        "fidelity": held,
    }


def _queries(session: tscli.Session, questions: list[tscli.Question]) -> dict[int, list[tuple[Tensor, int]]]:
    """Per layer the queries that score, with where the candidates end, while the questions are asked; no sketch is used."""
    kept: dict[int, list[tuple[Tensor, int]]] = defaultdict(list)
    scores_of, by_sketch = LayerQuery.scores, SketchSelector._by_sketch

    def recorded(query: LayerQuery, start: int, stop: int) -> Tensor:
        kept[query.layer].append((query.mean.clone(), stop))
        return scores_of(query, start, stop)

    LayerQuery.scores = recorded  # type: ignore[method-assign]
    SketchSelector._by_sketch = lambda *_: None  # type: ignore[assignment, method-assign]
    for question in questions:
        list(session.ask(question.question, max_new_tokens=16))
    LayerQuery.scores, SketchSelector._by_sketch = scores_of, by_sketch  # type: ignore[method-assign]
    return kept


VARIANTS = (  # name, part of head_dim, as bytes, candidates by the usual number, without the outliers
    ("rank d/8", 8, True, 1, False),
    ("rank d/4", 4, True, 1, False),
    ("rank d/2", 2, True, 1, False),
    ("rank d/4 without outliers", 4, True, 1, True),
    ("rank d/4, not rounded to bytes", 4, False, 1, False),
    ("rank d/4, a quarter of the candidates", 4, True, 0.25, False),
    ("rank d/4, four times the candidates", 4, True, 4, False),
)


def _scores(query: Tensor, coordinates: Tensor, as_bytes: bool) -> Tensor:
    if as_bytes:
        return scan_codes(query, encode_sketch(coordinates), 0, coordinates.shape[2])
    return torch.matmul(query, coordinates).flatten(0, 1)


def _held(wanted: Selection, found: Selection) -> tuple[float, float]:
    held = torch.isin(wanted.positions, found.positions)
    return float((wanted.votes * held).sum() / wanted.votes.sum()), float(held.float().mean())


def _proved(exact: Tensor, query: Tensor, key_codes: Tensor, projection, layer: int) -> float:  # type: ignore[no-untyped-def]
    """Share of tokens that cannot be among any head's best 128: |q_tail| |k_tail| bounds what d/4 coordinates leave out."""
    rank, turned = key_codes.shape[1] // 4, projection.query(layer, query)
    approximate = torch.matmul(turned[..., :rank].float(), key_codes[:, :rank].float())
    bound = turned[..., rank:].float().norm(dim=-1)[..., None] * key_codes[:, rank:].float().norm(dim=1)[:, None]
    shift = projection.shift(layer, query)[:, None]
    threshold = exact.topk(128, dim=-1).values[:, -1:]
    return float((((approximate + bound).flatten(0, 1) + shift) < threshold).all(dim=0).float().mean())


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


if __name__ == "__main__":
    main()
