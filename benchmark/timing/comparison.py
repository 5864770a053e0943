"""The same trials trained the ordinary way, with tensors, and by the engine in units of any width.

All arms train the same network on the same examples in batches of the same size, from the same
seeds, and evaluate the same examples at the end. What the engine does besides (gradient norms,
checkpoints, their evaluations) counts as its own time.
"""

from __future__ import annotations

import dataclasses
import functools
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from benchmark.data import load
from benchmark.engine import train
from benchmark.engine.settings import CHECKED_EXAMPLES
from benchmark.records import Trial
from benchmark.timing.arithmetic import SQUARE, Shape, multiply, operations, products_of
from benchmark.timing.ordinary import with_loader, with_tensors
from benchmark.timing.plans import Plan, Workload
from benchmark.timing.stopwatch import Job, Lab, Row

CHECKPOINTS = 4
REPEAT_SEEDS = 10_000
"""Between the seeds of two repeats: none is trained twice."""


@dataclass(frozen=True)
class Condition:
    """One way of training a workload.

    Parameters
    ----------
    arm
        ``ordinary``, ``tensors`` or ``engine``.
    trials_together
        In a unit.
    processes
        That train such units at once.
    threads
        Of torch, in each process.
    """

    arm: str
    trials_together: int = 1
    processes: int = 1
    threads: int = 1


def arm_jobs(plan: Plan, lab: Lab) -> Iterator[Job]:
    """Every arm of every workload, repeat after repeat, with the machine's own rate between."""
    for workload in plan.workloads:
        conditions = _conditions(plan, workload, lab)
        yield functools.partial(_warm_up, workload, lab)
        for repeat in range(plan.repeats):
            yield functools.partial(_machine, plan, workload, lab, repeat)
            for condition in conditions:
                yield functools.partial(_measure, workload, condition, lab, repeat)


def _conditions(plan: Plan, workload: Workload, lab: Lab) -> list[Condition]:
    counts = sorted({1, lab.processes})
    found = [Condition("ordinary", processes=n) for n in counts]
    if plan.threads and lab.device == "cpu" and lab.processes > 1:
        found.append(Condition("ordinary", threads=lab.processes))
    found += [Condition("tensors", processes=n) for n in counts]
    return found + [Condition("engine", k, n) for k in workload.together for n in counts]


def _warm_up(workload: Workload, lab: Lab) -> list[Row]:
    for plain, arms in ((True, ("ordinary", "tensors")), (False, ("engine",))):
        arguments = [(workload, arms, lab.device)] * lab.processes
        lab.at_once(_run_a_little, arguments, plain=plain)
    return []


def _run_a_little(workload: Workload, arms: Sequence[str], device: str) -> None:
    load(workload.trial.dataset)
    little = workload.with_examples(2 * workload.trial.batch_size, 100)
    for arm in arms:
        _accuracies(little, [0], Condition(arm), device)


def _machine(plan: Plan, workload: Workload, lab: Lab, repeat: int) -> list[Row]:
    rows = []
    shapes = {"products": products_of(workload.trial), "square": [(SQUARE, SQUARE, SQUARE)]}
    for arm, wanted in shapes.items():
        for processes in sorted({1, lab.processes}):
            rate, cpu_rate = _rates(lab, processes, wanted, plan.operations)
            rows.append(
                {
                    "what": "machine",
                    "workload": workload.name,
                    "arm": arm,
                    "processes": processes,
                    "repeat": repeat,
                    "operations": rate,
                    "seconds": 1.0,
                    "cpu_seconds": rate / cpu_rate,
                    "device": lab.device,
                }
            )
    return rows


def _rates(lab: Lab, processes: int, shapes: Sequence[Shape], wanted: float) -> tuple[float, float]:
    """Operations a second of all processes together, and a processor second of one."""
    done = lab.at_once(multiply, [(shapes, lab.device, wanted)] * processes).value
    rate = sum(count / cost.seconds for count, cost in done)
    cpu = sum(count for count, _ in done) / sum(cost.cpu_seconds for _, cost in done)
    return rate, cpu


def _measure(workload: Workload, condition: Condition, lab: Lab, repeat: int) -> list[Row]:
    """One arm once: what it cost, and how accurate its trials came out."""
    each = workload.ordinary
    if condition.arm == "engine":
        each = max(1, workload.least // condition.trials_together) * condition.trials_together
    first = REPEAT_SEEDS * repeat
    seeds = [range(first + i * each, first + (i + 1) * each) for i in range(condition.processes)]
    done = lab.at_once(
        _accuracies,
        [(workload.trial, some, condition, lab.device) for some in seeds],
        plain=condition.arm != "engine",
    )
    accuracies = [accuracy for part in done.value for accuracy in part]
    return [
        {
            "what": "trials",
            "workload": workload.name,
            "data": workload.data,
            **dataclasses.asdict(condition),
            "repeat": repeat,
            "trials": len(accuracies),
            "operations": len(accuracies) * _needed(workload, condition.arm),
            "accuracy": statistics.fmean(accuracies),
            "accuracy_deviation": statistics.stdev(accuracies) if len(accuracies) > 1 else None,
            "evaluated": workload.piece.evaluated,
            "device": lab.device,
            **done.costs(),
        }
    ]


def _needed(workload: Workload, arm: str) -> float:
    """Operations of a trial; the engine also evaluates at every checkpoint, the first included.

    Where a checkpoint looks at the whole validation split, the last one's evaluation is the final.
    """
    held_out = workload.piece.evaluated
    evaluated = 2 * held_out
    if arm == "engine":
        checked = min(CHECKED_EXAMPLES, held_out)
        evaluated += (CHECKPOINTS + 1) * checked - (held_out if held_out == checked else 0)
    assert workload.trial.epochs is not None
    return operations(workload.trial, workload.trial.epochs * workload.piece.train, evaluated)


def _accuracies(
    trial: Trial, seeds: Sequence[int], condition: Condition, device: str
) -> list[float]:
    """Validation accuracy of ``trial`` with each seed, trained as ``condition`` says."""
    before = torch.get_num_threads()
    torch.set_num_threads(condition.threads)
    try:
        if condition.arm == "ordinary":
            return with_loader(trial, seeds, device)
        if condition.arm == "tensors":
            return with_tensors(trial, seeds, device)
        return trained(trial, seeds, condition.trials_together, device)
    finally:
        torch.set_num_threads(before)


def trained(trial: Trial, seeds: Sequence[int], together: int, device: str) -> list[float]:
    """Validation accuracy of each seed, trained by the engine so many together."""
    trials = [dataclasses.replace(trial, seed=seed) for seed in seeds]
    record = train(trials, device=device, checkpoints=CHECKPOINTS, together=together)
    return record.trials["validation_accuracy"].tolist()
