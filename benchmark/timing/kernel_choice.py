"""What the switch `benchmark.kernels.VARIABLE` is worth on a GPU: the same trials either way.

On a GPU it decides about convolutions alone: products of unfolded patches, or cuDNN's with K groups
(docs/decisions/0010). A model without any stands beside them: its ratio is what timing twice makes.
"""

from __future__ import annotations

import dataclasses
import itertools
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from torch import nn

from benchmark.data import load
from benchmark.kernels import VARIABLE
from benchmark.models import MODELS
from benchmark.records import Trial
from benchmark.statistics.gpu_check import CONTROL
from benchmark.timing.baseline import network
from benchmark.timing.comparison import REPEAT_SEEDS, trained
from benchmark.timing.plans import IMAGE, Piece, fashion
from benchmark.timing.sharing import variables_set
from benchmark.timing.stopwatch import Lab, Row

ARMS = {"engine": "", "torch_kernels": "torch"}
"""What the variable is, by the arm."""
NORMALIZED = ("cnn", "batch")
"""Maps that a normalization takes in between have other layouts to come from and go to."""
TOGETHER = 16
"""Trials in a unit, as many as the studies' units of CNNs have."""
BATCH_SIZE, STEPS, EVALUATED = 32, 100, 1000
"""The base of the studies; enough steps for a CUDA graph."""
REPEATS = 7
LITTLE = 2
"""Steps of what is trained before anything is timed."""


@dataclass(frozen=True)
class Condition:
    """Units of ``together`` trials of ``model``, one in each of ``processes``."""

    model: str
    normalization: str
    together: int
    processes: int

    def trial(self, steps: int, evaluated: int) -> Trial:
        """All but its seed."""
        return Trial(
            dataset=Piece(fashion(), steps * BATCH_SIZE, evaluated).named(IMAGE),
            model=self.model,
            normalization=self.normalization,
            batch_size=BATCH_SIZE,
            epochs=1,
        )


def conditions(processes: int) -> list[Condition]:
    """Every model that has convolutions, and `CONTROL`: as studies train them, and alone."""
    kinds = [(model, "none") for model in (*filter(has_convolutions, MODELS), CONTROL)]
    ways = dict.fromkeys([(TOGETHER, processes), (TOGETHER, 1), (1, 1)])
    return [Condition(*kind, *way) for way in ways for kind in (*kinds, NORMALIZED)]


def has_convolutions(model: str) -> bool:
    """Whether a model's network convolves images.

    >>> has_convolutions("cnn"), has_convolutions("mlp")
    (True, False)
    """
    module = network(Condition(model, "none", 1, 1).trial(1, 1), seed=0)
    return any(isinstance(part, nn.Conv2d) for part in module.modules())


def by_kernels(scale: str, lab: Lab, repeats: int = REPEATS) -> Iterator[list[Row]]:
    """Each condition both ways, repeat after repeat: two rows of the table ``measurements``.

    Both ways train the same trials in as many processes, one right after the other, which is first
    taking turns. ``factor`` is the normalization, ``arm`` one of `ARMS`. What is warmed up has no
    rows.
    """
    smoke = scale == "smoke"
    steps, evaluated = (LITTLE, 100) if smoke else (STEPS, EVALUATED)
    found = conditions(lab.processes)
    if smoke:
        found = [dataclasses.replace(c, together=2) for c in found if c.processes == lab.processes]
        found = list(dict.fromkeys(found))
    for condition in found:
        # every process meets the kernels of every condition
        for arm in ARMS:
            _once(condition, arm, lab, condition.trial(LITTLE, 100), 0, lab.processes)
        yield []
    for repeat, condition in itertools.product(range(1 if smoke else repeats), found):
        trial = condition.trial(steps, evaluated)
        arms = list(ARMS)[:: -1 if repeat % 2 else 1]
        rows = [_once(condition, a, lab, trial, repeat, condition.processes) for a in arms]
        yield [row | {"steps": steps, "evaluated": evaluated} for row in rows]


def _once(
    condition: Condition, arm: str, lab: Lab, trial: Trial, repeat: int, processes: int
) -> Row:
    first = REPEAT_SEEDS * repeat
    ends = [first + (i + 1) * condition.together for i in range(processes)]
    seeds = [range(end - condition.together, end) for end in ends]
    done = lab.at_once(_accuracies, [(trial, some, ARMS[arm], lab.device) for some in seeds])
    accuracies = [accuracy for part in done.value for accuracy in part]
    return {
        "what": "kernels",
        "workload": condition.model,
        "data": fashion() or "made-up images",
        "factor": condition.normalization,
        "arm": arm,
        "trials_together": condition.together,
        "processes": processes,
        "threads": 1,
        "repeat": repeat,
        "trials": len(accuracies),
        "accuracy": statistics.fmean(accuracies),
        "device": lab.device,
        **done.costs(),
    }


def _accuracies(trial: Trial, seeds: Sequence[int], choice: str, device: str) -> list[float]:
    load(trial.dataset)
    with variables_set({VARIABLE: choice}):
        return trained(trial, seeds, len(seeds), device)
