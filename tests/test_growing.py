"""What larger networks gain, and growth beside theory, on numbers that one can check by hand."""

import numpy as np
import pandas as pd
import pytest

from benchmark.records import Trial
from benchmark.statistics.depth import growth_beside_theory, theory_over_gains
from benchmark.statistics.growing import at_each_size, gains_of_size

WIDTHS = {"width, MLP": ("mlp", "width")}


def trials(budget: dict[str, object], scores: dict[tuple[int, float], float]) -> pd.DataFrame:
    """Two seeds at each width and rate, with that accuracy."""
    rows = []
    for (width, rate), score in scores.items():
        for seed in range(2):
            trial = Trial(model="mlp", width=width, learning_rate=rate, seed=seed, **budget)
            ended = {"accuracy": score, "validation": score, "objective": 1 - score}
            rows.append({**trial.row(), **ended, "seconds": width / 10, "examples": 100})
    return pd.DataFrame(rows).astype({"depth": float, "epochs": float, "updates": float})


SCORES = {(10, 0.1): 0.5, (10, 1.0): 0.6, (20, 0.1): 0.9, (20, 1.0): 0.8, (20, 3.0): 0.1}
PASSES = trials({"epochs": 1.0, "updates": None}, SCORES)
UPDATES = trials({"epochs": None, "updates": 5}, SCORES)


def test_each_size_is_at_the_rate_that_validation_chooses() -> None:
    rows = at_each_size(PASSES, PASSES, WIDTHS)
    assert rows.groupby("size")["learning_rate"].unique().map(list).to_dict() == {
        10: [1.0],
        20: [0.1],
    }
    assert rows.groupby("size")["edge"].first().to_dict() == {10: "high", 20: "low"}


def test_both_budgets_are_two_dimensions() -> None:
    both = pd.concat([PASSES, UPDATES])
    names = at_each_size(both, both, WIDTHS)["dimension"].unique().tolist()
    assert names == ["width, MLP, equal passes", "width, MLP, equal updates"]
    assert at_each_size(PASSES, PASSES, WIDTHS)["dimension"].unique().tolist() == ["width, MLP"]


def test_a_single_size_is_no_dimension() -> None:
    alone = PASSES[PASSES["width"] == 10]
    assert at_each_size(alone, alone, WIDTHS).empty


def test_the_largest_is_paired_with_the_smallest() -> None:
    (row,) = gains_of_size(at_each_size(PASSES, PASSES, WIDTHS)).to_dict("records")
    assert (row["size_small"], row["size_large"], row["times"]) == (10, 20, 2)
    assert row["effect"] == pytest.approx(0.3)


def test_measured_growth_stands_beside_that_of_theory() -> None:
    # norms that double twice on the way from layer 4 of 4 to layer 2: 4-fold squares a layer
    norms = {1: 9.0, 2: 4.0, 3: 2.0, 4: 1.0, 5: 1.0}
    layers = pd.DataFrame({"layer_index": norms.keys(), "backprop_norm": norms.values()})
    cell = {"normalization": "none", "initialization": "he", "init_gain": 2.0}
    draws = pd.DataFrame({"trial": ["a"], "seed": [0], **cell})
    (row,) = growth_beside_theory(layers.assign(trial="a", step=0), draws, list(cell)).to_dict(
        "records"
    )
    assert (row["growth"], row["theory"], row["ratio"]) == pytest.approx((4.0, 4.0, 1.0))


def test_lines_of_theory_leave_out_what_has_no_formula() -> None:
    found = theory_over_gains(pd.Series([1.0, 4.0]), "normalization", ["batch", "layer", "none"], 3)
    assert found["normalization"].unique().tolist() == ["batch", "none"]
    assert found["init_gain"].tolist() == pytest.approx([1, 2, 4] * 2)
    assert found["growth"].tolist() == pytest.approx([np.pi / (np.pi - 1)] * 3 + [1, 4, 16])
