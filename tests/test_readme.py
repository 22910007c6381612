"""The commands of README.md and docs/commands.md are run, each once, in one process; those of other pages are parsed."""

from __future__ import annotations

import io
import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer.main

from tscli.cli.app import app, run
from tscli_kernels import has_int8_products

ROOT = Path(__file__).parents[1]
RUN = ("README.md", "docs/commands.md")
PARSED = (
    "docs/models.md",
    "docs/benchmarks.md",
    "docs/reliability.md",
    "docs/documents.md",
    "docs/evaluation.md",
    "docs/design.md",
    "docs/serve.md",
)
PAGES = {name: (ROOT / name).read_text(encoding="utf-8") for name in (*RUN, *PARSED, "CONTRIBUTING.md")}

CURL = (
    """curl localhost:8080/v1/chat/completions -d """
    """'{"model": "default", "messages": [{"role": "user", "content": "..."}]}'"""
)
# Of other programs, or only understood: what each would need.
NOT_RUN = {
    "make demo": "installs the package into a new environment from the network",
    "make test": "these are those tests",
    "pip install .": "installs from the network",
    "pipx install .": "installs from the network",
    "uv tool install .": "installs from the network",
    "tscli model get smollm2": "needs a network",
    "tscli model rm smollm2": "needs the model",
    "tscli calibrate --model smollm2": "needs the model",
    "tscli ingest ./docs --library qwen --model qwen2.5-0.5b": "needs a network",
    "tscli serve": "runs until it is stopped; tests/serve starts it",
    "tscli serve -l reports --port 9000": "the same",
    CURL: "asks it",
    "tscli bench --length 8k --peer transformers --peer llama.cpp": "takes minutes; tests/bench runs the peers",
}
# What would take an hour is run like this instead.
INSTEAD = {
    "bench --length 8k,32k": "bench --length 1k --n-gen 2 -r 1",
    "bench --length 256k": "bench --length 2k --n-gen 2 -r 1",
    "bench attention --length 1m": "bench attention --length 8k -r 1",
    "eval tasks --length 4k,64k,1m": "eval tasks --length 1k --per-task 1",
    "eval questions samples/questions.jsonl --baselines": "eval questions samples/questions.jsonl --baselines --limit 1",
}
TYPED = "Who is the harbour master?\n/sources\n/stats\n/reset\n"  # into `tscli chat`
ASKED = 3  # of samples/questions.jsonl


def blocks(page: str) -> Iterator[tuple[str, str]]:
    """The code blocks of a page: language and content."""
    yield from re.findall(r"^```(\w*)\n(.*?)^```$", PAGES[page], flags=re.M | re.S)


def lines(page: str) -> list[str]:
    """The commands in a page's code blocks without a language, without the comment behind each."""
    written = [line for language, block in blocks(page) if not language for line in block.strip().splitlines()]
    return [line.split(" #")[0].strip() for line in written]


def commands(pages: tuple[str, ...]) -> list[str]:
    """The commands of tscli on these pages, each once, without the program's name."""
    return [
        line.removeprefix("tscli ")
        for line in dict.fromkeys(line for page in pages for line in lines(page))
        if "tscli " in line
    ]


