"""The engine's rules: batched equals serial, paired seeds, broken trials apart, statuses."""

import dataclasses
import math
import os
import platform
import subprocess
import sys
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from benchmark import Trial, train
from benchmark.data import Dataset, load, tensor_dataset
from benchmark.engine import training
from benchmark.engine.runs.order import data_order
from benchmark.engine.steps import program as engine_program
from benchmark.engine.steps.program import Program
from benchmark.engine.trials import packing
from benchmark.engine.trials.resolve import REGISTRIES, group_by_shape, parts_of, resolve
from benchmark.models import INITIALIZATIONS, MODELS, initialize, module_model
from benchmark.names import UnknownName
from benchmark.records import NUMERIC_FACTORS, OWNERS
from benchmark.status import could_act
from benchmark.strategies.batch_policies import BATCH_POLICIES, BatchPolicy, Decision
from benchmark.strategies.clipping import CLIPPINGS
from benchmark.strategies.losses import LOSSES
from benchmark.strategies.normalization import NORMALIZATIONS
from benchmark.strategies.optimizers import OPTIMIZERS
from benchmark.strategies.precision import PRECISIONS
from benchmark.strategies.scaling import SCALINGS
from benchmark.strategies.schedules import SCHEDULES

OUTCOME = ["status", "first_bad_step", "steps", "samples", "final_batch_size"]
MEASURED = [
    "initial_loss",
    "train_loss",
    "validation_loss",
    "validation_accuracy",
    "test_loss",
    "gradient_norm_median",
    "gradient_norm_max",
    "clipped_fraction",
]


def run(*trials: Trial, **options: Any) -> pd.DataFrame:
    return train(list(trials), device="cpu", checkpoints=4, **options).trials


def three(toy: Dataset, **more: Any) -> list[Trial]:
    return [
        Trial(dataset=toy, learning_rate=rate, seed=seed, batch_size=16, epochs=1.5, **more)
        for rate, seed in ((0.05, 0), (0.2, 1), (0.02, 2))
    ]


ARMS = [
    *({"clipping": name} for name in CLIPPINGS),
    *({"normalization": name} for name in NORMALIZATIONS),
    *({"normalization": name, "model": "cnn"} for name in NORMALIZATIONS),
    *({"batch_policy": name} for name in BATCH_POLICIES),
    *({"optimizer": name} for name in OPTIMIZERS),
    *({"schedule": name} for name in SCHEDULES),
    *({"loss": name} for name in LOSSES),
    *({"initialization": name} for name, i in INITIALIZATIONS.items() if i.draw is not None),
    *({"learning_rate_scaling": name, "batch_policy": "doubling"} for name in SCALINGS),
    {"train_fraction": 0.5},
    *({"model": name} for name in MODELS if name not in ("mlp_deep", "cnn_deep", "transformer")),
    # without normalization it explodes at these rates, and rounding with it
    {"model": "transformer", "normalization": "layer"},
    {"model": "rnn", "normalization": "layer", "clipping": "adaptive"},
    {"model": "rnn", "normalization": "weight_norm"},
    {"model": "resnet", "normalization": "batch"},
    {"model": "transformer", "normalization": "weight_standardization"},
    {"model": "mlp_deep", "depth": 3},
    {"model": "cnn_deep", "depth": 3},
    {"batch_policy": "accumulate", "normalization": "batch"},
    {"batch_policy": "doubling", "normalization": "batch", "optimizer": "adam"},
]


@pytest.mark.parametrize("arm", ARMS, ids=lambda arm: "-".join(map(str, arm.values())))
def test_a_batched_unit_equals_each_trial_alone(toy: Dataset, arm: dict[str, Any]) -> None:
    assert_as_alone(three(toy, precision="float64", **arm))


@pytest.mark.parametrize("policy", ["doubling", "norm_test", "dive"])
def test_trials_whose_policy_has_other_numbers_train_as_alone(toy: Dataset, policy: str) -> None:
    found = BATCH_POLICIES[policy].parameter
    assert found is not None
    trials = [
        dataclasses.replace(trial, batch_policy_parameter=number)
        for trial, number in zip(
            three(toy, precision="float64", batch_policy=policy),
            (found.low, found.default, found.high),
            strict=True,
        )
    ]
    assert len(group_by_shape(map(resolve, trials))) == 1
    rows = assert_as_alone(trials)
    # they differ in what the number decides
    assert policy == "norm_test" or rows["final_batch_size"].nunique() > 1


def test_trials_of_one_unit_cut_a_batch_into_as_many_pieces(toy: Dataset) -> None:
    trials = [
        dataclasses.replace(trial, batch_policy_parameter=pieces)
        for trial in three(toy, batch_policy="accumulate")[:2]
        for pieces in (2, 4)
    ]
    assert [len(group) for group in group_by_shape(map(resolve, trials))] == [2, 2]


