"""Load a decoder: by our own few lines where it is of the Llama family, by transformers' code where it is not."""

from __future__ import annotations

from pathlib import Path

import torch

from tscli.errors import UsageError
from tscli.model.decoder import Decoder
from tscli.model.identity import locate
from tscli.model.options import EMBEDDED, LoadOptions
from tscli.model.plain import load_plain

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
WEIGHTS = ("auto", "int8")


def load_decoder(options: LoadOptions) -> Decoder:
    """Load the model; UsageError, ResourceError or TscliError say what is wrong with it."""
    model = options.model or EMBEDDED
    device = pick_device(options.device)
    if device.type == "cuda" and device.index is not None:
        torch.cuda.set_device(device)  # where kernels are launched
    folder = locate(model, options.revision)
    dtype = _pick_dtype(options.dtype, device)
    if options.weights not in WEIGHTS:
        raise UsageError(f"--weights {options.weights}: choose {' or '.join(WEIGHTS)}")
    decoder = load_plain(model, folder, dtype, device) or _load_stock(model, folder, dtype, device)
    if options.weights == "int8":
        decoder.use_int8_weights()
    return decoder


def _load_stock(model: str, folder: Path, dtype: torch.dtype, device: torch.device) -> Decoder:
    from tscli.model.stock import load_stock  # transformers' modelling code takes seconds to import

    return load_stock(model, folder, dtype, device)


def pick_device(name: str) -> torch.device:
    """The device to run on: cuda where there is one, else cpu; UsageError for one that is not there."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise UsageError("--device cuda: no CUDA device is available to torch; use --device cpu or leave it out")
    try:
        return torch.device(name)
    except RuntimeError:
        raise UsageError(f"--device {name}: unknown; use auto, cpu or cuda") from None


def _pick_dtype(name: str, device: torch.device) -> torch.dtype:
    """bfloat16 where the processor multiplies it natively, float32 elsewhere."""
    if name == "auto":
        native = device.type == "cuda" or torch.cpu._is_avx512_bf16_supported()
        return torch.bfloat16 if native else torch.float32
    if name not in DTYPES:
        raise UsageError(f"--dtype {name}: unknown; use auto, {', '.join(DTYPES)}")
    return DTYPES[name]
