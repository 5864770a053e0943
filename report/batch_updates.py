"""How much data an update should have, and whether that should change."""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np
import pandas as pd

from benchmark.figures.numbers import number
from benchmark.statistics import (
    critical_by_target,
    failing_rates,
    levels_off,
    outcome_means,
    policies,
    saturating_law,
    times_beside,
)
from benchmark.statistics.budgets import planned_updates, update_size
from benchmark.statistics.policies import FIXED
from benchmark.statistics.rates import chosen_rates, with_edges
from benchmark.statistics.selection import where
from benchmark.statistics.targets import (
    rules_for_rate,
    rules_over_starts,
    trade,
    where_larger_batches_pay,
)
from report import evidence
from report.evidence import Evidence, by_budget
from report.prose import Row, name, percent, records

GROWING = ("doubling", "grow_instead_of_decay")
"""Policies that grow the batch at set times, as a schedule lowers the rate."""

MAPS = ("critical_batch", "batch_updates", "full_batch")
"""Studies that run batch sizes at the same rates, the one of the most sizes and seeds first."""
UNCLIPPED = "no clipping"
ERRORS = (1.5, 1.25, 1.0, 0.9, 0.85, 0.8, 0.75)
"""Validation errors of further targets, over that of the data set's own target."""
LOOKS = 3
"""Checkpoints before which a target may not be reached: its costs are known to within one."""


def maps() -> list[Evidence]:
    """The studies of `MAPS` that were run."""
    return [study for study in map(evidence.load, MAPS) if study is not None]


@functools.lru_cache(8)
def at_shared_rates(study: Evidence) -> pd.DataFrame:
    """Fixed and full batches of a map over the same rates, with the ``panel`` that each is in.

    A panel is a network on a part of the data with a budget. ``batch_size`` is what an update
    takes, and ``full`` marks the full batch.
    """
    rows = where(study.mapped, schedule="constant", batch_policy=[FIXED, "full"], clipping="none")
    rows = rows.assign(full=rows["batch_policy"].eq("full"), batch_size=update_size(rows))
    named = [_panel(row) for row in records(rows)]
    rows = rows.assign(
        panel=named, scarce=rows["epochs"].isna().map({True: "updates", False: "examples"})
    )
    return rows.drop_duplicates(["panel", "batch_size", "learning_rate", "seed"])


def _panel(row: Row) -> str:
    many = "passes" if row["epochs"] != 1 else "pass"
    in_passes, in_updates = f"{number(row['epochs'])} {many}", f"{row['updates']:,.0f} updates"
    budget: str = in_passes if pd.notna(row["epochs"]) else in_updates
    part = row["train_fraction"]
    images = f"{percent(part, 0)} of the images" if part < 1 else "all images"
    return f"{name(row['model'])}, {images}, {budget}"


@functools.lru_cache(16)
def failing(study: Evidence, event: str = "diverged") -> pd.DataFrame:
    """`failing_rates` by batch size, of each panel of `at_shared_rates` with two sizes or more.

    With the ``study``, ``model``, ``panel`` and ``scarce``, and ``full``, whether it is the full
    batch.
    """
    rows = at_shared_rates(study)
    full = rows[["panel", "batch_size", "full"]].drop_duplicates(["panel", "batch_size"])
    by = ["model", "panel", "scarce"]
    found = failing_rates(rows, by, "batch_size", event)
    return found.merge(full, on=["panel", "batch_size"]).assign(study=study.study)


def laws() -> pd.DataFrame:
    """`saturating_law` of each panel of `failing`, in their order, with its ``study``."""
    frames = [
        saturating_law(at_shared_rates(study), ["model", "panel"]).assign(study=study.study)
        for study in maps()
    ]
    known = [frame for frame in frames if len(frame)]
    return pd.concat(known, ignore_index=True) if known else pd.DataFrame(columns=["panel"])


@functools.lru_cache(8)
def clipped(study: Evidence) -> pd.DataFrame:
    """Fixed sizes on all of the data, with and without a clipped global norm: maps of both.

    By ``remedy`` in words and ``limit``, the threshold (infinite without clipping); ``lost`` is 1
    where a trial does not learn, because what is clipped may fail without a spike. Without two
    remedies of the same network and budget there is no row.
    """
    rows = _map_of(study, clipping=["none", "global_norm"])
    limit = rows["clipping_threshold"].where(rows["clipping"].ne("none"), math.inf).astype(float)
    words = {top: f"clipped at {number(top)}" for top in limit.dropna().unique()}
    named = limit.map(words | {math.inf: UNCLIPPED})
    rows = rows.assign(limit=limit, remedy=named, lost=1 - rows["learned"]).dropna(subset=["limit"])
    alike = rows.groupby(["model", "updates", "epochs"], dropna=False)
    rows = rows[alike["limit"].transform("nunique") > 1]
    return rows.sort_values("limit", ascending=False, kind="stable")


