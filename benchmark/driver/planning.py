"""What a study would train, without training it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass

from benchmark.data import load
from benchmark.driver.mirror import Mirror
from benchmark.driver.running import resolve_all
from benchmark.driver.search import ask_trial, open_searches
from benchmark.driver.staged import Stages
from benchmark.engine import impossible
from benchmark.engine.budget import Budget
from benchmark.engine.resolve import examples_used, parts_of
from benchmark.records import Search, Study, Trial

STAND_IN = "random"
"""The sampler whose trials stand for those of samplers that learn from what comes out."""


@dataclass(frozen=True)
class Design:
    """The trials of a study, of which those that depend on results are stood in for.

    ``cells`` counts configurations apart from their seeds, ``updates`` those of all trials
    together. A best rate on the edge of its range adds trials; a policy that enlarges its batches
    makes fewer updates of a budget in examples.
    """

    trials: list[Trial]
    cells: int
    updates: int

    def __str__(self) -> str:
        return f"{self.cells:,} cells, {len(self.trials):,} trials, {self.updates:,} updates"


def design(study: Study | Search) -> Design:
    """What ``study`` would train from the start.

    Raises
    ------
    ValueError
        On an unknown name or a number out of range.
    """
    if isinstance(study, Study):
        trials = resolve_all(list(study.trials()))
        trials += Stages(study).stand_ins()
    else:
        trials = [*_searched(study)]
    return Design(trials, len({t.cell for t in trials}), sum(map(planned_updates, trials)))


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
    first = parts_of(trial).batch_policy.first(trial.batch_size, examples)
    return budget.updates_until(budget.amount, used=0, batch_size=first)


def _searched(search: Search) -> Iterator[Trial]:
    known = dataclasses.replace(
        search, samplers=[STAND_IN if name == "tpe" else name for name in search.samplers]
    )
    with Mirror(None) as mirror:
        searches = open_searches(known, mirror)
        for name, (base, asked) in zip(_arms(search, len(searches)), searches, strict=True):
            drawn = [ask_trial(known, base, asked) for _ in range(search.trials)]
            yield from (dataclasses.replace(trial, arm=name) for trial in drawn)
            # which of them wins is not known; the best cell of the grid costs about as much
            winner = dataclasses.replace(drawn[0], arm=f"confirm:{name}")
            yield from (dataclasses.replace(winner, seed=s) for s in search.confirm_seeds)


def _arms(search: Search, searches: int) -> list[str]:
    return [*search.samplers] * (searches // len(search.samplers))
