"""What a study would train, without training it."""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from benchmark.data import load
from benchmark.driver.mirror import Mirror
from benchmark.driver.running import resolve_all
from benchmark.driver.search import ask_trial, open_searches
from benchmark.driver.staged import Stages
from benchmark.driver.units import make_units
from benchmark.engine import REGISTRIES, impossible
from benchmark.engine.trials.budget import Budget
from benchmark.engine.trials.resolve import examples_used, parts_of
from benchmark.records import SELECT, Search, Study, Trial

STAND_IN = "random"
"""The sampler whose trials stand for those of samplers that learn from what comes out."""


@dataclass(frozen=True)
class Design:
    """The trials of a study, of which those that depend on results are stood in for.

    ``stages`` are trained one after another: what comes out of one decides the next. ``cells``
    counts configurations apart from their seeds, ``updates`` those of all trials together. A best
    rate on the edge of its range adds trials; a policy that enlarges its batches makes fewer
    updates of a budget in examples.
    """

    stages: list[list[Trial]]

    @functools.cached_property
    def trials(self) -> list[Trial]:
        """Those of all stages."""
        return list(itertools.chain.from_iterable(self.stages))

    @functools.cached_property
    def cells(self) -> int:
        """Configurations apart from their seeds."""
        return len({trial.cell for trial in self.trials})

    @functools.cached_property
    def updates(self) -> int:
        """Those of all trials together."""
        return sum(map(planned_updates, self.trials))

    def packing(self, device: str, checkpoints: int) -> Packing:
        """How its trials go together into units on ``device`` (auto, cpu or cuda)."""
        units = [
            unit
            for stage in self.stages
            for unit in make_units(
                "planned",
                stage,
                checkpoints=checkpoints,
                layers=False,
                sharpness=False,
                device=device,
            )
        ]
        steps = sum(max(map(planned_updates, unit.trials)) for unit in units)
        return Packing(len(units), len(self.trials) / max(len(units), 1), steps)

    def __str__(self) -> str:
        return f"{self.cells:,} cells, {len(self.trials):,} trials, {self.updates:,} updates"


@dataclass(frozen=True)
class Packing:
    """Units of trials that train together, how many trials these are in the mean, and their steps.

    A step of a unit is one update of all of its trials: what a GPU does about as fast for many of
    them as for one.
    """

    units: int
    width: float
    steps: int

    def __str__(self) -> str:
        return f"{self.units:,} units, mean width {self.width:.1f}, {self.steps:,} steps of units"


def design(study: Study | Search) -> Design:
    """What ``study`` would train from the start.

    Raises
    ------
    ValueError
        On an unknown name or a number out of range.
    """
    if isinstance(study, Study):
        later = Stages(study).stand_ins()
        stages = [
            resolve_all(list(study.trials())),
            [trial for trial in later if trial.arm == SELECT],
            [trial for trial in later if trial.arm != SELECT],
        ]
    else:
        stages = _searched(study)
    return Design([stage for stage in stages if stage])


def planned_updates(trial: Trial) -> int:
    """Updates that a resolved trial makes if its batches stay as large as the first.

    >>> from benchmark.engine import resolve
    >>> planned_updates(resolve(Trial(updates=7))), planned_updates(resolve(Trial(epochs=1)))
    (7, 33)
    """
    available = len(load(trial.dataset).train_labels)
    if impossible(trial, available) is not None:
        return 0
    examples = examples_used(trial, available)
    budget = Budget.of(trial, examples)
    first = parts_of(trial).batch_policy.first_size(trial.batch_size, examples)
    return budget.updates_until(budget.amount, used=0, batch_size=first)


def too_few_seeds(trials: Sequence[Trial]) -> str | None:
    """That no difference between configurations of ``trials`` can be significant, or not of all.

    Configurations are compared with each of several levels of a factor at once, so that the factor
    with the most levels takes the most seeds (`benchmark.statistics.pairing.seeds_needed`).

    >>> print(too_few_seeds([Trial(optimizer=name) for name in ("sgd", "adam")]))
    at most 1 seed a configuration: too few for any difference to be significant, which takes 6
    >>> too_few_seeds([Trial(optimizer=name, seed=s) for name in ("sgd", "adam") for s in range(6)])
    """
    # only here, because it takes as long to import as all else together
    from benchmark.statistics.pairing import seeds_needed

    seeds = Counter(trial.cell for trial in trials)
    if len(seeds) < 2:
        return None
    rows = [trial.row() for trial in trials]
    levels = {factor: len({row[factor] for row in rows}) - 1 for factor in REGISTRIES}
    factor, others = max(levels.items(), key=lambda item: item[1])
    most, one, every = max(seeds.values()), seeds_needed(), seeds_needed(max(others, 1))
    if most >= every:
        return None
    has = f"at most {most} seed{'s' * (most != 1)} a configuration: too few for"
    several = f"{others} levels of {factor} against another"
    if most >= one:
        return f"{has} a significant difference of {several}, which takes {every}"
    more = f" ({every} for {several})" if every > one else ""
    return f"{has} any difference to be significant, which takes {one}{more}"


def _searched(search: Search) -> list[list[Trial]]:
    """Each generation of all searches, then the winners."""
    known = dataclasses.replace(
        search, samplers=[STAND_IN if name == "tpe" else name for name in search.samplers]
    )
    with Mirror(None) as mirror:
        searches = open_searches(known, mirror)
        starts = range(0, search.trials, search.generation)
        generations: list[list[Trial]] = [[] for _ in starts]
        winners: list[Trial] = []
        for name, (base, asked) in zip(_arms(search, len(searches)), searches, strict=True):
            drawn = [ask_trial(known, base, asked) for _ in range(search.trials)]
            named = [dataclasses.replace(trial, arm=name) for trial in drawn]
            for generation, start in zip(generations, starts, strict=True):
                generation += named[start : start + search.generation]
            # which of them wins is not known; the best cell of the grid costs about as much
            winner = dataclasses.replace(drawn[0], arm=f"confirm:{name}")
            winners += [dataclasses.replace(winner, seed=s) for s in search.confirm_seeds]
    return [*generations, winners]


def _arms(search: Search, searches: int) -> list[str]:
    return [*search.samplers] * (searches // len(search.samplers))
