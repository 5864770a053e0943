"""Policies that change the batch during training, beside fixed sizes and rates that decay.

A batch that grows is to do what a rate that decays does (Smith et al. 2018, 1711.00489), so that a
policy has two rivals: the best fixed size at a constant rate, and a fixed size whose rate decays.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from benchmark.records import CONFIGURATION
from benchmark.statistics.pairing import paired_comparison
from benchmark.statistics.rates import best_per_arm, with_edges
from benchmark.statistics.targets import costs_to_target

FIXED, CONSTANT = "fixed", "constant"
UNCHANGING = (FIXED, "full", "accumulate")
"""Policies under which the size of an update does not change."""
DECAY = " decay"
"""Behind the name of a schedule in that of a fixed size whose rate decays."""
CHOSEN = [
    *("learning_rate", "batch_size", "learning_rate_scaling", "batch_policy_parameter"),
    *("epochs", "updates"),
]
"""What validation chooses for each policy."""


def with_accumulated(frame: pd.DataFrame) -> pd.DataFrame:
    """``frame`` with accumulated micro-batches counted as the fixed size that they add up to.

    Without statistics of the batch the mean gradient of micro-batches is that of the batch, and
    both are one training up to the rounding of sums, which high rates magnify. Where both were run
    alike, the fixed size's own trial stays. With batch normalization they differ, and nothing
    changes.

    >>> from benchmark.records import Trial
    >>> frame = pd.DataFrame([Trial(batch_policy=p).row() for p in ("accumulate", "fixed")])
    >>> with_accumulated(frame)["batch_policy"].tolist()
    ['fixed']
    """
    same = frame["batch_policy"].eq("accumulate")
    same &= ~frame["normalization"].isin(["batch", "ghost_batch"])
    if not same.any():
        return frame
    named = frame.assign(
        batch_policy=frame["batch_policy"].mask(same, "fixed"),
        batch_policy_parameter=frame["batch_policy_parameter"].mask(same),
    )
    keys = [c for c in CONFIGURATION if c != "arm"]
    own_first = named.assign(_accumulated=same).sort_values("_accumulated", kind="stable")
    kept = own_first.drop_duplicates(keys).index
    # only what repeats a fixed size goes
    return named.loc[named.index.isin(kept) | ~same]


def kept_size(frame: pd.DataFrame) -> pd.Series:
    """Whether each trial made all its updates, but a last smaller one, with its first batch size.

    >>> frame = pd.DataFrame({"batch_size": 32, "steps": 3, "samples": [96, 80, 128, 48]})
    >>> kept_size(frame).tolist()
    [True, True, False, False]
    """
    most = frame["steps"] * frame["batch_size"]
    return (frame["samples"] <= most) & (frame["samples"] > most - frame["batch_size"])


def unchanged(frame: pd.DataFrame) -> list[object]:
    """Policies of ``frame`` that change the batch, and did not in at least half of their trials.

    What such a policy does, its first size does: it had steps after its warm-up, and left the size
    as it was.

    >>> frame = pd.DataFrame({"batch_size": 32, "steps": 3, "samples": [96, 80, 128]})
    >>> unchanged(frame.assign(batch_policy=["dive", "dive", "doubling"]))
    ['dive']
    """
    rows = frame[~frame["batch_policy"].isin(UNCHANGING)]
    kept = kept_size(rows).groupby(rows["batch_policy"], sort=False).mean()
    return kept.index[kept >= 0.5].tolist()


def beside_policies(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows on the shares of the training set on which policies that change the batch were run.

    A fixed size whose rate decays is a policy of its own, named by its schedule. Micro-batches
    count as `with_accumulated` says, and what was run in several arms counts once.

    >>> from benchmark.records import Trial
    >>> made = [Trial(batch_policy="doubling"), Trial(schedule="step")]
    >>> frame = pd.DataFrame([trial.row() for trial in made])
    >>> beside_policies(frame)["batch_policy"].tolist()
    ['doubling', 'step decay']
    """
    frame = with_accumulated(frame).drop_duplicates([c for c in CONFIGURATION if c != "arm"])
    changing = frame.loc[~frame["batch_policy"].isin(UNCHANGING), "train_fraction"]
    here = frame[frame["train_fraction"].isin(changing.unique())]
    decays = here["batch_policy"].eq(FIXED) & here["schedule"].ne(CONSTANT)
    return here.assign(batch_policy=here["batch_policy"].where(~decays, here["schedule"] + DECAY))


