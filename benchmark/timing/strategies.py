"""Time a step of each clipping, normalization, optimizer and batch policy over doing without.

A strategy and its baseline take turns in one process, so that whatever else the machine does hits
both alike. A batch policy changes how many examples a step has, so whole trainings are compared.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch

from benchmark.data import load
from benchmark.engine import REGISTRIES, impossible, resolve, train
from benchmark.engine.machine.devices import reproducible
from benchmark.engine.steps.program import Program
from benchmark.engine.trials.resolve import parts_of
from benchmark.records import Trial
from benchmark.timing.plans import Plan
from benchmark.timing.stopwatch import Job, Lab, Row, Timed, timed

BASELINES = {
    "clipping": "none",
    "normalization": "none",
    "optimizer": "sgd",
    "batch_policy": "fixed",
}
"""What a step of each factor's other levels is compared with."""
TIMED = {
    "mlp_digits": ((1, 16), ("clipping", "normalization", "optimizer", "batch_policy")),
    "cnn_digits": ((1, 8), ("normalization",)),
}
"""Widths of units and factors by workload: small networks, where a strategy weighs most."""
RATE = 1e-3
"""So small that nothing explodes: a frozen trial would cost less."""
POLICY_EPOCHS, POLICY_CHECKPOINTS, POLICY_EVALUATED = 2, 8, 16
WARM_STEPS = 3


def strategy_jobs(plan: Plan, lab: Lab) -> Iterator[Job]:
    """Every level of every factor beside its baseline, alone and in a unit."""
    for name, (widths, factors) in TIMED.items():
        workload = plan.workload(name)
        for factor in factors:
            for width in sorted({min(width, plan.widest) for width in widths}):
                little = workload.with_examples(plan.policy_examples, POLICY_EVALUATED)
                trial = dataclasses.replace(little, learning_rate=RATE)
                arguments = factor, trial, width, lab.device, plan.pairs, plan.pair_seconds
                mark = {"what": "strategies", "workload": name, "device": lab.device}
                yield functools.partial(_beside_baseline, lab, mark, arguments)


def _beside_baseline(lab: Lab, mark: Row, arguments: tuple[Any, ...]) -> list[Row]:
    return [mark | row for row in lab.alone(time_levels, *arguments)]


def time_levels(
    factor: str, trial: Trial, width: int, device: str, pairs: int, pair_seconds: float
) -> list[Row]:
    """Every level of ``factor`` against its baseline, ``pairs`` times in turns.

    Levels that the trial's other choices make impossible are left out.
    """
    make = whole_training if factor == "batch_policy" else steps_of
    baseline = BASELINES[factor]
    runs = {}
    for level in REGISTRIES[factor]:
        choice: dict[str, Any] = {factor: level}
        changed = resolve(dataclasses.replace(trial, **choice))
        if impossible(changed, len(load(trial.dataset).train_labels)) is None:
            runs[level] = make(changed, width, device)
    first = runs.pop(baseline)
    rows = against(first, runs, width, pairs, pair_seconds)
    return [{"factor": factor, **row} for row in rows]


Run = Callable[[int], int]
"""Takes about so many steps; returns how many it took."""


def against(
    baseline: Run, arms: Mapping[str, Run], width: int, pairs: int, pair_seconds: float
) -> list[Row]:
    """Every arm of ``width`` trials against the ``baseline``, ``pairs`` times in turns.

    A turn of the baseline takes some ``pair_seconds`` of the processor.
    """
    baseline(WARM_STEPS)
    steps = enough(baseline, pair_seconds)
    rows = []
    for name, run in arms.items():
        run(WARM_STEPS)
        for repeat in range(pairs):
            cost, base = in_turns(run, baseline, steps, repeat)
            rows.append(
                {
                    "arm": name,
                    "trials_together": width,
                    "processes": 1,
                    "threads": 1,
                    "repeat": repeat,
                    "trials": width,
                    "steps": cost.value,
                    "baseline_steps": base.value,
                    "baseline_seconds": base.seconds,
                    "baseline_cpu_seconds": base.cpu_seconds,
                    **cost.costs(),
                }
            )
    return rows


def in_turns(run: Run, baseline: Run, steps: int, repeat: int) -> tuple[Timed[int], Timed[int]]:
    """Both timed, the one that goes first changing with every repeat."""
    if repeat % 2:
        base = timed(baseline, steps)
        return timed(run, steps), base
    return timed(run, steps), timed(baseline, steps)


def enough(run: Run, seconds: float) -> int:
    """Steps that take ``run`` some ``seconds`` of the processor."""
    cost = timed(run, WARM_STEPS)
    # the processor's time: on a busy machine the wall's would give too few
    return max(2, math.ceil(seconds * cost.value / max(cost.cpu_seconds, 1e-9)))


def steps_of(trial: Trial, width: int, device: str) -> Run:
    """Steps of ``width`` trials together, always on the same batches."""
    where = torch.device(device)
    with reproducible(where):
        program = Program(parts_of(trial), trial, where)
        population = program.start([dataclasses.replace(trial, seed=i) for i in range(width)])
    splits = load(trial.dataset).to(where)
    examples = torch.arange(width * trial.batch_size) % len(splits.train_labels)
    index = examples.view(width, trial.batch_size).to(where)
    images = (splits.train_images[index].to(program.dtype) - splits.mean) / splits.std
    labels, factor = splits.train_labels[index], torch.ones(width, device=where)

    def run(steps: int) -> int:
        nonlocal population
        with reproducible(where):
            for _ in range(steps):
                population = program.step(population, images, labels, factor)[0]
        return steps

    return run


def whole_training(trial: Trial, width: int, device: str) -> Run:
    """Whole trainings of ``width`` trials together; the policy decides how many steps they take."""
    assert trial.epochs is not None
    epochs = min(trial.epochs, POLICY_EPOCHS)
    trials = [dataclasses.replace(trial, seed=i, epochs=epochs) for i in range(width)]

    def run(steps: int) -> int:
        record = train(trials, device=device, checkpoints=POLICY_CHECKPOINTS, together=width)
        return int(record.trials["steps"].sum()) // width

    return run
