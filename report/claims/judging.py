"""From claims and studies to verdicts: the frames and sentences that the pages use."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import pandas as pd

from report import evidence, prose
from report.claims import schedules
from report.claims.catalogue import CLAIMS
from report.claims.frames import budgets_of, by_setting, edges
from report.claims.records import (
    DECADES,
    NO_EFFECT,
    NOT_TESTED,
    REFUTED,
    SHARE,
    SUPPORTED,
    UNDECIDED,
    Claim,
    Effect,
    Found,
    Measurement,
    Part,
    combined,
)
from report.evidence import Evidence

Load = Callable[[str], Evidence | None]

COLUMNS = (
    *("claim", "part", "study", "comparison", "effect", "low", "high", "unit"),
    *("verdict", "enough", "smallest", "judges", "basis", "detectable"),
)
NEXT_SCALE = {"smoke": "quick", "quick": "standard", "standard": "paper"}
NAMED = 6
"""Up to so many comparisons a sentence names each; of more it gives the ends alone."""
SIDES = {
    SUPPORTED: "Supported",
    REFUTED: "Refuted",
    NO_EFFECT: "No effect",
    UNDECIDED: "Undecided",
}
"""How a list of the comparisons with a verdict begins."""


@dataclass(frozen=True)
class Judged:
    """A part of a claim with what a study said of it; without a source nothing was run."""

    part: Part
    measurement: Measurement
    source: Evidence | None
    found: Found

    @cached_property
    def words(self) -> list[str]:
        """The verdict on each comparison, corrected for how many there are."""
        return self.part.corrected(self.found.effects)

    @cached_property
    def judging(self) -> list[Effect]:
        """The comparisons by which the part is judged."""
        return self.part.judging(self.found.effects)

    @cached_property
    def verdict(self) -> str:
        """The verdict on the part."""
        return self.part.verdict(self.judging, self.words_that_judge)

    @property
    def words_that_judge(self) -> list[str]:
        """The corrected verdicts on those by which it is judged."""
        judging = set(map(id, self.judging))
        pairs = zip(self.found.effects, self.words, strict=True)
        return [word for effect, word in pairs if id(effect) in judging]

    def on(self, effects: Iterable[Effect]) -> Judged:
        """The same, judged on these comparisons and no others."""
        chosen = tuple(dataclasses.replace(effect, judges=True) for effect in effects)
        part = dataclasses.replace(self.part, beside="")
        return dataclasses.replace(self, part=part, found=Found(chosen, self.found.notes))

    def among(self, about: str) -> Judged:
        """The same, judged on those comparisons alone whose label has ``about`` in it."""
        return self.on(effect for effect in self.found.effects if about in effect.label)

    def but(self, names: Sequence[str]) -> Judged:
        """The same, judged on the comparisons that judge and whose first piece is no such name."""
        return self.on(effect for effect in self.judging if effect.about[0] not in names)

    def but_about(self, piece: str) -> Judged:
        """The same, judged on the comparisons that judge and that are not about ``piece``."""
        return self.on(effect for effect in self.judging if piece not in effect.about)

    def told(self, piece: int, separator: str = ",", *more: int) -> str:
        """Every effect that judges, in words, with a piece of what it is about, or several.

        ``−0.3 points (−0.4 to −0.1, doubling) and ...``, the best first.
        """
        unit = self.part.unit
        ordered = sorted(self.judging, key=lambda effect: -effect.estimate)
        return prose.listing(
            (
                f"{unit.words(e.estimate)} ({', '.join(e.about[p] for p in (piece, *more))})"
                for e in ordered
            ),
            separator,
        )

    def named(self, verdict: str) -> list[str]:
        """The first pieces of the labels of those that judge and have this verdict, once each."""
        pairs = zip(self.judging, self.words_that_judge, strict=True)
        return list(dict.fromkeys(effect.about[0] for effect, word in pairs if word == verdict))

    def below(self, share: float) -> list[str]:
        """The first pieces of the labels of those that judge with an estimate below ``share``."""
        return list(dict.fromkeys(e.about[0] for e in self.judging if e.estimate < share))

    def above(self, share: float) -> list[str]:
        """The same of those with an estimate above ``share``."""
        return list(dict.fromkeys(e.about[0] for e in self.judging if e.estimate > share))

    @property
    def not_judging(self) -> Judged:
        """The same, judged on those that are about what judges and yet do not: of too little."""
        about = self.part.beside
        return self.on(e for e in self.found.effects if not e.judges and about not in e.about)

    def count(self, verdict: str) -> int:
        """Comparisons that judge and have this verdict."""
        return self.words_that_judge.count(verdict)

    @property
    def agreeing(self) -> str:
        """How many of the comparisons that judge support the part: ``5 of 6``."""
        return f"{self.count(SUPPORTED)} of {len(self.judging)}" if self.judging else prose.DASH

    @property
    def sides(self) -> str:
        """How many of them support it, refute it, show no effect and do none: ``5 / 1 / 0 / 0``."""
        return " / ".join(str(self.count(word)) for word in SIDES) if self.judging else ""

    @property
    def pooled(self) -> Effect | None:
        """The effect of those that judge together (`Part.together`); None without any."""
        return self.part.together(self.judging)

    @property
    def low(self) -> float:
        """The lower end of the pooled interval; NaN without any, which is above nothing."""
        return self.pooled.low if self.pooled is not None else math.nan

    @property
    def high(self) -> float:
        """The upper end; NaN without any, which is below nothing."""
        return self.pooled.high if self.pooled is not None else math.nan

    @property
    def pooled_words(self) -> str:
        """The pooled effect with its interval, or a dash: ``50.3% (29.4% to 71.8%)``."""
        estimate, _, interval = self.in_brackets.partition(", ")
        return f"{estimate} ({interval})" if interval else estimate

    @property
    def shortfall(self) -> str:
        """The pooled effect of what is less, as a size: ``1.1 points (0.8 to 1.5)``, or a dash."""
        effect = self.pooled
        if effect is None:
            return prose.DASH
        row = {"low": -effect.high, "high": -effect.low}
        return f"{prose.FORMATS['size'](effect.estimate)} ({prose.FORMATS['plain'](row)})"

    @property
    def in_brackets(self) -> str:
        """The same where brackets are open already: ``50.3%, 29.4% to 71.8%``."""
        unit, effect = self.part.unit, self.pooled
        if effect is None:
            return prose.DASH
        return f"{unit.words(effect.estimate)}, {unit.spread(effect.low, effect.high)}"

    @property
    def notes(self) -> tuple[str, ...]:
        """What is said beside the effects, with a word on best rates at the edge of those tried."""
        chosen = self.source is not None and "arm" in self.source.outcomes and self.part.own_rates
        edge = edges(self.source) if self.source and chosen and self.found.effects else ""
        return tuple(filter(None, (*self.found.notes, edge, self.of_a_share)))

    @property
    def of_a_share(self) -> str:
        """On which share of the data what is shown was run, and how long, where it is not all."""
        shown = self.judging or self.found.effects
        named = {effect.about[-1] for effect in shown if effect.about}
        if self.source is None or not any("% of " in setting for setting in named):
            return ""
        said = [
            f"{setting}: {prose.listing(budgets_of(rows))}"
            for setting, rows in by_setting(self.source.outcomes)
            if setting in named and rows["train_fraction"].max() < 1
        ]
        return f"On a share of the data ({'; '.join(said)})."

    @property
    def aside(self) -> str:
        """What is said beside the effects: which comparisons have which verdict, and notes.

        Without an effect: why there is none, and what would test the part.
        """
        if not self.judging:
            return _untested(self)
        enough = "One comparison that supports it is enough." if self.part.exists else ""
        return " ".join(filter(None, (enough, self.stand_in, _sides(self), *self.notes)))

    @property
    def units(self) -> int:
        """How many configurations, trials or pairs the comparisons that judge rest on."""
        return sum(int(e.basis.split()[0].replace(",", "")) for e in self.judging)

    @property
    def units_with(self) -> int:
        """How many of the `units` have what a share is about."""
        return round(self.pooled.estimate * self.units) if self.pooled else 0

    @property
    def stand_in(self) -> str:
        """That it is judged on another study than its own, where it is."""
        own, judged_on = self.part.measurements[0].study, self.measurement.study
        words = f"Judged on the study `{judged_on}`, which stands in for `{own}`."
        return words if judged_on != own else ""


AllJudged = list[tuple[Claim, list[Judged]]]
"""Every claim with its parts, judged."""


def _load(study: str) -> Evidence | None:
    """A study's evidence, of its trials or of their steps alone."""
    return evidence.load(study) or evidence.load_steps(study)


