"""Text of pages that are pictures, by tesseract where it is installed, else by OCRmyPDF. Runs in the worker process.

The page is rendered here and handed over on standard input, so that tesseract sees no file, and pages that have text are never
touched. OCRmyPDF calls tesseract itself, so it is asked only where tesseract is not on the PATH (containers, snaps).
"""

from __future__ import annotations

import os
import re
import resource
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import pypdfium2
from pypdfium2 import raw

from tscli.documents.process import OCR_SECONDS

DOTS_PER_INCH = 300
MOST_PIXELS = 25_000_000  # of a rendered page; larger ones are rendered more coarsely
SURE = 60.0  # percent, the mean of its words: what tesseract is less sure of is no text
MOST_LANGUAGES = 4  # installed ones that are all used; each more makes it slower and no better
NO_LANGUAGES = frozenset({"osd", "equ", "snum"})
LACKING = re.compile(r"Failed loading language '(\w+)'")
# Of LANG -> of tesseract, where it is not the first three letters of what ISO 639-3 has for it.
LANGUAGES = {
    "ar": "ara", "bg": "bul", "cs": "ces", "da": "dan", "de": "deu", "el": "ell", "es": "spa", "fi": "fin", "fr": "fra",
    "he": "heb", "hi": "hin", "hu": "hun", "it": "ita", "ja": "jpn", "ko": "kor", "nb": "nor", "nl": "nld", "no": "nor",
    "pl": "pol", "pt": "por", "ro": "ron", "ru": "rus", "sv": "swe", "tr": "tur", "uk": "ukr", "vi": "vie",
}  # fmt: skip


class OcrFailed(Exception):
    """The page was not read; the message says why."""


@dataclass(frozen=True)
class Engine:
    """A program that reads pictures; languages: tesseract's names, joined by plus signs, empty for its default."""

    name: str
    program: str
    languages: str

    def __str__(self) -> str:
        """As the summary names it."""
        return f"{self.name}, {self.languages}" if self.languages else self.name


def find_engine(setting: str) -> Engine | None:
    """What is installed; setting: "auto", "off", or languages ("deu+eng"). None where it is off or nothing is there."""
    return None if setting == "off" else _find(setting, os.environ.get("PATH", ""), os.environ.get("LANG", ""))


@lru_cache(maxsize=4)
def _find(setting: str, path: str, locale: str) -> Engine | None:
    asked = "" if setting == "auto" else setting
    if program := shutil.which("tesseract", path=path):
        return Engine("tesseract", program, asked or _languages(program, locale))
    if program := shutil.which("ocrmypdf", path=path):
        return Engine("OCRmyPDF", program, asked)
    return None


def _languages(program: str, locale: str) -> str:
    """All that are installed where they are few, else that of the locale and English."""
    try:
        listed = subprocess.run([program, "--list-langs"], capture_output=True, text=True, timeout=20, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return ""
    there = [name for name in listed.splitlines()[1:] if name and "/" not in name and name not in NO_LANGUAGES]
    if len(there) > MOST_LANGUAGES:
        there = [name for name in dict.fromkeys((LANGUAGES.get(locale[:2], "eng"), "eng")) if name in there]
    return "+".join(sorted(there, key=lambda name: name == "eng"))


def looks_right(page: pypdfium2.PdfPage) -> bool:
    """Whether the page is painted with the fonts that its letters are of: others show other letters, in any viewer."""
    return all(
        raw.FPDFFont_GetIsEmbedded(raw.FPDFTextObj_GetFont(found.raw)) == 1
        for found in page.get_objects(filter=[raw.FPDF_PAGEOBJ_TEXT])
    )


def read_picture(page: pypdfium2.PdfPage, engine: Engine) -> str:
    """The text that is seen on a page; empty where there is none. Raises OcrFailed."""
    width, height = page.get_size()
    scale = min(DOTS_PER_INCH / 72, (MOST_PIXELS / max(width * height, 1.0)) ** 0.5)
    bitmap = page.render(scale=scale, grayscale=True)
    try:
        data, stride = bytes(bitmap.buffer), bitmap.stride
        rows = [data[row * stride : row * stride + bitmap.width] for row in range(bitmap.height)]
        pixels = data if stride == bitmap.width else b"".join(rows)
        header = b"P5 %d %d 255\n" % (bitmap.width, bitmap.height)
    finally:
        bitmap.close()
    if not pixels or pixels.count(pixels[0]) == len(pixels):
        return ""
    read = _by_tesseract if engine.name == "tesseract" else _by_ocrmypdf
    return read(engine, round(72 * scale), header + pixels)


def _by_tesseract(engine: Engine, dots_per_inch: int, picture: bytes) -> str:
    languages = ["-l", engine.languages] if engine.languages else []
    return _sure_words(_run([engine.program, "stdin", "stdout", *languages, "--dpi", str(dots_per_inch), "tsv"], picture))


def _by_ocrmypdf(engine: Engine, dots_per_inch: int, picture: bytes) -> str:
    """Its text comes by a file, in a folder of its own that is gone afterwards."""
    languages = ["-l", engine.languages] if engine.languages else []
    how = ["--image-dpi", str(dots_per_inch), "--jobs", "1", "--optimize", "0", "--quiet", "--output-type", "none"]
    with tempfile.TemporaryDirectory() as folder:
        sidecar = Path(folder) / "text"
        _run([engine.program, *languages, *how, "--sidecar", str(sidecar), "-", "-"], picture)
        return sidecar.read_text(encoding="utf-8", errors="replace").replace("\f", "")


def _run(command: Sequence[str], picture: bytes) -> str:
    """What it prints. It has the worker's limit of memory, and one of its own of time, which outlives the worker."""
    try:
        done = subprocess.run(
            command,
            input=picture,
            capture_output=True,
            timeout=OCR_SECONDS,
            check=True,
            env={**os.environ, "OMP_THREAD_LIMIT": "1"},  # more threads make it slower
            preexec_fn=_limit_time,
        )
    except subprocess.TimeoutExpired as error:
        raise OcrFailed(f"OCR took longer than {OCR_SECONDS:g} s") from error
    except subprocess.CalledProcessError as error:
        said = error.stderr.decode(errors="replace").strip().splitlines()
        if lacking := [found[1] for line in said if (found := LACKING.search(line))]:
            absent = ", ".join(dict.fromkeys(lacking))
            raise OcrFailed(f"OCR has no language {absent}; install it, or choose one of `tesseract --list-langs`") from error
        raise OcrFailed(f"OCR failed ({said[-1][:200] if said else f'exit code {error.returncode}'})") from error
    except OSError as error:
        raise OcrFailed(f"OCR does not start ({error.strerror or error})") from error
    return done.stdout.decode("utf-8", errors="replace")


def _sure_words(table: str) -> str:
    """Tesseract's words, in lines and paragraphs; none where it is not sure of them, as where it reads a drawing."""
    words: list[tuple[tuple[str, ...], str]] = []
    weighed = letters = 0.0
    for row in table.splitlines()[1:]:
        level, _, block, paragraph, line, *_, confidence, text = row.split("\t")
        if level == "5" and text.strip():
            words.append(((block, paragraph, line), text))
            weighed, letters = weighed + float(confidence) * len(text), letters + len(text)
    if not letters or weighed / letters < SURE:
        return ""
    text, last = "", words[0][0]
    for place, word in words:
        text += ("" if not text else " " if place == last else "\n" if place[:2] == last[:2] else "\n\n") + word
        last = place
    return text


def _limit_time() -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (int(OCR_SECONDS), int(OCR_SECONDS) + 5))
