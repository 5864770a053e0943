"""Which fixed batch sizes come close to the best, and where the rules for the rate are good."""

from __future__ import annotations

from collections.abc import Hashable

import numpy as np
import pandas as pd

from benchmark.statistics.pairing import paired_comparison
from benchmark.statistics.rates import WITHIN, best_per_arm
from benchmark.statistics.seeds import DECIMALS
from benchmark.statistics.targets import rules_for_rate, rules_over_starts


def sizes_near_best(frame: pd.DataFrame) -> pd.DataFrame:
    """Up to which fixed batch size accuracy pays, at equal examples and at equal updates.

    ``frame`` has the `outcomes` of a map of fixed sizes over rates. One row a ``model`` and kind of
    budget, ``scarce`` (``examples``, or ``updates`` where these are what a budget counts):

    - the ``best`` size by validation, its ``accuracy``, and ``seeds``;
    - ``least`` and ``most`` of the sizes whose mean accuracy, each at its own best rate, is within
      a point of that, out of ``smallest`` to ``largest``, and ``least_accuracy``, of the first;
    - ``sure_least`` and ``sure_most``, the same of those next to the best whose whole 95% interval
      of the difference is within a point of it;
    - ``alike_least``, the smallest of those next to the best that the seeds do not tell from it;
    - ``beyond``, the first size after them, and its ``effect`` against the best, with ``low`` and
      ``high``; NaN where there is none;
    - ``linear_until`` and ``root_until``: up to which size the rate of that rule, from the best one
      at the smallest size, is within a point of the best (`rule_holds`), at the least over all
      ``starts`` that the seeds do not tell apart (`tied_starts`), and ``linear_most`` and
      ``root_most``, at the most; ``edge`` says that the best one is the smallest or the largest
      that was run.

    A network that was run at a single size has no row.
    """
    scarce = frame["updates"].notna().map({True: "updates", False: "examples"})
    rows = []
    for (model, kind), group in frame.groupby(["model", scarce], sort=False):
        chosen = best_per_arm(group, ["batch_size"])
        means = chosen.groupby("batch_size")[["validation", "accuracy"]].mean()
        if len(means) < 2:
            continue
        best = means["validation"].round(DECIMALS).idxmax()
        apart = paired_comparison(chosen, "batch_size", best, ignore=["learning_rate"])
        means = means.join(apart.set_index("level")[["effect", "low", "high"]])
        near = means.index[means["effect"].fillna(0.0) > -WITHIN]
        after = means.index[means.index > near.max()]
        sure = _next_to(best, means["low"].gt(-WITHIN))
        alike = _next_to(best, means["high"].ge(0))
        of_size = means.to_dict("index")
        first = of_size[after[0] if len(after) else best]
        ruled = rules_for_rate(group, ["model"])
        row: dict[str, object] = {"model": model, "scarce": kind, "seeds": group["seed"].nunique()}
        row |= {"best": best, "accuracy": of_size[best]["accuracy"]}
        row |= {"least": near.min(), "most": near.max(), "edge": bool(ruled["edge"].iloc[0])}
        row |= {"sure_least": sure.min(), "sure_most": sure.max(), "alike_least": alike.min()}
        row |= {"least_accuracy": of_size[near.min()]["accuracy"]}
        row |= {"smallest": means.index.min(), "largest": means.index.max()}
        row |= {"beyond": after[0] if len(after) else np.nan}
        row |= {str(end): first[end] for end in ("effect", "low", "high")}
        starts = rules_over_starts(group)
        until: dict[str, object] = {"starts": starts["start"].tolist()}
        for rule in ("linear", "root"):
            until |= {f"{rule}_until": starts[rule].min(), f"{rule}_most": starts[rule].max()}
        rows.append(row | until)
    return pd.DataFrame(rows)


def _next_to(best: Hashable, close: pd.Series) -> pd.Index:
    """The sizes (the index) that are ``close``, without a gap between them and the best."""
    near = np.asarray(close | close.index.isin([best]))
    gaps = np.cumsum(~near)
    return close.index[near & (gaps == gaps[close.index == best])]
