"""An answer, what it cost and where it came from, as JSON holds them: of `tscli ask --json` and of the server."""

from __future__ import annotations

from typing import Any

from tscli.answer.session import Session
from tscli.answer.statistics import Answer, Statistics
from tscli.evidence.gather import Evidence
from tscli.library.catalogue import versions


def answer_json(session: Session, answer: Answer, evidence: Evidence) -> dict[str, Any]:
    """One answer with all there is to say of it."""
    return {
        "answer": answer.text,
        "thoughts": answer.thoughts,
        "library": session.library,
        "model": session.model_name,
        **statistics_json(answer.statistics),
        **sources_json(session, answer, evidence),
        "token_ids": answer.token_ids,
        "versions": versions(),
    }


def statistics_json(s: Statistics) -> dict[str, Any]:
    """What an answer cost: "tokens", "timing" in seconds, and how it was selected for."""
    return {
        "tokens": {
            "cached": s.cached_tokens,
            "recomputed": s.recomputed_tokens,
            "prompt": s.prompt_tokens,
            "generated": s.generated_tokens,
            "thoughts": s.thought_tokens,
        },
        "timing": {
            "load_s": s.load_s,
            "question_s": s.question_s,
            "first_decode_s": s.first_decode_s,
            "held_s": s.held_s,
            "ttft_s": s.ttft_s,
            "decode_tps": s.decode_tps,
            "total_s": s.total_s,
        },
        "selection": {
            "k": s.k,
            "selected_mean": s.selected_mean,
            "attended_mean": s.attended_mean,
            "total": s.total_tokens,
            "cache_hit_rate": s.cache_hit_rate,
            "scan": s.scan,
            "fidelity": vars(s.fidelity) if s.fidelity else None,
            "reading": vars(s.reading) if s.reading else None,
        },
    }


def sources_json(session: Session, answer: Answer, evidence: Evidence) -> dict[str, Any]:
    """Where an answer came from: pages, citations, and what is weak or suspicious of it."""
    return {
        "sources": [
            {
                "library": source.library or session.library,
                "file": source.file,
                "page": source.page,
                **({"label": source.label} if source.label else {}),
                "share": source.share,
            }
            for source in answer.sources
        ],
        "citations": citations_json(session, evidence),
        "weak": [list(span) for span in evidence.weak],
        "instructions": [{"citation": index, "words": words} for index, words in evidence.instructions],
        "missing_words": list(evidence.missing_words),
        "confidence": answer.statistics.confidence,
    }


def citations_json(session: Session, evidence: Evidence) -> list[dict[str, Any]]:
    """The citations as JSON holds them; as_read: the passage as the model read it, where a line's end breaks words of it."""
    names = ("file", "page", "label", "start", "end", "quote", "share")
    return [
        {
            "library": citation.library or session.library,
            **{name: getattr(citation, name) for name in names if name != "label" or citation.label},
            **({"as_read": citation.text} if citation.text else {}),
        }
        for citation in evidence.citations
    ]
