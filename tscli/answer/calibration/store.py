"""A model's retrieval heads: those that are kept, or calibrated now."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tscli.errors import UsageError
from tscli.library.kept_heads import load_retrieval_heads, save_retrieval_heads
from tscli.model.decoder import Decoder
from tscli.model.load import load_decoder
from tscli.model.options import LoadOptions
from tscli.selection.retrieval_heads import RetrievalHeads
from tscli.tokens import Template, Tokenizer, load_template, load_tokenizer

if TYPE_CHECKING:
    from tscli.answer.calibration.calibrate import OnProgress

WHO = ("calibrated", "all")


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
