"""Windows of good rates, premiums and pay-outs of each remedy, on trials with plain windows."""

import math
from pathlib import Path

import pandas as pd
import pytest
from matplotlib.figure import Figure
from pages import page, words
from test_explosion_page import grid, lost, trials_of

from benchmark.statistics import breaking_rate, good_windows, premiums
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


UNCLIPPED = {"clipping": "none"}
LEVELS = {"normalization": ("none", "batch"), "clipping": ("none", "global_norm")}
STUDY = trials_of(
    "headroom", grid(model=["mlp"], learning_rate=RATES, seed=range(3), **LEVELS), outcome
)


def test_windows_are_read_off_rates_that_all_share() -> None:
    rows = headroom.windows(STUDY).set_index("remedy")
    assert rows["good"].to_dict() == {
        "plain": 0.1,
        "global-norm clipping": 0.3,
        "batch normalization": 1.0,
        "batch normalization, global-norm clipping": 1.0,
    }
    assert rows["good_times"].tolist() == pytest.approx([1, 3, 10, 10])
    assert rows["least"].tolist() == [0.1] * 4
    assert rows["least_edge"].all()
    assert rows["decades"].tolist() == pytest.approx([0, 0.477, 1, 1])
    assert rows["decades_gap"].tolist() == pytest.approx([0, 0.477, 1, 1])
    assert rows["lost"].tolist() == pytest.approx([1.0, 3.0, 3.0, math.inf])
    assert rows["role"].tolist() == ["", "clipped", "normalized", "both"]
    assert not rows["good_edge"].any()


def two_thresholds(trial):
    """Clipped at 0.1 good from 0.3 to 3, and poor elsewhere; clipped at 1 as `outcome` says."""
    if trial.get("clipping_threshold") != 0.1:
        return outcome(trial)
    good = 0.9 if 0.3 <= trial["learning_rate"] <= 3.0 else 0.6
    accuracy = good + 0.001 * trial["seed"]
    return {"validation_accuracy": accuracy, "test_accuracy": accuracy}


COMMON = {"model": ["mlp"], "learning_rate": RATES, "seed": range(3)}
LIMITED = {"clipping": ["global_norm"], "clipping_threshold": [1.0, 0.1]}
BOTH_WAYS = {"normalization": ("none", "batch")}
TWO = trials_of(
    "headroom",
    [*grid(**COMMON, **BOTH_WAYS, clipping=["none"]), *grid(**COMMON, **BOTH_WAYS, **LIMITED)],
    two_thresholds,
)


def test_two_thresholds_are_two_remedies() -> None:
    found = headroom.windows(TWO).set_index("remedy")["good"]
    assert found["clipped at 1"] == 0.3
    assert found["clipped at 0.1"] == 3.0
    assert found["batch normalization, clipped at 0.1"] == 3.0
    (row,) = headroom.tightened(TWO).to_dict("records")
    assert (row["loose"], row["tight"], row["in_step"]) == (1.0, 0.1, True)
    assert (row["raised"], row["times"]) == pytest.approx((10, 10))


def test_a_window_that_moves_is_not_one_that_widens(monkeypatch: pytest.MonkeyPatch) -> None:
    """The plain window is 0.1 to 0.3; a threshold makes that 0.3 to 3, normalization 0.1 to 10."""
    monkeypatch.setitem(GOOD, ("none", "none"), 0.3)
    monkeypatch.setitem(GOOD, ("batch", "none"), 10.0)
    monkeypatch.setitem(SAFE, ("batch", "none"), 10.0)
    common = COMMON | {"seed": range(5)}
    made = grid(**common, **BOTH_WAYS, clipping=["none"])
    made += grid(**common, normalization=["none"], **LIMITED)

    def narrow(trial):
        if trial.get("clipping_threshold") != 0.1:
            return outcome(trial)
        good = 0.9 if 1.0 <= trial["learning_rate"] <= 3.0 else 0.6
        return {"validation_accuracy": good, "test_accuracy": good}

    rows = headroom.changed(trials_of("headroom", made, narrow)).set_index("remedy")
    facts = ["moved", "wider", "narrower", "gap_words"]
    assert rows.loc["clipped at 0.1", facts].tolist() == [True, False, False, "0.00, 0.00 to 0.00"]
    assert rows.loc["batch normalization", facts].tolist()[:3] == [False, True, False]
    # its largest good rate is one step lower than without clipping, which does not count
    assert rows.loc["clipped at 1", facts].tolist()[:3] == [False, False, False]


