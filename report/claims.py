"""The seed article's claims, and the rules by which the data judge them.

A rule looks at effects and their 95% intervals, never at what anyone expects: with other data the
same rule gives another verdict. A claim whose factor does not vary in the studies is not tested.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from benchmark.statistics import best_per_arm, bootstrap, mean, paired_comparison
from report import evidence, prose
from report.comparisons import at_best_rate, configuration
from report.evidence import Evidence
from report.prose import Row, name

SUPPORTED, REFUTED, DEPENDS, NOT_TESTED = "supported", "refuted", "depends", "not tested"
SOLVED = 0.05
"""Share of exploded trials up to which a remedy counts as solving the problem."""
GROWTH = 10.0
"""How many times larger a gradient norm must be to count as grown."""


@dataclass(frozen=True)
class Verdict:
    """A word from the four above, and the sentence that gives its effect and interval."""

    word: str
    reason: str


@dataclass(frozen=True)
class Claim:
    """A claim of the article, in short, and the rule that judges it."""

    number: int
    text: str
    rule: Callable[[Evidence], Verdict]

    def judge(self) -> Verdict:
        """The verdict from the grid in the chosen results folder."""
        grid = evidence.load("grid")
        if grid is None:
            return Verdict(NOT_TESTED, "the study `grid` was not run")
        return self.rule(grid)


def majority(low: float, high: float, half: float = 0.5) -> str:
    """A share's verdict: supported above one half, refuted below, by its interval."""
    return SUPPORTED if low > half else REFUTED if high < half else DEPENDS


def growth(source: Evidence) -> Verdict:
    """Claim 1: exploded trials' gradients grow, and training stops."""
    frame = source.outcomes[source.outcomes["clipping"] == "none"]
    exploded = frame[frame["exploded"] == 1]
    if exploded.empty:
        return Verdict(NOT_TESTED, "no trial without clipping exploded")
    keys = [f for f in configuration(source) if f in frame] + ["seed"]
    calm = frame[frame["status"] == "stable"].sort_values("learning_rate")
    calm = calm.drop_duplicates(keys)[[*keys, "gradient_norm_max"]]
    pairs = exploded.merge(calm, on=keys, suffixes=("", "_calm"))
    if pairs.empty:
        return Verdict(NOT_TESTED, "no exploded trial has a stable counterpart at a lower rate")
    peak = pairs["gradient_norm_max"].fillna(np.inf)
    grown = (peak >= GROWTH * pairs["gradient_norm_max_calm"]).to_numpy(dtype=float)
    stopped = 1 - pairs["trained"].to_numpy()
    cells = pairs["cell"].to_numpy()
    both, low, high = bootstrap(grown * stopped, cells, mean)
    return Verdict(
        majority(low, high),
        f"of {prose.count(len(pairs), 'exploded trial')} without clipping, "
        f"{prose.percent(grown.mean())} had a gradient norm at least {GROWTH:g} times the largest "
        "of the same configuration at its smallest stable rate, "
        f"{prose.percent(stopped.mean())} never trained or lost what they had learned, and "
        f"{prose.percent(both)} did both (95% interval {prose.percent(low)} to "
        f"{prose.percent(high)})",
    )


def lower_rate(source: Evidence) -> Verdict:
    """Claim 2: configurations that explode at some rate do not at a lower one."""
    if not source.varies("learning_rate"):
        return Verdict(NOT_TESTED, "the learning rate does not vary")
    groups = source.outcomes.groupby([*configuration(source), "learning_rate"], dropna=False)
    worst = groups["exploded"].max().rename("exploded")
    stable = groups["status"].apply(lambda s: s.eq("stable").all()).rename("stable")
    table = pd.concat([worst, stable], axis=1).reset_index()
    by = table.groupby(configuration(source) or (lambda _: 0), dropna=False)
    helped = []
    for _, rows in by:
        bad = rows.loc[rows["exploded"] > 0, "learning_rate"]
        if len(bad):
            helped.append(bool((rows["stable"] & (rows["learning_rate"] < bad.max())).any()))
    if not helped:
        return Verdict(NOT_TESTED, "no configuration exploded at any rate")
    share, low, high = bootstrap(np.array(helped, dtype=float), np.zeros(len(helped)), mean)
    return Verdict(
        majority(low, high),
        f"of {prose.count(len(helped), 'configuration')} that exploded at some learning rate, "
        f"{prose.percent(share)} were stable on every seed at a lower one of the grid "
        f"(95% interval {prose.percent(low)} to {prose.percent(high)})",
    )


