"""Which tokens of an answer say over again what its question says. Knows a tokenizer; runs no model."""

from __future__ import annotations

from collections.abc import Iterable

from tscli.tokens import Tokenizer


class QuestionTokens:
    """The tokens of one question, in whatever case and place they stand; but no digits, which a number has by chance."""

    def __init__(self, tokenizer: Tokenizer, token_ids: Iterable[int]) -> None:
        self._tokenizer = tokenizer
        self._said = {said for token in token_ids if not any(map(str.isdigit, said := self._text(token)))}

    def __contains__(self, token: int) -> bool:
        return self._text(token) in self._said

    def _text(self, token: int) -> str:
        return self._tokenizer.decode([token]).strip().lower()