def assert_as_alone(trials: list[Trial]) -> pd.DataFrame:
    """Train ``trials`` together, and each alone to the same rows; returns them."""
    together = train(trials, device="cpu", checkpoints=4, together=len(trials))
    assert together.trials["trial"].to_list() == [resolve(trial).key for trial in trials]
    for i, trial in enumerate(trials):
        alone = train(trial, device="cpu", checkpoints=4)
        pd.testing.assert_frame_equal(
            together.trials.loc[[i], OUTCOME].reset_index(drop=True),
            alone.trials[OUTCOME],
            check_dtype=False,
        )
        np.testing.assert_allclose(
            together.trials.loc[[i], MEASURED].astype(float),
            alone.trials[MEASURED].astype(float),
            rtol=1e-9,
        )
        rows = together.history[together.history["trial"] == trial_key(alone)]
        numbers = rows.select_dtypes("number").columns
        np.testing.assert_allclose(
            rows[numbers].astype(float), alone.history[numbers].astype(float), rtol=1e-8
        )
    return together.trials


def trial_key(record: Any) -> str:
    return str(record.trials["trial"].item())


def by_torch(toy: Dataset, trial: Trial, steps: int) -> tuple[float, float, float]:
    """First loss, largest norm of a gradient and test loss of a loop in torch."""
    network = MODELS["mlp"].build((1, 4, 4), 3, 1, 256, NORMALIZATIONS["none"]).double()
    initialize(network, INITIALIZATIONS["he"], 1.0, torch.Generator().manual_seed(trial.seed))
    splits = load(toy)
    images = (splits.train_images.double() - splits.mean) / splits.std
    test = (splits.test_images.double() - splits.mean) / splits.std
    losses, norms = [], []
    for step in range(steps):
        rate = trial.learning_rate * SCHEDULES[str(trial.schedule)].factor((step + 0.5) / steps)
        optimizer = torch.optim.SGD(network.parameters(), lr=rate)
        batch = data_order(trial.seed, 96, 32 * step, 32 * (step + 1))
        optimizer.zero_grad()
        loss = F.cross_entropy(network(images[batch]), splits.train_labels[batch])
        loss.backward()
        losses.append(loss.item())
        norms.append(torch.nn.utils.get_total_norm([p.grad for p in network.parameters()]).item())
        optimizer.step()
    return losses[0], max(norms), F.cross_entropy(network(test), splits.test_labels).item()


@pytest.mark.parametrize(("schedule", "steps"), [("constant", 1), ("cosine", 3)])
def test_steps_of_plain_descent_equal_torch(toy: Dataset, schedule: str, steps: int) -> None:
    trial = Trial(
        dataset=toy,
        precision="float64",
        learning_rate=0.3,
        schedule=schedule,
        batch_size=32,
        epochs=steps / 3,
        seed=5,
    )
    row = run(trial).iloc[0]
    assert row["steps"] == steps
    found = row[["initial_loss", "gradient_norm_max", "test_loss"]].tolist()
    assert found == pytest.approx(by_torch(toy, trial, steps), rel=1e-12)


def test_running_statistics_of_batch_normalization_equal_torch(toy: Dataset) -> None:
    trials = [
        Trial(
            precision="float64",
            dataset=toy,
            normalization="batch",
            learning_rate=rate,
            batch_size=32,
            epochs=1,
            seed=1,
        )
        for rate in (0.1, 0.5)
    ]
    rows = run(*trials, together=2)
    splits = load(toy)
    images = (splits.train_images.double() - splits.mean) / splits.std
    for trial, (_, row) in zip(trials, rows.iterrows(), strict=True):
        network = MODELS["mlp"].build((1, 4, 4), 3, 1, 256, NORMALIZATIONS["batch"]).double()
        initialize(network, INITIALIZATIONS["he"], 1.0, torch.Generator().manual_seed(1))
        optimizer = torch.optim.SGD(network.parameters(), lr=trial.learning_rate)
        for step in range(3):
            batch = data_order(1, 96, 32 * step, 32 * step + 32)
            optimizer.zero_grad()
            F.cross_entropy(network(images[batch]), splits.train_labels[batch]).backward()
            optimizer.step()
        network.eval()
        test = (splits.test_images.double() - splits.mean) / splits.std
        expected = F.cross_entropy(network(test), splits.test_labels).item()
        assert row["test_loss"] == pytest.approx(expected, rel=1e-10)


def test_accumulating_equals_one_batch_without_batch_normalization_only(toy: Dataset) -> None:
    def losses(normalization: str) -> list[float]:
        base = Trial(
            precision="float64", dataset=toy, normalization=normalization, batch_size=32, epochs=2
        )
        accumulated = dataclasses.replace(base, batch_policy="accumulate")
        return run(base, accumulated)["test_loss"].tolist()

    fixed, accumulated = losses("layer")
    assert accumulated == pytest.approx(fixed, rel=1e-9)
    fixed, accumulated = losses("batch")
    assert accumulated != pytest.approx(fixed, rel=1e-3)


