"""Optuna samplers: the factorial that never repeats or stops, and the searches."""

from __future__ import annotations

import math
import warnings
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.trial import FrozenTrial

from benchmark.names import UnknownName, unknown

Point = Callable[[int, str, BaseDistribution], Any]


class PresetSampler(BaseSampler):
    """A sampler whose trial number n takes its values from ``point(n, name, distribution)``.

    Nothing depends on the trials that came before, so the cost of asking does not grow.
    """

    def __init__(self, point: Point) -> None:
        self._point = point

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Nothing is sampled jointly."""
        return {}

    def sample_relative(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        search_space: dict[str, BaseDistribution],
    ) -> dict[str, Any]:
        """Nothing is sampled jointly."""
        return {}

    def sample_independent(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """The preset value."""
        return self._point(trial.number, param_name, param_distribution)


def factorial_sampler(rows: Sequence[Mapping[str, Any]]) -> PresetSampler:
    """Trial number n is ``rows[n]``: a full factorial in its own order."""
    return PresetSampler(lambda number, name, distribution: rows[number][name])


def quasi_random_sampler(seed: int, trials: int, dimensions: int) -> PresetSampler:
    """A scrambled Halton sequence over all parameters, categorical and conditional ones too.

    Optuna's own quasi-random sampler leaves categorical parameters to chance. A parameter's
    dimension is the order of its first appearance, shared by the conditional ones that have the
    same last part in their name (``value.threshold`` and ``global_norm.threshold``).

    Halton 1960, doi:10.1007/BF01386213; scrambling: Owen 2017, arXiv:1706.02808.
    """
    # a slow import, which only this sampler needs
    from scipy.stats import qmc

    points = qmc.Halton(dimensions, scramble=True, rng=seed).random(trials)
    columns: dict[str, int] = {}

    def point(number: int, name: str, distribution: BaseDistribution) -> Any:
        column = columns.setdefault(name.rpartition(".")[2], len(columns))
        return at_quantile(distribution, float(points[number, column]))

    return PresetSampler(point)


def shuffled_grid_sampler(grid: Mapping[str, Sequence[Any]], seed: int) -> PresetSampler:
    """The cells of the full factorial of ``grid`` in random order, each once.

    After the last it begins again, in the same order.
    """
    sizes = [len(levels) for levels in grid.values()]
    order = np.random.default_rng(seed).permutation(math.prod(sizes))
    names = list(grid)

    def point(number: int, name: str, distribution: BaseDistribution) -> Any:
        cell = np.unravel_index(order[number % len(order)], sizes)
        return grid[name][int(cell[names.index(name)])]

    return PresetSampler(point)


def at_quantile(distribution: BaseDistribution, u: float) -> Any:
    """The value of ``distribution`` at the quantile ``u`` in [0, 1).

    >>> at_quantile(FloatDistribution(0.01, 100, log=True), 0.5)
    1.0
    """
    if isinstance(distribution, CategoricalDistribution):
        return distribution.choices[int(u * len(distribution.choices))]
    if isinstance(distribution, IntDistribution):
        first, last = distribution.low, distribution.high
        if distribution.log:
            return min(last, int(first * ((last + 1) / first) ** u))
        return first + int(u * (last - first + 1))
    assert isinstance(distribution, FloatDistribution)
    low, high = distribution.low, distribution.high
    return low * (high / low) ** u if distribution.log else low + u * (high - low)


@dataclass(frozen=True)
class Space:
    """What a sampler is told of the space: its number of parameters, and the grid in it."""

    dimensions: int
    grid: Mapping[str, Sequence[Any]]


def _tpe(seed: int, trials: int, space: Space) -> BaseSampler:
    with warnings.catch_warnings():
        # multivariate, group and constant_liar are stable in fact, experimental by name
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return TPESampler(seed=seed, multivariate=True, group=True, constant_liar=True)


def _random(seed: int, trials: int, space: Space) -> BaseSampler:
    return RandomSampler(seed=seed)


def _quasi_random(seed: int, trials: int, space: Space) -> BaseSampler:
    return quasi_random_sampler(seed, trials, space.dimensions)


def _grid_random(seed: int, trials: int, space: Space) -> BaseSampler:
    return shuffled_grid_sampler(space.grid, seed)


GRID_RANDOM = "grid-random"

SAMPLERS: dict[str, Callable[[int, int, Space], BaseSampler]] = {
    "tpe": _tpe,
    "random": _random,
    "quasi-random": _quasi_random,
    GRID_RANDOM: _grid_random,
}
"""``(seed, trials, space) -> sampler``: Bergstra et al. 2011 with the tree of conditional
parameters kept; independent draws; a Halton sequence; the cells of a grid in random order, with the
strategies' default thresholds."""


def make_sampler(name: str, seed: int, trials: int, space: Space, label: str) -> BaseSampler:
    """The sampler called ``name``, with a stream of its own for each ``label``.

    Raises
    ------
    UnknownName
        If there is no such sampler.
    """
    if name not in SAMPLERS:
        raise UnknownName(unknown("sampler", name, SAMPLERS))
    own = zlib.crc32(f"{seed}/{name}/{label}".encode())
    return SAMPLERS[name](own, trials, space)
