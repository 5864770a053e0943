"""Data sets."""

from benchmark.data.datasets import DATASETS, Dataset, load, tensor_dataset
from benchmark.data.idx import DataError
from benchmark.data.splits import Splits, make_splits

__all__ = [
    "DATASETS",
    "DataError",
    "Dataset",
    "Splits",
    "load",
    "make_splits",
    "tensor_dataset",
]
