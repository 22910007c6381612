"""llama.cpp on the same model and tokens, through llama-cpp-python's C functions: its own cache, saved once and restored.

It runs the .gguf file that the model was read from; any other is converted to GGUF into a folder that is thrown away. Threads
and flash attention are those with which a short trial is fastest. Knows nothing of our attention.
"""

from __future__ import annotations

import ctypes
import time
from functools import cache
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tscli.bench.gguf_file import write_gguf
from tscli.bench.rows import Unavailable
from tscli.bench.setting import Say
from tscli.model.decoder import Decoder

BATCH, MICROBATCH = 2048, 512  # llama-bench's
F32, F16 = 0, 1  # ggml's numbers of types
TRIED = 512  # tokens of the trial
WHOLE = -1  # of a sequence: from its first position, to its last
KEPT, SPARE = 0, 1  # sequences: the context, and one to load into before it is moved behind that


def open_llama_cpp(decoder: Decoder, room: int, gguf: Path | None = None, say: Say = lambda _: None) -> LlamaCppPeer:
    """The decoder in llama.cpp with a cache of `room` tokens; Unavailable where it is not installed or cannot run it.

    gguf: the file that the decoder was read from, where there is one.
    """
    for package, name in (("llama_cpp", "llama-cpp-python"), ("gguf", "gguf")):
        try:
            import_module(package)
        except ImportError:
            raise Unavailable(f'{name} is not installed (pip install "tscli[peers]")') from None
        except (OSError, RuntimeError) as error:
            raise Unavailable(f"{name} cannot be loaded: {error}") from error
    if decoder.device.type != "cpu":
        raise Unavailable("llama.cpp is measured on the CPU only (--device cpu)")
    return LlamaCppPeer(decoder, room, gguf, say)


