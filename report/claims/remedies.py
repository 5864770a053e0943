"""Claims 5 and 6: whether batch normalization or dynamic sizes solve the batch-update problem."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import replace

import pandas as pd

from benchmark.records import CONFIGURATION
from benchmark.statistics.multiples import varying
from benchmark.statistics.policies import (
    CONSTANT,
    FIXED,
    UNCHANGING,
    lowered_rates,
    unchanged,
    with_accumulated,
)
from benchmark.statistics.selection import where
from report import prose
from report.claims.frames import (
    able,
    at_best,
    at_multiples,
    by_budget,
    by_setting,
    by_times,
    chosen,
    parts,
    sized,
    sizes,
    unable,
)
from report.claims.prevention import by_rule, gained
from report.claims.problem import budgets_in_words, few_diverge, solved, worst_against_best
from report.claims.records import POINTS, About, Case, Effect, Found, found, middle, nothing
from report.evidence import Evidence

OWN_CHOICES = ["learning_rate_scaling", "batch_size", "learning_rate", "schedule"]
"""What each batch policy chooses for itself, on validation."""
UPDATES = "at equal updates"
NO_POLICY = "no policy that changes the size was run beside a fixed size"


def normalized_sizes(source: Evidence) -> Found:
    """The worst batch size with batch normalization against the best, with it or without."""
    effects, plain = [], []
    rows = where(sized(at_best(source)), clipping="none", normalization=["none", "batch"])
    for about, trials in parts(rows, by_setting, by_budget):
        if (effect := worst_against_best(trials, "batch", about)) is not None:
            effects.append(effect)
            plain.append(worst_against_best(where(trials, normalization="none"), "none", about))
    if not effects:
        return nothing("batch normalization was not run at two batch sizes")
    without_it = prose.listing(
        (f"{prose.points(effect.estimate)} ({effect.label})" for effect in plain if effect), ";"
    )
    notes = [f"Without normalization the same difference is {without_it}." if without_it else ""]
    return found(effects, [*notes, budgets_in_words(rows), _undefined(source)])


def _undefined(source: Evidence) -> str:
    """Batch sizes that are too small for batch normalization to be run."""
    trials = source.results.trials
    normalized = where(trials, normalization="batch")
    skipped = normalized["status"] == "skipped"
    smallest = normalized.loc[~skipped, "batch_size"].min()
    lost = [size for size in sizes(normalized[skipped]) if size < smallest]
    return (
        f"Batch normalization is not defined for batches of {prose.listing(map(str, lost))}."
        if lost
        else ""
    )


def normalized_divergence(source: Evidence) -> Found:
    """Trials with batch normalization that do not diverge."""
    effects = []
    frame = where(at_multiples(source), clipping="none")
    for about, rows in parts(frame, by_setting, by_times):
        treated, control = (where(rows, normalization=n) for n in ("batch", "none"))
        if len(treated):
            effects.append(few_diverge(treated, control, about))
    return solved(effects, "batch normalization was not run")


def _policies(frame: pd.DataFrame) -> Iterator[tuple[About, str, pd.DataFrame]]:
    """Policy, budget and setting in words, the policy, and its rows beside the fixed sizes'.

    The policies at a constant rate; the fixed sizes at any that ``frame`` has.
    """
    frame = where(frame, clipping="none")
    frame = frame[frame["batch_policy"].eq(FIXED) | frame["schedule"].eq(CONSTANT)]
    for about, group in parts(frame, by_setting, by_budget):
        for policy in group["batch_policy"].drop_duplicates():
            both = where(group, batch_policy=[policy, FIXED])
            if policy not in UNCHANGING and both["batch_policy"].nunique() > 1:
                yield (prose.phrase("batch_policy", policy), *about), policy, both


def policies_that_lower(source: Evidence) -> Found:
    """`_as_accurate` of the policies that lower the learning rate, too."""
    return _as_accurate(source, lowers=True)


def policies_of_size_alone(source: Evidence) -> Found:
    """`_as_accurate` of those that change nothing but the size."""
    return _as_accurate(source, lowers=False)


def _as_accurate(source: Evidence, *, lowers: bool) -> Found:
    """Each dynamic policy against the best fixed size, both as validation chooses.

    The fixed size may let its rate decay where that was run: it is what a growing batch is to
    replace. Both choose among all rates that they were run at on all seeds: at its own best rate
    alone each would rest on the few trials that looked for it. Accumulated micro-batches count as
    the fixed size, which is the same training.
    """
    own, still, warm = _those(source, lowers)
    kept = f"Left out, because it kept its first size in most trials: {'; '.join(still)}."
    of = gained(own, NO_POLICY, *_baselines(own), ignore=OWN_CHOICES)
    at_constant = by_rule(at_constant_rate(source, lowers=lowers), UPDATES)
    beside = middle([e for e in at_constant.effects if e.judges and UPDATES not in e.about])
    of = replace(of, notes=(*of.notes, _beside(beside), warm, kept if still and not lowers else ""))
    return by_rule(replace(of, notes=tuple(filter(None, of.notes))), UPDATES)


def at_constant_rate(source: Evidence, *, lowers: bool) -> Found:
    """The same against the best fixed size whose rate is constant: shown beside."""
    return gained(_those(source, lowers, CONSTANT)[0], NO_POLICY, ignore=OWN_CHOICES)


def _those(source: Evidence, lowers: bool, *schedules: str) -> tuple[list[Case], list[str], str]:
    """`_chosen_policies`, of the cases those alone that lower the rate, or that do not."""
    cases, still, warm = _chosen_policies(source, *schedules)
    named = lowering(source)
    return [case for case in cases if (case.about[0] in named) is lowers], still, warm


def _beside(effect: Effect | None) -> str:
    """What the median policy comes to against a fixed size at a constant rate."""
    if effect is None:
        return ""
    words = f"{POINTS.words(effect.estimate)} ({POINTS.spread(effect.low, effect.high)})"
    return f"Against the best fixed size at a constant rate the median policy's is {words}."


def _baselines(cases: list[Case]) -> list[str]:
    """The fixed sizes that validation chooses, with their schedules: a sentence for each choice."""
    budgets: dict[tuple[int, str], dict[str, None]] = {}
    for case in cases:
        size, schedule = where(case.rows, batch_policy=FIXED)[["batch_size", "schedule"]].iloc[0]
        budgets.setdefault((size, schedule), {})[case.about[1]] = None
    return [
        f"The best fixed size is that of {size}, {prose.listing(named)}, with "
        f"{prose.setting('schedule', schedule)}."
        for (size, schedule), named in budgets.items()
    ]


@functools.lru_cache(8)
def _chosen_policies(source: Evidence, *schedules: str) -> tuple[list[Case], list[str], str]:
    """Each policy beside the fixed size as validation chooses, those left out, and a note.

    The fixed sizes with all schedules, or with these alone.
    """
    frame, warm = able(_at_every_rate(source), "batch_policy")
    frame = where(frame, schedule=list(schedules)) if schedules else frame
    own = {"batch_policy", "batch_policy_parameter", *OWN_CHOICES}
    cases, still = [], []
    for about, policy, rows in _policies(frame):
        apart = ["batch_policy", *(c for c in varying(rows) if c not in own)]
        best = chosen(rows, apart, OWN_CHOICES)
        if policy in unchanged(best):
            still.append(prose.listing(about, ";"))
        else:
            cases.append(Case(about, best, "batch_policy", policy, FIXED))
    return cases, still, warm


@functools.lru_cache(8)
def lowering(source: Evidence) -> list[str]:
    """The policies that change the size, in words, that lower the learning rate, too."""
    history = source.results.history
    named = (
        case.about[0]
        for case in _chosen_policies(source)[0]
        if len(lowered_rates(case.rows, history))
    )
    return list(dict.fromkeys(named))


def _at_every_rate(source: Evidence) -> pd.DataFrame:
    """Trials of policies and of fixed sizes at every rate that has all seeds, once each."""
    setting = [c for c in CONFIGURATION if c != "arm"]
    rows = with_accumulated(source.outcomes).drop_duplicates(setting)
    seeds = rows.groupby([c for c in setting if c != "seed"], dropna=False)["seed"]
    changing = rows.loc[~rows["batch_policy"].isin(UNCHANGING), "seed"].nunique()
    return rows[seeds.transform("nunique") >= changing]


def policies_divergence(source: Evidence) -> Found:
    """Trials of each dynamic policy that do not diverge.

    Those that ended before the policy could change anything count: it did not solve their problem.
    """
    effects = []
    frame = at_multiples(source)
    lost = frame.drop(able(frame, "batch_policy")[0].index)
    for (words, *about), policy, group in _policies(where(frame, schedule=CONSTANT)):
        for times, rows in by_times(group):
            treated, control = (where(rows, batch_policy=p) for p in (policy, FIXED))
            if len(treated):
                effects.append(few_diverge(treated, control, (words, times, *about)))
    early = f"Counted as what they are: {unable(lost, 'batch_policy')}." if len(lost) else ""
    return by_rule(solved(effects, NO_POLICY, early))
