"""Writes what a GGUF file holds as a folder in Hugging Face layout; the reading is done by transformers and the package gguf.

Knows what they leave out, and does it or refuses: scaled rotary positions, further end tokens, tensors that no layer takes.
Knows no cache.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tscli.errors import ResourceError, TscliError
from tscli.model.four_bits import save_four_bits
from tscli.model.gguf_header import WAY_OUT, GGUFHeader, OnStep
from tscli.model.gguf_tokens import save_tokenizer

# A tensor that says how positions are scaled, and is no weight.
FREQUENCIES = "rope_freqs.weight"
# Llama 3.1's scaling: of its four numbers all models have the same three, and the file tells the fourth.
LLAMA3 = {"low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 8192}
ENDS = ("eos_token_id", "eot_token_id", "eom_token_id")


def convert(header: GGUFHeader, into: Path, on_step: OnStep | None) -> tuple[str, list[str]]:
    """Write weights, configuration, tokenizer and template into an empty folder; the dtype of the weights, and notes for users.

    TscliError says what of the file cannot be read, ResourceError that memory does not suffice.
    """
    tell = on_step or (lambda *_: None)
    tell("tokenizer", 0, 0)
    notes = save_tokenizer(header, into)
    dtype = storage_dtype(header)
    with _reading(header, tell):
        config = _config(header)
        model = _load(header, config, dtype)
        if dtype == torch.float16 and not _finite(model):  # numbers beyond 65,504
            dtype = torch.float32
            model = _load(header, config, dtype)
    if not _finite(model):
        raise TscliError(f"{header.path}: damaged: some of its weights are not numbers (NaN); download it again")
    tell("writing", 0, 0)
    _save(header, model, config, dtype, into)
    return str(dtype).removeprefix("torch."), notes


def storage_dtype(header: GGUFHeader) -> torch.dtype:
    """In what the weights are kept, in no more bytes than they need.

    Blocks of 2 to 8 bits are integers times float16 scales: float16 keeps 11 bits of their products, bfloat16 only 8, which for
    8-bit blocks shows. Numbers in bfloat16 or float32 are kept as they are. Norms and routers, which are float32 in every file,
    do not decide.
    """
    kinds = {tensor.kind for tensor in header.tensors if len(tensor.shape) > 1} - {"F32", "F64"}
    if not kinds:
        return torch.float32
    return torch.bfloat16 if kinds == {"BF16"} else torch.float16


def _config(header: GGUFHeader) -> Any:
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(header.path.parent, gguf_file=header.path.name)
    embedding = next((tensor for tensor in header.tensors if tensor.name == "token_embd.weight"), None)
    if embedding is not None:
        config.vocab_size = embedding.shape[0]
    size = header.of_model("attention.key_length")
    if size and hasattr(config, "head_dim"):
        config.head_dim = int(size)
    if scaling := _scaling(header):
        rope = getattr(config, "rope_parameters", None)
        if not isinstance(rope, dict) or "rope_theta" not in rope:  # one for each kind of layer
            raise _cannot_be_read(header, "its positions are scaled in a way that is not known here")
        config.rope_parameters = {**rope, **scaling}
    config.__dict__.pop("_model_name_or_path", None)  # what the file calls itself, which is no path
    return config


def _scaling(header: GGUFHeader) -> dict[str, Any]:
    """How rotary positions are scaled, which transformers does not read of a GGUF file; empty where they are not."""
    kind = str(header.of_model("rope.scaling.type", "none"))
    factor = float(header.of_model("rope.scaling.factor", 0.0) or 0.0)
    if any(tensor.name.startswith("rope_factors_") for tensor in header.tensors):
        raise _cannot_be_read(header, "its positions are scaled by tables (longrope)")
    table = next((tensor for tensor in header.tensors if tensor.name == FREQUENCIES), None)
    if table is not None:
        divided = np.fromfile(header.path, dtype=np.float32, count=table.numel, offset=table.start)
        return _llama3(header, divided)
    if kind == "linear":
        return {"rope_type": "linear", "factor": factor}
    if kind == "yarn":
        before = int(header.of_model("rope.scaling.original_context_length", 0))
        return {"rope_type": "yarn", "factor": factor, "original_max_position_embeddings": before}
    if kind != "none":
        raise _cannot_be_read(header, f"its positions are scaled in a way that is not known here ({kind})")
    return {}


def _llama3(header: GGUFHeader, divided: np.ndarray) -> dict[str, Any]:
    """Llama 3.1's scaling, where the table of what each frequency is divided by is what that gives."""
    from tscli.model.rotary import PlainRotary

    scaling = {"rope_type": "llama3", "factor": float(divided.max()), **LLAMA3}
    theta = {"rope_theta": float(header.of_model("rope.freq_base", 10000.0))}
    plain, scaled = (PlainRotary(2 * len(divided), rope).frequencies.numpy() for rope in (theta, {**theta, **scaling}))
    if not np.allclose(plain / divided, scaled, rtol=1e-3):
        raise _cannot_be_read(header, "its positions are scaled by a table that is not Llama 3's")
    return scaling


