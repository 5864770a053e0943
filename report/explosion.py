"""When training explodes, and what gradients do before it."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from benchmark.statistics import missed_by_nan_test
from benchmark.statistics.bands import BANDS, NO_RATE, explosions_by, in_bands
from benchmark.statistics.budgets import usual_budget
from benchmark.statistics.explosions import (
    exploding_alike,
    least_exploding_rate,
    one_of_each,
)
from benchmark.statistics.onset import (
    norms_before_onset,
    rises_before_onset,
    windows_before_onset,
)
from benchmark.statistics.selection import where
from benchmark.status import silently_collapsed
from report import evidence
from report.evidence import Evidence, share_of
from report.index import REPEATED
from report.prose import DASH, names, phrase

LATE = 100
"""Steps after which an explosion counts as late."""
IN_ORDER = [*BANDS, NO_RATE]
STUDIES = (
    *("explosion", "deep", "headline", "grid", "learning_rate", "batch_updates", "optimizers"),
    *("article", "architectures"),
)
"""Studies whose explosions are counted, where they were run."""
SHALLOW = ["mlp", "cnn"]
"""Networks in which numbers stay finite although training is lost."""
DEEP = ["mlp_deep"]
"""The plain networks of several hidden layers beside them."""
WARM = ("warmup", "warmup_cosine", "one_cycle")
SCHEDULED = ("learning_rate", "deep")
"""Studies that vary the schedule at the same learning rates."""
LABELLED = ("detectors", "labelled_steps")
"""The study and its table that has every step."""


def mapped(study: Evidence) -> pd.DataFrame:
    """The trials of the map: those of the budget that most have."""
    return usual_budget(study.outcomes)


def longer(study: Evidence) -> pd.DataFrame:
    """The trials that were given more updates than those of the map, to see what comes late."""
    return study.mapped[study.mapped["updates"] > mapped(study)["updates"].max()]


@functools.lru_cache(8)
def clipped_alike(study: Evidence) -> pd.DataFrame:
    """The trials of the map of the networks that were run with all of its clippings.

    With ``unlearned``, whether a trial did not learn. A clipped loss that does not spike does not
    count as explosion although nothing may have been learned.
    """
    rows = mapped(study)
    networks = ["normalization", "depth", "init_gain", "learning_rate"]
    levels = rows.groupby(networks)["clipping"].transform("nunique")
    alike = rows[levels == rows["clipping"].nunique()]
    return alike.assign(unlearned=1.0 - alike["learned"])


def survivors(study: Evidence) -> pd.DataFrame:
    """How the networks of `longer` fared, by learning rate.

    Of ``networks``: how many ``survived`` the first `LATE` updates without an explosion, how many
    of these exploded ``late``, and how many collapsed without a spike (``silent``).
    """
    rows = longer(study)
    # a collapse without a spike has a first bad step, too
    began = rows["first_bad_step"].where(rows["exploded"].eq(1)).astype(float)
    events = pd.DataFrame(
        {
            "learning_rate": rows["learning_rate"],
            "networks": 1,
            "survived": ~(began <= LATE),
            "late": began > LATE,
            "silent": silently_collapsed(rows),
        }
    )
    return events.groupby("learning_rate").sum().astype(int).reset_index()


def silent_collapses() -> pd.DataFrame:
    """Trials that learned, then fell to chance without a spike: a row for each kind of any study.

    Columns ``study``, ``network``, ``normalization``, ``clipping``, ``trials``; ``low_rate`` and
    ``high_rate``; the training losses at the end, from ``low_loss`` to ``high_loss``, and that of
    ``guessing``, in nats; and ``repeats``, whether the study repeats what others have measured.
    """
    rows = pd.concat([pd.DataFrame(), *map(_silent, evidence.all_studies())])
    if rows.empty:
        return rows
    groups = rows.groupby(["study", "model", "normalization", "clipping"], sort=False)
    found = groups.agg(
        trials=("trial", "size"),
        low_rate=("learning_rate", "min"),
        high_rate=("learning_rate", "max"),
        low_loss=("train_loss", "min"),
        high_loss=("train_loss", "max"),
        guessing=("guessing", "first"),
    )
    found = found.reset_index().rename(columns={"model": "network"})
    return found.assign(repeats=found["study"].isin(REPEATED))


def _silent(source: Evidence) -> pd.DataFrame:
    rows = source.outcomes[silently_collapsed(source.outcomes)]
    return rows.assign(study=source.study, guessing=np.log(rows["classes"].astype(float)))


OUTCOMES = ["exploded", "diverged", "unlearned"]


def by_clipping(study: Evidence) -> pd.DataFrame:
    """Shares ``exploded``, ``diverged`` and ``unlearned`` of each clipping.

    By ``normalization``, in a sentence ``said``, where there are several after a row of each
    clipping over "all"; over the networks that were run with all clippings (`clipped_alike`).
    """
    rows = clipped_alike(study)
    kinds = [rows.assign(normalization="all")]
    if rows["normalization"].nunique() > 1:
        kinds.append(rows)
    groups = (part.groupby(["normalization", "clipping"], sort=False) for part in kinds)
    found = [group[OUTCOMES].mean().reset_index() for group in groups]
    rows = pd.concat(found, ignore_index=True)
    told = {level: phrase("normalization", level) for level in rows["normalization"].unique()}
    return rows.assign(said=rows["normalization"].map(told | {"all": "all"}))


def swapped(study: Evidence, clipping: str) -> dict[str, float]:
    """How many networks learn with ``clipping`` alone (``rescued``) or without alone (``lost``).

    Of pairs alike in network, rate and seed. ``rate`` is the lowest one from which on at least as
    many learn with it at every rate, NaN where there is none; ``low``, ``bare_low``, ``high`` and
    ``bare_high`` are the shares that do not learn with it and without below that rate, and from it.
    """
    keys = ["normalization", "depth", "init_gain", "learning_rate", "seed"]
    pairs = clipped_alike(study).pivot(index=keys, columns="clipping", values="unlearned")
    with_it, without = pairs[clipping], pairs["none"]
    rates = pairs.index.get_level_values("learning_rate")
    worse = (with_it - without).groupby(level="learning_rate").mean() > 0
    start = rates[rates > worse[worse].index.max()].min() if worse.any() else rates.min()
    above = rates >= start
    return {
        "rescued": int((with_it < without).sum()),
        "lost": int((with_it > without).sum()),
        "pairs": len(pairs),
        "rate": start,
        "low": with_it[~above].mean(),
        "bare_low": without[~above].mean(),
        "high": with_it[above].mean(),
        "bare_high": without[above].mean(),
    }


def missed(rows: pd.DataFrame) -> dict[str, float]:
    """The share of the diverged ``rows`` that a test for NaN misses, with its interval."""
    return share_of(rows["status"].ne("nonfinite"), rows["seed"])


def lost_near_best(source: Evidence) -> pd.DataFrame:
    """Trials that diverged without clipping and normalization, up to ten times the best rate."""
    rows = where(placed(source), diverged=1, normalization="none")
    return rows[rows["band"].isin(list(BANDS)[:-1])]


@functools.lru_cache(16)
def placed(source: Evidence) -> pd.DataFrame:
    """`in_bands` of the trials without clipping, of which range tests are none."""
    rows = where(source.outcomes, clipping="none", disturbance="none")
    return in_bands(rows[rows["schedule"] != "range_test"])


def by_band(source: Evidence) -> pd.DataFrame:
    """`explosions_by` ``band``, of a map without clipping."""
    rows = placed(source)
    found = explosions_by(rows[rows["trial"].isin(mapped(source)["trial"])], ["band"])
    found = where(found, band=IN_ORDER)
    return found.sort_values("band", key=lambda names: names.map(IN_ORDER.index), ignore_index=True)


def missed_by_network() -> pd.DataFrame:
    """What a test for NaN misses without clipping and normalization, by study and network.

    Of networks whose initial weights are not scaled (gain 1), because scaled ones overflow of
    themselves. Each network, seed and rate counts once (`one_of_each`), under whichever schedules,
    batch policies and budgets and in however many studies it exploded.

    Columns ``study``, ``network``, ``band``, ``diverged``, ``missed`` and ``healed`` (how many) and
    ``said``, all three in words; a row for every band of each network that explodes in a study that
    was run.
    """
    counts, by = ["missed", "diverged", "healed"], ["network", "band"]
    seen = [rows.assign(study=name) for name, rows in _of_studies(STUDIES)]
    if not seen:
        return pd.DataFrame()
    trials = where(pd.concat(seen, ignore_index=True), init_gain=1.0).dropna(subset=["band"])
    once = one_of_each(trials).rename(columns={"model": "network"})
    found = missed_by_nan_test(once, ["study", *by]).set_index("study")[[*by, *counts]]
    parts = []
    for study in [name for name in STUDIES if name in found.index]:
        rows = found.loc[[study]].set_index(by)
        every = pd.MultiIndex.from_product([rows.index.unique("network"), IN_ORDER], names=by)
        parts.append(rows.reindex(every, fill_value=0).reset_index().assign(study=study))
    if not parts:
        return pd.DataFrame()
    rows = pd.concat(parts, ignore_index=True)
    return rows.assign(said=[_missed(*row) for row in rows[counts].values])


def with_sums(missing: pd.DataFrame) -> pd.DataFrame:
    """`missed_by_network`, and after it the sums over CNNs and MLPs of one hidden layer."""
    shallow = where(missing, network=SHALLOW)
    if shallow["study"].nunique() < 2:
        return missing
    counts = ["missed", "diverged", "healed"]
    sums = shallow.groupby("band", sort=False)[counts].sum().reset_index()
    sums = sums.assign(said=[_missed(*row) for row in sums[counts].values])
    return pd.concat(
        [missing, sums.assign(study="all together", network="MLP and CNN")], ignore_index=True
    )


def _missed(missed: int, diverged: int, healed: int) -> str:
    """``1 of 3, 2 healed``, or what there is of it."""
    parts = [f"{missed:,} of {diverged:,}"] if diverged else []
    return ", ".join(parts + ([f"{healed:,} healed"] if healed else [])) or DASH


def by_schedule() -> pd.DataFrame:
    """`explosions_by` ``schedule`` without clipping and normalization, by study and ``network``.

    With ``warm``, whether the rate rises at first; those that warm up stand last. Schedules under
    which the same trials explode at the same steps have one row, of the first (the constant rate,
    where it is among them); ``schedules`` names all of them, and ``alike`` counts them.
    """
    parts = [
        _by_schedule(rows).assign(study=study, network=network)
        for study, trials in _of_studies(SCHEDULED)
        for network, rows in trials.groupby("model", sort=False)
        if rows["exploded"].any()
    ]
    rows = pd.concat(parts or [pd.DataFrame()], ignore_index=True)
    if rows.empty:
        return rows
    return rows.sort_values(["study", "warm"], kind="stable", ascending=[False, True])


def _by_schedule(rows: pd.DataFrame) -> pd.DataFrame:
    """`by_schedule` of one network's trials."""
    rows = rows.sort_values(
        "schedule", key=lambda levels: levels.ne("constant"), kind="stable", ignore_index=True
    )
    warm = rows["schedule"].isin(WARM)
    alike = [exploding_alike(part, "schedule") for _, part in rows.groupby(warm)]
    named = {first: levels for found in alike for first, levels in found.items()}
    found = where(explosions_by(rows, ["schedule"]), schedule=list(named))
    told = found["schedule"].map(named)
    warm = found["schedule"].isin(WARM)
    return found.assign(schedules=told.map(names), alike=told.map(len), warm=warm)


