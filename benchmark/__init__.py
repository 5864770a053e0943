"""Gradient explosion and batch updates, measured.

>>> from benchmark import Trial, train
>>> record = train([Trial(learning_rate=rate, epochs=0.5) for rate in (0.1, 1e12)], device="cpu")
>>> record.trials["status"].tolist()
['stable', 'nonfinite']
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from benchmark.records import Range, RelativeRates, Search, Study, Trial
from benchmark.results import load_study

if TYPE_CHECKING:
    from benchmark.data import Dataset, Splits, tensor_dataset
    from benchmark.engine import Record, train
    from benchmark.models import Initialization, Model, module_model
    from benchmark.strategies.batch_policies import BatchPolicy, Decision, Observation
    from benchmark.strategies.clipping import Clipping
    from benchmark.strategies.disturbances import Disturbance
    from benchmark.strategies.losses import Loss
    from benchmark.strategies.normalization import Normalization
    from benchmark.strategies.optimizers import Optimizer
    from benchmark.strategies.schedules import Schedule

__all__ = [
    "BatchPolicy",
    "Clipping",
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
    "load_study",
    "module_model",
    "tensor_dataset",
    "train",
]


def __getattr__(name: str) -> Any:
    # torch is imported only where something is trained: the report needs none
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
