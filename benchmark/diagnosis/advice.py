"""What to try first, and what the suite's own results say about it."""

from __future__ import annotations

import functools
from dataclasses import dataclass

from benchmark.calling import program
from benchmark.diagnosis.finding import Diagnosis
from benchmark.project import CHECKOUT, ROOT
from benchmark.results import ResultsError, find_study

RESULTS = ROOT / "results" / "reference"
STUDY = "clipping"
AGGRESSIVE = 0.5
"""Share of clipped steps above which threshold and rate are one number."""
SOON = 10
"""Rows within which a loss counts as gone at once."""
PAGE = "report/advice.md"


@dataclass(frozen=True)
class Advice:
    """A sentence, and the place of the report that has the evidence for it."""

    sentence: str
    anchor: str

    @property
    def place(self) -> str:
        """Where to read on: the page's source, where it is at hand, and the built page."""
        built = f"in the built report advice.html#{self.anchor}"
        return f"{PAGE}, {built}" if CHECKOUT else built


def advice(found: Diagnosis) -> Advice:
    """What to try first after a diagnosis."""
    fatal, step = found.fatal_step is not None, found.fatal_step or 0
    if found.clipped > AGGRESSIVE:
        return Advice(
            "Lower the rate, not the threshold: most steps are clipped, so that the two are one "
            "number.",
            "advice-threshold",
        )
    if fatal and _soon(found, step):
        return Advice("Divide the learning rate by ten and start again.", "advice-nan")
    if found.status == "collapsed":
        return Advice(
            f"Go back to a checkpoint before step {step:,} and lower the rate from there.",
            "advice-late",
        )
    if fatal and (found.log.norm is not None or found.log.rate is not None):
        return Advice(
            f"Go back to a checkpoint before step {step:,} and clip the global norm at "
            f"{_threshold(found)}; if it happens again, lower the rate.",
            "advice-threshold",
        )
    if fatal:
        return Advice(
            f"Go back to a checkpoint before step {step:,} with a lower rate, and log the gradient "
            "norm.",
            "advice-late",
        )
    if found.status == "stalled" and found.short:
        return Advice("Wait for more losses: so few say nothing yet.", "advice-batch")
    if found.status == "stalled":
        return Advice(
            "Raise the rate, or check data and labels: nothing exploded, and nothing was learned.",
            "advice-batch",
        )
    if found.first_bad_step is not None:
        return Advice(
            f"This run needs nothing: it exploded at step {found.first_bad_step:,} and then "
            "learned all the same. So that the next one does not, lower the rate or clip the "
            f"global norm at {_threshold(found)}.",
            "advice-threshold",
        )
    if any(spike.healed is None for spike in found.spikes):
        return Advice(
            "Watch it: the last spike has not healed yet, though the run is not lost.",
            "advice-late",
        )
    if found.spikes:
        return Advice(
            "Nothing has to be done: what spiked came back, and stayed below the level of an "
            "explosion.",
            "advice-threshold",
        )
    return Advice("Nothing has to be done: there is no sign of an explosion.", "advice-cost")


def _soon(found: Diagnosis, step: int) -> bool:
    return int((found.log.loss.steps < step).sum()) < SOON


def suggested(found: Diagnosis) -> float | None:
    """The threshold to try first at the run's rate; None where that, or the product, is unknown."""
    best = product()
    return best["product"] / found.rate if best and found.rate > 0 else None


def _threshold(found: Diagnosis) -> str:
    known, best = suggested(found), product()
    if known is not None:
        return f"{known:.2g}"
    return f"{best['product']:.2g} / rate" if best else "a threshold that you tune"


def worth(found: Diagnosis) -> str:
    """Which threshold to try, and what is known about it."""
    best = product()
    if best is None:
        return (
            "tune the product of rate and threshold; no results are at hand that say where to "
            f"start: {program()} run {STUDY} gives some"
        )
    known = suggested(found)
    here = (
        ""
        if known is None
        else (f", hence a threshold of {known:.2g} at this run's rate of {found.rate:.3g}")
    )
    costly = ""
    if best["lost"] > 0.01:
        costly = (
            "; not the 90th percentile of norms, which loses up to "
            f"{100 * best['lost']:.1f} points where training explodes"
        )
    return (
        f"tune rate x threshold, starting at {best['product']:.2g}{here}: the best at "
        f"{best['alike']:.0f} of {best['rates']:.0f} rates in the MLP of the study {STUDY}, under "
        f"plain SGD (it does not carry over to Adam, which rescales gradients){costly}"
    )


@functools.cache
def product() -> dict[str, float] | None:
    """`steadiest_product` where thresholds were compared, as the report has it; None without.

    Also ``lost``, the most accuracy that a threshold at the 90th percentile of a run's norms
    measurably loses.
    """
    try:
        study = find_study(RESULTS, STUDY)
    except ResultsError:
        study = None
    if study is None:
        return None
    # only here, because it takes as long to import as all else together
    from benchmark.statistics import outcomes, percentile_rule, steadiest_product

    rules = percentile_rule(outcomes(study.trials))
    if rules.empty:
        return None
    costly = rules.loc[rules["low"] > 0.01, "regret"]
    return steadiest_product(rules) | {"lost": float(costly.max()) if len(costly) else 0.0}
