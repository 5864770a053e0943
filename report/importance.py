"""Which factor of the grid matters most, which act together, and what tuning each is worth."""

from __future__ import annotations

import functools
import math

import numpy as np
import pandas as pd

from benchmark.figures import words
from benchmark.figures.numbers import bounds
from benchmark.statistics import (
    best_per_arm,
    chosen_rates,
    complete_grid,
    main_effects,
    over_seeds,
    paired_comparison,
    ped_anova,
    performance_profile,
    tuning_gain,
    tuning_path,
    variance_shares,
)
from benchmark.statistics.selection import where
from benchmark.statistics.variance import MORE, SEED
from report import batch_updates, comparison, optimizers, rates
from report.evidence import Evidence
from report.search_against_grid import searched

RATE = "learning_rate"
BASELINES = {RATE: None, **comparison.BASELINES}
"""Where each factor stays until it is tuned; no rate is a default, so it is drawn."""
ALL, OWN = "all rates", "each at its own best rate"
CUTS = {1.5: "a decade and a half", 1.0: "a decade"}
"""Decades from the best rate, within which rates are kept, and their words: five rates at least."""
SLACK = 0.05
"""Decades by which the digits of a rate may be off."""
NEAR = 0.05
"""Accuracy (0..1) within which a configuration counts as near the best."""
FALLING = ("step", "cosine", "warmup_cosine", "one_cycle", "plateau")
"""The schedules under which the rate ends below its largest."""
AVERAGING = "schedule_free_sgd"
"""The optimizer that is evaluated at the average of its steps, at a constant rate."""
NAMES = {MORE: "three or more together", SEED: "between seeds"}
ENDS = ["estimate", "low", "high"]


def _varied(rows: pd.DataFrame) -> list[str]:
    """The factors that vary, the learning rate first."""
    return [factor for factor in BASELINES if rows[factor].nunique(dropna=False) > 1]


@functools.lru_cache(8)
def grids(study: Evidence) -> dict[str, pd.DataFrame]:
    """The outcomes of each network whose grid is complete, and varies the rate and more."""
    parts = {str(model): rows for model, rows in study.outcomes.groupby("model", sort=False)}
    return {
        model: rows
        for model, rows in parts.items()
        if _varied(rows)[:1] == [RATE] != _varied(rows) and complete_grid(rows, _varied(rows))
    }


def _scopes(rows: pd.DataFrame) -> dict[str, tuple[pd.DataFrame, list[str]]]:
    """Trials and what varies: at all rates, at ever fewer about the best, at each one's own."""
    factors = _varied(rows)
    best = float(chosen_rates(rows, ["model"])["best_rate"].iloc[0])
    away, kept = np.log10(rows[RATE] / best).abs(), rows
    found = {ALL: (rows, factors)}
    for decades, said in CUTS.items():
        fewer = rows[away <= decades + SLACK]
        if 1 < fewer[RATE].nunique() < kept[RATE].nunique():
            kept = fewer
            found[f"within {said} of the best"] = kept, factors
    return found | {OWN: (best_per_arm(rows, factors[1:]), factors[1:])}


@functools.lru_cache(8)
def divided(study: Evidence) -> pd.DataFrame:
    """How the variance of the accuracy divides: `variance_shares` by ``model`` and ``scope``.

    A scope is the rates that are kept: all, fewer about the best one (of the highest mean
    validation accuracy), or each configuration's own best. ``spread`` is the standard deviation of
    its trials, and ``part`` says factor and other in words.
    """
    found = []
    for model, grid in grids(study).items():
        for scope, (rows, factors) in _scopes(grid).items():
            shares = variance_shares(rows, factors, "accuracy")
            pairs = zip(shares["factor"], shares["other"], strict=True)
            parts = [_part(factor, other) for factor, other in pairs]
            spread = rows["accuracy"].std(ddof=0)
            found.append(shares.assign(model=model, scope=scope, spread=spread, part=parts))
    columns = ["model", "scope", "spread", "part", "factor", "other", *ENDS]
    return pd.concat(found, ignore_index=True)[columns] if found else pd.DataFrame(columns=columns)


