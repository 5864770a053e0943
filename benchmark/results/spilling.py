"""Rows of many files put in the order of the plan, on the disk.

A study of 100,000 trials has two million rows of history, which lie in the order in which units
ended. They are dealt out to files, each of a stretch of the plan; then each is sorted by itself, so
that no more of them is in memory at once.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from benchmark.schema import KEYS, TABLES, kept

STRETCHES = 128
"""Most files of one table, which are open at once."""
LEAST = 2000
"""Fewest trials in a stretch."""
ROWS = 2**17
"""Rows of a row group from which the next begins."""
SOURCE, RANK = "_source", "_rank"


class Spill:
    """Rows of one table, on their way from many files to one.

    Parameters
    ----------
    folder
        Where they lie meanwhile, as ``.NAME.tmp``.
    planned
        Keys of trials in the order of the plan; rows of others come after these.

    Attributes
    ----------
    schema, num_rows
        Of what is left after `sort`.
    """

    def __init__(self, table: str, folder: Path, planned: Sequence[str]) -> None:
        self.table = table
        self.schema = pa.schema(list(TABLES[table].items()))
        self.num_rows = 0
        self._folder = folder
        self._size = max(LEAST, -(-len(planned) // STRETCHES))
        self._stretch = {trial: i // self._size for i, trial in enumerate(planned)}
        self._last = len(planned) // self._size + 1
        self._sources: dict[str, int] = {}
        self._open: dict[int, Any] = {}
        self._sorted: list[Path] = []

    def _path(self, name: str) -> Path:
        return self._folder / f".{self.table}.{name}.{os.getpid()}.tmp"

    def add(self, source: str, rows: pa.Table) -> None:
        """Deal out the rows of one file, or some of them."""
        number = self._sources.setdefault(source, len(self._sources))
        rows = rows.append_column(SOURCE, pa.array(np.full(len(rows), number, dtype=np.int32)))
        places = _by_trial(rows, lambda trial: self._stretch.get(trial, self._last))
        # a unit's rows lie trial after trial, so that few pieces are cut
        cuts = [0, *(np.flatnonzero(np.diff(places)) + 1).tolist(), len(rows)]
        for start, end in itertools.pairwise(cuts if len(rows) else ()):
            place = int(places[start])
            if place not in self._open:
                path = self._path(str(place))
                self._open[place] = pa.ipc.new_stream(str(path), rows.schema)
            self._open[place].write_table(rows.slice(start, end - start))

    def sort(self, order: Mapping[str, int], sources: Mapping[str, str]) -> None:
        """Put all rows in the order of ``order``, but those that do not count.

        Parameters
        ----------
        sources
            Of each trial, the file whose rows count.

        Raises
        ------
        SchemaError
            If two rows have the same key.
        """
        wanted = {trial: self._sources.get(source, -1) for trial, source in sources.items()}
        by = [*KEYS[self.table][:-1], "layer_index" if self.table == "layers" else "step"]
        for place in sorted(self._open):
            self._open.pop(place).close()
            spilled = self._path(str(place))
            with pa.ipc.open_stream(str(spilled)) as stream:
                rows = stream.read_all()
            spilled.unlink()
            counts = _by_trial(rows, lambda trial: wanted.get(trial, -1))
            rows = rows.filter(pa.array(counts == rows[SOURCE].to_numpy()))
            ranks = _by_trial(rows, lambda trial: order.get(trial, len(order)))
            rows = rows.append_column(RANK, pa.array(ranks))
            rows = rows.sort_by([(name, "ascending") for name in (RANK, *by)])
            rows = kept(self.table, rows.drop_columns([SOURCE, RANK]))
            self.num_rows += len(rows)
            self._sorted.append(self._path(f"{place}.sorted"))
            with pa.ipc.new_file(str(self._sorted[-1]), self.schema) as file:
                file.write_table(rows)

    def _columns(self, index: int | None) -> Iterator[pa.Table]:
        options = pa.ipc.IpcReadOptions(included_fields=None if index is None else [index])
        for path in self._sorted:
            with pa.OSFile(str(path)) as raw, pa.ipc.open_file(raw, options=options) as file:
                yield file.read_all()

    def column(self, index: int) -> Iterator[pa.ChunkedArray]:
        """One column, a stretch at a time."""
        return (rows.column(0) for rows in self._columns(index))

    def groups(self) -> Iterator[pa.Table]:
        """The rows, as many stretches at a time as make a row group."""
        waiting = [self.schema.empty_table()]
        for rows in self._columns(None):
            waiting.append(rows)
            if sum(map(len, waiting)) >= ROWS:
                yield pa.concat_tables(waiting)
                waiting = []
        if waiting:
            yield pa.concat_tables(waiting)

    def close(self) -> None:
        """Remove what lies on the disk."""
        for place in list(self._open):
            self._open.pop(place).close()
            self._path(str(place)).unlink(missing_ok=True)
        for path in self._sorted:
            path.unlink(missing_ok=True)


def _by_trial(rows: pa.Table, value: Callable[[str], int]) -> np.ndarray:
    """``value`` of each row's trial, asked for once a trial."""
    trials = rows["trial"].combine_chunks().dictionary_encode()
    values = np.array([value(trial) for trial in trials.dictionary.to_pylist()], dtype=np.int64)
    return values[trials.indices.to_numpy(zero_copy_only=False)]
