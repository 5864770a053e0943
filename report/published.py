"""Public numbers beside what is measured here, and by which rule they agree."""

from __future__ import annotations

import functools
import math
from pathlib import Path

import pandas as pd

from benchmark.statistics.published import beside_published
from benchmark.statistics.replication import noise_band
from report.evidence import Evidence, load
from report.prose import DASH, fixed, number
from report.text import Markdown

FILE = Path(__file__).with_name("published.csv")
STUDIES = ("published", "edge_of_stability")
SHOWN = ["estimate", "low", "high", "value"]


@functools.lru_cache(1)
def published() -> pd.DataFrame:
    """What was published: a row a number.

    ``name``, ``source`` (its key in the bibliography), ``url``, ``place``; what
    `benchmark.statistics.published` needs to measure it; and ``differs``, what is not as in the
    source whatever the scale.
    """
    return pd.read_csv(FILE)


UNITS = {"accuracy": "%", "gap": " points", "solved": " points"}
"""Of measures that are shares of 1, shown in hundredths."""
IN_POINTS = ("accuracy", "gap")
"""Measures that are shown as differences from the published number."""
IN_MULTIPLES = ("noise_start", "noise_average", "edge_end")
"""Measures that are shown as multiples of the published number."""


def measured() -> pd.DataFrame:
    """`beside_published`, each number in the trials of its study, of those that were run."""
    parts = []
    for study in sources():
        own = published()["measure"].map(study_of).eq(study.study)
        parts.append(beside_published(published()[own], study.outcomes, study.results.history))
    return pd.concat(parts).sort_index()


def study_of(measure: str) -> str:
    """The study that a measure is taken from."""
    return "edge_of_stability" if measure.startswith("edge") else "published"


def sources() -> list[Evidence]:
    """The studies of this page that were run."""
    return [study for study in map(load, STUDIES) if study]


def drawn(rows: pd.DataFrame, *, multiples: bool) -> pd.DataFrame:
    """Numbers for a figure beside the published one, which is in the name.

    As ``multiples`` of it, or, of accuracies, in percentage points less it. Adds ``from`` and
    ``to``, the ends of what counts as noise.
    """
    cells = zip(rows["rule"], rows["value"], rows["noise"], strict=True)
    ends = pd.DataFrame([noise_band(*cell) for cell in cells], rows.index, ["from", "to"])
    numbers, value = rows[SHOWN].join(ends), rows["value"]
    numbers = numbers.div(value, axis=0) if multiples else 100 * numbers.sub(value, axis=0)
    said = zip(rows["name"], value, rows["measure"], strict=True)
    names = [f"{name} ({written(published, measure)})" for name, published, measure in said]
    return rows.assign(name=names, **numbers)


def written(value: float, measure: str) -> str:
    """A number with the unit of its measure.

    >>> written(0.858, "accuracy"), written(0.0022, "gap"), written(900.0, "noise_average")
    ('85.80%', '0.22 points', '900')
    >>> written(-0.3, "solved")
    '−30 points'
    """
    if math.isnan(value) or not value:
        return DASH if math.isnan(value) else "0"
    unit = UNITS.get(measure)
    # of ten runs that solve a task or do not, there are no hundredths
    digits = 0 if measure == "solved" else 2
    return f"{fixed(100 * value, digits)}{unit}" if unit else number(value)


def table_rows(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of `measured` in words: ``said``, ``found``, ``ends``, and a ``link`` each."""
    said, found, low, high = (
        [written(value, measure) for value, measure in zip(rows[c], rows["measure"], strict=True)]
        for c in ("value", "estimate", "low", "high")
    )
    places = zip(rows["name"], rows["url"], strict=True)
    links = [Markdown("[{}]({})").format(name, Markdown(url)) for name, url in places]
    return rows.assign(
        said=rows["rule"].map({"more": "more than "}).fillna("") + said,
        found=found,
        # a word is said once, a sign twice
        ends=[
            DASH if a == DASH else f"{a.removesuffix(' points')} to {b}"
            for a, b in zip(low, high, strict=True)
        ],
        # of texts pandas would make plain ones
        link=pd.Series(links, rows.index, dtype=object),
    )
