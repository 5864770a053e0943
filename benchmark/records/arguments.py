"""Arguments of public functions that are called by hand, told as the fields of a record are."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from benchmark.records.fields import Rule

P = ParamSpec("P")
T = TypeVar("T")

FAILURES = (TypeError, AttributeError, ValueError, ArithmeticError, LookupError)
"""What a function raises, from somewhere within, that was given what it does not take."""


def takes(**rules: Rule) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """A decorator of a function whose arguments are as ``rules`` say.

    They are looked at once the function has failed: one that is called at every step of training
    takes no longer by it.

    Raises
    ------
    ValueError
        When the function fails: for the first argument whose rule refuses its value. What it
        raised itself, if there is none.

    >>> from benchmark.records.fields import POSITIVE
    >>> @takes(rate=POSITIVE)
    ... def tenth(rate: float) -> float:
    ...     return rate / 10
    >>> tenth("fast")
    Traceback (most recent call last):
        ...
    ValueError: `rate` must be a positive number, but got 'fast'
    """

    def told(function: Callable[P, T]) -> Callable[P, T]:
        signature = inspect.signature(function)

        @functools.wraps(function)
        def call(*given: P.args, **named: P.kwargs) -> T:
            try:
                return function(*given, **named)
            except FAILURES as error:
                refusal = _refusal(signature, rules, given, named)
                if refusal is None:
                    raise
                raise refusal from error

        return call

    return told


def _refusal(
    signature: inspect.Signature,
    rules: dict[str, Rule],
    given: tuple[object, ...],
    named: dict[str, object],
) -> ValueError | None:
    try:
        arguments = signature.bind(*given, **named).arguments
    except TypeError:
        # too many or too few, as Python itself says
        return None
    for name, rule in rules.items():
        try:
            rule(name, arguments.get(name, signature.parameters[name].default))
        except ValueError as refusal:
            return refusal
    return None
