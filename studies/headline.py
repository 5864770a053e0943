"""What does each clipping gain, with and without batch normalization, at its own best rate?

Every clipping at its published default, in an MLP on two data sets and a CNN. A configuration's
best learning rate is found on the validation set with two seeds; 1, 3 and 10 times that rate are
then trained on ten fresh seeds. So accuracy is compared where each is at its best, and explosions
at the same distance from it, whatever the scale of its rates. Every clipping is also trained at 3
and 10 times the best rate without clipping: one and the same rate for all.

smoke        36 trials         720 updates   0.000 core-hours
quick       860 trials     258,000 updates    0.02 core-hours
standard    800 trials   1,200,000 updates    0.38 core-hours
paper     4,056 trials   6,084,000 updates    1.89 core-hours
full     10,432 trials  52,160,000 updates   22.37 core-hours
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace

from benchmark.driver.commandline import run
from benchmark.records import RelativeRates, Study
from benchmark.strategies.clipping import COMPARED

UNCLIPPED = ("clipping", "none")
"""Whose rates all clippings are compared at besides their own."""


@dataclass(frozen=True)
class Settings:
    """What a scale decides; the defaults are those of ``paper``."""

    mlp_datasets: Sequence[str] = ("mnist", "fashion-mnist")
    cnn_datasets: Sequence[str] = ("mnist", "fashion-mnist")
    mlp_clippings: Sequence[str] = COMPARED
    cnn_clippings: Sequence[str] = ("none", "value", "global_norm", "adaptive", "adagc")
    normalizations: Sequence[str] = ("none", "batch")
    updates: int = 1500
    rates: RelativeRates = RelativeRates(low=0.0316, high=1.0, baseline=UNCLIPPED)
    seeds: int = 10
    checkpoints: int = 20


SMALL = Settings(
    mlp_datasets=("digits",),
    cnn_datasets=("digits",),
    cnn_clippings=("none", "global_norm", "adaptive"),
    updates=300,
    rates=RelativeRates(low=0.1, high=1.0, seeds=(100,), baseline=UNCLIPPED),
    seeds=5,
)
SCALES = {
    "smoke": replace(
        SMALL,
        mlp_clippings=("none", "global_norm"),
        cnn_datasets=(),
        updates=20,
        seeds=1,
        checkpoints=4,
    ),
    "quick": SMALL,
    "standard": replace(
        SMALL,
        mlp_datasets=("fashion-mnist",),
        cnn_datasets=("fashion-mnist",),
        cnn_clippings=("none", "global_norm"),
        updates=1500,
    ),
    "paper": Settings(),
    "full": Settings(cnn_clippings=COMPARED, updates=5000, seeds=20),
}


def study(scale: str) -> Study:
    """The comparison at ``scale``."""
    s = SCALES[scale]
    common = {"normalization": s.normalizations, "learning_rate": s.rates, "updates": s.updates}
    mlp = {"dataset": s.mlp_datasets, "model": "mlp", "clipping": s.mlp_clippings}
    cnn = {"dataset": s.cnn_datasets, "model": "cnn", "clipping": s.cnn_clippings}
    return Study(
        name="headline",
        question="What does each clipping gain, with and without batch normalization, at 1, 3 and "
        "10 times its own best rate?",
        factors=[common | network for network in (mlp, cnn) if network["dataset"]],
        seeds=range(s.seeds),
        checkpoints=s.checkpoints,
    )


if __name__ == "__main__":
    sys.exit(run(study))
