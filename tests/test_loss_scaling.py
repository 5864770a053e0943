"""Loss scaling in half precision: what survives, what is skipped, and that torch does the same."""

import dataclasses
import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import TOY
from networks import DROPPING
from torch import Tensor, nn
from torch.nn import functional as F

from benchmark import Trial, train
from benchmark.data import Dataset, load
from benchmark.engine.runs.log import Log, Scale
from benchmark.engine.runs.order import data_order
from benchmark.engine.steps.population import Population
from benchmark.engine.steps.program import Program
from benchmark.engine.trials.budget import Budget
from benchmark.engine.trials.resolve import parts_of, resolve
from benchmark.models import INITIALIZATIONS, MODELS, initialize
from benchmark.strategies.clipping import CLIPPINGS
from benchmark.strategies.loss_scaling import DYNAMIC, LossScaling
from benchmark.strategies.losses import LOSSES
from benchmark.strategies.normalization import NORMALIZATIONS
from benchmark.strategies.optimizers import OPTIMIZERS
from benchmark.strategies.precision import PRECISIONS, Precision

CPU = torch.device("cpu")


def scaled(scaling: LossScaling, like: str = "float64") -> Precision:
    """The precision ``like`` with another scaling."""
    return dataclasses.replace(PRECISIONS[like], name=f"scaled_{like}", loss_scaling=scaling)


def program_of(**chosen: Any) -> tuple[Program, list[Trial]]:
    common: dict[str, Any] = {"dataset": TOY, "width": 8, "updates": 4, "batch_size": 16}
    trials = [resolve(Trial(**common | chosen, seed=seed)) for seed in range(3)]
    return Program(parts_of(trials[0]), trials[0], CPU), trials


