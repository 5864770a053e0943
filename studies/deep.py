"""What lets a deep plain network train at a rate that is too high for it?

A network of ten layers without normalization, at rates from safe to far too high, with one remedy
at a time: every clipping at its default threshold, every schedule, and two normalizations. So it
says which clipping to take at a given rate, whether a schedule with warm-up prevents explosions or
puts them off, and what a lower rate would have given.

smoke        12 trials          240 updates   0.000 core-hours
quick       360 trials       36,000 updates       - core-hours
standard    360 trials      180,000 updates       - core-hours
paper     1,200 trials    1,800,000 updates    0.35 core-hours
full      3,600 trials   10,800,000 updates       - core-hours
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from benchmark.driver.commandline import run
from benchmark.records import Study
from benchmark.strategies.declared import COMPARED


def one_at_a_time() -> dict[str, tuple[str, ...]]:
    """What is changed, one at a time, against constant rates without clipping or normalization."""
    return {
        "clipping": tuple(name for name in COMPARED if name != "none"),
        "schedule": ("step", "cosine", "warmup", "warmup_cosine", "one_cycle", "plateau"),
        "normalization": ("batch", "layer"),
    }


@dataclass(frozen=True)
class Settings:
    """What a scale decides; the defaults are those of ``paper``."""

    dataset: str = "fashion-mnist"
    depths: Sequence[int] = (10,)
    rates: Sequence[float] = (0.005, 0.0158, 0.05, 0.158, 0.5, 1.58)
    remedies: Mapping[str, tuple[str, ...]] = field(default_factory=one_at_a_time)
    updates: int = 1500
    seeds: int = 10
    checkpoints: int = 40


SMALL = Settings(dataset="digits", updates=100, seeds=3, checkpoints=20)
SCALES = {
    "smoke": replace(
        SMALL,
        rates=(0.05, 0.5),
        remedies={"clipping": ("global_norm",), "schedule": ("warmup", "warmup_cosine")}
        | {"normalization": ("batch", "layer")},
        updates=20,
        seeds=1,
        checkpoints=4,
    ),
    "quick": SMALL,
    "standard": replace(SMALL, dataset="fashion-mnist", updates=500, checkpoints=40),
    "paper": Settings(),
    "full": Settings(depths=(10, 20, 30), updates=3000),
}


def study(scale: str) -> Study:
    """The deep network and its remedies at ``scale``."""
    s = SCALES[scale]
    plain: dict[str, Any] = {
        "dataset": s.dataset,
        "model": "mlp_deep",
        "depth": s.depths,
        "learning_rate": s.rates,
        "updates": s.updates,
    }
    changes = [{}, *({factor: levels} for factor, levels in s.remedies.items())]
    return Study(
        name="deep",
        question="Which clipping, schedule or normalization lets a deep plain network train at a "
        "rate that is too high for it?",
        factors=[plain | change for change in changes],
        seeds=range(s.seeds),
        checkpoints=s.checkpoints,
    )


if __name__ == "__main__":
    sys.exit(run(study))
