"""What a disturbance cost: accuracy lost for good, and updates until the loss was made up.

Every disturbed trial is compared with the trial of the same seed and configuration without the
disturbance, which is equal to it, bit for bit, up to the disturbed step.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import pandas as pd

from benchmark.records import CONFIGURATION
from benchmark.records.rates import SHARED
from benchmark.statistics.multiples import in_relative_arms
from benchmark.statistics.outcomes import able
from benchmark.statistics.pairing import SIGNIFICANT, paired, paired_comparison
from benchmark.statistics.seeds import Ends, left_out, over_seeds, share
from benchmark.statistics.tuned_thresholds import FURTHER, at_every_threshold

MADE_UP = 0.01
"""Validation accuracy (0..1) by which a trial may lie below its undisturbed pair and have made up
what it lost: one point, the standard deviation of an accuracy of 90 % on the 1,000 examples that a
checkpoint looks at."""
LEAST = 0.01
"""Accuracy (0..1) that has to be lost without a guard for there to be something to save."""


def at_one_rate(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows of ``frame`` whose learning rate is one of the trials without clipping.

    In the same setting, of which the clipping is no part: no clipping itself, the arms that were
    run at its rates, and where there is none the trials whose own best rate is the same. All have
    the ``arm`` of no clipping, so that they pair with it, and ``times``, the multiple of its best
    rate that this is; NaN where the rates are no such multiples.

    At its own best rate a guard that allows a higher one is hit harder: a bump of the rate starts
    higher up, and so it is no comparison of guards. Thresholds besides the default are left out.
    """
    frame = published(frame)
    apart = ("arm", "seed", "disturbance", "clipping", "clipping_threshold")
    keys = [c for c in CONFIGURATION if c not in apart]
    bare = frame.loc[frame["clipping"] == "none", [*keys, "arm"]].drop_duplicates(keys)
    # arms at the rate without clipping first: a guard's own best rate may be the same
    asked = frame["arm"].fillna("").str.startswith(SHARED)
    rows = pd.concat([frame[asked], frame[~asked]]).drop(columns="arm").merge(bare, on=keys)
    rows = rows.drop_duplicates(list(CONFIGURATION), ignore_index=True)
    return rows.assign(times=in_relative_arms(rows)["times"])


