"""Reading and writing results: parquet is the truth, and every write is atomic.

A study's folder holds ``plan.parquet`` (what is expected) and ``trials.parquet``,
``history.parquet`` and ``layers.parquet`` (what came out). While a study runs, each finished unit
lands in ``parts/``, its trials last: a unit is done when its trials are there.
"""

from __future__ import annotations

import datetime
import functools
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from benchmark.schema import KEYS, SCHEMA_VERSION, TABLES, SchemaError, to_arrow

METADATA_KEY = b"benchmark"
OUTCOME_TABLES = ("layers", "history", "trials")
"""In the order of writing: trials last, because they say that the unit is done."""


class ResultsError(Exception):
    """A results folder or file that cannot be used; the message names it and what to do."""


@dataclass(frozen=True)
class Results:
    """The tables of one study and the metadata of its trials file."""

    trials: pd.DataFrame
    history: pd.DataFrame
    layers: pd.DataFrame
    plan: pd.DataFrame
    metadata: dict[str, Any] = field(default_factory=dict)


def provenance(**more: Any) -> dict[str, Any]:
    """What made a file: package, commit, versions, platform, command and time.

    Keyword arguments (the device, the study's definition) are added as they are.
    """
    return {
        "schema_version": SCHEMA_VERSION,
        "package": _version("gradient-stability-benchmark"),
        **_commit(),
        "python": platform.python_version(),
        **{name: _version(name) for name in ("torch", "optuna", "numpy", "pandas", "pyarrow")},
        "platform": platform.platform(),
        "command": _command(),
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        **more,
    }


def _command() -> str:
    # the script's folder is the reader's own affair
    script, *arguments = sys.argv or [""]
    path = Path(script)
    name = path.name
    if path.parent.name == "studies":
        name = f"python studies/{name}"
    return " ".join([name, *arguments])


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


