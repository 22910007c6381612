"""Training: some steps from a small data folder, an exported model that loads, and a run that is taken up again."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests.harness.reader_training import train
from tests.harness.reader_training.corpus import ANSWER, ASK, BOS, EOS

PROSE = "The old harbour was quiet that evening. Nobody spoke of the storm. A lamp burned on the pier, and the tide rose.\n\n"


def run(monkeypatch: pytest.MonkeyPatch, data: Path, out: Path, *more: str) -> None:
    lengths = ("--lengths", "256,512", "--short-share", "0.5", "--batch-tokens", "1024")
    short = ("--eval-sequences", "2", "--save-minutes", "0", "--threads", "1")
    arguments = ["train", "--data", str(data), "--out", str(out), "--device", "cpu", *lengths, *short, *more]
    monkeypatch.setattr(sys, "argv", arguments)
    train.main()


@pytest.mark.slow
def test_a_run_can_be_taken_up_again_and_exports_a_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "data" / "books").mkdir(parents=True)
    (tmp_path / "data" / "books" / "a.md").write_text(PROSE * 400)
    out = tmp_path / "out"
    run(monkeypatch, tmp_path / "data", out, "--minutes", "0.05", "--vocabulary", "600")
    first = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    assert first[0]["step"] >= 1
    assert set(first[0]) >= {"tokens", "seconds", "loss", "votes", "512"}
    tokenizer = AutoTokenizer.from_pretrained(out / "last")
    assert tokenizer.convert_ids_to_tokens([BOS, ASK, ANSWER, EOS]) == ["<bos>", "<q>", "<a>", "<eos>"]
    assert tokenizer.decode(tokenizer("The harbour, 7 pm – ça va?").input_ids) == "The harbour, 7 pm – ça va?"
    model = AutoModelForCausalLM.from_pretrained(out / "last")
    assert model.config.max_position_embeddings == 512
    assert model.config.vocab_size == 600
    run(monkeypatch, tmp_path / "data", out, "--resume", "--minutes", "0.1", "--vocabulary", "600")
    again = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    assert again[: len(first)] == first
    assert again[len(first)]["step"] > first[-1]["step"]
    assert again[-1]["seconds"] >= 6