def clipped_limits(study: Evidence) -> pd.DataFrame:
    """`failing_rates` by batch size of each ``remedy`` of `clipped`, with its ``limit``.

    And ``product``, the rate times the threshold, which is the length of a step that is clipped:
    NaN without clipping.
    """
    rows = clipped(study)
    if rows.empty:
        return pd.DataFrame(columns=["model", "remedy", "limit", "batch_size"])
    found = failing_rates(rows, ["model", "remedy", "limit"], "batch_size", "lost")
    step = (found["rate"] * found["limit"]).where(found["limit"].map(math.isfinite))
    return found.assign(product=step)


def dependence(study: Evidence) -> pd.DataFrame:
    """How many times the limit of the smallest size that of the largest is, by ``remedy``.

    `times_beside` of each ``model`` of `clipped`, against no clipping, with the ``smallest`` and
    the ``largest`` size.
    """
    parts = []
    for model, rows in clipped(study).groupby("model", sort=False):
        sizes = {"smallest": rows["batch_size"].min(), "largest": rows["batch_size"].max()}
        found = times_beside(rows, "remedy", UNCLIPPED, "batch_size", "lost")
        parts.append(found.assign(model=model, **sizes))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=["remedy"])


def bounded() -> pd.DataFrame:
    """The rows of `dependence` that are clipped, beside no clipping: what a bound on steps does.

    With the ``bare`` times of no clipping, ``bare_low``, and ``left``, the part of its logarithm
    that is left. Without a study of both it has no row.
    """
    study = evidence.load("full_batch")
    found = dependence(study) if study else pd.DataFrame()
    if found.empty:
        return found
    bare = where(found, remedy=UNCLIPPED)[["model", "times", "times_low"]]
    bare = bare.rename(columns={"times": "bare", "times_low": "bare_low"})
    tight = found[found["remedy"] != UNCLIPPED].merge(bare, on="model")
    return tight.assign(left=np.log(tight["times"]) / np.log(tight["bare"]))


