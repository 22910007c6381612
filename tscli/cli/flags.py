"""The flags that several commands share, each defined here and nowhere else: its name, type, default, check and help.

Those that are a `Setting` are also environment variables and keys of the file of `tscli config`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import tscli
from tscli.cli.completion import library_names
from tscli.cli.settings import Kind, Setting, matching, one_of, settings_of
from tscli.errors import UsageError

if TYPE_CHECKING:
    from tscli import LoadOptions, SelectionOptions

COUNT = matching("a count", r"\d+")
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]
NoHistory = Annotated[
    bool,
    typer.Option("--no-history", help="Keep no record of the questions for tscli coverage."),
]
NoChatHistory = Annotated[
    bool,
    typer.Option("--no-history", help="Keep no record of the questions: none for tscli coverage, none for the arrow keys."),
]
KVDtype = Annotated[
    str,
    typer.Option(
        help="Format of the cached keys and values: bf16, int8, model (its dtype); auto: the library's own, for a new one bf16."
    ),
]

LIBRARY = Setting(
    "library",
    "default",
    matching("a name or a folder", r".+"),
    "Name of the library, or the path of its folder (with a slash in it).",
    short="-l",
    complete=library_names,
)
Library = Annotated[str, LIBRARY]
Libraries = Annotated[
    list[str],
    replace(
        LIBRARY,
        help=f"{LIBRARY.help} TSCLI_LIBRARY also sets it. May be repeated: libraries of independent documents are joined.",
    ),
]
# The same as an argument, of commands that look after a library; Named must be given, whatever is set.
Name = Annotated[str, replace(LIBRARY, positional=True, help="Name of the library; may also be given as -l NAME.")]
Named = Annotated[str, typer.Argument(autocompletion=library_names, help="Name of the library; may also be given as -l NAME.")]

MODEL = Setting(
    "model",
    None,
    matching("a hub id, a folder, a .gguf file, a short name or reader", r".+"),
    'Model: a hub id, a folder, a .gguf file, a name from tscli model list, or "reader", the embedded one. Default: '
    "smollm2 if it is on this machine, else the reader.",
)
REVISION = Setting(
    "revision", None, matching("a revision of a hub model", r".+"), "Revision of a hub model: a branch, a tag or a commit."
)
DTYPE = Setting(
    "dtype",
    "auto",
    one_of("auto", "float32", "bfloat16", "float16"),
    "Dtype of the weights: auto, float32, bfloat16 or float16.",
)
Device = Annotated[
    str,
    Setting("device", "auto", matching("auto, cpu or cuda", r"auto|cpu|cuda(:\d+)?"), "Device: auto, cpu or cuda."),
]
Weights = Annotated[
    str,
    typer.Option(
        help="Format of the weights. full: unquantised. int8: W8A8 linear layers, CPU only. auto (default): as the library was "
        "built; decoding uses a GGUF file's own quantised weights."
    ),
]


@dataclass(frozen=True, kw_only=True)
class Model:
    """Which model, and how it is loaded."""

    model: Annotated[str | None, MODEL]
    revision: Annotated[str | None, REVISION]
    dtype: Annotated[str, DTYPE]
    device: Device
    weights: Weights = "auto"

    def options(self) -> LoadOptions:
        """As the API takes them."""
        return tscli.LoadOptions(self.model, self.revision, self.dtype, self.device, self.weights)


@dataclass(frozen=True, kw_only=True)
class LibraryModel:
    """The same for commands that open libraries, which know their model: what is set once, for new ones, does not fit."""

    library_model: Annotated[
        str | None,
        replace(MODEL, once=False, help="Where to find the model that made the library: a hub id, a folder or a .gguf file."),
    ]
    library_revision: Annotated[str | None, replace(REVISION, once=False)]
    library_dtype: Annotated[str, replace(DTYPE, once=False)]
    device: Device
    weights: Weights = "auto"

    def options(self) -> LoadOptions:
        """As the API takes them."""
        named = self.library_model, self.library_revision, self.library_dtype
        return tscli.LoadOptions(*named, self.device, self.weights)


QUESTION_MODES = (
    "token: each of its tokens selects; chunk: their mean query does, as in the paper; two_pass: the question is prefilled "
    "again, attending to what the first pass selected. Default: the model's own, or token."
)
QUESTION_MODE = Setting(
    "question_mode",
    None,
    one_of("token", "chunk", "two_pass"),
    f"How a question selects tokens; implies --voters all. {QUESTION_MODES}",
    renamed={"twice": "two_pass"},
)


@dataclass(frozen=True, kw_only=True)
class Question:
    """How a question is read, and how what it attends to is chosen; by the names that `tscli.open_library` has for it."""

    question_mode: Annotated[str | None, QUESTION_MODE]
    voters: Annotated[
        str | None,
        Setting(
            "voters",
            None,
            one_of("calibrated", "all"),
            "Which heads choose what the answer attends to. calibrated: the model's retrieval heads choose passages; all: "
            "all heads vote at each token, as in the paper. Default: the model's own, or calibrated.",
        ),
    ]
    dense: Annotated[bool, typer.Option("--dense", help="Attend to all tokens at their original positions.")] = False
    think: Annotated[
        bool,
        typer.Option(
            "--think", help="Let the model think before it answers, if it can; --max-new-tokens includes its thoughts."
        ),
    ] = False


def _selection(name: str, words: str, text: str, convert: Callable[[str], object] = int) -> Setting:
    """One that the model has where nobody gives it; what it may be the API says."""

    def accepts(value: str) -> bool:
        try:
            tscli.SelectionOptions(**{name: convert(value)}).check()  # type: ignore[arg-type]
        except (UsageError, ValueError):
            return False
        return True

    return Setting(name, None, Kind(words, accepts), text)


@dataclass(frozen=True, kw_only=True)
class Selection:
    """The settings of TokenSelect; None leaves one to the model."""

    k: Annotated[
        str | None,
        _selection(
            "k", "a count or a share such as 20%", 'How many tokens each step selects: a count, or a share such as "20%".', str
        ),
    ]
    n_init: Annotated[
        int | None, _selection("n_init", "a count", "How many of the context's first tokens are always attended.")
    ]
    n_local: Annotated[
        int | None, _selection("n_local", "a count", "How many tokens right before the query are always attended.")
    ]
    chunk: Annotated[
        int | None,
        _selection("chunk", "a power of two from 16 to 16384", "How many document tokens share one selection in prefill."),
    ]
    theta: Annotated[
        float | None,
        _selection(
            "theta",
            "a number from -1 to 1.01",
            "Reuse a selection if the cosine similarity of the queries is at least this.",
            float,
        ),
    ]
    pool: Annotated[
        int | None,
        _selection(
            "pool",
            "0 or an odd number",
            "Width of the max-pooling of votes over neighbouring tokens; 0, as in the paper, is none.",
        ),
    ]
    metric: Annotated[
        str | None,
        _selection(
            "metric",
            "soft, hard or raw",
            "How a head votes: soft, by softmax (the paper); hard, for its best tokens; raw, by its scores.",
            str,
        ),
    ]
    scale: Annotated[
        str | None,
        _selection(
            "scale",
            "none or sqrt",
            "Scale of the scores before the vote: none (the paper) or sqrt, which is 1/sqrt(head_dim).",
            str,
        ),
    ]
    exact: Annotated[
        bool,
        typer.Option("--exact", help="Score every cached key exactly, instead of finding candidates by a sketch of the keys."),
    ] = False

    def options(self) -> SelectionOptions:
        """As the API takes them."""
        values = {name: value for name, value in vars(self).items() if name != "exact"}
        return tscli.SelectionOptions(**values, scan="exact" if self.exact else None)


System = Annotated[
    str | None,
    Setting(
        "system",
        None,
        matching("a text", r"(?s).*"),
        "Instruction before the documents of a new library; \"\" leaves it out. Default: the model's, or tscli's.",
    ),
]
MaxTokens = Annotated[
    str,
    Setting(
        "max_tokens",
        "1m",
        matching("a number of tokens such as 4096, 256k or 1m", r"\d[\d_,]*(\.\d+)?\s*[kKmM]?"),
        "Most tokens that the library may hold, such as 4096, 256k or 1m.",
    ),
]
MaxNewTokens = Annotated[
    int, Setting("max_new_tokens", 128, matching("a count from 1", r"0*[1-9]\d*"), "Most tokens that an answer may have.")
]
TOP = Setting("top", 5, COUNT, "Most sentences to cite.")
Top = Annotated[int, TOP]
ChatTop = Annotated[int, replace(TOP, help="Most pages that /sources lists.")]


@dataclass(frozen=True, kw_only=True)
class Decoding:
    """How the tokens of an answer are chosen; by the names that `Session.ask` has for it."""

    max_new_tokens: MaxNewTokens
    temperature: Annotated[float, typer.Option(help="Sampling temperature; 0 always takes the most likely token.")] = 0.0
    top_p: Annotated[float, typer.Option(help="Sample from the most likely tokens that together have this probability.")] = 1.0
    seed: Annotated[int | None, typer.Option(help="Seed of the sampling: the same seed gives the same answer.")] = None


@dataclass(frozen=True, kw_only=True)
class Shown:
    """What is shown of an answer besides its text, and where."""

    as_json: Json = False
    stats: Annotated[
        str, Setting("stats", "short", one_of("none", "short", "full"), "Statistics to print: none, short or full (per layer).")
    ]
    top: Top
    html: Annotated[
        Path | None,
        typer.Option(help="Write an HTML report on this answer: its words, the passages that they attended to, a heat map."),
    ] = None
    ablate: Annotated[
        bool, typer.Option("--ablate", help="Answer again without the cited passages, to see whether the answer changes.")
    ] = False
    map_: Annotated[
        bool | None,
        typer.Option("--map/--no-map", help="Draw where in each document the answer attended. Default: on a terminal."),
    ] = None


SETTINGS = settings_of(Library, Model, Question, Selection, System, MaxTokens, MaxNewTokens, Shown)


def opening(libraries: list[str]) -> str:
    """What is said while they are opened."""
    return f"opening {'library' if len(libraries) == 1 else 'libraries'} {', '.join(libraries)}"
