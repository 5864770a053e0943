"""Data sets."""

from benchmark.data.datasets import DATASETS, Dataset, Splits, load, make_splits, tensor_dataset
from benchmark.data.idx import DataError

__all__ = [
    "DATASETS",
    "DataError",
    "Dataset",
    "Splits",
    "load",
    "make_splits",
    "tensor_dataset",
]
