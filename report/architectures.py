"""Which answers carry over to a recurrence, a residual network and a transformer."""

from __future__ import annotations

import pandas as pd

from benchmark.figures.style import in_order
from benchmark.statistics import (
    misplaced_best_rates,
    theoretical_recurrent_growth,
    theoretical_residual_growth,
)
from benchmark.statistics.selection import SETTING, where
from report.evidence import Evidence
from report.headline import against_none
from report.prose import name, phrase

STEPS = 28
"""Rows of an image, which the recurrence takes one after another."""
GAINS = (0.5, 1.0, 1.5, 2.0)
DENSE = ("mlp", "cnn")
"""Networks that the headline study compares, which others are held against."""
FAR = ("3 × best rate", "10 × best rate")
"""Panels of a figure with one scale: far above the best rate effects are of another size."""


def growth_of_theory() -> pd.DataFrame:
    """Growth of the squared gradient that theory expects, by ``gain``.

    ``dense`` per layer, ``first`` and ``last`` per step of a recurrence over standardized rows
    (between the first two and the last two of them), ``residual`` per block.
    """
    found = pd.DataFrame({"gain": GAINS}).assign(dense=lambda f: f["gain"] ** 2)
    steps = [theoretical_recurrent_growth(gain, [1 / STEPS] * STEPS) for gain in GAINS]
    return found.assign(
        first=[growth[0] for growth in steps],
        last=[growth[-1] for growth in steps],
        residual=[theoretical_residual_growth(gain) for gain in GAINS],
    )


def named(rows: pd.DataFrame) -> pd.Series:
    """Network, its normalization and, where there are several, data set of each row, in words."""
    plain = rows["normalization"] == "none"
    models = rows["model"].map(name).str.replace(r", (.*)$", r" (\1)", regex=True)
    words = models + (" with " + rows["normalization"].map(name) + " norm").mask(plain, "")
    several = rows["dataset"].nunique() > 1
    return words + (", " + rows["dataset"].map(name) if several else "")


def spoken(rows: pd.DataFrame) -> pd.Series:
    """The same as `named`, as a sentence has it: ResNet with batch normalization."""
    plain = rows["normalization"] == "none"
    models = rows["model"].map(name).str.replace(r", (.*)$", r" (\1)", regex=True)
    norms = rows["normalization"].map(lambda level: phrase("normalization", level))
    words = models + (" with " + norms).mask(plain, "")
    several = rows["dataset"].nunique() > 1
    return words + (" on " + rows["dataset"].map(name) if several else "")


def compared(study: Evidence, clipping: str) -> pd.DataFrame:
    """A clipping against none, with ``network`` in words, and a ``panel`` a multiple.

    Its ``level`` is the network as a figure names it.
    """
    rows = where(against_none(study), level=clipping)
    order = list(dict.fromkeys(rows["model"]))
    rows = rows.sort_values("normalization", key=lambda n: n.ne("none"), kind="stable")
    rows = rows.sort_values("model", key=lambda m: m.map(order.index), kind="stable")
    rows = rows.sort_values("times", kind="stable")
    panels = rows["times"].map("{} × best rate".format).replace("1 × best rate", "best rate")
    return rows.assign(panel=panels, level=named(rows), network=spoken(rows))


def misplaced(study: Evidence) -> pd.DataFrame:
    """`misplaced_best_rates` by network and ``clipping``, with the ``network`` in words.

    Of a clipping whose best rate was chosen too low, what it loses there is the choice's.
    """
    found = misplaced_best_rates(study.relative, [*SETTING, "clipping"])
    found = (
        found.loc[found.groupby([*SETTING, "clipping"])["effect"].idxmax()] if len(found) else found
    )
    return found.assign(network=spoken(found))


def costly(study: Evidence) -> pd.DataFrame:
    """What clippings significantly cost at each one's own best rate, the most first.

    The rows of `compared` without those whose best rate is `misplaced`, of networks other than
    those of the headline study.
    """
    rows = where(against_none(study), times=1)
    rows = rows[~rows["model"].isin(DENSE) & rows["high"].lt(0)]
    rows = rows.assign(network=spoken(rows))
    wrong = misplaced(study)
    if len(wrong):
        keys = set(zip(wrong["network"], wrong["clipping"], strict=True))
        rows = rows[[k not in keys for k in zip(rows["network"], rows["level"], strict=True)]]
    return rows.sort_values("effect", kind="stable", ignore_index=True)


