"""What `studies/gpu_check.py` found on a GPU: which cases agree, what training together gains."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd

from benchmark.statistics.speed import median_interval

GRID_MINUTES = 25
"""In which a GPU is to train the whole grid."""
BROKE = "stopped with an error"
TWICE = "the same bits when repeated"
EAGER = f"{TWICE}, without graphs"
CONTROL = "mlp"
"""A model without convolutions, which kernels of convolutions do not change."""


def cases_checked(rows: pd.DataFrame) -> pd.DataFrame:
    """Columns ``what``, ``cases``, ``agree``: how many cases of each kind were checked, and agree.

    A kind is the factor that a case varies. ``rows`` are those of ``correctness.csv``.

    >>> cases = ["mlp clipping=value K=3", "mlp clipping=none K=3", "mlp batch K=33, twice"]
    >>> cases_checked(pd.DataFrame({"case": cases, "agrees": [True, False, True]})).values.tolist()
    [['clipping', 2, 1], ['the same bits when repeated', 1, 1]]
    """
    groups = rows.assign(what=kinds(rows["case"])).groupby("what", sort=False)["agrees"]
    return groups.agg(cases="size", agree="sum").reset_index()


def kinds(cases: pd.Series) -> pd.Series:
    """What each of some cases of the check varies, or `TWICE` or `EAGER`."""
    factor = cases.str.extract(r" (\w+)=")[0]
    for end, repeated in ((", twice", TWICE), (", twice without graphs", EAGER)):
        factor = factor.mask(cases.str.endswith(end), repeated)
    return factor


def disagreements(rows: pd.DataFrame) -> pd.DataFrame:
    """Columns ``columns``, ``cases``: the cases that do not agree, by the columns that differ.

    Both are lists of names. A case that stopped with an error of the program has `BROKE` for its
    columns, whatever the message. ``rows`` are those of ``correctness.csv``.

    >>> differ = ["trials.steps: 1 != 2; trials.seed: 1 != 2", "ValueError: no"]
    >>> rows = pd.DataFrame({"case": ["a", "b"], "agrees": False, "differ": differ})
    >>> disagreements(rows).values.tolist()
    [[['steps', 'seed'], ['a']], [['stopped with an error'], ['b']]]
    """
    bad = rows[~rows["agrees"]]
    broke = bad["differ"].str.match(r"\w+(Error|Exception)\b")
    columns = bad["differ"].str.findall(r"\w+\.(\w+)(?=: )")
    cause = pd.Series([tuple(dict.fromkeys(found)) for found in columns], bad.index, dtype=object)
    cause[broke] = [(BROKE,)] * int(broke.sum())
    groups = bad.groupby(cause, sort=False)["case"]
    found = [(list(columns), cases.tolist()) for columns, cases in groups]
    return pd.DataFrame(found, columns=["columns", "cases"])


def kernels_compared(timings: pd.DataFrame) -> pd.DataFrame:
    """Torch's kernels beside the engine's own: the same trials in turns, in as many processes.

    One row a ``workload``, ``factor`` (its normalization), ``trials_together`` and ``processes``:
    ``times``, torch's seconds over the engine's, above 1 where the engine's are faster, the median
    over ``repeats`` with ``times_low`` and ``times_high``; ``steps`` of a trial; ``milliseconds`` a
    step and trial of the engine's; ``accuracy``, by how much torch's trials come out more accurate.
    Repeats that have but one of the two are left out. ``timings`` is the table ``measurements``.

    >>> way = {"what": "kernels", "workload": "cnn", "factor": "none", "trials_together": 4}
    >>> way |= {"processes": 1, "trials": 4, "steps": 100, "accuracy": 0.5}
    >>> rows = [way | {"arm": "engine", "repeat": i, "seconds": 2.0} for i in range(2)]
    >>> rows += [way | {"arm": "torch_kernels", "repeat": i, "seconds": 3.0 + i} for i in range(2)]
    >>> found = kernels_compared(pd.DataFrame(rows))
    >>> found[["times", "times_low", "times_high", "milliseconds"]].values.tolist()
    [[1.75, 1.5, 2.0, 5.0]]
    """
    way = ["workload", "factor", "trials_together", "processes"]
    rows = timings[timings["what"] == "kernels"]
    engine, torch_kernels = (rows[rows["arm"] == arm] for arm in ("engine", "torch_kernels"))
    pairs = engine.merge(torch_kernels, on=[*way, "repeat"], suffixes=("", "_torch"))
    pairs["times"] = pairs["seconds_torch"] / pairs["seconds"]
    pairs["milliseconds"] = 1e3 * pairs["seconds"] / pairs["trials"] / pairs["steps"]
    pairs["accuracy"] = pairs["accuracy_torch"] - pairs["accuracy"]
    groups = pairs.groupby(way, sort=False)
    found = groups.agg(
        steps=("steps", "max"),
        repeats=("repeat", "size"),
        milliseconds=("milliseconds", "median"),
        accuracy=("accuracy", "mean"),
    )
    ends = [median_interval(group["times"].to_numpy()) for _, group in groups]
    columns = ["times", "times_low", "times_high"]
    found[columns] = pd.DataFrame(ends, columns=columns, index=found.index, dtype=float)
    return found.reset_index()


def gains_of_width(rows: pd.DataFrame) -> pd.DataFrame:
    """By ``model`` the ``best`` width, its ``time`` a trial and how many ``times`` faster it is.

    The best is the fewest trials together that come within a tenth of the least time; it is faster
    than the fewest that were run. ``rows`` are those of ``widths.csv``; times in microseconds.

    >>> rows = pd.DataFrame({"model": "mlp", "together": [1, 8, 64]})
    >>> gains_of_width(rows.assign(microseconds_a_trial=[90.0, 30.0, 29.0])).values.tolist()
    [['mlp', 8, 30.0, 3.0]]
    """
    time = rows.pivot(index="model", columns="together", values="microseconds_a_trial")
    best = time.le(1.1 * time.min(axis=1), axis=0).idxmax(axis=1)
    least = time.where(time.columns.to_numpy() == best.to_numpy()[:, None]).min(axis=1)
    alone = time.bfill(axis=1).iloc[:, 0]
    found = pd.DataFrame({"best": best, "time": least, "times": alone / least})
    return found.rename_axis("model").reset_index()


def grid_time(rows: pd.DataFrame) -> dict[str, Any]:
    """How long the grid took, over all calls in which it was trained.

    ``minutes``; ``trials`` that are there ``of`` all, the share ``work`` of all multiply-adds that
    they stand for, and ``whole``, the minutes that all would take at that pace; ``wanted``,
    `GRID_MINUTES`; ``scale`` and ``processes`` of the last call. ``rows`` are those of
    ``grid.csv``: several a call, which is told by when it ``began``.

    >>> more = {"of": 8, "scale": "full", "processes": 8}
    >>> rows = [{"began": "a", "seconds": s, "trials": 2, "work": 0.25, **more} for s in (60, 300)]
    >>> rows += [{"began": "b", "seconds": 300, "trials": 4, "work": 0.5, **more}]
    >>> found = grid_time(pd.DataFrame(rows))
    >>> found["minutes"], int(found["trials"]), found["whole"]
    (10.0, 4, 20.0)
    """
    minutes = float(rows.groupby("began")["seconds"].max().sum()) / 60
    last = rows.iloc[-1]
    work = float(last["work"])
    kept = {name: last[name] for name in ("trials", "of", "scale", "processes")}
    whole = minutes / work if work else math.inf
    return {"minutes": minutes, "work": work, "whole": whole, "wanted": GRID_MINUTES, **kept}
