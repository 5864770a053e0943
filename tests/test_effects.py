"""Levels beside each other: at which rate, against what, on which data; on numbers by hand."""

import math

import numpy as np
import pandas as pd
import pytest

from benchmark.records.rates import SHARED, arm_of
from benchmark.statistics import (
    RaisedRates,
    against_reference,
    at_own_and_same_rates,
    change_effects,
    cross_chosen,
    idle_in,
    in_relative_arms,
    largest_safe_rate,
    mean_effects,
    outcome_means,
    rate_ratios,
    single_changes,
    with_ranks,
)


def arms(*rows: tuple[str, str, float]) -> pd.DataFrame:
    """Two seeds of each arm, clipping and accuracy; the second is a hundredth better."""
    whole = [(*row[:2], seed, row[2] + 0.01 * seed) for row in rows for seed in (0, 1)]
    return pd.DataFrame(whole, columns=["arm", "clipping", "seed", "accuracy"])


ARMS = arms(
    *(("x1", "none", 0.8), ("x10", "none", 0.1), ("x2", "none", 0.3)),
    *(("x1", "value", 0.7), ("x10", "value", 0.2), ("shared_x10", "value", 0.6)),
    ("select", "none", 0.9),
)


def test_trials_of_the_baseline_stand_at_their_own_and_at_the_same_rate():
    rows = at_own_and_same_rates(ARMS)
    cells = rows.groupby("same_rate")[["clipping", "times"]].value_counts(sort=False).to_dict()
    own = {(False, clipping, times): 2 for clipping in ("none", "value") for times in (1, 10)}
    # two and a half are no multiple that is stated, and what looked for a rate is no multiple
    assert cells == own | {(True, "none", 10): 2, (True, "value", 10): 2}


def test_without_arms_at_the_same_rate_there_are_none():
    rows = at_own_and_same_rates(ARMS[~ARMS["arm"].str.startswith("shared")])
    assert not rows["same_rate"].any()


def test_a_reference_is_the_same_in_every_group():
    rows = at_own_and_same_rates(ARMS)
    best = rows[rows["clipping"].eq("none") & rows["times"].eq(1)]
    above = rows[rows["times"].ne(1)].assign(network="mlp")
    found = against_reference(
        *(above, best.assign(network="mlp"), "clipping"),
        **{"by": ["network"], "across": ["same_rate", "times"], "ignore": ["arm"]},
        named="its best",
    )
    effects = found.set_index(["same_rate", "level"])["effect"].to_dict()
    expected = {(False, "none"): -0.7, (False, "value"): -0.6}
    expected |= {(True, "none"): -0.7, (True, "value"): -0.2}
    assert effects == pytest.approx(expected)
    assert set(found["baseline"]) == {"its best"}
    assert found["pairs"].tolist() == [2] * 4


def test_a_winner_is_reported_on_all_other_data():
    rows = [("a", "x", 0.9), ("a", "y", 0.8), ("b", "x", 0.1), ("b", "y", 0.2), ("c", "x", 0.3)]
    frame = pd.DataFrame(rows, columns=["dataset", "rule", "accuracy"]).assign(model="mlp")
    found = cross_chosen(frame, "rule", ["model"]).groupby("chosen_on")[["dataset", "level"]]
    told = {key: part.to_numpy().tolist() for key, part in found}
    assert told == {
        "a": [["b", "x"], ["c", "x"]],
        "b": [["a", "y"], ["c", "y"]],
        "c": [["a", "x"], ["b", "x"]],
    }


def test_on_a_single_data_set_validation_chooses():
    frame = pd.DataFrame({"rule": ["x", "y"], "accuracy": [0.9, 0.8], "validation": [0.7, 0.8]})
    found = cross_chosen(frame.assign(dataset="a", model="mlp"), "rule", ["model"])
    assert found.to_numpy().tolist() == [["mlp", "a", "a", "y"]]


