"""Disturbances: made half way, the same for every strategy, and what they cost."""

import dataclasses
import itertools
import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from benchmark import Trial, train
from benchmark.contracts import BrokenContract, check
from benchmark.data import Dataset
from benchmark.engine.runs.disturbing import disturbed_batch
from benchmark.statistics import disturbances as statistics
from benchmark.strategies.disturbances import DISTURBANCES, Disturbance

TROUBLE = [name for name in DISTURBANCES if name != "none"]
CHECKPOINTS = 4


def trials(toy: Dataset, **changes: Any) -> list[Trial]:
    chosen: dict[str, Any] = {"updates": 16, "batch_size": 16, "precision": "float64", **changes}
    return [
        Trial(dataset=toy, learning_rate=rate, seed=seed, **chosen)
        for seed, rate in enumerate((0.05, 0.2))
    ]


ARMS: list[dict[str, Any]] = [
    {},
    {"updates": None, "epochs": 16 / 6},
    {"batch_policy": "accumulate"},
    {"batch_policy": "doubling", "batch_size": 4},
    {"clipping": "skip_step", "optimizer": "adam"},
]


@pytest.mark.parametrize("arm", ARMS, ids=str)
@pytest.mark.parametrize("name", TROUBLE)
def test_equal_to_the_same_seed_without_it_up_to_the_disturbed_step(
    toy: Dataset, name: str, arm: dict[str, Any]
) -> None:
    calm, disturbed = (
        train(trials(toy, disturbance=which, **arm), device="cpu", checkpoints=CHECKPOINTS)
        for which in ("none", name)
    )
    assert disturbed.trials["disturbed_step"].tolist() == [9, 9]
    assert calm.trials["disturbed_step"].isna().all()
    columns = [c for c in calm.history.columns if c != "trial"]
    before, after = (
        [record.history.loc[of(record.history["step"]), columns] for record in (calm, disturbed)]
        for of in (lambda step: step <= 8, lambda step: step > 8)
    )
    pd.testing.assert_frame_equal(*before, check_exact=True)
    assert (after[0]["train_loss"].to_numpy() != after[1]["train_loss"].to_numpy()).any()


@pytest.mark.parametrize("name", TROUBLE)
def test_together_as_alone(toy: Dataset, name: str) -> None:
    group = trials(toy, disturbance=name)
    together, alone = (
        train(group, device="cpu", checkpoints=CHECKPOINTS, together=width).history
        for width in (2, 1)
    )
    numbers = together.select_dtypes("number").columns
    np.testing.assert_allclose(
        together[numbers].astype(float), alone[numbers].astype(float), rtol=1e-8
    )


def test_bad_batches_have_other_labels_and_brighter_pixels() -> None:
    images, labels = torch.rand(2, 64, 1, 2, 2), torch.arange(64).repeat(2, 1)
    found, shuffled = disturbed_batch(DISTURBANCES["bad_batch"], [3, 4], [0, 0], images, labels)

    assert torch.equal(found, 10 * images)
    assert torch.equal(shuffled.sort(dim=1).values, labels)
    # each seed its own order, and the same one again
    assert not torch.equal(shuffled[0], shuffled[1])
    again = disturbed_batch(DISTURBANCES["bad_batch"], [4], [0], images[1:], labels[1:])
    assert torch.equal(again[1][0], shuffled[1])
    later = disturbed_batch(DISTURBANCES["bad_batch"], [4], [1], images[1:], labels[1:])
    assert not torch.equal(later[1][0], shuffled[1])


def test_one_example_is_corrupted() -> None:
    images, labels = torch.ones(1, 64, 1, 2, 2), torch.arange(64).repeat(1, 1)
    found, changed = disturbed_batch(DISTURBANCES["corrupt_example"], [0], [0], images, labels)

    wrong = (changed != labels)[0]
    assert wrong.sum() == 1
    assert (found[0, wrong] == 1000).all()
    assert sorted(found.flatten(2).mean(dim=2)[0].tolist())[-2:] == [1.0, 1000.0]


