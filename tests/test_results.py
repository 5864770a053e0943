"""Result files: whole or not at all, provenance, parts and their merging."""

import fcntl
import json
import math
import os
import resource
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmark import provenance as sources
from benchmark.parquet import DamagedFile, checksum
from benchmark.parquet import write as write_file
from benchmark.provenance import _commit, maker_id, provenance, with_maker
from benchmark.records import Study, Trial
from benchmark.results import (
    ResultsError,
    StudyFolder,
    find_study,
    is_study,
    load_study,
    read,
    studies_in,
    write,
)
from benchmark.results import folder as folder_module
from benchmark.results.locking import locked
from benchmark.schema import LATER, SCHEMA_VERSION, TABLES, frame

METADATA = {"note": "made by a test", "created": "2026-01-01T00:00:00+00:00"}


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
    folder.parts.mkdir(parents=True)
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


def test_numbers_of_single_precision_take_little_room(tmp_path: Path) -> None:
    rows = pd.concat([history(str(i), steps=2000) for i in range(5)], ignore_index=True)
    drawn = np.random.default_rng(0).lognormal(size=len(rows)).astype(np.float32)
    path = tmp_path / "history.parquet"
    write("history", rows.assign(train_loss=drawn.astype(float)), path, METADATA)

    group = pq.ParquetFile(path).metadata.row_group(0)
    columns = [group.column(i) for i in range(group.num_columns)]
    (column,) = [c for c in columns if c.path_in_schema == "train_loss"]
    # four bytes of a number in single precision tell it, of which the first tells little
    assert column.total_compressed_size < 4 * len(rows)


