"""Ingest: read documents, plan what is to run, run it, commit. Resume, re-ingest and append are one mechanism: the chain."""

from __future__ import annotations

import contextlib
import resource
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from tscli.answer.calibration.store import choose_voters
from tscli.documents import Failure, Loaded, PassedOver, Stop, WalkOptions, in_background
from tscli.documents import load as load_documents
from tscli.errors import OverBudget, ResourceError, UsageError
from tscli.ingest.estimate import Estimate, estimate, share_of_threads
from tscli.ingest.options import IngestOptions
from tscli.ingest.prefill import Progress, prefill
from tscli.ingest.sections import section_starts
from tscli.ingest.sketch_reuse import stored_sketch
from tscli.ingest.sketching import num_fitted, passages_as_questions
from tscli.ingest.work import Work, in_chains
from tscli.ingest.worker_pool import WorkerConfig, WorkerPool
from tscli.library.arrange import Arrangement, Previous, arrange, previous_context
from tscli.library.layout import SEGMENT_TOKENS, chain_seed, context_arrays, fingerprint_of
from tscli.library.own_settings import (
    choose_kv_dtype,
    choose_model,
    choose_template,
    choose_weights,
    fingerprint_there,
    how_to_get_better,
)
from tscli.model.decoder import Decoder
from tscli.model.load import load_decoder
from tscli.model.options import LoadOptions
from tscli.model.parity import check_parity
from tscli.selection.candidates import uses_sketch
from tscli.selection.config import SelectionConfig, SelectionOptions, resolve
from tscli.store import (
    Fingerprint,
    Manifest,
    PlannedSegment,
    Writer,
    library_folder,
    missing_segments,
    plan_chain,
    plan_independent,
    size_on_disk,
)
from tscli.tokens import Context, DocumentTokens, Template, load_tokenizer

SHOWN_PATHS = 10
OnCalibrate = Callable[[str, int, int], None]
Event = Callable[[str, str, int, int], None]  # kind, detail, done, total


@dataclass(frozen=True)
class PlannedDocument:
    """One document of the wanted context; status: "new", "cached", or "rerun" where something before it changed.

    pages_without_text: that nothing was read on. ocr_pages: that were read by OCR.
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

    dtype: of the model; kv_dtype: of the pages; weights: "int8", or the dtype of the full ones. processes: that will run it.
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
    """What an ingest did; bytes: that the library takes on disk; peak_rss_bytes of this process, mapped pages included.
    run_by_others: documents that other processes ran."""

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


class Preparation:
    """A planned ingest: look at `plan`, then `run` it."""

    def __init__(
        self,
        plan: IngestPlan,
        decoder: Decoder,
        context: Context,
        manifest: Manifest,
        chain: Sequence[PlannedSegment],
        work: Work,
        load: LoadOptions,
        calibrate: Callable[[OnCalibrate | None], object],
    ) -> None:
        self.plan = plan
        self._decoder = decoder
        self._context = context
        self._manifest = manifest
        self._chain = chain
        self._work = work
        self._load = load
        self._calibrate = calibrate
        self._run_by_others = 0

    def calibrate(self, on_progress: OnCalibrate | None = None) -> None:
        """Calibrate the model's voters where that was not done on this machine yet; on_progress: what is done, done, in all."""
        self._calibrate(on_progress)

    def run(self, on_progress: Progress | None = None) -> IngestReport:
        """Run the missing segments and commit; LibraryError when another process is writing, ResourceError on a full disk."""
        plan, started = self.plan, time.perf_counter()
        if plan.new_bytes > plan.free_bytes:
            raise ResourceError(
                f"{plan.folder}: {plan.new_bytes:,} bytes are needed, {plan.free_bytes:,} are free; make room, "
                "choose fewer documents, or put libraries elsewhere with TSCLI_HOME"
            )
        self.calibrate()
        with Writer(plan.folder) as writer:
            stored = stored_sketch(plan.folder, self._manifest.template)
            records, done, sketch = prefill(
                self._decoder, writer, self._chain, self._work, on_progress=on_progress, workers=self._workers, stored=stored
            )
            writer.commit(self._manifest.with_segments(records), context_arrays(self._context), sketch)
        return IngestReport(
            library=plan.library,
            folder=plan.folder,
            documents=plan.documents,
            failures=plan.failures,
            total_tokens=plan.total_tokens,
            cached_tokens=plan.total_tokens - done,
            prefilled_tokens=done,
            bytes=size_on_disk(plan.folder),
            seconds=time.perf_counter() - started,
            peak_rss_bytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
            run_by_others=self._run_by_others,
            passed_over=plan.passed_over,
        )

    @contextlib.contextmanager
    def _workers(self) -> Iterator[WorkerPool | None]:
        """The processes beside this one, where the plan has any."""
        if self.plan.processes == 1:
            yield None
            return
        with share_of_threads(self.plan.processes) as threads:
            with WorkerPool(self.plan.processes - 1, WorkerConfig(self._load, self.plan.folder, self._work, threads)) as pool:
                yield pool
            self._run_by_others = pool.num_documents


