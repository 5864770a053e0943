"""Optuna's side of a study: asking for trials, and telling what came out."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from typing import Any

import optuna
from optuna.trial import TrialState

from benchmark.driver.mirror import Mirror
from benchmark.records import Trial
from benchmark.status import FINISHED, capped_loss

Row = Mapping[Any, Any]
"""Column -> value. The keys are text; pandas only promises that they are hashable."""

SHOWN = ("status", "first_bad_step", "seed", "validation_accuracy")
"""Columns of a trial's row that a dashboard shows beside its parameters."""

OUTCOME_COLUMNS = (*SHOWN, "validation_loss", "initial_loss", "classes")
"""Columns that are shown, or by which trials and rates are judged."""

optuna.logging.set_verbosity(optuna.logging.WARNING)


def objective(row: Row) -> float:
    """What Optuna minimizes: min(validation loss, loss at initialization), always finite."""
    return capped_loss(row["validation_loss"], row["initial_loss"])


class Asked:
    """One in-memory Optuna study, and which of our trials each of its trials is.

    Explosion is told as a value, never as a failure. A skipped trial is told as pruned, and one
    on which the program failed as failed.
    """

    def __init__(self, name: str, sampler: optuna.samplers.BaseSampler, mirror: Mirror) -> None:
        self.name = name
        self.study = optuna.create_study(sampler=sampler, study_name=name)
        self.pending: deque[tuple[optuna.Trial, Trial]] = deque()
        self.told: list[tuple[Trial, float]] = []
        self._mirror = mirror

    def ask(self) -> optuna.Trial:
        """The next Optuna trial; suggest its parameters, then `remember` it."""
        return self.study.ask()

    def remember(self, asked: optuna.Trial, trial: Trial) -> None:
        """Remember that ``asked`` is the trial ``trial``."""
        asked.set_user_attr("trial", trial.key)
        self.pending.append((asked, trial))

    def tell_ready(self, rows: Mapping[str, Row]) -> None:
        """Tell every trial that has a row, in the order of asking, up to the first without."""
        while self.pending and self.pending[0][1].key in rows:
            asked, trial = self.pending.popleft()
            row = rows[trial.key]
            if self._mirror.copies:
                for name in SHOWN:
                    asked.set_user_attr(name, _plain(row[name]))
            if row["status"] in FINISHED:
                value = objective(row)
                self.told.append((trial, value))
                frozen = self.study.tell(asked, value)
            else:
                state = TrialState.PRUNED if row["status"] == "skipped" else TrialState.FAIL
                frozen = self.study.tell(asked, state=state)
            self._mirror.copy(self.name, frozen)

    def best(self) -> Trial | None:
        """The trial of smallest objective, the earlier of equals; None if none finished."""
        return min(self.told, key=lambda pair: pair[1])[0] if self.told else None


def _plain(value: Any) -> Any:
    # a storage takes JSON, which knows neither NaN nor numpy's numbers
    if value is None or isinstance(value, str):
        return value
    number = float(value)
    return None if math.isnan(number) else number
