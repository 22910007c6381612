"""A library's tokens, made again from its documents, if these have not changed."""

from __future__ import annotations

from pathlib import Path

from tscli.documents import load as load_documents
from tscli.errors import DamagedLibrary
from tscli.store import Manifest
from tscli.tokens import Context, SourceText, Tokenizer, build_context, template_of

WAY_OUT = "run tscli ingest again with the same paths: undamaged parts are not run again"


def read_context_again(manifest: Manifest, tokenizer: Tokenizer) -> Context:
    """The very context that the library was made of; DamagedLibrary names a document that is gone or has changed."""
    files = [Path(record["source"]) for record in manifest.documents]
    # A file within a PDF is named below it. Pages were read by OCR only where the records say so.
    by_encoding: dict[str | None, dict[Path, None]] = {}
    for file, record in zip(files, manifest.documents, strict=True):
        holder = next((path for path in (file, file.parent) if path.is_file()), None)
        if holder is not None:
            by_encoding.setdefault(record.get("encoding"), {})[holder] = None
    ocr = "auto" if any(record.get("ocr_pages") for record in manifest.documents) else "off"
    parts = [load_documents(list(some), ocr=ocr, encoding=encoding) for encoding, some in by_encoding.items()]
    found = {document.source: document for part in parts for document in part.documents}
    sources = []
    for record in manifest.documents:
        document = found.get(record["source"])
        if document is None or document.sha256 != record["sha256"]:
            why = "cannot be read any more" if document is None else "has changed"
            raise DamagedLibrary(
                f"{record['source']}: {why}, and the tokens that library {manifest.library} held of it are lost", WAY_OUT
            )
        sources.append(SourceText(record["path"], record["sha256"], document.pages, record["paged"], title=record["title"]))
    context = build_context(tokenizer, template_of(manifest.template, tokenizer), sources, max_tokens=2 * manifest.num_tokens)
    if context.tokens_sha256 != manifest.tokens_sha256:
        raise DamagedLibrary(f"the documents of library {manifest.library} no longer give the same tokens", WAY_OUT)
    return context
