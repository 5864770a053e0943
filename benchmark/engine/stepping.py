"""Steps of K trials one after another, each of which is launched operation by operation."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from benchmark.engine.program import Population, Program

GetBatch = Callable[[Tensor], tuple[Tensor, Tensor]]
"""Images (K, B, C, H, W) and labels (K, B) of examples (K, B)."""


class Stepping:
    """The population on its way, and what every step measured. Nothing waits for the device."""

    def __init__(self, program: Program, get_batch: GetBatch, population: Population):
        self.program, self.get_batch = program, get_batch
        self.population = population
        self._measured: list[tuple[Tensor, ...]] = []

    def step(self, index: Tensor, factor: Tensor) -> None:
        """One update on the examples ``index`` (K, B); ``factor`` (K,) is that of the rates."""
        self.step_on(*self.get_batch(index), factor)

    def step_on(self, images: Tensor, labels: Tensor, factor: Tensor) -> None:
        """One update on a batch (K, B, C, H, W), (K, B)."""
        self.population, *measured = self.program.step(self.population, images, labels, factor)
        self._measured.append(tuple(measured))

    def parameters(self) -> Tensor:
        """The parameters (K, D) as they are now, which later steps leave alone."""
        return self.population.parameters

    def end(self) -> tuple[Population, tuple[Tensor, ...]]:
        """The population, and each thing that `Program.step` measures, as doubles (steps, K)."""
        columns = tuple(_column(series) for series in zip(*self._measured, strict=True))
        return self.population, columns


def _column(series: Sequence[Tensor]) -> Tensor:
    # norms alone may change their type from step to step
    if len({tensor.dtype for tensor in series}) > 1:
        series = [tensor.double() for tensor in series]
    return torch.stack(list(series)).double()