def batches(dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """A batch of 16 for each of three trials."""
    splits = load(TOY)
    images = (splits.train_images[:48].to(dtype) - splits.mean) / splits.std
    return images.unflatten(0, (3, 16)), splits.train_labels[:48].view(3, 16)


def one_step(program: Program, population: Population) -> tuple[Population, Tensor, Tensor]:
    factor = torch.ones((), dtype=program.dtype)
    after, _, norm, clipped = program.step(population, *batches(program.dtype), factor)
    return after, norm, clipped


# ------------------------------------------------------------------------------- the scale itself

OVERFLOWS = {
    "never": [False] * 9,
    "at first": [True, True, False, False, False, False],
    "before it would grow": [False, False, True, False, False, False],
    "always": [True] * 5,
}


@pytest.mark.parametrize("overflows", OVERFLOWS.values(), ids=OVERFLOWS)
@pytest.mark.parametrize("initial", [2.0**16, 2.0**126])
def test_the_scale_follows_overflows_as_torch_does(overflows: list[bool], initial: float) -> None:
    scaling = LossScaling(initial, backoff=0.5, growth=2.0, growth_interval=3)
    state = scaling.init(torch.zeros(()))
    scale, tracker = torch.tensor(initial), torch.zeros((), dtype=torch.int32)
    seen, wanted = [], []
    for overflowed in overflows:
        state = scaling.update(state, torch.tensor(overflowed))
        torch._amp_update_scale_(scale, tracker, torch.tensor(float(overflowed)), 2.0, 0.5, 3)
        seen.append((state["scale"].item(), state["good_steps"].item()))
        wanted.append((scale.item(), tracker.item()))
    assert seen == wanted


def test_the_dynamic_scaling_has_the_defaults_of_torch() -> None:
    scaler = torch.amp.GradScaler("cpu")
    assert (
        *(scaler.get_scale(), scaler.get_backoff_factor(), scaler.get_growth_factor()),
        scaler.get_growth_interval(),
    ) == dataclasses.astuple(DYNAMIC)


def test_a_static_scale_stays() -> None:
    scaling = LossScaling(8.0)
    state = scaling.init(torch.zeros(()))
    for overflowed in [True] + [False] * 2001:
        state = scaling.update(state, torch.tensor(overflowed))
    assert state["scale"].item() == 8.0


@pytest.mark.parametrize(
    ("field", "value", "allowed"),
    [
        ("initial", 0.0, "a positive number"),
        ("backoff", 1.5, r"a number in \(0, 1\]"),
        ("growth", 0.5, "a number >= 1"),
        ("growth_interval", 0, "a whole number >= 1"),
    ],
)
def test_a_number_that_is_not_allowed_is_named(field: str, value: float, allowed: str) -> None:
    with pytest.raises(ValueError, match=f"`{field}` must be {allowed}, but got {value}"):
        LossScaling(**{"initial": 8.0, field: value})


# ---------------------------------------------------------------------------------- one step


def faint(logits: Tensor, labels: Tensor) -> Tensor:
    return 2.0**-24 * F.cross_entropy(logits, labels, reduction="none")


FAINT = dataclasses.replace(LOSSES["cross_entropy"], name="faint", value=faint)
"""Of whose mean over 16 examples no logit has a gradient above half of float16's smallest."""


@pytest.mark.parametrize(
    ("precision", "survives"),
    [("float16", False), ("float16_static", True), ("float16_dynamic", True), ("bfloat16", True)],
)
def test_a_gradient_below_the_smallest_number_survives_where_it_is_scaled(
    precision: str, survives: bool
) -> None:
    program, trials = program_of(precision=precision, loss=FAINT)
    _, norm, _ = one_step(program, program.start(trials))
    plain, _ = program_of()
    _, wanted, _ = one_step(plain, plain.start(trials))
    expected = 2.0**-24 * wanted if survives else torch.zeros(3)
    # static: the largest are left with 6 bits
    torch.testing.assert_close(norm.float(), expected.float(), rtol=0.03, atol=0)


ARMS = [
    *({"clipping": name} for name in CLIPPINGS),
    *({"optimizer": name} for name in OPTIMIZERS),
    {"clipping": "zclip", "optimizer": "adam"},
]


@pytest.mark.parametrize("arm", ARMS, ids=lambda arm: "-".join(arm.values()))
def test_an_overflow_is_skipped_and_leaves_no_trace(arm: dict[str, str]) -> None:
    program, trials = program_of(precision="float16_dynamic", **arm)
    start, _, _ = one_step(program, program.start(trials))
    usual = torch.full((3,), 2.0**8)
    calm = dataclasses.replace(start, loss_scale={**start.loss_scale, "scale": usual})
    steep = torch.tensor([2.0**8, 2.0**40, 2.0**8])
    before = dataclasses.replace(start, loss_scale={**start.loss_scale, "scale": steep})

    after, norm, clipped = one_step(program, before)
    wanted, _, _ = one_step(program, calm)

    assert torch.isfinite(norm).tolist() == [True, False, True]
    assert not clipped[1]
    assert after.loss_scale["scale"].tolist() == [2.0**8, 2.0**39, 2.0**8]
    assert after.loss_scale["good_steps"][1] == 0
    for name in ("clipping", "optimizer", "snapshots"):
        for key, value in getattr(after, name).items():
            assert torch.equal(value[1], getattr(before, name)[key][1])
            torch.testing.assert_close(value[[0, 2]], getattr(wanted, name)[key][[0, 2]])
    assert torch.equal(after.parameters[1], before.parameters[1])
    # a norm that is not finite has all norms of the step added in double precision
    torch.testing.assert_close(after.parameters[[0, 2]], wanted.parameters[[0, 2]])
    assert not torch.equal(after.parameters[0], before.parameters[0])


# ------------------------------------------------------------------------------- whole trainings


def strong(logits: Tensor, labels: Tensor) -> Tensor:
    return 64 * F.cross_entropy(logits, labels, reduction="none")


STRONG = dataclasses.replace(LOSSES["cross_entropy"], name="strong", value=strong)
"""Whose gradient overflows at scales that single and double precision have, too."""


@pytest.mark.parametrize(
    "arm",
    [
        {"clipping": "global_norm", "clipping_threshold": 0.5},
        {"clipping": "skip_step", "optimizer": "momentum"},
        {"batch_policy": "accumulate"},
        {"batch_policy": "norm_test"},
        {"batch_policy": "noise_scale", "model": "cnn"},
        {"normalization": "batch", "model": "cnn"},
        DROPPING,
    ],
    ids=lambda arm: "-".join(map(str, arm.values()))[:40],
)
def test_a_scale_that_fits_changes_nothing(toy: Dataset, arm: dict[str, Any]) -> None:
    # powers of two round nothing, and all that looks at a gradient sees it without the scale
    common: dict[str, Any] = {"dataset": toy, "width": 16, "epochs": 2, "batch_size": 16} | arm
    rows = [
        train([Trial(**common, precision=p, seed=s) for s in range(2)], device="cpu", checkpoints=4)
        for p in ("float64", scaled(LossScaling(2.0**10)))
    ]
    for table in ("trials", "history"):
        plain, found = (getattr(r, table).select_dtypes("number") for r in rows)
        columns = [c for c in plain if c not in ("seconds", "skipped_fraction", "loss_scale")]
        numbers = (t[columns].to_numpy(float, na_value=np.nan) for t in (plain, found))
        np.testing.assert_allclose(*numbers, rtol=1e-9, err_msg=table)
        assert plain[["skipped_fraction", "loss_scale"]].isna().all(axis=None)
        assert found["loss_scale"].eq(1024.0).all()
    assert rows[1].trials["skipped_fraction"].eq(0.0).all()


def by_torch(trial: Trial, scaling: LossScaling, autocast: bool, limit: float) -> dict[str, Any]:
    """What the usual training loop with a gradient scaler comes to."""
    splits = load(TOY)
    network = MODELS["mlp"].build((1, 4, 4), 3, 1, 16, NORMALIZATIONS["none"])
    initialize(network, INITIALIZATIONS["he"], 1.0, torch.Generator().manual_seed(trial.seed))
    optimizer = torch.optim.SGD(network.parameters(), lr=trial.learning_rate, momentum=0.9)
    scaler = torch.amp.GradScaler(
        "cpu",
        init_scale=scaling.initial,
        backoff_factor=scaling.backoff,
        growth_factor=scaling.growth,
        growth_interval=scaling.growth_interval,
    )
    images = (splits.train_images.float() - splits.mean) / splits.std
    order = data_order(trial.seed, 96, 0, 20 * 16).view(20, 16)
    skipped = 0
    for batch in order:
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.float16, enabled=autocast):
            logits = network(images[batch])
        loss = strong(logits.float(), splits.train_labels[batch]).mean()
        scaler.scale(loss).backward()
        scaler.unscale_(optimizer)
        nn.utils.clip_grad_norm_(network.parameters(), limit)
        before = scaler.get_scale()
        scaler.step(optimizer)
        scaler.update()
        skipped += scaler.get_scale() < before
    return {
        "train_loss": loss.item(),
        "loss_scale": scaler.get_scale(),
        "skipped_fraction": skipped / 20,
    }


