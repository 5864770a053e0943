"""The contract of an initialization."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from benchmark.contracts.subject import Subject
from benchmark.contracts.training import check_training
from benchmark.models import Initialization

LAYERS = (nn.Linear(24, 16), nn.Linear(16, 24), nn.Conv2d(4, 6, 3))


def check_initialization(subject: Subject, initialization: Initialization) -> None:
    """New weights that the generator alone decides; the gain multiplies hidden ones."""
    if initialization.draw is not None:
        for layer in LAYERS:
            _check_draw(subject, initialization, layer.weight.detach().clone())
    for model, width in (("mlp", 16), ("cnn", 4)):
        check_training(subject, initialization=initialization, model=model, width=width)


def _check_draw(subject: Subject, initialization: Initialization, weight: Tensor) -> None:
    draw = initialization.draw
    assert draw is not None
    given = weight.clone()

    def drawn(seed: int = 5, hidden: bool = True, gain: float = 1.0) -> tuple[Tensor, Tensor]:
        with subject.attempt("must draw from (weight, hidden, gain, generator)"):
            found = draw(given, hidden, gain, torch.Generator().manual_seed(seed))
            weights, bias = found
        return weights, bias

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        weights, bias = drawn()
        torch.manual_seed(2)
        again, _ = drawn()
    subject.demand(
        torch.equal(given, weight), "must leave the weights that it was given as they were"
    )
    subject.demand(
        (weights.shape, bias.shape) == (weight.shape, weight.shape[:1]),
        f"must draw weights {tuple(weight.shape)} and biases {tuple(weight.shape[:1])}, but drew "
        f"{tuple(weights.shape)} and {tuple(bias.shape)}",
    )
    subject.demand(
        weights.dtype == bias.dtype == torch.float32
        and weights.device.type == bias.device.type == "cpu",
        "must draw in float32 on the CPU, so that a seed is the same on every device",
    )
    subject.demand(
        bool(weights.isfinite().all() and bias.isfinite().all()), "must draw finite numbers"
    )
    subject.demand(
        torch.equal(weights, again), "must draw from the generator alone, not torch's own"
    )
    subject.same(
        drawn(gain=3.0)[0], 3 * weights, "must multiply hidden weights by the gain", rtol=1e-5
    )
    heads = [drawn(hidden=False, gain=gain)[0] for gain in (1.0, 3.0)]
    subject.same(heads[0], heads[1], "must not multiply the classifier by the gain", rtol=0)
