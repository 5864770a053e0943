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
            name=f"{source.replace(' ', '-')}-{self.train}",
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
    baseline
        Trials in a measurement of the baseline loop.
    least
        Trials that a process trains in a measurement of the engine, or one unit where that is more.
    together
        Widths of units.
    jax, torch_kernels
        Widths at which JAX trains, and the engine without its compiled kernels: they stand beside
        the engine's best, so that a few do.
    """

    name: str
    trial: Trial
    baseline: int
    least: int
    together: tuple[int, ...]
    jax: tuple[int, ...] = ()
    torch_kernels: tuple[int, ...] = ()

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
    """Whether the baseline loop is timed with as many threads as there are cores, too."""
    operations: float
    """Floating-point operations in a measurement of the machine's own rate."""
    own_operations: float
    """The same of a network's own products, which are small."""
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
    examples: dict[str, int],
    epochs: tuple[int, int],
    trials: dict[str, tuple[int, int]],
    together: dict[str, tuple[int, ...]],
    jax: dict[str, tuple[int, ...]],
    torch_kernels: dict[str, tuple[int, ...]],
    evaluated: int = 1000,
) -> tuple[Workload, ...]:
    """The workloads.

    Parameters
    ----------
    examples
        Of Fashion-MNIST, by workload.
    epochs
        Of the digits for the MLP and the CNN.
    trials
        Of the baseline loop, and least of the engine, by workload.
    together, jax, torch_kernels
        Widths, by workload; of the latter two none where a workload is not named.
    evaluated
        Examples of Fashion-MNIST in each of validation and test.
    """

    def trial(name: str) -> Trial:
        model, _, rest = name.partition("_")
        if rest == "digits":
            # batches run on across passes: 33 whole ones a pass, so that every arm takes the same
            # steps
            data = Piece("digits", 33 * 32, 359).named((1, 8, 8))
            passes = epochs[0] if model == "mlp" else epochs[1]
            return Trial(dataset=data, model=model, epochs=passes, batch_size=32)
        data = Piece(fashion(), examples[name], evaluated).named(IMAGE)
        # the base of the studies has batches of 32
        size = 32 if rest == "base" else 128
        return Trial(dataset=data, model=model, epochs=1, batch_size=size)

    return tuple(
        Workload(n, trial(n), *each, together[n], jax.get(n, ()), torch_kernels.get(n, ()))
        for n, each in trials.items()
    )


POWERS = (1, 2, 4, 8, 16, 32, 64)
WHOLE_PASS = 1562 * 32
"""Of the 50,000 training images the whole batches of 32: every arm takes the same steps."""


GPU_WIDTHS = {"mlp_fashion": (1, 16, 64, 256), "cnn_fashion": (1, 16, 64)}
"""On a GPU, which waits for one trial alone; of wider CNNs a measurement would take minutes."""
GPU_OPERATIONS, GPU_OWN_OPERATIONS = 1e13, 1e12
"""In a measurement of its own rate: a fifth of a second of products in float32 at 50 Tflop/s. Of
small products, which are as long as their launches, a tenth is longer already."""
GPU_PASS = 390 * 128
"""Of the 50,000 training images the whole batches of 128."""


def plan_on_gpu(scale: str) -> Plan:
    """What is timed on a GPU: the arms alone.

    What a strategy or a measurement costs is told by processor time, which is not a GPU's.
    """
    smoke = scale == "smoke"
    widths: dict[str, tuple[int, ...]] = dict(GPU_WIDTHS)
    if smoke:
        widths = dict.fromkeys(widths, (1, 2))
    plan = plan_of("smoke" if smoke else "full")
    workloads = _workloads(
        examples=dict.fromkeys(GPU_WIDTHS, 256 if smoke else GPU_PASS),
        epochs=(1, 1),
        trials=dict.fromkeys(GPU_WIDTHS, (1, 2)),
        together=widths,
        jax={},
        torch_kernels={},
        evaluated=200 if smoke else 1000,
    )
    plan = dataclasses.replace(plan, workloads=workloads, threads=False)
    if smoke:
        return plan
    return dataclasses.replace(plan, operations=GPU_OPERATIONS, own_operations=GPU_OWN_OPERATIONS)


def plan_of(scale: str) -> Plan:
    """The plan of ``scale`` on a CPU."""
    if scale == "smoke":
        names = ("mlp_fashion", "cnn_fashion", "mlp_digits", "cnn_digits", "mlp_base")
        return Plan(
            workloads=_workloads(
                examples={"mlp_fashion": 1280, "cnn_fashion": 256, "mlp_base": 640},
                epochs=(1, 1),
                trials=dict.fromkeys(names, (2, 2)),
                together=dict.fromkeys(names, (1, 2)),
                # to compile takes a second a process, and more for a CNN
                jax={"mlp_digits": (2,)},
                torch_kernels={"cnn_digits": (1,)},
                evaluated=200,
            ),
            repeats=1,
            threads=False,
            operations=2e8,
            own_operations=2e8,
            pair_seconds=0.0,
            pairs=1,
            widest=2,
            policy_examples=128,
            cells=(20, 40),
            start_ups=0,
        )
    examples = {"mlp_fashion": 12_800, "cnn_fashion": 6_400}
    trials = {"mlp_fashion": (1, 4), "cnn_fashion": (1, 2)}
    trials |= {"mlp_digits": (2, 16), "cnn_digits": (2, 4), "mlp_base": (1, 4)}
    jax = {"mlp_fashion": (1, 8), "cnn_fashion": (1,), "mlp_base": (1, 8)}
    jax |= {"mlp_digits": (1, 16), "cnn_digits": (1, 8)}
    torch_kernels = {"cnn_fashion": (1,), "cnn_digits": (1, 8)}
    torch_kernels |= {"mlp_fashion": (8,), "mlp_digits": (16,), "mlp_base": (8,)}
    if scale == "quick":
        return Plan(
            workloads=_workloads(
                examples=examples | {"mlp_base": 12_800},
                epochs=(10, 3),
                trials=trials,
                together={
                    "mlp_fashion": (1, 4, 8),
                    "cnn_fashion": (1, 2),
                    "mlp_digits": (1, 4, 16, 64),
                    "cnn_digits": (1, 4, 8),
                    "mlp_base": (1, 4, 8),
                },
                jax=jax,
                torch_kernels=torch_kernels,
            ),
            repeats=5,
            threads=True,
            operations=5e9,
            own_operations=5e9,
            pair_seconds=0.02,
            pairs=7,
            widest=16,
            policy_examples=1024,
            cells=(1_000, 10_000),
            start_ups=3,
        )
    return Plan(
        workloads=_workloads(
            examples=examples | dict.fromkeys(("mlp_base", "cnn_base"), WHOLE_PASS),
            epochs=(10, 10),
            trials=trials | {"cnn_base": (1, 1)},
            together={
                "mlp_fashion": POWERS,
                "cnn_fashion": POWERS if scale == "full" else POWERS[:5],
                "mlp_digits": POWERS,
                "cnn_digits": POWERS,
                "mlp_base": (1, 4, 8),
                "cnn_base": (1,),
            },
            jax=jax | {"cnn_base": (1,)},
            torch_kernels=torch_kernels | {"cnn_base": (1,)},
        ),
        repeats=7,
        threads=True,
        operations=2e10,
        own_operations=2e10,
        pair_seconds=0.05,
        pairs=15,
        widest=16,
        policy_examples=1024,
        cells=(1_000, 10_000, 100_000) if scale in ("paper", "full") else (1_000, 3_000, 10_000),
        start_ups=3,
    )
