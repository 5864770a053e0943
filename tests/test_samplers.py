"""Samplers: the factorial in its order, and searches that a seed fixes."""

import json
import subprocess
import sys
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from scipy.stats import qmc

from benchmark.driver.samplers import (
    GRID_RANDOM,
    SAMPLERS,
    Space,
    at_quantile,
    factorial_sampler,
    make_sampler,
    quasi_random_sampler,
    shuffled_grid_sampler,
)
from benchmark.names import UnknownName
from benchmark.records import searches

RATE = FloatDistribution(1e-3, 1e2, log=True)
CLIPPING = CategoricalDistribution(["none", "value", "global_norm"])
THRESHOLD = FloatDistribution(0.1, 10, log=True)
FACTOR = IntDistribution(2, 8)
GRID = {
    "learning_rate": [0.01, 0.1, 1.0, 10.0],
    "clipping": list(CLIPPING.choices),
    "value.threshold": [0.1],
    "global_norm.threshold": [1.0],
    "factor": [2, 4, 8],
}
SPACE = Space(4, GRID)


def draw(sampler: optuna.samplers.BaseSampler, trials: int) -> list[dict[str, Any]]:
    """Parameters of ``trials`` trials of a space with a conditional parameter."""
    study = optuna.create_study(sampler=sampler)
    for number in range(trials):
        trial = study.ask()
        trial.suggest_float("learning_rate", RATE.low, RATE.high, log=True)
        clipping = trial.suggest_categorical("clipping", list(CLIPPING.choices))
        if clipping != "none":
            trial.suggest_float(f"{clipping}.threshold", THRESHOLD.low, THRESHOLD.high, log=True)
        trial.suggest_int("factor", FACTOR.low, FACTOR.high)
        study.tell(trial, abs(np.log(trial.params["learning_rate"])) + number % 3)
    return [trial.params for trial in study.trials]


def test_a_search_knows_every_sampler() -> None:
    assert tuple(SAMPLERS) == searches.SAMPLERS


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_seed_gives_the_same_search(name: str) -> None:
    first, again, other = (
        draw(make_sampler(name, seed, 12, SPACE, "model=mlp"), 12) for seed in (7, 7, 8)
    )

    assert first == again
    assert first != other


@pytest.mark.parametrize("name", SAMPLERS)
def test_every_label_has_a_stream_of_its_own(name: str) -> None:
    mlp, cnn = (draw(make_sampler(name, 7, 12, SPACE, f"model={m}"), 12) for m in ("mlp", "cnn"))

    assert mlp != cnn


def test_a_seed_gives_the_same_search_in_another_process() -> None:
    code = (
        "import json, sys; sys.path.insert(0, 'tests')\n"
        "from test_samplers import SAMPLERS, SPACE, draw, make_sampler\n"
        "print(json.dumps({n: draw(make_sampler(n, 7, 12, SPACE, 'x'), 12) for n in SAMPLERS}))"
    )
    there = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    here = {name: draw(make_sampler(name, 7, 12, SPACE, "x"), 12) for name in SAMPLERS}

    assert json.loads(there.stdout) == here


def test_an_unknown_sampler_is_named_with_the_nearest() -> None:
    with pytest.raises(UnknownName, match=r"unknown sampler 'quasirandom'\. Did you mean 'quasi-"):
        make_sampler("quasirandom", 0, 1, SPACE, "")


@pytest.mark.parametrize(
    ("distribution", "u", "value"),
    [
        (FloatDistribution(0, 8), 0.25, 2.0),
        (FloatDistribution(0.01, 100, log=True), 0.5, 1.0),
        (FloatDistribution(0.01, 100, log=True), 0.0, 0.01),
        (IntDistribution(2, 5), 0.0, 2),
        (IntDistribution(2, 5), 0.25, 3),
        (IntDistribution(2, 5), 0.999, 5),
        (IntDistribution(1, 7, log=True), 0.0, 1),
        (IntDistribution(1, 7, log=True), 1 / 3 + 1e-9, 2),
        (IntDistribution(1, 7, log=True), 0.999999, 7),
        (CategoricalDistribution(["a", "b", "c", "d"]), 0.49, "b"),
        (CategoricalDistribution(["a", "b", "c", "d"]), 0.5, "c"),
    ],
)
def test_the_value_at_a_quantile(distribution: BaseDistribution, u: float, value: Any) -> None:
    assert at_quantile(distribution, u) == pytest.approx(value)


@pytest.mark.parametrize("distribution", [RATE, CLIPPING, THRESHOLD, FACTOR])
def test_every_quantile_is_inside(distribution: BaseDistribution) -> None:
    values = [at_quantile(distribution, u) for u in (0.0, 0.3, 0.7, float(np.nextafter(1, 0)))]

    assert all(distribution._contains(distribution.to_internal_repr(v)) for v in values)


def test_a_longer_quasi_random_search_begins_like_a_shorter() -> None:
    assert draw(quasi_random_sampler(3, 40, 4), 10) == draw(quasi_random_sampler(3, 10, 4), 10)


def test_quasi_random_points_fill_the_space_more_evenly_than_random_ones() -> None:
    def discrepancy(name: str) -> float:
        parameters = draw(make_sampler(name, 5, 64, SPACE, ""), 64)
        rates = [(np.log10(p["learning_rate"]) + 3) / 5 for p in parameters]
        return float(qmc.discrepancy(np.array(rates)[:, None]))

    assert discrepancy("quasi-random") < discrepancy("random") / 10


def test_quasi_random_search_draws_every_category_equally_often() -> None:
    drawn = [p["clipping"] for p in draw(quasi_random_sampler(1, 90, 4), 90)]

    assert [drawn.count(c) for c in CLIPPING.choices] == pytest.approx([30, 30, 30], abs=2)


def test_the_shuffled_grid_takes_every_cell_once() -> None:
    grid = {"clipping": list(CLIPPING.choices), "factor": [2, 4]}
    study = optuna.create_study(sampler=shuffled_grid_sampler(grid, seed=1))
    asked = []
    for _ in range(12):
        trial = study.ask()
        names = (
            trial.suggest_categorical("clipping", grid["clipping"]),
            trial.suggest_int("factor", 2, 4),
        )
        asked.append(names)
    cells = [(c, f) for c in CLIPPING.choices for f in (2, 4)]

    assert sorted(asked[:6]) == sorted(cells)
    assert asked[:6] != cells
    assert asked[6:] == asked[:6]


def test_the_cells_of_a_grid_have_a_level_of_every_factor() -> None:
    drawn = draw(make_sampler(GRID_RANDOM, 5, 36, SPACE, ""), 36)
    assert {p["learning_rate"] for p in drawn} == set(GRID["learning_rate"])
    assert len({(p["learning_rate"], p["clipping"], p["factor"]) for p in drawn}) == 36


def test_the_factorial_is_asked_in_its_order_whatever_was_told() -> None:
    rows = [{"clipping": c, "seed": s} for c in ("none", "value") for s in ("0", "1")]
    study = optuna.create_study(sampler=factorial_sampler(rows))
    for value in (1.0, None, 0.5, 2.0):
        trial = study.ask()
        trial.suggest_categorical("clipping", ["none", "value"])
        trial.suggest_categorical("seed", ["0", "1"])
        state = optuna.trial.TrialState.FAIL if value is None else None
        study.tell(trial, value, state=state)

    assert [trial.params for trial in study.trials] == rows