def test_doubling_uses_fewer_steps_for_the_same_examples(toy: Dataset) -> None:
    base = Trial(dataset=toy, batch_size=4, epochs=4)
    rows = run(base, dataclasses.replace(base, batch_policy="doubling"))
    assert rows["steps"].tolist() == [96, 24 + 12 + 6 + 3]
    assert rows["samples"].tolist() == [384, 384]
    assert rows["final_batch_size"].tolist() == [4, 32]


@pytest.mark.parametrize(("rule", "power"), [("none", 0.0), ("linear", 1.0), ("square_root", 0.5)])
def test_the_rate_follows_the_batch(toy: Dataset, rule: str, power: float) -> None:
    trial = Trial(
        dataset=toy,
        batch_size=4,
        epochs=4,
        batch_policy="doubling",
        batch_policy_parameter=4.0,
        learning_rate_scaling=rule,
    )
    history = train(trial, device="cpu", checkpoints=4).history
    sizes = [4, 4, 16, 64, 96]
    assert history["batch_size"].tolist()[:4] == sizes[:4]
    # the policy's own 0.75 at each growth, times (B / first B) to the rule's power
    expected = [0.1 * 0.75**i * (sizes[i + 1] / 4) ** power for i in range(3)]
    assert history["learning_rate"].tolist()[1:4] == pytest.approx(expected)


@pytest.mark.parametrize("policy", BATCH_POLICIES)
def test_a_policy_that_has_fewer_updates_than_checkpoints(policy: str) -> None:
    trial = Trial(dataset="digits", batch_policy=policy, batch_size=256, updates=4, width=8)
    record = train([trial], checkpoints=20)
    assert record.trials["steps"].tolist() == [4]


def test_the_full_batch_takes_one_step_an_epoch(toy: Dataset) -> None:
    row = run(Trial(dataset=toy, batch_policy="full", epochs=3)).iloc[0]
    assert (row["steps"], row["samples"], row["final_batch_size"]) == (3, 288, 96)


def test_a_fraction_of_the_training_set_is_its_first_examples(toy: Dataset) -> None:
    half = Trial(dataset=toy, train_fraction=0.5, batch_size=16, epochs=2, seed=1)
    row = run(half).iloc[0]
    assert (row["examples"], row["samples"]) == (48, 96)
    splits = load(toy)
    smaller = tensor_dataset(
        "half",
        train=(splits.train_images[:48], splits.train_labels[:48]),
        validation=(splits.validation_images, splits.validation_labels),
        test=(splits.test_images, splits.test_labels),
    )
    whole = run(dataclasses.replace(half, dataset=smaller, train_fraction=1.0)).iloc[0]
    # the pixels' mean and spread are those of the whole training set, so only nearly the same
    assert row["test_loss"] == pytest.approx(whole["test_loss"], rel=0.2)


@pytest.mark.parametrize("batch_size", [32, 1000], ids=["", "more than the data"])
def test_no_epochs_measure_the_network_as_it_was_initialized(toy: Dataset, batch_size: int) -> None:
    trial = Trial(dataset=toy, model="mlp_deep", depth=3, epochs=0, batch_size=batch_size, seed=2)
    record = train(trial, device="cpu", layers=True)
    row = record.trials.iloc[0]
    assert (row["status"], row["status_reason"]) == ("stalled", "0 epochs: not trained")
    assert (row["steps"], row["samples"]) == (0, 0)
    assert record.history["step"].tolist() == [0]
    assert record.layers["layer_index"].tolist() == [1, 2, 3, 4]
    assert (record.layers["backprop_norm"] > 0).all()


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("fraction", [1 / 12, 0.5, 1.0])
def test_the_gradients_of_layers_together_are_that_of_the_step(
    toy: Dataset, loss: str, fraction: float
) -> None:
    # one update from all 8, 48 or 96 examples, which are also those that layers are measured on
    trial = Trial(
        dataset=toy,
        model="mlp_deep",
        depth=3,
        loss=loss,
        batch_policy="full",
        train_fraction=fraction,
        epochs=1,
        precision="float64",
    )
    record = train(trial, device="cpu", checkpoints=4, layers=True)
    start = record.layers[record.layers["step"] == 0]
    together = math.sqrt((start["gradient_norm"] ** 2).sum())
    assert together == pytest.approx(record.trials["gradient_norm_max"].item(), rel=1e-10)


def test_an_overflow_at_initialization_is_nonfinite_at_step_zero(toy: Dataset) -> None:
    trial = Trial(dataset=toy, model="mlp_deep", depth=10, init_gain=1e8, epochs=0)
    row = run(trial).iloc[0]
    assert (row["status"], row["first_bad_step"]) == ("nonfinite", 0)


