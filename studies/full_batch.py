"""At one learning rate, do mini-batches diverge less than the full batch?

The full batch and mini-batches at the same learning rates, from those that train well to those at
which all diverge, without clipping and normalization. On a small part of the data the full batch
can make as many updates as any other size; the mini-batches get as many updates, and as many
examples. `studies/batch_updates.py` compares sizes at multiples of each one's own best rate
instead, which says nothing about one and the same rate.

smoke         8 trials          90 updates   0.000 core-hours
quick        36 trials       6,174 updates       - core-hours
standard     36 trials      61,650 updates       - core-hours
paper       300 trials   2,936,700 updates    0.32 core-hours
full        600 trials  19,578,100 updates       - core-hours
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from benchmark.driver.commandline import run
from benchmark.records import Study, rates_between


@dataclass(frozen=True)
class Settings:
    """What a scale decides; the defaults are those of ``paper``.

    ``part`` is the share of the data of which the full batch is taken, and ``updates`` is how often
    that is done: so many passes are equally many examples for all.
    """

    dataset: str = "fashion-mnist"
    models: Sequence[str] = ("mlp",)
    part: float = 0.02
    batch_sizes: Sequence[int] = (32, 256)
    rates: Sequence[float] = rates_between(0.316, 3.16, per_decade=4)
    updates: int = 1500
    seeds: int = 10
    checkpoints: int = 4


SMALL = Settings(
    dataset="digits",
    part=0.25,
    batch_sizes=(32,),
    rates=(0.1, 1.0, 10.0),
    updates=60,
    seeds=3,
)
SCALES = {
    "smoke": replace(SMALL, rates=(0.1, 10.0), updates=4, seeds=1),
    "quick": SMALL,
    "standard": replace(SMALL, dataset="fashion-mnist", part=0.02, updates=200, seeds=3),
    "paper": Settings(),
    "full": Settings(models=("mlp", "cnn"), updates=5000),
}


def study(scale: str) -> Study:
    """The full batch and mini-batches at ``scale``."""
    s = SCALES[scale]
    common: dict[str, Any] = {
        "dataset": s.dataset,
        "model": s.models,
        "train_fraction": s.part,
        "learning_rate": s.rates,
    }
    return Study(
        name="full_batch",
        question="At one learning rate, do mini-batches diverge less than the full batch?",
        factors=[
            common | budget | batch
            for budget in ({"updates": s.updates}, {"epochs": float(s.updates)})
            for batch in ({"batch_policy": "full"}, {"batch_size": s.batch_sizes})
        ],
        seeds=range(s.seeds),
        checkpoints=s.checkpoints,
    )


if __name__ == "__main__":
    sys.exit(run(study))
