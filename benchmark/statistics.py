"""Statistics of a study: frames in, frames out. No torch, no drawing.

Rules that hold throughout: runs are paired by seed; an exploded trial counts at chance accuracy
and at its capped loss and is never dropped; selection is on validation, reporting on test;
intervals are 95% percentile bootstraps from a fixed generator, in which seeds are resampled
within each stratum (a cell), after Agarwal et al. 2021 (2108.13264).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
import scipy.stats

from benchmark.records import CONFIGURATION
from benchmark.status import EXPLODED, FINISHED, TRAINED, capped_loss

CONFIDENCE = 0.95
RESAMPLES = 2000
GENERATOR_SEED = 0
WITHIN = 0.01
"""Accuracy (0..1) within which a learning rate counts as good as the best: one point."""

DEPENDENT = {
    "clipping": ("clipping_threshold",),
    "batch_policy": ("batch_policy_parameter",),
    "model": ("depth",),
}
"""Configuration columns that change with a factor and so cannot pair its levels."""

Statistic = Callable[[np.ndarray], np.ndarray]


def outcomes(trials: pd.DataFrame) -> pd.DataFrame:
    """Finished trials with the columns that every comparison uses.

    Adds ``accuracy`` and ``validation`` (test and validation accuracy, 0..1; where missing or not
    finite, chance: 1 / classes), ``loss`` (min(validation loss, initial loss), nats),
    ``exploded`` and ``trained`` (0 or 1). Skipped and failed trials are left out: they are
    counted by `completeness`.
    """
    rows = trials[trials["status"].isin(FINISHED)].copy()
    chance = 1 / rows["classes"].astype(float)
    for name, source in (("accuracy", "test_accuracy"), ("validation", "validation_accuracy")):
        found = rows[source].astype(float)
        rows[name] = found.where(np.isfinite(found), chance)
    pairs = zip(rows["validation_loss"], rows["initial_loss"], strict=True)
    rows["loss"] = [capped_loss(loss, initial) for loss, initial in pairs]
    rows["exploded"] = rows["status"].isin(EXPLODED).astype(float)
    rows["trained"] = rows["status"].isin(TRAINED).astype(float)
    return rows.reset_index(drop=True)


def interquartile_mean(values: np.ndarray) -> np.ndarray:
    """Mean of the middle half of ``values`` (..., n) along the last axis.

    A quarter of the n values, rounded down, is cut at either end; below n = 4 it is the mean.

    >>> float(interquartile_mean(np.array([1, 2, 3, 4, 5, 6, 7, 800])))
    4.5
    """
    ordered = np.sort(np.asarray(values, dtype=float), axis=-1)
    cut = ordered.shape[-1] // 4
    return ordered[..., cut : ordered.shape[-1] - cut].mean(axis=-1)


def mean(values: np.ndarray) -> np.ndarray:
    """Mean of ``values`` (..., n) along the last axis."""
    return np.asarray(values, dtype=float).mean(axis=-1)


def resample(strata: np.ndarray, resamples: int = RESAMPLES) -> np.ndarray:
    """Positions (resamples, n) of a stratified bootstrap over n rows labelled by ``strata`` (n,).

    Rows are drawn with replacement within their stratum. Where every stratum has a single row,
    nothing could vary within them and all rows form one stratum.
    """
    codes = np.unique(np.asarray(strata), return_inverse=True)[1]
    if len(codes) == codes.max(initial=-1) + 1:
        codes = np.zeros_like(codes)
    generator = np.random.default_rng(GENERATOR_SEED)
    out = np.empty((resamples, len(codes)), dtype=np.intp)
    for code in range(codes.max(initial=-1) + 1):
        (members,) = np.nonzero(codes == code)
        draws = generator.integers(len(members), size=(resamples, len(members)))
        out[:, members] = members[draws]
    return out


def bootstrap(
    values: np.ndarray, strata: np.ndarray, statistic: Statistic = interquartile_mean
) -> tuple[float, float, float]:
    """Estimate, and lower and upper end of its 95% interval, for ``values`` (n,)."""
    values = np.asarray(values, dtype=float)
    draws = statistic(values[resample(strata)])
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(draws, [tail, 1 - tail])
    return float(statistic(values)), float(low), float(high)


def interval(
    frame: pd.DataFrame,
    value: str,
    by: Sequence[str],
    *,
    strata: str = "cell",
    statistic: Statistic = interquartile_mean,
) -> pd.DataFrame:
    """Columns ``by``, ``trials``, ``estimate``, ``low``, ``high``: ``value`` by group."""
    rows = []
    for key, group in frame.groupby(list(by), sort=False, dropna=False):
        found = bootstrap(group[value].to_numpy(), group[strata].to_numpy(), statistic)
        rows.append((*key, len(group), *found))
    return pd.DataFrame(rows, columns=[*by, "trials", "estimate", "low", "high"])


def status_shares(trials: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """Columns ``by``, ``status``, ``count``, ``share`` (of the finished trials of the group).

    Every group has one row for each status of a finished trial, also where it did not occur.
    """
    rows = trials[trials["status"].isin(FINISHED)]
    counts = rows.groupby([*by, "status"]).size().unstack("status", fill_value=0)
    counts = counts.reindex(columns=list(FINISHED), fill_value=0)
    long = pd.Series(counts.stack(), name="count").reset_index()
    total = long.groupby(list(by))["count"].transform("sum")
    return long.assign(share=long["count"] / total)


def _by_level(frame: pd.DataFrame, by: Sequence[str], over: Sequence[str]) -> pd.DataFrame:
    groups = frame.groupby([*by, *over], sort=True, dropna=False)
    return groups[["validation", "loss"]].mean().reset_index()


def best_per_arm(
    frame: pd.DataFrame, by: Sequence[str], over: Sequence[str] = ("learning_rate",)
) -> pd.DataFrame:
    """Rows of ``frame`` at the level of ``over`` that validation chooses within each group ``by``.

    The level with the highest mean validation accuracy over the group's trials; among equals the
    lowest mean loss, then the smallest level. What is reported of those rows is their test
    accuracy. The same level for all seeds: a choice for each seed would fit its noise.
    """
    levels = _by_level(frame, by, over)
    ranked = levels.sort_values(["validation", "loss"], ascending=[False, True], kind="stable")
    chosen = ranked.drop_duplicates(list(by))[[*by, *over]]
    return frame.merge(chosen, on=[*by, *over], how="inner")


def stable_range(frame: pd.DataFrame, by: Sequence[str], within: float = WITHIN) -> pd.DataFrame:
    """Columns ``by``, ``best_rate``, ``low_rate``, ``high_rate``, ``decades``.

    The run of neighbouring learning rates about the best one whose mean validation accuracy is
    within ``within`` of the best; decades = log10(high_rate / low_rate), 0 for a single rate.
    """
    rows = []
    for key, group in _by_level(frame, by, ["learning_rate"]).groupby(list(by), sort=False):
        rates, accuracy = group["learning_rate"].to_numpy(), group["validation"].to_numpy()
        best = low = high = int(accuracy.argmax())
        good = accuracy >= accuracy[best] - within
        while low > 0 and good[low - 1]:
            low -= 1
        while high < len(rates) - 1 and good[high + 1]:
            high += 1
        rows.append(
            (*key, rates[best], rates[low], rates[high], np.log10(rates[high] / rates[low]))
        )
    return pd.DataFrame(rows, columns=[*by, "best_rate", "low_rate", "high_rate", "decades"])


def largest_stable_rate(
    frame: pd.DataFrame, by: Sequence[str], statuses: Sequence[str] = ("stable",)
) -> pd.DataFrame:
    """Columns ``by``, ``largest_rate``: the largest rate at which every trial had such a status.

    NaN where there is no such rate.
    """
    good = frame.assign(good=frame["status"].isin(statuses))
    whole = good.groupby([*by, "learning_rate"])["good"].all().reset_index()
    whole["largest_rate"] = whole["learning_rate"].where(whole["good"])
    return whole.groupby(list(by), sort=False)["largest_rate"].max().reset_index()


def learning_rate_sensitivity(frame: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """Columns ``by``, ``sensitivity`` (nats): mean over rates of the capped loss, minus the best.

    E_eta[min(loss(eta), initial loss)] - min_eta loss(eta), the rates being a log grid and the
    loss at each the mean over its trials (Wortsman et al. 2023, 2309.14322).
    """
    loss = _by_level(frame, by, ["learning_rate"]).groupby(list(by), sort=False)["loss"]
    return (loss.mean() - loss.min()).rename("sensitivity").reset_index()


def holm(p: np.ndarray) -> np.ndarray:
    """Holm-adjusted p-values (m,), in the order given.

    >>> holm(np.array([0.01, 0.04, 0.03])).round(3).tolist()
    [0.03, 0.06, 0.06]
    """
    order = np.argsort(p, kind="stable")
    scaled = np.asarray(p)[order] * np.arange(len(p), 0, -1)
    out = np.empty(len(p))
    out[order] = np.minimum(np.maximum.accumulate(scaled), 1.0)
    return out


def wilcoxon(differences: np.ndarray) -> float:
    """Two-sided p-value of Wilcoxon's signed-rank test; 1 where nothing differs."""
    moved = np.asarray(differences)[np.asarray(differences) != 0]
    # exact only without ties, which scipy would otherwise warn about
    tied = len(np.unique(np.abs(moved))) < len(moved)
    method = "asymptotic" if tied or len(moved) > 50 else "exact"
    return float(scipy.stats.wilcoxon(moved, method=method).pvalue) if len(moved) else 1.0


