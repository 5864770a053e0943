"""Numbers as words: how the pages write what they compute.

`FORMATS` names each way of writing a value; the pages use it as a filter (``{{ share|percent }}``)
and within the patterns of `told` and `table` (``"{level:clipping} {effect:points}"``).
"""

from __future__ import annotations

import html
import itertools
import re
import string
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import quote

import numpy as np
import pandas as pd

from benchmark.figures import words
from benchmark.figures.numbers import (
    DASH,
    between,
    bounds,
    fixed,
    is_nothing,
    number,
    p_value,
    percent,
    points,
    signed,
)
from benchmark.figures.numbers import count as count
from benchmark.figures.phrases import phrase as phrase
from benchmark.figures.phrases import setting
from report.text import Markdown, code

Row = Mapping[str, Any]
Format = Callable[[Any], object]

name = words
"""A level or column in a sentence: ``global_norm`` becomes global norm."""

NBSP = "\N{NO-BREAK SPACE}"
NUMERIC = re.compile(rf"(?: to | of | \(edge\)|[\d\s.,;%<>≤≥±×()/+−{DASH}∞⁻⁰¹²³⁴⁵⁶⁷⁸⁹=p*†])*")
"""Cells of a column of numbers, of ranges and of counts, with the marks of a note."""
IDENTIFIER = re.compile(r"(.+?), (arXiv|doi):([\w./()-]*\w)(.*)")
"""A reference: what it is called, where it lies and what is said of it."""
SITES = {"arXiv": "https://arxiv.org/abs/", "doi": "https://doi.org/"}
PLAIN = re.compile(r"−?\d[\d.,]*%?")
INTERVAL = re.compile(r"([+−]?\d[\d.,]*%?) to ([+−]?\d[\d.,]*%?)")
"""A number that has no plus, and an interval: what the cells of neighbouring columns may be."""
END = r"((?:&#43;|−)?\d[\d.,]*%?)"
BEHIND = re.compile(
    rf"(?<![\w.,;+−])(\d[\d.,]*%?)((?: points)?\s\((?:95% interval )?){END}(\sto\s){END}(?=\))"
)
"""In a page: a number without a sign, and an interval in brackets behind it."""
SEVERAL = 3
"""Rows from which on a column that has the same in each of them is told once."""
SIGN = re.compile(r"(?<=\d) (?=×)|(?<=×) (?=\d)|(?<=\w) (?== )|(?<==) (?=\w)")
"""Spaces of a heading beside a sign, which stays with its number."""


def opening(text: str) -> str:
    """``text`` with a capital, for the start of a sentence."""
    return text[:1].upper() + text[1:]


def spread(row: Row, write: Format = signed) -> str:
    """The 95% interval of a row in a sentence, which says so where there is none.

    >>> spread({"low": 0.01, "high": 0.02}), spread({"low": float("nan"), "high": 0.02})
    ('95% interval +1.0 to +2.0', 'no interval')
    """
    said = bounds(row["low"], row["high"], write)
    return "no interval" if said == DASH else f"95% interval {said}"


def _turned(row: Row) -> tuple[dict[str, float], Format]:
    """The interval of an effect's size, whose sign the sentence has in words, and how to write it.

    >>> _turned({"effect": -0.5, "low": -0.75, "high": -0.25})[0]
    {'low': 0.25, 'high': 0.75}
    """
    ends = -row["high"], -row["low"]
    low, high = ends if row["effect"] < 0 else (row["low"], row["high"])
    return {"low": low, "high": high}, lambda value: fixed(100 * value)


def spread_sizes(row: Row) -> str:
    """`spread` where the sentence has the sign in words: of a loss, the interval of its size.

    >>> spread_sizes({"effect": -0.5, "low": -0.75, "high": -0.25})
    '95% interval 25.0 to 75.0'
    """
    return spread(*_turned(row))


def effect(row: Row) -> str:
    """The effect of a row with its 95% interval, in points.

    >>> effect({"effect": 0.015, "low": 0.01, "high": 0.02})
    '+1.5 points (95% interval +1.0 to +2.0)'
    """
    return f"{points(row['effect'])} ({spread(row)})"


