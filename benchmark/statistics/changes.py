"""One setting changed at a time: what each change from a common configuration does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from benchmark.statistics.pairing import paired_comparison


def single_changes(frame: pd.DataFrame, own: Mapping[str, Any]) -> pd.DataFrame:
    """The rows that differ in at most one factor from ``own``, its level by factor.

    With ``factor`` and ``level``, what was changed, and to what; both are empty where nothing was.

    >>> own = {"clipping": "none", "schedule": "constant"}
    >>> rows = [("none", "constant"), ("value", "constant"), ("value", "cosine")]
    >>> frame = single_changes(pd.DataFrame(rows, columns=[*own]), own)
    >>> frame[["factor", "level"]].values.tolist()
    [['', ''], ['clipping', 'value']]
    """
    changed = pd.DataFrame({factor: frame[factor] != level for factor, level in own.items()})
    most_one = changed.sum(axis=1) <= 1
    rows, changed = frame[most_one], changed[most_one]
    level = pd.Series("", rows.index, dtype=object)
    for factor, moved in changed.items():
        level = level.mask(moved, rows[str(factor)])
    factors = changed.idxmax(axis=1).where(changed.any(axis=1), "")
    return rows.assign(factor=factors, level=level)


def change_effects(
    frame: pd.DataFrame,
    own: Mapping[str, Any],
    value: str = "accuracy",
    *,
    by: Sequence[str] = (),
) -> pd.DataFrame:
    """Each of `single_changes` against ``own``, paired by seed, in each group of ``by``.

    The columns of `paired_comparison`, with ``factor``; p-values are corrected within each factor.

    >>> frame = pd.DataFrame({"clipping": ["none", "value"], "schedule": "constant", "seed": 0})
    >>> frame = frame.assign(accuracy=[0.5, 0.75])
    >>> found = change_effects(frame, {"clipping": "none", "schedule": "constant"})
    >>> found[["factor", "level", "effect"]].values.tolist()
    [['clipping', 'value', 0.25]]
    """
    rows, parts = single_changes(frame, own), []
    for factor, level in own.items():
        here = rows[rows["factor"].isin(["", factor])]
        # without its baseline, a study that was narrowed has nothing to compare
        here = here if here[factor].eq(level).any() else here[:0]
        found = paired_comparison(here, factor, level, value, by=by)
        parts.append(found.assign(factor=factor))
    return pd.concat([part for part in parts if len(part)] or parts[:1], ignore_index=True)
