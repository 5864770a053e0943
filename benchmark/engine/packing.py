"""How many trials go together: into one unit of work, and into one batched program."""

from __future__ import annotations

import functools

import torch
from torch import Tensor, nn

from benchmark.data import load
from benchmark.engine.devices import choose_device
from benchmark.engine.resolve import build_model, examples_used, impossible, parts_of
from benchmark.records import Trial

CPU_TOGETHER = 16
"""Most trials that a CPU trains together: more no longer fit in its caches."""
BATCHED_WORK = 2.5e6
"""Multiply-adds a step and linear map up to which a CPU gains from training trials together."""
CPU_UNIT_WORK = 1e12
"""Multiply-adds, forward and backward, of a unit on a CPU: half a minute of one core."""
CPU_UNIT = 64
GPU_UNIT = 1024
"""Most trials in a unit: what is lost when the power goes, and what a progress bar shows at once;
what does not fit in a GPU's memory is halved there."""


@functools.lru_cache(maxsize=256)
def _counted(shape: Trial) -> tuple[int, int]:
    """Multiply-adds of one example's forward pass, and linear maps."""
    parts = parts_of(shape)
    # not on meta, and not with torch's own counter, both of which import its compiler: a second and
    # a half of each process
    with torch.random.fork_rng(devices=[]):
        model = build_model(parts, shape).eval()
    maps = [m for m in model.modules() if isinstance(m, nn.Linear | nn.Conv2d)]
    counts: list[int] = []

    def count(layer: nn.Module, _: object, output: Tensor) -> None:
        counts.append(output[0].numel() * layer.weight[0].numel())  # type: ignore[index]

    for layer in maps:
        layer.register_forward_hook(count)
    with torch.no_grad():
        # two examples, for a module of one's own that needs them
        model(torch.zeros(2, *parts.dataset.image_shape))
    return sum(counts), max(len(maps), 1)


def _count(trial: Trial) -> tuple[int, int]:
    # what the count depends on; a normalization adds no linear map
    fields = ("dataset", "model", "depth", "width")
    return _counted(Trial(**{name: getattr(trial, name) for name in fields}))


def multiply_adds(trial: Trial) -> int:
    """Multiply-adds of one example's forward pass through a resolved trial's network."""
    return _count(trial)[0]


def expected_work(trial: Trial) -> float:
    """Multiply-adds of a resolved trial's whole training: one pass forward and two back.

    0 for a trial that is skipped.
    """
    available = len(load(trial.dataset).train_labels)
    if impossible(trial, available) is not None:
        return 0.0
    return 3.0 * multiply_adds(trial) * trial.epochs * examples_used(trial, available)


def unit_size(trial: Trial, device: str) -> int:
    """Most trials of this shape in one unit on ``device`` (auto, cpu or cuda)."""
    if choose_device(device).type == "cuda":
        return GPU_UNIT
    work = expected_work(trial)
    return CPU_UNIT if work == 0 else max(1, min(CPU_UNIT, int(CPU_UNIT_WORK / work)))


def trained_together(trial: Trial, device: torch.device) -> int:
    """Most trials of this shape in one batched program on ``device``.

    On a GPU the whole unit. On a CPU a step of little work is mostly overhead, which trials that
    train together share; a step of much work is as fast alone.
    """
    if device.type == "cuda":
        return GPU_UNIT
    work, maps = _count(trial)
    return CPU_TOGETHER if work * trial.batch_size / maps < BATCHED_WORK else 1
