"""What it is worth to tune a factor, and in which order to tune several.

Levels are chosen by validation on other seeds than the one on which they are reported, by test
accuracy: what is chosen and reported on the same seeds flatters itself.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import pandas as pd

from benchmark.statistics.rates import cross_fitted
from benchmark.statistics.seeds import Ends, over_seeds

SCORES = ["validation", "objective", "accuracy"]


def tuned(
    frame: pd.DataFrame, baselines: Mapping[str, object], factors: Collection[str]
) -> pd.DataFrame:
    """Columns ``validation`` and ``accuracy`` by seed, with ``factors`` tuned together.

    All other factors of ``baselines`` keep the level given there; one whose baseline is None is
    drawn from its levels in the ``frame`` (the mean over them), until it is tuned. For each seed
    the levels are those of the highest mean validation accuracy on all other seeds, so that a
    ``frame`` of one seed has no row.
    """
    rows = frame
    for factor, level in baselines.items():
        if factor not in factors and level is not None:
            rows = rows[rows[factor] == level]
    over = [factor for factor in baselines if factor in factors]
    means = rows.assign(_all=0).groupby(["_all", *over, "seed"], dropna=False)[SCORES].mean()
    # nothing that is tuned: nothing to choose
    chosen = cross_fitted(means.reset_index(), ["_all"], over) if over else means.reset_index()
    return chosen.set_index("seed")[["validation", "accuracy"]].sort_index()


def tuning_gain(
    frame: pd.DataFrame,
    baselines: Mapping[str, object],
    before: Collection[str],
    after: Collection[str],
) -> Ends:
    """Test accuracy that tuning the factors ``after`` gains over tuning those ``before``.

    The mean over seeds, paired, with its 95% interval; see `tuned`.
    """
    first, last = (tuned(frame, baselines, some)["accuracy"] for some in (before, after))
    gain = (last - first).dropna()
    return over_seeds(gain.to_numpy(), gain.index.to_numpy())


def tuning_path(frame: pd.DataFrame, baselines: Mapping[str, object]) -> pd.DataFrame:
    """In which order to tune factors, and what each step gains: the greedy path.

    Columns ``factor``, ``configurations``, ``accuracy``, ``effect``, ``low``, ``high``, a row a
    step: the factor whose tuning, together with those before it, has the highest validation
    accuracy (of equals the first of ``baselines``). ``configurations`` is how many combinations of
    levels have to be tried by then, ``accuracy`` (0..1) what is reached, and ``effect`` what the
    step gains, on test data (`tuning_gain`). The first row is where nothing is tuned: its
    ``factor`` is empty. `tuned` says what baselines mean. Two seeds at least.

    >>> frame = pd.DataFrame({"rate": [1, 1, 2, 2] * 2, "rule": [*"abab"] * 2})
    >>> frame["seed"] = [0] * 4 + [1] * 4
    >>> frame = frame.assign(accuracy=[0.25, 0.25, 0.5, 0.75] * 2, objective=0.0)
    >>> frame = frame.assign(validation=frame["accuracy"])
    >>> found = tuning_path(frame, {"rate": None, "rule": "a"})
    >>> found[["factor", "configurations", "accuracy"]].values.tolist()
    [['', 1, 0.375], ['rate', 2, 0.5], ['rule', 4, 0.75]]
    """
    order: list[str] = []
    start = tuned(frame, baselines, [])["accuracy"].mean()
    rows: list[tuple[object, ...]] = [("", 1, start, *[float("nan")] * 3)]
    configurations = 1
    while len(order) < len(baselines):
        open_ = [factor for factor in baselines if factor not in order]
        found = {factor: tuned(frame, baselines, [*order, factor]) for factor in open_}
        best = max(open_, key=lambda factor: found[factor]["validation"].mean())
        configurations *= frame[best].nunique(dropna=False)
        gain = tuning_gain(frame, baselines, order, [*order, best])
        order.append(best)
        rows.append((best, configurations, found[best]["accuracy"].mean(), *gain))
    columns = ["factor", "configurations", "accuracy", "effect", "low", "high"]
    return pd.DataFrame(rows, columns=columns)
