"""Claim 13: whether optimizers, epochs and guards make training safer."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from benchmark.statistics import paired
from report import prose
from report.claims.effects import difference, prevented
from report.claims.frames import at_best, by_setting, unclipped, varying
from report.claims.records import Found, found, nothing
from report.evidence import Evidence

MARGIN = 10.0
"""How many times too large a rate may be for a safe optimizer."""


def _too_large(rows: pd.DataFrame) -> pd.DataFrame:
    """The exploded share of each arm and seed at rates above its best one, up to ten times it."""
    best = at_best(rows)
    keys = [c for c in varying(rows) if c != "learning_rate"]
    own = best.groupby(keys, sort=False)["learning_rate"].first().rename("best_rate").reset_index()
    above = rows.merge(own, on=keys)
    above = above[
        (above["learning_rate"] > above["best_rate"])
        & (above["learning_rate"] <= above["best_rate"] * MARGIN * 1.0001)
    ]
    mean = above.groupby([*keys, "seed"], sort=False)["exploded"].transform("mean")
    return above.assign(exploded=mean).drop_duplicates([*keys, "seed"])


def reliable_optimizers(source: Evidence) -> Found:
    """Points by which fewer trials explode than with SGD at up to ten times the best rate."""
    effects, out = [], []
    for setting, rows in by_setting(unclipped(source.outcomes)):
        if rows["optimizer"].nunique() < 2:
            continue
        over = _too_large(rows)
        for level in rows["optimizer"].drop_duplicates():
            if level == "sgd":
                continue
            label = f"{prose.phrase('optimizer', level)}, {setting}"
            pairs = paired(over, "optimizer", level, "sgd", "exploded", ["learning_rate"])
            if len(pairs):
                effects.append(difference(pairs, label, -1))
            else:
                out.append(label)
    if not effects:
        return nothing("no optimizer but SGD was run above its best rate")
    note = (
        f"Not compared, as the best rate of one side is the largest: {prose.listing(out, ';')}."
        if out
        else ""
    )
    return found(effects, [note])


def more_epochs(source: Evidence) -> Found:
    """Explosions of the shortest budget that the longest prevents, at equal rates."""
    effects = []
    for setting, rows in by_setting(unclipped(source.outcomes)):
        short, long = rows["epochs"].min(), rows["epochs"].max()
        pairs = paired(rows, "epochs", long, short, "exploded")
        if short < long and len(pairs) and pairs[["treated", "control"]].to_numpy().any():
            effects.append(prevented(pairs, f"{long:g} against {short:g} epochs, {setting}"))
    reason = "the number of epochs does not vary, or nothing exploded"
    return found(effects) if effects else nothing(reason)


def _guarded(source: Evidence) -> Iterator[tuple[str, pd.DataFrame, str]]:
    for setting, rows in by_setting(source.outcomes):
        for level in rows["clipping"].drop_duplicates():
            if level != "none" and "none" in set(rows["clipping"]):
                yield f"{prose.phrase('clipping', level)}, {setting}", rows, level


def guards_prevent(source: Evidence) -> Found:
    """Explosions without clipping that each guard prevents at the same rate."""
    effects = []
    for label, rows, level in _guarded(source):
        pairs = paired(rows, "clipping", level, "none", "exploded")
        if pairs[["treated", "control"]].to_numpy().any():
            effects.append(prevented(pairs, label))
    reason = "clipping does not vary, or nothing exploded"
    return found(effects) if effects else nothing(reason)


def guards_train(source: Evidence) -> Found:
    """Points by which more trials learn with each guard than without."""
    effects = []
    for label, rows, level in _guarded(source):
        pairs = paired(rows, "clipping", level, "none", "learned")
        if len(pairs):
            effects.append(difference(pairs, label))
    return found(effects) if effects else nothing("clipping does not vary")
