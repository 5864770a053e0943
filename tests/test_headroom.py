"""How far up the learning rate may go with each remedy, on trials whose limits are plain."""

import math
from pathlib import Path

import pandas as pd
import pytest
from matplotlib.figure import Figure
from pages import page, words
from test_explosion_page import grid, lost, trials_of

from benchmark.statistics import breaking_rate, upper_limits
from report import evidence, headroom

RATES = (0.1, 0.3, 1.0, 3.0, 10.0)
GOOD = {("none", "none"): 0.1, ("none", "global_norm"): 0.3, ("batch", "none"): 1.0}
"""Up to which rate each is good; with both remedies 1, too."""
SAFE = {("none", "none"): 0.3, ("none", "global_norm"): 1.0, ("batch", "none"): 1.0}
"""Beyond it all networks are lost; with both remedies none is."""


def outcome(made):
    key, rate = (made["normalization"], made["clipping"]), made["learning_rate"]
    if rate > SAFE.get(key, math.inf):
        return lost()
    accuracy = (0.9 if rate <= GOOD.get(key, 1.0) else 0.7) + 0.001 * made["seed"]
    return {"validation_accuracy": accuracy, "test_accuracy": accuracy}


LEVELS = {"normalization": ("none", "batch"), "clipping": ("none", "global_norm")}
STUDY = trials_of(
    "headroom", grid(model=["mlp"], learning_rate=RATES, seed=range(3), **LEVELS), outcome
)


def test_limits_are_read_off_rates_that_all_share() -> None:
    rows = headroom.rate_limits(STUDY).set_index("remedy")
    assert rows["good"].to_dict() == {
        "neither": 0.1,
        "global-norm clipping": 0.3,
        "batch normalization": 1.0,
        "batch normalization, global-norm clipping": 1.0,
    }
    assert rows["good_times"].tolist() == pytest.approx([1, 3, 10, 10])
    assert rows["lost"].tolist() == pytest.approx([1.0, 3.0, 3.0, math.inf])
    assert rows["role"].tolist() == ["", "clipped", "normalized", "both"]
    assert not rows["good_edge"].any()


def test_two_limits_of_the_norm_are_two_remedies_and_the_farther_counts() -> None:
    common = {"model": ["mlp"], "learning_rate": RATES, "seed": range(3)}
    common |= {"normalization": ("none", "batch")}
    limited = {"clipping": ["global_norm"], "clipping_threshold": [1.0, 0.1]}
    made = [*grid(**common, clipping=["none"]), *grid(**common, **limited)]

    def farther(trial):
        rate = trial["learning_rate"]
        if trial.get("clipping_threshold") != 0.1:
            return outcome(trial)
        good = 0.9 if 0.3 <= rate <= 3.0 else 0.6
        return {"validation_accuracy": good, "test_accuracy": good}

    study = trials_of("headroom", made, farther)
    found = headroom.rate_limits(study).set_index("remedy")["good"]
    assert found["norm limited to 1"] == 0.3
    assert found["norm limited to 0.1"] == 3.0
    assert found["batch normalization, norm limited to 0.1"] == 3.0
    assert headroom.moved(study)["clipped_good"].tolist() == pytest.approx([30])
    (row,) = headroom.tightened(study).to_dict("records")
    assert (row["loose"], row["tight"], row["in_step"]) == (1.0, 0.1, True)
    assert (row["raised"], row["times"]) == pytest.approx((10, 10))
    assert (row["loose_least"], row["tight_least"], row["tight_good"]) == (0.1, 0.3, 3.0)


@pytest.mark.parametrize(
    ("good", "apart", "said"), [(1.0, True, "10-fold"), (0.3, False, "not significantly")]
)
def test_batch_normalization_stands_apart_beyond_a_step_of_the_grid(
    monkeypatch: pytest.MonkeyPatch, good: float, apart: bool, said: str
) -> None:
    monkeypatch.setitem(GOOD, ("batch", "none"), good)
    made = grid(model=["mlp"], learning_rate=RATES, seed=range(3), **LEVELS)
    rows = headroom.moved(trials_of("headroom", made, outcome))
    assert rows[["apart", "said"]].values.tolist() == [[apart, said]]
    assert rows[["clipped_good", "both_good"]].values.tolist() == [pytest.approx([3, 10])]


