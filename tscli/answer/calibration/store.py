"""Where a model's calibrated retrieval heads are kept: one small file in the cache folder per hash of the weights.

Those of known models are shipped, in `shipped/`, as `tscli calibrate` wrote them; they are read where the cache has none.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tscli.durable_files import replacing
from tscli.errors import UsageError
from tscli.model.decoder import Decoder
from tscli.model.load import load_decoder
from tscli.model.options import LoadOptions
from tscli.paths import retrieval_heads_file, shipped_retrieval_heads_file
from tscli.selection.retrieval_heads import RetrievalHeads
from tscli.tokens import Template, Tokenizer, load_template, load_tokenizer

if TYPE_CHECKING:
    from tscli.answer.calibration.calibrate import OnProgress

WHO = ("calibrated", "all")


def load_retrieval_heads(model_hash: str) -> RetrievalHeads | None:
    """A model's retrieval heads; None where it was neither calibrated on this machine by this version nor is shipped with
    them."""
    return _read(retrieval_heads_file(model_hash)) or _read(shipped_retrieval_heads_file(model_hash))


def _read(file: Path) -> RetrievalHeads | None:
    try:
        record: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        return RetrievalHeads.of_record(record)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def save_retrieval_heads(model_hash: str, retrieval_heads: RetrievalHeads) -> Path:
    """Keep them; whole, or as before."""
    file = retrieval_heads_file(model_hash)
    file.parent.mkdir(parents=True, exist_ok=True)
    with replacing(file) as kept:
        kept.write(json.dumps(retrieval_heads.record(), indent=1).encode())
    return file


def choose_retrieval_heads(
    who: str | None, decoder: Decoder, tokenizer: Tokenizer, template: Template, on_progress: OnProgress | None = None
) -> RetrievalHeads | None:
    """The retrieval heads of a model, calibrated now where they were not yet; None where all heads vote, as in the paper.

    who: "calibrated", "all", or None for what the model brings along.
    """
    who = who or decoder.voters_default
    if who not in WHO:
        raise UsageError(f"--voters {who}: choose {' or '.join(WHO)}")
    if who == "all":
        return None
    return load_retrieval_heads(decoder.hash) or _calibrated(decoder, tokenizer, template, on_progress)


def calibrate_model(load: LoadOptions, *, again: bool = False, on_progress: OnProgress | None = None) -> RetrievalHeads:
    """A model's retrieval heads: loaded, or found and saved where this machine does not have them, or where `again` is set."""
    decoder = load_decoder(load, on_progress)
    tokenizer = load_tokenizer(str(decoder.folder))
    known = None if again else load_retrieval_heads(decoder.hash)
    return known or _calibrated(decoder, tokenizer, load_template(tokenizer), on_progress)


def _calibrated(decoder: Decoder, tokenizer: Tokenizer, template: Template, on_progress: OnProgress | None) -> RetrievalHeads:
    from tscli.answer.calibration.calibrate import calibrate  # not needed where it was done before

    found = calibrate(decoder, tokenizer, template, on_progress)
    save_retrieval_heads(decoder.hash, found)
    return found
