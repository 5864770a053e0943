"""What each field of a record may be: the one validator of everything that a user writes.

A rule takes a field's name and the value that was written. It gives back the plain Python value
that was meant, or raises a ValueError of one line that names the field, the value and what is
allowed. Numbers of numpy and of Python are alike, as are 32 and 32.0 where a whole number is
wanted; a bool is no number. A number of fewer bits than Python's stands for the shortest decimal
that it cannot be told from: ``np.float32(0.1)`` is 0.1, not 0.10000000149011612.
"""

from __future__ import annotations

import math
import numbers
import re
import sys
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Protocol

import numpy as np

from benchmark.names import quoted

LARGEST = 2**53
"""Largest whole number: beyond it a float, as which a key holds numbers, skips some."""
SMALLEST = math.ulp(0.0)
"""Smallest positive float."""


class Rule(Protocol):
    """What a field may be."""

    def __call__(self, field: str, value: Any) -> Any:
        """The plain value that ``value`` means.

        Raises
        ------
        ValueError
            If it is not allowed.
        """
        ...


def refused(field: str, value: Any, allowed: str) -> ValueError:
    """The error that says what ``field`` may be.

    >>> print(refused("seeds", 3, "a sequence of whole numbers"))
    `seeds` must be a sequence of whole numbers, but got 3
    """
    return ValueError(f"`{field}` must be {allowed}, but got {quoted(value)}")


@dataclass(frozen=True)
class Whole:
    """A whole number from ``low`` to ``high``; None too where it is ``optional``.

    >>> Whole(1)("batch_size", np.float32(32))
    32
    """

    low: int
    high: int = LARGEST
    multiple_of: int = 1
    optional: bool = False

    def __call__(self, field: str, value: Any) -> int | None:
        """The whole number that is meant."""
        if value is None and self.optional:
            return None
        number = value if type(value) is int else number_of(value)
        if number is None or not self.low <= number <= self.high:
            raise refused(field, value, self._allowed(number))
        # not equal: a large fraction, whose float is whole
        if number % self.multiple_of or number != value:
            raise refused(field, value, self._allowed(number))
        return int(number)

    def _allowed(self, number: float | None) -> str:
        kind = "a whole number" if self.multiple_of == 1 else f"a multiple of {self.multiple_of}"
        if self.high < LARGEST:
            text = f"{kind} in {self.low}..{self.high}"
        elif number is not None and number > self.high:
            text = f"{kind} <= {self.high}"
        elif self.low == -LARGEST:
            text = kind
        else:
            text = f"{kind} >= {self.low}"
        return text + " or None" * self.optional


@dataclass(frozen=True)
class Real:
    """A finite number from ``low`` to ``high``, which ``words`` say; None too if ``optional``.

    >>> Real("a positive number", low=SMALLEST)("learning_rate", np.float32(0.1))
    0.1
    """

    words: str = "a finite number"
    low: float = -sys.float_info.max
    high: float = sys.float_info.max
    optional: bool = False

    def __call__(self, field: str, value: Any) -> float | None:
        """The number that is meant."""
        if value is None and self.optional:
            return None
        number = value if type(value) is float else number_of(value)
        if number is None or not self.low <= number <= self.high:
            raise refused(field, value, self.words + " or None" * self.optional)
        # minus zero would have another key
        return float(number) if number else 0.0


def whole_of(field: str, value: Any, low: int, high: int = LARGEST) -> int:
    """The whole number from ``low`` to ``high`` that ``value`` means, as `Whole` has it."""
    number = Whole(low, high)(field, value)
    assert number is not None
    return number


def real_of(field: str, value: Any, rule: Real) -> float:
    """The number that ``value`` means, of a ``rule`` that is not optional."""
    number = rule(field, value)
    assert number is not None
    return number


def number_of(value: Any) -> int | float | None:
    """The Python number that ``value`` means; None if it is none."""
    if isinstance(value, bool | np.bool_):
        return None
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value)
    try:
        if getattr(value, "ndim", None) == 0:
            # also a tensor's single number
            value = np.asarray(value)[()]
        if isinstance(value, np.integer):
            return int(value)
        if isinstance(value, np.floating | Decimal):
            return float(str(value))
        if isinstance(value, numbers.Rational):
            whole = value.denominator == 1
            return int(value.numerator) if whole else float(value)
    except (ArithmeticError, TypeError, ValueError, RuntimeError):
        pass
    return None


@dataclass(frozen=True)
class Flag:
    """True or False, of Python or of numpy."""

    def __call__(self, field: str, value: Any) -> bool:
        """The flag that is meant."""
        if isinstance(value, bool | np.bool_):
            return bool(value)
        raise refused(field, value, "True or False")


