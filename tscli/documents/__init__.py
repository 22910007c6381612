"""Files and folders to text with pages. Knows nothing of tokens or models, and imports no torch."""

from tscli.documents.background import in_background
from tscli.documents.document import Document, Failure, Loaded, PassedOver
from tscli.documents.load import Stop, load
from tscli.documents.walk import FoundFile, WalkOptions, longer, walk

__all__ = [
    "Document",
    "Failure",
    "FoundFile",
    "Loaded",
    "PassedOver",
    "Stop",
    "WalkOptions",
    "in_background",
    "load",
    "longer",
    "walk",
]
