"""Which clipping, normalization and batch-size policy keep training stable, at which rates?

The full factorial of learning rate, clipping, normalization and batch-size policy, for an MLP and
a CNN, every cell on the same three seeds: a map. Learning rates reach from too small to exploding.
Thresholds are the published defaults of each strategy; `studies/search.py` tunes them, and
`studies/headline.py` compares clippings on ten seeds at each one's own best rate. Budgets are equal
in examples, so that a policy that doubles its batches makes half the updates;
`studies/batch_updates.py` has both budgets.

smoke      192 trials       3,072 updates   0.002 core-hours
quick      576 trials      58,176 updates    0.02 core-hours
standard   720 trials     562,320 updates       - core-hours
paper    1,698 trials   2,652,276 updates    1.52 core-hours
full     7,392 trials  23,100,000 updates       - core-hours
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace

from benchmark.driver.commandline import run
from benchmark.records import Study, rates_between


@dataclass(frozen=True)
class Settings:
    """What a scale decides; the defaults are those of ``paper``."""

    dataset: str = "fashion-mnist"
    epochs: float = 1
    mlp_rates: Sequence[float] = rates_between(0.001, 100)
    cnn_rates: Sequence[float] = rates_between(0.003, 3)
    mlp_clippings: Sequence[str] = ("none", "value", "global_norm", "adaptive", "zclip")
    cnn_clippings: Sequence[str] = ("none", "global_norm", "adaptive")
    mlp_normalizations: Sequence[str] = ("none", "batch", "layer", "group")
    cnn_normalizations: Sequence[str] = ("none", "batch", "group")
    policies: Sequence[str] = ("fixed", "doubling")
    seeds: int = 3
    checkpoints: int = 20


SMALL = Settings(
    dataset="digits",
    epochs=3,
    mlp_rates=(0.01, 0.1, 1.0, 10.0),
    cnn_rates=(0.01, 0.1, 1.0, 10.0),
    mlp_clippings=("none", "value", "global_norm", "adaptive"),
    cnn_clippings=("none", "value", "global_norm", "adaptive"),
    mlp_normalizations=("none", "batch", "layer"),
    cnn_normalizations=("none", "batch", "layer"),
)

MANY = ("none", "value", "global_norm", "per_layer_norm", "adaptive", "zclip", "skip_step")
SCALES = {
    "smoke": replace(
        SMALL, epochs=0.5, mlp_rates=(0.1, 100.0), cnn_rates=(0.1, 100.0), seeds=2, checkpoints=4
    ),
    "quick": SMALL,
    "standard": replace(
        SMALL,
        dataset="fashion-mnist",
        epochs=0.5,
        mlp_rates=rates_between(0.01, 100, per_decade=1),
        cnn_rates=rates_between(0.01, 100, per_decade=1),
    ),
    "paper": Settings(),
    "full": Settings(
        epochs=2,
        cnn_rates=rates_between(0.001, 100),
        mlp_clippings=MANY,
        cnn_clippings=MANY,
        cnn_normalizations=("none", "batch", "layer", "group"),
        policies=("fixed", "accumulate", "doubling", "noise_scale"),
    ),
}


def study(scale: str) -> Study:
    """The grid at ``scale``."""
    s = SCALES[scale]
    common = {
        "dataset": s.dataset,
        "epochs": s.epochs,
        "batch_policy": s.policies,
    }
    mlp = {
        "model": "mlp",
        "clipping": s.mlp_clippings,
        "normalization": s.mlp_normalizations,
        "learning_rate": s.mlp_rates,
    }
    cnn = {
        "model": "cnn",
        "clipping": s.cnn_clippings,
        "normalization": s.cnn_normalizations,
        "learning_rate": s.cnn_rates,
    }
    return Study(
        name="grid",
        question="Which clipping, normalization and batch-size policy keep training stable, "
        "at which learning rates, and at what cost in accuracy?",
        factors=[common | mlp, common | cnn],
        seeds=range(s.seeds),
        checkpoints=s.checkpoints,
    )


if __name__ == "__main__":
    sys.exit(run(study))
