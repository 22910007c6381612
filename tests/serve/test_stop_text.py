"""However a text comes in pieces, what is shown of it ends right before the first stop."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tscli.serve.stop_text import StopText

TEXT = st.text("ab\n", max_size=20)


@given(st.lists(TEXT, max_size=8), st.lists(st.text("ab\n", min_size=1, max_size=3), max_size=3))
def test_what_is_shown_is_the_text_before_the_first_stop(pieces: list[str], stops: list[str]) -> None:
    stop, text = StopText(stops), "".join(pieces)
    shown = "".join(map(stop.push, pieces)) + stop.flush()
    ends = [at for one in stops if (at := text.find(one)) >= 0]
    assert stop.found == bool(ends)
    if ends:
        # The text may have a longer stop that begins sooner but is complete later: what came first in time ends it.
        assert text.startswith(shown)
        assert not any(one in shown for one in stops)
    else:
        assert shown == text


def test_a_stop_that_is_cut_by_pieces_is_never_shown() -> None:
    stop = StopText(["END"])
    assert [stop.push(piece) for piece in ("one E", "N", "D two")] == ["one ", "", ""]
    assert stop.found


def test_what_only_began_like_a_stop_is_shown_in_the_end() -> None:
    stop = StopText(["END"])
    assert stop.push("the EN") + stop.flush() == "the EN"
    assert not stop.found
