"""Does half precision make training explode, and does scaling the loss prevent it?

Single precision, bfloat16, and float16 without a scale, with a constant and with a dynamic one: the
dense network at 1, 3 and 10 times each precision's own best rate, where float16 may overflow; with
large batches, whose mean makes every example's error signal small; and a map of a deep network
whose signals shrink or grow from layer to layer, beyond what float16 has numbers for.

Half precision costs no more than single on a GPU, and several times as much on a CPU without such
arithmetic, on which these core-hours were estimated.

smoke        21 trials        252 updates   0.000 core-hours
quick       160 trials     16,000 updates    0.01 core-hours
standard    160 trials     53,000 updates       - core-hours
paper       525 trials    562,500 updates    0.86 core-hours
full        725 trials  2,837,500 updates       - core-hours
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from benchmark.driver.commandline import run
from benchmark.records import RelativeRates, Study

PRECISIONS = ("float32", "bfloat16", "float16", "float16_static", "float16_dynamic")


@dataclass(frozen=True)
class Settings:
    """What a scale decides; the defaults are those of ``paper``."""

    dataset: str = "fashion-mnist"
    models: Sequence[str] = ("mlp",)
    precisions: Sequence[str] = PRECISIONS
    rates: RelativeRates = RelativeRates(low=0.0316, high=0.316)
    large_batch: int | None = 512
    large_rates: RelativeRates | None = RelativeRates(low=0.1, high=1.0, multiples=(1,))
    updates: int = 1500
    depth: int = 20
    gains: Sequence[float] = (0.5, 0.7, 1.0, 1.4, 2.0)
    map_rates: Sequence[float] = (0.001, 0.01, 0.1)
    map_updates: int = 500
    map_seeds: Sequence[int] = (0, 1, 2)
    seeds: int = 10
    checkpoints: int = 20


SMALL = Settings(
    dataset="digits",
    rates=RelativeRates(low=0.1, high=1.0, seeds=(100,)),
    large_batch=None,
    updates=100,
    depth=8,
    gains=(0.5, 1.0, 2.0),
    map_rates=(0.01, 0.1),
    map_updates=100,
    seeds=3,
    checkpoints=8,
)
SCALES = {
    "smoke": replace(
        SMALL,
        precisions=("float32", "float16", "float16_dynamic"),
        rates=RelativeRates(low=0.1, high=0.316, multiples=(1, 10), seeds=(100,)),
        updates=12,
        gains=(0.5,),
        map_rates=(0.1,),
        map_updates=12,
        map_seeds=(0,),
        seeds=1,
        checkpoints=4,
    ),
    "quick": SMALL,
    "standard": replace(
        SMALL, dataset="fashion-mnist", updates=500, depth=20, map_updates=200, checkpoints=20
    ),
    "paper": Settings(),
    "full": Settings(models=("mlp", "cnn"), updates=5000, map_updates=1500),
}


def study(scale: str) -> Study:
    """The precisions at ``scale``."""
    s = SCALES[scale]
    common: dict[str, Any] = {"dataset": s.dataset, "precision": s.precisions}
    blocks = [common | {"model": s.models, "learning_rate": s.rates, "updates": s.updates}]
    if s.large_batch is not None:
        large = {"batch_size": s.large_batch, "learning_rate": s.large_rates}
        blocks.append(common | {"model": "mlp", "updates": s.updates} | large)
    deep = {"model": "mlp_deep", "depth": s.depth, "init_gain": s.gains, "seed": s.map_seeds}
    blocks.append(common | deep | {"learning_rate": s.map_rates, "updates": s.map_updates})
    return Study(
        name="precision",
        question="Does half precision make training explode, and does scaling the loss prevent it?",
        factors=blocks,
        seeds=range(s.seeds),
        checkpoints=s.checkpoints,
    )


if __name__ == "__main__":
    sys.exit(run(study))
