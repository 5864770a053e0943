"""Does a search of the joint space, thresholds included, find better training than the grid?

TPE, random and quasi-random search of learning rate, clipping and its threshold, normalization,
batch-size policy and its parameter, with the same number of trials each. Every search's winner on
the validation set, and the best cell of the grid beside it, are trained again on fresh seeds; the
report compares their test accuracy.
"""

from __future__ import annotations

import sys

from benchmark.driver.commandline import run
from benchmark.records import Range, Search
from benchmark.strategies.batch_policies import BATCH_POLICIES
from benchmark.strategies.clipping import CLIPPINGS
from benchmark.strategies.normalization import NORMALIZATIONS

TRIALS = {"smoke": 4, "quick": 24, "standard": 30, "full": 200}
GENERATION = {"smoke": 2, "quick": 8, "standard": 10, "full": 20}
CONFIRM = {"smoke": 2, "quick": 5, "standard": 5, "full": 10}
EPOCHS = {"smoke": 0.5, "quick": 3, "standard": 1, "full": 2}


def search(scale: str) -> Search:
    """The search at ``scale``."""
    large = scale in ("standard", "full")
    return Search(
        name="search",
        question="Does a search of learning rate, clipping, thresholds, normalization and "
        "batch-size policy together beat the best cell of the grid?",
        space={
            "learning_rate": Range(1e-3, 1e2, default=0.1),
            "clipping": tuple(CLIPPINGS),
            "normalization": tuple(NORMALIZATIONS),
            # the whole set in every update would leave a handful of updates to the budget
            "batch_policy": tuple(name for name in BATCH_POLICIES if name != "full"),
        },
        each={"model": ("mlp", "cnn")},
        fixed={
            "dataset": "fashion-mnist" if large else "digits",
            "train_fraction": 0.2 if scale == "standard" else 1.0,
            "epochs": EPOCHS[scale],
            "batch_size": 128 if large else 32,
        },
        trials=TRIALS[scale],
        generation=GENERATION[scale],
        confirm_seeds=range(1000, 1000 + CONFIRM[scale]),
        checkpoints=4 if scale == "smoke" else 20,
    )


if __name__ == "__main__":
    sys.exit(run(search))
