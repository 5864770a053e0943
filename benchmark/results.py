"""The results of a study: parquet is the truth, and every write is atomic.

A study's folder holds ``plan.parquet`` (what is expected) and ``trials.parquet``,
``history.parquet`` and ``layers.parquet`` (what came out). While a study runs, each finished unit
lands in ``parts/``, its trials last: a unit is done when its trials are there.
"""

from __future__ import annotations

import fcntl
import logging
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np
import pandas as pd
import pyarrow as pa

from benchmark.parquet import DamagedFile, ResultsError, read, read_arrow, write
from benchmark.provenance import maker
from benchmark.schema import KEYS, TABLES
from benchmark.status import FINISHED

OUTCOME_TABLES = ("layers", "history", "trials")
"""In the order of writing: trials last, because they say that the unit is done."""

PART = re.compile(r"([0-9a-f]{12})\.(plan|layers|history|trials)\.parquet")
DAMAGED = ".damaged"
LOCK = ".lock"
LOOKS = 5
"""How often a folder is read anew when a run merges its parts in the meantime."""

log = logging.getLogger(__name__)

Unit = dict[str, Path]


@dataclass(frozen=True)
class Results:
    """The tables of one study and the metadata of its trials file."""

    trials: pd.DataFrame
    history: pd.DataFrame
    layers: pd.DataFrame
    plan: pd.DataFrame
    metadata: dict[str, Any] = field(default_factory=dict)
    plan_metadata: dict[str, Any] = field(default_factory=dict)


class _Pile:
    """Rows of one table from several files, and which file each row is from."""

    def __init__(self, table: str) -> None:
        self.table = table
        self._pieces: list[pa.Table] = []
        self._sources: list[str] = []
        self.metadata: list[dict[str, Any]] = []

    def add(self, source: str, rows: pa.Table, metadata: dict[str, Any]) -> None:
        self._pieces.append(rows)
        self._sources.append(source)
        self.metadata.append(metadata)

    def rows(self) -> pd.DataFrame:
        empty = pa.schema(list(TABLES[self.table].items())).empty_table()
        return pa.concat_tables([empty, *self._pieces]).to_pandas()

    def sources(self) -> np.ndarray:
        names = np.array(self._sources, dtype=object)
        return np.repeat(names, np.array([piece.num_rows for piece in self._pieces], dtype=int))


