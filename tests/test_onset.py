"""How gradient norms move before the first bad step, on made norms."""

import itertools
import math

import numpy as np
import pandas as pd
import pytest

from benchmark.statistics.onset import (
    LAST,
    LEAST,
    difference,
    norms_before_onset,
    rises_before_onset,
    windows_before_onset,
)
from report import detectors

NAN = math.nan
CALM = [1.0] * 12


def steps_of(*runs, schedule="constant"):
    """The table `labelled_steps` of (outcome, first bad step, norms), a trial and seed each."""
    parts = [
        pd.DataFrame(
            {
                "trial": f"t{i}",
                "seed": i,
                "outcome": outcome,
                "status": "stable" if outcome == "stable" else "collapsed",
                "loss": [2.0] + [50.0] * (len(norms) - 1),
                "first_bad_step": float(bad),
                "schedule": schedule,
                "disturbance": "none",
                "step": range(1, len(norms) + 1),
                "gradient_norm": norms,
            }
        )
        for i, (outcome, bad, norms) in enumerate(runs)
    ]
    return pd.concat(parts, ignore_index=True)


def rises_of(steps, kind):
    found = windows_before_onset(steps)
    return found.loc[found["kind"] == kind, "rise"].tolist()


@pytest.mark.parametrize(
    ("norms", "bad", "rise"),
    [
        ([1.0, 2, 3, 4, 5, 6, 6, 6, 9, 6, 100.0], 11, 3.0),  # the median of 1 to 5 is 3
        ([2.0] * 9 + [8.0, 100.0], 11, 4.0),
        # the step itself and what comes after it are no sign that came first
        ([2.0] * 10 + [100.0, 100.0], 11, 1.0),
        ([2.0] * 9 + [100.0], 10, NAN),  # too early to be seen
        ([0.0] * 10 + [1.0], 11, NAN),
    ],
)
def test_a_rise_is_the_largest_of_the_last_norms_over_the_median_before(norms, bad, rise):
    assert rises_of(steps_of(("fatal", bad, norms)), "explosion") == pytest.approx(
        [rise], nan_ok=True
    )


def test_steps_may_come_in_any_order():
    steps = steps_of(("healing", 12, [1.0] * 10 + [3.0, 50.0]), ("stable", NAN, CALM))
    mixed = steps.sample(frac=1, random_state=np.random.default_rng(0))
    pd.testing.assert_frame_equal(
        windows_before_onset(mixed).sort_values("trial", ignore_index=True),
        windows_before_onset(steps).sort_values("trial", ignore_index=True),
    )


def test_controls_are_stable_trials_up_to_the_same_step_of_the_same_kind():
    exploding = steps_of(("fatal", 12, [1.0] * 10 + [3.0, 50.0]))
    others = [
        ("stable", NAN, [2.0] * 9 + [2.0, 5.0, 7.0]),
        ("stable", NAN, [2.0] * 10),  # it ended before that step
        ("stalled", NAN, CALM),
        ("healing", 2, CALM),  # it spiked itself, too early to be seen
    ]
    calm = steps_of(*others).assign(trial=lambda rows: "c" + rows["trial"], seed=9)
    elsewhere = calm.assign(trial=lambda rows: "e" + rows["trial"], schedule="one_cycle")
    found = windows_before_onset(pd.concat([exploding, calm, elsewhere]))
    controls = found[found["kind"] == "control"]
    assert controls[["trial", "onset", "rise"]].values.tolist() == [["ct0", 12, 2.5]]
    anywhere = windows_before_onset(pd.concat([exploding, calm, elsewhere]), match=[])
    assert set(anywhere.loc[anywhere["kind"] == "control", "trial"]) == {"ct0", "ect0"}


def test_disturbed_trials_are_left_out():
    steps = steps_of(("fatal", 12, [1.0] * 10 + [3.0, 50.0])).assign(disturbance="bad_batch")
    calm = steps_of(("stable", NAN, CALM), ("fatal", 12, CALM))
    found = windows_before_onset(pd.concat([steps.assign(trial="d", seed=7), calm]))
    assert set(found["trial"]) == {"t0", "t1"}


