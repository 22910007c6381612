"""What is counted stands in Prometheus' text format."""

from __future__ import annotations

import re

import pytest

from tscli.serve.metrics import BUCKETS, Metrics

LINE = re.compile(r'[a-z_]+(\{([a-z]+="[^"\n]*",?)+\})? [0-9.]+')


def rows(metrics: Metrics) -> dict[str, str]:
    return dict(line.rsplit(" ", 1) for line in metrics.text(3, 2).splitlines() if not line.startswith("#"))


def test_every_line_is_one_that_prometheus_reads() -> None:
    metrics = Metrics()
    metrics.request("/v1/models", 200)
    metrics.first_token(0.3)
    lines = metrics.text(3, 2).splitlines()
    assert [line for line in lines if not line.startswith("# TYPE ") and not LINE.fullmatch(line)] == []
    typed = [line.split()[2] for line in lines if line.startswith("# TYPE")]
    assert len(typed) == len(set(typed))


@pytest.mark.parametrize("seconds", [0.05, 0.3, 1.0, 1000.0])
def test_a_time_is_in_every_bucket_that_is_as_long(seconds: float) -> None:
    metrics = Metrics()
    metrics.first_token(seconds)
    found = rows(metrics)
    for bucket in BUCKETS:
        assert found[f'tscli_first_token_seconds_bucket{{le="{bucket}"}}'] == str(int(seconds <= bucket))
    assert found['tscli_first_token_seconds_bucket{le="+Inf"}'] == found["tscli_first_token_seconds_count"] == "1"
    assert float(found["tscli_first_token_seconds_sum"]) == seconds


def test_what_waits_and_what_goes_on_is_as_it_is_now() -> None:
    found = rows(Metrics())
    assert (found["tscli_queue_length"], found["tscli_answering"]) == ("3", "2")
