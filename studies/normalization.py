"""Who degrades at small batches, and who extends the range of learning rates?

Every normalization at every batch size and learning rate, in a dense and a convolutional network.
The budget is counted in examples, so a small batch makes more updates. Pairs that are not defined
(batch statistics of one example, instance normalization in a dense network) are rows that say so.
"""

from __future__ import annotations

import sys

from benchmark.driver.commandline import run
from benchmark.records import Study
from benchmark.strategies.normalization import NORMALIZATIONS

RATES = {
    "smoke": (0.1, 10.0),
    "quick": (0.03, 0.3, 3.0),
    "standard": (0.03, 0.3, 3.0),
    "full": (0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0),
}
BATCH_SIZES = {
    "smoke": (2, 32),
    "quick": (2, 8, 32, 128),
    "standard": (4, 32, 256),
    "full": (1, 2, 4, 8, 16, 32, 128, 512),
}
SEEDS = {"smoke": 1, "quick": 3, "standard": 3, "full": 10}
EPOCHS = {"smoke": 0.5, "quick": 2, "standard": 1, "full": 2}


def study(scale: str) -> Study:
    """The normalizations at ``scale``."""
    large = scale in ("standard", "full")
    return Study(
        name="normalization",
        question="Which normalization degrades at small batches, and which extends the range of "
        "learning rates that train?",
        factors={
            "dataset": "fashion-mnist" if large else "digits",
            "train_fraction": 0.05 if scale == "standard" else 1.0,
            "model": ("mlp", "cnn"),
            "normalization": ("none", "batch") if scale == "smoke" else tuple(NORMALIZATIONS),
            "batch_size": BATCH_SIZES[scale],
            "learning_rate": RATES[scale],
            "epochs": EPOCHS[scale],
        },
        seeds=range(SEEDS[scale]),
        checkpoints=4 if scale == "smoke" else 20,
    )


if __name__ == "__main__":
    sys.exit(run(study))
