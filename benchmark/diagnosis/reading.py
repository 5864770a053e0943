"""Logs of training runs, whoever wrote them, as rows of values by name.

A format is told by its content: CSV (Lightning's ``metrics.csv`` among them), JSON lines, a
``trainer_state.json`` of Transformers, a JSON object of lists (Keras' history) or list of objects,
and the event files of TensorBoard.
"""

from __future__ import annotations

import codecs
import csv
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmark.diagnosis.tensorboard import NotEvents, scalars
from benchmark.names import quoted

Row = dict[str, Any]

FORMATS = (
    "CSV, JSON lines, a Transformers trainer_state.json, a Lightning metrics.csv or TensorBoard "
    "events"
)
IN_A_FOLDER = ("trainer_state.json", "metrics.csv", "metrics.jsonl")
"""What is looked for in a folder that has no event files."""
EVENTS = "*tfevents*"
DELIMITERS = ",\t;"
_DECIMAL_COMMA = re.compile(r"^\s*([+-]?\d+),(\d+(?:[eE][+-]?\d+)?)\s*$")


class LogError(ValueError):
    """A log that cannot be read or understood; the message is one line."""


@dataclass(frozen=True)
class Rows:
    """Rows of a log in the order of the file, and what had to be passed over to read them."""

    rows: list[Row]
    kind: str
    notes: list[str] = field(default_factory=list)


def read_rows(path: Path) -> Rows:
    """The rows of the log at ``path``, a file or a folder that holds one.

    Raises
    ------
    LogError
        If there is none, or it is in none of the formats.
    """
    try:
        if path.is_dir():
            return _in_folder(path)
        if "tfevents" in path.name:
            return _events([path])
        data = path.read_bytes()
    except NotEvents as error:
        raise LogError(f"{path} is no file of TensorBoard events: {error}") from None
    except OSError as error:
        raise LogError(f"cannot read {path}: {error.strerror or error}") from None
    if not data.strip():
        raise LogError(f"{path} is empty")
    try:
        # as Excel and PowerShell write it, which say so in their first two bytes
        wide = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        text = data.decode("utf-16" if wide else "utf-8-sig")
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        raise LogError(f"{path} is no text; allowed: {FORMATS}")
    found = _json(path, text) if text.lstrip()[0] in "{[" else _csv(path, text)
    if not found.rows:
        raise LogError(f"{path} has no rows")
    return found


def _in_folder(path: Path) -> Rows:
    if events := sorted(path.glob(EVENTS)):
        return _events(events)
    for name in IN_A_FOLDER:
        if (path / name).is_file():
            return read_rows(path / name)
    raise LogError(f"{path} has no log; looked for TensorBoard events, {', '.join(IN_A_FOLDER)}")


def _events(paths: list[Path]) -> Rows:
    rows, notes = [], []
    for path in paths:
        found, whole = scalars(path.read_bytes())
        rows += [{"step": step, tag: value} for step, tag, value in found]
        if not whole:
            notes.append(f"{path.name} ends in the middle of a record, which is left out")
    if not rows:
        raise LogError(f"{paths[0]} has no scalars")
    return Rows(rows, "TensorBoard events", notes)


def _csv(path: Path, text: str) -> Rows:
    lines = text.splitlines()
    start = next(i for i, line in enumerate(lines) if line.strip())
    delimiter = max(DELIMITERS, key=lines[start].count)
    try:
        table = list(csv.reader(lines[start:], delimiter=delimiter))
    except csv.Error as error:
        raise LogError(f"{path} is no CSV that can be read: {error}") from None
    header = [name.strip() for name in table[0]]
    if all(_is_number(name) for name in header if name):
        raise LogError(
            f"the first line of {path} must name the columns, but got {quoted(lines[start])}"
        )
    if len(header) == 1 and not any(_is_number(cell) for row in table[1:] for cell in row):
        raise LogError(
            f"{path} has no columns, but lines such as {quoted(lines[start])}; allowed: {FORMATS}"
        )
    if twice := [name for i, name in enumerate(header) if name and name in header[:i]]:
        raise LogError(f"{path} has two columns {twice[0]!r}")
    rows, headers = [], 0
    for number, cells in enumerate(table[1:], start + 2):
        if not any(cell.strip() for cell in cells):
            continue
        # what appends to a file after a restart may write its header again
        if [cell.strip() for cell in cells] == header:
            headers += 1
            continue
        if len(cells) > len(header):
            raise LogError(
                f"line {number} of {path} has {len(cells)} cells, but the first one names "
                f"{len(header)} columns"
            )
        if delimiter == ";":
            # which is what separates cells where a comma stands before decimals
            cells = [_DECIMAL_COMMA.sub(r"\1.\2", cell) for cell in cells]
        rows.append({k: v for k, v in zip(header, cells, strict=False) if k})
    notes = [f"the header stands {headers + 1} times; it counts once"] if headers else []
    return Rows(rows, "CSV", notes)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _json(path: Path, text: str) -> Rows:
    try:
        whole = json.loads(text)
    except ValueError:
        return _json_lines(path, text)
    except RecursionError:
        raise LogError(f"{path} is nested too deeply") from None
    if isinstance(whole, dict) and isinstance(whole.get("log_history"), list):
        rows, kind = whole["log_history"], "trainer_state.json"
    elif (lists := _lists(whole)) is not None:
        lengths = {name: len(values) for name, values in lists.items()}
        if len(set(lengths.values())) > 1:
            raise LogError(f"the lists in {path} must be equally long, but got {quoted(lengths)}")
        columns = zip(*lists.values(), strict=True)
        rows, kind = [dict(zip(lists, values, strict=True)) for values in columns], "JSON"
    else:
        rows, kind = whole if isinstance(whole, list) else [whole], "JSON"
    return Rows([_flat(path, row, i) for i, row in enumerate(rows, 1)], kind)


def _lists(whole: Any) -> Mapping[str, list[Any]] | None:
    """The object of lists that ``whole`` is, or has in it, as the history of Keras does."""
    if not isinstance(whole, dict):
        return None
    for found in (whole, *whole.values()):
        if isinstance(found, dict) and found and all(isinstance(v, list) for v in found.values()):
            return found
    return None


def _json_lines(path: Path, text: str) -> Rows:
    lines = [(i, line) for i, line in enumerate(text.splitlines(), 1) if line.strip()]
    rows: list[Row] = []
    for number, line in lines:
        try:
            rows.append(_flat(path, json.loads(line), number))
        except (ValueError, RecursionError) as error:
            if isinstance(error, LogError):
                raise
            if rows and number == lines[-1][0]:
                return Rows(rows, "JSON lines", ["the last line is cut short, and left out"])
            allowed = "" if rows else f"; allowed: {FORMATS}"
            raise LogError(f"line {number} of {path} is no JSON: {quoted(line)}{allowed}") from None
    return Rows(rows, "JSON lines")


def _flat(path: Path, row: Any, number: int) -> Row:
    """``{"train": {"loss": 1}}`` as ``{"train/loss": 1}``."""
    if not isinstance(row, Mapping):
        raise LogError(f"row {number} of {path} must be an object, but got {quoted(row)}")
    return dict(_leaves("", row))


def _leaves(prefix: str, row: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in row.items():
        if isinstance(value, Mapping):
            yield from _leaves(f"{prefix}{name}/", value)
        else:
            yield f"{prefix}{name}", value
