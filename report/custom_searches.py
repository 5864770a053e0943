"""What a custom search found: each winner, what it is worth on fresh seeds, and the samplers."""

from __future__ import annotations

import functools

import pandas as pd

from benchmark.figures import words
from benchmark.statistics import best_so_far, interval, mean, over_cells_and_seeds, over_seeds
from benchmark.statistics.pairing import paired_comparison
from benchmark.statistics.selection import CELL, varying_alone
from report.evidence import Evidence
from report.prose import bounds
from report.search_against_grid import confirmed, searched

RANDOM = "random"
"""The sampler that others are compared with, where it is among them."""


def is_search(study: Evidence) -> bool:
    """Whether the study is a search of a space, and no list of levels."""
    return study.metadata.get("study", {}).get("kind") == "search"


def apart(study: Evidence) -> list[str]:
    """The factors, beside the seed, for every combination of which a separate search was made."""
    return [factor for factor in study.metadata["study"]["each"] if factor != "seed"]


@functools.lru_cache(8)
def winners(study: Evidence) -> pd.DataFrame:
    """Each search's trial of the least capped validation loss, a row each.

    Its configuration, ``search`` (the seed of the search), ``trials`` (how many that search
    finished), ``accuracy`` (test, on the seed of the search), and on fresh seeds ``fresh``, its
    mean test accuracy, with its 95% interval ``low`` to ``high``, over ``seeds`` of them; NaN of a
    winner that was not trained again.
    """
    rows = searched(study.outcomes)
    keys = [*apart(study), "arm", "seed"]
    counts = rows.groupby(keys, dropna=False).size().rename("trials").reset_index()
    best = rows.sort_values("objective", kind="stable").drop_duplicates(keys)
    best = best[[*CELL, "arm", "seed", "accuracy"]].merge(counts, on=keys)
    best = best.rename(columns={"seed": "search"})
    again = _again(best, study)
    found = [
        (*over_seeds(own["accuracy"].to_numpy(), own["seed"].to_numpy()), len(own))
        if len(own := again[again["winner"] == place])
        else (float("nan"),) * 3 + (0,)
        for place in range(len(best))
    ]
    ends = pd.DataFrame(found, columns=["fresh", "low", "high", "seeds"])
    # an interval of few seeds may reach beyond what a share can be
    ends[["low", "high"]] = ends[["low", "high"]].clip(0, 1)
    return pd.concat([best.reset_index(drop=True), ends], axis=1)


def _again(best: pd.DataFrame, study: Evidence) -> pd.DataFrame:
    """The outcomes of the winners on fresh seeds, with the place of the ``winner`` among them."""
    chosen = best[[*CELL, "arm", "search"]].assign(winner=range(len(best)))
    return chosen.merge(confirmed(study), on=[*CELL, "arm"])


def columns(study: Evidence) -> dict[str, str]:
    """Heading and pattern of each column of a table of `winners`: all settings that vary."""
    varied = varying_alone(searched(study.outcomes))
    rows = study.outcomes
    shown = {f: "number" if pd.api.types.is_numeric_dtype(rows[f]) else "name" for f in varied}
    settings = {words(f): f"{{{f}:{shown[f]}}}" for f in varied if f not in apart(study)}
    return {
        **{words(factor): f"{{{factor}:name}}" for factor in apart(study)},
        "found by": "{arm:name}",
        "on seed": "{search}",
        **settings,
        "accuracy there (%)": "{accuracy:hundredths}",
        "on fresh seeds (%)": "{fresh:hundredths}",
        "95% interval": "{row:plain}",
        "fresh seeds": "{seeds}",
    }


@functools.lru_cache(8)
def samplers(study: Evidence) -> pd.DataFrame:
    """The samplers by their winners on fresh seeds, in the groups of `apart`.

    Columns of `apart`, ``arm``, ``searches``, ``accuracy`` (the mean), its 95% interval ``low`` and
    ``high`` (over searches and seeds, or over seeds alone of a single search), and against the
    ``baseline``, which is `RANDOM` or else the first sampler: ``effect``, paired by fresh seed,
    ``effect_low`` and ``effect_high``, NaN of the baseline itself, ``between`` in words.
    """
    again, by = _again(winners(study), study), apart(study)
    if again.empty:
        return pd.DataFrame()
    arms = list(again["arm"].unique())
    baseline = RANDOM if RANDOM in arms else arms[0]
    compared = paired_comparison(again[[*by, "arm", "seed", "accuracy"]], "arm", baseline, by=by)
    against = compared.rename(columns={"level": "arm", "low": "effect_low", "high": "effect_high"})[
        [*by, "arm", "effect", "effect_low", "effect_high"]
    ]
    rows = []
    for key, own in again.groupby([*by, "arm"], sort=False, dropna=False):
        count = own["search"].nunique()
        values, seeds = own["accuracy"].to_numpy(), own["seed"].to_numpy()
        ends = (
            over_cells_and_seeds(values, own["search"].to_numpy(), seeds)
            if count > 1
            else over_seeds(values, seeds)
        )
        rows.append((*key, count, *ends))
    table = pd.DataFrame(rows, columns=[*by, "arm", "searches", "accuracy", "low", "high"])
    table[["low", "high"]] = table[["low", "high"]].clip(0, 1)
    table = table.merge(against, on=[*by, "arm"], how="left").assign(baseline=baseline)
    pairs = zip(table["effect_low"], table["effect_high"], strict=True)
    return table.assign(between=[bounds(low, high) for low, high in pairs])


def sampler_columns(study: Evidence) -> dict[str, str]:
    """Heading and pattern of each column of a table of `samplers`."""
    return {
        **{words(factor): f"{{{factor}:name}}" for factor in apart(study)},
        "winners of": "{arm:name}",
        "searches": "{searches}",
        "test accuracy (%)": "{accuracy:hundredths}",
        "95% interval": "{row:plain}",
        "compared with": "{baseline:name}",
        "difference (points)": "{effect:signed}",
        "of the difference": "{between}",
    }


@functools.lru_cache(8)
def progress(study: Evidence) -> pd.DataFrame:
    """Least capped validation loss so far by ``model``, ``arm`` and ``number`` of trials.

    With its interval over searches. ``model`` names the group of `apart`, as a figure shows it.
    """
    by = apart(study)
    rows = searched(best_so_far(study.results.plan, study.results.trials, (*by, "arm", "seed")))
    named = rows[by].map(words).agg(", ".join, axis=1) if by else words(study.study)
    rows = rows.drop(columns="model", errors="ignore").assign(model=named).dropna(subset=["best"])
    return interval(rows, "best", ["model", "arm", "number"], statistic=mean)


NO_GRID = pd.DataFrame({"model": [], "objective": [], "trials": []})
"""Of a custom search: no grid lies beside it."""
