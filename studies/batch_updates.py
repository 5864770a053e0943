"""How much data should go into an update, and should that change during training?

Fixed batch sizes on a grid of learning rates whose steps are powers of two, so that both the
linear and the square-root rule land on it: where a rule's rate stops being the best one is where
it breaks. Then every batch-size policy from one first batch, with each rule for the rate when the
batch changes. Updates, examples and seconds to a target accuracy are compared at the same budget
of examples; the noise scale (McCandlish et al. 2018, arXiv:1812.06162) stands beside the knee.
"""

from __future__ import annotations

import sys

from benchmark.driver.commandline import run
from benchmark.records import Study
from benchmark.strategies.batch_policies import BATCH_POLICIES
from benchmark.strategies.scaling import SCALINGS

BATCH_SIZES = {
    "smoke": (16, 64),
    "quick": (8, 32, 128, 512),
    "standard": (8, 32, 128, 512, 2048),
    "full": (4, 16, 64, 256, 1024, 4096, 16384),
}
RATES = {
    "smoke": (0.125, 0.5),
    "quick": tuple(2.0**k for k in range(-6, 3)),
    "standard": tuple(2.0**k for k in range(-6, 3)),
    "full": tuple(2.0**k for k in range(-10, 5)),
}
FIRST = {"smoke": 16, "quick": 32, "standard": 32, "full": 64}
POLICY_RATES = {
    "smoke": (0.125,),
    "quick": (0.0625, 0.25, 1.0),
    "standard": (0.0625, 0.25, 1.0),
    "full": tuple(2.0**k for k in range(-6, 2)),
}
SEEDS = {"smoke": 1, "quick": 3, "standard": 3, "full": 10}
EPOCHS = {"smoke": 0.5, "quick": 8, "standard": 2, "full": 10}


def study(scale: str) -> Study:
    """The batch sizes and policies at ``scale``."""
    large = scale in ("standard", "full")
    common = {
        "dataset": "fashion-mnist" if large else "digits",
        "train_fraction": 0.2 if scale == "standard" else 1.0,
        "model": ("mlp", "cnn") if scale == "full" else "mlp",
        "epochs": EPOCHS[scale],
    }
    policies = tuple(name for name in BATCH_POLICIES if name not in ("fixed", "full"))
    if scale == "smoke":
        policies = ("doubling", "noise_scale", "norm_test")
    still = tuple(name for name in policies if name == "accumulate")
    changing = tuple(name for name in policies if name != "accumulate")
    return Study(
        name="batch_updates",
        question="How much data should go into one update, and do policies that change it reach a "
        "target sooner than the best fixed size?",
        factors=[
            common | {"batch_size": BATCH_SIZES[scale], "learning_rate": RATES[scale]},
            common
            | {
                "batch_policy": ("full", *still),
                "batch_size": FIRST[scale],
                "learning_rate": POLICY_RATES[scale],
            },
            common
            | {
                "batch_policy": changing,
                "batch_size": FIRST[scale],
                "learning_rate": POLICY_RATES[scale],
                "learning_rate_scaling": tuple(SCALINGS),
            },
        ],
        seeds=range(SEEDS[scale]),
        checkpoints=4 if scale == "smoke" else 20,
    )


if __name__ == "__main__":
    sys.exit(run(study))