def prepare(
    paths: Sequence[str | Path],
    library: str = "default",
    load: LoadOptions = LoadOptions(),  # noqa: B008 - frozen
    selection: SelectionOptions = SelectionOptions(),  # noqa: B008 - frozen
    options: IngestOptions = IngestOptions(),  # noqa: B008 - frozen
    on_event: Event | None = None,
) -> Preparation:
    """Read and tokenise the documents, the model being loaded meanwhile, and plan the run; writes no keys or values.

    Documents that the library holds from other folders than `paths` stay; a document of these paths that is gone is dropped.
    on_event hears of files from another thread. Raises UsageError over the token budget or without any readable document.
    """
    tell = on_event or (lambda *_: None)
    if options.processes is not None and options.processes < 1:
        raise UsageError(f"--processes {options.processes}: must be at least 1")
    folder = library_folder(library)
    held = fingerprint_there(folder)
    better = how_to_get_better(load, held)
    load = choose_model(load, held)
    tell("model", str(load.model), 0, 1)
    load, kv_dtype = choose_weights(load, folder.name, held), choose_kv_dtype(options.kv_dtype, folder.name, held)
    named = [Path(path) for path in paths]
    with in_background(partial(_read, named, options, tell)) as reading:
        decoder = load_decoder(replace(load, weights="auto"))
        tokenizer = load_tokenizer(str(decoder.folder))
        template = choose_template(tokenizer, options.system, folder)
        config = resolve(selection, decoder.selection_defaults, decoder.window)
        error = check_parity(decoder)
        if load.weights == "int8":
            decoder.use_int8_weights()
        tell("model", f"{decoder.model_id}: logits within {error:.1g} of transformers'", 1, 1)
        previous, damage = previous_context(folder, named, tokenizer.hash, template)
        loaded = reading()
    settings = _settings(config, options, previous, decoder)
    kinds = {
        "kv_dtype": None if kv_dtype == decoder.dtype_name else kv_dtype,
        "weights": "int8" if decoder.int8_weights else None,
    }
    fingerprint = fingerprint_of(decoder, tokenizer, settings, load.revision, **kinds)
    arrangement = arrange(named, loaded.documents, previous)
    if not arrangement.slots:
        raise UsageError(_nothing_read(paths, loaded))
    tell("tokenize", f"{len(arrangement.slots)} documents", 0, 1)
    with _telling(loaded):
        context = arrangement.build(tokenizer, template, options.max_tokens)
    tell("tokenize", f"{context.token_ids.shape[0]:,} tokens", 1, 1)
    chain = _planned(context, settings, chain_seed(fingerprint), decoder.window)
    missing = missing_segments(folder, chain)
    tell("measure", "speed of this machine", 0, 1)
    in_sections = settings.get("prefill") == "sections"
    expected = _expected(decoder, config, options, chain, missing, fingerprint.kv_dtype, in_sections) if missing else None
    tell("measure", "speed of this machine", 1, 1)
    manifest = Manifest.new(
        library=folder.name,
        fingerprint=fingerprint,
        template=template.record(),
        tokens_sha256=context.tokens_sha256,
        num_tokens=int(context.token_ids.shape[0]),
        documents=arrangement.records(context),
        settings=settings,
    )
    said = [*([damage] if damage else []), *_unused_template(template), *_empty(named, loaded), *_told(loaded)]
    notes = [*said, *_one_process(options, settings, decoder), *decoder.notes, *better]
    scanned = replace(config, scan="exact") if in_sections else config  # without a sketch
    plan = _plan(folder, context, arrangement, loaded, missing, decoder, scanned, expected, notes, fingerprint)
    ask = partial(passages_as_questions, tokenizer=tokenizer, template=template)
    window = decoder.window if in_sections else 0
    work = Work.of(context.token_ids, chain, config, ask, dense=options.dense, kv_dtype=fingerprint.kv_dtype, window=window)
    calibrate = partial(choose_voters, None, decoder, tokenizer, template)
    return Preparation(plan, decoder, context, manifest, chain, work, load, calibrate)


