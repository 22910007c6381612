"""Ask questions of a whole shelf of documents: read once, keep the paged KV cache, answer by TokenSelect sparse decoding.

    import tscli

    tscli.prepare(["docs/"], library="shelf").run()
    with tscli.open_library("shelf") as session:
        stream = session.ask("When was the lighthouse built?")
        for piece in stream:
            print(piece, end="")
        print(tscli.find_evidence(session, stream.answer).citations[0].quote)

Everything here is imported on first use: `import tscli` loads neither torch nor transformers.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from tscli import errors

if TYPE_CHECKING:
    from tscli.answer.calibration.store import calibrate_model, voters_of
    from tscli.answer.chat import Chat
    from tscli.answer.coverage import Coverage, DocumentCoverage, coverage
    from tscli.answer.session import Session, Stream, open_library
    from tscli.answer.statistics import Answer, Fidelity, LayerStatistics, Source, Statistics
    from tscli.bench import AttentionBench, AttentionRow, BenchResult, BenchRow, benchmark, benchmark_attention
    from tscli.evaluation import (
        Agreement,
        FidelityResult,
        Question,
        QuestionReport,
        Result,
        ScoredAnswer,
        Tally,
        Trial,
        agreement_of,
        ask_all,
        check_picture,
        draw,
        evaluate_tasks,
        every_nth,
        fidelity_of,
        read_questions,
        results_of,
        run_baselines,
    )
    from tscli.evidence import (
        CAVEAT,
        Citation,
        DocumentMap,
        Evidence,
        blocks,
        find_evidence,
        is_weak,
        map_answer,
        render_report,
    )
    from tscli.ingest.doctor import Examination, examine
    from tscli.ingest.ingest import IngestPlan, IngestReport, PlannedDocument, Preparation, prepare
    from tscli.ingest.options import IngestOptions
    from tscli.ingest.rebuild import rebuild_sketch
    from tscli.ingest.repair import RepairReport, repair
    from tscli.library.catalogue import (
        LibraryDetails,
        export_library,
        import_library,
        info,
        libraries,
        prune,
        remove,
        verify,
        versions,
    )
    from tscli.library.storage_format import library_model, planned_model
    from tscli.model.describe import ModelDetails, describe_model, models
    from tscli.model.fetch import default_model, known_models, remove_model
    from tscli.model.identity import fetch_model
    from tscli.model.options import LoadOptions
    from tscli.paths import home, library_names
    from tscli.selection.config import SelectionConfig, SelectionOptions
    from tscli.selection.voters import Voters
    from tscli.store import LibraryInfo, Problem
    from tscli.tokens.counts import parse_count

__version__ = "0.1.0"

_HOMES = {
    "tscli.bench": ("AttentionBench", "AttentionRow", "BenchResult", "BenchRow", "benchmark", "benchmark_attention"),
    "tscli.answer.calibration.store": ("calibrate_model", "voters_of"),
    "tscli.selection.voters": ("Voters",),
    "tscli.library.catalogue": (
        "LibraryDetails", "export_library", "import_library", "info",
        "libraries", "prune", "remove", "verify", "versions",
    ),
    "tscli.answer.chat": ("Chat",),
    "tscli.answer.coverage": ("Coverage", "DocumentCoverage", "coverage"),
    "tscli.ingest.doctor": ("Examination", "examine"),
    "tscli.ingest.ingest": ("IngestPlan", "IngestReport", "PlannedDocument", "Preparation", "prepare"),
    "tscli.library.storage_format": ("library_model", "planned_model"),
    "tscli.ingest.options": ("IngestOptions",),
    "tscli.ingest.rebuild": ("rebuild_sketch",),
    "tscli.ingest.repair": ("RepairReport", "repair"),
    "tscli.answer.session": ("Session", "Stream", "open_library"),
    "tscli.answer.statistics": ("Answer", "Fidelity", "LayerStatistics", "Source", "Statistics"),
    "tscli.evaluation": (
        "Agreement", "FidelityResult", "agreement_of", "fidelity_of",
        "Question", "QuestionReport", "Result", "ScoredAnswer", "Tally", "Trial", "ask_all", "check_picture", "draw",
        "evaluate_tasks", "every_nth", "read_questions", "results_of", "run_baselines",
    ),
    "tscli.evidence": (
        "CAVEAT", "Citation", "DocumentMap", "Evidence", "blocks", "find_evidence", "is_weak", "map_answer", "render_report",
    ),
    "tscli.model.describe": ("ModelDetails", "describe_model", "models"),
    "tscli.model.fetch": ("default_model", "known_models", "remove_model"),
    "tscli.model.identity": ("fetch_model",),
    "tscli.model.options": ("LoadOptions",),
    "tscli.selection.config": ("SelectionConfig", "SelectionOptions"),
    "tscli.paths": ("home", "library_names"),
    "tscli.store": ("LibraryInfo", "Problem"),
    "tscli.tokens.counts": ("parse_count",),
}  # fmt: skip
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "CAVEAT",
    "Agreement",
    "Answer",
    "AttentionBench",
    "AttentionRow",
    "BenchResult",
    "BenchRow",
    "Chat",
    "Citation",
    "Coverage",
    "DocumentCoverage",
    "DocumentMap",
    "Evidence",
    "Examination",
    "Fidelity",
    "FidelityResult",
    "IngestOptions",
    "IngestPlan",
    "IngestReport",
    "LayerStatistics",
    "LibraryDetails",
    "LibraryInfo",
    "LoadOptions",
    "ModelDetails",
    "PlannedDocument",
    "Preparation",
    "Problem",
    "Question",
    "QuestionReport",
    "RepairReport",
    "Result",
    "ScoredAnswer",
    "SelectionConfig",
    "SelectionOptions",
    "Session",
    "Source",
    "Statistics",
    "Stream",
    "Tally",
    "Trial",
    "Voters",
    "__version__",
    "agreement_of",
    "ask_all",
    "benchmark",
    "benchmark_attention",
    "blocks",
    "calibrate_model",
    "check_picture",
    "coverage",
    "default_model",
    "describe_model",
    "draw",
    "errors",
    "evaluate_tasks",
    "every_nth",
    "examine",
    "export_library",
    "fetch_model",
    "fidelity_of",
    "find_evidence",
    "home",
    "import_library",
    "info",
    "is_weak",
    "known_models",
    "libraries",
    "library_model",
    "library_names",
    "map_answer",
    "models",
    "open_library",
    "parse_count",
    "planned_model",
    "prepare",
    "prune",
    "read_questions",
    "rebuild_sketch",
    "remove",
    "remove_model",
    "render_report",
    "repair",
    "results_of",
    "run_baselines",
    "verify",
    "versions",
    "voters_of",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'tscli' has no attribute {name!r}")
    return getattr(import_module(_HOME_OF[name]), name)
