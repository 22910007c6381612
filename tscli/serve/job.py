"""One client's question: what is asked, and the events that the client gets. Plain data; runs nothing."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from tscli.answer.decode import Sampling
from tscli.answer.session import Session
from tscli.answer.statistics import Answer
from tscli.evidence import DocumentMap, Evidence
from tscli.serve.served_libraries import Target


@dataclass(frozen=True)
class Started:
    """It is its turn, and it can be answered."""

    follows_up: bool  # whether what was said before it is seen


@dataclass(frozen=True)
class Piece:
    """Some of the answer's text."""

    text: str


@dataclass(frozen=True)
class Done:
    """The answer is complete. stopped: by a text that ends it, rather than by the model or by its length."""

    session: Session
    answer: Answer
    evidence: Evidence
    map: list[DocumentMap]
    stopped: bool


@dataclass(frozen=True)
class Failed:
    """There is no answer, or no more of it."""

    error: BaseException


Event = Started | Piece | Done | Failed


@dataclass(eq=False)
class Job:
    """tell: hears what happens, on the engine's thread; the last of it is Done or Failed, unless the client has left."""

    target: Target
    question: str
    earlier: tuple[tuple[str, str], ...]
    max_new_tokens: int
    sampling: Sampling
    stops: tuple[str, ...]
    tell: Callable[[Event], None]
    left: bool = False  # whether the client has gone
    came: float = field(default_factory=time.perf_counter)
