"""Policies that change the batch against their two rivals, and where larger batches pay."""

import math

import numpy as np
import pandas as pd
import pytest

from benchmark.records import Trial
from benchmark.statistics import policies, targets

SCORES = {"fixed": (0.8, 0.7), "doubling": (0.9, 0.5), "cosine": (0.6, 0.85), "step": (0.5, 0.5)}
"""Accuracy at the rates 0.1 and 0.2 of the policies, and of fixed sizes under schedules."""


def trials() -> pd.DataFrame:
    rows = []
    for name, scores in SCORES.items():
        decays = name in ("cosine", "step")
        levels = {"schedule": name} if decays else {"batch_policy": name}
        for rate, score in zip((0.1, 0.2), scores, strict=True):
            for seed in range(3):
                trial = Trial(learning_rate=rate, seed=seed, **levels)
                ended = {"accuracy": score, "validation": score, "objective": 1 - score}
                costs = {"samples": 200, "steps_to_target": 10, "samples_to_target": 100}
                rows.append({**trial.row(), **ended, **costs, "seconds": 1.0, "exploded": 0.0})
    return pd.DataFrame(rows).assign(trial=lambda rows: rows.index.astype(str))


BEST = policies.best_policies(policies.beside_policies(trials()))


def test_validation_chooses_the_rate_of_each_policy() -> None:
    rates = BEST.groupby("batch_policy")["learning_rate"].unique().map(list).to_dict()
    assert rates == {"fixed": [0.1], "doubling": [0.1], "cosine decay": [0.2], "step decay": [0.1]}


def test_a_policy_is_held_against_the_fixed_size_and_against_the_best_decay() -> None:
    fixed = policies.against_fixed_size(BEST).set_index("level")
    assert fixed["effect"].to_dict() == pytest.approx(
        {"doubling": 0.1, "cosine decay": 0.05, "step decay": -0.3}
    )
    (row,) = policies.against_decay(BEST).to_dict("records")
    assert (row["level"], row["baseline"], row["pairs"]) == ("doubling", "cosine decay", 3)
    assert row["effect"] == pytest.approx(0.05)


def test_each_decay_may_be_the_rival() -> None:
    found = policies.against_each_decay(BEST).set_index("baseline")
    assert found["level"].tolist() == ["doubling", "doubling"]
    assert found["effect"].to_dict() == pytest.approx({"cosine decay": 0.05, "step decay": 0.4})
    constant = BEST[~BEST["batch_policy"].str.endswith("decay")]
    assert policies.against_each_decay(constant).empty


def made(*settings: dict) -> pd.DataFrame:
    rows = [Trial(**levels).row() | {"accuracy": place} for place, levels in enumerate(settings)]
    return pd.DataFrame(rows)


def test_micro_batches_count_as_the_fixed_size_unless_it_was_run_alike() -> None:
    frame = made(
        {"batch_policy": "accumulate", "learning_rate": 0.1},
        {"batch_policy": "accumulate", "learning_rate": 0.5},
        {"batch_policy": "fixed", "learning_rate": 0.1},
        {"batch_policy": "doubling", "learning_rate": 0.1},
    )
    found = policies.with_accumulated(frame)
    assert found["accuracy"].tolist() == [1, 2, 3]
    assert found["batch_policy"].tolist() == ["fixed", "fixed", "doubling"]


@pytest.mark.parametrize("normalization", ["batch", "ghost_batch"])
def test_with_statistics_of_the_batch_micro_batches_are_a_policy_of_their_own(
    normalization,
) -> None:
    frame = made({"batch_policy": "accumulate", "normalization": normalization})
    assert policies.with_accumulated(frame)["batch_policy"].tolist() == ["accumulate"]


def test_a_trial_of_several_arms_counts_once() -> None:
    frame = made({"batch_policy": "doubling"}, {"batch_policy": "doubling", "arm": "shared_x1"})
    assert policies.beside_policies(frame)["accuracy"].tolist() == [0]


def test_policies_that_lower_their_rate_are_named() -> None:
    doubled = BEST.loc[BEST["batch_policy"] == "doubling", "trial"]
    history = pd.DataFrame(
        {"trial": trial, "step": step, "learning_rate": rate}
        for trial in BEST["trial"]
        for step, rate in ((2, 0.05), (0, 0.1), (1, 0.1))
    )
    (row,) = policies.lowered_rates(BEST, history).to_dict("records")
    assert (row["batch_policy"], row["ratio"]) == ("doubling", 0.5)
    same = history.assign(
        learning_rate=history["learning_rate"].mask(history["trial"].isin(doubled), 1.0)
    )
    assert policies.lowered_rates(BEST, same).empty


def test_at_one_rate_nothing_is_chosen() -> None:
    found = policies.against_fixed_at_one_rate(trials()).set_index(["level", "learning_rate"])
    effects = found["effect"].to_dict()
    assert effects["doubling", 0.1] == pytest.approx(0.1)
    assert effects["doubling", 0.2] == pytest.approx(-0.2)


