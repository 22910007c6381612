"""Flags that are defined once: as the parser sees them, as a command's function gets them, and what they may be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import pytest
import typer
from typer.testing import CliRunner

from tscli.cli.output import Settings
from tscli.cli.settings import Setting, matching, one_of, only, settings_of, with_flags, without
from tscli.errors import UsageError

WIDTH = Setting("width", 3, matching("an odd number", r"\d*[13579]"), "How wide.")
COLOUR = Setting("colour", None, one_of("red", "green"), "Which.", renamed={"scarlet": "red"})


@dataclass(frozen=True, kw_only=True)
class Paint:
    width: Annotated[int, WIDTH]
    colour: Annotated[str | None, COLOUR]
    wet: Annotated[bool, typer.Option("--wet")] = True


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs a command with arguments; what its function was given, or the error."""

    def run(command: Any, *arguments: str, **environment: str) -> dict[str, Any]:
        got: dict[str, Any] = {}
        app = typer.Typer()
        app.command()(with_flags(command))
        done = CliRunner().invoke(app, arguments, obj=Settings(True, False), env=environment)
        got["output"], got["error"] = done.output, done.exception
        return got | (RESULT if done.exit_code == 0 else {})

    RESULT.clear()
    return run


RESULT: dict[str, Any] = {}


def whole(paint: Paint) -> None:
    RESULT["paint"] = paint


def narrow(paint: Annotated[Paint, only("width")]) -> None:
    RESULT["paint"] = paint


def colourless(paint: Annotated[Paint, without("colour")]) -> None:
    RESULT["paint"] = paint


def several(width: Annotated[list[int], WIDTH]) -> None:
    RESULT["width"] = width


def test_a_groups_fields_are_flags_and_come_as_one_object(seen: Any) -> None:
    assert seen(whole)["paint"] == Paint(width=3, colour=None, wet=True)
    assert seen(whole, "--width", "5", "--colour", "green")["paint"] == Paint(width=5, colour="green", wet=True)


def test_a_variable_sets_what_no_flag_does(seen: Any) -> None:
    assert seen(whole, TSCLI_WIDTH="7")["paint"].width == 7
    assert seen(whole, "--width", "5", TSCLI_WIDTH="7")["paint"].width == 5


@pytest.mark.parametrize("command", [narrow, colourless])
def test_a_flag_that_a_command_leaves_out_keeps_its_default(command: Any, seen: Any) -> None:
    assert seen(command, "--width", "1", TSCLI_COLOUR="green")["paint"] == Paint(width=1, colour=None, wet=True)
    assert "No such option" in seen(command, "--colour", "red")["output"]


def test_what_a_value_must_be_is_said_wherever_it_came_from(seen: Any) -> None:
    error = seen(whole, "--width", "4")["error"]
    assert isinstance(error, UsageError)
    assert str(error) == "--width is 4; it must be an odd number"
    with pytest.raises(UsageError, match="TSCLI_COLOUR is 'blue'; it must be red or green"):
        COLOUR.check("TSCLI_COLOUR", "blue")


def test_each_of_several_values_is_checked(seen: Any) -> None:
    assert seen(several, "--width", "1", "--width", "5")["width"] == [1, 5]
    assert seen(several)["width"] == [3]
    assert "--width is 4" in str(seen(several, "--width", "1", "--width", "4")["error"])


def test_a_value_by_its_old_name_comes_by_the_present_one(seen: Any) -> None:
    assert seen(whole, "--colour", "scarlet")["paint"].colour == "red"


def test_settings_are_found_in_groups_and_annotations_with_the_types_of_their_values() -> None:
    found = settings_of(Paint, Annotated[bool, typer.Option("--dry")])
    assert {name: setting.annotation for name, setting in found.items()} == {"width": int, "colour": str | None}
