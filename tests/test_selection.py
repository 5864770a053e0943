"""Choosing trials by level, and what intervals of ranges of rates tell apart."""

import numpy as np
import pandas as pd
import pytest

from benchmark.statistics.selection import differing_in, where
from benchmark.statistics.spans import (
    about_best,
    common_ranges,
    gaps_from_baseline,
    told_apart,
    within_window,
)

FRAME = pd.DataFrame(
    [("none", "constant"), ("value", "constant"), ("value", "step"), ("none", "step")],
    columns=["clipping", "schedule"],
)
BASELINES = {"clipping": "none", "schedule": "constant"}


@pytest.mark.parametrize(("factor", "rows"), [("clipping", [0, 1]), ("schedule", [0, 3])])
def test_one_factor_varies_and_the_others_do_not(factor: str, rows: list[int]) -> None:
    assert differing_in(FRAME, factor, BASELINES).index.tolist() == rows


def test_a_list_of_levels_keeps_the_order_of_the_rows() -> None:
    assert where(FRAME, schedule=["step", "constant"], clipping="none").index.tolist() == [0, 3]


def spans(**sensitivities: float) -> pd.DataFrame:
    """Ranges that are wider the less sensitive; intervals of 0.2 to either side."""
    rows = pd.DataFrame({"level": sensitivities.keys(), "sensitivity": sensitivities.values()})
    rows["decades"] = 3 - rows["sensitivity"]
    ends = {
        f"{column}_{end}": rows[column] + move
        for column in ("sensitivity", "decades")
        for end, move in (("low", -0.2), ("high", 0.2))
    }
    base = rows.iloc[0]
    gaps = {
        f"{column}_gap_{end}": rows[column] - base[column] + move
        for column in ("sensitivity", "decades")
        for end, move in (("low", -0.4), ("high", 0.4))
    }
    return rows.assign(**ends, **gaps, spacing=0.5)


def test_sure_differences_come_with_what_shares_the_lead() -> None:
    found = told_apart(spans(none=2.0, a=1.7, b=1.0, c=0.5, d=0.3), "level", "none")
    assert found is not None
    assert found["calmer"]["level"].tolist() == ["d", "c", "b"]
    assert found["least"]["level"].tolist() == ["d", "c"]
    # 0.6 decades or more, one step being 0.5
    assert found["wider"]["level"].tolist() == ["d", "c", "b"]
    assert found["steeper"].empty
    assert (found["calmest"]["level"], found["widest"]["level"]) == ("d", "d")
    assert (found["base"]["level"], found["others"]) == ("none", 4)


def test_the_furthest_is_named_even_where_nothing_is_sure() -> None:
    found = told_apart(spans(none=2.0, a=1.9, b=2.1), "level", "none")
    assert found is not None
    assert found["calmer"].empty
    assert found["least"].empty
    assert found["steeper"].empty
    assert (found["calmest"]["level"], found["widest"]["level"]) == ("a", "a")


def test_the_more_sensitive_are_told_the_most_sensitive_first() -> None:
    found = told_apart(spans(none=1.0, a=1.5, b=2.0, c=1.2), "level", "none")
    assert found is not None
    assert found["steeper"]["level"].tolist() == ["b", "a"]


def test_a_range_is_wider_only_beyond_a_step_of_the_rates() -> None:
    found = told_apart(spans(none=2.0, a=1.2, b=1.0), "level", "none")
    assert found is not None
    assert found["wider"]["level"].tolist() == ["b"]


def test_gaps_pair_seeds_that_are_good_or_bad_for_both() -> None:
    """At the baseline one rate of five is good, at the level three, whatever the seed."""
    rates = 10.0 ** np.arange(5)
    rows = pd.DataFrame(
        [
            {"clipping": level, "seed": seed, "learning_rate": rate}
            | {"validation": 0.8 + shift - (0.1 if far > reach else 0.001 * far)}
            | {"objective": 1.0 + shift + (0.5 if level == "value" and place == 0 else 0.0)}
            for level, reach in (("none", 0), ("value", 1))
            for seed, shift in enumerate((0.0, 0.05, -0.05, 0.02))
            for far, place, rate in zip((2, 1, 0, 1, 2), range(5), rates, strict=True)
        ]
    )
    window = about_best(rows[rows["clipping"] == "none"], 1.0)
    (found,) = gaps_from_baseline(rows, "clipping", "none", {"near": window}).to_dict("records")
    assert found["clipping"] == "value"
    ends = [found[f"decades_gap{end}"] for end in ("", "_low", "_high")]
    assert ends == pytest.approx([2.0, 2.0, 2.0])
    # as its best is no higher, by that of the baseline it is as wide
    assert found["common_gap"] == pytest.approx(2.0)
    # of five rates one is half a nat worse; within a decade of the best, none
    assert found["sensitivity_gap"] == pytest.approx(0.1)
    assert found["near_gap"] == pytest.approx(0.0)


