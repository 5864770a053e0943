"""The data sets by name, and custom ones."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmark.data.idx import DataError
from benchmark.data.labels import class_count
from benchmark.data.sources import Source, read_source
from benchmark.data.splits import Splits, make_splits
from benchmark.data.temporal_order import LENGTH, ORDERS, SYMBOLS, temporal_order
from benchmark.names import find, quoted
from benchmark.records import Choice
from benchmark.records.declarations import DESCRIPTION, Fixed, Function, check_declaration
from benchmark.records.fields import Real, Rule, Whole

VALIDATION_EXAMPLES = 10_000


@dataclass(frozen=True)
class Dataset:
    """A data set by name.

    Two are equal where their values are, in whatever process they were unpickled: `find` and the
    cache of `load` rely on it, so ``load`` must compare by value too.

    Parameters
    ----------
    image_shape
        (C, H, W).
    load
        Reads it; called once a process.
    target_accuracy
        Validation accuracy at which a trial counts as having got there, in 0..1.

    Raises
    ------
    ValueError
        If a field is not what it has to be.
    """

    name: str
    classes: int
    image_shape: tuple[int, int, int]
    load: Callable[[], Splits]
    target_accuracy: float
    reference: str
    summary: str

    def __post_init__(self) -> None:
        check_declaration("dataset", self, RULES)


RULES: dict[str, Rule] = {
    **DESCRIPTION,
    "classes": Whole(2),
    "image_shape": Fixed(3, Whole(1), "three positive whole numbers (C, H, W)"),
    "load": Function("() -> Splits", 0),
    "target_accuracy": Real("a number in 0..1", low=0.0, high=1.0),
}
"""What each field of a `Dataset` may be."""


def load(choice: Choice) -> Splits:
    """The splits of a data set, read once a process.

    Raises
    ------
    UnknownName
        If no data set has that name.
    DataError
        If a file is missing or damaged.

    >>> tuple(load("digits").train_images.shape)
    (1079, 1, 8, 8)
    """
    return _loaded(find(choice, DATASETS, "dataset"))


@functools.lru_cache(maxsize=4)
def _loaded(dataset: Dataset) -> Splits:
    splits = dataset.load()
    if not isinstance(splits, Splits):
        raise DataError(
            f"dataset {dataset.name!r}: load must return Splits, but gave {quoted(splits)}"
        )
    return splits


def tensor_dataset(
    name: str,
    *,
    train: tuple[Any, Any],
    validation: tuple[Any, Any],
    test: tuple[Any, Any],
    target_accuracy: float = 0.9,
    classes: int | None = None,
    standardize: bool = True,
    reference: str = "custom",
    summary: str = "",
) -> Dataset:
    """A custom data set, from pairs of images (n, [C,] H, W) and labels (n,).

    It holds its tensors, so that it reaches worker processes by being copied there.

    Parameters
    ----------
    train, validation, test
        Arrays, tensors, lists or pandas' columns. Labels are class numbers, or words or categories,
        which are then numbered.
    target_accuracy
        Validation accuracy at which a trial counts as having got there.
    classes
        One more than the largest label of any split, where it is not given.
    standardize
        Whether the network sees pixels less their mean over their deviation (both of all training
        pixels), or the pixels as they are. What else is wanted of them, such as a mean a channel,
        is done to the images before they come here.

    Raises
    ------
    DataError
        If the splits are not what `make_splits` takes, or a label is outside 0..classes-1.

    >>> images, labels = torch.zeros(4, 2, 2), torch.tensor([0, 1, 0, 1])
    >>> pair = images, labels
    >>> tensor_dataset("toy", train=pair, validation=pair, test=pair).classes
    2
    """
    splits = make_splits(train, validation, test, standardize=standardize)
    labels = torch.cat([splits.train_labels, splits.validation_labels, splits.test_labels])
    classes = class_count(name, labels, classes, examples=len(splits.train_labels))
    channels, height, width = splits.train_images.shape[1:]
    return Dataset(
        name=name,
        classes=classes,
        image_shape=(channels, height, width),
        load=_Held(_digest(splits), splits),
        target_accuracy=target_accuracy,
        reference=reference,
        summary=summary,
    )


@dataclass(frozen=True)
class _Held:
    # a class and not a lambda, because it is pickled for worker processes; compared by its digest,
    # so that a copy that comes with every unit is one data set to the caches there
    digest: str
    splits: Splits = field(compare=False, repr=False)

    def __call__(self) -> Splits:
        return self.splits


def _digest(splits: Splits) -> str:
    digest = hashlib.sha256()
    for f in dataclasses.fields(splits):
        value = getattr(splits, f.name)
        if isinstance(value, Tensor):
            digest.update(f"{f.name} {value.dtype} {tuple(value.shape)}".encode())
            digest.update(value.contiguous().view(torch.uint8).cpu().numpy().data)
        else:
            digest.update(f"{f.name} {value}".encode())
    return digest.hexdigest()


def _digits() -> Splits:
    rows = _digit_rows()
    images, labels = rows[:, :-1].reshape(-1, 8, 8), rows[:, -1]
    fifth = np.arange(len(rows)) % 5
    choose = fifth < 3, fifth == 3, fifth == 4
    train, validation, test = ((images[where], labels[where]) for where in choose)
    return make_splits(train, validation, test)


def _digit_rows() -> np.ndarray[Any, np.dtype[np.uint8]]:
    """The digits, 64 pixels and a label each, from the file that scikit-learn reads.

    Importing the package takes two seconds of each process, and reading its file a twentieth.
    """
    found = importlib.util.find_spec("sklearn")
    for folder in (found and found.submodule_search_locations) or ():
        file = Path(folder) / "datasets" / "data" / "digits.csv.gz"
        if file.is_file():
            return np.loadtxt(file, delimiter=",", dtype=np.uint8)
    from sklearn.datasets import load_digits

    bunch = load_digits()
    return np.column_stack([bunch.data, bunch.target]).astype(np.uint8)


@dataclass(frozen=True)
class _Published:
    # a class and not a partial, because copies of a partial in other processes are not equal
    sources: tuple[Source, ...]

    def __call__(self) -> Splits:
        images, labels, test_images, test_labels = map(read_source, self.sources)
        cut = len(images) - VALIDATION_EXAMPLES
        return make_splits(
            train=(images[:cut], labels[:cut]),
            validation=(images[cut:], labels[cut:]),
            test=(test_images, test_labels),
        )


@dataclass(frozen=True)
class _Whole:
    """All 60,000 training images, as shares of white: what others' published numbers rest on."""

    sources: tuple[Source, ...]

    def __call__(self) -> Splits:
        images, labels, test_images, test_labels = map(read_source, self.sources)
        cut = len(images) - VALIDATION_EXAMPLES
        splits = make_splits(
            train=(images, labels),
            validation=(images[cut:], labels[cut:]),
            test=(test_images, test_labels),
            standardize=False,
        )
        return dataclasses.replace(splits, std=WHITE)


