"""The folder of a study: parquet is the truth, and every write is atomic.

A study's folder holds ``plan.parquet`` (what is expected) and ``trials.parquet``,
``history.parquet`` and ``layers.parquet`` (what came out). While a study runs, each finished unit
lands in ``parts/``, its trials last: a unit is done when its trials are there.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterable, Iterator, Mapping, Set
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from benchmark.parquet import (
    DamagedFile,
    ResultsError,
    checksum,
    path_of,
    read_arrow,
    row_groups,
    verify,
    write,
)
from benchmark.results.locking import locked
from benchmark.results.parts import (
    DAMAGED,
    Unit,
    check_study,
    free_name,
    study_of_parts,
    unit_tables,
    units_in,
)
from benchmark.results.sharing import clash
from benchmark.results.spilling import Spill
from benchmark.results.tables import (
    Pile,
    Results,
    in_order,
    latest,
    merged_metadata,
    metadata_of_rows,
    with_earlier_makers,
    with_every_row,
)
from benchmark.schema import frame, to_arrow
from benchmark.status import FINISHED

OUTCOME_TABLES = ("layers", "history", "trials")
"""In the order of writing: trials last, because they say that the unit is done."""

LOCK = ".lock"
ASIDE = "set_aside"
LOOKS = 5
"""How often a folder is read anew when a run merges its parts in the meantime."""

log = logging.getLogger(__name__)


class StudyFolder:
    """The files of one study.

    One process writes at a time (the driver holds the folder); any number may read.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = path_of("path", path)
        self.parts = self.path / "parts"

    def file(self, table: str) -> Path:
        """Path of a merged table."""
        return self.path / f"{table}.parquet"

    def part(self, unit: str, table: str) -> Path:
        """Path of a table of one unit."""
        return self.parts / f"{unit}.{table}.parquet"

    @contextmanager
    def reserved(self) -> Iterator[None]:
        """Keep every other run out; what a killed run left half-written is removed first.

        Raises
        ------
        ResultsError
            If another run holds the folder, or it cannot be made or written.
        """
        path = self.path / LOCK
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            lock = locked(path)
        except OSError as error:
            raise ResultsError(f"cannot write in {self.path}: {_why(self.path, error)}") from error
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
                self._leave()
                path.unlink(missing_ok=True)

    def _leave(self) -> None:
        if self.parts.is_dir() and not any(self.parts.iterdir()):
            self.parts.rmdir()

    def _tidy(self) -> None:
        try:
            self.parts.mkdir(parents=True, exist_ok=True)
            for folder in (self.path, self.parts):
                for leftover in folder.glob(".*.tmp"):
                    leftover.unlink()
        except OSError as error:
            raise ResultsError(f"cannot write in {self.path}: {_why(self.path, error)}") from error

    def append(
        self, unit: str, tables: Mapping[str, pd.DataFrame | pa.Table], metadata: Mapping[str, Any]
    ) -> None:
        """Land one finished unit in ``parts/``: all of it, or nothing that counts.

        The trials come last and name the checksums of what lies beside them: another unit's, or
        another run's, is not taken for this one's. A part that a power failure catches on its way
        to the disk shows damage, and runs again.
        """
        beside: dict[str, str | None] = {}
        for table in OUTCOME_TABLES:
            path = self.part(unit, table)
            if not len(tables[table]):
                path.unlink(missing_ok=True)
                beside[table] = None
                continue
            more = {"beside": beside} if table == "trials" else {}
            beside[table] = write(table, tables[table], path, {**metadata, **more}, passing=True)

    def load(
        self,
        *,
        repair: bool = False,
        definition: Mapping[str, Any] | None = None,
        trials_only: bool = False,
    ) -> Results:
        """Every row of the study, merged or not; the plan has every trial that has a row.

        With ``repair`` (in a reserved folder), what is damaged is put right and logged: a unit
        with a damaged part is set aside as ``NAME.damaged``, so that it runs again, as is a
        damaged plan, which the run writes anew; and finished trials that lost their history or
        layers do not count. Nothing is changed where an error is raised.

        Parameters
        ----------
        definition
            Of the study that is to go on in this folder.
        trials_only
            Whether history and layers, which are verified all the same, come back empty: they take
            most of the memory.

        Raises
        ------
        ResultsError
            If a file is damaged and cannot or must not be repaired, or has another schema version;
            if files are of different studies, or of another than ``definition``.
        """
        for _ in range(LOOKS):
            try:
                return self._load(repair, definition, trials_only)[0]
            except FileNotFoundError:
                continue
        raise ResultsError(f"{self.path} changes too fast to be read; try again")

    def _load(
        self,
        repair: bool,
        definition: Mapping[str, Any] | None,
        trials_only: bool,
        spills: dict[str, Spill] | None = None,
    ) -> tuple[Results, dict[str, str]]:
        """What `load` gives, and the file that each trial's row is from.

        ``spills`` is filled with the rows of history and layers.
        """
        damage: list[tuple[Unit, str]] = []
        units = units_in(self.parts, report_others=repair)
        piles = {t: Pile(t, trials_only=trials_only and t != "trials") for t in OUTCOME_TABLES}
        merged = [table for table in reversed(OUTCOME_TABLES) if self.file(table).exists()]
        for table in merged:
            self._add_merged(table, piles, trials_only)
        known = piles["trials"].study() or piles["history"].study() or piles["layers"].study()
        plan = self._read_plan(units, known, damage)
        known = known or plan.study() or study_of_parts(units)
        if known and definition and (reason := clash(known, definition)):
            raise ResultsError(
                f"{self.path} holds another study: {reason}; give another --results folder"
            )
        planned = plan.rows().drop_duplicates("trial", ignore_index=True)
        if spills is not None:
            for table in ("layers", "history"):
                spills[table] = Spill(table, self.path, planned["trial"].tolist())
                if table in merged:
                    for rows in row_groups(table, self.file(table)):
                        spills[table].add("", rows)
        orphans: list[Path] = []
        for name, unit in units.items():
            if "trials" not in unit:
                # killed before its trials landed: it runs again
                orphans += unit.values()
                continue
            try:
                tables = unit_tables(unit, known)
            except DamagedFile as error:
                damage.append((unit, f"{error}; set aside as *{DAMAGED}, its unit runs again"))
                continue
            for table, found in tables.items():
                piles[table].add(name, *found)
                if spills is not None and table in spills:
                    spills[table].add(name, found[0])
        if damage and not repair:
            raise DamagedFile(
                f"{damage[0][1].partition(';')[0]}; run the study again: it sets the file aside "
                "and makes it anew"
            )
        if repair:
            self._remove(orphans)
            for unit, message in damage:
                self._set_aside(unit)
                log.warning("%s", message)
        loaded, sources = latest(piles)
        if repair:
            loaded["trials"] = self._whole(loaded, piles)
        if trials_only:
            loaded |= {table: frame(table, []) for table in ("history", "layers")}
        metadata = merged_metadata(piles["trials"].metadata or plan.metadata)
        results = Results(
            **loaded,
            plan=with_every_row(planned, loaded["trials"]),
            planned=len(planned),
            metadata=metadata,
            # the plan follows from the study and the rows, and so does what it says of them
            plan_metadata=plan.metadata[0] if plan.metadata else metadata,
        )
        return results, sources

    def _add_merged(self, table: str, piles: Mapping[str, Pile], trials_only: bool) -> None:
        """Put the rows of a merged file on its pile."""
        path = self.file(table)
        try:
            if trials_only and table != "trials":
                metadata = verify(table, path)
                found = [rows.select(["trial"]) for rows in row_groups(table, path)]
                rows = pa.concat_tables(found)
            else:
                rows, metadata = read_arrow(table, path)
        except DamagedFile as error:
            raise DamagedFile(
                f"{error}; restore it, or move it away to run its trials again"
            ) from error
        try:
            check_study(path, metadata, piles["trials"].study())
        except DamagedFile as error:
            raise ResultsError(f"{error}; restore it, or move it away") from error
        piles[table].add("", rows, metadata)

    def _whole(self, loaded: Mapping[str, pd.DataFrame], piles: Mapping[str, Pile]) -> pd.DataFrame:
        """The trials that have all their rows: what was moved away since is trained again."""
        rows = loaded["trials"]
        finished = rows["status"].isin(FINISHED)
        hollow = finished & ~rows["trial"].isin(loaded["history"]["trial"])
        beside = piles["trials"].merged().get("beside") or {}
        if beside.get("layers") != piles["layers"].merged().get("checksum"):
            hollow |= finished & ~rows["trial"].isin(loaded["layers"]["trial"])
        if hollow.any():
            log.warning(
                "%d finished trials have no history, or no layers; they run again", hollow.sum()
            )
        return rows[~hollow].reset_index(drop=True)

    def _read_plan(
        self,
        units: dict[str, Unit],
        known: Mapping[str, Any] | None,
        damage: list[tuple[Unit, str]],
    ) -> Pile:
        """The plan; its parts are taken out of ``units``, and its damaged files put to ``damage``.

        Parameters
        ----------
        known
            Definition of the study whose rows are merged here.
        """
        pile = Pile("plan")
        parts = [unit.pop("plan") for unit in units.values() if "plan" in unit]
        for name in [name for name, unit in units.items() if not unit]:
            del units[name]
        whole = self.file("plan")
        for path in [*([whole] if whole.exists() else []), *parts]:
            try:
                rows, metadata = read_arrow("plan", path)
                check_study(path, metadata, known or pile.study())
                pile.add(path.name, rows, metadata)
            except DamagedFile as error:
                damage.append(({"plan": path}, f"{error}; set aside as *{DAMAGED}, and made anew"))
        return pile

    def _set_aside(self, files: Unit) -> None:
        # trials first: the rest does not count without them
        for table in reversed(("plan", *OUTCOME_TABLES)):
            if table in files:
                files[table].rename(free_name(files[table]))

    def set_trials_aside(self, trials: Set[str]) -> Path:
        """Move the rows of ``trials`` to a folder of their own, so that they are trained again.

        Killed at any moment, nothing is lost: the rows go only when their copies are in place.
        """
        self.compact(self.load().metadata)
        found = self.load()
        numbers = (self.path / ASIDE / str(number) for number in itertools.count(1))
        aside = next(path for path in numbers if not path.exists())
        kept = {}
        for table in OUTCOME_TABLES:
            rows = getattr(found, table)
            mine = rows["trial"].isin(trials)
            kept[table] = to_arrow(table, rows[~mine])
            if mine.any():
                write(table, rows[mine], aside / f"{table}.parquet", found.metadata)
        beside = {t: checksum(kept[t]) for t in ("layers", "history") if self.file(t).exists()}
        # trials first: the rest does not count without them
        for table in reversed(OUTCOME_TABLES):
            if self.file(table).exists():
                more = {"beside": beside} if table == "trials" else {}
                write(table, kept[table], self.file(table), {**found.metadata, **more})
        return aside

    def _remove(self, paths: Iterable[Path]) -> None:
        for path in paths:
            path.unlink(missing_ok=True)

    def compact(self, metadata: Mapping[str, Any]) -> None:
        """Merge the parts into one file a table, in the order of the plan.

        Where there are no parts the files stay as they are, and say what made them. Killed at any
        moment, nothing is lost: the parts go only when all tables are in place, and until then a
        row that is in both counts once.
        """
        units = units_in(self.parts)
        if units:
            spills: dict[str, Spill] = {}
            try:
                results, sources = self._load(False, None, True, spills)
                self._write_all(results, sources, spills, metadata)
            except OSError as error:
                raise ResultsError(
                    f"cannot merge {self.path}: {error.strerror or error}"
                ) from error
            finally:
                for spill in spills.values():
                    spill.close()
            for table in ("trials", "history", "layers", "plan"):
                self._remove(unit[table] for unit in units.values() if table in unit)
        self._leave()

    def _write_all(
        self,
        results: Results,
        sources: Mapping[str, str],
        spills: Mapping[str, Spill],
        metadata: Mapping[str, Any],
    ) -> None:
        """Every table as one file, the trials last."""
        planned = with_earlier_makers(results.metadata, metadata)
        write("plan", results.plan, self.file("plan"), planned)
        metadata = metadata_of_rows(results.metadata, metadata)
        order = {trial: i for i, trial in enumerate(results.plan["trial"])}
        beside: dict[str, str] = {}
        for table, spill in spills.items():
            spill.sort(order, sources)
            if spill.num_rows or self.file(table).exists():
                beside[table] = write(table, spill, self.file(table), metadata)
            spill.close()
        if len(results.trials) or self.file("trials").exists():
            rows = in_order("trials", results.trials, order)
            write("trials", rows, self.file("trials"), {**metadata, "beside": beside})


def _why(folder: Path, error: OSError) -> str:
    """Why ``folder`` cannot be made or written."""
    there = next(path for path in (folder, *folder.parents) if path.exists())
    if not there.is_dir():
        return f"{str(there)!r} is a file, and not a folder"
    if isinstance(error, FileNotFoundError):
        return f"no folder can be made in {str(there)!r}"
    return error.strerror or str(error)
