"""Which learning rates train, and do schedules widen the range?

A range test raises the rate through six decades within one run. Schedules are compared at every
rate of a fixed logarithmic grid, and so is every clipping and every normalization at a constant
rate: the stable range and the sensitivity to the rate (Wortsman et al. 2023, arXiv:2309.14322)
come from the same grid for all. Sharpness is measured against 2 / eta (Cohen et al. 2021,
arXiv:2103.00065).
"""

from __future__ import annotations

import sys

from benchmark.driver.commandline import run
from benchmark.records import Study
from benchmark.strategies.clipping import CLIPPINGS
from benchmark.strategies.normalization import NORMALIZATIONS

RATES = {
    "smoke": (0.1, 10.0),
    "quick": (0.001, 0.01, 0.1, 0.3, 1.0, 3.0, 10.0, 100.0),
    "standard": (0.001, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 100.0),
    "full": tuple(round(10 ** (k / 4), 6) for k in range(-12, 9)),
}
SCHEDULES = ("constant", "step", "cosine", "warmup_cosine", "one_cycle", "plateau")
SEEDS = {"smoke": 1, "quick": 3, "standard": 3, "full": 10}
EPOCHS = {"smoke": 0.5, "quick": 4, "standard": 1, "full": 5}


def study(scale: str) -> Study:
    """The rates at ``scale``."""
    large = scale in ("standard", "full")
    common = {
        "dataset": "fashion-mnist" if large else "digits",
        "train_fraction": 0.2 if scale == "standard" else 1.0,
        "model": ("mlp", "cnn") if scale == "full" else "mlp",
        "batch_size": 128 if large else 32,
        "epochs": EPOCHS[scale],
        "learning_rate": RATES[scale],
    }
    clippings = ("none", "global_norm") if scale == "smoke" else tuple(CLIPPINGS)
    normalizations = ("none", "batch") if scale == "smoke" else tuple(NORMALIZATIONS)
    schedules = SCHEDULES[:2] if scale == "smoke" else SCHEDULES
    top = {"learning_rate": 100.0, "schedule": "range_test"}
    return Study(
        name="learning_rate",
        question="Which learning rates train, and do schedules, clipping or normalization widen "
        "their range?",
        factors=[
            common | {"schedule": schedules, "normalization": ("none", "batch")},
            common | {"clipping": clippings},
            common | {"normalization": normalizations},
            common | top | {"clipping": clippings},
            common | top | {"normalization": normalizations},
        ],
        seeds=range(SEEDS[scale]),
        checkpoints=4 if scale == "smoke" else 20,
        sharpness=scale != "smoke",
    )


if __name__ == "__main__":
    sys.exit(run(study))