def probability_of_improvement(pairs: pd.DataFrame) -> float:
    """P(treated > control) for runs drawn from the same stratum, averaged over the strata.

    ``pairs`` has the columns ``stratum``, ``treated`` and ``control``; equals count one half.
    """
    each = []
    for _, group in pairs.groupby("stratum", sort=False):
        gap = group["treated"].to_numpy()[:, None] - group["control"].to_numpy()[None, :]
        each.append(((gap > 0) + 0.5 * (gap == 0)).mean())
    return float(np.mean(each))


def paired(
    frame: pd.DataFrame,
    factor: str,
    level: object,
    baseline: object,
    value: str,
    ignore: Sequence[str] = (),
) -> pd.DataFrame:
    """Columns ``treated``, ``control``, ``difference``, ``stratum``, ``seed``: a row for each pair.

    Pairs agree in every configuration column but ``factor``, the numbers that belong to it, and
    those in ``ignore`` (the learning rate, where each arm has its own). A stratum is a pair's
    configuration without its seed.
    """
    out = {factor, *DEPENDENT.get(factor, ()), *ignore}
    keys = [c for c in CONFIGURATION if c not in out]
    sides = [frame[frame[factor] == which][[*keys, value]] for which in (level, baseline)]
    joined = sides[0].merge(sides[1], on=keys, suffixes=("_treated", "_control"))
    pairs = joined.rename(columns={f"{value}_treated": "treated", f"{value}_control": "control"})
    strata = [c for c in keys if c != "seed"]
    pairs["stratum"] = pairs.groupby(strata, sort=False, dropna=False).ngroup()
    pairs["difference"] = pairs["treated"] - pairs["control"]
    return pairs[["treated", "control", "difference", "stratum", "seed"]]


