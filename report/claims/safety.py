"""Claim 13: whether optimizers, longer training and guards make training safer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

import pandas as pd

from benchmark.records.rates import SHARED
from benchmark.statistics import paired, where
from benchmark.statistics.disturbances import at_one_rate, losses, published
from benchmark.statistics.multiples import varying_but_rate
from benchmark.statistics.rates import rates_as_good
from report import prose
from report.claims.effects import difference, prevented, raised
from report.claims.frames import (
    able,
    at_best,
    at_multiples,
    by_setting,
    by_times,
    parts,
)
from report.claims.prevention import OWN_RATES, against, by_rule, divergence_prevented, gained
from report.claims.problem import USABLE
from report.claims.records import Case, Effect, Found, found, nothing
from report.evidence import Evidence

NO_CLIPPING = "clipping does not vary"
POINT = 0.01
"""Test accuracy that has to be lost without a guard for there to be something to save."""
VARIANTS = ("skip_step", "rewind")
"""Clippings that are this suite's own variants of what was published: shown, but they judge none.

To return to a checkpoint is, but not the rule that says when.
"""


def reliable_optimizers(source: Evidence) -> Found:
    """What plain SGD loses above its best rate that each optimizer does not, as far above its own.

    In test accuracy: that a trial did not diverge says little where it hardly learns.
    """
    frame = _above_best(source)
    cases = [
        Case((prose.phrase("optimizer", level), *about), rows, "optimizer", level, "sgd")
        for about, rows in parts(frame, by_setting, by_times)
        for level in rows["optimizer"].drop_duplicates()
        if level != "sgd"
    ]
    absent = "no optimizer but SGD was run"
    points = divergence_prevented(cases, absent, _diverging(cases), value="lost")
    return by_rule(_over_rates_as_good(points, cases, sgd_at_rates_as_good(source)))


def _above_best(source: Evidence) -> pd.DataFrame:
    """Optimizers at multiples of their best rates, with ``lost``, at a constant rate, unclipped."""
    frame = _with_lost(where(at_multiples(source), clipping="none", schedule="constant"))
    # newer optimizers were run for the shortest budget alone
    return frame[frame["updates"].fillna(frame["epochs"]).rank(method="dense").eq(1)]


def sgd_at_rates_as_good(source: Evidence) -> dict[float, pd.DataFrame]:
    """Rate -> SGD's trials as if that were its best one, at multiples ``times`` of it.

    With ``lost``, test accuracy at its best rate less their own, of the same seed. Of the other
    rates that are as good by validation (`rates_as_good`), where such multiples were run.
    """
    factors = {"optimizer": "sgd", "clipping": "none", "schedule": "constant"}
    sgd, tried = where(_above_best(source), optimizer="sgd"), where(source.looked, **factors)
    tried = tried[tried["updates"].isin(sgd["updates"])]
    if tried.empty:
        return {}
    best = where(sgd, times=1).set_index("seed")["accuracy"]
    run = where(source.outcomes, **factors)
    run = run[run["updates"].isin(sgd["updates"]) & run["seed"].isin(best.index)]
    good, found = rates_as_good(tried, ["optimizer"]), {}
    for rate in good.loc[good["learning_rate"] != good["best_rate"], "learning_rate"]:
        times = (run["learning_rate"] / rate).round(2)
        rows = run.assign(times=times)[times.isin(sgd["times"]) & (times > 1)]
        rows = rows.drop_duplicates(["seed", "times"])
        if len(rows):
            found[float(rate)] = rows.assign(lost=rows["seed"].map(best) - rows["accuracy"])
    return found


def _over_rates_as_good(
    points: Found, cases: Sequence[Case], others: Mapping[float, pd.DataFrame]
) -> Found:
    """``points`` with intervals that hold whichever of SGD's rates is taken for its best one."""
    judged = {case.about: case for case in cases}
    effects = []
    for effect in points.effects:
        again = [_against(judged[effect.about], sgd) for sgd in others.values()]
        known = [other for other in again if other is not None and other.known]
        if known:
            low = min(effect.low, *(other.low for other in known))
            high = max(effect.high, *(other.high for other in known))
            effect = replace(effect, low=low, high=high, rows=None, remake=None)
        effects.append(effect)
    told = [
        f"{rate:.3g} loses {100 * mean:.1f} points at {times:g} times"
        for rate, sgd in others.items()
        for times, mean in sgd.groupby("times")["lost"].mean().items()
    ]
    note = (
        f"Of SGD's other rates that validation has within half a point of its best one, "
        f"{prose.listing(told)}; the intervals hold for each of them."
    )
    return replace(points, effects=tuple(effects), notes=(*points.notes, *([note] if told else [])))


