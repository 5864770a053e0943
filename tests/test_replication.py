"""Published numbers against measured ones, and noise scales of gradients."""

import math

import pandas as pd
import pytest

from benchmark.statistics import gradient_samples, noise_scale, replicates, unanimous
from benchmark.statistics.replication import CLOSE, DIFFERS, REPRODUCED, UNTOLD

NONE = math.nan, math.nan


@pytest.mark.parametrize(
    ("rule", "value", "noise", "found", "said"),
    [
        ("near", 0.80, 0.02, (0.815, 0.81, 0.82), REPRODUCED),
        ("near", 0.80, 0.02, (0.825, 0.82, 0.83), DIFFERS),
        # further off than the noise, but seeds scatter as much
        ("near", 0.80, 0.02, (0.83, 0.79, 0.87), UNTOLD),
        # near, but seeds scatter more than the source does
        ("near", 0.80, 0.02, (0.80, 0.77, 0.83), UNTOLD),
        ("near", 0.80, 0.02, (0.815, 0.805, 0.825), CLOSE),
        ("near", 0.80, 0.02, (0.81, *NONE), REPRODUCED),
        ("near", 0.80, 0.02, (0.83, *NONE), DIFFERS),
        ("factor", 900, 2, (450.0, *NONE), REPRODUCED),
        ("factor", 900, 2, (1800.0, *NONE), REPRODUCED),
        ("factor", 900, 2, (600.0, 460.0, 740.0), REPRODUCED),
        ("factor", 900, 2, (440.0, 430.0, 450.0), DIFFERS),
        ("factor", 900, 2, (440.0, -30.0, 910.0), UNTOLD),
        ("more", 0.0, math.nan, (0.1, 0.05, 0.15), REPRODUCED),
        ("more", 0.0, math.nan, (0.1, -0.05, 0.25), UNTOLD),
        ("more", 0.0, math.nan, (0.1, *NONE), UNTOLD),
        ("more", 0.0, math.nan, (-0.1, -0.15, -0.05), DIFFERS),
    ],
)
def test_what_replicates(
    rule: str, value: float, noise: float, found: tuple[float, float, float], said: str
) -> None:
    assert replicates(rule, value, noise, found) == said


def test_ten_seeds_that_are_all_alike_leave_an_interval() -> None:
    assert unanimous(0.0, 10, 10) == pytest.approx((0.0, -0.278, 0.278), abs=5e-4)
    assert unanimous(1.0, 10, 10) == pytest.approx((1.0, 1 - 2 * 0.278, 1.0), abs=1e-3)


def samples(variances: list[float], squares: list[float], seed: int = 0) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "trial": f"t{seed}",
            "step": range(len(squares)),
            "gradient_variance": variances,
            "gradient_squared": squares,
        }
    )


def first(history: pd.DataFrame, trials: pd.DataFrame) -> pd.DataFrame:
    """The first sample of each trial."""
    rows = gradient_samples(history, trials)
    return rows[rows["number"] == 0]


def test_noise_scales_are_ratios_of_means_over_seeds() -> None:
    trials = pd.DataFrame({"trial": ["t0", "t1"], "seed": [0, 1]})
    history = pd.concat(
        [
            # a sample whose square is negative, as an unbiased one can be
            samples([60.0] + 9 * [90.0], [3.0] + 9 * [-0.1], seed=0),
            samples([40.0] + 9 * [90.0], [1.0] + 9 * [0.3], seed=1),
        ]
    )
    estimate, low, high = noise_scale(first(history, trials))
    assert estimate == pytest.approx(100 / 4)
    assert 0 < low < estimate < high
    assert high / estimate == pytest.approx(estimate / low)
    # four parts of ten samples: the first of three
    start = (100 + 2 * 180) / (4 + 2 * 0.2)
    assert noise_scale(gradient_samples(history, trials), 4)[0] == pytest.approx(
        (start + 3 * 180 / 0.2) / 4
    )


def test_noise_scales_of_no_samples_are_none() -> None:
    trials = pd.DataFrame({"trial": ["t0"], "seed": [0]})
    history = samples([math.nan], [math.nan])
    assert math.isnan(noise_scale(first(history, trials))[0])
    assert math.isnan(noise_scale(gradient_samples(history, trials), 4)[0])
