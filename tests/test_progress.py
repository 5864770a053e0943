"""How far a run has got: bars and lines, what is left of it, and notes from where it trains."""

import io
import logging
import os
import threading
from types import SimpleNamespace
from typing import Any

import pytest

from benchmark.driver import progress
from benchmark.driver.progress import Bar, Hidden, Lines, Pace, show_progress, shown
from benchmark.driver.workers import Workers


class Clock:
    """Says the time that it was told."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def nothing() -> None:
    pass


@pytest.mark.parametrize(
    ("processes", "ends", "left"),
    [
        # a first unit that took a minute to compile says nothing about the others
        (1, [60], None),
        (1, [60, 62], 16.0),
        (1, [60, 62, 66], 21.0),
        (2, [60, 61], None),
        (2, [60, 61, 63], None),
        (2, [60, 61, 63, 65], 12.0),
        (1, [], None),
    ],
)
def test_what_is_left_is_told_from_the_second_round_on(processes, ends, left, clock):
    pace = Pace(processes, clock)
    for end in ends:
        clock.now = end
        pace.add(8)
    found = pace.seconds(80 - 8 * len(ends))
    assert found == (None if left is None else pytest.approx(left))


def lines_of(written: io.StringIO) -> list[str]:
    assert "\r" not in written.getvalue()
    return written.getvalue().splitlines()


def test_a_file_has_a_line_now_and_then_and_the_end(clock):
    written = io.StringIO()
    lines = Lines("grid", 1000, "trials", Pace(2, clock), stream=written)
    for second in range(1, 101):
        clock.now = float(second)
        lines.add(10)
    lines.close()
    assert lines_of(written) == [
        "grid: 0 of 1,000 trials",
        "grid: 300 of 1,000 trials (30 %) in 0:30, about 1:10 left",
        "grid: 600 of 1,000 trials (60 %) in 1:00, about 0:40 left",
        "grid: 900 of 1,000 trials (90 %) in 1:30, about 0:10 left",
        "grid: 1,000 of 1,000 trials (100 %) in 1:40",
    ]


def test_lines_go_on_while_nothing_comes_in_but_ever_more_rarely(clock):
    written = io.StringIO()
    lines = Lines("deep", 64, "trials", Pace(2, clock), stream=written)
    for second in range(0, 36_001, 2):
        clock.now = float(second)
        lines.look()
    assert lines_of(written)[1] == "deep: 0 of 64 trials (0 %) in 0:30"
    # 20 in the first ten minutes, and then as many while the time is 2.65 times as long
    assert 80 < len(lines_of(written)) < 120


def test_what_was_there_counts_but_says_nothing_about_the_pace(clock):
    written = io.StringIO()
    lines = Lines("grid", 100, "trials", Pace(1, clock), 40, stream=written)
    lines.add(20, found=True)
    clock.now = 31.0
    lines.add(10)
    lines.close()
    assert lines_of(written) == [
        "grid: 40 of 100 trials",
        "grid: 70 of 100 trials (70 %) in 0:31",
    ]


def test_a_bar_shows_that_time_passes_before_anything_has_come_in(monkeypatch):
    written = io.StringIO()
    monkeypatch.setattr("sys.stderr", written)
    bar = Bar("grid", 20, "trials", Pace(1))
    bar.look()
    bar._bar.last_print_t -= 5
    drawn = written.getvalue().count("\r")
    bar.look()
    assert written.getvalue().count("\r") == drawn + 1
    bar._bar.mininterval = bar._bar.miniters = 0
    bar.add(5)
    assert written.getvalue().endswith("<?]")
    bar.add(5)
    bar.close()
    last = written.getvalue().rpartition("\r")[2]
    assert "50%" in last
    assert "10/20 trials" in last
    assert "<?]" not in last


@pytest.mark.parametrize(
    ("terminal", "notebook", "kind"),
    [(True, False, Bar), (False, True, Bar), (False, False, Lines), (None, False, Hidden)],
)
def test_only_what_can_be_written_over_is(terminal, notebook, kind, monkeypatch):
    stream = io.StringIO()
    stream.isatty = lambda: terminal  # type: ignore[method-assign]
    monkeypatch.setattr("sys.stderr", None if terminal is None else stream)
    monkeypatch.setattr(progress, "in_notebook", lambda: notebook)
    found = show_progress("grid", 4, "trials")
    found.close()
    assert type(found) is kind


def test_each_is_counted_once_it_is_done(capsys):
    assert list(shown(["a", "b"], "widths", "cases")) == ["a", "b"]
    assert capsys.readouterr().err.splitlines() == [
        "widths: 0 of 2 cases",
        "widths: 2 of 2 cases",
    ]


# Notes from worker processes


def say(text: str) -> int:
    said = threading.Thread(target=logging.getLogger("benchmark.engine").warning, args=(text,))
    said.start()
    said.join()
    logging.getLogger("benchmark.engine").info("of no interest")
    return os.getpid()


def test_what_workers_say_is_shown_by_the_driver_and_once(caplog, capfd):
    workers = Workers(2, nothing)
    try:
        calls = [workers.submit(say, "kernels") for _ in range(8)]
        found = {call.result() for call in calls}
        workers.submit(say, "100 % else").result()
    finally:
        workers.kill()
    assert os.getpid() not in found
    assert caplog.messages == ["kernels", "100 % else"]
    assert capfd.readouterr().err == ""


# Kernels that are compiled


@pytest.mark.parametrize(
    ("kept", "words"),
    [(True, "once on this machine"), (False, "once a process (no cache can be written)")],
)
def test_compiling_is_told_once_and_loading_is_not(kept, words, tmp_path, caplog):
    numba = pytest.importorskip("numba")
    from benchmark.engine.kernels import compiling

    folder = str(tmp_path) if kept else None
    module: Any = SimpleNamespace(
        stats=SimpleNamespace(cache_path=folder), py_func=SimpleNamespace(__module__="a.kernels")
    )
    first, second = (numba.njit(lambda x, add=add: x + add) for add in (1, 2))
    caplog.set_level(logging.WARNING, logger=compiling.log.name)
    compiling.tell_compiling.cache_clear()
    with compiling.one_process_at_a_time(module):
        pass
    assert caplog.messages == []
    with compiling.one_process_at_a_time(module):
        first(1)
        second(1)
    (said,) = caplog.messages
    assert words in said
    caplog.clear()
    with compiling.one_process_at_a_time(module):
        first(1)
        second(1.5)
    assert caplog.messages == []
