"""How gradient norms move before the first bad step, from data of every step.

Checkpoints are mostly too far apart to show it. A *window* ends just before a step. Its *rise* is
the largest gradient norm of its last `LAST` steps over the median of the norms before those, so
that it takes `LAST` + `LEAST` steps to see one: an explosion that comes sooner is not observed,
which is no sign that the norm did not rise. Explosions stand against *control* windows: of stable
trials of the same kind, up to the same steps, because norms also change with the stage of training
and with a rate that changes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd

from benchmark.statistics.seeds import Ends, share
from benchmark.status import spike_level

LAST = 5
"""Steps just before the first bad one in which a rise is looked for."""
LEAST = 5
"""Fewest steps before those of which the median is taken."""
GREW = 2.0
"""Rise from which a norm counts as having grown."""
EXPLOSION, CONTROL = "explosion", "control"


def windows_before_onset(steps: pd.DataFrame, match: Sequence[str] = ("schedule",)) -> pd.DataFrame:
    """A row for each window that ends before a first bad step, and for each control window.

    Parameters
    ----------
    steps
        The table ``labelled_steps``: a row for each step, with the columns of ``match``. Disturbed
        trials are left out, whose trouble comes from outside, and those that fell to chance without
        a spike, which are no explosions.
    match
        What a control window has in common with its explosion, besides the step at which it ends.

    Returns
    -------
    DataFrame
        Columns ``trial``, ``seed``, those of ``match``, ``kind`` (``explosion`` or ``control``),
        ``onset`` (the step before which the window ends), ``reference`` (the median norm) and
        ``rise``; these two are NaN where the explosion was not observed, which has no controls.

    >>> norms = [1.0] * 10 + [3.0, 40.0] + [1.0] * 12
    >>> labels = {"trial": ["a"] * 12 + ["b"] * 12, "seed": [0] * 12 + [1] * 12}
    >>> labels |= {"outcome": ["fatal"] * 12 + ["stable"] * 12, "schedule": "constant"}
    >>> labels |= {"first_bad_step": [12] * 12 + [None] * 12, "disturbance": "none", "loss": 1.0}
    >>> labels |= {"status": ["dead"] * 12 + ["stable"] * 12}
    >>> steps = pd.DataFrame({**labels, "step": [*range(1, 13)] * 2, "gradient_norm": norms})
    >>> windows_before_onset(steps)[["trial", "kind", "onset", "rise"]].values.tolist()
    [['a', 'explosion', 12, 3.0], ['b', 'control', 12, 1.0]]
    """
    columns = ["trial", "seed", *match]
    calm = steps[steps["disturbance"].eq("none")].sort_values(["trial", "step"])
    runs = {trial: run["gradient_norm"].to_numpy() for trial, run in calm.groupby("trial")}
    lengths = {trial: len(norms) for trial, norms in runs.items()}
    trials = calm.drop_duplicates("trial")
    bad = trials.dropna(subset=["first_bad_step"])
    bad = bad[~bad["trial"].isin(collapsed_silently(calm))]
    bad = bad[columns].assign(kind=EXPLOSION, onset=bad["first_bad_step"].astype(int))
    stable = trials.loc[trials["outcome"].eq("stable"), columns].assign(kind=CONTROL)
    seen = bad.loc[bad["onset"] > LAST + LEAST, [*match, "onset"]]
    joined = stable.merge(seen, on=list(match)) if match else stable.merge(seen, how="cross")
    # a stable trial that ended sooner has no such window
    joined = joined[joined["onset"] <= joined["trial"].map(lengths).astype(float) + 1]
    windows = pd.concat([bad, joined], ignore_index=True)
    found = [
        _rise(runs[trial][: onset - 1])
        for trial, onset in zip(windows["trial"], windows["onset"], strict=True)
    ]
    return windows.assign(
        **dict(zip(("reference", "rise"), np.reshape(found, (-1, 2)).T, strict=True))
    )


def collapsed_silently(steps: pd.DataFrame) -> list[object]:
    """The trials of ``labelled_steps`` that collapsed with no loss above the level of a spike."""
    losses = steps[steps["status"].eq("collapsed")].groupby("trial")["loss"].agg(["first", "max"])
    return [t for t, first, most in losses.itertuples() if not most > spike_level(first)]


def _rise(norms: np.ndarray) -> tuple[float, float]:
    """The median of ``norms`` (steps,) but for the last ones, and the largest of those over it."""
    if len(norms) < LAST + LEAST:
        return math.nan, math.nan
    reference = float(np.median(norms[:-LAST]))
    return reference, float(norms[-LAST:].max()) / reference if reference > 0 else math.nan


def rises_before_onset(windows: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """How often norms grew before explosions and in the controls, by the columns of ``by``.

    Of ``windows`` from `windows_before_onset`: how many ``explosions`` there are, how many were
    ``observed``; the share that ``grew``, by `GREW` or more, of those observed, with ``grew_low``
    and ``grew_high``; the same of the ``controls`` as ``control``, with ``control_low`` and
    ``control_high``; and the difference of both shares, ``excess``, with ``excess_low`` and
    ``excess_high``. Intervals are 95% ones over seeds (`benchmark.statistics.seeds.share`), that
    of the difference by Newcombe's hybrid (1998, Statistics in Medicine 17, method 10). Where
    nothing was observed, shares are NaN.
    """
    rows = []
    for key, group in windows.groupby(list(by), sort=False):
        seen = group.dropna(subset=["rise"])
        explosions, controls = (seen[seen["kind"].eq(kind)] for kind in (EXPLOSION, CONTROL))
        grew, control = _grown(explosions), _grown(controls)
        row = dict(zip(by, key, strict=True)) | {
            "explosions": int(group["kind"].eq(EXPLOSION).sum()),
            "observed": len(explosions),
            "controls": len(controls),
        }
        for label, ends in (
            ("grew", grew),
            ("control", control),
            ("excess", difference(grew, control)),
        ):
            row |= dict(zip((label, f"{label}_low", f"{label}_high"), ends, strict=True))
        rows.append(row)
    return pd.DataFrame(rows)


def _grown(windows: pd.DataFrame) -> Ends:
    if windows.empty:
        return math.nan, math.nan, math.nan
    return share(windows["rise"] >= GREW, windows["seed"])


def difference(first: Ends, second: Ends) -> Ends:
    """The difference of two independent shares, of each with its interval.

    >>> [round(end, 3) for end in difference((0.9, 0.8, 0.95), (0.1, 0.05, 0.2))]
    [0.8, 0.659, 0.871]
    """
    (one, one_low, one_high), (two, two_low, two_high) = first, second
    found = one - two
    low = found - math.hypot(one - one_low, two_high - two)
    return found, low, found + math.hypot(one_high - one, two - two_low)


def norms_before_onset(
    steps: pd.DataFrame, windows: pd.DataFrame, by: Sequence[str], length: int = 20
) -> pd.DataFrame:
    """Norms over their windows' reference, by ``kind``, ``by`` and the number of steps ``before``.

    Of the table ``labelled_steps`` and its `windows_before_onset`: ``median``, ``low`` and ``high``
    (the quartiles) over the ``windows`` that reach back that far, for the last ``length`` steps;
    ``before`` is 1 for the step just before the first bad one.
    """
    seen = windows.dropna(subset=["rise"])
    norms = steps.pivot(index="trial", columns="step", values="gradient_norm")
    places = norms.index.get_indexer(pd.Index(seen["trial"]))
    parts = []
    for before in range(1, length + 1):
        ends = seen["onset"].to_numpy() - before
        reached = ends >= 1
        columns = norms.columns.get_indexer(pd.Index(ends[reached]))
        ratio = norms.to_numpy()[places[reached], columns] / seen["reference"][reached]
        parts.append(seen[reached].assign(before=before, ratio=ratio))
    rows = pd.concat(parts).groupby(["kind", *by, "before"], sort=False)["ratio"]
    quartiles = zip(("median", "low", "high"), (0.5, 0.25, 0.75), strict=True)
    found = {name: rows.quantile(level) for name, level in quartiles}
    return pd.DataFrame({**found, "windows": rows.size()}).reset_index()