def learners(study: Evidence, clipping: str, times: int) -> pd.DataFrame:
    """How many trials of each ``network`` learn at a multiple of its best rate.

    ``learned`` of ``trials`` with a clipping at the ``rate``, and ``bare`` without one at the
    ``bare_rate``: each at that multiple of its own best rate, so that the two rates may differ.
    """
    columns = ["network", "learned", "trials", "rate", "bare", "bare_rate"]
    rows = where(study.relative, times=times)
    rows = rows.assign(network=spoken(rows))
    with_it, without = (
        rows[rows["clipping"] == level]
        .groupby("network", sort=False)
        .agg(learned=("learned", "sum"), trials=("learned", "size"), rate=("learning_rate", "max"))
        for level in (clipping, "none")
    )
    without = without.rename(columns={"learned": "bare", "rate": "bare_rate"})
    found = with_it.join(without.drop(columns="trials"), how="inner")
    return found.astype({"learned": int, "bare": int}).reset_index()[columns]


def fates(rows: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Networks of `learners` by what clipping does to them, where their rates bear it out.

    ``rescued`` and ``hardly`` (by whether more than half learn) are those of which none learns
    without it, at a rate no higher; ``harmed``, of which fewer learn with it at a rate no higher;
    ``unlike``, whose difference may be that of the rates.
    """
    more, fewer = rows["learned"] > rows["bare"], rows["learned"] < rows["bare"]
    higher, lower = rows["rate"] > rows["bare_rate"], rows["rate"] < rows["bare_rate"]
    lost, most = rows["bare"].eq(0) & ~lower, rows["learned"] > 0.5 * rows["trials"]
    return {
        "rescued": rows[lost & most],
        "hardly": rows[lost & ~most],
        "harmed": rows[fewer & ~higher],
        "unlike": rows[(fewer & higher) | (more & lower)],
    }


def carried(rows: pd.DataFrame, times: int, plain: bool) -> dict[str, list[str]]:
    """Of `compared`, networks that gain ``more`` than a point, ``lose``, or neither (``alike``).

    ``open`` are those of the last whose interval does not exclude a gain of more than a point.
    At a multiple of the best rate, ``plain`` ones without normalization or the others. A gain or
    loss is one whose whole interval lies beyond a point of accuracy.
    """
    rows = rows[rows["times"].eq(times) & rows["normalization"].eq("none").eq(plain)]
    more, lose = rows["low"] > 0.01, rows["high"] < -0.01
    parts = {"more": rows[more], "lose": rows[lose], "alike": rows[~more & ~lose]}
    parts["open"] = parts["alike"][parts["alike"]["high"] > 0.01]
    return {key: list(part["network"]) for key, part in parts.items()}


def bare(study: Evidence) -> pd.DataFrame:
    """``accuracy`` and shares ``exploded``, ``diverged`` and ``unlearned`` without clipping.

    By ``network``, as a sentence has it ``spoken``, and multiple (``times``). A trial that does not
    learn need not have exploded.
    """
    rows = where(study.relative, clipping="none")
    return _outcomes(rows, ["network", "times"])


def by_clipping(study: Evidence) -> pd.DataFrame:
    """As `bare`, of every ``clipping`` at multiples of its own best rate."""
    return _outcomes(study.relative, ["network", "clipping", "times"])


def _outcomes(rows: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    rows = rows.assign(network=named(rows), spoken=spoken(rows), unlearned=1.0 - rows["learned"])
    order = {c: in_order(rows[c]) for c in ("dataset", "model", "normalization", "clipping")}
    rows = rows.sort_values(
        list(order), key=lambda column: column.map(order[str(column.name)].index), kind="stable"
    )
    groups = rows.groupby([*by, "spoken"], sort=False)
    return groups[["accuracy", "exploded", "diverged", "unlearned"]].mean().reset_index()
