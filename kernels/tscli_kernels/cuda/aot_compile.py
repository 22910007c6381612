"""Compile every kernel for GPUs on a machine that has none, and read registers and spills.

`python -m tscli_kernels.cuda.aot_compile` fails where a kernel spills, or needs more registers than BOUNDS has for it.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from tscli_kernels.cuda import attending, head_scoring, scoring, voting
from tscli_kernels.gpu_page_table import UNIT

CAPABILITIES = (80, 90)
BYTES = {"bf16": 2, "fp16": 2, "fp32": 4}
# What the code of today takes at most over all shapes, and an eighth more. A thread has 255: where a kernel comes near, it is a
# spill that tells.
BOUNDS = {
    "score": 232,
    "score int8": 192,
    "score head": 243,
    "score head int8": 252,
    "sketch": 144,
    "vote": 40,
    "histogram first": 40,
    "histogram second": 40,
    "histogram last": 40,
    "choose 10": 80,
    "choose 11": 144,
    "count": 32,
    "write": 112,
    "combine": 40,
}
SHAPES = (("bf16", 64, 2), ("bf16", 128, 7), ("bf16", 256, 4), ("fp16", 128, 4), ("fp32", 64, 2), ("fp32", 128, 4))


@dataclass(frozen=True)
class Kernel:
    """A kernel with the types of its arguments ("*bf16" is a pointer) and its constants; aligned: which of its arguments are
    multiples of 16 wherever it is launched."""

    name: str
    function: Any
    types: dict[str, str]
    constants: dict[str, Any]
    options: dict[str, Any] = field(default_factory=dict)
    aligned: tuple[str, ...] = ()


@dataclass(frozen=True)
class Report:
    """Registers per thread, and bytes spilled by all of a thread's spills."""

    kernel: str
    capability: int
    registers: int
    spilled: int


