"""GGUF files: the same logits and tokens as they hold, converted once, found again, and refused where they cannot be read.

Real files are tried, too, where the variable TSCLI_TEST_MODELS names a folder that holds any.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import gguf as gguf_package
import numpy as np
import pytest
import torch
from gguf import GGMLQuantizationType as Kind
from tokenizers import pre_tokenizers
from transformers import AutoModelForCausalLM

from tests.model.gguf_files import SPECIAL, TOKENS, make_llama, write_llama
from tscli.errors import TscliError, UsageError
from tscli.model import gguf
from tscli.model.decoder import Decoder
from tscli.model.gguf import all_converted, gguf_folder, read_converted
from tscli.model.gguf_convert import storage_dtype
from tscli.model.gguf_header import read_header
from tscli.model.gguf_tokens import DIGITS_APART
from tscli.model.llama import LlamaDecoder
from tscli.model.load import load_decoder
from tscli.model.options import LoadOptions
from tscli.model.parity import check_parity
from tscli.tokens import load_template, load_tokenizer

TEXTS = (
    "In 1874 the lighthouse  12 was built; it's 3:45 pm.\n\n\tif x==2:\n        return 10",
    "  7 ships, the 'tis and 1's  ends here 99  ",
    "Ångström naïve café Καλημέρα こんにちは 😀 <|im_end|> the the",
)
REAL = sorted(Path(os.environ["TSCLI_TEST_MODELS"]).glob("*.gguf")) if os.environ.get("TSCLI_TEST_MODELS") else []


@pytest.fixture(scope="module")
def llama() -> Any:
    return make_llama()


@pytest.fixture
def file(tmp_path: Path, llama: Any) -> Path:
    return write_llama(tmp_path / "small.gguf", llama)


def load(path: Path) -> Decoder:
    return load_decoder(LoadOptions(str(path), dtype="float32", device="cpu"))


def error_of(mine: torch.Tensor, theirs: torch.Tensor) -> float:
    return float(torch.linalg.vector_norm(mine - theirs) / torch.linalg.vector_norm(theirs))


@pytest.mark.parametrize("tied", [True, False])
def test_its_logits_are_those_of_the_model_that_was_written(tmp_path: Path, tied: bool) -> None:
    model = make_llama(tied=tied, seed=3)
    decoder = load(write_llama(tmp_path / "m.gguf", model))
    token_ids = torch.randint(len(TOKENS), (80,), generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        wanted = model(token_ids[None]).logits[0]
    assert isinstance(decoder, LlamaDecoder)
    assert error_of(decoder.reference_logits(token_ids), wanted) < 1e-5
    assert check_parity(decoder) < 1e-5
    assert decoder.num_parameters == sum(part.numel() for part in model.parameters())


@pytest.mark.parametrize("kind", [Kind.Q8_0, Kind.Q4_1, Kind.F16, Kind.BF16])
def test_its_logits_are_those_of_transformers_own_reading(tmp_path: Path, llama: Any, kind: Kind) -> None:
    path = write_llama(tmp_path / "m.gguf", llama, kind)
    decoder = load(path)
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path, gguf_file=path.name, dtype=storage_dtype(read_header(path)))
    token_ids = torch.randint(len(TOKENS), (80,), generator=torch.Generator().manual_seed(1))
    for part in theirs.parameters():
        part.data = part.data.float()
    with torch.inference_mode():
        wanted = theirs.eval()(token_ids[None]).logits[0]
    assert error_of(decoder.reference_logits(token_ids), wanted) < 1e-5


@pytest.mark.parametrize(
    ("kind", "dtype"),
    [(Kind.F32, torch.float32), (Kind.F16, torch.float16), (Kind.BF16, torch.bfloat16), (Kind.Q4_1, torch.float16)],
)
def test_weights_are_kept_in_what_holds_them(tmp_path: Path, llama: Any, kind: Kind, dtype: torch.dtype) -> None:
    path = write_llama(tmp_path / "m.gguf", llama, kind)
    assert storage_dtype(read_header(path)) == dtype
    found = read_converted(gguf_folder(path))
    assert found is not None
    assert f"torch.{found.dtype}" == str(dtype)


def test_weights_beyond_float16_are_kept_in_float32(tmp_path: Path) -> None:
    model = make_llama()
    with torch.no_grad():
        model.model.layers[0].mlp.up_proj.weight[0, 0] = 1e6
    found = read_converted(gguf_folder(write_llama(tmp_path / "m.gguf", model, Kind.Q8_0)))
    assert found is not None
    assert found.dtype == "float32"


def test_its_tokens_are_those_of_the_file(file: Path) -> None:
    tokenizer = load_tokenizer(str(gguf_folder(file)))
    assert tokenizer.backend == "tiktoken"
    for text in TEXTS:
        encoded = tokenizer.encode_text([text])[0].ids.tolist()
        assert tokenizer.decode(encoded) == text
        assert not set(encoded) & set(range(len(SPECIAL)))  # text of a document is text
    assert [TOKENS[index] for index in tokenizer.encode_template("<|im_start|> the<|im_end|>")] == [
        SPECIAL[1],
        "Ġthe",
        SPECIAL[2],
    ]
    assert tokenizer.chat.eos_token_id == 2
    assert tokenizer.chat.bos_token_id == 1


def test_every_digit_stands_alone_as_in_the_models_own_tokenizer(file: Path) -> None:
    fast = load_tokenizer(str(gguf_folder(file))).chat.backend_tokenizer
    text = "".join(TEXTS)
    mine = [piece for piece, _ in fast.pre_tokenizer.pre_tokenize_str(text)]
    digits, spelling = pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)
    assert mine == [piece for piece, _ in pre_tokenizers.Sequence([digits, spelling]).pre_tokenize_str(text)]
    assert json.loads(fast.to_str())["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"] == DIGITS_APART


def test_its_chat_template_and_end_tokens_come_along(tmp_path: Path, llama: Any) -> None:
    path = write_llama(tmp_path / "m.gguf", llama, change=lambda writer: writer.add_eot_token_id(0))
    folder = gguf_folder(path)
    template = load_template(load_tokenizer(str(folder)))
    assert template.source == "chat template"
    assert template.prefix.startswith("<|im_start|>system\n")
    assert json.loads((folder / "generation_config.json").read_text())["eos_token_id"] == [2, 0]
    assert {0, 2} <= template.end_ids


def test_a_cut_that_is_not_known_and_a_missing_template_are_said(tmp_path: Path, llama: Any) -> None:
    notes = load(write_llama(tmp_path / "m.gguf", llama, pre="never-heard-of", template=None)).notes
    assert any("never-heard-of" in note for note in notes)
    assert any("no chat template" in note for note in notes)


def test_positions_scaled_as_llama_3_does_are_understood(tmp_path: Path) -> None:
    model = make_llama()
    rope = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
    model.config.rope_parameters = {"rope_theta": 500000.0, "original_max_position_embeddings": 8192, **rope}
    scaled = type(model)(model.config).eval()
    scaled.load_state_dict(model.state_dict())
    plain = 1.0 / 500000.0 ** (torch.arange(0, 16, 2).float() / 16)
    table = (plain / scaled.model.rotary_emb.inv_freq).numpy().astype(np.float32)

    def change(writer: Any) -> None:
        writer.kv_data[0]["llama.rope.freq_base"].value = 500000.0
        writer.add_tensor("rope_freqs.weight", table)

    decoder = load(write_llama(tmp_path / "m.gguf", scaled, change=change))
    token_ids = torch.randint(len(TOKENS), (200,), generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        assert error_of(decoder.reference_logits(token_ids), scaled(token_ids[None]).logits[0]) < 1e-4
    assert decoder.shape.rope["factor"] == 8.0


def test_positions_scaled_linearly_are_understood(tmp_path: Path, llama: Any) -> None:
    def change(writer: Any) -> None:
        writer.add_rope_scaling_type(gguf_package.RopeScalingType.LINEAR)
        writer.add_rope_scaling_factor(4.0)

    rope = load(write_llama(tmp_path / "m.gguf", llama, change=change)).shape.rope
    assert (rope["rope_type"], rope["factor"]) == ("linear", 4.0)


def unknown_table(writer: Any) -> None:
    writer.add_tensor("rope_freqs.weight", np.linspace(1, 3, 8, dtype=np.float32))


def extra_tensor(writer: Any) -> None:
    writer.add_tensor("blk.0.attn_q.bias", np.zeros(64, dtype=np.float32))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"architecture": "nobodysnet"}, "nobodysnet"),
        ({"tokenizer": False}, "has no tokenizer inside"),
        ({"change": unknown_table}, "not Llama 3's"),
        ({"change": extra_tensor}, "holds .* weights where such a model has"),
    ],
)
def test_what_cannot_be_read_is_one_clear_error(tmp_path: Path, llama: Any, options: dict[str, Any], words: str) -> None:
    path = write_llama(tmp_path / "odd.gguf", llama, **options)
    with pytest.raises(TscliError, match=f"odd.gguf.*{words}.*; give another"):
        gguf_folder(path)
    assert all_converted() == []
    assert [name for name in os.listdir(gguf.cache() / "gguf") if name.endswith(".part")] == []


@pytest.mark.parametrize("share", [0.001, 0.1, 0.5, 0.95])
def test_a_file_that_is_cut_off_is_said_to_be(file: Path, share: float) -> None:
    data = file.read_bytes()
    file.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(TscliError, match=r"small.gguf: cut off or damaged .*; download it again"):
        gguf_folder(file)


@pytest.mark.parametrize("content", [b"", b"GG", b"PK\x03\x04 a zip", b"\x00" * 64])
def test_what_is_no_gguf_file_is_said_to_be_none(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(content)
    with pytest.raises(UsageError, match="not a GGUF file"):
        gguf_folder(path)
    with pytest.raises(UsageError, match=r"gone.gguf: no such file"):
        gguf_folder(tmp_path / "gone.gguf")


def test_lengths_that_no_file_could_hold_are_refused_at_once(file: Path) -> None:
    data = bytearray(file.read_bytes())
    for place in (8, 16, 24):  # how many tensors, how many keys, how long the first key is
        broken = data.copy()
        broken[place : place + 8] = (1 << 60).to_bytes(8, "little")
        file.write_bytes(broken)
        started = time.perf_counter()
        with pytest.raises(TscliError, match="cut off or damaged"):
            read_header(file)
        assert time.perf_counter() - started < 1


def test_numbers_that_are_none_are_refused(tmp_path: Path) -> None:
    model = make_llama()
    with torch.no_grad():
        model.model.layers[0].mlp.up_proj.weight[0, 0] = float("nan")
    with pytest.raises(TscliError, match="damaged: some of its weights"):
        gguf_folder(write_llama(tmp_path / "m.gguf", model))


def test_a_sentencepiece_vocabulary_gives_the_tokens_of_the_file(tmp_path: Path) -> None:
    pieces = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), "▁", *"acehnt", "he", "the", "▁the"]
    kinds = [2, 3, 3, *[6] * 256, *[1] * (len(pieces) - 259)]
    scores = [0.0] * 259 + [-10.0] * 7 + [-1.0, -2.0, -3.0]
    model = make_llama(vocabulary=len(pieces))

    def change(writer: Any) -> None:
        writer.add_tokenizer_model("llama")
        writer.add_token_list(pieces)
        writer.add_token_scores(scores)
        writer.add_token_types(kinds)
        writer.add_bos_token_id(1)
        writer.add_eos_token_id(2)

    tokenizer = load_tokenizer(str(gguf_folder(write_llama(tmp_path / "m.gguf", model, tokenizer=False, change=change))))
    encoded = tokenizer.encode_text([" the cat, the hen"])[0].ids.tolist()
    assert [pieces[index] for index in encoded[:2]] == ["▁the", "▁"]
    assert tokenizer.decode(encoded).strip() == "the cat, the hen"
    assert tokenizer.encode_template("</s>") == [2]


@pytest.mark.skipif(not REAL, reason="TSCLI_TEST_MODELS names no folder with .gguf files")
@pytest.mark.parametrize("path", REAL, ids=lambda path: path.name)
def test_a_real_file_gives_the_logits_and_tokens_that_it_holds(path: Path) -> None:
    decoder = load(path)
    assert isinstance(decoder, LlamaDecoder)
    theirs = AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name, dtype=torch.float32).eval()
    token_ids = torch.randint(decoder.shape.vocab_size // 2, (32,), generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        assert error_of(decoder.reference_logits(token_ids), theirs(token_ids[None]).logits[0]) < 2e-3
    tokenizer, listed = load_tokenizer(str(decoder.folder)), read_header(path, ("tokenizer.ggml.tokens",)).metadata
    for text in TEXTS:
        assert tokenizer.decode(tokenizer.encode_text([text])[0].ids.tolist()) == text
    assert tokenizer.chat.eos_token_id == listed["tokenizer.ggml.eos_token_id"]
    assert tokenizer.chat.chat_template == listed["tokenizer.chat_template"]
    assert tokenizer.encode_template("<|im_start|>") == [listed["tokenizer.ggml.tokens"].index("<|im_start|>")]
