"""Comparing the levels of a factor, paired by seed and by everything else."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd

from benchmark.records import CONFIGURATION, numbers_of
from benchmark.statistics.arguments import check_baseline, checked
from benchmark.statistics.outcomes import is_able
from benchmark.statistics.resampling import bootstrap
from benchmark.statistics.seeds import DECIMALS, mean, over_seeds, smallest_detectable

SIGNIFICANT = 0.05
COPY = 0.5
"""Share of its pairs in which a level that trains as another one does is its copy."""
EXACT = 16
"""Most differences for which every pattern of signs is counted out."""

MOST_NUMBERS = 2**62
"""Combinations that a number of 64 bits can tell apart."""
SIDES: tuple[Literal["left", "right"], ...] = ("left", "right")


def holm(p: np.ndarray) -> np.ndarray:
    """Holm-adjusted p-values (m,), in the order given; an unknown one is no test, and stays NaN.

    >>> holm(np.array([0.01, 0.04, 0.03])).round(3).tolist()
    [0.03, 0.06, 0.06]
    """
    p = np.asarray(p, dtype=float)
    # NaN come last
    order = np.argsort(p, kind="stable")[: np.count_nonzero(~np.isnan(p))]
    scaled = p[order] * np.arange(len(order), 0, -1)
    out = np.full(len(p), np.nan)
    out[order] = np.minimum(np.maximum.accumulate(scaled), 1.0)
    return out


def sign_flip(differences: np.ndarray) -> float:
    """Two-sided p-value of the sign-flip test of the mean of paired ``differences`` (n,).

    Where the sides do not differ, each difference is as likely to have the other sign; p is the
    share of the 2^n patterns of signs whose mean lies as far from zero (Fisher 1935, The Design of
    Experiments, section 21). So it judges the mean, as the interval beside it does, and n
    differences never give less than 2 / 2^n. Above 16 of them, the normal tail of that
    distribution. NaN where a difference is unknown.

    >>> sign_flip(np.array([1.0, 1.0, 2.0, 3.0, 3.0]))
    0.0625
    """
    moved = np.asarray(differences, dtype=float)
    if np.isnan(moved).any():
        return math.nan
    if len(moved) > EXACT:
        size = math.sqrt(float((moved**2).sum()))
        return math.erfc(abs(float(moved.sum())) / size / math.sqrt(2)) if size else 1.0
    # a pattern and its opposite are as far from zero: the first sign stays
    sums = moved[:1]
    for difference in moved[1:]:
        sums = np.concatenate([sums + difference, sums - difference])
    far = np.round(np.abs(sums), DECIMALS)
    return float((far >= far[:1]).mean()) if len(far) else 1.0


def seeds_needed(levels: int = 1) -> int:
    """Fewest seeds with which one of ``levels`` that are compared at once can be significant.

    n seeds never give less than 2 / 2^n by `sign_flip`, which `holm` multiplies by the number of
    levels; with fewer seeds no difference, however large, has a verdict.

    >>> [seeds_needed(levels) for levels in (1, 3, 12)]
    [6, 7, 9]

    Raises
    ------
    ValueError
        If ``levels`` is not at least 1.
    """
    if levels < 1:
        raise ValueError(f"`levels >= 1` must hold, but got {levels}")
    return math.floor(math.log2(2 * levels / SIGNIFICANT)) + 1


def probability_of_improvement(pairs: pd.DataFrame) -> float:
    """P(treated > control) for runs drawn from the same stratum, averaged over the strata.

    ``pairs`` has the columns ``stratum``, ``treated`` and ``control``; equals count one half.
    """
    strata = pd.factorize(pairs["stratum"], use_na_sentinel=False)[0]
    return _improvement(strata, pairs["treated"].to_numpy(), pairs["control"].to_numpy())


def _improvement(strata: np.ndarray, treated: np.ndarray, control: np.ndarray) -> float:
    """`probability_of_improvement` of pairs (n,), their ``strata`` numbered from 0."""
    order = np.argsort(strata, kind="stable")
    ends = np.bincount(strata).cumsum()[:-1]
    each = []
    for some in np.split(order, ends):
        gap = treated[some][:, None] - control[some][None, :]
        each.append(((gap > 0) + 0.5 * (gap == 0)).mean())
    return float(np.mean(each))


@checked
def paired(
    frame: pd.DataFrame,
    factor: str,
    level: object,
    baseline: object,
    value: str,
    ignore: Sequence[str] = (),
) -> pd.DataFrame:
    """Columns ``treated``, ``control``, ``difference``, ``stratum``, ``seed``: a row for each pair.

    Pairs agree in every configuration column but ``factor``, the numbers that belong to it, and
    those in ``ignore`` (the learning rate, where each arm has its own). A stratum is a pair's
    configuration without its seed. What could not act is left out (`benchmark.statistics.able`).
    """
    return pd.DataFrame(_Pairing(frame, factor, value, ignore).pairs(level, baseline)._asdict())


class _Pairs(NamedTuple):
    """The columns of `paired`, each (n,)."""

    treated: np.ndarray
    control: np.ndarray
    difference: np.ndarray
    stratum: np.ndarray
    seed: np.ndarray


class _Pairing:
    """The rows of a frame that could act, each with a number of its stratum and of its seed.

    Made once for all groups of ``by`` and all levels that are compared: rows pair where both
    numbers are equal, and rows of two groups never are.
    """

    def __init__(
        self,
        frame: pd.DataFrame,
        factor: str,
        value: str,
        ignore: Sequence[str] = (),
        by: Sequence[str] = (),
    ) -> None:
        out = {factor, *numbers_of(factor), *ignore, *by, "seed"}
        (rows,) = np.nonzero(is_able(frame, factor))
        strata = [*by, *(c for c in CONFIGURATION if c not in out and c in frame)]
        self._frame, self._factor, self._by = frame, factor, list(by)
        _, groups = np.unique(_numbered([frame[c] for c in by], len(frame)), return_inverse=True)
        levels, self._names = pd.factorize(frame[factor])
        # by which the rows of a level within a group lie side by side, in their order
        self._cells = groups * (len(self._names) + 1) + levels + 1
        self._order = rows[np.argsort(self._cells[rows], kind="stable")]
        self._sorted = self._cells[self._order]
        self._values, self._seeds = frame[value].to_numpy(), frame["seed"].to_numpy()
        self._strata = _numbered([frame[c] for c in strata], len(frame))
        self._places = _numbered([pd.Series(self._strata), frame["seed"]], len(frame))

    def pairs(self, level: object, baseline: object) -> _Pairs:
        """What `paired` returns, of a frame without groups, in the order of the level's rows."""
        sides = (self._number(level), self._number(baseline))
        return self._paired(*(self._rows(side) if side else self._order[:0] for side in sides))

    def each(self, baseline: object) -> Iterator[tuple[int, object, _Pairs]]:
        """The pairs of each level of each group with the group's ``baseline``, where it has any.

        With the place of a row that has the group's columns; groups and levels in the order of the
        frame's rows.
        """
        width, own = len(self._names) + 1, self._number(baseline)
        _, first = np.unique(self._cells, return_index=True)
        cells = self._cells[np.sort(first)]
        _, starts, place = np.unique(cells // width, return_index=True, return_inverse=True)
        # the groups in turn, of each of which the first cell says when it begins
        for cell in cells[np.argsort(starts[place], kind="stable")] if own else ():
            group, number = divmod(int(cell), width)
            if number in (0, own):
                continue
            rows = self._rows(cell)
            found = self._paired(rows, self._rows(group * width + own))
            if len(found.seed):
                yield int(rows[0]), self._names[number - 1], found

    def groups(self, places: Sequence[int]) -> pd.DataFrame:
        """The columns of the groups, a row for each of the places that `each` gave."""
        return self._frame[self._by].iloc[list(places)].reset_index(drop=True)

    def _number(self, level: object) -> int:
        """That of a level, from 1; 0 where no row has it."""
        (found,) = np.nonzero(np.asarray(self._names == level, dtype=bool))
        return int(found[0]) + 1 if len(found) else 0

    def _rows(self, cell: int) -> np.ndarray:
        start, end = (np.searchsorted(self._sorted, cell, side) for side in SIDES)
        return self._order[start:end]

    def _paired(self, left: np.ndarray, right: np.ndarray) -> _Pairs:
        right = right[np.argsort(self._places[right], kind="stable")]
        ends = [np.searchsorted(self._places[right], self._places[left], s) for s in SIDES]
        # every row of the baseline at the same place, of which there may be several
        counts = ends[1] - ends[0]
        within = np.arange(counts.sum()) - np.repeat(counts.cumsum() - counts, counts)
        left, right = np.repeat(left, counts), right[np.repeat(ends[0], counts) + within]
        treated, control = self._values[left], self._values[right]
        strata = pd.factorize(self._strata[left])[0]
        return _Pairs(treated, control, treated - control, strata, self._seeds[left])


def _numbered(columns: Sequence[pd.Series], rows: int) -> np.ndarray:
    """A number (rows,) of each combination of values; missing ones are equal to each other."""
    numbers, many = np.zeros(rows, dtype=np.int64), 1
    for column in columns:
        codes, levels = pd.factorize(column)
        if many * (len(levels) + 1) >= MOST_NUMBERS:
            found, numbers = np.unique(numbers, return_inverse=True)
            many = len(found)
        # missing values have the code -1
        numbers = numbers * (len(levels) + 1) + codes + 1
        many *= len(levels) + 1
    return numbers


@checked
def paired_comparison(
    frame: pd.DataFrame,
    factor: str,
    baseline: object,
    value: str = "accuracy",
    *,
    by: Sequence[str] = (),
    ignore: Sequence[str] = (),
) -> pd.DataFrame:
    """Each level of ``factor`` against ``baseline``, paired by seed and all other factors.

    Columns: ``level``, ``baseline``, ``pairs``, ``seeds``, ``effect`` (level minus baseline),
    ``low``, ``high`` (95% interval over seeds), ``p`` (`sign_flip` of the seeds' mean
    differences: pairs that share a seed are not independent), ``p_holm`` (corrected for the levels
    compared), ``improvement`` (probability that the level's value is the higher), ``detectable``
    (the smallest difference that this design finds four times out of five) and ``agree``: whether
    the interval and the corrected test say the same, that there is a difference or that there is
    none to be seen. Levels without a pair are left out. Each group of ``by`` (network, data set,
    multiple of the best rate), if any are named, is compared by itself; these columns stand behind
    the others. With fewer than `seeds_needed` no difference is significant, however large.

    >>> frame = pd.DataFrame(
    ...     {
    ...         "model": ["mlp", "mlp", "cnn", "cnn"],
    ...         "clipping": ["none", "value"] * 2,
    ...         "seed": 0,
    ...         "accuracy": [0.5, 0.75, 0.5, 0.25],
    ...     }
    ... )
    >>> found = paired_comparison(frame, "clipping", "none", by=["model"])
    >>> found[["model", "level", "effect"]].values.tolist()
    [['mlp', 'value', 0.25], ['cnn', 'value', -0.25]]

    Raises
    ------
    ValueError
        If a column is none of the frame's, or ``baseline`` no level of ``factor`` (one of the
        suite's own, as ``none``, may be missing: then there are no rows).
    """
    check_baseline(frame, factor, baseline)
    rows, places, pairing = [], [], _Pairing(frame, factor, value, ignore, by)
    for place, level, pairs in pairing.each(baseline):
        difference, seeds = pairs.difference, pairs.seed
        names, seed = np.unique(seeds, return_inverse=True)
        of_seed = np.bincount(seed, difference) / np.bincount(seed)
        found = over_seeds(difference, seeds)
        better = _improvement(pairs.stratum, pairs.treated, pairs.control)
        last = (sign_flip(of_seed), better, smallest_detectable(difference, seeds))
        rows.append((level, baseline, len(seeds), len(names), *found, *last))
        places.append(place)
    columns = ["level", "baseline", "pairs", "seeds", "effect", "low", "high", "p"]
    out = pd.DataFrame(rows, columns=[*columns, "improvement", "detectable"])
    groups = pairing.groups(places)
    within = _numbered([groups[c] for c in by], len(out))
    # corrected within each group
    adjusted = out.groupby(within, sort=False)["p"].transform(lambda p: holm(p.to_numpy()))
    out.insert(8, "p_holm", adjusted.astype(float))
    above, below = _sides(out)
    out = out.assign(agree=(above | below) == (out["p_holm"] < SIGNIFICANT))
    return pd.concat([out, groups], axis="columns")


def _sides(compared: pd.DataFrame) -> tuple[pd.Series, pd.Series]:
    """Whether each interval lies above zero, and whether below.

    Where several seeds differ by the same to the last digit there is none, and the difference
    itself lies where it would.
    """
    alike = compared["low"].isna() & (compared["seeds"] > 1)
    effect = compared["effect"].round(DECIMALS)
    above, below = compared["low"] > 0, compared["high"] < 0
    return above | (alike & (effect > 0)), below | (alike & (effect < 0))


def verdicts(compared: pd.DataFrame) -> pd.Series:
    """``better`` or ``worse`` where the interval and the corrected test both say so, else empty.

    Of the rows of `paired_comparison`. Where all seeds differ by the same there is no interval, and
    the test says it alone. Whatever is called the best, or tied with it, is so by this.

    >>> ends = {"low": [0.1, 0.1, -0.2], "high": [0.2, 0.2, -0.1], "p_holm": [0.01, 0.2, 0.01]}
    >>> verdicts(pd.DataFrame(ends).assign(seeds=10, effect=[0.15, 0.15, -0.15])).tolist()
    ['better', '', 'worse']
    """
    sure, (above, below) = compared["p_holm"] < SIGNIFICANT, _sides(compared)
    better, worse = sure & above, sure & below
    found = np.select([better, worse], ["better", "worse"], default="")
    return pd.Series(found, compared.index)


@checked
def against_reference(
    frame: pd.DataFrame,
    reference: pd.DataFrame,
    factor: str,
    value: str = "accuracy",
    *,
    by: Sequence[str] = (),
    across: Sequence[str] = (),
    ignore: Sequence[str] = (),
    named: str = "reference",
) -> pd.DataFrame:
    """Each level of ``factor`` against one and the same ``reference`` trials, paired by seed.

    For what could have been done instead: a network without clipping at its best rate, beside every
    clipping at a rate that is too high. In each group of ``by`` and ``across``, as
    `paired_comparison`; the reference has the columns ``by``, and stands in every group of
    ``across``. As ``baseline`` it is ``named``.

    >>> frame = pd.DataFrame({"clipping": ["none", "value"] * 2, "times": [3, 3, 10, 10]})
    >>> frame = frame.assign(seed=0, accuracy=[0.5, 0.75, 0.0, 0.5])
    >>> best = pd.DataFrame({"clipping": ["none"], "seed": 0, "accuracy": 1.0})
    >>> found = against_reference(frame, best, "clipping", across=["times"])
    >>> found[["times", "level", "effect"]].values.tolist()
    [[3, 'none', -0.5], [3, 'value', -0.25], [10, 'none', -1.0], [10, 'value', -0.5]]
    """
    reference = reference.assign(**{factor: named})
    groups = frame[list(across)].drop_duplicates().to_dict("records") if across else [{}]
    parts = [reference.assign(**{str(k): v for k, v in group.items()}) for group in groups]
    rows = pd.concat([*parts, frame], ignore_index=True)
    return paired_comparison(rows, factor, named, value, by=[*by, *across], ignore=ignore)


@checked
def copies(frame: pd.DataFrame, factor: str, baseline: object) -> dict[object, object]:
    """Levels of ``factor`` that trained as ``baseline`` or an earlier level did: copy -> original.

    Those whose ``train_loss`` is the same to the last digit in at least half of their pairs. They
    are no other strategy here, and comparing them would count one result twice. Trials of different
    devices are never so alike.

    >>> frame = pd.DataFrame({"clipping": ["none", "a", "b", "c"], "train_loss": [1.0, 1, 2, 2]})
    >>> copies(frame.assign(seed=0), "clipping", "none")
    {'a': 'none', 'c': 'b'}
    """
    # what is not finite is the same as nothing
    losses = frame["train_loss"].astype(float).replace([np.inf, -np.inf], np.nan)
    pairing = _Pairing(frame.assign(train_loss=losses), factor, "train_loss")
    found: dict[object, object] = {}
    originals = [baseline]
    for level in frame[factor].drop_duplicates():
        if level == baseline:
            continue
        pairs = (pairing.pairs(level, original).difference for original in originals)
        same = [len(gaps) > 0 and (gaps == 0).mean() >= COPY for gaps in pairs]
        if any(same):
            found[level] = originals[same.index(True)]
        else:
            originals.append(level)
    return found


@checked
def paired_ratio(
    frame: pd.DataFrame,
    factor: str,
    baseline: object,
    value: str,
    *,
    by: Sequence[str] = (),
) -> pd.DataFrame:
    """Columns ``level``, ``baseline``, ``pairs``, ``ratio``, ``low``, ``high``: level / baseline.

    In each group of ``by``, as `paired_comparison`. The geometric mean over strata (cells) of the
    paired ratios of a positive ``value`` (updates, seconds), with its 95% bootstrap interval over
    strata: trials that train together share their time, so that the seeds of a cell say nothing
    about how it varies.
    """
    logs = frame.assign(_log=np.log(frame[value].to_numpy(dtype=float)))
    rows, places, pairing = [], [], _Pairing(logs, factor, "_log", by=by)
    for place, level, pairs in pairing.each(baseline):
        strata = np.bincount(pairs.stratum, pairs.difference) / np.bincount(pairs.stratum)
        found = bootstrap(strata, np.arange(len(strata)), mean)
        rows.append((level, baseline, len(pairs.seed), *np.exp(found)))
        places.append(place)
    out = pd.DataFrame(rows, columns=["level", "baseline", "pairs", "ratio", "low", "high"])
    return pd.concat([out, pairing.groups(places)], axis="columns")


def every_factor_compared(
    frame: pd.DataFrame,
    factors: Sequence[str],
    baselines: Mapping[str, object],
    *,
    ignore: Sequence[str] = (),
) -> pd.DataFrame:
    """Every level of each of ``factors`` against its baseline, paired, within each ``dataset``.

    The columns of `paired_comparison`, with ``factor`` and the level's mean ``accuracy``. A factor
    is compared with its level in ``baselines`` where a data set has that, and with the first of its
    levels there where not. The two of a pair may differ in what is in ``ignore`` (the learning
    rate, where each has its own).

    >>> frame = pd.DataFrame({"optimizer": ["lion", "adamw"], "seed": 0, "accuracy": [0.5, 0.75]})
    >>> frame["dataset"] = "digits"
    >>> found = every_factor_compared(frame, ["optimizer"], {"optimizer": "sgd"})
    >>> found[["factor", "level", "baseline", "effect", "accuracy"]].values.tolist()
    [['optimizer', 'adamw', 'lion', 0.25, 0.75]]
    """
    parts = []
    for factor in factors:
        for dataset, rows in frame.groupby("dataset", sort=False):
            levels = list(rows[factor].dropna().unique())
            if not levels:
                continue
            usual = baselines.get(factor)
            baseline = usual if usual in levels else levels[0]
            found = paired_comparison(rows, factor, baseline, ignore=ignore)
            if found.empty:
                continue
            means = rows.groupby(factor, sort=False)["accuracy"].mean()
            found["accuracy"] = found["level"].map(means)
            parts.append(found.assign(dataset=dataset, factor=factor))
    # levels of one factor may be numbers, and of another names
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()
