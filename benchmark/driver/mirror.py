"""Copying finished trials to an Optuna storage of the user's, for dashboards."""

from __future__ import annotations

import warnings

import optuna
from optuna.trial import FrozenTrial


class Mirror:
    """Copies of studies in the storage at ``url``; None copies nothing.

    The in-memory study alone decides what is asked next, so a storage that is slow, empty or
    out of date changes no result, and one that fails only warns.

    Raises
    ------
    ValueError
        If the storage cannot be opened at all.
    """

    def __init__(self, url: str | None) -> None:
        self._studies: dict[str, tuple[optuna.Study, set[str]]] = {}
        self._broken = False
        self._storage: optuna.storages.BaseStorage | None = None
        if url is not None:
            try:
                self._storage = optuna.storages.get_storage(url)
            except Exception as error:
                first = str(error).splitlines()[0]
                raise ValueError(f"cannot open the storage {url!r}: {first}") from error

    def copy(self, name: str, trial: FrozenTrial) -> None:
        """Add a finished ``trial`` to the stored study ``name``, once."""
        if self._storage is None or self._broken:
            return
        try:
            if name not in self._studies:
                study = optuna.create_study(
                    storage=self._storage, study_name=name, load_if_exists=True
                )
                there = {t.user_attrs.get("trial", "") for t in study.get_trials(deepcopy=False)}
                self._studies[name] = study, there
            study, there = self._studies[name]
            if trial.user_attrs["trial"] not in there:
                study.add_trial(trial)
                there.add(trial.user_attrs["trial"])
        except Exception as error:
            self._broken = True
            warnings.warn(
                f"the Optuna storage failed and gets no more trials; parquet has them all: {error}",
                RuntimeWarning,
                stacklevel=2,
            )
