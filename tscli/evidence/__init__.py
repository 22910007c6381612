"""Where an answer comes from: its tokens' attention as citations, marks of weak support, a map, a page of HTML.

Selection shows where attention went. It is not proof of causation, and whatever is shown says so.
"""

from tscli.evidence.answer_json import answer_json, citations_json, sources_json, statistics_json
from tscli.evidence.citations import Citation
from tscli.evidence.document_map import DocumentMap, blocks, map_answer
from tscli.evidence.gather import CAVEAT, Evidence, Piece, find_evidence
from tscli.evidence.remarks import remarks
from tscli.evidence.report import render_report
from tscli.evidence.selected_by import selected_by
from tscli.evidence.support import is_weak

__all__ = [
    "CAVEAT",
    "Citation",
    "DocumentMap",
    "Evidence",
    "Piece",
    "answer_json",
    "blocks",
    "citations_json",
    "find_evidence",
    "is_weak",
    "map_answer",
    "remarks",
    "render_report",
    "selected_by",
    "sources_json",
    "statistics_json",
]
