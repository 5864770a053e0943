"""Training a random sample of finished trials again, and comparing.

On the same device and versions a whole unit is trained as it was, and every number must be the
same, bit for bit, timings aside. Otherwise each trial is trained alone and compared within
tolerances: rounding differs, and training magnifies it. Where the sources of this package or the
system are others, numbers that are not the same are held to the tolerances too. What counts is the
process that trained a row, and the one that trains it again, on whatever machine they were.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from benchmark.data import load
from benchmark.driver.dispatch import train_units
from benchmark.driver.executors import open_pool
from benchmark.driver.options import Options
from benchmark.driver.scripts import Parts, objects_of
from benchmark.driver.stopping import Stopping
from benchmark.driver.units import Unit, trial_of
from benchmark.engine import REGISTRIES, Record, resolve
from benchmark.provenance import DECISIVE, LIBRARIES, VERSIONS, made_with
from benchmark.results import Results, ResultsError, StudyFolder, is_study, studies_in
from benchmark.results.differences import exact_differences, rough_differences

NO_PARTS: Parts = {}

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Task:
    """A unit to train again, and what it came to before.

    Parameters
    ----------
    whole
        Whether it holds all that stood in the unit, and there is a process that has the same device
        and versions: it may come out bit for bit.
    makers
        What made its rows before.
    """

    unit: Unit
    before: Record
    whole: bool
    makers: Sequence[Mapping[str, Any]]


class Checked(NamedTuple):
    """How a trial that was trained again differs from what it was, which is nowhere if all is well.

    ``exact`` says whether it was compared bit for bit, or else within tolerances.
    """

    task: Task
    trial: str
    exact: bool
    differences: list[str]


def verify(
    options: Options, *, sample: int, seed: int = 0, parts: Parts = NO_PARTS
) -> Iterator[Checked]:
    """Train ``sample`` finished trials again, and what stood in their units.

    ``options.results`` is a folder of studies or one study's. Yields every trial that is trained.

    Parameters
    ----------
    parts
        Custom strategies, models and data sets, as `benchmark.driver.scripts.parts_of` finds them.

    Raises
    ------
    ResultsError
        If there is no finished trial whose strategies, model and data set are to be had.
    DataError
        If a data set is missing or damaged.
    """
    results = options.results
    folders = [results] if is_study(results) else studies_in(results)
    loaded = {folder.name: StudyFolder(folder).load() for folder in folders}
    finished = [
        (name, trial) for name, found in loaded.items() for trial in repeatable(found, parts)
    ]
    if not finished:
        raise ResultsError(f"{str(results)!r} holds no finished trial that can be trained again")
    drawn = np.random.default_rng(seed).permutation(len(finished))[:sample]
    pool = open_pool(options.executor, min(options.processes, sample), options.gpus)
    try:
        made = pool.made(options.device)
        tasks: dict[str, Task] = {}
        for i in sorted(drawn):
            name, trial = finished[i]
            task = task_of(name, loaded[name], trial, options.device, made, parts)
            # a data set that is not to be had is no difference of the trials
            load(task.unit.trials[0].dataset)
            tasks.setdefault(f"{name}/{task.unit.id}", task)
        # studies may have units of the same trials, and so of the same id
        by_unit = {(task.unit.study, task.unit.id): task for task in tasks.values()}
        units = [task.unit for task in tasks.values()]
        for unit, outcome in train_units(units, pool, Stopping()):
            now = outcome.record()
            # a worker that died is replaced, and its unit may come back in parts
            task = by_unit.get((unit.study, unit.id)) or next(
                task
                for (study, _), task in by_unit.items()
                if study == unit.study and set(unit.trials) <= set(task.unit.trials)
            )
            for trial in unit.trials:
                yield check(task, now, trial.key, outcome.made)
    finally:
        pool.stop()


def repeatable(results: Results, parts: Parts = NO_PARTS) -> list[str]:
    """Keys of the finished trials all of whose parts are registered or among ``parts``; of the
    others, a row has only the name."""
    finished = results.trials[results.trials["status"] != "failed"]
    names = ["trial", "custom", *REGISTRIES]
    rows = finished[names].to_dict("records")
    keys = [row["trial"] for row in rows if objects_of(row, parts) is not None]
    if left := len(rows) - len(keys):
        log.warning(
            "%d trials have custom parts, and are left out; name the script that they are defined "
            "in, as it was then, with --script",
            left,
        )
    return keys


def task_of(
    study: str,
    results: Results,
    trial: str,
    device: str,
    made: Sequence[Mapping[str, Any]],
    parts: Parts = NO_PARTS,
) -> Task:
    """How to train ``trial`` again: in its unit where that can give the same bits, or alone.

    ``made`` has what each process says of itself that may train it.
    """
    rows = results.trials.set_index("trial", drop=False)
    order = {key: i for i, key in enumerate(results.plan["trial"])}
    beside = rows[rows["unit"] == rows.loc[trial, "unit"]]
    beside = beside.loc[sorted(beside.index, key=lambda key: order.get(key, len(order)))]
    whole = _unit(study, results, beside, device, parts)
    before = makers_of(results, beside)
    as_it_was = whole.id == rows.loc[trial, "unit"] and any(
        agree(before, process, VERSIONS) for process in made
    )
    unit = whole if as_it_was else _unit(study, results, rows.loc[[trial]], device, parts)
    keys = {t.key for t in unit.trials}
    tables = {
        name: getattr(results, name)[getattr(results, name)["trial"].isin(keys)]
        for name in ("trials", "history", "layers")
    }
    return Task(unit, Record(**tables), as_it_was, makers_of(results, rows.loc[sorted(keys)]))


def _unit(study: str, results: Results, rows: pd.DataFrame, device: str, parts: Parts) -> Unit:
    definition = results.metadata.get("study")
    if definition is None:
        raise ResultsError(f"the files of {study} do not say of which study they are")
    trials = []
    for row in rows.to_dict("records"):
        trial = dataclasses.replace(trial_of(row), **objects_of(row, parts) or {})
        if resolve(trial).key != row["trial"]:
            raise ResultsError(
                f"trial {row['trial']} of {study} has another key in this version of the package; "
                "verify it with the version that made it"
            )
        trials.append(trial)
    return Unit(
        study,
        tuple(trials),
        checkpoints=definition["checkpoints"],
        layers=definition.get("layers", False),
        sharpness=definition.get("sharpness", False),
        device=device,
    )


def makers_of(results: Results, rows: pd.DataFrame) -> list[dict[str, Any]]:
    """What made the ``rows`` that are no failures, each with the device that its rows name."""
    trained = rows[rows["status"] != "failed"]
    makers = results.makers_of(trained)
    return [{**made, "device": on} for made in makers for on in dict.fromkeys(trained["device"])]


def agree(
    makers: Sequence[Mapping[str, Any]], process: Mapping[str, Any], names: Sequence[str]
) -> bool:
    """Whether all ``makers`` of rows agree with a ``process`` in ``names`` of the provenance.

    And in its device, on a GPU also in its libraries and driver.
    """
    compared = (*names, *LIBRARIES, "device")
    return all(made_with(made, n) == process.get(n) for made in makers for n in compared)


def check(task: Task, now: Record, trial: str, made: Mapping[str, Any]) -> Checked:
    """Compare a trial that was trained again with what it was.

    ``made`` is what the process that trained it says of itself.
    """
    if task.whole and agree(task.makers, made, VERSIONS):
        found = []
        for table in ("trials", "history", "layers"):
            before, again = (
                frame[frame["trial"] == trial].reset_index(drop=True)
                for frame in (getattr(task.before, table), getattr(now, table))
            )
            found += exact_differences(table, before, again)
        if not found or agree(task.makers, made, DECISIVE):
            return Checked(task, trial, True, found)
    rows = (r.trials.set_index("trial").loc[trial].to_dict() for r in (task.before, now))
    return Checked(task, trial, False, rough_differences(*rows))
