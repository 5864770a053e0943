"""What it takes to reach a target accuracy, and where larger batches stop paying."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from benchmark.statistics.noise import noise_quartiles
from benchmark.statistics.rates import WITHIN, rate_scores, stable_range
from benchmark.statistics.resampling import resample
from benchmark.statistics.seeds import CONFIDENCE, DECIMALS, over_seeds

PAYS = 2.0
"""Times the least number of examples up to which a larger batch still pays: at the critical batch
size of McCandlish et al. 2018 (1812.06162) half of the examples are wasted."""


def costs_to_target(frame: pd.DataFrame) -> pd.DataFrame:
    """``frame`` with ``steps``, ``samples`` and ``seconds`` up to the target; infinite if missed.

    The target is the data set's, in validation accuracy at a checkpoint. Seconds are a trial's
    time in proportion to the examples that it had seen by then.
    """
    samples = frame["samples_to_target"].astype(float)
    share = samples / frame["samples"].astype(float)
    costs = {
        "steps": frame["steps_to_target"].astype(float),
        "samples": samples,
        "seconds": frame["seconds"].astype(float) * share,
    }
    return frame.assign(**{name: value.fillna(np.inf) for name, value in costs.items()})


def at_target(frame: pd.DataFrame, history: pd.DataFrame, target: float) -> pd.DataFrame:
    """``frame`` with the costs of another ``target`` validation accuracy (0..1), by its history.

    ``steps_to_target`` and ``samples_to_target`` are those of the first checkpoint of the trial
    that reaches it, NaN where none does.

    >>> frame = pd.DataFrame({"trial": ["a", "b"], "samples_to_target": 96.0})
    >>> history = pd.DataFrame({"trial": ["a", "a", "b"], "step": [1, 2, 1]})
    >>> history = history.assign(samples=32 * history["step"], validation_accuracy=[0.5, 0.75, 0.5])
    >>> at_target(frame, history, 0.7)["samples_to_target"].tolist()
    [64.0, nan]
    """
    there = history[history["validation_accuracy"] >= target].sort_values("step", kind="stable")
    first = there.drop_duplicates("trial").set_index("trial")
    steps, samples = (frame["trial"].map(first[column]) for column in ("step", "samples"))
    return frame.assign(steps_to_target=steps, samples_to_target=samples.astype(float))


def trade(frame: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """Columns ``by``, ``batch_size``, ``learning_rate``, ``reached``, and costs: a row a size.

    What larger batches buy and cost: ``steps`` and ``samples`` to the target, medians over seeds at
    the rate that reaches it with the fewest examples (``learning_rate``), each with ``_low`` and
    ``_high``. ``saved`` is how many times as many updates half the batch size takes, which is 2
    where larger batches are for free and 1 where they buy nothing (NaN where half of it was not
    run). All intervals are 95% bootstrap intervals over seeds, in which the rate is chosen anew
    each time. Sizes whose median trial misses the target have no row.
    """
    rows = []
    for key, group in frame.groupby(list(by), sort=False, dropna=False):
        sizes, rates, costs = _by_size(group)
        medians = np.median(costs, axis=-1)
        estimate, draws = medians.min(axis=-1), _draws(costs)
        low, high = _ends(draws)
        for place, size in enumerate(sizes):
            if not np.isfinite(estimate[place]):
                continue
            best = medians[place].argmin()
            ends = estimate[place], low[place], high[place]
            half = np.flatnonzero(sizes == size / 2)
            saved = [np.nan] * 3
            if len(half) and np.isfinite(estimate[half[0]]):
                with np.errstate(invalid="ignore"):
                    ratios = 2 * draws[:, half[0]] / draws[:, place]
                known = ratios[np.isfinite(ratios)]
                saved = [2 * estimate[half[0]] / ends[0], *_ends(known)]
            reached = np.isfinite(costs[place, best]).mean()
            updates = (end / size for end in ends)
            rows.append((*key, size, rates[best], reached, *updates, *ends, *map(float, saved)))
    names = [f"{c}{end}" for c in ("steps", "samples", "saved") for end in ("", "_low", "_high")]
    columns = [*by, "batch_size", "learning_rate", "reached", *names]
    return pd.DataFrame(rows, columns=columns)


def critical_size(frame: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """Columns ``by``, ``estimate``, ``low``, ``high``: the critical batch size.

    At which the target takes twice the least number of examples, between the sizes that were run
    along a straight line in the logarithms of both. A size that misses the target takes more than
    its budget and counts with that, so that the critical size is then at most so large. Infinite
    where even the largest is not known to take twice as many, and NaN without two sizes that reach
    the target. With a 95% bootstrap interval over seeds, in which the learning rate of each size is
    chosen anew each time.
    """
    rows = []
    for key, group in frame.groupby(list(by), sort=False, dropna=False):
        sizes, _, costs = _by_size(group)
        budget = group.groupby("batch_size")["samples"].max().reindex(sizes).to_numpy(dtype=float)
        estimate = crossing(sizes, np.median(costs, axis=-1).min(axis=-1), budget)
        found = np.array([crossing(sizes, draw, budget) for draw in _draws(costs)])
        rows.append((*key, estimate, *map(float, _ends(found[~np.isnan(found)]))))
    return pd.DataFrame(rows, columns=[*by, "estimate", "low", "high"])


def saved_per_doubling(rows: pd.DataFrame) -> float:
    """By what a doubling of the batch size divides the updates, in the geometric mean.

    ``rows`` of `trade`, ascending; NaN without two sizes.

    >>> saved_per_doubling(pd.DataFrame({"batch_size": [8, 32], "steps": [90.0, 40.0]}))
    1.5
    """
    if len(rows) < 2:
        return float("nan")
    first, last = rows.iloc[0], rows.iloc[-1]
    doublings = np.log2(last["batch_size"] / first["batch_size"])
    return float((first["steps"] / last["steps"]) ** (1 / doublings))


def crossing(sizes: np.ndarray, samples: np.ndarray, budget: np.ndarray) -> float:
    """Batch size beyond which ``samples`` (n,) are more than twice their least; ``sizes`` ascend.

    Infinite samples, of a size that missed the target, count as its ``budget`` (n,).

    >>> sizes, budget = np.array([8.0, 16.0, 32.0]), np.full(3, 400.0)
    >>> round(crossing(sizes, np.array([100.0, 100.0, np.inf]), budget), 1)
    22.6
    """
    known = np.isfinite(samples)
    if known.sum() < 2:
        return float("nan")
    ratio = np.where(known, samples, budget) / (PAYS * samples[known].min())
    last = int(np.flatnonzero(ratio <= 1)[-1])
    if last == len(sizes) - 1:
        return float("inf")
    x, y = np.log(sizes[last : last + 2]), np.log(ratio[last : last + 2])
    return float(np.exp(x[0] - y[0] * (x[1] - x[0]) / (y[1] - y[0])))


def _by_size(frame: pd.DataFrame) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Batch sizes (n,), rates (r,), and examples to the target (n, r, seeds); infinite if missed.

    Seeds that some size or rate lacks are left out: the others are drawn together.
    """
    costs = costs_to_target(frame)
    table = costs.pivot_table(
        index=["batch_size", "learning_rate"], columns="seed", values="samples", aggfunc="median"
    ).dropna(axis="columns")
    sizes, rates = (
        np.unique(table.index.get_level_values(name).to_numpy(dtype=float))
        for name in ("batch_size", "learning_rate")
    )
    whole = pd.MultiIndex.from_product([sizes, rates])
    values = table.reindex(whole).fillna(np.inf).to_numpy()
    return sizes, rates, values.reshape(len(sizes), len(rates), -1)


