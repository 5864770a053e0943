"""Does the sharpness of training on full batches rise to 2 / rate, and stay there?

As Cohen et al. (2021) found of networks of every kind: the Hessian's largest eigenvalue grows
until descent with this rate would diverge on a quadratic, and then hovers just above. Here a
network with tanh and squared errors learns as many images as the Hessian is measured on, so that
it is that of the very loss that is descended.

smoke      1 trials       20 updates   0.000 core-hours
quick      6 trials    7,200 updates   0.003 core-hours
standard   6 trials   24,000 updates       - core-hours
paper     15 trials   60,000 updates    0.04 core-hours
full      40 trials  640,000 updates       - core-hours
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass

from benchmark.driver.commandline import run
from benchmark.records import Study

EXAMPLES = 128
"""Those on which sharpness is measured."""


@dataclass(frozen=True)
class Settings:
    """What a scale decides; the defaults are those of ``paper``."""

    dataset: str = "fashion-mnist"
    available: int = 50_000
    rates: Sequence[float] = (0.02, 0.04, 0.08)
    updates: int = 4000
    seeds: int = 5
    checkpoints: int = 20


SCALES = {
    "smoke": Settings("digits", 1079, rates=(0.1,), updates=20, seeds=1, checkpoints=4),
    "quick": Settings("digits", 1079, rates=(0.05, 0.1), updates=1200, seeds=3),
    "standard": Settings(seeds=2),
    "paper": Settings(),
    "full": Settings(rates=(0.01, 0.02, 0.04, 0.08), updates=16_000, seeds=10),
}


def study(scale: str) -> Study:
    """Full batches at ``scale``."""
    s = SCALES[scale]
    return Study(
        name="edge_of_stability",
        question="Does the sharpness of training on full batches rise to 2 / rate, and stay there?",
        factors={
            "dataset": s.dataset,
            "train_fraction": EXAMPLES / s.available,
            "model": "mlp_tanh",
            "initialization": "torch",
            "loss": "squared_error",
            "batch_policy": "full",
            "learning_rate": s.rates,
            "updates": s.updates,
        },
        seeds=range(s.seeds),
        checkpoints=s.checkpoints,
        sharpness=True,
    )


if __name__ == "__main__":
    sys.exit(run(study))
