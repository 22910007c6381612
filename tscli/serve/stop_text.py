"""Stop texts: found as an answer's pieces come, and never shown, not even in part."""

from __future__ import annotations

from collections.abc import Sequence


class StopText:
    """Lets text through up to the first of these texts. found: whether one has come."""

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = [stop for stop in stops if stop]
        self._held = ""
        self.found = False

    def push(self, piece: str) -> str:
        """What may be shown now: nothing that may still become a stop."""
        if self.found:
            return ""
        text = self._held + piece
        ends = [at for stop in self._stops if (at := text.find(stop)) >= 0]
        if ends:
            self.found, self._held = True, ""
            return text[: min(ends)]
        held = max((size for stop in self._stops for size in range(1, len(stop)) if text.endswith(stop[:size])), default=0)
        self._held = text[len(text) - held :]
        return text[: len(text) - held]

    def flush(self) -> str:
        """What was held back, now that nothing follows."""
        held, self._held = self._held, ""
        return held