def _ends(draws: np.ndarray) -> np.ndarray:
    """Ends (2, ...) of the 95% percentile interval of ``draws`` (n, ...), which may be infinite."""
    if not len(draws):
        return np.full(2, np.nan)
    tail = (1 - CONFIDENCE) / 2
    # the nearest, because between a number and infinity there is none
    return np.asarray(np.quantile(draws, [tail, 1 - tail], axis=0, method="nearest"))


def _draws(costs: np.ndarray) -> np.ndarray:
    """Least median cost over rates of each size, of bootstrap draws of seeds (draws, sizes)."""
    seeds = resample(np.zeros(costs.shape[-1]))
    return np.median(costs[:, :, seeds], axis=-1).min(axis=1).T


def scaled_rates(
    ranges: pd.DataFrame, scores: pd.DataFrame, start: float | None = None
) -> pd.DataFrame:
    """``ranges`` with the rates of both rules and whether they are good: ``linear``, ``root``.

    ``ranges`` has the columns ``batch_size`` and ``best_rate``, a row a batch size, as
    `benchmark.statistics.stable_range` gives them, and ``scores`` the mean ``validation`` accuracy
    of each ``batch_size`` at each ``learning_rate`` (`benchmark.statistics.rate_scores`). Both
    rules start from the best rate of the smallest batch, or from the rate ``start`` there;
    ``linear_good`` and ``root_good`` say whether the accuracy at their rate is within one point of
    the best. Between two rates that were run it is interpolated, on their logarithms; beyond all of
    them it is not known, and not good.
    """
    rows = ranges.sort_values("batch_size", kind="stable").reset_index(drop=True)
    ratio = rows["batch_size"] / rows["batch_size"].iloc[0]
    start = rows["best_rate"].iloc[0] if start is None else start
    for name, factor in (("linear", ratio), ("root", np.sqrt(ratio))):
        rate = start * factor
        good = [
            _within(scores[scores["batch_size"] == size], value)
            for size, value in zip(rows["batch_size"], rate, strict=True)
        ]
        rows = rows.assign(**{name: rate, f"{name}_good": good})
    return rows


