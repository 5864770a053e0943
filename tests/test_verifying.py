"""Verifying: what is trained again is compared bit for bit, and a difference is found."""

import dataclasses
import math
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from conftest import TOY

from benchmark import Study
from benchmark.__main__ import main
from benchmark.data import DATASETS, DataError
from benchmark.driver import Options, run_study, verifying
from benchmark.driver.executors import InThisProcess, WorkerPool
from benchmark.driver.verifying import verify
from benchmark.engine import resolve
from benchmark.provenance import maker, maker_id
from benchmark.results import StudyFolder, write
from benchmark.results.differences import exact_differences, rough_differences
from benchmark.schema import rounded

STUDY = Study(
    name="tiny",
    question="Is it so?",
    factors={
        "dataset": "toy",
        "normalization": ("none", "layer"),
        "learning_rate": (0.05, 1e4),
        "batch_size": 16,
        "epochs": 1,
    },
    seeds=(0, 1),
    checkpoints=4,
    layers=True,
)


@pytest.fixture(autouse=True)
def toy_is_registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(DATASETS, "toy", TOY)
    here = WorkerPool(InThisProcess(), lambda: 0)
    monkeypatch.setattr(verifying, "open_pool", lambda *_: here)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(DATASETS, "toy", TOY)
        run_study(STUDY, Options(path, device="cpu", progress=False, executor="here"))
    return path


@pytest.fixture
def copied(made: Path, tmp_path: Path) -> StudyFolder:
    """The results, to be changed."""
    folder = StudyFolder(tmp_path / "tiny")
    folder.path.mkdir()
    for path in (made / "tiny").iterdir():
        (folder.path / path.name).write_bytes(path.read_bytes())
    return folder


def rewrite(
    folder: StudyFolder,
    table: str,
    change: Callable[[pd.DataFrame], pd.DataFrame] = lambda rows: rows,
    **metadata: Any,
) -> None:
    """Change a table as someone who writes valid files would."""
    found = folder.load()
    write(table, change(getattr(found, table)), folder.file(table), found.metadata | metadata)


def shifted(column: str, by: float) -> Callable[[pd.DataFrame], pd.DataFrame]:
    return lambda rows: rows.assign(**{column: rows[column] + by})


def test_what_was_not_touched_agrees_bit_for_bit(made: Path) -> None:
    checked = list(verify(Options(made, device="cpu"), sample=8))

    assert {c.trial for c in checked} == {t.key for t in map(resolve, STUDY.trials())}
    assert all(c.exact for c in checked)
    assert not [c for c in checked if c.differences]


def test_units_of_the_same_trials_are_told_apart_by_their_study(made: Path, tmp_path: Path) -> None:
    shutil.copytree(made, tmp_path / "made")
    twin = dataclasses.replace(STUDY, name="twin")
    options = Options(tmp_path / "made", device="cpu", progress=False, executor="here")
    run_study(twin, options)
    checked = list(verify(options, sample=16))

    assert [c.task.unit.study for c in checked] == ["tiny"] * 8 + ["twin"] * 8
    assert not [c for c in checked if c.differences]


def test_one_trial_is_verified_with_the_unit_it_stood_in(made: Path) -> None:
    checked = list(verify(Options(made / "tiny", device="cpu"), sample=1))

    assert len(checked) == 4
    assert len({c.task.unit.id for c in checked}) == 1


def test_a_seed_draws_the_same_sample(made: Path) -> None:
    options = Options(made, device="cpu")
    drawn = [
        [c.task.unit.id for c in verify(options, sample=1, seed=seed)]
        for seed in (*(0, 0), *range(1, 8))
    ]

    assert drawn[0] == drawn[1]
    assert len({units[0] for units in drawn}) == 2


