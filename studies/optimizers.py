"""Do more reliable optimizers, more epochs and stricter safety make training safer?

Every optimizer with a constant and a decaying schedule, with the two guards of practice (skipping a
step whose loss or gradient norm is an outlier, and limiting the norm), at 1, 3 and 10 times its own
best rate; and for a budget four times as long, under SGD also at rates that both budgets share.
Newer optimizers stand beside them without guards. Without a guard at a constant rate, which is what
optimizers are compared by, five seeds choose the best rate: optima are flat, and ten times one of
two rates that are as good is not ten times the other.
Adam and AdamW are also trained with several clippings, all at multiples of the rate that is best
without: up to 100 times, as at ten times no trial diverges without one.

smoke        42 trials        672 updates   0.000 core-hours
quick       630 trials     79,800 updates   0.006 core-hours
standard    630 trials    441,000 updates       - core-hours
paper     2,615 trials   5,182,500 updates    1.19 core-hours
full      6,670 trials  12,525,000 updates       - core-hours
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from benchmark.driver.commandline import run
from benchmark.records import RelativeRates, Study

UNCLIPPED = ("clipping", "none")
"""Whose best rate the clippings of Adam are compared at multiples of."""


def about(low: float, high: float, **more: Any) -> RelativeRates:
    """Relative rates that begin between ``low`` and ``high``."""
    return RelativeRates(low=low, high=high, **more)


def by_optimizer(**more: Any) -> dict[tuple[str, ...], RelativeRates]:
    """Where the best rates of the optimizers are looked for first: they differ in scale."""
    return {
        ("sgd",): about(0.0316, 0.316, **more),
        ("momentum", "nesterov"): about(0.00316, 0.0316, **more),
        ("adam", "adamw", "rmsprop"): about(0.000316, 0.00316, **more),
    }


def by_newer_optimizer(**more: Any) -> dict[tuple[str, ...], RelativeRates]:
    """The same for those that are run without guards."""
    return {
        ("lion",): about(0.0000316, 0.000316, **more),
        ("lamb",): about(0.001, 0.01, **more),
        ("schedule_free_sgd",): about(0.1, 1.0, **more),
    }


@dataclass(frozen=True)
class Settings:
    """What a scale decides; the defaults are those of ``paper``."""

    dataset: str = "fashion-mnist"
    models: Sequence[str] = ("mlp",)
    rates: Mapping[tuple[str, ...], RelativeRates] = field(default_factory=by_optimizer)
    newer: Mapping[tuple[str, ...], RelativeRates] = field(default_factory=by_newer_optimizer)
    schedules: Sequence[str] = ("constant", "cosine")
    clippings: Sequence[str] = ("none", "skip_step", "global_norm")
    unguarded_seeds: Sequence[int] = tuple(range(100, 105))
    shared_optimizers: Sequence[str] = ("adam", "adamw")
    far_multiples: Sequence[float] = (30, 100)
    shared_clippings: Sequence[str] = ("global_norm", "value", "per_layer_norm", "adagc")
    updates: int = 1500
    long_updates: int = 6000
    shared_rates: Sequence[float] = (0.1, 0.3162, 0.5623, 1.0)
    seeds: int = 10
    checkpoints: int = 20


SMALL = Settings(
    dataset="digits",
    rates=by_optimizer(seeds=(100,)),
    newer=by_newer_optimizer(seeds=(100,)),
    unguarded_seeds=(100,),
    shared_optimizers=(),
    shared_rates=(),
    updates=100,
    long_updates=300,
    seeds=3,
)
SCALES = {
    "smoke": replace(
        SMALL,
        rates={
            ("sgd",): about(0.1, 0.316, seeds=(100,)),
            ("adam",): about(0.01, 0.0316, seeds=(100,)),
        },
        newer={},
        schedules=("constant",),
        clippings=("none", "skip_step"),
        updates=12,
        long_updates=24,
        seeds=1,
        checkpoints=4,
    ),
    "quick": SMALL,
    "standard": replace(SMALL, dataset="fashion-mnist", updates=500, long_updates=2000),
    "paper": Settings(),
    "full": Settings(models=("mlp", "cnn"), schedules=("constant", "cosine", "warmup_cosine")),
}


def unguarded(s: Settings, rates: RelativeRates) -> RelativeRates:
    """``rates`` for training without a guard, of which more seeds choose the best."""
    return replace(rates, seeds=s.unguarded_seeds)


def study(scale: str) -> Study:
    """The optimizers at ``scale``."""
    s = SCALES[scale]
    blocks: list[dict[str, Any]] = []
    for optimizers, rates in s.rates.items():
        common = {
            "dataset": s.dataset,
            "model": s.models,
            "optimizer": optimizers,
            "learning_rate": rates,
        }
        guarded = {"clipping": [one for one in s.clippings if one != "none"]}
        decaying = [one for one in s.schedules if one != "constant"]
        blocks += [
            common | {"learning_rate": unguarded(s, rates), "updates": s.updates},
            common | guarded | {"schedule": s.schedules, "updates": s.updates},
            common | {"updates": s.long_updates},
        ]
        if decaying:
            blocks.append(common | {"schedule": decaying, "updates": s.updates})
    blocks += [
        {
            "dataset": s.dataset,
            "model": s.models,
            "optimizer": optimizers,
            "learning_rate": unguarded(s, rates),
            "updates": s.updates,
        }
        for optimizers, rates in s.newer.items()
    ]
    if s.shared_rates:
        # what longer training does to SGD at one and the same rate: its best one is lower there
        blocks.append(
            {
                "dataset": s.dataset,
                "model": s.models,
                "optimizer": "sgd",
                "learning_rate": s.shared_rates,
                "updates": (s.updates, s.long_updates),
            }
        )
    # what clipping does to an optimizer that scales its own steps, at one and the same rate
    at_one_rate = about(
        *(0.000316, 0.00316),
        multiples=(1, 3, 10),
        baseline=UNCLIPPED,
        baseline_multiples=(3, 10, *s.far_multiples),
    )
    bare = replace(unguarded(s, at_one_rate), multiples=(1, 3, 10, *s.far_multiples), baseline=None)
    if s.shared_optimizers:
        blocks += [
            {
                "dataset": s.dataset,
                "model": s.models,
                "optimizer": s.shared_optimizers,
                "clipping": clippings,
                "learning_rate": rates,
                "updates": s.updates,
            }
            for clippings, rates in ((s.shared_clippings, at_one_rate), ("none", bare))
        ]
    return Study(
        name="optimizers",
        question="Do more reliable optimizers, more epochs and stricter safety make training "
        "safer?",
        factors=blocks,
        seeds=range(s.seeds),
        checkpoints=s.checkpoints,
    )


if __name__ == "__main__":
    sys.exit(run(study))
