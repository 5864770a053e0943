"""Merging a stretch of the plan at a time: the same file, whatever the stretches."""

import itertools
import random
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

from benchmark.parquet import checksum, read, read_arrow, row_groups, verify, write
from benchmark.records import Trial
from benchmark.results import ResultsError, StudyFolder, spilling
from benchmark.results.spilling import Spill
from benchmark.schema import frame, to_arrow

METADATA = {"created": "2026-01-01T00:00:00+00:00"}
KEYS = [f"{number:012x}" for number in range(23)]
STEPS = 3
OTHERS = ["e" * 12, "f" * 12]
"""Trials that the plan does not name: they come after those that it does."""


def rows_of(keys: list[str], value: float = 0.5) -> dict[str, pd.DataFrame]:
    plain = Trial().row() | {"study": "s", "cell": "c", "unit": "u", "status": "stable"}
    mark = [{"study": "s", "trial": key, "step": step} for key in keys for step in range(STEPS)]
    # whole numbers that are missing for some trials, so that a column is not the same in each piece
    history = [
        m | {"train_loss": value, "batch_size": 32 if i % 5 else None} for i, m in enumerate(mark)
    ]
    named = itertools.product(mark, enumerate(("stem", "head")))
    layers = [
        m | {"layer": name, "layer_index": i, "gradient_norm": value} for m, (i, name) in named
    ]
    return {
        "trials": frame("trials", [plain | {"trial": key} for key in keys]),
        "history": frame("history", history),
        "layers": frame("layers", layers),
    }


def landed(path: Path) -> StudyFolder:
    """A study of which some trials are merged, and others lie in parts in no order."""
    folder = StudyFolder(path)
    folder.parts.mkdir(parents=True)
    shuffled = random.Random(0).sample([*KEYS, *OTHERS], len(KEYS) + len(OTHERS))
    plan = [Trial().row() | {"study": "s", "trial": k, "cell": "c", "unit": "u"} for k in KEYS]
    write("plan", frame("plan", plan), folder.file("plan"), METADATA)
    folder.append("0" * 12, rows_of(shuffled[:8]), METADATA)
    folder.compact(METADATA)
    for unit, start in enumerate(range(8, len(shuffled), 4), start=1):
        folder.append(f"{unit:012x}", rows_of(shuffled[start : start + 4]), METADATA)
    # a trial again, whose later rows count
    folder.append("9" * 12, rows_of([shuffled[0]], value=0.25), METADATA)
    return folder


@pytest.mark.parametrize(("least", "rows"), [(1, 1), (1, 7), (5, 20), (2000, 2**17)])
@pytest.mark.parametrize("table", ["history", "layers"])
def test_stretches_change_no_row(
    table: str, least: int, rows: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = landed(tmp_path)
    loaded = folder.load()
    before = getattr(loaded, table)
    monkeypatch.setattr(spilling, "LEAST", least)
    monkeypatch.setattr(spilling, "ROWS", rows)
    folder.compact(METADATA)

    found, metadata = read_arrow(table, folder.file(table))
    order = {trial: i for i, trial in enumerate(loaded.plan["trial"])}
    assert list(order)[: len(KEYS)] == KEYS
    by = before.assign(rank=before["trial"].map(order)).sort_values(
        ["rank", "step", *(["layer_index"] if table == "layers" else [])], kind="stable"
    )
    expected = to_arrow(table, by.drop(columns="rank").reset_index(drop=True))
    assert found.equals(expected)
    assert (
        metadata["checksum"] == checksum(expected) == verify(table, folder.file(table))["checksum"]
    )
    assert len(before) == len([*KEYS, *OTHERS]) * STEPS * (2 if table == "layers" else 1)
    groups = pq.read_metadata(folder.file(table)).num_row_groups
    assert groups == len(list(row_groups(table, folder.file(table))))
    assert (groups > 1) == (least < 2000)


def test_nothing_is_left_beside_the_tables(tmp_path: Path) -> None:
    folder = landed(tmp_path)
    folder.compact(METADATA)
    names = sorted(path.name for path in folder.path.iterdir())
    assert names == [f"{table}.parquet" for table in ("history", "layers", "plan", "trials")]


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
def test_an_interrupted_merge_loses_nothing(
    error: type[BaseException], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = landed(tmp_path)
    before = folder.load()

    def interrupted(*_: object) -> None:
        raise error("no space left")

    with monkeypatch.context() as patch:
        patch.setattr(Spill, "sort", interrupted)
        with pytest.raises(KeyboardInterrupt if error is KeyboardInterrupt else ResultsError):
            folder.compact(METADATA)
    assert not list(folder.path.glob(".*"))
    pd.testing.assert_frame_equal(folder.load().history, before.history)
    folder.compact(METADATA)
    assert len(read("history", folder.file("history"))[0]) == len(before.history)


def test_a_load_of_trials_alone_leaves_the_rest_on_the_disk(tmp_path: Path) -> None:
    folder = landed(tmp_path)
    whole, some = folder.load(), folder.load(trials_only=True)
    pd.testing.assert_frame_equal(some.trials, whole.trials)
    pd.testing.assert_frame_equal(some.plan, whole.plan)
    assert some.history.empty
    assert some.layers.empty


def test_a_load_of_trials_alone_sees_which_have_no_history(tmp_path: Path) -> None:
    folder = landed(tmp_path)
    folder.compact(METADATA)
    rows, metadata = read("history", folder.file("history"))
    write("history", rows[rows["trial"] != KEYS[3]], folder.file("history"), metadata)
    found = folder.load(repair=True, trials_only=True)
    assert set(found.plan["trial"]) - set(found.trials["trial"]) == {KEYS[3]}