@pytest.mark.parametrize(("loss", "explosions"), [(9.0, 0), (11.0, 1)])
def test_a_collapse_without_a_spike_is_no_explosion(loss, explosions):
    steps = steps_of(("fatal", 12, [1.0] * 10 + [3.0, 50.0]))
    later = steps["step"] > 1
    steps = steps.assign(loss=steps["loss"].mask(later, loss))
    assert len(windows_before_onset(steps)) == explosions


def test_alarms_at_collapses_without_a_spike_are_counted():
    runs = [("fatal", 12, CALM)] * 3
    steps = steps_of(*runs).assign(loss=2.0)
    steps.loc[steps["trial"] == "t2", "loss"] = [2.0] + [50.0] * 11
    found = pd.DataFrame(
        {
            "detector": ["unhealed"] * 3 + ["loss_spike"] * 3 + ["custom"] * 3,
            "trial": ["t0", "t1", "t2"] * 3,
            "alarm": [5.0, 7.0, 2.0, NAN, NAN, 2.0, 1.0, 1.0, 1.0],
        }
    )
    rows = detectors.silent_alarms(steps, found)
    assert rows.values.tolist() == [["unhealed", 2, 2], ["loss_spike", 0, 2]]


def test_unobserved_explosions_are_counted_and_judged_apart():
    steps = steps_of(
        ("fatal", 12, [1.0] * 10 + [3.0, 50.0]),
        ("fatal", 12, CALM),
        ("fatal", 2, [1.0, 50.0]),
        *[("stable", NAN, CALM)] * 3,
    )
    found = rises_before_onset(windows_before_onset(steps), ["schedule"]).iloc[0]
    assert found[["explosions", "observed", "controls"]].tolist() == [3, 2, 6]
    assert (found["grew"], found["control"], found["excess"]) == (0.5, 0.0, 0.5)
    assert found["grew_low"] < 0.5 < found["grew_high"]
    assert 0 < found["control_high"] < 1


def test_where_nothing_was_observed_there_is_no_share():
    steps = steps_of(("fatal", 2, [1.0, 50.0]), ("stable", NAN, CALM))
    found = rises_before_onset(windows_before_onset(steps), ["schedule"]).iloc[0]
    assert (found["explosions"], found["observed"], found["controls"]) == (1, 0, 0)
    assert found[["grew", "grew_low", "control", "excess", "excess_high"]].isna().all()


def test_an_onset_just_late_enough_is_observed():
    late = LAST + LEAST + 1
    steps = steps_of(*[("fatal", bad, [1.0] * late) for bad in (late - 1, late)])
    found = rises_before_onset(windows_before_onset(steps), ["schedule"]).iloc[0]
    assert (found["explosions"], found["observed"]) == (2, 1)


def test_the_interval_of_a_difference_is_newcombes():
    # Newcombe 1998, table II, example (a): 56 of 70 less 48 of 80
    first, second = (0.8, 0.6918, 0.8769), (0.6, 0.4904, 0.7004)
    assert difference(first, second) == pytest.approx((0.2, 0.0524, 0.3339), abs=5e-4)


def test_curves_are_medians_of_norms_over_the_reference():
    rising = [[2.0] * 10 + [4.0, factor, 50.0] for factor in (6.0, 8.0, 40.0)]
    steps = steps_of(*(("fatal", 13, norms) for norms in rising), ("stable", NAN, [3.0] * 20))
    windows = windows_before_onset(steps)
    found = norms_before_onset(steps, windows, ["schedule"], length=3)
    explosions, control = (found[found["kind"] == kind] for kind in ("explosion", "control"))
    assert explosions["before"].tolist() == [1, 2, 3]
    assert explosions["median"].tolist() == [4.0, 2.0, 1.0]
    assert explosions[["low", "high"]].iloc[0].tolist() == [3.5, 12.0]
    assert control["median"].tolist() == [1.0] * 3
    assert set(control["windows"]) == {3}


def test_curves_reach_back_no_further_than_the_run():
    pairs = itertools.product((12, 14), ["fatal"])
    steps = steps_of(*((outcome, bad, [1.0] * bad) for bad, outcome in pairs))
    found = norms_before_onset(steps, windows_before_onset(steps), ["schedule"], length=20)
    assert found["before"].tolist() == list(range(1, 14))
    assert found["windows"].tolist() == [2] * 11 + [1] * 2
