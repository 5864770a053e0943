"""Computing once what several blocks of a page say something about."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

Found = TypeVar("Found")


def once(compute: Callable[..., Found]) -> Callable[..., Found]:
    """Remember what ``compute(source, *arguments)`` found, as long as the evidence is there.

    The evidence does not change while a book is built; what was found must not be changed either.
    """
    name = f"{compute.__module__}.{compute.__qualname__}"

    @functools.wraps(compute)
    def remembered(source: Any, *arguments: Any) -> Found:
        memory = source.__dict__.setdefault("_remembered", {})
        key = (name, *arguments)
        if key not in memory:
            memory[key] = compute(source, *arguments)
        return memory[key]

    return remembered