def test_a_bump_multiplies_the_rate_of_five_updates(toy: Dataset) -> None:
    group = trials(toy, disturbance="rate_bump", updates=16, schedule="cosine")
    calm = train(trials(toy, schedule="cosine"), device="cpu", checkpoints=16).history
    bumped = train(group, device="cpu", checkpoints=16).history
    ratio = (bumped["learning_rate"] / calm["learning_rate"]).iloc[:17]

    # a checkpoint an update: rows 1 to 16 are the updates
    expected = [1.0] * 9 + [30.0] * 5 + [1.0] * 3
    assert ratio.tolist() == pytest.approx(expected)


@pytest.mark.parametrize(
    ("name", "updates", "runs"),
    [
        ("bad_batch", 10, True),
        ("bad_batch", 9, False),
        ("corrupt_example", 2, True),
        ("corrupt_example", 1, False),
        ("rate_bump", 0, False),
    ],
)
def test_a_budget_too_small_for_it_is_skipped(
    toy: Dataset, name: str, updates: int, runs: bool
) -> None:
    trial = Trial(dataset=toy, disturbance=name, updates=updates)
    row = train(trial, device="cpu", checkpoints=4).trials.iloc[0]

    assert (row["status"] != "skipped") == runs
    assert runs or f"{name} takes" in row["status_reason"]


def explode(images: torch.Tensor, labels: torch.Tensor, generator: torch.Generator) -> Any:
    return 1e4 * images, labels


def test_the_loss_of_other_data_is_no_spike(toy: Dataset) -> None:
    loud = Disturbance("loud", 1, "-", "pixels x 10,000", batch=explode)
    # a step too small to change anything: only the batch's own loss is large
    trial = Trial(dataset=toy, updates=8, learning_rate=1e-12, disturbance=loud)
    record = train(trial, device="cpu", checkpoints=4)

    assert record.history["train_loss_max"].max() > 100
    assert pd.isna(record.trials["first_spike_step"].item())
    # what it did to the network is one
    trial = dataclasses.replace(trial, learning_rate=1e-3)
    row = train(trial, device="cpu", checkpoints=4).trials.iloc[0]
    assert row["first_spike_step"] == row["disturbed_step"] + 1 == 6


def loses_examples(images: Any, labels: Any, generator: Any) -> Any:
    return images[1:], labels[1:]


def draws(images: Any, labels: Any, generator: Any) -> Any:
    return images + torch.rand(images.shape), labels


def in_place(images: Any, labels: Any, generator: Any) -> Any:
    return images.mul_(2), labels


def new_class(images: Any, labels: Any, generator: Any) -> Any:
    return images, labels + 1


def no_rate(rate: float) -> float:
    return 0.0


BROKEN = {
    "examples": ({"batch": loses_examples}, "type and shape"),
    "generator": ({"batch": draws}, "draw from no other"),
    "argument": ({"batch": in_place}, "as they were"),
    "labels": ({"batch": new_class}, "labels of the batch's classes"),
    "rate": ({"rate": no_rate}, "positive rate"),
    "nothing": ({"updates": 2}, "must change the batch or the rate"),
}


