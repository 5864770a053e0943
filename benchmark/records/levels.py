"""The levels of a factor: the values that a study gives one field of its trials."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmark.names import UnknownName, quoted, unknown
from benchmark.records.fields import TRIAL, Rule, refused, sequence

BLOCK = "a mapping of factors to levels"
Levels = Mapping[str, Any]
"""Field of a trial -> its levels: a sequence of values, or a single value."""


def levels_of(value: Any) -> list[Any]:
    """The levels of a factor: one value counts as a single level."""
    items = sequence(value)
    return [value] if items is None else items


def plain(level: Any) -> Any:
    """A level as it is recorded: the name of a strategy, model or data set, or the value."""
    # not isinstance: to check a protocol takes longer than all else that is done with a trial
    return getattr(level, "name", level)


def plain_levels(block: Levels) -> dict[str, list[Any]]:
    """A block of levels as plain values.

    Raises
    ------
    ValueError
        If it is no mapping.
    """
    if not isinstance(block, Mapping):
        raise refused("block", block, BLOCK)
    return {name: [plain(v) for v in levels_of(value)] for name, value in block.items()}


def checked_levels(factor: str, value: Any, rule: Rule | None = None) -> Any:
    """The levels that ``value`` means: a list or a tuple of plain values, or a single one.

    Raises
    ------
    ValueError
        For the first that ``rule``, by default that of the field, refuses; or if there is none.
    """
    rule = rule or TRIAL[factor]
    items = sequence(value)
    if items is None:
        return rule(factor, value)
    if not items:
        raise ValueError(f"`{factor}` must have at least one level, but got {quoted(value)}")
    levels = [rule(factor, item) for item in items]
    return levels if isinstance(value, list) else tuple(levels)


def checked_block(field: str, block: Any, *, empty: bool = True) -> dict[str, Any]:
    """``block`` as a dict whose keys are fields of `Trial`, ``empty`` only where that is allowed.

    Raises
    ------
    ValueError
        If it is no such mapping (of the record's ``field``), or for the first key that is no
        factor.
    """
    if not isinstance(block, Mapping):
        raise refused(field, block, BLOCK)
    if not block and not empty:
        raise ValueError(f"`{field}` must have at least one factor, but got {quoted(block)}")
    for name in block:
        if name not in TRIAL:
            raise UnknownName(unknown("factor", str(name), TRIAL))
    return dict(block)
