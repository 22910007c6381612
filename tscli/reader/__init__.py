"""The embedded reader: a small language model in Hugging Face layout, and the scripts that trained it."""

from pathlib import Path


def path() -> Path:
    """The folder that holds the embedded model."""
    return Path(__file__).resolve().parent
