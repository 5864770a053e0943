"""What studies/gpu_check.py found on a GPU: numbers, limits, widths, processes, speed."""

from __future__ import annotations

import pandas as pd

from benchmark.statistics import speed
from report import evidence, throughput

FOLDER = "gpu"
STAGES = ("correctness", "graphs", "limits", "widths", "processes", "studies")
MODEL, TOGETHER = "model", "together"
arms, timed = throughput.arms, throughput.timed


def stage(name: str) -> pd.DataFrame | None:
    """The rows of a stage of the check; None where it was not run."""
    path = evidence.default_folder() / FOLDER / f"{name}.csv"
    rows = pd.read_csv(path, keep_default_na=False) if path.exists() else None
    return None if rows is None or rows.empty else rows


def found() -> dict[str, pd.DataFrame]:
    """The stages that were run, by name."""
    return {name: rows for name in STAGES if (rows := stage(name)) is not None}


def checked(rows: pd.DataFrame) -> pd.DataFrame:
    """`correctness` by what is checked: ``cases``, and how many ``agree``."""
    repeated = rows["case"].str.endswith("twice")
    factor = rows["case"].str.extract(r" (\w+)=")[0].where(~repeated, "the same bits when repeated")
    groups = rows.assign(what=factor).groupby("what", sort=False)["agrees"]
    return groups.agg(cases="size", agree="sum").reset_index()


def by_width(rows: pd.DataFrame) -> pd.DataFrame:
    """`widths` as estimates for a figure: microseconds a step and trial."""
    time = rows["microseconds_a_trial"]
    return rows.assign(estimate=time, low=time, high=time, panel="")


def gains_of_width(rows: pd.DataFrame) -> list[dict[str, object]]:
    """By ``model`` the ``best`` width, its ``time`` a trial and how many ``times`` faster it is."""
    out: list[dict[str, object]] = []
    for model, group in rows.groupby(MODEL):
        own = group.set_index(TOGETHER)["microseconds_a_trial"].sort_index()
        # the fewest that come within a tenth of the least time
        best = int(own.index[own <= 1.1 * own.min()][0])
        out.append(
            {"model": model, "best": best, "time": own[best], "times": own.iloc[0] / own[best]}
        )
    return out


def against_loop(timings: pd.DataFrame) -> pd.DataFrame:
    """The engine's best against the baseline loop, with ``words`` for each workload."""
    best = speed.best_ways(speed.throughput(timings))
    return best.assign(words=best["workload"].map(speed.WORKLOADS))
