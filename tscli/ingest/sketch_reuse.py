"""What of a library's stored sketch still holds when the library is ingested into again.

A projection is a function of the segments that `calibrate` reads, the first ones, and of how the library is asked: where these
are what they were, to calibrate again would give the same bits, however much has come behind them. So it is kept exactly then,
and no growth wears it out. The codes and outliers of a segment follow from the projection and its keys.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from tscli.errors import LibraryError
from tscli.ingest.sketching import ReusablePart, ReusableSketch, num_fitted
from tscli.library.layout import sketch_of
from tscli.selection.sketch import Sketch, num_outliers
from tscli.store import PlannedSegment, SegmentRecord, Writer, read_manifest, read_sketch
from tscli.tokens import same_prompt


@dataclass(frozen=True)
class StoredSketch:
    """A library's sketch and the segments that it is of."""

    sketch: Sketch
    segments: tuple[SegmentRecord, ...]

    def reusable(self, writer: Writer, planned: Sequence[PlannedSegment], missing: Collection[str]) -> ReusableSketch | None:
        """What of it holds for the planned segments; None where the projection does not. missing: ids of those that are to be
        run."""
        here = [None if segment.id in missing else writer.record(segment) for segment in planned]
        fitted = self.segments[: num_fitted(record.start for record in self.segments)]
        if tuple(here[: num_fitted(segment.start for segment in planned)]) != fitted:
            return None
        stored = {(record.id, record.xxh3): part for record, part in zip(self.segments, self._parts(), strict=True)}
        found = {record.start: stored.get((record.id, record.xxh3)) for record in here if record is not None}
        parts = {start: part for start, part in found.items() if part is not None}
        return ReusableSketch(self.sketch.projection, parts, tuple(here) == self.segments)

    def _parts(self) -> list[ReusablePart]:
        parts, at = [], 0
        for record in self.segments:
            count = num_outliers(record.num_tokens)
            key_codes = self.sketch.key_codes[:, :, :, record.start : record.start + record.num_tokens]
            parts.append(ReusablePart(key_codes, self.sketch.outliers[:, :, at : at + count] - record.start))
            at += count
        return parts


def stored_sketch(folder: Path, template: Mapping[str, Any]) -> StoredSketch | None:
    """The sketch that a library holds, mapped; None where there is none, it is damaged or of another version, or was fitted to
    another template's questions."""
    try:
        manifest = read_manifest(folder)
        if manifest is None or not same_prompt(manifest.template, template, "prefix", "middle", "suffix"):
            return None
        sketch = sketch_of(read_sketch(folder, manifest), torch.device("cpu"))
    except LibraryError:
        return None
    if sketch is None or sketch.length != manifest.num_tokens:
        return None
    return StoredSketch(sketch, manifest.segments)
