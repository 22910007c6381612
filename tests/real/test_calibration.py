"""That a calibration finds a model's retrieval heads, and not those of its look-ups: another seed's choose mostly the same."""

from __future__ import annotations

import pytest

import tscli
from tests.real.models import QWEN, SMOLLM2, find
from tscli.answer.calibration import calibrate as calibration
from tscli.library.kept_heads import load_retrieval_heads
from tscli.model.load import load_decoder
from tscli.selection.retrieval_heads import RetrievalHeads
from tscli.tokens import load_template, load_tokenizer

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


@pytest.mark.parametrize("name", [SMOLLM2, QWEN])
def test_another_seed_chooses_the_same_heads(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    file = find(name)
    if file is None:
        pytest.skip(f"TSCLI_TEST_MODELS names no folder with {name}'s .gguf file")
    decoder = load_decoder(tscli.LoadOptions(str(file)))
    tokenizer = load_tokenizer(str(decoder.folder))

    def found(seed: int) -> RetrievalHeads:
        monkeypatch.setattr(calibration, "SEED", seed)
        return calibration.calibrate(decoder, tokenizer, load_template(tokenizer))

    known, other = load_retrieval_heads(decoder.hash) or found(calibration.SEED), found(calibration.SEED + 1)
    common = set(known.heads) & set(other.heads)
    assert len(common) >= 0.6 * max(len(known.heads), len(other.heads))
    assert known.apart == other.apart


def test_smollm2s_heads_are_shipped() -> None:
    file = find(SMOLLM2)
    if file is None:
        pytest.skip("TSCLI_TEST_MODELS names no folder with SmolLM2's .gguf file (make test-real)")
    assert load_retrieval_heads(load_decoder(tscli.LoadOptions(str(file))).hash) is not None
