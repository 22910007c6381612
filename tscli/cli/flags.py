"""Flags that several commands share. Those with a variable can be set once, also in the file of `tscli config`."""

from __future__ import annotations

from typing import Annotated

import typer

from tscli.cli.completion import library_names
from tscli.cli.old_names import renaming
from tscli.cli.output import say

Library = Annotated[
    str,
    typer.Option(
        "--library",
        "-l",
        envvar="TSCLI_LIBRARY",
        autocompletion=library_names,
        help="Name of the library, or a folder with a slash in it.",
    ),
]
# One or several; what is set for one comes by `configuration.defaults`, because a parser cuts a variable at its spaces.
Libraries = Annotated[
    list[str],
    typer.Option(
        "--library",
        "-l",
        autocompletion=library_names,
        help="Name of the library, or a folder with a slash in it; TSCLI_LIBRARY names one, too. Given again: libraries of "
        "independent documents, joined.",
    ),
]
# The same as an argument, of commands that look after a library; Named must be given, whatever is set.
Name = Annotated[str, typer.Argument(envvar="TSCLI_LIBRARY", autocompletion=library_names, help="Name of the library.")]
Named = Annotated[str, typer.Argument(autocompletion=library_names, help="Name of the library.")]
Model = Annotated[
    str | None,
    typer.Option(
        envvar="TSCLI_MODEL",
        help='Model: hub id, folder, .gguf file, a name of tscli model list, or "reader" (embedded). Default: smollm2 once it '
        "is on this machine, else the reader.",
    ),
]
Revision = Annotated[str | None, typer.Option(envvar="TSCLI_REVISION", help="Revision of a hub model.")]
Dtype = Annotated[str, typer.Option(envvar="TSCLI_DTYPE", help="auto, float32, bfloat16 or float16.")]
LibraryModel = Annotated[
    str | None, typer.Option("--model", help="Model: hub id, folder or .gguf file, of the one that made the library.")
]
LibraryRevision = Annotated[str | None, typer.Option("--revision", help="Revision of a hub model.")]
LibraryDtype = Annotated[str, typer.Option("--dtype", help="auto, float32, bfloat16 or float16.")]
Device = Annotated[str, typer.Option(envvar="TSCLI_DEVICE", help="auto, cpu or cuda.")]
Weights = Annotated[
    str, typer.Option(help="int8: linear layers by 8-bit products (CPU); auto: as the library was made, or the full weights.")
]
KVDtype = Annotated[
    str, typer.Option(help="Keys and values: bf16 or int8; auto: as the library was made, or in the model's dtype.")
]
K = Annotated[
    str | None,
    typer.Option("--k", envvar="TSCLI_K", help='Tokens selected per step: a count, or a share such as "20%".'),
]
NInit = Annotated[int | None, typer.Option(envvar="TSCLI_N_INIT", help="First tokens, always attended.")]
NLocal = Annotated[int | None, typer.Option(envvar="TSCLI_N_LOCAL", help="Tokens right before, always attended.")]
Chunk = Annotated[int | None, typer.Option(envvar="TSCLI_CHUNK", help="Document tokens that select together in prefill.")]
Theta = Annotated[float | None, typer.Option(envvar="TSCLI_THETA", help="Similarity from which a selection is reused.")]
Pool = Annotated[
    int | None,
    typer.Option(envvar="TSCLI_POOL", help="Width over which votes carry to neighbours; 0 is the paper."),
]
Metric = Annotated[str | None, typer.Option(envvar="TSCLI_METRIC", help="soft (the paper), hard or raw.")]
Scale = Annotated[
    str | None,
    typer.Option(envvar="TSCLI_SCALE", help="none (the paper) or sqrt, before the softmax of the vote."),
]
Exact = Annotated[
    bool, typer.Option("--exact", help="Score every cached token exactly, where long contexts are scanned by a sketch.")
]
Json = Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")]


def _question_mode(context: typer.Context, mode: str | None) -> str | None:
    """A question mode by its present name."""
    if mode != "twice":
        return mode
    if not context.resilient_parsing:
        say(context.obj, renaming('question mode "twice"', '"two_pass"'))
    return "two_pass"


QuestionMode = Annotated[
    str | None,
    typer.Option(
        "--question",
        envvar="TSCLI_QUESTION",
        callback=_question_mode,
        help="token: each token of the question selects; chunk: their mean (the paper); two_pass: read again beside what the "
        "first reading chose. Default: what the model brings along, or token.",
    ),
]
Voters = Annotated[
    str | None,
    typer.Option(
        envvar="TSCLI_VOTERS",
        help="Which heads choose passages: calibrated, or all (each token selects, as in the paper). Default: what the model "
        "brings along, or calibrated.",
    ),
]
MaxTokens = Annotated[str, typer.Option(envvar="TSCLI_MAX_TOKENS", help="Most tokens of the whole context: 4096, 256k, 1m.")]
MaxNewTokens = Annotated[int, typer.Option(envvar="TSCLI_MAX_NEW_TOKENS", help="Most tokens of the answer.")]
Stats = Annotated[str, typer.Option(envvar="TSCLI_STATS", help="Statistics: none, short or full (per layer).")]
Top = Annotated[int, typer.Option(envvar="TSCLI_TOP", min=0, help="How many pages to show as sources.")]
Temperature = Annotated[float, typer.Option(help="0 is greedy.")]
TopP = Annotated[float, typer.Option(help="Share of probability that is sampled from.")]
Seed = Annotated[int | None, typer.Option(help="Makes sampling repeatable.")]
NoHistory = Annotated[
    bool, typer.Option("--no-history", help="Keep nothing of what is asked, neither for coverage nor for arrow keys.")
]
System = Annotated[
    str | None,
    typer.Option(
        envvar="TSCLI_SYSTEM",
        help='Instruction before the documents of a new library; "" leaves it out. Default: what the model brings along, or '
        "tscli's own.",
    ),
]
Think = Annotated[
    bool,
    typer.Option("--think", help="Let the model think before it answers, where it can; --max-new-tokens counts that, too."),
]
Dense = Annotated[bool, typer.Option("--dense", help="Full attention at true positions.")]


def scan(exact: bool) -> str | None:
    """What --exact says of how long contexts are scanned; None leaves it to the model."""
    return "exact" if exact else None


def opening(libraries: list[str]) -> str:
    """What is said while they are opened."""
    return f"opening {'library' if len(libraries) == 1 else 'libraries'} {', '.join(libraries)}"
