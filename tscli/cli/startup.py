"""Starting a command: how long that took, and without garbage collection. Does not import torch, which takes longest."""

from __future__ import annotations

import contextlib
import gc
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass

from tscli.cli import BEGAN


@dataclass(frozen=True)
class Startup:
    """Seconds that passed before a library began to be opened: from the process's start to our first line, None where that is
    not known; from there on, imports first of all."""

    process_s: float | None
    import_s: float


def start_until_now() -> Startup:
    """Asked for when all is imported."""
    return Startup(_process_s(), time.perf_counter() - BEGAN)


@contextlib.contextmanager
def loading() -> Iterator[None]:
    """No garbage collection while modules and a model come in, nor later of what is there at its end: all of it stays."""
    gc.disable()
    try:
        yield
        gc.freeze()
    finally:
        gc.enable()


def _process_s() -> float | None:
    """By Linux's own books, to a hundredth. They begin at the fork: not known where a shell ran other things before it became
    us."""
    try:
        import resource

        with open("/proc/self/stat", encoding="utf-8") as file:
            fields = file.read().rpartition(")")[2].split()
        started = int(fields[19]) / os.sysconf("SC_CLK_TCK")  # since boot
        now = time.clock_gettime(time.CLOCK_BOOTTIME)
    except (ImportError, AttributeError, OSError, ValueError, LookupError):
        return None
    if resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss:
        return None
    return max(0.0, now - (time.perf_counter() - BEGAN) - started)
