"""What whoever reads an answer should know of it, in sentences. Knows an answer and its evidence."""

from __future__ import annotations

from tscli.answer.confidence import is_unsure
from tscli.answer.statistics import Answer
from tscli.evidence.gather import Evidence


def remarks(answer: Answer, evidence: Evidence | None = None) -> list[str]:
    """One for each thing that makes an answer doubtful: words of the question that stand nowhere in the documents, where there
    is evidence, and a model that was unsure of its words."""
    found = []
    if evidence is not None and evidence.missing_words:
        words = " and ".join(f'"{word}"' for word in evidence.missing_words)
        found.append(f"the documents do not contain {words}")
    sure = answer.statistics.confidence
    if sure is not None and is_unsure(sure):
        found.append(f"the model is unsure of this answer: its own words were {sure:.0%} likely in the mean; see the passages")
    return found
