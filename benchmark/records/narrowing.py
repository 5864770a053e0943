"""Narrowing a study to some levels of its factors, as ``--only`` asks for it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from benchmark.names import Named, unknown
from benchmark.records.fields import REAL_NUMBERS, WHOLE_NUMBERS
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
    for text in texts:
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
    number = int if name in WHOLE_NUMBERS else float if name in REAL_NUMBERS else str
    try:
        return [number(text) for text in texts]
    except ValueError:
        wanted = "whole numbers" if number is int else "numbers"
        raise ValueError(f"{name} takes {wanted}, but got {','.join(texts)!r}") from None
