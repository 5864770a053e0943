"""Which answers carry over from the dense network to others, where explosion is at home?

A recurrence over the rows of an image, a small residual network (where adaptive clipping comes
from) and a small transformer, which may normalize its queries and keys, beside the dense network
of the other studies: clippings with and without normalization, at 1, 3 and 10 times each
configuration's own best rate.

smoke       80 trials         960 updates   0.001 core-hours
quick      252 trials      25,200 updates    0.02 core-hours
standard   252 trials     126,000 updates       - core-hours
paper      945 trials   1,417,500 updates    1.51 core-hours
full     2,205 trials  11,025,000 updates       - core-hours
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from benchmark.driver.commandline import run
from benchmark.records import RelativeRates, Study


def around(best: float) -> RelativeRates:
    """Rates about the half-decade that was best after 400 updates on Fashion-MNIST."""
    return RelativeRates(low=best / 10**0.5, high=best * 10**0.5, seeds=(100,))


def networks(**more: Any) -> dict[str, dict[str, Any]]:
    """The normalizations of each network, and where its best rate is looked for first."""
    known = {
        "mlp": {"normalization": ("none", "batch"), "learning_rate": around(0.1)},
        "rnn": {"normalization": ("none", "layer"), "learning_rate": around(0.0316)},
        "resnet": {"normalization": ("none", "batch"), "learning_rate": around(0.316)},
        "transformer": {"normalization": ("none", "layer"), "learning_rate": around(0.1)},
        # where normalization is usual, queries and keys without it and with it
        "transformer_qk": {"normalization": "layer", "learning_rate": around(0.1)},
    }
    return {name: row | more for name, row in known.items()}


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
        SMALL, networks=networks(normalization="none"), updates=12, seeds=1, checkpoints=4
    ),
    "quick": SMALL,
    "standard": replace(SMALL, dataset="fashion-mnist", updates=500),
    "paper": Settings(),
    "full": Settings(
        clippings=("none", "value", "global_norm", "adaptive", "adagc", "zclip", "skip_step"),
        updates=5000,
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
        factors=[common | {"model": name, **varied} for name, varied in s.networks.items()],
        seeds=range(s.seeds),
        checkpoints=s.checkpoints,
    )


if __name__ == "__main__":
    sys.exit(run(study))
