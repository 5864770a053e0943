"""Do more reliable optimizers, more epochs and stricter safety make training safer?

Every optimizer over the same decades of learning rate, with a constant and a decaying schedule,
for a short and a long budget, and with the two guards of practice: skipping a step whose loss or
gradient norm is an outlier, and limiting the norm.
"""

from __future__ import annotations

import sys

from benchmark.driver.commandline import run
from benchmark.records import Study
from benchmark.strategies.optimizers import OPTIMIZERS

RATES = {
    "smoke": (0.01, 1.0),
    "quick": (0.001, 0.01, 0.1, 1.0, 10.0),
    "standard": (0.001, 0.01, 0.1, 1.0, 10.0),
    "full": (1e-5, 1e-4, 1e-3, 1e-2, 3e-2, 0.1, 1.0, 10.0),
}
SCHEDULES = {"smoke": ("constant",), "full": ("constant", "cosine", "warmup_cosine")}
EPOCHS = {"smoke": (0.5,), "quick": (2, 8), "standard": (0.5, 2), "full": (1, 5)}
SEEDS = {"smoke": 1, "quick": 3, "standard": 3, "full": 5}


def study(scale: str) -> Study:
    """The optimizers at ``scale``."""
    large = scale in ("standard", "full")
    return Study(
        name="optimizers",
        question="Do more reliable optimizers, more epochs and stricter safety make training "
        "safer?",
        factors={
            "dataset": "fashion-mnist" if large else "digits",
            "train_fraction": 0.1 if scale == "standard" else 1.0,
            "model": ("mlp", "cnn") if scale == "full" else "mlp",
            "optimizer": ("sgd", "adam") if scale == "smoke" else tuple(OPTIMIZERS),
            "schedule": SCHEDULES.get(scale, ("constant", "warmup_cosine")),
            "clipping": ("none", "skip_step", "global_norm"),
            "learning_rate": RATES[scale],
            "batch_size": 128 if large else 32,
            "epochs": EPOCHS[scale],
        },
        seeds=range(SEEDS[scale]),
        checkpoints=4 if scale == "smoke" else 20,
    )


if __name__ == "__main__":
    sys.exit(run(study))
