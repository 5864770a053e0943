"""Do the article's own two networks train, and does each remedy help them?

Its settings, repaired so that they run: a dense network of one hidden layer of 256 and its
convolutional twin, Adam at a rate of 0.01, batches of 128, 100 steps. Then one change at a time:
another rate, a schedule, a clipping, a normalization, a batch size or a policy that changes it.
Because 100 steps end within the warm-up of some remedies, the dense network is also trained for 15
times as many.

smoke         4 trials        400 updates   0.000 core-hours
quick       620 trials     62,000 updates    0.03 core-hours
standard    620 trials     62,000 updates       - core-hours
paper     1,550 trials  1,023,000 updates    0.65 core-hours
full      3,720 trials  2,108,000 updates       - core-hours
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from benchmark.driver.commandline import run
from benchmark.records import Study
from benchmark.strategies.declared import COMPARED

STEPS, BATCH_SIZE = 100, 128


def one_at_a_time() -> dict[str, tuple[Any, ...]]:
    """What is changed, one at a time, against the article's own settings."""
    return {
        "learning_rate": (0.0001, 0.001, 0.1, 1.0),
        "schedule": ("step", "cosine", "warmup_cosine", "one_cycle", "plateau"),
        "clipping": tuple(name for name in COMPARED if name != "none"),
        "normalization": ("batch", "layer"),
        "batch_size": (32, 512),
        "batch_policy": ("doubling", "grow_instead_of_decay", "noise_scale"),
        "optimizer": ("sgd", "momentum", "adamw"),
    }


@dataclass(frozen=True)
class Settings:
    """What a scale decides; the defaults are those of ``paper``."""

    datasets: Sequence[str] = ("mnist", "fashion-mnist")
    cnn_datasets: Sequence[str] = ("fashion-mnist",)
    remedies: Mapping[str, tuple[Any, ...]] = field(default_factory=one_at_a_time)
    long_updates: int = 15 * STEPS
    seeds: int = 10
    checkpoints: int = 20


SMALL = Settings(datasets=("digits",), cnn_datasets=("digits",), long_updates=0)
SCALES = {
    "smoke": replace(SMALL, remedies={"clipping": ("global_norm",)}, seeds=1, checkpoints=4),
    "quick": SMALL,
    "standard": replace(SMALL, datasets=("fashion-mnist",), cnn_datasets=("fashion-mnist",)),
    "paper": Settings(),
    "full": Settings(cnn_datasets=("mnist", "fashion-mnist"), seeds=20),
}


def study(scale: str) -> Study:
    """The article's networks at ``scale``."""
    s = SCALES[scale]
    article: dict[str, Any] = {
        "optimizer": "adam",
        "learning_rate": 0.01,
        "batch_size": BATCH_SIZE,
        "updates": STEPS,
    }
    mlp = article | {"model": "mlp", "dataset": s.datasets}
    networks = [mlp, article | {"model": "cnn", "dataset": s.cnn_datasets}]
    if s.long_updates:
        networks.append(mlp | {"updates": s.long_updates})
    changes = [{}, *({factor: levels} for factor, levels in s.remedies.items())]
    return Study(
        name="article",
        question="Do the article's own two networks train with its settings, and does each remedy "
        "help them?",
        factors=[network | change for network in networks for change in changes],
        seeds=range(s.seeds),
        checkpoints=s.checkpoints,
    )


if __name__ == "__main__":
    sys.exit(run(study))
