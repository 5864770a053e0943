"""Which rates train with batch normalization, with clipping and with both, at rates all share."""

from __future__ import annotations

import functools

import numpy as np
import pandas as pd

from benchmark.figures.numbers import number
from benchmark.statistics import (
    interval,
    mean,
    outcome_means,
    paired_comparison,
    stable_range,
    upper_limits,
    where,
)
from report.evidence import Evidence
from report.prose import fold, phrase

NEITHER, NORMALIZED, BOTH = "neither", "batch normalization", "batch normalization, "
TOLERANCES = (0.005, 0.01, 0.015, 0.02)
"""Accuracies (0..1) below the best within which a rate may count as good."""
KEYS = ["model", "learning_rate"]


@functools.lru_cache(8)
def trials(study: Evidence) -> pd.DataFrame:
    """The trials by ``remedy``, in words: neither, a limit of the norm, normalization or both."""
    rows = where(study.outcomes, normalization=["none", "batch"])
    names = zip(rows["normalization"], rows["clipping"], rows["clipping_threshold"], strict=True)
    return rows.assign(remedy=[_remedy(*given) for given in names])


def _remedy(normalization: str, clipping: str, threshold: float) -> str:
    """As `trials` names them; both begin with `BOTH`."""
    if clipping == "none":
        return NEITHER if normalization == "none" else NORMALIZED
    known = clipping == "global_norm" and not pd.isna(threshold)
    limited = f"norm limited to {number(threshold)}" if known else phrase("clipping", clipping)
    return limited if normalization == "none" else f"{BOTH}{limited}"


@functools.lru_cache(32)
def rate_limits(study: Evidence, within: float = 0.01) -> pd.DataFrame:
    """How far up the learning rate may go: `upper_limits`, a row a ``model`` and ``remedy``.

    With ``role``: empty for neither, ``normalized``, ``clipped`` and ``both``.
    """
    found = upper_limits(trials(study), ["model"], "remedy", NEITHER, within)
    both = found["remedy"].str.startswith(BOTH)
    roles = found["remedy"].map({NEITHER: "", NORMALIZED: "normalized"}).fillna("clipped")
    return found.assign(role=roles.where(~both, "both"))


def tightened(study: Evidence) -> pd.DataFrame:
    """What a tighter limit of the norm does to the largest good rate, without normalization.

    By ``model`` the loosest limit, ``loose``, and the tightest, ``tight``; the smallest and the
    largest good rate with each, ``loose_least``, ``tight_least``, ``loose_good`` and
    ``tight_good``; ``raised``, the ratio of the largest, and ``times``, that of the limits;
    ``in_step``, whether these two agree to one step of the rates. Empty with one limit.
    """
    by = ["model", "remedy"]
    limits = trials(study).groupby(by)["clipping_threshold"].first().rename("limit").reset_index()
    least = stable_range(trials(study), by)[[*by, "low_rate"]]
    rows = where(rate_limits(study), role="clipped").merge(limits, on=by).merge(least, on=by)
    ends = rows.sort_values("limit", ascending=False).groupby("model", sort=False)
    found = ends[["limit", "low_rate", "good"]].agg(["first", "last"])
    found.columns = [f"{end}{of}" for of in ("", "_least", "_good") for end in ("loose", "tight")]
    found = found[found["loose"] > found["tight"]].reset_index()
    raised, times = found["tight_good"] / found["loose_good"], found["loose"] / found["tight"]
    apart = np.abs(np.log(raised / times))
    in_step = apart <= np.log(1.01 * spacing(study))
    return found.assign(raised=raised, times=times, in_step=in_step)


def limits_in_words(study: Evidence) -> pd.DataFrame:
    """`rate_limits` as cells of a table: each limit and its interval, "none" beyond all rates."""
    rows = rate_limits(study)
    return rows.assign(
        **{
            f"{name}_words": [
                _span(*ends) for ends in rows[[name, f"{name}_low", f"{name}_high"]].to_numpy()
            ]
            for name in ("good", "good_times", "lost")
        }
    )