def published(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows without those of further thresholds, which are run at a few rates only."""
    return frame[~frame["arm"].fillna("").str.startswith(FURTHER)]


def losses(frame: pd.DataFrame) -> pd.DataFrame:
    """The disturbed rows of `outcomes` with ``lost``: the undisturbed accuracy less their own.

    Each against the trial of the same seed and configuration; what has none is left out, and so are
    trials whose clipping could not act before the disturbance (`able`).
    """
    frame = able(frame, "clipping")
    keys = [c for c in CONFIGURATION if c != "disturbance"]
    calm = frame.loc[frame["disturbance"] == "none", [*keys, "accuracy"]]
    disturbed = frame[frame["disturbance"] != "none"]
    rows = disturbed.merge(calm.rename(columns={"accuracy": "_calm"}), on=keys)
    return rows.assign(lost=rows["_calm"] - rows["accuracy"]).drop(columns="_calm")


def accuracy_lost(frame: pd.DataFrame, by: Sequence[str] = ("clipping",)) -> pd.DataFrame:
    """Columns ``disturbance``, ``arm``, ``by``, ``pairs``, ``lost``, ``low``, ``high``.

    The mean of `losses` with its 95% interval over seeds. Arms, which differ in their learning
    rate, are never pooled.
    """
    keys = ["disturbance", "arm", *by]
    rows = []
    for key, group in losses(frame).groupby(keys, sort=False, dropna=False):
        rows.append((*key, len(group), *over_seeds(group["lost"].to_numpy(), group["seed"])))
    return pd.DataFrame(rows, columns=[*keys, "pairs", "lost", "low", "high"])


def losses_saved(frame: pd.DataFrame, by: Sequence[str] = ()) -> pd.DataFrame:
    """Each clipping beside none at one rate (`at_one_rate`), paired by seed.

    Columns ``disturbance``, ``times``, ``by``, ``clipping``, ``pairs``; ``lost``, ``low`` and
    ``high``, the mean of `losses` with its 95% interval over seeds; ``bare``, ``bare_low`` and
    ``bare_high``, the same without clipping; ``extra``, ``extra_low`` and ``extra_high``, what the
    clipping loses more; and ``saved``, ``saved_low`` and ``saved_high``, the share of the loss
    without clipping that it saves: 1 - lost / bare, 1 where nothing is lost, negative where more
    is. Where less than `LEAST` is lost without clipping there is nothing to save, and the share is
    NaN.

    A clipping that slows training has less to lose: it may save all of a loss and still end below
    none. So, with ends alike, ``premium`` is the accuracy that it costs where nothing happens, and
    ``gained`` how far it ends above none after the disturbance, which is what it saves less its
    premium: gained = -extra - premium.
    """
    keys, rows = ["disturbance", "times", *by], []
    disturbed = losses(at_one_rate(frame))
    disturbed = disturbed.assign(_calm=disturbed["accuracy"] + disturbed["lost"])
    for key, group in disturbed.groupby(keys, sort=False, dropna=False):
        for clipping in group["clipping"].drop_duplicates():
            pairs = paired(group, "clipping", clipping, "none", "lost")
            if clipping == "none" or pairs.empty:
                continue
            sides = ("treated", "control", "difference")
            ends = [over_seeds(pairs[c].to_numpy(), pairs["seed"]) for c in sides]
            share = _share_saved(pairs) if ends[1][0] >= LEAST else (np.nan,) * 3
            # the other way round: what is lost without a disturbance
            calm = paired(group, "clipping", "none", clipping, "_calm")
            hit = paired(group, "clipping", clipping, "none", "accuracy")
            ends += [
                share,
                *(over_seeds(p["difference"].to_numpy(), p["seed"]) for p in (calm, hit)),
            ]
            rows.append((*key, clipping, len(pairs), *itertools.chain(*ends)))
    measures = ("bare", "extra", "saved", "premium", "gained")
    names = [f"{measure}{end}" for measure in measures for end in ("", "_low", "_high")]
    columns = [*keys, "clipping", "pairs", "lost", "low", "high", *names]
    return pd.DataFrame(rows, columns=columns)


def ends_above_none(frame: pd.DataFrame, by: Sequence[str] = ()) -> pd.DataFrame:
    """How far training with each clipping ends above none, at every rate at which both were run.

    The columns of `paired_comparison` by ``by`` and ``disturbance``, that without one (``none``)
    among them; ``own``, whether each side is at a multiple of its own best rate, or both at
    ``times`` the best rate without clipping (`at_one_rate`; NaN at their own); and ``felt``,
    whether the disturbance significantly costs at least `LEAST` there without clipping.
    """
    keys, parts = [*by, "arm", "disturbance"], []
    frame = published(frame)
    alone = frame[~frame["arm"].fillna("").str.startswith(SHARED)]
    for own, rows in ((False, at_one_rate(frame)), (True, alone)):
        apart = ["learning_rate"] if own else []
        found = paired_comparison(rows, "clipping", "none", by=keys, ignore=apart)
        costs = accuracy_lost(rows[rows["clipping"] == "none"], by)
        costly = costs.loc[costs["lost"].ge(LEAST) & costs["low"].gt(0), keys]
        found = found.merge(costly.assign(felt=True), "left", keys)
        times = np.nan if own else in_relative_arms(found)["times"]
        parts.append(found.assign(own=own, times=times, felt=found["felt"].eq(True)))
    return pd.concat(parts, ignore_index=True)


def at_every_rate(ends: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """The rows of `ends_above_none` in the settings (``by``) with most multiples of a shared rate.

    >>> rows = {"model": ["mlp", "mlp", "cnn"], "own": False, "times": [0.3, 1.0, 0.3]}
    >>> at_every_rate(pd.DataFrame(rows), ["model"])["times"].tolist()
    [0.3, 1.0]
    """
    counts = ends[~ends["own"]].groupby(list(by), dropna=False)["times"].nunique()
    if counts.empty:
        return ends
    return ends.merge(counts.index[counts == counts.max()].to_frame(index=False), on=list(by))


def guards_by_rate(frame: pd.DataFrame, by: Sequence[str] = ()) -> pd.DataFrame:
    """What each clipping costs and saves at each rate, in the settings in which all rates were run.

    Of `ends_above_none` by ``own``, ``times`` and ``clipping``: ``cases``, how many disturbances of
    how many settings (``by``) cost something there that the clipping met; ``effect``, ``low`` and
    ``high``, the least by which it ends above none after one of them, and ``most``; ``sure``,
    whether it ends significantly above none after each of them, by the interval or by `sign_flip`,
    which one seed that gains far more than the others does not mislead; ``calm``, ``calm_low`` and
    ``calm_high``, the least where nothing happens. A ranking at one rate flatters rules that suit
    it: what is said of a clipping has to be true at each.
    """
    rows = ends_above_none(frame, by).rename(columns={"level": "clipping"})
    rows = at_every_rate(rows, by) if by else rows
    return _over_cases(rows, ["own", "times", "clipping"])


def guards_by_threshold(frame: pd.DataFrame, by: Sequence[str] = ()) -> pd.DataFrame:
    """What each clipping that has further thresholds costs and saves with each of them.

    At each multiple (``times``) of the best rate without clipping at which further ones were run;
    the columns of `guards_by_rate` by ``clipping``, ``times`` and ``clipping_threshold``, with
    ``published``, whether that is the default, and ``clipped_fraction``, the share of steps that
    were clipped in undisturbed training, in the median.
    """
    each, parts = ["clipping", "times", "clipping_threshold", "published"], []
    rows = at_every_threshold(frame)
    bare = in_relative_arms(frame[frame["clipping"] == "none"])
    costs = accuracy_lost(bare, by)
    costly = costs.loc[costs["lost"].ge(LEAST) & costs["low"].gt(0), [*by, "arm", "disturbance"]]
    costly = in_relative_arms(costly).drop(columns="arm").assign(felt=True)
    for _, part in rows.groupby(each, sort=False):
        both = pd.concat([bare[bare["times"] == part["times"].iloc[0]], part], ignore_index=True)
        keys = [*by, "times", "disturbance"]
        found = paired_comparison(both, "clipping", "none", by=keys, ignore=["arm"])
        found = found.merge(costly, "left", keys)
        acted = part.loc[part["disturbance"] == "none", "clipped_fraction"].median()
        found = found.assign(felt=found["felt"].eq(True), clipped_fraction=acted)
        parts.append(found.merge(part[each].head(1), on="times"))
    found = pd.concat(parts) if parts else pd.DataFrame(columns=[*each, "clipped_fraction"])
    return _over_cases(found, [*each, "clipped_fraction"])


def _over_cases(rows: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """What `guards_by_rate` says of the cases in each group of ``keys``."""
    found, ends = [], ["effect", "low", "high"]
    for key, part in rows.groupby(keys, sort=False, dropna=False):
        hit, calm = part[part["felt"]], part[part["disturbance"] == "none"]
        if hit.empty or calm.empty:
            continue
        worst, dear = (of.sort_values("effect", kind="stable")[ends].iloc[0] for of in (hit, calm))
        above = hit["effect"].gt(0) & (hit["low"].gt(0) | hit["p"].lt(SIGNIFICANT))
        found.append((*key, len(hit), *worst, hit["effect"].max(), bool(above.all()), *dear))
    columns = [*keys, "cases", *ends, "most", "sure", "calm", "calm_low", "calm_high"]
    return pd.DataFrame(found, columns=columns)


def _share_saved(pairs: pd.DataFrame) -> Ends:
    """1 - treated / control, of the sums over all pairs; the interval leaves out a seed at a time.

    Where all seeds agree there is none.
    """
    sums = pairs.groupby("seed")[["treated", "control"]].sum()
    whole, without = sums.sum(), sums.sum() - sums
    share = float(1 - whole["treated"] / whole["control"])
    return left_out(share, (1 - without["treated"] / without["control"]).to_numpy())


def made_up(
    trials: pd.DataFrame, history: pd.DataFrame, tolerance: float = MADE_UP
) -> pd.DataFrame:
    """The disturbed rows of ``trials`` with ``updates_to_make_up``.

    Updates from the first disturbed one to the first checkpoint after it at which the validation
    accuracy is no more than ``tolerance`` below that of the undisturbed trial at the same share of
    the budget; infinite where there is none. Trials that the disturbance never reached, whose
    clipping could not act before it, or that have no undisturbed pair, are left out.
    """
    trials = able(trials, "clipping")
    keys = [c for c in CONFIGURATION if c != "disturbance"]
    calm = trials.loc[trials["disturbance"] == "none", [*keys, "trial"]]
    disturbed = trials[trials["disturbance"].ne("none") & trials["disturbed_step"].notna()]
    pairs = disturbed.merge(calm.rename(columns={"trial": "_calm"}), on=keys, how="inner")
    pairs = pairs.assign(_pair=np.arange(len(pairs)))
    found = pd.concat(
        [
            _first_back(rows, history, place, tolerance)
            # what a budget counts: batch sizes may differ after the disturbance
            for place, rows in (
                ("samples", pairs[pairs["updates"].isna()]),
                ("step", pairs[pairs["updates"].notna()]),
            )
        ]
    )
    updates = found.reindex(pairs["_pair"]).to_numpy() - pairs["disturbed_step"].to_numpy(float)
    return pairs.assign(updates_to_make_up=np.where(np.isnan(updates), np.inf, updates)).drop(
        columns=["_calm", "_pair"]
    )


def _first_back(
    pairs: pd.DataFrame, history: pd.DataFrame, place: str, tolerance: float
) -> pd.Series:
    """The step by ``_pair`` at which a trial had made up its loss; none of those that never did.

    The checkpoints of both trials are matched by their ``place`` in the budget.
    """
    wanted = list(dict.fromkeys(["trial", "step", place, "validation_accuracy"]))
    track = pairs[["_pair", "trial", "disturbed_step"]].merge(history[wanted], on="trial")
    track = track[track["step"] > track["disturbed_step"]]
    calm = history[["trial", place, "validation_accuracy"]].rename(
        columns={"trial": "_calm", "validation_accuracy": "undisturbed"}
    )
    calm = pairs[["_pair", "_calm"]].merge(calm, on="_calm").drop(columns="_calm")
    matched = pd.merge_asof(
        track.sort_values(place, kind="stable"),
        calm.sort_values(place, kind="stable"),
        on=place,
        by="_pair",
    )
    back = matched["validation_accuracy"] >= matched["undisturbed"] - tolerance
    return matched[back].groupby("_pair")["step"].first()


def recovery(frame: pd.DataFrame, by: Sequence[str] = ("clipping",)) -> pd.DataFrame:
    """The share of trials that recovered, by ``disturbance``, ``arm`` and ``by``.

    Columns ``trials``, ``share``, ``low``, ``high``, ``median``. Of what `made_up` gives: the share
    of the trials that made up their loss, with its 95% interval over seeds, and the median of the
    updates that it took; of an even number of trials the lower one, and infinite where more than
    half never did. Arms are never pooled.
    """
    keys, rows = ["disturbance", "arm", *by], []
    for key, group in frame.groupby(keys, sort=False, dropna=False):
        values = np.sort(group["updates_to_make_up"].to_numpy(dtype=float))
        found = share(np.isfinite(group["updates_to_make_up"]), group["seed"])
        rows.append((*key, len(group), *found, float(values[(len(values) - 1) // 2])))
    return pd.DataFrame(rows, columns=[*keys, "trials", "share", "low", "high", "median"])
