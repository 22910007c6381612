"""Attention over gathered rows equals stock transformers' where the rows are everything, for every architecture."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from tests.model.architectures import ARCHITECTURES, make_decoder
from tests.model.states import tail_of
from tscli.model.decoder import Decoder
from tscli.model.gathered import GatheredRun, Rows, Seen
from tscli.model.kv import KVState
from tscli.model.load import load_decoder
from tscli.model.options import LoadOptions

TOKENS, CHUNK = 100, 13
MODELS = os.environ.get("TSCLI_TEST_MODELS", "")
REAL = sorted(Path(MODELS).glob("*.gguf")) if MODELS else []


def prefilled(decoder: Decoder, token_ids: torch.Tensor) -> KVState:
    """The tokens' keys and values, in the state's tail."""
    state = decoder.new_state()
    run = GatheredRun(state, decoder.rotator, [Rows.behind_each_other(torch.arange(0))], keeps=True)
    decoder.forward(token_ids, run, logits=False)
    return state


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_chunks_behind_each_other_give_the_logits_of_stock_transformers(name: str) -> None:
    decoder = make_decoder(name)
    token_ids = torch.randint(1, 128, (TOKENS,))
    reference = decoder.reference_logits(token_ids)
    run = GatheredRun(decoder.new_state(), decoder.rotator, [Rows.behind_each_other(torch.arange(0))], keeps=True)
    for start in range(0, TOKENS, CHUNK):
        logits = decoder.forward(token_ids[start : start + CHUNK], run)
        assert logits is not None
        assert float((logits - reference[min(TOKENS, start + CHUNK) - 1]).abs().max()) <= 1e-5
    assert run.state.length == TOKENS


@pytest.mark.parametrize("name", ["llama", "qwen2", "gemma2", "gemma3_text"])
def test_cached_rows_stand_for_the_tokens_that_they_were_made_of(name: str) -> None:
    decoder = make_decoder(name)
    token_ids = torch.randint(1, 128, (TOKENS,))
    state = prefilled(decoder, token_ids[:80])
    run = GatheredRun(state, decoder.rotator, [Rows.behind_each_other(torch.arange(80))])
    logits = decoder.forward(token_ids[80:], run)
    assert logits is not None
    assert float((logits - decoder.reference_logits(token_ids)[-1]).abs().max()) <= 1e-5
    assert state.length == 80  # nothing is left of the pass


@pytest.mark.parametrize("heads", [(4, 4), (6, 2), (8, 2), (7, 1)])
def test_sequences_in_one_batch_get_what_each_gets_by_itself(heads: tuple[int, int]) -> None:
    decoder = make_decoder("llama")
    state = prefilled(decoder, torch.randint(1, 128, (63,)))
    question = torch.randint(1, 128, (heads[0] + 3,))
    parts = [torch.randperm(63)[: 5 + 7 * number] for number in range(heads[1] + 1)]
    rows = [Rows.behind_each_other(positions) for positions in parts]
    together = GatheredRun(state, decoder.rotator, rows)
    ends = [(number + 1) * question.shape[0] - 1 for number in range(len(rows))]
    logits = decoder.forward_rows(question.repeat(len(rows)), together, ends)
    assert logits is not None
    for own, got in zip(rows, logits, strict=True):
        alone = decoder.forward(question, GatheredRun(state, decoder.rotator, [own]))
        assert alone is not None
        assert float((alone - got).abs().max()) <= 1e-5


def test_a_pass_ends_at_the_last_layer_that_is_asked_for() -> None:
    decoder, seen = make_decoder("llama"), list[Seen]()
    state = prefilled(decoder, torch.randint(1, 128, (20,)))
    rows = [Rows.behind_each_other(torch.arange(20))]
    run = GatheredRun(state, decoder.rotator, rows, watch=seen.append, last_layer=1)
    assert decoder.forward(torch.randint(1, 128, (4,)), run) is None
    assert [one.layer for one in seen] == [0, 1]
    assert seen[0].key.shape[1] == 24
    assert seen[0].rows == 20


@pytest.mark.parametrize("heads", [(4, 4), (6, 2), (7, 1)])
def test_sequences_that_are_kept_go_on_in_step_each_by_itself(heads: tuple[int, int]) -> None:
    decoder = make_decoder("llama")
    state = prefilled(decoder, torch.randint(1, 128, (63,)))
    parts = [torch.randperm(63)[:41], torch.randperm(63)[:7], torch.arange(0)]
    rows = [Rows.behind_each_other(positions) for positions in parts]
    token_ids, sizes, length = torch.randint(1, 128, (heads[0] + 90,)), (heads[0], 1, heads[1], 80), state.length
    together, at = GatheredRun(state, decoder.rotator, rows, keeps=True), 0
    for size in sizes:
        wanted = [(number + 1) * size - 1 for number in range(len(rows))]
        own = token_ids[at : at + size]
        logits = decoder.forward_rows(own.repeat(len(rows)), together, wanted)
        at += size
        assert logits is not None
        for row, got in zip(rows, logits, strict=True):
            alone = decoder.forward(token_ids[:at], GatheredRun(state, decoder.rotator, [row]))
            assert alone is not None
            assert float((alone - got).abs().max()) <= 1e-5
    assert state.length == length + sum(sizes)  # only the first one's are in the state


@pytest.mark.parametrize("name", ["llama", "gemma2"])
def test_likelihoods_are_told_from_a_shortlist(name: str) -> None:
    decoder = make_decoder(name)
    token_ids = torch.randint(1, 128, (20,))
    state = prefilled(decoder, token_ids[:10])
    said, rows = token_ids[[13, 17]], Rows.behind_each_other(torch.arange(10))
    everything, some = torch.arange(128), torch.cat([said, torch.arange(40)]).unique()
    logits = decoder.forward_rows(token_ids[10:], GatheredRun(state, decoder.rotator, [rows]), [2, 6])
    assert logits is not None
    for shortlist in (everything, some):
        found = decoder.likelihoods(token_ids[10:], GatheredRun(state, decoder.rotator, [rows]), [2, 6], said, shortlist)
        wanted = logits.gather(1, said[:, None])[:, 0] - logits[:, shortlist].logsumexp(dim=1)
        assert torch.allclose(found, wanted, atol=1e-5)


def asked(decoder: Decoder, state: KVState, rows: list[Rows], question: torch.Tensor) -> GatheredRun:
    """A resumable run after a question."""
    run = GatheredRun(state, decoder.rotator, rows, resumable=True)
    decoder.likelihoods(question.repeat(len(rows)), run, [0], question[:1], question[:1])
    return run


def logits_after(decoder: Decoder, run: GatheredRun, token_ids: torch.Tensor) -> torch.Tensor:
    """Of the last of these tokens, in each sequence."""
    ends = [(number + 1) * token_ids.shape[0] - 1 for number in range(len(run.rows))]
    logits = decoder.forward_rows(token_ids.repeat(len(run.rows)), run, ends)
    assert logits is not None
    return logits


@pytest.mark.parametrize("name", ["llama", "qwen2", "gemma2", "gemma3_text"])
@pytest.mark.parametrize("done", [11, 17])
def test_some_sequences_of_a_run_go_on_as_if_only_they_had_been_run(name: str, done: int) -> None:
    decoder = make_decoder(name)
    state = prefilled(decoder, torch.randint(1, 128, (63,)))
    question, length = torch.randint(1, 128, (17,)), state.length
    rows = [Rows.behind_each_other(torch.randperm(63)[:size]) for size in (3, 41, 0, 23)]
    resumed = asked(decoder, state, rows, question).resumed({3: rows[3], 2: rows[2], 0: rows[0]}, done)
    assert state.length == length + done
    rest = torch.cat([question[done:], torch.randint(1, 128, (5,))])
    got, more = logits_after(decoder, resumed, rest), logits_after(decoder, resumed, rest[:1])
    assert state.length == length + done + rest.shape[0] + 1
    tails = [tail_of(state)[:, :, :, length:]]
    state.rewind(length)
    fresh = GatheredRun(state, decoder.rotator, [rows[3], rows[2], rows[0]], keeps=True)
    wanted = logits_after(decoder, fresh, torch.cat([question[:done], rest]))
    assert float((got - wanted).abs().max()) <= 1e-5
    assert float((more - logits_after(decoder, fresh, rest[:1])).abs().max()) <= 1e-5
    tails.append(tail_of(state)[:, :, :, length:])
    assert float((tails[0] - tails[1]).abs().max()) <= 1e-5  # the first sequence's keys and values are in the state


def test_rows_that_a_run_does_not_go_on_with_are_not_attended_any_more() -> None:
    decoder = make_decoder("llama", num_hidden_layers=1)  # one layer: a question's keys and values do not depend on its rows
    state = prefilled(decoder, torch.randint(1, 128, (63,)))
    question = torch.randint(1, 128, (9,))
    rows = [Rows.behind_each_other(torch.randperm(63)[:size]) for size in (30, 41)]
    kept = torch.cat([torch.arange(4), torch.arange(20, 41)])
    some = Rows(rows[1].positions[kept], rows[1].places[kept], rows[1].next_place)
    resumed = asked(decoder, state, rows, question).resumed({1: some, 0: rows[0]}, 9)
    answer = torch.randint(1, 128, (3,))
    got = logits_after(decoder, resumed, answer)
    state.rewind(63)
    fresh = GatheredRun(state, decoder.rotator, [some, rows[0]], keeps=True)
    assert float((got - logits_after(decoder, fresh, torch.cat([question, answer]))).abs().max()) <= 1e-5


@pytest.mark.parametrize("name", ["llama", "qwen2", "gemma2", "gemma3_text"])
def test_a_sequence_read_later_goes_on_beside_others_as_if_all_had_been_read_together(name: str) -> None:
    decoder = make_decoder(name)
    state = prefilled(decoder, torch.randint(1, 128, (63,)))
    token_ids, rest = torch.randint(1, 128, (17,)), torch.randint(1, 128, (3,))
    rows = [Rows.behind_each_other(torch.randperm(63)[:size]) for size in (3, 41, 0, 23)]
    earlier = GatheredRun(state, decoder.rotator, rows[:3], keeps=True)
    logits_after(decoder, earlier, token_ids)
    state.rewind(63)
    later = GatheredRun(state, decoder.rotator, rows[3:], keeps=True)
    logits_after(decoder, later, token_ids)
    joined = later.joined(earlier, [1, 2])
    got, more = logits_after(decoder, joined, rest), logits_after(decoder, joined, rest[:1])
    tails = [tail_of(state)[:, :, :, 63:]]
    state.rewind(63)
    fresh = GatheredRun(state, decoder.rotator, [rows[3], rows[1], rows[2]], keeps=True)
    assert float((got - logits_after(decoder, fresh, torch.cat([token_ids, rest]))).abs().max()) <= 1e-5
    assert float((more - logits_after(decoder, fresh, rest[:1])).abs().max()) <= 1e-5
    tails.append(tail_of(state)[:, :, :, 63:])
    assert float((tails[0] - tails[1]).abs().max()) <= 1e-5  # the first sequence's, of all of its tokens


@pytest.mark.skipif(not REAL, reason="TSCLI_TEST_MODELS names no folder with .gguf files")
@pytest.mark.parametrize("file", REAL, ids=lambda file: file.name)
def test_a_real_checkpoint_reads_documents_as_stock_transformers_does(file: Path) -> None:
    decoder = load_decoder(LoadOptions(str(file), dtype="float32", device="cpu", weights="full"))
    token_ids = torch.randint(1000, 20000, (700,), generator=torch.Generator().manual_seed(3))
    reference = decoder.reference_logits(token_ids)[-1]
    run = GatheredRun(decoder.new_state(), decoder.rotator, [Rows.behind_each_other(torch.arange(0))], keeps=True)
    decoder.forward(token_ids[:512], run, logits=False)
    logits = decoder.forward(token_ids[512:], run)
    assert logits is not None
    assert float(torch.linalg.vector_norm(logits - reference) / torch.linalg.vector_norm(reference)) <= 1e-5
