"""The libraries that are served: by name, opened when first asked, and again once they have been ingested anew.

Only names of this list lead to files. Knows libraries and sessions; knows no requests.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import TypeVar
from weakref import WeakValueDictionary

from tscli.answer.session import Session, open_library, own_options
from tscli.library.open_library import OpenLibrary, open_libraries
from tscli.model.decoder import Decoder
from tscli.model.load import load_decoder
from tscli.model.options import LoadOptions
from tscli.paths import MANIFEST, library_folder, library_names
from tscli.store import Fingerprint, Manifest, require_manifest

PAPER = "@paper"
JOINS = "+"
MOST_OPEN = 16  # libraries, and ways of asking and joining them, that are kept open
FileState = tuple[int, int, int]
T = TypeVar("T")


@dataclass(frozen=True)
class Asked:
    """Which libraries are asked, joined where there are several, and whether by the paper's way."""

    names: tuple[str, ...]
    paper: bool = False


class Shelf:
    """Libraries by name; may be used by several threads, but only one may run the sessions.

    names: which are served; without any all that there are, those that are made later among them. read_only: nothing may be
    ingested and no question is remembered.
    """

    def __init__(self, names: Sequence[str] = (), load: LoadOptions = LoadOptions(), *, read_only: bool = False) -> None:  # noqa: B008
        self.read_only = read_only
        self._named = tuple(dict.fromkeys(names))
        self._load = load
        self._decoders: WeakValueDictionary[tuple[LoadOptions, str], Decoder] = WeakValueDictionary()
        self._sessions: dict[Asked, tuple[tuple[FileState, ...], Session]] = {}
        self._opened: dict[str, tuple[FileState, OpenLibrary]] = {}
        self._manifests: dict[str, tuple[FileState, Manifest]] = {}
        self._loading, self._opening, self._reading = Lock(), Lock(), Lock()

    @property
    def names(self) -> tuple[str, ...]:
        """The libraries that are served now."""
        return self._named or tuple(library_names())

    @property
    def takes_new(self) -> bool:
        """Whether a library that is made from now on is served, too."""
        return not self._named and not self.read_only

    def find(self, model: str) -> Asked | None:
        """Which libraries a model's name stands for: NAME, NAME@paper, or NAME+NAME joined; None where there is none."""
        names = self.names
        whole = model.removesuffix(PAPER)
        parts = (whole,) if whole in names else tuple(dict.fromkeys(whole.split(JOINS)))
        return Asked(parts, model != whole) if all(part in names for part in parts) else None

    def manifest(self, name: str) -> Manifest:
        """What a library says of itself now; LibraryError where it is gone or damaged."""
        return self._kept(self._manifests, self._reading, name, lambda: require_manifest(library_folder(name)))

    def opened(self, name: str) -> OpenLibrary:
        """A library's pages and texts as they are now, mapped, without its model; LibraryError as above."""
        return self._kept(self._opened, self._opening, name, lambda: open_libraries([name]))

    def session(self, asked: Asked) -> Session:
        """What answers questions to these libraries as they are now; loads the model where no open library has it.

        Raises LibraryError, ResourceError or UsageError as `open_library` does. A session of before stays whole for whoever
        still uses it. Only those that were asked last stay open.
        """
        with self._loading:
            states = tuple(map(self._state, asked.names))
            kept = self._sessions.get(asked)
            if kept is None or kept[0] != states:
                self._sessions.pop(asked, None)
                how = {"question_mode": "token", "voters": "all"} if asked.paper else {}
                decoder = self._decoder(self.manifest(asked.names[0]).fingerprint)
                session = open_library(asked.names, self._load, decoder=decoder, **how)  # type: ignore[arg-type]
                kept = states, session
            self._sessions[asked] = self._sessions.pop(asked, kept)  # the latest is the last
            while len(self._sessions) > MOST_OPEN:
                del self._sessions[next(iter(self._sessions))]
            return kept[1]

    def _decoder(self, fingerprint: Fingerprint) -> Decoder:
        """The model of a library; libraries of the same model share it, and one that none has open any more is let go."""
        load = own_options(self._load, fingerprint)
        key = load, fingerprint.model_hash
        decoder = self._decoders.get(key)
        if decoder is None:
            decoder = self._decoders[key] = load_decoder(load)
        return decoder

    def _kept(self, kept: dict[str, tuple[FileState, T]], lock: Lock, name: str, read: Callable[[], T]) -> T:
        """What was read of a library, until it is committed anew."""
        with lock:
            state, found = self._state(name), kept.get(name)
            if found is None or found[0] != state:
                found = kept[name] = state, read()
            return found[1]

    def _state(self, name: str) -> FileState:
        """What changes with each commit; zeros where there is no library."""
        try:
            status = os.stat(library_folder(name) / MANIFEST)
        except OSError:
            return 0, 0, 0
        return status.st_ino, status.st_size, status.st_mtime_ns
