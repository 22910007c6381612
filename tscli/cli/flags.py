"""Flags that several commands share."""

from __future__ import annotations

from typing import Annotated, Optional

import typer

Library = Annotated[str, typer.Option("--library", "-l", help="Name of the library, or a folder with a slash in it.")]
Model = Annotated[
    Optional[str],  # noqa: UP045 - typer reads it on Python 3.10
    typer.Option(help='Model: hub id, folder, or "reader" (embedded, the default).'),
]
Revision = Annotated[Optional[str], typer.Option(help="Revision of a hub model.")]  # noqa: UP045
Dtype = Annotated[str, typer.Option(help="auto, float32, bfloat16 or float16.")]
Device = Annotated[str, typer.Option(help="auto, cpu or cuda.")]
K = Annotated[Optional[str], typer.Option("--k", help='Tokens selected per step: a count, or a share such as "20%".')]  # noqa: UP045
NInit = Annotated[Optional[int], typer.Option(help="First tokens, always attended.")]  # noqa: UP045
NLocal = Annotated[Optional[int], typer.Option(help="Tokens right before, always attended.")]  # noqa: UP045
Chunk = Annotated[Optional[int], typer.Option(help="Document tokens that select together in prefill.")]  # noqa: UP045
Theta = Annotated[Optional[float], typer.Option(help="Similarity from which a selection is reused.")]  # noqa: UP045
Pool = Annotated[Optional[int], typer.Option(help="Width over which votes carry to neighbours; 0 is the paper.")]  # noqa: UP045
Metric = Annotated[Optional[str], typer.Option(help="soft (the paper), hard or raw.")]  # noqa: UP045
Scale = Annotated[Optional[str], typer.Option(help="none (the paper) or sqrt, before the softmax of the vote.")]  # noqa: UP045
Exact = Annotated[
    bool, typer.Option("--exact", help="Score every cached token exactly, where long contexts are scanned by a sketch.")
]
Json = Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")]
QuestionMode = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option(
        "--question",
        help="token: each token of the question selects; chunk: their mean (the paper); twice: read again beside what the "
        "first reading chose. Default: what the model brings along, or token.",
    ),
]
Top = Annotated[int, typer.Option(help="How many pages to show as sources.")]
MaxNewTokens = Annotated[int, typer.Option(help="Most tokens of the answer.")]
Temperature = Annotated[float, typer.Option(help="0 is greedy.")]
TopP = Annotated[float, typer.Option(help="Share of probability that is sampled from.")]
Seed = Annotated[Optional[int], typer.Option(help="Makes sampling repeatable.")]  # noqa: UP045
NoHistory = Annotated[
    bool, typer.Option("--no-history", help="Keep nothing of what is asked, neither for coverage nor for arrow keys.")
]
Dense = Annotated[bool, typer.Option("--dense", help="Full attention at true positions.")]


def scan(exact: bool) -> str | None:
    """What --exact says of how long contexts are scanned; None leaves it to the model."""
    return "exact" if exact else None
