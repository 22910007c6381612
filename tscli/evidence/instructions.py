"""Whether text reads like instructions to a model rather than like text for people: a document may be meant to steer answers.

A small list of phrases, no more: it finds the plain attempts, misses the subtle ones, and says "looks like". What it marks and
what it leaves alone is in docs/LOG.md.
"""

from __future__ import annotations

import re

import numpy as np

from tscli.evidence.citations import Citation
from tscli.tokens import Context, Tokenizer, spell

AROUND = 48  # tokens on both sides of a passage that are looked at with it

_OVER = r"(?:previous|prior|above|earlier|preceding|foregoing|all other|existing)"
_ORDERS = r"(?:instructions?|prompts?|directions|directives|guidelines|system messages?)"
_PHRASES = (
    rf"\b(?:ignore|disregard|forget|override|bypass)\b(?: \w+){{0,3}} {_OVER}(?: \w+){{0,2}} {_ORDERS}\b",
    rf"\b(?:ignore|disregard|forget|override)\b (?:all |any |your |the )*(?:system )?{_ORDERS}\b",
    r"\byou are now (?:an? |the |in )?(?:\w+ ){0,2}"
    r"(?:ai|assistant|chatbot|language model|llm|dan|developer mode|jailbroken|unrestricted)\b",
    r"\b(?:your|the) (?:new|real|true|updated) instructions (?:are|is|follow)\b|\bnew (?:system )?(?:instructions|prompt) ?:",
    r"\b(?:reveal|print|repeat|show|output|leak)\b(?: \w+){0,3} (?:system|initial|hidden) (?:prompt|message|instructions)\b",
    r"\b(?:as|if you are|attention|note to|instructions? (?:to|for)|dear) (?:an? |the |any |all )?"
    r"(?:ai|llm|language) (?:assistants?|models?|agents?)\b[ ,:]",
    r"\bdo not (?:tell|inform|mention|reveal)(?: \w+){0,4} (?:the )?user\b",
    r"\b(?:answer|respond|reply) (?:only |always )?(?:with|that)\b.{0,60}"
    r"\b(?:regardless of|no matter what|whatever) (?:the|is asked|question)\b",
    r"<\|(?:im_start|im_end|system|user|assistant|eot_id|start_header_id|end_header_id|endoftext)\|>|<</?SYS>>|\[/?INST\]"
    r"|<(?:start|end)_of_turn>",
    r"(?:^|\n|[.!?] )[ \t#*>-]{0,6}(?:system|assistant)(?: prompt| message)? ?:[ \t*]{0,4}"
    r"(?:you (?:are|must|will|should)|ignore|do not|always|never)\b",
)
_LIKE_ORDERS = re.compile("|".join(f"(?:{phrase})" for phrase in _PHRASES), re.IGNORECASE)
_LONGEST = 80


def instruction_in(text: str) -> str | None:
    """The first words of a text that look like instructions to a model, on one line; None where nothing does."""
    found = _LIKE_ORDERS.search(re.sub(r"[^\S\n]+", " ", text))
    return " ".join(found[0].split())[:_LONGEST] if found else None


def instruction_near(citation: Citation, context: Context, tokenizer: Tokenizer) -> str | None:
    """The same for a passage that an answer drew on, with a little of its page around it."""
    near = np.arange(max(0, citation.start - AROUND), min(context.page.shape[0], citation.end + AROUND))
    same = (context.page[near] == citation.page) & (context.document[near] == context.document[citation.start])
    return instruction_in(spell(near[same], context, tokenizer).text)
