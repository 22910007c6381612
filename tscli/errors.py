"""The exception tree. Every error that a user can cause is one of these; the message says what, why and what to do.

TscliError            exit 1
├── UsageError        exit 2    a flag or argument is wrong
│   └── WindowFull              a conversation has no room left in the model's window
├── PartialIngest     exit 3    some files could not be read, the rest is in the library
├── LibraryError      exit 4    no library, or it does not fit the model
│   └── DamagedLibrary          a file of it is missing or not what was written
└── ResourceError     exit 5    memory or disk does not suffice
"""

from __future__ import annotations


class TscliError(Exception):
    """An error with a message fit for the user: the thing, the cause, the way out."""

    exit_code = 1


class UsageError(TscliError):
    """A flag, argument or setting that cannot be used."""

    exit_code = 2


class WindowFull(UsageError):
    """A conversation and the next question do not fit in the model's window together."""


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
