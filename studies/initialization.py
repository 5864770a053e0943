"""How do gradients grow with depth at initialization?

No training: every network is drawn many times and measured once, layer by layer, on real images.
The norm of dL/dh at each layer's pre-activations is what grows or shrinks from the output to the
input; the report sets its growth rate a layer beside theory, for plain ReLU networks and for
batch normalization, whose gradients grow with depth whatever the gain (Yang et al. 2019,
arXiv:1902.08129).
"""

from __future__ import annotations

import sys

from benchmark.driver.commandline import run
from benchmark.records import Study

DEPTHS = {"smoke": (3, 5), "quick": (5, 10, 20, 30), "full": (3, 5, 10, 15, 20, 30)}
GAINS = {
    "smoke": (1.0, 2.0),
    "quick": (0.5, 1.0, 1.5, 2.0),
    "full": (0.25, 0.5, 1.0, 1.5, 2.0, 4.0),
}
WIDTHS = {"smoke": (32,), "quick": (128,), "standard": (128, 512), "full": (64, 128, 512)}
DRAWS = {"smoke": 2, "quick": 5, "standard": 5, "full": 10}
NORMALIZATIONS = {
    "smoke": ("none", "batch"),
    "quick": ("none", "batch", "layer", "rms", "group", "weight_norm"),
}
INITIALIZATIONS = {"smoke": ("he",), "quick": ("he", "torch", "glorot", "orthogonal")}


def study(scale: str) -> Study:
    """The measurements at ``scale``."""
    large = scale in ("standard", "full")
    normalizations = NORMALIZATIONS.get(scale, NORMALIZATIONS["quick"])
    common = {
        "dataset": "fashion-mnist" if large else "digits",
        "epochs": 0,
        "normalization": normalizations,
        "init_gain": GAINS.get(scale, GAINS["quick"]),
    }
    dense = {
        "model": "mlp_deep",
        "depth": DEPTHS.get(scale, DEPTHS["quick"]),
        "width": WIDTHS[scale],
        "initialization": INITIALIZATIONS.get(scale, INITIALIZATIONS["quick"]),
    }
    convolutional = {
        "model": "cnn_deep",
        "depth": DEPTHS["smoke"] if scale == "smoke" else (5, 10, 20),
        "initialization": "he",
    }
    return Study(
        name="initialization",
        question="How do gradients grow with depth at initialization, by gain, width, "
        "normalization and initialization?",
        factors=[common | dense, common | convolutional],
        seeds=range(DRAWS[scale]),
        checkpoints=4,
        layers=True,
    )


if __name__ == "__main__":
    sys.exit(run(study))