def judge(part: Part, load: Load = _load) -> Judged:
    """Judge a part on its own study, or on the first stand-in that can where that was not run."""
    own = part.measurements[0]
    for measurement in part.measurements:
        if (source := load(measurement.study)) is not None:
            judged = Judged(part, measurement, source, measurement.measure(source))
            if judged.judging or measurement is own:
                return judged
    return Judged(part, own, None, Found())


def _untested(judged: Judged) -> str:
    study = judged.measurement.study
    if judged.source is None:
        return f"`{evidence.COMMAND.format(study=study)}` tests it."
    if judged.found.effects:
        notes = " ".join(judged.notes)
        about = judged.part.beside
        beside = judged.among(about)
        where = f", {about}" if about and beside.judging else ""
        beside = beside if beside.judging else judged.among("")
        return (
            f"We did not test this: no comparison of the study `{study}` judges it. In "
            f"{prose.count(len(beside.judging), 'comparison')} beside it{where}, "
            f"{judged.part.lead} is {beside.pooled_words}. {notes}".rstrip()
        )
    reason = f"In the study `{study}` {judged.found.notes[0]}"
    scale = NEXT_SCALE.get(judged.source.scale, "full")
    return f"{reason}; `python -m benchmark run {study} --scale {scale}` may test it."


