"""A CUDA device that is not there: tensors that say `cuda`, whose bytes lie in the CPU's memory and are computed there.

What would fail on a GPU fails here: tensors of two devices in one operation, numpy on a tensor of the GPU. What the CPU waits
for and what is copied from it is counted. Triton's kernels run in its interpreter. What this cannot show: speed, limits of the
hardware, and races between streams.
"""

from __future__ import annotations

import contextlib
import ctypes
import shutil
import subprocess
import types
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._mode_utils import no_dispatch
from torch.utils._pytree import tree_flatten, tree_map

GUARD = """
#include <c10/core/impl/DeviceGuardImplInterface.h>
C10_REGISTER_GUARD_IMPL(CUDA, c10::impl::NoOpDeviceGuardImpl<c10::DeviceType::CUDA>)
"""
CPU = torch.device("cpu")
aten = torch.ops.aten
READS = {  # for their result, or its size, the CPU waits
    aten._local_scalar_dense.default, aten.nonzero.default, aten.masked_select.default, aten.equal.default,
    aten.unique_dim.default, aten._unique2.default, aten.unique_consecutive.default, aten.bincount.default,
    aten.repeat_interleave.Tensor,
}  # fmt: skip
INDEXES = {aten.index.Tensor, aten.index_put_.default, aten._index_put_impl_.default}  # which take indices from either device
COPIES = {aten.copy_.default, aten._to_copy.default}
RESHAPES = {aten.squeeze_.dim}  # which change a tensor's own shape, not its memory
FROM_CPU = INDEXES | COPIES | {aten.where.self}  # which copy what lies on the CPU, single numbers too


class PretendedCuda:
    """What the device was asked: reads, values for which the CPU waited; launches of kernels, by name; moved, bytes that came
    from the CPU."""

    def __init__(self) -> None:
        self.reads = 0
        self.launches: Counter[str] = Counter()
        self.moved = 0
        self.free_bytes = 1 << 36


