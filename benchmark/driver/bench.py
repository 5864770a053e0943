"""The bench: trains what a study asks for and is not there yet, and lands it in its folder."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import pandas as pd
import pyarrow as pa
from tqdm import tqdm

from benchmark.data import load
from benchmark.driver.asking import TOLD, Row
from benchmark.driver.dispatch import train_units
from benchmark.driver.executors import Workforce, cores, recruit
from benchmark.driver.stopping import Stopping
from benchmark.driver.units import Outcome, Unit, make_units
from benchmark.engine import resolve
from benchmark.engine.devices import choose_device, describe_device
from benchmark.provenance import provenance
from benchmark.records import Trial
from benchmark.results import ResultsError, StudyFolder, write
from benchmark.schema import frame, to_arrow

WIDENS = {
    "study": frozenset({"question", "factors", "seeds"}),
    "search": frozenset({"question", "each", "samplers", "trials", "confirm_seeds"}),
}
"""What two definitions may differ in and share a folder: it only adds trials to those that are
there. Whatever else differs changes what a row of the same trial means, or how trials are drawn."""

log = logging.getLogger(__name__)


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
    executor
        ``processes``, ``here`` (this process), ``dask://HOST:PORT``, or any executor of one's
        own, which then runs ``workers`` calls at a time.
    stopping
        Tells the run to stop once what is in flight has landed.
    """

    results: Path
    device: str = "auto"
    workers: int | None = None
    storage: str | None = None
    progress: bool = True
    executor: str | Executor = "processes"
    stopping: Stopping = field(default_factory=Stopping)

    @property
    def processes(self) -> int:
        """How many processes train."""
        if self.workers is not None:
            return self.workers
        return 1 if choose_device(self.device).type == "cuda" else cores()

    @property
    def where(self) -> str:
        """What the files say about the device; each row says it for itself."""
        if isinstance(self.executor, str) and self.executor.startswith("dask://"):
            return "a Dask cluster"
        return describe_device(choose_device(self.device))


