"""Running a full factorial."""

from __future__ import annotations

import functools
import itertools
from typing import Any

import pandas as pd

from benchmark.driver.asking import Asked
from benchmark.driver.mirror import Mirror
from benchmark.driver.options import Options
from benchmark.driver.running import open_run, resolve_all
from benchmark.driver.samplers import factorial_sampler
from benchmark.driver.staged import Stages
from benchmark.records import CONFIGURATION, Study, Trial


def run_study(study: Study, options: Options) -> pd.DataFrame:
    """Train every trial of ``study`` that is not in its folder yet; returns the trials table.

    Each trial is asked of an Optuna study and told to it in order; parquet alone decides what is
    done, and the same call continues where an earlier one was stopped. Where rates are relative to
    the best one, stages follow, each an Optuna study of its own.

    Raises
    ------
    ValueError
        On an unknown name or a number out of range, before anything is written.
    ResultsError
        If the folder cannot be written, or another run holds it.
    """
    trials = resolve_all(list(study.trials()))
    stages = Stages(study)
    expected = len(trials) + stages.expected
    stage, known = trials, {trial.key for trial in trials}
    # at rates relative to the best, only the first stage is known before it is trained
    first = None if stages.expected else frozenset(known)
    with (
        Mirror(options.storage) as mirror,
        open_run(study, options, expected=expected, asked=first) as run,
    ):
        for number in itertools.count():
            name = f"{study.name}/stage {number}" if number else study.name
            asked = ask_for_all(Asked(name, factorial_sampler(parameters(stage)), mirror), stage)
            run.train(stage, after_unit=functools.partial(asked.tell_ready, run.rows))
            asked.tell_ready(run.rows)
            # what lies in the folder of later stages must not change those before
            stage = stages.following({key: run.rows[key] for key in known if key in run.rows})
            if not stage:
                break
            known |= {trial.key for trial in stage}
        run.set_expected(len(known))
    return run.folder.load(trials_only=True).trials


def parameters(trials: list[Trial]) -> list[dict[str, Any]]:
    """Optuna's parameters of each trial: every field that takes more than one value, as text.

    Text, because a level may be missing where another strategy has a threshold.
    """
    rows = [trial.row() for trial in trials]
    varied = [name for name in CONFIGURATION if len({row[name] for row in rows}) > 1]
    return [{name: str(row[name]) for name in varied} for row in rows]


def ask_for_all(asked: Asked, trials: list[Trial]) -> Asked:
    """Ask for every trial of the factorial once."""
    rows = parameters(trials)
    levels = {name: list(dict.fromkeys(row[name] for row in rows)) for name in rows[0]}
    for trial, row in zip(trials, rows, strict=True):
        optuna_trial = asked.ask()
        for name in row:
            optuna_trial.suggest_categorical(name, levels[name])
        asked.remember(optuna_trial, trial)
    return asked
