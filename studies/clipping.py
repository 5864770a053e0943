"""Which threshold, at which learning rate, for every clipping?

Each clipping's own threshold over its declared range, crossed with the learning rate. Practice
says that clipping more than half of the steps is only a smaller learning rate, and that the 90th
percentile of the unclipped norms is a good threshold: the report tests both on these trials.
"""

from __future__ import annotations

import sys
from typing import Any

from benchmark.driver.commandline import run
from benchmark.records import Range, Study
from benchmark.strategies.clipping import CLIPPINGS

RATES = {
    "smoke": (0.1, 10.0),
    "quick": (0.03, 0.3, 3.0, 30.0),
    "standard": (0.03, 0.3, 3.0, 30.0),
    "full": (0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0),
}
LEVELS = {"smoke": 2, "quick": 4, "standard": 4, "full": 9}
SEEDS = {"smoke": 1, "quick": 3, "standard": 3, "full": 10}
EPOCHS = {"smoke": 0.5, "quick": 4, "standard": 1, "full": 5}
FINE = tuple(10 ** (k / 2) for k in range(-4, 5))
"""Thresholds of the global norm, close enough to have one near any percentile of the norms."""


def thresholds(allowed: Range | None, levels: int) -> tuple[float | None, ...]:
    """``levels`` values from the low to the high end of a range, evenly spaced on its own scale.

    >>> thresholds(Range(1.0, 100.0, default=10.0), 3)
    (1.0, 10.0, 100.0)
    """
    if allowed is None:
        return (None,)
    shares = [i / (levels - 1) for i in range(levels)]
    if allowed.log:
        values = [allowed.low * (allowed.high / allowed.low) ** share for share in shares]
    else:
        values = [allowed.low + share * (allowed.high - allowed.low) for share in shares]
    # rounding must not leave the range
    return tuple(min(max(round(v, 6), allowed.low), allowed.high) for v in values)


def study(scale: str) -> Study:
    """The thresholds at ``scale``."""
    large = scale in ("standard", "full")
    common: dict[str, Any] = {
        "dataset": "fashion-mnist" if large else "digits",
        "train_fraction": 0.2 if scale == "standard" else 1.0,
        "model": ("mlp", "cnn") if scale == "full" else "mlp",
        "batch_size": 128 if large else 32,
        "epochs": EPOCHS[scale],
        "learning_rate": RATES[scale],
    }
    names = ("none", "global_norm") if scale == "smoke" else tuple(CLIPPINGS)
    blocks = [
        common
        | {
            "clipping": name,
            "clipping_threshold": thresholds(CLIPPINGS[name].threshold, LEVELS[scale]),
        }
        for name in names
    ]
    if scale != "smoke":
        blocks.append(common | {"clipping": "global_norm", "clipping_threshold": FINE})
    return Study(
        name="clipping",
        question="Which threshold suits each clipping at each learning rate, and is the 90th "
        "percentile of the unclipped norms a good one?",
        factors=blocks,
        seeds=range(SEEDS[scale]),
        checkpoints=4 if scale == "smoke" else 20,
    )


if __name__ == "__main__":
    sys.exit(run(study))