@pytest.mark.parametrize(
    ("table", "column"),
    [
        ("trials", "validation_loss"),
        ("trials", "steps"),
        ("history", "gradient_norm_max"),
        ("layers", "backprop_norm"),
    ],
)
def test_one_altered_number_is_found(
    table: str, column: str, copied: StudyFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    def alter(rows: pd.DataFrame) -> pd.DataFrame:
        place = rows.index[rows[column].gt(0)][0]
        rows.loc[place, column] = rows.loc[place, column] * 2
        return rows

    rewrite(copied, table, alter)
    status = main(["verify", str(copied.path.parent), "--trials", "8"])
    said = capsys.readouterr().out

    assert status == 1
    assert re.search(rf"tiny \w+ differs: {column}", said)
    assert "8 compared bit for bit and 0 within tolerances: 1 differ" in said


def test_a_row_of_history_that_is_gone_is_found(copied: StudyFolder) -> None:
    rewrite(copied, "history", lambda rows: rows.iloc[1:])
    found = [text for c in verify(Options(copied.path), sample=8) for text in c.differences]

    assert len(found) == 1
    assert re.fullmatch(r"history: \d rows, now \d", found[0])


def test_the_time_it_took_is_no_difference(copied: StudyFolder) -> None:
    rewrite(copied, "trials", shifted("seconds", 9.0))

    assert main(["verify", str(copied.path), "--trials", "8"]) == 0


@pytest.mark.parametrize("what", ["torch", "numpy", "kernels"])
def test_results_of_another_maker_are_compared_within_tolerances(
    what: str, copied: StudyFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    rewrite(copied, "trials", shifted("validation_accuracy", 0.01), **{what: "another"})

    assert main(["verify", str(copied.path), "--trials", "3"]) == 0
    assert "3 trials trained again, 0 compared bit for bit and 3 with" in capsys.readouterr().out
    rewrite(copied, "trials", shifted("initial_loss", 0.01))
    assert main(["verify", str(copied.path), "--trials", "3"]) == 1


@pytest.mark.parametrize("what", ["code", "platform"])
def test_bits_that_may_differ_are_held_to_tolerances_where_they_do(
    what: str, copied: StudyFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    rewrite(copied, "trials", **{what: "another"})
    assert main(["verify", str(copied.path), "--trials", "8"]) == 0
    assert "8 compared bit for bit and 0 within tol" in capsys.readouterr().out

    rewrite(copied, "trials", shifted("validation_accuracy", 0.01))
    assert main(["verify", str(copied.path), "--trials", "8"]) == 0
    said = capsys.readouterr().out
    assert "compared bit for bit and 0" not in said  # those that broke have no accuracy
    assert "all agree" in said

    rewrite(copied, "trials", shifted("initial_loss", 0.01))
    assert main(["verify", str(copied.path), "--trials", "8"]) == 1
    assert "0 compared bit for bit and 8 within tolerances: 8 differ" in capsys.readouterr().out


def test_a_data_set_that_is_not_to_be_had_is_said_and_is_no_difference(
    copied: StudyFolder, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def missing(dataset: object) -> None:
        raise DataError("no toys here")

    monkeypatch.setattr(verifying, "load", missing)
    assert main(["verify", str(copied.path)]) == 2
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1
    assert "no toys here" in captured.err
    assert "differs" not in captured.out


def test_rows_that_an_earlier_maker_made_count_as_such(copied: StudyFolder) -> None:
    earlier = {**maker(copied.load().metadata), "torch": "1"}
    name = maker_id(earlier)
    rewrite(
        copied,
        "trials",
        lambda rows: rows.assign(maker=rows["maker"].where(rows["seed"] == 0, name)),
        earlier_makers=[earlier],
    )
    found = list(verify(Options(copied.path), sample=99))

    # a unit has trials of both seeds: none can come out as it was
    assert not any(c.exact for c in found)
    rewrite(copied, "trials", lambda rows: rows.assign(maker=maker_id(copied.load().metadata)))
    assert all(c.exact for c in verify(Options(copied.path), sample=2))


def test_rows_that_do_not_say_who_made_them_are_of_any_maker_of_the_file(
    copied: StudyFolder,
) -> None:
    earlier = {**maker(copied.load().metadata), "torch": "1"}
    rewrite(copied, "trials", lambda rows: rows.assign(maker=None), earlier_makers=[earlier])

    assert not any(c.exact for c in verify(Options(copied.path), sample=2))


def test_rows_of_another_device_are_compared_within_tolerances(copied: StudyFolder) -> None:
    rewrite(copied, "trials", lambda rows: rows.assign(device="NVIDIA H100"))

    assert not any(c.exact for c in verify(Options(copied.path), sample=2))


def test_a_unit_that_is_not_whole_is_not_compared_bit_for_bit(copied: StudyFolder) -> None:
    rewrite(copied, "trials", lambda rows: rows[rows["seed"] == 0])

    assert not any(c.exact for c in verify(Options(copied.path), sample=2))


STABLE = {"status": "stable", "initial_loss": 2.0, "validation_accuracy": 0.8}
STABLE |= {"precision": "float32", "status_reason": None}


@pytest.mark.parametrize(
    ("before", "now", "names"),
    [
        ({}, {}, []),
        ({}, {"initial_loss": 2.0001}, []),
        ({}, {"initial_loss": 2.001}, ["initial_loss"]),
        ({"precision": "bfloat16"}, {"initial_loss": 2.001}, []),
        ({}, {"initial_loss": math.nan}, ["initial_loss"]),
        ({"initial_loss": math.nan}, {"initial_loss": math.nan}, []),
        ({}, {"validation_accuracy": 0.76}, []),
        ({}, {"validation_accuracy": 0.70}, ["validation_accuracy"]),
        ({}, {"status": "recovered"}, []),
        ({}, {"status": "dead"}, ["status"]),
        ({"status": "dead"}, {"status": "stable"}, []),
        ({"status": "dead"}, {"initial_loss": 3.0}, ["initial_loss"]),
        ({}, {"status": "failed", "status_reason": "no kernel"}, ["status"]),
        ({}, {"status": "skipped", "status_reason": "impossible"}, ["status"]),
        ({"status": "skipped"}, {}, ["status"]),
        ({"status": "skipped"}, {"status": "skipped"}, []),
    ],
)
def test_what_is_laid_to_rounding(
    before: dict[str, Any], now: dict[str, Any], names: list[str]
) -> None:
    found = rough_differences(STABLE | before, STABLE | now)

    assert [text.partition(":")[0] for text in found] == names


def test_missing_values_are_equal_and_infinite_ones_too() -> None:
    rows = pd.DataFrame({"a": [1.0, math.nan, math.inf], "b": ["x", None, "y"]})

    assert not exact_differences("trials", rows, rows.copy())
    assert len(exact_differences("trials", rows, rows.assign(b=["x", "z", None]))) == 2


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["verify", "nowhere"], "no results folder 'nowhere'"),
        (["verify", ".", "--trials", "0"], "--trials: must be a whole number >= 1, but got '0'"),
        (["verify", ".", "--device", "tpu"], "must be auto, cpu, cuda or cuda:N, but got 'tpu'"),
    ],
)
def test_bad_input_is_answered_in_one_line(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        status = main(arguments)
    except SystemExit as error:
        status = error.code
    said = capsys.readouterr().err

    assert status == 2
    assert words in said
    assert said.count("\n") == 1


def test_trials_with_parts_of_ones_own_are_left_out_with_a_note(
    copied: StudyFolder, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    rewrite(
        copied,
        "trials",
        lambda rows: rows.assign(
            normalization=rows["normalization"].where(rows["normalization"] == "none", "mine")
        ),
    )
    checked = list(verify(Options(copied.path), sample=8))

    assert len(checked) == 4
    assert "4 trials have custom parts, and are left out" in caplog.text
    monkeypatch.delitem(DATASETS, "toy")
    assert main(["verify", str(copied.path)]) == 2


def test_what_was_rounded_twice_may_differ_in_its_last_digit_and_no_more() -> None:
    # nearer to the upper of two numbers of 14 binary digits; rounded to 15 first, it lies between
    # them, and falls to the lower
    exact = 1.0 + 2.0**-14 + 2.0**-30
    once, twice = 1.0 + 2.0**-13, np.rint(np.rint(exact * 2**14) / 2) / 2**13
    assert rounded(np.array([exact])).tolist() == [once]
    assert twice != once
    before = pd.DataFrame({"step": [0], "train_loss": [twice]})
    now = before.assign(train_loss=once)
    assert not exact_differences("history", before, now)
    assert exact_differences("trials", before, now)
    assert exact_differences("history", before, now.assign(train_loss=once + 2.0**-13))
    assert exact_differences("history", before, now.assign(train_loss=math.nan))