@functools.lru_cache(8)
def by_centre(study: Evidence) -> pd.DataFrame:
    """The share that the rate has by itself within a decade, and where the decade's centre lies.

    By ``model`` and ``centre``, the best rate and its neighbours within half a decade, the
    ``estimate``, ``low`` and ``high``; ``best`` marks the best rate itself. ``top`` is the largest
    term there in words, of one factor or of several together, ``top_share`` its part, and
    ``leads`` says whether it is the rate by itself.
    """
    found, width = [], min(CUTS)
    for model, grid in grids(study).items():
        best = float(chosen_rates(grid, ["model"])["best_rate"].iloc[0])
        for centre in sorted(grid[RATE].unique()):
            rows = grid[np.log10(grid[RATE] / centre).abs() <= width + SLACK]
            if abs(math.log10(centre / best)) <= 0.5 + SLACK and rows[RATE].nunique() > 1:
                shares = variance_shares(rows, _varied(grid), "accuracy")
                (own,) = where(singly(shares), factor=RATE)[ENDS].to_dict("records")
                terms = shares[~shares["factor"].isin(NAMES)]
                top = terms.sort_values("estimate").to_dict("records")[-1]
                at = {"model": model, "centre": centre, "best": centre == best}
                said = {
                    "top": _part(top["factor"], top["other"]),
                    "top_share": top["estimate"],
                    "leads": bool(top["factor"] == RATE and not top["other"]),
                }
                found.append(at | dict(own) | said)
    columns = ["model", "centre", "best", *ENDS, "top", "top_share", "leads"]
    return pd.DataFrame(found, columns=columns)


def _part(factor: str, other: str) -> str:
    """A factor, or two together, in words."""
    return NAMES.get(factor) or " × ".join(map(words, filter(None, (factor, other))))


def narrowest(study: Evidence) -> str:
    """The scope of the fewest rates about the best one; `ALL` where none could be left out."""
    scopes = divided(study)["scope"].unique().tolist()
    return str([scope for scope in scopes if scope != OWN][-1])


def drawn(study: Evidence) -> pd.DataFrame:
    """The rows of `divided` that the figure shows: those over many rates, the widest and narrowest.

    With each configuration at its own best rate intervals reach from 0 to 100%: the text says so.
    """
    return where(divided(study), scope=[ALL, narrowest(study)])


def singly(rows: pd.DataFrame) -> pd.DataFrame:
    """Of rows of `divided` those of one factor by itself."""
    return rows[rows["other"].eq("") & ~rows["factor"].isin(NAMES)]


def together(rows: pd.DataFrame) -> pd.DataFrame:
    """Of rows of `divided` those of two factors together."""
    return rows[rows["other"].ne("")]


def leading(rows: pd.DataFrame) -> pd.DataFrame:
    """Of some rows of `divided` the largest share of each network.

    ``apart`` says whether its interval lies above those of all the others, or above a share that
    no seed changes.
    """
    found = []
    for _, part in rows.groupby("model", sort=False):
        first, *others = part.sort_values("estimate", ascending=False).to_dict("records")
        above = [first["low"] > np.nanmax([other["estimate"], other["high"]]) for other in others]
        found.append({**first, "apart": all(above)})
    return pd.DataFrame(found, columns=[*rows.columns, "apart"])


def levels_apart(study: Evidence, factor: str) -> pd.DataFrame:
    """How far apart the means of two levels of ``factor`` are, in test accuracy, by ``model``.

    ``at_best`` at the best rate of all, ``most`` at the ``rate`` where that is largest.
    """
    found = []
    for model, rows in grids(study).items():
        best = float(chosen_rates(rows, ["model"])["best_rate"].iloc[0])
        means = rows.groupby([RATE, factor])["accuracy"].mean().unstack()
        gaps = means.max(axis=1) - means.min(axis=1)
        found.append((model, gaps[best], gaps.idxmax(), gaps.max()))
    return pd.DataFrame(found, columns=["model", "at_best", "rate", "most"])


def _paths(study: Evidence) -> dict[str, pd.DataFrame]:
    """The grids on which a level can be chosen on other seeds than its own."""
    return {model: rows for model, rows in grids(study).items() if rows["seed"].nunique() > 1}


def _baselines(rows: pd.DataFrame) -> dict[str, object]:
    return {factor: BASELINES[factor] for factor in _varied(rows)}


@functools.lru_cache(8)
def tuning(study: Evidence) -> pd.DataFrame:
    """`tuning_path` of each ``model``: what tuning each factor adds, in the greedy order.

    ``step`` counts from 0, where nothing is tuned, and ``label`` is the factor in words.
    """
    found = [
        tuning_path(rows, _baselines(rows)).assign(model=model).rename_axis("step").reset_index()
        for model, rows in _paths(study).items()
    ]
    steps = pd.concat(found, ignore_index=True) if found else pd.DataFrame()
    return steps.assign(label=steps["factor"].map(words).replace("", "nothing")) if found else steps


