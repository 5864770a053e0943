"""What statistics are given: one clear line for a column, a list or a level that is none."""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable, Iterable
from typing import Any, ParamSpec, TypeVar

import pandas as pd

from benchmark.names import quoted, unknown
from benchmark.records import CONFIGURATION

P = ParamSpec("P")
R = TypeVar("R")

MADE = (
    *("accuracy", "validation", "objective"),
    *("exploded", "overshoot", "diverged", "learned", "could_act", "policy_could_act"),
)
"""Columns that `benchmark.statistics.outcomes` adds to trials."""
LISTS = ("by", "across", "over", "ignore", "keys", "values")
"""Parameters that are lists of columns."""
COLUMNS = ("value", "factor", "outcome")
"""Parameters that are one column."""
USUAL = ("none", "fixed", "constant", "sgd", "float32")
"""Baselines of the suite, which a study that was narrowed may lack: nothing is compared then."""


def checked(statistic: Callable[P, R]) -> Callable[P, R]:
    """A ``statistic`` of a frame that says in one line which of its arguments is wrong.

    Its parameters `LISTS` must be lists of columns of the frame, those of `COLUMNS` columns. Of
    ``ignore`` a configuration column may be missing: then there is nothing to ignore.

    Raises
    ------
    ValueError
        Quotes what was given, and lists what is allowed.
    """
    signature = inspect.signature(statistic)
    first = next(iter(signature.parameters))

    @functools.wraps(statistic)
    def wrapper(*args: P.args, **kw: P.kwargs) -> R:
        given = signature.bind(*args, **kw).arguments
        frame = given[first]
        if not isinstance(frame, pd.DataFrame):
            raise ValueError(f"`{first}` must be a DataFrame, but got {quoted(frame)}")
        for parameter, value in given.items():
            if parameter in LISTS:
                _check_list(frame, parameter, value)
            elif parameter in COLUMNS and value is not None:
                _check_column(frame, parameter, value)
        try:
            return statistic(*args, **kw)
        except KeyError as error:
            # a column that no argument names; pandas says it in various words
            for name in set(re.findall(r"\w+", str(error))) & set(MADE):
                _check_column(frame, first, name)
            raise

    return wrapper


def _check_list(frame: pd.DataFrame, parameter: str, names: Any) -> None:
    if isinstance(names, str) or not isinstance(names, Iterable):
        raise ValueError(
            f"`{parameter}` must be a list of columns, but got {quoted(names)}; write [{names!r}]"
        )
    for name in names:
        if parameter != "ignore" or name not in CONFIGURATION:
            _check_column(frame, parameter, name)


def _check_column(frame: pd.DataFrame, parameter: str, name: Any) -> None:
    if name in frame.columns:
        return
    if name in MADE and "status" in frame:
        raise ValueError(
            f"these trials have no column {name!r} yet; `outcomes(trials)` adds it: give its result"
        )
    raise ValueError(unknown(f"column in `{parameter}`", str(name), map(str, frame.columns)))


def check_baseline(frame: pd.DataFrame, factor: str, baseline: object) -> None:
    """That ``baseline`` is a level of ``factor``, unless it is one of the suite's (`USUAL`).

    >>> check_baseline(pd.DataFrame({"clipping": ["none", "value"]}), "clipping", "valu")
    Traceback (most recent call last):
    ValueError: unknown level of 'clipping' 'valu'. Did you mean 'value'? Allowed: none, value.

    Raises
    ------
    ValueError
        Quotes the baseline, and lists the levels.
    """
    if len(frame) and isinstance(baseline, str) and baseline not in USUAL:
        levels = list(map(str, frame[factor].dropna().unique()))
        if baseline not in levels:
            raise ValueError(unknown(f"level of {factor!r}", baseline, levels))
