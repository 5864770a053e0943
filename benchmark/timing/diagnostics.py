"""What the measurements cost that every training takes beside its steps, and the evaluations.

Samples of the noise scale are timed in steps with and without, as a training takes both; what
comes with checkpoints in trainings with and without, in turns. Norms that are taken apart from a
gradient are timed by themselves.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Iterator
from typing import Any

import torch

from benchmark.data import load
from benchmark.engine import resolve, train
from benchmark.engine.machine.devices import reproducible
from benchmark.engine.runs.segment import NOISE_EXAMPLES, STEPS_PER_SAMPLE
from benchmark.engine.steps.batches import Batches
from benchmark.engine.steps.dense_steps import DenseSteps
from benchmark.engine.steps.program import Program
from benchmark.engine.steps.stepping import Stepping
from benchmark.engine.trials.resolve import parts_of
from benchmark.records import Trial
from benchmark.timing.plans import Plan
from benchmark.timing.stopwatch import Job, Lab, Row, Timed, timed
from benchmark.timing.strategies import Run, in_turns

WIDTHS = {"mlp_fashion": (1, 8), "mlp_digits": (1, 16)}
"""Widths of units by workload."""
FEW, MANY = 4, 20
"""Checkpoints; a study has 20 unless it says otherwise."""
HARDLY_EVALUATED = 8
"""Examples in validation and test of a training whose evaluations cost next to nothing."""


def diagnostic_jobs(plan: Plan, lab: Lab) -> Iterator[Job]:
    """Every measurement's share of the time, alone and in a unit."""
    for name, widths in WIDTHS.items():
        workload = plan.workload(name)
        little = workload.with_examples(workload.piece.train, HARDLY_EVALUATED)
        for width in sorted({min(width, plan.widest) for width in widths}):
            for repeat in range(plan.repeats):
                arguments = workload.trial, little, width, lab.device, repeat
                mark = {
                    "what": "diagnostics",
                    "workload": name,
                    "data": workload.data,
                    "trials_together": width,
                    "trials": width,
                    "processes": 1,
                    "threads": 1,
                    "repeat": repeat,
                    "device": lab.device,
                }
                yield functools.partial(_measure, lab, mark, arguments)


def _measure(lab: Lab, mark: Row, arguments: tuple[Any, ...]) -> list[Row]:
    return [mark | row for row in lab.alone(time_diagnostics, *arguments)]


def time_diagnostics(
    trial: Trial, little: Trial, width: int, device: str, repeat: int
) -> list[Row]:
    """Costs with and without each measurement; ``little`` is ``trial`` hardly evaluated."""
    few = _training(little, width, device, FEW)
    many = _training(little, width, device, MANY)
    layers = _training(little, width, device, MANY, layers=True)
    pairs = {
        "checkpoints": (many, few),
        "layers": (layers, many),
        "all that can be turned off": (layers, few),
        "evaluation": (_training(trial, width, device, FEW), few),
    }
    steps = few(0)
    rows = _always_on(little, width, device, steps, repeat)
    for name, (run, baseline) in pairs.items():
        cost, base = in_turns(run, baseline, 0, repeat)
        rows.append(_row(name, cost, base))
    return rows


def _training(trial: Trial, width: int, device: str, checkpoints: int, layers: bool = False) -> Run:
    trials = [dataclasses.replace(trial, seed=i) for i in range(width)]

    def run(_: int) -> int:
        record = train(
            trials, device=device, checkpoints=checkpoints, layers=layers, together=width
        )
        return int(record.trials["steps"].sum()) // width

    return run


def _always_on(trial: Trial, width: int, device: str, steps: int, repeat: int) -> list[Row]:
    """What steps take with a sample of the noise scale, and with their norms, as a run takes them.

    Kernels add up the squares of a gradient while they make it: there is no step without.
    """
    where, resolved = torch.device(device), resolve(trial)
    with reproducible(where):
        program = Program(parts_of(resolved), resolved, where)
        population = program.start([dataclasses.replace(resolved, seed=i) for i in range(width)])
    splits = load(trial.dataset).to(where)
    batches = Batches(splits, program.dtype)
    size = trial.batch_size
    examples = torch.arange(width * STEPS_PER_SAMPLE * size, device=where)
    order = (examples % len(splits.train_labels)).view(width, STEPS_PER_SAMPLE, size)
    # batches that are smaller are taken together, as a run does
    sampled = order[:, : math.ceil(NOISE_EXAMPLES / size)].flatten(1)
    factors = torch.ones(STEPS_PER_SAMPLE, width, dtype=program.dtype, device=where)
    by_kernels = DenseSteps.of(program, batches, population) is not None

    def taken(samples: bool, times: int) -> int:
        with reproducible(where):
            for _ in range(times):
                stepping: Stepping | None = DenseSteps.of(program, batches, population)
                stepping = stepping or Stepping(program, batches, population)
                if samples:
                    stepping.sample(sampled)
                stepping.steps(order, factors)
                stepping.end()
        return times * STEPS_PER_SAMPLE

    def norms(times: int) -> int:
        for _ in range(times):
            norm = torch.linalg.vector_norm(population.parameters, dim=1)
            torch.stack([norm, norm, norm])
        return times

    run, baseline = (functools.partial(taken, samples) for samples in (True, False))
    run(1)
    cost, base = in_turns(run, baseline, max(1, steps // STEPS_PER_SAMPLE), repeat)
    rows = [_row("noise scale", cost, base)]
    if not by_kernels:
        norms(1)
        rows.append(_row("norms", base, _less(base, timed(norms, base.value))))
    return rows


def _less(a: Timed[int], b: Timed[int]) -> Timed[int]:
    """What ``a`` takes without ``b``, which is a part of it."""
    return dataclasses.replace(
        a, seconds=a.seconds - b.seconds, cpu_seconds=a.cpu_seconds - b.cpu_seconds
    )


def _row(name: str, cost: Timed[int], base: Timed[int]) -> Row:
    return {
        "arm": name,
        "steps": cost.value,
        "baseline_steps": base.value,
        "baseline_seconds": base.seconds,
        "baseline_cpu_seconds": base.cpu_seconds,
        **cost.costs(),
    }
