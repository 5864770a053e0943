"""Do the article's own networks train, and what does each remedy do?"""

from __future__ import annotations

import functools

import pandas as pd

from benchmark.statistics import interval, mean, paired_comparison, status_shares
from benchmark.status import FINISHED
from report.evidence import Evidence
from report.prose import name

OWN: dict[str, object] = {
    "optimizer": "adam",
    "learning_rate": 0.01,
    "batch_size": 128,
    "clipping": "none",
    "normalization": "none",
    "schedule": "constant",
    "batch_policy": "fixed",
}
"""The article's own settings."""
REMEDIES = tuple(OWN)
"""What the study changes, one at a time."""


def differs(frame: pd.DataFrame) -> pd.DataFrame:
    """For each remedy, whether a trial's level is another than the article's own."""
    return pd.DataFrame({factor: frame[factor] != OWN[factor] for factor in REMEDIES})


def own(study: Evidence) -> pd.DataFrame:
    """The trials at the article's own settings."""
    return study.outcomes[~differs(study.outcomes).any(axis=1)]


def endings(study: Evidence) -> pd.DataFrame:
    """By network and data set: trials of each status, mean ``accuracy`` and its interval."""
    keys = ["model", "dataset"]
    rows = own(study)
    shares = status_shares(rows, keys)
    wide = shares.pivot_table(index=keys, columns="status", values="count", sort=False)
    accuracy = interval(rows, "accuracy", keys, statistic=mean)
    found = accuracy.rename(columns={"estimate": "accuracy"}).merge(wide.reset_index(), on=keys)
    return found.astype(dict.fromkeys(FINISHED, int))


@functools.lru_cache(8)
def remedies(study: Evidence, value: str = "accuracy") -> pd.DataFrame:
    """Every remedy against the article's own settings, paired by seed.

    The columns of `paired_comparison`, with ``panel`` (network and data set) and ``factor``.
    """
    frame = study.outcomes
    apart = differs(frame)
    parts = []
    for factor in REMEDIES:
        # the own settings, and those that differ in this one only
        rows = frame[~apart.drop(columns=factor).any(axis=1)]
        for (model, dataset), group in rows.groupby(["model", "dataset"], sort=False):
            found = paired_comparison(group, factor, OWN[factor], value)
            parts.append(found.assign(model=model, dataset=dataset, factor=factor))
    rows = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()
    if rows.empty:
        return rows
    return rows.assign(panel=rows["model"].map(name) + " on " + rows["dataset"].map(name))
