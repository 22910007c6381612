"""What is promised of real models, on SmolLM2-135M-Instruct: `make test-real` gets it and runs these."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

import tscli
from tests.real.models import SMOLLM2, find
from tscli.evaluation.match import is_right
from tscli.model.gathered import GatheredRun, Rows
from tscli.model.load import load_decoder
from tscli.model.step import Pass
from tscli.tokens import load_tokenizer

FILE = find(SMOLLM2)
SAMPLES = Path(__file__).parents[2] / "samples"
READ = ("harbour-handbook.pdf", "lighthouse-log.txt", "museum-catalogue.pdf")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(FILE is None, reason="TSCLI_TEST_MODELS names no folder with SmolLM2's .gguf file (make test-real)"),
]


def test_answers_by_the_files_4_bit_weights_are_as_near_float32_as_those_by_full_ones() -> None:
    wanted = next_tokens("full", "float32", 64)
    by_full, by_four = (kl(wanted, next_tokens(weights, "bfloat16", 4)) for weights in ("full", "auto"))
    assert kl(wanted, next_tokens("auto", "float32", 4)) < 1e-4
    assert by_four < 2 * by_full + 1e-4


def test_what_float32_would_read_is_read_as_near_by_16_bit_integers() -> None:
    assert kl(next_tokens("full", "float32", 64), next_tokens("auto", "float32", 64, lasting=True)) < 1e-4


def next_tokens(weights: str, dtype: str, at_a_time: int, *, lasting: bool = False) -> torch.Tensor:
    """Log-probabilities behind each of 256 tokens of a sample, run as an answer's are."""
    decoder = load_decoder(tscli.LoadOptions(str(FILE), dtype=dtype, device="cpu", weights=weights), lasting=lasting)
    text = (SAMPLES / "bakery-recipes.md").read_text(encoding="utf-8")
    token_ids = torch.from_numpy(load_tokenizer(str(decoder.folder)).encode_text([text])[0].ids[:256]).long()
    run = GatheredRun(decoder.new_state(), decoder.rotator, [Rows.behind_each_other(torch.arange(0))], keeps=True)
    passes = [Pass(part, run, list(range(at_a_time))) for part in token_ids.split(at_a_time)]
    return torch.cat([decoder.forward_batch([one])[0] for one in passes]).log_softmax(dim=-1)


def kl(wanted: torch.Tensor, found: torch.Tensor) -> float:
    """The mean divergence in nats per token."""
    return float((wanted.exp() * (wanted - found)).sum(dim=-1).mean())


@pytest.mark.parametrize("kv_dtype", ["auto", "int8"])
def test_lookups_are_answered_rightly_with_the_right_page_first(kv_dtype: str) -> None:
    load = tscli.LoadOptions(str(FILE))
    tscli.prepare(
        [SAMPLES / name for name in READ],
        load=load,
        options=tscli.IngestOptions(kv_dtype=kv_dtype),  # type: ignore[arg-type]
    ).run()
    lines = (SAMPLES / "questions.jsonl").read_text(encoding="utf-8").splitlines()
    asked = [one for one in map(json.loads, lines) if one["kind"] == "lookup" and Path(one["file"]).name in READ]
    right = first = 0
    with tscli.open_library(load=load) as session:
        for question in asked:
            stream = session.ask(question["question"], max_new_tokens=40)
            text = "".join(stream)
            right += is_right(text, question["answer"], question["question"])
            source = stream.answer.sources[0]
            first += (Path(source.file).name, source.page) == (Path(question["file"]).name, question["page"])
            assert stream.answer.statistics.recomputed_tokens == 0
    assert len(asked) >= 10
    assert right >= 0.7 * len(asked)
    assert first >= 0.8 * len(asked)
