"""Run a context through the model once, chunk by chunk, and commit its pages segment by segment (paper, section 3.1).

For each chunk: embed -> per layer (project, append to the pages, select by the mean query, attend); every 256 pages a
segment goes to disk. A segment that is on disk already is mapped, not run.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import numpy as np
import torch

from tscli.engine.library import on_device
from tscli.model.attention import AttentionRun
from tscli.model.kv import DenseKeys, KVState
from tscli.model.load import Decoder
from tscli.selection.config import SelectionConfig
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
    on_progress: Progress | None = None,
) -> tuple[list[SegmentRecord], int]:
    """Bring every planned segment to disk; returns their records in order and the number of tokens run.

    token_ids: int32 [T], the whole context. Bit-identical whether it runs at once or was interrupted between segments.
    """
    missing = {segment.id for segment in writer.missing(planned)}
    to_run = sum(segment.num_tokens for segment in planned if segment.id in missing)
    state = decoder.new_state()
    run = AttentionRun(state, decoder.rotator, config, dense=DenseKeys() if dense else None)
    records, done, started = [], 0, time.perf_counter()
    for segment in planned:
        if segment.id in missing:
            ids = torch.from_numpy(token_ids[segment.start : segment.start + segment.num_tokens].astype(np.int64))
            for start in range(0, segment.num_tokens, config.chunk):
                chunk = ids[start : start + config.chunk].to(decoder.device)
                decoder.forward(chunk, run, logits=False)
                done += chunk.shape[0]
                if on_progress is not None:
                    on_progress(done, to_run, time.perf_counter() - started)
            record = _commit(state, writer, segment)
        else:
            record = writer.record(segment)
        records.append(record)
        if done < to_run:
            state.extend(on_device(writer.map(record), decoder.device))
    return records, done


def _commit(state: KVState, writer: Writer, segment: PlannedSegment) -> SegmentRecord:
    key, value = state.take_tail(PAGE_SIZE)
    state.crop()
    return writer.write_segment(segment, key.cpu(), value.cpu())