def paired_comparison(
    frame: pd.DataFrame,
    factor: str,
    baseline: object,
    value: str = "accuracy",
    *,
    ignore: Sequence[str] = (),
    statistic: Statistic = mean,
) -> pd.DataFrame:
    """Each level of ``factor`` against ``baseline``, paired by seed and all other factors.

    Columns: ``level``, ``baseline``, ``pairs``, ``effect`` (level minus baseline), ``low``,
    ``high`` (95% stratified bootstrap), ``p`` (Wilcoxon signed-rank), ``p_holm`` (corrected for
    the levels compared), ``improvement`` (probability that the level's value is the higher).
    Levels without a pair are left out.
    """
    rows = []
    for level in frame[factor].drop_duplicates():
        pairs = paired(frame, factor, level, baseline, value, ignore)
        if level == baseline or pairs.empty:
            continue
        difference = pairs["difference"].to_numpy()
        found = bootstrap(difference, pairs["stratum"].to_numpy(), statistic)
        better = probability_of_improvement(pairs)
        rows.append((level, baseline, len(pairs), *found, wilcoxon(difference), better))
    columns = ["level", "baseline", "pairs", "effect", "low", "high", "p", "improvement"]
    out = pd.DataFrame(rows, columns=columns)
    out.insert(7, "p_holm", holm(out["p"].to_numpy(dtype=float)))
    return out


