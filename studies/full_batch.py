"""At one learning rate, which batch sizes diverge: mini-batches, large ones or the full batch?

The full batch and mini-batches at the same learning rates, from those that train well to those at
which all diverge, without clipping and normalization. On a small part of the data the full batch
can make as many updates as any other size; the mini-batches get as many updates, and as many
examples. On all of the data sizes are compared at equal updates in a second network, and with the
global norm clipped, which bounds a step whatever the size. `studies/batch_updates.py` compares
sizes at multiples of each one's own best rate instead, which says nothing about one and the same
rate.

smoke        8 trials          90 updates   0.000 core-hours
quick       72 trials       8,334 updates       - core-hours
standard    72 trials      68,850 updates       - core-hours
paper      885 trials   3,229,200 updates    0.40 core-hours
full     1,185 trials  22,503,100 updates       - core-hours
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from benchmark.driver.commandline import run
from benchmark.records import Study, rates_between


@dataclass(frozen=True)
class Map:
    """Batch sizes of a network on all of the data, over rates at which some of them fail.

    ``threshold`` is that of the global norm; without it nothing is clipped.
    """

    model: str
    batch_sizes: Sequence[int]
    rates: Sequence[float]
    threshold: float | None = None
    seeds: int = 10


def maps() -> tuple[Map, ...]:
    """Those of ``paper``: clipped at a lower threshold, training fails from higher rates on."""
    sizes = (8, 32, 512)
    return (
        Map("mlp", sizes, rates_between(0.1, 3.16, per_decade=4)),
        Map("mlp", sizes, rates_between(0.562, 5.62, per_decade=4), threshold=1.0),
        Map("mlp", sizes, rates_between(5.62, 56.2, per_decade=4), threshold=0.1),
        Map("cnn", (8, 32, 128), rates_between(0.1, 1, per_decade=4), seeds=5),
    )


@dataclass(frozen=True)
class Settings:
    """What a scale decides; the defaults are those of ``paper``.

    ``part`` is the share of the data of which the full batch is taken, and ``updates`` is how often
    that is done: so many passes are equally many examples for all. ``map_updates`` is how many
    updates are made on all of the data.
    """

    dataset: str = "fashion-mnist"
    models: Sequence[str] = ("mlp",)
    part: float = 0.02
    batch_sizes: Sequence[int] = (32, 256)
    rates: Sequence[float] = rates_between(0.316, 3.16, per_decade=4)
    updates: int = 1500
    seeds: int = 10
    maps: Sequence[Map] = field(default_factory=maps)
    map_updates: int = 500
    checkpoints: int = 4


SMALL = Settings(
    dataset="digits",
    part=0.25,
    batch_sizes=(32,),
    rates=(0.1, 1.0, 10.0),
    updates=60,
    seeds=3,
    maps=(
        Map("mlp", (8, 64), (0.1, 1.0, 10.0), seeds=3),
        Map("mlp", (8, 64), (1.0, 10.0, 100.0), threshold=1.0, seeds=3),
    ),
    map_updates=60,
)
SCALES = {
    "smoke": replace(SMALL, rates=(0.1, 10.0), updates=4, seeds=1, maps=(), map_updates=4),
    "quick": SMALL,
    "standard": replace(
        SMALL, dataset="fashion-mnist", part=0.02, updates=200, seeds=3, map_updates=200
    ),
    "paper": Settings(),
    "full": Settings(models=("mlp", "cnn"), updates=5000, map_updates=5000),
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
    on_all: list[dict[str, Any]] = [
        {
            "dataset": s.dataset,
            "model": m.model,
            "batch_size": m.batch_sizes,
            "learning_rate": m.rates,
            "updates": s.map_updates,
            "seed": range(m.seeds),
        }
        | (
            {}
            if m.threshold is None
            else {"clipping": "global_norm", "clipping_threshold": m.threshold}
        )
        for m in s.maps
    ]
    return Study(
        name="full_batch",
        question="At one learning rate, which batch sizes diverge: mini-batches, large ones or the "
        "full batch?",
        factors=[
            *(
                common | budget | batch
                for budget in ({"updates": s.updates}, {"epochs": float(s.updates)})
                for batch in ({"batch_policy": "full"}, {"batch_size": s.batch_sizes})
            ),
            *on_all,
        ],
        seeds=range(s.seeds),
        checkpoints=s.checkpoints,
    )


if __name__ == "__main__":
    sys.exit(run(study))
