"""What the studies say to do: facts for the page of decisions and the first page."""

from __future__ import annotations

import functools

import numpy as np
import pandas as pd

from benchmark.statistics import (
    best_per_arm,
    interval,
    mean,
    paired_comparison,
    speed,
    stable_range,
    tied_with_best,
)
from benchmark.statistics.seeds import over_seeds
from benchmark.statistics.targets import scaled_rates
from report import batch_updates, evidence, explosion
from report.evidence import Evidence, where
from report.prose import phrase

QUESTIONS = {
    "advice-deep": "Which clipping for an unnormalised 10-layer MLP at rate 0.5?",
    "advice-nan": "My loss went NaN at step 3. What now?",
    "advice-batch": "Which batch size, and how does the rate follow?",
    "advice-batchnorm": "Does batch normalization make clipping unnecessary?",
    "advice-threshold": "Which threshold for the global norm?",
    "advice-cost": "What does each strategy cost?",
}
"""Anchor and heading of each answer."""
DEPTH, RATE = 10, 0.5
"""The case that a reader asks about; the nearest that was run stands for it."""
SOON = 10
"""Steps within which a loss counts as gone at once."""
TENTH = 0.1
CLOSE = 0.01
"""Accuracy within which a batch size counts as good as the best."""
BARE = "bare"
"""The arm of the timings that does not clip at all."""
CLIP = "global_norm"
"""What a reader of a loss that went NaN would clip by."""


def _nearest(values: pd.Series, wanted: float) -> float:
    levels = values.dropna().unique()
    return float(levels[np.abs(np.log(levels.astype(float) / wanted)).argmin()])


def _plain(study: Evidence) -> pd.DataFrame:
    """Trials without normalization at gain 1 and a constant rate, of the budget that most have."""
    rows = explosion.mapped(study)
    return where(rows, normalization="none", init_gain=1, schedule="constant")


@functools.lru_cache(8)
def deep(study: Evidence) -> dict[str, object] | None:
    """What clipping does in the network and at the rate nearest to the case, and a lower rate.

    ``depth`` and ``rate``, and whether they are the ``exact`` case; ``seeds``; ``bare``, the
    accuracy there without clipping, and the share that ``diverged``; ``lower``, the row of no
    clipping at the rate that validation chooses for it; and ``rows``, one a clipping, the most
    accurate first: ``clipping``, ``clipping_threshold``, ``diverged``, ``accuracy`` with its
    interval, whether it cannot be told apart from the first (``alike``), and the ``effect`` of
    clipping there against the lower rate, paired by seed, with ``effect_low`` and
    ``effect_high``: missing where the network exploded within the clipping's warm-up. None where
    no clipping was run beside none.
    """
    rows = _plain(study)
    # a case at which only some of the clippings were run compares nothing
    levels = rows.groupby(["depth", "learning_rate"])["clipping"].transform("nunique")
    here = rows[levels == rows["clipping"].nunique()]
    for column, wanted in (("depth", DEPTH), ("learning_rate", RATE)):
        here = here[here[column] == _nearest(here[column], wanted)] if len(here) else here
    bare, clipped = where(here, clipping="none"), here[here["clipping"] != "none"]
    if bare.empty or clipped.empty:
        return None
    depth, rate = here["depth"].iloc[0], here["learning_rate"].iloc[0]
    lower = best_per_arm(where(rows, clipping="none", depth=depth), ["depth"])
    by = ["clipping", "clipping_threshold"]
    found = interval(clipped, "accuracy", by, statistic=mean)
    found = found.rename(columns={"estimate": "accuracy"})
    shares = clipped.groupby("clipping")[["diverged", "exploded"]].mean().reset_index()
    against = paired_comparison(
        pd.concat([clipped, lower]), "clipping", "none", ignore=["learning_rate"]
    )
    ends = {"level": "clipping", "low": "effect_low", "high": "effect_high"}
    against = against.rename(columns=ends)[[*ends.values(), "effect", "pairs"]]
    found = found.merge(shares, on="clipping").merge(against, on="clipping", how="left")
    found = found.sort_values("accuracy", ascending=False, kind="stable")
    # as `deep.leaders`: where a trial diverged, a rule is not as good, however wide its interval
    whole = clipped[clipped.groupby("clipping")["diverged"].transform("max") == 0]
    alike = tied_with_best(whole, "clipping") if len(whole) else [found["clipping"].iloc[0]]
    lowest = interval(lower, "accuracy", ["learning_rate"], statistic=mean)
    return {
        "depth": depth,
        "rate": rate,
        "exact": bool(depth == DEPTH and np.isclose(rate, RATE)),
        "seeds": int(here["seed"].nunique()),
        "updates": int(here["steps"].max()),
        "bare": float(bare["accuracy"].mean()),
        "diverged": float(bare["diverged"].mean()),
        "lower": lowest.rename(columns={"estimate": "accuracy"}).iloc[0].to_dict(),
        "rows": found.assign(alike=found["clipping"].isin(alike)),
    }


