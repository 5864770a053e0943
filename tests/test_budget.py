"""Budgets in updates: as many updates whatever the batch size, and everything that follows."""

from typing import Any

import pytest
import torch

from benchmark import Search, Study, Trial, train
from benchmark.data import Dataset
from benchmark.engine.runs.order import data_order
from benchmark.engine.steps.batches import Batches
from benchmark.engine.trials import packing
from benchmark.engine.trials.budget import Budget
from benchmark.engine.trials.resolve import group_by_shape, resolve


@pytest.mark.parametrize(
    ("budget", "batch_size", "expected"),
    [
        # updates in all, until half is used, and before the first at half or more
        (Budget(100), 30, (3, 2, 2)),
        (Budget(96), 32, (3, 2, 2)),
        (Budget(31), 32, (0, 0, 1)),
        (Budget(7, in_updates=True), 32, (7, 3, 4)),
        (Budget(8, in_updates=True), 9000, (8, 4, 4)),
        (Budget(0, in_updates=True), 1, (0, 0, 0)),
    ],
    ids=str,
)
def test_updates_of_a_budget(
    budget: Budget, batch_size: int, expected: tuple[int, int, int]
) -> None:
    whole = budget.updates_until(budget.amount, used=0, batch_size=batch_size)
    half = budget.updates_until(budget.share(1, 2), used=0, batch_size=batch_size)
    before = budget.updates_before(0.5, used=0, batch_size=batch_size)

    assert (whole, half, before) == expected


@pytest.mark.parametrize(
    ("epochs", "examples", "amount"),
    [
        *((0.29, 100, 29), (1.13, 50_000, 56_500), (0.57, 50_000, 28_500), (0.295, 100, 29)),
        # a share that no decimal writes
        *((1 / 12, 96, 8), (2 / 3, 96, 64), (0.0, 96, 0)),
    ],
)
def test_no_example_of_a_budget_is_lost_to_rounding(
    epochs: float, examples: int, amount: int
) -> None:
    assert Budget.of(Trial(epochs=epochs), examples) == Budget(amount)


def test_progress_is_a_share_of_the_budget_in_its_own_unit() -> None:
    updates, examples = Budget(10, in_updates=True), Budget(10)

    assert updates.progress(2, used=5, batch_size=64) == pytest.approx(0.75)
    assert examples.progress(1, used=4, batch_size=2) == pytest.approx(0.7)


ARMS = [
    ({"batch_size": 16}, 20, 320, 16),
    # a batch of two thirds of the training set runs on across passes
    ({"batch_size": 64}, 20, 1280, 64),
    ({"batch_policy": "full"}, 20, 1920, 96),
    ({"batch_size": 8, "batch_policy": "doubling"}, 20, 600, 64),
    ({"batch_size": 8, "batch_policy": "accumulate"}, 20, 160, 8),
]


@pytest.mark.parametrize(("arm", "steps", "samples", "last"), ARMS)
def test_every_arm_makes_the_updates_of_its_budget(
    toy: Dataset, arm: dict[str, Any], steps: int, samples: int, last: int
) -> None:
    record = train(Trial(dataset=toy, updates=20, **arm), device="cpu", checkpoints=4)
    row = record.trials.iloc[0]

    assert (row["steps"], row["samples"], row["final_batch_size"]) == (steps, samples, last)
    assert record.history["step"].tolist() == [0, 5, 10, 15, 20]


def test_a_schedule_goes_by_updates(toy: Dataset) -> None:
    trial = Trial(dataset=toy, updates=8, batch_size=4, batch_policy="doubling", schedule="step")
    history = train(trial, device="cpu", checkpoints=4).history
    # 0.1 and 0.01 after a half and three quarters of the updates; 0.75 at each doubling
    expected = [0.1, 0.1, 0.1 * 0.75, 0.01 * 0.75**2, 0.001 * 0.75**3]

    assert history["learning_rate"].tolist() == pytest.approx(expected)


def test_fewer_updates_than_checkpoints(toy: Dataset) -> None:
    history = train(Trial(dataset=toy, updates=3), device="cpu", checkpoints=8).history

    assert history["step"].tolist() == [0, 1, 2, 3]


