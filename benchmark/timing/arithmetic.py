"""Counted floating-point operations, and how fast this machine multiplies matrices in float32."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from benchmark.data import Dataset
from benchmark.layout import linear_maps
from benchmark.records import Trial
from benchmark.timing.baseline import network
from benchmark.timing.stopwatch import Timed, timed

SQUARES = {"cpu": 1024, "cuda": 4096}
"""Sides of the square matrices whose products are a machine's own rate: a GPU is not full with
smaller ones."""
Shape = tuple[int, int, int]
"""(m, k, n): a matrix (m, k) times a matrix (k, n), 2 m k n operations."""


def operations(trial: Trial, trained: float, evaluated: int) -> float:
    """Operations in products and convolutions that training and evaluating so many examples takes.

    An addition and a multiplication count as two. Of the first layer the gradient of the inputs is
    not needed, and not counted.
    """
    assert isinstance(trial.dataset, Dataset)
    step, forward = _counted(trial.dataset, str(trial.model), trial.batch_size)
    return step * trained / trial.batch_size + forward * evaluated


@functools.lru_cache(maxsize=16)
def _counted(dataset: Dataset, model: str, batch_size: int) -> tuple[int, int]:
    """Operations of one step, and of one example's forward pass."""
    module = network(Trial(dataset=dataset, model=model), 0)
    images = torch.zeros(batch_size, *dataset.image_shape)
    counter = FlopCounterMode(display=False)
    with counter:
        F.cross_entropy(module(images), torch.zeros(batch_size, dtype=torch.long)).backward()
    step = counter.get_total_flops()
    with counter, torch.no_grad():
        module(images[:1])
    return step, counter.get_total_flops()


def products_of(trial: Trial) -> list[Shape]:
    """The matrix products of one step of ``trial``, a convolution being one of its patches."""
    assert isinstance(trial.dataset, Dataset)
    module = network(trial, 0)
    seen: dict[str, int] = {}
    maps = linear_maps(module)

    def note(name: str) -> object:
        def hook(module: nn.Module, inputs: object, output: torch.Tensor) -> None:
            seen[name] = output.numel() // output.shape[1]

        return hook

    handles = [m.register_forward_hook(note(name)) for name, m in maps.items()]  # type: ignore[arg-type]
    with torch.no_grad():
        module(torch.zeros(trial.batch_size, *trial.dataset.image_shape))
    for handle in handles:
        handle.remove()
    shapes = []
    for i, (name, linear) in enumerate(maps.items()):
        rows, out = seen[name], linear.weight.shape[0]
        fan_in = linear.weight.numel() // out
        shapes += [(rows, fan_in, out), (out, rows, fan_in)]
        shapes += [(rows, out, fan_in)] if i else []
    return shapes


def multiply(shapes: Sequence[Shape], device: str, wanted: float) -> tuple[float, Timed[None]]:
    """Multiply float32 matrices of ``shapes``, over and over; how many operations, and the costs.

    ``wanted`` is the least number of operations.
    """
    generator = torch.Generator().manual_seed(0)

    def some(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator).to(device)

    pairs = [(some(m, k), some(k, n)) for m, k, n in shapes]
    outs = [some(m, n) for m, _, n in shapes]
    once = sum(2.0 * m * k * n for m, k, n in shapes)
    repeats = max(1, round(wanted / once))

    def run(times: int) -> None:
        for _ in range(times):
            for (a, b), out in zip(pairs, outs, strict=True):
                torch.mm(a, b, out=out)

    run(1)
    return once * repeats, timed(run, repeats)
