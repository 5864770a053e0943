"""Result files: whole or not at all, provenance, parts and their merging."""

import json
import math
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest

from benchmark import results
from benchmark.records import Study, Trial
from benchmark.results import (
    ResultsError,
    StudyFolder,
    load_study,
    provenance,
    read,
    studies_in,
    write,
)
from benchmark.schema import SCHEMA_VERSION, frame

METADATA = {"schema_version": SCHEMA_VERSION, "note": "made by a test"}


def trials(*keys: str, unit: str = "0" * 12, **values: object) -> pd.DataFrame:
    plain = Trial().row() | {"study": "s", "cell": "c", "unit": unit, "status": "stable"}
    return frame("trials", [plain | {"trial": key} | values for key in keys])


def history(*keys: str, steps: int = 2) -> pd.DataFrame:
    rows = [{"study": "s", "trial": key, "step": i} for key in keys for i in range(steps)]
    return frame("history", rows)


def layers(*keys: str) -> pd.DataFrame:
    rows = [
        {"study": "s", "trial": key, "step": 0, "layer": name, "layer_index": i}
        for key in keys
        for i, name in enumerate(("stem", "head"))
    ]
    return frame("layers", rows)


def tables(*keys: str, unit: str = "0" * 12, **values: object) -> dict[str, pd.DataFrame]:
    named = trials(*keys, unit=unit, **values)
    return {"trials": named, "history": history(*keys), "layers": layers(*keys)}


def folder_with(path: Path, *keys: str) -> StudyFolder:
    """A study's folder whose plan is ``keys``, with no results yet."""
    folder = StudyFolder(path)
    folder.prepare()
    rows = [Trial().row() | {"study": "s", "trial": k, "cell": "c", "unit": "u"} for k in keys]
    write("plan", frame("plan", rows), folder.file("plan"), METADATA)
    return folder


def files(folder: StudyFolder) -> list[str]:
    return sorted(str(p.relative_to(folder.path)) for p in folder.path.rglob("*") if p.is_file())


def fail_at_call(
    monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, number: int, error: BaseException
) -> None:
    """Let call ``number`` of ``owner.name`` (from 1), and all later ones, raise."""
    real: Callable[..., Any] = getattr(owner, name)
    calls = []

    def function(*args: Any, **kwargs: Any) -> Any:
        calls.append(args)
        if len(calls) >= number:
            raise error
        return real(*args, **kwargs)

    monkeypatch.setattr(owner, name, function)


# Writing and reading one file


def test_a_file_gives_back_rows_and_metadata(tmp_path: Path) -> None:
    path = tmp_path / "trials.parquet"
    write("trials", trials("a", "b", validation_loss=math.inf), path, METADATA)
    rows, metadata = read("trials", path)

    pd.testing.assert_frame_equal(rows, trials("a", "b", validation_loss=math.inf))
    assert metadata.items() >= METADATA.items()


def _half_written(*args: Any, **kwargs: Any) -> None:
    Path(args[1]).write_bytes(b"PAR1half")
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize(
    ("owner", "name", "broken"),
    [
        (pq, "write_table", _half_written),
        (os, "replace", lambda *paths: (_ for _ in ()).throw(OSError(5, "Input/output error"))),
    ],
)
def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(
    owner: Any, name: str, broken: Callable[..., Any], tmp_path: Path, monkeypatch: Any
) -> None:
    path = tmp_path / "trials.parquet"
    write("trials", trials("a"), path, METADATA)
    monkeypatch.setattr(owner, name, broken)

    with pytest.raises(ResultsError, match=r"cannot write .*trials\.parquet: (No space|Input)"):
        write("trials", trials("a", "b"), path, METADATA)
    assert [p.name for p in tmp_path.iterdir()] == ["trials.parquet"]
    assert read("trials", path)[0]["trial"].tolist() == ["a"]


def test_a_write_that_is_interrupted_leaves_nothing(tmp_path: Path, monkeypatch: Any) -> None:
    fail_at_call(monkeypatch, os, "replace", 1, KeyboardInterrupt())

    with pytest.raises(KeyboardInterrupt):
        write("trials", trials("a"), tmp_path / "trials.parquet", METADATA)
    assert not list(tmp_path.iterdir())


def test_rows_that_break_the_contract_never_reach_the_disk(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="unknown status"):
        write("trials", trials("a").assign(status="fine"), tmp_path / "t.parquet", METADATA)
    assert not list(tmp_path.iterdir())


def _garbage(path: Path) -> None:
    path.write_bytes(b"not parquet at all")


def _truncated(path: Path) -> None:
    write("trials", trials("a"), path, METADATA)
    path.write_bytes(path.read_bytes()[:-20])


def _foreign(path: Path) -> None:
    pd.DataFrame({"x": [1]}).to_parquet(path)


def _other_version(path: Path) -> None:
    write("trials", trials("a"), path, METADATA | {"schema_version": SCHEMA_VERSION + 1})


def _other_table(path: Path) -> None:
    write("history", history("a"), path, METADATA)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_garbage, "is not a readable parquet file"),
        (_truncated, "is not a readable parquet file"),
        (_foreign, "was not written by this benchmark"),
        (_other_version, f"schema version {SCHEMA_VERSION + 1}, this package reads"),
        (_other_table, "does not have the columns of trials"),
    ],
)
def test_a_file_that_cannot_be_read_is_named_in_one_line(
    spoil: Callable[[Path], None], message: str, tmp_path: Path
) -> None:
    path = tmp_path / "trials.parquet"
    spoil(path)

    with pytest.raises(ResultsError, match=message) as caught:
        read("trials", path)
    assert str(path) in str(caught.value)


