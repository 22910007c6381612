"""Which reader takes a file, by its first bytes and its name. Opens nothing; runs in the worker process."""

from __future__ import annotations

import re

from tscli.documents.charset import is_binary
from tscli.documents.package import AGAIN

# Pages as servers name them, and what a browser makes of such a name when it saves one; their beginning tells.
SERVED = ("", ".asp", ".aspx", ".jsp", ".php", ".cfm", ".cgi", ".do", ".action")
PAGE = re.compile(
    rb"(?:\xef\xbb\xbf)?\s*(?:<!--.*?-->\s*|<\?xml[^>]*>\s*)*(?:<!doctype\s+html|<html[\s>])", re.IGNORECASE | re.DOTALL
)
DRAWINGS = (".svg",)
FLAT = (".fodt", ".fods", ".fodp")  # OpenDocument in one XML file
HTML = (".html", ".htm", ".xhtml", ".xht", ".shtml")
ZIPPED = {
    **dict.fromkeys((".docx", ".docm", ".dotx", ".dotm"), "word"),
    **dict.fromkeys((".pptx", ".pptm", ".ppsx", ".ppsm", ".potx", ".potm"), "slides"),
    **dict.fromkeys((".xlsx", ".xlsm", ".xltx", ".xltm"), "sheets"),
    **dict.fromkeys((".odt", ".ott", ".ods", ".ots", ".odp", ".otp"), "opendocument"),
    ".epub": "epub",
}
NOTEBOOKS, MAILS, RICH = (".ipynb",), (".eml", ".mht", ".mhtml"), (".rtf",)
EXPECTED = (*ZIPPED, *NOTEBOOKS, *MAILS, *RICH)  # to hold text, whatever is in them
# Documents in forms that are not read, and what to do; all of them hold text for people.
FOREIGN = {
    **dict.fromkeys((".doc", ".dot"), "save it as .docx or PDF"),
    **dict.fromkeys((".ppt", ".pps"), "save it as .pptx or PDF"),
    **dict.fromkeys((".xls", ".xlsb"), "save it as .xlsx"),
    **dict.fromkeys((".pages", ".key", ".numbers", ".wpd", ".wps", ".pub", ".vsd", ".vsdx", ".one", ".odg"), "save it as PDF"),
    **dict.fromkeys((".djvu", ".xps", ".oxps", ".ps"), "convert it to PDF"),
    **dict.fromkeys((".mobi", ".azw", ".azw3", ".fb2.zip", ".lit"), "convert it to EPUB"),
    **dict.fromkeys((".msg", ".pst"), "save the mails as .eml"),
    ".chm": "convert it to HTML",
}
OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"  # Word, Excel and PowerPoint up to 2003, and whatever Office encrypts
ZIP = (b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08")
ARCHIVES = (
    (b"\x1f\x8b", "gzip"),
    (b"7z\xbc\xaf\x27\x1c", "7z"),
    (b"Rar!\x1a\x07", "rar"),
    (b"BZh", "bzip2"),
    (b"\xfd7zXZ\x00", "xz"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"\x1f\x9d", "compress"),
    (b"!<arch>\n", "ar"),
)
TAR_AT, TAR = 257, b"ustar"
# fmt: off
ARCHIVE_NAMES = (
    ".zip", ".tar", ".gz", ".tgz", ".bz2", ".tbz2", ".xz", ".txz", ".zst", ".7z", ".rar", ".lz4", ".cab", ".iso",
    ".jar", ".whl",
)
# fmt: on
# Text by name: where such a file cannot be read, a person expected that it would be.
# fmt: off
TEXTS = (
    ".txt", ".text", ".md", ".markdown", ".mdx", ".rst", ".adoc", ".asciidoc", ".org", ".tex", ".log", ".csv", ".tsv", ".json",
    ".jsonl", ".xml", ".yaml", ".yml", ".toml", ".ini", ".srt", ".vtt", ".mbox",
)
# fmt: on
PICTURES = (
    ".png",
    ".jpg",
    ".jpeg",
    ".gif",
    ".webp",
    ".bmp",
    ".tif",
    ".tiff",
    ".heic",
    ".ico",
    ".avif",
    ".psd",
    ".svgz",
    ".jp2",
)
SOUNDS = (".mp3", ".wav", ".flac", ".ogg", ".m4a", ".mp4", ".mov", ".avi", ".mkv", ".webm", ".opus", ".aac", ".wma", ".wmv")


def kind_of(name: str, head: bytes, encoding: str | None = None) -> tuple[str, str]:
    """What to do with a file of this name (lower case) that begins so: the reader, or why there is none.

    encoding: that was named for text, so that what looks binary is text where this names wide characters.
    ("pdf" | "html" | "text" | ... , ""); ("error", reason) for what a person expects to be read; ("skip", reason) for the rest.
    """
    suffix = "." + name.rpartition(".")[2] if "." in name else ""
    if suffix == ".pdf" or head.lstrip()[:5] == b"%PDF-":
        return "pdf", ""
    if not head:
        return ("error", f"is empty (0 bytes); {AGAIN}") if suffix in EXPECTED else ("skip", "is empty")
    return _by_first_bytes(suffix, head) or _by_name(name, suffix, head) or _text(suffix, head, encoding)


def _by_first_bytes(suffix: str, head: bytes) -> tuple[str, str] | None:
    if head.startswith(b"{\\rtf"):
        return "rtf", ""
    if head.startswith(OLE):
        return _old(suffix)
    return _zipped(suffix, head) if head.startswith(ZIP) else None


def _by_name(name: str, suffix: str, head: bytes) -> tuple[str, str] | None:
    if is_binary(head) and suffix in FOREIGN:
        return "error", f"{suffix} files are not read; {FOREIGN[suffix]}"
    if is_binary(head) and suffix in EXPECTED:
        return "error", f"is not a {suffix} file, or is damaged from its beginning; {AGAIN}"
    if archive := archive_of(name, head):
        return "error", archive
    if suffix in NOTEBOOKS:
        return "notebook", ""
    if suffix in FLAT and b"<office:document" in head:
        return "flat", ""
    return ("mail", "") if suffix in MAILS and not is_binary(head) else None


def _text(suffix: str, head: bytes, encoding: str | None) -> tuple[str, str]:
    saved_as = suffix in (*ZIPPED, *FOREIGN) and head.lstrip()[:1] == b"<" and b"<html" in head.lower()
    if suffix in HTML or saved_as or _is_served(suffix, head):
        return "html", ""
    if suffix in DRAWINGS and not is_binary(head):
        return "drawing", ""
    if not is_binary(head) or (encoding is not None and suffix in TEXTS):
        return "text", ""
    return _binary(suffix)


def _is_served(suffix: str, head: bytes) -> bool:
    """Whether it is a page by its beginning, under a name that servers or browsers gave it, and no program that makes one."""
    is_named_so = suffix in SERVED or not suffix[1:].isalpha()
    return is_named_so and PAGE.match(head) is not None and b"<?php" not in head and b"<%" not in head


def archive_of(name: str, head: bytes) -> str | None:
    """Why an archive is not read; None for what is none."""
    kind = next((kind for magic, kind in ARCHIVES if head.startswith(magic)), None)
    if kind is None and head[TAR_AT : TAR_AT + len(TAR)] == TAR:
        kind = "tar"
    if kind is None and name.endswith(ARCHIVE_NAMES) and is_binary(head):
        kind = name.rpartition(".")[2]
    article = "an" if kind in ("ar", "xz") else "a"
    return f"is {article} {kind} archive, and archives are not read; unpack it" if kind else None


def _old(suffix: str) -> tuple[str, str]:
    if suffix in ZIPPED:
        return "error", f"is encrypted, or an older binary file; save it as {suffix} without a password"
    if suffix in FOREIGN:
        return "error", f"{suffix} files are not read; {FOREIGN[suffix]}"
    return "skip", "is a binary file (OLE) of an unsupported kind"


def _zipped(suffix: str, head: bytes) -> tuple[str, str]:
    """By name; where that says nothing, by the type that OpenDocument and EPUB files begin with."""
    if suffix in ZIPPED:
        return ZIPPED[suffix], ""
    if suffix in FOREIGN:
        return "error", f"{suffix} files are not read; {FOREIGN[suffix]}"
    if b"mimetypeapplication/epub+zip" in head[:100]:
        return "epub", ""
    if b"mimetypeapplication/vnd.oasis.opendocument." in head[:100]:
        return "opendocument", ""
    if suffix in ARCHIVE_NAMES:
        return "error", "is a zip archive, and archives are not read; unpack it"
    return "zip", ""  # its parts tell


def _binary(suffix: str) -> tuple[str, str]:
    if suffix in TEXTS:
        return "error", "holds no text in an encoding that can be recognised; name it with --encoding"
    if suffix in PICTURES:
        return "skip", "is a picture"
    if suffix in SOUNDS:
        return "skip", "is sound or film"
    return "skip", "is a binary file of an unsupported kind"
