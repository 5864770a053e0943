"""Gradient explosion and batch updates, measured.

>>> from benchmark import Trial, train
>>> record = train([Trial(learning_rate=rate, epochs=0.5) for rate in (0.1, 1e12)], device="cpu")
>>> record.trials["status"].tolist()
['stable', 'nonfinite']
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from benchmark.project import VERSION as __version__
from benchmark.records import Range, RelativeRates, Search, Study, Trial

if TYPE_CHECKING:
    from benchmark import clip
    from benchmark.clip import Guard
    from benchmark.contracts import check
    from benchmark.data import Dataset, Splits, tensor_dataset
    from benchmark.driver.commandline import run
    from benchmark.engine import Record, train
    from benchmark.models import Initialization, Model, module_model
    from benchmark.results import load_study
    from benchmark.strategies.batch_policies import (
        BatchPolicy,
        Decision,
        GradientSample,
        Observation,
    )
    from benchmark.strategies.clipping import Clipping, Context, chain, norm_of, scale_to
    from benchmark.strategies.disturbances import Disturbance
    from benchmark.strategies.losses import Loss
    from benchmark.strategies.normalization import Normalization
    from benchmark.strategies.optimizers import Optimizer, UpdateContext
    from benchmark.strategies.schedules import Schedule

__all__ = [
    "BatchPolicy",
    "Clipping",
    "Context",
    "Dataset",
    "Decision",
    "Disturbance",
    "GradientSample",
    "Guard",
    "Initialization",
    "Loss",
    "Model",
    "Normalization",
    "Observation",
    "Optimizer",
    "Range",
    "Record",
    "RelativeRates",
    "Schedule",
    "Search",
    "Splits",
    "Study",
    "Trial",
    "UpdateContext",
    "__version__",
    "chain",
    "check",
    "clip",
    "load_study",
    "module_model",
    "norm_of",
    "run",
    "scale_to",
    "tensor_dataset",
    "train",
]


_HOMES = {
    "benchmark.clip": ("Guard",),
    "benchmark.contracts": ("check",),
    "benchmark.data": ("Dataset", "Splits", "tensor_dataset"),
    "benchmark.driver.commandline": ("run",),
    "benchmark.engine": ("Record", "train"),
    "benchmark.models": ("Initialization", "Model", "module_model"),
    "benchmark.results": ("load_study",),
    "benchmark.strategies.batch_policies": (
        *("BatchPolicy", "Decision", "GradientSample", "Observation"),
    ),
    "benchmark.strategies.clipping": ("Clipping", "Context", "chain", "norm_of", "scale_to"),
    "benchmark.strategies.disturbances": ("Disturbance",),
    "benchmark.strategies.losses": ("Loss",),
    "benchmark.strategies.normalization": ("Normalization",),
    "benchmark.strategies.optimizers": ("Optimizer", "UpdateContext"),
    "benchmark.strategies.schedules": ("Schedule",),
}
"""Where the names are that need torch, or pandas: imported when they are first asked for, because
that takes seconds, and the report and most commands do without."""


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def __getattr__(name: str) -> Any:
    if name == "clip":
        return importlib.import_module("benchmark.clip")
    for home, names in _HOMES.items():
        if name in names:
            return getattr(importlib.import_module(home), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
