"""What does each clipping and guard save when something goes wrong in the middle of training?

At half of the budget a few batches are bad, the rate jumps, or one example is corrupt, in training
that goes well otherwise: at three tenths of the rate that is best for each rule, and all of them at
three tenths of the rate that is best without. The rule that skips steps is also run as published,
with the steps that it skipped in its window, against a jump of the rate. Each rule is compared with
itself, on the same seed without the disturbance: accuracy lost in the end, and updates until it is
made up.

smoke       18 trials         720 updates   0.000 core-hours
quick      750 trials     225,000 updates    0.02 core-hours
standard   700 trials   1,050,000 updates       - core-hours
paper    4,936 trials   7,404,000 updates    1.79 core-hours
full     8,928 trials  44,640,000 updates       - core-hours
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from benchmark.driver.commandline import run
from benchmark.records import RelativeRates, Study
from benchmark.strategies.clipping import COMPARED
from benchmark.strategies.disturbances import DISTURBANCES

UNCLIPPED = ("clipping", "none")
"""Whose rate all guards are compared at besides their own."""


@dataclass(frozen=True)
class Settings:
    """What a scale decides; the defaults are those of ``paper``."""

    mlp_datasets: Sequence[str] = ("mnist", "fashion-mnist")
    cnn_datasets: Sequence[str] = ("fashion-mnist",)
    mlp_clippings: Sequence[str] = COMPARED
    cnn_clippings: Sequence[str] = ("none", "global_norm", "adaptive", "zclip", "skip_step")
    variants: Sequence[str] = ("skip_step_all",)
    variant_disturbances: Sequence[str] = ("none", "rate_bump")
    mlp_normalizations: Sequence[str] = ("none", "batch")
    cnn_normalizations: Sequence[str] = ("none",)
    disturbances: Sequence[str] = tuple(DISTURBANCES)
    rates: RelativeRates = RelativeRates(
        low=0.0316, high=1.0, multiples=(0.3,), baseline=UNCLIPPED, baseline_multiples=(0.3,)
    )
    updates: int = 1500
    seeds: int = 10
    checkpoints: int = 40


SMALL = Settings(
    mlp_datasets=("digits",),
    cnn_datasets=("digits",),
    cnn_clippings=("none", "global_norm", "skip_step"),
    variants=(),
    cnn_normalizations=("none", "batch"),
    updates=300,
    rates=RelativeRates(low=0.1, high=1.0, multiples=(0.3,), seeds=(100,)),
    seeds=5,
    checkpoints=20,
)
SCALES = {
    "smoke": replace(
        SMALL,
        cnn_datasets=(),
        mlp_clippings=("none", "global_norm"),
        mlp_normalizations=("none",),
        updates=40,
        seeds=1,
        checkpoints=8,
    ),
    "quick": SMALL,
    "standard": replace(
        SMALL,
        mlp_datasets=("fashion-mnist",),
        cnn_datasets=("fashion-mnist",),
        cnn_clippings=("none", "global_norm"),
        variants=(),
        updates=1500,
    ),
    "paper": Settings(),
    "full": Settings(
        cnn_datasets=("mnist", "fashion-mnist"),
        cnn_clippings=COMPARED,
        cnn_normalizations=("none", "batch"),
        updates=5000,
    ),
}


def study(scale: str) -> Study:
    """The disturbances at ``scale``."""
    s = SCALES[scale]
    common: dict[str, Any] = {
        "disturbance": s.disturbances,
        "learning_rate": s.rates,
        "updates": s.updates,
    }
    mlp = {
        "dataset": s.mlp_datasets,
        "model": "mlp",
        "clipping": s.mlp_clippings,
        "normalization": s.mlp_normalizations,
    }
    cnn = {
        "dataset": s.cnn_datasets,
        "model": "cnn",
        "clipping": s.cnn_clippings,
        "normalization": s.cnn_normalizations,
    }
    networks = [network for network in (mlp, cnn) if network["dataset"]]
    variants = {"clipping": s.variants, "disturbance": s.variant_disturbances}
    return Study(
        name="disturbances",
        question="What does each clipping and guard save when something goes wrong in the middle "
        "of training?",
        factors=[
            *(common | network for network in networks),
            *(common | network | variants for network in networks if s.variants),
        ],
        seeds=range(s.seeds),
        checkpoints=s.checkpoints,
    )


if __name__ == "__main__":
    sys.exit(run(study))