def listing(parts: Iterable[object], separator: str = ",") -> str:
    """Parts joined as English does; Markdown where one of them is.

    A ``separator`` other than the comma is for parts that hold commas themselves.

    >>> listing(["a", "b", "c"], ";"), listing(["a, b", "c"], ";")
    ('a, b and c', 'a, b; and c')
    """
    texts = list(parts)
    marked = any(isinstance(text, Markdown) for text in texts)
    made = [Markdown.escape(text) if marked else str(text) for text in texts]
    empty = Markdown("") if marked else ""
    if len(made) < 2:
        return empty.join(made)
    if not any("," in text for text in made):
        separator = ","
    # where the parts hold commas themselves, "and" alone would not part the last two
    last = " and " if separator == "," else f"{separator} and "
    kind = type(empty)
    return kind(kind(f"{separator} ").join(made[:-1]) + kind(last) + made[-1])


def rate(value: float, edge: object) -> str:
    """A best learning rate, and whether it lies on the edge of those that were tried.

    >>> rate(0.1, ""), rate(10.0, "high")
    ('0.1', '10 (edge)')
    """
    return f"{number(value)}{' (edge)' if edge else ''}"


def unbroken(text: object) -> str:
    """Text that gives way in front of a bracket and nowhere else, for cells of a table.

    >>> unbroken("+0.2 points (−0.1 to +0.4)").split(" ")
    ['+0.2\\xa0points', '(−0.1\\xa0to\\xa0+0.4)']
    """
    return str(text).replace(" ", NBSP).replace(f"{NBSP}(", " (")


def names(levels: Iterable[object]) -> str:
    """The levels that a column has, in the order of their appearance.

    >>> names(pd.Series(["cnn", "mlp", "cnn"]))
    'CNN and MLP'
    """
    return listing(map(name, dict.fromkeys(levels)))


def records(rows: pd.DataFrame | Iterable[Row]) -> list[Row]:
    """The rows of a frame, each with its columns by name."""
    if isinstance(rows, pd.DataFrame):
        return [{str(k): v for k, v in row.items()} for row in rows.to_dict("records")]
    return list(rows)


def first_sentence(text: object) -> Markdown:
    """The first sentence of what a template wrote, on one line.

    >>> first_sentence("A gain of 0.5 points. In the CNN\\nnone.")
    Markdown('A gain of 0.5 points.')
    """
    return _sentences(text)[0]


def first_in_bold(text: object) -> Markdown:
    """What a template wrote, on one line, its first sentence in bold.

    >>> first_in_bold("A gain of 0.5 points. In the CNN\\nnone.")
    Markdown('**A gain of 0.5 points.** In the CNN none.')
    """
    first, *rest = _sentences(text)
    return Markdown(" ").join([Markdown("**{}**").format(first) if first else first, *rest])


def in_points(text: object) -> Markdown:
    """What a template wrote on several lines: the first sentence in bold, and the rest as a list.

    A point a line; a line that does not end with a full stop goes on in the next one. A single
    further line is no list.

    >>> in_points("Yes. In short.\\nIn the MLP\\nby 1.\\nIn the CNN.")
    Markdown('**Yes.** In short.\\n\\n- In the MLP by 1.\\n- In the CNN.')
    >>> in_points("Yes.\\nIn short.")
    Markdown('**Yes.** In short.')
    """
    joined = re.sub(r"(?<=[^.\s])\s*\n\s*", " ", str(text).strip())
    first, *rest = (Markdown(line.strip()) for line in joined.splitlines() if line.strip())
    if len(rest) < 2:
        return first_in_bold(" ".join([first, *rest]))
    points = [Markdown("- {}").format(line) for line in rest]
    return Markdown("\n").join([first_in_bold(first), Markdown(""), *points])


def _sentences(text: object) -> list[Markdown]:
    """The first sentence of ``text``, and the rest where there is any."""
    line = " ".join(str(text).split())
    return [Markdown(part) for part in re.split(r"(?<=\.) (?=[A-Z])", line, maxsplit=1)]


