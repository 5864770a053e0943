"""How do gradients grow with depth at initialization?

No training: every network is drawn many times and measured once, layer by layer, on real images.
The norm of dL/dh at each layer's pre-activations is what grows or shrinks from the output to the
input; the report sets its growth rate a layer beside theory, for plain ReLU networks and for
batch normalization, whose gradients grow with depth whatever the gain (Yang et al. 2019,
arXiv:1902.08129).

smoke         32 trials  0 updates   0.000 core-hours
quick      2,280 trials  0 updates    0.01 core-hours
standard   4,200 trials  0 updates       - core-hours
paper      8,400 trials  0 updates    0.22 core-hours
full      27,000 trials  0 updates       - core-hours
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass

from benchmark.driver.commandline import run
from benchmark.records import Study


@dataclass(frozen=True)
class Settings:
    """What a scale decides; the defaults are those of ``paper``."""

    dataset: str = "fashion-mnist"
    depths: Sequence[int] = (5, 10, 20, 30)
    widths: Sequence[int] = (128, 512)
    gains: Sequence[float] = (0.5, 1.0, 1.5, 2.0)
    normalizations: Sequence[str] = ("none", "batch", "layer", "rms", "group", "weight_norm")
    initializations: Sequence[str] = ("he", "torch", "glorot", "orthogonal")
    cnn_depths: Sequence[int] = (5, 10, 20)
    draws: int = 5


SCALES = {
    "smoke": Settings(
        dataset="digits",
        depths=(3, 5),
        widths=(32,),
        gains=(1.0, 2.0),
        normalizations=("none", "batch"),
        initializations=("he",),
        cnn_depths=(3, 5),
        draws=2,
    ),
    "quick": Settings(dataset="digits", widths=(128,)),
    "standard": Settings(),
    "paper": Settings(draws=10),
    "full": Settings(
        depths=(3, 5, 10, 15, 20, 30),
        widths=(64, 128, 512),
        gains=(0.25, 0.5, 1.0, 1.5, 2.0, 4.0),
        draws=10,
    ),
}


def study(scale: str) -> Study:
    """The measurements at ``scale``."""
    s = SCALES[scale]
    common = {
        "dataset": s.dataset,
        "epochs": 0,
        "normalization": s.normalizations,
        "init_gain": s.gains,
    }
    dense = {
        "model": "mlp_deep",
        "depth": s.depths,
        "width": s.widths,
        "initialization": s.initializations,
    }
    convolutional = {"model": "cnn_deep", "depth": s.cnn_depths, "initialization": "he"}
    return Study(
        name="initialization",
        question="How do gradients grow with depth at initialization, by gain, width, "
        "normalization and initialization?",
        factors=[common | dense, common | convolutional],
        seeds=range(s.draws),
        checkpoints=4,
        layers=True,
    )


if __name__ == "__main__":
    sys.exit(run(study))
