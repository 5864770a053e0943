"""Up to which batch size do larger batches pay?

Fixed batch sizes in powers of two, each over the same rates, at equal examples: how many updates
and how many examples a target takes at the rate that reaches it soonest. Checkpoints are close
together, because a target can be seen only there. Larger batches save updates; beyond the critical
size they do so at the cost of examples (Shallue et al. 2019, arXiv:1811.03600; McCandlish et al.
2018, arXiv:1812.06162, whose noise scale is to predict it).

smoke         4 trials         166 updates   0.000 core-hours
quick       140 trials      29,176 updates       - core-hours
standard    224 trials     158,720 updates       - core-hours
paper       560 trials     992,000 updates    0.06 core-hours
full      2,080 trials  15,997,440 updates       - core-hours
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace

from benchmark.driver.commandline import run
from benchmark.records import Study


def powers(low: int, high: int) -> tuple[int, ...]:
    """Powers of two from ``2**low`` to ``2**high``.

    >>> powers(3, 5)
    (8, 16, 32)
    """
    return tuple(2**k for k in range(low, high + 1))


@dataclass(frozen=True)
class Settings:
    """What a scale decides; the defaults are those of ``paper``."""

    dataset: str = "fashion-mnist"
    models: Sequence[str] = ("mlp",)
    epochs: float = 1
    batch_sizes: Sequence[int] = powers(3, 9)
    rates: Sequence[float] = (0.015625, 0.03125, 0.0625, 0.125, 0.25, 0.5, 1.0, 2.0)
    seeds: int = 10
    checkpoints: int = 80


SMALL = Settings(
    dataset="digits", epochs=4, batch_sizes=powers(3, 7), rates=(0.0625, 0.25, 1.0, 2.0), seeds=7
)
SCALES = {
    "smoke": replace(
        SMALL,
        epochs=0.5,
        batch_sizes=(8, 32),
        rates=(0.25, 1.0),
        seeds=1,
        checkpoints=8,
    ),
    "quick": SMALL,
    "standard": Settings(epochs=0.4, seeds=4),
    "paper": Settings(),
    "full": Settings(models=("mlp", "cnn"), epochs=4, batch_sizes=powers(2, 14), seeds=10),
}


def study(scale: str) -> Study:
    """The batch sizes at ``scale``."""
    s = SCALES[scale]
    return Study(
        name="critical_batch",
        question="Up to which batch size do larger batches pay, in updates and in examples?",
        factors={
            "dataset": s.dataset,
            "model": s.models,
            "batch_size": s.batch_sizes,
            "learning_rate": s.rates,
            "epochs": s.epochs,
        },
        seeds=range(s.seeds),
        checkpoints=s.checkpoints,
    )


if __name__ == "__main__":
    sys.exit(run(study))
