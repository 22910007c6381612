from __future__ import annotations

import pytest

from tscli.errors import UsageError
from tscli.selection.config import SelectionConfig, SelectionOptions, resolve


def test_the_defaults_are_the_papers() -> None:
    config = SelectionConfig()
    assert (config.k, config.n_init, config.n_local, config.chunk, config.theta) == (2048, 128, 512, 512, 0.9)
    assert (config.metric, config.scale, config.pool) == ("soft", "none", 0)


def test_k_may_be_a_share_of_the_context() -> None:
    config = resolve(SelectionOptions(k="20%"), {}, 131072)
    assert config.count(1000) == 200
    assert config.count(1) == 1


def test_options_of_the_user_go_over_those_of_the_model() -> None:
    config = resolve(SelectionOptions(k=100), {"k": 300, "pool": 9}, 131072)
    assert (config.k, config.pool) == (100, 9)


def test_defaults_shrink_to_a_small_window() -> None:
    config = resolve(SelectionOptions(), {}, 512)
    assert config.window <= 512
    assert config.k >= 256


def test_a_named_setting_that_does_not_fit_the_window_is_refused_with_the_sum() -> None:
    with pytest.raises(UsageError, match="the model was trained for 512"):
        resolve(SelectionOptions(k=4096), {}, 512)


@pytest.mark.parametrize(
    "settings",
    [{"k": -1}, {"chunk": 100}, {"pool": 4}, {"theta": 2.0}, {"metric": "best"}, {"scale": "big"}, {"n_local": -1}],
)
def test_settings_that_cannot_be_are_refused(settings: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        SelectionConfig(**settings)  # type: ignore[arg-type]


@pytest.mark.parametrize("k", ["many", "0%", "120%", "-3"])
def test_a_k_that_cannot_be_is_refused(k: str) -> None:
    with pytest.raises(UsageError):
        resolve(SelectionOptions(k=k), {}, 4096)
