"""What does each clipping gain, with and without batch normalization, at its own best rate?

Every clipping at its published default, in an MLP and a CNN, on two data sets. A configuration's
best learning rate is found on the validation set with five seeds; with two, the noise of that
choice is as large as what clippings differ by. 1, 3 and 10 times it are then trained on ten fresh
seeds. So accuracy is compared where each is at its best, and explosions at the same distance from
it, whatever the scale of its rates. Every clipping is also trained at 3 and 10 times the best rate
without clipping: one and the same rate for all. How a clipping compares with others depends on its
threshold, and a default was chosen for another network. So without normalization further
thresholds are trained at ten times that rate: an analysis can choose one on other seeds by
validation, as it would be tuned.

smoke        37 trials         740 updates   0.000 core-hours
quick       870 trials     261,000 updates    0.01 core-hours
standard    810 trials   1,215,000 updates    0.38 core-hours
paper     6,160 trials   9,240,000 updates    2.97 core-hours
full     13,920 trials  69,600,000 updates   27.72 core-hours
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from benchmark.driver.commandline import run
from benchmark.records import RelativeRates, Study, rates_between
from benchmark.strategies.declared import COMPARED

UNCLIPPED = ("clipping", "none")
"""Whose rates all clippings are compared at besides their own."""

NORMS = rates_between(0.01, 0.316)
"""Thresholds of a norm below its default, 1, in half-decades."""
BOUNDED = {
    "value": rates_between(1e-4, 3.16e-3),
    "global_norm": NORMS,
    "per_layer_norm": NORMS,
    "adaptive": (0.001, 0.002371, 0.005623, 0.03162),
    "autoclip": (1.0, 5.0),
    "zclip": (1.0, 1.5),
    "zclip_capped": (1.0, 5.0),
    "adagc": (1.0, 1.125),
    "update_rms": (0.001, 0.002371, 0.005623, 0.01334),
    "normalized": NORMS,
    "skip_step": (2.0, 10.0),
}
"""Thresholds besides the default, on both sides of the best of `studies/clipping` at such a rate.

That best is the smallest in its range for adaptive clipping, AutoClip, ZClip, AdaGC and the RMS of
the update; capped ZClip and skip step hardly depend on theirs.
"""
CNN_BOUNDED = {
    "value": rates_between(3.16e-4, 3.16e-3),
    "global_norm": rates_between(0.0316, 0.316),
    "adaptive": (0.001, 0.003162),
    "adagc": (1.0, 1.125),
}


@dataclass(frozen=True)
class Settings:
    """What a scale decides; the defaults are those of ``paper``."""

    mlp_datasets: Sequence[str] = ("mnist", "fashion-mnist")
    cnn_datasets: Sequence[str] = ("mnist", "fashion-mnist")
    mlp_clippings: Sequence[str] = COMPARED
    cnn_clippings: Sequence[str] = ("none", "value", "global_norm", "adaptive", "adagc")
    normalizations: Sequence[str] = ("none", "batch")
    updates: int = 1500
    rates: RelativeRates = RelativeRates(
        low=0.0316, high=1.0, seeds=range(100, 105), baseline=UNCLIPPED
    )
    mlp_thresholds: Mapping[str, Sequence[float]] = field(default_factory=lambda: BOUNDED)
    cnn_thresholds: Mapping[str, Sequence[float]] = field(default_factory=lambda: CNN_BOUNDED)
    tuned_multiples: Sequence[float] = (10,)
    seeds: int = 10
    checkpoints: int = 20


SMALL = Settings(
    mlp_datasets=("digits",),
    cnn_datasets=("digits",),
    cnn_clippings=("none", "global_norm", "adaptive"),
    updates=300,
    rates=RelativeRates(low=0.1, high=1.0, seeds=(100,), baseline=UNCLIPPED),
    mlp_thresholds={"global_norm": (0.1, 0.3162)},
    cnn_thresholds={},
    seeds=5,
)
SCALES = {
    "smoke": replace(
        SMALL,
        mlp_clippings=("none", "global_norm"),
        cnn_datasets=(),
        mlp_thresholds={"global_norm": (0.1,)},
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
    mlp = {"dataset": s.mlp_datasets, "model": "mlp"}
    cnn = {"dataset": s.cnn_datasets, "model": "cnn"}
    networks = [
        common | network | {"clipping": clippings}
        for network, clippings in ((mlp, s.mlp_clippings), (cnn, s.cnn_clippings))
    ]
    # at the rate of training without clipping alone: none of them needs a best rate of its own
    lent = replace(
        s.rates, multiples=(), baseline_multiples=s.tuned_multiples, baseline_arm="threshold"
    )
    tuned = [
        common
        | {**network, "normalization": "none", "learning_rate": lent}
        | {"clipping": clipping, "clipping_threshold": thresholds}
        for network, further in ((mlp, s.mlp_thresholds), (cnn, s.cnn_thresholds))
        for clipping, thresholds in further.items()
    ]
    return Study(
        name="headline",
        question="What does each clipping gain, with and without batch normalization, at 1, 3 and "
        "10 times its own best rate?",
        factors=[block for block in (*networks, *tuned) if block["dataset"]],
        seeds=range(s.seeds),
        checkpoints=s.checkpoints,
    )


if __name__ == "__main__":
    sys.exit(run(study))