def prevents(
    factor: str, baseline: object, thing: str, treated: Callable[[object], bool] = lambda _: True
) -> Callable[[Evidence], Verdict]:
    """A rule: a level of ``factor`` that is ``treated`` prevents explosion, against ``baseline``.

    Supported where some level lowers the exploded share and at most 5% is left; refuted where no
    level lowers it; otherwise it depends.
    """

    def rule(source: Evidence) -> Verdict:
        frame = source.outcomes
        if not source.varies(factor) or baseline not in set(frame[factor]):
            return Verdict(NOT_TESTED, f"{thing} does not vary in the grid")
        rows = paired_comparison(frame, factor, baseline, "exploded")
        rows = rows[[treated(level) for level in rows["level"]]]
        if rows.empty:
            return Verdict(NOT_TESTED, f"no trials of the grid are paired by {thing}")
        best = rows.sort_values("effect").iloc[0].to_dict()
        left = frame.loc[frame[factor] == best["level"], "exploded"].mean()
        return Verdict(_prevention(best, left), _prevention_reason(best, left))

    return rule


def _prevention(best: Row, left: float) -> str:
    if best["high"] >= 0:
        return REFUTED
    return SUPPORTED if left <= SOLVED else DEPENDS


def _prevention_reason(best: Row, left: float) -> str:
    change = "changes" if best["low"] <= 0 <= best["high"] else "lowers"
    change = "raises" if best["low"] > 0 else change
    return (
        f"{name(str(best['level']))} {change} the share of exploded trials by "
        f"{prose.points(best['effect'])} ({prose.spread(best['low'], best['high'])}) against "
        f"{name(str(best['baseline']))}, and {prose.percent(left)} of its trials still explode"
    )


def batch_sizes(source: Evidence) -> Verdict:
    """Claims 4 and 7: smaller batches against the largest one."""
    if not source.varies("batch_size"):
        return Verdict(NOT_TESTED, "the batch size does not vary in the grid")
    largest = source.outcomes["batch_size"].max()
    return prevents("batch_size", largest, "the batch size")(source)


def faster_costs(source: Evidence) -> Verdict:
    """Claim 9: fewer updates for the same data cost accuracy."""
    best = at_best_rate(source)
    if not source.varies("batch_policy") or "fixed" not in set(best["batch_policy"]):
        return Verdict(NOT_TESTED, "the batch policy does not vary in the grid")
    accuracy = paired_comparison(best, "batch_policy", "fixed", ignore=["learning_rate"])
    seconds = paired_comparison(best, "batch_policy", "fixed", "seconds", ignore=["learning_rate"])
    faster = seconds[seconds["high"] < 0]["level"]
    rows = accuracy[accuracy["level"].isin(faster)]
    if rows.empty:
        return Verdict(NOT_TESTED, "no batch policy is faster than a fixed batch size")
    words = [prose.sign(row) for row in rows.to_dict("records")]
    word = SUPPORTED if max(words) < 0 else REFUTED if min(words) >= 0 else DEPENDS
    parts = [
        f"{name(row['level'])}, which takes less time, is {prose.against(row)} "
        f"({prose.points(row['effect'])}, {prose.spread(row['low'], row['high'])})"
        for row in rows.to_dict("records")
    ]
    return Verdict(word, "at the best rates, in test accuracy, " + prose.listing(parts))


def convolution(source: Evidence) -> Verdict:
    """Claim 11, the half about convolutions: the CNN against the MLP at their best."""
    frame = source.outcomes
    if not {"mlp", "cnn"} <= set(frame["model"]):
        return Verdict(NOT_TESTED, "the grid does not hold both an MLP and a CNN")
    best = best_per_arm(frame, ["model"], ["learning_rate", *_others(source)])
    ignore = ["learning_rate", *_others(source), "clipping_threshold", "batch_policy_parameter"]
    rows = paired_comparison(best, "model", "mlp", ignore=ignore)
    row = rows[rows["level"] == "cnn"]
    if row.empty:
        return Verdict(NOT_TESTED, "no seeds are shared by MLP and CNN")
    found = row.iloc[0].to_dict()
    word = {1: SUPPORTED, -1: REFUTED, 0: DEPENDS}[prose.sign(found)]
    half = "" if source.varies("schedule") else "; the half about dynamic rates is not tested"
    return Verdict(
        word,
        f"at its best cell the CNN is {prose.against(found)} in test accuracy "
        f"({prose.points(found['effect'])}, {prose.spread(found['low'], found['high'])}){half}",
    )


