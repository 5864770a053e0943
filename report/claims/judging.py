"""From claims and studies to verdicts: the frames and sentences that the pages use."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import pandas as pd

from report import evidence, prose
from report.claims.catalogue import CLAIMS
from report.claims.frames import edges
from report.claims.records import (
    DEPENDS,
    FOLD,
    NOT_TESTED,
    REFUTED,
    SUPPORTED,
    UNDECIDED,
    Claim,
    Effect,
    Found,
    Measurement,
    Part,
    combined,
    nothing,
    pooled,
)
from report.evidence import Evidence

Load = Callable[[str], Evidence | None]

COLUMNS = (
    *("claim", "part", "study", "comparison", "effect", "low", "high", "unit"),
    *("verdict", "reason", "rule", "enough", "smallest"),
)
NEXT_SCALE = {"smoke": "quick", "quick": "standard", "standard": "paper"}
FEW, NAMED = 3, 6
"""Up to so many effects a sentence gives each, or names; of more it gives the ends alone."""
COUNTED = {
    SUPPORTED: ("supports it", "support it"),
    REFUTED: ("refutes it", "refute it"),
    UNDECIDED: ("does not decide", "do not decide"),
}
SIDES = {SUPPORTED: "Supported", REFUTED: "Refuted", UNDECIDED: "Undecided"}
"""How a list of the comparisons with a verdict begins."""


@dataclass(frozen=True)
class Judged:
    """A part of a claim with what a study said of it; without a source nothing was run."""

    part: Part
    measurement: Measurement
    source: Evidence | None
    found: Found

    @property
    def verdict(self) -> str:
        """The verdict on the part."""
        words = map(self.part.verdict_on, self.found.effects)
        return combined(words, exists=self.part.exists)

    def among(self, about: str) -> Judged:
        """The same, judged on those comparisons alone whose label has ``about`` in it."""
        effects = tuple(effect for effect in self.found.effects if about in effect.label)
        return dataclasses.replace(self, found=Found(effects, self.found.notes))

    def count(self, verdict: str) -> int:
        """Comparisons with this verdict."""
        return sum(self.part.verdict_on(effect) == verdict for effect in self.found.effects)

    @property
    def agreeing(self) -> str:
        """How many of the comparisons support the part: ``5 of 6``."""
        effects = self.found.effects
        return f"{self.count(SUPPORTED)} of {len(effects)}" if effects else prose.DASH

    @property
    def sides(self) -> str:
        """How many of the comparisons support it, refute it and do neither: ``5 / 1 / 0``."""
        return " / ".join(str(self.count(word)) for word in SIDES) if self.found.effects else ""

    @property
    def pooled(self) -> Effect | None:
        """The mean effect of all comparisons, as `pooled` says; None without any."""
        return pooled(self.found.effects, geometric=self.part.unit is FOLD)

    @property
    def pooled_words(self) -> str:
        """The pooled effect with its interval, or a dash: ``50.3% (29.4% to 71.8%)``."""
        estimate, _, interval = self.in_brackets.partition(", ")
        return f"{estimate} ({interval})" if interval else estimate

    @property
    def in_brackets(self) -> str:
        """The same where brackets are open already: ``50.3%, 29.4% to 71.8%``."""
        unit, effect = self.part.unit, self.pooled
        if effect is None:
            return prose.DASH
        return f"{unit.words(effect.estimate)}, {unit.spread(effect.low, effect.high)}"

    @property
    def detectable(self) -> float:
        """The largest of the smallest detectable differences of what does not decide; else NaN."""
        undecided = [e for e in self.found.effects if self.part.verdict_on(e) == UNDECIDED]
        return max(
            (e.detectable for e in undecided if math.isfinite(e.detectable)), default=math.nan
        )

    @property
    def notes(self) -> tuple[str, ...]:
        """What is said beside the effects, with a word on best rates at the edge of those tried."""
        edge = edges(self.source) if self.source is not None and self.found.effects else ""
        return (*self.found.notes, edge) if edge else self.found.notes

    @property
    def rows(self) -> list[dict[str, str]]:
        """Every comparison in the part's unit, with the verdict on it."""
        figure = self.part.unit.figure
        return [
            {
                **{"comparison": e.label, "effect": figure(e.estimate)},
                **{"low": figure(e.low), "high": figure(e.high), "basis": e.basis},
                "detectable": prose.DASH
                if math.isnan(e.detectable)
                else figure(e.detectable).lstrip("+"),
                "verdict": self.part.verdict_on(e),
            }
            for e in self.found.effects
        ]

    @property
    def rule(self) -> str:
        """The rule in words."""
        return self.part.rule(self.measurement)

    @cached_property
    def reason(self) -> str:
        """Effects and intervals in one sentence, or why there are none and what would test it."""
        if not self.found.effects:
            return _untested(self)
        own, judged_on = self.part.measurements[0].study, self.measurement.study
        stand_in = (
            f"The study `{own}` was not run; judged on the study `{judged_on}` instead. "
            if judged_on != own
            else ""
        )
        said = [stand_in + prose.opening(_sentence(self.part, self.found.effects))]
        if self.verdict in (DEPENDS, UNDECIDED):
            said += [_sides(self.part, self.found.effects), _could_have_seen(self)]
        return " ".join(sentence for sentence in said if sentence)


