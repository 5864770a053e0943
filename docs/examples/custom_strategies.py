"""Do custom strategies stand up to the built-in ones?

One file, outside the package: a clipping, another one that remembers, a normalization, a
batch-size policy, a schedule, an optimizer, a model and a data set, and a study of them. To run it,
and to see the report:

    python docs/examples/custom_strategies.py --scale smoke
    python -m benchmark report results/smoke

`benchmark.check(SIGN)` tells whether it keeps the rules of the others. Where a strategy
or the data have changed since rows were trained, the study says so, and `--retrain` trains those
trials again; `python -m benchmark verify results/smoke --script docs/examples/custom_strategies.py`
trains a sample of all again and compares.
"""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from benchmark import (
    BatchPolicy,
    Clipping,
    Decision,
    Normalization,
    Observation,
    Optimizer,
    Range,
    Schedule,
    Study,
    module_model,
    run,
    tensor_dataset,
)


def sign(gradient: Tensor, state: Any, threshold: Tensor, context: Any) -> Any:
    """c times the sign; NaN stays NaN, so that an explosion is not hidden."""
    signs = torch.where(gradient.isnan(), gradient, gradient.sign())
    return threshold * signs, state, (gradient.abs() > threshold).any()


SIGN = Clipping(
    "sign",
    sign,
    Range(1e-4, 1.0, default=0.01),
    reference="Bernstein et al. 2018, arXiv:1802.04434",
    summary="c times the sign of each element",
    # how the report calls it and what it writes beside it; both may be left out
    title="sign descent",
    formula="g <- c sign(g)",
)


def no_average(layout: Any, like: Tensor) -> dict[str, Tensor]:
    """What `clip_by_average` remembers of a trial at its start."""
    return {"average": like.new_zeros(())}


def clip_by_average(
    gradient: Tensor, state: dict[str, Tensor], threshold: Tensor, context: Any
) -> Any:
    """A norm of at most c times the average of those before; one that is not finite is left alone.

    State comes in and goes out, a tensor by each name: nothing is changed in place.
    """
    norm, average = context.norm, state["average"]
    limit = threshold * torch.where(average > 0, average, norm)
    clipped = (norm > limit) & norm.isfinite()
    kept = torch.where(clipped, limit, norm)
    moved = torch.where(average > 0, 0.9 * average + 0.1 * kept, kept)
    after = {"average": torch.where(norm.isfinite(), moved, average)}
    return gradient * torch.where(clipped, limit / norm, 1.0), after, clipped


AVERAGE = Clipping(
    "moving_average",
    clip_by_average,
    Range(1.0, 10.0, default=2.0),
    reference="this example",
    summary="the norm limited to c times its moving average",
    init=no_average,
    # in the first step there is nothing to compare with
    warm_up=1,
)


class MeanAbsolute(nn.Module):
    """Divide each example by the mean absolute value of its features."""

    def forward(self, x: Tensor) -> Tensor:
        """The same shape, with a mean absolute value of 1 for each example."""
        return x / (x.abs().mean(dim=list(range(1, x.dim())), keepdim=True) + 1e-5)


def mean_absolute(features: int, spatial: bool) -> nn.Module:
    """The layer after a dense map or a convolution."""
    return MeanAbsolute()


MEAN_ABSOLUTE = Normalization(
    "mean_absolute",
    mean_absolute,
    reference="this example",
    summary="each example by its mean absolute value",
)


def grow_steadily(observation: Observation, parameter: float) -> Decision:
    """B = B_first (1 + k progress)."""
    size = observation.first_batch_size * (1 + parameter * observation.progress)
    return Decision(min(round(size), observation.examples))


STEADY = BatchPolicy(
    "steady",
    Range(1.0, 15.0, default=3.0),
    reference="this example",
    summary="B grows along a line",
    decide=grow_steadily,
)


def line(progress: float) -> float:
    """From 1 down to 0."""
    return 1 - progress


LINE = Schedule("line", line, reference="this example", summary="a line to zero")


def no_velocity(layout: Any, like: Tensor) -> dict[str, Tensor]:
    """What `signs_of_average` remembers of a trial at its start."""
    return {"average": torch.zeros_like(like)}


