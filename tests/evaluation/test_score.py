"""SQuAD's scores and Wilson's interval, against values worked out by hand."""

import pytest

from tscli.evaluation.score import exact_match, interval95, normalised, token_f1


@pytest.mark.parametrize(
    ("answer", "wanted", "same"),
    [
        ("The Herring Moon.", "herring moon", True),
        ("  7.2  metres ", "7.2 metres", True),
        ("27 days", "27", False),
        ("", "27", False),
        ("SKMP-7", "skmp7", True),
    ],
)
def test_exact_match_ignores_case_punctuation_and_articles(answer: str, wanted: str, same: bool) -> None:
    assert exact_match(answer, wanted) is same


def test_articles_go_only_as_whole_words() -> None:
    assert normalised("An Anchor at the Theatre") == "anchor at theatre"


@pytest.mark.parametrize(
    ("answer", "wanted", "f1"),
    [("27 days", "27", 2 / 3), ("cat sat sat", "sat on mat", 1 / 3), ("", "", 1.0), ("", "x", 0.0), ("no", "yes", 0.0)],
)
def test_f1_counts_shared_words(answer: str, wanted: str, f1: float) -> None:
    assert token_f1(answer, wanted) == pytest.approx(f1)


def test_wilsons_interval() -> None:
    low, high = interval95(26, 40)  # 0.4951, 0.7787 by the formula in Wilson (1927)
    assert low == pytest.approx(0.4951, abs=5e-4)
    assert high == pytest.approx(0.7787, abs=5e-4)
    assert interval95(0, 0) == (0.0, 1.0)
    assert interval95(5, 5)[1] == pytest.approx(1.0)
    assert interval95(0, 5)[0] == pytest.approx(0.0)