def judge(part: Part, load: Load = evidence.load) -> Judged:
    """Judge a part on its own study, or on the first stand-in that can where that was not run."""
    empty: Judged | None = None
    for measurement in part.measurements:
        source = load(measurement.study)
        if source is None:
            continue
        judged = Judged(part, measurement, source, measurement.measure(source))
        if judged.found.effects:
            return judged
        if measurement is part.measurements[0]:
            empty = judged
            break
    return empty or Judged(part, part.measurements[0], None, nothing("it was not run"))


def _untested(judged: Judged) -> str:
    study = judged.measurement.study
    if judged.source is None:
        command = evidence.COMMAND.format(study=study)
        return f"The study `{study}` was not run; `{command}` tests it."
    reason = f"In the study `{study}` {judged.found.notes[0]}"
    scale = NEXT_SCALE.get(judged.source.scale, "full")
    return f"{reason}; `python -m benchmark run {study} --scale {scale}` may test it."


def _sentence(part: Part, effects: Sequence[Effect]) -> str:
    if len(effects) <= FEW:
        return f"{part.lead} is {prose.listing(in_words(part, e) for e in effects)}."
    ordered = sorted(effects, key=lambda effect: effect.estimate)
    least, greatest = (in_words(part, effect) for effect in (ordered[0], ordered[-1]))
    verdicts = [part.verdict_on(effect) for effect in effects]
    counts = [
        f"{amount} {COUNTED[word][amount > 1]}"
        for word in COUNTED
        if (amount := verdicts.count(word))
    ]
    # the first names what the others refer to
    said = prose.listing(counts).replace(" it", " the claim", 1)
    return (
        f"{part.lead} lies, over {len(effects)} comparisons, between {least} and {greatest}; "
        f"{said}."
    )


def _sides(part: Part, effects: Sequence[Effect]) -> str:
    """Which comparisons support a part and which refute it: on what it depends.

    By the one piece of what they are about that tells them apart, where there is one; else each, of
    up to as many as a sentence bears.
    """
    words = [part.verdict_on(effect) for effect in effects]
    if len(set(words)) < 2:
        return ""
    # what differs between the comparisons
    pieces = [p for p in zip(*(e.about for e in effects), strict=False) if len(set(p)) > 1]
    labels = [", ".join(label) for label in zip(*pieces, strict=True)]
    told = dict(zip(labels, words, strict=True))
    apart = [dict(zip(piece, words, strict=True)) for piece in pieces if _tells(piece, words)]
    if apart:
        told = min(apart, key=len)
    elif len(effects) > NAMED:
        return "No single factor separates them; the table lists each."
    sides = {word: [label for label, its in told.items() if its == word] for word in SIDES}
    return " ".join(
        f"{SIDES[word]}: {prose.listing(names, ';')}." for word, names in sides.items() if names
    )


def _tells(piece: Sequence[str], words: Sequence[str]) -> bool:
    """Whether each value of a piece goes with one verdict, some with several comparisons."""
    return len(set(zip(piece, words, strict=True))) == len(set(piece)) < len(piece)


