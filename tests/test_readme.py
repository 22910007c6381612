"""README's commands are commands: every one in a code block is run, in order, in one process, on samples/."""

from __future__ import annotations

import io
import re
import shlex
import shutil
from pathlib import Path

import pytest
import typer.main

from tscli.cli.app import app, run
from tscli_kernels import has_int8_products

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", README, flags=re.M | re.S)

# Not run, only looked up (see the test of make's targets): what each would need.
NOT_RUN = {
    "make demo": "installs the package into a new environment from the network",
    "make test": "installs too, and runs this very test",
}
# What would take an hour, or names what a reader must choose, is run like this instead.
INSTEAD = {
    "model get smollm2": "model show smollm2",  # needs a network
    "calibrate --model smollm2": "model show smollm2",  # needs the model
    "bench --length 8k,32k": "bench --length 1k --n-gen 2 -r 1",
    "bench --attention --length 1m": "bench --attention --length 8k -r 1",
    "eval --length 4k,64k,1m": "eval --length 1k --per-task 1",
    "rm": "rm copy --yes",
}
# What a reader would have done before, or would do next.
BEFORE = {'ask -l shelf -l letters "..."': ["ingest ./docs --library shelf", "ingest ./samples --library letters"]}
AFTER = {"export shelf shelf.tar": "import shelf.tar --library copy"}
TYPED = "Who is the harbour master?\n/sources\n/stats\n/reset\n"  # into `tscli chat`
ASKED = 3  # of samples/questions.jsonl


def lines(block: str) -> list[str]:
    """The commands of a block, without what is said about them."""
    return [line.split(" #")[0].strip() for line in block.strip().splitlines()]


USE = next(block for _, block in BLOCKS if block.startswith("tscli ingest"))
# The last line names commands without arguments, with bars between them.
COMMANDS = [part.strip() for line in lines(USE) for part in line.removeprefix("tscli").split("|")]


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder like that of a reader of README: documents, questions, nothing else."""
    (tmp_path / "docs").mkdir()
    for name in ("harbour-handbook.pdf", "lighthouse-log.txt", "glossary.md", "faq.html"):
        shutil.copy(ROOT / "samples" / name, tmp_path / "docs")
    (tmp_path / "samples").mkdir()
    questions = (ROOT / "samples" / "questions.jsonl").read_text(encoding="utf-8").splitlines()[:ASKED]
    (tmp_path / "samples" / "questions.jsonl").write_text("\n".join(questions))
    (tmp_path / "questions.txt").write_text("Who is the harbour master?\nWhat is a bollard?\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NO_COLOR", "1")
    return tmp_path


def test_every_command_of_the_readme_does_what_it_says(
    shelf: Path, home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: dict[str, str] = {}

    def do(command: str) -> None:
        monkeypatch.setattr("sys.stdin", io.StringIO(TYPED))
        code, said = run(shlex.split(command)), capsys.readouterr()
        assert code == 0, f"tscli {command}: exit code {code}\n{said.out}{said.err}"
        shown.setdefault(command, said.out + said.err)

    do(COMMANDS[0])
    assert "to run" in shown["ingest ./docs --dry-run"]
    assert not home.exists()
    for command in COMMANDS[1:]:
        if "--weights int8" in command and not has_int8_products():
            continue  # which the command refuses
        for first in BEFORE.get(command, []):
            do(first)
        do(INSTEAD.get(command, command))
        if command in AFTER:
            do(AFTER[command])

    assert "Odile Farrant" in shown['ask "Who is the harbour master?"']
    assert " 0 computed again" in shown['ask "Who is the harbour master?"']
    assert '"citations"' in shown['ask "..." --json']
    assert (shelf / "report.html").read_text().startswith("<!doctype html>")
    assert len((shelf / "answers.jsonl").read_text().splitlines()) == 2
    assert "Odile Farrant" in shown["chat"]
    assert "harbour-handbook.pdf" in shown["coverage"]
    assert "| tokenselect | lookup | 3 |" in shown["eval --questions samples/questions.jsonl"]
    assert "shelf" in shown["list"]
    assert shown["path"].strip() == str(home)
    assert sorted(path.name for path in (home / "libraries").iterdir()) == ["default", "half", "letters", "shelf"]


def test_reading_again_runs_nothing(shelf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    again = [
        command for command in COMMANDS if command.startswith("ingest ./docs") and not re.search("--(dry|library)", command)
    ]
    assert len(again) == 3
    for command in again:
        assert run(shlex.split(command)) == 0
    assert capsys.readouterr().err.count(" cached, 0 to run") == 2


def test_the_python_of_the_readme_runs(shelf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    programs = [block for language, block in BLOCKS if language == "python"]
    assert programs
    for program in programs:
        exec(compile(program, "README.md", "exec"), {})
        assert capsys.readouterr().out.count("Odile Farrant") == 2  # the answer, and the quote


def test_nothing_in_a_code_block_is_left_out() -> None:
    first, use, *rest = [(language, block) for language, block in BLOCKS if "tscli" in block or "make " in block]
    assert set(lines(first[1])) == set(NOT_RUN)
    assert use == ("", USE)
    assert [language for language, _ in rest] == ["python"]
    assert {*INSTEAD, *BEFORE, *AFTER} <= set(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_of_the_readme_is_understood_as_it_is_written(command: str, shelf: Path) -> None:
    (shelf / "shelf.tar").touch()
    name, *arguments = shlex.split(command)
    parsed = typer.main.get_command(app).commands[name]  # type: ignore[attr-defined]
    parsed.make_context(name, [*arguments, *(["shelf"] if name == "rm" else [])])


def test_every_command_about_models_is_in_the_readme() -> None:
    named = [command.split() for command in COMMANDS if command.startswith("model ")]
    inner = {argument for _, argument, *_ in named} | set(re.findall(r"`tscli model (\w+)", README))
    assert set(typer.main.get_command(app).commands["model"].commands) <= inner  # type: ignore[attr-defined]


def test_every_command_is_in_the_readme() -> None:
    named = {shlex.split(command)[0] for command in COMMANDS} | set(re.findall(r"`tscli (\w+)", README)) | {"import"}
    assert set(typer.main.get_command(app).commands) <= named  # type: ignore[attr-defined]


def test_make_targets_of_the_readme_are_there() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in set(re.findall(r"make ([a-z-]+)", README)):
        assert re.search(rf"^{target}:", makefile, flags=re.M), target
