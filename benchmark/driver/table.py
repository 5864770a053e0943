"""What a run prints at its end."""

from __future__ import annotations

import shlex
from pathlib import Path

import pandas as pd

from benchmark.calling import program
from benchmark.project import WORTH
from benchmark.results import is_study
from benchmark.status import STATUSES, WARM_UPS, could_act

BEST = 5


def next_lines(results: Path, study: str, scale: str) -> list[str]:
    """How the folder becomes a book and, of a study of the suite, what is most worth running next.

    >>> print(*next_lines(Path("results/quick"), "mine", "quick"))  # doctest: +ELLIPSIS
    the book of this folder: ...benchmark report results/quick
    """
    folder = shlex.quote(str(results))
    lines = [f"the book of this folder: {program()} report {folder}"]
    left = [name for name in WORTH if not is_study(results / name)]
    if study in WORTH and left:
        at = f"--scale {scale}"
        where = "" if results == Path("results") / scale else f" --results {folder}"
        lines.append(f"next, the most worth knowing: {program()} run {left[0]} {at}{where}")
    return lines


def closing_table(trials: pd.DataFrame) -> str:
    """How many trials ended how, and the best cells by mean validation accuracy over seeds."""
    counts = trials["status"].value_counts().reindex(list(STATUSES)).dropna().astype(int)
    lines = [f"{len(trials)} trials: " + ", ".join(f"{n} {s}" for s, n in counts.items())]
    lines += filter(None, (unable_line(trials, factor) for factor in WARM_UPS))
    done = trials.dropna(subset=["validation_accuracy"])
    # what could not act is not ranked
    for factor in WARM_UPS:
        done = done[could_act(done, factor)]
    if done.empty:
        return "\n".join(lines)
    # only here, because it takes as long to import as all else together
    from benchmark.statistics.selection import varying_alone

    factors = [*varying_alone(done), *(["arm"] if done["arm"].nunique() > 1 else [])]
    groups = done.groupby("cell", sort=False)
    best = groups[factors].first()
    best["seeds"] = groups.size()
    best["validation accuracy"] = groups["validation_accuracy"].mean().round(4)
    # a cell that exploded on one of its seeds is not represented by the others
    whole = trials.groupby("cell")["validation_accuracy"].apply(lambda a: a.notna().all())
    best = best[whole.reindex(best.index)]
    best = best.sort_values("validation accuracy", ascending=False, kind="stable").head(BEST)
    if best.empty:
        return "\n".join(lines)
    lines += [
        "best cells:",
        best.to_string(index=False, float_format=lambda x: f"{x:.4g}", na_rep="-"),
    ]
    return "\n".join(lines)


def unable_line(trials: pd.DataFrame, factor: str) -> str | None:
    """How many trials ended within the warm-up of their clipping or batch policy, and of which."""
    early = trials.loc[~could_act(trials, factor), factor]
    if early.empty:
        return None
    kind, names = factor.replace("_", " "), ", ".join(sorted(early.unique()))
    ended = "1 trial" if len(early) == 1 else f"{len(early)} trials"
    return f"{ended} ended before the {kind} could act: {names}"


def failed_line(trials: pd.DataFrame) -> str | None:
    """How many trials failed, the most frequent reason, and what to do; None if none did.

    >>> failed_line(pd.DataFrame({"status": ["failed"], "status_reason": ["KeyError: 'mean'"]}))
    "1 trial failed: KeyError: 'mean'. The same command retries it."
    """
    reasons = trials.loc[trials["status"] == "failed", "status_reason"].fillna("no reason given")
    if reasons.empty:
        return None
    counts = reasons.value_counts()
    most, often = counts.index[0], int(counts.iloc[0])
    count = len(reasons)
    failed = "1 trial failed" if count == 1 else f"{count} trials failed"
    share = "" if often == count else f", {often} of them with"
    return f"{failed}{share}: {most}. The same command retries {'it' if count == 1 else 'them'}."
