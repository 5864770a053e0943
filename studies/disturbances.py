"""What does each clipping and guard save when something goes wrong in the middle of training?

At half of the budget a few batches are bad, the rate jumps, or one example is corrupt, in training
that goes well otherwise: at three tenths of the rate that is best for each rule, and all of them at
three tenths of the rate that is best without, which five seeds choose because it is the measure of
all; some also at that rate itself, because a slow rate favours rules that leave a step alone. The
rule that skips steps is also run as published, with the steps that it skipped in its
window: in every network against a jump of the rate, and in the MLP without normalization against
all disturbances. A return to an earlier state, behind the data since, meets all of them in networks
without normalization. Two rules whose default threshold acts on every step here, so that they set
the length of all steps, are also run at three and ten times that threshold, in networks without
normalization, at the rates of training without. Each rule is compared with itself, on the same seed
without the disturbance: accuracy lost in the end, and updates until it is made up.

Nearly all of this is under plain SGD, whose step is as long as the gradient. Adam divides by the
root of a running mean of squares: the gradient's length no longer sets that of the step, and one
enormous gradient shortens those of a thousand updates after it. So one clipping of each kind is
disturbed under Adam as well, all at three tenths of the rate that is best under Adam without: a
limit on elements, on the norm, by the weights, by the norms so far and on Adam's update, skipped
steps, and a return to an earlier state; in the CNN, whose trials cost seven times as much, at the
scale ``full`` only. AdamW is left out: it differs by a decay of the weights that no disturbance
touches.

smoke       31 trials       1,240 updates   0.000 core-hours
quick      815 trials     244,500 updates    0.02 core-hours
standard   790 trials   1,185,000 updates    0.39 core-hours
paper    6,808 trials  10,212,000 updates    3.00 core-hours
full    12,544 trials  62,720,000 updates       - core-hours
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from benchmark.driver.commandline import run
from benchmark.records import RelativeRates, Study
from benchmark.strategies.declared import COMPARED, names_of

UNCLIPPED = ("clipping", "none")
"""Whose rate all guards are compared at besides their own."""


def at_the_best_rate() -> dict[str, tuple[str, ...]]:
    """Network -> the clippings that are compared at the best rate without clipping itself."""
    return {
        "mlp": ("none", "global_norm", "autoclip", "zclip", "skip_step_all", "rewind"),
        "cnn": ("none", "global_norm", "zclip"),
    }


def looser_thresholds() -> dict[str, tuple[float, ...]]:
    """Clipping -> three and ten times its default threshold."""
    return {"global_norm": (3.162, 10), "adaptive": (0.03162, 0.1)}


@dataclass(frozen=True)
class Settings:
    """What a scale decides; the defaults are those of ``paper``.

    ``full_rate`` has networks without normalization, on the last of their data sets, as ``looser``
    thresholds are run in. ``late`` are clippings that take hundreds of updates to begin, in
    networks without normalization too.
    """

    mlp_datasets: Sequence[str] = ("mnist", "fashion-mnist")
    cnn_datasets: Sequence[str] = ("fashion-mnist",)
    mlp_clippings: Sequence[str] = COMPARED
    cnn_clippings: Sequence[str] = ("none", "global_norm", "adaptive", "zclip", "skip_step")
    variants: Sequence[str] = ("skip_step_all",)
    variant_disturbances: Sequence[str] = ("none", "rate_bump")
    late: Sequence[str] = ("rewind",)
    mlp_normalizations: Sequence[str] = ("none", "batch")
    cnn_normalizations: Sequence[str] = ("none",)
    disturbances: Sequence[str] = names_of("disturbance")
    rates: RelativeRates = RelativeRates(
        low=0.0316, high=1.0, multiples=(0.3,), baseline=UNCLIPPED, baseline_multiples=(0.3,)
    )
    adam_mlp_clippings: Sequence[str] = (
        *("none", "value", "global_norm", "adaptive", "zclip", "update_rms", "skip_step_all"),
        "rewind",
    )
    adam_cnn_clippings: Sequence[str] = ()
    adam_rates: RelativeRates = RelativeRates(low=0.000316, high=0.00316, multiples=(0.3,))
    unclipped_seeds: Sequence[int] = tuple(range(100, 105))
    full_rate: Mapping[str, Sequence[str]] = field(default_factory=at_the_best_rate)
    looser: Mapping[str, Sequence[float]] = field(default_factory=looser_thresholds)
    updates: int = 1500
    seeds: int = 10
    checkpoints: int = 40


SMALL = Settings(
    mlp_datasets=("digits",),
    cnn_datasets=("digits",),
    cnn_clippings=("none", "global_norm", "skip_step"),
    variants=(),
    # the disturbance comes before they begin
    late=(),
    cnn_normalizations=("none", "batch"),
    adam_mlp_clippings=("none", "global_norm", "skip_step_all"),
    updates=300,
    rates=RelativeRates(low=0.1, high=1.0, multiples=(0.3,), seeds=(100,)),
    adam_rates=RelativeRates(low=0.00316, high=0.0316, multiples=(0.3,), seeds=(100,)),
    unclipped_seeds=(100,),
    full_rate={},
    looser={},
    seeds=5,
    checkpoints=20,
)
SCALES = {
    "smoke": replace(
        SMALL,
        cnn_datasets=(),
        mlp_clippings=("none", "global_norm"),
        mlp_normalizations=("none",),
        adam_mlp_clippings=("none", "global_norm"),
        updates=40,
        seeds=1,
        checkpoints=8,
    ),
    "quick": SMALL,
    "standard": replace(
        SMALL,
        mlp_datasets=("fashion-mnist",),
        cnn_datasets=("fashion-mnist",),
        cnn_clippings=("none", "global_norm"),
        variants=(),
        adam_rates=RelativeRates(low=0.000316, high=0.00316, multiples=(0.3,), seeds=(100,)),
        unclipped_seeds=(100, 101),
        full_rate={},
        updates=1500,
    ),
    "paper": Settings(),
    "full": Settings(
        cnn_datasets=("mnist", "fashion-mnist"),
        cnn_clippings=COMPARED,
        adam_mlp_clippings=(*COMPARED, "skip_step_all", "rewind"),
        adam_cnn_clippings=(*COMPARED, "skip_step_all", "rewind"),
        cnn_normalizations=("none", "batch"),
        updates=5000,
    ),
}


def unclipped(s: Settings, rates: RelativeRates) -> RelativeRates:
    """``rates`` for training without clipping, whose best rate is the measure of all others."""
    return replace(rates, seeds=s.unclipped_seeds, baseline=None)


def under_adam(s: Settings) -> list[dict[str, Any]]:
    """The factors under Adam, of networks without normalization, all at one rate for each."""
    at_one_rate = replace(
        s.adam_rates, multiples=(), baseline=UNCLIPPED, baseline_multiples=s.adam_rates.multiples
    )
    networks = [
        {"dataset": s.mlp_datasets, "model": "mlp", "clipping": s.adam_mlp_clippings},
        {"dataset": s.cnn_datasets, "model": "cnn", "clipping": s.adam_cnn_clippings},
    ]
    return [
        network
        | {"clipping": clippings, "learning_rate": rates}
        | {"optimizer": "adam", "disturbance": s.disturbances, "updates": s.updates}
        for network in networks
        for clippings, rates in (
            (("none",), unclipped(s, s.adam_rates)),
            (guarded(network)["clipping"], at_one_rate),
        )
        if network["dataset"] and network["clipping"]
    ]


def going_back(s: Settings) -> list[dict[str, Any]]:
    """The factors of clippings that take long to begin, under SGD: what `at_full_rate` lacks.

    At the rates of training without clipping; and in the cheapest network, on the last of its data
    sets, at rates of their own as well.
    """
    if not s.late:
        return []
    lent = replace(s.rates, multiples=())
    networks = [
        {"model": "mlp", "dataset": s.mlp_datasets, "learning_rate": lent},
        {"model": "cnn", "dataset": s.cnn_datasets, "learning_rate": lent},
        {"model": "mlp", "dataset": s.mlp_datasets[-1:], "learning_rate": s.rates},
    ]
    return [
        network | {"clipping": s.late, "disturbance": s.disturbances, "updates": s.updates}
        for network in networks
        if network["dataset"]
    ]


def at_full_rate(s: Settings) -> list[dict[str, Any]]:
    """The factors at the best rate without clipping itself."""
    datasets = {"mlp": s.mlp_datasets, "cnn": s.cnn_datasets}
    own = replace(unclipped(s, s.rates), multiples=(1,))
    lent = replace(s.rates, multiples=(), baseline=UNCLIPPED, baseline_multiples=(1,))
    return [
        {"dataset": datasets[model][-1], "model": model, "learning_rate": rates}
        | {"clipping": clippings, "disturbance": s.disturbances, "updates": s.updates}
        for model, compared in s.full_rate.items()
        for clippings, rates in (
            (["none"], own),
            ([one for one in compared if one != "none"], lent),
        )
    ]


def at_looser_thresholds(s: Settings) -> list[dict[str, Any]]:
    """The factors at thresholds above the default, at each rate without clipping that it is run at.

    In arms of their own: all else compares rules at their defaults.
    """
    datasets = {"mlp": s.mlp_datasets, "cnn": s.cnn_datasets}
    compared = {"mlp": s.mlp_clippings, "cnn": s.cnn_clippings}
    return [
        {"dataset": datasets[model][-1], "model": model, "learning_rate": rates}
        | {"clipping": clipping, "clipping_threshold": thresholds}
        | {"disturbance": s.disturbances, "updates": s.updates}
        for model in datasets
        for clipping, thresholds in s.looser.items()
        if datasets[model] and clipping in compared[model]
        for rates in [
            replace(
                s.rates,
                multiples=(),
                baseline=UNCLIPPED,
                baseline_multiples=(0.3, 1) if clipping in s.full_rate.get(model, ()) else (0.3,),
                baseline_arm="threshold",
            )
        ]
    ]


def guarded(network: dict[str, Any]) -> dict[str, Any]:
    """``network`` with its clippings, but not without any."""
    factor, level = UNCLIPPED
    return network | {factor: [one for one in network[factor] if one != level]}


def study(scale: str) -> Study:
    """The disturbances at ``scale``."""
    s = SCALES[scale]
    common: dict[str, Any] = {
        "disturbance": s.disturbances,
        "learning_rate": s.rates,
        "updates": s.updates,
    }
    mlp = {
        "dataset": s.mlp_datasets,
        "model": "mlp",
        "clipping": s.mlp_clippings,
        "normalization": s.mlp_normalizations,
    }
    cnn = {
        "dataset": s.cnn_datasets,
        "model": "cnn",
        "clipping": s.cnn_clippings,
        "normalization": s.cnn_normalizations,
    }
    networks = [network for network in (mlp, cnn) if network["dataset"]]
    factor, level = UNCLIPPED
    bare = {factor: level, "learning_rate": unclipped(s, s.rates)}
    variants = {"clipping": s.variants, "disturbance": s.variant_disturbances}
    varied = [network | variants for network in networks]
    # the cheapest network says what a variant does after the other disturbances
    varied.append(mlp | {"clipping": s.variants, "normalization": "none"})
    return Study(
        name="disturbances",
        question="What does each clipping and guard save when something goes wrong in the middle "
        "of training?",
        factors=[
            *(common | network | bare for network in networks),
            *(common | guarded(network) for network in networks),
            *(common | network for network in varied if s.variants),
            *going_back(s),
            *at_full_rate(s),
            *at_looser_thresholds(s),
            *under_adam(s),
        ],
        seeds=range(s.seeds),
        checkpoints=s.checkpoints,
    )


if __name__ == "__main__":
    sys.exit(run(study))
