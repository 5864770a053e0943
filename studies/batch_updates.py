"""How much data should go into an update, and should that change during training?

Two questions that are easily confused stand side by side: what a batch size does to equally many
examples, and to equally many updates. Fixed sizes are tried at rates that are powers of two, so
that both the linear and the square-root rule land on them: where a rule's rate stops being the best
one is where it breaks. Some of the sizes are compared on ten seeds at 1, 3 and 10 times their own
best rates; so is the full batch, on a part of the data, where it can make as many updates as the
others; once for as many passes as give it these updates, too. Every policy that changes the batch
starts from the same first size, at its own best rate, with each rule for the rate when the batch
changes, beside fixed sizes; at equal updates also at 3 and 10 times that rate, and at equal
examples at the rate that is best for a fixed size and a little below it, because the choice of a
rate is noisy. Batches that grow stand in for a rate that decays (Smith et al. 2018,
arXiv:1711.00489), so that the first size is trained with decaying rates, too. The noise scale
(McCandlish et al. 2018, arXiv:1812.06162) stands beside the knee.

smoke       91 trials       2,409 updates   0.000 core-hours
quick      439 trials     127,867 updates   0.009 core-hours
standard   433 trials     251,381 updates       - core-hours
paper    1,992 trials   4,403,522 updates    0.35 core-hours
full     4,404 trials  54,214,172 updates       - core-hours
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from benchmark.driver.commandline import run
from benchmark.records import RelativeRates, Study
from benchmark.strategies.batch_policies import BATCH_POLICIES
from benchmark.strategies.scaling import SCALINGS

CHANGING = tuple(name for name in BATCH_POLICIES if name not in ("fixed", "full", "accumulate"))


def powers(low: int, high: int) -> tuple[float, ...]:
    """Powers of two from ``2**low`` to ``2**high``.

    >>> powers(-1, 1)
    (0.5, 1.0, 2.0)
    """
    return tuple(2.0**k for k in range(low, high + 1))


@dataclass(frozen=True)
class Settings:
    """What a scale decides; the defaults are those of ``paper``.

    ``batch_sizes`` are mapped over ``rates``, ``compared_sizes`` compared at multiples of their own
    best rates. ``part`` is the share of the data of which the full batch is taken, and
    ``part_sizes`` the fixed sizes beside it; ``policy_sizes`` are those beside the policies.
    ``decays`` are the schedules of the first size, for which batches that grow stand in.
    """

    dataset: str = "fashion-mnist"
    models: Sequence[str] = ("mlp",)
    epochs: float = 2
    updates: int = 1500
    batch_sizes: Sequence[int] = (8, 32, 128, 512, 2048)
    rates: Sequence[float] = powers(-6, 2)
    compared_sizes: Sequence[int] = (8, 64, 512)
    compared_rates: RelativeRates = RelativeRates(low=0.0316, high=1.0)
    part: float = 0.02
    part_epochs: float = 48
    part_long_epochs: float = 1500
    part_long_sizes: Sequence[int] = (32,)
    part_long_rates: RelativeRates = RelativeRates(
        low=0.0316, high=0.316, multiples=(1,), seeds=(100,)
    )
    part_sizes: Sequence[int] = (32, 256)
    part_rates: Sequence[float] | RelativeRates = RelativeRates(low=0.0316, high=0.316)
    first: int = 32
    policy_sizes: Sequence[int] = (8, 16, 32, 256)
    policies: Sequence[str] = CHANGING
    scalings: Sequence[str] = tuple(SCALINGS)
    policy_rates: RelativeRates = RelativeRates(
        low=0.0316,
        high=0.316,
        multiples=(1,),
        baseline=("batch_policy", "fixed"),
        baseline_multiples=(0.562, 1),
    )
    policy_multiples: Sequence[float] = (1, 3, 10)
    policy_fraction: float = 0.1
    policy_epochs: float = 10
    decays: Sequence[str] = ("step", "cosine")
    map_seeds: int = 3
    seeds: int = 10
    checkpoints: int = 20


SMALL = Settings(
    dataset="digits",
    epochs=8,
    updates=270,
    batch_sizes=(8, 32, 128, 512),
    compared_sizes=(),
    part=0.25,
    part_epochs=0,
    part_long_epochs=0,
    decays=(),
    part_rates=(0.0625, 0.25, 1.0),
    policy_sizes=(32,),
    policy_rates=RelativeRates(low=0.1, high=0.316, multiples=(1,), seeds=(100,)),
    policy_multiples=(1,),
    policy_fraction=1.0,
    policy_epochs=8,
    seeds=3,
)
SCALES = {
    "smoke": replace(
        SMALL,
        epochs=0.5,
        updates=16,
        batch_sizes=(16, 64),
        rates=(0.125, 0.5),
        part_rates=(0.125,),
        first=16,
        policy_sizes=(16,),
        policies=("doubling", "noise_scale", "norm_test"),
        policy_epochs=0.5,
        map_seeds=1,
        seeds=1,
        checkpoints=4,
    ),
    "quick": SMALL,
    "standard": replace(
        SMALL,
        dataset="fashion-mnist",
        epochs=0.5,
        updates=500,
        batch_sizes=(8, 32, 128, 512, 2048),
        rates=powers(-5, 1),
        part=0.04,
        policy_fraction=0.04,
        policy_epochs=8,
    ),
    "paper": Settings(),
    "full": Settings(
        models=("mlp", "cnn"),
        epochs=10,
        updates=5000,
        batch_sizes=(4, 16, 64, 256, 1024, 4096),
        rates=powers(-10, 4),
        policy_fraction=1.0,
    ),
}


def study(scale: str) -> Study:
    """The batch sizes and policies at ``scale``."""
    s = SCALES[scale]
    common: dict[str, Any] = {"dataset": s.dataset, "model": s.models}
    maps = {
        "batch_size": s.batch_sizes,
        "learning_rate": s.rates,
        "seed": range(s.map_seeds),
    }
    compared = {"batch_size": s.compared_sizes, "learning_rate": s.compared_rates}
    fixed = [common | sizes for sizes in (maps, compared) if sizes["batch_size"]]
    part = common | {"train_fraction": s.part, "learning_rate": s.part_rates}
    part_budgets: list[dict[str, Any]] = [{"updates": s.updates}]
    if s.part_epochs:
        part_budgets.append({"epochs": s.part_epochs})
    long = {"epochs": s.part_long_epochs, "learning_rate": s.part_long_rates}
    policy = common | {"train_fraction": s.policy_fraction, "batch_size": s.first}
    multiples = replace(s.policy_rates, multiples=s.policy_multiples, baseline=None)
    in_examples = policy | {"epochs": s.policy_epochs, "learning_rate": s.policy_rates}
    if s.policy_rates.baseline is not None:
        # the baseline is there at each rate that it lends to the others
        lent = replace(s.policy_rates, multiples=s.policy_rates.baseline_multiples)
        in_examples_fixed = in_examples | {"learning_rate": lent}
    else:
        in_examples_fixed = in_examples
    in_updates = policy | {"updates": s.updates, "learning_rate": multiples}
    return Study(
        name="batch_updates",
        question="How much data should go into one update, at equal examples and at equal updates, "
        "and do policies that change it reach a target sooner than the best fixed size?",
        factors=[
            *(sizes | {"epochs": s.epochs} for sizes in fixed),
            *(sizes | {"updates": s.updates} for sizes in fixed),
            *(
                part | budget | whole_or_size
                for budget in part_budgets
                for whole_or_size in ({"batch_policy": "full"}, {"batch_size": s.part_sizes})
            ),
            *(
                part | long | whole_or_size
                for whole_or_size in (
                    {"batch_policy": "full"},
                    {"batch_size": s.part_long_sizes},
                )
                if s.part_long_epochs
            ),
            in_examples_fixed | {"batch_size": s.policy_sizes},
            in_updates | {"batch_size": s.policy_sizes},
            in_examples | {"batch_policy": "accumulate"},
            in_updates | {"batch_policy": "accumulate"},
            *(budget | {"schedule": s.decays} for budget in (in_examples, in_updates) if s.decays),
            in_examples | {"batch_policy": s.policies, "learning_rate_scaling": s.scalings},
            in_updates | {"batch_policy": s.policies},
        ],
        seeds=range(s.seeds),
        checkpoints=s.checkpoints,
    )


if __name__ == "__main__":
    sys.exit(run(study))