def _load(header: GGUFHeader, config: Any, dtype: torch.dtype) -> Any:
    """The model by transformers, every tensor of the file in its place."""
    from transformers import AutoModelForCausalLM

    options = {"gguf_file": header.path.name, "config": config, "dtype": dtype, "output_loading_info": True}
    loaded: Any = AutoModelForCausalLM.from_pretrained(header.path.parent, **options)
    model, info = loaded
    held = sum(part.numel() for part in model.parameters())
    given = sum(tensor.numel for tensor in header.tensors if tensor.name != FREQUENCIES)
    missing = sorted(info["missing_keys"])
    if missing or held != given:
        what = f"it lacks {missing[0]}" if missing else f"it holds {given:,} weights where such a model has {held:,}"
        raise _cannot_be_read(header, what)
    return model


def _finite(model: Any) -> bool:
    return all(bool(torch.isfinite(part).all()) for part in model.parameters())


def _save(header: GGUFHeader, model: Any, config: Any, dtype: torch.dtype, into: Path) -> None:
    from safetensors import SafetensorError
    from safetensors.torch import save_file
    from transformers import GenerationConfig

    tied = set(model.state_dict()) - set(_once(model.state_dict().items()))
    config.tie_word_embeddings = bool(tied)
    config.dtype = dtype
    config.architectures = [type(model).__name__]
    config.save_pretrained(into)
    weights = {name: part.contiguous() for name, part in sorted(_once(model.state_dict().items()).items())}
    try:
        save_file(weights, into / "model.safetensors", metadata={"format": "pt"})
        save_four_bits(weights, into)
    except SafetensorError as error:
        raise OSError(str(error)) from error
    ids = (header.metadata.get(f"tokenizer.ggml.{name}") for name in ENDS)
    ends = list(dict.fromkeys(int(number) for number in ids if number is not None))
    begin = header.metadata.get("tokenizer.ggml.bos_token_id")
    GenerationConfig(bos_token_id=begin, eos_token_id=ends or None).save_pretrained(into)


def _once(named: Iterable[tuple[str, Tensor]]) -> dict[str, Tensor]:
    """Each tensor by the first of its names."""
    first: dict[int, str] = {}
    return {name: part for name, part in named if first.setdefault(part.data_ptr(), name) == name}


def _cannot_be_read(header: GGUFHeader, why: str) -> TscliError:
    return TscliError(f"{header.path} ({header.architecture}) cannot be read: {why}; {WAY_OUT}")


@contextmanager
def _reading(header: GGUFHeader, tell: OnStep) -> Iterator[None]:
    """Where transformers reads the file: quietly, with our progress instead of its bar, and errors of one kind."""
    from transformers import modeling_gguf_pytorch_utils as reading
    from transformers.utils import logging as messages

    def counted(tensors: Any, **_: Any) -> Iterator[Any]:
        for done, tensor in enumerate(tensors):
            tell("weights", done, len(header.tensors))
            yield tensor

    bar, level = reading.tqdm, messages.get_verbosity()
    reading.tqdm = counted  # its own cannot be asked to be quiet
    messages.set_verbosity(logging.CRITICAL)
    messages.disable_progress_bar()
    try:
        yield
    except (TscliError, KeyboardInterrupt):
        raise
    except MemoryError as error:
        raise ResourceError(f"{header.path} does not fit in memory while it is converted; choose a smaller model") from error
    except Exception as error:  # whatever a file makes of transformers' and gguf's code
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise _cannot_be_read(header, first.rstrip(".")) from error
    finally:
        reading.tqdm = bar
        messages.set_verbosity(level)