@dataclass(frozen=True)
class Text:
    """Text that files and terminals can hold; of the form ``pattern``, which ``words`` say."""

    words: str = "text without control characters"
    pattern: str = r"[^\x00-\x08\x0e-\x1f\x7f\ud800-\udfff]*"

    def __call__(self, field: str, value: Any) -> str:
        """The text itself."""
        if isinstance(value, str) and re.fullmatch(self.pattern, value):
            return str.__str__(value)
        raise refused(field, value, self.words)


@dataclass(frozen=True)
class Chosen:
    """A strategy, model or data set: the name of a registered one, or the object itself."""

    def __call__(self, field: str, value: Any) -> Any:
        """The name or the object itself."""
        if type(value) is str:
            return value
        if isinstance(value, str):
            return str.__str__(value)
        # to check the protocol `Named` takes longer than all else that is done with a trial
        name = None if isinstance(value, type) else getattr(value, "name", None)
        if not isinstance(name, str) or not name or not _hashable(value):
            raise refused(field, value, "a name, or an object that has one")
        return value


def _hashable(value: object) -> bool:
    try:
        hash(value)
    except TypeError:
        return False
    return True


@dataclass(frozen=True)
class Several:
    """A sequence, with an order, of values that ``rule`` allows, at least ``least`` of them.

    >>> Several(Whole(0), "whole numbers >= 0")("seeds", np.arange(2))
    (0, 1)
    """

    rule: Rule
    words: str
    least: int = 1

    def __call__(self, field: str, value: Any) -> tuple[Any, ...]:
        """The values that are meant."""
        items = sequence(value)
        if items is None or len(items) < self.least:
            raise refused(field, value, f"a sequence of {self.words}")
        return tuple(self.rule(f"{field}[{i}]", item) for i, item in enumerate(items))


def sequence(value: Any) -> list[Any] | None:
    """The items of ``value`` in their order; None if it is a single value, or has no order."""
    no_sequence = isinstance(value, str | bytes | Mapping | Set) or not isinstance(value, Iterable)
    return None if no_sequence or getattr(value, "ndim", None) == 0 else list(value)


def check_fields(record: object, rules: Mapping[str, Rule]) -> None:
    """Put the plain value that was meant into every field of a frozen ``record``.

    Raises
    ------
    ValueError
        For the first field whose rule refuses its value.
    """
    fields = record.__dict__
    for name, rule in rules.items():
        written = fields[name]
        meant = rule(name, written)
        if meant is not written:
            object.__setattr__(record, name, meant)


NAME = Chosen()
FLAG = Flag()
TEXT = Text()
QUESTION = Text("a sentence", rf"(?s:(?=.*\S){Text.pattern})")
POSITIVE = Real("a positive number", low=SMALLEST)
SEED = Whole(0)
CHECKPOINTS = Whole(4, 1_000_000, multiple_of=4)
"""By quarters of them, because batch policies have their milestones there."""
SEEDS = Several(SEED, "whole numbers >= 0")
DEVICE = Text("auto, cpu, cuda or cuda:N", r"auto|cpu|cuda(:\d{1,3})?")
STUDY_NAME = Text(
    "1 to 64 letters, digits, '_', '-' or '.', not starting with '.'",
    r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,63}",
)
"""What names a folder: nothing that leads out of the one it lies in."""

TRIAL: dict[str, Rule] = {
    "dataset": NAME,
    "train_fraction": Real("a number in (0, 1]", low=SMALLEST, high=1.0),
    "model": NAME,
    "depth": Whole(0, optional=True),
    "width": Whole(0, optional=True),
    "initialization": NAME,
    "init_gain": POSITIVE,
    "normalization": NAME,
    "loss": NAME,
    "optimizer": NAME,
    "momentum": Real("a number in [0, 1)", low=0.0, high=math.nextafter(1.0, 0.0), optional=True),
    "learning_rate": POSITIVE,
    "learning_rate_scaling": NAME,
    "schedule": NAME,
    "clipping": NAME,
    "clipping_threshold": Real(optional=True),
    "batch_policy": NAME,
    "batch_policy_parameter": Real(optional=True),
    "batch_size": Whole(1),
    "epochs": Real("a number in 0..1e9", low=0.0, high=1e9, optional=True),
    "updates": Whole(0, 10**9, optional=True),
    "precision": NAME,
    "disturbance": NAME,
    "seed": SEED,
    "arm": TEXT,
}
"""What each field of a `Trial` may be, whatever the others are."""

WHOLE_NUMBERS = tuple(name for name, rule in TRIAL.items() if isinstance(rule, Whole))
REAL_NUMBERS = tuple(name for name, rule in TRIAL.items() if isinstance(rule, Real))
"""The fields of a `Trial` that are numbers; the others are names."""
