"""Numbers as words: the sentences of the pages are put together from these."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from report.evidence import COMMAND

NAMES = {"mlp": "MLP", "cnn": "CNN", "tpe": "TPE"}
Row = Mapping[str, Any]


def name(level: str) -> str:
    """A level or column in a sentence: ``global_norm`` becomes global norm."""
    return NAMES.get(level, level.replace("_", " "))


def percent(share: float, digits: int = 1) -> str:
    """A share of 1 as a percentage.

    >>> percent(0.9731)
    '97.3%'
    """
    return f"{100 * share:.{digits}f}%"


def number(value: float, digits: int = 3) -> str:
    """A number to ``digits`` significant digits, never in scientific notation near 1."""
    if value is None or math.isnan(value):
        return "none"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.{digits}g}"


def points(difference: float) -> str:
    """A difference of shares in signed percentage points.

    >>> points(-0.0123)
    '−1.2 points'
    """
    rounded = round(100 * difference, 1)
    sign = "+" if rounded > 0 else "−" if rounded < 0 else ""
    return f"{sign}{abs(rounded):.1f} points"


def spread(low: float, high: float) -> str:
    """A 95% interval of a difference of shares, in points."""
    ends = [points(end).removesuffix(" points") for end in (low, high)]
    return f"95% interval {ends[0]} to {ends[1]}"


def p_value(p: float) -> str:
    """A p-value as ``p = 0.012`` or ``p < 0.001``."""
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"


def count(amount: int, noun: str) -> str:
    """An amount with its noun: ``1 trial``, ``2 trials``."""
    return f"{amount:,} {noun}{'' if amount == 1 else 's'}"


def listing(parts: Iterable[str]) -> str:
    """Parts joined as English does.

    >>> listing(["a", "b", "c"])
    'a, b and c'
    """
    words = list(parts)
    return " and ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else "".join(words)


def sign(row: Row) -> int:
    """1 or -1 where the interval of an effect excludes 0, else 0."""
    return 1 if row["low"] > 0 else -1 if row["high"] < 0 else 0


def against(row: Row, more: str = "higher", less: str = "lower") -> str:
    """Whether a level differs from its baseline, by its interval."""
    words = {1: f"{more} than", -1: f"{less} than", 0: "not distinguishable from"}
    return f"{words[sign(row)]} {name(str(row['baseline']))}"


def effect(row: Row) -> str:
    """An effect with its interval, its corrected p-value and its probability of improvement."""
    return (
        f"{points(row['effect'])} ({spread(row['low'], row['high'])}; "
        f"{p_value(row['p_holm'])} after Holm; probability of improvement "
        f"{row['improvement']:.2f})"
    )


def table(frame: pd.DataFrame, headings: Sequence[str] | None = None) -> str:
    """A frame as a Markdown table; text is written as it is, numbers by `number`."""
    headings = list(headings or frame.columns)
    lines = ["| " + " | ".join(headings) + " |", "|" + " --- |" * len(headings)]
    for row in frame.itertuples(index=False):
        cells = [number(v) if isinstance(v, float) else str(v) for v in row]
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines)


def not_run(study: str) -> str:
    """What a page says in place of a study that is absent."""
    command = COMMAND.format(study=study)
    return f":::{{note}}\nThe study `{study}` was not run. To run it: `{command}`.\n:::"
