"""An ingest of the API's own plan and report types that runs no model: what the command line must render."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tscli import BytesPerToken, IngestPlan, IngestReport, PlannedDocument
from tscli.documents import Failure

Progress = Callable[[int, int, float], None]


class FakePreparation:
    """A planned ingest of two documents and a lost file; `run` raises `error` where there is one."""

    def __init__(self, error: BaseException | None = None, failures: tuple[Failure, ...] = ()) -> None:
        self.error = error
        documents = (
            PlannedDocument("docs/a\x1b[2J.pdf", 300, 1_048_000, "new", 1),
            PlannedDocument("docs/b.txt", 1, 576, "cached", 0),
        )
        self.plan = IngestPlan(
            library="shelf",
            folder=Path("shelf"),
            documents=documents,
            failures=failures,
            total_tokens=1_048_576,
            cached_tokens=576,
            prefill_tokens=1_048_000,
            total_bytes=5 * 2**30,
            new_bytes=4 * 2**30,
            free_bytes=2**40,
            bytes_per_token=BytesPerToken(kv=11_880, sketch=1440, scanned=264, keys_scanned=4 / 90),
            estimated_seconds=192.0,
            model="reader",
            dtype="bfloat16",
            kv_dtype="int8",
            weights="bfloat16",
            device="cpu",
            processes=1,
            settings={},
            notes=("layer 0 attends to its window only",),
        )

    def calibrate(self, on_progress: Callable[[str, int, int], None] | None = None) -> None:
        """The model's retrieval heads are known already."""

    def run(self, on_progress: Progress | None = None) -> IngestReport:
        """Half of the tokens, then the error, if any; then the other half."""
        plan, half = self.plan, self.plan.prefill_tokens // 2
        for done in (half, plan.prefill_tokens):
            if on_progress:
                on_progress(done, plan.prefill_tokens, done / 1000)
            if self.error:
                raise self.error
        return IngestReport(
            library=plan.library,
            folder=plan.folder,
            documents=plan.documents,
            failures=plan.failures,
            total_tokens=plan.total_tokens,
            cached_tokens=plan.cached_tokens,
            prefilled_tokens=plan.prefill_tokens,
            bytes=plan.total_bytes,
            seconds=1048.0,
            peak_rss_bytes=2**30,
        )
