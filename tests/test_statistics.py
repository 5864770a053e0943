"""Every statistic on numbers that one can check by hand."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.stats
from pandas.testing import assert_frame_equal

from benchmark import statistics
from benchmark.records import CONFIGURATION, Trial
from benchmark.statistics import pairing, resampling, seeds
from benchmark.statistics.rates import plateau

NAN, INF = math.nan, math.inf


def runs(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Trials with the configuration and the outcomes that each row names; defaults elsewhere."""
    out = []
    for row in rows:
        known = Trial().row()
        trial = Trial(**{k: v for k, v in row.items() if k in known})
        defaults = {"status": "stable", "classes": 10, "first_bad_step": NAN}
        defaults |= {"target_accuracy": 0.8, "first_spike_step": NAN}
        defaults |= {"steps": 100, "warm_up_steps": 0}
        defaults |= {"validation_loss": 1.0, "initial_loss": 2.0}
        defaults |= {"test_accuracy": 0.5, "validation_accuracy": 0.5}
        out.append({"trial": trial.key, "cell": trial.cell, **defaults, **trial.row(), **row})
    return pd.DataFrame(out)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1.0, 2.0, 6.0], 3.0),
        ([100.0, 3.0, 1.0, -50.0], 2.0),
        ([0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 700.0], 3.5),
        ([[1.0, 2.0, 3.0, 4.0], [8.0, 0.0, 4.0, 2.0]], [2.5, 3.0]),
    ],
    ids=["below four: the mean", "four: the middle two", "eight: the middle four", "rows"],
)
def test_interquartile_mean(values: Any, expected: Any) -> None:
    assert statistics.interquartile_mean(np.array(values)).tolist() == expected


def test_mean_is_along_the_last_axis() -> None:
    assert statistics.mean(np.array([[1, 2], [3, 5]])).tolist() == [1.5, 4.0]


def test_resamples_stay_in_their_stratum() -> None:
    strata = np.array(["a", "b", "a", "b", "b"])
    positions = statistics.resample(strata, 200)
    assert positions.shape == (200, 5)
    assert (strata[positions] == strata).all()
    assert set(np.unique(positions[:, 0])) == {0, 2}
    assert set(np.unique(positions[:, 1])) == {1, 3, 4}


def test_single_rows_form_one_stratum() -> None:
    positions = statistics.resample(np.array([3, 1, 2]), 200)
    assert set(np.unique(positions[:, 0])) == {0, 1, 2}


def test_resamples_come_from_a_fixed_generator() -> None:
    strata = np.zeros(7)
    assert (statistics.resample(strata, 50) == statistics.resample(strata, 50)).all()


@pytest.mark.parametrize(
    ("values", "strata", "expected"),
    [
        # the mean of n fair coins is Binomial(n, 1/2) / n: its 2.5% and 97.5% quantiles
        ([0, 1], [0, 0], (0.5, 0.0, 1.0)),
        ([0, 1, 0, 1, 0, 1, 0, 1], [0] * 8, (0.5, 1 / 8, 7 / 8)),
        # nothing varies within the strata
        ([0, 0, 4, 4], ["a", "a", "b", "b"], (2.0, 2.0, 2.0)),
        # one coin of two flips beside a constant
        ([0, 1, 5, 5], ["a", "a", "b", "b"], (2.75, 2.5, 3.0)),
    ],
)
def test_bootstrap_of_a_mean(
    values: list[float], strata: list[Any], expected: tuple[float, float, float]
) -> None:
    found = statistics.bootstrap(np.array(values), np.array(strata), statistics.mean)
    assert found == pytest.approx(expected)


T_2 = 4.302652729911275
"""Student's t of two degrees of freedom at 0.975."""


def test_a_share_of_groups_is_that_of_its_trials_where_each_has_one_seed() -> None:
    fine = np.array([1.0] * 8 + [0.0] * 2)
    without = np.array([np.delete(fine, seed).mean() for seed in range(10)])
    found = statistics.share_of_groups(0.8, without, 10)
    assert found == pytest.approx(statistics.share(fine, np.arange(10)))
    assert found == pytest.approx(statistics.proportion(8, 10))


def test_a_share_of_groups_of_one_seed_has_no_interval() -> None:
    assert np.isnan(statistics.share_of_groups(0.5, np.array([np.nan]), 4)[1:]).all()
    # nor one that is of no group without a seed
    assert np.isnan(statistics.share_of_groups(1.0, np.array([np.nan, 1.0]), 1)[1:]).all()


def test_an_interval_of_a_mean_over_seeds_is_students() -> None:
    values = np.random.default_rng(5).normal(size=7)
    low, high = scipy.stats.ttest_1samp(values, 0.0).confidence_interval(0.95)
    found = statistics.over_seeds(values, np.arange(7))
    assert found == pytest.approx((values.mean(), low, high))


def test_trials_of_one_seed_are_left_out_together() -> None:
    # two cells that agree on every seed say no more than one of them
    values, seeds = np.array([1.0, 2.0, 3.0]), np.arange(3)
    once = statistics.over_seeds(values, seeds)
    assert statistics.over_seeds(np.tile(values, 2), np.tile(seeds, 2)) == pytest.approx(once)
    half = T_2 / math.sqrt(3)
    assert once == pytest.approx((2.0, 2.0 - half, 2.0 + half))


@pytest.mark.parametrize(
    ("values", "seeds"),
    [([3.0], [0]), ([3.0, 4.0], [1, 1]), ([0.1 + 0.2, 0.3, 0.3], [0, 1, 2])],
    ids=["one trial", "one seed", "no spread but rounding"],
)
def test_where_nothing_varies_there_is_no_interval(values: list[float], seeds: list[int]) -> None:
    _, low, high = statistics.over_seeds(np.array(values), np.array(seeds))
    assert math.isnan(low)
    assert math.isnan(high)


def simulated(cells: int, seeds: int, share: float, generator: np.random.Generator) -> Any:
    """Values (cells, seeds) about zero, ``share`` of whose variance a seed has in all cells."""
    of_seed = generator.normal(size=(1, seeds)) * math.sqrt(share)
    return of_seed + generator.normal(size=(cells, seeds)) * math.sqrt(1 - share)


@pytest.mark.parametrize(
    ("cells", "seeds", "share"),
    [(1, 3, 0.0), (12, 3, 0.0), (60, 3, 0.0), (12, 3, 0.3), (12, 10, 0.3), (60, 10, 0.0)],
)
@pytest.mark.parametrize("statistic", [statistics.mean, statistics.interquartile_mean])
def test_intervals_over_seeds_cover_what_they_say(
    cells: int, seeds: int, share: float, statistic: Any
) -> None:
    generator = np.random.default_rng(cells + seeds)
    labels = np.tile(np.arange(seeds), (cells, 1)).ravel()
    samples = [simulated(cells, seeds, share, generator).ravel() for _ in range(400)]
    ends = np.array([statistics.over_seeds(sample, labels, statistic) for sample in samples])
    covered = ((ends[:, 1] <= 0) & (ends[:, 2] >= 0)).mean()
    # 0.95 by theory; the simulation itself has a standard error of 0.011
    assert 0.93 - 0.011 <= covered <= 0.985


def test_a_bootstrap_of_cells_that_share_their_seeds_covers_far_less() -> None:
    generator = np.random.default_rng(15)
    strata = np.repeat(np.arange(12), 3)
    samples = [simulated(12, 3, 0.3, generator).ravel() for _ in range(100)]
    ends = np.array([statistics.bootstrap(sample, strata) for sample in samples])
    assert ((ends[:, 1] <= 0) & (ends[:, 2] >= 0)).mean() < 0.7