def signs_of_average(gradient: Tensor, state: dict[str, Tensor], context: Any) -> Any:
    """The signs of the averaged gradient: the learning rate times these is taken off the weights.

    `context` has the parameters, the rate, the momentum and the layout of the vector.
    """
    average = 0.9 * state["average"] + 0.1 * gradient
    return average.sign(), {"average": average}


SIGNUM = Optimizer(
    "signum",
    signs_of_average,
    Range(1e-5, 1.0, default=1e-3),
    reference="Bernstein et al. 2018, arXiv:1802.04434",
    summary="signs of the averaged gradient",
    init=no_velocity,
    # each number follows from those at its own place, so that trials take their steps together
    elementwise=True,
)


class TwoPaths(nn.Module):
    """Logits as a linear map of the pixels, and a hidden layer beside it."""

    def __init__(self, pixels: int, classes: int) -> None:
        super().__init__()
        self.straight = nn.Linear(pixels, classes)
        self.hidden, self.head = nn.Linear(pixels, 64), nn.Linear(64, classes)

    def forward(self, x: Tensor) -> Tensor:
        """From images (B, C, H, W) to logits (B, classes)."""
        x = x.flatten(1)
        return self.straight(x) + self.head(self.hidden(x).relu())


def two_paths(image_shape: tuple[int, int, int], classes: int) -> nn.Module:
    """The module for these images; its linear maps are drawn anew for every trial."""
    return TwoPaths(math.prod(image_shape), classes)


TWO_PATHS = module_model("two_paths", two_paths, summary="a linear map beside a hidden layer")


def stripes(examples: int, seed: int) -> tuple[Tensor, Tensor]:
    """Images of stripes under noise, and which of six directions they have."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(examples) % 6
    angles = (labels * math.pi / 6).view(-1, 1, 1)
    y, x = torch.meshgrid(torch.arange(8.0), torch.arange(8.0), indexing="ij")
    phases = 6 * torch.rand(examples, 1, 1, generator=generator)
    waves = torch.sin(1.5 * (x * angles.cos() + y * angles.sin()) + phases)
    return waves + torch.randn(examples, 8, 8, generator=generator), labels


# The network sees pixels less their mean over their deviation; `standardize=False` leaves them as
# they are. Arrays, tensors, lists and pandas' columns are taken, and labels may be words.
STRIPES = tensor_dataset(
    "stripes",
    train=stripes(960, seed=0),
    validation=stripes(480, seed=1),
    test=stripes(480, seed=2),
    summary="stripes in six directions, under noise",
)


@dataclass(frozen=True)
class Settings:
    """What a scale decides."""

    epochs: float
    rates: tuple[float, ...] = (0.01, 0.1, 1.0, 10.0)
    seeds: int = 3
    checkpoints: int = 20


SCALES = {
    "smoke": Settings(epochs=0.5, rates=(0.1, 10.0), seeds=1, checkpoints=4),
    "quick": Settings(epochs=5),
    "standard": Settings(epochs=20, seeds=5),
    "paper": Settings(epochs=50, seeds=10),
    "full": Settings(epochs=50, seeds=10),
}


def study(scale: str) -> Study:
    """One factor at a time, a custom level beside two built-in ones."""
    s = SCALES[scale]
    common = {"dataset": (STRIPES, "digits"), "learning_rate": s.rates, "epochs": s.epochs}
    return Study(
        name="custom_strategies",
        question="Do custom strategies stand up to the built-in ones?",
        factors=[
            common | {"clipping": ("none", "global_norm", SIGN, AVERAGE)},
            common | {"normalization": ("none", "layer", MEAN_ABSOLUTE)},
            common | {"batch_policy": ("fixed", "doubling", STEADY)},
            common | {"schedule": ("constant", "cosine", LINE)},
            common | {"optimizer": ("sgd", "lion", SIGNUM)},
            common | {"model": ("mlp", TWO_PATHS)},
        ],
        seeds=range(s.seeds),
        checkpoints=s.checkpoints,
    )


if __name__ == "__main__":
    sys.exit(run(study))
