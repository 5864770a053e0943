"""Custom strategies and data: what came out of custom studies."""

from __future__ import annotations

import functools

import numpy as np
import pandas as pd

from benchmark.statistics.explosions import largest_safe_rate
from benchmark.statistics.pairing import every_factor_compared, seeds_needed, verdicts
from benchmark.statistics.rates import cross_fitted, largest_stable_rate
from report import custom_searches, evidence
from report.evidence import ROOT, Evidence
from report.prose import count, name

EXAMPLE = ROOT / "docs" / "examples" / "custom_strategies.py"
COMMAND = "python -m benchmark run custom_strategies --scale quick"
BASELINES = {
    "clipping": "none",
    "normalization": "none",
    "batch_policy": "fixed",
    "schedule": "constant",
    "optimizer": "sgd",
    "learning_rate_scaling": "none",
    "precision": "float32",
    "disturbance": "none",
}
"""What the levels of a factor are compared with; where a study lacks it, with its first level."""
AT_BEST, EVERY_RATE = "each at its best rate", "over all rates"
"""At which rates levels are compared."""
UNPAIRED = ("dataset", "learning_rate")
"""Factors that are compared within every level of theirs."""
OF_NETWORKS = ("model", "depth", "width")
"""Factors that come last: a custom study is rarely about networks alone."""
FEW_RATES = 12
"""Most learning rates that have a column each; of more, as a search has, each decade has one."""


def custom_studies() -> list[Evidence]:
    """Studies in the results folder that no script of the repository makes."""
    known = {path.stem for path in (ROOT / "studies").glob("*.py")}
    return [source for source in evidence.all_studies() if source.study not in known]


def anchor(study: Evidence) -> str:
    """Of the study's section on the page."""
    return f"custom-{study.study}".replace("_", "-").replace(".", "-").lower()


def asked(study: Evidence) -> list[str]:
    """The factors that a study asks about: all that vary, whatever their levels.

    In the order in which the study names them, networks last. Numbers that a search draws from a
    range have no levels.
    """
    found = [factor for factor in study.factors if factor not in UNPAIRED]
    if custom_searches.is_search(study):
        found = [f for f in found if not pd.api.types.is_numeric_dtype(study.outcomes[f])]
    definition = study.metadata.get("study", {})
    factors = definition.get("factors", definition.get("space", {}))
    blocks = factors if isinstance(factors, list) else [factors]
    named = list(dict.fromkeys(name for block in blocks for name in block))
    places = {name: place for place, name in enumerate(named)}
    return sorted(found, key=lambda name: (name in OF_NETWORKS, places.get(name, len(places))))


@functools.lru_cache(8)
def compare(study: Evidence) -> pd.DataFrame:
    """`every_factor_compared` of what is `asked` about, ``at`` best rates and `EVERY_RATE`.

    At best rates first: means over the rates of a study would say how far these reach. A rate is
    chosen for each configuration, on other seeds than those that are compared; with relative rates
    it is the one that was found so, and its multiples follow instead of `EVERY_RATE`. ``panel`` is
    the data set, and ``at`` where there are several.
    """
    factors = asked(study)
    # the same at every rate: which level comes first among chosen rates is chance
    firsts = {factor: study.outcomes[factor].dropna().iloc[0] for factor in factors}
    usual = {
        factor: BASELINES[factor]
        for factor in factors
        if factor in BASELINES and study.outcomes[factor].eq(BASELINES[factor]).any()
    }
    rows = {EVERY_RATE: study.outcomes}
    if len(study.relative):
        rows = {
            AT_BEST if times == 1 else f"each at {times} times its best rate": part
            for times, part in study.relative.groupby("times")
        }
    elif study.varies("learning_rate"):
        chosen = [factor for factor in study.factors if factor != "learning_rate"] or ["dataset"]
        rows = {AT_BEST: cross_fitted(study.outcomes, chosen)} | rows
    # where each has a rate of its own, the two of a pair may differ in it
    found = [
        every_factor_compared(
            part, factors, firsts | usual, ignore=[] if at == EVERY_RATE else ["learning_rate"]
        ).assign(at=at)
        for at, part in rows.items()
        if len(part)
    ]
    found = [rows for rows in found if len(rows)]
    if not found:
        return pd.DataFrame()
    every = pd.concat(found, ignore_index=True)
    every = every.assign(verdict=verdicts(every).replace("", "no"))
    several = every["at"].nunique() > 1
    panel = every["dataset"].map(name) + (", " + every["at"] if several else "")
    return every.assign(panel=panel)


