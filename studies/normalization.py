"""Which normalization degrades at small batches?

Every normalization at every batch size, each pair at its own best learning rate, with two budgets
side by side: equal examples, where a small batch makes more updates, and equal updates, where it
sees fewer examples. Pairs that are not defined (instance normalization in a dense network) are rows
that say so. Which normalization widens the range of rates is asked by `studies/learning_rate.py`.

smoke       96 trials       3,096 updates   0.001 core-hours
quick      864 trials     200,496 updates    0.02 core-hours
standard   528 trials     519,968 updates       - core-hours
paper    1,408 trials   4,846,336 updates    1.05 core-hours
full     6,336 trials  37,412,760 updates       - core-hours
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from benchmark.driver.commandline import run
from benchmark.records import RelativeRates, Study
from benchmark.strategies.declared import names_of

NAMES = names_of("normalization")


@dataclass(frozen=True)
class Settings:
    """What a scale decides; the defaults are those of ``paper``."""

    dataset: str = "fashion-mnist"
    mlp_normalizations: Sequence[str] = tuple(n for n in NAMES if n != "instance")
    cnn_normalizations: Sequence[str] = ("none", "batch", "layer", "group")
    mlp_batch_sizes: Sequence[int] = (4, 32, 256)
    cnn_batch_sizes: Sequence[int] = (4, 32)
    epochs: float = 1
    updates: int = 1562
    rates: RelativeRates = RelativeRates(low=0.0316, high=1.0, multiples=(1,))
    seeds: int = 10
    checkpoints: int = 20


SMALL = Settings(
    dataset="digits",
    mlp_normalizations=NAMES,
    cnn_normalizations=NAMES,
    mlp_batch_sizes=(2, 8, 32, 128),
    cnn_batch_sizes=(2, 32),
    epochs=2,
    updates=66,
    rates=RelativeRates(low=0.1, high=1.0, multiples=(1,), seeds=(100,), extensions=1),
    seeds=3,
)
SCALES = {
    "smoke": replace(
        SMALL,
        mlp_normalizations=("none", "batch"),
        cnn_normalizations=("none", "batch"),
        mlp_batch_sizes=(2, 32),
        cnn_batch_sizes=(2, 32),
        epochs=0.2,
        updates=8,
        seeds=1,
        checkpoints=4,
    ),
    "quick": SMALL,
    "standard": replace(
        SMALL,
        dataset="fashion-mnist",
        cnn_normalizations=("none", "batch", "group"),
        mlp_batch_sizes=(4, 32, 256),
        cnn_batch_sizes=(4, 32),
        epochs=0.32,
        updates=500,
    ),
    "paper": Settings(),
    "full": Settings(
        cnn_normalizations=NAMES,
        mlp_batch_sizes=(1, 2, 4, 8, 16, 32, 128, 512, 2048),
        cnn_batch_sizes=(1, 2, 4, 8, 16, 32, 128, 512),
    ),
}


def study(scale: str) -> Study:
    """The normalizations at ``scale``."""
    s = SCALES[scale]
    common: dict[str, Any] = {"dataset": s.dataset, "learning_rate": s.rates}
    mlp = {
        "model": "mlp",
        "normalization": s.mlp_normalizations,
        "batch_size": s.mlp_batch_sizes,
    }
    cnn = {
        "model": "cnn",
        "normalization": s.cnn_normalizations,
        "batch_size": s.cnn_batch_sizes,
    }
    return Study(
        name="normalization",
        question="Which normalization degrades at small batches, at equal examples and at equal "
        "updates?",
        factors=[
            common | network | budget
            for network in (mlp, cnn)
            for budget in ({"epochs": s.epochs}, {"updates": s.updates})
        ],
        seeds=range(s.seeds),
        checkpoints=s.checkpoints,
    )


if __name__ == "__main__":
    sys.exit(run(study))