def warm_alone(scheduled: pd.DataFrame) -> pd.DataFrame:
    """Of `by_schedule` the rows of warm-up without a decay, where it was run.

    Beside them, as ``..._bare``, what happens at a constant rate.
    """
    alone = where(scheduled, schedule="warmup")
    bare = where(scheduled, schedule="constant")
    return alone.merge(bare, on=["study", "network"], suffixes=("", "_bare"))


def _of_studies(studies: Sequence[str]) -> Iterator[tuple[str, pd.DataFrame]]:
    """The networks without normalization in each of ``studies`` that was run."""
    for source in filter(None, map(evidence.load, studies)):
        yield source.study, where(placed(source), normalization="none")


def before() -> tuple[Evidence, pd.DataFrame, pd.DataFrame] | None:
    """The study with every step, how often norms grew before explosions, and their course.

    By schedule (`benchmark.statistics.onset`); None where the study was not run, or nothing
    exploded late enough to be seen.
    """
    found = evidence.load_table(*LABELLED)
    if found is None:
        return None
    source, steps = found
    windows = windows_before_onset(steps)
    rises = rises_before_onset(windows, ["schedule"])
    if not rises["observed"].sum():
        return None
    return source, rises, norms_before_onset(steps, windows, ["schedule"])


def boundary(study: Evidence) -> pd.DataFrame:
    """`least_exploding_rate` without clipping, by normalization, depth and gain."""
    keys = ["normalization", "depth", "init_gain"]
    first = least_exploding_rate(where(mapped(study), clipping="none"), keys)
    groups = first.groupby("normalization", sort=False).ngroup()
    return first.assign(_group=groups).sort_values(["_group", "depth"]).drop(columns="_group")


def at_gain_one(rows: pd.DataFrame) -> pd.DataFrame:
    """Of `boundary` at gain 1: the rates of the ``shallow``est and the ``deep``est network.

    By normalization, with their depths ``least`` and ``most``; rows without both are left out.
    """
    rows = where(rows, init_gain=1.0).dropna(subset=["rate"]).sort_values("depth", kind="stable")
    ends = rows.groupby("normalization", sort=False).agg(
        least=("depth", "first"),
        most=("depth", "last"),
        shallow=("rate", "first"),
        deep=("rate", "last"),
    )
    return ends[ends["least"] < ends["most"]].reset_index()