@pytest.mark.parametrize(("cells", "seeds"), [(1, 5), (12, 3), (12, 10)])
@pytest.mark.parametrize("effect", [0.0, 1.0])
def test_intervals_of_shares_cover_at_least_what_they_say(
    cells: int, seeds: int, effect: float
) -> None:
    generator = np.random.default_rng(3)
    labels = np.tile(np.arange(seeds), (cells, 1)).ravel()
    inside = []
    for _ in range(400):
        level = generator.normal(size=(cells, 1))
        truth = scipy.stats.norm.cdf(level / math.sqrt(1 + effect**2)).mean()
        of_seed = effect * generator.normal(size=(1, seeds))
        events = level + of_seed + generator.normal(size=(cells, seeds)) > 0
        _, low, high = statistics.share(events.ravel(), labels)
        inside.append(low <= truth <= high)
    assert np.mean(inside) >= 0.93


def test_a_share_of_one_trial_a_seed_is_wilsons() -> None:
    events = np.array([True] * 8 + [False] * 2)
    assert statistics.share(events, np.arange(10)) == pytest.approx(statistics.proportion(8, 10))
    # all the same in two cells: more than the seeds alone, fewer than trials, and a width
    _, low, high = statistics.share(np.ones(20), np.tile(np.arange(10), 2))
    assert statistics.proportion(10, 10)[1] < low < statistics.proportion(20, 20)[1]
    assert high == pytest.approx(1.0)


def test_what_is_left_open_where_all_agree() -> None:
    # one trial a seed: Wilson's upper end for none of ten
    assert statistics.left_open(10, 10) == pytest.approx(statistics.proportion(0, 10)[2])
    # ten cells that share ten seeds: less than ten events more would leave, more than a hundred
    assert statistics.proportion(0, 100)[2] < statistics.left_open(100, 10) < 0.15


def test_shares_over_cells_and_seeds_are_wider_than_over_seeds() -> None:
    generator = np.random.default_rng(0)
    cells, seeds = np.repeat(np.arange(20), 5), np.tile(np.arange(5), 20)
    values = generator.normal(size=20)[cells] + 0.1 * generator.normal(size=100)
    _, low, high = statistics.over_cells_and_seeds(values, cells, seeds)
    _, inner_low, inner_high = statistics.over_seeds(values, seeds)
    assert low < inner_low < inner_high < high
    # nearly all of it is the cells': Student's interval of their means
    means = values.reshape(20, 5).mean(axis=1)
    half = scipy.stats.t.ppf(0.975, 19) * means.std(ddof=1) / math.sqrt(20)
    assert (high - low) / 2 == pytest.approx(half, rel=0.02)


def test_the_smallest_detectable_difference_is_found_four_times_of_five() -> None:
    generator = np.random.default_rng(2)
    samples = generator.normal(size=(400, 10))
    wanted = np.mean([statistics.smallest_detectable(s, np.arange(10)) for s in samples])
    moved = samples + wanted
    found = [statistics.over_seeds(sample, np.arange(10))[1] > 0 for sample in moved]
    assert 0.75 <= np.mean(found) <= 0.85
    assert math.isnan(statistics.smallest_detectable(np.ones(4), np.arange(4)))


def test_the_interquartile_mean_is_that_of_rliable() -> None:
    # its published example of a call: scipy's trimmed mean over runs and tasks together
    scores = np.random.default_rng(42).normal(size=(5, 26))
    expected = scipy.stats.trim_mean(scores, proportiontocut=0.25, axis=None)
    assert statistics.interquartile_mean(scores.ravel()) == pytest.approx(expected)


def test_bootstrap_does_not_depend_on_how_much_is_drawn_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    values = np.random.default_rng(1).normal(size=30)
    whole = statistics.bootstrap(values, np.arange(30) % 3)
    monkeypatch.setattr(resampling, "CHUNK", 1000)
    assert statistics.bootstrap(values, np.arange(30) % 3) == whole


def test_the_bootstrap_interval_covers_the_mean_about_as_often_as_it_says() -> None:
    samples = np.random.default_rng(0).normal(size=(200, 40))
    found = [statistics.bootstrap(s, np.zeros(40), statistics.mean) for s in samples]
    covered = [low <= 0.0 <= high for _, low, high in found]
    assert 0.90 <= np.mean(covered) <= 0.98


def test_interval_by_group_in_the_order_of_the_frame() -> None:
    frame = pd.DataFrame(
        {"arm": ["z", "a"] * 3, "seed": [0, 0, 1, 1, 2, 2], "x": [0.0, 5.0, 1.0, 5.0, 2.0, 5.0]}
    )
    found = statistics.interval(frame, "x", ["arm"], statistic=statistics.mean)
    assert found[["arm", "trials"]].to_numpy().tolist() == [["z", 3], ["a", 3]]
    half = T_2 / math.sqrt(3)
    assert found.loc[0, ["estimate", "low", "high"]].tolist() == pytest.approx(
        [1.0, 1.0 - half, 1.0 + half]
    )
    assert found.loc[1, "estimate"] == 5.0
    assert found.loc[1, ["low", "high"]].isna().all(), "nothing varies"


def test_interval_of_events_is_that_of_a_share() -> None:
    frame = pd.DataFrame({"arm": "x", "seed": range(6), "exploded": True})
    found = statistics.interval(frame, "exploded", ["arm"]).iloc[0]
    expected = statistics.proportion(6, 6)
    assert found[["estimate", "low", "high"]].tolist() == pytest.approx(expected)


def test_performance_profile_counts_every_cell_the_same() -> None:
    frame = pd.DataFrame(
        {
            "arm": "x",
            "cell": list("aaaab"),
            "seed": [0, 1, 2, 3, 0],
            "score": [0.2, 0.4, 0.6, 0.8, 0.9],
        },
    )
    found = statistics.performance_profile(frame, "score", ["arm"], [0.5, 0.9])
    # cell a: half of four above 0.5; cell b: always above
    assert found["threshold"].tolist() == [0.5, 0.9]
    assert found["estimate"].tolist() == pytest.approx([0.75, 0.0])
    assert (found["low"] <= found["estimate"]).all()
    assert (found["estimate"] < found["high"]).all()


def test_a_profile_weighs_cells_alike_and_so_moves_the_interval_over_trials() -> None:
    # three of four above, and none of two: 3/8 of the cells, half of the trials
    frame = pd.DataFrame({"arm": "x", "cell": [*"aaaabb"], "seed": [0, 1, 2, 3, 0, 1]})
    frame["score"] = [1.0, 1.0, 0.0, 1.0, 0.0, 0.0]
    (row,) = statistics.performance_profile(frame, "score", ["arm"], [0.5]).to_dict("records")
    _, low, high = seeds.share(frame["score"], frame["seed"])
    assert row["estimate"] == pytest.approx(3 / 8)
    assert row["low"] == pytest.approx(max(low - 1 / 8, 0.0))
    assert row["high"] == pytest.approx(high - 1 / 8)
    assert row["high"] < 1


