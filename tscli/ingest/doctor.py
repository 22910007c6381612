"""What this machine offers: versions, processor, GPU, memory, disk, and what a library of so many tokens would need of them."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from pathlib import Path

import torch

from tscli.library.catalogue import versions
from tscli.library.kv_dtype import pages_kv_dtype
from tscli.library.own_settings import better_model_hint
from tscli.memory import available_bytes, physical_bytes
from tscli.model.fetch import default_model
from tscli.model.gguf_header import OnStep
from tscli.model.load import load_decoder, pick_device
from tscli.model.options import LoadOptions
from tscli.paths import disk_free_bytes
from tscli.store import home


@dataclass(frozen=True)
class Examination:
    """Sizes in bytes. dtype: what `--dtype auto` chooses here. library_bytes: disk that `tokens` tokens of `model` take.
    default_model: what runs where none is named; better: how to get a better one, "" where it is no embedded reader."""

    versions: dict[str, str]
    processor: str
    cores: int
    bfloat16: bool
    gpu: str | None
    gpu_bytes: int | None
    memory_bytes: int | None
    memory_free_bytes: int | None
    home: Path
    disk_free_bytes: int
    model: str
    model_bytes: int
    window: int
    dtype: str
    tokens: int
    kv_bytes_per_token: int
    library_bytes: int
    default_model: str
    better: str


def examine(
    load: LoadOptions = LoadOptions(),  # noqa: B008 - frozen
    tokens: int = 1 << 20,
    on_step: OnStep | None = None,
) -> Examination:
    """Look at the machine and at a model as it would be loaded here; on_step is told of what takes long the first time.
    UsageError for a model that there is not."""
    decoder, folder = load_decoder(load, on_step), home()
    gpu = torch.cuda.get_device_properties(0) if pick_device("auto").type == "cuda" else None
    weights = sum(weight.numel() * weight.element_size() for weight in decoder.weights)
    per_token = decoder.kv_bytes_per_token(pages_kv_dtype("auto", decoder.dtype_name))
    return Examination(
        versions=versions(),
        processor=processor(),
        cores=os.cpu_count() or 1,
        bfloat16=torch.cpu._is_avx512_bf16_supported(),
        gpu=gpu.name if gpu else None,
        gpu_bytes=gpu.total_memory if gpu else None,
        memory_bytes=physical_bytes(),
        memory_free_bytes=available_bytes(),
        home=folder,
        disk_free_bytes=disk_free_bytes(folder),
        model=decoder.model_id,
        model_bytes=weights,
        window=decoder.window,
        dtype=decoder.dtype_name,
        tokens=tokens,
        kv_bytes_per_token=per_token,
        library_bytes=tokens * per_token * 17 // 16,  # a sketch of the keys adds a sixteenth, retrieval heads' keys less
        default_model=default_model(),
        better="; ".join(better_model_hint(LoadOptions())),
    )


def processor() -> str:
    """What the processor calls itself."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
