"""What is timed at each scale: the workloads, how many trials together, how often."""

from __future__ import annotations

import dataclasses
import os
from dataclasses import dataclass

import torch
from torch import Tensor

from benchmark.data import Dataset, Splits, load, make_splits
from benchmark.data.sources import cache_folder
from benchmark.records import Trial

CLASSES = 10
IMAGE = (1, 28, 28)
CONTRAST, NOISE = 10.0, 64.0
"""Deviation of the pixels of made-up images from grey by class, and from their class by image."""


@dataclass(frozen=True)
class Piece:
    """The first examples of each split of a data set; ``None`` makes images up.

    A class and not a closure, because it is pickled for worker processes and compared by value.

    >>> splits = Piece(None, 100, 50)()
    >>> tuple(splits.train_images.shape), len(splits.validation_labels)
    ((100, 1, 28, 28), 50)
    """

    dataset: str | None
    train: int
    evaluated: int
    """Examples in each of validation and test."""

    def __call__(self) -> Splits:
        """Cut them."""
        whole = _made_up(self.train, self.evaluated) if self.dataset is None else load(self.dataset)
        sizes = {"train": self.train, "validation": self.evaluated, "test": self.evaluated}
        cut = {
            f"{name}_{kind}": getattr(whole, f"{name}_{kind}")[:size]
            for name, size in sizes.items()
            for kind in ("images", "labels")
        }
        return dataclasses.replace(whole, **cut)

    def named(self, shape: tuple[int, int, int]) -> Dataset:
        """The data set that a `Trial` takes."""
        source = self.dataset or "made-up images"
        return Dataset(
            name=f"{source} ({self.train})",
            classes=CLASSES,
            image_shape=shape,
            load=self,
            target_accuracy=0.9,
            reference="-",
            summary=f"the first {self.train} images of {source}",
        )


def _made_up(train: int, evaluated: int) -> Splits:
    """Images of 28x28 pixels that can be told apart: a coarse image for each class, and noise."""
    generator = torch.Generator().manual_seed(0)
    coarse = 128 + CONTRAST * torch.randn(CLASSES, 1, 4, 4, generator=generator)
    faces = coarse.repeat_interleave(7, dim=2).repeat_interleave(7, dim=3)

    def some(examples: int) -> tuple[Tensor, Tensor]:
        labels = torch.randint(CLASSES, (examples,), generator=generator)
        noise = NOISE * torch.randn(examples, *IMAGE, generator=generator)
        return (faces[labels] + noise).clamp(0, 255).byte(), labels

    return make_splits(train=some(train), validation=some(evaluated), test=some(evaluated))


def fashion() -> str | None:
    """Fashion-MNIST where it is at hand, else None: a timing downloads nothing."""
    name = "fashion-mnist"
    # a download that failed leaves an empty folder
    cached = cache_folder() / name
    at_hand = "BENCHMARK_DATA" in os.environ or (cached.is_dir() and any(cached.iterdir()))
    return name if at_hand else None


@dataclass(frozen=True)
class Workload:
    """Trials of one kind that all arms train.

    Parameters
    ----------
    trial
        All but its seed.
    ordinary
        Trials in a measurement of the ordinary way.
    least
        Trials that a process trains in a measurement of the engine, or one unit where that is more.
    together
        Widths of units.
    """

    name: str
    trial: Trial
    ordinary: int
    least: int
    together: tuple[int, ...]

    @property
    def piece(self) -> Piece:
        """Where its examples come from."""
        assert isinstance(self.trial.dataset, Dataset)
        assert isinstance(self.trial.dataset.load, Piece)
        return self.trial.dataset.load

    @property
    def data(self) -> str:
        """Name of the data for the table."""
        return self.piece.dataset or "made-up images"

    def with_examples(self, train: int, evaluated: int) -> Trial:
        """Its trial on so many examples."""
        assert isinstance(self.trial.dataset, Dataset)
        piece = dataclasses.replace(self.piece, train=train, evaluated=evaluated)
        return dataclasses.replace(self.trial, dataset=piece.named(self.trial.dataset.image_shape))


