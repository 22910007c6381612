"""Repair a damaged library: recompute what was lost, and nothing else.

Keys and values follow from the tokens, the model and what was computed before them. A segment that comes out bit for bit as it
was recorded leaves what was computed behind it valid; one that does not (another machine, another torch) takes that along.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from torch import Tensor

from tscli.ingest.prefill import Progress, prefill
from tscli.ingest.rebuild import own_model
from tscli.ingest.reread import read_context_again
from tscli.ingest.sketching import passages_as_questions
from tscli.ingest.work import PrefillJob
from tscli.library.layout import context_arrays, prefill_config
from tscli.store import (
    Manifest,
    PlannedSegment,
    Problem,
    SegmentRecord,
    Writer,
    damaged_files,
    library_folder,
    no_library,
    read_context,
    restore_manifest,
    restore_records,
)
from tscli.tokens import template_of


@dataclass(frozen=True)
class RepairReport:
    """What a repair found and did; recomputed_tokens: those that went through the model again, of total_tokens."""

    library: str
    problems: tuple[Problem, ...]
    total_tokens: int
    recomputed_tokens: int


def repair(library: str = "default", on_progress: Progress | None = None) -> RepairReport:
    """Verify every file and rebuild what is damaged, with the model that made the library.

    The documents are read only where token ids are lost. Raises LibraryError where there is no library, it is being
    written, its model has changed, or documents that are needed are gone or changed.
    """
    folder = library_folder(library)
    if not folder.is_dir():
        raise no_library(folder)
    with Writer(folder) as writer:
        manifest, problems = restore_manifest(folder)
        damaged = damaged_files(folder, manifest)
        restore_records(folder, manifest, damaged)
        recomputed = _make_anew(writer, manifest, damaged, on_progress) if damaged else 0
    return RepairReport(manifest.library, (*problems, *damaged), manifest.num_tokens, recomputed)


def _make_anew(writer: Writer, manifest: Manifest, damaged: Sequence[Problem], on_progress: Progress | None) -> int:
    """Run what is missing and commit; the number of tokens run."""
    fingerprint, folder = manifest.fingerprint, writer.folder
    decoder, tokenizer = own_model(manifest)
    context: dict[str, Tensor]
    if str(folder / manifest.context_file) in {problem.file for problem in damaged}:
        context = context_arrays(read_context_again(manifest, tokenizer))
    else:
        context = {name: part.clone() for name, part in read_context(folder, manifest).items()}
    planned = [PlannedSegment(r.id, r.parent, r.start, r.num_tokens, r.start) for r in manifest.segments]
    dense = bool(fingerprint.prefill.get("dense"))
    window = decoder.window if fingerprint.prefill.get("prefill") == "sections" else 0
    template = template_of(manifest.template, tokenizer)
    ask = partial(passages_as_questions, tokenizer=tokenizer, template=template)
    tokens, config = context["token_ids"].numpy(), prefill_config(fingerprint)
    work = PrefillJob.of(tokens, planned, config, ask, dense=dense, kv_dtype=fingerprint.kv_dtype, window=window)
    run = partial(prefill, decoder, writer, planned, work, on_progress=on_progress)
    records, done, sketch = run()
    if again := _behind_what_changed(manifest.segments, records):
        records, more, sketch = run(again=again)
        done += more
    writer.commit(manifest.with_segments(records), context, sketch, manifest.head_keys)
    return done


def _behind_what_changed(before: Sequence[SegmentRecord], now: Sequence[SegmentRecord]) -> set[str]:
    """The segments that were computed behind one which is not, bit for bit, the one that was recorded."""
    changed = {new.id for old, new in zip(before, now, strict=True) if old.xxh3 != new.xxh3}
    behind: set[str] = set()
    for record in now:
        if record.parent in changed | behind:
            behind.add(record.id)
    return behind
