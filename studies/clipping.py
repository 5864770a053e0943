"""Which threshold, at which learning rate, for every clipping?

Each clipping's own threshold over its declared range, crossed with the learning rate; that of the
global norm in quarter-decades, so that one lies close to any percentile of the norms. Practice says
that clipping more than half of the steps is only a smaller learning rate, and that the 90th
percentile of the unclipped norms is a good threshold: the report tests both on these trials.

smoke          6 trials          96 updates   0.000 core-hours
quick        624 trials      81,120 updates   0.004 core-hours
standard     624 trials     312,000 updates       - core-hours
paper      2,700 trials   4,050,000 updates    0.45 core-hours
full      21,600 trials  32,400,000 updates       - core-hours
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from benchmark.driver.commandline import run
from benchmark.records import Range, Study, rates_between
from benchmark.strategies.declared import COMPARED, range_of

CONTRASTED = ("none", "global_norm")
"""Of which the report states differences; the other clippings are a map."""


@dataclass(frozen=True)
class Settings:
    """What a scale decides; the defaults are those of ``paper``."""

    dataset: str = "fashion-mnist"
    models: Sequence[str] = ("mlp",)
    updates: int = 1500
    rates: Sequence[float] = rates_between(0.03, 10)
    clippings: Sequence[str] = COMPARED
    thresholds: int = 9
    global_norms: Sequence[float] = rates_between(0.01, 100, per_decade=4)
    map_seeds: int = 3
    seeds: int = 10
    checkpoints: int = 20


SMALL = Settings(
    dataset="digits",
    updates=130,
    rates=(0.03, 0.3, 3.0, 30.0),
    thresholds=4,
    global_norms=rates_between(0.01, 100),
    seeds=3,
)
SCALES = {
    "smoke": replace(
        SMALL,
        updates=16,
        rates=(0.1, 10.0),
        clippings=("none", "global_norm"),
        thresholds=2,
        global_norms=(),
        map_seeds=1,
        seeds=1,
        checkpoints=4,
    ),
    "quick": SMALL,
    "standard": replace(SMALL, dataset="fashion-mnist", updates=500),
    "paper": Settings(),
    "full": Settings(models=("mlp", "cnn"), rates=rates_between(0.003, 100), map_seeds=10),
}


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
    return tuple(min(max(float(f"{v:.4g}"), allowed.low), allowed.high) for v in values)


def study(scale: str) -> Study:
    """The thresholds at ``scale``."""
    s = SCALES[scale]
    common: dict[str, Any] = {
        "dataset": s.dataset,
        "model": s.models,
        "updates": s.updates,
        "learning_rate": s.rates,
    }
    blocks = [
        common
        | {
            "clipping": name,
            "clipping_threshold": thresholds(range_of("clipping", name), s.thresholds),
            "seed": range(s.seeds if name in CONTRASTED else s.map_seeds),
        }
        for name in s.clippings
    ]
    if s.global_norms:
        blocks.append(common | {"clipping": "global_norm", "clipping_threshold": s.global_norms})
    return Study(
        name="clipping",
        question="Which threshold suits each clipping at each learning rate, and is the 90th "
        "percentile of the unclipped norms a good one?",
        factors=blocks,
        seeds=range(s.seeds),
        checkpoints=s.checkpoints,
    )


if __name__ == "__main__":
    sys.exit(run(study))
