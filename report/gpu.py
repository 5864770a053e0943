"""What studies/gpu_check.py found on a GPU: numbers, limits, widths, processes, speed."""

from __future__ import annotations

import pandas as pd

from benchmark.figures import words
from report import evidence
from report.prose import listing, name

FOLDER = "gpu"
STAGES = ("correctness", "graphs", "limits", "widths", "processes", "studies")
MODEL, TOGETHER = "model", "together"
BROKE = "stopped with an error"


def found() -> dict[str, pd.DataFrame]:
    """The rows of each stage of the check that was run, by its name."""
    paths = {name: evidence.default_folder() / FOLDER / f"{name}.csv" for name in STAGES}
    read = {n: pd.read_csv(p, keep_default_na=False) for n, p in paths.items() if p.exists()}
    return {name: rows for name, rows in read.items() if len(rows)}


def checked(rows: pd.DataFrame) -> pd.DataFrame:
    """`correctness` by what is checked: ``cases``, and how many ``agree``."""
    repeated = rows["case"].str.endswith("twice")
    factor = rows["case"].str.extract(r" (\w+)=")[0].where(~repeated, "the same bits when repeated")
    groups = rows.assign(what=factor).groupby("what", sort=False)["agrees"]
    return groups.agg(cases="size", agree="sum").reset_index()


def causes(rows: pd.DataFrame) -> pd.DataFrame:
    """The cases of `correctness` that do not agree by ``cause``: how many ``cases``, ``which``.

    A case that stopped with an error of the program is said to have broken, whatever its message.
    """
    bad = rows[~rows["agrees"]]
    broke = bad["differ"].str.match(r"\w+(Error|Exception)\b")
    columns = bad["differ"].str.findall(r"\w+\.(\w+)(?=: )")
    said = [listing(name(column) for column in dict.fromkeys(found)) for found in columns]
    cause = pd.Series(said, bad.index, dtype=object).mask(broke, BROKE)
    groups = bad.assign(cause=cause)[["cause", "case"]].groupby("cause", sort=False)["case"]
    return groups.agg(cases="size", which=lambda some: "; ".join(map(words, some))).reset_index()


def gains_of_width(rows: pd.DataFrame) -> pd.DataFrame:
    """By ``model`` the ``best`` width, its ``time`` a trial and how many ``times`` faster it is.

    The best is the fewest trials that come within a tenth of the least time.
    """
    time = rows.pivot(index=MODEL, columns=TOGETHER, values="microseconds_a_trial")
    best = time.le(1.1 * time.min(axis=1), axis=0).idxmax(axis=1)
    least = pd.Series({model: time.loc[model, width] for model, width in best.items()})
    alone = time.bfill(axis=1).iloc[:, 0]
    return (
        pd.DataFrame({"best": best, "time": least, "times": alone / least})
        .rename_axis(MODEL)
        .reset_index()
    )
