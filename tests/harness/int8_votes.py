"""What pages of 8-bit codes change of the votes: the same questions' queries scored by both, of one library.

    python tests/harness/int8_votes.py LIBRARY QUESTIONS.jsonl [JSON]

Prints, over all selections of the questions' tokens and their answers': the share of the votes by full keys that the selection
by codes holds, the share of its tokens, and the relative error of the scores.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import torch

import tscli
from tscli.ingest.doctor import processor
from tscli.library.layout import pack
from tscli.model.selectors import ExactSelector, LayerQuery
from tscli.selection.select import Selection, select

session = tscli.open_library(sys.argv[1])
full = session.strategy.state
codes = session.decoder.new_state([pack(part.key, part.value, part.num_tokens, "int8") for part in full.segments])
masses, recalls, errors = [], [], []
by_scan = ExactSelector.__call__


def compared(selector: ExactSelector, query: LayerQuery, local_start: int) -> tuple[Selection, bool]:
    stop, config = min(local_start, full.committed), query.config
    wanted, found = (state.scores(query.layer, query.mean, stop)[:, config.n_init :].double() for state in (full, codes))
    errors.append(float((found - wanted).norm() / wanted.norm()))
    best, chosen = (select(scores.float(), config.n_init, stop, config) for scores in (wanted, found))
    held = torch.isin(best.positions, chosen.positions)
    masses.append(float((best.votes * held).sum() / best.votes.sum()))
    recalls.append(float(held.float().mean()))
    return by_scan(selector, query, local_start)


ExactSelector.__call__ = compared  # type: ignore[method-assign]
for question in tscli.read_questions(Path(sys.argv[2])):
    list(session.ask(question.question, max_new_tokens=16))
mean = {"vote mass": masses, "tokens": recalls, "error of scores": errors}
print(f"{len(masses):,} selections: " + ", ".join(f"{name} {sum(part) / len(part):.4f}" for name, part in mean.items()))
print(f"least vote mass {min(masses):.4f}")
if len(sys.argv) > 3:
    content = {
        "hardware": {"processor": processor(), "cores": os.cpu_count(), "threads": torch.get_num_threads()},
        "versions": tscli.versions(),
        "tokens": full.length,
        "selections": len(masses),
        **{name.replace(" ", "_"): sum(part) / len(part) for name, part in mean.items()},
        "least_vote_mass": min(masses),
    }
    Path(sys.argv[3]).write_text(json.dumps(content, indent=1) + "\n")
