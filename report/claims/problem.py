"""The batch-update problem, and what would solve it.

It counts as solved where the size of an update no longer matters: the least suitable size is as
accurate as the best, within one point, and few trials diverge.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pandas as pd

from benchmark.statistics.budgets import planned_updates
from benchmark.statistics.seeds import DECIMALS
from report import prose
from report.claims.effects import difference, share_of_trials
from report.claims.frames import only_winner
from report.claims.records import About, Effect, Found, found, nothing

SOLVED = 0.3
"""Share of trials up to which divergence counts as solved: where none of ten diverges, up to 28 %
of others still may."""
USABLE = 3.0
"""Times its best rate up to which a rate is one that one might use: ten times it diverges by
construction, however good the remedy, unless that has no best rate to speak of."""


def worst_against_best(rows: pd.DataFrame, normalization: str, about: About) -> Effect | None:
    """Test accuracy at the worst batch size with a normalization, minus that of the best arm.

    An arm is a normalization and a batch size, at its own best rate. For each seed, validation on
    all other seeds says which is worst and which best, so that nothing is chosen by what is
    reported; what most of these choices agree on holds for all seeds, so that it does not jump
    between arms that tie. They are named only where nothing ties with them. None where there are
    not two sizes, or not two seeds.
    """
    arms = ["normalization", "batch_size"]
    scores = rows.pivot_table(index="seed", columns=arms, values="validation").dropna()
    if normalization not in scores or scores[normalization].shape[1] < 2 or len(scores) < 2:
        return None
    accuracy = rows.pivot_table(index="seed", columns=arms, values="accuracy")
    choices = []
    for seed in scores.index:
        others = scores.drop(index=seed).mean().round(DECIMALS)
        choices.append(((normalization, others[normalization].idxmin()), others.idxmax()))
    worst, top = Counter(choices).most_common(1)[0][0]
    gaps = accuracy.loc[scores.index, worst] - accuracy.loc[scores.index, top]
    pairs = pd.DataFrame({"difference": gaps.to_numpy(), "seed": scores.index})
    return difference(pairs, (_worst_and_best(rows, scores, normalization), *about))


def budgets_in_words(rows: pd.DataFrame) -> str:
    """What the budgets mean: updates at equal examples, and examples at equal updates."""
    passes = rows[rows["epochs"].notna()]
    makes = planned_updates(passes).groupby(passes["batch_size"]).max().astype(int)
    seen = rows[rows["updates"].notna()].groupby("batch_size")["samples"].max()
    said = ""
    if len(makes) > 1:
        said = (
            f"At equal examples batches of {makes.index[0]} make {makes.iloc[0]:,} updates, those "
            f"of {makes.index[-1]} {makes.iloc[-1]:,}."
        )
    if len(seen) < 2:
        return said
    return said + (
        f" At equal updates the largest size sees {seen.iloc[-1] / seen.iloc[0]:g} times the "
        "examples of the smallest."
    )


def _worst_and_best(rows: pd.DataFrame, scores: pd.DataFrame, normalization: str) -> str:
    """Which size is worst and which best, by name where no other ties with it."""
    means = scores.mean()
    worst, best = means[normalization].idxmin(), means.idxmax()
    assert isinstance(best, tuple)
    kind, top = best
    own = rows[rows["normalization"] == normalization].assign(_worse=-rows["validation"])
    ignore = ["learning_rate"]
    # all arms, of which each is a level of its own
    named = rows.assign(_arm=rows["normalization"] + " " + rows["batch_size"].astype(str))
    first = (
        f"batches of {worst}"
        if only_winner(own, "batch_size", "_worse", ignore)
        else "the worst size"
    )
    if not only_winner(named, "_arm", "validation", [*ignore, "normalization", "batch_size"]):
        return f"{first} against the best"
    other = f" with {prose.phrase('normalization', kind)}" if kind != normalization else ""
    return f"{first} against batches of {top}{other}"


def few_diverge(treated: pd.DataFrame, control: pd.DataFrame, about: About) -> Effect | None:
    """Share of treated trials that did not diverge, all at one multiple of the best rate.

    None where there was nothing to solve: neither these nor the control's trials diverge in more
    than the share that counts as solved. Beyond `USABLE` times the best rate it does not judge.
    """
    if treated.empty or max(treated["diverged"].mean(), _share(control)) <= SOLVED:
        return None
    fine = treated.assign(fine=1 - treated["diverged"])
    judges = bool(treated["times"].max() <= USABLE)
    return replace(share_of_trials(fine, about, "fine"), judges=judges)


def _share(frame: pd.DataFrame) -> float:
    return float(frame["diverged"].mean()) if len(frame) else 0.0


def solved(effects: list[Effect | None], absent: str, *notes: str) -> Found:
    """What `few_diverge` found; ``absent`` says why nothing was compared, where that is so."""
    known = [effect for effect in effects if effect is not None]
    if not effects:
        return nothing(absent)
    if not known:
        return nothing(
            f"with or without it no more than {prose.percent(SOLVED, 0)} of the trials diverge, so "
            "there is nothing to solve"
        )
    calm = len(effects) - len(known)
    note = (
        f"In {prose.count(calm, 'more comparison')} there is nothing to solve: no more than "
        f"{prose.percent(SOLVED, 0)} diverge on either side."
    )
    return found(known, [note if calm else "", *notes])
