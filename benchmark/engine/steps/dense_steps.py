"""Steps of K plain chains by one kernel: batch, gradient, norm, clipping and update.

A step of a small network by torch is a few dozen operations, each of which takes longer to begin
than to compute. Here the steps that are asked for wait until something asks what they came to; then
each network takes all of its own, while its weights are in the processor's cache. Optimizers that
move by the gradient or its velocity, and clipping by nothing or the global norm: other strategies
take their steps one by one.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from benchmark.engine.steps.batches import Batches
from benchmark.engine.steps.population import Population
from benchmark.engine.steps.program import Program
from benchmark.engine.steps.stepping import GetBatch, Moved, Stepping
from benchmark.strategies.clipping.fixed import clip_by_global_norm
from benchmark.strategies.clipping.rule import keep
from benchmark.strategies.optimizers.elementwise import gradient_descent, heavy_ball, look_ahead

CLIPS: dict[Callable[..., object], int] = {keep: 0, clip_by_global_norm: 1}
MOVES: dict[Callable[..., object], int] = {gradient_descent: 0, heavy_ball: 1, look_ahead: 2}
"""What kernels know rules and optimizers by."""
IMAGES = (torch.uint8, torch.float32)
AT_ONCE = 10_000_000_000
"""Multiply-adds after which an interrupt is seen: a tenth of a second."""


class DenseSteps(Stepping):
    """As `Stepping`; ``get_batch`` says where the examples are."""

    def __init__(self, program: Program, batches: Batches, population: Population):
        super().__init__(program, batches, population)
        self._batches = batches
        self._waiting: list[tuple[Tensor, Tensor]] = []
        # before which of these, in how many pieces of which examples, and where to
        self._sampling: tuple[int, int, Tensor, Tensor] | None = None
        self._compares = False
        self._squares: Tensor | None = None
        self._taken: list[tuple[Tensor, ...]] = []

    @classmethod
    def of(cls, program: Program, get_batch: GetBatch, population: Population) -> DenseSteps | None:
        """What takes the steps of ``population``, or None where kernels do not."""
        parts = program.parts
        chain = program.chain.plain if program.chain is not None else None
        if chain is None or not chain.trained or program.change_at_once is None:
            return None
        if parts.clipping.clip not in CLIPS or parts.optimizer.direction not in MOVES:
            return None
        if program.micro_batches > 1 or not isinstance(get_batch, Batches):
            return None
        splits = get_batch.splits
        if splits.train_images.dtype not in IMAGES or not splits.train_images.is_contiguous():
            return None
        return cls(program, get_batch, population)

    @property
    def population(self) -> Population:
        """That after all steps that were asked for."""
        self._take()
        return self._population

    @population.setter
    def population(self, population: Population) -> None:
        self._population = population

    def step(self, index: Tensor, factor: Tensor) -> None:
        """As `Stepping.step`, once somebody wants to know."""
        self.steps(index.unsqueeze(1), factor.unsqueeze(0))

    def steps(self, index: Tensor, factors: Tensor) -> None:
        """As `Stepping.steps`, once somebody wants to know."""
        self._waiting.append((index, factors))

    def step_on(self, images: Tensor, labels: Tensor, factor: Tensor) -> None:
        """As `Stepping.step_on`, by itself."""
        is_last, self._compares = self._compares, False
        self._take()
        if is_last:
            super().last(keep=False)
        super().step_on(images, labels, factor)
        self._taken += [tuple(t.double().unsqueeze(0) for t in self._measured.pop())]

    def sample(self, index: Tensor, places: Sequence[int] | None = None) -> tuple[int, int, Tensor]:
        """As `Stepping.sample`; of all trials, on the way of the steps that follow."""
        examples = index.shape[1]
        pieces = self.program.pieces(examples)
        if places is not None or self.program.parts.batch_policy.per_example:
            return super().sample(index, places)
        if self._sampling is not None:
            self._take()
        found = torch.empty(3, len(index), dtype=torch.float64)
        self._sampling = sum(len(f) for _, f in self._waiting), pieces, index, found
        size = examples // pieces
        return size, pieces * size, found

    def last(self, keep: bool) -> None:
        """As `Stepping.last`; what is not kept is measured where the step is taken."""
        if keep:
            super().last(keep)
        else:
            self._compares = True

    def moved(self) -> Moved:
        """As `Stepping.moved`."""
        if self._squares is None:
            return super().moved()
        after, before, change = self._squares.sqrt()
        return Moved(after, change / before)

    def parameters(self) -> Tensor:
        """The parameters (K, D) as they are now, which later steps leave alone."""
        return self.population.parameters

    def end(self) -> tuple[Population, tuple[Tensor, ...]]:
        """As `Stepping.end`."""
        self._take()
        return self._population, tuple(torch.cat(s) for s in zip(*self._taken, strict=True))

    def _take(self) -> None:
        sampling, self._sampling = self._sampling, None
        waiting = sum(len(factors) for _, factors in self._waiting)
        if self._waiting:
            self._take_waiting(sampling or self._unsampled())
        if sampling is not None and sampling[0] >= waiting:
            # a step that is taken by itself follows
            sampling[3].copy_(super().sample(sampling[2])[2])

    def _unsampled(self) -> tuple[int, int, Tensor, Tensor]:
        return -1, 1, self._waiting[0][0][:, 0], torch.empty(3, 0, dtype=torch.float64)

    def _take_waiting(self, sampling: tuple[int, int, Tensor, Tensor]) -> None:
        from benchmark.engine.kernels.dense_kernels import ready, steps

        chain = self.program.chain
        assert chain is not None
        assert chain.plain is not None
        parts, before, splits = self.program.parts, self._population, self._batches.splits
        kind = splits.train_images.dtype
        ready(before.parameters.dtype == torch.float64, str(kind).removeprefix("torch."))
        order, factors = (
            tensors[0] if len(tensors) == 1 else torch.cat(tensors, dim=1 - i)
            for i, tensors in enumerate(zip(*self._waiting, strict=True))
        )
        rates = before.learning_rate * factors
        trials, count, examples = order.shape
        parameters = before.parameters.clone()
        velocity = {name: tensor.clone() for name, tensor in before.optimizer.items()}
        measured = [torch.empty(count, trials, dtype=torch.float64) for _ in range(2)]
        clipped = torch.empty(count, trials, dtype=torch.bool)
        squares = torch.empty(3, trials if self._compares else 0, dtype=torch.float64)
        when, pieces, sampled, scattered = sampling
        numbers, beside = (np.ascontiguousarray(index.numpy()) for index in (order, sampled))
        some = max(1, AT_ONCE // (3 * trials * examples * self.program.layout.size))
        for first in range(0, count, some):
            steps(
                splits.train_images.flatten(1).numpy(),
                splits.train_labels.numpy(),
                np.array([splits.mean, splits.std], rates.numpy().dtype),
                numbers,
                (first, min(first + some, count)),
                rates.numpy(),
                before.threshold.numpy(),
                before.momentum.numpy(),
                (CLIPS[parts.clipping.clip], MOVES[parts.optimizer.direction]),
                chain.plain.chain,
                parameters.numpy(),
                velocity.get("velocity", parameters[:, :0].contiguous()).numpy(),
                (*(tensor.numpy() for tensor in measured), clipped.numpy()),
                (when, pieces),
                beside,
                scattered.numpy(),
                squares.numpy(),
            )
        self._population = dataclasses.replace(before, parameters=parameters, optimizer=velocity)
        self._taken.append((*measured, clipped.double()))
        self._waiting.clear()
        if self._compares:
            self._squares = squares
