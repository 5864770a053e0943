"""The levels of a factor: the values that a study gives one field of its trials."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

Levels = Mapping[str, Any]
"""Field of a trial -> its levels: a sequence of values, or a single value."""


def levels_of(value: Any) -> list[Any]:
    """The levels of a factor: one value counts as a single level."""
    if isinstance(value, str) or not isinstance(value, Iterable):
        return [value]
    return list(value)


def plain(level: Any) -> Any:
    """A level as it is recorded: the name of a strategy, model or data set, or the value."""
    # not isinstance: to check a protocol takes longer than all else that is done with a trial
    return getattr(level, "name", level)


def plain_levels(block: Levels) -> dict[str, list[Any]]:
    """A block of levels as plain values."""
    return {name: [plain(v) for v in levels_of(value)] for name, value in block.items()}
