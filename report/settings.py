"""What the studies at hand varied, and what they leave open."""

from __future__ import annotations

import pandas as pd

from benchmark.records import CONFIGURATION
from report import prose
from report.display import needs
from report.evidence import OWNERS, Evidence
from report.prose import name

SETTINGS = [c for c in CONFIGURATION if c not in ("seed", "arm")]


def level_words(factor: str, level: object) -> str:
    """A level of a factor in a list of levels."""
    return f"{prose.number(level)}" if isinstance(level, float) else name(level)


def held_fixed(source: Evidence) -> list[str]:
    """What does not vary, with its value; what no trial has is left out."""
    owned = [c for c in OWNERS if source.varies(c)]
    fixed = [c for c in SETTINGS if c not in source.factors and c not in owned]
    values = {c: source.outcomes[c].iloc[0] for c in fixed}
    return [
        f"{name(c)} {level_words(c, value)}"
        for c, value in values.items()
        if not pd.isna(value) and c not in OWNERS
    ]


@needs("grid")
def networks(source: Evidence) -> str:
    """The networks of the grid, by the sizes that its rows tell."""
    parts = []
    for model, rows in source.outcomes.groupby("model", sort=False):
        low, high = int(rows["parameters"].min()), int(rows["parameters"].max())
        size = f"{low:,}" if low == high else f"{low:,} to {high:,}"
        depth = prose.count(int(rows["depth"].iloc[0]), "hidden layer")
        parts.append(f"the {name(model)} has {depth} and {size} parameters")
    return f"In the grid, {prose.listing(parts)} (normalization adds some)."


@needs("grid")
def levels(source: Evidence) -> str:
    """The grid's factors and their levels, and what was held fixed."""
    frame = source.outcomes
    varied = []
    for factor in source.factors:
        shown = [level_words(factor, v) for v in frame[factor].drop_duplicates()]
        varied.append(f"{name(factor)} ({', '.join(shown)})")
    return (
        f"The grid is the full factorial of {prose.listing(varied)}, each cell with "
        f"{prose.count(frame['seed'].nunique(), 'seed')}. Held fixed: "
        f"{prose.listing(held_fixed(source))}."
    )


@needs("grid")
def limits(source: Evidence) -> str:
    """What the data cannot say, from what did not vary."""
    frame = source.outcomes
    return (
        f"These results hold for {prose.names(frame['dataset'])}, for networks of up to "
        f"{int(frame['parameters'].max()):,} parameters, and for "
        f"{prose.count(frame['seed'].nunique(), 'seed')} a cell. Not varied in the grid: "
        f"{prose.listing(held_fixed(source))}. Intervals cover the choice of the seed and nothing "
        "else."
    )
