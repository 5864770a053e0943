"""Where the numbers come from: completeness, and which software."""

from __future__ import annotations

import pandas as pd

from report import evidence

SOFTWARE = ("python", "torch", "optuna", "numpy", "pandas", "pyarrow")


def reasons() -> pd.DataFrame:
    """Why trials were skipped or failed: ``study``, ``status``, ``status_reason``, ``trials``."""
    by, unfinished = ["study", "status", "status_reason"], ["skipped", "failed"]
    frames = [e.results.trials for e in evidence.all_studies()]
    counts = [f[f["status"].isin(unfinished)].groupby(by).size() for f in frames]
    return pd.concat(counts).rename("trials").reset_index() if counts else pd.DataFrame()
