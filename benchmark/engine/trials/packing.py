"""How many trials go together: into one unit of work, and into one batched program."""

from __future__ import annotations

import contextlib
import functools
import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from benchmark.data import load
from benchmark.engine.machine.devices import choose_device
from benchmark.engine.machine.fitting import CPU_BATCHES
from benchmark.engine.settings import CHECKED_EXAMPLES
from benchmark.engine.trials.budget import Budget
from benchmark.engine.trials.resolve import build_model, examples_used, impossible, parts_of
from benchmark.gpus import is_gpu
from benchmark.models.transformer import Attention
from benchmark.records import Trial
from benchmark.strategies.batch_policies import Observation

CPU_TOGETHER = {"dense": 32, "convolutional": 16, "attention": 8}
"""Most trials that a CPU trains together (16, 32 or 64 digits MLPs: 26.7, 26.5, 26.9 ms each; at
batch 32 of 28x28 a step and trial of 1, 8 and 32 recurrences 3.3, 2.0 and 2.1 ms, of 1, 8 and 20
transformers, whose tokens are much to keep, 8.2, 5.8 and 6.7)."""
CPU_PARAMETERS = 1_700_000
"""Most parameters of all trials that a CPU trains together: more no longer fit in its caches (2, 4
and 8 MLPs of 784-256-10 took 117, 115 and 110 ms a trial; with batch normalization a step takes
each of 4 535 us and each of 8 494)."""
CONVOLVED_WORK = 2.5e6
"""Multiply-adds a step and linear map up to which a CPU gains from training networks with
convolutions together: these run one after the other, and share no more than the overhead."""
CPU_UNIT_WORK = 1e12
"""Multiply-adds of a unit on a CPU, its evaluations too: half a minute of one core."""
CPU_UNIT = 64
GPU_UNIT = 256
"""Most trials in a unit: what is lost when the power goes, what a progress bar shows at once, and
enough of them to keep several processes busy. Not by their number, on which no row may depend."""

EXAMPLES = 2
"""Examples that a network's work is counted on: more than one, for a custom module needing them."""


class _Size(NamedTuple):
    """A network in numbers; ``multiply_adds`` are those of one example's forward pass, and
    ``largest_map`` the numbers in what its largest layer gives for it, or takes."""

    multiply_adds: int
    largest_map: int
    maps: int
    parameters: int
    kind: str


