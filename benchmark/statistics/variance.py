"""How the variance of an outcome divides among factors: what matters, and what acts together.

On a complete grid functional ANOVA (Hutter et al. 2014) is exact: no forest, no sampling. Trials
that are no grid must be drawn at random: a sampler that learns (TPE) draws more where it was lucky,
and what is computed from its trials describes the sampler.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np
import pandas as pd

from benchmark.statistics.seeds import DECIMALS, left_out

LEVELS = 16
"""Most distinct numbers of a factor that count as levels; more are a continuous range."""
PER_DECADE = 2
"""Levels a decade into which a range of positive numbers is cut."""
MORE, SEED = "more", "seed"
"""In place of a factor: three and more factors together; whatever involves the seed."""


def variance_shares(frame: pd.DataFrame, factors: Sequence[str], value: str) -> pd.DataFrame:
    """Columns ``factor``, ``other``, ``estimate``, ``low``, ``high``: shares of a grid's variance.

    Functional ANOVA of ``value`` (Hutter et al. 2014, section 3), exact because the grid is
    complete and every level counts the same. The mean of a combination of levels is written as a
    sum of effects, f = f0 + sum fi + sum fij + ..., each of mean zero over any of its factors; the
    variance over all trials is then the sum of the effects' mean squares, and shares add up to 1.

    A row for each of ``factors`` by itself (``other`` is empty) and for each pair (what they do
    together beyond what each does alone), one for all effects of three and more factors (`MORE`),
    and one for what varies between the seeds of a combination (`SEED`): of that every other share
    holds a little by chance, its degrees of freedom over those between seeds. The intervals are
    over seeds, within 0 and 1. Shares are those of this grid: with other levels they are others.

    >>> frame = pd.DataFrame({"rate": [1, 1, 2, 2], "rule": [*"abab"], "seed": 0})
    >>> found = variance_shares(frame.assign(y=[1.0, 1.0, 2.0, 4.0]), ["rate", "rule"], "y")
    >>> found[["factor", "other", "estimate"]].round(2).values.tolist()
    [['rate', '', 0.67], ['rule', '', 0.17], ['rate', 'rule', 0.17], ['seed', '', 0.0]]

    Raises
    ------
    ValueError
        If a combination of levels and seeds has no trial, or several.
    """
    table = _grid(frame, factors, value)
    whole, seeds = _shares(table), range(table.shape[-1])
    without = [_shares(np.delete(table, seed, axis=-1)) for seed in seeds if len(seeds) > 1]
    rows = []
    for part, estimate in whole.items():
        _, low, high = left_out(estimate, np.array([found[part] for found in without]))
        names = [factors[axis] if isinstance(axis, int) else axis for axis in part]
        rows.append((names[0], "".join(names[1:]), estimate, *_within(low, high)))
    return pd.DataFrame(rows, columns=["factor", "other", "estimate", "low", "high"])


def _within(low: float, high: float) -> tuple[float, float]:
    """The ends of an interval of a share; NaN stays."""
    return float(np.clip(low, 0.0, 1.0)), float(np.clip(high, 0.0, 1.0))


def complete_grid(frame: pd.DataFrame, factors: Sequence[str]) -> bool:
    """Whether there is one trial for each seed and each combination of the levels of ``factors``.

    >>> frame = pd.DataFrame({"rate": [1, 1, 2], "rule": [*"aba"], "seed": 0})
    >>> complete_grid(frame, ["rate", "rule"]), complete_grid(frame.head(2), ["rate", "rule"])
    (False, True)
    """
    _, filled, places = _codes(frame, factors)
    return filled == len(frame) == places


def _codes(frame: pd.DataFrame, factors: Sequence[str]) -> tuple[list[np.ndarray], int, int]:
    """Each trial's level of each factor and seed as numbers, the places filled, and all places."""
    codes = [pd.factorize(frame[f], use_na_sentinel=False)[0] for f in (*factors, "seed")]
    filled = len(set(zip(*codes, strict=True)))
    return codes, filled, math.prod(int(c.max(initial=-1)) + 1 for c in codes)


