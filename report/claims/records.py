"""What a claim is made of: parts, the rule that judges each, and the effects it looks at.

Every effect is turned so that larger speaks for the claim. The rule is the same everywhere: an
effect supports the claim where its whole 95% interval reaches what would be enough, and refutes it
where the whole interval stays below the smallest effect of interest. The words of a rule are made
from the same numbers that decide.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from report.evidence import Evidence

SUPPORTED, REFUTED, DEPENDS = "supported", "refuted", "depends"
UNDECIDED, NOT_TESTED = "undecided", "not tested"
WORDS = (SUPPORTED, REFUTED, DEPENDS, UNDECIDED, NOT_TESTED)
"""It depends where some of it is supported and some refuted; undecided lacks data."""


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
        if math.isinf(value):
            return "∞" if value > 0 else "−∞"
        rounded = round(self.scale * value, self.digits)
        sign = "−" if rounded < 0 else "+" if rounded > 0 and self.signed else ""
        return f"{sign}{abs(rounded):,.{self.digits}f}"

    def words(self, value: float) -> str:
        """The number with its unit."""
        return f"{self.figure(value)}{self.suffix}"

    def spread(self, low: float, high: float) -> str:
        """A 95% interval, in the same unit."""
        percent = "%" if self.suffix == "%" else ""
        return f"{self.figure(low)}{percent} to {self.figure(high)}{percent}"


POINTS = Unit("percentage points", 100.0, 1, " points", signed=True)
SHARE = Unit("percent", 100.0, 1, "%")
DECADES = Unit("decades", suffix=" decades", signed=True)
NATS = Unit("nats", suffix=" nats", signed=True)
FOLD = Unit("ratio", suffix="-fold")


About = tuple[str, ...]
"""What is compared, in pieces that all comparisons of a part have in the same order: the level of
the factor, the multiple of the best rate, the budget, the network on its data set."""


@dataclass(frozen=True)
class Effect:
    """One comparison: the estimate and its 95% interval, and in ``basis`` on how much it rests.

    ``about`` says what is compared; ``detectable`` is the smallest difference that the comparison
    would have found four times out of five (for a ratio: the smallest ratio), NaN where unknown.
    """

    about: About
    estimate: float
    low: float
    high: float
    basis: str
    detectable: float = math.nan

    @property
    def label(self) -> str:
        """What is compared, in one line."""
        return ", ".join(piece for piece in self.about if piece)

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
    """The mean effect of several comparisons, its ends the means of their ends; None of none.

    An interval that holds however the comparisons depend on each other, through shared seeds,
    baselines or trials: the standard deviation of a mean is at most the mean of the standard
    deviations, with equality where all rise and fall together. Of ratios (``geometric``) the
    geometric means.

    >>> one, two = Effect(("a",), 1.0, 0.5, 1.5, ""), Effect(("b",), 2.0, 1.0, 3.0, "")
    >>> both = pooled([one, two])
    >>> both.estimate, both.low, both.high
    (1.5, 0.75, 2.25)
    """
    if not effects:
        return None
    ends = np.array([[e.estimate, e.low, e.high] for e in effects])
    found = np.exp(np.log(ends).mean(axis=0)) if geometric else ends.mean(axis=0)
    return Effect((), *map(float, found), f"{len(effects)} comparisons")


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
    """From where on an effect is enough for the claim, and below which it is none.

    Both are shares, decades or ratios, not in the unit's scale. Without another ``smallest``, the
    smallest effect of interest is what is enough.
    """

    unit: Unit
    enough: float
    smallest: float = math.nan

    def __post_init__(self) -> None:
        if math.isnan(self.smallest):
            object.__setattr__(self, "smallest", self.enough)


@dataclass(frozen=True)
class Part:
    """One assertion of a claim.

    Parameters
    ----------
    text
        What is asserted, as a clause without a capital.
    lead
        What the effect is, as the subject of a sentence: "the share of ...".
    limits
        What decides.
    measurements
        Where it is measured: the study whose design answers it first, and after it those that
        stand in for it where it was not run.
    exists
        Whether the claim is that there is a case ("may"): then one comparison supports it.
    """

    text: str
    lead: str
    limits: Limits
    measurements: tuple[Measurement, ...]
    exists: bool = False

    @property
    def unit(self) -> Unit:
        """What its effects are measured in."""
        return self.limits.unit

    def verdict_on(self, effect: Effect) -> str:
        """Supported, refuted or undecided, for one effect."""
        if effect.low >= self.limits.enough:
            return SUPPORTED
        return REFUTED if effect.high < self.limits.smallest else UNDECIDED

    def rule(self, measurement: Measurement) -> str:
        """The rule in words."""
        unit = self.unit
        several = (
            "One comparison that supports it is enough; it is refuted where all refute it."
            if self.exists
            else "Where several are compared, all must agree; it depends where some support and "
            "some refute it."
        )
        return (
            f"{measurement.measured} Supported where the 95% interval lies wholly at or above "
            f"{unit.words(self.limits.enough)}, refuted where it lies wholly below "
            f"{unit.words(self.limits.smallest)}; otherwise undecided. {several}"
        )


def combined(words: Iterable[str], *, exists: bool = False) -> str:
    """One verdict of several; what was not tested does not count.

    >>> combined(["supported", "not tested"]), combined(["supported", "refuted"])
    ('supported', 'depends')
    >>> combined(["supported", "undecided"])
    'undecided'
    >>> combined(["supported", "refuted"], exists=True)
    'supported'
    """
    tested = {word for word in words if word != NOT_TESTED}
    if not tested:
        return NOT_TESTED
    if len(tested) == 1:
        return tested.pop()
    if exists and SUPPORTED in tested:
        return SUPPORTED
    return DEPENDS if DEPENDS in tested or {SUPPORTED, REFUTED} <= tested else UNDECIDED


@dataclass(frozen=True)
class Claim:
    """A claim of the article, in short, and the parts that are judged.

    ``aside`` says what of it no data could refute.
    """

    number: int
    text: str
    parts: tuple[Part, ...]
    aside: str = ""
