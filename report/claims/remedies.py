"""Claims 5 and 6: whether batch normalization or dynamic sizes solve the batch-update problem."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from benchmark.statistics import paired
from report import prose
from report.claims.effects import difference
from report.claims.frames import (
    NOT_DYNAMIC,
    at_best,
    at_rates_of,
    by_setting,
    sized,
    sizes,
    unclipped,
    varying,
)
from report.claims.problem import few_explosions, solved, worst_against_best
from report.claims.records import Found, found, nothing
from report.evidence import Evidence

OWN_CHOICES = ["learning_rate", "learning_rate_scaling", "batch_size"]
"""What each batch policy may choose for itself, on validation."""


def normalized_sizes(source: Evidence) -> Found:
    """The worst batch size with batch normalization against the best, with it or without."""
    effects, plain = [], []
    rows = unclipped(sized(source.outcomes))
    rows = rows[rows["normalization"].isin(["none", "batch"])]
    for setting, group in by_setting(rows):
        if (effect := worst_against_best(group, "batch", setting)) is not None:
            effects.append(effect)
            without = group[group["normalization"] == "none"]
            plain.append(worst_against_best(without, "none", setting))
    if not effects:
        return nothing("batch normalization was not run at two batch sizes")
    without_it = prose.listing(
        f"{prose.points(effect.estimate)} ({effect.label})" for effect in plain if effect
    )
    notes = [f"Without normalization the same difference is {without_it}." if without_it else ""]
    return found(effects, [*notes, _undefined(source)])


def _undefined(source: Evidence) -> str:
    """Batch sizes that are too small for batch normalization to be run."""
    trials = source.results.trials
    normalized = trials[trials["normalization"] == "batch"]
    skipped = normalized["status"] == "skipped"
    smallest = normalized.loc[~skipped, "batch_size"].min()
    lost = [size for size in sizes(normalized[skipped]) if size < smallest]
    return (
        f"Batch normalization is not defined for batches of {prose.listing(map(str, lost))}."
        if lost
        else ""
    )


def normalized_explosions(source: Evidence) -> Found:
    """Trials with batch normalization that do not explode, over all sizes and rates."""
    effects = []
    for setting, rows in by_setting(unclipped(source.outcomes)):
        treated, control = (rows[rows["normalization"] == n] for n in ("batch", "none"))
        if len(treated):
            effects.append(few_explosions(treated, control, setting))
    return solved(effects, "batch normalization was not run")


def _policies(source: Evidence) -> Iterator[tuple[str, str, pd.DataFrame, pd.DataFrame]]:
    """Label, policy, its rows, and those of the fixed sizes at the same rates."""
    for setting, rows in by_setting(unclipped(source.outcomes)):
        fixed = rows[rows["batch_policy"] == "fixed"]
        for policy in rows["batch_policy"].drop_duplicates():
            if policy in NOT_DYNAMIC:
                continue
            treated = rows[rows["batch_policy"] == policy]
            control = at_rates_of(fixed, treated)
            if len(control):
                label = f"{prose.phrase('batch_policy', policy)}, {setting}"
                yield label, policy, at_rates_of(treated, control), control


def policies_as_accurate(source: Evidence) -> Found:
    """Each dynamic policy against the best fixed size, both as validation chooses."""
    effects = []
    for label, policy, treated, control in _policies(source):
        rows = pd.concat([treated, control])
        others = [
            c
            for c in varying(rows)
            if c not in (*OWN_CHOICES, "batch_policy", "batch_policy_parameter")
        ]
        best = at_best(rows, OWN_CHOICES, ["batch_policy", *others])
        pairs = paired(best, "batch_policy", policy, "fixed", "accuracy", OWN_CHOICES)
        if len(pairs):
            effects.append(difference(pairs, label))
    return found(effects) if effects else nothing("no policy that changes the size was run")


def policies_explosions(source: Evidence) -> Found:
    """Trials of each dynamic policy that do not explode, over all its rates."""
    effects = [
        few_explosions(treated, control, label) for label, _, treated, control in _policies(source)
    ]
    return solved(effects, "no policy that changes the size was run")
