"""Rivals of the rule of diagnose: as they are registered, and tuned on the trials to choose on."""

import math

import numpy as np
import pandas as pd
import pytest
from test_detectors import random_run

from benchmark.diagnosis.detectors import DETECTORS, first_alarm
from benchmark.schema import ALARMS
from benchmark.statistics.rivals import (
    EXCESSES,
    again,
    first,
    most,
    rival_scores,
    scores_by_wait,
    tuned,
)

NAN = math.nan
PUBLISHED = {"spike_level": 1.0, "norm_multiple": 10.0, "loss_spike": 7.0}


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("name", EXCESSES)
def test_at_the_published_threshold_a_rival_is_the_registered_detector(name, seed):
    losses, norms = random_run(seed)
    excess = EXCESSES[name][0](losses[None], norms[None])
    fired = np.nan_to_num(excess, nan=-1.0) > PUBLISHED[name]
    found = first(most(fired, 1))[0]
    expected = first_alarm(DETECTORS[name], losses, norms)
    assert found == pytest.approx(NAN if expected is None else expected, nan_ok=True)


@pytest.mark.parametrize(
    ("manner", "wait", "step"), [(most, 1, 1), (most, 3, 3), (again, 1, 3), (again, 3, 4)]
)
def test_patience_is_counted_in_steps(manner, wait, step):
    fired = np.array([[True, False, True, True, True]])
    assert first(manner(fired, wait))[0] == step


def labelled(*runs):
    """The table `labelled_steps` of (group, outcome, losses)."""
    parts = [
        pd.DataFrame({"trial": f"t{i}", "step": range(1, len(losses) + 1), "loss": losses}).assign(
            group=group, outcome=outcome, first_bad_step=NAN, gradient_norm=1.0
        )
        for i, (group, outcome, losses) in enumerate(runs)
    ]
    return pd.concat(parts, ignore_index=True)


CALM, HEALED, LOST = [2.0] * 40, [2.0] * 9 + [30.0] + [1.0] * 30, [2.0] * 9 + [30.0] * 31


def runs_of(group):
    return [(group, "stable", CALM), (group, "healing", HEALED), (group, "fatal", LOST)]


def test_what_separates_on_the_trials_to_choose_on_is_reported_elsewhere():
    # to report on, the lost run goes on only for a step, which patience does not see
    brief = [2.0] * 9 + [30.0, 30.0] + [1.0] * 29
    steps = labelled(*runs_of("choosing"), *runs_of("reporting")[:2], ("reporting", "fatal", brief))
    scored = rival_scores(steps)
    row = tuned(scored).set_index("rule").loc["spike_level"]
    assert row["group"] == "reporting"
    chosen = scored[scored["detector"] == row["detector"]].set_index("group")
    assert chosen.loc["choosing", "separation"] == 1.0
    assert row["wait"] > 1


def test_losses_that_are_not_finite_alarm_whatever_the_threshold():
    broken = [2.0] * 9 + [NAN]
    steps = labelled(*runs_of("choosing")[:2], ("choosing", "fatal", broken))
    scored = rival_scores(steps)
    assert (scored["fatal"] == 1.0).all()


def test_a_run_that_ended_does_not_fire_again():
    steps = labelled(*runs_of("choosing")[:2], ("choosing", "fatal", [2.0, 30.0]))
    scored = rival_scores(steps)
    late = scored[(scored["detector"].str.contains("spike_level 1 again"))]
    assert (late["fatal"] == 0.0).all()


def test_the_rule_of_diagnose_is_chosen_for_each_wait():
    def alarm(detector, group, fatal, stable):
        ends = (("fatal", fatal), ("stable", stable), ("healing", NAN))
        return [
            dict.fromkeys(ALARMS, NAN)
            | {"detector": detector, "group": group, "outcome": outcome, "alarm": step}
            for outcome, step in ends
        ]

    rows = [
        row
        for group in ("choosing", "reporting")
        for detector, fatal, stable in (
            ("unhealed 20 0.5", 5.0, NAN),
            ("unhealed 20 0.3", 5.0, 5.0),
            ("unhealed 40 0.5", NAN, NAN),
        )
        for row in alarm(detector, group, fatal, stable)
    ]
    found = scores_by_wait(pd.DataFrame(rows), "unhealed")
    assert found[["detector", "wait"]].values.tolist() == [
        ["unhealed 20 0.5", 20],
        ["unhealed 40 0.5", 40],
    ]
    assert found["separation"].tolist() == [1.0, 0.0]