class OnGpu(Tensor):
    """A tensor of the pretended device; `here` has its bytes."""

    here: Tensor

    @staticmethod
    def __new__(cls, here: Tensor) -> OnGpu:
        made: OnGpu = torch.Tensor._make_wrapper_subclass(
            cls, here.shape, strides=here.stride(), storage_offset=here.storage_offset(), dtype=here.dtype, device="cuda:0"
        )
        made.here = here
        return made

    def tolist(self) -> Any:
        return self.cpu().tolist()

    def data_ptr(self) -> int:
        return self.here.data_ptr()

    def __reduce_ex__(self, _: Any) -> Any:  # torch's own takes what has an address to have a storage
        return OnGpu, (self.here,)

    def __repr__(self, **_: Any) -> str:
        return f"OnGpu({self.here!r})"

    @classmethod
    def __torch_dispatch__(cls, func: Any, kinds: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func.decompose(*args, **(kwargs or {}))  # inference mode hands out operations whole
        return _run(func, args, kwargs or {}) if made is NotImplemented else made


_now = PretendedCuda()
_registered: list[object] = []


@pytest.fixture
def pretended_cuda(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PretendedCuda]:
    """The device, for as long as the test runs."""
    global _now  # noqa: PLW0603
    if torch.cuda.is_available():
        pytest.skip("there is a real GPU here")
    interpreter = pytest.importorskip("triton.runtime.interpreter", reason="triton is not installed here (it is for Linux)")
    if shutil.which("g++") is None:
        pytest.skip("there is no g++ here, which builds the pretended device's guard")
    _register(tmp_path_factory)
    _now = PretendedCuda()
    monkeypatch.setattr(interpreter.GridExecutor, "__call__", _launching(interpreter.GridExecutor.__call__))
    monkeypatch.setattr(torch, "empty", _without_pinning(torch.empty))
    properties = types.SimpleNamespace(name="pretended", total_memory=1 << 36, major=9, minor=0, multi_processor_count=1)
    for name, value in {
        "is_available": lambda: True, "_lazy_init": lambda: None, "device_count": lambda: 1, "current_device": lambda: 0,
        "Stream": _Stream, "Event": _Event, "current_stream": lambda *_: _Stream(), "synchronize": lambda *_: None,
        "stream": lambda _: contextlib.nullcontext(),
        "mem_get_info": lambda *_: (_now.free_bytes, 1 << 36), "get_device_name": lambda *_: "pretended",
        "get_device_properties": lambda *_: properties, "set_device": lambda *_: None,
    }.items():  # fmt: skip
        monkeypatch.setattr(torch.cuda, name, value)
    overwrites = torch.__future__.get_overwrite_module_params_on_conversion()
    torch.__future__.set_overwrite_module_params_on_conversion(True)  # a parameter cannot become another kind of tensor
    yield _now
    torch.__future__.set_overwrite_module_params_on_conversion(overwrites)


def _register(folders: pytest.TempPathFactory) -> None:
    """Once in a process: a guard that does nothing, and the making of tensors."""
    if _registered:
        return
    folder, root = folders.mktemp("guard"), Path(torch.__file__).parent
    source, library = folder / "guard.cpp", folder / "guard.so"
    source.write_text(GUARD)
    paths = [f"-I{root}/include", f"-L{root}/lib"]
    subprocess.run(["g++", "-std=c++20", "-shared", "-fPIC", *paths, str(source), "-o", str(library), "-lc10"], check=True)
    _registered.append(ctypes.CDLL(str(library)))
    found = torch.library.Library("aten", "IMPL")
    found.impl("empty.memory_format", _empty, "CUDA")
    found.impl("empty_strided", _empty_strided, "CUDA")
    found.impl("copy_", lambda self, source, non_blocking=False: _run(aten.copy_.default, (self, source), {}), "CUDA")
    found.impl("arange.start_step", lambda *args, **named: _run(aten.arange.start_step, args, named), "CUDA")
    found.impl("arange.start", lambda *args, **named: _run(aten.arange.start, args, named), "CUDA")
    found.impl("arange", lambda *args, **named: _run(aten.arange.default, args, named), "CUDA")
    _registered.append(found)


def _empty(size: Any, *, dtype: Any = None, memory_format: Any = None, **_: Any) -> Tensor:
    return OnGpu(torch.empty(size, dtype=dtype, device=CPU, memory_format=memory_format or torch.contiguous_format))


def _empty_strided(size: Any, stride: Any, *, dtype: Any = None, **_: Any) -> Tensor:
    return OnGpu(torch.empty_strided(size, stride, dtype=dtype, device=CPU))


def _run(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """One operation, on the CPU."""
    tensors = [part for part in tree_flatten((args, kwargs))[0] if isinstance(part, Tensor)]
    strays = [part for part in tensors if not isinstance(part, OnGpu)]
    stays = torch.device(kwargs.get("device") or "cuda").type == "cuda"
    _check(func, args, tensors, strays, stays)
    here_args, here_kwargs = tree_map(lambda part: part.here if isinstance(part, OnGpu) else part, (args, kwargs))
    here_kwargs.pop("pin_memory", None)
    if "device" in here_kwargs:
        here_kwargs["device"] = CPU
    out = func(*here_args, **here_kwargs)
    if func in RESHAPES:
        with no_dispatch():
            func(*args, **kwargs)
    if any(part.shape != part.here.shape for part in tensors if isinstance(part, OnGpu)):
        raise NotImplementedError(f"{func} changes a tensor's size: the pretended device must make that tensor itself")
    return _wrapped(func, out, tensors) if stays else out


def _check(func: Any, args: Any, tensors: list[Tensor], strays: list[Tensor], stays: bool) -> None:
    """Refuse what a GPU would; count what the CPU waits for, and what comes from it."""
    if func not in FROM_CPU and any(part.dim() for part in strays):
        raise RuntimeError(f"{func}: tensors of two devices, cuda and cpu: {[tuple(part.shape) for part in strays]}")
    back = not (stays and isinstance(args[0], OnGpu)) if func in COPIES and len(strays) < len(tensors) else False
    to_cpu = back and (func is aten._to_copy.default or not isinstance(args[0], OnGpu))
    masks = func in INDEXES and any(part.dtype == torch.bool for part in tensors[1:])
    if func in READS or to_cpu or masks:
        _now.reads += 1
    if strays and func in FROM_CPU and not to_cpu:
        _now.moved += sum(part.nbytes for part in strays)


def _wrapped(func: Any, out: Any, tensors: list[Tensor]) -> Any:
    """What came out, as tensors of the device; what went in stays what it is."""
    mine = {id(part.here): part for part in tensors if isinstance(part, OnGpu)}
    theirs = {id(part) for part in tensors if not isinstance(part, OnGpu)}
    views = any(one.alias_info is not None and not one.alias_info.is_write for one in func._schema.returns) and tensors

    def wrap(part: Any) -> Any:
        if not isinstance(part, Tensor) or id(part) in theirs:
            return part
        if id(part) in mine:
            return mine[id(part)]
        with torch.inference_mode(tensors[0].is_inference()) if views else contextlib.nullcontext():  # as what it is a view of
            return OnGpu(part)

    return tree_map(wrap, out)


def _launching(plainly: Callable[..., None]) -> Callable[..., None]:
    """How kernels are launched: on the device's memory only."""

    def launch(self: Any, *args: Any, **kwargs: Any) -> None:
        given = [part for part in (*args, *kwargs.values()) if isinstance(part, Tensor)]
        if all(not isinstance(part, OnGpu) for part in given):
            return plainly(self, *args, **kwargs)  # a test of the kernel itself
        if strays := [part for part in given if not isinstance(part, OnGpu)]:
            raise RuntimeError(f"{self.fn.__name__}: memory of the CPU is given to a kernel: {strays}")
        here = [part.here if isinstance(part, OnGpu) else part for part in args]
        named = {name: part.here if isinstance(part, OnGpu) else part for name, part in kwargs.items()}
        if "WIDEN" in named:
            named["WIDEN"] = True  # the interpreter has no bfloat16 products
        _now.launches[self.fn.__name__] += 1
        return plainly(self, *here, **named)

    return launch


def _without_pinning(empty: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def unpinned(*args: Any, pin_memory: bool = False, **kwargs: Any) -> Tensor:
        return empty(*args, **kwargs)

    return unpinned


class _Event:
    def __init__(self, *_: Any, **__: Any) -> None:
        pass

    def synchronize(self) -> None:
        pass


class _Stream(_Event):
    def wait_stream(self, other: Any) -> None:
        pass

    def wait_event(self, event: Any) -> None:
        pass

    def record_event(self, event: _Event | None = None) -> _Event:
        return event or _Event()
