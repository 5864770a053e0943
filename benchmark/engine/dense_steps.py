"""Steps of K plain chains by one kernel: batch, gradient, norm, clipping and update.

A step of a small network by torch is a few dozen operations, each of which takes longer to begin
than to compute. Here the steps that are asked for wait until something asks what they came to; then
each network takes all of its own, while its weights are in the processor's cache. Optimizers that
move by the gradient or its velocity, and clipping by nothing or the global norm: other strategies
take their steps one by one.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from benchmark.engine.batches import Batches
from benchmark.engine.program import Population, Program
from benchmark.engine.stepping import GetBatch, Stepping
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
        self._waiting.append((index, factor))

    def step_on(self, images: Tensor, labels: Tensor, factor: Tensor) -> None:
        """As `Stepping.step_on`, by itself."""
        self._take()
        super().step_on(images, labels, factor)
        self._taken += [tuple(t.double().unsqueeze(0) for t in self._measured.pop())]

    def parameters(self) -> Tensor:
        """The parameters (K, D) as they are now, which later steps leave alone."""
        return self.population.parameters

    def end(self) -> tuple[Population, tuple[Tensor, ...]]:
        """As `Stepping.end`."""
        self._take()
        return self._population, tuple(torch.cat(s) for s in zip(*self._taken, strict=True))

    def _take(self) -> None:
        if not self._waiting:
            return
        from benchmark.engine.dense_kernels import ready, steps

        chain = self.program.chain
        assert chain is not None
        assert chain.plain is not None
        parts, before, splits = self.program.parts, self._population, self._batches.splits
        kind = splits.train_images.dtype
        ready(before.parameters.dtype == torch.float64, str(kind).removeprefix("torch."))
        order = torch.stack([index for index, _ in self._waiting], dim=1)
        rates = before.learning_rate * torch.stack([factor for _, factor in self._waiting])
        trials, count, examples = order.shape
        parameters = before.parameters.clone()
        velocity = {name: tensor.clone() for name, tensor in before.optimizer.items()}
        measured = [torch.empty(count, trials, dtype=torch.float64) for _ in range(2)]
        clipped = torch.empty(count, trials, dtype=torch.bool)
        numbers = order.numpy(), rates.numpy()
        some = max(1, AT_ONCE // (3 * trials * examples * self.program.layout.size))
        for first in range(0, count, some):
            part = slice(first, first + some)
            steps(
                splits.train_images.flatten(1).numpy(),
                splits.train_labels.numpy(),
                np.array([splits.mean, splits.std], rates.numpy().dtype),
                np.ascontiguousarray(numbers[0][:, part]),
                numbers[1][part],
                before.threshold.numpy(),
                before.momentum.numpy(),
                (CLIPS[parts.clipping.clip], MOVES[parts.optimizer.direction]),
                chain.plain.chain,
                parameters.numpy(),
                velocity.get("velocity", parameters[:, :0].contiguous()).numpy(),
                *(tensor[part].numpy() for tensor in measured),
                clipped[part].numpy(),
            )
        self._population = dataclasses.replace(before, parameters=parameters, optimizer=velocity)
        self._taken.append((*measured, clipped.double()))
        self._waiting.clear()
