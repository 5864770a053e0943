"""Do larger models, more data and more efficient computation scale?

Depth, width, the complexity of the convolutions and the share of the training set are varied one
at a time, with and without batch normalization, each at its own best rate. Shares of the data are
compared at equal updates and at equal passes over what there is. Accuracy and time a trial come
from the same rows; how batched execution scales is measured by `studies/throughput.py`.

smoke        66 trials      1,008 updates   0.000 core-hours
quick       320 trials     28,576 updates   0.004 core-hours
standard    320 trials    138,000 updates       - core-hours
paper       600 trials    778,530 updates    0.29 core-hours
full      1,260 trials  5,685,840 updates       - core-hours
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from benchmark.driver.commandline import run
from benchmark.records import RelativeRates, Study


@dataclass(frozen=True)
class Settings:
    """What a scale decides; the defaults are those of ``paper``."""

    dataset: str = "fashion-mnist"
    rates: RelativeRates = RelativeRates(low=0.0316, high=0.316, multiples=(1,), seeds=(100,))
    normalizations: Sequence[str] = ("none", "batch")
    depths: Sequence[int] = (2, 4, 8, 16)
    widths: Sequence[int] = (16, 64, 256, 1024)
    channels: Sequence[int] = (4, 8, 16)
    convolutions: Sequence[int] = (2, 4)
    fractions: Sequence[float] = (0.01, 0.04, 0.2, 1.0)
    fraction_models: Sequence[str] = ("mlp",)
    presets: Sequence[str] = ()
    updates: int = 1500
    epochs: float = 1
    seeds: int = 10
    checkpoints: int = 20


SMALL = Settings(
    dataset="digits",
    rates=RelativeRates(low=0.1, high=1.0, multiples=(1,), seeds=(100,), extensions=1),
    channels=(4, 8, 16),
    convolutions=(2, 4),
    fractions=(0.1, 0.25, 0.5, 1.0),
    updates=100,
    epochs=3,
    seeds=3,
)
SCALES = {
    "smoke": replace(
        SMALL,
        normalizations=("none",),
        depths=(2, 4),
        widths=(16, 64),
        channels=(4, 8),
        convolutions=(2,),
        fractions=(0.5, 1.0),
        updates=16,
        epochs=0.5,
        seeds=1,
        checkpoints=4,
    ),
    "quick": SMALL,
    "standard": replace(
        SMALL,
        dataset="fashion-mnist",
        fractions=(0.01, 0.04, 0.2, 1.0),
        updates=500,
        epochs=0.32,
    ),
    "paper": Settings(),
    "full": Settings(
        depths=(2, 4, 8, 16, 30),
        widths=(8, 16, 32, 64, 128, 256, 512, 1024, 2048),
        channels=(4, 8, 16, 32, 64, 128),
        convolutions=(2, 4, 6, 8, 12, 16),
        fraction_models=("mlp", "cnn"),
        presets=("cnn_2c2d", "mlp_wide"),
        updates=5000,
        epochs=5,
    ),
}


def study(scale: str) -> Study:
    """The sizes at ``scale``."""
    s = SCALES[scale]
    common: dict[str, Any] = {
        "dataset": s.dataset,
        "normalization": s.normalizations,
        "learning_rate": s.rates,
    }
    sizes = common | {"updates": s.updates}
    shares = common | {"model": s.fraction_models, "train_fraction": s.fractions}
    blocks = [
        sizes | {"model": "mlp_deep", "depth": s.depths},
        sizes | {"model": "mlp", "width": s.widths},
        sizes | {"model": "cnn", "width": s.channels},
        sizes | {"model": "cnn_deep", "depth": s.convolutions},
        shares | {"updates": s.updates},
        shares | {"epochs": s.epochs},
    ]
    if s.presets:
        blocks.append(sizes | {"model": s.presets})
    return Study(
        name="scaling",
        question="Do larger models, more data and more complex convolutions give better accuracy, "
        "and at what cost?",
        factors=blocks,
        seeds=range(s.seeds),
        checkpoints=s.checkpoints,
    )


if __name__ == "__main__":
    sys.exit(run(study))
