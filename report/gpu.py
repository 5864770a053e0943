"""What studies/gpu_check.py found on a GPU: numbers, limits, widths, processes, speed."""

from __future__ import annotations

import pandas as pd

from benchmark.statistics.gpu_check import disagreements
from report import evidence
from report.prose import listing, name

FOLDER = "gpu"
STAGES = ("correctness", "graphs", "limits", "widths", "processes", "studies")


def found() -> dict[str, pd.DataFrame]:
    """The rows of each stage of the check that was run, by its name."""
    paths = {name: evidence.default_folder() / FOLDER / f"{name}.csv" for name in STAGES}
    read = {n: pd.read_csv(p, keep_default_na=False) for n, p in paths.items() if p.exists()}
    return {name: rows for name, rows in read.items() if len(rows)}


def causes(rows: pd.DataFrame) -> pd.DataFrame:
    """`disagreements` in words: the ``cause``, how many ``cases`` and ``which``."""
    found = disagreements(rows)
    said = [listing(map(name, columns)) for columns in found["columns"]]
    which = ["; ".join(map(name, cases)) for cases in found["cases"]]
    return found.assign(cause=said, which=which, cases=found["cases"].map(len))