def _sides(judged: Judged) -> str:
    """Which comparisons have which verdict, where not all have the same.

    By the one piece of what they are about that tells them apart, where there is one; else each, of
    up to as many as a sentence bears.
    """
    words, effects = judged.words_that_judge, judged.judging
    if len(set(words)) < 2:
        return ""
    # what differs between the comparisons
    pieces = [p for p in zip(*(e.setting for e in effects), strict=False) if len(set(p)) > 1]
    labels = [", ".join(label) for label in zip(*pieces, strict=True)]
    told = dict(zip(labels, words, strict=True))
    apart = [dict(zip(piece, words, strict=True)) for piece in pieces if _tells(piece, words)]
    if apart:
        told = min(apart, key=len)
    elif len(effects) > NAMED:
        return ""
    sides = {word: [label for label, its in told.items() if its == word] for word in SIDES}
    return " ".join(
        f"{SIDES[word]}: {prose.listing(names, ';')}." for word, names in sides.items() if names
    )


def _tells(piece: Sequence[str], words: Sequence[str]) -> bool:
    """Whether each value of a piece goes with one verdict, some with several comparisons."""
    return len(set(zip(piece, words, strict=True))) == len(set(piece)) < len(piece)


def claim_verdict(judged: Sequence[Judged]) -> str:
    """One verdict of the parts', as `combined` says."""
    return combined(j.verdict for j in judged)


def again(change: Callable[[Evidence], Evidence]) -> AllJudged:
    """`all_judged` on studies in which a ``change`` has other trials explode or diverge.

    Only shares and decades are measured on these; the other parts stay.
    """

    @functools.cache
    def load(study: str) -> Evidence | None:
        source = evidence.load(study)
        return change(source) if source else evidence.load_steps(study)

    return [
        (claim, [judge(j.part, load) if j.part.unit in (SHARE, DECADES) else j for j in parts])
        for claim, parts in all_judged()
    ]


@functools.cache
def judged_at_spike_level(level: tuple[float, float]) -> AllJudged:
    """`all_judged` with a spike above max(``level[0]``, ``level[1]`` times the initial loss)."""
    return again(lambda source: source.at_spike_level(level))


@functools.cache
def judged_by_any_failure() -> AllJudged:
    """`all_judged` where whatever does not learn counts as diverged, spike or none."""
    return again(Evidence.of_any_failure)


@functools.cache
def at_spike_level(level: tuple[float, float]) -> pd.DataFrame:
    """Columns ``claim``, ``text``, ``verdict``, ``other``: the claims that another level changes.

    ``other`` is the verdict that `judged_at_spike_level` comes to.
    """
    rows = []
    both = zip(all_judged(), judged_at_spike_level(level), strict=True)
    for (claim, parts), (_, others) in both:
        verdict, other = claim_verdict(parts), claim_verdict(others)
        if verdict != other:
            rows.append((claim.number, claim.text, verdict, other))
    return pd.DataFrame(rows, columns=["claim", "text", "verdict", "other"])


