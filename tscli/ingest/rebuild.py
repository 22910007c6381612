"""Rebuild a library's sketch from its keys, if it was lost, damaged or never made."""

from __future__ import annotations

import torch

from tscli.ingest.sketching import grow_sketch, passages_as_questions
from tscli.library.layout import fingerprint_of, placed, prefill_config, sketch_tensors
from tscli.library.own_settings import own_model as named_again
from tscli.model.decoder import Decoder
from tscli.model.load import load_decoder
from tscli.model.options import LoadOptions
from tscli.store import Manifest, Writer, library_folder, map_segment, read_context, require_manifest, require_segments
from tscli.tokens import Tokenizer, load_tokenizer, template_of


def rebuild_sketch(library: str = "default") -> bool:
    """Write the library's sketch again, with the model that made the library; False where it is too short for one.

    Raises LibraryError when there is no library, it is being written, or its keys are of another model.
    """
    folder = library_folder(library)
    manifest = require_manifest(folder)
    decoder, tokenizer = own_model(manifest)
    with Writer(folder) as writer:
        require_segments(folder, manifest)
        context = {name: part.clone() for name, part in read_context(folder, manifest).items()}
        state = decoder.new_state(placed([map_segment(folder, record) for record in manifest.segments], decoder.device))
        ids = context["token_ids"].to(torch.int64)
        template = template_of(manifest.template, tokenizer)
        sketch = grow_sketch(
            decoder, state, ids, prefill_config(manifest.fingerprint), passages_as_questions(ids, tokenizer, template)
        )
        writer.commit(manifest, context, sketch_tensors(sketch), manifest.head_keys)
    return sketch is not None


def own_model(manifest: Manifest) -> tuple[Decoder, Tokenizer]:
    """The model that made a library, as it was run, and its tokenizer; LibraryError where it is another one now."""
    own = manifest.fingerprint
    decoder = load_decoder(named_again(LoadOptions(dtype=own.dtype, weights=own.weights or "auto"), own))
    tokenizer = load_tokenizer(str(decoder.folder))
    kinds = {"kv_dtype": own.kv_dtype, "weights": own.weights}
    manifest.check(fingerprint_of(decoder, tokenizer, own.prefill, own.revision, **kinds))
    return decoder, tokenizer