@pytest.mark.parametrize(
    ("like", "initial", "tolerance"), [("float32", 2.0**127, 1e-4), ("float16", 2.0**19, 2e-2)]
)
@pytest.mark.parametrize("together", [1, 2])
def test_a_training_equals_the_usual_loop_with_a_scaler(
    toy: Dataset, like: str, initial: float, tolerance: float, together: int
) -> None:
    scaling = LossScaling(initial, backoff=0.5, growth=2.0, growth_interval=4)
    trials = [
        Trial(
            dataset=toy,
            loss=STRONG,
            width=16,
            learning_rate=rate,
            optimizer="momentum",
            clipping="global_norm",
            clipping_threshold=1.0,
            precision=scaled(scaling, like),
            batch_size=16,
            updates=20,
            seed=seed,
        )
        for seed, rate in enumerate((0.05, 0.02))
    ]
    record = train(trials, device="cpu", checkpoints=20, together=together, steps=True)
    assert record.steps["skipped"].eq(record.steps["gradient_norm"].isna()).all()
    assert record.steps["skipped"].mean() == pytest.approx(record.trials["skipped_fraction"].mean())
    wanted = pd.DataFrame([by_torch(t, scaling, like == "float16", 1.0) for t in trials])
    found = record.trials[list(wanted)]
    assert found["skipped_fraction"].gt(0).all()
    exact = ["loss_scale", "skipped_fraction"]
    np.testing.assert_array_equal(found[exact].to_numpy(float), wanted[exact])
    np.testing.assert_allclose(found["train_loss"], wanted["train_loss"], rtol=tolerance)


