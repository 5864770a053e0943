"""Which clipping, normalization and batch-size policy keep training stable, at which rates?

The full factorial of learning rate, clipping, normalization and batch-size policy, for an MLP and
a CNN, every cell on the same seeds. Learning rates reach from too small to exploding. Thresholds
are the published defaults of each strategy; `studies/search.py` tunes them.
"""

from __future__ import annotations

import sys

from benchmark.driver.commandline import run
from benchmark.records import Study

LEARNING_RATES = {
    "smoke": (0.1, 100.0),
    "quick": (0.01, 0.1, 1.0, 10.0),
    "standard": (0.003, 0.03, 0.3, 3.0, 30.0),
    "full": (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0),
}
SEEDS = {"smoke": 2, "quick": 3, "standard": 3, "full": 3}
EPOCHS = {"smoke": 0.5, "quick": 3, "standard": 1, "full": 2}
SMALL = {
    "clipping": ("none", "value", "global_norm", "adaptive"),
    "normalization": ("none", "batch", "layer"),
    "batch_policy": ("fixed", "doubling"),
}
WHOLE = {
    "clipping": (
        *("none", "value", "global_norm", "per_layer_norm", "adaptive", "zclip", "skip_step"),
    ),
    "normalization": ("none", "batch", "layer", "group"),
    "batch_policy": ("fixed", "accumulate", "doubling", "noise_scale"),
}


def study(scale: str) -> Study:
    """The grid at ``scale``."""
    return Study(
        name="grid",
        question="Which clipping, normalization and batch-size policy keep training stable, "
        "at which learning rates, and at what cost in accuracy?",
        factors={
            "dataset": "fashion-mnist" if scale in ("standard", "full") else "digits",
            "train_fraction": 0.2 if scale == "standard" else 1.0,
            "model": ("mlp", "cnn"),
            **(WHOLE if scale == "full" else SMALL),
            "learning_rate": LEARNING_RATES[scale],
            "epochs": EPOCHS[scale],
            "batch_size": 128 if scale in ("standard", "full") else 32,
        },
        seeds=range(SEEDS[scale]),
        checkpoints=4 if scale == "smoke" else 20,
    )


if __name__ == "__main__":
    sys.exit(run(study))