@pytest.mark.parametrize(("fields", "rule"), BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_rule_is_named(fields: dict[str, Any], rule: str) -> None:
    whole = {"updates": 1, **fields}
    mine = Disturbance("mine", reference="-", summary="-", **whole)

    with pytest.raises(BrokenContract, match=rule):
        check(mine)


# statistics, on made-up trials


def made(seeds: int = 3) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Seed k loses k + 1 points at the end, and is level again after 10 (k + 1) updates."""
    rows, history = [], []
    for seed in range(seeds):
        for name in ("none", "bad_batch"):
            trial = Trial(updates=80, disturbance=name, seed=seed)
            lost = 0.01 * (seed + 1) if name == "bad_batch" else 0.0
            outcome = {"disturbed_step": 41.0 if lost else math.nan, "accuracy": 0.9 - lost}
            rows.append({"trial": trial.key, "cell": trial.cell, **trial.row(), **outcome})
            for step in range(0, 81, 10):
                down = lost and 41 <= step < 50 + 10 * (seed + 1)
                accuracy = 0.5 if down else 0.9 - 0.001 * bool(lost)
                history.append({"trial": trial.key, "step": step, "samples": 32 * step})
                history[-1]["validation_accuracy"] = accuracy
    return pd.DataFrame(rows), pd.DataFrame(history)


def test_accuracy_lost_is_paired_by_seed() -> None:
    frame, _ = made()
    found = statistics.accuracy_lost(frame).iloc[0]

    assert found[["disturbance", "clipping", "pairs"]].tolist() == ["bad_batch", "none", 3]
    assert found["lost"] == pytest.approx(0.02)
    # Student's interval of 1, 2 and 3 points
    assert found["low"] == pytest.approx(0.02 - 4.3027 * 0.01 / math.sqrt(3), abs=1e-5)


def guarded(rate: float, arm: str, lost: list[float], clipping: str = "value") -> pd.DataFrame:
    """A trial with and one without a bad batch a seed, of which the former loses so much."""
    rows = []
    for (seed, much), name in itertools.product(enumerate(lost), ("none", "bad_batch")):
        trial = Trial(
            clipping=clipping, learning_rate=rate, disturbance=name, seed=seed, arm=arm, updates=80
        )
        rows.append(trial.row() | {"accuracy": 0.9 - much * (name != "none"), "trial": trial.key})
    return pd.DataFrame(rows).assign(disturbed_step=41.0)


NO_GUARD = guarded(0.1, "x0.3", [0.1, 0.2, 0.3], "none")


def test_arms_are_never_pooled() -> None:
    own, shared = guarded(0.5, "x0.3", [0.6] * 3), guarded(0.1, "shared_x0.3", [0.1] * 3)
    found = statistics.accuracy_lost(pd.concat([NO_GUARD, own, shared], ignore_index=True))

    lost = found.set_index(["clipping", "arm"])["lost"]
    assert lost.round(9).to_dict() == {
        ("none", "x0.3"): 0.2,
        ("value", "x0.3"): 0.6,
        ("value", "shared_x0.3"): 0.1,
    }


@pytest.mark.parametrize(
    ("guards", "lost"),
    [
        # the arm at the rate without a guard, not the guard's own rate
        ([guarded(0.5, "x0.3", [0.6] * 3), guarded(0.1, "shared_x0.3", [0.1] * 3)], 0.1),
        # both, where its own rate is the same: once
        ([guarded(0.1, "x0.3", [0.1] * 3), guarded(0.1, "shared_x0.3", [0.1] * 3)], 0.1),
        # no such arm, but the same rate
        ([guarded(0.1, "x0.3", [0.4] * 3)], 0.4),
        ([guarded(0.5, "x0.3", [0.6] * 3)], None),
    ],
    ids=["shared", "both", "same", "none"],
)
def test_guards_are_compared_at_one_rate(guards: list[pd.DataFrame], lost: float | None) -> None:
    found = statistics.losses_saved(pd.concat([NO_GUARD, *guards], ignore_index=True))

    assert found["lost"].tolist() == ([] if lost is None else pytest.approx([lost]))
    assert found["pairs"].tolist() == ([] if lost is None else [3])


def test_further_thresholds_are_no_part_of_the_comparison_at_defaults() -> None:
    guard = guarded(0.1, "shared_x0.3", [0.05, 0.02, 0.05])
    further = guarded(0.1, "threshold_x0.3", [0.0, 0.0, 0.0]).assign(clipping_threshold=10.0)
    default = pd.concat([NO_GUARD, guard], ignore_index=True)
    both = pd.concat([default, further], ignore_index=True)

    pd.testing.assert_frame_equal(statistics.losses_saved(both), statistics.losses_saved(default))
    pd.testing.assert_frame_equal(
        statistics.ends_above_none(both), statistics.ends_above_none(default)
    )


def test_a_guard_is_scored_by_the_share_of_the_loss_that_it_saves() -> None:
    guard = guarded(0.1, "shared_x0.3", [0.05, 0.02, 0.05])
    found = statistics.losses_saved(pd.concat([NO_GUARD, guard], ignore_index=True)).iloc[0]

    # 0.12 of 0.6; without each seed 0.07 of 0.5, 0.1 of 0.4 and 0.07 of 0.3
    without = np.array([0.86, 0.75, 1 - 0.07 / 0.3])
    half = 4.3027 * np.sqrt(2 / 3 * ((without - without.mean()) ** 2).sum())
    assert found["saved"] == pytest.approx(0.8)
    assert found["saved_low"] == pytest.approx(0.8 - half, abs=1e-5)
    assert found[["bare", "extra"]].tolist() == pytest.approx([0.2, -0.16])


def at_rates() -> pd.DataFrame:
    """Value clipping saves 10 points at 0.3 times the best rate; at that rate it loses 20 more."""
    slow = [NO_GUARD, guarded(0.1, "shared_x0.3", [0.0, 0.1, 0.2])]
    fast = [guarded(0.3, "x1", [0.2, 0.3, 0.4], "none"), guarded(0.3, "shared_x1", [0.4, 0.5, 0.6])]
    own = guarded(0.5, "x0.3", [0.05, 0.15, 0.25])
    return pd.concat([*slow, *fast, own], ignore_index=True)


def test_each_rate_is_a_comparison_of_its_own() -> None:
    found = statistics.ends_above_none(at_rates())
    hit = found[found["disturbance"] == "bad_batch"]

    assert hit[["own", "times"]].fillna(0.0).values.tolist() == [
        [False, 0.3],
        [False, 1.0],
        [True, 0.0],
    ]
    assert hit["effect"].tolist() == pytest.approx([0.1, -0.2, 0.05])
    # of no guard there are losses of 10 to 30 points, which three seeds do not tell from none
    assert hit["felt"].tolist() == [False, True, False]
    saved = statistics.losses_saved(at_rates())
    assert saved[["times", "bare"]].values.tolist() == [[0.3, pytest.approx(0.2)], [1.0, 0.3]]


def test_what_is_said_of_a_guard_is_said_at_each_rate() -> None:
    sure = [0.19, 0.2, 0.21]
    bare = [guarded(rate, arm, sure, "none") for rate, arm in ((0.1, "x0.3"), (0.3, "x1"))]
    lone = guarded(0.1, "x0.3", sure, "none").assign(model="cnn")
    more = guarded(0.1, "shared_x0.3", [0.0] * 3).assign(model="cnn")
    frame = pd.concat([at_rates().query("clipping != 'none'"), *bare, lone, more])
    found = statistics.guards_by_rate(frame.reset_index(drop=True), ["model"])

    # the CNN was not run at the best rate itself
    assert found["cases"].tolist() == [1, 1, 1]
    assert found["effect"].tolist() == pytest.approx([0.1, -0.3, 0.05])
    assert found["calm"].tolist() == pytest.approx([0.0] * 3)


def test_each_threshold_is_a_comparison_of_its_own() -> None:
    """Ten points above none at the default; at a looser one 20, and one more where it is calm."""
    bare = guarded(0.1, "x0.3", [0.19, 0.2, 0.21], "none")
    default = guarded(0.1, "shared_x0.3", [0.09, 0.1, 0.11]).assign(clipping_threshold=0.1)
    looser = guarded(0.1, "threshold_x0.3", [-0.01, 0.0, 0.01]).assign(clipping_threshold=1.0)
    looser.loc[looser["disturbance"] == "none", "accuracy"] += 0.01
    # at this rate there are none
    alone = guarded(0.3, "shared_x1", [0.5] * 3).assign(clipping_threshold=0.1)
    frame = pd.concat([bare, default, looser, alone], ignore_index=True)
    found = statistics.guards_by_threshold(frame.assign(clipped_fraction=0.5))

    assert found[["times", "clipping_threshold", "published"]].values.tolist() == [
        [0.3, 0.1, True],
        [0.3, 1.0, False],
    ]
    assert found["effect"].tolist() == pytest.approx([0.1, 0.2])
    assert found["calm"].tolist() == pytest.approx([0.0, 0.01])
    assert found["cases"].tolist() == [1, 1]
    assert statistics.guards_by_threshold(bare.assign(clipped_fraction=0.0)).empty


@pytest.mark.parametrize(
    ("lost", "sure"),
    [
        # the guard loses less on every seed, and on one far less: the interval reaches zero
        ([0.19] * 9 + [-0.6], True),
        ([0.19] * 8 + [0.21, -0.6], True),
        ([0.19] * 5 + [0.21] * 4 + [-0.6], False),
    ],
)
def test_one_seed_that_gains_far_more_does_not_hide_the_others(
    lost: list[float], sure: bool
) -> None:
    bare = guarded(0.1, "x0.3", [0.2 + 0.001 * k for k in range(10)], "none")
    guard = guarded(0.1, "shared_x0.3", [x + 0.001 * k for k, x in enumerate(lost)])
    frame = pd.concat([bare, guard], ignore_index=True).assign(model="mlp")
    found = statistics.guards_by_rate(frame, ["model"]).query("clipping != 'none'").iloc[0]
    assert found["low"] < 0 < found["effect"]
    assert found["sure"] == sure


def test_a_guard_that_costs_more_than_it_saves_ends_below() -> None:
    """All of a loss is saved by what has less to lose: 20 points below where nothing happens."""
    guard = guarded(0.1, "shared_x0.3", [0.0, 0.0, 0.0])
    slow = guard.assign(accuracy=guard["accuracy"] - 0.2 - 0.01 * guard["seed"])
    found = statistics.losses_saved(pd.concat([NO_GUARD, slow], ignore_index=True)).iloc[0]

    assert found[["saved", "premium", "gained"]].tolist() == pytest.approx([1.0, 0.21, -0.01])
    # the premium of the seeds is 20, 21 and 22 points, what is saved less that -10, -1 and 8
    half = 4.3027 / math.sqrt(3)
    assert found[["premium_low", "premium_high"]].tolist() == pytest.approx(
        [0.21 - 0.01 * half, 0.21 + 0.01 * half], abs=1e-5
    )
    assert found["gained_low"] == pytest.approx(-0.01 - 0.09 * half, abs=1e-5)


def test_there_is_no_share_of_less_than_a_point() -> None:
    bare, guard = guarded(0.1, "x0.3", [0.002, 0.004], "none"), guarded(0.1, "x0.3", [0.0, 0.0])
    found = statistics.losses_saved(pd.concat([bare, guard], ignore_index=True)).iloc[0]

    assert found[["saved", "saved_low", "saved_high"]].isna().all()
    assert found["extra"] == pytest.approx(-0.003)


@pytest.mark.parametrize(("tolerance", "expected"), [(0.01, [19, 29, 39]), (0.0, [math.inf] * 3)])
def test_updates_until_the_loss_is_made_up(tolerance: float, expected: list[float]) -> None:
    found = statistics.made_up(*made(), tolerance=tolerance)

    assert found["updates_to_make_up"].tolist() == expected


def test_what_the_disturbance_never_reached_is_left_out() -> None:
    frame, history = made()
    frame.loc[frame["seed"] == 0, "disturbed_step"] = math.nan

    assert statistics.made_up(frame, history)["seed"].tolist() == [1, 2]


@pytest.mark.parametrize(
    ("updates", "share", "median"),
    [
        ([10.0, 30.0, 20.0], 1.0, 20.0),
        ([10.0, math.inf, 20.0], 2 / 3, 20.0),
        ([10.0, math.inf, math.inf], 1 / 3, math.inf),
        ([10.0, math.inf], 0.5, 10.0),
    ],
)
def test_recovery(updates: list[float], share: float, median: float) -> None:
    rows = {"disturbance": "bad_batch", "arm": "x0.3", "clipping": "none"}
    rows |= {"seed": range(len(updates))}
    frame = pd.DataFrame({**rows, "updates_to_make_up": updates})
    found = statistics.recovery(frame).iloc[0]

    assert found[["share", "median"]].tolist() == [pytest.approx(share), median]
    assert found["low"] < found["share"] or found["share"] < found["high"]