class StudyFolder:
    """The files of one study.

    One process writes at a time (the driver holds the folder); any number may read.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self.parts = self.path / "parts"

    def file(self, table: str) -> Path:
        """Path of a merged table."""
        return self.path / f"{table}.parquet"

    def part(self, unit: str, table: str) -> Path:
        """Path of a table of one unit."""
        return self.parts / f"{unit}.{table}.parquet"

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep every other run out; what a killed run left half-written is removed first.

        Raises
        ------
        ResultsError
            If another run holds the folder, or it cannot be made or written.
        """
        path = self.path / LOCK
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            lock = _locked(path)
        except OSError as error:
            raise ResultsError(f"cannot write in {self.path}: {error.strerror or error}") from error
        if lock is None:
            raise ResultsError(
                f"{self.path} is in use by another run; wait for it, or give another "
                "--results folder"
            )
        with lock:
            try:
                self._tidy()
                yield
            finally:
                path.unlink(missing_ok=True)

    def _tidy(self) -> None:
        try:
            self.parts.mkdir(parents=True, exist_ok=True)
            for folder in (self.path, self.parts):
                for leftover in folder.glob(".*.tmp"):
                    leftover.unlink()
        except OSError as error:
            raise ResultsError(f"cannot write in {self.path}: {error.strerror or error}") from error

    def append(
        self, unit: str, tables: Mapping[str, pd.DataFrame | pa.Table], metadata: Mapping[str, Any]
    ) -> None:
        """Land one finished unit in ``parts/``: all of it, or nothing that counts.

        A part that a power failure catches on its way to the disk shows damage, and runs again.
        """
        for table in OUTCOME_TABLES:
            if len(tables[table]):
                write(table, tables[table], self.part(unit, table), metadata, passing=True)

    def load(self, *, repair: bool = False) -> Results:
        """Every row of the study, merged or not.

        With ``repair`` (the folder must be held), what is damaged is put right and logged: a unit
        with a damaged part is set aside as ``NAME.damaged``, so that it runs again, as is a
        damaged plan, which the run writes anew; and finished trials without history do not count.

        Raises
        ------
        ResultsError
            If a file is damaged and cannot or must not be repaired, or has another schema version.
        """
        for _ in range(LOOKS):
            try:
                return self._load(repair)
            except FileNotFoundError:
                continue
        raise ResultsError(f"{self.path} changes too fast to be read; try again")

    def _load(self, repair: bool) -> Results:
        units = self._units(report_others=repair)
        plan = self._read_plan(units, repair)
        piles = {table: _Pile(table) for table in OUTCOME_TABLES}
        for table in OUTCOME_TABLES:
            if (path := self.file(table)).exists():
                try:
                    piles[table].add("", *read_arrow(table, path))
                except DamagedFile as error:
                    raise DamagedFile(
                        f"{error}; restore it, or move it away to run its trials again"
                    ) from error
        for name, unit in units.items():
            if "trials" not in unit:
                # killed before its trials landed: it runs again
                self._remove(unit.values() if repair else ())
                continue
            try:
                tables = {table: read_arrow(table, unit[table]) for table in unit}
            except DamagedFile as error:
                if not repair:
                    raise DamagedFile(
                        f"{error}; run the study again: it sets the file aside and repeats its "
                        "trials"
                    ) from error
                self._set_aside(unit)
                log.warning("%s; set aside as *%s, its unit runs again", error, DAMAGED)
                continue
            for table, found in tables.items():
                piles[table].add(name, *found)
        loaded = _latest(piles)
        if repair:
            loaded["trials"] = _with_history(loaded["trials"], loaded["history"])
        return Results(
            **loaded,
            plan=plan.rows().drop_duplicates("trial", ignore_index=True),
            metadata=_merged_metadata(piles["trials"].metadata or plan.metadata),
            plan_metadata=plan.metadata[0] if plan.metadata else {},
        )

    def _units(self, report_others: bool = False) -> dict[str, Unit]:
        """The files in ``parts/`` by unit and table; foreign files are left alone."""
        units: dict[str, Unit] = {}
        if not self.parts.is_dir():
            return units
        for path in sorted(self.parts.iterdir()):
            if match := PART.fullmatch(path.name):
                units.setdefault(match[1], {})[match[2]] = path
            elif report_others and not path.name.endswith((DAMAGED, ".tmp")):
                log.warning("%s is no file of this benchmark, and is left alone", path)
        return units

    def _read_plan(self, units: dict[str, Unit], repair: bool) -> _Pile:
        """The plan; its parts are taken out of ``units``."""
        pile = _Pile("plan")
        parts = [unit.pop("plan") for unit in units.values() if "plan" in unit]
        for name in [name for name, unit in units.items() if not unit]:
            del units[name]
        for path in [self.file("plan"), *parts]:
            if path == self.file("plan") and not path.exists():
                continue
            try:
                pile.add(path.name, *read_arrow("plan", path))
            except DamagedFile as error:
                if not repair:
                    raise
                self._set_aside({"plan": path})
                log.warning("%s; set aside as *%s, and written anew", error, DAMAGED)
        return pile

    def _set_aside(self, files: Unit) -> None:
        # trials first: the rest does not count without them
        for table in reversed(("plan", *OUTCOME_TABLES)):
            if table in files:
                files[table].rename(files[table].with_name(files[table].name + DAMAGED))

    def _remove(self, paths: Any) -> None:
        for path in paths:
            path.unlink(missing_ok=True)

    def compact(self, metadata: Mapping[str, Any]) -> None:
        """Merge the parts into one file a table, in the order of the plan.

        Where there are no parts the files stay as they are, and say what made them. Killed at any
        moment, nothing is lost: the parts go only when all tables are in place, and until then a
        row that is in both counts once.
        """
        units = self._units()
        if units:
            results = self.load()
            metadata = {**metadata, "earlier_makers": _earlier(results.metadata, metadata)}
            write("plan", results.plan, self.file("plan"), metadata)
            order = {trial: i for i, trial in enumerate(results.plan["trial"])}
            for table in OUTCOME_TABLES:
                rows = getattr(results, table)
                if len(rows) or self.file(table).exists():
                    write(table, _in_order(table, rows, order), self.file(table), metadata)
            for table in ("trials", "history", "layers", "plan"):
                self._remove(unit[table] for unit in units.values() if table in unit)
        if self.parts.is_dir() and not any(self.parts.iterdir()):
            self.parts.rmdir()


