"""Does the seam compute what the model computes? Asked once per ingest, so that no architecture ever runs wrongly."""

from __future__ import annotations

import torch

from tscli.errors import TscliError
from tscli.model.attention import DenseAttention
from tscli.model.decoder import Decoder
from tscli.selection.config import SelectionConfig

TOKENS = 48
CHUNK = 20
TOLERANCE = {torch.float32: 1e-3, torch.bfloat16: 0.15, torch.float16: 0.03}


def check_parity(decoder: Decoder) -> float:
    """Relative error of our last logits against transformers' own on random tokens; TscliError when it is too large.

    A wrong rotation, mask, scale or head mapping gives an error near 1; rounding stays far below the tolerance.
    """
    generator = torch.Generator().manual_seed(0)
    token_ids = torch.randint(decoder.shape.vocab_size, (TOKENS,), generator=generator).to(decoder.device)
    reference = decoder.reference_logits(token_ids)[-1]
    run = DenseAttention(decoder.new_state(), decoder.rotator, SelectionConfig())
    for start in range(0, TOKENS, CHUNK):
        logits = decoder.forward(token_ids[start : start + CHUNK], run)
    assert logits is not None
    error = float(torch.linalg.vector_norm(logits - reference) / torch.linalg.vector_norm(reference))
    if not error <= TOLERANCE[decoder.dtype]:
        raise TscliError(
            f"{decoder.model_id} ({decoder.shape.kind}) does not run correctly here: its logits differ from "
            f"transformers' own by {error:.1e} (relative), more than {TOLERANCE[decoder.dtype]:.1e}; use another model, or "
            "report this architecture"
        )
    return error
