"""What each field of a strategy, a model or a data set may be, checked where it is written.

Such a record declares something that is carried out much later, in another process perhaps. A
threshold that is no `Range`, or a rule of three arguments instead of four, is told where it stands
and not by an attribute that something deep inside does not have.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from benchmark.names import quoted
from benchmark.records.fields import TEXT, Rule, Text, check_fields, number_of, refused, sequence
from benchmark.records.ranges import Range

SELECTABLE = Text(
    "a name without blanks, commas and equality signs", r"[^\s,=\x00-\x1f\x7f\ud800-\udfff]+"
)
"""What ``--only FACTOR=NAME,NAME`` can take apart."""
LINE = Text("one line of text", r"[^\x00-\x1f\x7f\ud800-\udfff]*")

DESCRIPTION: dict[str, Rule] = {"name": SELECTABLE, "reference": TEXT, "summary": TEXT}
"""What every such record says of itself."""
SHOWN: dict[str, Rule] = {**DESCRIPTION, "title": LINE, "formula": LINE}
"""The same of those that pages describe."""


def check_declaration(kind: str, record: Any, rules: Mapping[str, Rule]) -> None:
    """Put the plain value that was meant into every field of a frozen ``record`` of a ``kind``.

    Raises
    ------
    ValueError
        For the first field whose rule refuses its value; names the record too.
    """
    try:
        check_fields(record, rules)
    except ValueError as error:
        raise ValueError(f"{kind} {quoted(record.name)}: {error}") from None


@dataclass(frozen=True)
class Function:
    """A function of so many positional ``arguments``, which ``words`` write down; None too where
    it is ``optional``.

    ``builds`` says that it gives a module: then a module itself is none, nor is a class of torch's,
    whose arguments are others.

    >>> Function("(progress) -> factor", 1)("factor", lambda: 1.0)
    Traceback (most recent call last):
        ...
    ValueError: `factor` must be a function (progress) -> factor, but got <lambda>()
    """

    words: str
    arguments: int
    optional: bool = False
    builds: bool = False

    def __call__(self, field: str, value: Any) -> Any:
        """The function itself."""
        if value is None and self.optional:
            return None
        allowed = f"a function {self.words}" + " or None" * self.optional
        if not callable(value) or (self.builds and _is_torch(value)):
            raise refused(field, value, allowed)
        if (signature := _signature(value)) is not None:
            try:
                signature.bind(*[None] * self.arguments)
            except TypeError:
                name = getattr(value, "__name__", None) or type(value).__name__
                found = quoted(_Shown(f"{name}{signature}"))
                raise ValueError(f"`{field}` must be {allowed}, but got {found}") from None
        return value


class _Shown(str):
    def __repr__(self) -> str:
        return str(self)


def _signature(function: Callable[..., Any]) -> inspect.Signature | None:
    try:
        return inspect.signature(function)
    except (TypeError, ValueError):
        # some that are written in C do not say what they take
        return None


def _is_torch(value: Any) -> bool:
    """Whether it is a module, or a class of torch's that takes what its own documentation says."""
    if not isinstance(value, type):
        return hasattr(value, "named_parameters")
    takes_anything = value.__name__ == "Identity"
    return value.__module__.startswith("torch.") and not takes_anything


@dataclass(frozen=True)
class OneOf:
    """One of a few words."""

    choices: tuple[str, ...]

    def __call__(self, field: str, value: Any) -> str:
        """The word itself."""
        if isinstance(value, str) and value in self.choices:
            return str.__str__(value)
        raise refused(field, value, f"one of {', '.join(map(repr, self.choices))}")


@dataclass(frozen=True)
class Instance:
    """An object of a ``kind``, which ``words`` say; None too where it is ``optional``."""

    kind: type
    words: str
    optional: bool = False

    def __call__(self, field: str, value: Any) -> Any:
        """The object itself."""
        if isinstance(value, self.kind) or (value is None and self.optional):
            return value
        raise refused(field, value, self.words + " or None" * self.optional)


RANGE = Instance(Range, "a Range(low, high, default=...)")
RANGE_OR_NONE = Instance(Range, RANGE.words, optional=True)


@dataclass(frozen=True)
class Number:
    """Any number, not finite ones too where they are ``measured``; at least ``low``.

    A whole number stays one, as in ``Decision(64)``.

    >>> Number("a number of at least 1", low=1)("batch_size", 48.0)
    48.0
    """

    words: str = "a number"
    low: float | None = None
    measured: bool = False

    def __call__(self, field: str, value: Any) -> float:
        """The number that is meant."""
        number = number_of(value)
        if number is None:
            raise refused(field, value, self.words)
        try:
            allowed = self.measured or math.isfinite(float(number))
            allowed = allowed and (self.low is None or float(number) >= self.low)
        except OverflowError:
            allowed = False
        if not allowed:
            raise refused(field, value, self.words)
        return number


@dataclass(frozen=True)
class Fixed:
    """A sequence of so many values that ``rule`` allows, which ``words`` say; or None, where it is
    ``optional``.

    ``rising`` says that the first must not be above the last.
    """

    count: int
    rule: Rule
    words: str
    optional: bool = False
    rising: bool = False

    def __call__(self, field: str, value: Any) -> tuple[Any, ...] | None:
        """The values that are meant."""
        if value is None and self.optional:
            return None
        allowed = self.words + " or None" * self.optional
        items = sequence(value)
        if items is None or len(items) != self.count:
            raise refused(field, value, allowed)
        try:
            found = tuple(self.rule(field, item) for item in items)
        except ValueError:
            raise refused(field, value, allowed) from None
        if self.rising and found[0] > found[-1]:
            raise refused(field, value, allowed)
        return found
