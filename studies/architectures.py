"""Which answers carry over from the dense network to others, where explosion is at home?

A recurrence over the rows of an image, a small residual network (where adaptive clipping comes
from) and a small transformer, beside the dense network of the other studies: clippings with and
without normalization, at 1, 3 and 10 times each configuration's own best rate.

smoke      16 trials        192 updates   0.000 core-hours
quick      56 trials      5,600 updates   0.000 core-hours
standard   56 trials     28,000 updates       - core-hours
paper     210 trials    315,000 updates       - core-hours
full      420 trials  2,100,000 updates       - core-hours
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from benchmark.driver.commandline import run
from benchmark.models import MODELS
from benchmark.records import RelativeRates, Study

RATES = RelativeRates(low=0.0316, high=0.316, seeds=(100,))


def networks(**more: Any) -> dict[str, dict[str, Any]]:
    """The normalizations of each network, and where its best rate is looked for first."""
    known = {
        "mlp": {"normalization": ("none", "batch")},
        "rnn": {"normalization": ("none", "layer")},
        "resnet": {"normalization": ("none", "batch")},
        "transformer": {"normalization": ("none", "layer")},
    }
    return {name: row | {"learning_rate": RATES} | more for name, row in known.items()}


@dataclass(frozen=True)
class Settings:
    """What a scale decides; the defaults are those of ``paper``."""

    dataset: str = "fashion-mnist"
    networks: Mapping[str, Mapping[str, Any]] = field(default_factory=networks)
    clippings: Sequence[str] = ("none", "global_norm", "adaptive")
    updates: int = 1500
    seeds: int = 10
    checkpoints: int = 20


SMALL = Settings(dataset="digits", clippings=("none", "global_norm"), updates=100, seeds=3)
SCALES = {
    "smoke": replace(
        SMALL, networks=networks(normalization=("none",)), updates=12, seeds=1, checkpoints=4
    ),
    "quick": SMALL,
    "standard": replace(SMALL, dataset="fashion-mnist", updates=500),
    "paper": Settings(),
    "full": Settings(
        clippings=("none", "value", "global_norm", "adaptive", "adagc", "skip_step"), updates=5000
    ),
}


def study(scale: str) -> Study:
    """The networks at ``scale``."""
    s = SCALES[scale]
    common = {"dataset": s.dataset, "clipping": s.clippings, "updates": s.updates}
    return Study(
        name="architectures",
        question="Which answers carry over from the dense network to a recurrence, a residual "
        "network and a transformer?",
        factors=[
            common | {"model": name, **varied}
            for name, varied in s.networks.items()
            if name in MODELS
        ],
        seeds=range(s.seeds),
        checkpoints=s.checkpoints,
    )


if __name__ == "__main__":
    sys.exit(run(study))
