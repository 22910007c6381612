"""Independent documents in several processes: what one process makes, whatever happens to the others."""

from __future__ import annotations

import os
import signal
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

import tscli
from tests.model.architectures import make_decoder
from tscli.ingest import estimate, ingest, worker_pool
from tscli.ingest.work import Chain, in_chains, prefix_of
from tscli.ingest.worker_pool import WorkerPool
from tscli.selection.config import SelectionConfig
from tscli.store import library_folder, plan_chain, plan_independent

WriteDocuments = Callable[..., Path]
Started = list[tuple[WorkerPool, list[int]]]  # each pool and its process ids


@pytest.fixture(autouse=True)
def small_segments(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(ingest, "SEGMENT_TOKENS", 512)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> Started:
    """The worker pools of a test; each waits until all of its processes have something to do, or are gone."""
    found: Started = []
    begin = WorkerPool.begin

    def begin_when_ready(pool: WorkerPool, waiting: deque[Chain]) -> None:
        found.append((pool, [worker.process.pid for worker in pool._workers]))
        begin(pool, waiting)
        while any(worker.chain is None for worker in pool._workers) and waiting:
            pool.poll(wait=True)
        pool._told = 0  # what was just polled is polled once more

    monkeypatch.setattr(WorkerPool, "begin", begin_when_ready)
    return found


def prepared(model: Path, docs: Path, library: str, processes: int) -> tscli.Preparation:
    load = tscli.LoadOptions(str(model), dtype="float32", device="cpu")
    options = tscli.IngestOptions(documents="independent", processes=processes)
    return tscli.prepare([docs], library, load, options=options)


def segments(library: str) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (library_folder(library) / "segments").iterdir()}


def apart(*libraries: str) -> None:
    """Out of each other's sight: or the second would take over what the first one has."""
    for name in libraries:
        folder = library_folder(name)
        folder.rename(folder.parent.parent / name)


def together(*libraries: str) -> None:
    for name in libraries:
        folder = library_folder(name)
        (folder.parent.parent / name).rename(folder)


def test_two_processes_make_what_one_makes(small_model: Path, write_documents: WriteDocuments, started: Started) -> None:
    docs = write_documents(files=("a.txt", "b.txt", "c.txt", "d.txt"))
    prepared(small_model, docs, "alone", 1).run()
    assert not started
    apart("alone")
    preparation, told = prepared(small_model, docs, "two", 2), []
    assert preparation.plan.processes == 2
    report = preparation.run(lambda done, total, _: told.append((done, total)))
    together("alone")
    assert 1 <= report.run_by_others < 4
    assert report.prefilled_tokens == report.total_tokens
    assert told == sorted(told)
    assert told[-1] == (report.total_tokens, report.total_tokens)
    assert segments("two") == segments("alone")
    assert tscli.verify("two") == []
    answers = []
    for library in ("alone", "two"):
        with tscli.open_library(library, load=tscli.LoadOptions(dtype="float32", device="cpu")) as session:
            stream = session.ask("Where does the stone stand?", max_new_tokens=8)
            list(stream)
            answers.append(stream.answer.token_ids)
    assert answers[0] == answers[1]


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
def test_what_a_process_was_at_when_it_died_or_hung_is_run_here(
    how: signal.Signals, small_model: Path, write_documents: WriteDocuments, started: Started, monkeypatch: pytest.MonkeyPatch
) -> None:
    docs = write_documents(files=("a.txt", "b.txt", "c.txt", "d.txt"))
    preparation, told = prepared(small_model, docs, "lib", 3), []

    def on_progress(done: int, total: int, _: float) -> None:
        while started and started[0][1]:
            os.kill(started[0][1].pop(), how)
            monkeypatch.setattr(worker_pool, "PATIENCE_S", 1.0)
        told.append(done)

    report = preparation.run(on_progress)
    assert started[0][1] == []
    assert report.run_by_others < 4
    assert told[-1] == report.prefilled_tokens == report.total_tokens
    assert tscli.verify("lib") == []
    assert prepared(small_model, docs, "lib", 1).plan.prefill_tokens == 0


