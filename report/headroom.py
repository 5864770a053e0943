"""Which rates train with batch normalization, with clipping and with both, at rates all share."""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np
import pandas as pd

from benchmark.figures.numbers import between, bounds, fixed, number
from benchmark.statistics import good_windows, interval, mean, payouts, premiums, where
from report import rates
from report.evidence import Evidence
from report.prose import fold, listing, name, phrase, records, spread_sizes

PLAIN_SGD = {"optimizer": "sgd", "schedule": "constant"}
"""How the remedies are compared; momentum and decays have a page's part of their own."""
PLAIN, NORMALIZED, BOTH = "plain", "batch normalization", "batch normalization, "
TOLERANCES = (0.005, 0.01, 0.015, 0.02)
"""Accuracies (0..1) below the best within which a rate may count as good."""
CRITERIA = (0.005, 0.0075, 0.01)
"""Those at which a sentence about widths has to hold: all of a point or less."""
STEPS = 1.1
"""Steps of the rates by which a window must move to count: more than one, whatever the digits."""
FIRST = (PLAIN, "clipped at 0.1", NORMALIZED)
"""The remedies of the first figure, as far as they were run."""


@functools.lru_cache(8)
def trials(study: Evidence) -> pd.DataFrame:
    """The trials by ``remedy``, in words: plain, clipped, normalized or both.

    With ``clipped`` alone, in words, and how ``normalized`` they are: plain or normalized.
    """
    rows = where(study.outcomes, normalization=["none", "batch"], **PLAIN_SGD)
    clipped = [
        _clipped(*given) for given in zip(rows["clipping"], rows["clipping_threshold"], strict=True)
    ]
    normalized = rows["normalization"].map({"none": PLAIN, "batch": NORMALIZED})
    names = [
        of if how == PLAIN else how if of == PLAIN else f"{BOTH}{of}"
        for how, of in zip(normalized, clipped, strict=True)
    ]
    return rows.assign(remedy=names, clipped=clipped, normalized=normalized)


def _clipped(clipping: str, threshold: float) -> str:
    """How a trial is clipped, as `trials` says it."""
    if clipping == "none":
        return PLAIN
    known = clipping == "global_norm" and not pd.isna(threshold)
    return f"clipped at {number(threshold)}" if known else phrase("clipping", clipping)


@functools.lru_cache(32)
def windows(study: Evidence, within: float = 0.01) -> pd.DataFrame:
    """Which learning rates train well: `good_windows`, a row a ``model`` and ``remedy``.

    With ``role``: empty for plain, ``normalized``, ``clipped`` and ``both``; the ``largest`` rate
    that was run, and whether most learn there, too: ``never_lost``.
    """
    by = ["model", "remedy"]
    found = good_windows(trials(study), ["model"], "remedy", PLAIN, within)
    largest = trials(study).groupby(by)["learning_rate"].max().rename("largest").reset_index()
    both = found["remedy"].str.startswith(BOTH)
    roles = found["remedy"].map({PLAIN: "", NORMALIZED: "normalized"}).fillna("clipped")
    found = found.assign(role=roles.where(~both, "both"), never_lost=np.isinf(found["lost"]))
    return found.merge(largest, on=by, how="left")


def changed(study: Evidence) -> pd.DataFrame:
    """What each remedy does to the window of good rates of the plain network.

    The rows of `windows` but those of the plain network, whose ends are ``..._plain``, and what of
    it is more than one step of the rates, and so in 97.5% of the draws of seeds: ``raised_least``
    and ``raised_good``, the smallest and the largest good rate; ``moved``, both of them;
    ``wider`` and ``narrower``; ``gap_words``, by how many decades it is wider; ``window`` and
    ``width``, the good rates and their decades in words, marked where they reach an end of those
    that were run.
    """
    rows = windows(study)
    of_plain = ["least", "good", "decades", "least_edge", "good_edge"]
    rows = rows.assign(window=_window(rows), width=_width(rows))
    of_plain += ["window", "width"]
    plain = rows[rows["role"] == ""][["model", *of_plain]]
    found = rows[rows["role"] != ""].merge(plain, on="model", suffixes=("", "_plain"))
    step = STEPS * spacing(study)
    for end in ("least", "good"):
        times, low = found[f"{end}_times"], found[f"{end}_times_low"]
        found[f"raised_{end}"] = (times > step) & (low > 1)
    gap, width = found["decades_gap"], np.log10(step)
    return found.assign(
        moved=found["raised_least"] & found["raised_good"],
        wider=(gap > width) & (found["decades_gap_low"] > 0),
        narrower=(gap < -width) & (found["decades_gap_high"] < 0),
        gap_words=[
            _more(wide) + ("" if np.isnan(low) else f", {bounds(low, high, _more)}")
            for wide, low, high in zip(
                *(found[f"decades_gap{end}"] for end in ("", "_low", "_high")), strict=True
            )
        ],
    )


