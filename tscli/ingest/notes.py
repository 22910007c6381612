"""The lines that an ingest's plan says beside its figures: what was not read, not used or not done as asked. Runs nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from tscli.documents import Loaded
from tscli.ingest.options import IngestOptions
from tscli.library.arrange import Arrangement
from tscli.model.decoder import Decoder
from tscli.tokens import Template

SHOWN_PATHS = 10


def plan_notes(
    named: Sequence[Path],
    loaded: Loaded,
    arrangement: Arrangement,
    template: Template,
    options: IngestOptions,
    settings: Mapping[str, object],
    decoder: Decoder,
) -> list[str]:
    """All of them, of documents that were loaded from the named paths into a library with these settings."""
    about_files = [*_empty(named, loaded), *_passed_over(loaded), *loaded.notes, *_warnings(loaded), *_kept(arrangement)]
    return [*_unused_template(template), *about_files, *_one_process(options, settings, decoder), *decoder.notes]


def nothing_read(paths: Sequence[str | Path], loaded: Loaded) -> str:
    """Why there is no document at all."""
    named, failures = ", ".join(str(path) for path in paths), loaded.failures
    over = "".join(f"; {line}" for line in _passed_over(loaded))
    if failures:
        return f"{named}: none of {len(failures)} files could be read; first: {failures[0].path}: {failures[0].reason}{over}"
    return f"{named}: no documents found; ignored and hidden files need --no-ignore and --hidden{over}"


def _warnings(loaded: Loaded) -> list[str]:
    """What was found wrong with documents that were read."""
    return [f"{d.path}: {warning}" for d in loaded.documents for warning in d.warnings if "pages without text" not in warning]


def _kept(arrangement: Arrangement) -> list[str]:
    """A line where documents are held twice, and one where files are gone that the library goes on to hold."""
    lines, copies, gone = list[str](), arrangement.copies, arrangement.gone
    if copies:
        these = "new document has" if len(copies) == 1 else "new documents have"
        new, held = copies[0]
        lines.append(
            f"{len(copies):,} {these} the same content as another one, and will be held twice; first: {new}, as {held}"
        )
    if gone:
        these = "document is kept though its file is" if len(gone) == 1 else "documents are kept though their files are"
        lines.append(f"{len(gone):,} {these} no longer there; first: {gone[0]}")
    return lines


def _one_process(options: IngestOptions, settings: Mapping[str, object], decoder: Decoder) -> list[str]:
    """A line where several processes are asked for and one runs all."""
    if (options.processes or 1) == 1 or (settings.get("documents") == "independent" and decoder.device.type == "cpu"):
        return []
    return [f"--processes {options.processes}: one process is used; several need independent documents and the CPU"]


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
        f"{path}: no documents found; ignored and hidden files need --no-ignore and --hidden"
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
