"""Surroundings: facts set into the kinds of text that documents are made of (prose, records, tables, code, fragments).

Strings only, seeded. Takes facts from `facts` and real prose from a `Prose`; knows nothing of tokens.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from tests.harness.reader_training.entities import Names, cap, words
from tests.harness.reader_training.facts import Fact, choose, entity, fact, relations_by_kind, statement

LEADS = (
    "According to the [register|report|minutes|log|manual|survey], ", "It was noted that ", "As [everyone|every child] knows, ",
    "Note that ", "In the end, ", "[He|She|The guide] explained that ", "Remember: ", "[Records|Letters] show that ", "Today ",
    "It is [well known|said|recorded] that ", "[Furthermore|Moreover|However|Still], ", "Since last [year|week|month], ",
)  # fmt: skip
TAILS = (
    ", as the [log|report|register|letter] [shows|says]", ", which [surprised|pleased] [everyone|nobody|the council]",
    " (see below)",
    ", and [nobody objected|that was that|work went on]", " at present", ", [he|she] said", ", though few people know it",
    " (1)",
)  # fmt: skip
TOPICS = words("notes report guide manual index history handbook minutes letter summary list chapter overview plan")
FOLDERS = words("docs reports archive letters manuals notes src data books records office web")
SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[A-Z\"“])")


@dataclass(frozen=True)
class Prose:
    """Real text to hide facts in: whole files, paragraphs separated by blank lines."""

    files: tuple[str, ...]

    def passage(self, rng: Random, num_chars: int) -> str:
        """About `num_chars` of running text from a random place, from the start of a paragraph or a sentence."""
        if num_chars <= 0:
            return ""
        text = rng.choice(self.files)
        start = rng.randrange(max(1, len(text) - 2 * num_chars))
        found = re.compile(r"\n\n+|(?<=[.!?])\s+(?=[A-Z])").search(text, start, start + 600)
        start = found.end() if found else start
        return text[start : start + num_chars].strip()

    def sentences(self, rng: Random, num_chars: int) -> list[str]:
        """The sentences of a passage, each on one line."""
        return [" ".join(s.split()) for s in SENTENCE_END.split(self.passage(rng, num_chars)) if s.strip()]


def draw_facts(names: Names, count: int) -> list[Fact]:
    """About `count` facts, many of them hard to tell apart: like-named entities, and several attributes of each."""
    rng, by_kind = names.rng, relations_by_kind(names.held_out)
    facts, seen = list[Fact](), set[str]()
    while len(facts) < count:
        kind = rng.choice([k for k, r in by_kind.items() if r])
        first = entity(names, kind)
        chosen = list(rng.sample(by_kind[kind], min(len(by_kind[kind]), rng.choice((1, 1, 2, 3, 4)))))
        plain = {r.value for r in chosen if not r.nouns and not r.verbs}
        chosen = [r for i, r in enumerate(chosen) if r.value not in plain or r is next(x for x in chosen if x.value == r.value)]
        others = rng.choice((0, 0, 1, 2, 4))
        group = [first, *(entity(names, kind, first if rng.random() < 0.7 else None) for _ in range(others))]
        for name in group:
            if name.lower() in seen:
                continue
            seen.add(name.lower())
            kept = chosen if name == first else rng.sample(chosen, rng.randint(1, len(chosen)))
            facts.extend(fact(names, kind, name, r) for r in kept)
    return facts[:count]


def sentence(rng: Random, item: Fact) -> str:
    """The fact as a full sentence, with something said before or after it now and then."""
    text = statement(rng, item)
    if rng.random() < 0.2:
        text = choose(rng, rng.choice(LEADS)) + (
            text[0].lower() + text[1:] if re.match("(The|In|A|You|As|For|It|They|On|With|There) ", text) else text
        )
    if rng.random() < 0.15:
        text += choose(rng, rng.choice(TAILS))
    return text + rng.choice("..........!;")


def joined(rng: Random, facts: Sequence[Fact]) -> list[str]:
    """The facts as sentences; two about the same entity now and then in one sentence."""
    lines, last = list[str](), ""
    for item in facts:
        text, subject = sentence(rng, item), cap(item.entity) + " "
        if item.entity == last and lines[-1].startswith(subject) and text.startswith(subject) and rng.random() < 0.5:
            lines[-1] = lines[-1][:-1] + rng.choice((" and ", ", and ", " and also ")) + text[len(subject) :]
        else:
            lines.append(text)
        last = item.entity
    return lines


def hidden_in_prose(rng: Random, facts: Sequence[Fact], prose: Prose, num_chars: int) -> str:
    """The facts as sentences at random places of a real passage."""
    lines = prose.sentences(rng, num_chars)
    for text in joined(rng, facts):
        lines.insert(rng.randint(0, len(lines)), text)
    breaks = rng.choice((0.0, 0.1, 0.3))
    return "".join(line + ("\n\n" if rng.random() < breaks else " ") for line in lines).strip()


def in_a_row(rng: Random, facts: Sequence[Fact]) -> str:
    """The facts as sentences one after the other; where the entity stays the same, often with a pronoun."""
    parts, last = [], ""
    for item in facts:
        text = sentence(rng, item)
        if item.entity == last and text.startswith(cap(last) + " ") and rng.random() < 0.6:
            text = rng.choice(("She", "He") if item.kind == "person" else ("It",)) + text[len(last) :]
        parts.append(text)
        last = item.entity
    return " ".join(parts)


def as_records(rng: Random, facts: Sequence[Fact]) -> str:
    """Each entity as a heading with `Key: value` lines or bullets below it."""
    heading = rng.choice(("## {}", "### {}", "{}", "**{}**", "{}:", "* {}", "{}\n" + "-" * rng.randint(4, 20)))
    line = rng.choice(
        ("{}: {}", "- {}: {}", "* {}: {}", "- **{}**: {}", "  {}: {}", "{} ... {}", "{}\t{}", "{} - {}", "{}\n{}")
    )
    parts: list[str] = []
    last = ""
    for item in sorted(facts, key=lambda f: f.entity):
        if item.entity != last:
            parts.append(("\n" if parts else "") + heading.format(cap(_bare(rng, item.entity))))
        last = item.entity
        parts.append(line.format(cap(item.noun), item.value) if item.noun else statement(rng, item) + ".")
    return "\n".join(parts)


def as_lines(rng: Random, facts: Sequence[Fact]) -> str:
    """Each fact on a line of its own: a bullet, a numbered or a log line."""
    marks = rng.choice(("- ", "* ", "", "{i}. ", "{i}) ", "[{i}] ", "• ", "    ", "> "))
    lines = []
    for i, item in enumerate(facts, rng.randint(1, 30)):
        text = (
            f"{_bare(rng, item.entity)}, {item.noun}: {item.value}" if item.noun and rng.random() < 0.4 else sentence(rng, item)
        )
        lines.append(marks.format(i=i) + text)
    return "\n".join(lines)


def as_code(rng: Random, facts: Sequence[Fact]) -> str:
    """The facts as configuration, constants with comments, or a dictionary."""
    style, lines = rng.randint(0, 3), []
    for item in facts:
        noun, value = item.noun.replace(" ", "_"), item.value
        if not noun:
            lines.append(f"{rng.choice(('#', '//', '--'))} {statement(rng, item)}.")
        elif style == 0:
            lines.append(f"{_bare(rng, item.entity)}:\n  {noun}: {value}")
        elif style == 1:
            lines.append(f"# {statement(rng, item)}.\n{noun.upper()} = {value!r}")
        elif style == 2:
            lines.append(f'    "{_bare(rng, item.entity)}": {{"{noun}": "{value}"}},')
        else:
            lines.append(f'def {rng.choice(("check", "load", "get"))}_{noun}():\n    """{statement(rng, item)}."""')
    return "\n".join(lines) if style != 1 else "\n\n".join(lines)


def as_table(names: Names) -> tuple[str, list[Fact]]:
    """A table of like things with two to four attributes, and the facts that it states."""
    rng, by_kind = names.rng, relations_by_kind(names.held_out)
    kinds = {kind: [r for r in found if r.nouns] for kind, found in by_kind.items()}
    kind = rng.choice([k for k, found in kinds.items() if len(found) >= 2])
    columns = rng.sample(kinds[kind], min(len(kinds[kind]), rng.randint(2, 4)))
    nouns = [rng.choice(r.nouns) for r in columns]
    rows, facts = [["Name" if rng.random() < 0.5 else cap(kind), *(cap(n) for n in nouns)]], []
    for name in dict.fromkeys(entity(names, kind) for _ in range(rng.randint(2, 6))):
        items = [Fact(kind, name, r, noun, fact(names, kind, name, r).value) for r, noun in zip(columns, nouns, strict=True)]
        facts.extend(items)
        rows.append([cap(_bare(rng, name)), *(i.value for i in items)])
    style = rng.randint(0, 2)
    if style == 0:
        rows.insert(1, ["---"] * len(rows[0]))
        return "\n".join("| " + " | ".join(row) + " |" for row in rows), facts
    if style == 1:
        return "\n".join(rng.choice((",", ";")).join(row) for row in rows), facts
    widths = [max(len(row[i]) for row in rows) + 2 for i in range(len(rows[0]))]
    return "\n".join("".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows), facts


def as_fragments(rng: Random, facts: Sequence[Fact], prose: Prose, num_chars: int) -> str:
    """What sparse selection shows of a long text: the facts among snippets cut anywhere, without order."""
    snippets = prose.passage(rng, num_chars).split()
    parts, i = [], 0
    while i < len(snippets):
        step = rng.randint(3, 18)
        parts.append(" ".join(snippets[i : i + step]))
        i += step
    parts.extend(sentence(rng, item) for item in facts)
    rng.shuffle(parts)
    return rng.choice((" ", "\n", " ")).join(parts)


def wrapped(rng: Random, text: str) -> str:
    """The text with hard line breaks at a random width, as PDF text has, rarely with a hyphenated word."""
    width, hyphens = rng.randint(40, 95), rng.random() < 0.3
    return "\n\n".join(_wrap(rng, paragraph.split(), width, hyphens) for paragraph in text.split("\n\n"))


def header(names: Names) -> str:
    """The line with a document's path that stands above its text."""
    rng = names.rng
    stem = rng.choice(TOPICS) if rng.random() < 0.5 else f"{names.word().lower()}{rng.choice('-_')}{rng.choice(TOPICS)}"
    return f"# {rng.choice(FOLDERS)}/{stem}.{rng.choice(('md', 'txt', 'pdf', 'pdf', 'html', 'py', 'csv', 'rst'))}\n\n"


def _wrap(rng: Random, words: list[str], width: int, hyphens: bool) -> str:
    lines, line = [], ""
    for word in words:
        if line and len(line) + 1 + len(word) > width:
            if hyphens and len(word) > 7 and word.isalpha() and rng.random() < 0.3:
                lines.append(f"{line} {word[:4]}-")
                line = word[4:]
                continue
            lines.append(line)
            line = word
        else:
            line = f"{line} {word}" if line else word
    return "\n".join([*lines, line])


def _bare(rng: Random, name: str) -> str:
    return name[4:] if name.startswith("the ") and rng.random() < 0.8 else name
