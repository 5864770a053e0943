"""Labels as a user has them, and the class numbers that training needs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from benchmark.data.idx import DataError
from benchmark.names import quoted
from benchmark.records.fields import whole_of

MOST = 2**62
"""Beyond any number of classes, and within 64 bits."""


def class_numbers(parts: Mapping[str, Any]) -> dict[str, Tensor]:
    """Labels (n,) of every split as int64.

    Whole numbers of any type stay what they are. Words are numbered in their sorted order over all
    splits, and categories (of pandas) in the order that they declare. A column (n, 1) is (n,).

    Raises
    ------
    DataError
        If labels are not of one dimension, not whole, missing, or words in one split and numbers
        in another.

    >>> class_numbers({"train": ["cat", "ant"], "test": ["bee"]})
    {'train': tensor([2, 0]), 'test': tensor([1])}
    """
    arrays = {name: _flat(name, values) for name, values in parts.items()}
    numbers = {name: values for name, values in arrays.items() if _is_numeric(values)}
    if len(numbers) == len(arrays):
        return {name: _whole(name, np.asarray(values)) for name, values in numbers.items()}
    for name, values in arrays.items():
        if name not in numbers and pd.isna(values).any():
            raise DataError(f"labels of {name} must not be missing, but some are")
    if numbers:
        words = next(name for name in arrays if name not in numbers)
        raise DataError(
            f"labels must be numbers in every split or in none, but those of {words} are words "
            f"and those of {next(iter(numbers))} numbers"
        )
    declared = [v.categories for v in arrays.values() if isinstance(v, pd.Categorical)]
    if len(declared) == len(arrays) and all(declared[0].equals(other) for other in declared):
        names = list(declared[0])
    else:
        found = {word for values in arrays.values() for word in values}
        try:
            names = sorted(found)
        except TypeError:
            kinds = sorted({type(word).__name__ for word in found})
            raise DataError(f"labels must be of one type, but are {', '.join(kinds)}") from None
    number = {word: i for i, word in enumerate(names)}
    return {
        name: torch.tensor([number[word] for word in values], dtype=torch.int64)
        for name, values in arrays.items()
    }


def class_count(name: str, labels: Tensor, classes: Any, examples: int) -> int:
    """How many classes there are: ``classes``, or one more than the largest label.

    Raises
    ------
    DataError
        If there is but one class, ``classes`` is no whole number, a label is outside 0..classes-1,
        or, where ``classes`` is not given, the labels are not 0, 1, 2, ... without a gap: they are
        then more likely numbers to be predicted, one class for each.

    >>> class_count("toy", torch.tensor([0, 2, 1, 1]), None, examples=4)
    3
    """
    low, high = int(labels.min()), int(labels.max())
    if low < 0:
        raise DataError(f"labels of {name!r} must be >= 0, but one is {low}")
    if classes is None:
        distinct = len(labels.unique())
        if distinct <= high or distinct > examples:
            raise DataError(
                f"labels of {name!r} must be class numbers 0, 1, 2, ... without a gap, and fewer "
                f"than training examples, but have {distinct:,} distinct values in {low}..{high} "
                f"for {examples:,} examples; if they are classes, number them, or say "
                f"classes={high + 1}"
            )
        if not high:
            raise DataError(f"labels of {name!r} must be of two classes or more, but all are 0")
        return high + 1
    try:
        count = whole_of("classes", classes, 2)
    except ValueError:
        raise DataError(
            f"classes of {name!r} must be a whole number >= 2, but is {quoted(classes)}"
        ) from None
    if high >= count:
        raise DataError(f"labels of {name!r} must be < classes={count}, but one is {high}")
    return count


def _flat(name: str, values: Any) -> np.ndarray | pd.Categorical:
    if isinstance(values, pd.DataFrame) and values.shape[1] == 1:
        values = values.iloc[:, 0]
    if isinstance(values, pd.Series | pd.Index):
        values = values.array
    if isinstance(values, pd.Categorical):
        return values
    if isinstance(values, Tensor):
        values = values.detach().cpu()
        values = (values.float() if values.dtype == torch.bfloat16 else values).numpy()
    worded = isinstance(values, list | tuple) and any(isinstance(v, str) for v in values)
    try:
        # numpy would turn the numbers among words into words
        array = np.asarray(values, dtype=object if worded else None)
    except (ValueError, TypeError, RuntimeError) as error:
        raise DataError(f"labels of {name} must be (n,), but are not an array: {error}") from None
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1:
        shown = "" if array.ndim else f", {quoted(values)}"
        raise DataError(f"labels of {name} must be (n,), but have the shape {array.shape}{shown}")
    if array.dtype == object and len(array):
        # columns of pandas that may be missing, and lists of numbers of several types
        numbers = pd.Series(array).infer_objects()
        array = numbers.to_numpy() if pd.api.types.is_numeric_dtype(numbers) else array
    return array


def _is_numeric(values: Any) -> bool:
    return not isinstance(values, pd.Categorical) and values.dtype.kind in "buif"


def _whole(name: str, values: np.ndarray) -> Tensor:
    if values.dtype.kind == "f" and not bool((values == np.trunc(values)).all()):
        raise DataError(f"labels of {name} must be whole numbers, but some are not")
    if len(values) and max(abs(int(values.min())), abs(int(values.max()))) > MOST:
        raise DataError(f"labels of {name} must be class numbers, but one is beyond {MOST}")
    return torch.from_numpy(values.astype(np.int64))
