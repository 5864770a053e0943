"""What the measurements cost that every training takes beside its steps, and the evaluations.

Those that cannot be turned off are timed by themselves, as often as a training takes them, over
the steps they belong to; the others by trainings with and without them, in turns.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator
from typing import Any

import torch

from benchmark.data import load
from benchmark.engine import resolve, train
from benchmark.engine.devices import reproducible
from benchmark.engine.program import Program
from benchmark.engine.resolve import parts_of
from benchmark.engine.segment import NOISE_EXAMPLES, STEPS_PER_SAMPLE
from benchmark.records import Trial
from benchmark.timing.plans import Plan
from benchmark.timing.stopwatch import Job, Lab, Row, Timed, timed
from benchmark.timing.strategies import Run, in_turns, steps_of

SETTINGS = {"mlp_fashion": (1, 8), "mlp_digits": (1, 16)}
"""Widths of units by workload."""
FEW, MANY = 4, 20
"""Checkpoints; a study has 20 unless it says otherwise."""
HARDLY_EVALUATED = 8
"""Examples in validation and test of a training whose evaluations cost next to nothing."""


def diagnostic_jobs(plan: Plan, lab: Lab) -> Iterator[Job]:
    """Every measurement's share of the time, alone and in a unit."""
    for name, widths in SETTINGS.items():
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
    rows = _always_on(little, width, device, steps)
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


def _always_on(trial: Trial, width: int, device: str, steps: int) -> list[Row]:
    """What a step takes with and without its norms, and with a sample of the noise scale."""
    where, resolved = torch.device(device), resolve(trial)
    bare = steps_of(resolved, width, device)
    bare(1)
    cost = timed(bare, steps)
    with reproducible(where):
        program = Program(parts_of(resolved), resolved, where)
        population = program.start([dataclasses.replace(resolved, seed=i) for i in range(width)])
        splits = load(trial.dataset).to(where)
        # batches that are smaller are taken together, as a run does
        size = max(trial.batch_size, NOISE_EXAMPLES)
        examples = torch.arange(width * size, device=where) % len(splits.train_labels)
        index = examples.view(width, size)
        images = (splits.train_images[index].to(program.dtype) - splits.mean) / splits.std
        labels = splits.train_labels[index]

        def norms(times: int) -> int:
            for _ in range(times):
                norm = torch.linalg.vector_norm(population.parameters, dim=1)
                torch.stack([norm, norm, norm])
            return times

        def sample(times: int) -> int:
            for _ in range(times):
                program.sample_gradients(population, images, labels)
            return times

        norms(1)
        sample(1)
        taken = max(1, steps // STEPS_PER_SAMPLE)
        extra = {"norms": timed(norms, steps), "noise scale": timed(sample, taken)}
    # a step has its norms in it already, and a sample stands beside so many steps
    without = _scaled(cost, 1.0, extra["norms"], -1.0)
    sampled = _scaled(cost, STEPS_PER_SAMPLE / steps, extra["noise scale"], 1 / taken)
    unsampled = _scaled(cost, STEPS_PER_SAMPLE / steps, extra["noise scale"], 0.0)
    return [_row("norms", cost, without), _row("noise scale", sampled, unsampled)]


def _scaled(a: Timed[int], times_a: float, b: Timed[int], times_b: float) -> Timed[int]:
    return Timed(
        value=round(a.value * times_a),
        seconds=times_a * a.seconds + times_b * b.seconds,
        cpu_seconds=times_a * a.cpu_seconds + times_b * b.cpu_seconds,
        peak_bytes=max(a.peak_bytes, b.peak_bytes),
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