@pytest.mark.parametrize("at_once", [0, 10**9], ids=["one after another", "at once"])
@pytest.mark.parametrize(
    ("policy", "normalization"),
    [("noise_scale", "none"), ("noise_scale", "batch"), ("norm_test", "none")],
)
def test_gradient_samples_of_a_run_equal_a_direct_computation(
    toy: Dataset,
    monkeypatch: pytest.MonkeyPatch,
    policy: str,
    normalization: str,
    at_once: int,
) -> None:
    monkeypatch.setattr("benchmark.engine.steps.program.SIDE_BY_SIDE", at_once)
    trial = Trial(
        dataset=toy,
        precision="float64",
        batch_policy=policy,
        normalization=normalization,
        batch_size=16,
        seed=4,
    )
    trial = resolve(trial)
    program = Program(parts_of(trial), trial, torch.device("cpu"))
    population = program.start([trial, trial])
    splits = load(toy)
    images = (splits.train_images[:16].double() - splits.mean) / splits.std
    labels = splits.train_labels[:16]
    small, big, measured = program.sample_gradients(
        population, images.expand(2, *images.shape), labels.expand(2, 16)
    )
    network = MODELS["mlp"].build((1, 4, 4), 3, 1, 256, NORMALIZATIONS[normalization]).double()
    initialize(network, INITIALIZATIONS["he"], 1.0, torch.Generator().manual_seed(4))
    assert (small, big) == ((1, 16) if policy == "norm_test" else (4, 16))
    losses, gradients = [], []
    for i in range(0, 16, small):
        loss = F.cross_entropy(network(images[i : i + small]), labels[i : i + small])
        found = torch.autograd.grad(loss, list(network.parameters()))
        losses.append(loss.item())
        gradients.append(torch.cat([g.flatten() for g in found]))
    each = torch.stack(gradients)
    expected = [
        each.square().sum(dim=1).mean().item(),
        each.mean(dim=0).square().sum().item(),
        sum(losses) / len(losses),
    ]
    np.testing.assert_allclose(measured.numpy(), np.array([expected, expected]).T, rtol=1e-10)


