"""What the harnesses share: a small model, three documents, and children that cost a fork instead of a start of Python.

The parent imports everything and reads the documents once through the real reader; a child takes what was read, leaves out
what only measures (speed, agreement with transformers) and does all the rest for real. Segments hold 512 tokens and sketches
begin at 1,024, so that a small library has several of each.
"""

from __future__ import annotations

import argparse
import contextlib
import faulthandler
import hashlib
import os
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "kernels")]  # run as a script, only its own folder is there
os.environ["TOKENIZERS_PARALLELISM"] = "false"

import torch

import tscli
from tests.model.architectures import save_small_model
from tscli.documents import Loaded, WalkOptions
from tscli.documents import load as load_documents
from tscli.ingest import ingest, reread, sketching
from tscli.ingest.estimate import Estimate
from tscli.selection import candidates
from tscli.store import open_library
from tscli_kernels import compiled

NAMES = ("a", "b", "c")
QUESTION = "Where does the stone stand?"
MEMORY = Path("/dev/shm")
HANGS_S = 300  # no child takes as long


class Workspace:
    """A folder with a model, documents and homes for libraries."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.model = folder / "model"
        self.documents = [folder / "docs" / f"{name}.txt" for name in NAMES]
        self._read: dict[str, Loaded] = {}
        save_small_model(self.model)
        self.documents[0].parent.mkdir()
        for path in self.documents:
            words = " ".join(f"{path.stem}{number * 7919 % 1000} stone" for number in range(300))
            path.write_text(f"The {path.name} begins here. {words}\n")
            self._read[str(path)] = load_documents([path])

    @property
    def load(self) -> tscli.LoadOptions:
        return tscli.LoadOptions(str(self.model), dtype="float32", device="cpu")

    def use_home(self, name: str) -> Path:
        """Libraries lie there from now on."""
        home = self.folder / name
        os.environ["TSCLI_HOME"] = str(home)
        return home

    def make(self, library: str, documents: list[Path], kind: str = "joint") -> Path:
        """Ingest in this process; the library's folder."""
        return tscli.prepare(documents, library, self.load, options=tscli.IngestOptions(documents=kind)).run().folder  # type: ignore[arg-type]

    def ask(self, library: str, seed: int = 0) -> list[int]:
        """The tokens of a sampled answer."""
        with tscli.open_library(library, load=self.load) as session:
            stream = session.ask(QUESTION, max_new_tokens=6, temperature=1.0, seed=seed)
            list(stream)
        return stream.answer.token_ids

    def already_read(self, paths: list[Path], *, options: WalkOptions = WalkOptions(), **_: object) -> Loaded:  # noqa: B008
        """In place of the reader: what it read in the beginning, of documents that are still the same."""
        read = [self._read[str(path)].documents for path in sorted(paths) if path.is_file()]
        return Loaded(tuple(document for documents in read for document in documents), ())


@contextlib.contextmanager
def make_workspace() -> Iterator[Workspace]:
    """A workspace in memory where there is such a disk: what is written there outlives a process as on any other."""
    torch.set_num_threads(1)  # threads do not survive a fork
    compiled.FROM_TOKENS = compiled.PREFERRED_FROM = sys.maxsize  # nor do those of the compiled loops
    ingest.SEGMENT_TOKENS = 512
    for module in (candidates, sketching):
        module.SKETCH_FROM = 1024
    sketching.READING_FROM = 1024
    with tempfile.TemporaryDirectory(prefix="tscli-harness-", dir=MEMORY if MEMORY.is_dir() else None) as folder:
        workspace = Workspace(Path(folder))
        for user in (ingest, reread):
            user.load_documents = workspace.already_read  # type: ignore[assignment]
        ingest.check_parity = lambda decoder: 0.0
        ingest.estimate = lambda *arguments, **options: Estimate(0.0, 1)
        yield workspace


def in_child(work: Callable[[], int | None]) -> int:
    """Fork; the child's process id. Its exit code is what `work` returns, 99 where it raises."""
    sys.stdout.flush()
    child = os.fork()
    if child:
        return child
    code = 99
    faulthandler.dump_traceback_later(HANGS_S, exit=True)  # or whoever waits for it waits for ever
    try:
        code = work() or 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def ended(child: int) -> int:
    """Wait; its exit code, or the signal that ended it as a negative number."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def digest(folder: Path) -> str:
    """SHA-256 over all that a reader sees of a library: tokens, provenance, keys, values, sketch."""
    stored = open_library(folder)
    found = hashlib.sha256()
    for name, tensor in sorted({**stored.context, **stored.sketch}.items()):
        found.update(name.encode() + _bytes(tensor))
    for segment in stored.segments:
        found.update(segment.record.id.encode() + _bytes(segment.key) + _bytes(segment.value))
    return found.hexdigest()


def _bytes(tensor: torch.Tensor) -> bytes:
    """Of any dtype; numpy has no bfloat16."""
    return tensor.contiguous().flatten().view(torch.uint8).numpy().tobytes()


def tell(done: int, runs: int) -> None:
    """Now and then how far it is, on stderr."""
    if done % 50 == 0:
        print(f"{done} of {runs}", file=sys.stderr, flush=True)


def runs_of(text: str | None, runs: int) -> argparse.Namespace:
    """--runs and --seed."""
    parser = argparse.ArgumentParser(description=text, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=runs)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()
