"""The libraries that are served, by name: opened by their first question, and again once they have been re-ingested.

Only names of this list lead to files. Knows libraries and sessions; knows no requests.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any, TypeVar
from weakref import WeakValueDictionary

from tscli.answer.session import Session, open_library, own_options
from tscli.errors import UsageError
from tscli.library.open_library import OpenLibrary, open_libraries
from tscli.model.decoder import Decoder
from tscli.model.gguf_header import OnStep
from tscli.model.identity import fetch_model
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
class Target:
    """Which libraries are asked, joined where there are several, and whether by the paper's way."""

    names: tuple[str, ...]
    paper: bool = False


class ServedLibraries:
    """Libraries by name; may be used by several threads, but only one may run the sessions.

    names: which are served; without any all that there are, those that are made later among them. One that is given by its path
    is served by its folder's name: no client hears where anything lies. read_only: nothing may be ingested and no question is
    remembered. on_step: told what is done that takes long when a model is first used. UsageError where two would have one name.
    """

    def __init__(
        self,
        names: Sequence[str] = (),
        load: LoadOptions = LoadOptions(),  # noqa: B008 - frozen
        *,
        read_only: bool = False,
        on_step: OnStep | None = None,
    ) -> None:
        self.read_only = read_only
        self._on_step = on_step
        self._named: dict[str, str] = {}  # by the name under which it is served: as it was given
        for given in dict.fromkeys(names):
            name = library_folder(given).name
            if name in self._named:
                raise UsageError(f"two libraries would be served as {name!r}: {self._named[name]} and {given}; leave one out")
            self._named[name] = given
        self._load = load
        self._decoders: WeakValueDictionary[tuple[LoadOptions, str], Decoder] = WeakValueDictionary()
        self._sessions: dict[Target, tuple[tuple[FileState, ...], Session]] = {}
        self._opened: dict[str, tuple[FileState, OpenLibrary]] = {}
        self._manifests: dict[str, tuple[FileState, Manifest]] = {}
        self._loading, self._opening, self._reading = Lock(), Lock(), Lock()

    @property
    def names(self) -> tuple[str, ...]:
        """The libraries that are served now."""
        return tuple(self._named or library_names())

    @property
    def takes_new(self) -> bool:
        """Whether a library that is made from now on is served, too."""
        return not self._named and not self.read_only

    def find(self, model: str) -> Target | None:
        """Which libraries a model's name stands for: NAME, NAME@paper, or NAME+NAME joined; None where there is none."""
        names = self.names
        whole = model.removesuffix(PAPER)
        parts = (whole,) if whole in names else tuple(dict.fromkeys(whole.split(JOINS)))
        return Target(parts, model != whole) if all(part in names for part in parts) else None

    def given(self, name: str) -> str:
        """What `library_folder` makes a folder of, of a library that is served or may be made."""
        return self._named.get(name, name)

    def folder(self, name: str) -> Path:
        """Where it lies."""
        return library_folder(self.given(name))

    def served_names(self, session: Session) -> dict[str, str]:
        """The names under which the libraries of a session are served, by what it calls them, in their order."""
        names = {self.folder(name): name for name in self.names}
        parts = zip(session.opened.names, session.opened.libraries, strict=True)
        return {own: names.get(stored.folder, stored.folder.name) for own, stored in parts}

    def manifest(self, name: str) -> Manifest:
        """What a library says of itself now; LibraryError where it is gone or damaged."""
        return self._kept(self._manifests, self._reading, name, lambda: require_manifest(self.folder(name)))

    def opened(self, name: str) -> OpenLibrary:
        """A library's pages and texts as they are now, mapped, without its model; LibraryError as above."""
        return self._kept(self._opened, self._opening, name, lambda: open_libraries([self.given(name)]))

    def session(self, target: Target) -> Session:
        """What answers questions to these libraries as they are now; loads the model where no open library has it.

        Raises LibraryError, ResourceError or UsageError as `open_library` does. A session of before stays whole for whoever
        still uses it. Only those that were asked last stay open.
        """
        self.close_changed()
        with self._loading:
            kept = self._sessions.get(target)
            if kept is None:
                states = tuple(map(self._state, target.names))
                decoder = self._decoder(self.manifest(target.names[0]).fingerprint)
                how: dict[str, Any] = {"question_mode": "token", "voters": "all"} if target.paper else {}
                how |= {"decoder": decoder, "on_step": self._on_step}
                session = open_library([*map(self.given, target.names)], self._load, **how)
                kept = states, session
            self._sessions[target] = self._sessions.pop(target, kept)  # the latest is the last
            while len(self._sessions) > MOST_OPEN:
                del self._sessions[next(iter(self._sessions))]
            return kept[1]

    def close_changed(self) -> None:
        """Let go of libraries that have been removed, or ingested anew, since they were opened: what they hold on disk and in
        memory is free once no answer goes on that uses it."""
        with self._loading:
            for target, (states, _) in list(self._sessions.items()):
                if states != tuple(map(self._state, target.names)):
                    del self._sessions[target]
        for kept, lock in ((self._opened, self._opening), (self._manifests, self._reading)):
            with lock:
                for name, (state, _) in list(kept.items()):
                    if state != self._state(name):
                        del kept[name]

    def _decoder(self, fingerprint: Fingerprint) -> Decoder:
        """The model of a library; libraries of the same model share it, and one that none has open any more is let go."""
        load = own_options(self._load, fingerprint)
        key = load, fingerprint.model_hash
        decoder = self._decoders.get(key)
        if decoder is None:
            fetch_model(load, on_step=self._on_step)
            decoder = self._decoders[key] = load_decoder(load, self._on_step, lasting=True)
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
            status = os.stat(self.folder(name) / MANIFEST)
        except OSError:
            return 0, 0, 0
        return status.st_ino, status.st_size, status.st_mtime_ns
