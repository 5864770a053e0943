"""Which factor decides the outcome: shares of variance, exact or by Optuna's evaluators.

Optuna's evaluators are for the grid, or for random search: a sampler that learns (TPE) draws more
where it was lucky, and importance computed on its trials describes the sampler. The factors are
handed over in coordinates in which every level, and every decade of a learning rate, counts the
same: Optuna's fANOVA would otherwise weigh rates linearly (the largest decade is then nearly
everything) and split a named factor into columns that can all be set at once.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from benchmark.statistics.resampling import percentiles, resample
from benchmark.statistics.seeds import over_seeds

if TYPE_CHECKING:
    from optuna.importance import BaseImportanceEvaluator
    from optuna.trial import FrozenTrial

TREES = 8
FEW_RESAMPLES = 20
"""A forest is grown for each (four seconds in all for 160 trials): an interval from few resamples
is a rough one."""
LEVELS = 16
"""Most distinct numbers of a factor that count as levels; more are a continuous range."""
DECADES = 1.0
"""Positive numbers that span more than this many decades are compared by their logarithms."""


def main_effects(frame: pd.DataFrame, factors: Sequence[str], value: str) -> pd.DataFrame:
    """Columns ``factor``, ``estimate``, ``low``, ``high``: share of the variance of ``value``.

    Var over levels of the level's mean / Var over all trials: the main-effect importance of
    functional ANOVA, exact on a complete and balanced grid. The interval is over seeds.
    """
    values, seeds = frame[value].to_numpy(dtype=float), frame["seed"]
    rows = []
    for factor in factors:
        codes = pd.factorize(frame[factor], use_na_sentinel=False)[0]
        found, low, high = over_seeds(np.arange(len(values)), seeds, _between(values, codes))
        rows.append((factor, found, max(low, 0.0), min(high, 1.0)))
    return pd.DataFrame(rows, columns=["factor", "estimate", "low", "high"])


def _between(values: np.ndarray, codes: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """The share of the variance that lies between levels, of the trials at given places."""

    def share(places: np.ndarray) -> np.ndarray:
        some, levels = values[places.astype(int)], codes[places.astype(int)]
        total, counts = some.var(), np.bincount(levels)
        means = np.bincount(levels, some) / np.maximum(counts, 1)
        between = (counts * (means - some.mean()) ** 2).sum() / len(some)
        return np.asarray(between / total if total > 0 else 0.0)

    return share


@dataclass(frozen=True)
class _Coordinate:
    """A factor as numbers: the levels 0, 1, ... k - 1, or a continuous range.

    Trials that do not have the factor are not ``present``.
    """

    numbers: np.ndarray
    present: np.ndarray
    levels: int = 0

    @classmethod
    def among(cls, column: pd.Series, present: np.ndarray) -> _Coordinate:
        """The coordinate of a factor that only some trials have."""
        some = cls.of(column[present])
        numbers = np.full(len(column), np.nan)
        numbers[present] = some.numbers
        return cls(numbers, present, some.levels)

    @classmethod
    def of(cls, column: pd.Series) -> _Coordinate:
        """The coordinate of one column."""
        present = np.ones(len(column), dtype=bool)
        distinct = column.nunique(dropna=False)
        numeric = bool(pd.api.types.is_numeric_dtype(column) and column.notna().all())
        if not numeric or distinct <= LEVELS:
            codes, levels = pd.factorize(column, sort=numeric, use_na_sentinel=False)
            return cls(codes.astype(float), present, len(levels))
        numbers = column.to_numpy(dtype=float)
        if numbers.min() > 0 and np.log10(numbers.max() / numbers.min()) > DECADES:
            numbers = np.log10(numbers)
        return cls(numbers, present)

    def distribution(self, *, named: bool) -> Any:
        """Optuna's distribution; with ``named``, levels are names rather than equal intervals."""
        from optuna.distributions import CategoricalDistribution, FloatDistribution

        if self.levels and named:
            return CategoricalDistribution([float(k) for k in range(self.levels)])
        if self.levels:
            return FloatDistribution(-0.5, self.levels - 0.5)
        return FloatDistribution(float(np.nanmin(self.numbers)), float(np.nanmax(self.numbers)))


