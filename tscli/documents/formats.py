"""A cell's number as a spreadsheet shows it: dates, percents, currencies, thousands. Runs in the worker process."""

from __future__ import annotations

import math
import re
from datetime import datetime, timedelta
from fractions import Fraction
from functools import lru_cache

# The formats that a file names by number alone.
# fmt: off
BUILT_IN = {
    1: "0", 2: "0.00", 3: "#,##0", 4: "#,##0.00", 9: "0%", 10: "0.00%", 11: "0.00E+00", 12: "# ?/?", 13: "# ??/??",
    14: "yyyy-mm-dd", 15: "yyyy-mm-dd", 16: "d-mmm", 17: "mmm-yy", 18: "h:mm AM/PM", 19: "h:mm:ss AM/PM", 20: "h:mm",
    21: "h:mm:ss", 22: "yyyy-mm-dd h:mm", 37: "#,##0;(#,##0)", 38: "#,##0;(#,##0)", 39: "#,##0.00;(#,##0.00)",
    40: "#,##0.00;(#,##0.00)", 45: "mm:ss", 46: "[h]:mm:ss", 47: "mm:ss", 48: "0.0E+0", 49: "@",
}
# fmt: on
LITERALS = re.compile(r'"([^"]*)"|\\(.)|_.|\*.|\[\$([^\]-]*)[^\]]*\]|\[(?:[A-Za-z]+\d*|[<>=][^\]]*)\]')
ELAPSED = re.compile(r"\[(h+|m+|s+)\]", re.IGNORECASE)
DATE_PARTS = re.compile(r"y+|m+|d+|h+|s+|AM/PM|A/P", re.IGNORECASE)
PLACES = re.compile(r"[0#?,]*[0#?](?:\.[0#?]*)?|\.[0#?]+")
EPOCH, EPOCH_1904 = datetime(1899, 12, 30), datetime(1904, 1, 1)
LAST_DAY = 2_958_465  # 9999-12-31
# fmt: off
MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December",
)
# fmt: on
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


def shown(value: float, form: str, *, from_1904: bool = False) -> str:
    """The number as this format shows it; formats that are not known show it plainly."""
    sections = _sections(form)
    section = sections[0]
    if len(sections) > 1 and value < 0:
        section, value = sections[1], -value
    elif len(sections) > 2 and value == 0:
        section = sections[2]
    if is_date(form):
        return _date(value, section, from_1904) or general(value)
    text = LITERALS.sub("\0", section)
    if odd := _scientific(value, text) or _fraction(value, text):
        return odd
    if (
        section == ""
        or "general" in text.lower()
        or "@" in text
        or "/" in text
        or "e+" in text.lower()
        or not PLACES.search(text)
    ):
        literal = _literal(section)
        return literal if literal and not PLACES.search(text) and "general" not in text.lower() else general(value)
    return _number(value, section)


def _scientific(value: float, text: str) -> str:
    """As 3.14E+00; empty where the format is none of this kind."""
    found = re.search(r"([0#]+)(?:\.([0#]+))?[eE][+-]([0#]+)", text)
    if found is None or not math.isfinite(value):
        return ""
    digits, exponent = f"{value:.{len(found[2] or '')}E}".split("E")
    return f"{digits}E{exponent[0]}{int(exponent[1:]):0{len(found[3])}}"


def _fraction(value: float, text: str) -> str:
    """As 2 1/2; empty where the format is none of this kind."""
    found = re.search(r"([0#?]+ +)?[0#?]+/([0#?]+|[1-9]\d*)", text)
    if found is None or not abs(value) < 1e9:
        return ""
    whole = int(abs(value)) if found[1] else 0
    rest = abs(value) - whole
    if found[2].strip("0#?"):
        part = f"{round(rest * int(found[2]))}/{int(found[2])}" if round(rest * int(found[2])) else ""
    else:
        near = Fraction(rest).limit_denominator(10 ** min(len(found[2]), 4) - 1)
        whole, part = (
            (whole + 1, "") if near == 1 and found[1] else (whole, f"{near.numerator}/{near.denominator}" if near else "")
        )
    shown = " ".join(piece for piece in (str(whole) if whole or not part else "", part) if piece)
    return f"-{shown}" if value < 0 and shown != "0" else shown


@lru_cache(256)
def is_date(form: str) -> bool:
    """Whether a format shows a point in time."""
    text = ELAPSED.sub("h", _sections(form)[0])
    text = LITERALS.sub("", text)
    return bool(re.search(r"[ymdhs]", text, re.IGNORECASE)) and "general" not in text.lower()


def general(value: float) -> str:
    """A number without a format: at most eleven digits, as spreadsheets show them."""
    if math.isfinite(value) and value == int(value) and abs(value) < 1e15:
        return str(int(value))
    return f"{value:.11g}"


