"""What a threshold costs and saves, on trials of which one can see it."""

from typing import Any

import pytest
from test_explosion_page import grid, trials_of

from benchmark.statistics import percentile_rule
from report import thresholds

TRAINED = {None: 0.8, 10.0: 0.8, 1.0: 0.78, 0.1: 0.7}
"""Accuracy at the rate 0.1 by threshold; at the rate 1 training without clipping is lost."""
RESCUED = {None: 0.1, 10.0: 0.2, 1.0: 0.6, 0.1: 0.795}


def outcome(made: dict[str, Any]) -> dict[str, Any]:
    kept = TRAINED if made["learning_rate"] == 0.1 else RESCUED
    accuracy = kept[made.get("clipping_threshold")] + 0.0001 * made["seed"]
    norms = {"gradient_norm_p90": 9.0, "clipped_fraction": 0.5}
    return {"validation_accuracy": accuracy, "test_accuracy": accuracy, **norms}


COMMON = {"model": ["mlp"], "learning_rate": (0.1, 1.0), "seed": range(3)}
MADE = [
    *grid(**COMMON, clipping=["none"]),
    *grid(**COMMON, clipping=["global_norm"], clipping_threshold=[0.1, 1.0, 10.0]),
]
STUDY = trials_of("clipping", MADE, outcome)


def test_the_tighter_a_threshold_the_more_it_costs_and_saves() -> None:
    rows = thresholds.priced(STUDY)
    assert rows["threshold"].tolist() == [10.0, 1.0, 0.1]
    assert rows["premium"].tolist() == pytest.approx([0.0, -0.02, -0.1])
    assert rows["payout"].tolist() == pytest.approx([0.1, 0.5, 0.695])
    assert rows["share"].tolist() == pytest.approx([0.1 / 0.695, 0.5 / 0.695, 1.0])
    assert rows[["lost", "good_high", "norm"]].drop_duplicates().values.tolist() == [[1, 0.1, 9]]


def test_the_percentile_and_the_loosest_that_saves_most_are_named() -> None:
    rows = thresholds.priced(STUDY)
    assert percentile_rule(STUDY.outcomes)["threshold"].tolist() == [10.0, 10.0]
    # a threshold of 1 saves 72% of the most, too little
    assert rows["rule"].tolist() == ["percentile", "", "loosest"]


def test_rates_near_the_best_are_those_without_clipping_within_a_point() -> None:
    assert thresholds.priced(STUDY)["near_words"].tolist() == ["0.1", "", "1"]
    assert thresholds.rates_at_one_threshold(STUDY) == (1, 1, 2)


def test_without_a_rate_at_which_most_fail_nothing_is_priced() -> None:
    calm = trials_of("clipping", [made for made in MADE if made["learning_rate"] == 0.1], outcome)
    assert thresholds.priced(calm).empty
