"""What a claim is made of: parts, the rule that judges each, and the effects it looks at.

Every effect is turned so that larger speaks for the claim. The rule is the same everywhere: it
looks at where the 95% interval of a part's pooled effect lies against two limits, from where on an
effect is enough for the claim and which effect is none. The words of a rule are made from the same
numbers that decide.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd
from scipy import stats

from benchmark.statistics import holm
from benchmark.statistics.pairing import SIGNIFICANT
from benchmark.statistics.seeds import t_quantile
from report import prose
from report.evidence import Evidence

SUPPORTED, NO_EFFECT, REFUTED, MIXED = "supported", "no effect", "refuted", "mixed"
UNDECIDED, NOT_TESTED = "undecided", "not tested"
"""No effect: surely none that matters. Refuted: surely the other way. Mixed: some of it holds and
some does not. Undecided: the data could not tell."""


@dataclass(frozen=True)
class Unit:
    """How an effect is written: ``scale`` turns it into the unit that ``name`` names.

    >>> POINTS.words(-0.0123), SHARE.words(0.5), FOLD.words(2.0)
    ('−1.2 points', '50.0%', '2.00-fold')
    """

    name: str
    scale: float = 1.0
    digits: int = 2
    suffix: str = ""
    signed: bool = False

    def figure(self, value: float) -> str:
        """The number alone."""
        text = prose.fixed(self.scale * value, self.digits)
        plus = self.signed and value > 0 and text.strip("0.∞")
        return f"+{text}" if plus else text

    def words(self, value: float) -> str:
        """The number with its unit."""
        return f"{self.figure(value)}{self.suffix}"

    def spread(self, low: float, high: float) -> str:
        """A 95% interval, in the same unit."""
        percent = "%" if self.suffix == "%" else ""
        return f"{self.figure(low)}{percent} to {self.figure(high)}{percent}"


COUNTS = re.compile(r"[\d,]+ comparisons?")
"""What of one effect of several comparisons says how many they are."""
POINTS = Unit("percentage points", 100.0, 1, " points", signed=True)
SHARE = Unit("percent", 100.0, 1, "%")
DECADES = Unit("decades", suffix=" decades", signed=True)
NATS = Unit("nats", suffix=" nats", signed=True)
FOLD = Unit("ratio", suffix="-fold")


About = tuple[str, ...]
"""What is compared, in pieces that all comparisons of a part have in the same order: the level of
the factor, the multiple of the best rate, the budget, the network on its data set."""


Remake = Callable[[pd.DataFrame, About], "Effect"]


@dataclass(frozen=True)
class Effect:
    """One comparison: the estimate and its 95% interval, and in ``basis`` on how much it rests.

    ``about`` says what is compared; ``detectable`` is the smallest difference that the comparison
    would have found four times out of five (for a ratio: the smallest ratio), NaN where unknown;
    ``freedom`` the degrees of freedom of its interval, infinite where that is one of the normal
    distribution. What does not ``judges`` is shown beside the
    comparisons that do. ``rows`` and ``remake`` make the effect anew, and that of several at once;
    ``unanimous`` says that all its seeds agree, so that they have no spread, and its interval is
    what so many leave open.
    """

    about: About
    estimate: float
    low: float
    high: float
    basis: str
    detectable: float = math.nan
    # without a default: an interval of few seeds taken for a normal one has p-values too small
    freedom: float = field(kw_only=True)
    judges: bool = True
    unanimous: bool = False
    rows: pd.DataFrame | None = field(default=None, repr=False, compare=False)
    remake: Remake | None = field(default=None, repr=False, compare=False)

    @property
    def label(self) -> str:
        """What is compared, in one line."""
        return ", ".join(piece for piece in self.about if piece)

    @property
    def setting(self) -> tuple[str, ...]:
        """``about`` less what only counts the comparisons in it, which is no setting.

        >>> Effect(("ZClip", "2 comparisons"), 0.1, 0.0, 0.2, "10 pairs", freedom=9).setting
        ('ZClip',)
        """
        return tuple(piece for piece in self.about if not COUNTS.fullmatch(piece))

    @property
    def known(self) -> bool:
        """Whether it has an interval; a single seed has none, nor values that all agree."""
        return not (math.isnan(self.low) or math.isnan(self.high))


@dataclass(frozen=True)
class Found:
    """What a study says: effects, and sentences beside them.

    Without an effect the first note says, without a full stop, why there is none.
    """

    effects: tuple[Effect, ...] = ()
    notes: tuple[str, ...] = ()


def found(effects: Iterable[Effect], notes: Iterable[str] = (), absent: str = "") -> Found:
    """The effects that have an interval, and how many have none; where none has, why.

    ``absent`` says why nothing was compared, where that is so.
    """
    every = list(effects)
    if not every and absent:
        return nothing(absent)
    known = tuple(effect for effect in every if effect.known)
    if every and not known:
        return nothing("no comparison has an interval: a single seed or timing has no spread")
    lost = len(every) - len(known)
    without = (
        f"Not counted: {lost} in which all seeds agree to the last digit, or a single one has all."
    )
    return Found(known, tuple(note for note in (*notes, without if lost else "") if note))


def nothing(reason: str) -> Found:
    """No effect, and why."""
    return Found((), (reason,))


def pooled(effects: Sequence[Effect], *, geometric: bool = False) -> Effect | None:
    """The effect of several comparisons together; None of none.

    Where all were made from rows of trials, the same of all rows, with an interval over seeds, each
    left out with all its trials; it is no narrower than that of the mean of independent comparisons
    where some are ``unanimous``, whose seeds show no spread. Else the means of the estimates and of
    the ends (of ratios, ``geometric``, the geometric means). Such an interval holds however the
    comparisons depend on each other: the standard deviation of a mean is at most the mean of the
    standard deviations.

    >>> one = Effect(("a",), 1.0, 0.5, 1.5, "", freedom=9)
    >>> two = Effect(("b",), 2.0, 1.0, 3.0, "", freedom=9)
    >>> both = pooled([one, two])
    >>> both.estimate, both.low, both.high
    (1.5, 0.75, 2.25)
    """
    if len(effects) < 2:
        return effects[0] if effects else None
    rows, remake = [e.rows for e in effects], effects[0].remake
    if remake is not None and not any(frame is None for frame in rows):
        again = remake(pd.concat(rows, ignore_index=True), ())
        if again.known:
            return _no_narrower(again, effects) if any(e.unanimous for e in effects) else again
    ends = np.array([[e.estimate, e.low, e.high] for e in effects])
    found = np.exp(np.log(ends).mean(axis=0)) if geometric else ends.mean(axis=0)
    estimate, low, high = map(float, found)
    freedom = min(effect.freedom for effect in effects)
    return Effect((), estimate, low, high, f"{len(effects)} comparisons", freedom=freedom)


def middle(effects: Sequence[Effect]) -> Effect | None:
    """That of the middle estimate, of an even number the lower one; None of none.

    For the rules of a list, which are no sample: one rule far off, or one more, moves their mean at
    will, and hardly the middle one.

    >>> named = zip("abcd", (3, -60, 2, 4))
    >>> effects = [Effect((name,), e, e - 1, e + 1, "", freedom=9) for name, e in named]
    >>> middle(effects).about, middle(effects[:1]).about
    (('c',), ('a',))
    """
    ordered = sorted(effects, key=lambda effect: effect.estimate)
    return ordered[(len(ordered) - 1) // 2] if ordered else None


def _no_narrower(whole: Effect, parts: Sequence[Effect]) -> Effect:
    """The ``whole`` with an interval at least as wide as if its ``parts`` were independent."""
    below = math.hypot(*(part.estimate - part.low for part in parts)) / len(parts)
    above = math.hypot(*(part.high - part.estimate for part in parts)) / len(parts)
    low, high = whole.estimate - below, whole.estimate + above
    low, high = max(min(whole.low, low), -1.0), min(max(whole.high, high), 1.0)
    return replace(whole, low=low, high=high)


@dataclass(frozen=True, eq=False)
class Case:
    """A comparison to be made: a level of a factor that is to help, and the baseline."""

    about: About
    rows: pd.DataFrame
    factor: str
    level: object
    baseline: object
    judges: bool = True


Measure = Callable[[Evidence], Found]


@dataclass(frozen=True)
class Measurement:
    """A study that can judge a part, what is measured there, in words, and the measuring."""

    study: str
    measured: str
    measure: Measure


def first_of(measured: str, measure: Measure, *studies: str) -> tuple[Measurement, ...]:
    """The same measurement on the first of ``studies`` that was run."""
    return tuple(Measurement(study, measured, measure) for study in studies)


@dataclass(frozen=True)
class Limits:
    """From where on an effect is ``enough`` for a claim, and which effect is ``none``.

    Both are shares, decades or ratios, not in the unit's scale. A claim that something is at least
    so large, or not worse than so much, has no effect that is none: what is not enough refutes it.
    """

    unit: Unit
    enough: float
    none: float = math.nan

    def __post_init__(self) -> None:
        if math.isnan(self.none):
            object.__setattr__(self, "none", self.enough)

    @property
    def smallest(self) -> float:
        """As far below no effect as ``enough`` is above: the smallest of interest that way."""
        if self.unit is FOLD:
            return self.none**2 / self.enough
        return 2 * self.none - self.enough

    def place(self, value: float) -> float:
        """Where a value stands on the scale on which intervals are symmetric."""
        return math.log(max(value, 1e-300)) if self.unit is FOLD else value


@dataclass(frozen=True)
class Part:
    """One assertion of a claim.

    Parameters
    ----------
    text
        What is asserted, as a clause without a capital.
    lead
        What its effects are, as the subject of a sentence.
    limits
        The unit of the effects, which of them is enough and which is none.
    measurements
        Where it is measured: the study whose design answers it first, and after it those that
        stand in for it where it was not run.
    exists
        Whether the claim is that there is a case ("may"): then one comparison supports it.
    beside
        What the comparisons are about that are shown beside those that judge, as `About` says it.
    by_rule
        Whether it is about a list of rules, schedules, policies or optimizers: then its effect is
        that of the `middle` one, and its verdict the one on that.
    own_rates
        Whether the sides stand at best rates of their own, which may lie on the edge of the rates.
    """

    text: str
    lead: str
    limits: Limits
    measurements: tuple[Measurement, ...]
    exists: bool = False
    beside: str = ""
    by_rule: bool = False
    own_rates: bool = True

    @property
    def unit(self) -> Unit:
        """What its effects are measured in."""
        return self.limits.unit

    def judging(self, effects: Iterable[Effect]) -> list[Effect]:
        """The comparisons by which it is judged."""
        return [e for e in effects if e.judges and (not self.beside or self.beside not in e.about)]

    def together(self, effects: Sequence[Effect]) -> Effect | None:
        """One effect of the comparisons that judge it: `pooled`, or that of the `middle` rule."""
        return middle(effects) if self.by_rule else pooled(effects, geometric=self.unit is FOLD)

    def verdict_on(self, effect: Effect) -> str:
        """Supported, no effect, refuted or undecided, for one effect."""
        limits = self.limits
        if effect.low >= limits.enough:
            return SUPPORTED
        if limits.smallest < effect.low and effect.high < limits.enough:
            return NO_EFFECT
        return REFUTED if effect.high < limits.none else UNDECIDED

    def p_value(self, effect: Effect) -> float:
        """Of the test that `verdict_on` is: below 0.05 exactly where it decides, else 1.

        The interval may be so many times as wide before it reaches the limit that is next.
        """
        word, limits = self.verdict_on(effect), self.limits
        if word == UNDECIDED:
            return 1.0
        estimate, low, high = map(limits.place, (effect.estimate, effect.low, effect.high))
        above = estimate - low, lambda end: estimate - limits.place(end)
        below = high - estimate, lambda end: limits.place(end) - estimate
        tests = {
            SUPPORTED: [(above, limits.enough)],
            REFUTED: [(below, limits.none)],
            NO_EFFECT: [(above, limits.smallest), (below, limits.enough)],
        }[word]
        times = min(room(end) / half if half > 0 else math.inf for (half, room), end in tests)
        freedom = effect.freedom
        return float(2 * stats.t.sf(t_quantile(freedom) * times, freedom))

    def corrected(self, effects: Sequence[Effect]) -> list[str]:
        """Verdicts on the comparisons, undecided where Holm's correction for all says so."""
        if not effects:
            return []
        adjusted = holm(np.array([self.p_value(effect) for effect in effects]))
        return [
            self.verdict_on(effect) if p < SIGNIFICANT else UNDECIDED
            for effect, p in zip(effects, adjusted, strict=True)
        ]

    def verdict(self, effects: Sequence[Effect], words: Sequence[str]) -> str:
        """The verdict by the comparisons that judge, with the corrected ``words`` on each.

        That on the middle one of a list of rules. Of others that on their pooled effect, unless one
        of them surely supports and another surely refutes or shows no effect: `combined`, as of
        the parts of a claim.
        """
        if not effects:
            return NOT_TESTED
        if self.exists and SUPPORTED in words:
            return SUPPORTED
        if not self.by_rule and combined(words) == MIXED:
            return MIXED
        found = self.together(effects)
        assert found is not None
        return self.verdict_on(found)


def combined(words: Iterable[str]) -> str:
    """One verdict on a claim from those on its parts; what was not tested does not count.

    >>> combined(["supported", "not tested"]), combined(["supported", "refuted"])
    ('supported', 'mixed')
    >>> combined(["supported", "undecided"]), combined(["no effect", "refuted"])
    ('undecided', 'refuted')
    """
    tested = {word for word in words if word != NOT_TESTED}
    if not tested:
        return NOT_TESTED
    if MIXED in tested or (SUPPORTED in tested and tested & {REFUTED, NO_EFFECT}):
        return MIXED
    if UNDECIDED in tested:
        return UNDECIDED
    return tested.pop() if len(tested) == 1 else REFUTED


@dataclass(frozen=True)
class Claim:
    """A claim of the article, in short, and the parts that are judged.

    ``aside`` says what of it no data could refute.
    """

    number: int
    text: str
    parts: tuple[Part, ...]
    aside: str = ""