# Metadata


def test_provenance_says_what_made_a_file() -> None:
    study = Study(name="s", question="Which?", factors={"learning_rate": [0.1]})
    made = provenance(device="cpu", study=study.definition())

    assert made["schema_version"] == SCHEMA_VERSION
    assert made["study"] == study.definition()
    assert made["device"] == "cpu"
    assert {"package", "python", "torch", "optuna", "pyarrow", "platform"} <= set(made)
    assert pd.Timestamp(made["created"]).utcoffset() == pd.Timedelta(0)
    assert json.loads(json.dumps(made)) == made


def test_provenance_names_the_commit_of_the_sources() -> None:
    git = subprocess.run(
        ["git", "rev-parse", "HEAD"],
        cwd=Path(results.__file__).parent,
        capture_output=True,
        text=True,
        check=False,
    )
    expected = git.stdout.strip() if git.returncode == 0 else "unknown"

    assert provenance()["commit"] == expected
    assert isinstance(provenance()["dirty"], bool)


def test_the_command_is_recorded_without_the_readers_folders(monkeypatch: Any) -> None:
    monkeypatch.setattr(sys, "argv", ["/home/someone/repo/studies/grid.py", "--scale", "smoke"])

    assert provenance()["command"] == "python studies/grid.py --scale smoke"


# Parts


def test_rows_are_there_before_and_after_merging(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, "a", "b")
    folder.append("1" * 12, tables("b", unit="1" * 12), METADATA)
    folder.append("2" * 12, tables("a", unit="2" * 12), METADATA)
    before = folder.load()
    folder.compact(METADATA)
    after = folder.load()

    assert sorted(before.trials["trial"]) == ["a", "b"]
    assert after.trials["trial"].tolist() == ["a", "b"]
    assert after.history["trial"].tolist() == ["a", "a", "b", "b"]
    assert after.layers["layer"].tolist() == ["stem", "head", "stem", "head"]
    assert files(folder) == [f"{t}.parquet" for t in ("history", "layers", "plan", "trials")]


def test_a_unit_whose_trials_did_not_land_does_not_count(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, "a")
    folder.append("1" * 12, tables("a") | {"trials": trials()}, METADATA)

    assert folder.load().trials.empty
    assert folder.load().history.empty
    assert folder.load().layers.empty


def test_a_unit_that_is_run_again_replaces_its_rows(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, "a")
    folder.append("1" * 12, tables("a", status="failed"), METADATA)
    folder.compact(METADATA)
    folder.append("1" * 12, tables("a", status="stable"), METADATA)

    assert folder.load().trials["status"].tolist() == ["stable"]


@pytest.mark.parametrize("write_number", [1, 2, 3])
def test_merging_that_is_killed_while_writing_loses_nothing(
    write_number: int, tmp_path: Path, monkeypatch: Any
) -> None:
    folder = folder_with(tmp_path, "a", "b")
    folder.append("1" * 12, tables("a"), METADATA)
    folder.append("2" * 12, tables("b"), METADATA)
    with monkeypatch.context() as patch:
        fail_at_call(patch, results, "write", write_number, KeyboardInterrupt())
        with pytest.raises(KeyboardInterrupt):
            folder.compact(METADATA)
    folder.compact(METADATA)

    assert folder.load().trials["trial"].tolist() == ["a", "b"]
    pd.testing.assert_frame_equal(folder.load().history, history("a", "b"))
    assert files(folder) == [f"{t}.parquet" for t in ("history", "layers", "plan", "trials")]


@pytest.mark.parametrize("removal", range(1, 7))
def test_merging_that_is_killed_while_removing_parts_loses_nothing(
    removal: int, tmp_path: Path, monkeypatch: Any
) -> None:
    folder = folder_with(tmp_path, "a", "b")
    folder.append("1" * 12, tables("a"), METADATA)
    folder.append("2" * 12, tables("b"), METADATA)
    removed: list[Path] = []
    real = Path.unlink

    def unlink(self: Path, missing_ok: bool = False) -> None:
        if self.parent == folder.parts and len(removed) == removal - 1:
            raise KeyboardInterrupt
        removed.extend([self] if self.parent == folder.parts else [])
        real(self, missing_ok)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", unlink)
        with pytest.raises(KeyboardInterrupt):
            folder.compact(METADATA)
    assert sorted(folder.load().trials["trial"]) == ["a", "b"]
    assert len(folder.load().history) == 4
    folder.compact(METADATA)

    pd.testing.assert_frame_equal(folder.load().history, history("a", "b"))
    assert files(folder) == [f"{t}.parquet" for t in ("history", "layers", "plan", "trials")]


# Folders


def test_studies_are_found_by_their_plans(tmp_path: Path) -> None:
    folder_with(tmp_path / "grid", "a")
    folder_with(tmp_path / "clipping", "a")
    (tmp_path / "notes").mkdir()

    assert [p.name for p in studies_in(tmp_path)] == ["clipping", "grid"]


@pytest.mark.parametrize(
    ("name", "message"),
    [("nowhere", "no results folder '.*nowhere'; run a study"), (".", "holds no study")],
)
def test_a_folder_without_studies_is_named(name: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ResultsError, match=message):
        studies_in(tmp_path / name)


def test_a_study_that_was_not_run_is_none(tmp_path: Path) -> None:
    assert load_study(tmp_path, "grid") is None


def test_a_folder_that_cannot_be_made_is_named_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(ResultsError, match=r"cannot write in .*file.*grid: Not a directory"):
        StudyFolder(tmp_path / "file" / "grid").prepare()