@functools.lru_cache(maxsize=256)
def _measured(shape: Trial) -> _Size:
    parts = parts_of(shape)
    # not on meta, and not with torch's own counter, both of which import its compiler: a second and
    # a half of each process
    with torch.random.fork_rng(devices=[]):
        model = build_model(parts, shape).eval()
    maps = [m for m in model.modules() if isinstance(m, nn.Linear | nn.Conv2d)]
    counts: list[int] = []
    sizes = [math.prod(parts.dataset.image_shape)]

    def count(layer: nn.Module, _: object, output: Tensor) -> None:
        # of all outputs, because a map's first axis may be tokens or steps
        counts.append(output.numel() * layer.weight[0].numel() // EXAMPLES)  # type: ignore[index]

    def look(layer: nn.Module, _: object, output: object) -> None:
        if isinstance(output, Tensor):
            sizes.append(output.numel() // EXAMPLES)

    # a custom model may give the same module each time: leave nothing on it
    with contextlib.ExitStack() as hooks, torch.no_grad():
        for layer in maps:
            hooks.callback(layer.register_forward_hook(count).remove)
        for module in model.modules():
            hooks.callback(module.register_forward_hook(look).remove)
        model(torch.zeros(EXAMPLES, *parts.dataset.image_shape))
    return _Size(
        multiply_adds=sum(counts),
        largest_map=max(sizes),
        maps=max(len(maps), 1),
        parameters=sum(p.numel() for p in model.parameters()),
        kind=_kind(model),
    )


def _kind(model: nn.Module) -> str:
    """Which of `CPU_TOGETHER` a network is."""
    parts = list(model.modules())
    if any(isinstance(part, nn.Conv2d) for part in parts):
        return "convolutional"
    return "attention" if any(isinstance(part, Attention) for part in parts) else "dense"


def _size(trial: Trial) -> _Size:
    # what it depends on; a normalization adds no linear map, and few parameters
    fields = ("dataset", "model", "depth", "width")
    return _measured(Trial(**{name: getattr(trial, name) for name in fields}))


def multiply_adds(trial: Trial) -> int:
    """Multiply-adds of one example's forward pass through a resolved trial's network."""
    return _size(trial).multiply_adds


def largest_map(trial: Trial) -> int:
    """Numbers in the outputs of a resolved trial's largest layer, for one example."""
    return _size(trial).largest_map


def expected_work(trial: Trial, checkpoints: int) -> float:
    """Multiply-adds of a resolved trial's training and of its evaluations.

    A pass forward and two back for every example trained on; a pass forward for those evaluated at
    initialization and ``checkpoints`` times more, and for all that are held out, at the end, but
    for a validation split that a checkpoint looks at whole. 0 for a trial that is skipped.
    """
    splits = load(trial.dataset)
    available, held_out = len(splits.train_labels), len(splits.validation_labels)
    if impossible(trial, available) is not None:
        return 0.0
    trained = expected_examples(trial, examples_used(trial, available), checkpoints)
    evaluated = checked = min(CHECKED_EXAMPLES, held_out)
    if trained:
        evaluated += checkpoints * checked + len(splits.test_labels)
        evaluated += held_out if held_out > checked else 0
    return multiply_adds(trial) * (3.0 * trained + evaluated)


def expected_examples(trial: Trial, examples: int, checkpoints: int) -> float:
    """Examples that a resolved trial trains on, of ``examples`` in its training set.

    A budget in updates comes to as many as its batches hold, which grow where the policy says when;
    of one that follows gradients nothing is known beforehand, and its first batch counts.
    """
    if trial.epochs is not None:
        return trial.epochs * examples
    policy, budget = parts_of(trial).batch_policy, Budget.of(trial, examples)
    first = size = policy.first_size(trial.batch_size, examples)
    seen = done = 0
    for checkpoint in range(1, checkpoints + 1):
        target = budget.share(checkpoint, checkpoints)
        seen, done = seen + (target - done) * size, target
        if not policy.samples:
            unseen = Observation(
                batch_size=size,
                first_batch_size=first,
                examples=examples,
                progress=checkpoint / checkpoints,
                previous_progress=(checkpoint - 1) / checkpoints,
                train_loss=math.nan,
                gradient_norm=math.nan,
            )
            decided = policy.decided(unseen, trial.batch_policy_parameter or 0.0)
            size = int(min(decided.batch_size, examples))
    return seen


def unit_size(trial: Trial, device: str, checkpoints: int) -> int:
    """Most trials of this shape in one unit on ``device`` (auto, cpu, cuda or cuda:N)."""
    # by name: a driver packs for a cluster's GPUs without one of its own
    if device.startswith("cuda") or (device == "auto" and choose_device(device).type == "cuda"):
        return GPU_UNIT
    work = expected_work(trial, checkpoints)
    return CPU_UNIT if work == 0 else max(1, min(CPU_UNIT, int(CPU_UNIT_WORK / work)))


def trained_together(trial: Trial, device: torch.device) -> int:
    """Most trials of this shape in one batched program on ``device``.

    On a GPU the whole unit. On a CPU, trials that train together share the overhead of a step, as
    long as what they all have to keep is small; convolutions of much work are as fast alone.
    """
    if is_gpu(device):
        return GPU_UNIT
    size = _size(trial)
    work = size.multiply_adds * trial.batch_size / size.maps
    if size.kind == "convolutional" and work >= CONVOLVED_WORK:
        return 1
    most = CPU_TOGETHER[size.kind]
    fit = CPU_PARAMETERS // max(size.parameters, 1), CPU_BATCHES // _pixels(trial)
    return max(1, min(most, *fit))


def _pixels(trial: Trial) -> int:
    """Of a trial's first batch; for one that grows, fewer trials take their steps together."""
    parts = parts_of(trial)
    examples = examples_used(trial, len(load(trial.dataset).train_labels))
    first = parts.batch_policy.first_size(trial.batch_size, examples)
    return first * math.prod(parts.dataset.image_shape)
