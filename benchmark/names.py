"""Things that have a name, and finding one by it, with an error that helps."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Protocol, TypeVar, runtime_checkable

T = TypeVar("T")

SHOWN = 60
"""Most characters of a refused value that an error shows."""


@runtime_checkable
class Named(Protocol):
    """Anything that has a name: a custom clipping, normalization or data set."""

    @property
    def name(self) -> str:
        """What rows and command lines call it."""
        ...


Choice = str | Named
"""A strategy, model or data set: the name of a registered one, or the object itself."""


class UnknownName(ValueError):
    """A name that nothing is registered under."""


def find(choice: Choice, registry: Mapping[str, T], kind: str) -> T:
    """The entry that ``choice`` names, or ``choice`` itself where it is an object already.

    Raises
    ------
    UnknownName
        Quotes the name, the nearest valid one and all that are allowed.
    ValueError
        If it is neither, or a custom object has the name of a registered one: rows are told apart
        by name.
    """
    if not isinstance(choice, str):
        if not isinstance(getattr(choice, "name", None), str):
            raise ValueError(
                f"`{kind}` must be a name or an object that has one, but got {quoted(choice)}"
            )
        if registry.get(choice.name, choice) != choice:
            raise ValueError(f"{kind} {choice.name!r} is registered already; choose another name")
        return choice  # type: ignore[return-value]
    if choice not in registry:
        raise UnknownName(unknown(kind, choice, registry))
    return registry[choice]


def unknown(kind: str, name: str, allowed: Iterable[str]) -> str:
    """One line that says which name is unknown, the nearest valid one and all valid ones."""
    allowed = list(allowed)
    near = difflib.get_close_matches(name[:SHOWN], allowed, n=1, cutoff=0.6)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    return f"unknown {kind} {quoted(name)}.{hint} Allowed: {', '.join(allowed)}."


def quoted(value: object) -> str:
    """``value`` as an error shows it: on one line, and not too long.

    >>> print(quoted(list(range(100))))
    [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16...
    """
    try:
        text = " ".join(repr(value).split())
    except Exception:
        text = f"a value of type {type(value).__name__}"
    # what cannot be encoded cannot be printed
    text = text.encode("utf-8", "backslashreplace").decode()
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 3]}..."