def test_a_remedy_is_judged_at_the_rates_that_it_is_not_needed_at_and_where_it_is() -> None:
    rows = headroom.insured(TWO).set_index(["against", "remedy"])
    tight = rows.loc[("plain", "clipped at 0.1")]
    # good without it at 0.1 alone, where it costs 30 points; at 1 the others are lost
    assert (tight["good_low"], tight["good_high"], tight["rates"]) == (0.1, 0.1, 1)
    assert (tight["premium"], tight["payout"]) == pytest.approx((-0.3, 0.8), abs=0.01)
    assert tight["lost"] == 1.0
    assert tight["short"] == pytest.approx(0.0, abs=1e-9)
    beside = rows.loc[("batch normalization", "batch normalization, clipped at 0.1")]
    assert (beside["good_low"], beside["good_high"], beside["lost"]) == (0.1, 1.0, 3.0)
    assert (beside["premium_least"], beside["premium_most"]) == pytest.approx((-0.3, 0.0), abs=0.01)
    assert beside["premium"] == pytest.approx(-0.1)
    (said,) = headroom.premium(TWO).to_dict("records")
    assert (said["remedy"], said["threshold"], said["window"]) == (
        "clipped at 1",
        1.0,
        "≤ 0.1 to 0.3",
    )


def test_what_clipping_pays_is_told_at_every_rate_at_which_most_fail() -> None:
    """Clipped at 1 a plain network trains up to 1; with batch normalization at all rates."""
    rows = headroom.beyond(TWO).set_index(["against", "learning_rate"])
    assert set(rows["remedy"]) == {"clipped at 1", "batch normalization, clipped at 1"}
    plain = rows.loc["plain"]
    assert plain["above"].to_dict() == {1.0: 0.0, 3.0: 0.48, 10.0: 1.0}
    assert plain["payout"].tolist() == pytest.approx([0.6, 0.0, 0.0], abs=0.01)
    normed = rows.loc["batch normalization"]
    assert normed.index.tolist() == [3.0, 10.0]
    assert normed["payout"].tolist() == pytest.approx([0.6, 0.6], abs=0.01)
    assert (normed["lost"] == 3.0).all()


def test_from_which_rates_most_fail_is_told_with_each_remedy() -> None:
    """Clipped at 0.1 none is lost; without normalization plain networks are from 1 on."""
    (row,) = headroom.failing_from(TWO).to_dict("records")
    assert (row["lost"], row["lost_normalized"]) == (1.0, 3.0)
    assert (row["remedy"], row["never"], row["never_normalized"]) == ("clipped at 0.1", True, True)
    assert (row["largest"], row["largest_normalized"]) == (10.0, 10.0)


def test_networks_that_a_loose_threshold_hardly_insures_have_what_a_tight_one_saves() -> None:
    """With batch normalization and clipped at 1 all but a twentieth is lost at 3 and beyond."""

    def hardly(trial):
        key = trial["normalization"], trial.get("clipping_threshold")
        if key == ("batch", 1.0) and trial["learning_rate"] > 1:
            return lost() | {"test_accuracy": 0.15 + 0.001 * trial["seed"]}
        return two_thresholds(trial)

    made = [*grid(**COMMON, **BOTH_WAYS, clipping=["none"])]
    made += grid(**COMMON, **BOTH_WAYS, **LIMITED)
    (row,) = headroom.uninsured(trials_of("headroom", made, hardly)).to_dict("records")
    assert (row["loosest"], row["tightest"]) == (1.0, 0.1)
    assert row["payout"] == pytest.approx(0.05, abs=0.01)
    assert row["tight"] == pytest.approx(0.8, abs=0.01)
    # clipped at 1 trains everywhere with it, as it does without
    assert headroom.uninsured(TWO).empty


