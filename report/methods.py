"""What the methods say of the networks and levels of the grid."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd

from benchmark.status import STATUSES
from report import evidence, prose
from report.evidence import Evidence
from report.text import Markdown, code


def networks(study: Evidence) -> list[dict[str, object]]:
    """The networks of a study: ``model``, ``layers`` and ``parameters``, in words."""
    return [
        {
            "model": model,
            "layers": prose.count(int(rows["depth"].iloc[0]), "hidden layer"),
            "parameters": prose.between(rows["parameters"].min(), rows["parameters"].max()),
        }
        for model, rows in study.outcomes.groupby("model", sort=False)
    ]


def levels(study: Evidence) -> list[dict[str, str]]:
    """Each ``factor`` of a study with its ``levels``."""
    return [
        {"factor": f, "levels": ", ".join(map(prose.name, study.outcomes[f].drop_duplicates()))}
        for f in study.factors
    ]


def with_others(factor: str, caller: Callable[[], str]) -> Markdown:
    """A page's table of a factor's levels, and after it a row for each other one in the results.

    These rows have what the results say of a strategy: its title in the first column, its default
    and its reference under these heads, and what it does in the column that is left.
    """
    table = str(caller()).strip("\n")
    heads, _, *rows = [[cell.strip() for cell in row.split("|")[1:-1]] for row in table.split("\n")]
    named = {row[0] for row in rows}
    lines = [table]
    for level, said in evidence.described().get(factor, {}).items():
        if prose.name(level) in named:
            continue
        formula = Markdown(" ({})").format(code(said["formula"])) if said.get("formula") else ""
        cells = {
            heads[0]: prose.name(level),
            heads[1]: Markdown("{}{}").format(said.get("summary", ""), formula),
            "default": said.get("default", ""),
            "reference": said.get("reference", "").strip("-"),
        }
        texts = [str(Markdown.escape(cells[head])).replace("|", "\\|") for head in heads]
        lines.append(f"| {' | '.join(texts)} |")
    return Markdown("\n".join(lines) + "\n")


TABLED = ("clipping", "normalization", "batch_policy", "schedule", "optimizer")
"""Factors whose levels the page has tables of."""


def other_levels() -> list[dict[str, str]]:
    """What the results say of the levels of all other factors.

    ``factor``, ``level``, ``summary`` and ``reference``.
    """
    return [
        {
            "factor": prose.name(factor),
            "level": prose.name(level),
            "summary": said.get("summary", ""),
            "reference": said.get("reference", "").strip("-"),
        }
        for factor, levels in evidence.described().items()
        if factor not in TABLED
        for level, said in levels.items()
    ]


def meanings() -> list[dict[str, str]]:
    """Every status with its meaning."""
    return [{"status": status, "meaning": meaning} for status, meaning in STATUSES.items()]


def warm_ups(study: Evidence) -> pd.DataFrame:
    """The clippings that have a warm-up, with its ``warm_up_steps``."""
    steps = study.outcomes.groupby("clipping", sort=False)["warm_up_steps"].max()
    return steps[steps > 0].reset_index()
