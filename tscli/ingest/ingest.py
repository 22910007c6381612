"""Ingest: read documents, plan what is to run, run it, commit. Resume, re-ingest and append are one mechanism: the chain."""

from __future__ import annotations

import contextlib
import resource
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from tscli.answer.calibration.store import choose_retrieval_heads
from tscli.documents import Loaded, Stop, WalkOptions, in_background
from tscli.documents import load as load_documents
from tscli.errors import OverBudget, ResourceError, UsageError
from tscli.ingest.estimate import Estimate, estimate, share_of_threads
from tscli.ingest.notes import nothing_read, plan_notes
from tscli.ingest.options import IngestOptions
from tscli.ingest.plan import IngestPlan, IngestReport, make_plan
from tscli.ingest.prefill import Progress, prefill
from tscli.ingest.sections import section_starts
from tscli.ingest.sketch_reuse import stored_sketch
from tscli.ingest.sketching import num_fitted, passages_as_questions
from tscli.ingest.work import PrefillJob, in_chains
from tscli.ingest.worker_pool import WorkerConfig, WorkerPool
from tscli.library.arrange import Arrangement, Previous, arrange, previous_context
from tscli.library.kv_dtype import pages_kv_dtype
from tscli.library.layout import SEGMENT_TOKENS, chain_seed, context_arrays, fingerprint_of
from tscli.library.own_settings import (
    better_model_hint,
    choose_kv_dtype,
    choose_model,
    choose_template,
    choose_weights,
    fingerprint_there,
)
from tscli.model.decoder import Decoder
from tscli.model.load import load_decoder, use_weights
from tscli.model.options import LoadOptions
from tscli.model.parity import check_parity
from tscli.selection.config import SelectionConfig, SelectionOptions, resolve
from tscli.selection.retrieval_heads import RetrievalHeads
from tscli.store import (
    Manifest,
    PlannedSegment,
    Writer,
    library_folder,
    missing_segments,
    plan_chain,
    plan_independent,
    size_on_disk,
)
from tscli.tokens import Context, Template, Tokenizer, load_tokenizer

OnCalibrate = Callable[[str, int, int], None]
Event = Callable[[str, str, int, int], None]  # kind, detail, done, total


