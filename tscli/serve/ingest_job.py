"""One ingest of uploaded files as the server sees it: the process that does it, and what it said last."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from tscli import processes
from tscli.errors import TscliError
from tscli.paths import library_folder
from tscli.store import read_manifest

MODULE = "tscli.serve.ingest_child"
PATIENCE_S = 900.0  # that a plan waits to be started, before it may be replaced
ENDED = ("done", "failed", "cancelled")


class IngestJob:
    """state: planning, planned, running, and one of ENDED. Files that the library does not hold in the end are removed.

    library: the name under which it is served; given: its name or path as `tscli ingest` takes it.
    """

    def __init__(self, library: str, given: str, folder: Path, paths: Sequence[Path]) -> None:
        self.id = secrets.token_hex(8)
        self.library, self.folder, self._given = library, folder, given
        self._lock = threading.Lock()
        self._state, self._since = "planning", time.monotonic()
        self._said: dict[str, Any] = {"doing": "starting", "files": [path.name for path in paths]}
        self._process, self._pipe = processes.start(MODULE)
        self._pipe.send(("prepare", [str(path) for path in paths], given))
        self._thread = threading.Thread(target=self._listen, name="ingest", daemon=True)
        self._thread.start()

    @property
    def is_busy(self) -> bool:
        """Whether another one has to wait; one whose plan nobody starts is not waited for."""
        with self._lock:
            waited = self._state == "planned" and time.monotonic() - self._since > PATIENCE_S
            busy = self._state not in ENDED and not waited
        if waited:
            self.cancel()
        return busy

    def state(self) -> dict[str, Any]:
        """As JSON: id, library, state, and what was said: files, doing, progress, plan, report, error."""
        with self._lock:
            return {"id": self.id, "library": self.library, "state": self._state, **self._said}

    def start(self) -> bool:
        """Run what is planned; False where nothing is."""
        with self._lock:
            if self._state != "planned":
                return False
            self._state, self._said = "running", {**self._said, "doing": "starting", "progress": None}
            with suppress(OSError):  # the process has ended: the thread that listens says so
                self._pipe.send(("run",))
        return True

    def cancel(self) -> None:
        """End the process, if it has not ended; segments that it wrote are found again by the next ingest of these files."""
        with self._lock:
            if self._state in ENDED:
                return
            self._state = "cancelled"
        self._process.kill()
        self._thread.join()

    def _listen(self) -> None:
        try:
            while True:
                self._take(self._pipe.recv())
        except (EOFError, OSError):
            code = self._process.wait()
            self._fail(f"the process that ingests has ended (exit code {code}); what it wrote is kept, try again")
        finally:
            self._pipe.close()
            self._process.wait()
            self._tidy()

    def _take(self, message: tuple[Any, ...]) -> None:
        kind, *rest = message
        with self._lock:
            if self._state in ENDED:
                return
            if kind == "doing":
                self._said = {**self._said, "doing": rest[0], "progress": {"done": rest[1], "total": rest[2]}}
            elif kind == "prefill":
                progress = {"done": rest[0], "total": rest[1], "seconds": rest[2]}
                self._said = {**self._said, "doing": "prefill", "progress": progress}
            elif kind == "plan":
                self._state, self._since = "planned", time.monotonic()
                self._said = {**self._said, "doing": "", "progress": None, "plan": rest[0]}
            elif kind == "done":
                self._state, self._said = "done", {**self._said, "doing": "", "progress": None, "report": rest[0]}
        if kind == "error":
            self._fail(rest[0])

    def _fail(self, why: str) -> None:
        with self._lock:
            if self._state not in ENDED:
                self._state, self._said = "failed", {**self._said, "doing": "", "progress": None, "error": why}

    def _tidy(self) -> None:
        remove_unheld(library_folder(self._given), self.folder)


def remove_unheld(library: Path, folder: Path) -> None:
    """Remove those of an upload's files that the library (its folder) does not hold, and the folders that are empty then."""
    with suppress(OSError, TscliError):  # a library that cannot be read: its files are left alone
        manifest = read_manifest(library)
        held = {str(record["source"]) for record in manifest.documents} if manifest else set()
        for path in folder.iterdir():
            if str(path.resolve()) not in held and not any(name.startswith(f"{path.resolve()}/") for name in held):
                path.unlink()
        for empty in (folder, folder.parent, folder.parent.parent):
            empty.rmdir()  # fails, as it should, where anything is left
