"""Small real checkpoints say through tscli what they say through transformers, while everything fits their window."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

import tscli

MODELS = Path(__file__).parents[2].parent / "shared" / "models"
STORY = "Once upon a time there was a little girl named Lily. She had a red ball and a small dog."


@pytest.mark.parametrize("name", ["TinyStories-656K", "stories260K-hf"])
@pytest.mark.parametrize("dense", [False, True])
def test_greedy_text_equals_that_of_transformers_generate(tmp_path: Path, name: str, dense: bool) -> None:
    model = MODELS / name
    if not model.is_dir():
        pytest.skip(f"the checkpoint {name} is not here")
    (tmp_path / "story.txt").write_text(STORY)
    load = tscli.LoadOptions(str(model), dtype="float32", device="cpu")
    options = tscli.IngestOptions(dense=dense, kv_dtype="model")  # bfloat16 pages would round what is compared
    tscli.prepare([tmp_path / "story.txt"], load=load, options=options).run()
    with tscli.open_library(load=load, dense=dense, voters="all") as session:  # passages would be contrasted with none
        stream = session.ask("One day, what did Lily do?", max_new_tokens=60)
        list(stream)
        prompt = [*session.context.token_ids.tolist(), *stream.prompt_ids]
    stock = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32)
    out = stock.generate(torch.tensor([prompt]), max_new_tokens=60, do_sample=False)[0, len(prompt) :].tolist()
    ends = session.template.end_ids
    expected = out[: next((place for place, token in enumerate(out) if token in ends), len(out))]
    assert stream.answer.token_ids == expected
    assert len(expected) > 5
