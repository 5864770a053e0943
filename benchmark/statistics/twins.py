"""What is left of a trial when it is trained again: on the same device, and on another."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import pandas as pd

SLIGHT, LARGE = 0.01, 0.05
"""Differences in accuracy above which twins are counted as differing, and as far apart."""


def twins(rows: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """How far apart trials end that are alike in everything but who trained them.

    Parameters
    ----------
    rows
        Outcomes with ``study``, ``device``, ``accuracy`` (a share), ``status`` and ``learned``.
    by
        What makes two trials the same one: every setting, and the seed.

    Returns
    -------
    A row for each two devices that have trials in common, and for each that trained one for two
    studies (``device`` and ``other`` are then the same): how many ``pairs``, how many of them are
    ``equal`` to the last bit, differ by more than a point (``slight``) or five (``large``), and
    ``flipped`` between having learned and not; and ``deviation``, the standard deviation of the
    difference in accuracy of the ``calm`` pairs, whose two never spiked and both learned.

    >>> rows = pd.DataFrame({"seed": [0, 1] * 2, "study": list("aabb"), "status": "stable"})
    >>> rows = rows.assign(device=["cpu"] * 2 + ["gpu"] * 2, accuracy=[0.8, 0.7, 0.8, 0.72])
    >>> found = twins(rows.assign(learned=1.0), ["seed"])
    >>> found[["device", "other", "pairs", "equal", "slight", "large", "flipped"]].values.tolist()
    [['cpu', 'gpu', 2, 1, 1, 0, 0]]
    """
    known = rows.drop_duplicates([*by, "device", "study"])
    same = known.groupby([*by, "device"], dropna=False, observed=True, sort=False)
    numbered = known.assign(copy=same.cumcount())
    first, second = (numbered[numbered["copy"] == copy] for copy in (0, 1))
    devices = sorted(first["device"].unique())
    found = []
    for device, other in itertools.combinations_with_replacement(devices, 2):
        beside = second if device == other else first
        pairs = first[first["device"] == device].merge(
            beside[beside["device"] == other], on=list(by), suffixes=("", "_other")
        )
        if pairs.empty:
            continue
        apart = pairs["accuracy"] - pairs["accuracy_other"]
        calm = pairs["status"].eq("stable") & pairs["status_other"].eq("stable")
        calm &= pairs["learned"].gt(0) & pairs["learned_other"].gt(0)
        found.append(
            {
                "device": device,
                "other": other,
                "pairs": len(pairs),
                "equal": int(apart.eq(0).sum()),
                "slight": int(apart.abs().gt(SLIGHT).sum()),
                "large": int(apart.abs().gt(LARGE).sum()),
                "flipped": int(pairs["learned"].ne(pairs["learned_other"]).sum()),
                "calm": int(calm.sum()),
                "deviation": apart[calm].std(),
            }
        )
    columns = ["device", "other", "pairs", "equal", "slight", "large", "flipped", "calm"]
    return pd.DataFrame(found, columns=[*columns, "deviation"])
