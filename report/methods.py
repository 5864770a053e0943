"""Strategies that the methods' tables do not know, and how much depends on the level of a spike."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd

from benchmark.statistics import spike_level_sensitivity, where
from report import evidence, linking, prose
from report.evidence import Evidence
from report.text import Markdown, code


def with_others(factor: str, caller: Callable[[], str]) -> Markdown:
    """A page's table of a factor's levels, and after it a row for each other one in the results.

    These rows have what the results say of a strategy: its title in the first column, its default
    and its reference under these heads, and what it does in the column that is left.
    """
    table = str(caller()).strip("\n")
    heads, _, *rows = [[cell.strip() for cell in row.split("|")[1:-1]] for row in table.split("\n")]
    named = {row[0] for row in rows}
    lines = [_anchored(line) for line in table.split("\n")] if factor == linking.FACTOR else [table]
    for level, said in evidence.described().get(factor, {}).items():
        if prose.name(level) in named:
            continue
        formula = Markdown(" ({})").format(code(said["formula"])) if said.get("formula") else ""
        cells = {
            heads[0]: prose.name(level),
            heads[1]: Markdown("{}{}").format(said.get("summary", ""), formula),
            "default": said.get("default", ""),
            "reference": prose.cited(said.get("reference", "").strip("-")),
        }
        texts = [str(Markdown.escape(cells[head])).replace("|", "\\|") for head in heads]
        lines.append(f"| {' | '.join(texts)} |")
    return Markdown("\n".join(lines) + "\n")


def _anchored(line: str) -> str:
    """A row of the table of clippings, whose first cell is the place that its name leads to.

    >>> _anchored("| global norm | rule |")
    '| [global norm]{#clipping-global-norm} | rule |'
    """
    levels = {prose.name(level): level for level in linking.CLIPPINGS}
    head = line.split("|")[1].strip()
    if head not in levels:
        return line
    place = linking.anchor(levels[head])
    return line.replace(f"| {head} |", f"| [{head}]{{#{place}}} |", 1)


def spike_levels(study: Evidence) -> pd.DataFrame:
    """Shares without clipping at multiples of the best rate, by network and ``level`` in words."""
    rows = where(study.relative, clipping="none")
    if rows.empty:
        return rows
    found = spike_level_sensitivity(rows, study.results.history, ("model", "times"))
    pairs = zip(found["least"], found["factor"], strict=True)
    words = [f"max({least:g}, {factor:g} L₀)" for least, factor in pairs]
    return found.assign(level=words).sort_values(["model", "times"], kind="stable")


def moved(levels: pd.DataFrame, column: str) -> float:
    """By how much a share differs between levels, at most, within a network and a multiple."""
    groups = levels.groupby(["model", "times"])[column]
    return float((groups.max() - groups.min()).max())
