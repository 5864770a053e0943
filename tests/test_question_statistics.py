"""What the pages about single questions read off a study, on numbers one can check by hand."""

import math

import numpy as np
import pandas as pd
import pytest

from benchmark.statistics.onset import aligned_at_onset, growth_before_onset
from benchmark.statistics.spans import rate_spans
from benchmark.statistics.targets import cheapest, costs_to_target, knee, scaled_rates

NAN = math.nan
HISTORY = pd.DataFrame(
    [
        ("slow", 0, NAN),
        ("slow", 5, 1.0),
        ("slow", 10, 3.0),
        ("slow", 15, 50.0),
        ("slow", 20, NAN),
        ("early", 5, 1e6),
        ("early", 10, 2.0),
        ("calm", 5, 1.0),
        ("fallen", 5, 1.0),
        ("second", 5, 2.0),
        ("second", 10, 8.0),
    ],
    columns=["trial", "step", "gradient_norm_max"],
)
ONSETS = pd.DataFrame(
    {
        "trial": ["slow", "early", "calm", "second", "fallen"],
        "status": ["dead", "nonfinite", "stable", "recovered", "collapsed"],
        "first_bad_step": [12, 2, NAN, 6, 5],
        "first_spike_step": [12, NAN, NAN, 6, NAN],
    }
)


def test_checkpoints_are_counted_from_the_one_with_the_first_bad_step():
    found = aligned_at_onset(HISTORY, ONSETS)
    slow = found[found["trial"] == "slow"]
    # step 12 lies in the checkpoint at 15
    assert slow["offset"].tolist() == [-2, -1, 0, 1]
    assert slow["norm"].tolist() == [1.0, 3.0, 50.0, math.inf]
    assert slow["ratio"].tolist() == [1.0, 3.0, 50.0, math.inf]
    assert found.loc[found["trial"] == "early", "offset"].tolist() == [0, 1]
    # the second of these fell to chance without a spike
    assert set(found["trial"]).isdisjoint({"calm", "fallen"})


def test_a_first_norm_that_is_not_finite_gives_no_ratio():
    history = pd.DataFrame(
        {"trial": ["a", "a"], "step": [5, 10], "gradient_norm_max": [math.inf, 1.0]}
    )
    found = aligned_at_onset(
        history, pd.DataFrame({"trial": ["a"], "status": ["dead"], "first_bad_step": [1]})
    )
    assert found["ratio"].isna().all()
    assert found["norm"].tolist() == [math.inf, 1.0]


def test_growth_before_the_onset_takes_two_checkpoints():
    found = growth_before_onset(aligned_at_onset(HISTORY, ONSETS)).set_index("trial")
    assert found.loc["slow"].tolist() == [2, 3.0]
    assert found["before"].to_dict() == {"slow": 2, "early": 0, "second": 1}
    assert found.loc[["early", "second"], "growth"].isna().all()


def rated(accuracies: dict[float, list[float]]) -> pd.DataFrame:
    """Trials of one level: validation accuracies of every seed by rate; loss 1 - accuracy."""
    rows = [
        {
            "level": "a",
            "learning_rate": rate,
            "cell": f"cell {rate}",
            "seed": seed,
            "validation": value,
            "objective": 1 - value,
        }
        for rate, values in accuracies.items()
        for seed, value in enumerate(values)
    ]
    return pd.DataFrame(rows)


def test_spans_by_hand():
    frame = rated({0.01: [0.5, 0.5], 0.1: [0.9, 0.9], 1.0: [0.895, 0.895], 10.0: [0.1, 0.1]})
    (row,) = rate_spans(frame, ["level"]).to_dict("records")
    assert (row["best_rate"], row["low_rate"], row["high_rate"]) == (0.1, 0.1, 1.0)
    # the seeds agree: what is left is that the range ends somewhere between two rates
    assert (row["decades"], row["decades_low"], row["decades_high"]) == (1.0, 0.0, 2.0)
    assert (row["spacing"], row["edge"]) == (1.0, False)
    # mean loss (0.5 + 0.1 + 0.105 + 0.9) / 4 minus 0.1
    assert row["sensitivity"] == pytest.approx(0.30125)
    assert math.isnan(row["sensitivity_low"])
    assert row["rates"] == 4


