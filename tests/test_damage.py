"""Every file of a study, damaged in every way: the same rows, or one line and nothing changed."""

import contextlib
import functools
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import TOY
from hypothesis import given
from hypothesis import strategies as st

from benchmark import Study
from benchmark.__main__ import main
from benchmark.data import DATASETS
from benchmark.driver import Options, dispatch, run_study, verifying
from benchmark.driver.commandline import run
from benchmark.driver.executors import InThisProcess, WorkerPool
from benchmark.driver.units import Outcome, Unit, train_unit
from benchmark.parquet import METADATA_KEY, DamagedFile, checksum, read_arrow, write
from benchmark.results import StudyFolder, load_study
from benchmark.schema import TABLES, frame


def study(scale: str = "smoke", checkpoints: int = 4) -> Study:
    """Two units of two trials; one of the four explodes."""
    return Study(
        name="tiny",
        question="Is it whole?",
        factors={
            "dataset": "toy",
            "normalization": ("none", "layer"),
            "learning_rate": 0.1,
            "batch_size": 16,
            "epochs": 0.5,
        },
        seeds=(0, 1),
        checkpoints=checkpoints,
        layers=True,
    )


@pytest.fixture(autouse=True)
def toy_is_registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(DATASETS, "toy", TOY)
    here = WorkerPool(InThisProcess(), lambda: 0)
    monkeypatch.setattr(verifying, "open_pool", lambda *_: here)
    # the same unit gives the same bits, so one that is put together as it was is not trained again
    monkeypatch.setattr(dispatch, "train_unit", trained_once)


@functools.cache
def trained_once(unit: Unit) -> Outcome:
    return train_unit(unit)