def _others(source: Evidence) -> list[str]:
    return [f for f in configuration(source) if f not in ("model", "dataset")]


def safety(source: Evidence) -> Verdict:
    """Claim 13, the part about stricter safety: clipping against none, in the trained share."""
    if not source.varies("clipping") or "none" not in set(source.outcomes["clipping"]):
        return Verdict(NOT_TESTED, "clipping does not vary in the grid")
    rows = paired_comparison(source.outcomes, "clipping", "none", "trained")
    words = [prose.sign(row) for row in rows.to_dict("records")]
    word = SUPPORTED if min(words) > 0 else REFUTED if max(words) <= 0 else DEPENDS
    parts = [
        f"{name(row['level'])} {prose.points(row['effect'])} "
        f"({prose.spread(row['low'], row['high'])})"
        for row in rows.to_dict("records")
    ]
    untested = [f for f in ("optimizer", "epochs") if not source.varies(f)]
    rest = f"; {prose.listing(untested)} not tested" if untested else ""
    return Verdict(
        word, f"in the share of trials that end trained, against none: {prose.listing(parts)}{rest}"
    )


def own_network(source: Evidence) -> Verdict:
    """Claim 14: Adam at the rate 0.01 with batches of 128 trains."""
    frame = source.outcomes
    rows = frame[
        frame["optimizer"].eq("adam")
        & np.isclose(frame["learning_rate"], 0.01)
        & frame["batch_size"].eq(128)
        & frame["clipping"].eq("none")
    ]
    if rows.empty:
        return Verdict(
            NOT_TESTED, "the grid holds no trial with Adam, rate 0.01 and batches of 128"
        )
    share, low, high = bootstrap(rows["trained"].to_numpy(), rows["cell"].to_numpy(), mean)
    return Verdict(
        majority(low, high),
        f"{prose.percent(share)} of {prose.count(len(rows), 'such trial')} ended trained",
    )


def untested(needed: str) -> Callable[[Evidence], Verdict]:
    """A rule for a claim that the grid cannot judge, whatever its levels."""

    def rule(source: Evidence) -> Verdict:
        return Verdict(NOT_TESTED, f"it needs a study of {needed}")

    return rule


CLAIMS = (
    Claim(1, "In an explosion gradients grow until training slows and stops.", growth),
    Claim(2, "Adjusting the learning rate prevents it.", lower_rate),
    Claim(
        3, "Dynamic learning rates prevent it.", prevents("schedule", "constant", "the schedule")
    ),
    Claim(4, "Training in mini-batches prevents it.", batch_sizes),
    Claim(
        5,
        "Batch normalization solves the batch-update problem.",
        prevents("normalization", "none", "batch normalization", "batch".__eq__),
    ),
    Claim(
        6,
        "Dynamic batch sizes solve it.",
        # accumulating leaves the size of a batch as it is
        prevents("batch_policy", "fixed", "a dynamic batch size", "accumulate".__ne__),
    ),
    Claim(7, "Mini-batches solve it.", batch_sizes),
    Claim(
        8,
        "Vanishing gradients train faster but less accurately.",
        untested("initialization gain or depth"),
    ),
    Claim(9, "Faster updates cost accuracy.", faster_costs),
    Claim(
        10,
        "Mini-batches update many parameters at once but may cost accuracy.",
        untested("batch size"),
    ),
    Claim(11, "More complex convolutions and dynamic rates improve performance.", convolution),
    Claim(
        12,
        "Larger models, more data and more efficient computation scale.",
        untested("model size and training-set fraction"),
    ),
    Claim(
        13, "More reliable optimizers, more epochs and stricter safety make training safer.", safety
    ),
    Claim(14, "The article's own network (Adam, rate 0.01, batch 128) trains.", own_network),
)
"""All claims, in the article's order."""


def verdicts() -> pd.DataFrame:
    """Columns ``claim``, ``text``, ``verdict``, ``reason``."""
    judged = [(c, c.judge()) for c in CLAIMS]
    rows = [(c.number, c.text, v.word, v.reason) for c, v in judged]
    return pd.DataFrame(rows, columns=["claim", "text", "verdict", "reason"])