def _settings(
    config: SelectionConfig, options: IngestOptions, previous: Previous | None, decoder: Decoder
) -> dict[str, object]:
    """What shapes keys and values beside the model; what was always so is left out."""
    settings: dict[str, object] = {**config.prefill_settings(), "dense": options.dense}
    if _independent(options, previous, decoder):
        settings["documents"] = "independent"
    if not options.dense and (options.prefill or decoder.prefill_default) == "sections":
        settings["prefill"] = "sections"
    return settings


def _planned(context: Context, settings: Mapping[str, object], seed: str, window: int) -> list[PlannedSegment]:
    if settings.get("documents") != "independent":
        return plan_chain(seed, context.token_ids, SEGMENT_TOKENS)
    in_sections = settings.get("prefill") == "sections"
    starts = section_starts(context, window) if in_sections else [document.token_start for document in context.documents]
    return plan_independent(seed, context.token_ids, starts, SEGMENT_TOKENS)


def _told(loaded: Loaded) -> list[str]:
    """What is to be told of files that were read, followed or passed over."""
    lost = [f"{d.path}: {warning}" for d in loaded.documents for warning in d.warnings if "pages without text" not in warning]
    return [*_passed_over(loaded), *loaded.notes, *lost]


def _one_process(options: IngestOptions, settings: Mapping[str, object], decoder: Decoder) -> list[str]:
    """A line where several processes are asked for and one runs all."""
    if (options.processes or 1) == 1 or (settings.get("documents") == "independent" and decoder.device.type == "cpu"):
        return []
    return [f"--processes {options.processes}: one runs all; several are for independent documents on the CPU"]


def _read(named: Sequence[Path], options: IngestOptions, tell: Event, stop: Stop) -> Loaded:
    return load_documents(
        named,
        options=WalkOptions(options.no_ignore, options.hidden, options.globs),
        passwords=options.passwords,
        ocr=options.ocr,
        encoding=options.encoding,
        on_file=lambda path, done, total: tell("file", path, done, total),
        stop=stop,
    )


@contextlib.contextmanager
def _telling(loaded: Loaded) -> Iterator[None]:
    """Documents that are too many are told with what else became of the files."""
    try:
        yield
    except OverBudget as error:
        error.failures, error.passed_over = loaded.failures, loaded.passed_over
        raise


def _independent(options: IngestOptions, previous: Previous | None, decoder: Decoder) -> bool:
    if options.documents is None and previous is not None:
        return previous.independent
    return (options.documents or decoder.documents_default) == "independent"