@dataclass(frozen=True)
class Plan:
    """How much is timed."""

    workloads: tuple[Workload, ...]
    repeats: int
    threads: bool
    """Whether the ordinary way is timed with as many threads as there are cores, too."""
    operations: float
    """Floating-point operations in a measurement of the machine's own rate."""
    pair_seconds: float
    """Least seconds of each of two measurements that are compared, and how often they are."""
    pairs: int
    widest: int
    """Most trials together where strategies and diagnostics are timed."""
    policy_examples: int
    """Of the trainings by which batch policies are compared."""
    cells: tuple[int, ...]
    """Sizes of the grids that the driver is timed on."""
    start_ups: int

    def workload(self, name: str) -> Workload:
        """The workload of that name."""
        return next(w for w in self.workloads if w.name == name)


def _workloads(
    examples: tuple[int, int],
    epochs: tuple[int, int],
    trials: dict[str, tuple[int, int]],
    together: dict[str, tuple[int, ...]],
    evaluated: int = 1000,
) -> tuple[Workload, ...]:
    """The four workloads.

    Parameters
    ----------
    examples
        Of Fashion-MNIST for the MLP and the CNN.
    epochs
        Of the digits for the MLP and the CNN.
    trials
        Of the ordinary way, and least of the engine, by workload.
    evaluated
        Examples of Fashion-MNIST in each of validation and test.
    """
    # batches run on across passes: 33 whole ones a pass, so that every arm takes the same steps
    digits = Piece("digits", 33 * 32, 359).named((1, 8, 8))
    large = [Piece(fashion(), size, evaluated).named(IMAGE) for size in examples]
    parts = {
        "mlp_fashion": Trial(dataset=large[0], model="mlp", epochs=1, batch_size=128),
        "cnn_fashion": Trial(dataset=large[1], model="cnn", epochs=1, batch_size=128),
        "mlp_digits": Trial(dataset=digits, model="mlp", epochs=epochs[0], batch_size=32),
        "cnn_digits": Trial(dataset=digits, model="cnn", epochs=epochs[1], batch_size=32),
    }
    return tuple(Workload(n, trial, *trials[n], together[n]) for n, trial in parts.items())


POWERS = (1, 2, 4, 8, 16, 32, 64)


def plan_of(scale: str) -> Plan:
    """The plan of ``scale``."""
    if scale == "smoke":
        few = {"mlp_fashion": (2, 2), "cnn_fashion": (2, 2)}
        few |= {"mlp_digits": (2, 2), "cnn_digits": (2, 2)}
        return Plan(
            workloads=_workloads(
                examples=(1280, 256),
                epochs=(1, 1),
                trials=few,
                together=dict.fromkeys(few, (1, 2)),
                evaluated=200,
            ),
            repeats=1,
            threads=False,
            operations=2e8,
            pair_seconds=0.0,
            pairs=1,
            widest=2,
            policy_examples=128,
            cells=(20, 40),
            start_ups=0,
        )
    trials = {"mlp_fashion": (1, 4), "cnn_fashion": (1, 2)}
    trials |= {"mlp_digits": (2, 16), "cnn_digits": (2, 4)}
    if scale == "quick":
        return Plan(
            workloads=_workloads(
                examples=(12_800, 6_400),
                epochs=(10, 3),
                trials=trials,
                together={
                    "mlp_fashion": (1, 4, 8),
                    "cnn_fashion": (1, 2),
                    "mlp_digits": (1, 4, 16, 64),
                    "cnn_digits": (1, 4, 8),
                },
            ),
            repeats=5,
            threads=True,
            operations=5e9,
            pair_seconds=0.02,
            pairs=7,
            widest=16,
            policy_examples=1024,
            cells=(1_000, 10_000),
            start_ups=3,
        )
    return Plan(
        workloads=_workloads(
            examples=(12_800, 6_400),
            epochs=(10, 10),
            trials=trials,
            together={
                "mlp_fashion": POWERS,
                "cnn_fashion": POWERS if scale == "full" else POWERS[:5],
                "mlp_digits": POWERS,
                "cnn_digits": POWERS,
            },
        ),
        repeats=7,
        threads=True,
        operations=2e10,
        pair_seconds=0.05,
        pairs=15,
        widest=16,
        policy_examples=1024,
        cells=(1_000, 3_000, 10_000),
        start_ups=3,
    )
