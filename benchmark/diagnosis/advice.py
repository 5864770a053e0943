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
ROSE = 1.5
"""Largest loss over that of the start from which a run that did not explode was near it."""
SOON = 10
"""Rows within which a loss counts as gone at once."""
PAGE = "report/advice.md"


@dataclass(frozen=True)
class Advice:
    """A sentence, and the place of the report that has the evidence for it."""

    sentence: str
    anchor: str
    clips: bool = False
    """Whether a threshold is part of it."""

    @property
    def place(self) -> str:
        """Where to read on: the page's source, where it is at hand, and the built page."""
        built = f"in the built report advice.html#{self.anchor}"
        return f"{PAGE}, {built}" if CHECKOUT else built


def advice(found: Diagnosis) -> Advice:
    """What to try first after a diagnosis."""
    fatal, step = found.fatal_step is not None, found.fatal_step or 0
    if found.broken_at_start:
        return Advice(
            "Check data, labels, initialization and precision: the first loss or gradient was not "
            "finite, before any update, so that no learning rate and no threshold is its cause.",
            "advice-nan",
        )
    back = f"Go back to a checkpoint from before the update of step {found.last_good(step):,}"
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
            f"{back} and lower the rate from there.",
            "advice-late",
        )
    if fatal and (found.log.norm is not None or found.log.rate is not None):
        return Advice(
            f"{back} and clip the global norm at {_threshold(found)}; if it happens again, lower "
            "the rate.",
            "advice-threshold",
            clips=True,
        )
    if fatal:
        return Advice(
            f"{back} with a lower rate, and log the gradient norm.",
            "advice-late",
        )
    if found.status == "stalled" and found.short:
        return Advice("Wait for more losses: so few say nothing yet.", "advice-batch")
    if found.status == "stalled" and (found.spikes or found.rise >= ROSE):
        where = f"jumped at step {found.spikes[0].step:,}" if found.spikes else "rose"
        return Advice(
            f"Divide the learning rate by ten: the loss {where}, though never above the level of "
            f"an explosion ({found.level:.4g}), and nothing was learned.",
            "advice-nan",
        )
    if found.status == "stalled":
        return Advice(
            "Raise the rate, or check data and labels: the loss never rose, and nothing was "
            "learned.",
            "advice-batch",
        )
    if found.first_bad_step is not None:
        return Advice(
            f"This run needs nothing: it exploded at step {found.first_bad_step:,} and then "
            "learned all the same. So that the next one does not, lower the rate or clip the "
            f"global norm at {_threshold(found)}.",
            "advice-threshold",
            clips=True,
        )
    if any(spike.healed is None for spike in found.spikes):
        return Advice(
            "Watch it: the last jump of the loss has not healed yet, though the run is not lost.",
            "advice-late",
        )
    if found.spikes:
        return Advice(
            "Nothing has to be done: what jumped came back, and stayed below the level of an "
            "explosion.",
            "advice-threshold",
        )
    if found.rise >= ROSE:
        return Advice(
            f"Try a third of the rate: the loss rose to {found.rise:.2g} times what it started "
            "from, so that the rate is near the largest that trains, and a lower one may end "
            "lower.",
            "advice-late",
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
    known, norms = suggested(found), found.norms_before
    here = ""
    if known is not None:
        here = f", hence a threshold of {known:.2g} at this run's rate of {found.rate:.3g}"
    if known is not None and len(norms):
        here += f" (which {100 * float((norms > known).mean()):.0f} % of its norms before exceed)"
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