def best_policies(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows of `beside_policies` at the settings that validation chooses for each policy.

    Rate, first size, rule by which the rate follows, the policy's number and the budget.
    """
    # settings that some trials do not have
    missing = ("batch_policy_parameter", "epochs", "updates")
    filled = frame.assign(**{column: frame[column].fillna(-1.0) for column in missing})
    return best_per_arm(filled, ["model", "batch_policy"], CHOSEN)


def decaying(best: pd.DataFrame) -> list[str]:
    """The policies of `best_policies` whose size is fixed and whose rate decays."""
    names = best["batch_policy"].drop_duplicates()
    return list(names[names.str.endswith(DECAY)])


def changing(best: pd.DataFrame) -> pd.DataFrame:
    """The rows of `best_policies` whose policy changes the batch."""
    return best[~best["batch_policy"].isin([*UNCHANGING, *decaying(best)])]


def against_fixed_size(best: pd.DataFrame) -> pd.DataFrame:
    """`paired_comparison` of each policy with the best fixed size at a constant rate.

    ``best`` are the rows of `best_policies`.
    """
    return _paired(best, FIXED)


def against_fixed_at_one_rate(frame: pd.DataFrame) -> pd.DataFrame:
    """`paired_comparison` of each policy with a fixed size that starts alike, at each common rate.

    ``frame`` are the `outcomes` of trials. Of policies whose rate does not follow the size, at the
    same first size, ``learning_rate`` and budget: nothing is chosen on either side.
    """
    rows = beside_policies(frame)
    rows = rows[rows["learning_rate_scaling"].eq("none")]
    keys = ["model", "batch_size", "learning_rate"]
    fixed = rows.loc[rows["batch_policy"].eq(FIXED), keys].drop_duplicates()
    ignore = ["batch_policy_parameter", "schedule", "arm"]
    both = rows.merge(fixed, on=keys)
    found = paired_comparison(both, "batch_policy", FIXED, by=keys, ignore=ignore)
    return found.sort_values(["level", "learning_rate"], kind="stable", ignore_index=True)


def against_decay(best: pd.DataFrame) -> pd.DataFrame:
    """`paired_comparison` of each policy that changes the batch with a fixed size that decays.

    Validation chooses among the schedules, too, and the chosen one is the ``baseline``. ``best``
    are the rows of `best_policies`.
    """
    rivals = best[best["batch_policy"].isin(decaying(best))]
    rival = best_per_arm(rivals, ["model"], ["batch_policy"])
    found = _paired(pd.concat([changing(best), rival.assign(batch_policy=DECAY)]), DECAY)
    names = rival.groupby("model")["batch_policy"].first()
    return found.assign(baseline=found["model"].map(names))


def against_each_decay(best: pd.DataFrame) -> pd.DataFrame:
    """`against_decay` with each of the schedules as the ``baseline``, whichever validation prefers.

    Two schedules may be as good as each other on validation, and differ from a policy all the same.
    """
    found = [
        _paired(pd.concat([changing(best), best[best["batch_policy"] == decay]]), decay).assign(
            baseline=decay
        )
        for decay in decaying(best)
    ]
    return pd.concat(found, ignore_index=True) if found else pd.DataFrame(columns=["level"])


def _paired(rows: pd.DataFrame, baseline: str) -> pd.DataFrame:
    ignore = [*CHOSEN, "schedule", "arm"]
    rows = rows if rows["batch_policy"].eq(baseline).any() else rows[:0]
    return paired_comparison(rows, "batch_policy", baseline, by=["model"], ignore=ignore)


def policy_costs(best: pd.DataFrame, tried: pd.DataFrame) -> pd.DataFrame:
    """What each policy of `best_policies` chose, its accuracy, and what it cost to the target.

    Columns ``model``, ``batch_policy``, ``learning_rate`` with its ``edge`` among the rates
    ``tried`` (`with_edges`), ``batch_size`` (the first) and ``learning_rate_scaling``;
    ``accuracy``, the mean test accuracy; ``reached``, the share of trials that reach the target;
    and the medians of ``steps`` and ``samples`` up to there, infinite where most do not.
    """
    rows = with_edges(costs_to_target(best), tried, ["model", "batch_policy", "batch_size"])
    rows = rows.assign(reached=np.isfinite(rows["samples"]))
    firsts = ["learning_rate", "edge", "batch_size", "learning_rate_scaling"]
    groups = rows.groupby(["model", "batch_policy"], sort=False)
    found = groups.agg(
        dict.fromkeys(firsts, "first")
        | dict.fromkeys(["accuracy", "reached"], "mean")
        | dict.fromkeys(["steps", "samples"], "median")
    )
    return found.reset_index()


def scaling_rules(frame: pd.DataFrame) -> pd.DataFrame:
    """Columns ``learning_rate_scaling``, ``accuracy``, ``exploded``: how the rate should follow.

    Means over the policies that change the batch, each at the rate that validation chooses for it.
    ``frame`` has the `outcomes` of trials.
    """
    rows = frame[~frame["batch_policy"].isin(UNCHANGING)]
    best = best_per_arm(rows, ["model", "batch_policy", "learning_rate_scaling"])
    groups = best.groupby("learning_rate_scaling", sort=False)
    return groups[["accuracy", "exploded"]].mean().reset_index()


def lowered_rates(best: pd.DataFrame, history: pd.DataFrame) -> pd.DataFrame:
    """Policies of `best_policies` that change the batch and end at a lower rate than their first.

    Columns ``model``, ``batch_policy`` and ``ratio``, the last learning rate over the first in the
    median trial: such a policy decays the rate, too.
    """
    rows = history.merge(changing(best)[["trial", "model", "batch_policy"]], on="trial")
    rates = rows.sort_values("step", kind="stable").groupby("trial")["learning_rate"]
    ratios = (rates.last() / rates.first()).rename("ratio").reset_index()
    named = rows[["trial", "model", "batch_policy"]].drop_duplicates().merge(ratios, on="trial")
    found = named.groupby(["model", "batch_policy"], sort=False)["ratio"].median().reset_index()
    return found[found["ratio"] < 1].reset_index(drop=True)


def sizes_over_training(best: pd.DataFrame, history: pd.DataFrame) -> pd.DataFrame:
    """``history`` of the policies of `best_policies` that change the batch, with ``share``.

    That is the share of its examples that a trial has seen, with the columns ``model`` and
    ``batch_policy``; the start and the last hundredth are left out, where what is left of the
    budget decides the size and not the policy.
    """
    rows = history.merge(changing(best)[["trial", "model", "batch_policy"]], on="trial")
    rows = rows[rows["step"] > 0]
    budget = rows.groupby("trial")["samples"].transform("max").astype(float)
    rows = rows.assign(share=rows["samples"] / budget)
    return rows[rows["share"] < 0.99]