def test_processes_that_cannot_start_cost_nothing_but_time(
    small_model: Path, write_documents: WriteDocuments, started: Started, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = tscli.LoadOptions("/no/such/model")
    monkeypatch.setattr(ingest, "WorkerConfig", lambda load, *rest: worker_pool.WorkerConfig(wrong, *rest))
    report = prepared(small_model, write_documents(), "lib", 3).run()
    assert (report.run_by_others, report.prefilled_tokens) == (0, report.total_tokens)
    assert started[0][0].busy is False
    assert tscli.verify("lib") == []


def test_an_interrupted_ingest_ends_them_and_goes_on_later(
    small_model: Path, write_documents: WriteDocuments, started: Started
) -> None:
    docs = write_documents()

    def interrupt(done: int, total: int, seconds: float) -> None:
        if started:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepared(small_model, docs, "lib", 2).run(interrupt)
    for pid in started[0][1]:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
    assert torch.get_num_threads() == 1
    report = prepared(small_model, docs, "lib", 1).run()
    assert report.prefilled_tokens <= report.total_tokens
    assert tscli.verify("lib") == []


def test_chains_are_documents_behind_what_they_share() -> None:
    ids = torch.arange(40, dtype=torch.int32).numpy()
    planned = plan_independent("seed", ids, [3, 20, 31], 8)
    chains = in_chains(planned)
    assert [[part.start for part in chain] for chain in chains] == [[0, 3, 11, 19], [0, 20, 28], [0, 31, 39]]
    assert prefix_of(chains) == (planned[0],)
    joint = plan_chain("seed", ids, 8)
    assert in_chains(joint) == [tuple(joint)]
    assert prefix_of([]) == ()


@pytest.mark.parametrize(
    ("slower", "documents", "asked", "wanted"),
    [
        (2.0, 9, None, (4, 60.0)),  # a chunk takes twice as long by a quarter of the threads: four processes are twice as fast
        (2.0, 3, None, (3, 80.0)),
        (3.9, 9, None, (1, 120.0)),
        (2.0, 1, None, (1, 120.0)),
        (4.0, 9, 2, (2, 240.0)),
        (2.0, 9, 1, (1, 120.0)),
    ],
)
def test_as_many_as_pay(
    monkeypatch: pytest.MonkeyPatch, slower: float, documents: int, asked: int | None, wanted: tuple[int, float]
) -> None:
    torch.set_num_threads(4)
    monkeypatch.setattr(estimate, "estimate_seconds", lambda *_, **__: 120.0)
    monkeypatch.setattr(estimate, "chunk_seconds", lambda *_: 1.0 if torch.get_num_threads() == 4 else slower)
    monkeypatch.setattr(estimate, "physical_bytes", lambda: 64 << 30)
    decoder = make_decoder()
    made = estimate.estimate(decoder, SelectionConfig(), [(0, 1)], documents=documents, processes=asked)
    assert (made.processes, made.seconds) == wanted
    assert torch.get_num_threads() == 4


def test_short_work_and_little_memory_are_for_one(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.set_num_threads(4)
    decoder, config = make_decoder(), SelectionConfig()
    monkeypatch.setattr(estimate, "chunk_seconds", lambda *_: 1.0)
    for seconds, memory, processes in ((120.0, 64 << 30, 4), (5.0, 64 << 30, 1), (120.0, 1 << 30, 1), (120.0, 5 << 30, 2)):
        monkeypatch.setattr(estimate, "estimate_seconds", lambda *_, seconds=seconds, **__: seconds)
        monkeypatch.setattr(estimate, "physical_bytes", lambda memory=memory: memory)
        assert estimate.estimate(decoder, config, [(0, 1)], documents=9).processes == processes


def test_a_number_below_one_is_refused(small_model: Path, write_documents: WriteDocuments) -> None:
    with pytest.raises(tscli.errors.UsageError, match="--processes 0: must be at least 1"):
        prepared(small_model, write_documents(), "lib", 0)


def test_joint_documents_say_why_they_are_run_by_one(small_model: Path, write_documents: WriteDocuments) -> None:
    load = tscli.LoadOptions(str(small_model), dtype="float32", device="cpu")
    options = tscli.IngestOptions(documents="joint", processes=2)
    plan = tscli.prepare([write_documents()], "lib", load, options=options).plan
    assert plan.processes == 1
    assert any("--processes 2: one process is used" in note for note in plan.notes)