def main_effects(frame: pd.DataFrame, factors: Sequence[str], value: str) -> pd.DataFrame:
    """Columns ``factor``, ``estimate``, ``low``, ``high``: share of the variance of ``value``.

    Var over levels of the level's mean / Var over all trials: the main-effect importance of
    functional ANOVA, exact on a complete and balanced grid. Seeds are resampled within cells.
    """
    values = frame[value].to_numpy(dtype=float)
    draws = values[resample(frame["cell"].to_numpy(), RESAMPLES // 4)]
    table = np.vstack([values, draws])
    total = table.var(axis=1)
    total[total == 0] = np.inf
    rows = []
    for factor in factors:
        codes, levels = pd.factorize(frame[factor])
        means = np.stack([table[:, codes == k].mean(axis=1) for k in range(len(levels))], axis=1)
        weights = np.bincount(codes) / len(codes)
        between = ((means - table.mean(axis=1, keepdims=True)) ** 2 * weights).sum(axis=1)
        share = between / total
        rows.append((factor, share[0], *np.quantile(share[1:], [0.025, 0.975])))
    return pd.DataFrame(rows, columns=["factor", "estimate", "low", "high"])


def explosion_onset(trials: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """Columns ``by``, ``finished``, ``exploded``, ``first``, ``median``, ``last``.

    ``exploded`` counts the trials with a bad step; the others are their smallest, median and
    largest first bad step (counted from 1), NaN where none exploded.
    """
    rows = trials[trials["status"].isin(FINISHED)]
    onset = rows.groupby(list(by))["first_bad_step"]
    columns = {"finished": onset.size(), "exploded": onset.count(), "first": onset.min()}
    return pd.DataFrame({**columns, "median": onset.median(), "last": onset.max()}).reset_index()


def completeness(
    plan: pd.DataFrame, trials: pd.DataFrame, by: Sequence[str] = ("study",)
) -> pd.DataFrame:
    """Columns ``by``, ``expected``, ``present``, ``missing``, ``finished``, ``skipped``,
    ``failed``.

    ``present`` counts the planned trials that have a row, whatever its status:
    present = finished + skipped + failed, and missing = expected - present.
    """
    known = trials[["trial", "status"]].drop_duplicates("trial")
    joined = plan.merge(known, on="trial", how="left")
    status = joined["status"]
    counted = joined[list(by)].assign(
        expected=1,
        present=status.notna().astype(int),
        missing=status.isna().astype(int),
        finished=status.isin(FINISHED).astype(int),
        skipped=(status == "skipped").astype(int),
        failed=(status == "failed").astype(int),
    )
    return counted.groupby(list(by), sort=False).sum().reset_index()


def best_so_far(
    plan: pd.DataFrame, trials: pd.DataFrame, by: Sequence[str] = ("model", "arm")
) -> pd.DataFrame:
    """Columns ``by``, ``number``, ``trial``, ``objective``, ``best``: a search in trial order.

    ``number`` counts each group's planned trials from 1; ``objective`` is min(validation loss,
    initial loss), NaN where the trial did not finish; ``best`` is the smallest so far.
    """
    losses = outcomes(trials)[["trial", "loss"]].rename(columns={"loss": "objective"})
    rows = plan[[*by, "trial"]].merge(losses, on="trial", how="left")
    groups = rows.groupby(list(by), sort=False)
    rows["number"] = groups.cumcount() + 1
    rows["best"] = groups["objective"].cummin()
    rows["best"] = rows.groupby(list(by), sort=False)["best"].ffill()
    return rows[[*by, "number", "trial", "objective", "best"]]
