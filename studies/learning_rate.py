"""Which learning rates train, and do schedules, clipping or normalization widen their range?

A range test raises the rate through six decades within one run. Schedules are compared at every
quarter-decade, and so is every clipping and every normalization at a constant rate: the stable
range and the sensitivity to the rate (Wortsman et al. 2023, arXiv:2309.14322) come from the same
rates for all. Sharpness is measured against 2 / eta (Cohen et al. 2021, arXiv:2103.00065).

smoke        13 trials         208 updates   0.000 core-hours
quick       828 trials     104,130 updates    0.02 core-hours
standard    924 trials     447,000 updates       - core-hours
paper     5,640 trials   8,190,000 updates    1.25 core-hours
full     13,840 trials  68,100,000 updates       - core-hours
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace

from benchmark.driver.commandline import run
from benchmark.records import Study, rates_between
from benchmark.strategies.declared import COMPARED, names_of


@dataclass(frozen=True)
class Settings:
    """What a scale decides; the defaults are those of ``paper``."""

    dataset: str = "fashion-mnist"
    models: Sequence[str] = ("mlp",)
    updates: int = 1500
    rates: Sequence[float] = rates_between(0.00316, 31.6, per_decade=4)
    schedules: Sequence[str] = (
        *("constant", "step", "cosine", "warmup", "warmup_cosine", "one_cycle", "plateau"),
    )
    clippings: Sequence[str] = COMPARED
    normalizations: Sequence[str] = names_of("normalization")
    seeds: int = 10
    checkpoints: int = 20
    sharpness: bool = True


SMALL = Settings(
    dataset="digits",
    updates=130,
    rates=(0.001, 0.01, 0.1, 0.3, 1.0, 3.0, 10.0, 100.0),
    seeds=3,
)
SCALES = {
    "smoke": replace(
        SMALL,
        updates=16,
        rates=(0.1, 10.0),
        schedules=("constant", "step"),
        clippings=("none", "global_norm"),
        normalizations=("none", "batch"),
        seeds=1,
        checkpoints=4,
        sharpness=False,
    ),
    "quick": SMALL,
    "standard": replace(
        SMALL,
        dataset="fashion-mnist",
        updates=500,
        rates=(0.001, *rates_between(0.01, 10), 100.0),
    ),
    "paper": Settings(),
    "full": Settings(
        models=("mlp", "cnn"),
        updates=5000,
        rates=rates_between(0.001, 100, per_decade=4),
    ),
}


def study(scale: str) -> Study:
    """The rates at ``scale``."""
    s = SCALES[scale]
    common = {
        "dataset": s.dataset,
        "model": s.models,
        "updates": s.updates,
        "learning_rate": s.rates,
    }
    top = {"learning_rate": 100.0, "schedule": "range_test"}
    return Study(
        name="learning_rate",
        question="Which learning rates train, and do schedules, clipping or normalization widen "
        "their range?",
        factors=[
            common | {"schedule": s.schedules, "normalization": ("none", "batch")},
            common | {"clipping": s.clippings},
            common | {"normalization": s.normalizations},
            common | top | {"clipping": s.clippings},
            common | top | {"normalization": s.normalizations},
        ],
        seeds=range(s.seeds),
        checkpoints=s.checkpoints,
        sharpness=s.sharpness,
    )


if __name__ == "__main__":
    sys.exit(run(study))
