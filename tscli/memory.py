"""The machine's memory: how much there is, how much can be had, and what this process gives back. Free of torch."""

from __future__ import annotations

import contextlib
import ctypes
import os
from pathlib import Path


def physical_bytes() -> int | None:
    """The memory of the machine; None where the system does not tell."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError, AttributeError):
        return None


def available_bytes() -> int | None:
    """Memory that can be had without swapping, the page cache's included; None where the system does not tell."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration):
        return None


def give_back_memory() -> None:
    """Hand what was freed back to the system: glibc keeps it, since buffers of all lengths leave gaps between what is used."""
    with contextlib.suppress(OSError, AttributeError):  # another C library
        ctypes.CDLL(None).malloc_trim(0)