def _against(case: Case, sgd: pd.DataFrame) -> Effect | None:
    """The effect of ``case`` against other trials of SGD, at the same multiple; None without."""
    control = where(sgd, times=case.rows["times"].iloc[0])
    treated = where(case.rows, optimizer=case.level)
    rows = pd.concat([treated, control[treated.columns]], ignore_index=True)
    pairs = paired(rows, "optimizer", case.level, "sgd", "lost", OWN_RATES)
    return prevented(pairs, case.about) if len(pairs) else None


def _with_lost(frame: pd.DataFrame) -> pd.DataFrame:
    """Rows with ``lost``: test accuracy at the best rate less their own, of the same seed."""
    keys = [*varying_but_rate(frame), "seed"]
    best = where(frame, times=1)[[*keys, "accuracy"]].rename(columns={"accuracy": "_best"})
    rows = frame.merge(best, on=keys, how="left")
    return rows.assign(lost=rows["_best"] - rows["accuracy"]).drop(columns="_best")


def _diverging(cases: Iterable[Case]) -> str:
    """How many trials of each optimizer diverge at the highest multiple, where any does."""
    high = [case for case in cases if case.rows["times"].max() > USABLE]
    if not high:
        return ""
    rows = pd.concat([case.rows for case in high]).drop_duplicates("trial")
    told = [
        f"{prose.phrase('optimizer', level)} ({int(trials.sum())} of {len(trials)})"
        for level, trials in rows.groupby("optimizer", sort=False)["diverged"]
        if trials.sum()
    ]
    if not told:
        return ""
    times = rows["times"].max()
    return f"At {times:g} times the best rate there diverge trials of {prose.listing(told)}."


def longer_training(source: Evidence) -> Found:
    """Decades by which rates without divergence reach farther in the longest budget.

    Than in the shortest, at one and the same rate: the best rate is lower the longer one trains, so
    that ten times the one is not ten times the other.
    """
    effects, told = [], []
    for setting, rows in by_setting(where(source.mapped, clipping="none")):
        for noun in ("epochs", "updates"):
            short, long = rows[noun].min(), rows[noun].max()
            words = f"{long:,g} against {short:,g} {noun}"
            case = Case((words, setting), rows, noun, long, short)
            if short < long and (effect := raised(case, "diverged")) is not None:
                effects.append(effect)
                told.append(_lost_by_rate(case))
    return found(effects, told, "no two budgets were run at two rates that they share")


def _lost_by_rate(case: Case) -> str:
    """How many trials of the short and the long budget diverge at each rate where any does."""
    noun, said = case.factor, []
    for rate, rows in case.rows.groupby("learning_rate"):
        sides = [where(rows, **{noun: budget}) for budget in (case.baseline, case.level)]
        if all(map(len, sides)) and any(side["diverged"].any() for side in sides):
            counts = [f"{int(side['diverged'].sum())} of {len(side)}" for side in sides]
            said.append(f"{counts[0]} and {counts[1]} at the rate {rate:g}")
    if not said:
        return ""
    return (
        f"After {case.baseline:,g} and after {case.level:,g} {noun} there diverge "
        f"{prose.listing(said, ';')}."
    )


