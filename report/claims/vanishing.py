"""Claim 8: what vanishing gradients do to the speed and the accuracy of training."""

from __future__ import annotations

import pandas as pd

from benchmark.statistics import paired
from benchmark.status import capped_loss
from report import prose
from report.claims.effects import difference, ratio
from report.claims.frames import at_best, bare, by_setting, compared
from report.claims.records import Found, found, nothing
from report.evidence import Evidence

VANISHED = 0.1
"""Factor by which theory lets the error signal shrink from the last hidden layer to the first,
from which on gradients count as vanishing."""
EARLY = 0.25
"""Share of the budget after which the loss is compared."""


def _vanishing(source: Evidence) -> list[tuple[tuple[str, str], float, pd.DataFrame]]:
    """What it is about, gain and rows, at the best rates, of each case of vanishing gradients.

    A case is a depth, a budget and a gain. Beside the gain's rows stand those of gain 1, where the
    networks of that gain learn.
    """
    out = []
    for setting, rows in by_setting(bare(at_best(source))):
        rows = compared(rows)
        for (depth, _, _), best in rows.groupby(["depth", "epochs", "updates"], dropna=False):
            reference = best[best["init_gain"] == 1]
            if reference.empty or reference["learned"].mean() < 0.5:
                continue
            for gain in sorted(best["init_gain"].unique()):
                # theory: a ReLU layer multiplies the error signal by the gain
                if gain < 1 and gain ** (depth - 1) <= VANISHED:
                    words = f"{prose.count(int(depth), 'layer')} at gain {gain:g}"
                    out.append(((words, setting), float(gain), best))
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
    for about, gain, best in cases:
        # one that broke off saw fewer
        budget = float(best["samples"].max())
        reached = best["samples_to_target"].astype(float)
        rows = best.assign(reached=reached, needed=reached.fillna(budget))
        pairs = paired(rows, "init_gain", gain, 1.0, "needed", ["learning_rate"])
        either = paired(rows, "init_gain", gain, 1.0, "reached", ["learning_rate"])
        pairs = pairs[either[["treated", "control"]].notna().any(axis=1).to_numpy()]
        if pairs.empty:
            never.append(", ".join(about))
        else:
            effects.append(ratio(pairs, about))
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
    effects = []
    for about, gain, best in cases:
        rows = best.assign(drop=best["trial"].map(drops).fillna(0.0))
        pairs = paired(rows, "init_gain", gain, 1.0, "drop", ["learning_rate"])
        if len(pairs):
            effects.append(difference(pairs, about))
    return found(effects) if effects else nothing("no seeds are shared by the two gains")


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
    effects = []
    for about, gain, best in _vanishing(source):
        pairs = paired(best, "init_gain", gain, 1.0, "accuracy", ["learning_rate"])
        if len(pairs):
            effects.append(difference(pairs, about, -1))
    return found(effects) if effects else nothing(NONE_VANISH)