def _trials(
    coordinates: Mapping[str, _Coordinate], values: np.ndarray, *, named: bool
) -> list[FrozenTrial]:
    """Optuna's record of each trial, with the factors that it has."""
    from optuna.trial import create_trial

    distributions = {name: c.distribution(named=named) for name, c in coordinates.items()}
    numbers = {name: c.numbers.tolist() for name, c in coordinates.items()}
    found = []
    for i, value in enumerate(values.tolist()):
        has = [name for name, c in coordinates.items() if c.present[i]]
        found.append(
            create_trial(
                params={name: numbers[name][i] for name in has},
                distributions={name: distributions[name] for name in has},
                value=value,
            )
        )
    return found


def _evaluate(
    names: Collection[str], trials: Sequence[FrozenTrial], evaluator: BaseImportanceEvaluator
) -> list[float]:
    import optuna

    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        study = optuna.create_study(direction="minimize")
        study.add_trials(trials)
        found = evaluator.evaluate(study, params=list(names))
    finally:
        optuna.logging.set_verbosity(verbosity)
    return [float(found[name]) for name in names]


def _importance(
    frame: pd.DataFrame,
    factors: Sequence[str],
    value: str,
    evaluator: BaseImportanceEvaluator,
    resamples: int,
    *,
    named: bool,
    normalize: bool,
    within: Mapping[str, str] | None = None,
) -> pd.DataFrame:
    varied = [f for f in factors if frame[f].nunique(dropna=False) > 1]
    coordinates = {factor: _Coordinate.of(frame[factor]) for factor in varied}
    coordinates |= _conditional(frame, within or {})
    values = frame[value].to_numpy(dtype=float)
    # over trials: one stratum
    draws = [np.arange(len(values)), *resample(np.zeros(len(values)), resamples)]
    trials = _trials(coordinates, values, named=named)
    table = np.array([_evaluate(coordinates, [trials[i] for i in d], evaluator) for d in draws])
    table = table.reshape(len(draws), len(coordinates))
    if normalize:
        total = table.sum(axis=1, keepdims=True)
        table = np.divide(table, total, out=np.zeros_like(table), where=total > 0)
    low, high = percentiles(table[1:])
    return pd.DataFrame(
        {"factor": list(coordinates), "estimate": table[0], "low": low, "high": high}
    )


def _conditional(frame: pd.DataFrame, within: Mapping[str, str]) -> dict[str, _Coordinate]:
    """A coordinate for each level of an owner at which the number that belongs to it varies."""
    found = {}
    for number, owner in within.items():
        for level in frame[owner].unique():
            present = (frame[owner].eq(level) & frame[number].notna()).to_numpy()
            if frame.loc[present, number].nunique() > 1:
                found[f"{number} of {level}"] = _Coordinate.among(frame[number], present)
    return found


def fanova(
    frame: pd.DataFrame,
    factors: Sequence[str],
    value: str = "objective",
    *,
    trees: int = TREES,
    resamples: int = FEW_RESAMPLES,
) -> pd.DataFrame:
    """Columns ``factor``, ``estimate``, ``low``, ``high``: share of variance by a random forest.

    Optuna's fANOVA evaluator (Hutter et al. 2014): the main-effect share of each factor in the
    variance of a forest's prediction of ``value`` over the whole space. For trials that are no
    grid; on a grid `main_effects` is exact. Factors of one level are left out; the interval is a
    bootstrap over trials.
    """
    from optuna.importance import FanovaImportanceEvaluator

    evaluator = FanovaImportanceEvaluator(n_trees=trees, seed=0)
    return _importance(frame, factors, value, evaluator, resamples, named=False, normalize=False)


def ped_anova(
    frame: pd.DataFrame,
    factors: Sequence[str],
    value: str = "objective",
    *,
    within: Mapping[str, str] | None = None,
    best: float = 0.1,
    resamples: int = FEW_RESAMPLES,
) -> pd.DataFrame:
    """Columns ``factor``, ``estimate``, ``low``, ``high``: what it takes to be among the best.

    Optuna's PED-ANOVA evaluator (Watanabe et al. 2023, 2304.10255): how far the distribution of
    each factor among the ``best`` share of trials (by the smallest ``value``) lies from that
    among all trials, as a share of the sum over factors. Factors of one level are left out; the
    interval is a bootstrap over trials.

    ``within`` names numbers that mean something else for each level of another factor, and that
    factor: ``{"clipping_threshold": "clipping"}``. Each level's number is a factor that only its
    own trials have, called ``clipping_threshold of value`` (conditional PED-ANOVA, 2601.20800).
    """
    from optuna.importance import PedAnovaImportanceEvaluator

    evaluator = PedAnovaImportanceEvaluator(target_quantile=best)
    return _importance(
        frame, factors, value, evaluator, resamples, named=True, normalize=True, within=within
    )