def test_what_a_policy_cost_is_told_with_the_edge_of_its_rate() -> None:
    found = policies.policy_costs(BEST, policies.beside_policies(trials()))
    rows = found.set_index("batch_policy")
    assert rows.loc["doubling", ["edge", "reached", "steps", "samples"]].tolist() == [
        *("low", 1.0, 10.0, 100.0)
    ]
    assert rows.loc["cosine decay", "edge"] == "high"


def test_only_policies_that_change_the_batch_have_a_rule_and_a_course() -> None:
    assert policies.scaling_rules(trials())["accuracy"].tolist() == pytest.approx([0.9])
    steps = pd.DataFrame({"step": [0, 1, 2], "samples": [0, 50, 100]})
    history = pd.concat([steps.assign(trial=trial) for trial in BEST["trial"]])
    found = policies.sizes_over_training(BEST, history)
    assert found["batch_policy"].unique().tolist() == ["doubling"]
    assert found["share"].tolist() == [0.5] * 3


def sizes(examples: dict[int, float]) -> pd.DataFrame:
    """Two seeds at each batch size that reach the target with so many ``examples``."""
    rows = [(size, seed, cost) for size, cost in examples.items() for seed in range(2)]
    frame = pd.DataFrame(rows, columns=["batch_size", "seed", "samples_to_target"])
    frame["steps_to_target"] = frame["samples_to_target"] / frame["batch_size"]
    frame["trial"] = frame.index.astype(str)
    return frame.assign(model="mlp", learning_rate=0.1, samples=1e4, seconds=1.0)


def test_larger_batches_pay_up_to_twice_the_least_examples() -> None:
    frame = sizes({8: 800.0, 16: 800.0, 32: 3200.0})
    history = pd.DataFrame({"trial": "0", "samples": [0, 800, 900], "noise_scale": [3.0, 5.0, 99]})
    (row,) = targets.where_larger_batches_pay(frame, history, ["model"]).to_dict("records")
    assert row["critical"] == pytest.approx(16 * math.sqrt(2))
    # 100 updates and 50: halved up to there; of a single size beyond there is no doubling
    assert row["below"] == pytest.approx(2.0)
    assert np.isnan(row["beyond"])
    # what comes after the target is not on the way to it
    assert (row["noise_low"], row["noise_high"]) == (3.0, 5.0)


def test_without_a_noise_scale_there_is_none() -> None:
    history = pd.DataFrame({"trial": "0", "samples": [0], "noise_scale": [np.nan]})
    (row,) = targets.where_larger_batches_pay(sizes({8: 1.0}), history, ["model"]).to_dict(
        "records"
    )
    assert np.isnan([row["noise"], row["critical"], row["below"], row["beyond"]]).all()


def test_the_doubling_across_the_critical_size_is_on_neither_side() -> None:
    # 80, 40 and 20 updates; then 64 and 32
    rows = sizes({8: 640.0, 16: 640.0, 32: 640.0, 64: 4096.0, 128: 4096.0})
    history = pd.DataFrame({"trial": "0", "samples": [0], "noise_scale": [np.nan]})
    (row,) = targets.where_larger_batches_pay(rows, history, ["model"]).to_dict("records")
    assert 32 < row["critical"] < 64
    assert (row["below"], row["beyond"]) == pytest.approx((2.0, 2.0))


def test_rules_are_followed_from_every_start_that_the_seeds_do_not_tell_apart() -> None:
    rows = [
        *((8, 0.1, 0.90, 0), (8, 0.1, 0.91, 1), (8, 0.2, 0.91, 0), (8, 0.2, 0.90, 1)),
        *((8, 0.4, 0.50, 0), (8, 0.4, 0.51, 1)),
        *(
            (32, rate, 0.9 if rate == 0.4 else 0.5, seed)
            for rate in (0.1, 0.2, 0.4)
            for seed in (0, 1)
        ),
    ]
    frame = pd.DataFrame(rows, columns=["batch_size", "learning_rate", "validation", "seed"])
    found = targets.rules_over_starts(frame.assign(objective=1.0))
    assert found["start"].tolist() == [0.1, 0.2]
    assert found["linear"].tolist() == [32, 8]
    assert found["root"].tolist() == [8, 32]


def test_rules_start_from_the_best_rate_of_the_smallest_batch() -> None:
    rows = [(8, 0.1, 0.9), (8, 0.4, 0.5), (32, 0.1, 0.5), (32, 0.2, 0.9), (32, 0.4, 0.895)]
    frame = pd.DataFrame(rows, columns=["batch_size", "learning_rate", "validation"])
    both = pd.concat([frame.assign(model=model) for model in ("mlp", "cnn")])
    found = targets.rules_for_rate(both.assign(objective=1.0), ["model"])
    assert found["model"].tolist() == ["mlp", "mlp", "cnn", "cnn"]
    assert found["linear"].tolist() == pytest.approx([0.1, 0.4] * 2)
    assert found["linear_good"].all()
    assert found["root_good"].all()
