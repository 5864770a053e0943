"""Do the article's own two networks train, and does each remedy help them?

Its settings, repaired so that they run: a dense network of one hidden layer of 256 and its
convolutional twin, Adam at a rate of 0.01, batches of 128, 100 steps. Then one change at a time:
another rate, a schedule, a clipping, a normalization, a batch size or a policy that changes it.
"""

from __future__ import annotations

import sys
from typing import Any

from benchmark.driver.commandline import run
from benchmark.records import Study
from benchmark.strategies.clipping import CLIPPINGS

STEPS, BATCH_SIZE = 100, 128
TRAINING_EXAMPLES = {"digits": 1079, "mnist": 50_000, "fashion-mnist": 50_000}
SEEDS = {"smoke": 1, "quick": 10, "standard": 5, "full": 20}

REMEDIES: dict[str, tuple[Any, ...]] = {
    "learning_rate": (0.0001, 0.001, 0.1, 1.0),
    "schedule": ("step", "cosine", "warmup_cosine", "one_cycle", "plateau"),
    "clipping": tuple(name for name in CLIPPINGS if name != "none"),
    "normalization": ("batch", "layer"),
    "batch_size": (32, 512),
    "batch_policy": ("doubling", "grow_instead_of_decay", "noise_scale"),
    "optimizer": ("sgd", "momentum", "adamw"),
}
"""What is changed, one at a time, against the article's own settings."""


def study(scale: str) -> Study:
    """The article's networks at ``scale``."""
    dataset = {"standard": "fashion-mnist", "full": ("mnist", "fashion-mnist")}.get(scale, "digits")
    datasets = (dataset,) if isinstance(dataset, str) else dataset
    blocks: list[dict[str, Any]] = []
    for name in datasets:
        own = {
            "dataset": name,
            "model": ("mlp", "cnn"),
            "optimizer": "adam",
            "learning_rate": 0.01,
            "batch_size": BATCH_SIZE,
            "epochs": STEPS * BATCH_SIZE / TRAINING_EXAMPLES[name],
        }
        blocks.append(own)
        if scale == "smoke":
            blocks.append(own | {"clipping": "global_norm"})
        else:
            blocks += [own | {factor: levels} for factor, levels in REMEDIES.items()]
    return Study(
        name="article",
        question="Do the article's own two networks train with its settings, and does each remedy "
        "help them?",
        factors=blocks,
        seeds=range(SEEDS[scale]),
        checkpoints=4 if scale == "smoke" else 20,
    )


if __name__ == "__main__":
    sys.exit(run(study))
