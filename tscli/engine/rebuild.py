"""Make a library's sketch anew from its keys: where it was lost or damaged, or was never made."""

from __future__ import annotations

import torch

from tscli.engine.library import fingerprint_of, on_device, prefill_config, sketch_tensors
from tscli.engine.sketching import grow_sketch
from tscli.model.load import load_decoder
from tscli.model.options import LoadOptions
from tscli.store import Writer, library_folder, map_segment, read_context, require_manifest
from tscli.tokens import load_tokenizer


def rebuild_sketch(library: str = "default") -> bool:
    """Write the library's sketch again, with the model that made the library; False where it is too short for one.

    Raises LibraryError when there is no library, it is being written, or its keys are of another model.
    """
    folder = library_folder(library)
    manifest = require_manifest(folder)
    fingerprint = manifest.fingerprint
    decoder = load_decoder(LoadOptions(fingerprint.model_id, fingerprint.revision, fingerprint.dtype))
    tokenizer = load_tokenizer(str(decoder.folder))
    manifest.check(fingerprint_of(decoder, tokenizer, fingerprint.prefill, fingerprint.revision))
    with Writer(folder) as writer:
        context = {name: part.clone() for name, part in read_context(folder, manifest).items()}
        state = decoder.new_state([on_device(map_segment(folder, record), decoder.device) for record in manifest.segments])
        grow_sketch(decoder, state, context["token_ids"].to(torch.int64), prefill_config(fingerprint))
        writer.commit(manifest, context, sketch_tensors(state.sketch))
    return state.sketch is not None
