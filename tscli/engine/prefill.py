"""Run a context through the model once, chunk by chunk, and commit its pages segment by segment (paper, section 3.1).

For each chunk: embed -> per layer (project, append to the pages, select by the mean query, attend); every 256 pages a
segment goes to disk. A segment that is on disk already is mapped, not run.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Sequence

import numpy as np
import torch

from tscli.engine.library import SEGMENT_TOKENS, on_device, pack
from tscli.engine.sketching import grow_sketch
from tscli.model.attention import AttentionRun
from tscli.model.decoder import Decoder
from tscli.model.kv import DenseKeys, KVState, Pages
from tscli.selection.config import SelectionConfig
from tscli.selection.guard import Guard
from tscli.selection.sketch import Sketch
from tscli.store import PAGE_SIZE, PlannedSegment, SegmentRecord, Writer

Progress = Callable[[int, int, float], None]  # tokens done, tokens to run, seconds


def prefill(
    decoder: Decoder,
    writer: Writer,
    planned: Sequence[PlannedSegment],
    token_ids: np.ndarray,
    config: SelectionConfig,
    *,
    dense: bool = False,
    prompts: Sequence[torch.Tensor] = (),
    kv_dtype: str | None = None,
    on_progress: Progress | None = None,
    again: Collection[str] = (),
) -> tuple[list[SegmentRecord], int, Sketch | None]:
    """Bring every planned segment to disk; returns their records in order, the number of tokens run, and the context's sketch.

    token_ids: int32 [T], the whole context. prompts: as `grow_sketch` has them. kv_dtype: of the pages, see `Fingerprint`.
    again: segments that are run though they are there, by id.
    Bit-identical whether it runs at once or was interrupted between segments.
    """
    missing = {segment.id for segment in writer.missing(planned)} | set(again)
    to_run = sum(segment.num_tokens for segment in planned if segment.id in missing)
    ids = torch.from_numpy(token_ids.astype(np.int64))
    chains: dict[str | None, tuple[PlannedSegment, ...]] = {None: ()}  # what was computed before and with a segment
    pages: dict[str, Pages] = {}
    state, keys, last, sketch = decoder.new_state(), DenseKeys() if dense else None, None, None
    records, done, started = [], 0, time.perf_counter()
    for segment in planned:
        if segment.parent != last:  # another document, by itself
            state = decoder.new_state([pages[part.id] for part in chains[segment.parent]])
            keys = DenseKeys() if dense else None
        if segment.id in missing:
            for size in _run(decoder, state, ids[segment.start :][: segment.num_tokens], config, keys):
                done += size
                if on_progress is not None:
                    on_progress(done, to_run, time.perf_counter() - started)
            made = pack(*state.take_tail(PAGE_SIZE), segment.num_tokens, kv_dtype)
            state.crop()
            kept = on_device(made, torch.device("cpu"))
            record = writer.write_segment(segment, kept.key, kept.value, kept.scales)
        else:
            record = writer.record(segment)
        records.append(record)
        chains[segment.id], last = (*chains[segment.parent], segment), segment.id
        pages[segment.id] = on_device(writer.map(record), decoder.device)
        state.extend(pages[segment.id])
        own = torch.cat([ids[part.start :][: part.num_tokens] for part in chains[last]])
        sketch = grow_sketch(decoder, state, own, config, prompts)
    if state.committed < ids.shape[0]:  # the last of several documents: the sketch is of them all
        state = decoder.new_state([pages[segment.id] for segment in planned])
        sketch = grow_sketch(decoder, state, ids, config, prompts)
    return records, done, sketch


def prefill_in_memory(
    decoder: Decoder,
    token_ids: torch.Tensor,
    config: SelectionConfig,
    *,
    dense: bool = False,
    prompts: Sequence[torch.Tensor] = (),
    kv_dtype: str | None = None,
) -> KVState:
    """The same without a library: the state over token_ids (int64 [T]), its pages and its sketch in memory."""
    state, keys = decoder.new_state(), DenseKeys() if dense else None
    for start in range(0, token_ids.shape[0], SEGMENT_TOKENS):
        for _ in _run(decoder, state, token_ids[start : start + SEGMENT_TOKENS], config, keys):
            pass
        made = pack(*state.take_tail(PAGE_SIZE), state.tail_tokens, kv_dtype)
        state.crop()
        state.extend(made)
        grow_sketch(decoder, state, token_ids, config, prompts)
    return state


def _run(
    decoder: Decoder, state: KVState, token_ids: torch.Tensor, config: SelectionConfig, dense: DenseKeys | None
) -> Iterator[int]:
    """Run a segment's tokens chunk by chunk into the state's tail; yields the size of each."""
    run = AttentionRun(state, decoder.rotator, config, dense=dense, guard=Guard())
    for start in range(0, token_ids.shape[0], config.chunk):
        chunk = token_ids[start : start + config.chunk]
        decoder.forward(chunk.to(decoder.device), run, logits=False)
        yield chunk.shape[0]
