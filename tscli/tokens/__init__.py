"""Text to token ids with provenance: the model's own tokenizer, its chat template, and where every token comes from.

Knows nothing of files, models or libraries.
"""

from tscli.tokens.context import SourceText, build_context
from tscli.tokens.counts import parse_count
from tscli.tokens.provenance import Context, DocumentTokens, page_name, shown
from tscli.tokens.spelling import Spelled, spell
from tscli.tokens.template import Placement, Prompt, Template, load_template, same_prompt, template_of
from tscli.tokens.thoughts import Settled, State, ThoughtSplitter
from tscli.tokens.tokenizer import StreamDecoder, Tokenizer, known_tokenizer, load_tokenizer

__all__ = [
    "Context",
    "DocumentTokens",
    "Placement",
    "Prompt",
    "Settled",
    "SourceText",
    "Spelled",
    "State",
    "StreamDecoder",
    "Template",
    "ThoughtSplitter",
    "Tokenizer",
    "build_context",
    "known_tokenizer",
    "load_template",
    "load_tokenizer",
    "page_name",
    "parse_count",
    "same_prompt",
    "shown",
    "spell",
    "template_of",
]
