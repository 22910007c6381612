"""Answers from a library: a question finds passages or tokens, the model decodes an answer, and what it drew on is recorded."""