@contextmanager
def disk_of(size: int) -> Iterator[None]:
    """Within, no file grows beyond ``size`` bytes: a disk that is full, for one process."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "trials.parquet"
    write("trials", trials("a"), path, METADATA)

    with disk_of(1000), pytest.raises(ResultsError, match=r"cannot write .*trials\.parquet: File"):
        write("trials", trials("a", "b"), path, METADATA)
    assert [p.name for p in tmp_path.iterdir()] == ["trials.parquet"]
    assert read("trials", path)[0]["trial"].tolist() == ["a"]


def test_a_move_that_fails_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: Any
) -> None:
    path = tmp_path / "trials.parquet"
    write("trials", trials("a"), path, METADATA)
    fail_at_call(monkeypatch, os, "replace", 1, OSError(28, "No space left on device"))

    with pytest.raises(ResultsError, match=r"cannot write .*trials\.parquet: No space left"):
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


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


def _one_bit(path: Path) -> None:
    # in the first page of the first column
    content = bytearray(path.read_bytes())
    content[30] ^= 1
    path.write_bytes(content)


def _other_value(path: Path) -> None:
    # by someone who takes care to keep the metadata
    rows = pq.read_table(path)
    better = pa.array([0.99] * rows.num_rows)
    place = rows.column_names.index(rows.column_names[-1])
    named = rows.field(place).with_type(pa.float64())
    pq.write_table(rows.set_column(place, named, better), path)


def _row_lost(path: Path) -> None:
    pq.write_table(pq.read_table(path).slice(1), path)


def _foreign(path: Path) -> None:
    pd.DataFrame({"x": [1]}).to_parquet(path)


def _nonsense_metadata(path: Path) -> None:
    pq.write_table(pq.read_table(path).replace_schema_metadata({b"benchmark": b"{"}), path)


def _other_table(path: Path) -> None:
    table = "history" if ".trials." in path.name or path.name == "trials.parquet" else "trials"
    write(table, frame(table, []), path, METADATA)


DAMAGES = {
    _garbage: "is not a readable parquet file",
    _empty: "is not a readable parquet file",
    _truncated: "is not a readable parquet file",
    _one_bit: "is not a readable parquet file|its checksum differs",
    _other_value: "its checksum differs",
    _row_lost: "its checksum differs",
    _foreign: "was not written by this benchmark",
    _nonsense_metadata: "has metadata that do not read",
    _other_table: "does not have the columns of",
}
damages = pytest.mark.parametrize("spoil", DAMAGES, ids=lambda spoil: spoil.__name__.strip("_"))


@damages
def test_a_damaged_file_is_named_in_one_line(spoil: Callable[[Path], None], tmp_path: Path) -> None:
    path = tmp_path / "trials.parquet"
    write("trials", trials("a", "b"), path, METADATA)
    spoil(path)

    with pytest.raises(DamagedFile, match=DAMAGES[spoil]) as caught:
        read("trials", path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_of_another_schema_version_is_refused_but_not_damaged(tmp_path: Path) -> None:
    path = tmp_path / "trials.parquet"
    write("trials", trials("a"), path, METADATA | {"schema_version": SCHEMA_VERSION + 1})

    with pytest.raises(ResultsError, match=f"version {SCHEMA_VERSION + 1}, this package") as caught:
        read("trials", path)
    assert not isinstance(caught.value, DamagedFile)


def test_a_column_that_was_added_later_is_missing_in_an_older_file(
    tmp_path: Path, monkeypatch: Any
) -> None:
    path = tmp_path / "trials.parquet"
    older = {name: kind for name, kind in TABLES["trials"].items() if name != "parameters"}
    with monkeypatch.context() as patch:
        patch.setitem(TABLES, "trials", older)
        write("trials", trials("a"), path, METADATA)
    monkeypatch.setitem(LATER, "trials", frozenset({"parameters"}))
    rows, _ = read("trials", path)

    assert list(rows.columns) == list(TABLES["trials"])
    assert rows["parameters"].isna().all()


def test_rows_of_before_momentum_was_a_factor_have_the_momentum_of_then(
    tmp_path: Path, monkeypatch: Any
) -> None:
    path = tmp_path / "trials.parquet"
    names = ["sgd", "momentum", "nesterov", "adam"]
    older = {name: kind for name, kind in TABLES["trials"].items() if name != "momentum"}
    with monkeypatch.context() as patch:
        patch.setitem(TABLES, "trials", older)
        rows = trials("a", "b", "c", "d").assign(optimizer=names)
        write("trials", rows, path, METADATA)
    found, _ = read("trials", path)

    assert found["momentum"].fillna(-1).tolist() == [-1, 0.9, 0.9, -1]


def test_a_file_with_columns_of_a_newer_version_is_refused(
    tmp_path: Path, monkeypatch: Any
) -> None:
    path = tmp_path / "trials.parquet"
    with monkeypatch.context() as patch:
        patch.setitem(TABLES, "trials", TABLES["trials"] | {"mood": pa.string()})
        write("trials", trials("a"), path, METADATA)

    with pytest.raises(ResultsError, match="unknown columns mood; was it written by a newer"):
        read("trials", path)


@given(st.lists(st.none() | st.text(max_size=3) | st.just("ab"), min_size=1, max_size=4))
def test_the_checksum_tells_where_one_text_ends_and_the_next_begins(texts: list[Any]) -> None:
    def of(values: list[Any]) -> str:
        return checksum(pa.table({"layer": pa.array(values, pa.string())}))

    joined = ["".join(t or "" for t in texts)] + [""] * (len(texts) - 1)

    assert of(texts) == of(list(texts))
    assert (of(texts) == of(joined)) == (texts == joined)


def test_the_checksum_does_not_see_what_lies_under_a_missing_value() -> None:
    mask = np.array([False, True])
    one, other = (pa.array(np.array([1.0, under]), mask=mask) for under in (2.0, 3.0))

    assert checksum(pa.table({"x": one})) == checksum(pa.table({"x": other}))


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
        cwd=Path(sources.__file__).parent,
        capture_output=True,
        text=True,
        check=False,
    )
    expected = git.stdout.strip() if git.returncode == 0 else "unknown"

    assert provenance()["commit"] == expected
    assert isinstance(provenance()["dirty"], bool)


def test_changed_sources_make_a_tree_dirty_and_new_results_do_not(tmp_path: Path) -> None:
    def git(*arguments: str) -> None:
        who = ["-c", "user.name=me", "-c", "user.email=me@localhost"]
        subprocess.run(["git", *who, *arguments], cwd=tmp_path, check=True, capture_output=True)

    source = tmp_path / "package" / "source.py"
    tracked = tmp_path / "results" / "reference" / "trials.parquet"
    for file in (source, tracked):
        file.parent.mkdir(parents=True)
        file.write_text("as it was")
    git("init")
    git("add", ".")
    git("commit", "-m", "all")

    def dirty() -> bool:
        _commit.cache_clear()
        return _commit(source.parent)["dirty"]

    assert not dirty()
    tracked.write_text("trained again")
    assert not dirty()
    source.write_text("changed")
    assert dirty()


def test_the_command_is_recorded_without_the_readers_folders(monkeypatch: Any) -> None:
    monkeypatch.setattr(sys, "argv", ["/home/someone/repo/studies/grid.py", "--scale", "smoke"])

    assert provenance()["command"] == "python -m benchmark run grid --scale smoke"


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
        fail_at_call(patch, folder_module, "write", write_number, KeyboardInterrupt())
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


def test_a_success_counts_whatever_failed_before_or_after(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, "a")
    folder.append("1" * 12, tables("a", status="stable"), METADATA)
    folder.append("2" * 12, tables("a", status="failed"), METADATA)

    assert folder.load().trials["status"].tolist() == ["stable"]


def test_history_comes_from_where_its_trial_comes_from(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, "a")
    folder.append("1" * 12, tables("a") | {"history": history("a", steps=9)}, METADATA)
    folder.append("2" * 12, tables("a"), METADATA)

    assert len(folder.load().history) == 2


def test_files_stay_as_they_are_where_nothing_was_added(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, "a")
    folder.append("1" * 12, tables("a"), METADATA)
    folder.compact(METADATA)
    before = folder.file("trials").read_bytes()
    folder.compact(METADATA | {"note": "made by another run"})

    assert folder.file("trials").read_bytes() == before


def test_rows_of_several_makers_say_so(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, "a", "b", "c")
    folder.append("1" * 12, tables("a"), METADATA | {"torch": "1"})
    folder.append("2" * 12, tables("b"), METADATA | {"torch": "2"})
    folder.compact(METADATA | {"torch": "2"})
    folder.append("3" * 12, tables("c"), METADATA | {"torch": "3"})
    folder.compact(METADATA | {"torch": "3"})
    metadata = folder.load().metadata

    assert metadata["torch"] == "3"
    assert [made["torch"] for made in metadata["earlier_makers"]] == ["1", "2"]


def test_what_trained_elsewhere_stands_in_the_place_of_a_driver_that_trained_nothing(
    tmp_path: Path,
) -> None:
    folder = folder_with(tmp_path, "a", "b")
    driver = METADATA | {"device": "a cluster", "driver": "1", "note": "the run's own"}
    for unit, trial, device in (("1", "a", "GPU X"), ("2", "b", "GPU Y")):
        made = {"device": device, "torch": "2"}
        metadata = with_maker(driver, made)
        rows = tables(trial)
        rows["trials"] = rows["trials"].assign(maker=maker_id(metadata))
        folder.append(unit * 12, rows, metadata)
    folder.compact(driver)
    found = folder.load()

    assert [made.get("device") for made in found.makers] == ["GPU X", "GPU Y"]
    assert [made.get("driver") for made in found.makers] == [None, None]
    assert found.metadata["note"] == "the run's own"
    assert found.plan_metadata["device"] == "a cluster"
    for trial, device in (("a", "GPU X"), ("b", "GPU Y")):
        rows_of = found.trials[found.trials["trial"] == trial]
        assert [made["device"] for made in found.makers_of(rows_of)] == [device]
    # who does not say, is of any of them
    assert found.makers_of(found.trials.assign(maker=None)) == found.makers


# Damage, and what comes of it


@pytest.mark.parametrize("table", ["trials", "history", "layers"])
@damages
def test_a_unit_with_a_damaged_part_is_set_aside_and_runs_again(
    spoil: Callable[[Path], None], table: str, tmp_path: Path, caplog: Any
) -> None:
    folder = folder_with(tmp_path, "a", "b")
    folder.append("1" * 12, tables("a", unit="1" * 12), METADATA)
    folder.append("2" * 12, tables("b", unit="2" * 12), METADATA)
    spoil(folder.part("1" * 12, table))
    repaired = folder.load(repair=True)

    assert repaired.trials["trial"].tolist() == ["b"]
    assert repaired.history["trial"].unique().tolist() == ["b"]
    assert [r.levelname for r in caplog.records] == ["WARNING"]
    assert f"{'1' * 12}.{table}.parquet" in caplog.text
    assert "its unit runs again" in caplog.text
    aside = [f"parts/{'1' * 12}.{t}.parquet.damaged" for t in ("history", "layers", "trials")]
    assert [name for name in files(folder) if "111" in name] == aside


def test_a_damaged_part_stops_a_reader_who_may_not_repair_it(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, "a")
    folder.append("1" * 12, tables("a"), METADATA)
    _truncated(folder.part("1" * 12, "history"))

    with pytest.raises(DamagedFile, match="run the study again: it sets the file aside"):
        folder.load()
    assert folder.part("1" * 12, "history").exists()


@pytest.mark.parametrize("table", ["trials", "history", "layers"])
@pytest.mark.parametrize("repair", [False, True])
def test_a_damaged_merged_table_is_left_alone_with_advice(
    table: str, repair: bool, tmp_path: Path
) -> None:
    folder = folder_with(tmp_path, "a", "b")
    folder.append("1" * 12, tables("a", "b"), METADATA)
    folder.compact(METADATA)
    _row_lost(folder.file(table))

    with pytest.raises(DamagedFile, match="restore it, or move it away to run its trials again"):
        folder.load(repair=repair)
    assert folder.file(table).exists()


def test_a_damaged_plan_is_set_aside_and_written_anew(tmp_path: Path, caplog: Any) -> None:
    folder = folder_with(tmp_path, "a")
    _truncated(folder.file("plan"))

    assert folder.load(repair=True).plan.empty
    assert "made anew" in caplog.text
    assert files(folder) == ["plan.parquet.damaged"]


@pytest.mark.parametrize("lost", ["history", "trials"])
def test_a_unit_of_which_a_part_was_removed_runs_again(lost: str, tmp_path: Path) -> None:
    folder = folder_with(tmp_path, "a", "b")
    folder.append("1" * 12, tables("a", unit="1" * 12), METADATA)
    folder.append("2" * 12, tables("b", unit="2" * 12), METADATA)
    folder.part("1" * 12, lost).unlink()

    assert folder.load(repair=True).trials["trial"].tolist() == ["b"]


def test_a_skipped_trial_needs_no_history(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, "a")
    skipped = {"trials": trials("a", status="skipped"), "history": history(), "layers": layers()}
    folder.append("1" * 12, skipped, METADATA)

    assert folder.load(repair=True).trials["trial"].tolist() == ["a"]


@pytest.mark.parametrize("name", ["notes.txt", "mine.trials.parquet", f"{'1' * 12}.trials.csv"])
def test_a_foreign_file_among_the_parts_is_left_alone_with_a_message(
    name: str, tmp_path: Path, caplog: Any
) -> None:
    folder = folder_with(tmp_path, "a")
    folder.append("1" * 12, tables("a"), METADATA)
    (folder.parts / name).write_text("keep me")
    trials_found = folder.load(repair=True).trials
    folder.compact(METADATA)

    assert trials_found["trial"].tolist() == ["a"]
    assert (folder.parts / name).read_text() == "keep me"
    assert f"{name} is no file of this benchmark, and is left alone" in caplog.text


def test_parts_of_another_schema_version_are_neither_read_nor_set_aside(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, "a")
    folder.append("1" * 12, tables("a"), METADATA | {"schema_version": SCHEMA_VERSION + 1})
    before = files(folder)

    with pytest.raises(ResultsError, match="give another --results folder"):
        folder.load(repair=True)
    assert files(folder) == before


# One run at a time


def test_a_folder_is_reserved_by_one_run(tmp_path: Path) -> None:
    first, second = StudyFolder(tmp_path / "s"), StudyFolder(tmp_path / "s")
    with first.reserved():
        half_written = first.parts / ".x.parquet.1.tmp"
        half_written.touch()
        with pytest.raises(ResultsError, match="is in use by another run"), second.reserved():
            pass
        # the second has not tidied up under the first
        assert half_written.exists()
    with second.reserved():
        assert not half_written.exists()
    assert not (tmp_path / "s" / ".lock").exists()


def test_a_folder_that_a_killed_run_had_reserved_is_free(tmp_path: Path) -> None:
    code = (
        "import os, signal, sys; from benchmark.results import StudyFolder\n"
        "with StudyFolder(sys.argv[1]).reserved(): os.kill(os.getpid(), signal.SIGKILL)"
    )
    killed = subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert (tmp_path / ".lock").exists()

    with StudyFolder(tmp_path).reserved():
        pass
    assert not (tmp_path / ".lock").exists()


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


def test_a_study_that_was_not_run_is_named(tmp_path: Path) -> None:
    folder_with(tmp_path / "clipping", "a")
    assert find_study(tmp_path, "grid") is None
    with pytest.raises(ResultsError, match=r"study 'grid' was not run in '.*'; there are: clip"):
        load_study(tmp_path, "grid")


def test_a_file_is_no_results_folder(tmp_path: Path) -> None:
    (tmp_path / "a.csv").touch()
    with pytest.raises(ResultsError, match=r"a\.csv' is a file, and not a results folder"):
        studies_in(tmp_path / "a.csv")


@pytest.mark.parametrize("value", [None, True, 1, [], "a\0b", "a/" + 256 * "b"])
@pytest.mark.parametrize("take", [studies_in, StudyFolder, is_study])
def test_what_is_no_path_is_refused_in_one_line(take: Callable[[Any], Any], value: Any) -> None:
    with pytest.raises(ValueError, match="must be a path, but got") as caught:
        take(value)
    assert "\n" not in str(caught.value)


def test_a_table_that_there_is_not_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"`table` must be one of plan, trials, .*, but got 'x'"):
        read("x", tmp_path / "x.parquet")


def test_a_folder_that_cannot_be_made_is_named_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(ResultsError, match=r"cannot write in .*grid: '.*file' is a file, and not"):
        StudyFolder(tmp_path / "file" / "grid").reserved().__enter__()


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="there is no folder that takes none")
def test_a_place_that_takes_no_folder_is_named_in_one_line() -> None:
    with pytest.raises(ResultsError, match=r"grid: no folder can be made in '/proc/self'$"):
        StudyFolder(Path("/proc/self/here/grid")).reserved().__enter__()


@pytest.mark.parametrize(
    ("passing", "expected"), [(False, ["file", "rename", "folder"]), (True, ["rename"])]
)
def test_a_file_that_is_to_stay_has_its_name_on_the_disk_too(
    passing: bool, expected: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or a power cut may keep a later deletion of its parts, and lose the rename."""
    done: list[str] = []
    fsync, replace = os.fsync, os.replace

    def noted_fsync(handle: int) -> None:
        done.append("folder" if stat.S_ISDIR(os.fstat(handle).st_mode) else "file")
        fsync(handle)

    def noted_replace(source: Path, target: Path) -> None:
        done.append("rename")
        replace(source, target)

    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(os, "replace", noted_replace)
    write_file("trials", trials("a"), tmp_path / "trials.parquet", METADATA, passing=passing)
    assert done == expected


def test_a_lock_that_was_removed_before_it_was_locked_is_taken_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two runs would else be alone in one folder, each with a file of its own locked."""
    path, flock, calls = tmp_path / "lock", fcntl.flock, []

    def while_the_run_before_ends(lock: Any, how: int) -> None:
        if not calls:
            path.unlink()
            path.touch()
        calls.append(how)
        flock(lock, how)

    monkeypatch.setattr(fcntl, "flock", while_the_run_before_ends)
    lock = locked(path)
    assert lock is not None
    with lock:
        assert len(calls) == 2
        assert os.path.samestat(os.fstat(lock.fileno()), path.stat())


def test_trials_whose_merged_layers_were_moved_away_run_again(tmp_path: Path) -> None:
    folder = folder_with(tmp_path / "s", "a")
    folder.append("0" * 12, tables("a"), METADATA)
    folder.compact(METADATA)
    assert folder.load(repair=True).trials["trial"].tolist() == ["a"]
    folder.file("layers").unlink()
    assert folder.load(repair=True).trials.empty
