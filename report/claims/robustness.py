"""Whether verdicts rest on rules that were chosen after results: each part judged by others.

A multiverse (Steegen et al. 2016, doi:10.1177/1745691616658637) of one change at a time, from the
rows at hand: the limit, which comparisons judge, what counts as failed, how comparisons are pooled,
which study measures, and on which network and data set.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator

import pandas as pd

from benchmark.statistics import STRICTEST
from report.claims import judging
from report.claims.judging import Judged
from report.claims.records import (
    FOLD,
    MIXED,
    NO_EFFECT,
    NOT_TESTED,
    POINTS,
    REFUTED,
    SUPPORTED,
    UNDECIDED,
    Limits,
    pooled,
)

COLUMNS = ("claim", "part", "text", "verdict", "alternative", "other")
HALVED, DOUBLED = "limit halved", "limit doubled"
DECIDED = (SUPPORTED, REFUTED, NO_EFFECT, MIXED)


def scaled(limits: Limits, times: float) -> Limits:
    """Limits ``times`` as far from no effect.

    Of a part without an effect that is none: so many times the allowance in points, or a share
    with so many times the odds.

    >>> scaled(Limits(POINTS, 0.01, 0.0), 2.0).enough, scaled(Limits(POINTS, -0.01), 0.5).enough
    (0.02, -0.005)
    >>> scaled(Limits(FOLD, 1.5, 1.0), 2.0).enough
    2.25
    """
    unit, enough, none = limits.unit, limits.enough, limits.none
    if enough != none:
        if unit is FOLD:
            return Limits(unit, none * (enough / none) ** times, none)
        return Limits(unit, none + times * (enough - none), none)
    if unit is POINTS:
        return Limits(unit, times * enough)
    odds = times * enough / (1 - enough)
    return Limits(unit, odds / (1 + odds))


def by_other_rules(judged: Judged) -> Iterator[tuple[str, Judged]]:
    """Names of alternatives, and the part judged by them, as far as these change anything.

    What else counts as failed takes other studies: `alternatives` has that, too.
    """
    every, own, part = list(judged.found.effects), judged.judging, judged.part
    if own:
        for words, times in ((HALVED, 0.5), (DOUBLED, 2.0)):
            other = dataclasses.replace(part, limits=scaled(part.limits, times))
            yield words, dataclasses.replace(judged, part=other)
    if len(own) < len(every):
        yield "every comparison judges", judged.on(every)
        beside = [e for e in every if part.beside and part.beside in e.about]
        if beside and len(beside) < len(every):
            yield f"{part.beside} alone", judged.on(beside)
        short = judged.not_judging.judging
        if short and len(short) < len(every):
            yield "what is only shown alone", judged.on(short)
    if len(own) > 1 and any(effect.rows is not None for effect in own):
        # means of estimates and ends in place of one estimate from all rows
        apart = [dataclasses.replace(effect, rows=None, remake=None) for effect in own]
        yield "intervals averaged", judged.on(apart)
    if len(own) > 1 and (part.by_rule or judged.verdict == MIXED):
        whole = pooled(own, geometric=part.unit is FOLD)
        yield "the mean of all", judged.on([whole] if whole is not None else [])
    # one effect of several comparisons has no setting of its own
    single = [effect for effect in own if effect.about and effect.setting == effect.about]
    settings = list(dict.fromkeys(effect.about[-1] for effect in single))
    for setting in settings if len(settings) > 1 else ():
        yield f"{setting} alone", judged.on(e for e in own if e.about[-1] == setting)


def on_other_studies(judged: Judged) -> Iterator[tuple[str, Judged]]:
    """The part measured alike on each of the other studies that could judge it and were run."""
    part, own = judged.part, judged.measurement
    for other in part.measurements:
        if judged.judging and other.study != own.study and other.measure is own.measure:
            alone = dataclasses.replace(part, measurements=(other,))
            yield f"on the study {other.study}", judging.judge(alone)


@functools.cache
def alternatives() -> pd.DataFrame:
    """Columns `COLUMNS`: a row a part and alternative, with its ``verdict`` and the ``other``.

    An alternative that leaves a part without comparisons, or leaves all of them as they are, is
    none.
    """
    worlds = {
        "“did not learn” for “diverged”": judging.judged_by_any_failure(),
        "a higher level of a spike": judging.judged_at_spike_level(STRICTEST),
    }
    rows = []
    for at, (claim, parts) in enumerate(judging.all_judged()):
        for place, judged in enumerate(parts):
            others = list(by_other_rules(judged))
            others += [
                (words, other)
                for words, world in worlds.items()
                # which may change no comparison
                if (other := world[at][1][place]).found.effects != judged.found.effects
            ]
            others += on_other_studies(judged)
            about = (claim.number, place + 1, judged.part.text, judged.verdict)
            rows += [
                (*about, words, other.verdict)
                for words, other in others
                if other.verdict != NOT_TESTED
            ]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def by_part(found: pd.DataFrame) -> pd.DataFrame:
    """One row a part of `alternatives`: how many ``agree`` ``of`` all, and the ``changes`` told.

    ``turned`` says whether one of them decides otherwise, and not merely leaves open what was
    decided or decides what was open.

    >>> rows = [(1, 1, "a", "supported", "limit doubled", "undecided")]
    >>> by_part(pd.DataFrame(rows, columns=list(COLUMNS)))["changes"].item()
    'undecided: limit doubled'
    """
    rows = []
    for keys, group in found.groupby(list(COLUMNS[:4]), sort=False):
        changed = group[group["other"] != group["verdict"]]
        told = [
            f"{word}: {', '.join(names['alternative'])}"
            for word, names in changed.groupby("other", sort=False)
        ]
        turned = keys[3] in DECIDED and changed["other"].isin(DECIDED).any()
        rows.append((*keys, len(group) - len(changed), len(group), "; ".join(told), bool(turned)))
    return pd.DataFrame(rows, columns=[*COLUMNS[:4], "agree", "of", "changes", "turned"])


def borderline(found: pd.DataFrame) -> pd.DataFrame:
    """The parts among `alternatives` whose effect lies at the limit itself.

    They are undecided, and half the limit and twice it decide them in different ways. So what is
    open there is how much is enough, not how much it is: more seeds would hardly decide.

    >>> rows = [(1, 1, "a", "undecided", HALVED, "supported")]
    >>> rows += [(1, 1, "a", "undecided", DOUBLED, "no effect")]
    >>> borderline(pd.DataFrame(rows, columns=list(COLUMNS)))["claim"].tolist()
    [1]
    """
    open_ = found[(found["verdict"] == UNDECIDED) & found["alternative"].isin([HALVED, DOUBLED])]
    decided = open_[open_["other"].isin(DECIDED)]
    ways = decided.groupby(list(COLUMNS[:3]))["other"].nunique()
    return ways[ways == 2].reset_index()[list(COLUMNS[:3])]


def counts() -> dict[str, int]:
    """Of the ``tested`` parts: how many ``hold`` under every alternative, or are ``turned`` by one.

    ``fewest`` and ``most`` say how many alternatives these have. ``untested`` counts the parts that
    no comparison judges, and that an alternative would judge.
    """
    rows = by_part(alternatives())
    tested = rows[rows["verdict"] != NOT_TESTED]
    return {
        "fewest": int(tested["of"].min()) if len(tested) else 0,
        "most": int(tested["of"].max()) if len(tested) else 0,
        "tested": len(tested),
        "hold": int((tested["agree"] == tested["of"]).sum()),
        "turned": int(tested["turned"].sum()),
        "untested": len(rows) - len(tested),
    }
