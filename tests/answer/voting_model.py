"""A small model of random weights that answers through retrieval heads that are known, with no settings of its own."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import tscli
from tscli.library.kept_heads import save_retrieval_heads
from tscli.model.load import load_decoder
from tscli.selection.retrieval_heads import RetrievalHeads

TURNS = (
    "{{ '<bos>' }}{% for m in messages %}{% if m.role == 'system' %}{{ m.content }}{% elif m.role == 'user' %}"
    "{{ '<q>' + m.content + '<a>' }}{% else %}{{ m.content + '<eos>' }}{% endif %}{% endfor %}"
)
HEADS = RetrievalHeads(((1, 0), (0, 3), (1, 2)), (0.9, 0.8, 0.7), 2, True, -9.0)


def save_voting_model(small_model: Path, folder: Path) -> tscli.LoadOptions:
    """Save it there; how it is loaded."""
    shutil.copytree(small_model, folder)
    brought = json.loads((folder / "tscli.json").read_text())
    (folder / "tscli.json").write_text(json.dumps({"selection": brought["selection"], "prompt": brought["prompt"]}))
    (folder / "chat_template.jinja").write_text(TURNS)
    options = tscli.LoadOptions(str(folder), dtype="float32", device="cpu")
    save_retrieval_heads(load_decoder(options).hash, HEADS)
    return options


def answer(session: tscli.Session, question: str = "Where is the stone?", **how: object) -> tscli.Answer:
    """The answer, once the stream has ended."""
    stream = session.ask(question, max_new_tokens=6, **how)  # type: ignore[arg-type]
    for _ in stream:
        pass
    return stream.answer
