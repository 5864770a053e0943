"""Sequences in which two symbols matter, far apart: which came first, and which second?

The temporal order problem, on which clipping of gradient norms was first shown to help a
recurrence (Pascanu, Mikolov, Bengio 2013, arXiv:1211.5063; after Hochreiter and Schmidhuber 1997).
A sequence is an image whose rows are its steps and whose columns are the symbols, one of them 1.
"""

from __future__ import annotations

import numpy as np

from benchmark.data.splits import Splits, make_splits

LENGTH = 20
"""Steps of a sequence."""
TELLING, DISTRACTING = 2, 4
SYMBOLS = TELLING + DISTRACTING
ORDERS = ("AA", "BA", "AB", "BB")
"""The classes: the first telling symbol and the second."""
EXAMPLES = {"train": 50_000, "validation": 10_000, "test": 10_000}
SEED = 1211


def temporal_order() -> Splits:
    """Splits of sequences of `LENGTH`, the same at each call.

    >>> temporal_order().train_images.shape
    torch.Size([50000, 1, 20, 6])
    """
    draw = np.random.default_rng(SEED)
    parts = {name: sequences(count, LENGTH, draw) for name, count in EXAMPLES.items()}
    return make_splits(**parts, standardize=False)


def sequences(count: int, length: int, draw: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """``count`` sequences (count, length, 6) of bytes 0 and 1, and their classes (count,).

    Every step shows one of four symbols that mean nothing, but for two: a step of the second tenth
    of the sequence shows A or B, and so does one of the sixth tenth. The class is the first plus
    twice the second, A being 0 and B 1, which are drawn alike often.

    Raises
    ------
    ValueError
        If a tenth of the sequence is no step.

    >>> images, labels = sequences(1, 20, np.random.default_rng(0))
    >>> images.shape, int(images.sum()), int(labels[0]) in range(4)
    ((1, 20, 6), 20, True)
    """
    tenth = length // 10
    if tenth < 1:
        raise ValueError(f"`length` must be 10 or more, but got {length}")
    shown = TELLING + draw.integers(DISTRACTING, size=(count, length))
    first, second = draw.integers(TELLING, size=(2, count))
    rows = np.arange(count)
    shown[rows, tenth + draw.integers(tenth, size=count)] = first
    shown[rows, 5 * tenth + draw.integers(tenth, size=count)] = second
    return np.eye(SYMBOLS, dtype=np.uint8)[shown], first + TELLING * second
