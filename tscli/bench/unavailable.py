"""Why a peer cannot be measured here; its rows say so, and nothing else stops."""

from __future__ import annotations


class Unavailable(Exception):
    """The reason, as the rows say it behind "skipped: "."""
