"""Sequences from other processes are those of corpora with seeds of their own."""

from __future__ import annotations

from itertools import islice

import pytest

from tests.harness.reader_training.draws import draws
from tests.harness.reader_training.test_corpus import corpus


@pytest.mark.parametrize("num_workers", [0, 2])
def test_every_process_draws_from_its_own_corpus(num_workers: int) -> None:
    found = [item.ids.tolist() for item in islice(draws(lambda worker: corpus(100 + worker, length=256), num_workers), 6)]
    wanted = []
    for worker in range(max(1, num_workers)):
        source = corpus(100 + worker, length=256)
        wanted += [source.draw().ids.tolist() for _ in range(6 // max(1, num_workers))]
    assert sorted(found) == sorted(wanted)