@pytest.mark.parametrize("normalization", ["none", "batch"])
def test_sampling_gradients_changes_nothing(
    toy: Dataset, normalization: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    trial = Trial(dataset=toy, normalization=normalization, batch_size=4, epochs=8)
    sampled = train(trial, device="cpu", checkpoints=4)
    assert sampled.history["noise_scale"].notna().any()
    first = sampled.history.dropna(subset=["noise_scale"]).iloc[0]
    # of a single sample the moving averages are the sample
    ratio = first["gradient_variance"] / first["gradient_squared"]
    assert ratio == pytest.approx(first["noise_scale"])
    monkeypatch.setattr("benchmark.engine.runs.segment.STEPS_PER_SAMPLE", 10**9)
    plain = train(trial, device="cpu", checkpoints=4)
    assert plain.history["noise_scale"].isna().all()
    pd.testing.assert_frame_equal(
        sampled.trials[MEASURED], plain.trials[MEASURED], check_exact=True
    )


@pytest.mark.parametrize(
    ("policy", "batch_size", "expected"),
    [("fixed", 4, 128), ("fixed", 48, 144), ("fixed", 160, 160), ("noise_scale", 16, 16)],
)
def test_small_batches_are_sampled_together_unless_a_policy_decides_on_them(
    monkeypatch: pytest.MonkeyPatch, policy: str, batch_size: int, expected: int
) -> None:
    seen: list[int] = []

    def watched(logs: Any, small: int, big: int, measured: Any) -> None:
        seen.append(big)

    monkeypatch.setattr("benchmark.engine.runs.segment._add_samples", watched)
    monkeypatch.setattr("benchmark.engine.runs.segment.STEPS_PER_SAMPLE", 1)
    train(
        Trial(batch_policy=policy, batch_size=batch_size, epochs=1),
        device="cpu",
        checkpoints=4,
    )
    assert seen[0] == expected


def test_per_example_policies_are_impossible_with_batch_statistics(toy: Dataset) -> None:
    row = run(Trial(dataset=toy, normalization="batch", batch_policy="cabs")).iloc[0]
    assert row["status"] == "skipped"
    assert "cabs needs the gradient of each example" in row["status_reason"]


@pytest.mark.parametrize(
    "precision",
    # a dynamic scale skips the first steps
    [p for p in PRECISIONS if p not in ("float32", "float64", "float16_dynamic")],
)
@pytest.mark.parametrize("together", [1, 2])
def test_lower_precision_trains_nearly_the_same(
    toy: Dataset, precision: str, together: int
) -> None:
    trials = three(toy)[:2]
    lower = [dataclasses.replace(t, precision=precision) for t in trials]
    reference = run(*trials)["test_loss"]
    rows = run(*lower, together=together)
    assert rows["precision"].tolist() == [precision] * 2
    assert rows["test_loss"].tolist() == pytest.approx(reference.tolist(), rel=0.03)


@pytest.mark.parametrize(("budget", "seen"), [(96, 96), (97, 96), (98, 98), (120, 120)])
def test_a_growing_batch_uses_the_budget_but_never_a_batch_too_small(
    toy: Dataset, budget: int, seen: int
) -> None:
    # updates of 32 and 64, and then what is left, where batch statistics need two examples
    trial = Trial(
        dataset=toy,
        normalization="batch",
        batch_policy="doubling",
        batch_size=32,
        epochs=(budget + 0.5) / 96,
    )
    assert run(trial)["samples"].item() == seen


def test_a_seed_fixes_weights_and_data_whatever_the_strategy(toy: Dataset) -> None:
    trials = [
        Trial(
            precision="float64",
            dataset=toy,
            seed=3,
            batch_size=16,
            clipping=c,
            optimizer=o,
            batch_policy=p,
        )
        for c in ("none", "global_norm")
        for o in ("sgd", "adam")
        for p in ("fixed", "doubling")
    ]
    rows = run(*trials)
    assert rows["initial_loss"].nunique() == 1
    other = run(dataclasses.replace(trials[0], seed=4))
    assert other["initial_loss"].item() != rows["initial_loss"].iloc[0]


def test_normalizations_start_from_the_same_weights() -> None:
    weights = []
    for normalization in NORMALIZATIONS.values():
        network = MODELS["cnn"].build((1, 8, 8), 10, 2, 16, normalization)
        initialize(network, INITIALIZATIONS["he"], 1.5, torch.Generator().manual_seed(7))
        weights.append(torch.cat([p.flatten() for p in network.parameters() if p.dim() > 1]))
    assert all(torch.equal(w, weights[0]) for w in weights)


def test_initial_weights_have_the_spread_of_he() -> None:
    network = MODELS["mlp_deep"].build((1, 8, 8), 10, 3, 128, NORMALIZATIONS["none"])
    initialize(network, INITIALIZATIONS["he"], 2.0, torch.Generator().manual_seed(0))
    linear = [m for m in network if isinstance(m, torch.nn.Linear)]
    spreads = [m.weight.std().item() * math.sqrt(m.in_features) for m in linear]
    hidden = 2.0 * math.sqrt(2)
    assert spreads == pytest.approx([hidden, hidden, hidden, 1.0], rel=0.05)
    assert all(not m.bias.any() for m in linear)


def test_the_stream_does_not_depend_on_how_it_is_cut() -> None:
    whole = data_order(3, 10, 0, 35)
    cut = torch.cat([data_order(3, 10, a, b) for a, b in ((0, 7), (7, 8), (8, 29), (29, 35))])
    assert torch.equal(whole, cut)
    assert sorted(whole[10:20].tolist()) == list(range(10))
    assert not torch.equal(whole[:10], whole[10:20])


EXPLODING = 1e12


def test_a_broken_trial_stays_in_its_row(toy: Dataset) -> None:
    calm = three(toy)
    wild = dataclasses.replace(calm[1], learning_rate=EXPLODING)
    with_wild = train([calm[0], wild, calm[2]], device="cpu", checkpoints=4, together=3)
    without = train([calm[0], calm[2]], device="cpu", checkpoints=4, together=2)
    assert with_wild.trials["status"].tolist()[1] == "nonfinite"
    calm_rows = with_wild.trials.drop(index=1).reset_index(drop=True)
    np.testing.assert_allclose(
        calm_rows[MEASURED].astype(float), without.trials[MEASURED].astype(float), rtol=1e-4
    )
    assert np.isfinite(calm_rows[MEASURED].astype(float)).all(axis=None)


def test_a_broken_trial_stops_and_says_when(toy: Dataset) -> None:
    trial = Trial(dataset=toy, learning_rate=EXPLODING, batch_size=8, epochs=20)
    record = train(trial, device="cpu", checkpoints=4)
    row = record.trials.iloc[0]
    assert row["status"] == "nonfinite"
    assert 1 <= row["first_bad_step"] <= row["steps"] < 20 * 12
    assert math.isnan(row["validation_accuracy"])
    assert "not finite at step" in row["status_reason"] or "above" in row["status_reason"]
    # the row of the checkpoint in which it broke is there, and is the last
    assert record.history["step"].tolist() == [0, row["steps"]]


def test_statuses(toy: Dataset) -> None:
    rates = {"stable": 0.1, "stalled": 1e-9, "nonfinite": EXPLODING}
    trials = [Trial(dataset=toy, learning_rate=r, batch_size=16) for r in rates.values()]
    assert run(*trials)["status"].tolist() == list(rates)


def test_a_spike_is_seen_at_its_step(toy: Dataset) -> None:
    row = run(Trial(dataset=toy, learning_rate=50.0, batch_size=32, epochs=1)).iloc[0]
    assert row["first_bad_step"] == 2
    assert row["status"] in ("recovered", "collapsed", "dead")
    assert "at step 2" in row["status_reason"]


@pytest.mark.parametrize(("updates", "early"), [(25, True), (26, False)])
def test_a_trial_that_ends_in_its_warm_up_says_so(toy: Dataset, updates: int, early: bool) -> None:
    trials = [Trial(dataset=toy, updates=updates, clipping=c) for c in ("zclip", "none")]
    rows = run(*trials)
    assert rows["warm_up_steps"].tolist() == [25, 0]
    assert could_act(rows).tolist() == [not early, True]
    reasons = rows["status_reason"].fillna("").tolist()
    assert reasons == ["ended within the 25 steps of zclip's warm-up" if early else "", ""]


def take_all(observation, parameter):
    return Decision(10**9)


def test_the_final_batch_size_is_that_of_the_last_batch_though_the_budget_ended_early(toy):
    """3 updates of 8 to the first checkpoint, then all that is left: 72 of 96 examples."""
    policy = dataclasses.replace(BATCH_POLICIES["fixed"], name="take_all", decide=take_all)
    trial = Trial(dataset=toy, batch_policy=policy, batch_size=8, epochs=1)
    row = train(trial, device="cpu", checkpoints=4).trials.iloc[0]
    assert (row["steps"], row["samples"], row["final_batch_size"]) == (4, 96, 72)


LATE = dataclasses.replace(BATCH_POLICIES["doubling"], name="late", acts_from=0.75)


@pytest.mark.parametrize(
    ("policy", "undecided"),
    [("fixed", 0), ("accumulate", 0), ("noise_scale", 2), ("doubling", 2), (LATE, 6)],
    ids=lambda value: getattr(value, "name", str(value)),
)
def test_a_trial_knows_when_its_batch_policy_may_first_act(
    toy: Dataset, policy: str | BatchPolicy, undecided: int
) -> None:
    rows = run(Trial(dataset=toy, updates=8, batch_size=16, batch_policy=policy))
    assert rows["policy_warm_up_steps"].tolist() == [undecided]
    assert could_act(rows, "batch_policy").tolist() == [True]


def test_a_trial_that_breaks_before_its_batch_policy_may_act_says_so(toy: Dataset) -> None:
    rows = run(Trial(dataset=toy, updates=8, learning_rate=1e30, batch_policy="doubling"))
    assert not could_act(rows, "batch_policy").any()
    assert could_act(rows).all()
    assert (
        rows["status_reason"].str.endswith("; ended within the 2 steps of doubling's warm-up").all()
    )


def test_the_same_unit_gives_the_same_bits(toy: Dataset) -> None:
    first, second = (train(three(toy, normalization="batch"), device="cpu") for _ in range(2))
    pd.testing.assert_frame_equal(first.history, second.history, check_exact=True)
    pd.testing.assert_frame_equal(
        first.trials.drop(columns="seconds"),
        second.trials.drop(columns="seconds"),
        check_exact=True,
    )


def test_training_leaves_the_images_as_they_were(toy: Dataset) -> None:
    # batches are normalized where they lie, and these images have a batch's type already
    before = load(toy).train_images.clone()
    assert before.dtype == torch.float32
    train(three(toy, batch_policy="noise_scale"), device="cpu", checkpoints=4)
    assert torch.equal(load(toy).train_images, before)


@pytest.mark.parametrize(
    ("model", "normalization"),
    [("cnn", "none"), ("cnn", "batch"), ("cnn", "layer"), ("transformer", "layer")],
)
def test_trials_evaluated_one_by_one_come_out_as_together(
    toy: Dataset, model: str, normalization: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    trials = list(map(resolve, three(toy, model=model, normalization=normalization)))
    program = Program(parts_of(trials[0]), trials[0], torch.device("cpu"))
    population = program.start(trials)
    splits = load(toy)
    seen = []
    logits = program._logits
    monkeypatch.setattr(program, "_logits", lambda *a: seen.append(len(a[2])) or logits(*a))
    found = []
    for pixels in (10_000, 3 * 30 * 16, 3 * 30 * 16 - 1):
        monkeypatch.setattr(engine_program, "SPREAD_PIXELS", pixels)
        found.append(program.evaluate(population, splits.test_images, splits.test_labels, 30))
    assert seen == [3, 3, 3, 3, 1, 1, 1, 1, 1, 1]
    for loss, accuracy in found:
        torch.testing.assert_close(loss, found[0][0])
        assert accuracy.tolist() == found[0][1].tolist()


def test_of_equal_logits_the_first_is_the_prediction(toy: Dataset) -> None:
    trial = resolve(Trial(dataset=toy))
    program = Program(parts_of(trial), trial, torch.device("cpu"))
    population = program.start([trial, trial])
    population.parameters.zero_()
    images = load(toy).train_images
    labels = (torch.arange(len(images)) % 4 > 0).long()
    _, accuracy = program.evaluate(population, images, labels, at_once=10)
    assert accuracy.tolist() == [0.25, 0.25]


def test_history_has_a_row_for_the_start_and_one_a_checkpoint(toy: Dataset) -> None:
    trial = Trial(dataset=toy, batch_size=8, epochs=2, schedule="step")
    history = train(trial, device="cpu", checkpoints=8).history
    assert history["samples"].tolist() == [0, 24, 48, 72, 96, 120, 144, 168, 192]
    assert history["step"].tolist() == [0, 3, 6, 9, 12, 15, 18, 21, 24]
    rates = [0.1] * 5 + [0.01] * 2 + [0.001] * 2
    assert history["learning_rate"].tolist() == pytest.approx(rates)
    after_start = history.iloc[1:]
    rare = ["noise_scale", "gradient_variance", "gradient_squared", "sharpness"]
    rare += ["skipped_fraction", "loss_scale"]
    assert after_start.drop(columns=rare).notna().all(axis=None)
    assert (after_start["gradient_norm_max"] >= after_start["gradient_norm_median"]).all()


@pytest.mark.parametrize("checked", [40, 48], ids=["some", "all"])
def test_the_final_evaluation_takes_all_whatever_checkpoints_look_at(
    toy: Dataset, monkeypatch: pytest.MonkeyPatch, checked: int
) -> None:
    # batches so large that the second trial takes its last step before the last two checkpoints
    trials = [Trial(dataset=toy, batch_size=size, epochs=3, seed=2) for size in (32, 96)]
    monkeypatch.setattr("benchmark.engine.runs.run.CHECKED_EXAMPLES", checked)
    record = train(trials, device="cpu", checkpoints=8)
    last = record.history.groupby("trial", sort=False)["validation_loss"].last()
    monkeypatch.setattr("benchmark.engine.runs.run.CHECKED_EXAMPLES", 1)
    expected = train(trials, device="cpu", checkpoints=8).trials
    for name in ("validation_loss", "validation_accuracy", "test_loss", "test_accuracy"):
        np.testing.assert_allclose(record.trials[name], expected[name], rtol=1e-6)
    found = record.trials["validation_loss"].to_numpy() == last.to_numpy()
    assert found.tolist() == [checked == 48] * 2


def test_samples_to_target_is_the_first_checkpoint_that_got_there(toy: Dataset) -> None:
    record = train(
        Trial(dataset=toy, learning_rate=0.5, batch_size=8, epochs=4), device="cpu", checkpoints=8
    )
    reached = record.history["validation_accuracy"] >= toy.target_accuracy
    assert reached.any()
    expected = record.history.loc[reached & (record.history["step"] > 0), "samples"].iloc[0]
    assert record.trials["samples_to_target"].item() == expected


def test_an_impossible_trial_is_a_row_with_its_reason(toy: Dataset) -> None:
    rows = run(Trial(dataset=toy), Trial(dataset=toy, normalization="batch", batch_size=1))
    assert rows["status"].tolist() == ["stable", "skipped"]
    assert "at least 2 examples" in rows["status_reason"][1]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"clipping": "globl_norm"}, "'globl_norm'. Did you mean 'global_norm'"),
        ({"model": "mpl"}, "Did you mean 'mlp'"),
        ({"learning_rate": -1.0}, "`learning_rate` must be a positive number, but got -1.0"),
        ({"batch_size": 0}, "`batch_size` must be a whole number >= 1, but got 0"),
        ({"clipping_threshold": 1.0}, "'none' takes no clipping_threshold, but got 1.0"),
        (
            {"clipping": "value", "clipping_threshold": 5.0},
            "clipping_threshold of 'value' must be in 0.0001..1, but got 5.0",
        ),
        ({"depth": 4}, "depth of model 'mlp' must be 1, but got 4"),
        (
            {"batch_policy": "accumulate", "batch_policy_parameter": 2.5},
            "must be a whole number in 2..16, but got 2.5",
        ),
    ],
)
def test_bad_values_are_quoted_with_what_is_allowed(changes: dict[str, Any], message: str) -> None:
    with pytest.raises((UnknownName, ValueError)) as caught:
        train(Trial(**changes), device="cpu")
    assert message in str(caught.value)


