"""Public numbers beside what is measured here, and by which rule they agree."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from benchmark.statistics.noise import gradient_samples, noise_scale
from benchmark.statistics.replication import UNTOLD, noise_band, replicates
from benchmark.statistics.seeds import Ends, over_seeds, unanimous
from benchmark.statistics.sharpness import sharpness_over_edge
from report.evidence import Evidence, load
from report.prose import DASH, fixed, number
from report.text import Markdown

FILE = Path(__file__).with_name("published.csv")
STUDIES = ("published", "edge_of_stability")
SETTING = ("dataset", "model", "optimizer", "momentum", "learning_rate", "batch_size", "epochs")
"""Columns of the table of published numbers that choose the trials; an empty one leaves it open."""
NOT_RUN = "not run in this setting"
SHOWN = ["estimate", "low", "high", "value"]
NOTHING: Ends = (math.nan, math.nan, math.nan)
WINDOWS = 4
"""Parts of training in each of which the noise scale is the ratio of two averages."""


@functools.lru_cache(1)
def published() -> pd.DataFrame:
    """What was published: a row a number.

    ``name``, ``source`` (its key in the bibliography), ``url``, ``place``; ``measure`` (one of
    `MEASURES`), ``value``, ``noise`` and ``rule`` (as `replicates` takes them); the `SETTING`, and
    ``updates``, the fewest that it needs; and ``differs``, what is not as in the source whatever
    the scale.
    """
    return pd.read_csv(FILE)


def chosen(trials: pd.DataFrame, row: pd.Series) -> pd.DataFrame:
    """The trials in the setting of a published number; its batch size apart from a gap's."""
    if not pd.isna(row["updates"]):
        trials = trials[trials["steps"] >= row["updates"]]
    for column in SETTING:
        wanted = row[column]
        if pd.isna(wanted) or (row["measure"] == "gap" and column == "batch_size"):
            continue
        values = trials[column]
        alike = (
            values == wanted
            if isinstance(wanted, str)
            else np.isclose(values.astype(float), wanted)
        )
        trials = trials[alike]
    return trials


def accuracy(trials: pd.DataFrame, history: pd.DataFrame, row: pd.Series) -> Ends:
    """Mean test accuracy; a trial that broke counts at chance."""
    return over(trials["accuracy"], trials["seed"])


def over(values: pd.Series, seeds: pd.Series | pd.Index) -> Ends:
    """Mean of ``values`` with its interval over seeds; NaN of none."""
    return over_seeds(values.to_numpy(), seeds) if len(values) else NOTHING


def gap(trials: pd.DataFrame, history: pd.DataFrame, row: pd.Series) -> Ends:
    """Test accuracy of the row's batches minus that of the others of the same seed."""
    return over(*_paired(trials, trials["batch_size"] == row["batch_size"], trials["accuracy"]))


def solved(trials: pd.DataFrame, history: pd.DataFrame, row: pd.Series) -> Ends:
    """Share of seeds that reach the data set's target with clipping, minus that without."""
    reached = (trials["accuracy"] >= trials["target_accuracy"]).astype(float)
    differences, seeds = _paired(trials, trials["clipping"] != "none", reached)
    estimate, low, high = over(differences, seeds)
    if len(seeds) > 1 and differences.nunique() == 1:
        return unanimous(estimate, len(seeds), len(seeds))
    return estimate, max(low, -1.0), min(high, 1.0)


def _paired(
    trials: pd.DataFrame, treated: pd.Series, values: pd.Series
) -> tuple[pd.Series, pd.Index]:
    """Mean differences of the ``treated`` from the others, and the seeds that have both."""
    sides = values.groupby([trials["seed"], treated]).mean().unstack()
    both = sides.reindex(columns=[True, False]).dropna()
    return both[True] - both[False], both.index


def noise_start(trials: pd.DataFrame, history: pd.DataFrame, row: pd.Series) -> Ends:
    """The noise scale of the first sample of gradients."""
    samples = gradient_samples(history, trials)
    return noise_scale(samples[samples["number"] == 0])