class LlamaCppPeer:
    """The model as llama.cpp runs it, with the cache of one context."""

    def __init__(self, decoder: Decoder, room: int, gguf: Path | None = None, say: Say = lambda _: None) -> None:
        self._llama: Any = _quiet_library()[0]
        self._folder = TemporaryDirectory(prefix="tscli-llama-cpp-")
        self._vocab_size, self._dtype = decoder.shape.vocab_size, decoder.dtype
        self._model: Any = None
        self._context: Any = None
        self._file = gguf or Path(self._folder.name, "model.gguf")
        self._tried: dict[str, float] = {}
        try:
            if gguf is None:
                write_gguf(decoder, self._file)
            self._load_model()
            self._threads, self._flash = self._fastest(say)
            self._open(room)
        except BaseException:
            self.close()
            raise
        self._restore_s: list[float] = []

    @property
    def fields(self) -> dict[str, Any]:
        """Its versions and settings; restore_ms: mean time in which the saved cache was brought back before a decode."""
        versions = {"llama-cpp-python": self._llama.__version__, "gguf": version("gguf")}
        restore_ms = 1e3 * sum(self._restore_s) / len(self._restore_s) if self._restore_s else None
        kv_dtype = "float32" if self._dtype == torch.float32 else "float16"
        described = ctypes.create_string_buffer(128)
        self._llama.llama_model_desc(self._model, described, len(described))
        weights = described.value.decode(errors="replace").split(" ", 2)[-1].removeprefix("(guessed) ")  # architecture, size
        what: dict[str, Any] = {"file": self._file.name, "size": int(self._llama.llama_model_size(self._model))}
        what |= {"weights": weights, "kv_dtype": kv_dtype, "backend": f"cpu, kv {kv_dtype}, weights {weights}"}
        how = {"threads": self._threads, "flash_attention": bool(self._flash), "tried_s": self._tried}
        return {"versions": versions, **what, **how, "restore_ms": restore_ms}

    def prefill(self, ids: Tensor) -> float:
        """Run ids (int64 [n]) into an empty cache, which is kept and saved; seconds, saving not counted."""
        self._llama.llama_memory_clear(self._memory, False)
        started = time.perf_counter()
        self.run(ids.tolist())
        seconds = time.perf_counter() - started
        self._save()
        return seconds

    def fill(self, ids: Tensor, depth: int) -> None:
        """Run ids, then lay their keys and values behind each other, turned to their positions, up to `depth` tokens."""
        llama, count = self._llama, ids.shape[0]
        self.prefill(ids)
        first = depth % count or count
        llama.llama_memory_seq_rm(self._memory, KEPT, first, WHOLE)
        for start in range(first, depth, count):
            self._load(SPARE)
            llama.llama_memory_seq_add(self._memory, SPARE, 0, WHOLE, start)
            llama.llama_memory_seq_cp(self._memory, SPARE, KEPT, WHOLE, WHOLE)
            llama.llama_memory_seq_rm(self._memory, SPARE, WHOLE, WHOLE)
        self.run([1])  # turns them
        llama.llama_memory_seq_rm(self._memory, KEPT, depth, WHOLE)
        self._save()

    def question(self, ids: Tensor) -> float:
        """Run ids (int64 [n]) behind the restored cache; seconds to the first token behind them, the restoring not counted."""
        self.restore()
        started = time.perf_counter()
        self.run(ids.tolist())
        int(self.logits().argmax())
        return time.perf_counter() - started

    def decode(self, n_gen: int) -> list[float]:
        """Greedy tokens behind the restored cache; the times at which it began and made each token."""
        self.restore()
        return self._greedy([1], n_gen)

    def answer(self, ids: Tensor, n_gen: int) -> list[float]:
        """Greedy tokens behind ids (int64 [n]) in an empty cache; the times at which it began and made each token."""
        self._llama.llama_memory_clear(self._memory, False)
        return self._greedy(ids.tolist(), n_gen)

    def _greedy(self, tokens: list[int], n_gen: int) -> list[float]:
        times = [time.perf_counter()]
        for _ in range(n_gen):
            self.run(tokens)
            tokens = [int(self.logits().argmax())]
            times.append(time.perf_counter())
        return times

    def restore(self) -> None:
        """Bring the cache back to what was saved."""
        self._llama.llama_memory_clear(self._memory, False)
        started = time.perf_counter()
        self._load(KEPT)
        self._restore_s.append(time.perf_counter() - started)

    def logits(self) -> np.ndarray:
        """Of the last token that was run: float32 [vocab], valid until the next one."""
        pointer = self._llama.llama_get_logits_ith(self._context, -1)
        return np.ctypeslib.as_array(pointer, shape=(self._vocab_size,))

    @property
    def length(self) -> int:
        """Tokens in the cache."""
        return int(self._llama.llama_memory_seq_pos_max(self._memory, KEPT)) + 1

    def close(self) -> None:
        """Free model and cache, remove the files."""
        if self._context:
            self._llama.llama_free(self._context)
        if self._model:
            self._llama.llama_model_free(self._model)
        self._context = self._model = None
        self._folder.cleanup()

    def _load_model(self) -> None:
        model = self._llama.llama_model_default_params()
        model.n_gpu_layers = 0
        self._model = self._llama.llama_model_load_from_file(str(self._file).encode(), model)
        if not self._model:
            raise Unavailable(f"llama.cpp does not take the model file {self._file.name}")

    def _fastest(self, say: Say) -> tuple[int, int]:
        """Threads and flash attention (0 or 1) of the fastest trial: TRIED tokens, then as many steps as there were batches."""
        most = torch.get_num_threads()
        for threads in sorted({most, max(1, most // 2)}):
            for flash in (0, 1):
                self._threads, self._flash = threads, flash
                self._open(2 * TRIED)
                self.run([1] * 16)  # warms up
                started = time.perf_counter()
                self.run([1] * TRIED)
                for _ in range(16):
                    self.run([1])
                self._tried[f"{threads} threads, flash attention {'on' if flash else 'off'}"] = time.perf_counter() - started
        best = min(self._tried, key=self._tried.__getitem__)
        say(f"llama.cpp: {best} is fastest")
        return int(best.split()[0]), int(best.endswith("on"))

    def _open(self, room: int) -> None:
        """An empty cache of `room` tokens, instead of any before."""
        llama = self._llama
        if self._context:
            llama.llama_free(self._context)
        context = llama.llama_context_default_params()
        context.n_ctx, context.n_batch, context.n_ubatch = room, BATCH, MICROBATCH
        context.n_seq_max, context.kv_unified = 2, True
        context.type_k = context.type_v = F32 if self._dtype == torch.float32 else F16  # F16 is llama.cpp's default
        context.flash_attn_type = self._flash
        context.n_threads = context.n_threads_batch = self._threads
        self._context = llama.llama_init_from_model(self._model, context)
        if not self._context:
            raise Unavailable(f"llama.cpp cannot make a cache of {room:,} tokens")
        self._memory = llama.llama_get_memory(self._context)

    def run(self, tokens: list[int]) -> None:
        """Tokens behind the cache, in batches as llama-bench makes them; waits for the last one's logits."""
        for start in range(0, len(tokens), BATCH):
            part = tokens[start : start + BATCH]
            held = (ctypes.c_int32 * len(part))(*part)  # the batch points into it
            batch = self._llama.llama_batch_get_one(held, len(part))
            if (code := self._llama.llama_decode(self._context, batch)) != 0:
                raise Unavailable(f"llama.cpp cannot run {len(part):,} tokens (llama_decode returned {code})")
        self._llama.llama_synchronize(self._context)

    def _save(self) -> None:
        if not self._llama.llama_state_seq_save_file(self._context, self._state, KEPT, (ctypes.c_int32 * 1)(), 0):
            raise Unavailable("llama.cpp cannot save its state: is there room in the temporary folder?")

    def _load(self, sequence: int) -> None:
        count = ctypes.c_size_t()
        read = self._llama.llama_state_seq_load_file(
            self._context, self._state, sequence, (ctypes.c_int32 * 1)(), 1, ctypes.byref(count)
        )
        if not read:
            raise Unavailable("llama.cpp cannot restore the state that it saved")

    @property
    def _state(self) -> bytes:
        return str(Path(self._folder.name, "state")).encode()


@cache
def _quiet_library() -> tuple[Any, Any]:
    """llama_cpp with its messages switched off, and what it calls with them, which has to live as long as the process."""
    llama: Any = import_module("llama_cpp")
    silence = llama.llama_log_callback(lambda *_: None)
    llama.llama_log_set(silence, ctypes.c_void_p(0))
    return llama, silence
