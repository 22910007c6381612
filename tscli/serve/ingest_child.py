"""An ingest in a process of its own: plans, says so, waits for the word, runs, and tells how far it is.

`python -m tscli.serve.ingest_child FD`. In comes ("prepare", paths, library), then ("run",); out go ("doing", what, done,
total), ("plan", {...}), ("prefill", done, total, seconds), and at last ("done", {...}) or ("error", message). It ends when
nobody is at the other end.
"""

from __future__ import annotations

import os
import sys
from multiprocessing.connection import Connection
from typing import Any

import tscli
from tscli.errors import TscliError

MOST_NOTES = 20
POLITE = 5  # answers go first
WORDS = {"file": "reading", "tokenize": "tokenising", "model": "loading", "measure": "measuring"}


def main() -> None:
    """Until the ingest is done, or the other end is gone."""
    os.nice(POLITE)
    pipe = Connection(int(sys.argv[1]))
    try:
        _ingest(pipe)
    except TscliError as error:
        pipe.send(("error", str(error)))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return
    except Exception as error:
        pipe.send(("error", f"the ingest ended with an error of tscli itself ({type(error).__name__}: {error})"))


def _ingest(pipe: Connection) -> None:
    _, paths, library = pipe.recv()

    def on_event(kind: str, detail: str, done: int, total: int) -> None:
        pipe.send(("doing", f"{WORDS.get(kind, kind)} {detail}", done, total))

    preparation = tscli.prepare(paths, library, on_event=on_event)
    pipe.send(("plan", _plan(preparation.plan)))
    pipe.recv()
    preparation.calibrate(lambda what, done, total: pipe.send(("doing", f"calibrating: {what}", done, total)))
    report = preparation.run(lambda done, total, seconds: pipe.send(("prefill", done, total, seconds)))
    done = {"documents": len(report.documents), "tokens": report.total_tokens, "prefilled_tokens": report.prefilled_tokens}
    pipe.send(("done", {**done, "bytes": report.bytes, "seconds": report.seconds}))


def _plan(plan: tscli.IngestPlan) -> dict[str, Any]:
    """What there is to decide about: of the documents those that the library does not hold as they are."""
    new = [document for document in plan.documents if document.status != "cached"]
    numbers = ("total_tokens", "cached_tokens", "prefill_tokens", "new_bytes", "free_bytes", "estimated_seconds", "model")
    return {
        "documents": [{name: getattr(d, name) for name in ("path", "pages", "tokens", "status")} for d in new],
        "failures": [vars(failure) for failure in (*plan.failures, *plan.passed_over)],
        "notes": list(plan.notes[:MOST_NOTES]),
        **{name: getattr(plan, name) for name in numbers},
    }


if __name__ == "__main__":
    main()
