"""A process of the worker pool: `python -m tscli.ingest.worker_process FD`.

Takes its configuration, loads the model and says "free"; then for each document (a chain) that it is given, says the size of
each chunk that it has run, and "free" again when the segments are on disk. Whatever goes wrong ends it; its parent sees the
pipe close.
"""

from __future__ import annotations

import contextlib
import pickle
import signal
import sys
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tscli.ingest.worker_pool import WorkerConfig

FREE = "free"


def serve(pipe: Connection) -> None:
    """Run documents until the pipe closes; the lock of the library is the parent's."""
    data = pipe.recv_bytes()  # before the imports, which take seconds: the parent waits until this is read
    import torch

    from tscli.ingest.prefill import run_chain
    from tscli.model.load import load_decoder
    from tscli.store import Writer

    config: WorkerConfig = pickle.loads(data)
    torch.set_num_threads(config.threads)
    decoder, writer = load_decoder(config.load), Writer(config.folder)
    while True:
        pipe.send(FREE)
        chain = pipe.recv()
        missing = {segment.id for segment in writer.missing(chain)}
        run_chain(decoder, writer, chain, missing, config.work, pipe.send)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent ends its pool itself
    with contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):
        serve(Connection(int(sys.argv[1])))
