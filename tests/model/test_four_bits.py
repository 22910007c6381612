"""Weights that were of 4 bits: found again exactly or not at all, kept beside the full ones, and used for answers only."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import gguf
import numpy as np
import pytest
import torch
from gguf import GGMLQuantizationType as Kind
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from tests.model.gguf_files import TOKENS, make_llama, write_llama
from tscli.errors import UsageError
from tscli.model import few_bits, linear
from tscli.model.decoder import FEW, FEWEST, MOST_IN_BLOCKS, Decoder
from tscli.model.four_bits import FILE, PACKED, FourBits, four_bits_of, load_four_bits, load_packed, save_four_bits
from tscli.model.gathered import GatheredRun, Rows
from tscli.model.gguf import gguf_folder
from tscli.model.load import load_decoder
from tscli.model.options import LoadOptions
from tscli.model.step import Pass
from tscli_kernels import has_byte_products, has_int8_products

IN_LAYERS = 2 * 4  # products that two layers take


@pytest.fixture(autouse=True)
def by_torch_in_float32_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tscli.model.decoder.SLOW_IN_TORCH", ())


def numbers(found: FourBits) -> torch.Tensor:
    codes = torch.stack([found.codes & 15, found.codes >> 4], dim=-1).flatten(1).unflatten(1, (-1, 32)).double()
    return ((codes - 8) * found.step[..., None].double() + found.zero[..., None].double()).flatten(1)


def q4_k(rows: int, width: int) -> np.ndarray:
    """Random blocks of Q4_K, which gguf reads but does not write: two float16 scales, 12 bytes of scales, 128 of codes."""
    blocks = np.random.default_rng(5).integers(0, 256, (rows, width // 256, 144), dtype=np.uint8)
    blocks[..., :4] = np.array([0.01, 0.02], dtype=np.float16).view(np.uint8)
    found: np.ndarray = gguf.quants.dequantize(blocks.reshape(rows, -1), Kind.Q4_K)
    return found


@pytest.mark.parametrize("kind", [Kind.Q4_0, Kind.Q4_1, Kind.Q4_K])
def test_blocks_of_4_bits_are_found_again(kind: Kind) -> None:
    plain = np.random.default_rng(1).normal(size=(80, 512)).astype(np.float32)
    weight = q4_k(80, 512) if kind == Kind.Q4_K else gguf.quants.dequantize(gguf.quants.quantize(plain, kind), kind)
    kept = torch.from_numpy(weight).half()
    found = four_bits_of(kept)
    assert found is not None
    moved = (numbers(found) - kept.double()).abs().unflatten(1, (-1, 32)).amax(dim=-1)
    assert (moved <= 2**-9 * kept.double().abs().unflatten(1, (-1, 32)).amax(dim=-1)).all()


@pytest.mark.parametrize("kind", [Kind.Q5_0, Kind.Q8_0, Kind.F16])
def test_other_weights_are_not_taken_for_4_bits(kind: Kind) -> None:
    plain = np.random.default_rng(1).normal(size=(80, 512)).astype(np.float32)
    weight = torch.from_numpy(gguf.quants.dequantize(gguf.quants.quantize(plain, kind), kind)).half()
    assert four_bits_of(weight) is None


def test_one_group_that_is_not_of_4_bits_is_enough_and_so_is_a_width_of_no_groups() -> None:
    weight = torch.randint(0, 16, (96, 64)).float() / 8
    assert four_bits_of(weight) is not None
    weight[95, 40:64] += torch.rand(24)
    assert four_bits_of(weight) is None
    assert four_bits_of(torch.zeros(64, 48)) is None


def test_groups_of_equal_weights_keep_them() -> None:
    weight = torch.cat([torch.zeros(16, 32), torch.full((16, 32), -0.37)], dim=1).half()
    found = four_bits_of(weight)
    assert found is not None
    assert torch.equal(numbers(found).half(), weight)


def test_what_is_kept_is_read_again_and_no_file_says_that_there_is_nothing(tmp_path: Path) -> None:
    weights = {"model.a_proj.weight": torch.randint(0, 16, (16, 64)).half(), "model.b_proj.weight": torch.randn(16, 64)}
    assert save_four_bits(weights, tmp_path) == 1
    assert list(load_four_bits(tmp_path)) == ["model.a_proj.weight"]
    (tmp_path / FILE).unlink()
    assert load_four_bits(tmp_path) == {}
    assert save_four_bits({"model.b_proj.weight": torch.randn(16, 64)}, tmp_path) == 0
    assert not (tmp_path / FILE).exists()


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_llama(tmp_path / "small.gguf", make_llama(), Kind.Q4_1)


def load(model: Path, weights: str = "auto", *, lasting: bool = False) -> Decoder:
    return load_decoder(LoadOptions(str(model), dtype="float32", device="cpu", weights=weights), lasting=lasting)


def some_pass(decoder: Decoder, count: int, seed: int = 2) -> Pass:
    """Of so many tokens behind nothing."""
    nothing = Rows.behind_each_other(torch.arange(0))
    token_ids = torch.randint(len(TOKENS), (count,), generator=torch.Generator().manual_seed(seed))
    run = GatheredRun(decoder.new_state(), decoder.rotator, [nothing], keeps=True)
    return Pass(token_ids, run, list(range(count)))


def answer_logits(decoder: Decoder, count: int) -> torch.Tensor:
    """Of tokens that run as those of an answer do."""
    return decoder.forward_batch([some_pass(decoder, count)])[0]


def products(decoder: Decoder, count: int) -> Counter[str]:
    """How many products, and by which weights, so many tokens of an answer take."""
    made = Counter[str]()

    def counting(name: str) -> Callable[..., torch.Tensor]:
        multiply = getattr(linear, name)

        def counted(*args: object) -> torch.Tensor:
            made[name] += 1
            product: torch.Tensor = multiply(*args)
            return product

        return counted

    with pytest.MonkeyPatch.context() as patch:
        for name in ("int4_linear", "nibble_linear", "block_linear", "rowwise_linear"):
            patch.setattr(linear, name, counting(name))
        answer_logits(decoder, count)
    return made


has_blocks = pytest.mark.skipif(not has_byte_products(), reason="this processor has no VNNI")
has_products = pytest.mark.skipif(
    not torch.backends.cpu.get_cpu_capability().startswith(("AVX2", "AVX512")), reason="no fast products of 4-bit weights here"
)


@has_products
@pytest.mark.parametrize("count", [1, 4, FEW])
def test_answers_by_4_bits_are_those_by_the_full_weights(model: Path, count: int) -> None:
    by_four, by_full = load(model), load(model, "full")
    found, wanted = answer_logits(by_four, count), answer_logits(by_full, count)
    by_head = "nibble_linear" if count <= FEWEST else "rowwise_linear"  # the embedding has 8 bits
    assert products(by_four, count) == {"int4_linear": IN_LAYERS, by_head: 1}
    assert products(by_full, count) == {"rowwise_linear": IN_LAYERS + 1}
    assert 0 < torch.linalg.vector_norm(found - wanted) / torch.linalg.vector_norm(wanted) < 5e-3
    assert "answers are made with the file's own weights in 4 and 8 bits" in by_four.notes
    assert by_full.notes == []


@has_blocks
@pytest.mark.parametrize("count", [1, 3, MOST_IN_BLOCKS[8], MOST_IN_BLOCKS[4]])
def test_a_lasting_model_answers_by_blocks_and_alike(model: Path, count: int) -> None:
    by_blocks, by_full = load(model, lasting=True), load(model, "full")
    found, wanted = answer_logits(by_blocks, count), answer_logits(by_full, count)
    by_head = Counter({"block_linear" if count <= MOST_IN_BLOCKS[8] else "rowwise_linear": 1})
    assert products(by_blocks, count) == Counter({"block_linear": IN_LAYERS}) + by_head
    assert 0 < torch.linalg.vector_norm(found - wanted) / torch.linalg.vector_norm(wanted) < 5e-3
    assert torch.equal(answer_logits(by_blocks, FEW + 1), answer_logits(by_full, FEW + 1))
    assert torch.equal(answer_logits(load(model, lasting=True), count), found)  # as the first one kept them


@has_products
def test_a_processor_without_sums_of_byte_products_answers_by_torchs(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tscli.model.decoder.has_byte_products", lambda: False)
    assert products(load(model, lasting=True), 1) == {"int4_linear": IN_LAYERS, "nibble_linear": 1}


def test_documents_and_long_questions_are_read_by_the_full_weights(model: Path) -> None:
    by_four, by_full = load(model), load(model, "full")
    assert torch.equal(answer_logits(by_four, FEW + 1), answer_logits(by_full, FEW + 1))
    token_ids = torch.arange(5)
    runs = [GatheredRun(one.new_state(), one.rotator, [Rows.behind_each_other(torch.arange(0))]) for one in (by_four, by_full)]
    found, wanted = (one.forward(token_ids, run) for one, run in zip((by_four, by_full), runs, strict=True))
    assert found is not None
    assert wanted is not None
    assert torch.equal(found, wanted)


@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
@pytest.mark.parametrize("weights", ["auto", "full", "int8", "in blocks"])
def test_a_pass_gets_bit_for_bit_what_it_gets_alone_whatever_goes_with_it(model: Path, dtype: str, weights: str) -> None:
    if weights == "int8" and not has_int8_products():
        pytest.skip("this processor's 8-bit products overflow")
    options = LoadOptions(str(model), dtype=dtype, device="cpu", weights=weights.replace("in blocks", "auto"))
    decoder = load_decoder(options, lasting=weights == "in blocks")
    counts = [4, 1, FEW + 5, 4, 2, FEW, 1, 3, 40]  # those of answers are more than FEW together
    alone = [decoder.forward_batch([some_pass(decoder, count, seed)])[0] for seed, count in enumerate(counts)]
    together = decoder.forward_batch([some_pass(decoder, count, seed) for seed, count in enumerate(counts)])
    assert all(map(torch.equal, together, alone))


@has_products
def test_a_matrix_of_which_one_part_is_not_of_4_bits_stays_full(model: Path) -> None:
    folder = gguf_folder(model)
    found = load_four_bits(folder)
    (folder / FILE).unlink()
    rest = {name: numbers(part) for name, part in found.items() if not name.startswith("model.layers.1.self_attn.v")}
    save_four_bits(rest, folder)
    assert products(load(model), FEW) == {"int4_linear": IN_LAYERS - 1, "rowwise_linear": 2}  # that one and the head


@has_products
def test_the_next_process_finds_the_codes_packed_and_answers_alike(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = answer_logits(load(model), 4)
    folder = gguf_folder(model)
    assert [path.name for path in folder.glob("four*packed*")] == [PACKED]
    monkeypatch.setattr(few_bits, "load_four_bits", lambda _: pytest.fail("packed once more"))
    assert torch.equal(answer_logits(load(model), 4), first)


@has_products
@pytest.mark.parametrize("other", ["torch", "processor", "codes", "broken", "empty"])
def test_codes_that_another_torch_or_processor_packed_are_packed_again(model: Path, other: str) -> None:
    first, folder = answer_logits(load(model), 4), gguf_folder(model)
    if other in ("torch", "processor"):
        with safe_open(folder / PACKED, framework="pt") as file:
            made_by = file.metadata()
        save_file(load_file(folder / PACKED), folder / PACKED, metadata={**made_by, other: "another"})
    elif other == "codes":
        os.utime(folder / FILE, (0, 0))
    else:
        (folder / PACKED).write_bytes(b"" if other == "empty" else (folder / PACKED).read_bytes()[:-1])
    assert load_packed(folder, in_blocks=False) is None
    assert torch.equal(answer_logits(load(model), 4), first)
    assert load_packed(folder, in_blocks=False) is not None


@has_products
def test_a_folder_that_cannot_be_written_to_is_no_hindrance(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, folder = answer_logits(load(model), 4), gguf_folder(model)
    (folder / PACKED).unlink()
    (folder / PACKED).mkdir()  # nothing can be put in its place
    assert torch.equal(answer_logits(load(model), 4), first)
    assert [path.name for path in folder.glob("four*packed*")] == [PACKED]
    assert not [path.name for path in folder.iterdir() if path.name.startswith(".")]


def test_a_processor_without_fast_products_of_4_bits_answers_by_the_full_weights(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "DEFAULT")
    decoder = load(model)
    assert decoder.few_bits == ()
    assert torch.equal(answer_logits(decoder, 4), answer_logits(load(model, "full"), 4))


def test_int8_weights_leave_4_bits_out(model: Path) -> None:
    try:
        decoder = load(model, "int8")
    except UsageError:
        pytest.skip("this processor's 8-bit products overflow")
    assert decoder.few_bits == ()


@pytest.mark.skipif(not has_byte_products(), reason="this processor has no products of blocks")
def test_one_answer_in_float32_is_made_in_blocks_too(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    assert load(model).in_blocks


def test_in_float32_full_weights_run_where_there_are_no_blocks(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    monkeypatch.setattr("tscli.model.decoder.has_byte_products", lambda: False)
    assert load(model).few_bits == ()