@functools.cache
def _commit() -> dict[str, Any]:
    def git(*arguments: str) -> str:
        root = Path(__file__).resolve().parent
        command = ["git", "-C", str(root), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    try:
        # results may change while the sources do not: only tracked files make a tree dirty
        dirty = bool(git("status", "--porcelain", "--untracked-files=no"))
        return {"commit": git("rev-parse", "HEAD"), "dirty": dirty}
    except (OSError, subprocess.CalledProcessError):
        return {"commit": "unknown", "dirty": False}


def write(table: str, data: pd.DataFrame, path: Path, metadata: Mapping[str, Any]) -> None:
    """Write ``data`` to ``path`` whole or not at all.

    The rows are checked against the schema, written to a temporary sibling, read back, and only
    then moved over ``path``.

    Raises
    ------
    ResultsError
        If the folder cannot be written, or the file does not read back.
    SchemaError
        If the rows do not keep the contract.
    """
    arrow = to_arrow(table, data)
    arrow = arrow.replace_schema_metadata({METADATA_KEY: json.dumps(metadata).encode()})
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(arrow, temporary, compression="zstd")
        if pq.read_metadata(temporary).num_rows != arrow.num_rows:
            raise ResultsError(f"{path} did not read back whole; is the disk full?")
        os.replace(temporary, path)
    except OSError as error:
        raise ResultsError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        temporary.unlink(missing_ok=True)


def read(table: str, path: Path) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Rows and metadata of one file.

    Raises
    ------
    ResultsError
        If the file is damaged, is none of ours, or was written by another schema version.
    """
    try:
        arrow = pq.read_table(path)
    except (OSError, pa.ArrowInvalid) as error:
        raise ResultsError(f"{path} is not a readable parquet file: {error}") from error
    raw = (arrow.schema.metadata or {}).get(METADATA_KEY)
    if raw is None:
        raise ResultsError(f"{path} was not written by this benchmark (it has no metadata of ours)")
    metadata = json.loads(raw)
    if metadata.get("schema_version") != SCHEMA_VERSION:
        raise ResultsError(
            f"{path} has schema version {metadata.get('schema_version')}, this package reads "
            f"{SCHEMA_VERSION}; give another --results folder"
        )
    data = arrow.to_pandas()
    if list(data.columns) != list(TABLES[table]):
        raise ResultsError(f"{path} does not have the columns of {table}")
    return data, metadata


def _empty(table: str) -> pd.DataFrame:
    return pa.schema(list(TABLES[table].items())).empty_table().to_pandas()


def _concat(table: str, frames: Iterable[pd.DataFrame]) -> pd.DataFrame:
    filled = [f for f in frames if len(f)]
    # through arrow, so that a column that is missing throughout one frame keeps its type
    if not filled:
        return _empty(table)
    whole = pa.concat_tables([to_arrow(table, f.drop_duplicates(KEYS[table])) for f in filled])
    # a unit that was run again after a failure replaces its earlier rows
    return whole.to_pandas().drop_duplicates(KEYS[table], keep="last", ignore_index=True)


class StudyFolder:
    """The files of one study.

    One process writes at a time (the driver holds a lock); any number may read.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self.parts = self.path / "parts"

    def file(self, table: str) -> Path:
        """Path of a compacted table."""
        return self.path / f"{table}.parquet"

    def prepare(self) -> None:
        """Make the folder, and remove what a killed run left half-written.

        Raises
        ------
        ResultsError
            If the folder cannot be made or written.
        """
        try:
            self.parts.mkdir(parents=True, exist_ok=True)
            for folder in (self.path, self.parts):
                for leftover in folder.glob(".*.tmp"):
                    leftover.unlink()
            probe = self.path / f".probe.{os.getpid()}.tmp"
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise ResultsError(f"cannot write in {self.path}: {error.strerror or error}") from error

    def append(
        self, unit: str, tables: Mapping[str, pd.DataFrame], metadata: Mapping[str, Any]
    ) -> None:
        """Land one finished unit in ``parts/``: all of it, or nothing that counts."""
        for table in OUTCOME_TABLES:
            if len(tables[table]):
                write(table, tables[table], self.parts / f"{unit}.{table}.parquet", metadata)

    def load(self, *, repair: bool = False) -> Results:
        """Every row of the study, compacted or not.

        With ``repair``, a part that does not read is set aside as ``NAME.damaged``, so that its
        unit runs again; otherwise it raises a `ResultsError`.
        """
        loaded: dict[str, pd.DataFrame] = {}
        metadata: dict[str, Any] = {}
        for table in ("plan", *OUTCOME_TABLES):
            frames = []
            main = self.file(table)
            for path in [main, *sorted(self.parts.glob(f"*.{table}.parquet"))]:
                if not path.exists():
                    continue
                try:
                    rows, found = read(table, path)
                except ResultsError:
                    if not repair or path == main:
                        raise
                    path.rename(path.with_name(path.name + ".damaged"))
                    continue
                frames.append(rows)
                if table == "trials" or not metadata:
                    metadata = found
            loaded[table] = _concat(table, frames)
        # rows of a unit that was killed between its history and its trials do not count
        done = set(loaded["trials"]["trial"])
        for table in ("history", "layers"):
            rows = loaded[table]
            loaded[table] = rows[rows["trial"].isin(done)].reset_index(drop=True)
        return Results(metadata=metadata, **loaded)

    def compact(self, metadata: Mapping[str, Any]) -> None:
        """Merge the parts into one file a table, in the order of the plan.

        Killed at any moment, nothing is lost: the parts go only when all tables are in place,
        and until then a row that is in both counts once.
        """
        results = self.load()
        order = {trial: i for i, trial in enumerate(results.plan["trial"])}
        for table in OUTCOME_TABLES:
            rows = getattr(results, table)
            rank = rows["trial"].map(lambda t: order.get(t, len(order)))
            by = rows.assign(_rank=rank).sort_values(["_rank", *KEYS[table]], kind="stable")
            if table == "layers":
                by = by.sort_values(["_rank", "trial", "step", "layer_index"], kind="stable")
            if len(by) or self.file(table).exists():
                write(table, by.drop(columns="_rank"), self.file(table), metadata)
        for part in self.parts.glob("*.parquet"):
            part.unlink()
        if not any(self.parts.iterdir()):
            self.parts.rmdir()


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
    "Results",
    "ResultsError",
    "SchemaError",
    "StudyFolder",
    "load_study",
    "provenance",
    "read",
    "studies_in",
    "write",
]