def _span(estimate: float, low: float, high: float) -> str:
    first, least, most = (
        "none" if np.isinf(x) else number(float(f"{x:.3g}")) for x in (estimate, low, high)
    )
    return first if np.isnan(low) or least == most else f"{first} ({least} to {most})"


def by_tolerance(study: Evidence) -> pd.DataFrame:
    """``good_times`` of each ``model`` and ``remedy`` at each ``tolerance`` (0..1)."""
    parts = [rate_limits(study, within).assign(tolerance=within) for within in TOLERANCES]
    rows = pd.concat(parts)
    return rows[rows["role"] != ""]


def spacing(study: Evidence) -> float:
    """The largest ratio of neighbouring learning rates: no limit is known any better."""
    rates = np.sort(trials(study)["learning_rate"].unique())
    return float((rates[1:] / rates[:-1]).max())


@functools.lru_cache(8)
def moved(study: Evidence) -> pd.DataFrame:
    """By ``model`` how many times as high the largest good rate is as with neither remedy.

    ``normalized_good`` with batch normalization; ``clipped_good`` and ``both_good`` with the limit
    of the norm that goes furthest, alone and beside it; and ``apart``, whether batch normalization
    raises it by more than one step of the grid, and in 97.5% of the draws of seeds at all; and
    ``said``, how far it does, in words, with the range of the draws where they do not all agree.
    """
    rows = rate_limits(study)
    rows = rows[rows["role"] != ""]
    most = rows.pivot_table("good_times", "model", "role", "max", sort=False).add_suffix("_good")
    alone = where(rows, role="normalized").set_index("model")
    raised = (alone["good_times"] > 1.1 * spacing(study)) & (alone["good_times_low"] > 1)
    found = most.reindex(alone.index)
    ends = alone[["good_times_low", "good_times_high"]].itertuples(index=False)
    folds = zip(found["normalized_good"], ends, raised, strict=True)
    said = [
        fold(times) + ("" if low == high else f" ({number(float(f'{low:.2g}'))}- to {fold(high)})")
        if told
        else "not significantly"
        for times, (low, high), told in folds
    ]
    return found.assign(apart=raised, said=said).reset_index()


def by_rate(study: Evidence, value: str) -> pd.DataFrame:
    """Mean ``value`` of each ``remedy`` at each rate, with its interval; of learned, the share."""
    rows = trials(study)
    if value == "learned":
        rows = rows.assign(learned=rows["learned"].astype(bool))
    return interval(rows, value, ["model", "remedy", "learning_rate"], statistic=mean)


def at_the_loss(study: Evidence, remedy: str) -> pd.DataFrame:
    """What the remedies give at the rate from which on most trials with ``remedy`` fail.

    `outcome_means` by ``model``, ``learning_rate`` and each ``remedy`` there.
    """
    lost = where(rate_limits(study), remedy=remedy)
    rates = lost[np.isfinite(lost["lost"])][["model", "lost"]]
    rows = trials(study).merge(rates.rename(columns={"lost": "learning_rate"}), on=KEYS)
    return outcome_means(rows, [*KEYS, "remedy"], ["accuracy", "learned"])


def saved_beyond(study: Evidence) -> pd.DataFrame:
    """What the limits of the norm save beside batch normalization where most fail with that alone.

    By ``model``, ``learning_rate`` and ``remedy`` the columns of `paired_comparison`, and the
    ``accuracy`` with both.
    """
    there = at_the_loss(study, NORMALIZED)
    rows = trials(study).merge(there[KEYS].drop_duplicates(), on=KEYS)
    both = sorted(r for r in rows["remedy"].unique() if r.startswith(BOTH))
    found = [
        paired_comparison(where(rows, remedy=[NORMALIZED, r]), "clipping", "none", by=KEYS)
        for r in both
    ]
    if not found:
        return pd.DataFrame()
    compared = pd.concat([part.assign(remedy=r) for part, r in zip(found, both, strict=True)])
    return compared.merge(there[[*KEYS, "remedy", "accuracy"]], on=[*KEYS, "remedy"])