def test_a_span_that_hangs_on_one_seed_has_a_wide_interval():
    # one seed of the middle rate fails: without it the range takes all three rates
    frame = rated({0.1: [0.9] * 3, 1.0: [0.9, 0.9, 0.5], 10.0: [0.9] * 3})
    (row,) = rate_spans(frame, ["level"]).to_dict("records")
    assert row["decades"] == 0.0
    # left out one by one 0, 0 and 2: variance 2/3 (4 - 4/3), t of two degrees of freedom
    assert row["decades_high"] == pytest.approx(4.30265 * math.sqrt(16 / 9), rel=1e-5)
    assert row["decades_low"] == 0.0


def test_a_single_seed_has_no_interval():
    (row,) = rate_spans(rated({0.1: [0.9], 1.0: [0.5]}), ["level"]).to_dict("records")
    assert row["decades"] == 0.0
    assert np.isnan([row["decades_low"], row["sensitivity_high"]]).all()


def reaching(size: int, rate: float, samples: list[float], seconds: float = 1.0) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "model": "mlp",
            "batch_size": size,
            "learning_rate": rate,
            "samples": 1000,
            "seconds": seconds,
            "samples_to_target": samples,
            "steps_to_target": [s / size for s in samples],
        }
    )


RUNS = pd.concat(
    [
        reaching(10, 0.1, [400.0, 200.0, 600.0], seconds=2.0),
        reaching(10, 1.0, [300.0, NAN, NAN]),
        reaching(20, 0.1, [800.0, 700.0, NAN]),
        reaching(40, 0.1, [NAN, NAN, 900.0]),
    ],
    ignore_index=True,
)


def test_what_was_not_reached_costs_infinity():
    costs = costs_to_target(RUNS)
    assert costs["samples"].tolist()[:4] == [400.0, 200.0, 600.0, 300.0]
    assert costs["seconds"].tolist()[:3] == pytest.approx([0.8, 0.4, 1.2])
    assert math.isinf(costs["steps"].iloc[4])


def test_the_cheapest_rate_is_that_of_the_median_trial():
    found = cheapest(RUNS, ["model", "batch_size"], ["learning_rate"])
    assert found["batch_size"].tolist() == [10, 20]
    first, second = found.to_dict("records")
    assert (first["learning_rate"], first["samples"], first["steps"]) == (0.1, 400.0, 40.0)
    assert (first["samples_low"], first["samples_high"], first["reached"]) == (200.0, 600.0, 1.0)
    assert (second["samples"], second["samples_high"]) == (800.0, math.inf)
    assert second["reached"] == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    ("samples", "size"), [([400, 700, 900], 16), ([400, 900, 800], 64), ([100], 4)]
)
def test_the_knee_is_the_largest_size_that_pays(samples, size):
    costs = pd.DataFrame({"batch_size": [4, 16, 64][: len(samples)], "samples": samples})
    assert knee(costs) == size


def test_without_any_batch_size_there_is_no_knee():
    assert math.isnan(knee(pd.DataFrame({"batch_size": [], "samples": []})))


def test_both_rules_start_at_the_best_rate_of_the_smallest_batch():
    ranges = pd.DataFrame(
        {
            "batch_size": [64, 4, 16],
            "best_rate": [0.5, 0.125, 0.25],
            "low_rate": [0.5, 0.0625, 0.25],
            "high_rate": [1.0, 0.25, 0.25],
        }
    )
    found = scaled_rates(ranges)
    assert found["batch_size"].tolist() == [4, 16, 64]
    assert found["linear"].tolist() == [0.125, 0.5, 2.0]
    assert found["root"].tolist() == [0.125, 0.25, 0.5]
    assert found["linear_good"].tolist() == [True, False, False]
    assert found["root_good"].tolist() == [True, True, True]