def fold(ratio: float) -> str:
    """By what factor something rises; a factor of one in words.

    >>> fold(1.778), fold(1.0)
    ('1.8-fold', 'not at all')
    """
    return "not at all" if f"{ratio:.2g}" == "1" else f"{number(float(f'{ratio:.2g}'))}-fold"


def _in_brackets(said: object) -> str:
    return "" if said == DASH else f" ({said})"


FORMATS: dict[str, Format] = {
    "name": name,
    "number": number,
    "fixed": fixed,
    "fixed2": lambda value: fixed(value, 2),
    "whole": lambda value: fixed(value, 0),
    "g": number,
    "g2": lambda value: number(float(f"{value:.2g}")),
    "fold": fold,
    "bracketed": lambda value: "" if is_nothing(value) else f"{NBSP}({number(value)})",
    "unbroken": unbroken,
    "give_or_take": lambda value: "" if is_nothing(value) else f" ± {fixed(value, 2)}",
    "percent": percent,
    "percent0": lambda share: percent(share, 0),
    "hundredths": lambda share: fixed(100 * share) if not is_nothing(share) else DASH,
    "hundredths0": lambda share: fixed(100 * share, 0) if not is_nothing(share) else DASH,
    "signed": signed,
    "points": points,
    "size": lambda difference: f"{fixed(abs(100 * difference))} points",
    "p": p_value,
    "millions": lambda value: f"{value / 1e6:,.3g} million" if value >= 1e6 else f"{value:,.0f}",
    "code": code,
    "cited": lambda reference: cited(reference),
    "bold": lambda value: Markdown("**{}**").format(value),
    **{
        factor: (lambda level, factor=factor: setting(factor, level))  # type: ignore[misc]
        for factor in ("clipping", "normalization", "batch_policy", "schedule")
    },
    # of a whole row: {row:effect}
    "effect": effect,
    "spread": spread,
    "spread_sizes": spread_sizes,
    "spread_percents": lambda row: spread(row, percent),
    "spread_decades": lambda row: spread(
        {"low": row["decades_low"], "high": row["decades_high"]}, FORMATS["fixed2"]
    ),
    "brief_sizes": lambda row: FORMATS["brief"](spread_sizes(row)),
    "brief": lambda said: str(said).removeprefix("95% interval "),
    # in the cells of a table
    "interval": lambda row: bounds(row["low"], row["high"]),
    "plain": lambda row: bounds(row["low"], row["high"], FORMATS["hundredths"]),
    "plain0": lambda row: bounds(row["low"], row["high"], FORMATS["hundredths0"]),
    "percents": lambda row: bounds(row["low"], row["high"], percent),
    "percents0": lambda row: bounds(row["low"], row["high"], FORMATS["percent0"]),
    # in brackets behind a share, or nothing where a single seed has no interval
    "in_percents": lambda row: _in_brackets(FORMATS["percents"](row)),
    "in_percents0": lambda row: _in_brackets(FORMATS["percents0"](row)),
    "numbers": lambda row: bounds(row["low"], row["high"], number),
    "numbers2": lambda row: bounds(row["low"], row["high"], FORMATS["g2"]),
    "rates": lambda row: between(row["low_rate"], row["high_rate"], FORMATS["g"]),
    "best": lambda row: rate(row["best_rate"], row["edge"]),
    "ends": lambda row: " to ".join(
        rate(row[f"learning_rate_{end}"], row[f"edge_{end}"]) for end in ("small", "large")
    ),
    "rate": lambda row: rate(row["learning_rate"], row["edge"]),
    "phrase": lambda row: setting(row["factor"], row["level"]),
    "times": lambda row: between(row["least"], row["most"]),
}
"""Each way of writing a value, or a whole row, by the name that pages use."""


