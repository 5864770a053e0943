"""Training: the only place where it happens. No Optuna, no files."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import torch

from benchmark.data import Splits, load
from benchmark.engine.machine.devices import choose_device, describe_device, reproducible
from benchmark.engine.machine.fitting import is_too_much
from benchmark.engine.runs.log import Log
from benchmark.engine.runs.run import Run
from benchmark.engine.settings import Settings
from benchmark.engine.steps.program import Program
from benchmark.engine.trials.packing import trained_together
from benchmark.engine.trials.resolve import group_by_shape, impossible, parts_of, resolve
from benchmark.records import Choice, Trial
from benchmark.records.fields import CHECKPOINTS, FLAG, TEXT, Rule, Whole, refused, sequence
from benchmark.schema import frame, to_arrow

ARGUMENTS: dict[str, Rule] = {
    "checkpoints": CHECKPOINTS,
    "layers": FLAG,
    "sharpness": FLAG,
    "steps": FLAG,
    "together": Whole(1, optional=True),
    "study": TEXT,
    "unit": TEXT,
}
"""What each argument of `train` may be, but for the trials and the device."""


@dataclass(frozen=True)
class Record:
    """What came out of some trials: rows of the tables of `benchmark.schema`, as data frames."""

    trials: pd.DataFrame
    history: pd.DataFrame
    layers: pd.DataFrame
    steps: pd.DataFrame = field(default_factory=lambda: frame("steps", []))


def train(
    trials: Trial | Sequence[Trial],
    *,
    device: str = "auto",
    checkpoints: int = 20,
    layers: bool = False,
    sharpness: bool = False,
    steps: bool = False,
    together: int | None = None,
    study: str = "",
    unit: str = "",
) -> Record:
    """Train ``trials`` and say what happened to each.

    Trials of one shape train together as a batched program; which trials stand beside a trial
    changes nothing in it but rounding. A trial that explodes is no error: it ends with a status
    and the step at which it began, and its neighbours go on.

    Parameters
    ----------
    device
        ``"cpu"``, ``"cuda"``, or ``"auto"`` for a GPU where there is one.
    checkpoints
        Rows of history a trial, a positive multiple of 4.
    layers
        Whether to measure every layer at every checkpoint.
    sharpness
        Whether to measure the Hessian's largest eigenvalue at each quarter of the checkpoints.
    steps
        Whether to give loss, gradient norm and clipping of every step, in ``record.steps``.
    together
        Most trials to train together; by default chosen by the device and the work in a step.
    study, unit
        Written into the rows.

    Raises
    ------
    ValueError
        On an unknown name (`UnknownName`), or an argument that is not allowed.
    DataError
        If a data set is missing or damaged.

    Examples
    --------
    >>> record = train(Trial(learning_rate=0.1, epochs=0.5), device="cpu")
    >>> record.trials["status"].item()
    'stable'
    """
    asked = [trials] if isinstance(trials, Trial) else sequence(trials)
    if asked is None or not all(isinstance(trial, Trial) for trial in asked):
        raise refused("trials", trials, "a Trial or a sequence of them")
    given = {
        **{"checkpoints": checkpoints, "layers": layers, "sharpness": sharpness},
        **{"steps": steps, "together": together, "study": study, "unit": unit},
    }
    meant = {name: rule(name, given[name]) for name, rule in ARGUMENTS.items()}
    study, unit = meant.pop("study"), meant.pop("unit")
    resolved = [resolve(trial) for trial in asked]
    settings = Settings(choose_device(device), **meant)
    rows: list[dict[str, Any]] = []
    logs: list[Log] = []
    for group in group_by_shape(dict.fromkeys(resolved)):
        parts = parts_of(group[0])
        with reproducible(settings.device, tf32=parts.precision.tf32):
            splits = _on_device(parts.dataset, settings.device)
            if (reason := impossible(group[0], len(splits.train_labels))) is not None:
                rows += [_skipped(trial, reason) for trial in group]
                continue
            for some_rows, some_logs in _in_chunks(group, splits, settings):
                rows += some_rows
                logs += some_logs
    mark = {"study": study}
    order = {trial.key: i for i, trial in enumerate(resolved)}
    rows.sort(key=lambda row: order[row["trial"]])
    logs.sort(key=lambda log: order[log.trial.key])
    where = describe_device(settings.device)
    return Record(
        trials=frame("trials", [row | mark | {"unit": unit, "device": where} for row in rows]),
        history=frame("history", [row | mark for log in logs for row in log.history]),
        layers=frame("layers", [row | mark for log in logs for row in log.layers]),
        steps=_steps(study, logs if settings.steps else []),
    )


def _steps(study: str, logs: Sequence[Log]) -> pd.DataFrame:
    """A row for each trial and step, of what logs have of every step already."""
    if not logs:
        return frame("steps", [])
    series = [log.step_series() for log in logs]
    lengths = [len(losses) for losses, *_ in series]
    joined = [np.concatenate(columns) for columns in zip(*series, strict=True)]
    columns = {
        "study": study,
        "trial": np.repeat(np.array([log.trial.key for log in logs], dtype=object), lengths),
        "step": np.concatenate([np.arange(n) + 1 for n in lengths]),
        **dict(zip(("loss", "gradient_norm", "clipped", "skipped"), joined, strict=True)),
    }
    return to_arrow("steps", pd.DataFrame(columns)).to_pandas()


@functools.lru_cache(maxsize=8)
def _on_device(dataset: Choice, device: torch.device) -> Splits:
    return load(dataset).to(device)


def _skipped(trial: Trial, reason: str) -> dict[str, Any]:
    outcome = {"status": "skipped", "status_reason": reason, "steps": 0, "samples": 0}
    return {"trial": trial.key, "cell": trial.cell, **trial.row(), **outcome}


def _in_chunks(
    trials: list[Trial], splits: Splits, settings: Settings
) -> Iterator[tuple[list[dict[str, Any]], list[Log]]]:
    """Train ``trials`` in chunks; what does not fit in memory is halved and retried."""
    program = Program(parts_of(trials[0]), trials[0], settings.device)
    width = settings.together or trained_together(trials[0], settings.device)
    waiting = [trials[i : i + width] for i in range(0, len(trials), width)]
    while waiting:
        chunk = waiting.pop(0)
        try:
            done = Run(program, chunk, splits, settings).to_the_end()
        except RuntimeError as error:
            # a run takes fewer at once by itself; here not even its state had room
            if len(chunk) == 1 or not is_too_much(error):
                raise
        else:
            yield done
            continue
        # not while the error lives, whose frames have the tensors
        torch.cuda.empty_cache()
        half = len(chunk) // 2
        waiting = [chunk[:half], chunk[half:], *waiting]
