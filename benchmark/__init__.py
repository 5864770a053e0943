"""Gradient explosion and batch updates, measured.

>>> from benchmark import Trial, train
>>> record = train([Trial(learning_rate=rate, epochs=0.5) for rate in (0.1, 1e12)], device="cpu")
>>> record.trials["status"].tolist()
['stable', 'nonfinite']
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from benchmark.project import VERSION as __version__
from benchmark.records import Range, RelativeRates, Search, Study, Trial
from benchmark.results import load_study

if TYPE_CHECKING:
    from benchmark.contracts import check
    from benchmark.data import Dataset, Splits, tensor_dataset
    from benchmark.driver.commandline import run
    from benchmark.engine import Record, train
    from benchmark.models import Initialization, Model, module_model
    from benchmark.strategies.batch_policies import BatchPolicy, Decision, Observation
    from benchmark.strategies.clipping import Clipping, Context, chain, scale_to
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
    "load_study",
    "module_model",
    "run",
    "scale_to",
    "tensor_dataset",
    "train",
]


def __getattr__(name: str) -> Any:
    # torch is imported only where something is trained: the report needs none
    if name == "run":
        from benchmark.driver.commandline import run

        return run
    if name == "check":
        from benchmark.contracts import check

        return check
    if name in __all__:
        from benchmark import data, engine, models
        from benchmark.strategies import (
            batch_policies,
            clipping,
            disturbances,
            losses,
            normalization,
            optimizers,
            schedules,
        )

        factors = (batch_policies, clipping, disturbances, losses, normalization)
        for module in (data, engine, models, *factors, optimizers, schedules):
            if hasattr(module, name):
                return getattr(module, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