def test_both_budgets_are_one_training_where_they_hold_as_many_updates(toy: Dataset) -> None:
    trials = [Trial(dataset=toy, batch_size=32, **b) for b in ({"epochs": 4}, {"updates": 12})]
    rows = train(trials, device="cpu", checkpoints=4).trials

    assert rows["epochs"].tolist()[0] == 4
    assert rows["updates"].tolist()[1] == 12
    assert rows["trial"].nunique() == 2
    assert rows["test_loss"].nunique() == 1


def test_batches_of_an_update_budget_follow_one_stream(
    toy: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[torch.Tensor] = []
    batch = Batches.__call__

    def watched(self: Batches, index: torch.Tensor) -> Any:
        seen.append(index[0])
        return batch(self, index)

    # kernels take their batches themselves
    monkeypatch.setenv("BENCHMARK_KERNELS", "torch")
    monkeypatch.setattr(Batches, "__call__", watched)
    train(Trial(dataset=toy, updates=5, batch_size=64, seed=3), device="cpu", checkpoints=4)
    # gradients are sampled on batches that were looked at before
    batches = list({tuple(i.tolist()): i for i in seen if len(i) == 64}.values())

    assert torch.equal(torch.cat(batches), data_order(3, 96, 0, 5 * 64))


@pytest.mark.parametrize(
    ("given", "expected"),
    [({}, (5.0, None)), ({"epochs": 2}, (2.0, None)), ({"updates": 7}, (None, 7))],
)
def test_a_resolved_trial_has_one_budget(given: dict[str, Any], expected: tuple[Any, Any]) -> None:
    trial = resolve(Trial(**given))

    assert (trial.epochs, trial.updates) == expected
    assert resolve(trial) == trial


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"epochs": 1, "updates": 3}, "only one of .* but got epochs=1 and updates=3"),
        ({"updates": -1}, "`updates` must be a whole number in .* or None, but got -1"),
        ({"updates": 1.5}, "`updates` must be a whole number in .* or None, but got 1.5"),
    ],
)
def test_a_bad_budget_is_quoted(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        resolve(Trial(**given))


def test_trials_of_one_unit_have_one_budget() -> None:
    trials = [resolve(Trial(updates=u, seed=s)) for u in (5, 6) for s in (0, 1)]

    assert [len(group) for group in group_by_shape(trials)] == [2, 2]


@pytest.mark.parametrize(
    ("changes", "seen"),
    [
        ({"batch_size": 16}, 160),
        ({"batch_policy": "full"}, 960),
        # 2.5 updates a quarter, rounded down: 2, 3, 2, 3 of 8, 16, 32 and 64 examples
        ({"batch_size": 8, "batch_policy": "doubling"}, 2 * 8 + 3 * 16 + 2 * 32 + 3 * 64),
        ({"batch_size": 16, "batch_policy": "noise_scale"}, 160),
    ],
)
def test_examples_that_a_budget_in_updates_comes_to(
    toy: Dataset, changes: dict[str, Any], seen: int
) -> None:
    trial = resolve(Trial(dataset=toy, updates=10, **changes))

    assert packing.expected_examples(trial, 96, 4) == seen


STUDY = Study(
    name="two_arms",
    question="Examples or updates?",
    factors=[{"epochs": 1.0}, {"updates": (10, 20)}],
)


@pytest.mark.parametrize(
    ("selection", "expected"),
    [
        ({"updates": ["10"]}, [(None, 10)]),
        ({"epochs": ["1"]}, [(1.0, None)]),
        ({"updates": ["7"]}, [(None, 7)]),
        ({"epochs": ["0.5"]}, [(0.5, None)]),
    ],
)
def test_a_budget_on_the_command_line_replaces_one_in_the_other_unit(
    selection: dict[str, list[str]], expected: list[tuple[Any, Any]]
) -> None:
    found = [(t.epochs, t.updates) for t in STUDY.only(selection).trials()]

    assert found == expected


def test_a_search_takes_a_budget_in_the_other_unit() -> None:
    search = Search(
        name="s", question="Which?", space={"learning_rate": (0.1, 1.0)}, fixed={"epochs": 2}
    ).only({"updates": ["9"]})

    assert "epochs" not in search.fixed
    assert search.each["updates"] == [9]
