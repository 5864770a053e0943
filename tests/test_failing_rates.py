"""From which learning rate on training fails: closed forms on frames of a few trials."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from benchmark.statistics import failing_rates, levels_off, saturating_law, times_beside
from benchmark.statistics.failing_rates import FOUR_LIMITS, TWO_LIMITS, decades_of

RATES = (0.01, 0.1, 1.0, 10.0)


def trials(size: int, *seeds: str, rates: tuple[float, ...] = RATES) -> pd.DataFrame:
    """Trials of a batch size; of each seed a digit a rate, 1 where it fails."""
    return pd.DataFrame(
        [
            {"batch_size": size, "seed": seed, "learning_rate": rate, "diverged": int(fails)}
            for seed, word in enumerate(seeds)
            for rate, fails in zip(rates, word, strict=True)
        ]
    ).assign(model="mlp")


def found(*frames: pd.DataFrame) -> pd.DataFrame:
    """`failing_rates` by batch size, which is the index."""
    return failing_rates(pd.concat(frames), ["model"], "batch_size").set_index("batch_size")


def test_the_limit_lies_half_way_between_the_last_rate_that_trains_and_the_first_that_fails():
    rows = found(trials(8, "0111", "0111"), trials(64, "0001", "0001"))
    assert rows["rate"].tolist() == pytest.approx([10**-1.5, 10**0.5])
    assert rows["times"].tolist() == pytest.approx([1.0, 100.0])
    assert rows["last_safe"].tolist() == [0.01, 1.0]
    assert rows["first_lost"].tolist() == [0.1, 10.0]


def test_a_limit_on_which_all_seeds_agree_may_lie_anywhere_between_two_rates():
    """95% of a decade, and of the triangle of a difference: all but a twentieth of its area."""
    rows = found(trials(8, "0111", "0111"), trials(64, "0001", "0001"))
    half, apart = 0.95 / 2, 1 - math.sqrt(0.05)
    ends = rows.loc[64, ["low", "high", "times_low", "times_high"]].astype(float)
    assert np.log10(ends).tolist() == pytest.approx([0.5 - half, 0.5 + half, 2 - apart, 2 + apart])
    assert rows.loc[8, ["times_low", "times_high"]].isna().all()


def test_seeds_that_disagree_count_by_the_mean_of_their_limits():
    rows = found(trials(8, "0111", "0011"), trials(64, "0001", "0001"))
    assert rows.loc[8, "rate"] == pytest.approx(10**-1.0)
    # the limits are 10^-1.5 and 10^-0.5: half a decade and t(1) from their mean
    assert rows.loc[8, "high"] == pytest.approx(10 ** (-1 + 12.7062 * 0.5), rel=1e-3)
    assert rows.loc[8, ["last_safe", "first_lost"]].tolist() == [0.01, 1.0]


def test_ratios_are_paired_by_seed():
    """Seeds that move both limits alike leave the ratio known to the step of the rates."""
    rows = found(trials(8, "0111", "0011"), trials(64, "0011", "0001"))
    ends = rows.loc[64, ["times_low", "times", "times_high"]].astype(float)
    assert np.log10(ends).tolist() == pytest.approx([math.sqrt(0.05), 1.0, 2 - math.sqrt(0.05)])


def test_a_single_seed_has_no_interval():
    rows = found(trials(8, "0111"), trials(64, "0001"))
    assert rows.loc[64, "times"] == pytest.approx(100.0)
    assert rows[["low", "high", "times_low", "times_high"]].isna().all(axis=None)


@pytest.mark.parametrize(
    ("seeds", "edge", "last_safe", "first_lost"),
    [
        (("0000", "0001"), "high", 1.0, math.inf),
        (("1111", "0111"), "low", math.nan, 0.1),
        (("0001", "0001"), "", 1.0, 10.0),
        # a seed that heals at a higher rate is not safe up to there
        (("0101", "0001"), "", 0.01, 10.0),
    ],
)
def test_limits_beyond_the_rates_are_marked(seeds, edge, last_safe, first_lost):
    row = found(trials(8, *seeds), trials(64, "0001", "0001")).loc[8]
    assert row["edge"] == edge
    assert np.array_equal(
        row[["last_safe", "first_lost"]].astype(float), (last_safe, first_lost), True
    )


def test_rates_and_seeds_that_a_level_lacks_do_not_count():
    short = trials(64, "001", "001", rates=RATES[:3])
    rows = found(trials(8, "0111", "0111", "0011"), short)
    # of the three rates that both have, the largest is where the larger size fails
    assert rows["rate"].tolist() == pytest.approx([10 ** (-3.5 / 3), 10**-0.5])
    assert rows["seeds"].tolist() == [3, 2]
    assert rows.loc[64, "first_lost"] == 1.0


@pytest.mark.parametrize(
    "frame",
    [
        trials(8, "0111"),
        pd.concat([trials(8, "0111"), trials(64, "01", rates=(0.03, 0.1))]),
    ],
    ids=["one level", "one shared rate"],
)
def test_what_compares_nothing_has_no_row(frame):
    assert failing_rates(frame, ["model"], "batch_size").empty


def test_another_event_has_another_limit():
    frame = pd.concat([trials(8, "0011"), trials(64, "0001")])
    frame = frame.assign(exploded=(frame["learning_rate"] > 0.05).astype(int))
    rows = failing_rates(frame, ["model"], "batch_size", "exploded")
    assert rows["rate"].tolist() == pytest.approx([10**-1.5] * 2)


def test_decades_of_rates_add_up_to_how_far_they_reach():
    widths = decades_of([1.0, 0.1, 0.1, 3.0])
    assert widths.index.tolist() == [0.1, 1.0, 3.0]
    assert widths.sum() == pytest.approx(math.log10(30))


@pytest.mark.parametrize(
    ("rates", "size"),
    [
        ([1.0, 2.0, 4.0, 8.0], 64.0),  # in proportion to the end
        ([1.0, 1.4, 1.9, 2.5], 8.0),  # more slowly than the square root from the start
        ([1.0, 2.0, 2.1, 2.2], 16.0),
        ([1.0, 1.0, 4.0, 4.0], 32.0),  # catches up
    ],
)
def test_the_limit_levels_off_where_it_grows_more_slowly_than_the_square_root(rates, size):
    assert levels_off(pd.DataFrame({"batch_size": [8, 16, 32, 64], "rate": rates})) == size


def beside(clipped: dict[int, tuple[str, ...]]) -> pd.DataFrame:
    """`times_beside` where sizes 8 and 64 are a hundredfold apart, and as given when clipped.

    Clipped trials are at ten times the rates, which the comparison need not share.
    """
    bare = pd.concat([trials(8, "0111", "0111", "0111"), trials(64, "0001", "0001", "0001")])
    rates = (0.1, 1.0, 10.0, 100.0)
    tight = pd.concat([trials(size, *words, rates=rates) for size, words in clipped.items()])
    rows = pd.concat([bare.assign(clip="no"), tight.assign(clip="yes")])
    return times_beside(rows, "clip", "no", "batch_size").set_index("clip")


def test_a_remedy_that_bounds_steps_takes_away_what_the_size_does():
    found = beside({8: ("0011",) * 3, 64: ("0011",) * 3})
    assert found["times"].tolist() == pytest.approx([100.0, 1.0])
    assert found["change"].tolist() == pytest.approx([1.0, 0.01])
    ends = found.loc["yes", ["change_low", "change_high"]].astype(float)
    assert np.log10(ends).tolist() == pytest.approx([-2 - FOUR_LIMITS, -2 + FOUR_LIMITS])
    ends = found.loc["yes", ["times_low", "times_high"]].astype(float)
    assert np.log10(ends).tolist() == pytest.approx([-TWO_LIMITS, TWO_LIMITS])
    assert found.loc["no", ["change_low", "change_high"]].isna().all()


def test_a_remedy_that_leaves_the_sizes_as_they_were_changes_nothing():
    found = beside({8: ("0111",) * 3, 64: ("0001",) * 3})
    assert found.loc["yes", "change"] == pytest.approx(1.0)
    assert found.loc["yes", "change_low"] < 1 < found.loc["yes", "change_high"]


def test_the_width_of_four_limits_is_that_of_a_sum_of_four_uniform_distributions():
    draws = np.random.default_rng(0).uniform(-0.5, 0.5, (4, 200_000)).sum(axis=0)
    assert np.mean(np.abs(draws) < FOUR_LIMITS) == pytest.approx(0.95, abs=0.002)


FINE = tuple(np.geomspace(0.01, 10, 121))


def limited(limit: dict[int, float], seeds: int = 3) -> pd.DataFrame:
    """Trials that fail beyond the limit of their size, which differs a little by seed."""
    return pd.concat(
        [
            trials(
                size,
                *(
                    "".join(str(int(rate > top * 1.1**seed)) for rate in FINE)
                    for seed in range(seeds)
                ),
                rates=FINE,
            )
            for size, top in limit.items()
        ]
    )


def test_the_law_is_found_again_in_limits_that_follow_it():
    sizes = (8, 16, 32, 64, 128, 512)
    (row,) = saturating_law(limited({s: 2 / (1 + 40 / s) for s in sizes}), ["model"]).to_dict(
        "records"
    )
    assert row["half"] == pytest.approx(40, rel=0.05)
    assert row["most"] == pytest.approx(2 * 1.1, rel=0.05)
    assert row["half_low"] < 40 < row["half_high"]
    assert row["worst"] < 1
    assert row["error"] < 0.2 * row["power_error"]
    assert (row["sizes"], row["seeds"]) == (6, 3)


def test_a_power_of_the_size_is_told_from_the_law():
    (row,) = saturating_law(
        limited({s: 0.02 * s**0.8 for s in (8, 32, 128, 512)}), ["model"]
    ).to_dict("records")
    assert row["power_error"] < 0.5 * row["error"]
    assert row["root_error"] > row["power_error"]
    rows = saturating_law(limited({s: 0.02 * s**0.5 for s in (8, 32, 128)}), ["model"])
    assert rows["root_error"].item() < rows["error"].item()


def test_two_sizes_or_a_single_seed_have_no_law_or_no_interval():
    assert saturating_law(limited({8: 0.1, 64: 0.5}), ["model"]).empty
    alone = saturating_law(limited({8: 0.1, 64: 0.5, 512: 0.6}, seeds=1), ["model"])
    assert alone[["most_low", "half_high"]].isna().all(axis=None)
    assert alone["half"].notna().all()
