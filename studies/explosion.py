"""When does training explode, and what do gradients do before the end?

Phase diagrams of the status over learning rate and gain, for shallow and deep plain networks,
with and without normalization and clipping. The history says whether gradient norms grow through
training until it stops, as the article claims, or jump at once; the layers say where.
"""

from __future__ import annotations

import sys

from benchmark.driver.commandline import run
from benchmark.records import Study

DEPTHS = {"smoke": (3,), "quick": (2, 8, 20), "standard": (2, 8, 20), "full": (2, 4, 8, 16, 30)}
GAINS = {"smoke": (1.0, 2.0), "quick": (0.5, 1.0, 2.0), "standard": (0.5, 1.0, 2.0)}
RATES = {
    "smoke": (0.1, 10.0),
    "quick": (0.01, 0.1, 1.0, 10.0),
    "standard": (0.001, 0.01, 0.1, 1.0, 10.0),
    "full": (1e-4, 1e-3, 1e-2, 3e-2, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0),
}
NORMALIZATIONS = {"smoke": ("none",), "full": ("none", "batch", "layer", "rms")}
CLIPPINGS = {"full": ("none", "global_norm", "adaptive", "skip_step")}
SEEDS = {"smoke": 1, "quick": 3, "standard": 3, "full": 3}
EPOCHS = {"smoke": 0.5, "quick": 3, "standard": 1, "full": 5}


def study(scale: str) -> Study:
    """The phase diagrams at ``scale``."""
    large = scale in ("standard", "full")
    return Study(
        name="explosion",
        question="At which depth, gain and learning rate does training explode, and what does the "
        "gradient norm do before the end?",
        factors={
            "dataset": "fashion-mnist" if large else "digits",
            "train_fraction": 0.1 if scale == "standard" else 1.0,
            "model": "mlp_deep",
            "depth": DEPTHS[scale],
            "normalization": NORMALIZATIONS.get(scale, ("none", "batch", "layer")),
            "clipping": CLIPPINGS.get(scale, ("none", "global_norm")),
            "init_gain": GAINS.get(scale, (0.25, 0.5, 0.8, 1.0, 1.5, 2.0)),
            "learning_rate": RATES[scale],
            "batch_size": 128 if large else 32,
            "epochs": EPOCHS[scale],
        },
        seeds=range(SEEDS[scale]),
        checkpoints=4 if scale == "smoke" else 20,
    )


if __name__ == "__main__":
    sys.exit(run(study))
