"""One question of a generated context, answered by one method. Plain data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from tscli.evaluation.fidelity import Fidelity


@dataclass(frozen=True)
class Trial:
    """score: 0 to 1. depth: where the needle stands, 0 to 1, None: everywhere or nowhere. fidelity: where it was measured."""

    task: str
    length: int
    depth: float | None
    method: str
    score: float
    question: str
    answer: str
    wanted: tuple[str, ...]
    fidelity: Fidelity | None = None

    @property
    def key(self) -> tuple[int, str, str, str]:
        """What tells it from the other trials of an evaluation."""
        return self.length, self.method, self.task, self.question

    def record(self) -> dict[str, Any]:
        """As a journal keeps it."""
        return asdict(self)

    @classmethod
    def of_record(cls, record: Mapping[str, Any]) -> Trial:
        """As a journal kept it."""
        fidelity = record["fidelity"]
        found = {**record, "wanted": tuple(record["wanted"]), "fidelity": Fidelity(**fidelity) if fidelity else None}
        return cls(**found)