class Preparation:
    """A planned ingest: look at `plan`, then `run` it."""

    def __init__(
        self,
        plan: IngestPlan,
        decoder: Decoder,
        context: Context,
        manifest: Manifest,
        chain: Sequence[PlannedSegment],
        work: PrefillJob,
        load: LoadOptions,
        calibrate: Callable[[OnCalibrate | None], RetrievalHeads | None],
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

    def calibrate(self, on_progress: OnCalibrate | None = None) -> RetrievalHeads | None:
        """The model's retrieval heads, found now unless this machine has them; None where all heads vote. on_progress is called
        with what is done, how much of it, and of how much.
        """
        return self._calibrate(on_progress)

    def run(self, on_progress: Progress | None = None) -> IngestReport:
        """Run the missing segments and commit; LibraryError when another process is writing, ResourceError on a full disk."""
        plan, started = self.plan, time.perf_counter()
        if plan.new_bytes > plan.free_bytes:
            raise ResourceError(
                f"{plan.folder}: {plan.new_bytes:,} bytes are needed, {plan.free_bytes:,} are free; make room, "
                "choose fewer documents, or put libraries elsewhere with TSCLI_HOME"
            )
        retrieval_heads, group = self.calibrate(), self._decoder.q_heads // self._decoder.kv_heads
        scanned = sorted(retrieval_heads.kv_heads(group)) if retrieval_heads is not None else []
        with Writer(plan.folder) as writer:
            stored = stored_sketch(plan.folder, self._manifest.template)
            records, done, sketch = prefill(
                self._decoder, writer, self._chain, self._work, on_progress=on_progress, workers=self._workers, stored=stored
            )
            writer.commit(self._manifest.with_segments(records), context_arrays(self._context), sketch, scanned)
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
    """Read and tokenise the documents while the model is loaded, and plan the run; writes no keys or values.

    Documents that the library holds from other folders than `paths` stay; a document of these paths that no longer exists is
    dropped. on_event is called from another thread, too. Raises UsageError for more tokens than `max_tokens`, and where no
    document can be read.
    """
    tell = on_event or (lambda *_: None)
    if options.processes is not None and options.processes < 1:
        raise UsageError(f"--processes {options.processes}: must be at least 1")
    folder = library_folder(library)
    held = fingerprint_there(folder)
    better = better_model_hint(load, held)
    load = choose_model(load, held)
    tell("model", str(load.model), 0, 1)
    load, chosen = choose_weights(load, folder.name, held), choose_kv_dtype(options.kv_dtype, folder.name, held)
    named = [Path(path) for path in paths]
    inputs = _load_inputs(named, folder, load, selection, options, tell)
    decoder, tokenizer, template = inputs.decoder, inputs.tokenizer, inputs.template
    config, previous, loaded = inputs.config, inputs.previous, inputs.documents
    settings = _settings(config, options, previous, decoder)
    formats = {
        "kv_dtype": pages_kv_dtype(chosen, decoder.dtype_name),
        "weights": "int8" if decoder.int8_weights else None,
    }
    fingerprint = fingerprint_of(decoder, tokenizer, settings, load.revision, **formats)
    arrangement = arrange(named, loaded.documents, previous)
    if not arrangement.slots:
        raise UsageError(nothing_read(paths, loaded))
    context = _build_context(arrangement, inputs, options.max_tokens, tell)
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
    damage = [inputs.damage] if inputs.damage else []
    notes = [*damage, *plan_notes(named, loaded, arrangement, template, options, settings, decoder), *better]
    scanned = replace(config, scan="exact") if in_sections else config  # without a sketch
    plan = make_plan(folder, context, arrangement, loaded, missing, decoder, scanned, expected, notes, fingerprint)
    ask = partial(passages_as_questions, tokenizer=tokenizer, template=template)
    window = decoder.window if in_sections else 0
    work = PrefillJob.of(
        context.token_ids, chain, config, ask, dense=options.dense, kv_dtype=fingerprint.kv_dtype, window=window
    )
    calibrate = partial(choose_retrieval_heads, None, decoder, tokenizer, template)
    return Preparation(plan, decoder, context, manifest, chain, work, load, calibrate)


@dataclass(frozen=True)
class _Inputs:
    """What a plan is made from; previous: what the library holds, damage: why that could not be read."""

    decoder: Decoder
    tokenizer: Tokenizer
    template: Template
    config: SelectionConfig
    previous: Previous | None
    damage: str | None
    documents: Loaded


def _load_inputs(
    named: Sequence[Path], folder: Path, load: LoadOptions, selection: SelectionOptions, options: IngestOptions, tell: Event
) -> _Inputs:
    """Load the model and check it, while the documents are read."""
    with in_background(partial(_read, named, options, tell)) as reading:
        decoder = load_decoder(replace(load, weights="full"))
        tokenizer = load_tokenizer(str(decoder.folder))
        template = choose_template(tokenizer, options.system, folder)
        config = resolve(selection, decoder.selection_defaults, decoder.window)
        error = check_parity(decoder)
        use_weights(decoder, load.weights, partial(tell, "pack"), ingests=True)
        tell("model", f"{decoder.model_id}: logits within {error:.1g} of transformers'", 1, 1)
        previous, damage = previous_context(folder, named, tokenizer.hash, template)
        return _Inputs(decoder, tokenizer, template, config, previous, damage, reading())


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


def _build_context(arrangement: Arrangement, inputs: _Inputs, max_tokens: int, tell: Event) -> Context:
    """The documents' tokens; OverBudget where they are too many, which also says which files were not read."""
    tell("tokenize", f"{len(arrangement.slots)} documents", 0, 1)
    try:
        context = arrangement.build(inputs.tokenizer, inputs.template, max_tokens)
    except OverBudget as error:
        error.failures, error.passed_over = inputs.documents.failures, inputs.documents.passed_over
        raise
    tell("tokenize", f"{context.token_ids.shape[0]:,} tokens", 1, 1)
    return context


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
