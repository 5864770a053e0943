"""Do public numbers come out here too?

Settings that others have published with their numbers, as far as this benchmark has their parts:
DeepOBS' small convolutional network after one pass (Schneider et al. 2019), small and large batches
of Keskar et al. (2017), the gradient's noise on MNIST of McCandlish et al. (2018), and the order of
two symbols with and without clipping (Pascanu et al. 2013). What was published, and where, stands
in `report/published.csv`; the report sets it beside what is measured here, and says what differs.
Up to the scale `quick` the digits stand in for what would be downloaded, and nothing is compared
that rests on them.

smoke       15 trials        116 updates   0.001 core-hours
quick       45 trials     14,889 updates    0.01 core-hours
standard    46 trials     58,930 updates       - core-hours
paper      135 trials    450,655 updates    0.62 core-hours
full       510 trials  8,296,810 updates       - core-hours
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from benchmark.driver.commandline import run
from benchmark.records import Study


@dataclass(frozen=True)
class Settings:
    """What a scale decides; the defaults are those of ``paper``."""

    clothing: str = "fashion-mnist-60k"
    numerals: str = "mnist-60k"
    passes: float = 1
    small_batch: int = 256
    large_batch: int = 6000
    epochs: float = 20
    noise_updates: int = 1500
    order_rates: Sequence[float] = (0.01, 0.03162, 0.1, 0.3162)
    order_updates: int = 5000
    order_seeds: int = 10
    seeds: int = 5
    checkpoints: int = 36


STANDING_IN = Settings(
    clothing="digits",
    numerals="digits",
    passes=4,
    small_batch=27,
    large_batch=107,
    epochs=10,
    noise_updates=200,
    order_rates=(0.01, 0.1),
    order_updates=1000,
    order_seeds=3,
    seeds=3,
    checkpoints=12,
)
SCALES = {
    "smoke": replace(
        STANDING_IN,
        passes=0.5,
        epochs=0.5,
        noise_updates=12,
        order_updates=12,
        order_seeds=1,
        seeds=1,
        checkpoints=4,
    ),
    "quick": STANDING_IN,
    "standard": Settings(epochs=5, noise_updates=500, order_updates=2000, order_seeds=3, seeds=2),
    "paper": Settings(),
    "full": Settings(epochs=100, order_updates=20_000, order_seeds=50, seeds=10),
}


def study(scale: str) -> Study:
    """The published settings at ``scale``."""
    s = SCALES[scale]
    first_pass: dict[str, Any] = {
        "dataset": s.clothing,
        "model": "cnn_2c2d",
        "initialization": "truncated_normal",
        "batch_size": 128,
        "epochs": s.passes,
    }
    two_sizes = {
        "dataset": s.numerals,
        "model": "mlp_deep",
        "depth": 5,
        "width": 512,
        "normalization": "batch",
        "initialization": "glorot",
        "optimizer": "adam",
        "learning_rate": 0.001,
        "epochs": s.epochs,
    }
    noise = {
        "dataset": s.numerals,
        "model": "cnn",
        "learning_rate": 0.1,
        "batch_size": s.small_batch,
        "updates": s.noise_updates,
    }
    order = {
        "dataset": "temporal-order",
        "model": "rnn",
        "width": 50,
        # the recurrent matrix is 0.95 times an orthogonal one, so that its radius is published
        "initialization": "orthogonal",
        "init_gain": 0.95,
        "clipping": ("none", "global_norm"),
        "learning_rate": s.order_rates,
        "batch_size": 20,
        "updates": s.order_updates,
        "seed": range(s.order_seeds),
    }
    return Study(
        name="published",
        question="Do public numbers come out here too?",
        factors=[
            first_pass | {"learning_rate": (0.01, 0.03981, 0.1, 0.3981, 0.631)},
            first_pass | {"optimizer": "momentum", "momentum": 0.99, "learning_rate": 0.002512},
            first_pass | {"optimizer": "adam", "learning_rate": (0.001, 0.0001)},
            two_sizes | {"batch_size": (s.small_batch, s.large_batch)},
            noise,
            order,
        ],
        seeds=range(s.seeds),
        checkpoints=s.checkpoints,
    )


if __name__ == "__main__":
    sys.exit(run(study))
