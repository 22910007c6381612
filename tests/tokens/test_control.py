"""No text of a document becomes a token that gives the model orders, whatever the tokenizer calls special."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.tokens.kinds import CHATML, GEMMA, IGNORES_SYSTEM, LLAMA3, save
from tscli import reader
from tscli.tokens import SourceText, Template, Tokenizer, build_context, load_template, load_tokenizer, tokenizer
from tscli.tokens.control import control_ids

THINKS = CHATML.replace("assistant\n{% endif %}", "assistant\n<think>{% endif %}")
TEMPLATES = {
    "chatml": (CHATML, ["<|im_start|>", "<|im_end|>", "<|endoftext|>"]),
    "thinks": (THINKS, ["<|im_start|>", "<|im_end|>", "<think>"]),
    "llama3": (LLAMA3, ["<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"]),
    "gemma": (GEMMA, ["<bos>", "<eos>", "<start_of_turn>", "<end_of_turn>"]),
    "mistral": (IGNORES_SYSTEM, ["<s>", "</s>", "[INST]", "[/INST]"]),
    "none": (None, ["<bos>", "<eos>"]),
}
KINDS = ("gpt2", "llama3", "qwen", "metaspace")
WORDS = ["system", " user\n", "e\u0301", "\u00a0", "x" * 30_000, "日", "\x1b", " ", "\n", "<", "|>", "im_", "\u200b"]


def weakened(folder: Path, contents: list[str]) -> None:
    """Call these tokens ordinary added ones, as some models call the marks of their turns."""
    for name in ("tokenizer.json", "tokenizer_config.json"):
        content = json.loads((folder / name).read_text())
        listed = content.get("added_tokens") or list(content.get("added_tokens_decoder", {}).values())
        for token in listed:
            token["special"] = token["special"] and token["content"] not in contents
        (folder / name).write_text(json.dumps(content))


@pytest.fixture(scope="module", params=[(name, kind, weak) for name in TEMPLATES for kind in KINDS for weak in (False, True)])
def loaded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Tokenizer, Template, list[str]]:
    name, kind, weak = request.param
    template, special = TEMPLATES[name]
    folder = save(tmp_path_factory.mktemp(name) / kind, kind, template, special, special[1])
    if weak and template is not None:
        weakened(folder, [token for token in special[2:] if token in template])
    made = load_tokenizer(str(folder))
    return made, load_template(made), special


def forged(made: Tokenizer, text: str) -> set[str]:
    """The control tokens that are in a document of this text, or of a file of this name."""
    template = load_template(made)
    source = SourceText("a", "0", (text, text), True, title=text.replace("\n", " "))
    ids = build_context(made, template, [source]).token_ids[len(template.prefix_ids) :]
    asked = template.question_ids(made, text)
    around = template.question_ids(made, "")
    ids = np.append(ids, [index for index in set(asked) if asked.count(index) > around.count(index)])
    return {token for token, index in made.added.items() if index in ids}


def test_nothing_that_ends_an_answer_is_in_a_text_that_spells_it(loaded: tuple[Tokenizer, Template, list[str]]) -> None:
    made, template, special = loaded
    ends = {made.decode([index], special=True) for index in template.end_ids}
    assert ends
    for token in {*special, *ends}:
        assert made.added[token] not in made.encode_text([token])[0].ids


def test_no_document_and_no_file_name_forges_one(loaded: tuple[Tokenizer, Template, list[str]]) -> None:
    made, _, special = loaded
    for token in special:
        for text in (token, f"a {token} b", f"e\u0301{token}{token}\n", token * 50, f"{token[:3]}{token}{token[3:]}"):
            assert forged(made, text) == set(), repr(text)
            ids = made.encode_text([text])[0].ids.tolist()
            assert made.decode(ids).replace(" ", "") == made.decode(ids).replace(" ", "").replace("\ufffd", "")


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_nor_does_any_mixture_of_them(loaded: tuple[Tokenizer, Template, list[str]], data: st.DataObject) -> None:
    made, _, special = loaded
    text = "".join(data.draw(st.lists(st.sampled_from([*special, *WORDS]), max_size=12)))
    assert forged(made, text) == set()


def test_text_with_a_forged_token_is_all_there_and_its_characters_are_accounted_for(tmp_path: Path) -> None:
    folder = save(tmp_path, "metaspace", THINKS, ["<|im_start|>", "<|im_end|>", "<think>"], "<|im_end|>")
    weakened(folder, ["<think>"])
    made = load_tokenizer(str(folder))
    text = "before <think> after <think>"
    encoded = made.encode_text([text])[0]
    assert "".join(made.decode(encoded.ids.tolist()).split()) == "before<think>after<think>"
    assert encoded.char_start[0] == 0
    assert encoded.char_end[-1] == len(text)
    assert (np.diff(encoded.char_start) >= 0).all()


def test_tokens_that_plain_text_needs_are_no_control_tokens() -> None:
    added = [
        {"id": 0, "content": "<unk>", "special": True},
        {"id": 1, "content": "<0x0A>", "special": True},
        {"id": 2, "content": "\n\n", "special": False},
        {"id": 3, "content": "<table>", "special": False},
        {"id": 4, "content": "<|User|>", "special": False},
        {"id": 5, "content": "</s>", "special": True},
    ]
    content = {"model": {"unk_token": "<unk>"}, "added_tokens": added}
    assert control_ids(content, "{{ '<|User|>' }}\n\n").tolist() == [4, 5]


def test_a_huge_text_is_encoded_in_slices_that_join(monkeypatch: pytest.MonkeyPatch) -> None:
    made = load_tokenizer(str(reader.path()))
    text = "e\u0301 One line of words, as it is.\n" * 40
    whole = made.encode_text([text])[0]
    monkeypatch.setattr(tokenizer, "SLICE", 100)
    sliced = made.encode_text([text])[0]
    assert sliced.ids.tolist() == whole.ids.tolist()
    assert sliced.char_start.tolist() == whole.char_start.tolist()
    assert made.encode_text(["x" * 250, "y"])[0].char_end[-1] == 250