@pytest.mark.parametrize(
    "arm",
    [
        {"optimizer": "adam", "clipping": "zclip"},
        {"normalization": "batch", "batch_policy": "doubling"},
        {"batch_policy": "accumulate"},
    ],
    ids=lambda arm: "-".join(arm.values()),
)
def test_each_trial_of_a_batched_unit_has_its_own_scale(toy: Dataset, arm: dict[str, str]) -> None:
    # overflows at first, and again after every third good step
    scaling = LossScaling(2.0**1023, backoff=0.5, growth=2.0, growth_interval=3)
    common: dict[str, Any] = {"dataset": toy, "precision": scaled(scaling), "batch_size": 16}
    common |= {"epochs": 3, "width": 16, "learning_rate": 1e-4, "loss": STRONG}
    trials = [
        Trial(**common | arm, init_gain=gain, seed=i) for i, gain in enumerate((0.1, 1.0, 30.0))
    ]
    together = train(trials, device="cpu", checkpoints=4, together=3)
    alone = train(trials, device="cpu", checkpoints=4, together=1)
    for table in ("trials", "history"):
        numbers = [getattr(r, table).select_dtypes("number") for r in (together, alone)]
        columns = [c for c in numbers[0] if c not in ("seconds", "trials_together")]
        values = (n[columns].to_numpy(float, na_value=np.nan) for n in numbers)
        np.testing.assert_allclose(*values, rtol=1e-8, err_msg=table)
    rows = together.trials
    assert rows["skipped_fraction"].between(0.05, 0.95).all()
    assert rows["skipped_fraction"].nunique() > 1
    assert not rows["status"].eq("nonfinite").any()


# ------------------------------------------------------------------------------------- the words


def log_after(losses: list[float], norms: list[float], *, skips_overflow: bool) -> Log:
    scale = Scale(
        Budget.of(Trial(updates=4), 96), 96, 3, 48, 48, 0.9, skips_overflow=skips_overflow
    )
    log = Log(Trial(updates=4), scale, 24)
    log.add_start(validation_loss=1.0, validation_accuracy=0.3, parameter_norm=1.0)
    clipped = np.zeros(len(losses), dtype=bool)
    log.add_steps(np.array(losses), np.array(norms), clipped, 0.1)
    log.add_checkpoint(validation_accuracy=0.9, parameter_norm=1.0)
    return log


NORMS = [math.inf, 2.0, math.nan, 3.0]


def test_a_skipped_step_is_no_explosion() -> None:
    row = log_after([1.0] * 4, NORMS, skips_overflow=True).row(validation_accuracy=0.9)
    assert row["status"] == "stable"
    assert row["status_reason"] is None
    assert (row["steps"], row["skipped_fraction"], row["gradient_norm_max"]) == (4, 0.5, 3.0)


def test_a_gradient_that_is_not_finite_is_one_where_nothing_is_scaled() -> None:
    row = log_after([1.0] * 4, NORMS, skips_overflow=False).row()
    assert (row["status"], row["steps"]) == ("nonfinite", 1)
    assert row["skipped_fraction"] is None


def test_a_loss_that_is_not_finite_is_an_explosion_whatever_the_scale() -> None:
    losses = [1.0, 1.0, math.nan, 1.0]
    row = log_after(losses, NORMS, skips_overflow=True).row()
    assert (row["status"], row["steps"], row["first_bad_step"]) == ("nonfinite", 3, 3)
    assert row["status_reason"] == "loss not finite at step 3"
    assert row["skipped_fraction"] == pytest.approx(1 / 3)


def test_a_trial_that_skips_every_step_says_so() -> None:
    log = log_after([2.0] * 4, [math.inf] * 4, skips_overflow=True)
    log.history[-1]["validation_accuracy"] = 0.3
    row = log.row(validation_accuracy=0.3)
    assert row["status"] == "stalled"
    assert row["status_reason"] == "every step was skipped, because its scaled gradient overflowed"
    assert math.isnan(row["gradient_norm_median"])
