"""Answers on a GPU that is pretended are those of the CPU; steps are captured once and replayed as the design has it."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.model.architectures import make_model
from tests.model.test_cuda_graph import CONFIG, replaced, sketched
from tests.pretend_cuda import PretendedCuda
from tscli.answer.engine import Engine, Request
from tscli.answer.token_select_strategy import QuestionMode, TokenSelectStrategy
from tscli.library.layout import DevicePages, pack_tail
from tscli.model.attention import Attention
from tscli.model.compatibility import find_parts
from tscli.model.cuda_graph import GraphedSteps, GraphRun
from tscli.model.hf_decoder import HFDecoder, register_attention
from tscli.model.kv import KVState
from tscli.model.load import load_decoder
from tscli.model.options import LoadOptions
from tscli.model.step import LayerStep
from tscli.selection import candidates
from tscli.selection.config import SelectionConfig
from tscli.tokens import Prompt

CONTEXT, QUESTION = 200, (5, 300, 17, 444)
READS = 7  # of a step: one for NaN, one for the token, five for what the layers did


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
    state = cpu.new_state()
    for part in torch.randperm(512, generator=torch.Generator().manual_seed(1))[:CONTEXT].split(CONFIG.chunk):
        cpu.forward(part, Attention(state, cpu.rotator, CONFIG), logits=False)
    pages = pack_tail(state, None)
    key, value = pages.key.to(decoder.device), pages.value.to(decoder.device)
    return decoder.new_state([DevicePages(key, value, CONTEXT)])


def few_candidates(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(candidates, "SKETCH_FROM", 64)
    for place in ("tscli.selection.candidates", "tscli.model.selectors", "tscli.model.cuda_graph"):
        monkeypatch.setattr(f"{place}.num_candidates", lambda k, n: 2 * k)


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
        strategy, seen, tokens, reads = (
            TokenSelectStrategy(decoder, state, config, mode, frozenset()),
            list[LayerStep](),
            [],
            [0],
        )
        for token in Engine(decoder).answer(Request(strategy, Prompt(QUESTION, 0, 4), 5, observe=seen.append)):
            tokens.append(token)
            reads.append(pretended_cuda.reads)
        answers.append((tokens, [step.selection.positions.tolist() for step in seen if step.selection is not None]))
    assert answers[1] == answers[0]
    assert {"vote_kernel", "write_kernel", "attend_kernel"} <= set(pretended_cuda.launches)
    assert ("sketch_kernel" in pretended_cuda.launches) is (scan == "sketch")
    assert [graph.replays for graph in pretended_cuda.graphs] == ([4] if mode != "two_pass" else [])
    assert mode == "two_pass" or reads[-1] - reads[-2] == READS


def test_a_graph_keeps_its_tables_of_rotations(pretended_cuda: PretendedCuda) -> None:
    decoder = decoder_on("cuda")
    run = GraphRun(state_on(decoder), decoder.rotator, CONFIG, decoder.last_selecting_layer)
    steps, logits = GraphedSteps(decoder, run), list[Tensor]()
    for spoiled in (False, True):
        steps.begin()
        steps.step(3)
        with torch.inference_mode():
            for part in decoder.rotator.table(0, 64, decoder.device) if spoiled else ():
                part.fill_(math.nan)  # as if longer ones had taken their place, and others their memory
        logits.append(steps.step(4).cpu())
    assert torch.equal(logits[0], logits[1])
    assert len(pretended_cuda.graphs) == 1


def test_a_vote_that_is_nan_is_told_by_the_step_it_is_in(pretended_cuda: PretendedCuda) -> None:
    decoder = decoder_on("cuda")
    state = state_on(decoder)
    steps = GraphedSteps(decoder, GraphRun(state, decoder.rotator, CONFIG, 2))
    steps.begin()
    steps.step(3)
    state.segments[0].key[1, 1].fill_(math.nan)
    with pytest.raises(ValueError, match="a vote is NaN"):
        steps.step(4)


def test_pages_of_another_dtype_than_the_models_are_gathered(pretended_cuda: PretendedCuda) -> None:
    decoder = decoder_on("cuda")
    state = replaced(state_on(decoder), torch.bfloat16)
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


def test_the_device_refuses_what_a_gpu_would(pretended_cuda: PretendedCuda) -> None:
    there, here = torch.arange(6.0, device="cuda"), torch.ones(6)
    with pytest.raises(RuntimeError, match="two devices"):
        there + here
    refused: list[Callable[[], object]] = [
        lambda: int(there[0]),
        there.cpu,
        lambda: torch.tensor([1.0], device="cuda"),
        lambda: there.__setitem__(1, 5.0),
        lambda: there.copy_(here),
        lambda: there[there > 0],
        torch.cuda.synchronize,
    ]
    for operation in refused:
        with pytest.raises(RuntimeError, match="while a graph"), captured(torch.cuda.CUDAGraph()):
            operation()


def test_a_captured_graph_runs_when_it_is_replayed_and_only_then(pretended_cuda: PretendedCuda) -> None:
    graph, count = torch.cuda.CUDAGraph(), torch.zeros(2, device="cuda")
    with captured(graph):
        double = count * 2
        count += 1
    assert count.tolist() == [0, 0]
    graph.replay()
    graph.replay()
    assert count.tolist() == [2, 2]
    assert double.tolist() == [2, 2]
    assert pretended_cuda.reads == 3


def captured(graph: object) -> AbstractContextManager[None]:
    return torch.cuda.graph(graph, capture_error_mode="thread_local")  # type: ignore[arg-type, return-value]
