"""From an exception to an exit code and a message. Prints nothing."""

from __future__ import annotations

import errno

import typer

from tscli.cli.streams import STDOUT
from tscli.errors import ResourceError, TscliError

INTERRUPTED = 130
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
HANDLES = (errno.EMFILE, errno.ENFILE)
# How torch, threads and the loader of libraries say it; the last is what is left where C code could not even make an error.
NO_MEMORY = (
    *("can't allocate memory", "Cannot allocate memory", "can't start new thread", "failed to map segment"),
    "error return without exception set",
)


def exit_code_and_message(error: BaseException) -> tuple[int, str]:
    """The exit code and what to tell the user: the thing, the cause, the way out."""
    if isinstance(error, TscliError):
        return error.exit_code, str(error)
    if isinstance(error, (KeyboardInterrupt, typer.Abort)):
        return INTERRUPTED, "interrupted"
    if _out_of_memory(error):
        return ResourceError.exit_code, "out of memory; choose fewer documents, a smaller model, or --dtype bfloat16"
    if isinstance(error, OSError) and error.strerror:
        return _of_the_system(error)
    first_line = next(iter(str(error).splitlines()), "")
    return 1, f"unexpected {type(error).__name__}: {first_line}; run again with --debug for the traceback"


def _of_the_system(error: OSError) -> tuple[int, str]:
    what = f"{error.filename}: {error.strerror}" if error.filename else str(error.strerror)
    if error.filename == STDOUT:
        return _of_stdout(error)
    if error.errno in FULL:
        return ResourceError.exit_code, f"{what}; make room, or put libraries elsewhere with TSCLI_HOME"
    if error.errno in HANDLES:
        return ResourceError.exit_code, f"{what}; allow more with: ulimit -n 1024"
    if error.errno == errno.EROFS:
        return ResourceError.exit_code, f"{what}; write elsewhere, or choose another TSCLI_HOME"
    return 1, f"{what}; check the path and its permissions, or use --debug for the traceback"


def _of_stdout(error: OSError) -> tuple[int, str]:
    """Whatever is wrong, it is where the result was to go; the library is as it is."""
    if error.errno in FULL:
        return ResourceError.exit_code, f"{STDOUT}: {error.strerror}; make room where it goes, or send it elsewhere"
    if error.errno == errno.EBADF:
        return 1, f"{STDOUT} is closed, so that the result has nowhere to go; send it to a file, or to /dev/null"
    return 1, f"{STDOUT}: {error.strerror}; send it elsewhere"


def _out_of_memory(error: BaseException) -> bool:
    """Python's own, or torch's, which is known by name so that torch need not be imported."""
    torch_cuda = type(error).__name__ == "OutOfMemoryError"
    said = isinstance(error, (RuntimeError, ImportError, OSError, SystemError)) and any(
        words in str(error) for words in NO_MEMORY
    )
    return isinstance(error, MemoryError) or torch_cuda or said or getattr(error, "errno", None) == errno.ENOMEM
