"""One result file: written whole or not at all, and sealed with a checksum of its rows."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from benchmark.records.fields import refused
from benchmark.schema import LATER, SCHEMA_VERSION, TABLES, earlier, to_arrow

METADATA_KEY = b"benchmark"
LONGEST_NAME = 255
"""Bytes of the longest name that file systems take; of a longer one nothing can be asked."""

SEAL = "seal"

METADATA: dict[str, type] = {
    **{"study": dict, "expected": int, "beside": dict, "words": dict},
    **dict.fromkeys(("earlier_studies", "earlier_makers"), list),
}
"""Of which type the metadata are that programs read; files of other things lack them."""

UNREADABLE = (OSError, pa.ArrowException, ValueError, ArithmeticError, MemoryError)
"""What reading a damaged file may raise: a flipped bit makes text no text, and lengths absurd."""

SMALL = {"compression": "zstd", "compression_level": 15}
QUICK = {"compression": "none", "use_dictionary": False, "write_statistics": False}
"""How to encode a file that is kept, and one that is merged into another soon."""


def _small(schema: pa.Schema) -> dict[str, Any]:
    """Rounded numbers have zeros in half of their bytes, which compress once they lie side by side:
    a history of 4.8 MB becomes one of 2.6."""
    real = [field.name for field in schema if pa.types.is_floating(field.type)]
    others = [name for name in schema.names if name not in real]
    return {**SMALL, "use_byte_stream_split": real, "use_dictionary": others}


class ResultsError(ValueError):
    """A results folder or file that cannot be used; the message names it and what to do."""


class DamagedFile(ResultsError):
    """A file that is cut short, was altered, or is no file of this benchmark."""


class Pieces(Protocol):
    """Rows of a table that need not be in memory all at once."""

    @property
    def schema(self) -> pa.Schema:
        """Names and types of the columns."""

    @property
    def num_rows(self) -> int:
        """Of all pieces together."""

    def column(self, index: int) -> Iterable[pa.ChunkedArray]:
        """One column, piece by piece; may be asked for again."""

    def groups(self) -> Iterable[pa.Table]:
        """The rows, a row group of the file at a time."""


class _Whole:
    """A table in memory, in one piece."""

    def __init__(self, rows: pa.Table) -> None:
        self._rows, self.schema, self.num_rows = rows, rows.schema, rows.num_rows

    def column(self, index: int) -> list[pa.ChunkedArray]:
        return [self._rows.column(index)]

    def groups(self) -> list[pa.Table]:
        return [self._rows]


def checksum(rows: pa.Table) -> str:
    """Sixteen hexadecimal digits, from the names and values of every column."""
    return _checksum(rows.schema, rows.num_rows, _Whole(rows).column)


def _checksum(
    schema: pa.Schema, count: int, column: Callable[[int], Iterable[pa.ChunkedArray]]
) -> str:
    """The same of rows that are read column by column, piece by piece: cut otherwise, no other."""
    digest = hashlib.blake2b(digest_size=8)
    for i, field in enumerate(schema):
        digest.update(f"{field.name} {field.type} {count}".encode())
        if pa.types.is_string(field.type):
            digest.update(b"[")
            first = True
            for values in column(i):
                text = repr(values.to_pylist())[1:-1]
                digest.update(f"{'' if first or not text else ', '}{text}".encode())
                first = first and not text
            digest.update(b"]")
            continue
        # a missing number becomes NaN, whatever lies under it, and whole ones beside it real
        real = pa.types.is_integer(field.type) and any(values.null_count for values in column(i))
        for values in column(i):
            wanted = values.cast(pa.float64(), safe=False) if real else values
            digest.update(wanted.to_numpy().tobytes())
    return digest.hexdigest()


def write(
    table: str,
    data: pd.DataFrame | pa.Table | Pieces,
    path: Path,
    metadata: Mapping[str, Any],
    *,
    passing: bool = False,
) -> str:
    """Write ``data`` to ``path`` whole or not at all; returns the checksum of its rows.

    The rows are checked against the schema (tables of arrow's have been, by `to_arrow`), written
    to a temporary sibling, counted there, and only then moved over ``path``. The file is small and
    on the disk when this returns; a ``passing`` one is neither, but quickly written.

    Raises
    ------
    ResultsError
        If the folder cannot be written, or the file does not read back.
    SchemaError
        If the rows do not keep the contract.
    """
    rows: Pieces
    if isinstance(data, pd.DataFrame):
        rows = _Whole(to_arrow(table, data))
    else:
        rows = _Whole(data) if isinstance(data, pa.Table) else data
    sealed = {"schema_version": SCHEMA_VERSION, **metadata, "table": table}
    sealed["checksum"] = _checksum(rows.schema, rows.num_rows, rows.column)
    sealed[SEAL] = _seal(sealed)
    schema = rows.schema.with_metadata({METADATA_KEY: json.dumps(sealed).encode()})
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            how = QUICK if passing else _small(schema)
            with pq.ParquetWriter(file, schema, **how) as writer:
                for group in rows.groups():
                    writer.write_table(group)
            file.flush()
            if not passing:
                os.fsync(file.fileno())
        if pq.read_metadata(temporary).num_rows != rows.num_rows:
            raise ResultsError(f"{path} did not read back whole; is the disk full?")
        os.replace(temporary, path)
        if not passing:
            _sync_names(path.parent)
    except OSError as error:
        raise ResultsError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        temporary.unlink(missing_ok=True)
    return str(sealed["checksum"])


def _sync_names(folder: Path) -> None:
    """Have what was renamed in ``folder`` on the disk, before anything it replaces is deleted.

    Not every file system keeps the order of a rename and a later deletion over a power cut; not
    every system opens a folder.
    """
    if not hasattr(os, "O_DIRECTORY"):
        return
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def path_of(field: str, value: Any) -> Path:
    """The path that ``value`` is.

    Raises
    ------
    ValueError
        If it is none.

    >>> path_of("results", None)
    Traceback (most recent call last):
        ...
    ValueError: `results` must be a path, but got None
    """
    if isinstance(value, str | Path) and "\0" not in str(value):
        path = Path(value)
        sizes = [len(part.encode("utf-8", "surrogatepass")) for part in path.parts]
        if max(sizes, default=0) <= LONGEST_NAME:
            return path
    raise refused(field, value, "a path")


def read(table: str, path: Path | str) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Rows and metadata of one file; raises what `read_arrow` does."""
    if not isinstance(table, str) or table not in TABLES:
        raise refused("table", table, f"one of {', '.join(TABLES)}")
    arrow, metadata = read_arrow(table, path_of("path", path))
    return arrow.to_pandas(), metadata


def read_arrow(table: str, path: Path) -> tuple[pa.Table, dict[str, Any]]:
    """Rows and metadata of one file; a column that was added later is as `earlier` says.

    Raises
    ------
    DamagedFile
        If the file does not read, was altered since it was written, or is no table of this
        benchmark.
    ResultsError
        If it was written by another schema version.
    FileNotFoundError
        If there is none.
    """
    with _damage_told(path):
        with pq.ParquetFile(path) as file:
            arrow = file.read(use_threads=False)
        found = checksum(arrow)
    metadata = _verified(table, path, arrow.schema, found)
    return _completed(table, path, arrow.replace_schema_metadata()), metadata


def verify(table: str, path: Path) -> dict[str, Any]:
    """Metadata of one file, all of which is read, a column of a row group at a time.

    Raises what `read_arrow` does.
    """
    with _damage_told(path), pq.ParquetFile(path) as file:
        schema = file.schema_arrow

        def column(index: int) -> Iterator[pa.ChunkedArray]:
            for group in range(file.num_row_groups):
                name = schema.names[index]
                yield file.read_row_group(group, columns=[name], use_threads=False).column(0)

        found = _checksum(schema, file.metadata.num_rows, column)
    return _verified(table, path, schema, found)


def row_groups(table: str, path: Path) -> Iterator[pa.Table]:
    """The rows of a file that was verified, a row group at a time."""
    with _damage_told(path), pq.ParquetFile(path) as file:
        for group in range(file.num_row_groups):
            rows = file.read_row_group(group, use_threads=False)
            yield _completed(table, path, rows.replace_schema_metadata())


@contextmanager
def _damage_told(path: Path) -> Iterator[None]:
    try:
        yield
    except (FileNotFoundError, ResultsError):
        raise
    except PermissionError as error:
        raise ResultsError(f"cannot read {path}: {error.strerror or error}") from error
    except UNREADABLE as error:
        first = (str(error) or type(error).__name__).splitlines()[0]
        # what follows says nothing more, and ends in a stop
        reason = first.partition(". Either the file is corrupted")[0].rstrip(".")
        raise DamagedFile(f"{path} is not a readable parquet file: {reason}") from error


def _verified(table: str, path: Path, schema: pa.Schema, found: str) -> dict[str, Any]:
    """Metadata in ``schema`` of a file of this table, whose rows have the checksum ``found``."""
    metadata = _metadata(path, schema.metadata or {})
    if metadata.get("schema_version") != SCHEMA_VERSION:
        raise ResultsError(
            f"{path} has schema version {metadata.get('schema_version')}, this package reads "
            f"{SCHEMA_VERSION}; give another --results folder"
        )
    if metadata.get("table") != table:
        raise DamagedFile(f"{path} does not have the columns of {table}")
    if metadata.get("checksum") != found:
        raise DamagedFile(f"{path} was altered since it was written (its checksum differs)")
    return metadata


def _completed(table: str, path: Path, arrow: pa.Table) -> pa.Table:
    """``arrow`` with every column of its table, see `earlier`."""
    columns = TABLES[table]
    if unknown := [name for name in arrow.column_names if name not in columns]:
        raise ResultsError(
            f"{path} has the unknown columns {', '.join(unknown)}; was it written by a newer "
            "version of this package?"
        )
    schema = pa.schema(list(columns.items()))
    if arrow.schema.equals(schema):
        return arrow
    there = {field.name: field.type for field in arrow.schema}
    if lacking := [name for name in columns if name not in there and name not in LATER[table]]:
        raise DamagedFile(f"{path} lacks the columns {', '.join(lacking)}")
    if other := [f"{name} ({kind})" for name, kind in there.items() if kind != columns[name]]:
        raise DamagedFile(f"{path} has columns of another type: {', '.join(other)}")
    arrays = [
        arrow[name] if name in there else earlier(name, columns[name], arrow) for name in columns
    ]
    return pa.table(arrays, schema=schema)


def _seal(metadata: Mapping[str, Any]) -> str:
    """Sixteen hexadecimal digits, from all metadata but this."""
    rest = {name: value for name, value in metadata.items() if name != SEAL}
    return hashlib.blake2b(json.dumps(rest, sort_keys=True).encode(), digest_size=8).hexdigest()


def _metadata(path: Path, raw: Mapping[bytes, bytes]) -> dict[str, Any]:
    try:
        metadata = json.loads(raw[METADATA_KEY])
    except KeyError:
        raise DamagedFile(
            f"{path} was not written by this benchmark (it has no metadata of ours)"
        ) from None
    except ValueError:
        raise DamagedFile(f"{path} has metadata that do not read") from None
    if not isinstance(metadata, dict) or not all(
        isinstance(metadata.get(name, kind()), kind) for name, kind in METADATA.items()
    ):
        raise DamagedFile(f"{path} has metadata that do not read")
    if metadata.get(SEAL, _seal(metadata)) != _seal(metadata):
        raise DamagedFile(f"{path} was altered since it was written (its metadata differ)")
    return metadata