def _could_have_seen(judged: Judged) -> str:
    """The smallest difference that the comparisons that do not decide could have seen."""
    if math.isnan(judged.detectable):
        return ""
    seen = judged.part.unit.words(judged.detectable).lstrip("+")
    return f"Those that do not decide would have found {seen} or more, four times out of five."


def in_words(part: Part, effect: Effect) -> str:
    """An effect with its interval, what is compared and on how much it rests."""
    about = f"{effect.label}; " if effect.label else ""
    spread = part.unit.spread(effect.low, effect.high)
    return f"{part.unit.words(effect.estimate)} ({about}95% interval {spread}; {effect.basis})"


def of_claim(claim: Claim, load: Load = evidence.load) -> list[Judged]:
    """Every part of a claim, judged."""
    return [judge(part, load) for part in claim.parts]


def claim_verdict(judged: Sequence[Judged]) -> str:
    """One verdict of the parts': all supported, all refuted, or it depends, or is undecided.

    It depends where one comparison supports a part and one refutes the same or another.
    """
    verdict = combined(j.verdict for j in judged)
    if verdict != UNDECIDED:
        return verdict
    return combined(j.part.verdict_on(effect) for j in judged for effect in j.found.effects)


@functools.cache
def all_judged() -> list[tuple[Claim, list[Judged]]]:
    """Every claim with its judged parts, from the chosen results folder."""
    return [(claim, of_claim(claim)) for claim in CLAIMS]


def part(claim: int, place: int) -> Judged:
    """A part of a claim, judged; both count from 1."""
    return {c.number: parts for c, parts in all_judged()}[claim][place - 1]


def fewest_seeds() -> dict[str, object]:
    """The fewest ``seeds`` of a study that judges a claim, and the ``studies`` that have so few."""
    sources = {j.source.study: j.source for _, parts in all_judged() for j in parts if j.source}
    counts = {study: source.outcomes["seed"].nunique() for study, source in sources.items()}
    fewest = min(counts.values(), default=0)
    return {"seeds": fewest, "studies": [s for s, n in counts.items() if n == fewest]}


def _row(
    claim: Claim, judged: Judged, comparison: str, effect: Effect, verdict: str
) -> tuple[object, ...]:
    """The `COLUMNS` of an effect, in the part's unit."""
    part, limits = judged.part, judged.part.limits
    figures = (effect.estimate, effect.low, effect.high, limits.enough, limits.smallest)
    *ends, enough, smallest = (part.unit.scale * value for value in figures)
    about = (claim.number, part.text, judged.measurement.study, comparison)
    return *about, *ends, part.unit.name, verdict, judged.reason, judged.rule, enough, smallest


def frame_of(judged: Sequence[tuple[Claim, list[Judged]]]) -> pd.DataFrame:
    """One row an effect, in its unit; one row without an effect for a part not tested."""
    unknown = Effect((), math.nan, math.nan, math.nan, "")
    rows = [
        _row(claim, j, e.label, e, j.part.verdict_on(e) if j.found.effects else NOT_TESTED)
        for claim, parts in judged
        for j in parts
        for e in j.found.effects or (unknown,)
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def verdicts() -> pd.DataFrame:
    """Every effect with its verdict: the columns of `COLUMNS`.

    Figures and thresholds are in ``unit``; ``verdict`` is that on the comparison, ``reason`` the
    sentence on the part. A part that was not tested has one row without an effect.
    """
    return frame_of(all_judged())


def by_part() -> pd.DataFrame:
    """One row a part that was tested: its pooled effect, with the columns of `COLUMNS`.

    ``comparison`` says how many comparisons support it (``5 of 6``) and ``verdict`` is that on the
    part.
    """
    rows = [
        _row(claim, j, j.agreeing, pooled_effect, j.verdict)
        for claim, parts in all_judged()
        for j in parts
        if (pooled_effect := j.pooled) is not None
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def by_claim() -> pd.DataFrame:
    """Columns ``claim``, ``text``, ``verdict``: one row a claim."""
    rows = [(claim.number, claim.text, claim_verdict(parts)) for claim, parts in all_judged()]
    return pd.DataFrame(rows, columns=["claim", "text", "verdict"])