def sure_everywhere(study: Evidence) -> list[str]:
    """The factors whose tuning after the first step gains for sure on the path of each network."""
    steps = tuning(study)
    later = steps[steps["step"] > 1]
    gains = later.assign(sure=later["low"] > 0).groupby("factor", sort=False)["sure"].all()
    return [str(factor) for factor in gains.index[gains]]


def beyond_rate(study: Evidence) -> pd.DataFrame:
    """By ``model`` what tuning all other factors adds to a tuned rate: an effect in test accuracy.

    ``times`` is how many times as many configurations that takes.
    """
    found = []
    for model, rows in _paths(study).items():
        factors = _varied(rows)
        times = math.prod(rows[factor].nunique(dropna=False) for factor in factors[1:])
        found.append((model, times, *tuning_gain(rows, _baselines(rows), [RATE], factors)))
    return pd.DataFrame(found, columns=["model", "times", "effect", "low", "high"])


@functools.lru_cache(8)
def beyond_rate_singly(study: Evidence) -> pd.DataFrame:
    """What one more factor adds to a tuned rate, of a study that varies each by itself.

    By ``model`` and ``factor`` (of `rates.BASELINES`; of schedules `FALLING` alone): an effect in
    test accuracy, paired, of the level and the rate that validation chooses on the other seeds over
    the baseline at its own rate, chosen likewise. ``tried`` counts the levels beside the baseline,
    ``seeds`` and ``updates`` are those of the trials. Networks on one seed have no row.
    """
    found = []
    for factor, baseline in rates.BASELINES.items():
        rows = rates.compared(study, factor)
        if factor == "schedule":
            rows = where(rows, schedule=[baseline, *FALLING])
        for model, part in rows.groupby("model", sort=False):
            seeds, tried = part["seed"].nunique(), part[factor].nunique() - 1
            if seeds > 1 and tried and part["dataset"].nunique() == 1:
                gain = tuning_gain(part, {RATE: None, factor: baseline}, [RATE], [RATE, factor])
                said = part["dataset"].iloc[0], seeds, part["updates"].max()
                found.append((model, factor, tried, *gain, *said))
    columns = ["model", "factor", "tried", "effect", "low", "high", "dataset", "seeds", "updates"]
    return pd.DataFrame(found, columns=columns)


def decay_gain(study: Evidence) -> pd.DataFrame:
    """Of `beyond_rate_singly` what letting the rate decay adds to a tuned constant rate."""
    return where(beyond_rate_singly(study), factor="schedule")


def schedules_singly(study: Evidence) -> pd.DataFrame:
    """What each schedule adds to a tuned constant rate, at its own best rate.

    By ``model`` and ``schedule`` an effect in test accuracy, as of `beyond_rate_singly`; the
    greatest first. ``adds`` says whether it lies above zero, and ``said`` is its interval in
    brackets, or nothing where validation always chooses the constant rate.
    """
    rows, found = rates.compared(study, "schedule"), []
    constant = rates.BASELINES["schedule"]
    for model, part in rows.groupby("model", sort=False):
        baselines = {RATE: None, "schedule": constant}
        for schedule in part["schedule"].unique():
            some = where(part, schedule=[constant, schedule])
            if schedule != constant and some["seed"].nunique() > 1:
                gain = tuning_gain(some, baselines, [RATE], [RATE, "schedule"])
                found.append((model, schedule, *gain))
    effects = pd.DataFrame(found, columns=["model", "schedule", "effect", "low", "high"])
    ordered = effects.sort_values("effect", ascending=False, kind="stable", ignore_index=True)
    ends = zip(ordered["low"], ordered["high"], strict=True)
    said = ["" if math.isnan(low) else f" ({bounds(low, high)})" for low, high in ends]
    return ordered.assign(adds=ordered["low"] > 0, said=said)


def averaging_gain(study: Evidence) -> pd.DataFrame:
    """What averaging the steps adds to plain SGD, each at its best constant rate and unclipped.

    Of the study of optimizers, at the budgets that all were trained at: `paired_comparison` by
    ``model``; empty where schedule-free SGD was not run.
    """
    rows = where(optimizers.shared(study), optimizer=["sgd", AVERAGING])
    if set(rows["optimizer"]) != {"sgd", AVERAGING}:
        return pd.DataFrame()
    best = best_per_arm(rows, ["panel", "optimizer"])
    return paired_comparison(best, "optimizer", "sgd", by=["model"], ignore=["learning_rate"])


