"""What this process holds and does not need any more. Free of torch."""

from __future__ import annotations

import contextlib
import ctypes
import gc


def give_back_memory() -> None:
    """Hand what was held back to the system: what refers to itself goes when Python collects, and glibc keeps what is freed,
    since buffers of all lengths leave gaps between what is still used."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):  # another C library
        ctypes.CDLL(None).malloc_trim(0)
