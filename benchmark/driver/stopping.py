"""Stopping a run from outside: what is in flight is finished, or everything stops at once."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import NoReturn

PATIENCE = 120.0
"""Seconds that units in flight have to finish once a stop was asked for."""

Say = Callable[[str], None]


@dataclass
class Stopping:
    """Whether a run was asked to stop, and how many units are in flight that could land yet."""

    asked: bool = False
    in_flight: int = 0


HOW_TO_RESUME = "what is finished is kept; to continue: {}"


class Stopped(KeyboardInterrupt):
    """The run was stopped from outside; what is finished is kept.

    ``status`` is the exit status: 128 and the number of the signal, as a shell has it.
    """

    def __init__(self, number: int = signal.SIGINT) -> None:
        super().__init__(signal.Signals(number).name)
        self.status = 128 + number


@contextmanager
def signals(stopping: Stopping, say: Say = lambda text: print(text, file=sys.stderr)) -> Iterator:
    """Within, the first Ctrl-C asks to stop, the second stops at once, as does SIGTERM.

    A stop that was asked for is enforced after `PATIENCE` seconds. Outside the main thread
    nothing changes, as signals do not get there.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def at_once(number: int, frame: FrameType | None) -> NoReturn:
        raise Stopped(signal.SIGINT if number == signal.SIGALRM else number)

    def interrupt(number: int, frame: FrameType | None) -> None:
        if stopping.asked or not stopping.in_flight:
            at_once(number, frame)
        stopping.asked = True
        signal.setitimer(signal.ITIMER_REAL, PATIENCE)
        say(
            f"\nstopping: units in flight have {PATIENCE:.0f} s to finish; Ctrl-C again stops "
            "at once"
        )

    handlers = {signal.SIGINT: interrupt, signal.SIGTERM: at_once, signal.SIGALRM: at_once}
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in before.items():
            signal.signal(number, handler)