def unpaired(study: Evidence) -> list[str]:
    """Of what is `asked` about the factors that no two trials differ in alone: not compared."""
    rows = compare(study)
    compared = set(rows["factor"]) if len(rows) else set()
    return [factor for factor in asked(study) if factor not in compared]


def too_few_seeds(rows: pd.DataFrame) -> pd.DataFrame:
    """Of `compare` each ``factor`` of which no difference can be significant, however large.

    With ``seeds``, in words, and how many are ``needed`` for as many levels.
    """
    groups = rows.groupby(["factor", "panel"], sort=False)
    found = groups.agg(seeds=("seeds", "max"), levels=("level", "size")).reset_index()
    needed = found["levels"].map(seeds_needed)
    few = found.assign(needed=needed)[found["seeds"] < needed]
    few = few.sort_values("seeds").drop_duplicates("factor", keep="last")
    return few.assign(seeds=few["seeds"].map(lambda seeds: count(seeds, "seed")))


def baselines(rows: pd.DataFrame) -> pd.DataFrame:
    """Each ``factor`` of `compare` with what its levels are compared with, ``baseline``."""
    return rows[["factor", "baseline"]].drop_duplicates()


@functools.lru_cache(8)
def explosions(study: Evidence) -> pd.DataFrame:
    """How trials end at each learning rate, for each level of what is `asked` about.

    Columns ``dataset``, ``factor``, ``panel`` (both in words), ``level``, ``column`` (the rate, its
    decade where there are many, or its multiple of the best one in a study of relative rates),
    ``trials``, the shares ``exploded``, ``diverged`` and ``learned``; and of the level, up to which
    rate no trial diverged (``safe``) and at which largest one every trial learned (``trains``).
    Without such a factor there is one level, all trials.
    """
    frame = study.relative if len(study.relative) else study.outcomes
    if custom_searches.is_search(study):
        frame = custom_searches.searched(frame)
    if len(study.relative):
        frame = frame.assign(learning_rate=frame["times"].astype(float))
    frame = frame.assign(column=columns_of(frame["learning_rate"], bool(len(study.relative))))
    frame = frame.sort_values("learning_rate", kind="stable")
    parts = []
    for factor in asked(study) or [""]:
        rows = frame.assign(level=frame[factor] if factor else "all trials", factor=factor)
        # a number that no level but some has is none of theirs
        rows, by = rows.dropna(subset=["level"]), ["dataset", "factor", "level"]
        ends = rows.groupby([*by, "column"], sort=False)[["exploded", "diverged", "learned"]]
        found = ends.mean().reset_index()
        found["panel"] = found["dataset"].map(name) + (f", {name(factor)}" if factor else "")
        found["trials"] = ends.size().to_numpy()
        reach = largest_safe_rate(rows, by).merge(largest_stable_rate(rows, by, "learned"), on=by)
        parts.append(found.merge(reach.rename(columns={"largest_rate": "trains"}), on=by))
    return pd.concat(parts, ignore_index=True)


def columns_of(rates: pd.Series, relative: bool) -> pd.Series:
    """The heading under which each of the ``rates`` (n,) stands.

    >>> columns_of(pd.Series([0.1, 3.0]), False).tolist(), columns_of(pd.Series([3.0]), True)[0]
    (['rate 0.1', 'rate 3'], '3 times the best')
    >>> columns_of(pd.Series(np.geomspace(0.011, 0.5, 20)), False).unique().tolist()
    ['rates 0.01 to 0.1', 'rates 0.1 to 1']
    """
    if relative:
        return rates.map("{:g} times the best".format)
    if rates.nunique() <= FEW_RATES:
        return rates.map("rate {:g}".format)
    # a rate on a power of ten begins its decade
    decade = pd.Series(np.floor(np.log10(rates.astype(float)) + 1e-9), rates.index)
    return decade.map(lambda power: f"rates {10**power:g} to {10 ** (power + 1):g}")
