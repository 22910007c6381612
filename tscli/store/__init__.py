"""The paged KV library on disk: segments named by a hash chain, a manifest that refers to them, one writer, many readers.

Knows tensors and plain records; nothing of documents, tokenizers or models.
"""

from tscli.paths import home, library_folder
from tscli.store.archive import OnBytes, export_library, import_library
from tscli.store.chain import PAGE_SIZE, SEGMENT_PAGES, PlannedSegment, plan_chain, plan_independent, segment_id
from tscli.store.head_keys import Keys, KVHead, by_head, head_keys_tensors
from tscli.store.history import HISTORY, HistoryEntry, read_history, remember
from tscli.store.manifest import KV_LAYOUT_VERSION, Fingerprint, Manifest, SegmentRecord
from tscli.store.reader import (
    StoredLibrary,
    no_library,
    open_library,
    read_context,
    read_manifest,
    read_sketch,
    require_manifest,
    require_segments,
)
from tscli.store.restore import restore_manifest, restore_records
from tscli.store.segment import Segment, load_tensors, map_segment, save_tensors
from tscli.store.verify import (
    LibraryInfo,
    Problem,
    damaged_files,
    list_libraries,
    mark_used,
    prune,
    remove,
    size_on_disk,
    verify,
)
from tscli.store.writer import Writer, missing_segments

__all__ = [
    "HISTORY",
    "KV_LAYOUT_VERSION",
    "PAGE_SIZE",
    "SEGMENT_PAGES",
    "Fingerprint",
    "HistoryEntry",
    "KVHead",
    "Keys",
    "LibraryInfo",
    "Manifest",
    "OnBytes",
    "PlannedSegment",
    "Problem",
    "Segment",
    "SegmentRecord",
    "StoredLibrary",
    "Writer",
    "by_head",
    "damaged_files",
    "export_library",
    "head_keys_tensors",
    "home",
    "import_library",
    "library_folder",
    "list_libraries",
    "load_tensors",
    "map_segment",
    "mark_used",
    "missing_segments",
    "no_library",
    "open_library",
    "plan_chain",
    "plan_independent",
    "prune",
    "read_context",
    "read_history",
    "read_manifest",
    "read_sketch",
    "remember",
    "remove",
    "require_manifest",
    "require_segments",
    "restore_manifest",
    "restore_records",
    "save_tensors",
    "segment_id",
    "size_on_disk",
    "verify",
]
