"""What the pages read of a folder, and shares as rows."""

import pandas as pd

from report.evidence import load_table, share_of


def test_a_share_has_an_interval_even_where_all_events_agree() -> None:
    row = share_of(pd.Series([True] * 10), pd.Series(range(10)))
    assert row["share"] == row["high"] == 1.0
    assert 0.6 < row["low"] < 0.8


def test_a_table_that_was_not_made_is_none(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("BENCHMARK_RESULTS", str(tmp_path))
    assert load_table("throughput", "measurements") is None
