"""What the pages have in common: groups of trials, each with a statistic of its own."""

import numpy as np
import pandas as pd

from report.evidence import load_table, per_group, share_of


def total(rows: pd.DataFrame, unit: str = "steps") -> pd.DataFrame:
    """One row, where there is any: the sum of a column."""
    return pd.DataFrame({"total": [rows[unit].sum()] if len(rows) else []})


def test_each_group_is_told_by_its_columns_in_the_order_of_the_rows() -> None:
    rows = pd.DataFrame({"model": [*"bba"], "depth": [np.nan, np.nan, 2.0], "steps": [1, 2, 4]})
    found = per_group(rows, ["model", "depth"], total)
    expected = pd.DataFrame({"total": [3, 4], "model": ["b", "a"], "depth": [np.nan, 2.0]})
    pd.testing.assert_frame_equal(found, expected)


def test_what_the_statistic_takes_is_passed_on() -> None:
    rows = pd.DataFrame({"model": [*"ab"], "steps": 1, "seconds": [5, 6]})
    assert per_group(rows, ["model"], total, unit="seconds")["total"].tolist() == [5, 6]


def test_without_rows_there_are_the_columns_all_the_same() -> None:
    none = pd.DataFrame({"model": [], "steps": []})
    found = per_group(none, ["model"], total)
    assert (list(found), len(found)) == (["total", "model"], 0)


def test_a_share_has_an_interval_even_where_all_events_agree() -> None:
    row = share_of(pd.Series([True] * 10), pd.Series(range(10)))
    assert row["share"] == row["high"] == 1.0
    assert 0.6 < row["low"] < 0.8


def test_a_table_that_was_not_made_is_none(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("BENCHMARK_RESULTS", str(tmp_path))
    assert load_table("throughput", "measurements") is None