def _more(decades: float) -> str:
    return ("+" if round(decades, 2) > 0 else "") + fixed(decades, 2)


def by_threshold(study: Evidence, tightest: bool = True) -> pd.DataFrame:
    """Of `changed` the rows of the tightest threshold, or the loosest, without normalization."""
    rows = where(changed(study), role="clipped")
    thresholds = trials(study).groupby("clipped")["clipping_threshold"].first()
    rows = rows.assign(threshold=rows["remedy"].map(thresholds).astype(float))
    order = rows.dropna(subset=["threshold"]).sort_values("threshold", ascending=tightest)
    return order.drop_duplicates("model").sort_index()


@functools.lru_cache(8)
def insured(study: Evidence) -> pd.DataFrame:
    """What each remedy costs where a network trains well without it, and pays where it is lost.

    `premiums` by ``model`` and ``remedy``, ``against`` the plain network, and of clipping with
    batch normalization against that alone; each with the good rates that it has, of `windows`.
    """
    ends = windows(study)[["model", "remedy", "least", "good", "least_edge", "good_edge"]]
    parts = [
        premiums(some, ["model"], "remedy", against).assign(against=against)
        for some, against in _sides(study)
    ]
    found = pd.concat([part for part in parts if len(part)] or parts[:1])
    return found.merge(ends, on=["model", "remedy"]) if len(found) else found


def _sides(study: Evidence) -> list[tuple[pd.DataFrame, str]]:
    """The trials of each remedy alone, and of each beside batch normalization; what against."""
    rows = trials(study)
    alone = rows[rows["normalized"].eq(PLAIN) | rows["remedy"].eq(NORMALIZED)]
    return [(alone, PLAIN), (where(rows, normalized=NORMALIZED), NORMALIZED)]


@functools.lru_cache(8)
def beyond(study: Evidence) -> pd.DataFrame:
    """What clipping at the loosest threshold pays at each rate at which most networks fail.

    `payouts` by ``model`` and ``against``, the plain network or that with batch normalization;
    ``said`` has the interval in words, with the sign.
    """
    loose = by_threshold(study, tightest=False)[["model", "remedy"]]
    parts = [
        payouts(some, ["model"], "remedy", against).assign(against=against)
        for some, against in _sides(study)
    ]
    found = pd.concat(parts, ignore_index=True)
    alone = found["remedy"].str.removeprefix(BOTH)
    kept = pd.MultiIndex.from_arrays([found["model"], alone]).isin(pd.MultiIndex.from_frame(loose))
    found = found[kept & (found["remedy"] != NORMALIZED)].reset_index(drop=True)
    ends = found[["payout_low", "payout_high"]].itertuples(index=False)
    return found.assign(said=[bounds(low, high) for low, high in ends])


def half_a_decade_above(study: Evidence) -> pd.DataFrame:
    """Of `beyond` the rows half a decade above the first rate at which most plain networks fail."""
    rows = where(beyond(study), against=PLAIN)
    return rows[np.isclose(rows["above"], 0.5, atol=0.02)].reset_index(drop=True)


