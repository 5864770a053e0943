"""Does a search of the joint space, thresholds included, find better training than the grid?

TPE, random and quasi-random search of learning rate, clipping and its threshold, normalization,
batch-size policy and its parameter, and the cells of a grid in random order, with the same number
of trials each. Each sampler searches several times, each time on another seed: five searches tell a
sampler from its luck, one does not. Every search's winner on the validation set, and the best cell
of the grid beside it, are trained again on fresh seeds; the report compares their test accuracy.

smoke       48 trials         560 updates   0.000 core-hours
quick      232 trials      19,392 updates   0.009 core-hours
standard   420 trials     261,635 updates       - core-hours
paper    2,200 trials   2,808,476 updates    1.33 core-hours
full     8,400 trials  22,618,750 updates       - core-hours
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace

from benchmark.driver.commandline import run
from benchmark.records import Range, Search
from benchmark.strategies.batch_policies import BATCH_POLICIES
from benchmark.strategies.declared import COMPARED, names_of


@dataclass(frozen=True)
class Settings:
    """What a scale decides; the defaults are those of ``paper``."""

    dataset: str = "fashion-mnist"
    models: Sequence[str] = ("mlp",)
    seeds: Sequence[int] = (0, 1, 2, 3, 4)
    epochs: float = 1
    trials: int = 100
    generation: int = 10
    confirm: int = 10
    checkpoints: int = 4


SMALL = Settings(
    dataset="digits",
    models=("mlp", "cnn"),
    seeds=(0,),
    epochs=3,
    trials=24,
    generation=8,
    confirm=5,
    checkpoints=20,
)
SCALES = {
    "smoke": replace(SMALL, epochs=0.5, trials=4, generation=2, confirm=2, checkpoints=4),
    "quick": SMALL,
    "standard": Settings(seeds=(0, 1, 2), epochs=0.5, trials=30, confirm=5),
    "paper": Settings(),
    "full": Settings(models=("mlp", "cnn"), epochs=2, trials=200, generation=20),
}


def search(scale: str) -> Search:
    """The search at ``scale``."""
    s = SCALES[scale]
    return Search(
        name="search",
        question="Does a search of learning rate, clipping, thresholds, normalization and "
        "batch-size policy together beat the best cell of the grid?",
        space={
            "learning_rate": Range(1e-3, 1e2, default=0.1),
            "clipping": COMPARED,
            "normalization": names_of("normalization"),
            # the whole set in every update would leave a handful of updates to the budget
            "batch_policy": tuple(name for name in BATCH_POLICIES if name != "full"),
        },
        each={"model": s.models, "seed": s.seeds},
        fixed={"dataset": s.dataset, "epochs": s.epochs},
        trials=s.trials,
        generation=s.generation,
        confirm_seeds=range(1000, 1000 + s.confirm),
        checkpoints=s.checkpoints,
    )


if __name__ == "__main__":
    sys.exit(run(search))
