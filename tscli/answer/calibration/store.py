"""Where a model's calibrated voters are kept: one small file in the cache folder per hash of the weights.

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
from tscli.paths import shipped_voters_file, voters_file
from tscli.selection.voters import Voters
from tscli.tokens import Template, Tokenizer, load_template, load_tokenizer

if TYPE_CHECKING:
    from tscli.answer.calibration.calibrate import OnProgress

WHO = ("calibrated", "all")


def load_voters(model_hash: str) -> Voters | None:
    """A model's voters; None where it was neither calibrated on this machine by this version nor is shipped with its voters."""
    return _read(voters_file(model_hash)) or _read(shipped_voters_file(model_hash))


def _read(file: Path) -> Voters | None:
    try:
        record: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        return Voters.of_record(record)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def save_voters(model_hash: str, voters: Voters) -> Path:
    """Keep them; whole, or as before."""
    file = voters_file(model_hash)
    file.parent.mkdir(parents=True, exist_ok=True)
    with replacing(file) as kept:
        kept.write(json.dumps(voters.record(), indent=1).encode())
    return file


def choose_voters(
    who: str | None, decoder: Decoder, tokenizer: Tokenizer, template: Template, on_progress: OnProgress | None = None
) -> Voters | None:
    """The voters of a model, calibrated now where they were not yet; None where all heads vote, as in the paper.

    who: "calibrated", "all", or None for what the model brings along.
    """
    who = who or decoder.voters_default
    if who not in WHO:
        raise UsageError(f"--voters {who}: choose {' or '.join(WHO)}")
    if who == "all":
        return None
    return load_voters(decoder.hash) or _calibrated(decoder, tokenizer, template, on_progress)


def calibrate_model(load: LoadOptions, *, again: bool = False, on_progress: OnProgress | None = None) -> Voters:
    """A model's retrieval heads: loaded, or found and saved where this machine does not have them, or where `again` is set."""
    decoder = load_decoder(load, on_progress)
    tokenizer = load_tokenizer(str(decoder.folder))
    known = None if again else load_voters(decoder.hash)
    return known or _calibrated(decoder, tokenizer, load_template(tokenizer), on_progress)


def _calibrated(decoder: Decoder, tokenizer: Tokenizer, template: Template, on_progress: OnProgress | None) -> Voters:
    from tscli.answer.calibration.calibrate import calibrate  # not needed where it was done before

    found = calibrate(decoder, tokenizer, template, on_progress)
    save_voters(decoder.hash, found)
    return found