def decays_in_disguise(study: Evidence, batches: Evidence) -> pd.DataFrame:
    """The batch policies of the grid that lower the rate in training and beat no decaying rate.

    Columns ``model``, ``batch_policy`` and ``ratio`` of `batch_updates.lowered_rates`, in the
    study ``batches``: those whose difference from the same size with a decaying rate does not lie
    above zero, at equal examples and at equal updates. ``seeds`` is of how many at the least.
    """
    lowered = batch_updates.lowered_rates(batches)
    beside = batch_updates.against_decay(batches)
    policies = study.outcomes["batch_policy"].unique().tolist()
    if lowered.empty or beside.empty:
        return lowered.head(0)
    better = beside.loc[beside["low"] > 0, "level"].tolist()
    compared = [p for p in policies if p in beside["level"].tolist() and p not in better]
    seeds = where(beside, level=compared)["seeds"].min()
    return where(lowered, batch_policy=compared).assign(seeds=seeds)


def without_policy(study: Evidence) -> pd.DataFrame:
    """`beyond_rate` with the batch policy at its baseline."""
    found = []
    for model, rows in _paths(study).items():
        factors = [factor for factor in _varied(rows) if factor != "batch_policy"]
        found.append((model, *tuning_gain(rows, _baselines(rows), [RATE], factors)))
    return pd.DataFrame(found, columns=["model", "effect", "low", "high"])


def misses(study: Evidence) -> pd.DataFrame:
    """What a rate costs that misses the best one, with every other factor at its baseline.

    By ``model`` and ``times`` (the rate over the best one): an effect in test accuracy, paired.
    """
    found = []
    for model, grid in grids(study).items():
        rows = where(grid, **{f: b for f, b in _baselines(grid).items() if f != RATE})
        best = float(chosen_rates(rows, ["model"])["best_rate"].iloc[0])
        by_seed = rows.pivot(index="seed", columns=RATE, values="accuracy")
        for rate in by_seed.columns.to_numpy(dtype=float):
            times = rate / best
            if times != 1 and abs(np.log10(times)) <= 1 + SLACK:
                lost = by_seed[rate] - by_seed[best]
                found.append((model, times, *over_seeds(lost.to_numpy(), by_seed.index.to_numpy())))
    return pd.DataFrame(found, columns=["model", "times", "effect", "low", "high"])


def near_best(study: Evidence) -> pd.DataFrame:
    """The share of trials within `NEAR` of the best configuration's accuracy, by ``model``.

    ``drawn``: of all the grid; ``own``: of those at each configuration's own best rate, both with
    ``..._low`` and ``..._high``.
    """
    found = []
    for model, rows in grids(study).items():
        factors = _varied(rows)
        limit = best_per_arm(rows, ["model"], factors)["accuracy"].mean() - NEAR
        both = {"drawn": rows, "own": best_per_arm(rows, factors[1:])}
        ends: dict[str, object] = {"model": model}
        for name, some in both.items():
            (share,) = performance_profile(some, "accuracy", ["model"], [limit]).to_dict("records")
            ends |= {name: share["estimate"], f"{name}_low": share["low"]}
            ends |= {f"{name}_high": share["high"]}
        found.append(ends)
    return pd.DataFrame(found)


@functools.lru_cache(8)
def common_to_best(study: Evidence, best: float) -> pd.DataFrame:
    """What the ``best`` share of trials by validation loss have in common: `ped_anova` by model."""
    found = [
        _ordered(ped_anova(rows, _varied(rows), best=best)).assign(model=model)
        for model, rows in grids(study).items()
    ]
    return pd.concat(found, ignore_index=True)


def _ordered(shares: pd.DataFrame) -> pd.DataFrame:
    """The largest share first, with the factor's ``label`` in a sentence."""
    labels = [
        ("the " if factor != "clipping" and factor != "normalization" else "") + words(factor)
        for factor in shares["factor"]
    ]
    return shares.assign(label=labels).sort_values("estimate", ascending=False, kind="stable")


def of_random(search: Evidence) -> pd.DataFrame:
    """Shares of the variance of test accuracy over the random trials of a search, by ``model``.

    Nothing of a search on one seed, which says not how sure they are.
    """
    rows = where(searched(search.outcomes), arm="random")
    rows = rows[rows.groupby("model")["seed"].transform("nunique") > 1]
    found = [
        _ordered(main_effects(some, list(BASELINES), "accuracy")).assign(
            model=model, trials=len(some)
        )
        for model, some in rows.groupby("model", sort=False)
    ]
    return pd.concat(found, ignore_index=True) if found else pd.DataFrame()