def test_the_ends_of_a_profile_fall_where_seeds_agree_more_above() -> None:
    # 10 and 8 of 10 above the first threshold, 8 and 8 above the second
    frame = pd.DataFrame({"arm": "x", "cell": "a", "seed": np.repeat([0, 1], 10)})
    frame["score"] = [2.0] * 8 + [1.0] * 2 + [2.0] * 8 + [0.0] * 2
    found = statistics.performance_profile(frame, "score", ["arm"], [0.5, 1.5])
    first, alone = (seeds.share(frame["score"] > level, frame["seed"]) for level in (0.5, 1.5))
    # by itself the lower end would rise
    assert alone[1] > first[1]
    assert found["low"].tolist() == pytest.approx([first[1], first[1]])
    assert found["high"].tolist() == pytest.approx([first[2], alone[2]])


def test_events_that_vary_less_than_chance_count_as_no_more_than_they_are() -> None:
    # 5, 5 and 6 of 10: by their spread they would count as 224
    events = np.concatenate([np.arange(10) < k for k in (5, 5, 6)])
    found = seeds.share(events, np.repeat([0, 1, 2], 10))
    effective = 30 * (seeds.t_quantile(29) / seeds.t_quantile(2)) ** 2
    assert found == pytest.approx(seeds.wilson(16 / 30, effective))


def test_an_interval_of_a_ratio_lies_about_it_by_a_factor() -> None:
    frame = pd.DataFrame({"seed": [0, 1], "loss": [1.0, 4.0]})
    estimate, low, high = seeds.jackknifed(frame, lambda rows: rows["loss"].mean())
    # the logarithms without either are 0 and log 4: a standard error of half of that
    factor = 4 ** (seeds.t_quantile(1) / 2)
    assert (estimate, low, high) == pytest.approx((2.5, 2.5 / factor, 2.5 * factor))


def test_the_smallest_detectable_difference_of_three_seeds_is_students() -> None:
    found = seeds.smallest_detectable(np.array([1.0, 2.0, 3.0]), np.arange(3))
    # t of two degrees of freedom at 0.975 and at 0.8
    assert found == pytest.approx((4.302653 + 1.060660) / math.sqrt(3), rel=1e-6)


@pytest.mark.parametrize("arm", ["x", "y"])
def test_performance_profile_falls_with_the_threshold(arm: str) -> None:
    generator = np.random.default_rng(3)
    frame = pd.DataFrame(
        {
            "arm": ["x", "y"] * 30,
            "cell": np.arange(60) % 6,
            "seed": np.arange(60) // 6,
            "score": generator.random(60),
        }
    )
    found = statistics.performance_profile(frame, "score", ["arm"], np.linspace(-0.01, 1, 20))
    rows = found[found["arm"] == arm]
    assert (rows[["estimate", "low", "high"]].diff().dropna() <= 1e-12).all(axis=None)
    assert rows["estimate"].iloc[[0, -1]].tolist() == pytest.approx([1.0, 0.0])
    assert (rows["low"] <= rows["estimate"] + 1e-12).all()
    assert (rows["estimate"] <= rows["high"] + 1e-12).all()


@pytest.mark.parametrize(
    ("successes", "total", "expected"),
    [
        (0, 10, (0.0, 0.0, 0.2775)),
        (10, 10, (1.0, 0.7225, 1.0)),
        (8, 10, (0.8, 0.4902, 0.9433)),
        (50, 100, (0.5, 0.4038, 0.5962)),
    ],
)
def test_wilson_interval(successes: int, total: int, expected: tuple[float, float, float]) -> None:
    assert statistics.proportion(successes, total) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize(("successes", "total"), [(1, 0), (-1, 3), (4, 3)])
def test_a_proportion_quotes_what_it_got(successes: int, total: int) -> None:
    with pytest.raises(ValueError, match=rf"successes={successes}, total={total}"):
        statistics.proportion(successes, total)


def test_outcomes_count_exploded_trials_at_chance_and_capped_loss() -> None:
    frame = runs(
        [
            {"test_accuracy": 0.9, "validation_accuracy": 0.8, "validation_loss": 0.3},
            {
                "status": "nonfinite",
                "test_accuracy": NAN,
                "validation_accuracy": INF,
                "validation_loss": INF,
                "initial_loss": 2.3,
            },
            {"status": "recovered", "validation_loss": 50.0, "initial_loss": 2.3},
            {"status": "nonfinite", "validation_loss": NAN, "initial_loss": NAN},
            {"status": "skipped"},
            {"status": "failed"},
        ]
    )
    found = statistics.outcomes(frame)
    assert found["accuracy"].tolist() == [0.9, 0.1, 0.5, 0.5]
    assert found["validation"].tolist() == [0.8, 0.1, 0.5, 0.5]
    assert found["objective"].tolist() == [0.3, 2.3, 2.3, 10.0]
    assert found["exploded"].tolist() == [0, 1, 1, 1]
    assert found["overshoot"].tolist() == [0, 0, 1, 0]
    assert found["diverged"].tolist() == [0, 1, 0, 1]
    assert found["learned"].tolist() == [1, 0, 1, 0]
    assert found["could_act"].tolist() == [True] * 4


@pytest.mark.parametrize(
    ("factor", "column"), [("clipping", "could_act"), ("batch_policy", "policy_could_act")]
)
def test_what_could_not_act_is_compared_with_nothing(factor: str, column: str) -> None:
    levels = {"clipping": ("none", "adagc"), "batch_policy": ("fixed", "doubling")}[factor]
    frame = pd.DataFrame(
        {
            factor: [*levels, *levels],
            "dataset": "digits",
            "seed": [0, 0, 1, 1],
            "accuracy": [0.5, 0.6, 0.5, 0.9],
            column: [True, True, True, False],
        }
    )
    pairs = statistics.paired(frame, factor, levels[1], levels[0], "accuracy")
    assert pairs["seed"].tolist() == [0]
    assert statistics.able(frame, "model").equals(frame)


def test_clipped_steps_of_a_rule_that_could_not_act_are_not_counted() -> None:
    frame = pd.DataFrame(
        {"clipping": "adagc", "clipped_fraction": [0.2, 1.0], "could_act": [True, False]}
    )
    (row,) = statistics.clipping_facts(frame).to_dict("records")
    assert (row["trials"], row["clipped"], row["aggressive"]) == (1, 0.2, 0.0)


def test_status_shares_of_finished_trials() -> None:
    statuses = ["stable", "dead", "stable", "skipped", "nonfinite", "failed"]
    frame = pd.DataFrame({"model": ["b", "b", "b", "b", "a", "a"], "status": statuses})
    found = statistics.status_shares(frame, ["model"])
    assert found["model"].tolist() == ["b"] * 7 + ["a"] * 7
    assert found["status"].tolist()[:7] == [
        *("stable", "recovered", "damaged", "collapsed", "dead", "stalled", "nonfinite")
    ]
    assert found["count"].tolist() == [2, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1]
    assert found["share"].tolist()[:5] == pytest.approx([2 / 3, 0, 0, 0, 1 / 3])
    assert found["share"].tolist()[-1] == 1.0


def test_a_missing_level_is_a_group_of_its_own() -> None:
    frame = pd.DataFrame({"depth": [NAN, 3.0, NAN], "status": ["dead", "stable", "stable"]})
    found = statistics.status_shares(frame, ["depth"])
    assert found.groupby("depth", dropna=False, sort=False)["count"].sum().tolist() == [2, 1]


def test_explosion_onset() -> None:
    frame = runs(
        [
            {"model": "mlp", "status": "dead", "first_bad_step": 7.0},
            {"model": "mlp", "status": "nonfinite", "first_bad_step": 2.0},
            {"model": "mlp", "status": "recovered", "first_bad_step": 3.0},
            {"model": "mlp"},
            # it fell to chance without a spike
            {"model": "cnn", "status": "collapsed", "first_bad_step": 9.0},
            {"model": "cnn", "status": "skipped"},
        ]
    )
    found = statistics.explosion_onset(frame, ["model"])
    assert found.iloc[0].tolist() == ["mlp", 4, 3, 2.0, 3.0, 7.0]
    assert found.iloc[1][["model", "finished", "exploded"]].tolist() == ["cnn", 1, 0]
    assert found.iloc[1][["first", "median", "last"]].isna().all()