def _grid(frame: pd.DataFrame, factors: Sequence[str], value: str) -> np.ndarray:
    """``value`` by the level of each of ``factors`` and by seed, (levels, ..., seeds)."""
    codes, filled, places = _codes(frame, factors)
    if not filled == len(frame) == places:
        raise ValueError(
            f"a complete grid of {', '.join(factors)} has one trial for each combination of levels "
            f"and seed, {places} in all, but got {len(frame)} trials of {filled}"
        )
    table = np.empty([int(c.max()) + 1 for c in codes])
    table[tuple(codes)] = frame[value].to_numpy(dtype=float)
    return table


def _shares(table: np.ndarray) -> dict[tuple[int | str, ...], float]:
    """The share of each factor (by its axis), each pair, `MORE` and `SEED` in the variance."""
    cells, total = table.mean(axis=-1), float(table.var())
    effects: dict[tuple[int, ...], np.ndarray] = {}
    for size in range(3):
        for part in itertools.combinations(range(cells.ndim), size):
            others = tuple(axis for axis in range(cells.ndim) if axis not in part)
            means = cells.mean(axis=others, keepdims=True)
            effects[part] = means - sum(effects[p] for p in effects if set(p) < set(part))
    found: dict[tuple[int | str, ...], float] = {
        part: float((effect**2).mean()) for part, effect in effects.items() if part
    }
    if cells.ndim > 2:
        found[MORE,] = float(cells.var()) - sum(found.values())
    found[SEED,] = total - float(cells.var())
    shares = {p: round(v / total, DECIMALS) if total > 0 else 0.0 for p, v in found.items()}
    return {part: max(share, 0.0) for part, share in shares.items()}


def main_effects(frame: pd.DataFrame, factors: Sequence[str], value: str) -> pd.DataFrame:
    """Columns ``factor``, ``estimate``, ``low``, ``high``: share of the variance of ``value``.

    The share that lies between the levels of each factor by itself, for trials whose levels were
    drawn at random and independently; on a complete grid `variance_shares` is exact. What levels of
    a few trials each differ by chance is taken off, and a share may come out below zero:

    1 - (sum of squares within levels / (n - k)) / (sum of squares about the mean / (n - 1))

    for n trials at k levels (epsilon squared, Kelley 1935, doi:10.1073/pnas.21.9.554). Positive
    numbers of more than `LEVELS` values are cut into half-decades. The interval is over seeds, each
    of which is a search by itself.

    >>> frame = pd.DataFrame({"rule": [*"aabb"], "seed": [0, 1, 0, 1], "y": [1.0, 2.0, 5.0, 6.0]})
    >>> round(float(main_effects(frame, ["rule"], "y")["estimate"].iloc[0]), 3)
    0.912
    """
    values, seeds = frame[value].to_numpy(dtype=float), frame["seed"].to_numpy()
    rows = []
    for factor in factors:
        codes = _levels(frame[factor])
        kept = [seeds != seed for seed in np.unique(seeds)]
        without = [_between(values[k], codes[k]) for k in kept if k.any()]
        rows.append((factor, *left_out(_between(values, codes), np.array(without))))
    return pd.DataFrame(rows, columns=["factor", "estimate", "low", "high"])


def _levels(column: pd.Series) -> np.ndarray:
    """The level of each trial: numbers of a continuous range are cut by their logarithms."""
    continuous = pd.api.types.is_float_dtype(column) and column.nunique() > LEVELS
    if continuous and column.min() > 0:
        return np.floor(np.log10(column.to_numpy(dtype=float)) * PER_DECADE)
    return pd.factorize(column, use_na_sentinel=False)[0]


def _between(values: np.ndarray, codes: np.ndarray) -> float:
    """The share of the variance of ``values`` between the levels ``codes``, free of chance."""
    _, places = np.unique(codes, return_inverse=True)
    counts = np.bincount(places)
    means = np.bincount(places, values) / counts
    count, levels = len(values), len(counts)
    total = float(((values - values.mean()) ** 2).sum())
    if not (total > 0 and count > levels):
        return 0.0
    within = float(((values - means[places]) ** 2).sum())
    return 1 - within / (count - levels) / (total / (count - 1))
