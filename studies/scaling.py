"""Do larger models, more data and more efficient computation scale?

Depth, width, the complexity of the convolutions and the share of the training set are varied one
at a time, each at several learning rates and with and without batch normalization. Accuracy and
time a trial come from the same rows; how batched execution scales is measured by
`studies/throughput.py`.
"""

from __future__ import annotations

import sys

from benchmark.driver.commandline import run
from benchmark.records import Study

RATES = {
    "smoke": (0.1,),
    "quick": (0.03, 0.1, 0.3, 1.0),
    "standard": (0.03, 0.1, 0.3),
    "full": (0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0),
}
DEPTHS = {"smoke": (2, 4), "full": (2, 4, 8, 16, 30)}
WIDTHS = {"smoke": (16, 64), "full": (8, 16, 32, 64, 128, 256, 512, 1024, 2048)}
CHANNELS = {"smoke": (4, 8), "quick": (4, 8, 16, 32), "full": (4, 8, 16, 32, 64, 128)}
CONVOLUTIONS = {"smoke": (2,), "quick": (2, 4, 6), "full": (2, 4, 6, 8, 12, 16)}
FRACTIONS = {"smoke": (0.5, 1.0), "full": (0.01, 0.03, 0.1, 0.3, 1.0)}
SEEDS = {"smoke": 1, "quick": 3, "standard": 3, "full": 10}
EPOCHS = {"smoke": 0.5, "quick": 3, "standard": 1, "full": 5}


def study(scale: str) -> Study:
    """The sizes at ``scale``."""
    large = scale in ("standard", "full")
    share = 0.1 if scale == "standard" else 1.0
    common = {
        "dataset": "fashion-mnist" if large else "digits",
        "train_fraction": share,
        "normalization": "none" if scale == "smoke" else ("none", "batch"),
        "learning_rate": RATES[scale],
        "batch_size": 128 if large else 32,
        "epochs": EPOCHS[scale],
    }
    fractions = FRACTIONS.get(scale, (0.1, 0.25, 0.5, 1.0))
    blocks = [
        common | {"model": "mlp_deep", "depth": DEPTHS.get(scale, (2, 4, 8, 16))},
        common | {"model": "mlp", "width": WIDTHS.get(scale, (16, 64, 256, 1024))},
        common | {"model": "cnn", "width": CHANNELS.get(scale, (4, 8, 16))},
        common
        | {
            "model": ("mlp", "cnn"),
            "train_fraction": tuple(share * f for f in fractions),
        },
    ]
    if scale in CONVOLUTIONS:
        blocks.append(common | {"model": "cnn_deep", "depth": CONVOLUTIONS[scale]})
    if scale == "full":
        blocks.append(common | {"model": ("cnn_2c2d", "mlp_wide")})
    return Study(
        name="scaling",
        question="Do larger models, more data and more complex convolutions give better accuracy, "
        "and at what cost?",
        factors=blocks,
        seeds=range(SEEDS[scale]),
        checkpoints=4 if scale == "smoke" else 20,
    )


if __name__ == "__main__":
    sys.exit(run(study))