class _Pattern(string.Formatter):
    """``{column:format}``, with the formats above and Python's own; ``row`` is the whole row."""

    def get_field(
        self, field_name: str, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> tuple[Any, str]:
        # a column's whole name: no attributes, no items
        return (kwargs if field_name == "row" else kwargs[field_name]), field_name

    def format_field(self, value: Any, format_spec: str) -> str:
        write = FORMATS.get(format_spec)
        found = write(value) if write else shown(value) if not format_spec else None
        return str(Markdown.escape(format(value, format_spec) if found is None else found))


def filled(pattern: str, row: Row) -> Markdown:
    """A pattern of Markdown with the values of a row.

    >>> filled("**{level:clipping}**: {effect:points}", {"level": "value", "effect": 0.01})
    Markdown('**value clipping**: &#43;1.0 points')
    """
    return Markdown(_Pattern().vformat(pattern, (), row))


def told(rows: pd.DataFrame | Iterable[Row], pattern: str, separator: str = ",") -> str:
    """Each row in words, joined as English does."""
    return listing((filled(pattern, row) for row in records(rows)), separator)


def table(
    rows: pd.DataFrame | Iterable[Row],
    columns: Mapping[str, str],
    across: str = "",
    cells: Mapping[str, str] | None = None,
    group: str = "",
    keep: Collection[str] = (),
) -> Markdown:
    """Rows as a Markdown table: ``columns`` gives for each heading the pattern of its cells.

    With ``across`` each value of that column has columns of its own, whose headings and ``cells``
    are patterns both; rows that are alike in ``columns`` make one line, with a dash where none
    has the value. Values come in the order of the rows, numbers in ascending order.

    With ``group``, a pattern, rows that are alike in it stand together, under a line that says it.

    Columns of numbers are aligned to the right, where the style sheet lets no number break over
    lines. A column that no row has anything in is left out, and one that has the same in each of
    several rows is told below the table instead, unless its heading is among those to ``keep``. An
    interval is signed as the number before it is.

    >>> rows = [{"a": "x", "k": 2, "n": 0.5}, {"a": "x", "k": 1, "n": 0.25}]
    >>> print(table(rows, {"a": "{a}"}, "k", {"at {k}": "{n:percent}"}), end="")
    | a | at 1 | at 2 |
    | --- | ---: | ---: |
    | x | 25.0% | 50.0% |
    """
    found, cells = records(rows), cells or {}
    values = list(dict.fromkeys(row[across] for row in found)) if across else []
    if not any(isinstance(value, str) for value in values):
        values.sort()
    wide = [filled(head, {across: value}).unescape() for head in cells for value in values]
    groups: dict[str, dict[object, dict[str, str]]] = {}
    for i, row in enumerate(found):
        first = {head: _cell(filled(pattern, row)) for head, pattern in columns.items()}
        whole = dict.fromkeys([*columns, *wide], DASH) | first
        lines = groups.setdefault(_cell(filled(group, row)), {})
        line = lines.setdefault(tuple(first.values()) if across else i, whole)
        line |= {filled(h, row).unescape(): _cell(filled(p, row)) for h, p in cells.items()}
    body = [list(line.values()) for lines in groups.values() for line in lines.values()]
    plain = [[Markdown(cell).unescape() for cell in line] for line in body]
    heads = [*columns, *wide]
    told_in = [i for i in range(len(heads)) if any(line[i] not in ("", DASH) for line in plain)]
    said_once = [i for i in told_in if i < len(columns) and heads[i] and heads[i] not in keep]
    alike = [i for i in said_once if _same([line[i] for line in plain])]
    # what is the same everywhere compares nothing, unless there is nothing else
    alike = alike if len(told_in) - len(alike) > 1 else []
    shown_in = [i for i in told_in if i not in alike] or range(len(heads))
    for before, behind in itertools.pairwise(shown_in):
        if _unsigned([(line[before], line[behind]) for line in plain]):
            for texts in body:
                texts[behind] = texts[behind].replace("&#43;", "")
    right = [body and all(NUMERIC.fullmatch(line[i]) for line in plain) for i in shown_in]
    drawn = [
        [str(Markdown.escape(SIGN.sub(NBSP, heads[i]))) for i in shown_in],
        ["---:" if numeric else "---" for numeric in right],
    ]
    rest = iter(body)
    for said, lines in groups.items():
        if said:
            drawn.append([f"**{said}**", *[""] * (len(shown_in) - 1)])
        drawn += ([line[i] for i in shown_in] for line in itertools.islice(rest, len(lines)))
    made = "\n".join(f"| {' | '.join(line)} |" for line in drawn) + "\n"
    if alike:
        same = (f"{Markdown.escape(heads[i])} {body[0][i]}" for i in alike)
        made += f"\nThe same in every row: {'; '.join(same)}.\n"
    return Markdown(made)


def _same(cells: Sequence[str]) -> bool:
    return len(cells) >= SEVERAL and len(set(cells)) == 1


def _unsigned(pairs: Sequence[tuple[str, str]]) -> bool:
    """Whether numbers that have no plus stand in front of their intervals, throughout."""
    found = [(number, INTERVAL.fullmatch(interval)) for number, interval in pairs]
    ends = [(_value(n), _value(i[1]), _value(i[2])) for n, i in found if i and PLAIN.fullmatch(n)]
    known = sum(interval not in ("", DASH) for _, interval in pairs)
    inside = all(low <= value <= high for value, low, high in ends)
    return inside and len(ends) == known and any(value > 0 for value, _, _ in ends)


def _value(text: str) -> float:
    return float(re.sub("[,%+]", "", text).replace("−", "-"))


def signed_alike(text: str) -> str:
    """``text`` of a page, in which an interval behind a number without a sign has no plus either.

    >>> signed_alike("loses 0.2 points (&#43;0.1 to &#43;0.3), gains &#43;1.0 (&#43;0.5 to 2)")
    'loses 0.2 points (0.1 to 0.3), gains &#43;1.0 (&#43;0.5 to 2)'
    """

    def alike(found: re.Match[str]) -> str:
        value, low, high = (_value(html.unescape(found[i])) for i in (1, 3, 5))
        return found[0].replace("&#43;", "") if value and low <= value <= high else found[0]

    return BEHIND.sub(alike, text)


def coded(text: object) -> Markdown:
    """Text in which what stands between backticks is code.

    >>> coded("run `make *` now")
    Markdown('run `make *` now')
    """
    parts = str(text).split("`")
    found = (code(part) if i % 2 else Markdown.escape(part) for i, part in enumerate(parts))
    return Markdown("").join(found)


def cited(reference: object) -> Markdown:
    """A reference with a link in place of its identifier at arXiv or its DOI.

    >>> cited("Brock et al. 2021, arXiv:2102.06171 (code)")
    Markdown('[Brock et al&#46; 2021](https://arxiv.org/abs/2102.06171) (code)')
    """
    parts = []
    for part in str(reference).split("; "):
        found = IDENTIFIER.fullmatch(part)
        if found is None:
            parts.append(Markdown.escape(part))
            continue
        text, kind, identifier, rest = found.groups()
        address = Markdown(f"{SITES[kind]}{quote(identifier)}")
        parts.append(Markdown("[{}]({}){}").format(text, address, rest))
    return Markdown("; ").join(parts)


def _cell(text: Markdown) -> str:
    return DASH if text == f"{DASH} to {DASH}" else str(text).replace("|", "\\|")


def shown(value: object) -> Markdown:
    """What a page shows for the value of an expression; an object that is no text is an error."""
    if isinstance(value, bool | np.bool_) or value is None:
        raise TypeError(f"a page cannot show {value!r}")
    if isinstance(value, int | np.integer):
        return Markdown.escape(f"{value:,}".replace("-", "−"))
    if isinstance(value, float | np.floating):
        return Markdown.escape(number(float(value)))
    if hasattr(value, "__html__"):
        return Markdown(value.__html__())
    # an `if` within an expression that has no `else`
    if type(value).__name__ == "Undefined":
        return Markdown("")
    # undefined names raise here
    if isinstance(value, str) or type(value).__name__ == "StrictUndefined":
        return Markdown.escape(str(value))
    raise TypeError(f"a page cannot show a {type(value).__name__}; give it a format")
