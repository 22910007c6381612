"""The exception tree. Every error that a user can cause is one of these; the message says what, why and what to do.

TscliError            exit 1
├── UsageError        exit 2    a flag or argument is wrong
│   ├── WindowFull              a conversation has no room left in the model's window
│   └── OverBudget              the documents have more tokens than --max-tokens
├── PartialIngest     exit 3    some files could not be read, the rest is in the library
├── LibraryError      exit 4    no library, or it does not fit the model
│   └── DamagedLibrary          a file of it is missing or not what was written
└── ResourceError     exit 5    memory or disk does not suffice
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

SHOWN_PATHS = 3


class TscliError(Exception):
    """An error with a message fit for the user: the thing, the cause, the way out."""

    exit_code = 1


class UsageError(TscliError):
    """A flag, argument or setting that cannot be used."""

    exit_code = 2


class WindowFull(UsageError):
    """A conversation and the next question do not fit in the model's window together."""


class OverBudget(UsageError):
    """The documents have more tokens than is allowed; nothing was cut.

    documents: (path, pages, tokens) of each, the largest first; total, limit: tokens of the whole; leave_out: paths of
    documents without which the rest fits, as few as can be. failures, passed_over: what else became of the files.
    """

    def __init__(self, documents: Iterable[tuple[str, int, int]], total: int, limit: int) -> None:
        self.documents = tuple(sorted(documents, key=lambda document: (-document[2], document[0])))
        self.total, self.limit = total, limit
        self.leave_out = _fewest([(path, tokens) for path, _, tokens in self.documents], total - limit)
        self.failures: tuple[Any, ...] = ()
        self.passed_over: tuple[Any, ...] = ()
        super().__init__(
            f"the documents have {total:,} tokens, {total - limit:,} more than the limit of {limit:,}; "
            f"nothing was cut: raise --max-tokens, or choose fewer documents{_without(self.leave_out)}"
        )


class PartialIngest(TscliError):
    """Some files were lost; everything else was ingested."""

    exit_code = 3


class LibraryError(TscliError):
    """No library, one made by another model or settings, or a damaged one."""

    exit_code = 4


class DamagedLibrary(LibraryError):
    """A file of a library is not what was written; `what` names it and says why, without the way out."""

    def __init__(self, what: str, way_out: str = "tscli repair makes the library whole again") -> None:
        super().__init__(f"{what}; {way_out}")
        self.what = what


class ResourceError(TscliError):
    """Not enough memory or disk."""

    exit_code = 5


def _fewest(documents: Sequence[tuple[str, int]], over: int) -> tuple[str, ...]:
    """The largest documents until what is over is gone; of those that would do as the last one, the smallest."""
    left_out: list[str] = []
    for index, (path, tokens) in enumerate(documents):
        if tokens >= over:
            enough = [each for each, size in documents[index:] if size >= over]
            return (*left_out, enough[-1])
        left_out.append(path)
        over -= tokens
    return ()


def _without(paths: Sequence[str]) -> str:
    if not paths:
        return ""
    more = f" and {len(paths) - SHOWN_PATHS:,} more" if len(paths) > SHOWN_PATHS else ""
    return f" (without {', '.join(paths[:SHOWN_PATHS])}{more} it fits)"
