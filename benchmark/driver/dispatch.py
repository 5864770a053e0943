"""Sending units to workers, and what is done when a worker dies."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, CancelledError, Future, wait
from dataclasses import dataclass

from benchmark.driver.executors import WorkerPool
from benchmark.driver.stopping import Stopped, Stopping
from benchmark.driver.units import Outcome, Unit, train_unit
from benchmark.driver.workers import CannotStart

LOOK = 0.5
"""Seconds between two looks at whether a stop was asked for, and at the time that has passed."""

log = logging.getLogger(__name__)


class LostExecutor(RuntimeError):
    """The executor is gone for good; what has landed is kept."""


@dataclass(frozen=True)
class _Attempt:
    """A unit to be trained, and how often its worker may die before it is split."""

    unit: Unit
    lives: int = 2

    def after_death(self, reason: str) -> Outcome | list[_Attempt]:
        """What to do next, or the rows that say that this trial kills its worker."""
        if self.lives > 1:
            return [_Attempt(self.unit, self.lives - 1)]
        if len(self.unit.trials) == 1:
            return self.unit.failed(f"the worker died on this trial twice: {reason}")
        # only single trials get a second chance again: a half that holds the culprit dies at once
        return [_Attempt(half, 2 if len(half.trials) == 1 else 1) for half in self.unit.halves()]


def train_units(
    units: Iterable[Unit],
    pool: WorkerPool,
    stopping: Stopping,
    look: Callable[[], None] = lambda: None,
) -> Iterator[tuple[Unit, Outcome]]:
    """Train ``units``, yielding each as it finishes.

    A unit whose worker dies (killed for its memory, say) is retried, then split in halves down to
    single trials; one that kills its worker alone, twice, is recorded as ``failed``. The others go
    on. Once a stop is asked for, what is running is finished. ``look`` is called every `LOOK`
    seconds and whenever something has finished.

    Raises
    ------
    Stopped
        After what was running has been yielded, if a stop was asked for before the end.
    LostExecutor
        If the executor takes no more work.
    """
    waiting = (_Attempt(unit) for unit in units)
    again: deque[_Attempt] = deque()
    running: dict[Future[Outcome], _Attempt] = {}
    try:
        while True:
            # one more than can run, so that none waits while results are written
            most = pool.slots() + 1
            while len(running) < most and not stopping.asked:
                attempt = again.popleft() if again else next(waiting, None)
                if attempt is None:
                    break
                stopping.in_flight += 1
                running[_submit(pool, attempt.unit)] = attempt
            if not running:
                if stopping.asked and (again or next(waiting, None) is not None):
                    raise Stopped
                return
            wait(running, timeout=LOOK, return_when=FIRST_COMPLETED)
            look()
            # in the order of submission; `wait` does not see what was cancelled before it began
            for future in [future for future in running if future.done()]:
                attempt = running.pop(future)
                outcome = _outcome(future, attempt)
                if isinstance(outcome, Outcome):
                    yield attempt.unit, outcome
                elif outcome is None and stopping.asked:
                    again.append(attempt)
                elif outcome is None:
                    raise LostExecutor("the executor dropped its work")
                else:
                    again.extend(outcome)
                stopping.in_flight -= 1
            if stopping.asked:
                # executors start calls in order: those beyond the slots have not begun
                for future in list(running)[pool.slots() :]:
                    future.cancel()
    finally:
        stopping.in_flight = 0
        for future in running:
            future.cancel()


def _submit(pool: WorkerPool, unit: Unit) -> Future[Outcome]:
    try:
        return pool.executor.submit(train_unit, unit)
    except RuntimeError as error:
        raise LostExecutor(f"the executor takes no more work: {error}") from error


def _outcome(future: Future[Outcome], attempt: _Attempt) -> Outcome | list[_Attempt] | None:
    """Rows, what to try next, or None for a call that was cancelled."""
    try:
        return future.result()
    except CancelledError:
        return None
    except (CannotStart, BrokenExecutor) as error:
        raise LostExecutor(str(error)) from error
    except ValueError:
        raise
    except Exception as error:
        # train_unit lets no error of training out: this is one of the worker
        reason = str(error) or type(error).__name__
        count = len(attempt.unit.trials)
        log.warning("a worker died on %d trial%s: %s", count, "s" * (count > 1), reason)
        return attempt.after_death(reason)
