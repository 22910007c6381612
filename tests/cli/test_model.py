"""`tscli model`: what it prints, and that nothing heavy or outside is needed for it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from gguf import GGMLQuantizationType as Kind

import tscli
from tests.model.gguf_files import make_llama, write_llama
from tests.model.test_four_bits import has_products
from tscli.cli.app import run
from tscli.errors import UsageError
from tscli.model.known import KNOWN


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return write_llama(tmp_path / "small.gguf", make_llama())


def test_the_list_names_every_known_model_and_what_a_library_by_it_takes(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["model", "list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["name", "reader", *KNOWN]
    assert lines[1].split()[1] == "*"
    assert "22.5 KiB / 11.6 KiB" in lines[2]
    assert "HuggingFaceTB/SmolLM2-135M-Instruct" in lines[2]
    assert "apache-2.0" in lines[2]


def test_the_list_as_json_is_read_by_programs(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["model", "list", "--json"]) == 0
    smollm2 = json.loads(capsys.readouterr().out)[1]
    assert smollm2["model"] == "smollm2"
    assert smollm2["kv_bytes_per_token"] == {"bfloat16": 2 * 30 * 3 * 64 * 2, "int8": 2 * 30 * 3 * 66}
    assert smollm2["folder"] is None


def test_a_model_is_shown_before_and_after_it_is_converted(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["model", "show", str(file)]) == 0
    assert f"not converted yet: tscli model get {file}" in capsys.readouterr().out
    assert run(["model", "get", str(file)]) == 0
    said = capsys.readouterr()
    assert said.out == ""
    assert "weights" in said.err
    assert run(["model", "show", str(file), "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["parameters"] == sum(part.numel() for part in make_llama().parameters())
    assert len(shown["weights_hash"]) == 64
    assert (shown["layers"], shown["kv_heads"], shown["head_dim"], shown["window"]) == (2, 2, 16, 256)
    assert run(["model", "list"]) == 0
    assert "small.gguf" in capsys.readouterr().out.splitlines()[-1]


@has_products
def test_packing_a_models_weights_is_said_the_first_time(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [str(write_llama(tmp_path / f"{name}.gguf", make_llama(seed=seed), Kind.Q8_0)) for seed, name in enumerate("abc")]
    assert run(["doctor", "--model", names[0]]) == 0
    assert "  0%  packing weights in 8 bits\n" in capsys.readouterr().err
    assert run(["doctor", "--model", names[0]]) == 0
    assert "packing weights" not in capsys.readouterr().err
    assert run(["--quiet", "doctor", "--model", names[1]]) == 0
    assert capsys.readouterr().err == ""
    assert run(["model", "get", names[2]]) == 0
    assert "packing weights" not in capsys.readouterr().err
    shown: list[str] = []
    monkeypatch.setattr("tscli.cli.output.animated", lambda: True)
    monkeypatch.setattr("rich.status.Status.update", lambda _, text: shown.append(str(text)))
    assert run(["doctor", "--model", names[2]]) == 0
    assert shown[0] == "examining this machine: packing weights in 8 bits, 0%"
    assert shown[-1] == "examining this machine: packing weights in 8 bits, 100%"


def test_a_folder_is_shown_like_any_model(small_model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["model", "show", str(small_model)]) == 0
    assert "3 layers, 2 kv heads of 16" in capsys.readouterr().out


def test_removing_asks_first_and_says_how_much_is_free(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tscli.fetch_model(tscli.LoadOptions(str(file)))
    assert run(["model", "rm", str(file)]) == UsageError.exit_code
    assert folder.is_dir()
    assert run(["model", "rm", str(file), "--yes"]) == 0
    assert "removed: " in capsys.readouterr().err
    assert not folder.exists()
    assert file.is_file()


@pytest.mark.parametrize("command", ["show", "rm"])
def test_a_name_that_nobody_knows_is_refused(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["model", command, "nobody/knows-it", *(["--yes"] if command == "rm" else [])]) == UsageError.exit_code
    assert capsys.readouterr().err.startswith("tscli: nobody/knows-it: ")


def test_without_a_model_doctor_says_which_runs_and_how_to_get_a_better_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["doctor"]) == 0
    said = capsys.readouterr()
    assert "model      reader (the default)" in said.out
    assert "tscli model get smollm2" in said.err
    assert run(["doctor", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["default_model"] == "reader"


def test_models_are_listed_without_torch_or_transformers() -> None:
    program = (
        "import sys\nfrom tscli.cli.app import run\nassert run(['model', 'list', '--quiet']) == 0\n"
        "assert not {'torch', 'transformers', 'huggingface_hub', 'gguf'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