def test_a_limit_that_seeds_disagree_on_has_an_interval() -> None:
    """At the middle rate every other seed loses three points, so that a draw may lose one."""
    rates = (0.1, 1.0, 10.0)
    made = grid(learning_rate=rates, seed=range(10))

    def some(trial):
        lost = {0.1: 0.0, 1.0: 0.019 * (trial["seed"] % 2), 10.0: 0.5}[trial["learning_rate"]]
        return {"validation_accuracy": 0.9 - lost, "test_accuracy": 0.9 - lost}

    rows = trials_of("headroom", made, some).outcomes
    (found,) = upper_limits(rows, ["model"], "clipping", "none").to_dict("records")
    assert (found["good"], found["good_low"], found["good_high"]) == (1.0, 0.1, 1.0)
    # over itself nothing varies: the same seeds are drawn for both
    assert (found["good_times"], found["good_times_low"], found["good_times_high"]) == (1, 1, 1)


def test_a_single_seed_has_no_interval() -> None:
    rows = trials_of("headroom", grid(learning_rate=RATES, seed=[0], **LEVELS), outcome).outcomes
    found = upper_limits(rows[rows["normalization"] == "none"], ["model"], "clipping", "none")
    assert found[["good_low", "lost_high", "good_times_low"]].isna().all(axis=None)


def test_a_wider_tolerance_reaches_no_less_far() -> None:
    rows = headroom.by_tolerance(STUDY)
    assert sorted(rows["tolerance"].unique()) == [0.005, 0.01, 0.015, 0.02]
    assert not (rows["remedy"] == "neither").any()


def test_a_plateau_that_does_not_end_says_so() -> None:
    below = trials_of("headroom", grid(learning_rate=RATES[:2], seed=[0, 1], **LEVELS), outcome)
    rows = headroom.rate_limits(below).set_index("remedy")
    assert rows["good_edge"].to_dict() == {
        "neither": False,
        "global-norm clipping": True,
        "batch normalization": True,
        "batch normalization, global-norm clipping": True,
    }


def test_clipping_is_judged_where_batch_normalization_is_lost() -> None:
    (row,) = headroom.saved_beyond(STUDY).to_dict("records")
    assert (row["learning_rate"], row["level"]) == (3.0, "global_norm")
    assert row["effect"] == pytest.approx(0.6, abs=0.01)
    there = headroom.at_the_loss(STUDY, headroom.NEITHER).set_index("remedy")
    assert there["learned"].to_dict() == {
        "neither": 0.0,
        "global-norm clipping": 1.0,
        "batch normalization": 1.0,
        "batch normalization, global-norm clipping": 1.0,
    }


@pytest.mark.parametrize(("outcome", "rate"), [("exploded", 0.1), ("diverged", 1.0)])
def test_the_breaking_rate_is_that_of_an_outcome(outcome: str, rate: float) -> None:
    frame = pd.DataFrame({"model": "mlp", "learning_rate": [0.1, 1.0], "exploded": 1})
    frame = frame.assign(diverged=[0, 1])
    assert breaking_rate(frame, ["model"], outcome)["rate"].tolist() == [rate]


def test_the_page_says_what_moves_the_limits(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(Figure, "savefig", lambda self, path, **_: path.write_text("svg"))
    monkeypatch.setattr(evidence, "load", {"headroom": STUDY}.get)
    text = words(page("headroom", tmp_path))
    assert "Batch normalization raises it 10-fold in the MLP." in text
    assert "*None*: most learn at every rate that was run." in text
    assert "| MLP | 3 | batch normalization, global-norm clipping | +60" in text