def rising_later(level: str, rate: float) -> dict[str, float]:
    """The level gains up to two points beyond the baseline's best rate; both die at 10."""
    dead = rate > 5
    gain = 0.005 * np.log10(rate / 0.1) if level == "value" else -0.02 * (rate > 0.5)
    return {"validation": 0.1 if dead else 0.8 + gain, "objective": 2.3 if dead else 0.5}


def test_a_flat_curve_with_a_high_best_rate_is_not_more_sensitive() -> None:
    """About its own best rate, 1, a window would reach 10, where neither trains."""
    rows = pd.DataFrame(
        [
            {"clipping": level, "seed": seed, "learning_rate": rate}
            | {"validation": found["validation"] + noise, "objective": found["objective"] + noise}
            for level in ("none", "value")
            for seed, noise in enumerate((0.0, 0.001, -0.001))
            for rate in (0.01, 0.1, 1.0, 10.0)
            for found in (rising_later(level, rate),)
        ]
    )
    ends = {level: about_best(part, 1.0) for level, part in rows.groupby("clipping")}
    assert ends == {"none": pytest.approx((0.001, 0.1)), "value": pytest.approx((0.1, 10.0))}
    window = (0.01, 1.0)
    found = gaps_from_baseline(rows, "clipping", "none", {"near": window})
    assert found["near_gap"].tolist() == pytest.approx([0.0])
    assert not (found["near_gap_low"] > 1e-9).any()
    # over its own window the same curve would be
    own = [within_window(part, ends[level]) for level, part in rows.groupby("clipping")]
    means = [part.groupby("learning_rate")["objective"].mean() for part in own]
    assert [mean.mean() - mean.min() for mean in means] == pytest.approx([0.0, 0.6])


def test_a_level_that_raises_the_best_is_as_wide_as_the_rates_as_good_as_the_baseline() -> None:
    """Two points better at one rate: within a point of its own best only that one is good."""
    scores = {
        "constant": {0.01: 0.7, 0.1: 0.8, 1.0: 0.795, 10.0: 0.1},
        "cosine": {0.01: 0.795, 0.1: 0.82, 1.0: 0.8, 10.0: 0.1},
        "step": {0.01: 0.7, 0.1: 0.75, 1.0: 0.1, 10.0: 0.1},
    }
    rows = pd.DataFrame(
        [
            {"schedule": level, "seed": seed, "learning_rate": rate, "validation": score}
            for level, each in scores.items()
            for rate, score in each.items()
            for seed in range(3)
        ]
    ).assign(objective=1.0)
    found = common_ranges(rows, "schedule", "constant").set_index("schedule")
    assert found["common"].to_dict() == {"constant": 1.0, "cosine": 2.0, "step": 0.0}
    assert found.loc["cosine", ["common_least", "common_most"]].tolist() == [0.01, 1.0]
    assert found.loc["cosine", ["common_low", "common_high"]].tolist() == [1.0, 3.0]
    assert np.isnan(found.loc["step", "common_least"])
    gaps = gaps_from_baseline(rows, "schedule", "constant", {}).set_index("schedule")
    assert gaps["decades_gap"].to_dict() == {"cosine": -1.0, "step": -1.0}
    assert gaps["common_gap"].to_dict() == {"cosine": 1.0, "step": -1.0}


def test_without_a_shared_seed_there_is_no_gap() -> None:
    rows = pd.DataFrame({"clipping": ["none", "value"], "seed": [0, 1], "learning_rate": 0.1})
    rows = rows.assign(validation=0.5, objective=1.0)
    found = gaps_from_baseline(rows, "clipping", "none", {"near": (0.1, 1.0)})
    assert found.empty
    assert {"decades_gap_low", "near_gap_high"} <= set(found)


@pytest.mark.parametrize("levels", [{"none": 1.0}, {"a": 1.0, "b": 2.0}])
def test_without_two_sides_there_is_nothing_to_compare(levels: dict[str, float]) -> None:
    assert told_apart(spans(**levels), "level", "none") is None