def test_completeness_adds_up() -> None:
    plan = pd.DataFrame({"study": "grid", "arm": list("aaaab"), "trial": list("12345")})
    trials = pd.DataFrame(
        {"trial": ["1", "2", "3", "9"], "status": ["dead", "skipped", "failed", "stable"]}
    )
    found = statistics.completeness(plan, trials, ["arm"]).to_dict("list")
    assert found == {
        "arm": ["a", "b"],
        "expected": [4, 1],
        "present": [3, 0],
        "missing": [1, 1],
        "finished": [1, 0],
        "skipped": [1, 0],
        "failed": [1, 0],
    }


def test_best_so_far_is_in_trial_order() -> None:
    trials = runs(
        [
            {"arm": "tpe", "seed": 1, "validation_loss": 0.9},
            {"arm": "tpe", "seed": 2, "status": "skipped"},
            {"arm": "tpe", "seed": 3, "validation_loss": 0.4},
            {"arm": "tpe", "seed": 4, "validation_loss": INF},
        ]
    )
    plan = trials[["model", "arm", "trial"]]
    found = statistics.best_so_far(plan, trials.iloc[::-1])
    assert found["number"].tolist() == [1, 2, 3, 4]
    assert found["best"].tolist() == [0.9, 0.9, 0.4, 0.4]
    assert found["objective"].fillna(-1).tolist() == [0.9, -1, 0.4, 2.0]


RATES = runs(
    [
        {"model": model, "learning_rate": rate, "validation_accuracy": v, **more}
        for model, rate, v, more in [
            ("mlp", 0.01, 0.90, {"validation_loss": 1.0, "test_accuracy": 0.1}),
            ("mlp", 0.1, 0.97, {"validation_loss": 0.5, "test_accuracy": 0.2}),
            ("mlp", 1.0, 0.98, {"validation_loss": 0.4, "test_accuracy": 0.3}),
            ("mlp", 10.0, 0.10, {"validation_loss": 9.0, "status": "dead"}),
            ("cnn", 0.01, 0.50, {"status": "recovered", "test_accuracy": 0.4}),
            ("cnn", 0.1, 0.20, {"test_accuracy": 0.9}),
            ("cnn", 1.0, 0.50, {"status": "recovered"}),
            ("cnn", 10.0, 0.49, {"status": "recovered"}),
        ]
    ]
)


def test_best_per_arm_chooses_on_validation_and_keeps_the_rows() -> None:
    found = statistics.best_per_arm(statistics.outcomes(RATES), ["model"])
    # equal validation accuracy and loss: the smaller rate; a better test accuracy is not looked at
    assert found[["model", "learning_rate"]].to_numpy().tolist() == [["mlp", 1.0], ["cnn", 0.01]]
    assert found["accuracy"].tolist() == [0.3, 0.4]


def test_best_per_arm_takes_the_mean_over_seeds() -> None:
    frame = runs(
        [
            {"learning_rate": rate, "seed": seed, "validation_accuracy": accuracy}
            for rate, seed, accuracy in [(0.1, 0, 0.6), (0.1, 1, 0.6), (1.0, 0, 0.9), (1.0, 1, 0.2)]
        ]
    )
    found = statistics.best_per_arm(statistics.outcomes(frame), ["model"])
    assert found["learning_rate"].tolist() == [0.1, 0.1]


def scored(rows: dict[str, list[float]]) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"arm": arm, "learning_rate": rate, "validation": v, "objective": 1 - v, "seed": seed}
            for arm, values in rows.items()
            for rate, mean in zip([0.1, 0.3, 1.0], values, strict=True)
            for seed, v in enumerate((mean - 0.05, mean + 0.05))
        ]
    )


def test_rate_scores_are_means_over_seeds() -> None:
    found = statistics.rate_scores(scored({"b": [0.7, 0.8, 0.6], "a": [0.9, 0.8, 0.7]}), ["arm"])
    assert found["arm"].tolist() == ["b"] * 3 + ["a"] * 3
    assert found["learning_rate"].tolist() == [0.1, 0.3, 1.0] * 2
    assert found["validation"].tolist() == pytest.approx([0.7, 0.8, 0.6, 0.9, 0.8, 0.7])
    assert found["objective"].tolist() == pytest.approx([0.3, 0.2, 0.4, 0.1, 0.2, 0.3])


def test_equal_means_are_equal_whatever_the_order_of_the_trials() -> None:
    # 0.1 + 0.2 + 0.3 and 0.3 + 0.2 + 0.1 differ in their last bit
    frame = pd.DataFrame({"arm": "a", "learning_rate": [1.0] * 3 + [2.0] * 3, "objective": 1.0})
    frame["validation"] = [0.1, 0.2, 0.3, 0.3, 0.2, 0.1]
    assert statistics.chosen_rates(frame, ["arm"])["best_rate"].tolist() == [1.0]
    assert statistics.best_per_arm(frame, ["arm"])["learning_rate"].unique().tolist() == [1.0]
    (row,) = statistics.stable_range(frame, ["arm"]).to_dict("records")
    assert (row["best_rate"], row["high_rate"]) == (1.0, 2.0)


def test_an_accuracy_just_a_point_below_the_best_is_near_it() -> None:
    # 0.13 - 0.01 is a little more than 0.12
    assert plateau(np.array([0.12, 0.13])) == (0, 1)


def test_chosen_rates_say_whether_they_lie_on_an_edge() -> None:
    frame = scored({"b": [0.7, 0.8, 0.6], "a": [0.9, 0.8, 0.7], "c": [0.1, 0.2, 0.95]})
    found = statistics.chosen_rates(frame, ["arm"])
    assert found.to_dict("split")["data"] == [
        ["b", 0.3, 0.1, 1.0, ""],
        ["a", 0.1, 0.1, 1.0, "low"],
        ["c", 1.0, 0.1, 1.0, "high"],
    ]


def test_the_chosen_rate_is_that_of_best_per_arm() -> None:
    frame = scored({"a": [0.7, 0.8, 0.8], "b": [0.3, 0.3, 0.3]})
    best = statistics.best_per_arm(frame, ["arm"]).drop_duplicates("arm")
    chosen = statistics.chosen_rates(frame, ["arm"])
    assert chosen["best_rate"].tolist() == best["learning_rate"].tolist() == [0.3, 0.1]


def test_stable_range_is_the_run_about_the_best_rate() -> None:
    found = statistics.stable_range(statistics.outcomes(RATES), ["model"]).to_dict("list")
    assert found["model"] == ["mlp", "cnn"]
    assert found["best_rate"] == [1.0, 0.01]
    assert found["low_rate"] == [0.1, 0.01]
    # the rates at which the CNN is as good again are no neighbours
    assert found["high_rate"] == [1.0, 0.01]
    assert found["decades"] == pytest.approx([1.0, 0.0])


def test_stable_range_within_a_wider_margin() -> None:
    found = statistics.stable_range(statistics.outcomes(RATES), ["model"], within=0.1)
    assert found["decades"].tolist() == pytest.approx([2.0, 0.0])