def failing_from(study: Evidence) -> pd.DataFrame:
    """From which rate on most networks fail, a row a ``model``: with and without the remedies.

    ``lost`` without any, ``lost_normalized`` with batch normalization (NaN where not run), and, of
    the tightest threshold that was run, in words the ``remedy``, and whether most networks learn
    at every rate with it, up to the ``largest``: ``never``, and the same with batch normalization
    besides (``..._normalized``).
    """
    rows = windows(study)
    plain = where(rows, role="")[["model", "lost"]]
    tight = by_threshold(study)[["model", "remedy", "never_lost", "largest"]]
    found = plain.merge(tight.rename(columns={"never_lost": "never"}), on="model")
    normal = where(rows, role="normalized")[["model", "lost"]]
    both = where(rows, role="both")[["model", "remedy", "never_lost", "largest"]]
    both = both.assign(remedy=both["remedy"].str.removeprefix(BOTH))
    found = found.merge(normal, on="model", how="left", suffixes=("", "_normalized"))
    both = both.rename(columns={"never_lost": "never_normalized"})
    found = found.merge(both, "left", on=["model", "remedy"], suffixes=("", "_normalized"))
    return found.assign(never_normalized=found["never_normalized"].eq(True))


def uninsured(study: Evidence) -> pd.DataFrame:
    """Of `beyond` the networks with batch normalization to which clipping pays surely less.

    At the first rate at which most of them fail, than to the plain network at its first. ``tight``
    is what the tightest threshold pays there (NaN where it was not run); ``loosest`` and
    ``tightest`` are the two thresholds.
    """
    first = where(beyond(study), above=0.0)
    plain = where(first, against=PLAIN)[["model", "payout_low"]]
    both = where(first, against=NORMALIZED).merge(plain, on="model", suffixes=("", "_plain"))
    both = both[both["payout_high"] < both["payout_low_plain"]].reset_index(drop=True)
    if both.empty:
        return both
    loose = by_threshold(study, tightest=False)[["model", "threshold"]]
    tight = by_threshold(study)[["model", "threshold", "remedy"]]
    paid = insured(study)[["model", "remedy", "payout"]].rename(columns={"payout": "tight"})
    tight = tight.assign(remedy=BOTH + tight["remedy"]).merge(paid, "left").drop(columns="remedy")
    both = both.merge(loose.rename(columns={"threshold": "loosest"}), on="model")
    return both.merge(tight.rename(columns={"threshold": "tightest"}), on="model")


