"""Where files come from, and numbers in words: what a reader on another machine sees."""

import hashlib
import math
from pathlib import Path

import pandas as pd
import pytest

from benchmark.figures.numbers import bounds, percent, signed
from benchmark.records import Trial
from benchmark.results import origin
from benchmark.statistics import every_factor_compared
from benchmark.statistics.selection import not_varied, seeds_of_configurations, varying_alone


def test_files_are_known_by_their_hashes_in_the_order_of_the_tables(tmp_path: Path) -> None:
    for table in ("trials", "plan"):
        (tmp_path / f"{table}.parquet").write_bytes(table.encode())
    found = origin.hashes(tmp_path)
    assert list(found) == ["plan", "trials"]
    assert found["plan"] == hashlib.sha256(b"plan").hexdigest()


@pytest.mark.parametrize(
    ("command", "scale"),
    [
        ("python -m benchmark run grid --scale=full", "full"),
        ("python -m benchmark run grid", "quick"),
        ("python mine.py", "unknown"),
    ],
)
def test_a_scale_is_read_off_the_command(command: str, scale: str) -> None:
    assert origin.scale_of(command) == scale


def test_each_device_is_named_once() -> None:
    assert origin.devices([{"device": "a CPU"}, {}, {"device": "a CPU"}]) == ["a CPU", "unknown"]


def test_the_first_study_says_what_a_strategy_is() -> None:
    told = [{"words": {"clipping": {"mine": {"title": title}}}} for title in ("first", "second")]
    assert origin.strategies_in([{"words": None}, *told])["clipping"]["mine"]["title"] == "first"


ROWS = pd.DataFrame(
    [
        Trial(model="mlp", clipping=clipping, seed=seed).row()
        for clipping, seeds in (("none", 3), ("value", 2))
        for seed in range(seeds)
    ]
)


def test_what_varies_what_does_not_and_on_how_many_seeds() -> None:
    assert varying_alone(ROWS) == ["clipping"]
    assert not_varied(ROWS)["model"] == "mlp"
    assert "clipping" not in not_varied(ROWS)
    assert seeds_of_configurations(ROWS) == (2, 3)


def test_a_factor_without_a_baseline_is_compared_with_its_first_level() -> None:
    frame = ROWS.assign(accuracy=ROWS["clipping"].map({"none": 0.5, "value": 0.75}))
    found = every_factor_compared(frame, ["clipping"], {})
    assert found[["baseline", "level", "pairs", "effect"]].values.tolist() == [
        ["none", "value", 2, 0.25]
    ]
    assert every_factor_compared(frame, [], {}).empty


def test_a_baseline_that_a_data_set_lacks_is_replaced_by_its_first_level() -> None:
    frame = pd.DataFrame({"optimizer": ["lion", "adamw", "adamw", "sgd"], "seed": 0})
    frame = frame.assign(dataset=[*"aabb"], accuracy=[0.5, 0.75, 0.5, 0.25])
    found = every_factor_compared(frame, ["optimizer"], {"optimizer": "sgd"})
    assert found[["dataset", "baseline", "level", "effect", "accuracy"]].values.tolist() == [
        ["a", "lion", "adamw", 0.25, 0.75],
        ["b", "sgd", "adamw", 0.25, 0.5],
    ]


@pytest.mark.parametrize(("value", "text"), [(0.1, "+10.0"), (-1e-5, "0.0"), (-math.inf, "−∞")])
def test_a_difference_has_its_sign_unless_it_is_nothing(value: float, text: str) -> None:
    assert signed(value) == text


def test_a_single_run_has_no_interval() -> None:
    assert bounds(math.nan, 0.1) == "–"
    assert bounds(0.1, 0.2, percent) == "10.0% to 20.0%"