def test_largest_stable_rate_needs_every_trial() -> None:
    more = runs([{"model": "mlp", "learning_rate": 1.0, "seed": 1, "status": "recovered"}])
    frame = statistics.outcomes(pd.concat([RATES, more]))
    found = statistics.largest_stable_rate(frame, ["model"])
    assert found["largest_rate"].tolist() == [0.1, 0.1]
    learned = statistics.largest_stable_rate(frame, ["model"], "learned")
    assert learned["largest_rate"].tolist() == [1.0, 10.0]
    none = statistics.largest_stable_rate(frame.assign(learned=0.0), ["model"], "learned")
    assert none["largest_rate"].isna().all()


def test_learning_rate_sensitivity() -> None:
    found = statistics.learning_rate_sensitivity(statistics.outcomes(RATES), ["model"])
    # MLP: (1.0 + 0.5 + 0.4 + 2.0 capped) / 4 - 0.4
    assert found["sensitivity"].tolist() == pytest.approx([0.575, 0.0])


@pytest.mark.parametrize(
    ("p", "expected"),
    [
        ([0.01, 0.04, 0.03, 0.005], [0.03, 0.06, 0.06, 0.02]),
        ([0.5, 0.6], [1.0, 1.0]),
        ([0.02], [0.02]),
        ([], []),
        # what was not tested does not count
        ([0.01, math.nan, 0.04], [0.02, math.nan, 0.04]),
    ],
)
def test_holm(p: list[float], expected: list[float]) -> None:
    assert statistics.holm(np.array(p)).tolist() == pytest.approx(expected, nan_ok=True)


@pytest.mark.parametrize(
    ("differences", "expected"),
    [
        ([], 1.0),
        ([0.0, 0.0], 1.0),
        # all positive: two of the 2^n patterns of signs are as extreme
        ([1.0, 2.0, 3.0, 4.0, 5.0], 2 / 32),
        # a sum of 4 among ±6, ±4 twice and ±2
        ([1.0, -1.0, 4.0], 6 / 8),
        # three alike: a sum of 1 at the least
        ([1.0, 1.0, -1.0], 1.0),
        # a sum of 6 among ±8, ±6 three times, ±4 three times and ±2
        ([5.0, 1.0, 1.0, -1.0], 8 / 16),
        # a zero has two signs, and neither moves the sum
        ([0.0, 1.0, 2.0, 3.0], 2 / 8),
        # ties in decimals that are none in binary
        ([0.3 - 0.2, 0.2 - 0.1, -(0.4 - 0.3)], 1.0),
        ([0.1, math.nan, 0.2], math.nan),
        ([0.1] * 20 + [math.nan], math.nan),
    ],
)
def test_sign_flip(differences: list[float], expected: float) -> None:
    assert statistics.sign_flip(np.array(differences)) == pytest.approx(expected, nan_ok=True)


@pytest.mark.parametrize("n", [2, 9, 13])
def test_sign_flip_is_scipys_permutation_test(n: int) -> None:
    differences = np.random.default_rng(n).normal(0.3, 1.0, size=n)
    expected = scipy.stats.permutation_test(
        (differences,), np.mean, permutation_type="samples", n_resamples=np.inf
    )
    assert statistics.sign_flip(differences) == pytest.approx(expected.pvalue)


def test_of_many_differences_the_normal_tail_is_close_to_the_count() -> None:
    differences = np.random.default_rng(0).normal(0.3, 1.0, size=20)
    signs = 1 - 2.0 * (np.arange(2**20)[:, None] >> np.arange(20) & 1)
    counted = (np.abs(signs @ differences) >= abs(differences.sum()) - 1e-9).mean()
    assert statistics.sign_flip(differences) == pytest.approx(counted, abs=0.02)


def test_probability_of_improvement_is_within_strata() -> None:
    pairs = pd.DataFrame(
        {
            "stratum": [0, 0, 1, 1],
            "treated": [1.0, 3.0, 10.0, 10.0],
            "control": [2.0, 2.0, 10.0, 20.0],
        }
    )
    # stratum 0: 3 beats both, 1 neither: 1/2; stratum 1: equal to one, below the other: 1/4
    assert statistics.probability_of_improvement(pairs) == pytest.approx((1 / 2 + 1 / 4) / 2)


CLIPPED = runs(
    [
        {"clipping": clipping, "model": model, "seed": seed, "test_accuracy": a, **more}
        for clipping, model, seed, a, more in [
            ("none", "mlp", 0, 0.5, {"seconds": 2.0}),
            ("none", "mlp", 1, 0.7, {"seconds": 8.0}),
            ("none", "cnn", 0, 0.1, {"seconds": 1.0}),
            ("value", "mlp", 0, 0.6, {"clipping_threshold": 0.01, "seconds": 1.0}),
            ("value", "mlp", 1, 0.9, {"clipping_threshold": 0.01, "seconds": 1.0}),
            ("value", "cnn", 0, 0.1, {"clipping_threshold": 0.01, "seconds": 4.0}),
            ("value", "cnn", 5, 0.9, {"clipping_threshold": 0.01, "seconds": 4.0}),
            ("adaptive", "mlp", 7, 0.9, {"clipping_threshold": 0.01, "seconds": 4.0}),
        ]
    ]
)


def test_pairs_agree_in_everything_else() -> None:
    found = statistics.paired(
        statistics.outcomes(CLIPPED), "clipping", "value", "none", "accuracy"
    ).sort_values("treated")
    assert found["treated"].tolist() == [0.1, 0.6, 0.9]
    assert found["control"].tolist() == [0.1, 0.5, 0.7]
    assert found["difference"].tolist() == pytest.approx([0.0, 0.1, 0.2])
    assert found["seed"].tolist() == [0, 0, 1]
    assert found["stratum"].nunique() == 2


def test_rates_pair_only_where_they_are_ignored() -> None:
    frame = runs(
        [
            {"clipping": "none", "learning_rate": 0.1, "test_accuracy": 0.5},
            {"clipping": "value", "learning_rate": 1.0, "test_accuracy": 0.8},
        ]
    )
    frame = statistics.outcomes(frame)
    assert statistics.paired(frame, "clipping", "value", "none", "accuracy").empty
    found = statistics.paired(
        frame, "clipping", "value", "none", "accuracy", ignore=["learning_rate"]
    )
    assert found["difference"].tolist() == pytest.approx([0.3])


def test_models_of_unlike_depth_and_width_are_paired() -> None:
    frame = runs(
        [
            {"model": "mlp", "depth": 1, "width": 256, "test_accuracy": 0.5},
            {"model": "cnn", "depth": 2, "width": 16, "test_accuracy": 0.7},
        ]
    )
    found = statistics.paired(statistics.outcomes(frame), "model", "cnn", "mlp", "accuracy")
    assert found["difference"].tolist() == pytest.approx([0.2])


def test_paired_comparison() -> None:
    found = statistics.paired_comparison(statistics.outcomes(CLIPPED), "clipping", "none")
    assert found["level"].tolist() == ["value"], "adaptive has no pair, none is the baseline"
    row = found.iloc[0]
    assert row["pairs"] == 3
    assert row["effect"] == pytest.approx(0.1)
    assert row["seeds"] == 2
    assert row["low"] < row["effect"] < row["high"]
    # two seeds, whatever the number of pairs, give no p-value below a half
    assert row["p"] == row["p_holm"] == pytest.approx(0.5)
    assert row["agree"]
    # MLP: 0.6 and 0.9 against 0.5 and 0.7: three of four; CNN: equal
    assert row["improvement"] == pytest.approx((3 / 4 + 1 / 2) / 2)


