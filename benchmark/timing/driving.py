"""What the driver costs beside training, and how long a study takes to its first finished unit."""

from __future__ import annotations

import functools
import pickle
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future
from pathlib import Path
from typing import Any

from benchmark.data import load
from benchmark.driver.grid import run_study
from benchmark.driver.options import Options
from benchmark.driver.units import Outcome, Unit
from benchmark.engine import REGISTRIES, Record
from benchmark.project import STUDIES
from benchmark.records import Study
from benchmark.schema import frame
from benchmark.timing.plans import Plan
from benchmark.timing.stopwatch import Job, Lab, Row, timed

RATES = 10
"""Cells in a unit of the grid that the driver is timed on: few, so that it has many units."""
DEPTHS = 10
"""Most depths of a large grid, which has several widths beyond."""
STEPS = 100
PATIENCE = 300.0
"""Seconds that a study script has to finish its first unit."""
LOOK = 0.02


def driver_jobs(plan: Plan, lab: Lab) -> Iterator[Job]:
    """The driver's time against the number of cells, and the start-up of a study script."""
    for repeat in range(min(plan.repeats, 3)):
        for cells in plan.cells:
            yield functools.partial(_drive, cells, repeat)
    for repeat in range(plan.start_ups):
        yield functools.partial(_start_up, repeat, lab)


def _drive(cells: int, repeat: int) -> list[Row]:
    """Run a grid of ``cells`` trials in which nothing is trained, here, as a study's driver."""
    load("digits")
    untrained = Untrained()
    with tempfile.TemporaryDirectory() as folder:
        options = Options(
            results=Path(folder), device="cpu", workers=1, progress=False, executor=untrained
        )
        cost = timed(run_study, grid(cells), options)
    assert len(cost.value) == cells
    return [
        {
            "what": "driver",
            "arm": "grid",
            "repeat": repeat,
            "trials": cells,
            "processes": 1,
            "threads": 1,
            "device": "cpu",
            **cost.costs(),
            "seconds": cost.seconds - untrained.seconds,
            "cpu_seconds": cost.cpu_seconds - untrained.cpu_seconds,
        }
    ]


def grid(cells: int) -> Study:
    """A grid of ``cells`` cells, ten rates to each shape; larger grids have more shapes."""
    shapes = cells // RATES
    # no network is as deep as the largest grids have shapes
    depths = min(max(shapes // 100, 1), DEPTHS)
    small = {"clipping": tuple(REGISTRIES["clipping"])[:shapes]}
    large = {
        "clipping": ("none", "value", "global_norm", "adaptive", "zclip"),
        "normalization": ("none", "batch", "layer", "rms", "group"),
        "batch_policy": ("fixed", "accumulate", "doubling", "noise_scale"),
        "depth": range(2, 2 + depths),
        "width": range(16, 16 + shapes // (100 * depths)),
    }
    return Study(
        name="untrained",
        question="How long does the driver take?",
        factors={
            "model": "mlp_deep",
            "learning_rate": [10.0 ** (i / 2 - 4) for i in range(RATES)],
            **(large if shapes >= 100 else small),
        },
    )


class Untrained(Executor):
    """Answers each unit at once with rows as training would give, and times their making."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.cpu_seconds = 0.0

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """The future of a call of ``train_unit``, which is not called."""
        sent = pickle.dumps((fn, args, kwargs))
        made = timed(_answer, sent)
        self.seconds += made.seconds
        self.cpu_seconds += made.cpu_seconds
        future: Future[Any] = Future()
        future.set_result(pickle.loads(made.value))
        return future


def _answer(sent: bytes) -> bytes:
    (unit,) = pickle.loads(sent)[1]
    return pickle.dumps(finished(unit))


def finished(unit: Unit) -> Outcome:
    """Rows that say that every trial of ``unit`` ended well."""
    trials, history = [], []
    for trial in unit.trials:
        mark = {"study": unit.study, "trial": trial.key}
        figures = dict.fromkeys(("gradient_norm_median", "gradient_norm_max", "update_ratio"), 1.0)
        figures |= {"validation_loss": 0.5, "validation_accuracy": 0.9, "train_loss": 0.4}
        trials.append(
            {
                **mark,
                "cell": trial.cell,
                "unit": unit.id,
                **trial.row(),
                "status": "stable",
                "steps": STEPS,
                "samples": STEPS * trial.batch_size,
                "initial_loss": 2.3,
                "seconds": 0.1,
                **{k: v for k, v in figures.items() if k != "update_ratio"},
            }
        )
        steps = [STEPS * i // unit.checkpoints for i in range(unit.checkpoints + 1)]
        history += [{**mark, "step": step, "samples": step, **figures} for step in steps]
    record = Record(frame("trials", trials), frame("history", history), frame("layers", []))
    return Outcome.of(record)


def _start_up(repeat: int, lab: Lab) -> list[Row]:
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, str(STUDIES / "grid.py"), "--scale", "quick"]
        command += ["--results", folder, "--device", lab.device, "--workers", str(lab.processes)]
        seconds = seconds_to_first_unit(command, Path(folder) / "grid")
    return [
        {
            "what": "start-up",
            "arm": "grid",
            "repeat": repeat,
            "trials": 1,
            "processes": lab.processes,
            "threads": 1,
            "device": lab.device,
            "seconds": seconds,
        }
    ]


def seconds_to_first_unit(command: Sequence[str], study: Path) -> float:
    """Seconds from the start of ``command`` until a unit lands in the folder ``study``.

    The command is then stopped.

    Raises
    ------
    RuntimeError
        If it ends before, or takes longer than `PATIENCE`; with what it said.
    """
    began = time.perf_counter()
    with (
        tempfile.TemporaryFile("w+") as said,
        subprocess.Popen(command, stdout=said, stderr=subprocess.STDOUT) as script,
    ):
        try:
            while not [*study.glob("parts/*.trials.parquet"), *study.glob("trials.parquet")]:
                took = time.perf_counter() - began
                if script.poll() is not None or took > PATIENCE:
                    said.seek(0)
                    raise RuntimeError(f"no unit finished in {took:.0f} s: {said.read()}")
                time.sleep(LOOK)
            return time.perf_counter() - began
        finally:
            script.terminate()
