"""Whole studies for a given time: watched, and stopped so that what is finished is kept."""

from __future__ import annotations

import datetime
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from benchmark.driver.units import trial_of
from benchmark.engine.trials.packing import expected_work
from benchmark.results import ResultsError, StudyFolder
from benchmark.timing.stopwatch import Row

STOPPED = (128 + signal.SIGINT, 128 + signal.SIGTERM)
"""Exit statuses of what was stopped from outside."""
LANDING = 60.0
"""Seconds of the given time, a quarter of it at most, in which units that have begun may land."""
GRACE = 20.0
"""Seconds that a command has to end once it was told to end at once."""
WATCHED = 10.0
"""Seconds between two looks at how far a study is."""


def run_for(
    command: Sequence[str], seconds: float, look: Callable[[float], None] = lambda taken: None
) -> tuple[int, float]:
    """Run ``command`` for at most so long; its exit status and the seconds taken.

    It is asked to stop before the time is over, told to end when it is, and killed where it does
    not. ``look`` is called every `WATCHED` seconds, and at the end, with the seconds since then.
    """
    began = time.monotonic()
    process = subprocess.Popen(command)
    landing = min(LANDING, seconds / 4)
    stops = [(signal.SIGINT, seconds - landing), (signal.SIGTERM, seconds)]
    stops += [(signal.SIGKILL, seconds + GRACE)]
    try:
        while True:
            taken = time.monotonic() - began
            while stops and taken >= stops[0][1]:
                process.send_signal(stops.pop(0)[0])
            soonest = stops[0][1] - taken if stops else WATCHED
            with suppress(subprocess.TimeoutExpired):
                process.wait(timeout=max(0.01, min(WATCHED, soonest)))
                break
            look(time.monotonic() - began)
    except BaseException:
        process.send_signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=GRACE / 2)
        raise
    taken = time.monotonic() - began
    look(taken)
    return process.returncode, taken


class Progress:
    """How much of a study has landed in its folder, trained now or before.

    Parameters
    ----------
    results, study
        Where the study's folder is.
    checkpoints
        Of its trials: their evaluations count as work.
    """

    def __init__(self, results: Path, study: str, checkpoints: int) -> None:
        self._folder = StudyFolder(results / study)
        self._checkpoints = checkpoints
        self._work: dict[str, float] = {}
        self.began = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        self.before = len(self._landed())

    def row(self, seconds: float) -> Row:
        """How far the study is, so many seconds after this began to watch.

        ``work`` is the share of all multiply-adds that landed trials stand for.
        """
        landed = self._landed()
        whole = sum(self._work.values())
        return {
            "began": self.began,
            "seconds": seconds,
            "trials": len(landed),
            "trained": len(landed) - self.before,
            "of": len(self._work),
            "work": sum(self._work.get(trial, 0.0) for trial in landed) / whole if whole else 0.0,
        }

    def _landed(self) -> set[str]:
        try:
            found = StudyFolder(self._folder.path).load(trials_only=True)
        except ResultsError:
            # a folder that is not there yet
            return set()
        if not self._work:
            for row in found.plan.to_dict("records"):
                self._work[row["trial"]] = expected_work(trial_of(row), self._checkpoints)
        finished = found.trials[found.trials["status"] != "failed"]
        return set(finished["trial"])
