"""What every form of reply says of an answer: where it came from, what it cost, and what had no effect."""

from __future__ import annotations

from typing import Any

from tscli.evidence import sources_json, statistics_json
from tscli.serve.job import Done, Started
from tscli.serve.links import citation_link, map_link
from tscli.serve.openai_request import Completion
from tscli.serve.replies import model_label
from tscli.serve.served_libraries import ServedLibraries

SYSTEM = "the system message has no effect: a library's own instruction comes before its documents (tscli ingest --system)"
ALONE = "earlier messages have no effect: this model's chat template has no further turns"


class AnswerFields:
    """Of the answer to one request."""

    def __init__(self, wanted: Completion, started: Started, served: ServedLibraries) -> None:
        self._footnotes, self._served = wanted.footnotes, served
        self._notes = [SYSTEM] if wanted.has_system else []
        if wanted.earlier and not started.follows_up:
            self._notes.append(ALONE)

    def footnotes(self, done: Done) -> str:
        """The citations as lines below the answer, where that is wanted."""
        if not self._footnotes or not done.evidence.citations:
            return ""
        lines = (one.line(n, share=False) for n, one in enumerate(done.evidence.citations, start=1))
        return "\n\n" + "\n".join(lines)

    def details(self, done: Done) -> dict[str, Any]:
        """The field `tscli`: as of `tscli ask --json`, with a map of where the answer looked."""
        context, names = done.session.context, self._served.served_names(done.session)
        library = " + ".join(names.values())
        seen = [
            {"library": names.get(one.library, library), "file": one.file, "share": one.share, "cells": one.cells}
            | map_link(one, context)
            for one in done.map
        ]
        sources = sources_json(done.session, done.answer, done.evidence)
        for told, one in zip(sources["citations"], done.evidence.citations, strict=True):
            told.update(citation_link(one, context))
        for told in (*sources["citations"], *sources["sources"]):
            told["library"] = names.get(told["library"], library)
        return {
            "library": library,
            "model": model_label(done.session.model_name),
            **sources,
            "statistics": statistics_json(done.answer.statistics),
            "map": seen,
            "notes": [*self._notes, *done.answer.statistics.notes],
        }


def usage(done: Done, read: str, made: str) -> dict[str, Any]:
    """Tokens, by the names that a form has for what was read and what was made; those of the documents count as cached."""
    s = done.answer.statistics
    prompt = s.cached_tokens + s.prompt_tokens
    return {
        f"{read}_tokens": prompt,
        f"{made}_tokens": s.generated_tokens,
        "total_tokens": prompt + s.generated_tokens,
        f"{read}_tokens_details": {"cached_tokens": s.cached_tokens - s.recomputed_tokens},
        f"{made}_tokens_details": {"reasoning_tokens": s.thought_tokens},
    }


def is_whole(done: Done) -> bool:
    """Whether the answer came to its end, rather than to the most tokens that it might have."""
    return done.stopped or done.answer.statistics.stop_reason == "end"
