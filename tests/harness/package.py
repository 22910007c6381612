"""The wheel's size and what `import tscli` takes: `python tests/harness/package.py`, offline, in a temporary folder.

The wheel is built from a copy, so that nothing of an earlier build is in it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).parents[2]
BUILD = ["-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check"]
TIMED = "import sys, time; t = time.perf_counter(); import tscli; print(time.perf_counter() - t, 'torch' in sys.modules)"
IMPORTS = 5


def copy_sources(into: Path) -> None:
    """What a wheel is made of."""
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, into)
    for name in ("tscli", "kernels"):
        shutil.copytree(ROOT / name, into / name, ignore=shutil.ignore_patterns("__pycache__"))


def build_wheel(folder: Path) -> Path:
    """The wheel, built without a network and without the project's own build folder."""
    sources = folder / "sources"
    sources.mkdir()
    copy_sources(sources)
    subprocess.run([sys.executable, *BUILD, "--wheel-dir", str(folder), str(sources)], check=True)
    (wheel,) = folder.glob("*.whl")
    return wheel


def import_seconds(packages: Path) -> tuple[float, bool]:
    """The fastest of some imports of tscli from this folder, each in a new process, and whether torch came along."""
    environment = {**os.environ, "PYTHONPATH": str(packages)}
    runs = [
        subprocess.run([sys.executable, "-c", TIMED], check=True, capture_output=True, text=True, cwd=packages, env=environment)
        for _ in range(IMPORTS)
    ]
    found = [run.stdout.split() for run in runs]
    return min(float(seconds) for seconds, _ in found), any(torch == "True" for _, torch in found)


def main() -> None:
    with TemporaryDirectory() as folder:
        wheel = build_wheel(Path(folder))
        with zipfile.ZipFile(wheel) as archive:
            files = [file for file in archive.infolist() if not file.is_dir()]
            archive.extractall(Path(folder) / "installed")
        parts = Counter[str]()
        for file in files:
            parts["/".join(file.filename.split("/")[:2]) if file.filename.count("/") > 1 else "the rest"] += file.compress_size
        largest = ", ".join(f"{name} {size / 2**20:.1f}" for name, size in parts.most_common(3))
        print(f"{wheel.name}: {wheel.stat().st_size / 2**20:.1f} MiB, {len(files)} files; MiB by package: {largest}")
        seconds, torch = import_seconds(Path(folder) / "installed")
        print(f"import tscli: {seconds * 1000:.0f} ms (fastest of {IMPORTS}), torch {'is' if torch else 'not'} imported")


if __name__ == "__main__":
    main()
