"""How far a run has got: a bar on a terminal, and lines now and then where there is none.

How long it still takes is told once that can be known. Before the first results processes start,
data are read and kernels are compiled; the first round of units has all of this in it, so that time
is taken from its end on, and an estimate given when as much again has come in.
"""

from __future__ import annotations

import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from typing import Any, TextIO, TypeVar

from tqdm import tqdm

from benchmark.provenance import in_notebook

T = TypeVar("T")
Clock = Callable[[], float]

EVERY_SECONDS, EVERY_SHARE = 30.0, 0.05
"""Between two lines at least so many seconds, and this share of the time that has passed."""


class Pace:
    """What is left of a run, from what came in when.

    Parameters
    ----------
    first
        How many results come in as a first round: those of one unit for each process.
    """

    def __init__(self, first: int, clock: Clock = time.monotonic) -> None:
        self.began = clock()
        self._first, self._clock = first, clock
        self._results = self._done = self._counted = 0
        self._from = self.began

    @property
    def passed(self) -> float:
        """Seconds since the begin."""
        return self._clock() - self.began

    def add(self, done: int) -> None:
        """A result came in, with ``done`` more of what is counted."""
        self._results += 1
        self._done += done
        if self._results == self._first:
            self._from, self._counted = self._clock(), self._done

    def seconds(self, left: int) -> float | None:
        """Seconds for ``left`` more of what is counted; None where nothing is known yet.

        >>> clock = iter([0.0, 60.0, 70.0, 70.0])
        >>> pace = Pace(1, lambda: next(clock))
        >>> pace.add(8)
        >>> pace.seconds(92)
        >>> pace.add(8)
        >>> pace.seconds(84)
        105.0
        """
        if self._results < 2 * self._first or self._done == self._counted:
            return None
        return left * (self._clock() - self._from) / (self._done - self._counted)


class Progress(ABC):
    """How much of a ``total`` is done, shown while it grows; ``name`` says of what."""

    def __init__(self, name: str, total: int, unit: str, pace: Pace, done: int = 0) -> None:
        self.name, self.total, self.unit = name, total, unit
        self.done = done
        self._pace = pace

    def add(self, done: int, *, found: bool = False) -> None:
        """So many more are done; ``found`` are those that were there before."""
        self.done += done
        if not found:
            self._pace.add(done)
        self.look()

    @property
    def left(self) -> float | None:
        """Seconds that the rest may take; None where that is not known."""
        return self._pace.seconds(self.total - self.done)

    @abstractmethod
    def look(self) -> None:
        """Show that time passes, where that is due."""

    @abstractmethod
    def close(self) -> None:
        """Show the end."""


class Hidden(Progress):
    """Shows nothing."""

    def look(self) -> None:
        """Nothing to show."""

    def close(self) -> None:
        """Nothing to show."""


class Lines(Progress):
    """A line now and then, for a file: the first at once, the last at the end.

    >>> clock = iter([0.0, 0.0, 9.0, 9.0, 40.0, 40.0])
    >>> lines = Lines("grid", 96, "trials", Pace(1, lambda: next(clock)), stream=sys.stdout)
    grid: 0 of 96 trials
    >>> lines.add(8)
    >>> lines.add(8)
    grid: 16 of 96 trials (16 %) in 0:40, about 5:10 left
    """

    def __init__(
        self,
        name: str,
        total: int,
        unit: str,
        pace: Pace,
        done: int = 0,
        stream: TextIO | None = None,
    ) -> None:
        super().__init__(name, total, unit, pace, done)
        self._stream = stream or sys.stderr
        self._last: tuple[float, int] | None = None
        self.look()

    def look(self) -> None:
        """A line, unless the last one is too young."""
        passed = self._pace.passed
        due = self._last is None or passed - self._last[0] >= max(
            EVERY_SECONDS, EVERY_SHARE * passed
        )
        if due:
            self._line(passed)

    def _line(self, passed: float) -> None:
        self._last = passed, self.done
        words = f"{self.name}: {self.done:,} of {self.total:,} {self.unit}"
        if passed >= 1:
            share = f" ({100 * self.done // self.total} %)" if self.total else ""
            words += f"{share} in {clock_time(passed)}"
        if self.done < self.total and (left := self.left) is not None:
            words += f", about {clock_time(left)} left"
        print(words, file=self._stream, flush=True)

    def close(self) -> None:
        """The last line, unless it is there."""
        if self._last is None or self._last[1] != self.done:
            self._line(self._pace.passed)


class Bar(Progress):
    """A bar that is written over, for a terminal and a notebook."""

    def __init__(self, name: str, total: int, unit: str, pace: Pace, done: int = 0) -> None:
        super().__init__(name, total, unit, pace, done)
        self._bar = _Tqdm(self)

    def look(self) -> None:
        """Draw it, if it has grown or a second has passed."""
        self._bar.total = self.total
        grown = self.done - self._bar.n
        self._bar.update(grown)
        if not grown and time.time() - self._bar.last_print_t >= 1:
            self._bar.last_print_t = time.time()
            self._bar.refresh()

    def close(self) -> None:
        """Leave it as it is."""
        self._bar.close()


class _Tqdm(tqdm):  # type: ignore[misc]
    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        super().__init__(
            total=progress.total,
            initial=progress.done,
            desc=progress.name,
            unit=progress.unit,
            dynamic_ncols=True,
            bar_format="{l_bar}{bar}| {n_fmt}/{total_fmt} {unit} [{elapsed}<{left}]",
        )

    @property
    def format_dict(self) -> dict[str, Any]:
        left = self._progress.left
        known = "?" if left is None else self.format_interval(left)
        return {**super().format_dict, "left": known}


def show_progress(
    name: str, total: int, unit: str, *, done: int = 0, first: int = 1, hidden: bool = False
) -> Progress:
    """What shows how far ``name`` has got, on standard error: a bar where it is written over.

    Parameters
    ----------
    done
        How much of the ``total`` was there before.
    first
        As of a `Pace`.
    """
    kind: type[Progress] = Lines
    # a process may be started without standard error
    if hidden or sys.stderr is None:
        kind = Hidden
    elif sys.stderr.isatty() or in_notebook():
        kind = Bar
    return kind(name, total, unit, Pace(max(1, first)), done)


def shown(each: Sequence[T], name: str, unit: str) -> Iterator[T]:
    """``each``, showing how many are done."""
    with closing(show_progress(name, len(each), unit)) as progress:
        for item in each:
            yield item
            progress.add(1)


def clock_time(seconds: float) -> str:
    """Minutes and seconds, and hours where there are some.

    >>> clock_time(62), clock_time(3661.4)
    ('1:02', '1:01:01')
    """
    text: str = tqdm.format_interval(round(seconds))
    return text.removeprefix("0")