def test_widths_are_told_at_each_criterion() -> None:
    rows = headroom.by_criterion(TWO)
    assert rows["points"].unique().tolist() == pytest.approx([0.5, 0.75, 1.0])
    tight = rows[rows["remedy"] == "clipped at 0.1"]
    assert tight["decades"].tolist() == pytest.approx([1.0] * 3)
    assert tight["decades_plain"].tolist() == pytest.approx([0.0] * 3)
    assert tight["raised"].all()
    # clipped at 1 the smallest good rate is that of the plain network
    assert not rows.loc[rows["remedy"] == "clipped at 1", "raised"].any()
    said = headroom.criteria_in_words(TWO).set_index("remedy")["gaps"]
    assert said["clipped at 0.1"] == "+1.00, +1.00 and +1.00"


def test_a_width_that_more_rates_show_is_quoted() -> None:
    """Here 0.1 is good with and without normalization; below it, elsewhere, so is 0.03 alone."""
    found = headroom.widened(STUDY, None)
    assert found["said"].tolist() == ["from ≥ 0.00 to ≥ 1.00 decades"] == found["here"].tolist()
    more = trials_of(
        "learning_rate",
        grid(normalization=["none", "batch"], learning_rate=(0.01, 0.03, *RATES), seed=range(3)),
        lambda made: (
            outcome(made | {"clipping": "none"}) if made["learning_rate"] > 0.02 else lost()
        ),
    )
    found = headroom.widened(STUDY, more)
    assert found["said"].tolist() == ["from 0.52 to 1.52 decades"]
    assert found["here"].tolist() == ["from ≥ 0.00 to ≥ 1.00 decades"]


def priced(changes: list[float]) -> pd.DataFrame:
    """A row of `premiums`: a clipping that changes accuracy by so much, seed by seed, at 0.1."""
    rows = [
        {"clip": clip, "learning_rate": rate, "seed": seed, "learned": learned}
        | {"validation": good, "accuracy": good + change * (clip == "yes")}
        for seed, change in enumerate(changes)
        for rate, good, learned in ((0.1, 0.75, 1), (1.0, 0.25, 0))
        for clip in ("no", "yes")
    ]
    return premiums(pd.DataFrame(rows).assign(model="mlp"), ["model"], "clip", "no")


def test_a_premium_has_the_interval_of_paired_seeds() -> None:
    (row,) = priced([-0.01, -0.02, -0.03]).to_dict("records")
    # t of two degrees of freedom times 0.01 / sqrt(3)
    half = 4.30265 * 0.01 / math.sqrt(3)
    ends = [row[f"premium{end}"] for end in ("", "_low", "_high")]
    assert ends == pytest.approx([-0.02, -0.02 - half, -0.02 + half], rel=1e-5)
    assert row["detectable"] > half
    assert row["payout"] == pytest.approx(-0.02)
    assert row["short"] == pytest.approx(0.25 - 0.02 - 0.75)


def test_without_a_rate_that_fails_there_is_no_pay_out() -> None:
    frame = pd.DataFrame({"clip": ["no", "yes"] * 2, "learning_rate": 0.1, "seed": [0, 0, 1, 1]})
    frame = frame.assign(model="mlp", learned=1, accuracy=0.5, validation=0.5)
    (row,) = premiums(frame, ["model"], "clip", "no").to_dict("records")
    assert row["premium"] == 0.0
    assert all(math.isnan(row[c]) for c in ("premium_low", "lost", "payout", "short", "detectable"))


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


