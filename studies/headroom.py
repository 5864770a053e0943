"""Which learning rates train, with and without batch normalization and clipping?

Training without either, with batch normalization, with the global norm clipped and with both, at
the same learning rates, from those that train well to those that do not train at all. Ten times
one's own best rate is a poor yardstick where the best rate lies anywhere on a plateau: a remedy
may move the plateau's upper end, and only rates that all share show by how much. The norm is
clipped at 1 and at a tenth of that, because a lower threshold alone moves the plateau, too. Where
momentum lengthens the steps, or the rate decays and lets a fixed threshold act less and less, the
same thresholds are tried again; rates under momentum are such that rate / (1 - momentum) is shared.

smoke       28 trials         560 updates   0.000 core-hours
quick      252 trials      32,760 updates       - core-hours
standard   300 trials     150,000 updates       - core-hours
paper    2,270 trials   3,405,000 updates    0.73 core-hours
full     3,130 trials  15,650,000 updates       - core-hours
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from benchmark.driver.commandline import run
from benchmark.records import Study, rates_between

MOMENTUM = 0.9
"""Of which the steps are 1 / (1 - momentum) as long as the rate says, where gradients agree."""


def by_model() -> dict[str, tuple[Sequence[float], int]]:
    """Network -> learning rates, and how many seeds; a convolution's best rates are lower."""
    return {
        "mlp": (rates_between(0.01, 10, per_decade=4), 10),
        "cnn": (rates_between(0.0178, 3.16, per_decade=4), 5),
    }


@dataclass(frozen=True)
class Settings:
    """What a scale decides; the defaults are those of ``paper``."""

    dataset: str = "fashion-mnist"
    networks: Mapping[str, tuple[Sequence[float], int]] = field(default_factory=by_model)
    normalizations: Sequence[str] = ("none", "batch")
    clippings: Sequence[str] = ("none", "global_norm")
    tighter: Sequence[float] = (0.1,)
    # rates that the tighter threshold alone still trains at
    farther: Mapping[str, Sequence[float]] = field(default_factory=lambda: {"cnn": (5.623, 10.0)})
    # networks that are trained without normalization under momentum and with decays, too
    varied: Sequence[str] = ("mlp",)
    decays: Sequence[str] = ("cosine",)
    updates: int = 1500
    checkpoints: int = 4


SMALL = Settings(
    dataset="digits",
    networks=dict.fromkeys(("mlp", "cnn"), (rates_between(0.1, 31.6), 3)),
    tighter=(),
    updates=130,
)
SCALES = {
    "smoke": replace(SMALL, networks=dict.fromkeys(("mlp", "cnn"), ((0.1, 10.0), 1)), updates=20),
    "quick": SMALL,
    "standard": Settings(
        networks={"mlp": (rates_between(0.0562, 10, per_decade=4), 3)}, tighter=(), updates=500
    ),
    "paper": Settings(),
    "full": Settings(
        networks={
            "mlp": (rates_between(0.01, 31.6, per_decade=4), 10),
            "cnn": (rates_between(0.00562, 10, per_decade=4), 10),
        },
        farther={"cnn": (17.78, 31.62)},
        updates=5000,
    ),
}


def under_momentum(rates: Sequence[float]) -> tuple[float, ...]:
    """The rates whose rate / (1 - momentum) are ``rates``, to four digits as these are.

    >>> under_momentum((0.1, 0.1778))
    (0.01, 0.01778)
    """
    return tuple(float(f"{rate * (1 - MOMENTUM):.4g}") for rate in rates)


def study(scale: str) -> Study:
    """The rates at ``scale``."""
    s = SCALES[scale]
    networks: list[dict[str, Any]] = [
        {
            "dataset": s.dataset,
            "model": model,
            "normalization": s.normalizations,
            "learning_rate": rates,
            "updates": s.updates,
            "seed": range(seeds),
        }
        for model, (rates, seeds) in s.networks.items()
    ]
    tighter = {"clipping": "global_norm", "clipping_threshold": s.tighter}
    varied = [
        network | {"normalization": "none"} | way
        for network in networks
        if network["model"] in s.varied
        for way in (
            {"schedule": s.decays},
            {
                "optimizer": "momentum",
                "momentum": MOMENTUM,
                "learning_rate": under_momentum(network["learning_rate"]),
                "schedule": ("constant", *s.decays),
            },
        )
    ]
    return Study(
        name="headroom",
        question="Which learning rates train, with and without batch normalization and clipping?",
        factors=[
            *(network | {"clipping": s.clippings} for network in networks),
            *(network | tighter for network in networks if s.tighter),
            *(way | {"clipping": s.clippings} for way in varied),
            *(way | tighter for way in varied if s.tighter),
            *(
                network | tighter | {"learning_rate": s.farther[network["model"]]}
                for network in networks
                if s.tighter and s.farther.get(network["model"])
            ),
        ],
        checkpoints=s.checkpoints,
    )


if __name__ == "__main__":
    sys.exit(run(study))
