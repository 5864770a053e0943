"""Studies whose later trials follow from earlier ones: rates relative to the best one.

Each stage is trained as a whole before the next is made from what came out of all before it. So a
run that was stopped makes the same stages when it goes on, whatever the number of workers.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from benchmark.driver.asking import Row, objective
from benchmark.engine import resolve
from benchmark.records import RelativeRates, Study, Trial, numbers_of
from benchmark.records.rates import Score
from benchmark.statistics.rates import rate_scores
from benchmark.status import FINISHED, counted_accuracy


@dataclass(frozen=True)
class _Configuration:
    """What has a best rate: a resolved trial but for its rate, seed and arm."""

    rates: RelativeRates
    trial: Trial
    seeds: tuple[int, ...]

    def tried(self, rate: float) -> list[Trial]:
        """The trials by which ``rate`` is judged: undisturbed, whatever comes later."""
        at = dataclasses.replace(self.trial, learning_rate=rate, disturbance="none")
        return [dataclasses.replace(at, seed=seed) for seed in self.rates.seeds]

    def multiples(self, best: float) -> Iterator[Trial]:
        """The trials for which the best rate was looked for."""
        yield from self._at(self.rates.multiplied(best))

    def shared(self, best: float) -> Iterator[Trial]:
        """Those at multiples of the baseline's best rate."""
        yield from self._at(self.rates.shared(best))

    def _at(self, rates: Mapping[str, float]) -> Iterator[Trial]:
        for arm, rate in rates.items():
            at = dataclasses.replace(self.trial, learning_rate=rate, arm=arm)
            yield from (dataclasses.replace(at, seed=seed) for seed in self.seeds)


def _baseline(baseline: tuple[str, Any], trial: Trial) -> str:
    """The key of what ``trial`` would be with the baseline's level, at its default numbers."""
    factor, level = baseline
    changed = {factor: level} | dict.fromkeys(numbers_of(factor))
    try:
        return resolve(dataclasses.replace(trial, **changed)).key
    except ValueError as error:
        raise ValueError(f"`baseline` {baseline!r} suits no trial of this study: {error}") from None


class Stages:
    """The trials of ``study`` that depend on what came out of others.

    >>> study = Study(name="demo", question="?", factors={"learning_rate": 0.1})
    >>> Stages(study).following({})
    []
    """

    def __init__(self, study: Study) -> None:
        found: dict[tuple[RelativeRates, str], _Configuration] = {}
        baselines: dict[_Configuration, str] = {}
        for rates, trial, seeds in study.configurations():
            one = dataclasses.replace(trial, seed=rates.seeds[0])
            resolved = resolve(one)
            # a default and its value are one configuration
            known = found[rates, resolved.key] = _Configuration(rates, resolved, seeds)
            if rates.baseline is not None:
                baselines[known] = _baseline(rates.baseline, one)
        self._configurations = list(found.values())
        self._tried: dict[_Configuration, list[float]] = {
            c: c.rates.start() for c in self._configurations if c.rates.searches
        }
        self._best: dict[_Configuration, float] = {}
        by_key = {c.trial.key: c for c in self._configurations}
        # a study that was narrowed may have lost the baseline
        self._baselines = {
            c: by_key[key] for c, key in baselines.items() if key in by_key and key != c.trial.key
        }

    @property
    def expected(self) -> int:
        """Trials that will follow those that are known from the start, if no edge is extended."""
        return len(self.stand_ins())

    def stand_ins(self) -> list[Trial]:
        """Trials that cost as much as those that will follow, at rates that are still unknown."""
        found: dict[str, Trial] = {}
        for c in self._configurations:
            first = c.rates.start()[0]
            beside = c.rates.beside(first) if c.rates.searches else ()
            tried = [trial for rate in beside for trial in c.tried(rate)]
            shared = c.shared(first) if c in self._baselines else ()
            found |= {trial.key: trial for trial in [*tried, *c.multiples(first), *shared]}
        return list(found.values())

    def following(self, rows: Mapping[str, Row]) -> list[Trial]:
        """The trials of the next stage, given the rows of all before; empty after the last.

        A configuration that is skipped or failed at some rate goes no further.
        """
        scores = self._scores(rows)
        stage: list[Trial] = []
        for configuration in list(self._tried):
            rates, known = configuration.rates, scores.get(configuration)
            if known is None:
                del self._tried[configuration]
            elif more := rates.wanted(known):
                self._tried[configuration] += more
                stage += [trial for rate in more for trial in configuration.tried(rate)]
            else:
                del self._tried[configuration]
                self._best[configuration] = rates.best(known)
                stage += configuration.multiples(self._best[configuration])
        for configuration, baseline in list(self._baselines.items()):
            needed = {configuration, baseline} if configuration.rates.searches else {baseline}
            if needed <= self._best.keys():
                del self._baselines[configuration]
                stage += configuration.shared(self._best[baseline])
        # configurations that differ in the disturbance alone are tried by the same trials
        return list({trial.key: trial for trial in stage}.values())

    def _scores(self, rows: Mapping[str, Row]) -> dict[_Configuration, dict[float, Score]]:
        """Rate -> score of every configuration all of whose trials so far have finished."""
        configurations = list(self._tried)
        judged, whole = [], set(range(len(configurations)))
        for number, configuration in enumerate(configurations):
            for rate in self._tried[configuration]:
                for trial in configuration.tried(rate):
                    row = rows.get(trial.key)
                    if row is None or row["status"] not in FINISHED:
                        whole.discard(number)
                        continue
                    accuracy = counted_accuracy(row["validation_accuracy"], row["classes"])
                    judged.append((number, rate, accuracy, objective(row)))
        columns = ["number", "learning_rate", "validation", "objective"]
        means = rate_scores(pd.DataFrame(judged, columns=columns), ["number"])
        scores: dict[_Configuration, dict[float, Score]] = {}
        for number, rate, accuracy, loss in means[columns].itertuples(index=False):
            if number in whole:
                scores.setdefault(configurations[int(number)], {})[rate] = (accuracy, -loss)
        return scores
