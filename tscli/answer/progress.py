"""What the engine drives of a strategy for one request, from its question to its last token."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor

from tscli.model.step import Pass


class Progress(Protocol):
    """One request while it is answered."""

    def next_pass(self, token: int | None) -> Pass | None:
        """The pass that comes next; None where nothing answers the question. token: the answer's latest one, None before the
        first."""

    def take(self, logits: Tensor) -> Tensor | None:
        """Take that pass's logits [rows, vocab] float32; scores [vocab] of the next token, None while the question is read."""

    def chosen(self, token: int) -> None:
        """Hear which token was chosen by those scores, also the one that ends the answer."""
