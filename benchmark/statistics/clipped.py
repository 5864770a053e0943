"""What clipping does to the steps of a run: how often it acts, and at which norms."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd

from benchmark.statistics.outcomes import able
from benchmark.statistics.pairing import paired
from benchmark.statistics.seeds import DECIMALS, over_seeds

AGGRESSIVE = 0.5
"""Share of clipped steps above which practice calls clipping extremely aggressive."""
ALWAYS = 0.9
"""Share of clipped steps from which on a rule counts as always acting."""
BOUNDING = ("global_norm", "normalized")
"""Rules that give the whole gradient the norm c wherever they act."""
SCALED = (*BOUNDING, "per_layer_norm", "value", "adaptive", "adagc")
"""Rules whose threshold bounds every step, in one way or another."""
THRESHOLD_CELL = ["model", "clipping", "clipping_threshold", "learning_rate"]


def clipping_facts(frame: pd.DataFrame) -> pd.DataFrame:
    """Columns ``clipping``, ``trials``, ``clipped``, ``aggressive``: how often clipping acts.

    ``clipped`` is the median over a clipping's trials of the share of their steps that were
    clipped; ``aggressive`` the share of trials in which more than half were: clipping is then a
    smaller learning rate rather than a guard. Trials without a clipped fraction are left out, and
    those that ended before the clipping could act.
    """
    rows = able(frame, "clipping").dropna(subset=["clipped_fraction"])
    rows = rows.assign(aggressive=(rows["clipped_fraction"] > AGGRESSIVE).astype(float))
    groups = rows.groupby("clipping", sort=False)
    columns = {"trials": groups.size(), "clipped": groups["clipped_fraction"].median()}
    return pd.DataFrame({**columns, "aggressive": groups["aggressive"].mean()}).reset_index()


def percentile_rule(frame: pd.DataFrame) -> pd.DataFrame:
    """Columns ``model``, ``learning_rate``, ``percentile``, ``threshold``, ``at_rule``,
    ``best_threshold``, ``idle_from``, ``at_best``, ``regret``, ``low``, ``high``: is the 90th
    percentile of the unclipped norms a good threshold?

    ``percentile`` is the median over a group's finite trials without clipping of the 90th
    percentile of their gradient norms; ``threshold`` the threshold of global_norm that was run
    and is nearest to it (in ratio), ``best_threshold`` the one that validation accuracy chooses;
    ``idle_from`` is the least threshold from which on no step of any trial is clipped, where the
    best is one of these, which are the same training and tie, and NaN elsewhere; ``at_rule`` and
    ``at_best`` are their mean test accuracies, and ``regret`` the mean paired difference, best
    minus rule, with its 95% interval over seeds. Groups that lack either kind of trial have no row.
    """
    by, out = ["model", "learning_rate"], []
    for key, group in frame.groupby(by, sort=False):
        plain = group[group["clipping"] == "none"]["gradient_norm_p90"].astype(float)
        plain = plain[np.isfinite(plain) & (plain > 0)]
        clipped = group[group["clipping"] == "global_norm"]
        if plain.empty or clipped.empty:
            continue
        percentile = float(plain.median())
        means = clipped.groupby("clipping_threshold")[["validation", "accuracy"]].mean()
        tried = means.index.to_numpy(dtype=float)
        rule = float(tried[np.abs(np.log(tried / percentile)).argmin()])
        best = float(tried[means["validation"].round(DECIMALS).to_numpy().argmax()])
        idle = _idle(clipped)
        idle_from = float(idle.min()) if best in idle else np.nan
        pairs = paired(clipped, "clipping_threshold", best, rule, "accuracy")
        regret = over_seeds(pairs["difference"].to_numpy(), pairs["seed"])
        accuracy = means["accuracy"]
        found = (percentile, rule, accuracy[rule], best, idle_from, accuracy[best])
        out.append((*key, *found, *regret))
    columns = ["percentile", "threshold", "at_rule", "best_threshold", "idle_from", "at_best"]
    return pd.DataFrame(out, columns=[*by, *columns, "regret", "low", "high"])


def _idle(clipped: pd.DataFrame) -> np.ndarray:
    """The thresholds from the least on from which no step is clipped; none without that column."""
    if "clipped_fraction" not in clipped:
        return np.empty(0)
    most = clipped.groupby("clipping_threshold")["clipped_fraction"].max()
    tried, acting = most.index.to_numpy(dtype=float), most.ne(0).to_numpy()
    return tried[tried > max(tried[acting], default=0.0)]


def steadiest_product(rules: pd.DataFrame) -> dict[str, float]:
    """Of the best thresholds times their rates the median, and how many are within a tenth of it.

    ``product``, ``alike`` and ``rates``, of the rows of `percentile_rule`.

    >>> rules = pd.DataFrame({"learning_rate": [0.5, 1.0], "best_threshold": [2.0, 1.0]})
    >>> steadiest_product(rules)
    {'product': 1.0, 'alike': 2, 'rates': 2}
    """
    products = rules["best_threshold"] * rules["learning_rate"]
    middle = float(products.median())
    alike = np.isclose(products, middle, rtol=0.1).sum()
    return {"product": middle, "alike": int(alike), "rates": len(rules)}


def threshold_cells(frame: pd.DataFrame) -> pd.DataFrame:
    """Mean accuracy, validation, clipped share and explosions by clipping, threshold and rate.

    Columns `THRESHOLD_CELL`, ``accuracy``, ``validation``, ``clipped_fraction``, ``exploded``.
    """
    values = ["accuracy", "validation", "clipped_fraction", "exploded"]
    return frame.groupby(THRESHOLD_CELL, sort=False, dropna=False)[values].mean().reset_index()


def best_thresholds(cells: pd.DataFrame) -> pd.DataFrame:
    """The row of `threshold_cells` that validation chooses for each model, clipping and rate.

    The smallest of several that train alike, as those do that clip no step. ``edge`` says that it
    is the smallest or the largest of several that were tried there, so that a better one may lie
    beyond.
    """
    by = ["model", "clipping", "learning_rate"]
    tried, threshold = cells.groupby(by)["clipping_threshold"], cells["clipping_threshold"]
    least, most = tried.transform("min"), tried.transform("max")
    edge = (least < most) & ((threshold == least) | (threshold == most))
    # means of the same values may differ in their last bits
    rows = cells.assign(edge=edge, _score=cells["validation"].round(DECIMALS))
    order = ["_score", "clipping_threshold"]
    rows = rows.sort_values(order, ascending=[False, True], kind="stable")
    return rows.drop(columns="_score").drop_duplicates(by)


def always_clipped(cells: pd.DataFrame) -> pd.DataFrame:
    """What thresholds of the global norm that clip at least nine steps in ten cost, by rate.

    Against no clipping. Of `threshold_cells`, at the rates at which both were run and training
    without clipping is the more accurate: ``thresholds``, how many, the ``least`` and the ``most``
    that one of them costs (mean test accuracy), and at which, the ``gentlest`` and the
    ``strictest``. The smallest rate comes first.
    """
    by = ["model", "learning_rate"]
    rows = cells[cells["clipping"].eq("global_norm") & cells["clipped_fraction"].ge(ALWAYS)]
    bare = cells.loc[cells["clipping"] == "none", [*by, "accuracy"]]
    rows = rows.merge(bare, on=by, suffixes=("", "_bare")).sort_values([*by, "accuracy"])
    rows = rows.assign(cost=rows["accuracy_bare"] - rows["accuracy"])
    rows = rows[rows.groupby(by)["cost"].transform("min") > 0]
    found = rows.groupby(by).agg(
        thresholds=("cost", "size"),
        least=("cost", "last"),
        most=("cost", "first"),
        gentlest=("clipping_threshold", "last"),
        strictest=("clipping_threshold", "first"),
    )
    return found.reset_index().assign(clipping="global_norm")


def threshold_products(frame: pd.DataFrame, clippings: Sequence[str] = SCALED) -> pd.DataFrame:
    """The `threshold_cells` of these clippings with ``product``, rate times threshold.

    To three digits, so that equal products are equal; of plain gradient descent alone, in the order
    of ``clippings``.
    """
    rows = frame[frame["optimizer"].eq("sgd") & frame["clipping"].isin(clippings)]
    found = threshold_cells(rows)
    product = found["learning_rate"] * found["clipping_threshold"]
    found = found.assign(product=[float(f"{value:.3g}") for value in product])
    order = found["clipping"].map(list(clippings).index)
    return found.loc[order.sort_values(kind="stable").index].reset_index(drop=True)


def equal_products(frame: pd.DataFrame, clippings: Sequence[str] = BOUNDING) -> pd.DataFrame:
    """Columns ``model``, ``product``, ``cells``, ``low``, ``high``: is clipping a learning rate?

    Where a rule that gives the whole gradient the norm c clips at least nine steps in ten of plain
    gradient descent, rate times c is the length of a step. Of the `threshold_cells` where it does
    so, or one of other ``clippings``, ``low`` and ``high`` are the least and the greatest mean
    accuracy among those with the same ``product`` of rate and threshold; products with one cell are
    left out.
    """
    found = threshold_products(frame, clippings)
    groups = found[found["clipped_fraction"] >= ALWAYS].groupby(["model", "product"])["accuracy"]
    out = groups.agg(cells="size", low="min", high="max").reset_index()
    return out[out["cells"] > 1].reset_index(drop=True)


def product_gaps(frame: pd.DataFrame) -> pd.DataFrame:
    """Columns ``clipping``, ``products``, ``median``, ``most``, ``at``: how far equal ones differ.

    Of the `equal_products` of each clipping of `SCALED`, how many there are, the median and the
    largest gap between their accuracies, NaN where no product occurs twice, and where the largest
    is.
    """
    found = []
    for clipping in threshold_products(frame)["clipping"].unique():
        rows = equal_products(frame, [clipping])
        gaps = rows["high"] - rows["low"]
        at = rows["product"].to_numpy()[int(gaps.to_numpy().argmax())] if len(rows) else math.nan
        found.append((clipping, len(rows), gaps.median(), gaps.max(), at))
    return pd.DataFrame(found, columns=["clipping", "products", "median", "most", "at"])


def best_products(frame: pd.DataFrame) -> pd.DataFrame:
    """By rule that gives every gradient the norm c: the product that is best at most rates.

    Columns ``model``, ``clipping``, ``product``, ``alike``, the number of rates at which validation
    chooses it, ``rates``, how many there are, and ``others``, a frame of what it chooses at the
    rest. A best threshold on the edge of those that were tried counts for none.
    """
    best = best_thresholds(threshold_products(frame, BOUNDING))
    found = []
    for (model, clipping), rows in best.groupby(["model", "clipping"], sort=False):
        inner = rows[~rows["edge"]]
        if len(inner):
            product = float(inner["product"].mode().iloc[0])
            alike = inner.index[inner["product"] == product]
            others = rows.drop(index=alike).sort_values("learning_rate")
            found.append((model, clipping, product, len(alike), len(rows), others))
    columns = ["model", "clipping", "product", "alike", "rates", "others"]
    return pd.DataFrame(found, columns=columns)