def _locked(path: Path) -> IO[str] | None:
    """``path``, opened and locked; None where another process holds it."""
    while True:
        lock = path.open("w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            return None
        # the run before may have removed the file between its opening and its locking here
        try:
            if os.path.samestat(os.fstat(lock.fileno()), path.stat()):
                return lock
        except FileNotFoundError:
            pass
        lock.close()


def _latest(piles: Mapping[str, _Pile]) -> dict[str, pd.DataFrame]:
    """Each trial's last row, a failure only where there is nothing else, and what goes with it."""
    trials, sources = piles["trials"].rows(), piles["trials"].sources()
    failed_first = trials["status"].ne("failed").sort_values(kind="stable").index
    kept = trials.loc[failed_first, "trial"].drop_duplicates(keep="last").index.sort_values()
    source = dict(zip(trials.loc[kept, "trial"], sources[kept], strict=True))
    tables = {"trials": trials.loc[kept].reset_index(drop=True)}
    for table in ("history", "layers"):
        rows = piles[table].rows()
        same = rows["trial"].map(source).to_numpy() == piles[table].sources()
        tables[table] = rows[same].reset_index(drop=True)
    return tables


def _with_history(trials: pd.DataFrame, history: pd.DataFrame) -> pd.DataFrame:
    hollow = trials["status"].isin(FINISHED) & ~trials["trial"].isin(history["trial"])
    if hollow.any():
        log.warning("%d finished trials have no history; they run again", hollow.sum())
    return trials[~hollow].reset_index(drop=True)


def _in_order(table: str, rows: pd.DataFrame, order: Mapping[str, int]) -> pd.DataFrame:
    rank = rows["trial"].map(lambda trial: order.get(trial, len(order)))
    place = "layer_index" if table == "layers" else KEYS[table][-1]
    by = rows.assign(_rank=rank).sort_values(
        ["_rank", *KEYS[table][:-1], place], kind="stable", ignore_index=True
    )
    return by.drop(columns="_rank")


def _merged_metadata(files: list[dict[str, Any]]) -> dict[str, Any]:
    """Metadata of the latest file, with every other maker of rows under ``earlier_makers``."""
    if not files:
        return {}
    latest = max(files, key=lambda metadata: str(metadata.get("created")))
    makers = [m for f in files for m in (*f.get("earlier_makers", ()), maker(f))]
    return {**latest, "earlier_makers": _distinct(makers, maker(latest))}


def _earlier(found: Mapping[str, Any], now: Mapping[str, Any]) -> list[dict[str, Any]]:
    return _distinct([*found.get("earlier_makers", ()), maker(found)], maker(now))


def _distinct(makers: list[dict[str, Any]], but: dict[str, Any]) -> list[dict[str, Any]]:
    out: list[dict[str, Any]] = []
    for made in makers:
        if made != but and made not in out:
            out.append(made)
    return out


def studies_in(results: Path | str) -> list[Path]:
    """Study folders under ``results``, by name.

    Raises
    ------
    ResultsError
        If there is no such folder, or no study in it.
    """
    root = Path(results)
    if not root.is_dir():
        raise ResultsError(f"no results folder {str(root)!r}; run a study first (see README)")
    found = sorted({p.parent for p in root.glob("*/plan.parquet")})
    if not found:
        raise ResultsError(f"{str(root)!r} holds no study; run one with --results {root}")
    return found


def load_study(results: Path | str, study: str) -> Results | None:
    """Results of ``study`` under the folder ``results``, or None where it has not been run."""
    folder = StudyFolder(Path(results) / study)
    return folder.load() if folder.file("plan").exists() else None


__all__ = [
    "DamagedFile",
    "Results",
    "ResultsError",
    "StudyFolder",
    "load_study",
    "read",
    "studies_in",
    "write",
]