@pytest.mark.parametrize(
    ("lows", "highs", "star"),
    [
        ([0.1, 0.2], [0.3, 0.4], "*"),
        ([-0.1, 0.2], [0.3, 0.4], ""),
        # sure on either data set, and of opposite sign
        ([0.1, -0.4], [0.3, -0.2], ""),
        ([math.nan, 0.2], [math.nan, 0.4], ""),
    ],
)
def test_a_star_needs_every_interval_on_one_side_of_zero(lows, highs, star):
    effects = np.nan_to_num(np.add(lows, highs) / 2, nan=0.1)
    rows = pd.DataFrame({"level": "a", "effect": effects, "low": lows, "high": highs})
    (found,) = mean_effects(rows, ["level"], "cost").to_dict("records")
    assert found["cost"] == pytest.approx(effects.mean())
    assert found["cost_sure"] == star


def test_ranks_are_within_each_group():
    rows = [
        (times, level, seed, {1: 0.9, 3: 0.5}[times] if level == "a" else 0.7)
        for times in (1, 3)
        for level in "ab"
        for seed in range(8)
    ]
    frame = pd.DataFrame(rows, columns=["times", "clipping", "seed", "accuracy"])
    frame["accuracy"] += 0.001 * frame["seed"] * frame["clipping"].eq("a")
    rows = pd.DataFrame({"times": [3, 3, 1, 1], "level": [*"baab"]}, index=[5, 6, 7, 8])
    assert with_ranks(rows, frame, "clipping", ["times"])["place"].tolist() == [1, 2, 1, 2]


@pytest.mark.parametrize("prefix", ["", SHARED])
def test_what_is_read_of_an_arm_is_what_was_written(prefix):
    multiples = [1e-5, 0.3, 1 / 3, 1.0, 2.5, 1e6]
    arms = [*(arm_of(m, prefix) for m in multiples), "select", "", None, "tpe", "max_3"]
    frame = pd.DataFrame({"arm": arms})
    assert in_relative_arms(frame, prefix)["times"].tolist() == pytest.approx(multiples)
    assert in_relative_arms(frame, "threshold_").empty


@pytest.mark.parametrize(("share", "named"), [(1.0, ["never"]), (0.5, ["never", "rare", "half"])])
def test_how_seldom_an_idle_rule_acts_may_be_named(share, named):
    fractions = {"never": [0, 0, 0], "rare": [0, 0, 0.1], "often": [0, 0.1, 0.1]}
    fractions["half"] = [0, 0, 0.1, 0.2]
    rows = [(k, x) for k, values in fractions.items() for x in values]
    frame = pd.DataFrame(rows, columns=["clipping", "clipped_fraction"]).assign(model="mlp")
    assert idle_in(frame, ["model"], share)["level"].tolist() == named


def test_what_happened_has_the_interval_of_a_share_and_what_is_measured_that_of_a_mean():
    frame = pd.DataFrame({"times": 3, "seed": range(10), "diverged": 1.0, "accuracy": 0.1})
    (found,) = outcome_means(frame, ["times"], ["accuracy", "diverged"]).to_dict("records")
    assert (found["trials"], found["accuracy"], found["diverged"]) == (10, pytest.approx(0.1), 1)
    # ten that agree: Wilson's interval of a share; a mean has none
    assert found["diverged_low"] == pytest.approx(0.722, abs=5e-4)
    assert math.isnan(found["accuracy_low"])


def test_rates_are_divided_within_each_data_set_and_network():
    rates = {("a", "none"): 0.1, ("a", "batch"): 0.3, ("b", "none"): 0.2, ("b", "batch"): 1.0}
    rows = [(d, n, r, seed) for (d, n), r in rates.items() for seed in (0, 1)]
    frame = pd.DataFrame(rows, columns=["dataset", "normalization", "learning_rate", "seed"])
    other = frame[frame["normalization"] == "batch"].assign(model="cnn")
    both = pd.concat([frame.assign(model="mlp"), other])
    # the other network has no baseline
    (found,) = rate_ratios(both, "normalization", "none", ["model"]).to_dict("records")
    assert (found["model"], found["level"]) == ("mlp", "batch")
    assert (found["least"], found["most"]) == (pytest.approx(3.0), pytest.approx(5.0))


OWN = {"batch_size": 128, "clipping": "none", "schedule": "constant"}


def changed(*changes: dict[str, object]) -> pd.DataFrame:
    """Two seeds of `OWN` with each of some changes; accuracy by how many there are."""
    rows = [
        {**OWN, **change, "seed": seed, "accuracy": 0.5 + 0.1 * len(change)}
        for change in changes
        for seed in (0, 1)
    ]
    return pd.DataFrame(rows)


