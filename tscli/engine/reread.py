"""A library's tokens made anew from its documents, where they are still what they were."""

from __future__ import annotations

from pathlib import Path

from tscli.documents import load as load_documents
from tscli.errors import DamagedLibrary
from tscli.store import Manifest
from tscli.tokens import Context, SourceText, Tokenizer, build_context, load_template

WAY_OUT = "run tscli ingest again with the same paths: what is whole is not run again"


def read_context_again(manifest: Manifest, tokenizer: Tokenizer) -> Context:
    """The very context that the library was made of; DamagedLibrary names a document that is gone or has changed."""
    files = [Path(record["source"]) for record in manifest.documents]
    by_encoding: dict[str | None, list[Path]] = {}
    for file, record in zip(files, manifest.documents, strict=True):
        if file.is_file():
            by_encoding.setdefault(record.get("encoding"), []).append(file)
    parts = [load_documents(some, encoding=encoding) for encoding, some in by_encoding.items()]
    found = {document.source: document for part in parts for document in part.documents}
    sources = []
    for record in manifest.documents:
        document = found.get(record["source"])
        if document is None or document.sha256 != record["sha256"]:
            why = "cannot be read any more" if document is None else "has changed"
            raise DamagedLibrary(
                f"{record['source']}: {why}, and the tokens that library {manifest.library} had of it are lost", WAY_OUT
            )
        sources.append(SourceText(record["path"], record["sha256"], document.pages, record["paged"], title=record["title"]))
    context = build_context(tokenizer, load_template(tokenizer), sources, max_tokens=2 * manifest.num_tokens)
    if context.tokens_sha256 != manifest.tokens_sha256:
        raise DamagedLibrary(f"the documents of library {manifest.library} give other tokens than they did", WAY_OUT)
    return context
