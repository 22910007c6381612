"""Read documents while the caller does something else; whoever leaves early ends the reading, with its processes, at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from tscli.documents.document import Loaded
from tscli.documents.load import Stop


@contextmanager
def in_background(read: Callable[[Stop], Loaded]) -> Iterator[Callable[[], Loaded]]:
    """Begin to read in another thread; what is yielded waits for the documents, and raises what the reading raised."""
    stop = Stop()
    with ThreadPoolExecutor(1) as thread:
        reading = thread.submit(read, stop)
        try:
            yield reading.result
        finally:
            stop()