CHANGED = changed({}, {"batch_size": 512}, {"clipping": "value"}, {"clipping": "adagc"})


def test_two_changes_at_once_are_left_out():
    both = changed({"clipping": "value", "batch_size": 512})
    found = single_changes(pd.concat([both, CHANGED]), OWN)
    assert found[["factor", "level"]].drop_duplicates().to_numpy().tolist() == [
        ["", ""],
        ["batch_size", 512],
        ["clipping", "value"],
        ["clipping", "adagc"],
    ]


def test_each_change_is_compared_with_what_it_leaves_as_it_is():
    both = changed({"clipping": "value", "batch_size": 512}).assign(accuracy=0.9)
    found = change_effects(pd.concat([both, CHANGED]).assign(model="mlp"), OWN, by=["model"])
    assert found[["factor", "level"]].to_numpy().tolist() == [
        ["batch_size", 512],
        ["clipping", "value"],
        ["clipping", "adagc"],
    ]
    assert found["effect"].tolist() == pytest.approx([0.1] * 3)
    assert found["pairs"].tolist() == [2] * 3


def test_without_a_change_there_is_no_effect():
    assert change_effects(changed({}), OWN).empty


@pytest.mark.parametrize(
    ("diverged", "safe"), [([0, 0, 0], 10.0), ([0, 1, 0], 0.1), ([1, 0, 0], math.nan)]
)
def test_a_rate_above_one_that_diverges_is_not_safe(diverged, safe):
    rates = pd.DataFrame({"learning_rate": [0.1, 1.0, 10.0], "diverged": diverged, "depth": 5})
    calm = rates.assign(diverged=0)
    found = largest_safe_rate(pd.concat([rates, calm]), ["depth"])
    assert found["safe"].tolist() == pytest.approx([safe], nan_ok=True)


@pytest.mark.parametrize(
    ("spike", "learned", "place"),
    [
        ((2, 3), (0, 0), math.nan),
        # half of the networks outlive the warm-up, or heal from what happened in it
        ((2, 30), (0, 0), 1),
        ((2, 3), (0, 1), 1),
    ],
)
def test_a_rule_with_which_most_trials_are_lost_in_its_warm_up_is_not_ranked(
    spike: tuple[int, int], learned: tuple[int, int], place: float
):
    rows = arms(
        ("x1", "none", 0.8), ("shared_x10", "value", 0.7), ("shared_x10", "zclip", 0.2)
    ).assign(dataset="digits", model="mlp", normalization="none", status="recovered")
    late = rows["clipping"].eq("zclip")
    rows = rows.assign(
        warm_up_steps=late * 25.0, clipped_fraction=0.5, first_bad_step=math.nan, learning_rate=1.0
    )
    rows["train_loss"] = 1 - rows["accuracy"]
    rows["first_spike_step"] = rows["seed"].map(dict(enumerate(spike))).where(late)
    rows["learned"] = rows["seed"].map(dict(enumerate(learned)))
    ranks = RaisedRates(rows, same_rate=True).ranks.set_index("level")["place"]
    assert ranks["value"] == 1
    assert ranks["zclip"] == pytest.approx(place, nan_ok=True)


def test_what_changed_no_step_shows_what_the_choice_of_a_rate_does() -> None:
    """On the first data set value clipping is idle at a rate of its own, 2 points below none's."""
    rows = arms(("x1", "none", 0.8), ("x1", "value", 0.78), ("x1", "zclip", 0.9))
    rows = rows.assign(model="mlp", normalization="none", learning_rate=0.1)
    idle = rows["clipping"].eq("value")
    rows["clipped_fraction"] = np.where(idle | rows["clipping"].eq("none"), 0.0, 0.5)
    other = rows.assign(dataset="mnist", clipped_fraction=0.5)
    frame = pd.concat([rows.assign(dataset="digits"), other], ignore_index=True)
    found = RaisedRates(frame, same_rate=False).null_controls
    assert found[["dataset", "level", "effect"]].values.tolist() == [
        ["digits", "value", pytest.approx(-0.02)]
    ]