@pytest.mark.parametrize(("seeds", "verdict"), [(10, "worse"), (3, "")])
def test_a_difference_without_any_spread_is_told_by_its_test(seeds: int, verdict: str) -> None:
    rows = [(c, s, a) for c, a in (("none", 0.75), ("value", 0.25)) for s in range(seeds)]
    frame = pd.DataFrame(rows, columns=["clipping", "seed", "accuracy"])
    found = statistics.paired_comparison(frame, "clipping", "none")
    assert found[["low", "high"]].isna().all(axis=None)
    assert pairing.verdicts(found).tolist() == [verdict]
    assert found["agree"].tolist() == [bool(verdict)]


def test_paired_comparison_corrects_for_the_levels_compared() -> None:
    frame = runs(
        [
            {"normalization": level, "seed": seed, "test_accuracy": accuracy + 0.01 * seed}
            for level, accuracy in [("none", 0.1), ("batch", 0.3), ("layer", 0.2)]
            for seed in range(6)
        ]
    )
    found = statistics.paired_comparison(statistics.outcomes(frame), "normalization", "none")
    assert found["p"].tolist() == pytest.approx([2 / 64, 2 / 64])
    assert found["p_holm"].tolist() == pytest.approx([4 / 64, 4 / 64])


def levels(means: Mapping[str, float], spread: float, seeds: int = 8) -> pd.DataFrame:
    """Accuracies of normalizations about their means, with noise of their own."""
    noise = np.random.default_rng(1).normal(size=(len(means), seeds)) * spread
    return runs(
        [
            {"normalization": level, "seed": seed, "test_accuracy": mean + noise[i, seed]}
            for i, (level, mean) in enumerate(means.items())
            for seed in range(seeds)
        ]
    )


@pytest.mark.parametrize(
    ("spread", "expected"),
    [(0.001, ["batch"]), (0.06, ["batch", "layer"]), (1.0, ["batch", "layer", "none"])],
)
def test_levels_tie_with_the_best_unless_they_can_be_told_apart(
    spread: float, expected: list[str]
) -> None:
    frame = statistics.outcomes(levels({"none": 0.1, "batch": 0.62, "layer": 0.6}, spread))
    found = statistics.tied_with_best(frame, "normalization")
    assert sorted(map(str, found)) == expected


def test_rates_are_chosen_on_other_seeds_than_those_that_are_reported() -> None:
    # each seed likes another rate by luck; without it the others choose 0.1
    frame = pd.DataFrame(
        [
            {"arm": "x", "learning_rate": rate, "seed": seed, "validation": v, "objective": 1.0}
            for rate, values in {0.1: (0.8, 0.8, 0.8), 1.0: (0.9, 0.6, 0.6)}.items()
            for seed, v in enumerate(values)
        ]
    )
    found = statistics.cross_fitted(frame, ["arm"])
    assert found.set_index("seed")["learning_rate"].to_dict() == {0: 0.1, 1: 0.1, 2: 0.1}


def test_cross_fitted_rates_are_the_best_of_all_other_seeds() -> None:
    generator = np.random.default_rng(4)
    frame = pd.DataFrame(
        [
            (arm, threshold, rate, seed, generator.integers(5) / 8, generator.random())
            for arm in ("a", "b")
            for threshold in (1.0, np.nan)
            for rate in (0.1, 1.0, 10.0)
            for seed in range(4)
            # neither every level nor every seed is everywhere
            if (arm, rate, seed) not in {("a", 1.0, 2), ("b", 0.1, 0)}
        ],
        columns=["arm", "threshold", "learning_rate", "seed", "validation", "objective"],
    )
    over = ["learning_rate", "threshold"]
    expected = [
        frame[frame["seed"] == seed].merge(
            statistics.best_per_arm(frame[frame["seed"] != seed], ["arm"], over)[
                ["arm", *over]
            ].drop_duplicates()
        )
        for seed in range(4)
    ]
    order = ["arm", "seed"]
    found = statistics.cross_fitted(frame, ["arm"], over).sort_values(order, ignore_index=True)
    assert_frame_equal(found, pd.concat(expected).sort_values(order, ignore_index=True))


@pytest.mark.parametrize(
    "accuracy",
    [[0.1, 0.9, 0.895, 0.1], [0.9, 0.5, 0.9, 0.9], [0.89, 0.9, 0.9, 0.9], [0.1, 0.1, 0.1, 0.9]],
)
def test_usable_decades_are_those_of_the_stable_range(accuracy: list[float]) -> None:
    rates = np.array([0.01, 0.1, 1.0, 10.0])
    rows = pd.DataFrame(
        {"arm": "x", "learning_rate": rates, "validation": accuracy, "objective": 1.0}
    )
    expected = statistics.stable_range(rows, ["arm"]).iloc[0]
    found = statistics.usable_decades(np.array([accuracy]), rates)
    assert found.tolist() == pytest.approx([expected["decades"]])
    assert expected["edge"] == (np.argmax(accuracy) in (0, 3))


@pytest.mark.parametrize(
    ("reference", "decades"),
    # 0.84 is within a point of the one, all of it of the next, and nothing of the last
    [(0.85, 2.0), (0.9, 1.0), (0.5, 3.0), (0.95, 0.0)],
)
def test_rates_may_be_usable_by_the_best_of_something_else(reference, decades) -> None:
    rates, accuracy = np.array([0.01, 0.1, 1.0, 10.0]), np.array([[0.7, 0.84, 0.9, 0.89]])
    found = statistics.usable_decades(accuracy, rates, np.array([reference]))
    assert found.tolist() == pytest.approx([decades])


GROUPED = pd.DataFrame(
    {
        "model": [*"bbbbaa"],
        "depth": [np.nan] * 4 + [2.0] * 2,
        "clipping": ["none", "value"] * 3,
        "seed": [0, 0, 1, 1, 0, 0],
        "accuracy": [0.5, 0.75, 0.5, 0.75, 0.5, 0.25],
        "seconds": [1.0, 2.0, 1.0, 2.0, 4.0, 1.0],
    }
)


def test_each_group_is_compared_by_itself_in_the_order_of_the_rows() -> None:
    by = ["model", "depth"]
    found = statistics.paired_comparison(GROUPED, "clipping", "none", by=by)
    assert found["effect"].tolist() == [0.25, -0.25]
    assert found["pairs"].tolist() == [2, 1]
    expected = pd.DataFrame({"model": ["b", "a"], "depth": [np.nan, 2.0]})
    pd.testing.assert_frame_equal(found[by], expected)
    ratios = statistics.paired_ratio(GROUPED, "clipping", "none", "seconds", by=by)
    assert ratios["ratio"].tolist() == pytest.approx([2.0, 0.25])


def test_a_comparison_of_no_rows_has_its_columns_all_the_same() -> None:
    found = statistics.paired_comparison(GROUPED[:0], "clipping", "none", by=["model"])
    assert ("effect" in found, "model" in found, len(found)) == (True, True, 0)


def test_paired_ratio_is_a_geometric_mean_over_cells() -> None:
    found = statistics.paired_ratio(statistics.outcomes(CLIPPED), "clipping", "none", "seconds")
    # the MLP's pairs give 1/2 and 1/8, in the mean 1/4; the CNN's gives 4
    assert found["level"].tolist() == ["value"]
    assert found["pairs"].tolist() == [3]
    assert found[["ratio", "low", "high"]].to_numpy().tolist() == [pytest.approx([1.0, 1 / 4, 4.0])]