def _expected(
    decoder: Decoder,
    config: SelectionConfig,
    options: IngestOptions,
    chain: Sequence[PlannedSegment],
    missing: Sequence[PlannedSegment],
    kv_dtype: str | None,
    in_sections: bool,
) -> Estimate:
    return estimate(
        decoder,
        config,
        [(segment.behind, segment.num_tokens) for segment in missing],
        dense=options.dense,
        documents=sum(not set(missing).isdisjoint(part) for part in in_chains(chain)),
        processes=options.processes,
        kv_dtype=kv_dtype,
        context_tokens=sum(segment.num_tokens for segment in chain),
        calibrates=set(chain[: num_fitted(segment.start for segment in chain)]) & set(missing) != set(),
        sections=in_sections,
    )


def _plan(
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
    per_token, beside = decoder.kv_bytes_per_token(fingerprint.kv_dtype), _beside_pages(context, decoder, config)
    return IngestPlan(
        library=folder.name,
        folder=folder,
        documents=documents,
        failures=loaded.failures,
        total_tokens=total,
        cached_tokens=total - to_run,
        prefill_tokens=to_run,
        total_bytes=total * per_token + beside,
        new_bytes=to_run * per_token + beside if to_run else 0,
        free_bytes=shutil.disk_usage(_existing(folder)).free,
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


def _beside_pages(context: Context, decoder: Decoder, config: SelectionConfig) -> int:
    """Bytes of what a library holds beside keys and values: whence tokens come, and a sketch as calibration mostly makes it."""
    num_tokens = int(context.token_ids.shape[0])
    sketch = decoder.layers * decoder.kv_heads * (decoder.head_dim // 4) * num_tokens if uses_sketch(config, num_tokens) else 0
    return sketch + sum(array.nbytes for array in context_arrays(context).values())


def _status(document: DocumentTokens, missing: Sequence[PlannedSegment], is_new: bool) -> str:
    touched = [s for s in missing if s.start < document.token_end and s.start + s.num_tokens > document.token_start]
    if not touched:
        return "cached"
    return "new" if is_new else "rerun"


def _existing(folder: Path) -> Path:
    while not folder.exists():
        folder = folder.parent
    return folder


def _unused_template(template: Template) -> list[str]:
    """A line where the model is not asked by its own chat template."""
    if template.source == "chat template":
        return []
    return [f"no chat template ({template.reason or 'none could be used'}): questions are asked in plain text"]


def _empty(named: Sequence[Path], loaded: Loaded) -> list[str]:
    """A line for each folder in which there was nothing to read."""
    sources = [Path(document.source) for document in loaded.documents]
    tried = {failure.path.split("/")[0] for failure in loaded.failures}
    folders = [(path, path.expanduser().resolve()) for path in named if path.expanduser().is_dir()]
    return [
        f"{path}: no documents found; ignored and hidden files are left out unless --no-ignore, --hidden"
        for path, real in folders
        if real.name not in tried and not any(real in source.parents for source in sources)
    ]


def _passed_over(loaded: Loaded) -> list[str]:
    """A line for each reason why files were passed over, with the first of them."""
    by_reason: dict[str, list[str]] = {}
    for file in loaded.passed_over:
        by_reason.setdefault(file.reason, []).append(file.path)
    return [
        f"{len(paths):,} passed over ({reason}): {', '.join(paths[:SHOWN_PATHS])}{', ...' if len(paths) > SHOWN_PATHS else ''}"
        for reason, paths in by_reason.items()
    ]


def _nothing_read(paths: Sequence[str | Path], loaded: Loaded) -> str:
    named, failures = ", ".join(str(path) for path in paths), loaded.failures
    over = "".join(f"; {line}" for line in _passed_over(loaded))
    if failures:
        return f"{named}: none of {len(failures)} files could be read; first: {failures[0].path}: {failures[0].reason}{over}"
    return f"{named}: no documents found; ignored and hidden files are left out unless --no-ignore, --hidden{over}"
