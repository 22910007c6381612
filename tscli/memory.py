"""What this process holds and does not need any more. Free of torch."""

from __future__ import annotations

import contextlib
import ctypes


def give_back_memory() -> None:
    """Hand what was freed back to the system: glibc keeps it, since buffers of all lengths leave gaps between what is used."""
    with contextlib.suppress(OSError, AttributeError):  # another C library
        ctypes.CDLL(None).malloc_trim(0)