def deepest() -> dict[str, object] | None:
    """`deep` of the study that was made for the question, else of the maps; with its ``study``."""
    for name in ("deep", "explosion"):
        study = evidence.load(name)
        if study and (found := deep(study)):
            return found | {"study": name}
    return None


def steadiest(rules: pd.DataFrame) -> dict[str, float]:
    """Of the best thresholds times their rates the median, and how many are within a tenth of it.

    ``product``, ``alike`` and ``rates``, of the rows of `percentile_rule`.
    """
    products = rules["best_threshold"] * rules["learning_rate"]
    middle = float(products.median())
    alike = np.isclose(products, middle, rtol=0.1).sum()
    return {"product": middle, "alike": int(alike), "rates": len(rules)}


@functools.lru_cache(8)
def restarts(study: Evidence) -> pd.DataFrame:
    """Trials that exploded at once without clipping, restarted at a tenth of the rate.

    A row for each that was run at both rates, with its ``accuracy``, ``learned`` and ``exploded``
    at the tenth; and the same with ``_clipped``, of the trial that was clipped at the old rate
    instead, where there is one.
    """
    frame = explosion.mapped(study)
    frame = frame.assign(rate=[float(f"{rate:.3g}") for rate in frame["learning_rate"]])
    keys = ["dataset", "model", "depth", "init_gain", "normalization", "schedule", "seed"]
    values = ["accuracy", "learned", "exploded"]
    bare = where(frame, clipping="none")
    bad = bare[(bare["exploded"] == 1) & (bare["first_bad_step"] <= SOON)]
    tenth = [float(f"{TENTH * rate:.3g}") for rate in bad["rate"]]
    bad = bad[keys].assign(old=bad["rate"], rate=tenth)
    found = bad.merge(bare[[*keys, "rate", *values]], on=[*keys, "rate"])
    clipped = where(frame, clipping=CLIP)[[*keys, "rate", *values]]
    names = {value: f"{value}_clipped" for value in values}
    return found.merge(
        clipped.rename(columns=names | {"rate": "old"}), on=[*keys, "old"], how="left"
    )


def against_clipping(rows: pd.DataFrame) -> dict[str, float] | None:
    """By how much a tenth of the rate beats clipping at the old one, of the rows of `restarts`.

    ``effect`` on accuracy with its interval over seeds, the shares ``slower`` and ``clipped`` that
    learn, and how many ``pairs``; None where nothing was run both ways.
    """
    both = rows.dropna(subset=["accuracy_clipped"])
    if both.empty:
        return None
    effect, low, high = over_seeds(
        both["accuracy"] - both["accuracy_clipped"], both["seed"], statistic=mean
    )
    return {
        **{"effect": effect, "low": low, "high": high, "pairs": len(both)},
        "slower": float(both["learned"].mean()),
        "clipped": float(both["learned_clipped"].mean()),
    }


