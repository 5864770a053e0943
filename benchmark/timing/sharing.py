"""How many processes should share a GPU: the same units trained by each number of them."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from benchmark.driver.executors import at_most, open_pool
from benchmark.timing.comparison import trained
from benchmark.timing.plans import Workload, plan_on_gpu
from benchmark.timing.stopwatch import Lab, Row

PROCESSES = (8, 1, 16, 4, 2)
"""In this order: what a study takes, what it is compared with, and what may be better."""
UNITS = 16
"""That every number of processes trains, each its part."""
WIDTHS = {"mlp_fashion": 64, "cnn_fashion": 16}
"""Trials in a unit: about as many as the studies' units have."""
SHARE = 2
"""Of the examples of `plan_on_gpu`, one in so many: there are many numbers to time."""


@contextmanager
def variables_set(variables: Mapping[str, str]) -> Iterator[None]:
    """Within, the environment has these; processes that are started inherit it."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def by_processes(
    scale: str,
    gpus: Sequence[str],
    device: str,
    *,
    until: float,
    counts: Sequence[int] = PROCESSES,
    units: int = UNITS,
) -> Iterator[Row]:
    """Trials an hour of each workload by each number of processes, which all begin together.

    All are started, and have trained a unit, before anything is timed. None is begun after
    ``until``, by `time.monotonic`, but the first number of each workload.
    """
    most = at_most(max(counts))
    workloads = plan_on_gpu(scale).workloads
    pool = open_pool("processes", most, gpus)
    try:
        lab = Lab(pool.executor, pool.executor, pool.executor, most, device)
        for workload in workloads:
            _train(lab, workload, scale, most, units=most, little=True)
        for count in (count for count in counts if count <= most):
            for workload in workloads:
                if count != counts[0] and time.monotonic() > until:
                    return
                yield _train(lab, workload, scale, count, units=units)
    finally:
        pool.stop()


def _train(
    lab: Lab, workload: Workload, scale: str, processes: int, units: int, little: bool = False
) -> Row:
    together = 2 if scale == "smoke" else WIDTHS[workload.name]
    size = workload.trial.batch_size
    examples = 2 * size if little else workload.piece.train // SHARE // size * size
    trial = workload.with_examples(examples, workload.piece.evaluated)
    # each has as many units as any other, or one less
    parts = [units // processes + (i < units % processes) for i in range(processes)]
    ends = [sum(parts[: i + 1]) * together for i in range(processes)]
    seeds = [range(end - part * together, end) for end, part in zip(ends, parts, strict=True)]
    began = time.perf_counter()
    lab.at_once(trained, [(trial, some, together, lab.device) for some in seeds if some])
    seconds = time.perf_counter() - began
    return {
        "model": str(workload.trial.model),
        "together": together,
        "processes": processes,
        "trials": units * together,
        "seconds": seconds,
        "trials_an_hour": 3600 * units * together / seconds,
    }
