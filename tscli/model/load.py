"""Load a decoder: by our own few lines where it is of the Llama family, by transformers' code where it is not."""

from __future__ import annotations

from pathlib import Path

import torch

from tscli.errors import UsageError
from tscli.model.decoder import Decoder, native_dtype
from tscli.model.gguf import read_converted
from tscli.model.gguf_header import OnStep
from tscli.model.identity import full_name, locate
from tscli.model.llama import Misfit, load_llama
from tscli.model.options import LoadOptions
from tscli.model.vector_maths import settle_vector_maths

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
WEIGHTS = ("auto", "full", "int8")


def load_decoder(options: LoadOptions, on_step: OnStep | None = None, *, lasting: bool = False) -> Decoder:
    """Load the model; on_step is told of what takes long the first time. UsageError, ResourceError or TscliError say what is
    wrong with it.

    lasting: it is to make more than one answer, so that what makes these faster may take its time to load.
    """
    model = full_name(options.model)
    device = pick_device(options.device)
    if device.type == "cuda" and device.index is not None:
        torch.cuda.set_device(device)  # where kernels are launched
    folder = locate(model, options.revision)
    dtype = _pick_dtype(options.dtype, device)
    if options.weights not in WEIGHTS:
        raise UsageError(f"--weights {options.weights}: choose auto, full or int8")
    settle_vector_maths()
    decoder = _load(model, folder, dtype, device)
    if (converted := read_converted(folder)) is not None:
        decoder.remarks += converted.notes
    use_weights(decoder, options.weights, on_step, lasting=lasting)
    return decoder


def use_weights(
    decoder: Decoder, weights: str, on_step: OnStep | None = None, *, lasting: bool = False, ingests: bool = False
) -> None:
    """Run a decoder of full weights by those that are asked for; see `load_decoder`. ingests: it is to read documents."""
    if weights == "int8":
        decoder.use_int8_weights()
    elif weights == "auto":
        if lasting or ingests:
            decoder.use_two_bytes()
        if read_converted(decoder.folder) is not None:
            decoder.use_few_bits(on_step, lasting=lasting)


def _load(model: str, folder: Path, dtype: torch.dtype, device: torch.device) -> Decoder:
    try:
        return load_llama(model, folder, dtype, device)
    except Misfit as misfit:
        decoder = _load_hf(model, folder, dtype, device)
        if why := str(misfit):  # of an architecture that is run by our own lines: it looked as if it should have fitted
            decoder.remarks.append(f"runs with transformers' layers, which are slower: {why}")
        return decoder


def _load_hf(model: str, folder: Path, dtype: torch.dtype, device: torch.device) -> Decoder:
    from tscli.model.hf_decoder import load_hf  # transformers' modelling code takes seconds to import

    return load_hf(model, folder, dtype, device)


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


def fast_dtype(name: str, device: str) -> str:
    """The dtype of this name, or "float32" where it is bfloat16 and the device does not multiply that."""
    is_slow = name == "bfloat16" and native_dtype(pick_device(device)) != torch.bfloat16
    return "float32" if is_slow else name


def _pick_dtype(name: str, device: torch.device) -> torch.dtype:
    if name == "auto":
        return native_dtype(device)
    if name not in DTYPES:
        raise UsageError(f"--dtype {name}: unknown; use auto, {', '.join(DTYPES)}")
    return DTYPES[name]
