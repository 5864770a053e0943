"""The same trials trained by the engine, in units of any width, and by what one would use instead.

All arms train the same network on the same examples in batches of the same size, from the same
seeds, and evaluate the same examples at the end. What the engine does besides (gradient norms,
checkpoints, their evaluations) counts as its own time.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import os
import statistics
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from benchmark.data import load
from benchmark.engine import train
from benchmark.engine.machine.devices import products_in
from benchmark.engine.settings import CHECKED_EXAMPLES
from benchmark.kernels import VARIABLE, kernels
from benchmark.records import Trial
from benchmark.timing.arithmetic import SQUARES, Shape, multiply, operations, products_of
from benchmark.timing.baseline import with_loader, with_tensors
from benchmark.timing.peers import jax_is_installed, with_jax
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
        ``baseline``, ``tensors``, ``jax``, ``engine`` or ``torch_kernels``, which is the engine
        without its compiled kernels.
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
    """Every arm of every workload, repeat after repeat, with the machine's own rate between.

    All workloads in each repeat, so that a run that ends early has all of them.
    """
    conditions = {workload.name: _conditions(plan, workload, lab) for workload in plan.workloads}
    for workload in plan.workloads:
        yield functools.partial(_warm_up, workload, conditions[workload.name], lab)
    for repeat, workload in itertools.product(range(plan.repeats), plan.workloads):
        yield functools.partial(_machine, plan, workload, lab, repeat)
        for condition in conditions[workload.name]:
            yield functools.partial(_measure, workload, condition, lab, repeat)


def _conditions(plan: Plan, workload: Workload, lab: Lab) -> list[Condition]:
    """Every arm is there in as many processes as the engine; torch's loops and it in one, too."""
    counts = sorted({1, lab.processes})
    found = [Condition("baseline", processes=n) for n in counts]
    if plan.threads and lab.device == "cpu" and lab.processes > 1:
        found.append(Condition("baseline", threads=lab.processes))
    found += [Condition("tensors", processes=n) for n in counts]
    found += [Condition("engine", k, n) for k in workload.together for n in counts]
    if lab.device == "cpu":
        widths = workload.jax if jax_is_installed() else ()
        found += [Condition("jax", k, lab.processes) for k in widths]
        # where they are torch's already, the engine has been timed with these
        widths = workload.torch_kernels if kernels() != "torch" else ()
        found += [Condition("torch_kernels", k, lab.processes) for k in widths]
    return found


def _pool(arm: str, lab: Lab) -> Executor:
    if arm in ("engine", "torch_kernels"):
        return lab.executor
    return lab.peers if arm == "jax" else lab.plain


def _warm_up(workload: Workload, conditions: Sequence[Condition], lab: Lab) -> list[Row]:
    """Imports, data and memory of every process, and what is compiled, before anything is timed."""
    little = workload.with_examples(2 * workload.trial.batch_size, 100)
    for condition in {(c.arm, c.trials_together): c for c in conditions}.values():
        # JAX compiles for so many steps of so many trials, and for nothing else; a GPU loads its
        # kernels as they are met, and has others for several trials
        trial = workload.trial if condition.arm == "jax" else little
        several = condition.arm == "jax" or lab.device == "cuda"
        seeds = range(condition.trials_together if several else 1)
        arguments = [(workload, trial, seeds, condition, lab.device)] * lab.processes
        lab.at_once(_warm, arguments, executor=_pool(condition.arm, lab))
    return []


def _warm(
    workload: Workload, trial: Trial, seeds: Sequence[int], condition: Condition, device: str
) -> None:
    load(workload.trial.dataset)
    _accuracies(trial, seeds, condition, device)


def _machine(plan: Plan, workload: Workload, lab: Lab, repeat: int) -> list[Row]:
    rows = []
    side = SQUARES[lab.device]
    shapes = {
        "products": (products_of(workload.trial), plan.own_operations),
        "square": ([(side, side, side)], plan.operations),
    }
    for arm, wanted in shapes.items():
        for processes in sorted({1, lab.processes}):
            rate, cpu_rate = _rates(lab, processes, *wanted)
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
    each = workload.baseline
    if condition.arm not in ("baseline", "tensors"):
        each = max(1, workload.least // condition.trials_together) * condition.trials_together
    first = REPEAT_SEEDS * repeat
    seeds = [range(first + i * each, first + (i + 1) * each) for i in range(condition.processes)]
    done = lab.at_once(
        _accuracies,
        [(workload.trial, some, condition, lab.device) for some in seeds],
        executor=_pool(condition.arm, lab),
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
    """Operations of a trial; the engine and JAX also evaluate at checkpoints, the first included.

    Where a checkpoint looks at the whole validation split, the last one's evaluation is the final.
    """
    held_out = workload.piece.evaluated
    evaluated = 2 * held_out
    if arm not in ("baseline", "tensors"):
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
        if condition.arm in ("baseline", "tensors"):
            loop = with_loader if condition.arm == "baseline" else with_tensors
            # as the engine's are: torch itself would round those of a GPU's convolutions
            with products_in("ieee"):
                return loop(trial, seeds, device)
        if condition.arm == "jax":
            return with_jax(trial, seeds, condition.trials_together, CHECKPOINTS)
        with _kernels("torch" if condition.arm == "torch_kernels" else None):
            return trained(trial, seeds, condition.trials_together, device)
    finally:
        torch.set_num_threads(before)


@contextmanager
def _kernels(choice: str | None) -> Iterator[None]:
    """Within it the CPU's kernels are those of ``choice``, where there is one."""
    before = os.environ.get(VARIABLE)
    if choice is not None:
        os.environ[VARIABLE] = choice
    try:
        yield
    finally:
        if before is not None:
            os.environ[VARIABLE] = before
        elif choice is not None:
            del os.environ[VARIABLE]


def trained(trial: Trial, seeds: Sequence[int], together: int, device: str) -> list[float]:
    """Validation accuracy of each seed, trained by the engine so many together."""
    trials = [dataclasses.replace(trial, seed=seed) for seed in seeds]
    record = train(trials, device=device, checkpoints=CHECKPOINTS, together=together)
    return record.trials["validation_accuracy"].tolist()
