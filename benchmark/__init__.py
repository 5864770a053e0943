"""Gradient explosion and batch updates, measured.

>>> from benchmark import Trial, train
>>> record = train([Trial(learning_rate=rate, epochs=0.5) for rate in (0.1, 1e12)], device="cpu")
>>> record.trials["status"].tolist()
['stable', 'nonfinite']
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from benchmark.records import Range, Search, Study, Trial
from benchmark.results import load_study

if TYPE_CHECKING:
    from benchmark.engine import Record, train

__all__ = ["Range", "Record", "Search", "Study", "Trial", "load_study", "train"]


def __getattr__(name: str) -> Any:
    # torch is imported only where something is trained: the report needs none
    if name in ("Record", "train"):
        from benchmark import engine

        return getattr(engine, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
