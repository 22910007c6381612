"""Run a context through the model once, chunk by chunk, and commit its pages segment by segment (paper, section 3.1).

What fits the model's window is attended densely, as the model was trained; what does not, sparsely, unless it was cut into
sections that do.

For each chunk: embed -> per layer (project, append to the pages, select by the mean query, attend); every 256 pages a segment
goes to disk. A segment that is on disk already is mapped, not run.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from tscli.ingest.sketching import grow_sketch, reads_by_sketch
from tscli.ingest.work import Chain, PrefillJob, in_chains, prefix_of
from tscli.library.dense_prefill import run_densely
from tscli.library.layout import SEGMENT_TOKENS, on_device, pack_tail, placed, sketch_tensors
from tscli.model.attention import Attention, DenseAttention
from tscli.model.decoder import Decoder
from tscli.model.growing_rows import DenseKeys
from tscli.model.kv import KVState
from tscli.model.selectors import SketchSelector
from tscli.selection.config import SelectionConfig
from tscli.selection.guard import Guard
from tscli.store import PlannedSegment, SegmentRecord, Writer
from tscli_kernels.compiled import prefer_compiled

if TYPE_CHECKING:
    from tscli.ingest.sketch_reuse import ReusableSketch, StoredSketch
    from tscli.ingest.worker_pool import WorkerPool

Progress = Callable[[int, int, float], None]  # tokens done, tokens to run, seconds


def prefill(
    decoder: Decoder,
    writer: Writer,
    planned: Sequence[PlannedSegment],
    work: PrefillJob,
    *,
    on_progress: Progress | None = None,
    again: Collection[str] = (),
    workers: Callable[[], AbstractContextManager[WorkerPool | None]] = nullcontext,
    stored: StoredSketch | None = None,
) -> tuple[list[SegmentRecord], int, Mapping[str, Tensor] | None]:
    """Bring every planned segment to disk; returns their records in order, the number of tokens run, and the context's sketch
    as the store keeps it: None where that is the stored one, empty where it has none.

    again: segments that are run though they are there, by id. workers: processes that take documents too. stored: the sketch
    that the library has.
    Bit-identical whether it runs at once or was interrupted between segments.
    """
    missing = {segment.id for segment in writer.missing(planned)} | set(again)
    to_run = sum({segment.id: segment.num_tokens for segment in planned if segment.id in missing}.values())
    reusable = stored.reusable(writer, planned, missing) if stored else None
    chains = {chain[-1].id: chain for chain in in_chains(planned)}  # documents that say the same are one
    waiting = deque(chain for chain in chains.values() if any(segment.id in missing for segment in chain))
    state, done, started = None, 0, time.perf_counter()
    with workers() as pool:

        def advance(tokens: int) -> None:
            nonlocal done
            done += tokens + (pool.poll(wait=not tokens) if pool is not None else 0)
            if on_progress is not None:
                on_progress(done, to_run, time.perf_counter() - started)

        if pool is not None:
            run_chain(decoder, writer, prefix_of(waiting), missing, work, advance)  # before others build on it
            pool.begin(waiting)
        while waiting or (pool is not None and pool.busy):
            if waiting:
                chain = waiting.popleft()
                first = chain == tuple(planned[: len(chain)])  # its sketch is that of the context, as far as it goes
                state = run_chain(decoder, writer, chain, missing, work, advance, reusable if first else None)
            else:
                advance(0)
    records = [writer.record(segment) for segment in planned]
    writer.trust([record for record in records if record.id in missing])  # what others ran
    if reusable is not None and reusable.whole:
        return records, done, None
    if work.window:  # what is read in sections is asked by retrieval heads, which scan their own keys
        return records, done, {}
    if state is None or state.committed < work.token_ids.shape[0]:  # of several documents, the sketch is of them all
        state = decoder.new_state(placed([writer.map(record) for record in records], decoder.device))
    return records, done, sketch_tensors(grow_sketch(decoder, state, work.ids(planned), work.config, work.prompts, reusable))


@prefer_compiled()
def run_chain(
    decoder: Decoder,
    writer: Writer,
    chain: Chain,
    missing: set[str],
    work: PrefillJob,
    advance: Callable[[int], None],
    reusable: ReusableSketch | None = None,
) -> KVState:
    """Run what is missing of a document, mapping the rest; the state over all of it. advance: told the size of each chunk.

    missing: ids; those that are run are taken out. reusable: as `grow_sketch` has it.
    """
    state, keys = decoder.new_state(), DenseKeys() if work.dense else None
    fits = sum(segment.num_tokens for segment in chain) <= work.window
    for number, segment in enumerate(chain, start=1):
        if segment.id in missing:
            ids = work.ids([segment])
            for size in run_densely(decoder, state, ids) if fits else _run(decoder, state, ids, work.config, keys):
                advance(size)
            made = pack_tail(state, work.kv_dtype)
            state.crop()
            pages = on_device(made, torch.device("cpu"))
            record = writer.write_segment(segment, pages.key, pages.value, pages.scales)
            missing.remove(segment.id)
        else:
            record = writer.record(segment)
        state.extend(*placed([writer.map(record)], decoder.device))
        if reads_by_sketch(state.committed) and any(later.id in missing for later in chain[number:]):
            grow_sketch(decoder, state, work.ids(chain[:number]), work.config, work.own_prompts[chain[-1].id], reusable)
    return state


@prefer_compiled()
def prefill_in_memory(
    decoder: Decoder,
    token_ids: Tensor,
    config: SelectionConfig,
    *,
    dense: bool = False,
    prompts: Sequence[Tensor] = (),
    kv_dtype: str | None = None,
) -> KVState:
    """The same without a library: the state over token_ids (int64 [T]), its pages and its sketch in memory."""
    state, keys = decoder.new_state(), DenseKeys() if dense else None
    for start in range(0, token_ids.shape[0], SEGMENT_TOKENS):
        for _ in _run(decoder, state, token_ids[start : start + SEGMENT_TOKENS], config, keys):
            pass
        made = pack_tail(state, kv_dtype)
        state.crop()
        state.extend(made)
        if reads_by_sketch(state.committed):
            grow_sketch(decoder, state, token_ids, config, prompts)
    grow_sketch(decoder, state, token_ids, config, prompts)
    return state


def _run(
    decoder: Decoder, state: KVState, token_ids: Tensor, config: SelectionConfig, dense: DenseKeys | None
) -> Iterator[int]:
    """Run a segment's tokens chunk by chunk into the state's tail; yields the size of each."""
    run = (
        Attention(state, decoder.rotator, config, SketchSelector(Guard()))
        if dense is None
        else DenseAttention(state, decoder.rotator, config, dense)
    )
    for start in range(0, token_ids.shape[0], config.chunk):
        chunk = token_ids[start : start + config.chunk]
        decoder.forward(chunk.to(decoder.device), run, logits=False)
        yield chunk.shape[0]
