"""What the style sheets within a page hide, what they show of it again, and what stands apart. Knows nothing of text.

Of the cascade there is what decides whether an element is drawn: `display` and `visibility`, by importance, specificity and
order; rules for a screen, not those for print or for a width. Sheets in other files are not opened. lexbor finds the elements.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from selectolax.lexbor import LexborNode, SelectolaxError

DRAWS = re.compile(
    r"display\s*:\s*(?:none|block|(?:inline-)?(?:flex|grid)|list-item|table|flow-root)|visibility\s*:\s*(?:hidden|collapse)",
    re.IGNORECASE,
)
MOST_CHARACTERS = 1 << 19  # of all sheets of a page; of larger ones the rest is not honoured
MOST_RULES = 2000  # that say how something is drawn
SCREENS = frozenset({"", "screen", "all", "only screen"})
WHOLE = frozenset({"html", "body"})  # pages hide these until a script has run
DECIDE = frozenset({"display", "visibility"})

Weight = tuple[bool, tuple[int, int, int]]


@dataclass
class Sheets:
    """For each element, by its `mem_id`: property -> what the heaviest rule says of it, and its weight."""

    said: dict[int, dict[str, tuple[Weight, str]]] = field(default_factory=dict)

    def value(self, node: LexborNode, name: str) -> tuple[str, bool]:
        """What the sheets say of a property of an element, and whether with importance; empty where they say nothing."""
        weight, value = self.said.get(node.mem_id, {}).get(name, ((False, (0, 0, 0)), ""))
        return value, weight[0]


def sheets_of(root: LexborNode) -> Sheets:
    """Of the page below this node; without any rule where its sheets decide nothing."""
    text = "\n".join(node.text(deep=True) for node in root.css("style") if _is_for_screens(node.attributes.get("media") or ""))
    sheets = Sheets()
    if not DRAWS.search(text) and not ("display" in text and root.css_first("[hidden]")):
        return sheets
    import tinycss2

    rules = tinycss2.parse_stylesheet(text[:MOST_CHARACTERS], skip_comments=True, skip_whitespace=True)
    for number, (prelude, declared) in enumerate(_rules(rules)):
        if number >= MOST_RULES:
            break
        for selector in _parts(prelude):
            _say(sheets, root, selector, declared)
    return sheets


def _rules(rules: list[Any]) -> Iterator[tuple[list[Any], dict[str, tuple[bool, str]]]]:
    """Selector and deciding declarations of each rule that holds on a screen."""
    import tinycss2

    for rule in rules:
        if rule.type == "at-rule" and rule.content is not None:
            is_media = rule.lower_at_keyword == "media" and _is_for_screens(tinycss2.serialize(rule.prelude))
            if is_media or rule.lower_at_keyword == "layer":
                yield from _rules(tinycss2.parse_rule_list(rule.content, skip_comments=True, skip_whitespace=True))
        elif rule.type == "qualified-rule":
            declared = {}
            for each in tinycss2.parse_blocks_contents(rule.content, skip_comments=True, skip_whitespace=True):
                if each.type == "declaration" and each.lower_name in DECIDE:
                    declared[each.lower_name] = (each.important, tinycss2.serialize(each.value).strip().lower())
            if declared:
                yield rule.prelude, declared


def _say(sheets: Sheets, root: LexborNode, selector: list[Any], declared: dict[str, tuple[bool, str]]) -> None:
    import tinycss2

    text = tinycss2.serialize(selector).strip().replace(":checked", "[checked]")
    try:
        nodes = root.css(text) if text else []
    except SelectolaxError:  # a part of an element that has no text, or a state that no page begins with
        return
    for node in nodes:
        if node.tag in WHOLE:
            continue
        said = sheets.said.setdefault(node.mem_id, {})
        for name, (important, value) in declared.items():
            weight = (important, _specificity(selector))
            if name not in said or weight >= said[name][0]:
                said[name] = (weight, value)


def _parts(prelude: list[Any]) -> list[list[Any]]:
    """The selectors between commas."""
    parts: list[list[Any]] = [[]]
    for token in prelude:
        if token.type == "literal" and token.value == ",":
            parts.append([])
        else:
            parts[-1].append(token)
    return parts


def _specificity(selector: list[Any]) -> tuple[int, int, int]:
    """Ids; classes, attributes and states; names of elements."""
    ids = classes = names = 0
    before = ""
    for token in selector:
        ids += token.type == "hash"
        classes += token.type == "[] block" or (token.type == "ident" and before in (".", ":"))
        names += token.type == "ident" and before not in (".", ":")
        if token.type == "function" and token.lower_name in ("not", "is", "has"):
            inner = max(map(_specificity, _parts(token.arguments)))
            ids, classes, names = ids + inner[0], classes + inner[1], names + inner[2]
        elif token.type == "function" and token.lower_name != "where":
            classes += 1
        before = token.value if token.type == "literal" else ""
    return ids, classes, names


def _is_for_screens(media: str) -> bool:
    return any(" ".join(each.split()).lower() in SCREENS for each in media.split(","))
