"""One question of a generated context, answered by one method. Plain data."""

from __future__ import annotations

from dataclasses import dataclass

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