def in_other_networks(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Of `panels` those of another network than the first."""
    return [panel for panel in found if panel["first"]["model"] != found[0]["first"]["model"]]


def failing_of_all(event: str = "diverged") -> pd.DataFrame:
    """`failing` of every study of `maps`; without a row where none compares sizes."""
    frames = [failing(study, event) for study in maps()]
    known = [frame for frame in frames if len(frame)]
    return pd.concat(known, ignore_index=True) if known else pd.DataFrame(columns=["panel"])


def failing_cells() -> pd.DataFrame:
    """The shares that diverge, spike and learn at each rate and batch size of every ``panel``."""
    events = ["diverged", "exploded", "learned"]
    keys = ["panel", "batch_size", "learning_rate"]
    cells = [outcome_means(at_shared_rates(study), keys, events) for study in maps()]
    return pd.concat(cells, ignore_index=True)


def panels(limits: pd.DataFrame) -> list[dict[str, Any]]:
    """What a sentence says of each panel of `failing_of_all`, in their order.

    Its name (``panel``), ``said``, the same without its network, its ``rows``; the ``first`` and
    the ``last`` of them, and the one at which the limit `levels_off` (``knee``). ``whole``, whether
    it has the full batch beside others, and ``whole_times``, the limit of that over the highest of
    the others (NaN without it).
    """
    found = []
    for panel, rows in limits.groupby("panel", sort=False):
        ends = {"first": 0, "last": len(rows) - 1}
        ends["knee"] = list(rows["batch_size"]).index(levels_off(rows))
        of_rows = records(rows)
        full, parts = rows.loc[rows["full"], "rate"], rows.loc[~rows["full"].astype(bool), "rate"]
        both = {"whole": len(full) > 0 < len(parts), "whole_times": full.max() / parts.max()}
        said = str(panel).removeprefix(f"{name(rows['model'].iloc[0])}, ")
        named = {"panel": panel, "said": said, "rows": rows} | both
        found.append(named | {k: of_rows[v] for k, v in ends.items()})
    return found


def divergences(limits: pd.DataFrame) -> dict[str, float]:
    """When the trials of `failing_of_all` diverge: of how many that are ``lost`` it is ``early``.

    Within as many updates as are made by the largest size of the same panel. ``began`` is the
    median first bad step, and ``silent`` counts the trials that neither learn nor diverge.
    """
    rows = pd.concat([at_shared_rates(study) for study in maps()], ignore_index=True)
    rows = rows[rows["panel"].isin(limits["panel"])]
    fewest = planned_updates(rows).groupby(rows["panel"]).transform("min")
    lost = rows["diverged"].eq(1)
    began = rows.loc[lost, "first_bad_step"].astype(float)
    return {
        "lost": int(lost.sum()),
        "early": int((began <= fewest[lost]).sum()),
        "began": float(began.median()),
        "silent": int((rows["learned"].eq(0) & ~lost).sum()),
    }


@functools.lru_cache(8)
def headroom(study: Evidence) -> pd.DataFrame:
    """How far the best rate of each size lies below the one from which half of the seeds diverge.

    The rows of `failing` at equal examples, with ``best_rate`` and its ``edge`` of `rules`,
    ``spikes``, the rate from which half of them spike, ``room``, the limit over the best rate, and
    the ``updates`` of a trial.
    """
    limits = where(failing(study), scarce="examples", full=False)
    spikes = failing(study, "exploded")[["panel", "batch_size", "rate"]]
    spikes = spikes.rename(columns={"rate": "spikes"})
    best = rules(study)[["model", "batch_size", "best_rate", "edge"]]
    found = limits.drop(columns="edge").merge(spikes, on=["panel", "batch_size"])
    found = found.merge(best, on=["model", "batch_size"])
    rows = at_shared_rates(study)
    counts = rows.assign(updates=planned_updates(rows)).groupby(["panel", "batch_size"])["updates"]
    found = found.merge(counts.max().reset_index(), on=["panel", "batch_size"])
    return found.assign(room=found["rate"] / found["best_rate"])


def rooms_at_equal_updates(model: str) -> pd.DataFrame:
    """As `headroom` at equal updates, of the panel of ``model`` with the most sizes.

    On the whole training set; ``batch_size``, ``updates``, ``best_rate`` and ``room``, the rate
    from which half of the seeds diverge over it. Without such a panel it has no row.
    """
    found = []
    for study in maps():
        limits = where(failing(study), scarce="updates", full=False, model=model)
        rows = where(at_shared_rates(study), full=False, train_fraction=1.0)
        rows = rows[rows["panel"].isin(limits["panel"])]
        if len(rows):
            by = ["panel", "batch_size"]
            counts = rows.assign(updates=planned_updates(rows)).groupby(by)["updates"].max()
            rates = chosen_rates(rows, by)[[*by, "best_rate"]].merge(counts.reset_index(), on=by)
            both = limits[[*by, "rate"]].merge(rates, on=by)
            found += [part for _, part in both.groupby("panel", sort=False)]
    if not found:
        return pd.DataFrame(columns=["batch_size", "updates", "best_rate", "room"])
    most = max(found, key=len).reset_index(drop=True)
    return most.assign(room=most["rate"] / most["best_rate"])


@functools.lru_cache(8)
def by_target(study: Evidence) -> pd.DataFrame:
    """`critical_by_target` by ``model``, for targets whose errors are `ERRORS` times the usual."""
    rows = sizes_compared(study)
    error = 1 - float(rows["target_accuracy"].max())
    targets = [round(1 - times * error, 4) for times in ERRORS]
    found = critical_by_target(rows, study.results.history, ["model"], targets)
    return found[found["checkpoints"] >= LOOKS] if len(found) else found


def _map(study: Evidence) -> pd.DataFrame:
    return _map_of(study, clipping="none")


def _map_of(study: Evidence, **settings: Any) -> pd.DataFrame:
    frame = where(study.mapped, schedule="constant", batch_policy=FIXED, **settings)
    return frame[frame["train_fraction"] == frame["train_fraction"].max()]


def fixed_sizes(study: Evidence) -> pd.DataFrame:
    """The map of fixed batch sizes over the same rates, on the whole training set, by budget."""
    return by_budget(_map(study))


def sizes_compared(study: Evidence) -> pd.DataFrame:
    """The map of fixed sizes at equal examples alone, of either study that has one."""
    return _map(study).dropna(subset=["epochs"])


@functools.lru_cache(8)
def costs(study: Evidence) -> pd.DataFrame:
    """What the target costs at each batch size, at the rate that gets there soonest: `trade`.

    ``edge`` says whether that rate lies on the edge of those that were tried.
    """
    tried = sizes_compared(study)
    return with_edges(trade(tried, ["model"]), tried, ["model", "batch_size"])


@functools.lru_cache(8)
def rules(study: Evidence) -> pd.DataFrame:
    """Best rate at each batch size at equal examples, and what the two rules for it say."""
    return rules_for_rate(sizes_compared(study), ["model"])


@functools.lru_cache(8)
def starts(study: Evidence) -> pd.DataFrame:
    """`rules_over_starts` at equal examples, of each ``model``."""
    groups = sizes_compared(study).groupby("model", sort=False)
    return pd.concat([rules_over_starts(rows).assign(model=model) for model, rows in groups])


@functools.lru_cache(8)
def critical(study: Evidence) -> pd.DataFrame:
    """`where_larger_batches_pay`, a row a model."""
    return where_larger_batches_pay(sizes_compared(study), study.results.history, ["model"])


def answers(study: Evidence) -> list[Row]:
    """The rows of `critical`, each with its rows of other tables.

    With the ``target`` (0..1) and the ``lowest`` of the rates that were run. The tables are
    `costs`, `rules`, `starts` and `by_target` (``targets``).
    """
    tables = {"costs": costs(study), "rules": rules(study), "starts": starts(study)}
    tables["targets"] = by_target(study)
    tried = sizes_compared(study)
    facts = {"target": tried["target_accuracy"].max(), "lowest": tried["learning_rate"].min()}
    return [
        row
        | facts
        | {
            key: where(table, model=row["model"]) if len(table) else table
            for key, table in tables.items()
        }
        for row in map(dict, records(critical(study)))
    ]


@functools.lru_cache(8)
def arms(study: Evidence) -> pd.DataFrame:
    """Every policy, and the fixed size, at the settings that validation chooses for it."""
    return policies.best_policies(by_budget(policies.beside_policies(study.outcomes)))


@functools.lru_cache(8)
def against_fixed(study: Evidence) -> pd.DataFrame:
    """Each policy's best, and each decay's, against the best fixed size at a constant rate."""
    return policies.against_fixed_size(arms(study))


def at_one_rate(study: Evidence) -> pd.DataFrame:
    """Policies that grow the batch against a fixed size at each rate that both were run at."""
    frame = by_budget(policies.beside_policies(study.outcomes))
    return where(policies.against_fixed_at_one_rate(frame), level=list(GROWING))


@functools.lru_cache(8)
def against_decay(study: Evidence) -> pd.DataFrame:
    """Each policy that changes the batch against a fixed size whose rate decays."""
    return policies.against_decay(arms(study))


def against_each_decay(study: Evidence) -> pd.DataFrame:
    """The same against each of the schedules, which is the ``baseline``."""
    return policies.against_each_decay(arms(study))


def decays(study: Evidence) -> list[str]:
    """The arms whose size is fixed and whose rate decays."""
    return policies.decaying(arms(study))


def lowered_rates(study: Evidence) -> pd.DataFrame:
    """Policies that change the batch and lower the rate, too."""
    return policies.lowered_rates(arms(study), study.results.history)


def budgets_beside(compared: pd.DataFrame, sizes: pd.Series) -> pd.Series:
    """The ``model`` of each row, with the fixed size (``sizes``, by model) that it is held against.

    >>> rows = pd.DataFrame({"model": ["MLP at equal updates"]})
    >>> budgets_beside(rows, pd.Series({"MLP at equal updates": 256})).tolist()
    ['MLP at equal updates, from batches of 256']
    """
    return compared["model"].map(lambda model: f"{model}, from batches of {sizes[model]:g}")


def final_sizes(study: Evidence) -> pd.DataFrame:
    """Median batch sizes by model and policy: the ``first``, and the ``last`` at a checkpoint."""
    rows = policies.sizes_over_training(arms(study), study.results.history).sort_values("samples")
    last = rows.drop_duplicates("trial", keep="last").rename(columns={"batch_size": "last"})
    first = arms(study)[["trial", "batch_size"]].rename(columns={"batch_size": "first"})
    ends = last[["trial", "model", "batch_policy", "last"]].merge(first, on="trial")
    by = ["model", "batch_policy"]
    return ends.groupby(by, sort=False)[["first", "last"]].median().reset_index()


def chosen(study: Evidence) -> pd.DataFrame:
    """What each policy chose, its accuracy, and what it cost to the target."""
    tried = by_budget(policies.beside_policies(study.tried))
    return policies.policy_costs(arms(study), tried)
