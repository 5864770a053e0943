"""What to try first, and what the suite's own results say that it is worth."""

from __future__ import annotations

import math
from dataclasses import dataclass

from benchmark.diagnosis.finding import Diagnosis
from benchmark.project import ROOT
from benchmark.results import ResultsError, load_study

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
        """Where to read on: the page's source, and the built page."""
        return f"{PAGE}, in the built report advice.html#{self.anchor}"


def advice(found: Diagnosis) -> Advice:
    """What to try first after a diagnosis."""
    fatal = found.status in ("nonfinite", "dead", "damaged", "collapsed")
    known = not math.isnan(found.threshold)
    step = found.fatal_step
    at = f"a global norm of {found.threshold:.3g}" if known else ""
    if found.clipped > AGGRESSIVE:
        return Advice(
            "Lower the rate, not the threshold: most steps are clipped, so that the two are one "
            "number.",
            "advice-threshold",
        )
    if fatal and _soon(found):
        return Advice("Divide the learning rate by ten and start again.", "advice-nan")
    if found.status == "collapsed":
        return Advice(
            "Go back to a checkpoint before the fall and lower the rate from there.", "advice-nan"
        )
    if fatal and known:
        return Advice(
            f"Go back to a checkpoint before step {step:,} and clip at {at}; if it happens again, "
            "lower the rate.",
            "advice-threshold",
        )
    if fatal:
        return Advice(
            f"Go back to a checkpoint before step {step:,} with a lower rate, and log the gradient "
            "norm.",
            "advice-nan",
        )
    if found.status == "stalled":
        return Advice(
            "Raise the rate, or check data and labels: nothing exploded, and nothing was learned.",
            "advice-batch",
        )
    if found.spikes and known:
        return Advice(
            f"Nothing has to be done: what spiked came back. Clipping at {at} would have acted on "
            "the spikes.",
            "advice-threshold",
        )
    return Advice("Nothing has to be done: there is no sign of an explosion.", "advice-cost")


def _soon(found: Diagnosis) -> bool:
    if found.first_bad_step is None:
        return False
    return int((found.log.loss.steps < found.first_bad_step).sum()) < SOON


def worth() -> str:
    """What a threshold at the 90th percentile was worth where thresholds were compared."""
    try:
        study = load_study(RESULTS, STUDY)
    except ResultsError:
        study = None
    if study is None:
        return (
            "no results are at hand that say what it is worth; python -m benchmark run "
            f"{STUDY} measures it"
        )
    # only here, because it takes as long to import as all else together
    from benchmark.statistics import outcomes, percentile_rule

    rules = percentile_rule(outcomes(study.trials))
    if rules.empty:
        return f"the results of the study {STUDY} do not say what it is worth"
    ends = rules[["regret", "low", "high"]].to_numpy(dtype=float)
    worst = int(ends[:, 0].argmax())
    lost, low, high = 100 * ends[worst]
    rate = rules["learning_rate"].iloc[worst]
    fine = int((~(rules["low"] > 0)).sum())
    return (
        f"in the study {STUDY}, of one family of networks, that percentile of a whole run's norms "
        f"was not measurably worse than the best threshold at {fine} of {len(rules)} rates; at "
        f"most it lost {lost:.1f} points of accuracy (95% interval {low:.1f} to {high:.1f}), at "
        f"the rate {rate:g}"
    )
