"""The bench: trains what a study asks for and is not there yet, and lands it in its folder."""

from __future__ import annotations

import fcntl
import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import pandas as pd
from tqdm import tqdm

from benchmark.data import load
from benchmark.driver.executors import cores, make_executor, train_units
from benchmark.driver.units import make_units
from benchmark.engine import resolve
from benchmark.engine.devices import choose_device, describe_device
from benchmark.records import Trial
from benchmark.results import ResultsError, StudyFolder, provenance, write
from benchmark.schema import frame

Row = Mapping[Any, Any]


@dataclass(frozen=True)
class Options:
    """Where and how a study runs; none of it changes what comes out.

    Parameters
    ----------
    results
        Folder under which the study's own folder lies.
    device
        ``auto``, ``cpu`` or ``cuda``.
    workers
        Processes; None for one a core on a CPU and one on a GPU.
    storage
        URL of an Optuna storage to which finished trials are copied.
    """

    results: Path
    device: str = "auto"
    workers: int | None = None
    storage: str | None = None
    progress: bool = True

    @property
    def processes(self) -> int:
        """How many processes train."""
        if self.workers is not None:
            return self.workers
        return 1 if choose_device(self.device).type == "cuda" else cores()


class Bench:
    """One study's work: its folder (locked), its plan, its finished rows.

    Used as a context manager; on a clean end the parts are merged.

    Parameters
    ----------
    name, definition
        Of the study; the definition goes into the files' metadata.
    expected
        Trials expected in the end, where that is more than are known at first.
    """

    def __init__(
        self,
        name: str,
        definition: Mapping[str, Any],
        options: Options,
        *,
        checkpoints: int,
        layers: bool = False,
        sharpness: bool = False,
        expected: int = 0,
    ) -> None:
        self.name = name
        self.options = options
        self.checkpoints = checkpoints
        self.layers = layers
        self.sharpness = sharpness
        self.folder = StudyFolder(options.results / name)
        device = choose_device(options.device)
        self.metadata = provenance(device=describe_device(device), study=dict(definition))
        self.metadata["expected"] = expected
        self.rows: dict[str, Row] = {}
        self.plan = frame("plan", [])
        self._bar: tqdm[Any] | None = None
        self._expected = expected

    def __enter__(self) -> Bench:
        self.folder.prepare()
        self._lock = (self.folder.path / ".lock").open("w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise ResultsError(
                f"{self.folder.path} is in use by another run; wait for it, or give another "
                "--results folder"
            ) from None
        found = self.folder.load(repair=True)
        self.plan = found.plan
        done = found.trials[found.trials["status"] != "failed"]
        self.rows = {row["trial"]: row for row in done.to_dict("records")}
        if self.options.progress and (question := self.metadata["study"].get("question")):
            print(question, flush=True)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.close()
        if kind is None:
            self.folder.compact(self.metadata)
        self._lock.close()
        (self.folder.path / ".lock").unlink(missing_ok=True)

    def train(self, trials: Sequence[Trial], after_unit: Callable[[], None] | None = None) -> None:
        """Add ``trials`` (resolved) to the plan, and train those that have no row yet.

        ``after_unit`` is called each time that a unit's rows have landed.

        Raises
        ------
        DataError
            If a data set is missing or damaged, before anything is trained.
        """
        wanted = list({trial.key: trial for trial in trials}.values())
        missing = [trial for trial in wanted if trial.key not in self.rows]
        for dataset in dict.fromkeys(trial.dataset for trial in missing):
            load(dataset)
        units = make_units(
            self.name,
            missing,
            checkpoints=self.checkpoints,
            layers=self.layers,
            sharpness=self.sharpness,
            device=self.options.device,
        )
        self._extend_plan(wanted, {t.key: unit.id for unit in units for t in unit.trials})
        self._show_progress(len(wanted) - len(missing))
        processes = self.options.processes
        make = functools.partial(make_executor, processes)
        # one more than there are processes, so that none waits while results are written
        in_flight = 1 if processes == 1 else processes + 1
        for unit, record in train_units(units, make, in_flight):
            tables = {name: getattr(record, name) for name in ("trials", "history", "layers")}
            self.folder.append(unit.id, tables, self.metadata)
            self.rows |= {row["trial"]: row for row in record.trials.to_dict("records")}
            if self._bar is not None:
                self._bar.update(len(unit.trials))
            if after_unit is not None:
                after_unit()

    def settle(self, expected: int) -> None:
        """Say how many trials there will be, once it is known exactly."""
        self._expected = expected
        if self._bar is not None:
            self._bar.total = expected

    def _extend_plan(self, trials: Sequence[Trial], units: Mapping[str, str]) -> None:
        known = set(self.plan["trial"])
        rows = [
            {
                "study": self.name,
                "trial": trial.key,
                "cell": trial.cell,
                "unit": units.get(trial.key, self.rows.get(trial.key, {}).get("unit")),
                **trial.row(),
            }
            for trial in trials
            if trial.key not in known
        ]
        if rows:
            frames = [self.plan, frame("plan", rows)] if len(self.plan) else [frame("plan", rows)]
            self.plan = pd.concat(frames, ignore_index=True)
        self.metadata["expected"] = max(self._expected, len(self.plan))
        write("plan", self.plan, self.folder.file("plan"), self.metadata)

    def _show_progress(self, already: int) -> None:
        if self._bar is None:
            self._bar = tqdm(
                total=self.metadata["expected"],
                desc=self.name,
                unit="trial",
                disable=not self.options.progress,
                smoothing=0.05,
                dynamic_ncols=True,
            )
        self._bar.initial += already
        self._bar.update(already)


def resolve_all(trials: Sequence[Trial]) -> list[Trial]:
    """Resolve every trial of a study; the first mistake raises before anything is touched."""
    resolved = [resolve(trial) for trial in trials]
    if not resolved:
        raise ValueError("the study has no trials: every factor needs at least one level")
    return resolved