def _within(scores: pd.DataFrame, rate: float) -> bool:
    """Whether the accuracy at a rate, between those of ``scores``, is near the best of them."""
    known = scores.sort_values("learning_rate")
    places = np.log(known["learning_rate"].to_numpy(dtype=float))
    accuracy = known["validation"].to_numpy(dtype=float)
    # rates are met exactly, up to the last bits
    place = np.round(np.log(rate) - places, 6)
    if (place < 0).all() or (place > 0).all():
        return False
    return bool(np.interp(np.log(rate), places, accuracy) >= accuracy.max() - WITHIN)


def rules_for_rate(frame: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """`scaled_rates` of the `stable_range` of every batch size, in each group of ``by``.

    ``frame`` has the `outcomes` of trials over batch sizes and rates, at equal examples.
    """
    ranges = stable_range(frame, [*by, "batch_size"])
    scores = rate_scores(frame, [*by, "batch_size"])
    groups = ranges.groupby(list(by), sort=False, dropna=False)
    return pd.concat(
        [scaled_rates(rows, scores.merge(rows[list(by)].drop_duplicates())) for _, rows in groups]
    )


def rule_holds(rules: pd.DataFrame, rule: str) -> dict[str, float]:
    """Up to which batch size a ``rule`` (linear, root) is good: ``last``, and the ``first`` not.

    Both are batch sizes of ``rules``, rows of `scaled_rates`; ``first`` is NaN where the rule is
    good at every size.

    >>> rules = pd.DataFrame({"batch_size": [8, 16, 32], "root_good": [True, True, False]})
    >>> rule_holds(rules, "root")
    {'last': 16.0, 'first': 32.0}
    """
    first = rules.loc[~rules[f"{rule}_good"], "batch_size"].min()
    good = rules["batch_size"][~(rules["batch_size"] >= first)]
    return {"last": float(good.max()), "first": float(first)}


def tied_starts(frame: pd.DataFrame) -> list[float]:
    """Rates of the smallest batch that the seeds do not tell from its best one, ascending.

    Those whose mean ``validation`` differs from the largest by less than the 95% interval of the
    difference, paired by seed. A single seed tells none apart from the best but by its value.

    >>> rates = [1, 1, 2, 2, 4, 4]
    >>> frame = pd.DataFrame({"batch_size": 8, "seed": [0, 1] * 3, "learning_rate": rates})
    >>> tied_starts(frame.assign(validation=[0.8, 0.82, 0.81, 0.8, 0.1, 0.11]))
    [1.0, 2.0]
    """
    smallest = frame[frame["batch_size"] == frame["batch_size"].min()]
    by_seed = smallest.pivot_table(index="seed", columns="learning_rate", values="validation")
    best = by_seed.mean().round(DECIMALS).idxmax()
    tied = []
    for rate in by_seed:
        apart = (by_seed[rate] - by_seed[best]).dropna()
        if rate == best or (len(apart) > 1 and over_seeds(apart, apart.index.to_numpy())[2] >= 0):
            tied.append(float(rate))
    return tied


def rules_over_starts(frame: pd.DataFrame) -> pd.DataFrame:
    """`rule_holds` of both rules from each of the `tied_starts`: a row a ``start``.

    Columns ``linear`` and ``root`` are the sizes up to which each is good. ``frame`` has the
    `outcomes` of one network over batch sizes and rates. What a rule is worth hinges on the rate it
    starts from, and the seeds may not tell which of two is best.
    """
    sizes = ["batch_size"]
    ranges, scores = stable_range(frame, sizes), rate_scores(frame, sizes)
    rows = []
    for start in tied_starts(frame):
        ruled = scaled_rates(ranges, scores, start)
        rows.append(
            {"start": start} | {r: rule_holds(ruled, r)["last"] for r in ("linear", "root")}
        )
    return pd.DataFrame(rows)


def where_larger_batches_pay(
    frame: pd.DataFrame, history: pd.DataFrame, by: Sequence[str]
) -> pd.DataFrame:
    """Columns ``by``, ``critical``, ``low``, ``high``, ``below``, ``beyond`` and ``noise``.

    The `critical_size` with its interval; by what a doubling of the batch size divides the updates
    to the target, among the sizes up to that one and among those beyond it (`saved_per_doubling`,
    NaN without any; the doubling across the critical size is in neither); and what
    is to predict it: the `noise_quartiles` (``noise``, ``noise_low``, ``noise_high``) over the
    checkpoints up to the target, at the rate of each size that gets there soonest. ``frame`` and
    ``history`` are those of trials over batch sizes and rates, at equal examples.
    """
    costs, by = trade(frame, by), list(by)
    chosen = frame.merge(costs[[*by, "batch_size", "learning_rate"]])
    rows = history[["trial", "samples", "noise_scale"]].merge(
        chosen[["trial", *by, "samples_to_target"]], on="trial"
    )
    rows = rows[rows["samples"] <= rows["samples_to_target"].astype(float)]
    found = critical_size(frame, by).rename(columns={"estimate": "critical"})
    savings = []
    for row in found.to_dict("records"):
        sizes = costs[(costs[by] == pd.Series(row)[by]).all(axis=1)]
        small = sizes["batch_size"] <= row["critical"]
        savings.append([saved_per_doubling(sizes[part]) for part in (small, ~small)])
    found[["below", "beyond"]] = np.reshape(savings, (-1, 2))
    return found.merge(noise_quartiles(rows, by), on=by, how="left")


def critical_by_target(
    frame: pd.DataFrame, history: pd.DataFrame, by: Sequence[str], targets: Sequence[float]
) -> pd.DataFrame:
    """`where_larger_batches_pay` for each of some ``targets`` (validation accuracy, 0..1).

    A row for each group of ``by`` and target that two sizes reach in the median trial, with the
    column ``target``; ``cheapest``, the size that reaches it with the fewest examples;
    ``samples``, how many that takes, and ``checkpoints``, at how many checkpoints it was looked for
    until then: at the first or second, costs are hardly known; ``smallest`` and ``largest``, the
    sizes that reach it. The gradient shrinks along training while its noise stays, so that the
    critical size is to grow with the target (McCandlish et al. 2018, 1812.06162).
    """
    seen = history[history["step"] > 0].groupby("trial")["samples"].min()
    found = []
    for target in targets:
        rows = at_target(frame, history, target)
        for key, group in rows.groupby(list(by), sort=False, dropna=False):
            sizes, _, costs = _by_size(group)
            least = np.median(costs, axis=-1).min(axis=-1)
            reached = sizes[np.isfinite(least)]
            if len(reached) < 2:
                continue
            facts = dict(zip(by, key, strict=True)) | {"target": target, "samples": least.min()}
            cheapest = sizes[least.argmin()]
            apart = group.loc[group["batch_size"].eq(cheapest), "trial"].map(seen).median()
            facts |= {"cheapest": cheapest, "checkpoints": least.min() / apart}
            facts |= {"smallest": reached.min(), "largest": reached.max()}
            (row,) = where_larger_batches_pay(group, history, by).to_dict("records")
            found.append({**facts, **row})
    return pd.DataFrame(found)
