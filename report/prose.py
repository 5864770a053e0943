"""Numbers as words: the sentences of the pages are put together from these."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from benchmark.figures import words
from report.evidence import COMMAND

Row = Mapping[str, Any]

name = words
"""A level or column in a sentence: ``global_norm`` becomes global norm."""

NUMERIC = re.compile(r"[<>]? ?[+−-]?[\d.,]+%?|–|")
"""What counts as a number in a cell of a table."""

PHRASES = {
    ("clipping", "none"): "no clipping",
    ("clipping", "update_rms"): "clipping the update's RMS",
    ("clipping", "normalized"): "normalized gradients",
    ("clipping", "skip_step"): "skipping steps",
    ("clipping", "autoclip"): "AutoClip",
    ("clipping", "zclip"): "ZClip",
    ("clipping", "zclip_capped"): "capped ZClip",
    ("clipping", "adagc"): "AdaGC",
    ("normalization", "none"): "no normalization",
    ("normalization", "weight_norm"): "weight normalization",
    ("normalization", "weight_standardization"): "weight standardization",
    ("batch_policy", "fixed"): "a fixed batch size",
    ("batch_policy", "full"): "full batches",
    ("batch_policy", "accumulate"): "accumulation",
    ("batch_policy", "doubling"): "doubling",
}
HYPHENATED = {"global_norm": "global-norm", "per_layer_norm": "per-layer-norm"}


def phrase(factor: str, level: object) -> str:
    """A level of a factor as a sentence can use it.

    >>> phrase("clipping", "global_norm"), phrase("normalization", "none")
    ('global-norm clipping', 'no normalization')
    """
    if found := PHRASES.get((factor, str(level))):
        return found
    if factor in ("clipping", "normalization"):
        return f"{HYPHENATED.get(str(level), name(level))} {factor}"
    return name(level)


def opening(text: str) -> str:
    """``text`` with a capital, for the start of a sentence."""
    return text[:1].upper() + text[1:]


def percent(share: float, digits: int = 1) -> str:
    """A share of 1 as a percentage; none and all are written without decimals.

    >>> percent(0.9731), percent(1.0)
    ('97.3%', '100%')
    """
    whole = round(share, 9) in (0, 1)
    return f"{100 * share:.{0 if whole else digits}f}%"


def number(value: float, digits: int = 3) -> str:
    """A number to ``digits`` significant digits; a dash where there is none.

    >>> number(0.00012345), number(12345.6), number(1.0)
    ('0.000123', '12,346', '1')
    """
    if value is None or math.isnan(value):
        return "–"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if abs(value) >= 1e6 or 0 < abs(value) < 1e-4:
        return f"{value:.{digits - 1}e}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.{digits}g}"


def signed(difference: float) -> str:
    """A difference of shares in percentage points, with its sign and without a unit.

    >>> signed(-0.0123)
    '−1.2'
    """
    rounded = round(100 * difference, 1)
    sign = "+" if rounded > 0 else "−" if rounded < 0 else ""
    return f"{sign}{abs(rounded):.1f}"


def points(difference: float) -> str:
    """A difference of shares in signed percentage points.

    >>> points(-0.0123)
    '−1.2 points'
    """
    return f"{signed(difference)} points"


def spread(low: float, high: float) -> str:
    """A 95% interval of a difference of shares, in points; one run has none."""
    if math.isnan(low):
        return "a single run, so no interval"
    return f"95% interval {signed(low)} to {signed(high)}"


def intervals(rows: pd.DataFrame) -> list[str]:
    """The 95% intervals of a table's rows, in points; they do not break over lines."""
    ends = zip(rows["low"], rows["high"], strict=True)
    texts = [spread(low, high).removeprefix("95% interval ") for low, high in ends]
    return [text.replace(" ", "\N{NO-BREAK SPACE}") for text in texts]


def p_value(p: float) -> str:
    """A p-value as ``p = 0.012`` or ``p < 0.001``."""
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"


def count(amount: int, noun: str) -> str:
    """An amount with its noun: ``1 trial``, ``2 trials``."""
    return f"{amount:,} {noun}{'' if amount == 1 else 's'}"


def listing(parts: Iterable[str], separator: str = ",") -> str:
    """Parts joined as English does.

    >>> listing(["a", "b", "c"])
    'a, b and c'
    """
    texts = list(parts)
    if len(texts) < 2:
        return "".join(texts)
    # where the parts hold commas themselves, "and" alone would not part the last two
    last = " and " if separator == "," else f"{separator} and "
    return f"{separator} ".join(texts[:-1]) + last + texts[-1]


def names(column: pd.Series) -> str:
    """The levels that a column has, in the order of their appearance.

    >>> names(pd.Series(["cnn", "mlp", "cnn"]))
    'CNN and MLP'
    """
    return listing(map(name, column.unique()))


def sign(row: Row) -> int:
    """1 or -1 where the interval of an effect excludes 0, else 0."""
    return 1 if row["low"] > 0 else -1 if row["high"] < 0 else 0


def change(row: Row, what: str) -> str:
    """How a level moves a share, by its interval: ``lowers it by 2.0 points (...)``."""
    spread_of = spread(row["low"], row["high"])
    if sign(row) == 0:
        return f"does not measurably change {what} ({points(row['effect'])}, {spread_of})"
    verb = "raises" if sign(row) > 0 else "lowers"
    ends = sorted((abs(row["low"]), abs(row["high"])))
    low, high = (f"{100 * end:.1f}" for end in ends)
    by = f"{100 * abs(row['effect']):.1f}"
    return f"{verb} {what} by {by} points (95% interval {low} to {high})"


def against(row: Row, baseline: str, more: str = "above", less: str = "below") -> str:
    """Whether a level differs from its baseline, by its interval."""
    words = {1: f"{more} {baseline}", -1: f"{less} {baseline}"}
    return words.get(sign(row), f"not distinguishable from {baseline}")


def table(frame: pd.DataFrame, headings: Sequence[str] | None = None) -> str:
    """A frame as a Markdown table; text is written as it is, numbers by `number`.

    Columns of numbers are aligned to the right.
    """
    cells = [
        [number(v) if isinstance(v, float) else str(v).replace("|", "\\|") for v in row]
        for row in frame.itertuples(index=False)
    ]
    columns = zip(*cells, strict=True)
    rule = ["---:" if all(map(NUMERIC.fullmatch, column)) else "---" for column in columns]
    lines = [list(headings or frame.columns), rule or ["---"] * len(frame.columns), *cells]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def not_run(study: str) -> str:
    """What a page says in place of a study that is absent."""
    command = COMMAND.format(study=study)
    return f":::{{note}}\nThe study `{study}` was not run. To run it: `{command}`.\n:::"
