"""Steps of K trials one after another, each of which is launched operation by operation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from benchmark.engine.steps.population import Population
from benchmark.engine.steps.program import Program
from benchmark.norms import norm_in_double

GetBatch = Callable[[Tensor], tuple[Tensor, Tensor]]
"""Images (K, B, C, H, W) and labels (K, B) of examples (K, B)."""


@dataclass(frozen=True)
class Moved:
    """What the last step of K trials did: tensors whose first axis is the trial.

    ``norm`` (K,) of the parameters after it; ``ratio`` (K,), the norm of their change over that of
    the parameters before it; and the ``change`` (K, D) where it was asked for.
    """

    norm: Tensor
    ratio: Tensor
    change: Tensor | None = None

    @staticmethod
    def between(before: Tensor, after: Tensor, keep: bool) -> Moved:
        """From the parameters (K, D) before the step and after it."""
        change = after - before
        ratio = norm_in_double(change, dim=1) / norm_in_double(before, dim=1)
        return Moved(norm_in_double(after, dim=1), ratio, change if keep else None)

    def take(self, index: Sequence[int]) -> Moved:
        """The trials at ``index``."""
        where = torch.tensor(index, device=self.norm.device)
        change = None if self.change is None else self.change.index_select(0, where)
        return Moved(self.norm[where], self.ratio[where], change)

    @staticmethod
    def join(pieces: Sequence[Moved]) -> Moved:
        """All trials of ``pieces``, one after the other."""
        changes = [piece.change for piece in pieces if piece.change is not None]
        return Moved(
            torch.cat([piece.norm for piece in pieces]),
            torch.cat([piece.ratio for piece in pieces]),
            torch.cat(changes) if changes else None,
        )


class Stepping:
    """The population on its way, and what every step measured. Nothing waits for the device."""

    def __init__(self, program: Program, get_batch: GetBatch, population: Population):
        self.program, self.get_batch = program, get_batch
        self.population = population
        self._measured: list[tuple[Tensor, ...]] = []
        self._before: Tensor | None = None
        self._keeps = False

    def steps(self, index: Tensor, factors: Tensor) -> None:
        """Updates on examples (K, steps, B), one after another; ``factors`` (steps, K)."""
        for examples, factor in zip(index.unbind(1), factors, strict=True):
            self.step(examples, factor)

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

    def sample(self, index: Tensor, places: Sequence[int] | None = None) -> tuple[int, int, Tensor]:
        """What `Program.sample_gradients` says now, on examples (K, N), of all or some trials.

        The tensor may be filled as late as `end`.
        """
        some = self.population if places is None else self.population.take(places)
        return self.program.sample_gradients(some, *self.get_batch(index))

    def last(self, keep: bool) -> None:
        """The next step is the last, of which `moved` tells; ``keep`` its change too."""
        self._before, self._keeps = self.parameters(), keep

    def moved(self) -> Moved:
        """What the last step did, after `end`."""
        before, self._before = self._before, None
        assert before is not None
        return Moved.between(before, self.population.parameters, self._keeps)

    def end(self) -> tuple[Population, tuple[Tensor, ...]]:
        """The population, and each thing that `Program.step` measures, as doubles (steps, K)."""
        columns = tuple(_column(series) for series in zip(*self._measured, strict=True))
        return self.population, columns


def _column(series: Sequence[Tensor]) -> Tensor:
    # norms alone may change their type from step to step
    if len({tensor.dtype for tensor in series}) > 1:
        series = [tensor.double() for tensor in series]
    return torch.stack(list(series)).double()
