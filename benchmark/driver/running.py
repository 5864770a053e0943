"""One run of a study: trains what is asked for and not there yet, and stores it in its folder."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from contextlib import ExitStack, closing, contextmanager
from typing import Any

import pandas as pd
import pyarrow as pa

from benchmark.data import load
from benchmark.driver.asking import OUTCOME_COLUMNS, Row
from benchmark.driver.changes import Change, changes, with_digests
from benchmark.driver.describing import with_earlier, words_of
from benchmark.driver.digests import Digests, custom_digests
from benchmark.driver.dispatch import train_units
from benchmark.driver.executors import WorkerPool, open_pool
from benchmark.driver.options import Options
from benchmark.driver.progress import Progress, show_progress
from benchmark.driver.units import Outcome, Unit, make_units
from benchmark.engine import resolve
from benchmark.provenance import maker_id, provenance, with_maker
from benchmark.records import Search, Study, Trial
from benchmark.results import Results, ResultsError, StudyFolder, earlier_studies, write
from benchmark.schema import frame, to_arrow

log = logging.getLogger(__name__)


@contextmanager
def open_run(
    study: Study | Search,
    options: Options,
    *,
    expected: int,
    asked: Set[str] | None = None,
) -> Iterator[StudyRun]:
    """A run of ``study`` in its folder, which no other run can use until the end.

    On a clean end the parts are merged.

    Parameters
    ----------
    expected
        Trials expected in the end, where that is more than are known at first.
    asked
        Keys of all trials that the run will ask for, where that is known before it begins: no row
        of another trial is set aside.

    Raises
    ------
    ResultsError
        If the folder cannot be written, is in use, or holds another study.
    """
    folder = StudyFolder(options.results / study.name)
    # as it comes back from a file, so that the two compare
    definition = json.loads(json.dumps(study.definition()))
    metadata = provenance(device=options.where, study=definition, **options.libraries)
    metadata |= {"expected": expected, "earlier_studies": []}
    with ExitStack() as stack:
        # first, so that a cluster that does not answer leaves the folder untouched
        pool = open_pool(options.executor, options.processes, options.gpus)
        stack.callback(pool.stop)
        stack.enter_context(folder.reserved())
        found = folder.load(repair=True, definition=definition, trials_only=True)
        digests = custom_digests(study)
        changed = changes(found.trials, digests)
        if mine := [c for c in (_among(change, asked) for change in changed) if c.trials]:
            _set_aside(folder, mine, options)
            found = folder.load(repair=True, definition=definition, trials_only=True)
        metadata["earlier_studies"] = earlier_studies(found.plan_metadata, definition)
        metadata["words"] = with_earlier(found.plan_metadata.get("words"), words_of(study))
        if options.progress:
            print(study.question, flush=True)
        with closing(StudyRun(study, options, folder, pool, found, metadata, digests)) as run:
            yield run
        folder.compact(metadata)
        run.warn_of_other_trials()


def _among(change: Change, asked: Set[str] | None) -> Change:
    """The change, of those of its trials that are asked for; the others are told and kept."""
    if asked is None or asked >= set(change.trials):
        return change
    mine = [trial for trial in change.trials if trial in asked]
    log.warning(
        "%s; %s that this command does not ask for keep their old rows until --retrain asks for "
        "them",
        change,
        f"{len(change.trials) - len(mine):,}",
    )
    return change._replace(trials=mine)


def _set_aside(folder: StudyFolder, changed: Sequence[Change], options: Options) -> None:
    """Make room for what is trained again, if that is wanted."""
    what = "; ".join(map(str, changed))
    if not options.retrain:
        raise ResultsError(
            f"{folder.path}: {what}; --retrain trains them again and sets the old rows aside, "
            "another --results folder keeps both"
        )
    aside = folder.set_trials_aside({trial for change in changed for trial in change.trials})
    log.warning(
        "%s; those that this command asks for are trained again, and their old rows are in %s",
        what,
        aside,
    )


class StudyRun:
    """A study's plan and its finished rows, and the workers that train what is missing.

    Made by `open_run`.

    Attributes
    ----------
    rows
        What Optuna is told of every finished trial, by its key.
    """

    def __init__(
        self,
        study: Study | Search,
        options: Options,
        folder: StudyFolder,
        pool: WorkerPool,
        found: Results,
        metadata: dict[str, Any],
        digests: Digests,
    ) -> None:
        self.study = study
        self.options = options
        self.folder = folder
        self.metadata = metadata
        self.rows: dict[str, Row] = {}
        self._pool = pool
        self._digests = digests
        self._plan: pd.DataFrame | None = found.plan.iloc[: found.planned]
        self._rank = {trial: i for i, trial in enumerate(self._plan["trial"])}
        unit_of = dict(zip(found.plan["trial"], found.plan["unit"], strict=True))
        # rows whose plan was lost: they are planned again when they are asked for
        self._unplanned = {trial: unit_of[trial] for trial in unit_of.keys() - self._rank.keys()}
        self._planned: dict[str, str] = {}
        if found.plan_metadata.get("device") == metadata["device"]:
            self._planned = unit_of
        self._asked: set[str] = set()
        self._expected = metadata["expected"]
        self._progress: Progress | None = None
        self._add_rows(to_arrow("trials", found.trials[found.trials["status"] != "failed"]))

    @property
    def _known(self) -> set[str]:
        return self._rank.keys() | self._unplanned.keys()

    def close(self) -> None:
        """End what shows the progress."""
        if self._progress is not None:
            self._progress.close()

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
        if missing:
            self._pool.warm()
        for dataset in dict.fromkeys(wanted[key].dataset for key in missing):
            load(dataset)
        if not self._unplanned.keys().isdisjoint(new):
            # as they were planned at first: a trial's neighbours decide how it is rounded
            first = self._units([wanted[key] for key in new], {})
            again = {trial.key: unit.id for unit in first for trial in unit.trials}
            self._planned = again | self._planned
        units = self._units([wanted[key] for key in missing], self._planned)
        unit_of = {trial.key: unit.id for unit in units for trial in unit.trials}
        unit_of = self._unplanned | unit_of
        self._extend_plan([wanted[key] for key in new], unit_of)
        progress = self._show(len(wanted) - len(missing))
        if not units:
            return
        look = progress.look
        for unit, outcome in train_units(units, self._pool, self.options.stopping, look):
            self._store(unit, outcome)
            if after_unit is not None:
                after_unit()

    def _units(self, trials: Sequence[Trial], planned: Mapping[str, str]) -> list[Unit]:
        return make_units(
            self.study.name,
            trials,
            checkpoints=self.study.checkpoints,
            layers=isinstance(self.study, Study) and self.study.layers,
            sharpness=isinstance(self.study, Study) and self.study.sharpness,
            device=self.options.device,
            planned=planned,
            packed_for=self._pool.kind(self.options.device),
        )

    def _store(self, unit: Unit, outcome: Outcome) -> None:
        metadata = with_maker(self.metadata, outcome.made) if outcome.made else self.metadata
        trials = with_digests(outcome.tables["trials"], self._digests)
        for name, text in (("maker", maker_id(metadata)), ("worker", outcome.worker)):
            texts = pa.array([text] * len(trials), pa.string())
            trials = trials.set_column(trials.column_names.index(name), name, texts)
        self.folder.append(unit.id, {**outcome.tables, "trials": trials}, metadata)
        self._add_rows(outcome.tables["trials"])
        if self._progress is not None:
            self._progress.add(len(unit.trials))

    def _add_rows(self, trials: pa.Table) -> None:
        for row in trials.select(["trial", *OUTCOME_COLUMNS]).to_pylist():
            self.rows[row.pop("trial")] = row

    def set_expected(self, expected: int) -> None:
        """Say how many trials there will be, once it is known exactly."""
        self._expected = expected
        self.metadata["expected"] = max(expected, len(self._known))
        if self._progress is not None:
            self._progress.total = expected

    def _extend_plan(self, trials: Iterable[Trial], units: Mapping[str, str]) -> None:
        """Record what is expected: once the whole plan, later only what is new in it."""
        self.metadata["expected"] = max(self._expected, len(self._known))
        rows = frame(
            "plan",
            [
                {
                    "study": self.study.name,
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

    def warn_of_other_trials(self) -> None:
        """Say how many trials the folder holds that this run did not ask for."""
        others = self._known - self._asked
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

    def _show(self, already: int) -> Progress:
        if self._progress is not None:
            self._progress.add(already, found=True)
            return self._progress
        self._progress = show_progress(
            self.study.name,
            self._expected,
            "trials",
            done=already,
            first=self._pool.slots(),
            hidden=not self.options.progress,
        )
        return self._progress


def resolve_all(trials: Sequence[Trial]) -> list[Trial]:
    """Resolve every trial of a study; the first mistake raises before anything is touched."""
    # two ways to say the same trial, a default and its value, are one
    return list(dict.fromkeys(resolve(trial) for trial in trials))