@lru_cache(256)
def _sections(form: str) -> tuple[str, ...]:
    found = re.findall(r'((?:"[^"]*"|\\.|[^;"])*)(;|\Z)', form)
    return tuple(section for number, (section, _) in enumerate(found) if not number or found[number - 1][1])[:4] or ("",)


def _literal(section: str) -> str:
    return "".join(found[1] or found[2] or found[3] or "" for found in LITERALS.finditer(section)).strip()


def _number(value: float, section: str) -> str:
    marked = LITERALS.sub(lambda found: (found[1] or found[2] or found[3] or "").translate(HIDE), section)
    places = PLACES.search(marked)
    if places is None:
        return general(value)
    pattern = places[0]
    whole, _, part = pattern.partition(".")
    behind = marked[places.end() :]
    value *= 100 ** marked.count("%")
    while whole.endswith(",") or behind.startswith(","):  # each divides by a thousand
        value, whole, behind = value / 1000, whole.removesuffix(","), behind.removeprefix(",")
    least = len(re.findall("0", part))
    digits = f"{abs(value):{',' if ',' in whole else ''}.{len(part)}f}"
    if len(part) > least:
        kept = digits.rstrip("0").rstrip(".")
        digits = digits[: max(len(kept), len(digits) - len(part) + least)].rstrip(".")
    if not re.search("0", whole) and digits.startswith("0."):
        digits = digits[1:]
    digits = digits.rjust(len(re.findall("0", whole)), "0")
    sign = "-" if value < 0 and re.search("[1-9]", digits) else ""
    return f"{sign}{marked[: places.start()]}{digits}{behind}".translate(SHOW).strip()


# Signs inside literals, while the pattern around them is read.
HIDE = {ord(sign): 0xE000 + ord(sign) for sign in "0#?,.%"}
SHOW = {hidden: sign for sign, hidden in HIDE.items()}


def _date(value: float, section: str, from_1904: bool) -> str | None:
    """A date as the format orders its parts; None for a number that is no day."""
    if elapsed := ELAPSED.search(section):
        return _elapsed(value, elapsed[1].lower()[0], section)
    if not 0 <= value <= LAST_DAY:
        return None
    moment = (EPOCH_1904 if from_1904 else EPOCH) + timedelta(seconds=round(value * 86400))
    if not from_1904 and value < 60:  # before the day that never was, 1900-02-29
        moment += timedelta(days=1)
    half = bool(re.search("AM/PM|A/P", section, re.IGNORECASE))
    pieces, at, last = [], 0, ""
    parts = list(re.finditer(f"{LITERALS.pattern}|({DATE_PARTS.pattern})", section, re.IGNORECASE))
    letters = [(found[4] or "").lower() for found in parts]
    for index, found in enumerate(parts):
        pieces.append(section[at : found.start()])
        at = found.end()
        part = letters[index]
        if not part:
            pieces.append(found[1] or found[2] or found[3] or "")
            continue
        following = next((letter for letter in letters[index + 1 :] if letter), "")
        is_minute = part[0] == "m" and len(part) <= 2 and (last.startswith("h") or following.startswith("s"))
        pieces.append(_part(moment, "min" if is_minute else part, len(part), half))
        last = part
    return re.sub(r"\.0+$", "", "".join([*pieces, section[at:]])).strip().removesuffix(";@")


def _part(moment: datetime, part: str, width: int, half: bool) -> str:
    month, day = MONTHS[moment.month - 1], DAYS[moment.weekday()]
    hour = (moment.hour % 12 or 12) if half else moment.hour
    two = min(width, 2)
    written = {
        "min": f"{moment.minute:0{two}}",
        "y": f"{moment.year:04}" if width > 2 else f"{moment.year % 100:02}",
        "m": f"{moment.month:0{two}}" if width < 3 else month[:3] if width == 3 else month[0] if width > 4 else month,
        "d": f"{moment.day:0{two}}" if width < 3 else day[:3] if width == 3 else day,
        "h": f"{hour:0{two}}",
        "s": f"{moment.second:0{two}}",
        "a": "AM" if moment.hour < 12 else "PM",
    }
    return written[part if part == "min" else part[0]]


def _elapsed(value: float, unit: str, section: str) -> str:
    seconds = round(abs(value) * 86400)
    hours, minutes = seconds // 3600, seconds // 60 % 60
    sign = "-" if value < 0 else ""
    if unit == "h":
        return f"{sign}{hours}:{minutes:02}" + (f":{seconds % 60:02}" if "s" in section.lower() else "")
    return f"{sign}{seconds // 60}:{seconds % 60:02}" if unit == "m" else f"{sign}{seconds}"
