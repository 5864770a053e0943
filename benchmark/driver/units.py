"""Units of work: what one call of the engine trains, in this process or in another."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import itertools
import math
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import torch

from benchmark.driver.makers import made_here, worker_address
from benchmark.engine import Record, group_by_shape, train
from benchmark.engine.machine.allocator import keep_freed_memory
from benchmark.engine.machine.fitting import is_broken
from benchmark.engine.trials.packing import expected_work, unit_size
from benchmark.records import WHOLE_NUMBERS, Trial
from benchmark.schema import frame, to_arrow


@dataclass(frozen=True)
class Unit:
    """K trials of one shape, and how to train them."""

    study: str
    trials: tuple[Trial, ...]
    checkpoints: int
    layers: bool
    sharpness: bool
    device: str

    @functools.cached_property
    def id(self) -> str:
        """Twelve hexadecimal digits, from the keys of the trials."""
        keys = " ".join(trial.key for trial in self.trials)
        return hashlib.sha256(keys.encode()).hexdigest()[:12]

    def halves(self) -> tuple[Unit, Unit]:
        """Two units of half the trials each."""
        half = len(self.trials) // 2
        first, second = self.trials[:half], self.trials[half:]
        return dataclasses.replace(self, trials=first), dataclasses.replace(self, trials=second)

    def failed(self, reason: str) -> Outcome:
        """Rows that say that the program, not the training, failed."""
        rows = [
            {
                "study": self.study,
                "unit": self.id,
                "trial": trial.key,
                "cell": trial.cell,
                **trial.row(),
                "status": "failed",
                "status_reason": reason,
            }
            for trial in self.trials
        ]
        return Outcome.of(Record(frame("trials", rows), frame("history", []), frame("layers", [])))


@dataclass(frozen=True)
class Outcome:
    """What came out of a unit, as it is written: a typed table for each name.

    It is made where the unit was trained, because the driver, of which there is one, has to be
    quick.

    Attributes
    ----------
    made
        What the process that trained says of itself (`benchmark.driver.makers.made_here`); empty
        where it said nothing, because it died.
    worker
        The address of the cluster's worker that it was, if it was one.
    """

    tables: dict[str, pa.Table]
    made: dict[str, Any] = dataclasses.field(default_factory=dict)
    worker: str | None = None

    @classmethod
    def of(cls, record: Record) -> Outcome:
        """The rows of ``record``.

        Raises
        ------
        SchemaError
            If they do not keep the contract of the tables.
        """
        names = ("trials", "history", "layers")
        return cls({name: to_arrow(name, getattr(record, name)) for name in names})

    def record(self) -> Record:
        """The rows as data frames."""
        return Record(**{name: table.to_pandas() for name, table in self.tables.items()})


def make_units(
    study: str,
    trials: Iterable[Trial],
    *,
    checkpoints: int,
    layers: bool,
    sharpness: bool,
    device: str,
    planned: Mapping[str, str] | None = None,
    packed_for: str | None = None,
) -> list[Unit]:
    """Group resolved trials into units of one shape, the most work first.

    A long unit that began last would keep one process busy while the others have nothing to do.

    Parameters
    ----------
    planned
        The unit in which a trial was to be trained, by its key: those of one unit stay together,
        because a trial's neighbours decide how it is rounded.
    packed_for
        ``"cpu"`` or ``"cuda"``, where units are trained; what ``device`` is here by default.
    """
    known = planned or {}
    together: dict[str, list[Trial]] = {}
    new: list[Trial] = []
    work: dict[str, float] = {}
    for group in group_by_shape(trials):
        work |= dict.fromkeys((trial.key for trial in group), expected_work(group[0], checkpoints))
        for trial in group:
            if trial.key in known:
                together.setdefault(known[trial.key], []).append(trial)
            else:
                new.append(trial)
    parts: list[Sequence[Trial]] = list(together.values())
    for group in group_by_shape(new):
        parts += evenly(group, unit_size(group[0], packed_for or device, checkpoints))
    units = [Unit(study, tuple(part), checkpoints, layers, sharpness, device) for part in parts]
    return sorted(units, key=lambda unit: -work[unit.trials[0].key] * len(unit.trials))


def evenly(trials: Sequence[Trial], most: int) -> list[Sequence[Trial]]:
    """``trials`` in as few parts of at most ``most`` as can be, of nearly the same length.

    >>> [len(part) for part in evenly([Trial(seed=seed) for seed in range(5)], 2)]
    [1, 2, 2]
    """
    parts = math.ceil(len(trials) / most)
    ends = [len(trials) * i // parts for i in range(parts + 1)]
    return [trials[start:end] for start, end in itertools.pairwise(ends)]


def start_worker() -> None:
    """Prepare a worker process: one thread each, one process a core, its memory kept."""
    torch.set_num_threads(1)
    keep_freed_memory()


CONTEXTS = 0.9
"""Share of a GPU's memory for tensors; every process takes some beside them."""


def start_gpu_worker(gpu: str, sharing: int) -> None:
    """Prepare a worker process that has ``gpu`` as its own, with ``sharing - 1`` others.

    Each may take its share of the memory, so that none waits for what another keeps.
    """
    start_worker()
    device = torch.device(gpu)
    torch.cuda.set_device(device)
    if sharing > 1:
        torch.cuda.set_per_process_memory_fraction(CONTEXTS / sharing, device)


# torch's switches and number of threads are the process's, and a cluster's may have many threads
_one_at_a_time = threading.Lock()


def train_unit(unit: Unit) -> Outcome:
    """Train ``unit``; an error of the program becomes rows with the status ``failed``.

    A broken device is no error of the program: its process must go, so that another can try.
    """
    made: dict[str, Any] = {}
    try:
        made = made_here(unit.device)
        with _one_at_a_time:
            record = train(
                unit.trials,
                device=unit.device,
                checkpoints=unit.checkpoints,
                layers=unit.layers,
                sharpness=unit.sharpness,
                study=unit.study,
                unit=unit.id,
            )
        outcome = Outcome.of(record)
    except Exception as error:
        if is_broken(error):
            # in the one form that executors know
            raise torch.AcceleratorError(str(error)) from error
        outcome = unit.failed(f"{type(error).__name__}: {error}".splitlines()[0])
    return dataclasses.replace(outcome, made=made, worker=worker_address())


def trial_of(row: Mapping[Any, Any]) -> Trial:
    """The `Trial` that a row of the results describes; strategies by name.

    What the row lacks has its default, as had a field that was added since it was written.
    """
    values: dict[str, Any] = {}
    for field in dataclasses.fields(Trial):
        value = row[field.name]
        missing = value is None or value != value
        whole = field.name in WHOLE_NUMBERS
        values[field.name] = field.default if missing else int(value) if whole else value
    return Trial(**values)
