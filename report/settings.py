"""What the studies at hand varied, and what they leave open."""

from __future__ import annotations

from report import prose
from report.display import needs
from report.evidence import Evidence
from report.prose import name


@needs("grid")
def levels(source: Evidence) -> str:
    """The grid's factors and their levels, and what was held fixed."""
    frame = source.outcomes
    varied = []
    for factor in source.factors:
        values = frame[factor].drop_duplicates()
        shown = [f"{v:g}" if isinstance(v, float) else name(str(v)) for v in values]
        varied.append(f"{name(factor)} ({', '.join(shown)})")
    fixed = [
        f"{name(factor)} {frame[factor].iloc[0]}"
        for factor in ("dataset", "optimizer", "schedule", "epochs", "batch_size")
        if not source.varies(factor)
    ]
    return (
        f"The grid is the full factorial of {prose.listing(varied)}, each cell with "
        f"{prose.count(frame['seed'].nunique(), 'seed')}. Held fixed: {prose.listing(fixed)}."
    )


@needs("grid")
def limits(source: Evidence) -> str:
    """What the data cannot say, from what did not vary."""
    frame = source.outcomes
    fixed = [
        name(factor)
        for factor in ("dataset", "optimizer", "schedule", "batch_size", "init_gain", "epochs")
        if not source.varies(factor)
    ]
    return (
        f"These results hold for {prose.listing(frame['dataset'].unique())}, for networks of up to "
        f"{int(frame['parameters'].max()):,} parameters, and for "
        f"{prose.count(frame['seed'].nunique(), 'seed')} a cell. Not varied in the grid: "
        f"{prose.listing(fixed)}. Intervals cover the choice of the seed and nothing else."
    )