@pytest.mark.parametrize("number", [1, 3, 10])
def test_the_expected_best_is_that_of_so_many_draws(number: int) -> None:
    generator = np.random.default_rng(0)
    values = generator.exponential(size=20)
    drawn = values[generator.integers(20, size=(20_000, number))].min(axis=1)
    found = statistics.expected_best(values, [number])
    assert found.tolist() == [pytest.approx(drawn.mean(), abs=4 * drawn.std() / 20_000**0.5)]


def test_the_winner_is_chosen_by_one_measure_and_worth_what_another_says() -> None:
    losses, accuracies = np.array([0.1, 0.3, 0.2]), np.array([0.6, 0.1, 0.8])
    found = statistics.expected_of_best(losses, accuracies, [1, 2])
    # one of three has the smallest loss; of two draws in nine cases five have it, three the next
    one, two = (0.6 + 0.8 + 0.1) / 3, (5 * 0.6 + 3 * 0.8 + 0.1) / 9
    assert found.tolist() == pytest.approx([one, two])


def layer_rows(trial: str, squares: Sequence[float], step: int = 0) -> list[dict[str, Any]]:
    return [
        {
            "trial": trial,
            "step": step,
            "layer": f"layer{i}",
            "layer_index": i,
            "backprop_norm": math.sqrt(square),
        }
        for i, square in enumerate(squares, start=1)
    ]


def test_depth_growth_is_the_rate_a_layer() -> None:
    # hidden layers 1 to 5 and the classifier; layer 1 and the classifier do not count
    layers = pd.DataFrame(
        layer_rows("a", [999.0, 12.0, 0.0, 0.0, 1.5, 777.0])
        + layer_rows("b", [999.0, 4.0, 0.0, 0.0, 0.5, 777.0])
        + layer_rows("a", [1.0] * 6, step=5)
    )
    trials = pd.DataFrame(
        {"trial": ["a", "b"], "seed": [0, 1], "depth": [5, 5], "init_gain": [1.0, 1.0]}
    )
    found = statistics.depth_growth(layers, trials, ["depth", "init_gain"]).iloc[0]
    # the mean squares are 8 and 1: a factor of 2 in each of the three layers between
    assert found[["draws", "layers"]].tolist() == [2, 5]
    assert found["growth"] == pytest.approx(2.0)
    # 12 / 1.5 = 4 / 0.5: the draws agree
    assert found[["low", "high"]].isna().all()


def test_depth_growth_averages_norms_not_rates() -> None:
    layers = pd.DataFrame(
        layer_rows("a", [0.0, 1.0, 1.0, 0.0]) + layer_rows("b", [0.0, 15.0, 1.0, 0.0])
    )
    trials = pd.DataFrame({"trial": ["a", "b"], "seed": [0, 1], "init_gain": 1.0})
    found = statistics.depth_growth(layers, trials, ["init_gain"]).iloc[0]
    assert found["growth"] == pytest.approx(8.0)
    # either draw alone gives 1 or 15: variance 1/2 (49 + 49), t of one degree of freedom
    assert found["high"] - found["growth"] == pytest.approx(12.7062 * 7, rel=1e-4)


def test_depth_growth_of_shallow_and_broken_networks() -> None:
    layers = pd.DataFrame(
        layer_rows("shallow", [1.0, 1.0, 1.0]) + layer_rows("broken", [1.0, INF, 1.0, 1.0])
    )
    trials = pd.DataFrame({"trial": ["shallow", "broken"], "seed": [0, 0], "init_gain": [1.0, 9.0]})
    found = statistics.depth_growth(layers, trials, ["init_gain"])
    assert found["init_gain"].tolist() == [9.0]
    assert found["growth"].isna().all()


@pytest.mark.parametrize(
    ("normalization", "gain", "expected"),
    [("none", 1.0, 1.0), ("none", 2.0, 4.0), ("batch", 0.5, 1.4669), ("batch", 2.0, 1.4669)],
)
def test_theoretical_growth(normalization: str, gain: float, expected: float) -> None:
    assert statistics.theoretical_growth(normalization, gain) == pytest.approx(expected, abs=1e-4)


def test_theoretical_growth_of_a_recurrence() -> None:
    # without inputs states stay at zero, where tanh has the slope 1
    still = statistics.theoretical_recurrent_growth(1.5, [0.0] * 4)
    assert still.tolist() == pytest.approx([2.25] * 3)
    # small inputs: tanh'(a)^2 is 1 - 2 a^2 to first order, and states add up
    small = statistics.theoretical_recurrent_growth(1.0, [1e-6] * 4)
    assert (1 - small).tolist() == pytest.approx([2e-6, 4e-6, 6e-6], rel=1e-4)
    # large ones: E tanh'(a)^2 is the integral of tanh'^2, 4 / 3, times the density at 0
    large = statistics.theoretical_recurrent_growth(1.0, [100.0, 0.0])
    assert large.item() == pytest.approx(4 / 3 / math.sqrt(2 * math.pi * 100), rel=0.01)


@pytest.mark.parametrize(("gain", "expected"), [(0.0, 1.0), (1.0, 2.0), (2.0, 17.0)])
def test_theoretical_growth_of_residual_blocks(gain: float, expected: float) -> None:
    assert statistics.theoretical_residual_growth(gain) == expected


def test_no_theory_is_no_number() -> None:
    assert math.isnan(statistics.theoretical_growth("layer", 1.0))


def test_clipping_facts() -> None:
    frame = pd.DataFrame(
        {
            "clipping": ["value"] * 4 + ["adaptive"],
            "clipped_fraction": [0.2, 0.5, 0.6, 1.0, NAN],
        }
    )
    found = statistics.clipping_facts(frame)
    # exactly half is not more than half
    assert found.to_numpy().tolist() == [["value", 4, 0.55, 0.5]]


def test_percentile_rule() -> None:
    frame = runs(
        [
            *(
                {"clipping": "none", "seed": seed, "gradient_norm_p90": norm}
                for seed, norm in [(0, 2.0), (1, 4.0), (2, INF)]
            ),
            *(
                {
                    "clipping": "global_norm",
                    "clipping_threshold": threshold,
                    "seed": seed,
                    "validation_accuracy": validation,
                    "test_accuracy": accuracy,
                    "gradient_norm_p90": 1.0,
                }
                for threshold, validation, accuracies in [
                    (0.1, 0.9, (0.8, 0.9)),
                    (1.0, 0.7, (0.9, 0.9)),
                    (5.0, 0.8, (0.6, 0.5)),
                ]
                for seed, accuracy in enumerate(accuracies)
            ),
            {"clipping": "global_norm", "clipping_threshold": 1.0, "learning_rate": 9.0},
        ]
    )
    found = statistics.percentile_rule(statistics.outcomes(frame))
    assert found[["model", "learning_rate"]].to_numpy().tolist() == [["mlp", 0.1]]
    row = found.iloc[0]
    # the median of 2 and 4; 5 is nearer to 3 than 1 in ratio; validation chooses 0.1
    assert row[["percentile", "threshold", "best_threshold"]].tolist() == [3.0, 5.0, 0.1]
    assert row[["at_rule", "at_best"]].tolist() == pytest.approx([0.55, 0.85])
    # 0.2 and 0.4: a standard error of 0.1, t of one degree of freedom
    half = 1.27062
    assert row[["regret", "low", "high"]].tolist() == pytest.approx(
        [0.3, 0.3 - half, 0.3 + half], rel=1e-4
    )


