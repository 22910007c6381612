"""What a user may choose for an ingest; free of torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tscli.library.kv_dtype import KVDtype

Prefill = Literal["sections", "sparse"]
Documents = Literal["joint", "independent"]
DEFAULT_MAX_TOKENS = 1_048_576


@dataclass(frozen=True)
class IngestOptions:
    """What a user may choose for an ingest. None leaves a choice to the library, for a new one to the
    model's tscli.json, else to tscli; `prefill` is left to the model, else to tscli.

    no_ignore, hidden, globs: which files, as in ripgrep. passwords: tried on encrypted PDFs, after the empty one.
    encoding: a Python codec's name, for text files that are not UTF-8 and do not declare an encoding; None: guessed.
    ocr: "auto" reads PDF pages without text by tesseract or OCRmyPDF, where one is installed; "deu+eng" does so in these
        languages, by tesseract's names; "off" never.
    max_tokens: more are an error; nothing is cut.
    documents: "joint" (each attends to those before it) or "independent" (each is prefilled independently, so that a changed
        file costs only its own prefill; tscli's default).
    prefill: how documents longer than the model's window are prefilled: in dense "sections" that fit it (tscli's default), or
        in "sparse" chunks, as in the paper.
    dense: full attention in prefill instead of TokenSelect.
    processes: worker processes for independent documents on the CPU; None: as many as a short measurement favours.
    kv_dtype: format of the keys and values; "model": its dtype; "auto": the library's, for a new one the model's dtype, but
        bfloat16 where that is float32.
    system: the instruction before the documents; the empty string is none.
    """

    no_ignore: bool = False
    hidden: bool = False
    globs: tuple[str, ...] = ()
    passwords: tuple[str, ...] = ()
    max_tokens: int = DEFAULT_MAX_TOKENS
    dense: bool = False
    documents: Documents | None = None
    processes: int | None = None
    kv_dtype: KVDtype = "auto"
    prefill: Prefill | None = None
    system: str | None = None
    ocr: str = "auto"
    encoding: str | None = None
