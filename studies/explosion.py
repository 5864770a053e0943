"""When does training explode, and what do gradients do before the end?

Maps of the status over learning rate and gain, for shallow and deep plain networks, with and
without normalization and clipping. The history says whether gradient norms grow through training
until it stops, as the article claims, or jump at once; the layers say where. Without clipping the
maps have more depths and gains, because what explodes is counted by configuration. Networks that
survive their first hundred steps are trained longer, at rates about the edge, to see whether spikes
come late, too. Gains at which gradients vanish are compared with gain 1 on ten seeds, each at its
own best rate.

smoke         8 trials        128 updates   0.000 core-hours
quick       666 trials     73,800 updates    0.02 core-hours
standard    828 trials    432,000 updates       - core-hours
paper     8,220 trials  4,905,000 updates    1.27 core-hours
full     47,640 trials 27,360,000 updates       - core-hours
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from benchmark.driver.commandline import run
from benchmark.records import RelativeRates, Study, rates_between


@dataclass(frozen=True)
class Settings:
    """What a scale decides; the defaults are those of ``paper``."""

    dataset: str = "fashion-mnist"
    depths: Sequence[int] = (2, 8, 20)
    gains: Sequence[float] = (0.5, 1.0, 2.0)
    rates: Sequence[float] = rates_between(0.001, 10)
    normalizations: Sequence[str] = ("none", "batch", "layer")
    clippings: Sequence[str] = ("none", "global_norm")
    plain_depths: Sequence[int] = (2, 4, 8, 20)
    plain_gains: Sequence[float] = (0.5, 0.7, 1.0, 1.4, 2.0)
    updates: int = 500
    long_updates: int = 3000
    long_rates: Sequence[float] = rates_between(0.03, 3, per_decade=4)
    vanishing_depths: Sequence[int] = (8, 20)
    vanishing_gains: Sequence[float] = (0.5, 0.7, 1.0)
    vanishing_rates: RelativeRates = RelativeRates(low=0.0316, high=0.316, multiples=(1,))
    vanishing_updates: int = 1500
    map_seeds: int = 10
    seeds: int = 10
    checkpoints: int = 20


SMALL = Settings(
    dataset="digits",
    rates=(0.01, 0.1, 1.0, 10.0),
    updates=100,
    plain_depths=(),
    long_updates=500,
    long_rates=(0.1, 0.3162),
    vanishing_depths=(),
    map_seeds=3,
)
SCALES = {
    "smoke": replace(
        SMALL,
        depths=(3,),
        gains=(1.0, 2.0),
        rates=(0.1, 10.0),
        normalizations=("none",),
        updates=16,
        long_rates=(),
        map_seeds=1,
        checkpoints=4,
    ),
    "quick": SMALL,
    "standard": replace(
        SMALL,
        dataset="fashion-mnist",
        rates=rates_between(0.001, 10, per_decade=1),
        updates=500,
        long_updates=1500,
    ),
    "paper": Settings(),
    "full": Settings(
        depths=(2, 4, 8, 16, 30),
        gains=(0.25, 0.5, 0.8, 1.0, 1.5, 2.0),
        normalizations=("none", "batch", "layer", "rms"),
        clippings=("none", "global_norm", "adaptive", "skip_step"),
        long_updates=10_000,
    ),
}


def study(scale: str) -> Study:
    """The maps at ``scale``."""
    s = SCALES[scale]
    common: dict[str, Any] = {
        "dataset": s.dataset,
        "model": "mlp_deep",
        "normalization": s.normalizations,
    }
    maps = common | {"learning_rate": s.rates, "updates": s.updates, "seed": range(s.map_seeds)}
    blocks = [maps | {"depth": s.depths, "clipping": s.clippings, "init_gain": s.gains}]
    if s.plain_depths:
        blocks.append(maps | {"depth": s.plain_depths, "init_gain": s.plain_gains})
    if s.long_rates:
        long = {"depth": 8, "learning_rate": s.long_rates, "updates": s.long_updates}
        blocks.append(maps | long)
    if s.vanishing_depths:
        vanishing = {
            "normalization": "none",
            "depth": s.vanishing_depths,
            "init_gain": s.vanishing_gains,
            "learning_rate": s.vanishing_rates,
            "updates": s.vanishing_updates,
        }
        blocks.append(common | vanishing)
    return Study(
        name="explosion",
        question="At which depth, gain and learning rate does training explode, and what does the "
        "gradient norm do before the end?",
        factors=blocks,
        seeds=range(s.seeds),
        checkpoints=s.checkpoints,
    )


if __name__ == "__main__":
    sys.exit(run(study))
