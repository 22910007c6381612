"""What an ingest will do and what it did: each document's status, sizes, time. Plain data; runs no model."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tscli.documents import Failure, Loaded, PassedOver
from tscli.errors import LibraryError
from tscli.ingest.estimate import Estimate
from tscli.library.arrange import Arrangement
from tscli.library.bytes_per_token import BytesPerToken, bytes_per_token
from tscli.library.kept_heads import load_retrieval_heads
from tscli.library.layout import context_arrays
from tscli.model.decoder import Decoder
from tscli.paths import disk_free_bytes
from tscli.selection.candidates import uses_sketch
from tscli.selection.config import SelectionConfig
from tscli.store import Fingerprint, PlannedSegment, read_manifest
from tscli.tokens import Context, DocumentTokens


@dataclass(frozen=True)
class PlannedDocument:
    """One document of the wanted context; status: "new", "cached", or "rerun" where something before it changed.

    pages_without_text: number of pages on which no text was found; ocr_pages: number of pages that were read by OCR.
    """

    path: str
    pages: int
    tokens: int
    status: str
    pages_without_text: int
    ocr_pages: int = 0


@dataclass(frozen=True)
class IngestPlan:
    """What an ingest will do; sizes in bytes, estimated_seconds None where nothing is to run.

    dtype: of the model; kv_dtype: of the pages; weights: "int8", "int16", or the dtype of the full weights. processes: how many
        will run it. bytes_per_token: of what total_bytes and new_bytes are made.
    """

    library: str
    folder: Path
    documents: tuple[PlannedDocument, ...]
    failures: tuple[Failure, ...]
    total_tokens: int
    cached_tokens: int
    prefill_tokens: int
    total_bytes: int
    new_bytes: int
    free_bytes: int
    bytes_per_token: BytesPerToken
    estimated_seconds: float | None
    model: str
    dtype: str
    kv_dtype: str
    weights: str
    device: str
    processes: int
    settings: dict[str, object]
    notes: tuple[str, ...]
    passed_over: tuple[PassedOver, ...] = ()


@dataclass(frozen=True)
class IngestReport:
    """What an ingest did. bytes: size of the library on disk; peak_rss_bytes: of this process, mapped pages included.
    run_by_others: number of documents that other processes ran.
    """

    library: str
    folder: Path
    documents: tuple[PlannedDocument, ...]
    failures: tuple[Failure, ...]
    total_tokens: int
    cached_tokens: int
    prefilled_tokens: int
    bytes: int
    seconds: float
    peak_rss_bytes: int
    run_by_others: int = 0
    passed_over: tuple[PassedOver, ...] = ()


def make_plan(
    folder: Path,
    context: Context,
    arrangement: Arrangement,
    loaded: Loaded,
    missing: Sequence[PlannedSegment],
    decoder: Decoder,
    config: SelectionConfig,
    expected: Estimate | None,
    notes: Sequence[str],
    fingerprint: Fingerprint,
) -> IngestPlan:
    """What will be prefilled and what it takes; missing: segments not there yet. expected: None where none is missing."""
    total, to_run = int(context.token_ids.shape[0]), sum(segment.num_tokens for segment in missing)
    documents = tuple(
        PlannedDocument(
            document.path,
            document.num_pages,
            document.token_end - document.token_start,
            _status(document, missing, arrangement.is_new(index)),
            arrangement.slots[index].pages_without_text,
            len(arrangement.slots[index].ocr_pages),
        )
        for index, document in enumerate(context.documents)
    )
    heads = load_retrieval_heads(decoder.hash) if decoder.voters_default == "calibrated" else None
    per_token = bytes_per_token(fingerprint, _sketch_bytes(decoder, config, total), heads, decoder.q_heads)
    beside = ((per_token.sketch or 0) + (per_token.head_keys or 0)) * total + sum(
        array.nbytes for array in context_arrays(context).values()
    )
    return IngestPlan(
        library=folder.name,
        folder=folder,
        documents=documents,
        failures=loaded.failures,
        total_tokens=total,
        cached_tokens=total - to_run,
        prefill_tokens=to_run,
        total_bytes=total * per_token.kv + beside,
        new_bytes=to_run * per_token.kv + beside if to_run else _missing_bytes(folder, per_token, total),
        free_bytes=disk_free_bytes(folder),
        bytes_per_token=per_token,
        estimated_seconds=expected.seconds if expected else None,
        model=decoder.model_id,
        dtype=decoder.dtype_name,
        kv_dtype=fingerprint.pages_dtype,
        weights=decoder.weights_name,
        device=str(decoder.device),
        processes=expected.processes if expected else 1,
        settings=dict(vars(config)),
        notes=tuple(notes),
        passed_over=loaded.passed_over,
    )


def _missing_bytes(folder: Path, per_token: BytesPerToken, total: int) -> int:
    """What is written of a library with all its segments: head keys, where it has none yet."""
    with suppress(LibraryError):
        manifest = read_manifest(folder)
        if manifest is not None and manifest.head_keys_file:
            return 0
    return (per_token.head_keys or 0) * total


def _sketch_bytes(decoder: Decoder, config: SelectionConfig, num_tokens: int) -> int | None:
    """Of one token's sketch, as calibration mostly makes it; None where a library of so many tokens has none."""
    return decoder.layers * decoder.kv_heads * (decoder.head_dim // 4) if uses_sketch(config, num_tokens) else None


def _status(document: DocumentTokens, missing: Sequence[PlannedSegment], is_new: bool) -> str:
    touched = [s for s in missing if s.start < document.token_end and s.start + s.num_tokens > document.token_start]
    if not touched:
        return "cached"
    return "new" if is_new else "rerun"
