"""Ways of attending that are compared with each other, by name.

dense: all, at true positions. streaming: first and local tokens only, as many as TokenSelect attends to (StreamingLLM,
arXiv 2309.17453). tokenselect: the settings as they are. tokenselect-NAME=VALUE: one of them changed. voters: passages that the
model's retrieval heads find, of a context read in dense sections.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, cast, get_args

from tscli.answer.token_select_strategy import OLD_MODES, QuestionMode
from tscli.errors import UsageError
from tscli.selection.config import SelectionConfig, SelectionOptions, resolve


@dataclass(frozen=True)
class Method:
    """How one column of the table attends; question: how its questions are run."""

    name: str
    config: SelectionConfig
    question: QuestionMode
    dense: bool = False
    retrieval_heads: bool = False

    @property
    def prefill_key(self) -> tuple[Any, ...]:
        """Methods of one key share a prefill."""
        if self.retrieval_heads:
            return ("sections",)
        return ("dense",) if self.dense else tuple(sorted(self.config.prefill_settings().items()))


def parse_methods(names: Sequence[str], base: SelectionConfig, question: QuestionMode, window: int) -> list[Method]:
    """The methods of these names; UsageError names the one that is none."""
    return [_method(name.strip(), base, question, window) for name in dict.fromkeys(names)]


def _method(name: str, base: SelectionConfig, question: QuestionMode, window: int) -> Method:
    if name == "dense":
        return Method(name, base, question, dense=True)
    if name == "voters":
        return Method(name, base, question, retrieval_heads=True)
    if name == "streaming":
        return Method(name, replace(base, k=0, share=None, n_local=base.n_local + base.k), "token")
    if name == "tokenselect":
        return Method(name, base, question)
    kind, _, change = name.partition("-")
    setting, _, value = change.partition("=")
    if kind != "tokenselect" or not value:
        raise UsageError(f"method {name!r}: choose dense, streaming, voters, tokenselect or tokenselect-SETTING=VALUE")
    if setting == "question":
        value = OLD_MODES.get(value, value)
        if value not in get_args(QuestionMode):
            raise UsageError(f"method {name!r}: question is one of {', '.join(get_args(QuestionMode))}")
        return Method(name, base, cast(QuestionMode, value))
    if setting not in vars(SelectionOptions()):
        raise UsageError(f"method {name!r}: no setting {setting!r}; choose {', '.join(vars(SelectionOptions()))}, question")
    kept = {field: getattr(base, field) for field in vars(base)}
    return Method(name, resolve(SelectionOptions(**{setting: _value(setting, value)}), kept, window), question)


def _value(setting: str, value: str) -> Any:
    if setting in ("k", "metric", "scale", "scan", "head_mapping"):
        return value
    try:
        return float(value) if setting == "theta" else int(value)
    except ValueError:
        raise UsageError(f"{setting} must be a number, got {value!r}") from None
