"""Copying finished trials to an Optuna storage of the user's, for dashboards."""

from __future__ import annotations

import hashlib
import logging
import queue
import threading
import time
from types import TracebackType

import optuna
from optuna.storages import BaseStorage, JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial

from benchmark.passwords import hide_passwords

JOURNAL = "journal:///"
PAUSES = (1.0, 5.0, 20.0)
"""Seconds before a copy is tried again, and again, for as long as a database takes to restart."""
PATIENCE = 30.0
"""Seconds that the end of a run waits for copies that are still to be made."""

log = logging.getLogger(__name__)

Known = tuple[optuna.Study, set[tuple[str, str]]]


def open_storage(url: str) -> BaseStorage:
    """The Optuna storage at ``url``: a database's address, or ``journal:///FILE``.

    Raises
    ------
    ValueError
        If it cannot be opened; the message holds no password.
    """
    try:
        if url.startswith(JOURNAL):
            return JournalStorage(JournalFileBackend(url.removeprefix(JOURNAL)))
        return optuna.storages.get_storage(url)
    except Exception as error:
        first = hide_passwords(_first_line(error), url)
        shown = hide_passwords(url)
        raise ValueError(
            f"cannot open the storage {shown!r}: {first}; allowed: sqlite:///FILE, "
            f"{JOURNAL}FILE, postgresql://USER@HOST/DATABASE"
        ) from None


def _first_line(error: BaseException) -> str:
    # Optuna wraps what a database says in a guess of its own
    while error.__cause__ is not None:
        error = error.__cause__
    return (str(error).splitlines() or [type(error).__name__])[0]


def close_storage(storage: BaseStorage) -> None:
    """Give a database's connections back."""
    # what `get_storage` gives wraps the one that has the engine
    engine = getattr(getattr(storage, "_backend", storage), "engine", None)
    if engine is not None:
        engine.dispose()


class Mirror:
    """Copies of studies in the storage at ``url``, made in the background; None copies nothing.

    The in-memory study alone decides what is asked next, so a storage that is slow, empty or
    out of date changes no result, and one that goes away is given up with a message. The next
    run copies what is missing.

    Raises
    ------
    ValueError
        If the storage cannot be opened at all.
    """

    def __init__(self, url: str | None) -> None:
        self._url = url
        self._studies: dict[str, Known] = {}
        self._given_up = False
        self._waiting: queue.SimpleQueue[tuple[str, FrozenTrial] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        if url is not None:
            self._storage = open_storage(url)
            # a daemon, because a database that does not answer must not keep the run from ending
            self._thread = threading.Thread(target=self._work, name="mirror", daemon=True)
            self._thread.start()

    @property
    def copies(self) -> bool:
        """Whether there is a storage."""
        return self._thread is not None

    def copy(self, name: str, trial: FrozenTrial) -> None:
        """Add a finished ``trial`` to the stored study ``name``, once; returns at once."""
        if self._thread is not None and not self._given_up:
            self._waiting.put((name, trial))

    def __enter__(self) -> Mirror:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """After a clean end, wait, but not for ever, until everything is copied."""
        if self._thread is None or kind is not None:
            return
        self._waiting.put(None)
        self._thread.join(PATIENCE)
        if self._thread.is_alive():
            log.warning(
                "the Optuna storage is slow and lacks the last trials; parquet has them all, and "
                "the same command copies them"
            )

    def _work(self) -> None:
        try:
            self._copy_all()
        finally:
            close_storage(self._storage)

    def _copy_all(self) -> None:
        while (item := self._waiting.get()) is not None and not self._given_up:
            if error := self._copied(*item):
                self._given_up = True
                log.warning(
                    "the Optuna storage failed and gets no more trials; parquet has them all, "
                    "and the same command copies them later: %s",
                    hide_passwords(_first_line(error), self._url),
                )

    def _copied(self, name: str, trial: FrozenTrial) -> Exception | None:
        """Copy a trial, more than once if need be; the error if that did not help."""
        pauses = iter(PAUSES)
        while True:
            try:
                self._add(name, trial)
                return None
            except Exception as error:
                # what is there is read anew: the copy may have arrived, and its receipt not
                self._studies.clear()
                if (pause := next(pauses, None)) is None:
                    return error
                time.sleep(pause)

    def _add(self, name: str, trial: FrozenTrial) -> None:
        try:
            self._add_to(name, trial)
        except ValueError:
            # a stored study allows a parameter one set of levels; a study that was widened since
            # it was stored has others, and goes beside it
            self._add_to(f"{name} {_levels(trial)}", trial)

    def _add_to(self, name: str, trial: FrozenTrial) -> None:
        if name not in self._studies:
            study = optuna.create_study(storage=self._storage, study_name=name, load_if_exists=True)
            there = {_mark(t) for t in study.get_trials(deepcopy=False)}
            self._studies[name] = study, there
        study, there = self._studies[name]
        if _mark(trial) not in there:
            study.add_trial(trial)
            there.add(_mark(trial))


def _levels(trial: FrozenTrial) -> str:
    names = sorted(trial.distributions)
    text = " ".join(f"{name} {trial.distributions[name]}" for name in names)
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def _mark(trial: FrozenTrial) -> tuple[str, str]:
    # a trial that failed once and then finished is stored as both
    return trial.user_attrs.get("trial", ""), trial.state.name