def test_an_end_that_seeds_disagree_on_has_an_interval() -> None:
    """At the middle rate every other seed loses three points, so that a draw may lose one."""
    rates = (0.1, 1.0, 10.0)
    made = grid(learning_rate=rates, seed=range(10))

    def some(trial):
        lost = {0.1: 0.0, 1.0: 0.019 * (trial["seed"] % 2), 10.0: 0.5}[trial["learning_rate"]]
        return {"validation_accuracy": 0.9 - lost, "test_accuracy": 0.9 - lost}

    rows = trials_of("headroom", made, some).outcomes
    (found,) = good_windows(rows, ["model"], "clipping", "none").to_dict("records")
    assert (found["good"], found["good_low"], found["good_high"]) == (1.0, 0.1, 1.0)
    # over itself nothing varies: the same seeds are drawn for both
    assert (found["good_times"], found["good_times_low"], found["good_times_high"]) == (1, 1, 1)


def test_a_single_seed_has_no_interval() -> None:
    rows = trials_of("headroom", grid(learning_rate=RATES, seed=[0], **LEVELS), outcome).outcomes
    found = good_windows(rows[rows["normalization"] == "none"], ["model"], "clipping", "none")
    assert found[["good_low", "lost_high", "good_times_low"]].isna().all(axis=None)


def test_a_wider_tolerance_reaches_no_less_far() -> None:
    rows = headroom.by_tolerance(STUDY)
    assert sorted(rows["tolerance"].unique()) == [0.005, 0.01, 0.015, 0.02]
    plain = rows[rows["remedy"] == "plain"]
    assert plain["window"].tolist() == ["≤ 0.1"] * 4


def test_a_plateau_that_does_not_end_says_so() -> None:
    below = trials_of("headroom", grid(learning_rate=RATES[:2], seed=[0, 1], **LEVELS), outcome)
    rows = headroom.windows(below).set_index("remedy")
    assert rows["good_edge"].to_dict() == {
        "plain": False,
        "global-norm clipping": True,
        "batch normalization": True,
        "batch normalization, global-norm clipping": True,
    }


def test_what_lies_beyond_the_rates_says_so() -> None:
    rows = headroom.windows_in_words(STUDY).set_index("remedy")
    assert rows["lost_words"].tolist() == ["1", "3", "3", "> 10"]
    assert rows.loc["plain", ["least_words", "good_words"]].tolist() == ["≤ 0.1", "0.1"]
    assert rows["decades_words"].tolist() == ["≥ 0.00", "≥ 0.48", "≥ 1.00", "≥ 1.00"]


def test_clipping_changes_accuracy_rate_by_rate() -> None:
    rows = headroom.differences(STUDY)
    assert rows["network"].unique().tolist() == ["MLP", "MLP, batch normalization"]
    plain = rows[rows["network"] == "MLP"].set_index("learning_rate")["estimate"]
    assert plain.to_dict() == pytest.approx({0.1: 0, 0.3: 0.2, 1: 0.6, 3: 0, 10: 0}, abs=0.01)


def test_the_first_figure_has_the_remedies_in_its_order() -> None:
    trials, rows = headroom.first(TWO)
    assert rows["remedy"].tolist() == list(headroom.FIRST)
    assert set(trials["remedy"]) == set(headroom.FIRST)


@pytest.mark.parametrize(("outcome", "rate"), [("exploded", 0.1), ("diverged", 1.0)])
def test_the_breaking_rate_is_that_of_an_outcome(outcome: str, rate: float) -> None:
    frame = pd.DataFrame({"model": "mlp", "learning_rate": [0.1, 1.0], "exploded": 1})
    frame = frame.assign(diverged=[0, 1])
    assert breaking_rate(frame, ["model"], outcome)["rate"].tolist() == [rate]


def test_the_page_says_what_widens_the_window(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(Figure, "savefig", lambda self, path, **_: path.write_text("svg"))
    monkeypatch.setattr(evidence, "load", {"headroom": STUDY}.get)
    text = words(page("headroom", tmp_path))
    # the smallest rate is good with and without it
    assert "Batch normalization widens the window in the MLP from ≥ 0.00 to ≥ 1.00 decades" in text
    assert "MLP, global-norm clipping against plain: premium 0.0, pay-out +60.1" in text
    assert "| batch normalization, global-norm clipping | 1 | ≥ 1.00 | > 10 |" in text