def in_words(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows of `insured` with their intervals and windows in words.

    ``..._interval`` of ``premium`` and ``payout`` for a table, ``..._said`` for a sentence that has
    the sign in words; ``one_rate``, the extremes at a single one; ``window``, the good rates.
    """
    found = rows.assign(
        one_rate=_each(rows, "premium_least", "premium_most", bounds), window=_window(rows)
    )
    for part in ("premium", "payout"):
        names = {part: "effect", f"{part}_low": "low", f"{part}_high": "high"}
        effects = records(rows[list(names)].rename(columns=names))
        found[f"{part}_interval"] = [bounds(row["low"], row["high"]) for row in effects]
        found[f"{part}_said"] = [spread_sizes(row) for row in effects]
    return found


def _each(
    rows: pd.DataFrame, low: str, high: str, write: Callable[[float, float], str]
) -> list[str]:
    return [write(*ends) for ends in zip(rows[low], rows[high], strict=True)]


def _window(rows: pd.DataFrame) -> list[str]:
    """The good rates of each row, and whether they reach an end of those that were run."""
    marks = [("≤ " if edge else "") for edge in rows["least_edge"]]
    said = (text.rpartition(" ") for text in _each(rows, "least", "good", between))
    return [
        f"{mark}{start}{space}{'≥ ' if edge else ''}{last}"
        for mark, (start, space, last), edge in zip(marks, said, rows["good_edge"], strict=True)
    ]


def _width(rows: pd.DataFrame) -> list[str]:
    """The decades of each row's good rates, at least these where they reach an end of the rates."""
    at_least = np.where(rows["least_edge"] | rows["good_edge"], "≥ ", "")
    return [f"{mark}{fixed(wide, 2)}" for mark, wide in zip(at_least, rows["decades"], strict=True)]


def widened(study: Evidence, tried: Evidence | None) -> pd.DataFrame:
    """Of `changed` the networks in which batch normalization widens the window, in words.

    ``said`` is from how many to how many decades: as ``tried``, a study of more rates of the same
    network, has it, where it was run, and else what was seen here; ``here`` is always the latter.
    """
    rows = where(changed(study), role="normalized", wider=True)
    here = [
        f"from {plain} to {wide} decades"
        for plain, wide in zip(rows["width_plain"], rows["width"], strict=True)
    ]
    more = rates.spans(tried, "normalization") if tried and len(rows) else None
    said = list(here)
    if more is not None:
        for place, model in enumerate(rows["model"]):
            wide = where(more, model=model).set_index("level")["decades"]
            if {"none", "batch"} <= set(wide.index):
                ends = fixed(wide["none"], 2), fixed(wide["batch"], 2)
                said[place] = "from {} to {} decades".format(*ends)
    return rows.assign(here=here, said=said)


def premium(study: Evidence) -> pd.DataFrame:
    """Of `insured` what clipping a plain network at the loosest threshold costs and pays.

    With its ``threshold``, and `in_words`: the row that a sentence about insurance tells.
    """
    loose = by_threshold(study, tightest=False)[["model", "remedy", "threshold"]]
    return in_words(insured(study).merge(loose, on=["model", "remedy"])) if len(loose) else loose


def tightened(study: Evidence) -> pd.DataFrame:
    """Whether windows move as thresholds do, without normalization.

    By ``model`` the loosest and the tightest threshold, ``loose`` and ``tight``, how many ``times``
    as tight that is, and ``raised``, how many times as high the largest good rate then is;
    ``in_step`` says whether these two agree to one step of the rates. Empty with one threshold.
    """
    ends = [by_threshold(study, tight)[["model", "threshold", "good"]] for tight in (False, True)]
    found = ends[0].merge(ends[1], on="model", suffixes=("_loose", "_tight"))
    found = found.rename(columns={"threshold_loose": "loose", "threshold_tight": "tight"})
    found = found[found["loose"] > found["tight"]].reset_index(drop=True)
    raised, times = found["good_tight"] / found["good_loose"], found["loose"] / found["tight"]
    in_step = np.abs(np.log(raised / times)) <= np.log(1.01 * spacing(study))
    return found.assign(raised=raised, times=times, in_step=in_step)


def windows_in_words(study: Evidence) -> pd.DataFrame:
    """`windows` as cells of a table: each end and its interval, and what lies beyond the rates."""
    rows = windows(study)
    least, good, lost = (
        rows[[name, f"{name}_low", f"{name}_high"]].to_numpy() for name in ("least", "good", "lost")
    )
    at_least = np.where(rows["least_edge"] | rows["good_edge"], "≥ ", "")
    decades = zip(at_least, rows["decades"], rows["decades_low"], rows["decades_high"], strict=True)
    return rows.assign(
        least_words=[
            ("≤ " if edge else "") + _span(*ends)
            for edge, ends in zip(rows["least_edge"], least, strict=True)
        ],
        good_words=[
            ("≥ " if edge else "") + _span(*ends)
            for edge, ends in zip(rows["good_edge"], good, strict=True)
        ],
        lost_words=[
            _span(rate, low, high, largest)
            for (rate, low, high), largest in zip(lost, rows["largest"], strict=True)
        ],
        decades_words=[
            f"{mark}{fixed(wide, 2)}"
            + ("" if np.isnan(low) or low == high else f" ({fixed(low, 2)} to {fixed(high, 2)})")
            for mark, wide, low, high in decades
        ],
    )


def _span(estimate: float, low: float, high: float, most: float = np.inf) -> str:
    """A rate and the interval that it has; beyond the largest that was run, ``most``."""
    first, least, last = (
        f"> {number(most)}" if np.isinf(x) else number(float(f"{x:.3g}"))
        for x in (estimate, low, high)
    )
    return first if np.isnan(low) or least == last else f"{first} ({least} to {last})"


@functools.lru_cache(8)
def by_criterion(study: Evidence) -> pd.DataFrame:
    """The windows of clipped networks beside the plain one, at each of `CRITERIA`.

    By ``model``, ``remedy`` and ``points``, that many below the best: ``decades`` and
    ``decades_plain``, and ``raised``, whether both ends lie higher than those of the plain network.
    """
    ends = ["least", "good", "decades"]
    parts = []
    for within in CRITERIA:
        rows = windows(study, within)
        plain = where(rows, role="")[["model", *ends]]
        found = where(rows, role="clipped")[["model", "remedy", *ends]]
        found = found.merge(plain, on="model", suffixes=("", "_plain"))
        raised = found["least"].gt(found["least_plain"]) & found["good"].gt(found["good_plain"])
        parts.append(found.assign(points=100 * within, raised=raised))
    return pd.concat(parts, ignore_index=True)


def criteria_in_words(study: Evidence) -> pd.DataFrame:
    """`by_criterion`, a row a ``model`` and ``remedy``: the ``gaps`` in width at each of them."""
    rows = by_criterion(study)
    rows = rows.assign(gaps=(rows["decades"] - rows["decades_plain"]).map(_more))
    return rows.groupby(["model", "remedy"], sort=False)["gaps"].agg(listing).reset_index()


def by_tolerance(study: Evidence) -> pd.DataFrame:
    """`windows` of each ``model`` and ``remedy`` at each ``tolerance`` (0..1)."""
    rows = pd.concat([windows(study, within).assign(tolerance=within) for within in TOLERANCES])
    return rows.assign(window=_window(rows))


def spacing(study: Evidence) -> float:
    """The largest ratio of neighbouring learning rates: no end is known any better."""
    rates = np.sort(trials(study)["learning_rate"].unique())
    return float((rates[1:] / rates[:-1]).max()) if len(rates) > 1 else 1.0


def two_steps(study: Evidence) -> float:
    """Two steps of the rates in decades, the least by which a window's width counts as changed."""
    return 2 * float(np.log10(spacing(study)))


@functools.lru_cache(8)
def moved(study: Evidence) -> pd.DataFrame:
    """Of `changed` what batch normalization does, a row a ``model``, in words.

    ``normalized_good`` is how many times as high the largest good rate is, ``apart`` whether
    that is a significant rise, and ``said`` the same in words, with the range of the draws of
    seeds where they do not all agree.
    """
    found = where(changed(study), role="normalized")
    rows = found[["good_times", "good_times_low", "good_times_high", "raised_good"]]
    said = [
        fold(times) + ("" if low == high else f" ({number(float(f'{low:.2g}'))}- to {fold(high)})")
        if raised
        else "not significantly"
        for times, low, high, raised in rows.itertuples(index=False)
    ]
    facts = {"normalized_good": found["good_times"], "apart": found["raised_good"]}
    return found.assign(**facts, said=said).reset_index(drop=True)


def first(study: Evidence) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The trials and the `windows` that the first figure shows: those of `FIRST`, in its order."""
    rows = where(windows(study), remedy=list(FIRST))
    order = rows["remedy"].map(FIRST.index).sort_values(kind="stable").index
    shown = ["model", "remedy", "learning_rate", "seed", "steps", "validation", "accuracy"]
    return where(trials(study), remedy=list(FIRST))[shown], rows.loc[order]


def differences(study: Evidence) -> pd.DataFrame:
    """What clipping changes at each learning rate, paired by seed: `over_seeds` of test accuracy.

    By ``network`` (with batch normalization or not), ``remedy`` in words and ``learning_rate`` the
    ``estimate``, ``low`` and ``high`` (0..1).
    """
    rows = trials(study)
    keys = ["model", "normalized", "learning_rate", "seed"]
    bare = where(rows, clipped=PLAIN)[[*keys, "accuracy"]]
    both = rows[rows["clipped"] != PLAIN].merge(bare, on=keys, suffixes=("", "_bare"))
    if both.empty:
        return pd.DataFrame(columns=["network", "remedy", "learning_rate", "estimate"])
    networks = [
        name(model) + ("" if how == PLAIN else f", {how}")
        for model, how in zip(both["model"], both["normalized"], strict=True)
    ]
    both = both.assign(change=both["accuracy"] - both["accuracy_bare"], network=networks)
    found = interval(both, "change", ["network", "clipped", "learning_rate"], statistic=mean)
    return found.rename(columns={"clipped": "remedy"})


def by_rate(study: Evidence, value: str) -> pd.DataFrame:
    """Mean ``value`` of each ``remedy`` at each rate, with its interval; of learned, the share."""
    rows = trials(study)
    if value == "learned":
        rows = rows.assign(learned=rows["learned"].astype(bool))
    return interval(rows, value, ["model", "remedy", "learning_rate"], statistic=mean)
