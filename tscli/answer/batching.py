"""Work that asks for passes of a model as it goes on: done by itself, or several pieces, their passes run as one batch."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import TypeVar

from torch import Tensor

from tscli.model.attention import AttentionRun
from tscli.model.decoder import Decoder


@dataclass(frozen=True)
class ForwardRequest:
    """What is to go through the model: token ids, int64 [t], over the run's state."""

    token_ids: Tensor
    run: AttentionRun


Made = TypeVar("Made")
Result = TypeVar("Result")
Steps = Generator[Made | ForwardRequest, Tensor, Result]  # is sent the last token's logits [vocab] after each request


def run_alone(steps: Steps[Made, None], decoder: Decoder) -> Generator[Made, None, None]:
    """What the steps make, each pass run when it is asked for."""
    with closing(steps):
        item = next(steps, None)
        while item is not None:
            if isinstance(item, ForwardRequest):
                item = resume(steps, _logits(decoder, item))
            else:
                yield item
                item = next(steps, None)


def run_to_end(steps: Steps[Made, Result], decoder: Decoder) -> Result:
    """The result of steps of which nothing else is wanted."""
    try:
        item = next(steps)
        while True:
            item = steps.send(_logits(decoder, item)) if isinstance(item, ForwardRequest) else next(steps)
    except StopIteration as stop:
        result: Result = stop.value
        return result


def run_batch(work: Iterable[Steps[Made, None]], decoder: Decoder, most: int) -> Iterator[int]:
    """Run the steps of several pieces of work together, at most so many at a time, each begun when it is its turn; the numbers
    of the pieces as they end. What they make is dropped."""
    waiting, going = enumerate(work), list[tuple[int, Steps[Made, None], ForwardRequest]]()
    try:
        while True:
            while len(going) < most and (begun := next(waiting, None)) is not None:
                number, steps = begun
                asked = _wanted(steps, next(steps, None))
                if asked is None:
                    yield number
                else:
                    going.append((number, steps, asked))
            if not going:
                return
            logits = decoder.forward_batch([p.token_ids for _, _, p in going], [p.run for _, _, p in going])
            before, going = going, []
            for (number, steps, _), own in zip(before, logits, strict=True):
                asked = _wanted(steps, resume(steps, own))
                if asked is None:
                    yield number
                else:
                    going.append((number, steps, asked))
    finally:
        for _, steps, _ in going:
            steps.close()


def _wanted(steps: Steps[Made, None], item: Made | ForwardRequest | None) -> ForwardRequest | None:
    """The next pass that is asked for; None at the end."""
    while item is not None and not isinstance(item, ForwardRequest):
        item = next(steps, None)
    return item


def resume(steps: Steps[Made, None], logits: Tensor) -> Made | ForwardRequest | None:
    """What comes next behind a pass that gave these logits; None at the end."""
    try:
        return steps.send(logits)
    except StopIteration:
        return None


def _logits(decoder: Decoder, item: ForwardRequest) -> Tensor:
    logits = decoder.forward(item.token_ids, item.run)
    assert logits is not None
    return logits
