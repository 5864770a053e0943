"""Narrowing a study to some levels of its factors, as ``--only`` asks for it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from benchmark.names import Named, UnknownName, quoted, unknown
from benchmark.records.fields import TEXT, TRIAL, Real, Several, Text, Whole, refused
from benchmark.records.levels import Levels, levels_of, plain
from benchmark.records.trials import CONFIGURATION, Trial

BUDGETS = {"epochs": "updates", "updates": "epochs"}
"""Either way to state a budget, and the other, whose place it takes."""


def read_selection(texts: Sequence[str]) -> Mapping[str, list[str]]:
    """``--only`` arguments as factor -> values.

    Raises
    ------
    ValueError
        If one has no ``=`` or no value, or names no factor.

    >>> read_selection(["model=mlp,cnn"])
    {'model': ['mlp', 'cnn']}
    """
    selection: dict[str, list[str]] = {}
    for text in Several(TEXT, "texts FACTOR=VALUE[,VALUE]", least=0)("only", texts):
        factor, equals, values = text.partition("=")
        chosen = [value for value in values.split(",") if value]
        if not equals or not chosen:
            raise ValueError(f"--only takes FACTOR=VALUE[,VALUE], but got {text!r}")
        if factor not in CONFIGURATION:
            raise ValueError(unknown("factor", factor, CONFIGURATION))
        selection[factor] = selection.get(factor, []) + chosen
    return selection


CustomObjects = Mapping[tuple[str, str], Named]
"""Custom strategies, models and data sets by factor and name."""


def custom_objects(blocks: Iterable[Levels]) -> CustomObjects:
    """The objects among the levels of ``blocks``: a command line chooses them by their names."""
    return {
        (factor, level.name): level
        for block in blocks
        for factor, levels in block.items()
        for level in levels_of(levels)
        if isinstance(level, Named)
    }


def narrowed(blocks: Sequence[Levels], name: str, chosen: list[Any]) -> list[Levels]:
    """The blocks that have a level among ``chosen``, with only these of the factor.

    A budget that no block has replaces every block's, in whatever unit.
    """
    default = Trial.__dataclass_fields__[name].default
    levels = [[plain(v) for v in levels_of(block.get(name, default))] for block in blocks]
    new = [v for v in chosen if not any(plain(v) in had for had in levels)]
    kept = [[v for v in chosen if v in new or plain(v) in had] for had in levels]
    replaced = BUDGETS.get(name)
    return [
        {**{k: v for k, v in block.items() if k != replaced}, name: left}
        for block, left in zip(blocks, kept, strict=True)
        if left
    ]


def selected(name: str, texts: Sequence[str], custom: CustomObjects) -> list[Any]:
    """The levels of factor ``name`` that ``texts`` stand for."""
    return [custom.get((name, value), value) for value in typed(name, texts)]


def typed(name: str, texts: Sequence[str]) -> list[Any]:
    """Values of a command line in the type of the field, or one clear error."""
    rule = TRIAL[name]
    if not isinstance(rule, Whole | Real):
        return [_NAME(name, plain(text)) for text in texts]
    number = int if isinstance(rule, Whole) else float
    try:
        found = [number(text) if isinstance(text, str) else text for text in texts]
    except ValueError:
        wanted = "whole numbers" if number is int else "numbers"
        raise ValueError(f"{name} takes {wanted}, but got {','.join(texts)!r}") from None
    # nobody writes None on a command line
    given = dataclasses.replace(rule, optional=False)
    return [given(name, value) for value in found]


_NAME = Text("a name", r".+")


def checked_selection(selection: Any) -> dict[str, list[Any]]:
    """``selection`` as factor -> values, of which one alone may stand there.

    Raises
    ------
    ValueError
        If it is no such mapping, or for the first factor that is none or has no value.

    >>> checked_selection({"clipping": "zclip"})
    {'clipping': ['zclip']}
    """
    if not isinstance(selection, Mapping):
        raise refused("selection", selection, "a mapping of factors to values")
    for name in selection:
        if name not in TRIAL:
            raise UnknownName(unknown("factor", str(name), TRIAL))
    found = {name: levels_of(values) for name, values in selection.items()}
    for name, values in found.items():
        if not values:
            raise ValueError(
                f"`{name}` must have at least one value, but got {quoted(selection[name])}"
            )
    return found
