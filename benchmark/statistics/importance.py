"""What the best trials have in common, by Optuna's evaluator.

It is for the grid, or for random search: a sampler that learns (TPE) draws more where it was lucky,
and importance computed on its trials describes the sampler. The factors are handed over in
coordinates in which every level, and every decade of a learning rate, counts the same.
"""

from __future__ import annotations

import warnings
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from benchmark.statistics.seeds import left_out
from benchmark.statistics.variance import LEVELS

if TYPE_CHECKING:
    from optuna.importance import BaseImportanceEvaluator
    from optuna.trial import FrozenTrial

DECADES = 1.0
"""Positive numbers that span more than this many decades are compared by their logarithms."""


@dataclass(frozen=True)
class _Coordinate:
    """A factor as numbers: the levels 0, 1, ... k - 1, or a continuous range."""

    numbers: np.ndarray
    levels: int = 0

    @classmethod
    def of(cls, column: pd.Series) -> _Coordinate:
        """The coordinate of one column."""
        distinct = column.nunique(dropna=False)
        numeric = bool(pd.api.types.is_numeric_dtype(column) and column.notna().all())
        if not numeric or distinct <= LEVELS:
            codes, levels = pd.factorize(column, sort=numeric, use_na_sentinel=False)
            return cls(codes.astype(float), len(levels))
        numbers = column.to_numpy(dtype=float)
        if numbers.min() > 0 and np.log10(numbers.max() / numbers.min()) > DECADES:
            numbers = np.log10(numbers)
        return cls(numbers)

    def distribution(self) -> Any:
        """Optuna's distribution of it."""
        from optuna.distributions import CategoricalDistribution, FloatDistribution

        if self.levels:
            return CategoricalDistribution([float(k) for k in range(self.levels)])
        return FloatDistribution(float(self.numbers.min()), float(self.numbers.max()))


def _trials(coordinates: Mapping[str, _Coordinate], values: np.ndarray) -> list[FrozenTrial]:
    """Optuna's record of each trial."""
    from optuna.trial import FrozenTrial, TrialState

    distributions = {name: c.distribution() for name, c in coordinates.items()}
    numbers = {name: c.numbers.tolist() for name, c in coordinates.items()}
    found = []
    for i, value in enumerate(values.tolist()):
        found.append(
            FrozenTrial(
                number=i,
                trial_id=i,
                state=TrialState.COMPLETE,
                value=value,
                datetime_start=None,
                datetime_complete=None,
                params={name: column[i] for name, column in numbers.items()},
                distributions=dict(distributions),
                user_attrs={},
                system_attrs={},
                intermediate_values={},
            )
        )
    return found


def _evaluate(
    names: Collection[str], trials: Sequence[FrozenTrial], evaluator: BaseImportanceEvaluator
) -> np.ndarray:
    """The importance of each name, as shares of their sum; zeros where that is zero."""
    import optuna

    class Given(optuna.Study):
        """A study of trials that are given: to copy each into a storage takes far longer."""

        def get_trials(self, deepcopy: bool = True, states: Any = None) -> list[FrozenTrial]:
            return list(trials)

    storage, verbosity = optuna.storages.InMemoryStorage(), optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        storage.create_new_study([optuna.study.StudyDirection.MINIMIZE], "given")
        with warnings.catch_warnings():
            # where all are equally good, all are among the best: that nothing matters is the answer
            warnings.simplefilter("ignore", UserWarning)
            found = evaluator.evaluate(Given("given", storage), params=list(names))
    finally:
        optuna.logging.set_verbosity(verbosity)
    sizes = np.array([found[name] for name in names], dtype=float)
    return sizes / sizes.sum() if sizes.sum() > 0 else sizes


def ped_anova(
    frame: pd.DataFrame,
    factors: Sequence[str],
    value: str = "objective",
    *,
    best: float = 0.1,
) -> pd.DataFrame:
    """Columns ``factor``, ``estimate``, ``low``, ``high``: what it takes to be among the best.

    Optuna's PED-ANOVA evaluator (Watanabe et al. 2023, 2304.10255): how far the distribution of
    each factor among the ``best`` share of trials (by the smallest ``value``) lies from that
    among all trials, as a share of the sum over factors. Factors of one level are left out; the
    interval is over seeds.
    """
    from optuna.importance import PedAnovaImportanceEvaluator

    evaluator = PedAnovaImportanceEvaluator(target_quantile=best)
    varied = [f for f in factors if frame[f].nunique(dropna=False) > 1]
    coordinates = {factor: _Coordinate.of(frame[factor]) for factor in varied}
    trials = _trials(coordinates, frame[value].to_numpy(dtype=float))
    whole = _evaluate(coordinates, trials, evaluator)
    seeds = frame["seed"].tolist()
    without = [
        _evaluate(
            coordinates, [t for t, own in zip(trials, seeds, strict=True) if own != s], evaluator
        )
        for s in sorted(set(seeds))
        if len(set(seeds)) > 1
    ]
    columns = np.reshape(without, (len(without), len(whole))).T
    rows = [
        (name, estimate, *np.clip(left_out(estimate, column)[1:], 0.0, 1.0))
        for name, estimate, column in zip(coordinates, whole.tolist(), columns, strict=True)
    ]
    return pd.DataFrame(rows, columns=["factor", "estimate", "low", "high"])
