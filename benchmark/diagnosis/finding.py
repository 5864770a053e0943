"""What became of a run: its status, its spikes, its norms before trouble."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from benchmark.diagnosis.columns import RunLog, Series
from benchmark.diagnosis.detectors import SHARE, WAIT, Detector, first_alarm, unhealed
from benchmark.diagnosis.reading import LogError
from benchmark.spikes import loss_spikes
from benchmark.status import spike_level

CHANCE = 0.9
"""Share of the first loss from which a run knows no more than at its start."""
GAP = 10
"""Rows up to which two spikes are one, and over which a loss counts as come back."""
USUAL = 100
"""Rows before a spike whose median is the loss, or the norm, that was usual."""
NORMAL = 1.4826
"""Standard deviation over median absolute deviation, of normal values."""
LAST = 50
"""Most rows, and a fifth of all at most, whose median is the loss at the end."""
FEW = 5
"""Finite losses below which nothing follows from them."""
FATAL = ("nonfinite", "dead", "damaged", "collapsed")
"""How a run is lost; what healed before is not its end."""


@dataclass(frozen=True)
class Spike:
    """Rows about one another whose loss is far above those before.

    ``peak`` is the largest finite loss, NaN of none, and ``finite`` whether all are. ``healed`` is
    the step from which the loss was back, None where it never was.
    """

    step: int
    peak_step: int
    peak: float
    before: float
    healed: int | None
    finite: bool = True


@dataclass(frozen=True)
class Diagnosis:
    """What a log says of its run; steps are the log's own.

    Without accuracies, what a model has learned is told by its loss against that of one that knows
    nothing (``start``: the first one, unless it was given).
    """

    log: RunLog
    level: float
    start: float
    status: str
    first_bad_step: int | None
    reason: str
    broken_step: int | None
    lost_step: int | None
    spikes: list[Spike]
    norms_before: np.ndarray
    growth: float
    clipped: float
    notes: list[str] = field(default_factory=list)

    @property
    def rate(self) -> float:
        """The learning rate that was logged last before trouble, or in all; NaN of none."""
        rates, trouble = self.log.rate, self.trouble
        if rates is None:
            return math.nan
        before = rates.values[rates.steps <= trouble] if trouble is not None else rates.values
        before = before[np.isfinite(before) & (before > 0)]
        return float(before[-1]) if len(before) else math.nan

    @property
    def rise(self) -> float:
        """The largest finite loss after the first one over that, or over ``start`` if larger."""
        known = self.log.loss.values[np.isfinite(self.log.loss.values)]
        origin = max(self.start, float(known[0])) if len(known) else math.nan
        return float(known[1:].max()) / origin if len(known) > 1 and origin > 0 else math.nan

    @property
    def broken_at_start(self) -> bool:
        """Whether loss or gradient are not finite from the first step of training on."""
        first = int(self.log.loss.steps[0])
        return self.broken_step is not None and self.broken_step <= first <= 1

    def last_good(self, step: int) -> int:
        """The last step in the log before ``step``: the update of that may have done the harm.

        The loss of a step is that of the weights before its update.
        """
        before = self.log.loss.steps[self.log.loss.steps < step]
        return int(before[-1]) if len(before) else step

    @property
    def short(self) -> bool:
        """Whether the run has too few losses to say that it has learned nothing."""
        return int(np.isfinite(self.log.loss.values).sum()) < FEW

    @property
    def end(self) -> float:
        """Median of the last finite losses, because a single one is noisy; NaN of none."""
        return _end(self.log.loss, self.spikes)

    @property
    def fatal_step(self) -> int | None:
        """Where that began which ended the run; None of a run that was not lost."""
        return self.trouble if self.status in FATAL else None

    @property
    def trouble(self) -> int | None:
        """Where that began which ended the run; of one that was not lost, the first spike."""
        return _trouble(self.status, self.spikes, self.broken_step, self.first_bad_step)


def diagnose(
    log: RunLog,
    *,
    start: float | None = None,
    spike: float | None = None,
    threshold: float | None = None,
) -> Diagnosis:
    """The diagnosis of a run.

    Parameters
    ----------
    start
        Loss of a model that knows nothing: ``log(classes)`` of a classifier. The first loss unless
        given.
    spike
        Loss above which the run spiked: ``max(10, 4 * first loss)`` unless given.
    threshold
        At which the norm was clipped, where the log does not say what was.

    Raises
    ------
    LogError
        If the first loss is not positive, so that no share of it says anything, and neither
        ``start`` nor ``spike`` is given.
    """
    notes = list(log.notes)
    log = _unfiltered(log, notes)
    losses, steps = log.loss.values, log.loss.steps
    known = losses[np.isfinite(losses)]
    first = float(known[0]) if len(known) else math.nan
    if first <= 0 and (start is None or spike is None):
        raise LogError(
            f"the first loss must be positive, but is {first:g}; give --spike, the loss above "
            "which the run spiked, and --start, that of a model that knows nothing"
        )
    origin = start if start is not None else first
    level = spike if spike is not None else spike_level(first)
    broken = _broken_step(log, level, notes)
    finite = np.isfinite(losses)
    above = np.flatnonzero(finite & (losses > level))
    spiked = int(steps[above[0]]) if len(above) else None
    found = _spikes(losses, steps, level, origin)
    end = _end(log.loss, found)
    status, reason, bad = _judge(losses, steps, origin, level, spiked, broken, end)
    if bad is not None and status in ("recovered", "damaged", "dead"):
        after = int((steps >= bad).sum())
        if after < WAIT:
            notes.append(f"only {after} rows follow the first bad one: too early to be sure")
    if 0 < len(known) < FEW:
        notes.append(f"{len(known)} finite losses are too few to be sure of anything")
    trouble = _trouble(status, found, broken, bad)
    return Diagnosis(
        log,
        level,
        origin,
        status,
        bad,
        reason,
        broken,
        _lost_step(log, origin),
        found,
        _norms_before(log.norm, trouble),
        _growth(log.norm, trouble),
        _clipped(log, threshold),
        notes,
    )


def _trouble(
    status: str, spikes: Sequence[Spike], broken: int | None, bad: int | None
) -> int | None:
    fatal = status in FATAL
    steps = [spike.step for spike in spikes if not fatal or spike.healed is None]
    ends = [broken] if fatal and broken is not None else []
    return min([*steps, *ends], default=bad)


def _unfiltered(log: RunLog, notes: list[str]) -> RunLog:
    """The log with NaN where a trainer wrote a loss of zero for it, beside a norm of NaN.

    Transformers does (``logging_nan_inf_filter``): its loss would seem to have become perfect.
    """
    if log.norm is None:
        return log
    broken = log.norm.steps[~np.isfinite(log.norm.values)]
    hidden = (log.loss.values == 0) & np.isin(log.loss.steps, broken)
    if not hidden.any():
        return log
    notes.append(f"{int(hidden.sum())} losses of 0 beside norms that are not finite: taken as NaN")
    values = np.where(hidden, np.nan, log.loss.values)
    return replace(log, loss=replace(log.loss, values=values))


def _broken_step(log: RunLog, level: float, notes: list[str]) -> int | None:
    """The step from which on the run was not finite to its end; None where it is to the last.

    Norms that are not finite beside finite losses are steps that a loss scaler skipped, at the end
    of a log as amid it: there too the norm alone breaks a run only if it stays so for `WAIT` rows,
    or if a loss from there on is not finite, or above ``level``.
    """
    ends = []
    for series in filter(None, (log.loss, log.norm)):
        bad = ~np.isfinite(series.values)
        if not bad.any():
            continue
        good = np.flatnonzero(~bad)
        first = int(good[-1]) + 1 if len(good) else 0
        if first < len(bad):
            losses = log.loss.values[log.loss.steps >= series.steps[first]]
            if len(bad) - first >= WAIT or not (losses <= level).all():
                ends.append(int(series.steps[first]))
            else:
                first = len(bad)
        passing = int(bad[:first].sum())
        if passing:
            notes.append(
                f"{passing} values of {series.name!r} are not finite while the run went on: "
                "steps that were skipped, as a loss scaler does?"
            )
    return min(ends, default=None)


def _judge(
    losses: np.ndarray,
    steps: np.ndarray,
    origin: float,
    level: float,
    spiked: int | None,
    broken: int | None,
    end: float,
) -> tuple[str, str, int | None]:
    """Status, the reason for it, and the first bad step, in the words of `benchmark.status`."""
    bad = min([s for s in (spiked, broken) if s is not None], default=None)
    spike = "" if spiked is None else f"loss above {level:.4g} at step {spiked:,}"
    if broken is not None:
        both = "; ".join(filter(None, [spike, f"not finite from step {broken:,} on"]))
        return "nonfinite", both, bad
    known = losses[np.isfinite(losses)]
    width = max(1, min(LAST, len(known) // 5))
    running = _running_median(known, width)
    learned = float(running.min()) < SHARE * origin
    if spiked is not None:
        if end < SHARE * origin:
            return "recovered", spike, bad
        if end < CHANCE * origin:
            return "damaged", spike, bad
        return ("collapsed" if learned else "dead"), spike, bad
    if end < CHANCE * origin:
        return "stable", "", None
    if learned:
        good = int(np.flatnonzero(known < SHARE * origin)[-1])
        fell = int(steps[np.isfinite(losses)][min(good + 1, len(known) - 1)])
        return "collapsed", f"back at the loss that it started from by step {fell:,}", fell
    return "stalled", "the loss never left its start", None


def _end(loss: Series, spikes: Sequence[Spike]) -> float:
    """Median of the last losses; after a spike that has not healed, of none from before it."""
    known = np.isfinite(loss.values)
    if spikes and spikes[-1].healed is None:
        known &= loss.steps >= spikes[-1].step
    last = loss.values[known]
    most = max(1, min(LAST, len(loss.values) // 5))
    return float(np.median(last[-most:])) if len(last) else math.nan


def _running_median(values: np.ndarray, width: int) -> np.ndarray:
    windows = np.lib.stride_tricks.sliding_window_view(values, width)
    return np.median(windows, axis=-1)


def _spikes(losses: np.ndarray, steps: np.ndarray, level: float, origin: float) -> list[Spike]:
    flagged = np.flatnonzero(loss_spikes(losses) | ~np.isfinite(losses) | (losses > level))
    if not len(flagged):
        return []
    groups = np.split(flagged, np.flatnonzero(np.diff(flagged) > GAP) + 1)
    found: list[Spike] = []
    for group in groups:
        begin, last = int(group[0]), int(group[-1])
        past = losses[max(0, begin - USUAL) : begin]
        past = past[np.isfinite(past)]
        before = float(np.median(past)) if len(past) else origin
        finite = np.isfinite(losses[group])
        peak = int(group[np.where(finite, losses[group], -np.inf).argmax()])
        height = float(losses[peak]) if finite.any() else math.nan
        back = _back(losses, last + 1, _healed_level(before, past, origin))
        healed = None if back is None else int(steps[back])
        found.append(
            Spike(int(steps[begin]), int(steps[peak]), height, before, healed, bool(finite.all()))
        )
    return found


def _healed_level(before: float, past: np.ndarray, origin: float) -> float:
    """What a spike has to come back to: what was usual, or where nothing was learned yet, half."""
    if before >= SHARE * origin:
        return SHARE * origin if before >= CHANCE * origin else before
    # robust: an earlier spike among those before widens nothing
    spread = NORMAL * float(np.median(np.abs(past - before))) if len(past) else 0.0
    return max(1.1 * before, before + 3 * spread)


def _back(losses: np.ndarray, begin: int, level: float) -> int | None:
    """First place from ``begin`` on where the loss, and the median from there, are low enough."""
    rest = np.where(np.isfinite(losses[begin:]), losses[begin:], np.inf)
    if not len(rest):
        return None
    medians = _running_median(rest, min(GAP, len(rest)))
    good = np.flatnonzero((medians <= level) & (rest[: len(medians)] <= level))
    return begin + int(good[0]) if len(good) else None


def _lost_step(log: RunLog, origin: float) -> int | None:
    """Where the rule of `unhealed` would have raised its alarm, given one row after another."""
    norms = np.ones(len(log.loss.steps))
    losses = log.loss.values
    # what comes back is no alarm, though the rule itself takes any such number for the end
    last = np.flatnonzero(np.isfinite(losses))
    kept = np.isfinite(losses) | (np.arange(len(losses)) > (last[-1] if len(last) else -1))
    detector = Detector("unhealed", lambda: unhealed(start=origin), "")
    row = first_alarm(detector, losses[kept], norms[kept])
    return None if row is None else int(log.loss.steps[kept][row - 1])


def _norms_before(norm: Series | None, trouble: int | None) -> np.ndarray:
    if norm is None:
        return np.array([])
    kept = norm.steps < trouble if trouble is not None else np.full(len(norm.steps), True)
    return norm.values[kept & np.isfinite(norm.values)]


def _growth(norm: Series | None, trouble: int | None) -> float:
    """The last norms before trouble over what was usual before those; NaN where too few."""
    if trouble is None:
        return math.nan
    before = _norms_before(norm, trouble)
    if len(before) < 2 * GAP:
        return math.nan
    usual = float(np.median(before[-USUAL - GAP : -GAP]))
    return float(before[-GAP:].max()) / usual if usual > 0 else math.nan


def _clipped(log: RunLog, threshold: float | None) -> float:
    if log.clipped is not None:
        return float(np.nanmean(log.clipped.values))
    if threshold is not None and log.norm is not None:
        return float((log.norm.values > threshold).mean())
    return math.nan
