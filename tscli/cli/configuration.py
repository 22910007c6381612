"""What a user sets once: flags in a TOML file, over the defaults, under the environment and the command line.

Knows which flags these are and what they may be; the parser puts them in force, as the defaults of a command's flags.
"""

from __future__ import annotations

import os
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tscli.errors import UsageError

COUNT = r"\d+"
MODEL = ("model", "revision", "dtype")
OF_A_LIBRARY = ("ask", "chat", "evidence")  # of one or several, which know their model: what is set for new ones does not fit


@dataclass(frozen=True)
class Key:
    """A flag that can be set once: what it must be, in words and as a pattern, and the parameter of the commands."""

    words: str
    pattern: str
    parameter: str


def _key(words: str, pattern: str = "", parameter: str = "") -> Key:
    return Key(words, pattern or words.replace(", ", "|").replace(" or ", "|"), parameter)


KEYS = {
    "library": _key("a name or a folder", r".+"),
    "model": _key("a hub id, a folder, a .gguf file, a short name or reader", r".+"),
    "revision": _key("a revision of a hub model", r".+"),
    "dtype": _key("auto, float32, bfloat16 or float16"),
    "device": _key("auto, cpu or cuda", r"auto|cpu|cuda(:\d+)?"),
    "question": _key("token, chunk or two_pass", "token|chunk|two_pass|twice", "question_mode"),
    "voters": _key("calibrated or all"),
    "k": _key("a count or a share such as 20%", r"\d+|\d+(\.\d+)?%"),
    "n_init": _key("a count", COUNT),
    "n_local": _key("a count", COUNT),
    "chunk": _key("a power of two from 16 to 16384", "|".join(str(1 << power) for power in range(4, 15))),
    "theta": _key("a number from -1 to 1", r"-?(0(\.\d+)?|1(\.0+)?)"),
    "pool": _key("0 or an odd number", r"0|\d*[13579]"),
    "metric": _key("soft, hard or raw"),
    "scale": _key("none or sqrt"),
    "system": _key("a text", r"(?s).*"),
    "max_tokens": _key("a number of tokens such as 4096, 256k or 1m", r"\d[\d_,]*(\.\d+)?\s*[kKmM]?"),
    "max_new_tokens": _key("a count from 1", r"0*[1-9]\d*"),
    "stats": _key("none, short or full"),
    "top": _key("a count", COUNT),
}


def parameter(name: str) -> str:
    """The parameter of the commands that a key sets."""
    return KEYS[name].parameter or name


def variable(name: str) -> str:
    """The environment variable that sets it."""
    return f"TSCLI_{name.upper()}"


def config_file() -> Path:
    """$TSCLI_CONFIG, or config.toml in the platform's configuration folder for this user."""
    if given := os.environ.get("TSCLI_CONFIG"):
        return Path(given).expanduser().absolute()
    from platformdirs import user_config_dir

    return Path(user_config_dir("tscli", appauthor=False)) / "config.toml"


def defaults(command: str = "") -> dict[str, str | list[str]]:
    """What the file sets for a command, by its parameters; UsageError names file or variable, key and what is wrong.

    Where a command takes several libraries, the one that is set, also by the variable, is a list of one.
    """
    for name in KEYS:
        if value := os.environ.get(variable(name)):
            _check(variable(name), name, value)
    file = config_file()
    found = _read(file)
    for name, value in found.items():
        if name not in KEYS:
            raise UsageError(f"{file}: {name!r} is no setting; choose from {', '.join(KEYS)}")
        _check(f"{file}: {name}", name, value)
    if command not in OF_A_LIBRARY:
        return {parameter(name): str(value) for name, value in found.items()}
    values: dict[str, str | list[str]] = {parameter(name): str(value) for name, value in found.items() if name not in MODEL}
    if library := os.environ.get(variable("library")) or values.get("library"):
        values["library"] = [str(library)]
    return values


def _check(place: str, name: str, value: object) -> None:
    plain = isinstance(value, (str, int, float)) and not isinstance(value, bool)
    if not plain or not re.fullmatch(KEYS[name].pattern, str(value)):
        raise UsageError(f"{place} is {value!r}; it must be {KEYS[name].words}")


def _read(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        if os.environ.get("TSCLI_CONFIG"):
            raise UsageError(f"{file}: no such file; make it, or change TSCLI_CONFIG") from None
        return {}
    except OSError as error:
        raise UsageError(f"{file}: cannot be read ({error.strerror}); check its permissions") from error
    except ValueError as error:
        raise UsageError(f"{file}: not a TOML file ({error}); correct it") from error
