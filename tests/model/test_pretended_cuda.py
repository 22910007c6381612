"""Answers on a GPU that is pretended are those of the CPU, and the device counts and refuses what it should."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tests.model.architectures import make_model
from tests.model.states import CONFIG, paged, replaced, sketched
from tests.pretend_cuda import PretendedCuda
from tscli.answer.engine import Engine, Request
from tscli.answer.token_select_strategy import QuestionMode, TokenSelectStrategy
from tscli.library.layout import DevicePages
from tscli.model.attention import Attention
from tscli.model.compatibility import find_parts
from tscli.model.hf_decoder import HFDecoder, register_attention
from tscli.model.kv import KVState
from tscli.model.load import load_decoder
from tscli.model.options import LoadOptions
from tscli.model.step import LayerStep
from tscli.selection import candidates
from tscli.selection.config import SelectionConfig
from tscli.tokens import Prompt

CONTEXT, QUESTION = 200, (5, 300, 17, 444)


def decoder_on(device: str) -> HFDecoder:
    """A small model of more tokens than the context has: no key stands twice there, for between equal ones rounding decides."""
    register_attention()
    model = make_model("llama")
    model.resize_token_embeddings(512, mean_resizing=False)
    draw = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for part in (model.model.embed_tokens, model.lm_head):
            part.weight.normal_(0, 0.3, generator=draw)
    model.to(device)
    return HFDecoder(model, find_parts(model, "llama"), "llama", Path(), torch.device(device))


def state_on(decoder: HFDecoder) -> KVState:
    """A context in one segment, as the CPU reads it."""
    cpu = decoder if decoder.device.type == "cpu" else decoder_on("cpu")
    pages = paged(cpu, torch.randperm(512, generator=torch.Generator().manual_seed(1))[:CONTEXT]).segments[0]
    key, value = pages.key.to(decoder.device), pages.value.to(decoder.device)
    return decoder.new_state([DevicePages(key, value, CONTEXT)])


def few_candidates(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(candidates, "SKETCH_FROM", 64)
    monkeypatch.setattr("tscli.model.selectors.num_candidates", lambda k, n: 2 * k)


@pytest.mark.parametrize(("mode", "scan"), [("token", "exact"), ("chunk", "sketch"), ("two_pass", "sketch")])
def test_answers_are_those_of_the_cpu(
    mode: QuestionMode,
    scan: str,
    pretended_cuda: PretendedCuda,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    few_candidates(monkeypatch)
    config, answers = SelectionConfig(**{**vars(CONFIG), "scan": scan}), []
    for device in ("cpu", "cuda"):
        decoder = decoder_on(device)
        state = state_on(decoder)
        state.sketch = sketched(state, decoder) if scan == "sketch" else None
        strategy, seen = TokenSelectStrategy(decoder, state, config, mode, frozenset()), list[LayerStep]()
        tokens = list(Engine(decoder).answer(Request(strategy, Prompt(QUESTION, 0, 4), 5, observe=seen.append)))
        answers.append((tokens, [step.selection.positions.tolist() for step in seen if step.selection is not None]))
    assert answers[1] == answers[0]
    assert {"vote_kernel", "write_kernel", "attend_kernel"} <= set(pretended_cuda.launches)
    assert ("sketch_kernel" in pretended_cuda.launches) is (scan == "sketch")


@pytest.mark.usefixtures("pretended_cuda")
def test_a_vote_that_is_nan_ends_the_step_it_is_in() -> None:
    decoder = decoder_on("cuda")
    state, token = state_on(decoder), torch.tensor(QUESTION[:1], device="cuda")
    assert decoder.forward(token, Attention(state, decoder.rotator, CONFIG)) is not None
    state.segments[0].key[1, 1].fill_(math.nan)
    with pytest.raises(ValueError, match="a vote is NaN"):
        decoder.forward(token, Attention(state, decoder.rotator, CONFIG))


def test_pages_of_another_dtype_than_the_models_are_gathered(pretended_cuda: PretendedCuda) -> None:
    decoder = decoder_on("cuda")
    state = replaced(state_on(decoder), decoder, torch.bfloat16)
    assert state.whole_pages(0) is None
    assert decoder.forward(torch.tensor(QUESTION[:1], device="cuda"), Attention(state, decoder.rotator, CONFIG)) is not None
    assert not pretended_cuda.launches["attend_kernel"]


def test_kernels_are_launched_on_the_gpu_that_is_named(
    pretended_cuda: PretendedCuda, small_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    named: list[torch.device] = []
    monkeypatch.setattr(torch.cuda, "set_device", named.append)
    for device in ("cuda", "cuda:0"):
        load_decoder(LoadOptions(str(small_model), device=device, dtype="float32"))
    assert named == [torch.device("cuda:0")]


def test_the_device_refuses_another_one_and_counts_what_is_waited_for_and_copied(pretended_cuda: PretendedCuda) -> None:
    there, here = torch.arange(6.0, device="cuda"), torch.ones(6)
    with pytest.raises(RuntimeError, match="two devices"):
        there + here
    assert (pretended_cuda.reads, pretended_cuda.moved) == (0, 0)
    waited_for: list[Callable[[], object]] = [lambda: int(there[0]), there.cpu, lambda: there[there > 0]]
    for number, operation in enumerate(waited_for, start=1):
        operation()
        assert (pretended_cuda.reads, pretended_cuda.moved) == (number, 0)
    copied: list[Callable[[], object]] = [
        lambda: torch.tensor([1.0], device="cuda"),
        lambda: there.__setitem__(1, 5.0),
        lambda: there[5:].copy_(here[5:]),
    ]
    for number, operation in enumerate(copied, start=1):
        operation()
        assert (pretended_cuda.reads, pretended_cuda.moved) == (len(waited_for), 4 * number)
