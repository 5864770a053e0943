"""What the pages read of a folder, and shares as rows."""

from types import SimpleNamespace

import pandas as pd

from report import evidence, reproducibility
from report.evidence import load_table, share_of


def test_a_share_has_an_interval_even_where_all_events_agree() -> None:
    row = share_of(pd.Series([True] * 10), pd.Series(range(10)))
    assert row["share"] == row["high"] == 1.0
    assert 0.6 < row["low"] < 0.8


def test_a_table_that_was_not_made_is_none(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("BENCHMARK_RESULTS", str(tmp_path))
    assert load_table("throughput", "measurements") is None


def test_options_that_commands_share_stand_once(monkeypatch) -> None:
    shared = "--scale paper --results results/mine"
    made = [f"python studies/{name}.py {shared}" for name in ("grid", "search")]
    made.append("python studies/deep.py --results 'results/of mine'")
    monkeypatch.setattr(evidence, "all_studies", lambda: [SimpleNamespace(command=c) for c in made])
    monkeypatch.setattr(evidence, "folder", lambda: "results/mine")
    assert reproducibility.commands().splitlines() == [
        f'OPTIONS="{shared}"',
        "python studies/grid.py $OPTIONS",
        "python studies/search.py $OPTIONS",
        made[-1],
        "python report/build.py results/mine",
    ]


def test_a_command_that_stands_alone_is_whole(monkeypatch) -> None:
    alone = SimpleNamespace(command="python studies/grid.py --scale paper")
    monkeypatch.setattr(evidence, "all_studies", lambda: [alone])
    assert reproducibility.commands().splitlines()[0] == alone.command
