"""What stands around documents and questions: kept with the library, said where it is not the model's own, thoughts apart."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import tscli
from tests.store.conftest import edit_manifest
from tscli.answer.decode import Sampler
from tscli.cli.app import run
from tscli.errors import LibraryError
from tscli.store import Manifest, library_folder, require_manifest
from tscli.tokens import Template, load_template, load_tokenizer

TURNS = (
    "{{ '<bos>' }}{% for m in messages %}{% if m.role == 'system' %}{{ m.content }}{% elif m.role == 'user' %}"
    "{{ '<q>' + m.content }}{% else %}{{ m.content + '<eos>' }}{% endif %}{% if m.role == 'user' and (add_generation_prompt "
    "or not loop.last) %}<a>{% endif %}{% endfor %}{% if enable_thinking %}<think>{% endif %}"
)
READ, BRIEF = (tscli.IngestOptions(system=text) for text in ("Read this.", "Be brief."))
FOR_ASK = ["--device", "cpu", "--stats", "none", "--max-new-tokens", "12"]


@pytest.fixture
def model(small_model: Path, tmp_path: Path) -> Path:
    """The small model with turns and thoughts."""
    folder = Path(shutil.copytree(small_model, tmp_path / "model"))
    (folder / "chat_template.jinja").write_text(TURNS)
    return folder


@pytest.fixture
def load(model: Path) -> tscli.LoadOptions:
    return tscli.LoadOptions(str(model), dtype="float32", device="cpu")


@pytest.fixture
def docs(write_documents: Callable[..., Path]) -> Path:
    return write_documents(words=30, files=("a.txt",))


def kept(library: str = "default") -> Manifest:
    return require_manifest(library_folder(library))


def ask(session: tscli.Session | tscli.Chat, question: str = "Where?", tokens: int = 12) -> tscli.Answer:
    stream = session.ask(question, max_new_tokens=tokens)
    text = "".join(stream)
    assert stream.answer.text == text.rstrip()
    return stream.answer


def test_the_instruction_before_the_documents_is_part_of_what_is_kept(load: tscli.LoadOptions, docs: Path) -> None:
    for name, options in (("one", READ), ("two", BRIEF), ("none", tscli.IngestOptions())):
        tscli.prepare([docs], name, load, options=options).run()
    assert kept("one").template["prefix"] == "<bos>Read this.\n\n"
    assert kept("none").template["prefix"] == "<bos>"  # the small model brings along that it wants none
    assert not {record.id for record in kept("one").segments} & {record.id for record in kept("two").segments}


def test_a_library_keeps_its_own_instruction_and_takes_no_other(load: tscli.LoadOptions, docs: Path) -> None:
    tscli.prepare([docs], load=load, options=READ).run()
    again = tscli.prepare([docs], load=load)
    assert again.plan.prefill_tokens == 0
    again.run()
    assert kept().template["system"] == "Read this."
    assert tscli.prepare([docs], load=load, options=READ).plan.prefill_tokens == 0
    with pytest.raises(LibraryError, match=r"after the instruction 'Read this\.'; --system 'Be brief\.' does not fit it"):
        tscli.prepare([docs], load=load, options=BRIEF)
    with pytest.raises(LibraryError, match=r"--system '' does not fit it"):
        tscli.prepare([docs], load=load, options=tscli.IngestOptions(system=""))


def test_a_library_of_before_keeps_its_prompt_and_joins_one_of_now(load: tscli.LoadOptions, docs: Path, tmp_path: Path) -> None:
    independent = tscli.IngestOptions(documents="independent")
    tscli.prepare([docs], "old", load, options=independent).run()
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "d.txt").write_text("Another one.")
    tscli.prepare([tmp_path / "more"], "new", load, options=independent).run()

    def of_before(manifest: dict[str, object]) -> None:
        template = manifest["template"]
        assert isinstance(template, dict)
        for name in ("system", "reason", "marks", "thinks", "said"):
            del template[name]

    edit_manifest(library_folder("old"), of_before)
    brought = Path(load.model or "") / "tscli.json"  # from now on the model asks for instructions, in new libraries
    brought.write_text(json.dumps({**json.loads(brought.read_text()), "prompt": {}}))
    again = tscli.prepare([docs], "old", load)
    assert again.plan.prefill_tokens == 0
    again.run()
    assert kept("old").template["prefix"] == "<bos>"
    with tscli.open_library(["old", "new"], load) as session:
        assert session.template.suffix == "<a>"
        assert ask(session).statistics.recomputed_tokens == 0
    with pytest.raises(LibraryError, match="was made without an instruction"):
        tscli.prepare([docs], "old", load, options=READ)


def test_a_date_makes_nothing_run_again_on_another_day(
    model: Path, load: tscli.LoadOptions, docs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (model / "chat_template.jinja").write_text("{{ '<bos>' + strftime_now('%d %B %Y') }}" + TURNS.replace("{{ '<bos>' }}", ""))
    tscli.prepare([docs], load=load).run()
    assert kept().template["prefix"] == "<bos>26 July 2024"
    # From here on a template fails that asks what day it is.
    monkeypatch.setattr("transformers.utils.chat_template_utils.datetime", None)
    assert load_template(load_tokenizer(str(model))).prefix == "<bos>26 July 2024"
    assert tscli.prepare([docs], load=load).plan.prefill_tokens == 0
    with tscli.open_library(load=load) as session:
        assert ask(session).statistics.recomputed_tokens == 0


def test_a_template_that_cannot_be_used_is_said_in_the_plan_and_in_info(
    model: Path, load: tscli.LoadOptions, docs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (model / "chat_template.jinja").write_text("{{ raise_exception('for tools only') }}")
    preparation = tscli.prepare([docs], load=load)
    assert preparation.plan.notes[0] == "no chat template (for tools only): questions are asked in plain text"
    preparation.run()
    assert run(["info"]) == 0
    assert "prompt     plain text (no chat template: for tools only)" in capsys.readouterr().out
    assert run(["info", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)["template"]
    assert shown == {"source": "default", "reason": "for tools only", "system": ""}


def test_the_instruction_by_flag_variable_and_file(
    model: Path, docs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    new = ["ingest", str(docs), "--model", str(model), "--device", "cpu", "--dtype", "float32"]
    assert run([*new, "--system", "Read this."]) == 0
    monkeypatch.setenv("TSCLI_SYSTEM", "Be brief.")
    assert run(new) == 0  # what is set once is for new libraries
    assert kept().template["system"] == "Read this."
    assert run([*new, "--library", "two"]) == 0
    assert kept("two").template["system"] == "Be brief."
    assert run([*new, "--library", "two", "--system", ""]) == 4
    assert "--system '' does not fit it" in capsys.readouterr().err
    monkeypatch.delenv("TSCLI_SYSTEM")
    (tmp_path / "config.toml").write_text("system = ''\n")
    monkeypatch.setenv("TSCLI_CONFIG", str(tmp_path / "config.toml"))
    assert run([*new, "--library", "three"]) == 0
    assert kept("three").template["system"] == ""


@pytest.fixture
def says(model: Path, load: tscli.LoadOptions, docs: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """A library, and what makes the model say a text, whatever its logits are."""
    tscli.prepare([docs], load=load).run()
    tokenizer, wanted = load_tokenizer(str(model)), list[int]()
    monkeypatch.setattr(Sampler, "next_token", lambda *_: wanted.pop(0))

    def script(text: str) -> None:
        wanted[:] = tokenizer.encode_template(f"{text}<eos>")

    return script


@pytest.mark.parametrize("think", [False, True])
def test_thoughts_are_no_part_of_answer_evidence_and_sources(
    load: tscli.LoadOptions, says: Callable[[str], None], think: bool
) -> None:
    with tscli.open_library(load=load, think=think) as session:
        says("the stone")
        plain = session.ask("Where?", max_new_tokens=99)
        wanted = ("".join(plain), plain.answer)
        if think:
            assert session.template.suffix == "<a><think>"
            assert (wanted[0], wanted[1].thoughts) == ("", "the stone")
        says("the harbour</think>\n\nthe stone" if think else "<think>the harbour</think>\n\nthe stone")
        heard = list[str]()
        stream = session.ask("Where?", max_new_tokens=99)
        stream.on_thought = heard.append
        assert "".join(stream) == "the stone"
        answer, found = stream.answer, tscli.find_evidence(session, stream.answer)
        assert "".join(heard) == answer.thoughts == "the harbour"
        assert session.tokenizer.decode(answer.token_ids).strip() == "the stone"
        assert len(answer.attribution) == len(answer.token_ids)
        assert "".join(piece.text for piece in found.pieces) == "the stone"
        assert answer.statistics.thought_tokens == answer.statistics.generated_tokens - len(answer.token_ids) > 0
        says("the harbour")
        only_thoughts = ask(session)
        if think:
            assert (only_thoughts.sources, only_thoughts.attribution, only_thoughts.thoughts) == ([], [], "the harbour")


def test_a_conversation_goes_on_without_the_thoughts_in_it(load: tscli.LoadOptions, says: Callable[[str], None]) -> None:
    with tscli.open_library(load=load, think=True) as session, tscli.open_library(load=load) as without:
        chats = session.chat(), without.chat()
        for chat, text in zip(chats, ("it is</think>\nthe stone", "the stone"), strict=True):
            says(text)
            assert ask(chat, "Where?", 99).text == "the stone"
        assert chats[0].tokens == chats[1].tokens  # what is yet to be run counts
        says("</think>so")
        second = ask(chats[0], "Who?", 99)
        says("so")
        other = ask(chats[1], "Who?", 99)
        assert second.text == other.text == "so"
        template, tokenizer = session.template, session.tokenizer
        history = [
            *template.question_ids(tokenizer, "Where?", answered=True),
            *tokenizer.encode_template("the stone"),
            *template.question_ids(tokenizer, "Who?", follow_up=True),
        ]
        assert second.statistics.prompt_tokens == len(history)
        assert second.statistics.recomputed_tokens == 0


def test_thoughts_are_in_the_json_and_a_library_of_before_does_not_think(
    load: tscli.LoadOptions, says: Callable[[str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    says("it is</think>the stone")
    assert run(["ask", "Where?", "--json", "--think", *FOR_ASK]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["answer"], shown["thoughts"]) == ("the stone", "it is")
    assert shown["tokens"]["thoughts"] == shown["tokens"]["generated"] - len(shown["token_ids"])
    edit_manifest(library_folder("default"), lambda manifest: manifest["template"].pop("thinks"))
    assert run(["ask", "Where?", "--think", *FOR_ASK]) == 2
    assert "--think: this library was made without it" in capsys.readouterr().err
    assert Template.of_record(kept().template) is not None