@functools.lru_cache(8)
def sizes(study: Evidence) -> pd.DataFrame:
    """Up to which fixed batch size accuracy pays, at equal examples and at equal updates.

    One row a network and kind of budget, ``scarce`` (``examples`` or ``updates``): the ``best``
    size by validation and its ``accuracy``; the ``least`` and ``most`` of the sizes whose mean
    accuracy, each at its own best rate, is within a point of that, out of ``smallest`` to
    ``largest``; ``loss``, what the first size beyond them (``beyond``) loses, with its interval;
    ``linear_until`` and ``root_until``, the largest size up to which the rate of that rule, from
    the best at the smallest size, is within a point of the best at every size; and ``seeds``.
    """
    frame = batch_updates.fixed_sizes(study)
    scarce = frame["updates"].notna().map({True: "updates", False: "examples"})
    rows = []
    for (model, kind), group in frame.groupby(["model", scarce], sort=False):
        chosen = best_per_arm(group, ["batch_size"])
        means = chosen.groupby("batch_size")[["validation", "accuracy"]].mean()
        if len(means) < 2:
            continue
        best = means["validation"].idxmax()
        apart = paired_comparison(chosen, "batch_size", best, ignore=["learning_rate"])
        apart = apart.set_index("level").reindex(means.index)
        near = means.index[apart["effect"].fillna(0.0) > -CLOSE]
        beyond = [size for size in means.index if size > near.max()]
        first = apart.loc[beyond[0]] if beyond else apart.loc[best]
        ruled = scaled_rates(stable_range(group, ["batch_size"]))
        until = {f"{rule}_until": _until(ruled, f"{rule}_good") for rule in ("linear", "root")}
        rows.append(
            {"model": model, "scarce": kind, "best": best, "seeds": group["seed"].nunique()}
            | {"accuracy": means.loc[best, "accuracy"], "least": near.min(), "most": near.max()}
            | {"smallest": means.index.min(), "largest": means.index.max()}
            | {"beyond": beyond[0] if beyond else np.nan, "effect": first["effect"]}
            | {"low": first["low"], "high": first["high"]}
            | until
        )
    return pd.DataFrame(rows)


def _until(ruled: pd.DataFrame, good: str) -> float:
    """The largest batch size before the first at which a rule's rate is not ``good``."""
    fine = ruled[good].astype(bool).cummin()
    return float(ruled.loc[fine, "batch_size"].max())


def sized() -> list[dict[str, object]]:
    """`sizes` of one network, with its ``study``, a row for each kind of budget that was run.

    The study with the most sizes speaks for equal examples.
    """
    found: dict[object, dict[str, object]] = {}
    for name in ("critical_batch", "batch_updates"):
        study = evidence.load(name)
        for row in sizes(study).to_dict("records") if study else []:
            found.setdefault(row["scarce"], {str(k): v for k, v in row.items()} | {"study": name})
    return list(found.values())


def attached(timings: pd.DataFrame) -> pd.DataFrame:
    """What each clipping adds to a step of a loop in torch, in place of ``clip_grad_norm_``.

    Of the network whose step takes longest: the columns of `speed.overheads`, its interval as
    ``low`` and ``high``, and ``milliseconds``, of a step of ``base``; the dearest last. ``named``
    are the clippings in words; the loop that does not clip at all is one of them.
    """
    rows = timings[timings["what"] == "guards"]
    if rows.empty:
        return pd.DataFrame()
    base = 1e3 * rows["baseline_cpu_seconds"] / rows["baseline_steps"]
    base = base.groupby(rows["workload"]).median()
    found = where(speed.overheads(timings, "guards"), workload=base.idxmax())
    # attached, and letting everything through, tells what attaching costs: not a reader's question
    found = found[found["arm"] != "none"]
    found = found.rename(columns={"step_low": "low", "step_high": "high"})
    found = found.assign(
        milliseconds=found["step"] * base.max(),
        base=base.max(),
        named=[phrase("clipping", "none" if arm == BARE else arm) for arm in found["arm"]],
    )
    return found.sort_values("step", kind="stable")
