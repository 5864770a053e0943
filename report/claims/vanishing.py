"""Claim 8: what vanishing gradients do to the speed and the accuracy of training."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd

from benchmark.statistics import paired, where
from benchmark.status import capped_loss
from report import prose
from report.claims.effects import ratio
from report.claims.frames import PLAIN, at_best, by_setting, compared
from report.claims.prevention import gained
from report.claims.records import Case, Found, found, nothing
from report.evidence import Evidence

VANISHED = 0.1
"""Factor by which theory lets the error signal shrink from the last hidden layer to the first,
from which on gradients count as vanishing."""
EARLY = 0.25
"""Share of the budget after which the loss is compared."""


def _vanishing(source: Evidence) -> list[Case]:
    """Each case of vanishing gradients beside gain 1, both at their best rates.

    A case is a depth, a budget and a gain. Beside the gain's rows stand those of gain 1, where the
    networks of that gain learn.
    """
    out = []
    for setting, rows in by_setting(where(at_best(source), **PLAIN)):
        rows = compared(rows)
        for _, best in rows.groupby(["depth", "epochs", "updates"], dropna=False):
            depth = best["depth"].iloc[0]
            reference = where(best, init_gain=1)
            if reference.empty or reference["learned"].mean() < 0.5:
                continue
            for gain in sorted(best["init_gain"].unique()):
                # theory: a ReLU layer multiplies the error signal by the gain
                if gain < 1 and gain ** (depth - 1) <= VANISHED:
                    words = f"{prose.count(int(depth), 'layer')} at gain {gain:g}"
                    out.append(Case((words, setting), best, "init_gain", float(gain), 1.0))
    return out


NONE_VANISH = (
    "no network has an initialization gain at which its gradients vanish, and trains at gain 1"
)


def sooner(source: Evidence) -> Found:
    """Times as few examples to the target accuracy as at gain 1, both at their best rates."""
    cases = _vanishing(source)
    if not cases:
        return nothing(NONE_VANISH)
    effects, never = [], []
    for case in cases:
        # one that broke off saw fewer
        budget = float(case.rows["samples"].max())
        reached = case.rows["samples_to_target"].astype(float)
        rows = case.rows.assign(reached=reached, needed=reached.fillna(budget))
        sides = case.factor, case.level, case.baseline
        pairs, either = (paired(rows, *sides, v, ["learning_rate"]) for v in ("needed", "reached"))
        pairs = pairs[either[["treated", "control"]].notna().any(axis=1).to_numpy()]
        if pairs.empty:
            never.append(", ".join(case.about))
        else:
            effects.append(ratio(pairs, case.about))
    if not effects:
        return nothing("no network reached its target accuracy, at gain 1 or below")
    note = f"Neither side reached the target for {prose.listing(never, ';')}." if never else ""
    return found(effects, [note])


def early_loss(source: Evidence) -> Found:
    """Nats by which the validation loss has fallen further than at gain 1, early on."""
    cases = _vanishing(source)
    if not cases:
        return nothing(NONE_VANISH)
    drops = _early_drop(source)
    cases = [
        replace(case, rows=case.rows.assign(drop=case.rows["trial"].map(drops).fillna(0.0)))
        for case in cases
    ]
    return gained(cases, "no seeds are shared by the two gains", value="drop")


def _early_drop(source: Evidence) -> pd.Series:
    """By trial, how far the capped validation loss has fallen at a quarter of the budget."""
    history = source.results.history.sort_values("step")
    start = history[history["step"] == 0].set_index("trial")["validation_loss"].astype(float)
    # of the whole budget, which a trial that broke off did not see
    trials = source.outcomes
    budgets = trials.groupby(["epochs", "updates", "batch_size"], dropna=False)["samples"]
    budget = pd.Series(budgets.transform("max").to_numpy(dtype=float), index=trials["trial"])
    # one batch may be missing to a checkpoint's share of the budget
    due = history["samples"] + history["batch_size"] > EARLY * history["trial"].map(budget)
    later = history[due & (history["step"] > 0)].drop_duplicates("trial").set_index("trial")
    losses = later["validation_loss"].astype(float)
    return pd.Series(
        {t: start[t] - capped_loss(losses[t], start[t]) for t in losses.index if t in start},
        dtype=float,
    )


def cost(source: Evidence) -> Found:
    """Points of test accuracy that vanishing gradients cost against gain 1."""
    return gained(_vanishing(source), NONE_VANISH, sign=-1)