class Bench:
    """One study's work: its folder (held), its plan, its finished rows.

    Used as a context manager; on a clean end the parts are merged.

    Parameters
    ----------
    name, definition
        Of the study; the definition goes into the files' metadata.
    expected
        Trials expected in the end, where that is more than are known at first.

    Attributes
    ----------
    rows
        What Optuna is told of every finished trial, by its key.
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
        # as it comes back from a file, so that the two compare
        plain = json.loads(json.dumps(definition))
        self.metadata = provenance(device=options.where, study=plain)
        self.metadata |= {"expected": expected, "earlier_studies": []}
        self.rows: dict[str, Row] = {}
        self._rank: dict[str, int] = {}
        self._planned: dict[str, str] = {}
        self._asked: set[str] = set()
        self._plan: pd.DataFrame | None = None
        self._bar: tqdm[Any] | None = None
        self._expected = expected
        self._open = ExitStack()
        self._force: Workforce | None = None

    def __enter__(self) -> Bench:
        with ExitStack() as stack:
            # first, so that a cluster that does not answer leaves the folder untouched
            self._force = recruit(self.options.executor, self.options.processes)
            stack.callback(self._force.end)
            stack.enter_context(self.folder.held())
            found = self.folder.load(repair=True)
            if found.plan_metadata:
                self._join(found.plan_metadata)
            self._open = stack.pop_all()
        self._plan = found.plan
        self._rank = {trial: i for i, trial in enumerate(found.plan["trial"])}
        if found.plan_metadata.get("device") == self.metadata["device"]:
            self._planned = dict(zip(found.plan["trial"], found.plan["unit"], strict=True))
        done = found.trials[found.trials["status"] != "failed"]
        self._add_rows(to_arrow("trials", done))
        if self.options.progress and (question := self.metadata["study"].get("question")):
            print(question, flush=True)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._open:
            if self._bar is not None:
                self._bar.close()
            if kind is None:
                self.folder.compact(self.metadata)
                self._tell_unasked()

    def _join(self, found: Mapping[str, Any]) -> None:
        """Go on in a folder that another command may have begun."""
        before, now = found.get("study"), self.metadata["study"]
        if before in (None, now):
            self.metadata["earlier_studies"] = found.get("earlier_studies", [])
            return
        if reason := _clash(before, now):
            raise ResultsError(
                f"{self.folder.path} holds another study: {reason}; give another --results folder"
            )
        earlier = [s for s in found.get("earlier_studies", []) if s not in (before, now)]
        self.metadata["earlier_studies"] = [*earlier, before]

    def train(self, trials: Sequence[Trial], after_unit: Callable[[], None] | None = None) -> None:
        """Add ``trials`` (resolved) to the plan, and train those that have no row yet.

        ``after_unit`` is called each time that a unit's rows have landed.

        Raises
        ------
        DataError
            If a data set is missing or damaged, before anything is trained.
        Stopped
            If a stop was asked for, once what was in flight has landed.
        """
        wanted = {trial.key: trial for trial in trials}
        self._asked |= wanted.keys()
        new = [key for key in wanted if key not in self._rank]
        self._rank |= {key: len(self._rank) + i for i, key in enumerate(new)}
        # in the plan's order, by which a unit can be put together again from its rows
        missing = sorted(
            (key for key in wanted if key not in self.rows), key=self._rank.__getitem__
        )
        assert self._force is not None
        if missing:
            self._force.warm()
        for dataset in dict.fromkeys(wanted[key].dataset for key in missing):
            load(dataset)
        units = make_units(
            self.name,
            [wanted[key] for key in missing],
            checkpoints=self.checkpoints,
            layers=self.layers,
            sharpness=self.sharpness,
            device=self.options.device,
            planned=self._planned,
        )
        unit_of = {trial.key: unit.id for unit in units for trial in unit.trials}
        self._extend_plan([wanted[key] for key in new], unit_of)
        self._show_progress(len(wanted) - len(missing))
        if not units:
            return
        for unit, outcome in train_units(units, self._force, self.options.stopping):
            self._land(unit, outcome)
            if after_unit is not None:
                after_unit()

    def _land(self, unit: Unit, outcome: Outcome) -> None:
        self.folder.append(unit.id, outcome.tables, self.metadata)
        self._add_rows(outcome.tables["trials"])
        if self._bar is not None:
            self._bar.update(len(unit.trials))

    def _add_rows(self, trials: pa.Table) -> None:
        for row in trials.select(["trial", *TOLD]).to_pylist():
            self.rows[row.pop("trial")] = row

    def settle(self, expected: int) -> None:
        """Say how many trials there will be, once it is known exactly."""
        self._expected = expected
        if self._bar is not None:
            self._bar.total = expected

    def _extend_plan(self, trials: Iterable[Trial], units: Mapping[str, str]) -> None:
        """Record what is expected: once the whole plan, later only what is new in it."""
        self.metadata["expected"] = max(self._expected, len(self._rank))
        rows = frame(
            "plan",
            [
                {
                    "study": self.name,
                    "trial": trial.key,
                    "cell": trial.cell,
                    "unit": units[trial.key],
                    **trial.row(),
                }
                for trial in trials
            ],
        )
        if self._plan is not None:
            whole = pd.concat([self._plan, rows], ignore_index=True) if len(self._plan) else rows
            if len(rows) or not self.folder.file("plan").exists():
                write("plan", whole, self.folder.file("plan"), self.metadata)
            self._plan = None
        elif len(rows):
            write("plan", rows, self.folder.part(rows["unit"].iloc[0], "plan"), self.metadata)

    def _tell_unasked(self) -> None:
        others = self._rank.keys() - self._asked
        if not others:
            return
        missing = len(others - self.rows.keys())
        log.warning(
            "%s also holds %d trials that this command did not ask for, %d of them not run; they "
            "are kept, and count in its status and report",
            self.folder.path,
            len(others),
            missing,
        )

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
        if not self._bar.disable:
            self._bar.initial += already
        self._bar.update(already)


def _clash(before: Mapping[str, Any], now: Mapping[str, Any]) -> str | None:
    """Why two definitions cannot share a folder; None where they can."""
    if before["kind"] != now["kind"]:
        return f"a {before['kind']}, and this is a {now['kind']}"
    for name in [n for n in now if n in before and n not in WIDENS[now["kind"]]]:
        if before[name] != now[name]:
            return f"with {name}={before[name]}, and this has {name}={now[name]}"
    if now["kind"] == "search" and list(before["each"]) != list(now["each"]):
        return f"for each of {list(before['each'])}, and this is for each of {list(now['each'])}"
    return None


def resolve_all(trials: Sequence[Trial]) -> list[Trial]:
    """Resolve every trial of a study; the first mistake raises before anything is touched."""
    # two ways to say the same trial, a default and its value, are one
    resolved = list(dict.fromkeys(resolve(trial) for trial in trials))
    if not resolved:
        raise ValueError("the study has no trials: every factor needs at least one level")
    return resolved
