"""Do the article's own networks train, and what does each remedy do?"""

from __future__ import annotations

import functools

import pandas as pd

from benchmark.statistics import interval, mean, paired_comparison
from benchmark.status import FINISHED
from report.claims.article import OWN, own
from report.evidence import Evidence
from report.prose import name


def differs(frame: pd.DataFrame) -> pd.DataFrame:
    """For each remedy, whether a trial's level is another than the article's own."""
    return pd.DataFrame({factor: frame[factor] != own for factor, own in OWN.items()})


def endings(study: Evidence) -> pd.DataFrame:
    """By network and data set: trials of each status, mean ``accuracy`` and its interval."""
    keys, rows = ["model", "dataset"], own(study.outcomes)
    wide = rows.groupby([*keys, "status"]).size().unstack(fill_value=0)
    wide = wide.reindex(columns=list(FINISHED), fill_value=0).reset_index()
    accuracy = interval(rows, "accuracy", keys, statistic=mean)
    return accuracy.rename(columns={"estimate": "accuracy"}).merge(wide, on=keys)


@functools.lru_cache(8)
def remedies(study: Evidence, value: str = "accuracy") -> pd.DataFrame:
    """Every remedy against the article's own settings, paired by seed.

    The columns of `paired_comparison`, with ``panel`` (network and data set) and ``factor``.
    """
    apart, parts = differs(study.outcomes), []
    for factor, level in OWN.items():
        # the own settings, and those that differ in this one only
        rows = study.outcomes[~apart.drop(columns=factor).any(axis=1)]
        found = paired_comparison(rows, factor, level, value, by=["model", "dataset"])
        parts.append(found.assign(factor=factor))
    rows = pd.concat(parts, ignore_index=True)
    return rows.assign(panel=rows["model"].map(name) + " on " + rows["dataset"].map(name))
