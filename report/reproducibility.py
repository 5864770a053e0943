"""Where the numbers come from: completeness, and which software."""

from __future__ import annotations

import re
from collections import Counter

import pandas as pd

from benchmark.statistics import twins
from benchmark.statistics.selection import CELL
from report import evidence, index

SCRIPT = re.compile(r"python studies/\w+\.py (?P<options>[-\w./ ]+)")
"""The command of a study's script, with options that need no quoting."""
SOFTWARE = ("python", "torch", "optuna", "numpy", "pandas", "pyarrow")


def commands() -> str:
    """The commands that made the results and build the book of them, a line each.

    Options that several studies share stand once, in a variable of the shell.
    """
    made = [study.command for study in evidence.all_studies()]
    options = Counter(found["options"] for found in map(SCRIPT.fullmatch, made) if found)
    shared, times = max(options.items(), key=lambda pair: pair[1], default=("", 0))
    lines = made
    if times > 1:
        short = [line.removesuffix(shared) + "$OPTIONS" for line in made if line.endswith(shared)]
        whole = [line for line in made if not line.endswith(shared)]
        lines = [f'OPTIONS="{shared}"', *short, *whole]
    return "\n".join([*lines, f"python report/build.py {evidence.folder()}"])


def reasons() -> pd.DataFrame:
    """Why trials were skipped or failed: ``study``, ``status``, ``status_reason``, ``trials``."""
    by, unfinished = ["study", "status", "status_reason"], ["skipped", "failed"]
    frames = [e.results.trials for e in evidence.all_studies()]
    counts = [f[f["status"].isin(unfinished)].groupby(by).size() for f in frames]
    return pd.concat(counts).rename("trials").reset_index() if counts else pd.DataFrame()


def trained_twice() -> pd.DataFrame:
    """`twins` among the trials of all studies but those that repeat published numbers."""
    columns = [*CELL, "seed", "steps", "device", "accuracy", "status", "learned"]
    frames = [
        e.outcomes[columns].assign(study=e.study)
        for e in evidence.all_studies()
        if e.study not in index.REPEATED
    ]
    rows = pd.concat(frames or [pd.DataFrame(columns=[*columns, "study"])], ignore_index=True)
    rows = rows[rows["steps"] > 0]
    return twins(rows.assign(device=rows["device"].astype(str)), [*CELL, "seed"])
