"""What a remedy costs at learning rates that train well, and what it pays where they do not."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from benchmark.statistics.rates import WITHIN, plateau
from benchmark.statistics.seeds import over_seeds, smallest_detectable

KEYS = ["learning_rate", "seed"]
"""What pairs two trials of one network: the same rate, the same weights and order of the data."""
PREMIUM = "premium", "premium_low", "premium_high"
PAYOUT = "payout", "payout_low", "payout_high"
SHORT = "short", "short_low", "short_high"


def premiums(
    frame: pd.DataFrame,
    by: Sequence[str],
    level: str,
    baseline: object,
) -> pd.DataFrame:
    """What each ``level`` changes at the rates at which the ``baseline`` trains well, and beyond.

    A guard that is left on changes training at every rate, also where nothing goes wrong: that is
    its premium. ``frame`` has `outcomes` of all levels at the same rates and on the same seeds.
    Columns ``by``, ``level``, and differences in test accuracy (0..1), level minus baseline, paired
    by rate and seed, each with its ``..._low`` and ``..._high`` (95%, over seeds):

    ``premium``
        the mean over the good rates of the baseline, ``good_low`` to ``good_high`` (see
        `good_windows`), as far as the level was run there. So many ``rates``; ``premium_least`` and
        ``premium_most`` are the least and the greatest change at one of them, and ``detectable``
        the smallest mean that this design finds four times out of five
    ``payout``
        that at ``lost``, the least rate from which on at most half of the baseline's trials learn
    ``short``
        what the level there lacks in the accuracy of the baseline at its best rate

    NaN where the baseline learns at all rates or the level was not run. The baseline has no row.

    >>> frame = pd.DataFrame({"learning_rate": [0.1, 1.0] * 2, "clip": ["no"] * 2 + ["yes"] * 2})
    >>> frame = frame.assign(model="mlp", seed=0, learned=[1, 0, 1, 1])
    >>> frame = frame.assign(accuracy=[0.75, 0.25, 0.625, 0.5], validation=[0.75, 0.25, 0.5, 0.5])
    >>> (row,) = premiums(frame, ["model"], "clip", "no").to_dict("records")
    >>> row["premium"], row["lost"], row["payout"], row["short"]
    (-0.125, 1.0, 0.25, -0.25)
    """
    found = []
    for key, here in frame.groupby(list(by), sort=False):
        bare = here[here[level] == baseline].set_index(KEYS)
        if bare.empty:
            continue
        means = bare.groupby("learning_rate")[["validation", "learned"]].mean().sort_index()
        accuracy, run = means["validation"].to_numpy(), means.index.to_numpy(dtype=float)
        low, high = (run[place] for place in plateau(accuracy, WITHIN))
        at_best = bare.xs(run[accuracy.argmax()], level="learning_rate")["accuracy"]
        lost = _lost(means["learned"])
        ends = {"good_low": low, "good_high": high, "lost": lost}
        for name, rows in here[here[level] != baseline].groupby(level, sort=False):
            own = rows.set_index(KEYS)["accuracy"]
            change = (own - bare["accuracy"]).dropna().reset_index()
            rates = change["learning_rate"]
            good = change[rates.between(low, high)]
            alone = good.groupby("learning_rate")["accuracy"].mean()
            there = own[own.index.get_level_values("learning_rate") == lost]
            behind = (there.droplevel("learning_rate") - at_best).dropna().reset_index()
            found.append(
                dict(zip(by, key, strict=True))
                | {level: name}
                | ends
                | {"rates": len(alone), "premium_least": alone.min(), "premium_most": alone.max()}
                | {"detectable": _detectable(good)}
                | _change(PREMIUM, good)
                | _change(PAYOUT, change[rates == lost])
                | _change(SHORT, behind)
            )
    return pd.DataFrame(found)


def premium_gaps(
    frame: pd.DataFrame, beside: str, reference: object, level: str, baseline: object
) -> pd.DataFrame:
    """How premium and pay-out differ between two ways of training: with and without decay, say.

    ``frame`` is as that of `premiums`, at each level of the column ``beside``, whose good rates and
    ``lost`` are each one's own. A row for each level of ``beside`` but the ``reference``, and each
    ``level`` but the ``baseline`` that both have: ``premium`` and ``payout``, those minus the ones
    of the reference (accuracy, 0..1), with 95% intervals over the seeds that both have.

    >>> frame = pd.DataFrame({"learning_rate": [0.1, 1.0] * 4, "way": ["old"] * 4 + ["new"] * 4})
    >>> frame = frame.assign(clip=(["no"] * 2 + ["yes"] * 2) * 2, seed=0, learned=[1, 0, 1, 1] * 2)
    >>> frame["accuracy"] = [0.75, 0.25, 0.625, 0.5, 0.75, 0.25, 0.6875, 0.5]
    >>> frame = frame.assign(validation=frame["accuracy"])
    >>> found = premium_gaps(frame, "way", "old", "clip", "no")
    >>> found[["way", "clip", "premium", "payout"]].values.tolist()
    [['new', 'yes', 0.0625, 0.0]]
    """
    ends = premiums(frame, [beside], level, baseline)
    by_seed = {
        (row[beside], row[level]): _by_seed(frame, row, beside, level, baseline)
        for row in ends.to_dict("records")
    }
    found = []
    for (way, name), own in by_seed.items():
        other = by_seed.get((reference, name))
        if way == reference or other is None:
            continue
        row = {beside: way, level: name}
        for part, columns in (("premium", PREMIUM), ("payout", PAYOUT)):
            gap = (
                (own[part] - other[part]).dropna().rename_axis("seed").reset_index(name="accuracy")
            )
            row |= _change(columns, gap)
        found.append(row)
    return pd.DataFrame(found, columns=[beside, level, *PREMIUM, *PAYOUT])


def _by_seed(
    frame: pd.DataFrame, row: Mapping[Hashable, Any], beside: str, level: str, baseline: object
) -> pd.DataFrame:
    """The premium and the pay-out of each seed, for a ``row`` of `premiums`."""
    here = frame[frame[beside] == row[beside]]
    own, bare = (
        here[here[level] == name].set_index(KEYS)["accuracy"] for name in (row[level], baseline)
    )
    change = (own - bare).dropna().reset_index()
    good = change["learning_rate"].between(row["good_low"], row["good_high"])
    parts = {"premium": change[good], "payout": change[change["learning_rate"] == row["lost"]]}
    return pd.DataFrame(
        {part: rows.groupby("seed")["accuracy"].mean() for part, rows in parts.items()}
    )


def payouts(frame: pd.DataFrame, by: Sequence[str], level: str, baseline: object) -> pd.DataFrame:
    """What each ``level`` changes at every rate from which on most of the ``baseline`` fail.

    The pay-out of `premiums` is that at the first of these rates, ``lost``; a guard may be of no
    use further up. Columns ``by``, ``level``, ``lost``, ``learning_rate``, ``above``, by how many
    decades that lies above ``lost``, and ``payout`` with its ``..._low`` and ``..._high``. Rates
    that the level was not run at have no row.

    >>> frame = pd.DataFrame({"learning_rate": [0.1, 1.0, 10.0] * 2, "model": "mlp", "seed": 0})
    >>> frame = frame.assign(clip=["no"] * 3 + ["yes"] * 3, learned=[1, 0, 0, 1, 1, 0])
    >>> frame = frame.assign(accuracy=[0.75, 0.25, 0.25, 0.75, 0.5, 0.25])
    >>> found = payouts(frame, ["model"], "clip", "no")
    >>> found[["learning_rate", "above", "payout"]].values.tolist()
    [[1.0, 0.0, 0.25], [10.0, 1.0, 0.0]]
    """
    found = []
    for key, here in frame.groupby(list(by), sort=False):
        bare = here[here[level] == baseline].set_index(KEYS)
        lost = _lost(bare.groupby("learning_rate")["learned"].mean().sort_index())
        if bare.empty or math.isnan(lost):
            continue
        for name, rows in here[here[level] != baseline].groupby(level, sort=False):
            change = (rows.set_index(KEYS)["accuracy"] - bare["accuracy"]).dropna().reset_index()
            for rate, some in change[change["learning_rate"] >= lost].groupby("learning_rate"):
                found.append(
                    dict(zip(by, key, strict=True))
                    | {level: name, "lost": lost, "learning_rate": rate}
                    | {"above": round(math.log10(float(some["learning_rate"].iloc[0]) / lost), 2)}
                    | _change(PAYOUT, some)
                )
    return pd.DataFrame(found, columns=[*by, level, "lost", "learning_rate", "above", *PAYOUT])


def _lost(learned: pd.Series) -> float:
    """The least rate from which on at most half ``learned`` (rates,), NaN where none is."""
    most = learned > 0.5
    beyond = most.index[np.flatnonzero(most)[-1] + 1 :] if most.any() else most.index
    return float(beyond[0]) if len(beyond) else math.nan


def _change(names: Sequence[str], rows: pd.DataFrame) -> dict[str, float]:
    ends = over_seeds(rows["accuracy"].to_numpy(), rows["seed"]) if len(rows) else (math.nan,) * 3
    return dict(zip(names, ends, strict=True))


def _detectable(rows: pd.DataFrame) -> float:
    if rows.empty:
        return math.nan
    return smallest_detectable(rows["accuracy"].to_numpy(), rows["seed"])