def guards_prevent(source: Evidence) -> Found:
    """Divergence without clipping that each guard prevents, over its comparisons (`by_rule`).

    At one and the same rate, a multiple of the best without clipping, where that was run.
    """
    same = source.shared
    if len(same):
        bare = where(source.relative, clipping="none", times=list(same["times"].unique()))
        rows = pd.concat([bare, same], ignore_index=True)
    else:
        rows = at_multiples(source)
    frame, warm = able(rows)
    return by_rule(divergence_prevented(_guarded(frame), NO_CLIPPING, warm))


def _guarded(frame: pd.DataFrame) -> Iterator[Case]:
    """Each clipping against none; the suite's own `VARIANTS` are only shown."""
    for case in against(frame, "clipping", "none"):
        yield replace(case, judges=case.judges and case.level not in VARIANTS)


def guards_save(source: Evidence) -> Found:
    """How far above no guard training with each guard ends after a disturbance, in accuracy.

    Over all of its comparisons (`by_rule`), under plain SGD, where the disturbance costs a point
    or more without a guard, at each multiple of the best rate without one at which both were run.
    What a guard costs undisturbed counts against it, because only the ends are compared; what runs
    at another rate than without a guard does not judge.
    """
    frame, warm = able(published(where(source.outcomes, optimizer="sgd")))
    at_one = losses(at_one_rate(frame))
    # guards that were not run at that rate, at their own
    keys = ["dataset", "model", "normalization", "clipping"]
    there = pd.MultiIndex.from_frame(at_one[keys])
    own = losses(frame[~frame["arm"].fillna("").str.startswith(SHARED)])
    own = own[~pd.MultiIndex.from_frame(own[keys]).isin(there)]
    disturbed = pd.concat([at_one, own], ignore_index=True)
    disturbed = disturbed.rename(columns={"times": "multiple"})
    effects, small = [], 0
    for case in _guarded(disturbed):
        pieces = ["disturbance", "normalization", "multiple"]
        for (disturbance, norm, times), rows in case.rows.groupby(pieces, dropna=False):
            at = "" if times != times else f"at {times:g} times the best rate"
            about = (case.about[0], prose.name(disturbance), _normalized(norm), at)
            effect = _saved(replace(case, about=(*about, *case.about[1:]), rows=rows))
            effects += [effect] if effect else []
            small += effect is None
    if not effects:
        if small:
            return nothing("no disturbance costs a point of test accuracy without a guard")
        return nothing("no clipping was disturbed beside none")
    note = f"In {prose.count(small, 'more comparison')} there is less than a point to save."
    return by_rule(found(effects, [note if small else "", warm]))


def _saved(case: Case) -> Effect | None:
    """The points saved, at the same rate where that was run; None with less than one to save."""
    sides = case.factor, case.level, case.baseline
    at_one = len(paired(case.rows, *sides, "lost", ["arm"]))
    ignore = ["arm"] if at_one else OWN_RATES
    lost = paired(case.rows, *sides, "lost", ignore)
    if lost.empty or lost["control"].mean() < POINT:
        return None
    ends = paired(case.rows, *sides, "accuracy", ignore)
    return replace(difference(ends, case.about), judges=case.judges and at_one > 0)


def guards_cost(source: Evidence) -> Found:
    """Points of test accuracy that each guard gains over none, each at its own best rate.

    Over all of its comparisons (`by_rule`), on each network and data set, with each normalization.
    """
    frame, warm = able(at_best(source).drop(columns="times"))
    cases = (
        replace(case, about=(case.about[0], _normalized(norm), *case.about[1:]), rows=rows)
        for case in _guarded(frame)
        for norm, rows in case.rows.groupby("normalization", sort=False)
    )
    return by_rule(gained(cases, NO_CLIPPING, warm))


def _normalized(norm: object) -> str:
    """A normalization in words, after a clipping: ``no normalization``."""
    return prose.phrase("normalization", norm)
