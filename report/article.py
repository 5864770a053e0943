"""Do the article's own networks train, and what does each remedy do?"""

from __future__ import annotations

import functools

import pandas as pd

from benchmark.statistics import change_effects, interval, mean, single_changes
from benchmark.status import FINISHED
from report.claims.article import OWN, own
from report.evidence import Evidence
from report.prose import Row, listing, name, records, setting, signed

SIZES = ("batch_size", "batch_policy")
"""Remedies that, in as many updates, see another number of examples."""
POINT = 0.01
"""Test accuracy (0..1) from which a gain is named."""


def endings(study: Evidence) -> pd.DataFrame:
    """By network, data set, ``updates``: trials of each status, ``accuracy`` and its interval."""
    keys, rows = ["model", "dataset", "updates"], own(study.outcomes)
    wide = rows.groupby([*keys, "status"]).size().unstack(fill_value=0)
    wide = wide.reindex(columns=list(FINISHED), fill_value=0).reset_index()
    accuracy = interval(rows, "accuracy", keys, statistic=mean)
    return accuracy.rename(columns={"estimate": "accuracy"}).merge(wide, on=keys)


@functools.lru_cache(8)
def remedies(study: Evidence, value: str = "accuracy") -> pd.DataFrame:
    """Every remedy against the article's own settings, paired by seed, the longest training last.

    The columns of `paired_comparison`, with ``panel`` (network and data set), ``factor`` and
    ``updates``, which both sides make; ``examples``, how many times the examples of the article's
    settings it sees in them, and ``alike``, whether the remedy leaves them as they are.
    """
    keys = ["model", "dataset", "updates"]
    rows = change_effects(study.outcomes, OWN, value, by=keys)
    seen = single_changes(study.outcomes, OWN)
    samples = seen.groupby([*keys, "factor", "level"])["samples"].mean().rename("examples")
    rows = rows.merge(samples.reset_index(), on=[*keys, "factor", "level"])
    plain = own(study.outcomes).groupby(keys)["samples"].mean().rename("_own")
    rows = rows.merge(plain.reset_index(), on=keys)
    rows["examples"] /= rows.pop("_own")
    rows["panel"] = rows["model"].map(name) + " on " + rows["dataset"].map(name)
    rows["alike"] = ~rows["factor"].isin(SIZES)
    return rows.sort_values("updates", kind="stable", ignore_index=True)


def sure_gains(rows: pd.DataFrame) -> list[dict[str, str]]:
    """Of `remedies`, each ``change`` that surely gains more than a point, and ``where`` it does."""
    rows = rows[rows["low"] > POINT].sort_values("effect", ascending=False)
    rows = rows.assign(change=[setting(r["factor"], r["level"]) for r in rows.to_dict("records")])
    return [
        {"change": str(change), "where": listing(map(points_gained, records(part)), ";")}
        for change, part in rows.groupby("change", sort=False)
    ]


def points_gained(row: Row) -> str:
    """The network of a row of `remedies` and what is gained there, in points."""
    return f"{row['panel']} {signed(row['effect'])}"