WHITE = 255.0
"""The largest byte."""

FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
"""In the order of `SHA256` and `MD5`."""

URLS = {
    "mnist": "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "fashion-mnist": "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
}
SHA256 = {
    "mnist": (
        "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    ),
    "fashion-mnist": (
        "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
        "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
        "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
        "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
    ),
}
MD5 = {
    "mnist": (
        "f68b3c2dcbeaaa9fbdd348bbdeb94873",
        "d53e105ee54ea40749a09fcbcd1e9432",
        "9fb629c4189551a2d022fa330f9573f3",
        "ec29112dd5afa0611ce80d1b7f02629c",
    ),
    "fashion-mnist": (
        "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
        "25c81989df183df01b3e8a0aad5dffbe",
        "bef4ecab320f06d8554ea6380940ec79",
        "bb300cfdad3c16e7a12a480ee83cd310",
    ),
}


def sources_of(dataset: str) -> tuple[Source, ...]:
    """The four files of a published data set."""
    rows = zip(FILES, SHA256[dataset], MD5[dataset], strict=True)
    return tuple(Source(dataset, f, sha256, md5, URLS[dataset]) for f, sha256, md5 in rows)


DATASETS: dict[str, Dataset] = {
    "digits": Dataset(
        "digits",
        10,
        (1, 8, 8),
        _digits,
        0.90,
        "Alpaydin, Kaynak 1998, doi:10.24432/C50P49",
        "1,797 handwritten digits of 8x8 pixels; ships inside scikit-learn",
    ),
    "mnist": Dataset(
        "mnist",
        10,
        (1, 28, 28),
        _Published(sources_of("mnist")),
        0.95,
        "LeCun et al. 1998, doi:10.1109/5.726791",
        "70,000 handwritten digits of 28x28 pixels",
    ),
    "fashion-mnist": Dataset(
        "fashion-mnist",
        10,
        (1, 28, 28),
        _Published(sources_of("fashion-mnist")),
        0.80,
        "Xiao, Rasul, Vollgraf 2017, arXiv:1708.07747",
        "70,000 images of clothing of 28x28 pixels",
    ),
    "mnist-60k": Dataset(
        "mnist-60k",
        10,
        (1, 28, 28),
        _Whole(sources_of("mnist")),
        0.95,
        "LeCun et al. 1998, doi:10.1109/5.726791",
        "mnist, trained on all 60,000 images in 0..1; validation is part of these",
    ),
    "fashion-mnist-60k": Dataset(
        "fashion-mnist-60k",
        10,
        (1, 28, 28),
        _Whole(sources_of("fashion-mnist")),
        0.80,
        "Schneider, Balles, Hennig 2019, arXiv:1903.05499",
        "fashion-mnist, trained on all 60,000 images in 0..1; validation is part of these",
    ),
    "temporal-order": Dataset(
        "temporal-order",
        len(ORDERS),
        (1, LENGTH, SYMBOLS),
        temporal_order,
        0.99,
        "Hochreiter, Schmidhuber 1997, doi:10.1162/neco.1997.9.8.1735; Pascanu, Mikolov, Bengio "
        "2013, arXiv:1211.5063",
        "70,000 sequences of 20 symbols: in which order were the two that matter?",
    ),
}
