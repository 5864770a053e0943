"""Public numbers beside what is measured here, and by which rule they agree."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from benchmark.statistics.seeds import Ends, left_open, left_out, over_seeds
from report.evidence import Evidence, load
from report.prose import DASH, fixed, number
from report.text import Markdown

FILE = Path(__file__).with_name("published.csv")
STUDIES = ("published", "edge_of_stability")
SETTING = ("dataset", "model", "optimizer", "momentum", "learning_rate", "batch_size", "epochs")
"""Columns of the table of published numbers that choose the trials; an empty one leaves it open."""
REPRODUCED, DIFFERS, UNTOLD = "reproduced", "differs", "cannot tell"
NOT_RUN = "not run in this setting"
SHOWN = ["estimate", "low", "high", "value"]
NOTHING: Ends = (math.nan, math.nan, math.nan)
WINDOWS = 4
"""Parts of training in each of which the noise scale is the ratio of two averages."""


@functools.lru_cache(1)
def published() -> pd.DataFrame:
    """What was published: a row a number.

    ``name``, ``source`` (its key in the bibliography), ``url``, ``place``; ``measure`` (one of
    `MEASURES`), ``value``, ``noise`` and ``rule`` (as `verdict` takes them); the `SETTING`, and
    ``updates``, the fewest that it needs; and ``differs``, what is not as in the source whatever
    the scale.
    """
    return pd.read_csv(FILE)


def verdict(rule: str, value: float, noise: float, found: Ends) -> str:
    """Whether a measured number, with its interval, is the published one.

    Parameters
    ----------
    rule
        ``near``: it is reproduced where our whole interval lies within the noise of the number.
        ``factor``: where it lies between the number over ``noise`` and ``noise`` times it.
        ``more``: where it lies above ``value``.
        It differs where the estimate is further off and our interval excludes the number; of
        ``more``, where the interval lies below it. Anything else cannot be told.
    found
        Estimate and both ends of its 95% interval: NaN where there is none, as of seeds that all
        agree, and then the estimate alone decides.

    >>> verdict("near", 0.858, 0.02, (0.87, 0.865, 0.875))
    'reproduced'
    >>> verdict("factor", 900, 2, (300.0, 250.0, 350.0))
    'differs'
    >>> verdict("more", 0, math.nan, (0.1, -0.1, 0.3))
    'cannot tell'
    """
    estimate, low, high = found
    if rule == "more":
        return REPRODUCED if low > value else DIFFERS if high < value else UNTOLD
    band = (value / noise, value * noise) if rule == "factor" else (value - noise, value + noise)
    if math.isnan(low) or math.isnan(high):
        low = high = estimate
    if band[0] <= low and high <= band[1]:
        return REPRODUCED
    beyond = not band[0] <= estimate <= band[1]
    return DIFFERS if beyond and not low <= value <= high else UNTOLD


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
    sides = trials.pivot_table(
        index="seed", columns=trials["batch_size"] == row["batch_size"], values="accuracy"
    )
    return paired(sides, shares=False)


def solved(trials: pd.DataFrame, history: pd.DataFrame, row: pd.Series) -> Ends:
    """Share of seeds that reach the data set's target with clipping, minus that without."""
    reached = (trials["accuracy"] >= trials["target_accuracy"]).astype(float)
    clipped = trials["clipping"] != "none"
    sides = trials.assign(reached=reached).pivot_table(
        index="seed", columns=clipped, values="reached"
    )
    return paired(sides, shares=True)


def paired(sides: pd.DataFrame, *, shares: bool) -> Ends:
    """Mean difference of the columns True and False, over seeds that have both.

    Differences of ``shares``, of yes and no, that all agree have no spread: their interval is what
    as many seeds leave open.
    """
    both = sides.reindex(columns=[True, False]).dropna()
    differences = both[True] - both[False]
    estimate, low, high = over(differences, both.index)
    if not shares:
        return estimate, low, high
    if len(both) > 1 and differences.nunique() == 1:
        return around(estimate, len(both))
    return estimate, max(low, -1.0), min(high, 1.0)


def around(difference: float, seeds: int) -> Ends:
    """The interval of a difference of shares that is the same on every seed.

    >>> [round(end, 2) for end in around(1.0, 10)]
    [1.0, 0.44, 1.0]
    """
    others = left_open(seeds, seeds)
    low, high = (difference + others * (end - difference) for end in (-1.0, 1.0))
    return difference, low, high


def noise_start(trials: pd.DataFrame, history: pd.DataFrame, row: pd.Series) -> Ends:
    """The noise scale of the first sample of gradients."""
    samples = sampled(trials, history)
    return without_each_seed(samples[samples["number"] == 0], ratio)


