"""Tokenizers that put a space before every text: a context's pieces have the ids that the whole text gives."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.tokens.kinds import CHATML, IGNORES_SYSTEM, SENTENCE_PIECE, save
from tscli.tokens import SourceText, StreamDecoder, Tokenizer, build_context, load_template, load_tokenizer
from tscli.tokens import tokenizer as tokenizers

SPECIAL = ["<s>", "</s>", "<|im_start|>", "<|im_end|>"]
PAGES = ("The end of the world.", " naïve café", "12 – 日本\nthe world")


@pytest.fixture(scope="module", params=SENTENCE_PIECE)
def tokenizer(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    return load_tokenizer(str(save(tmp_path_factory.mktemp("t"), request.param, IGNORES_SYSTEM, SPECIAL, "</s>")))


def whole(tokenizer: Tokenizer, text: str) -> list[int]:
    ids: list[int] = tokenizer.chat.backend_tokenizer.encode(text, add_special_tokens=False).ids
    return ids


@pytest.mark.parametrize("system", ["Read this.", ""])
def test_a_context_and_a_question_have_the_ids_of_the_whole_text(tokenizer: Tokenizer, system: str) -> None:
    template = load_template(tokenizer, system, "In a word.")
    sources = [SourceText(name, name, PAGES, True, title=name) for name in ("a.txt", "b.txt")]
    context = build_context(tokenizer, template, sources)
    ids = [*context.token_ids.tolist(), *template.question_ids(tokenizer, "Is it the end?")]
    body = "".join(f"# {name}\n\n" + "".join(f"{page}\n\n" for page in PAGES) for name in ("a.txt", "b.txt"))
    text = f"{template.prefix}{body}{template.middle}Is it the end?{template.suffix}"
    wanted = whole(tokenizer, text)
    if not system:  # the prefix ends in a space, which the whole joins to the first word
        first = len(template.prefix_ids) + 3
        ids, wanted = ids[first:], wanted[-len(ids) + first :]
    assert ids == wanted


def test_a_question_right_behind_a_mark_begins_as_the_model_was_trained(tmp_path: Path) -> None:
    marks = CHATML.replace("{{ m.role }}\n", "{{ m.role }}<|im_start|>")
    made = load_tokenizer(str(save(tmp_path, "llama2", marks, SPECIAL, "</s>")))
    template = load_template(made, "Read.", "", "system")
    assert template.middle.endswith("<|im_start|>")
    ids = [*made.encode_template(f"{template.prefix}the end"), *template.question_ids(made, "the world?")]
    assert ids == whole(made, f"{template.prefix}the end{template.middle}the world?{template.suffix}")
    assert "<|im_end|>" in made.decode(made.encode_section("<|im_end|>", made.encode_template("<|im_start|>")))


def test_a_huge_text_is_cut_into_slices_that_join_as_the_whole(tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "the end of the world as we know it\nand café\n" * 30
    encoded = tokenizer.encode_text([text])[0]
    monkeypatch.setattr(tokenizers, "SLICE", 200)
    sliced = tokenizer.encode_text([text])[0]
    assert sliced.ids.tolist() == encoded.ids.tolist()
    assert sliced.char_start.tolist() == encoded.char_start.tolist()
    assert sliced.char_end[-1] == len(text)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(st.sampled_from(" \n\tabehknost.,é日😀"), max_size=30))
def test_any_text_comes_back_as_it_was_and_also_token_by_token(tokenizer: Tokenizer, text: str) -> None:
    encoded = tokenizer.encode_text([text])[0]
    ids = encoded.ids.tolist()
    assert tokenizer.decode(ids) == text
    stream = StreamDecoder(tokenizer)
    assert "".join(map(stream.push, ids)) + stream.flush() == text
    assert (np.diff(encoded.char_start) >= 0).all()
    assert not text or encoded.char_end[-1] == len(text)


def test_an_answer_keeps_the_space_behind_a_token_that_is_not_shown(tokenizer: Tokenizer) -> None:
    end, word = tokenizer.encode_template("</s>"), tokenizer.encode_text([" the"])[0].ids.tolist()
    stream = StreamDecoder(tokenizer)
    assert "".join(map(stream.push, [*word, *end, *word])) == " the the"
