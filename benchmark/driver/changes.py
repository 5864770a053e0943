"""Rows whose custom strategies, models or data sets have changed since they were trained."""

from __future__ import annotations

import re
from typing import NamedTuple

import pandas as pd
import pyarrow as pa

from benchmark.driver.digests import Digests


class Change(NamedTuple):
    """An object that is another than when ``trials`` (keys) were trained."""

    factor: str
    name: str
    trials: list[str]

    def __str__(self) -> str:
        count = f"{len(self.trials)} trial{'s' * (len(self.trials) != 1)}"
        return f"{self.factor} {self.name!r} has changed since {count} of it were trained"


def recorded(row: dict[str, str], digests: Digests) -> str | None:
    """What the column ``custom`` says of a trial: ``factor:digest`` of each custom object.

    >>> recorded({"clipping": "sign", "dataset": "mnist"}, {("clipping", "sign"): "0123456789ab"})
    'clipping:0123456789ab'
    """
    found = [
        f"{factor}:{digest}"
        for (factor, name), digest in sorted(digests.items())
        if row.get(factor) == name
    ]
    return " ".join(found) or None


def with_digests(trials: pa.Table, digests: Digests) -> pa.Table:
    """A unit's trials with the column ``custom`` filled in."""
    if not digests:
        return trials
    factors = sorted({factor for factor, _ in digests})
    texts = [recorded(row, digests) for row in trials.select(factors).to_pylist()]
    place = trials.column_names.index("custom")
    return trials.set_column(place, trials.schema.field(place), pa.array(texts, pa.string()))


def changes(trials: pd.DataFrame, digests: Digests) -> list[Change]:
    """Which objects are others than those that finished ``trials`` were trained with.

    Rows that were written before digests were recorded cannot tell, and count as unchanged.
    """
    out = []
    for (factor, name), digest in digests.items():
        rows = trials[(trials[factor] == name) & (trials["status"] != "failed")]
        there = rows["custom"].astype(str).str.extract(rf"\b{re.escape(factor)}:(\w+)")[0]
        stale = there.notna() & (there != digest)
        if stale.any():
            out.append(Change(factor, name, rows.loc[stale, "trial"].tolist()))
    return out
