"""What is rotated again and again to the same places: bit for bit what the model's own rotation gives."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tscli.model.rotary import Rotator, plain_rotator, rotate_halves


def by_the_model(rotator: Rotator, x: Tensor, places: Tensor) -> Tensor:
    """By the rotation as transformers writes it."""
    cos, sin = (part[places][None] for part in rotator.table(0, 300, x.device))
    return rotate_halves(x[None].float(), x[None, :0].float(), cos, sin)[0][0].to(x.dtype)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
@pytest.mark.parametrize("count", [1, 37, 3000])
def test_a_turn_gives_bit_for_bit_what_the_rotation_gives(dtype: torch.dtype, count: int) -> None:
    rotator = plain_rotator(64, {"rope_theta": 10_000.0}, torch.device("cpu"))
    x, places = torch.randn(3, count, 64).to(dtype), torch.randint(300, (count,))
    turn, wanted = rotator.turn(places, 0, length=300), by_the_model(rotator, x, places)
    for _ in range(2):  # what it was given stays as it was
        assert torch.equal(turn(x).to(dtype), wanted)
    assert torch.equal(rotator(x, places, 0, length=300), wanted)


def test_a_part_of_a_head_that_is_not_rotated_stays() -> None:
    rotator = plain_rotator(32, {"rope_theta": 10_000.0}, torch.device("cpu"))
    x, places = torch.randn(2, 9, 48).bfloat16(), torch.arange(9)
    turned = rotator(x, places, 0, length=9)
    assert torch.equal(turned[..., 32:], x[..., 32:])
    assert torch.equal(turned[..., :32], by_the_model(rotator, x[..., :32], places))
