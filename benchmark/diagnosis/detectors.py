"""Detectors: rules that watch a run's loss and gradient norm and say when it is lost.

A detector gets one step at a time and remembers what it wants, so that it cannot look ahead. All
that are built in also raise an alarm at a loss or norm that is not finite.

>>> watch = DETECTORS["not_finite"].start()
>>> [watch(loss, 1.0) for loss in (2.3, float("nan"))]
[False, True]
"""

from __future__ import annotations

import math
import statistics
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from benchmark.status import spike_level

Watch = Callable[[float, float], bool]
"""``(loss, gradient norm) -> alarm``, called once a step, in their order."""


@dataclass(frozen=True)
class Detector:
    """One detector.

    Parameters
    ----------
    start
        Makes the `Watch` of one run, which has seen nothing yet.
    """

    name: str
    start: Callable[[], Watch]
    summary: str
    reference: str = "-"


def first_alarm(detector: Detector, losses: Iterable[float], norms: Iterable[float]) -> int | None:
    """Step of the first alarm, counted from 1; None where there is none.

    >>> first_alarm(DETECTORS["spike_level"], [2.0, 11.0, 2.0], [1.0, 9.0, 1.0])
    2
    """
    watch = detector.start()
    for step, (loss, norm) in enumerate(zip(losses, norms, strict=True), 1):
        if watch(float(loss), float(norm)):
            return step
    return None


def is_finite(loss: float, norm: float) -> bool:
    """Whether both are numbers; a norm of None (not logged) is none that fails."""
    return math.isfinite(loss) and math.isfinite(norm)


def not_finite() -> Watch:
    """Loss or norm is not finite."""
    return lambda loss, norm: not is_finite(loss, norm)


def above_spike_level() -> Watch:
    """The loss is above the level at which this benchmark says that a run spiked."""
    level = math.nan

    def watch(loss: float, norm: float) -> bool:
        nonlocal level
        if not is_finite(loss, norm):
            return True
        level = spike_level(loss) if math.isnan(level) else level
        return loss > level

    return watch


def far_above_median(multiple: float = 10.0, window: int = 100, least: int = 10) -> Watch:
    """The norm is above ``multiple`` times the median of up to ``window`` norms before it."""
    past: deque[float] = deque(maxlen=window)

    def watch(loss: float, norm: float) -> bool:
        if not is_finite(loss, norm):
            return True
        alarm = len(past) >= least and norm > multiple * statistics.median(past)
        past.append(norm)
        return alarm

    return watch


def many_deviations(z: float = 2.5, memory: float = 0.97, warm_up: int = 25) -> Watch:
    """The norm is ``z`` deviations above its moving average, as ZClip has it.

    Mean and variance start from the first ``warm_up`` norms; what is above the limit enters them
    as the rule would have clipped it.
    """
    first: list[float] = []
    mean = variance = 0.0

    def watch(loss: float, norm: float) -> bool:
        nonlocal mean, variance
        if not is_finite(loss, norm):
            return True
        if len(first) < warm_up:
            first.append(norm)
            if len(first) == warm_up:
                mean, variance = statistics.fmean(first), statistics.pvariance(first)
            return False
        deviation = math.sqrt(variance)
        score = (norm - mean) / (deviation + 1e-6)
        alarm = score > z
        kept = mean + z**2 / score * deviation if alarm else norm
        mean = memory * mean + (1 - memory) * kept
        variance = memory * variance + (1 - memory) * (kept - mean) ** 2
        return alarm

    return watch


def loss_above_mean(deviations: float = 7.0, window: int = 100, least: int = 10) -> Watch:
    """The loss is that many deviations above the mean of up to ``window`` losses before it."""
    past: deque[float] = deque(maxlen=window)

    def watch(loss: float, norm: float) -> bool:
        if not is_finite(loss, norm):
            return True
        # squares of larger ones overflow
        loss = min(loss, 1e150)
        alarm = False
        if len(past) >= least:
            mean = statistics.fmean(past)
            spread = math.sqrt(statistics.fmean((x - mean) ** 2 for x in past))
            alarm = loss - mean >= deviations * spread and loss - mean > 1e-6 * (1 + abs(mean))
        past.append(loss)
        return alarm

    return watch


WAIT, SHARE = 100, 0.5
"""Of `unhealed`: chosen on one half of the labelled trials (``studies/detectors.py``)."""


def unhealed(wait: int = WAIT, share: float = SHARE, start: float | None = None) -> Watch:
    """A spike or a rise that has not healed: the rule of ``benchmark diagnose``.

    There was a loss above the spike level, or the run had learned (most of ``wait`` losses in a row
    were below ``share`` of the first); and none of the last ``wait`` losses was below ``share`` of
    the first.

    Parameters
    ----------
    start
        Loss of a model that knows nothing, in place of the first one.
    """
    first = math.nan
    below: deque[bool] = deque(maxlen=wait)
    troubled = False

    def watch(loss: float, norm: float) -> bool:
        nonlocal first, troubled
        if not is_finite(loss, norm):
            return True
        if math.isnan(first):
            first = loss
        below.append(loss < share * (first if start is None else start))
        troubled = troubled or loss > spike_level(first) or 2 * sum(below) > wait
        return troubled and len(below) == wait and not any(below)

    return watch


DETECTORS: dict[str, Detector] = {
    "not_finite": Detector("not_finite", not_finite, "loss or norm is not finite"),
    "spike_level": Detector(
        "spike_level", above_spike_level, "the loss is above max(10, 4 times the first)"
    ),
    "norm_multiple": Detector(
        "norm_multiple",
        far_above_median,
        "the norm is above 10 times the median of the last 100",
    ),
    "norm_z_score": Detector(
        "norm_z_score",
        many_deviations,
        "the norm is 2.5 deviations above its moving average",
        "Kumar et al. 2025, arXiv:2504.02507 (ZClip)",
    ),
    "loss_spike": Detector(
        "loss_spike",
        loss_above_mean,
        "the loss is 7 deviations above the mean of the last 100 (the source has 1,000)",
        "OLMo et al. 2024, arXiv:2501.00656; spikes as in Chowdhery et al. 2022, arXiv:2204.02311",
    ),
    "unhealed": Detector(
        "unhealed",
        unhealed,
        f"after a spike, or having learned, {WAIT} losses in a row at or above {SHARE:g} of the "
        "first",
    ),
}