def test_rate_spans_say_where_the_best_rate_lies_on_an_edge() -> None:
    frame = pd.DataFrame(
        [
            {"arm": "x", "learning_rate": rate, "seed": seed, "validation": v, "objective": 1 - v}
            for rate, v in {0.1: 0.5, 1.0: 0.8, 10.0: 0.9}.items()
            for seed in range(3)
        ]
    )
    (row,) = statistics.rate_spans(frame, ["arm"]).to_dict("records")
    assert (row["best_rate"], row["edge"], row["spacing"]) == (10.0, True, 1.0)


def test_what_varies_leaves_out_the_seed_and_the_arm() -> None:
    same = dict.fromkeys(CONFIGURATION, "a")
    rows = pd.DataFrame([same, same | {"seed": 1, "arm": "x3", "clipping": "value", "depth": 2}])
    assert statistics.varying(rows) == [c for c in CONFIGURATION if c in ("clipping", "depth")]


def test_every_public_statistic_is_tested() -> None:
    here = Path(__file__).parent
    tests = "".join(path.read_text(encoding="utf-8") for path in here.glob("test_*.py"))
    sources = (here.parent / "benchmark" / "statistics").glob("*.py")
    lines = [line for path in sources for line in path.read_text(encoding="utf-8").splitlines()]
    text = tests + "".join(line for line in lines if line.strip().startswith((">>>", "...")))
    constants = {"CONFIDENCE", "RESAMPLES", "STRICTEST"}
    names = set(statistics.__all__) - constants
    assert [name for name in sorted(names) if f"{name}(" not in text] == []


def test_paired_takes_every_combination_of_equal_configurations_and_missing_values_as_equal() -> (
    None
):
    rows = pd.DataFrame(
        [
            ("value", NAN, 1, 0.9),
            ("none", NAN, 0, 0.5),
            ("value", NAN, 0, 0.8),
            ("none", NAN, 1, 0.6),
            ("none", NAN, 0, 0.4),
            ("value", 500, 0, 0.7),
        ],
        columns=["clipping", "updates", "seed", "found"],
    )
    pairs = statistics.paired(rows, "clipping", "value", "none", "found")
    # two runs without clipping on seed 0, and none at a budget in updates
    assert pairs[["treated", "control", "seed"]].values.tolist() == [
        [0.9, 0.6, 1],
        [0.8, 0.5, 0],
        [0.8, 0.4, 0],
    ]
    assert pairs["stratum"].tolist() == [0, 0, 0]


def test_combinations_beyond_64_bits_stay_apart() -> None:
    columns = [pd.Series(np.arange(1000) // (i + 1)) for i in range(12)]
    assert len(np.unique(pairing._numbered(columns, 1000))) == 1000


@pytest.mark.parametrize("large", [1.0, 1e19, INF])
def test_a_mean_without_each_group_is_the_mean_of_the_rest(large: float) -> None:
    values = np.array([0.1, 0.2, large, 0.4, 0.5, 0.6, 0.7])
    places = np.array([0, 1, 2, 0, 1, 3, 3])
    expected = [values[places != place].mean() for place in range(4)]
    assert seeds._means_without(values, places, 4) == pytest.approx(expected, rel=1e-14)


SPIKE_TRIALS = pd.DataFrame(
    {
        "trial": ["healed", "lost", "infinite", "disturbed"],
        "model": "mlp",
        "status": ["recovered", "dead", "nonfinite", "recovered"],
        "initial_loss": [2.0, 4.0, NAN, 2.0],
        "disturbance": ["none", "none", "none", "bad_batch"],
        "learned": [1.0, 0.0, 0.0, 1.0],
        "exploded": [1.0, 1.0, 1.0, 0.0],
    }
)
PEAKS = pd.DataFrame(
    {
        "trial": ["healed", "healed", "lost", "infinite", "disturbed"],
        "train_loss_max": [12.0, 3.0, 30.0, NAN, 500.0],
    }
)


@pytest.mark.parametrize(
    ("level", "exploded", "diverged"),
    [
        ((10.0, 4.0), [1, 1, 1, 0], [0, 1, 1, 0]),
        # 12 is above neither 20 nor, at another factor, 7 times 2
        ((20.0, 4.0), [0, 1, 1, 0], [0, 1, 1, 0]),
        ((5.0, 7.0), [0, 1, 1, 0], [0, 1, 1, 0]),
        # 30 is below 8 times 4; what is not finite explodes at any level
        ((20.0, 8.0), [0, 0, 1, 0], [0, 0, 1, 0]),
    ],
)
def test_explosions_at_another_level_of_a_spike(
    level: tuple[float, float], exploded: list[int], diverged: list[int]
) -> None:
    found = statistics.at_spike_level(SPIKE_TRIALS, PEAKS, level)
    assert found["exploded"].tolist() == exploded
    assert found["diverged"].tolist() == diverged
    assert (found["overshoot"] + found["diverged"]).tolist() == exploded


def test_how_shares_hang_on_the_level_of_a_spike() -> None:
    levels = [(10.0, 4.0), (20.0, 8.0)]
    found = statistics.spike_level_sensitivity(SPIKE_TRIALS, PEAKS, ["model"], levels)
    assert found[["least", "factor"]].to_numpy().tolist() == [[10.0, 4.0], [20.0, 8.0]]
    assert found["trials"].tolist() == [4, 4]
    assert found["exploded"].tolist() == [0.75, 0.25]
    assert found["diverged"].tolist() == [0.5, 0.25]


def test_levels_that_trained_alike_are_copies_whatever_their_order() -> None:
    losses = {"none": [1.0, 2.0, NAN], "idle": [1.0, 2.0, NAN], "own": [1.0, 3.0, 5.0]}
    losses |= {"twin": [9.0, 3.0, 5.0]}
    rows = [
        {"clipping": name, "seed": seed, "train_loss": loss}
        for name, own in losses.items()
        for seed, loss in enumerate(own)
    ]
    found = statistics.copies(pd.DataFrame(rows), "clipping", "none")
    assert found == {"idle": "none", "twin": "own"}


def test_a_clipping_that_acted_on_few_of_its_trials_is_idle() -> None:
    fractions = {"none": [0.0, 0.0, 0.0], "rare": [0.0, 0.0, 0.5], "value": [0.0, 0.1, 0.9]}
    rows = [
        {"clipping": name, "clipped_fraction": f} for name, own in fractions.items() for f in own
    ]
    assert statistics.idle(pd.DataFrame(rows)) == ["none", "rare"]


def test_twins_are_counted_within_a_device_and_between_two():
    """Seed 0 ends alike everywhere, seed 1 is 6 points lower on the GPU and does not learn."""
    rows = pd.DataFrame(
        [
            (0, "a", "cpu", 0.80, 1.0, "stable"),
            (1, "a", "cpu", 0.50, 1.0, "recovered"),
            (0, "b", "cpu", 0.80, 1.0, "stable"),
            (0, "b", "gpu", 0.805, 1.0, "stable"),
            (1, "b", "gpu", 0.44, 0.0, "dead"),
            (2, "b", "gpu", 0.90, 1.0, "stable"),
        ],
        columns=["seed", "study", "device", "accuracy", "learned", "status"],
    ).assign(momentum=float("nan"))
    found = statistics.twins(rows, ["seed", "momentum"])
    counts = ["device", "other", "pairs", "equal", "slight", "large", "flipped", "calm"]
    assert found[counts].values.tolist() == [
        ["cpu", "cpu", 1, 1, 0, 0, 0, 1],
        ["cpu", "gpu", 2, 0, 1, 1, 1, 1],
    ]