def test_an_object_may_not_take_a_registered_name(toy: Dataset) -> None:
    mine = dataclasses.replace(CLIPPINGS["value"], name="none")
    with pytest.raises(ValueError, match="'none' is registered already"):
        train(Trial(dataset=toy, clipping=mine), device="cpu")


def test_a_strategy_of_ones_own_needs_no_registration(toy: Dataset) -> None:
    def to_zero(gradient: Any, state: Any, threshold: Any, context: Any) -> Any:
        return 0 * gradient, state, torch.ones((), dtype=torch.bool)

    mine = dataclasses.replace(CLIPPINGS["none"], name="to_zero", clip=to_zero)
    row = run(Trial(dataset=toy, clipping=mine, learning_rate=0.5, batch_size=16)).iloc[0]
    assert row["clipping"] == "to_zero"
    assert row["clipped_fraction"] == 1.0
    assert row["status"] == "stalled"


def test_what_does_not_fit_in_memory_is_halved(
    toy: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    widths = []

    class Small(training.Run):
        def to_the_end(self) -> Any:
            widths.append(len(self.trials))
            if len(self.trials) > 1:
                raise torch.OutOfMemoryError("too many")
            return super().to_the_end()

    expected = run(*three(toy), together=3)
    monkeypatch.setattr("benchmark.engine.training.Run", Small)
    rows = run(*three(toy), together=3)
    assert widths == [3, 1, 2, 1, 1]
    assert rows["status"].tolist() == expected["status"].tolist()
    assert len(rows) == 3


def test_only_numbers_differ_within_a_unit() -> None:
    numbers = {"learning_rate", "momentum", "clipping_threshold", "init_gain", "seed"}
    assert numbers == NUMERIC_FACTORS


def test_every_number_without_a_default_belongs_to_some_level() -> None:
    optional = {f.name for f in dataclasses.fields(Trial) if f.default is None}
    assert set(OWNERS) == optional - {"epochs", "updates"}
    assert set(OWNERS.values()) <= REGISTRIES.keys()


def test_counting_a_networks_work_leaves_nothing_on_it(toy: Dataset) -> None:
    # a custom builder may give the same module each time
    module = nn.Sequential(nn.Flatten(), nn.Linear(16, 3))
    mine = module_model("mine", lambda shape, classes: module)
    trial = resolve(Trial(dataset=toy, model=mine))
    assert packing.multiply_adds(trial) == 48
    assert not any(part._forward_hooks for part in module.modules())


def test_work_is_that_of_training_and_of_evaluating(
    toy: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = module_model(
        "mine", lambda shape, classes: nn.Sequential(nn.Flatten(), nn.Linear(16, 3))
    )

    def work(**changes: Any) -> float:
        return packing.expected_work(resolve(Trial(dataset=toy, model=mine, **changes)), 20)

    # 48 products an example; 96 to train on, 48 in each of validation and test
    assert work(epochs=0) == 48 * 48
    assert work(epochs=2) == 48 * (3 * 2 * 96 + 21 * 48 + 48)
    assert work(epochs=2, train_fraction=0.5) == 48 * (3 * 96 + 21 * 48 + 48)
    assert work(epochs=2, batch_size=200) == 0  # a batch that the data do not fill
    # a checkpoint then looks at some of the validation split, and the end at all of it
    monkeypatch.setattr(packing, "CHECKED_EXAMPLES", 40)
    assert work(epochs=2) == 48 * (3 * 2 * 96 + 21 * 40 + 2 * 48)
    monkeypatch.undo()

    trial = resolve(Trial(dataset=toy, model=mine, epochs=2, train_fraction=0.5))
    monkeypatch.setattr(packing, "CPU_UNIT_WORK", 3.5 * work(epochs=2, train_fraction=0.5))
    assert packing.unit_size(trial, "cpu", 20) == 3


FAULTS = """
import resource, torch
from benchmark.engine.machine.allocator import keep_freed_memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        step = [torch.empty(2 << 20).fill_(1.0) for _ in range(8)]
        del step
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

faults()
given_back = faults()
keep_freed_memory()
faults()
print(given_back, faults())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library's allocator")
def test_freed_memory_is_kept_and_not_taken_from_the_system_anew() -> None:
    # with glibc's own moving limits it is a matter of luck what a process keeps
    limits = {"MALLOC_MMAP_THRESHOLD_": "131072", "MALLOC_TRIM_THRESHOLD_": "131072"}
    command = [sys.executable, "-c", FAULTS]
    run = subprocess.run(
        command, capture_output=True, text=True, check=True, env=os.environ | limits
    )
    given_back, kept = map(int, run.stdout.split())
    # ten times 64 MiB are 163,840 pages of 4 KiB
    assert kept < given_back / 10


@pytest.mark.gpu
def test_the_gpu_agrees_with_the_cpu(toy: Dataset) -> None:
    trials = three(toy, precision="float64", normalization="batch", clipping="global_norm")
    there = train(trials, device="cuda", checkpoints=4).trials
    here = train(trials, device="cpu", checkpoints=4).trials
    assert there["status"].tolist() == here["status"].tolist()
    np.testing.assert_allclose(
        there[MEASURED].astype(float), here[MEASURED].astype(float), rtol=1e-6
    )


@pytest.mark.gpu
def test_the_gpu_repeats_itself(toy: Dataset) -> None:
    first, second = (train(three(toy, model="cnn"), device="cuda").history for _ in range(2))
    pd.testing.assert_frame_equal(first, second, check_exact=True)
