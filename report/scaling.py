"""Do larger models, more data and more complex convolutions pay?"""

from __future__ import annotations

import functools

import pandas as pd

from benchmark.statistics.growing import KINDS, at_each_size, gains_of_size
from report.evidence import Evidence

DIMENSIONS = {
    "depth, MLP": ("mlp_deep", "depth", "hidden layers"),
    "width, MLP": ("mlp", "width", "hidden units"),
    "channels, CNN": ("cnn", "width", "channels (first layer)"),
    "convolutions, CNN": ("cnn_deep", "depth", "convolutions"),
    "data, MLP": ("mlp", "examples", "training examples"),
    "data, CNN": ("cnn", "examples", "training examples"),
}
"""Ways in which a network or its data can grow: the model, the column and what it counts."""
LABELS = {
    f"{title}{kind}": label
    for title, (_, _, label) in DIMENSIONS.items()
    for kind in ("", *(f", {words}" for words in KINDS.values()))
}


@functools.lru_cache(8)
def sizes(study: Evidence) -> pd.DataFrame:
    """`at_each_size` of every dimension."""
    dimensions = {title: (model, column) for title, (model, column, _) in DIMENSIONS.items()}
    return at_each_size(study.outcomes, study.tried, dimensions)


@functools.lru_cache(8)
def gains(study: Evidence) -> pd.DataFrame:
    """`gains_of_size` of every dimension."""
    return gains_of_size(sizes(study))
