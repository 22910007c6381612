"""Training: some steps from a small data folder, an exported model that loads, and a run that is taken up again."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from transformers import AutoModelForCausalLM, AutoTokenizer

from tscli.reader import train

PROSE = "The old harbour was quiet that evening. Nobody spoke of the storm. A lamp burned on the pier, and the tide rose.\n\n"


def run(monkeypatch: pytest.MonkeyPatch, data: Path, out: Path, *more: str) -> None:
    short = ("--lengths", "256,512", "--batch-tokens", "1024", "--eval-sequences", "2", "--save-minutes", "0", "--threads", "1")
    arguments = ["train", "--data", str(data), "--out", str(out), "--device", "cpu", *short, *more]
    monkeypatch.setattr(sys, "argv", arguments)
    train.main()


def test_a_run_can_be_taken_up_again_and_exports_a_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "data" / "books").mkdir(parents=True)
    (tmp_path / "data" / "books" / "a.md").write_text(PROSE * 400)
    out = tmp_path / "out"
    run(monkeypatch, tmp_path / "data", out, "--minutes", "0.05")
    first = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    assert first[0]["step"] >= 1
    assert set(first[0]) >= {"tokens", "seconds", "loss", "votes", "512"}
    model = AutoModelForCausalLM.from_pretrained(out / "last")
    assert model.config.max_position_embeddings == 512
    assert AutoTokenizer.from_pretrained(out / "last")("hello").input_ids
    run(monkeypatch, tmp_path / "data", out, "--resume", "--minutes", "0.1")
    again = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    assert again[: len(first)] == first
    assert again[len(first)]["step"] > first[-1]["step"]
    assert again[-1]["seconds"] >= 6