COMMANDS = [command for command in commands(RUN) if f"tscli {command}" not in NOT_RUN]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder like that of a reader of README: documents, questions, nothing else."""
    (tmp_path / "docs").mkdir()
    for name in ("harbour-handbook.pdf", "lighthouse-log.txt", "glossary.md", "faq.html"):
        shutil.copy(ROOT / "samples" / name, tmp_path / "docs")
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "letter.txt").write_text("Dear Odile, the new bell weighs 40 kilograms. Yours, Tobias Wren\n")
    (tmp_path / "samples").mkdir()
    questions = (ROOT / "samples" / "questions.jsonl").read_text(encoding="utf-8").splitlines()[:ASKED]
    (tmp_path / "samples" / "questions.jsonl").write_text("\n".join(questions))
    (tmp_path / "questions.txt").write_text("Who is the harbour master?\nWhat is a bollard?\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NO_COLOR", "1")
    return tmp_path


def test_every_command_does_what_it_says(
    folder: Path, home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: dict[str, str] = {}

    def do(command: str) -> None:
        monkeypatch.setattr("sys.stdin", io.StringIO(TYPED))
        code, said = run(shlex.split(INSTEAD.get(command, command))), capsys.readouterr()
        assert code == 0, f"tscli {command}: exit code {code}\n{said.out}{said.err}"
        shown[command] = said.out + said.err

    do(COMMANDS[0])
    assert "to run" in shown["ingest ./docs --dry-run"]
    assert not home.exists()
    for command in COMMANDS[1:]:
        if "--weights int8" in command and not has_int8_products():
            continue  # which the command refuses
        do(command)

    assert "Odile Farrant" in shown['ask "Who is the harbour master?"']
    assert " 0 computed again" in shown['ask "Who is the harbour master?"']
    assert '"citations"' in shown['ask "..." --json']
    assert (folder / "report.html").read_text().startswith("<!doctype html>")
    assert len((folder / "answers.jsonl").read_text().splitlines()) == 2
    assert "Odile Farrant" in shown["chat"]
    assert "harbour-handbook.pdf" in shown["coverage"]
    assert "| tokenselect | lookup | 3 |" in shown["eval questions samples/questions.jsonl"]
    assert "default" in shown["list"]
    assert shown["path"].strip() == str(home)
    made = {"default", "half", "letters", "reports"} | ({"fast"} if has_int8_products() else set())
    assert {path.name for path in (home / "libraries").iterdir()} == made


def test_reading_again_runs_nothing(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    again = [
        line.removeprefix("tscli ")
        for line in lines("docs/commands.md")
        if re.fullmatch(r"tscli ingest ./docs( --documents .*)?", line)
    ]
    assert len(again) == 3
    for command in again:
        assert run(shlex.split(command)) == 0
    assert capsys.readouterr().err.count(" cached, 0 to run") == 2


def test_the_python_of_the_pages_runs(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    programs = [block for page in RUN for language, block in blocks(page) if language == "python"]
    assert programs
    for program in programs:
        exec(compile(program, "docs/commands.md", "exec"), {})
        assert capsys.readouterr().out.count("Odile Farrant") == 2  # the answer, and the quote


def test_nothing_in_a_code_block_is_left_out() -> None:
    written = {line for page in RUN for line in lines(page)}
    assert written == set(NOT_RUN) | {f"tscli {command}" for command in COMMANDS}
    assert set(INSTEAD) <= set(COMMANDS)
    assert {language for page in RUN for language, _ in blocks(page)} <= {"", "text", "python"}


@pytest.mark.parametrize("command", commands((*RUN, *PARSED)))
def test_a_command_is_understood_as_it_is_written(command: str, folder: Path) -> None:
    (folder / "reports.tar").touch()
    name, *arguments = shlex.split(command)
    parsed = typer.main.get_command(app).commands[name]  # type: ignore[attr-defined]
    if arguments and arguments[0] in getattr(parsed, "commands", {}):
        parsed, arguments = parsed.commands[arguments[0]], arguments[1:]
    parsed.make_context(name, arguments)


def test_every_command_and_every_flag_is_in_the_reference() -> None:
    page = PAGES["docs/commands.md"]
    missing = []
    for name, command in _leaves("", typer.main.get_command(app)):
        if command.hidden:  # an old name
            continue
        if name and not re.search(rf"\btscli{name}\b", page):
            missing.append(f"tscli{name}")
        flags = [flag for option in command.params for flag in (*option.opts, *option.secondary_opts) if flag.startswith("--")]
        missing += [f"tscli{name} {flag}" for flag in flags if not re.search(rf"{flag}\b(?!-)", page)]
    assert [flag for flag in missing if not flag.endswith("--help")] == []


def _leaves(name: str, command: object) -> Iterator[tuple[str, typer.core.TyperCommand]]:
    yield name, command  # type: ignore[misc]
    for inner, below in getattr(command, "commands", {}).items():
        yield from _leaves(f"{name} {inner}", below)


@pytest.mark.parametrize("page", PAGES)
def test_make_targets_that_are_named_are_there(page: str) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    pattern = r"make ([a-z-]+)" if page == "README.md" else r"(?:^|`)make ([a-z-]+)"
    for target in set(re.findall(pattern, PAGES[page], flags=re.M)):
        assert re.search(rf"^{target}:", makefile, flags=re.M), target


@pytest.mark.parametrize("page", PAGES)
def test_every_link_into_the_repository_leads_somewhere(page: str) -> None:
    links = {link.partition("#")[0] for link in re.findall(r"\]\(([^)]+)\)", PAGES[page]) if "://" not in link}
    there = {link for link in links if link and ((ROOT / page).parent / link).exists()}
    assert links - there == set()


def test_the_readme_is_short() -> None:
    assert len(PAGES["README.md"].splitlines()) <= 120
    assert max(map(len, PAGES["README.md"].splitlines())) <= 120