def noise_average(trials: pd.DataFrame, history: pd.DataFrame, row: pd.Series) -> Ends:
    """The noise scale of equal parts of training, averaged over these."""
    samples = sampled(trials, history)
    window = samples["number"] * WINDOWS // (samples["number"].max() + 1)

    def average(rows: pd.DataFrame) -> float:
        return float(np.mean([ratio(part) for _, part in rows.groupby("window")]))

    return without_each_seed(samples.assign(window=window), average)


def sampled(trials: pd.DataFrame, history: pd.DataFrame) -> pd.DataFrame:
    """The samples of gradients of ``trials``, numbered from 0 in each."""
    rows = history.dropna(subset=["gradient_variance"]).merge(trials[["trial", "seed"]], on="trial")
    rows = rows.sort_values(["trial", "step"])
    return rows.assign(number=rows.groupby("trial").cumcount())


def ratio(samples: pd.DataFrame) -> float:
    """B_simple: the mean variance over the mean square, averaged before they are divided."""
    square = samples["gradient_squared"].mean()
    return float(samples["gradient_variance"].mean() / square) if square else math.nan


def without_each_seed(rows: pd.DataFrame, statistic: Callable[[pd.DataFrame], float]) -> Ends:
    """``statistic`` of ``rows``, with its jackknife interval over seeds; NaN of no rows.

    That of a ratio is taken of its logarithm where all are positive: its ends are then positive
    too, and lie about it by one factor.
    """
    if rows.empty:
        return NOTHING
    seeds = rows["seed"].unique()
    others = [statistic(rows[rows["seed"] != seed]) for seed in seeds] if len(seeds) > 1 else []
    whole = statistic(rows)
    if not min(whole, *others, math.inf) > 0:
        return left_out(whole, np.array(others))
    estimate, low, high = map(math.exp, left_out(math.log(whole), np.log(others)))
    return estimate, low, high


def edge_end(trials: pd.DataFrame, history: pd.DataFrame, row: pd.Series) -> Ends:
    """Sharpness over 2 / rate at the last checkpoint at which it was measured."""
    ends = edges(trials, history)
    return over(ends["last"], ends["seed"])


def edge_rise(trials: pd.DataFrame, history: pd.DataFrame, row: pd.Series) -> Ends:
    """How much of 2 / rate the sharpness has won at the end, at the smallest rate.

    At larger ones it may begin above the edge, and fall.
    """
    ends = edges(trials, history)
    ends = ends[ends["rate"] == ends["rate"].min()]
    return over(ends["last"] - ends["first"], ends["seed"])


def edges(trials: pd.DataFrame, history: pd.DataFrame) -> pd.DataFrame:
    """``seed``, ``rate``, and sharpness times rate / 2, ``first`` and ``last``, of each trial."""
    rates = trials[["trial", "seed", "learning_rate"]].rename(columns={"learning_rate": "rate"})
    rows = history.dropna(subset=["sharpness"]).merge(rates, on="trial").sort_values("step")
    rows = rows.assign(edge=rows["sharpness"] * rows["rate"] / 2)
    grouped = rows.groupby(["trial", "seed", "rate"])["edge"]
    return grouped.agg(["first", "last"]).reset_index()


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
    said = verdict(row["rule"], row["value"], row["noise"], found) if seeds > 1 else UNTOLD
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


def _named(rows: pd.DataFrame) -> list[str]:
    cells = zip(rows["name"], rows["value"], rows["measure"], strict=True)
    return [f"{name} ({written(value, measure)})" for name, value, measure in cells]


def differences(rows: pd.DataFrame) -> pd.DataFrame:
    """Accuracies for a figure: in percentage points, less the published one, which is in the name.

    Adds ``from`` and ``to``, the ends of what counts as noise.
    """
    numbers = rows[SHOWN].sub(rows["value"], axis=0)
    numbers = 100 * numbers.assign(**{"from": -rows["noise"], "to": rows["noise"]})
    return rows.assign(name=_named(rows), **numbers)


def multiples(rows: pd.DataFrame) -> pd.DataFrame:
    """Other numbers for a figure: in multiples of the published one, which is in the name.

    Adds ``from`` and ``to``, the ends of what counts as noise.
    """
    value, noise, factor = rows["value"], rows["noise"], rows["rule"] == "factor"
    ends = {"from": (1 / noise).where(factor, 1 - noise / value)}
    ends |= {"to": noise.where(factor, 1 + noise / value)}
    return rows.assign(name=_named(rows), **ends, **rows[SHOWN].div(value, axis=0))


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