@pytest.fixture(scope="module")
def undamaged(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Results of the study, of it half-way, and the same of one that measures otherwise."""
    root = tmp_path_factory.mktemp("undamaged")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(DATASETS, "toy", TOY)
        for name, checkpoints in (("merged", 4), ("other merged", 8)):
            options = Options(root / name, device="cpu", progress=False, executor="here")
            run_study(study(checkpoints=checkpoints), options)
    for name in ("merged", "other merged"):
        half_way(root / name / "tiny", StudyFolder(root / name.replace("merged", "parts") / "tiny"))
    return {path.name: path for path in root.iterdir()}


def half_way(whole: Path, folder: StudyFolder) -> None:
    """One of two units has landed; its plan is a part, as a search or a staged study writes it."""
    found = StudyFolder(whole).load()
    (_, unit) = found.plan["unit"].unique()
    mine = found.trials["unit"] == unit
    keys = found.trials.loc[mine, "trial"]
    tables = {"trials": found.trials[mine]}
    for name in ("history", "layers"):
        rows = getattr(found, name)
        tables[name] = rows[rows["trial"].isin(keys)]
    planned = found.plan["unit"] == unit
    write("plan", found.plan[~planned], folder.file("plan"), found.plan_metadata)
    write("plan", found.plan[planned], folder.part(unit, "plan"), found.plan_metadata)
    folder.append(unit, tables, found.plan_metadata)


# Damage. Those of the first kind are accidents; the second keep every checksum.


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def flip_early(path: Path) -> None:
    flip(path, 0.02)


def flip_late(path: Path) -> None:
    flip(path, 0.7)


def flip(path: Path, where: float) -> None:
    content = bytearray(path.read_bytes())
    content[int(len(content) * where)] ^= 1
    path.write_bytes(content)


def deleted(path: Path) -> None:
    path.unlink()


def a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def another_table(path: Path) -> None:
    write("measurements", frame("measurements", []), path, read_metadata(path))


def foreign(path: Path) -> None:
    pd.DataFrame({"x": [1]}).to_parquet(path)


def no_metadata(path: Path) -> None:
    pq.write_table(pq.read_table(path).replace_schema_metadata(None), path)


def unreadable_metadata(path: Path) -> None:
    pq.write_table(pq.read_table(path).replace_schema_metadata({METADATA_KEY: b"{\xff"}), path)


def other_metadata(path: Path) -> None:
    resealed(path, pq.read_table(path), earlier_studies="none", study=7)


def changed_metadata(path: Path) -> None:
    resealed(path, pq.read_table(path), commit="another")


def half_the_rows(path: Path) -> None:
    rows = pq.read_table(path)
    pq.write_table(rows.slice(rows.num_rows // 2), path)


def no_rows(path: Path) -> None:
    pq.write_table(pq.read_table(path).slice(0, 0), path)


def no_rows_resealed(path: Path) -> None:
    resealed(path, pq.read_table(path).slice(0, 0))


def no_column(path: Path) -> None:
    pq.write_table(pq.read_table(path).drop_columns(["trial"]), path)


def no_column_resealed(path: Path) -> None:
    resealed(path, pq.read_table(path).drop_columns(["study"]))


def another_type_resealed(path: Path) -> None:
    rows = pq.read_table(path)
    place = rows.column_names.index("study")
    numbers = pa.array(np.zeros(rows.num_rows))
    resealed(path, rows.set_column(place, "study", numbers))


ACCIDENTS = [
    *(cut, empty, flip_early, flip_late, deleted, a_folder, another_table, foreign),
    *(no_metadata, unreadable_metadata, half_the_rows, no_rows, no_column),
]
RESEALED = [
    *(other_metadata, changed_metadata, no_rows_resealed, no_column_resealed),
    another_type_resealed,
]


def read_metadata(path: Path) -> dict[str, Any]:
    return json.loads(pq.read_metadata(path).metadata[METADATA_KEY])


def resealed(path: Path, rows: pa.Table, **changes: Any) -> None:
    """Write ``rows`` with the checksum that they have, and ``changes`` to the metadata."""
    metadata = read_metadata(path) | {"checksum": checksum(rows)} | changes
    if not changes:
        del metadata["seal"]
    sealed = rows.replace_schema_metadata({METADATA_KEY: json.dumps(metadata).encode()})
    pq.write_table(sealed, path)


MERGED = ["plan", "trials", "history", "layers"]


def copy_of(undamaged: dict[str, Path], state: str, path: Path) -> StudyFolder:
    shutil.copytree(undamaged[state], path, dirs_exist_ok=True)
    return StudyFolder(path / "tiny")


def file_of(folder: StudyFolder, state: str, table: str) -> Path:
    if state == "merged":
        return folder.file(table)
    (path,) = folder.parts.glob(f"*.{table}.parquet")
    return path


def contents(folder: StudyFolder) -> dict[str, bytes | None]:
    return {
        str(path.relative_to(folder.path)): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.path.rglob("*"))
    }


def rows_of(path: Path) -> dict[str, pd.DataFrame]:
    found = load_study(path, "tiny")
    assert found is not None
    tables = {name: getattr(found, name) for name in TABLES if hasattr(found, name)}
    return {name: rows.drop(columns="seconds", errors="ignore") for name, rows in tables.items()}


def answered(capsys: pytest.CaptureFixture[str], status: int) -> None:
    """Bad input, told in one line."""
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert status in (0, 1) or len(said) == 1


@pytest.mark.parametrize("spoil", ACCIDENTS + RESEALED, ids=lambda spoil: spoil.__name__)
@pytest.mark.parametrize("table", MERGED)
@pytest.mark.parametrize("state", ["merged", "parts"])
def test_a_damaged_file_costs_no_row_or_nothing_is_changed(
    state: str,
    table: str,
    spoil: Callable[[Path], None],
    undamaged: dict[str, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = copy_of(undamaged, state, tmp_path)
    spoil(file_of(folder, state, table))
    before = contents(folder)

    answered(capsys, main(["status", str(tmp_path)]))
    answered(capsys, main(["verify", str(tmp_path), "--trials", "1", "--device", "cpu"]))
    assert contents(folder) == before

    options = ["--results", str(tmp_path), "--device", "cpu", "--executor", "here"]
    status = run(study, options)
    answered(capsys, status)
    if status == 2:
        # what takes long to make is left to its owner
        assert (state, table) in [("merged", name) for name in ("trials", "history", "layers")]
        assert contents(folder) == before
    else:
        assert status == 0
        expected = rows_of(undamaged["merged"])
        for name, rows in rows_of(tmp_path).items():
            pd.testing.assert_frame_equal(rows, expected[name], check_exact=True)


@pytest.mark.parametrize("table", MERGED)
@pytest.mark.parametrize("state", ["merged", "parts"])
def test_a_file_of_another_study_is_not_taken_for_this_ones(
    state: str,
    table: str,
    undamaged: dict[str, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = copy_of(undamaged, state, tmp_path)
    other = file_of(StudyFolder(undamaged[f"other {state}"] / "tiny"), state, table)
    shutil.copy(other, file_of(folder, state, table))
    before = contents(folder)

    status = run(study, ["--results", str(tmp_path), "--device", "cpu", "--executor", "here"])
    said = capsys.readouterr().err
    if state == "merged" and table != "plan":
        assert status == 2
        assert "with checkpoints=" in said
        assert contents(folder) == before
    else:
        assert status == 0
        expected = rows_of(undamaged["merged"])
        for name, rows in rows_of(tmp_path).items():
            pd.testing.assert_frame_equal(rows, expected[name], check_exact=True)


def test_a_plan_of_nothing_is_no_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write("plan", frame("plan", []), tmp_path / "tiny" / "plan.parquet", {})

    assert main(["status", str(tmp_path)]) == 0
    assert "tiny" in capsys.readouterr().out


@given(st.data())
def test_a_flipped_bit_is_damage_or_changes_nothing(
    undamaged: dict[str, Path], tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    whole = undamaged["merged"] / "tiny" / "plan.parquet"
    content = bytearray(whole.read_bytes())
    content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    path = tmp_path_factory.getbasetemp() / "flipped.parquet"
    path.write_bytes(content)
    with contextlib.suppress(DamagedFile):
        rows, _ = read_arrow("plan", path)
        assert rows.equals(read_arrow("plan", whole)[0])
