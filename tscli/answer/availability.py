"""Whether a strategy can answer now; UsageError where it cannot."""

from __future__ import annotations

from tscli.errors import UsageError


def check_open(is_closed: bool) -> None:
    """There are pages to answer from."""
    if is_closed:
        raise UsageError("the library has been closed, so nothing can be asked; open it again")


def check_free(is_closed: bool, is_busy: bool) -> None:
    """There are, and no other request is in progress."""
    check_open(is_closed)
    if is_busy:
        raise UsageError("another answer of this session is still streaming; finish it first")
