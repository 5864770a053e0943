"""Running studies: Optuna, processes, files."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from benchmark.driver.grid import run_study
    from benchmark.driver.options import Options
    from benchmark.driver.search import run_search

__all__ = ["Options", "run_search", "run_study"]

_HOMES = {"Options": "options", "run_search": "search", "run_study": "grid"}
"""Where the names are: imported when they are first asked for, because that takes seconds, and
whoever asks a script for help does without."""


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