@functools.cache
def all_judged() -> AllJudged:
    """Every claim with its judged parts, from the chosen results folder."""
    return [(claim, [judge(part) for part in claim.parts]) for claim in CLAIMS]


def part(claim: int, place: int, *, failures: bool = False) -> Judged:
    """A part of a claim, judged; both count from 1. With ``failures`` by any failure to learn."""
    judged = judged_by_any_failure() if failures else all_judged()
    return {c.number: parts for c, parts in judged}[claim][place - 1]


def part_on(claim: int, place: int, study: str) -> Judged:
    """A part measured on another of the studies that can judge it, though its own was run."""
    of = part(claim, place).part
    return judge(
        dataclasses.replace(of, measurements=tuple(m for m in of.measurements if m.study == study))
    )


def raised_by(schedule: str, normalization: str, *, failures: bool = False) -> Effect | None:
    """Decades of rates without divergence that a schedule adds with one normalization.

    With ``failures`` without any failure to learn. None where that was not run.
    """
    source = evidence.load("learning_rate")
    if source is None:
        return None
    source = source.of_any_failure() if failures else source
    return schedules.raised_with(source, schedule, normalization)


def decades(effect: Effect) -> str:
    """An effect in decades with its interval, in words."""
    return f"{DECADES.words(effect.estimate)} ({DECADES.spread(effect.low, effect.high)})"


def fewest_seeds() -> dict[str, object]:
    """The fewest ``seeds`` of a study that judges a claim, and the ``studies`` that have so few."""
    sources = {j.source.study: j.source for _, parts in all_judged() for j in parts if j.source}
    counts = {study: source.outcomes["seed"].nunique() for study, source in sources.items()}
    fewest = min(counts.values(), default=0)
    return {"seeds": fewest, "studies": [s for s, n in counts.items() if n == fewest]}


def _row(
    claim: Claim, judged: Judged, comparison: str, effect: Effect, verdict: str, *, judges: bool
) -> tuple[object, ...]:
    """The `COLUMNS` of an effect, in the part's unit."""
    part, limits = judged.part, judged.part.limits
    figures = (effect.estimate, effect.low, effect.high, limits.enough, limits.smallest)
    *ends, enough, smallest = (part.unit.scale * value for value in figures)
    about = (claim.number, part.text, judged.measurement.study, comparison)
    said = (part.unit.name, verdict, enough, smallest, judges, effect.basis)
    return (*about, *ends, *said, part.unit.scale * effect.detectable)


def frame_of(judged: AllJudged) -> pd.DataFrame:
    """One row an effect, in its unit; one row without an effect for a part not tested."""
    unknown = Effect((), math.nan, math.nan, math.nan, "", freedom=math.inf)
    rows = []
    for claim, parts in judged:
        for j in parts:
            judging = set(map(id, j.judging))
            rows += [
                _row(claim, j, e.label, e, word, judges=id(e) in judging)
                for e, word in zip(j.found.effects, j.words, strict=True)
            ] or [_row(claim, j, "", unknown, NOT_TESTED, judges=False)]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def verdicts() -> pd.DataFrame:
    """Every effect with its verdict: the columns of `COLUMNS`.

    Figures and thresholds are in ``unit``; ``verdict`` is that on the comparison, corrected for how
    many there are in the part; ``judges`` whether it is one of those that the part is judged by. A
    part that was not tested has one row without an effect.
    """
    return frame_of(all_judged())


def by_part() -> pd.DataFrame:
    """One row a part that was tested: its pooled effect, with the columns of `COLUMNS`.

    ``comparison`` says how many of those that judge support it (``5 of 6``) and ``verdict`` is that
    on the part.
    """
    rows = [
        _row(claim, j, j.agreeing, pooled_effect, j.verdict, judges=True)
        for claim, parts in all_judged()
        for j in parts
        if (pooled_effect := j.pooled) is not None
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def by_claim() -> pd.DataFrame:
    """Columns ``claim``, ``text``, ``verdict``: one row a claim."""
    rows = [(claim.number, claim.text, claim_verdict(parts)) for claim, parts in all_judged()]
    return pd.DataFrame(rows, columns=["claim", "text", "verdict"])
