"""The files in which a unit lands before they are merged."""

from __future__ import annotations

import itertools
import logging
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from benchmark.parquet import DamagedFile, read_arrow
from benchmark.results.sharing import clash

PART = re.compile(r"([0-9a-f]{12})\.(plan|layers|history|trials)\.parquet")
DAMAGED = ".damaged"

log = logging.getLogger(__name__)

Unit = dict[str, Path]
"""A unit's files by table."""


def units_in(parts: Path, report_others: bool = False) -> dict[str, Unit]:
    """The files in a folder of parts by unit and table; foreign files are left alone."""
    units: dict[str, Unit] = {}
    if not parts.is_dir():
        return units
    for path in sorted(parts.iterdir()):
        if match := PART.fullmatch(path.name):
            units.setdefault(match[1], {})[match[2]] = path
        elif report_others and not path.name.endswith((DAMAGED, ".tmp")):
            log.warning("%s is no file of this benchmark, and is left alone", path)
    return units


def study_of_parts(units: Mapping[str, Unit]) -> dict[str, Any] | None:
    """Definition of the study that wrote the first part that can be read; None without any."""
    for unit in units.values():
        try:
            if "trials" in unit and (study := read_arrow("trials", unit["trials"])[1].get("study")):
                return dict(study)
        except DamagedFile:
            continue
    return None


def unit_tables(
    unit: Unit, definition: Mapping[str, Any] | None
) -> dict[str, tuple[pa.Table, dict[str, Any]]]:
    """The tables of one unit, which belong together.

    Raises
    ------
    DamagedFile
        If one is damaged or missing, or was not written with these trials or by this study.
    """
    tables = {table: read_arrow(table, unit[table]) for table in unit}
    beside = tables["trials"][1].get("beside") or {}
    for table, expected in beside.items():
        path = unit["trials"].with_name(unit["trials"].name.replace(".trials.", f".{table}."))
        found = tables[table][1].get("checksum") if table in tables else None
        if found != expected:
            what = "is missing" if found is None else f"was not written with {unit['trials'].name}"
            raise DamagedFile(f"{path} {what}")
    for table, (_, metadata) in tables.items():
        check_study(unit[table], metadata, definition)
    return tables


def check_study(
    path: Path, metadata: Mapping[str, Any], definition: Mapping[str, Any] | None
) -> None:
    """Raise a DamagedFile if ``path`` was written by another study than ``definition``."""
    study = metadata.get("study")
    if study and definition and (reason := clash(study, definition)):
        raise DamagedFile(f"{path} is of another study: {reason}")


def free_name(path: Path) -> Path:
    """A name for ``path`` set aside, that no file has."""
    names = (
        f"{path.name}{'' if number == 1 else f'.{number}'}{DAMAGED}"
        for number in itertools.count(1)
    )
    return next(free for name in names if not (free := path.with_name(name)).exists())