def noise_average(trials: pd.DataFrame, history: pd.DataFrame, row: pd.Series) -> Ends:
    """The noise scale of equal parts of training, averaged over these."""
    return noise_scale(gradient_samples(history, trials), WINDOWS)


def edge_end(trials: pd.DataFrame, history: pd.DataFrame, row: pd.Series) -> Ends:
    """Sharpness over 2 / rate at the last checkpoint at which it was measured."""
    ends = _edges(trials, history)
    return over(ends["last"], ends["seed"])


def edge_rise(trials: pd.DataFrame, history: pd.DataFrame, row: pd.Series) -> Ends:
    """How much of 2 / rate the sharpness has won at the end, at the smallest rate.

    At larger ones it may begin above the edge, and fall.
    """
    ends = _edges(trials, history)
    ends = ends[ends["rate"] == ends["rate"].min()]
    return over(ends["last"] - ends["first"], ends["seed"])


def _edges(trials: pd.DataFrame, history: pd.DataFrame) -> pd.DataFrame:
    rows = sharpness_over_edge(history, trials, ["seed"]).sort_values("step")
    return rows.groupby(["trial", "seed", "rate"])["edge"].agg(["first", "last"]).reset_index()


Measurement = Callable[[pd.DataFrame, pd.DataFrame, pd.Series], Ends]
MEASURES: dict[str, Measurement] = {
    f.__name__: f for f in (accuracy, gap, solved, noise_start, noise_average, edge_rise, edge_end)
}
UNITS = {"accuracy": "%", "gap": " points", "solved": " points"}
"""Of measures that are shares of 1, shown in hundredths."""
IN_POINTS = ("accuracy", "gap")
"""Measures that are shown as differences from the published number."""
IN_MULTIPLES = ("noise_start", "noise_average", "edge_end")
"""Measures that are shown as multiples of the published number."""


def measured() -> pd.DataFrame:
    """`published`, with what is measured: ``estimate``, ``low``, ``high``, ``seeds``, ``verdict``.

    ``passes`` are examples seen over those there are. A number whose setting was not run, as at the
    scales at which other data stand in, has none of them.
    """
    rows = [row.to_dict() | _found(row) for _, row in published().iterrows()]
    return pd.DataFrame(rows)


def _found(row: pd.Series) -> dict[str, object]:
    nothing = dict.fromkeys(("estimate", "low", "high", "passes"), math.nan)
    study = load(study_of(row["measure"]))
    trials = chosen(study.outcomes, row) if study else pd.DataFrame()
    found = NOTHING
    if study and len(trials):
        found = MEASURES[row["measure"]](trials, study.results.history, row)
    estimate, low, high = found
    if not math.isfinite(estimate):
        return nothing | {"seeds": 0, "verdict": NOT_RUN}
    seeds = trials["seed"].nunique()
    # a single seed is no evidence either way
    said = replicates(row["rule"], row["value"], row["noise"], found) if seeds > 1 else UNTOLD
    if row["measure"] == "accuracy":
        low, high = max(low, 0.0), min(high, 1.0)
    passes = float((trials["samples"] / trials["examples"]).mean())
    ends = {"estimate": estimate, "low": low, "high": high, "passes": passes}
    return ends | {"seeds": seeds, "verdict": said}


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
    """The rows of `measured` in words: ``said`` by the source, ``found``, ``ends`` and ``link``."""
    said, found, low, high = (
        [written(value, measure) for value, measure in zip(rows[c], rows["measure"], strict=True)]
        for c in ("value", "estimate", "low", "high")
    )
    places = zip(rows["place"], rows["url"], strict=True)
    links = [Markdown("[{}]({})").format(place, Markdown(url)) for place, url in places]
    return rows.assign(
        said=rows["rule"].map({"more": "more than "}).fillna("") + said,
        found=found,
        ends=[DASH if a == DASH else f"{a} to {b}" for a, b in zip(low, high, strict=True)],
        # of texts pandas would make plain ones
        link=pd.Series(links, rows.index, dtype=object),
    )
