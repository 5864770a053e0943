"""The baseline loop, with which the engine is compared: a network tuned as users write it first.

An Optuna objective trains a module with torch's optimizer, step by step, and reads every loss. The
data come from a `DataLoader` over a data set with a transform an example, or, in the better way,
lie on the device as tensors. Network, initial weights, batch size, examples and evaluations are
those that the engine has; only the order of the examples is the loop's own.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import optuna
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils import data

from benchmark.data import Splits, load
from benchmark.engine import resolve
from benchmark.engine.trials.resolve import build_model, parts_of
from benchmark.models import INITIALIZATIONS, initialize
from benchmark.records import Trial

EVALUATED_AT_ONCE = 1000

Batches = Iterable[tuple[Tensor, Tensor]]


class Images(data.Dataset[tuple[Tensor, int]]):
    """Images in memory as bytes, each made a tensor when it is asked for."""

    def __init__(self, images: Tensor, labels: Tensor, mean: float, std: float) -> None:
        self.images = images.numpy()
        self.labels = labels.tolist()
        self.mean = mean
        self.std = std

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        image = torch.from_numpy(self.images[index]).float()
        return (image - self.mean) / self.std, self.labels[index]


def with_loader(trial: Trial, seeds: Sequence[int], device: str) -> list[float]:
    """Validation accuracy of each seed, trained by a `DataLoader` over `Images`."""
    splits = load(trial.dataset)
    parts = {
        name: Images(
            getattr(splits, f"{name}_images"),
            getattr(splits, f"{name}_labels"),
            splits.mean,
            splits.std,
        )
        for name in ("train", "validation", "test")
    }

    def accuracy(seed: int, learning_rate: float) -> float:
        order = torch.Generator().manual_seed(seed)
        loader: data.DataLoader[Any] = data.DataLoader(
            parts["train"], trial.batch_size, shuffle=True, generator=order
        )
        model = network(trial, seed).to(device)
        optimizer = torch.optim.SGD(model.parameters(), lr=learning_rate)
        assert trial.epochs is not None
        for _ in range(int(trial.epochs)):
            train_epoch(model, optimizer, loader, device)
        found = [
            evaluate(model, data.DataLoader(parts[name], EVALUATED_AT_ONCE), device)
            for name in ("validation", "test")
        ]
        return found[0]

    return tuned(accuracy, trial.learning_rate, seeds)


def with_tensors(trial: Trial, seeds: Sequence[int], device: str) -> list[float]:
    """Validation accuracy of each seed, the data being tensors on the device."""
    splits = load(trial.dataset).to(device)
    images, labels = _normalized(splits, splits.train_images), splits.train_labels
    evaluated = [
        (
            _normalized(splits, splits.validation_images).split(EVALUATED_AT_ONCE),
            splits.validation_labels.split(EVALUATED_AT_ONCE),
        ),
        (
            _normalized(splits, splits.test_images).split(EVALUATED_AT_ONCE),
            splits.test_labels.split(EVALUATED_AT_ONCE),
        ),
    ]

    def accuracy(seed: int, learning_rate: float) -> float:
        order = torch.Generator().manual_seed(seed)
        model = network(trial, seed).to(device)
        optimizer = torch.optim.SGD(model.parameters(), lr=learning_rate)
        assert trial.epochs is not None
        for _ in range(int(trial.epochs)):
            shuffled = torch.randperm(len(images), generator=order).to(device)
            batches = ((images[i], labels[i]) for i in shuffled.split(trial.batch_size))
            train_epoch(model, optimizer, batches, device)
        found = [evaluate(model, zip(*pieces, strict=True), device) for pieces in evaluated]
        return found[0]

    return tuned(accuracy, trial.learning_rate, seeds)


def _normalized(splits: Splits, images: Tensor) -> Tensor:
    return (images.float() - splits.mean) / splits.std


def network(trial: Trial, seed: int) -> nn.Module:
    """The engine's network with the initial weights that it has for the seed."""
    resolved = resolve(trial)
    module = build_model(parts_of(resolved), resolved)
    generator = torch.Generator().manual_seed(seed)
    initialize(module, INITIALIZATIONS["he"], trial.init_gain, generator)
    return module


def train_epoch(
    model: nn.Module, optimizer: torch.optim.Optimizer, batches: Batches, device: str
) -> float:
    """One pass over the batches; returns the mean loss."""
    model.train()
    total = count = 0.0
    for images, labels in batches:
        images, labels = images.to(device), labels.to(device)
        optimizer.zero_grad()
        loss = F.cross_entropy(model(images), labels)
        loss.backward()
        optimizer.step()
        total += loss.item()
        count += 1
    return total / count


@torch.no_grad()
def evaluate(model: nn.Module, batches: Batches, device: str) -> float:
    """Accuracy on the examples of ``batches``."""
    model.eval()
    correct = count = 0
    for images, labels in batches:
        images, labels = images.to(device), labels.to(device)
        correct += int((model(images).argmax(dim=1) == labels).sum())
        count += len(labels)
    return correct / count


def tuned(accuracy: Any, learning_rate: float, seeds: Sequence[int]) -> list[float]:
    """What an Optuna study of a trial a seed, all at one learning rate, comes to."""

    def objective(trial: optuna.Trial) -> float:
        rate = trial.suggest_float("learning_rate", learning_rate, learning_rate)
        return accuracy(seeds[trial.number], rate)

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.RandomSampler(seed=0))
    study.optimize(objective, n_trials=len(seeds))
    return [value for trial in study.trials if (value := trial.value) is not None]
