"""Custom objects from the script that defines them, to train its trials again."""

from __future__ import annotations

import importlib.util
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from benchmark.driver.digests import custom_digests, digest
from benchmark.engine import REGISTRIES
from benchmark.project import SCALES
from benchmark.records import Search, Study
from benchmark.records.narrowing import custom_objects
from benchmark.results import ResultsError

Parts = Mapping[tuple[str, str], Any]
"""Custom objects by name and digest: another with the same name is not the one that was trained."""


def parts_of(script: Path) -> dict[tuple[str, str], Any]:
    """The custom objects of ``script``: those of the module, and those of its study at any scale.

    The script is imported under its own name, so that worker processes find it too; what it guards
    with ``if __name__ == "__main__"`` does not run.

    Raises
    ------
    ResultsError
        If there is no such file, it cannot be imported, or its name is that of another module.
    """
    module = _imported(script)
    found = {
        (value.name, digest(value)): value
        for value in vars(module).values()
        if isinstance(getattr(value, "name", None), str) and not isinstance(value, type)
    }
    for scale in SCALES:
        try:
            study = module.study(scale)
        except Exception:
            # no function of that name, or it does not know the scale
            continue
        if not isinstance(study, Study | Search):
            continue
        objects = custom_objects(study.blocks())
        found |= {
            (name, made): objects[factor, name]
            for (factor, name), made in custom_digests(study).items()
        }
    return found


def _imported(script: Path) -> ModuleType:
    path = script.resolve()
    if not path.is_file():
        raise ResultsError(f"no script {str(script)!r}")
    there = sys.modules.get(path.stem)
    if there is not None and getattr(there, "__file__", None) == str(path):
        return there
    if there is not None or path.stem in sys.stdlib_module_names:
        raise ResultsError(f"{script} has the name of another module; rename it")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise ResultsError(f"{script} is no Python script")
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(path.parent))
    sys.modules[path.stem] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[path.stem]
        sys.path.remove(str(path.parent))
        raise ResultsError(
            f"{script} cannot be imported: {type(error).__name__}: {error}"
        ) from error
    return module


def objects_of(row: Mapping[Any, Any], parts: Parts) -> dict[str, Any] | None:
    """The object of every custom part of a trial's row, by factor; None if one is not to be had."""
    found = {}
    for factor, registry in REGISTRIES.items():
        if row[factor] in registry:
            continue
        made = re.search(rf"\b{factor}:(\w+)", str(row["custom"]))
        if made is None or (row[factor], made[1]) not in parts:
            return None
        found[factor] = parts[row[factor], made[1]]
    return found