def kernels(dtype: str, head_dim: int, group: int) -> list[Kernel]:
    """All kernels as they run for a model of this shape."""
    key, dim, rank = f"*{dtype}", scoring.padded(head_dim), head_dim // 4
    scores = {"out_ptr": "*fp32", "max_ptr": "*fp32", "sum_ptr": "*fp32", "n": "i32", "row_stride": "i32", "blocks": "i32"}
    rows = {"GROUP": group, "ROWS": scoring.ROWS, "WIDEN": False}
    vote = {"vote_ptr": "*fp32", "state_ptr": "*i64"}
    paged = {"query_ptr": "*fp32", "table_ptr": "*i32", **scores, "kv_heads": "i32", "page_size": "i32"}
    found = [
        Kernel(
            name,
            scoring.score_kernel,
            {**paged, "pages_ptr": pages, "scale_ptr": scale},
            {**rows, "HEAD_DIM": head_dim, "DIM": dim, "BLOCK": scoring.block_of(head_dim), "SCALED": name != "score"},
            {"num_warps": scoring.num_warps(head_dim, 1 if name != "score" else BYTES[dtype])},
        )
        for name, pages, scale in (("score", key, key), ("score int8", "*i8", "*bf16"))
    ]
    found += [
        Kernel(
            name,
            head_scoring.score_head_kernel,
            dict.fromkeys(("offset_ptr", "scale_offset_ptr", "start_ptr"), "*i64")
            | dict.fromkeys(("num_rows", "num_slots", "start", "num_tokens", "page_size"), "i32")
            | {"query_ptr": "*fp32", "pages_ptr": pages, "scale_ptr": scale, "out_ptr": "*fp32"},
            {"HEAD_DIM": head_dim, "DIM": dim, "BLOCK": scoring.block_of(head_dim), "ROWS": scoring.ROWS, "UNIT": UNIT}
            | {"WIDEN": False, "SCALED": name != "score head"},
            {"num_warps": scoring.num_warps(head_dim, 1 if name != "score head" else BYTES[dtype])},
            ("query_ptr", "pages_ptr", "scale_ptr", "offset_ptr", "scale_offset_ptr", "out_ptr", "page_size"),
        )
        for name, pages, scale in (("score head", key, key), ("score head int8", "*i8", "*bf16"))
    ]
    found += [
        Kernel(
            "sketch",
            scoring.sketch_kernel,
            {"query_ptr": "*i8", "scale_ptr": "*fp32", "codes_ptr": "*u8", "out_ptr": "*fp32", "n": "i32", "row_stride": "i32"}
            | {"head_stride": "i64", "plane_stride": "i64"},
            {**rows, "RANK": rank, "DIM": scoring.padded(rank), "BLOCK": scoring.block_of(rank), "ZERO": scoring.ZERO},
        ),
        Kernel(
            "vote",
            voting.vote_kernel,
            {"scores_ptr": "*fp32", "lse_ptr": "*fp32", "vote_ptr": "*fp32", "n": "i32"},
            {"HEADS": 4 * group, "BLOCK": voting.BLOCK},
        ),
        *(
            Kernel(
                f"histogram {name}",
                voting.histogram_kernel,
                {**vote, "counts_ptr": "*i32", "nan_ptr": "*i32", "n": "i32"},
                {"SHIFT": 32 - sum(voting.BITS[: number + 1]), "BITS": bits, "BLOCK": voting.BLOCK},
            )
            for number, (name, bits) in enumerate(zip(("first", "second", "last"), voting.BITS, strict=True))
        ),
        *(
            Kernel(f"choose {bits}", voting.choose_kernel, {"state_ptr": "*i64", "counts_ptr": "*i32"}, {"BITS": bits})
            for bits in sorted(set(voting.BITS))
        ),
        Kernel(
            "count",
            voting.count_kernel,
            {**vote, "higher_ptr": "*i32", "equal_ptr": "*i32", "n": "i32"},
            {"BLOCK": voting.BLOCK},
        ),
        Kernel(
            "write",
            voting.write_kernel,
            {**vote, "higher_ptr": "*i64", "equal_ptr": "*i64", "out_ptr": "*i64", "n": "i32"},
            {"BLOCK": voting.BLOCK},
        ),
        Kernel(
            "combine",
            attending.combine_kernel,
            {"parts_ptr": "*fp32", "lse_ptr": "*fp32", "out_ptr": key, "out_lse_ptr": "*fp32", "rows": "i32"},
            {"PARTS": 6, "HEAD_DIM": head_dim, "DIM": dim},
        ),
    ]
    pointers = ("query_ptr", "key_ptr", "value_ptr", "new_key_ptr", "new_value_ptr")
    types = dict.fromkeys(pointers, key) | {"rows_ptr": "*i64", "out_ptr": "*fp32", "lse_ptr": "*fp32"}
    types |= {"cos_ptr": "*fp32", "sin_ptr": "*fp32", "scaling": "fp32", "softcap": "fp32"}
    types |= dict.fromkeys(("num_queries", "num_fresh", "num_selected", "kv_heads", "page_size", "split"), "i32")
    block, most = attending.tiles(head_dim, BYTES[dtype])
    for size, tile in (("step", scoring.ROWS), ("chunk", most)):
        for kind, rotary, capped in (("", head_dim, False), (" capped", head_dim, True), (" partial", head_dim // 2, False)):
            constants = {"GROUP": group, "HEAD_DIM": head_dim, "DIM": dim, "BLOCK": block, "ROWS": tile, "WIDEN": False}
            constants |= {"ROTARY": rotary, "HALF": scoring.padded(rotary // 2), "CAPPED": capped}
            constants |= {"REST": scoring.padded(max(1, head_dim - rotary))}
            options = {"num_warps": attending.NUM_WARPS, "num_stages": 1}
            found.append(Kernel(f"attend {size}{kind}", attending.attend_kernel, types, constants, options))
    return found


def compiled(kernel: Kernel, capability: int) -> Report:
    """Compile for sm_<capability> and read what the machine code uses."""
    names = kernel.function.arg_names
    signature = {name: kernel.types.get(name, "constexpr") for name in names}
    attributes = {(names.index(name),): [["tt.divisibility", 16]] for name in kernel.aligned}
    source = ASTSource(kernel.function, signature, constexprs=kernel.constants, attrs=attributes)
    program = triton.compile(source, target=GPUTarget("cuda", capability, 32), options=kernel.options)
    return Report(kernel.name, capability, *_resources(program.asm["cubin"]))


def _resources(cubin: bytes) -> tuple[int, int]:
    """Registers, and bytes of stack and local memory (where spills go), as the tool that comes with Triton reads them."""
    reader = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "cuobjdump"
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "kernel.cubin"
        file.write_bytes(cubin)
        command = [str(reader), "--dump-resource-usage", str(file)]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    used = {name: int(count) for name, count in re.findall(r"(REG|STACK|LOCAL):(\d+)", said)}
    return used["REG"], used["STACK"] + used["LOCAL"]


def main() -> int:
    failed = 0
    print(f"{'kernel':<21} {'shape':<18} {'GPU':<6} registers spilled bytes")
    for dtype, head_dim, group in SHAPES:
        for kernel in kernels(dtype, head_dim, group):
            for capability in CAPABILITIES:
                report = compiled(kernel, capability)
                bad = report.spilled > 0 or report.registers > BOUNDS.get(kernel.name, 255)
                failed += bad
                shape = f"{dtype} {head_dim} group {group}"
                note = "  <-- spills, or takes more registers than it did" if bad else ""
                print(f"{kernel.name:<21} {shape:<18} sm_{capability}  {report.registers:>9} {report.spilled:>13}{note}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
