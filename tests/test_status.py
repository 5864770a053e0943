"""The words: what made-up histories are called, and who of a frame exploded or learned."""

import math
from typing import Any

import pandas as pd
import pytest

from benchmark import status
from benchmark.status import FINISHED, STATUSES, classify, could_act, learned_level

CHANCE, LEARNED = 0.11, 0.5
NAN = math.nan

HISTORIES = {
    "learns": ([0.6, 0.8, 0.9], False, "stable"),
    "learns slowly": ([0.1, 0.2, 0.3], False, "stable"),
    "spikes, then learns": ([0.1, 0.6, 0.9], True, "recovered"),
    "learns, spikes, and learns again": ([0.9, 0.1, 0.8], True, "recovered"),
    "learned to the very level": ([0.1, 0.5], True, "recovered"),
    "spikes, and ends at 25 %": ([0.1, 0.2, 0.25], True, "damaged"),
    "learns, spikes, and ends at 25 %": ([0.9, 0.8, 0.25], True, "damaged"),
    "a hair below the level": ([0.1, 0.499], True, "damaged"),
    "learned, then at chance, after a spike": ([0.9, 0.8, 0.1], True, "collapsed"),
    "learned, then at chance, without a spike": ([0.9, 0.8, 0.1], False, "collapsed"),
    "at chance throughout, with a spike": ([0.1, 0.1, 0.1], True, "dead"),
    "above chance for a while, with a spike": ([0.1, 0.25, 0.1], True, "dead"),
    "at chance throughout": ([0.1, 0.1, 0.1], False, "stalled"),
    "wobbles about chance, once above it": ([0.1, 0.13, 0.1], False, "stalled"),
    "wobbles about chance, never far above": ([0.13, 0.2, 0.11], False, "stalled"),
    "not evaluated": ([], False, "stalled"),
    "a checkpoint without a value": ([NAN, NAN, 0.1], True, "dead"),
}


@pytest.mark.parametrize(
    ("accuracies", "spiked", "expected"), HISTORIES.values(), ids=HISTORIES.keys()
)
def test_a_made_up_history_has_its_status(
    accuracies: list[float], spiked: bool, expected: str
) -> None:
    final = accuracies[-1] if accuracies else 0.0
    levels: dict[str, Any] = {"chance": CHANCE, "learned": LEARNED}

    assert classify(accuracies, final, spiked=spiked, **levels) == expected
    assert classify(accuracies, final, spiked=spiked, finite=False, **levels) == "nonfinite"


def test_every_status_of_a_finished_trial_can_be_had() -> None:
    had = {expected for _, _, expected in HISTORIES.values()} | {"nonfinite"}

    assert had == set(FINISHED)


@pytest.mark.parametrize(
    ("classes", "target", "expected"), [(10, 0.9, 0.5), (2, 0.9, 0.7), (10, 0.85, 0.475)]
)
def test_learned_is_half_way_from_chance_to_the_target(
    classes: int, target: float, expected: float
) -> None:
    assert learned_level(classes, target) == pytest.approx(expected)


def trials(**columns: list[Any]) -> pd.DataFrame:
    count = len(next(iter(columns.values())))
    fixed = {"classes": 10, "target_accuracy": 0.9, "first_spike_step": NAN}
    return pd.DataFrame({**{k: [v] * count for k, v in fixed.items()}, **columns})


ENDS = [
    # status, first step with a spike, validation accuracy; exploded, overshoot, learned
    ("stable", NAN, 0.9, False, False, True),
    ("stable", NAN, 0.5, False, False, True),
    ("stable", NAN, 0.25, False, False, False),
    ("recovered", 7.0, 0.9, True, True, True),
    ("damaged", 7.0, 0.25, True, False, False),
    ("collapsed", 7.0, 0.1, True, False, False),
    ("collapsed", NAN, 0.1, False, False, False),
    ("dead", 2.0, 0.1, True, False, False),
    ("stalled", NAN, 0.1, False, False, False),
    ("nonfinite", NAN, NAN, True, False, False),
    ("nonfinite", 7.0, NAN, True, False, False),
    ("skipped", NAN, NAN, False, False, False),
    ("failed", NAN, NAN, False, False, False),
]


@pytest.mark.parametrize(
    ("ended", "spike", "accuracy", "exploded", "overshoot", "learned"),
    ENDS,
    ids=[f"{end[0]} {end[1]:g} {end[2]:g}" for end in ENDS],
)
def test_who_exploded_and_who_learned(
    ended: str, spike: float, accuracy: float, exploded: bool, overshoot: bool, learned: bool
) -> None:
    rows = trials(status=[ended], first_spike_step=[spike], validation_accuracy=[accuracy])
    words = ("exploded", "overshoot", "learned", "diverged")
    found = {word: getattr(status, word)(rows).tolist() for word in words}

    assert found == {
        "exploded": [exploded],
        "overshoot": [overshoot],
        "learned": [learned],
        "diverged": [exploded and not overshoot],
    }


def test_a_silent_collapse_has_no_spike() -> None:
    ends = {"status": ["collapsed", "collapsed", "stalled"], "first_spike_step": [7.0, NAN, NAN]}
    assert status.silently_collapsed(trials(**ends)).tolist() == [False, True, False]


def test_the_table_of_endings_leaves_no_status_out() -> None:
    assert {end[0] for end in ENDS} == set(STATUSES)


def test_at_chance_nothing_is_learned_whatever_the_target() -> None:
    # so few classes and examples that guessing may get half way to the target
    rows = trials(status=["dead", "stalled"], validation_accuracy=[0.6, 0.6], classes=[2, 2])

    assert not status.learned(rows.assign(target_accuracy=0.6)).any()


@pytest.mark.parametrize(
    ("steps", "warm_up", "expected"),
    [
        (0, 0, True),
        (1, 0, True),
        (99, 99, False),
        (100, 99, True),
        (NAN, 99, False),
        (5, NAN, True),
    ],
)
def test_a_rule_could_act_in_a_step_after_its_warm_up(
    steps: float, warm_up: float, expected: bool
) -> None:
    rows = trials(steps=[steps], warm_up_steps=[warm_up])

    assert could_act(rows).tolist() == [expected]


@pytest.mark.parametrize(("warm_up", "expected"), [(100, False), (99, True), (NAN, True)])
def test_a_batch_policy_has_a_warm_up_of_its_own(warm_up: float, expected: bool) -> None:
    rows = trials(steps=[100], warm_up_steps=[0], policy_warm_up_steps=[warm_up])

    assert could_act(rows, "batch_policy").tolist() == [expected]
    assert could_act(rows).tolist() == [True]


def test_results_without_the_column_of_a_warm_up_count_as_before() -> None:
    rows = trials(steps=[100], warm_up_steps=[0])

    assert could_act(rows, "batch_policy").tolist() == [True]


@pytest.mark.parametrize(("disturbed", "expected"), [(25, False), (26, True), (NAN, True)])
def test_a_disturbance_within_the_warm_up_says_nothing(disturbed: float, expected: bool) -> None:
    rows = trials(steps=[100], warm_up_steps=[25], disturbed_step=[disturbed])

    assert could_act(rows).tolist() == [expected]
