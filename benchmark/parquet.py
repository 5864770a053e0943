"""One result file: written whole or not at all, and sealed with a checksum of its rows."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from benchmark.schema import LATER, SCHEMA_VERSION, TABLES, earlier, to_arrow

METADATA_KEY = b"benchmark"

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


def _small(rows: pa.Table) -> dict[str, Any]:
    """Rounded numbers have zeros in half of their bytes, which compress once they lie side by side:
    a history of 4.8 MB becomes one of 2.6."""
    real = [field.name for field in rows.schema if pa.types.is_floating(field.type)]
    others = [name for name in rows.column_names if name not in real]
    return {**SMALL, "use_byte_stream_split": real, "use_dictionary": others}


class ResultsError(Exception):
    """A results folder or file that cannot be used; the message names it and what to do."""


class DamagedFile(ResultsError):
    """A file that is cut short, was altered, or is no file of this benchmark."""


def checksum(rows: pa.Table) -> str:
    """Sixteen hexadecimal digits, from the names and values of every column."""
    digest = hashlib.blake2b(digest_size=8)
    for name, column in zip(rows.column_names, rows.columns, strict=True):
        digest.update(f"{name} {column.type} {rows.num_rows}".encode())
        if pa.types.is_string(column.type):
            digest.update(repr(column.to_pylist()).encode())
        else:
            # a missing number becomes NaN, whatever lies under it
            digest.update(column.to_numpy().tobytes())
    return digest.hexdigest()


def write(
    table: str,
    data: pd.DataFrame | pa.Table,
    path: Path,
    metadata: Mapping[str, Any],
    *,
    passing: bool = False,
) -> str:
    """Write ``data`` to ``path`` whole or not at all; returns the checksum of its rows.

    The rows are checked against the schema (a table of arrow's has been, by `to_arrow`), written
    to a temporary sibling, counted there, and only then moved over ``path``. The file is small and
    on the disk when this returns; a ``passing`` one is neither, but quickly written.

    Raises
    ------
    ResultsError
        If the folder cannot be written, or the file does not read back.
    SchemaError
        If the rows do not keep the contract.
    """
    arrow = data if isinstance(data, pa.Table) else to_arrow(table, data)
    sealed = {"schema_version": SCHEMA_VERSION, **metadata, "table": table}
    sealed["checksum"] = checksum(arrow)
    sealed[SEAL] = _seal(sealed)
    arrow = arrow.replace_schema_metadata({METADATA_KEY: json.dumps(sealed).encode()})
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            pq.write_table(arrow, file, **(QUICK if passing else _small(arrow)))
            file.flush()
            if not passing:
                os.fsync(file.fileno())
        if pq.read_metadata(temporary).num_rows != arrow.num_rows:
            raise ResultsError(f"{path} did not read back whole; is the disk full?")
        os.replace(temporary, path)
    except OSError as error:
        raise ResultsError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        temporary.unlink(missing_ok=True)
    return str(sealed["checksum"])


def read(table: str, path: Path) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Rows and metadata of one file; raises what `read_arrow` does."""
    arrow, metadata = read_arrow(table, path)
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
    try:
        with pq.ParquetFile(path) as file:
            arrow = file.read(use_threads=False)
        found = checksum(arrow)
    except FileNotFoundError:
        raise
    except PermissionError as error:
        raise ResultsError(f"cannot read {path}: {error.strerror or error}") from error
    except UNREADABLE as error:
        first = (str(error) or type(error).__name__).splitlines()[0]
        raise DamagedFile(f"{path} is not a readable parquet file: {first}") from error
    metadata = _metadata(path, arrow.schema.metadata or {})
    if metadata.get("schema_version") != SCHEMA_VERSION:
        raise ResultsError(
            f"{path} has schema version {metadata.get('schema_version')}, this package reads "
            f"{SCHEMA_VERSION}; give another --results folder"
        )
    if metadata.get("table") != table:
        raise DamagedFile(f"{path} does not have the columns of {table}")
    if metadata.get("checksum") != found:
        raise DamagedFile(f"{path} was altered since it was written (its checksum differs)")
    return _completed(table, path, arrow.replace_schema_metadata()), metadata


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
