"""The embedded reader: a small language model in Hugging Face layout. What trained it: tests/harness/reader_training."""

from pathlib import Path


def path() -> Path:
    """The folder that holds the embedded model."""
    return Path(__file__).resolve().parent
