"""Pages of the Python API from its docstrings: `python docs/make_api.py [FOLDER]`, docs/api by default.

pdoc shows what a module holds, and tscli imports its names on first use only: so each is asked for before.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pdoc

import tscli


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "api"
    for name in tscli.__all__:
        setattr(tscli, name, getattr(tscli, name))
    pdoc.render.configure(docformat="markdown", footer_text=f"tscli {tscli.__version__}", search=False)
    pdoc.pdoc("tscli", output_directory=folder)
    print(f"{folder / 'tscli.html'}: {len(tscli.__all__)} names")


if __name__ == "__main__":
    main()
