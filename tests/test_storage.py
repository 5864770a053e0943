"""Copies in an Optuna storage: once each, never in the way, and no password anywhere."""

import logging
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import optuna
import pytest
from conftest import TOY
from optuna.trial import TrialState

from benchmark import Range, Search, Study
from benchmark.driver import Options, mirror, run_search, run_study, units
from benchmark.driver.mirror import Mirror, open_storage
from benchmark.passwords import hide_passwords
from benchmark.provenance import command

STUDY = Study(
    name="tiny",
    question="?",
    factors={
        "dataset": TOY,
        "learning_rate": (0.05, 1e4),
        "normalization": ("none", "layer"),
        "batch_size": 16,
        "epochs": 1,
    },
    checkpoints=4,
)


def options(path: Path, storage: str) -> Options:
    return Options(path, device="cpu", progress=False, executor="here", storage=storage)


def stored(storage: str) -> dict[str, list[optuna.trial.FrozenTrial]]:
    opened = open_storage(storage)
    names = optuna.get_all_study_names(opened)
    return {n: optuna.load_study(study_name=n, storage=opened).trials for n in names}


@pytest.mark.parametrize("scheme", ["sqlite", "journal"])
def test_a_storage_gets_every_trial_once(scheme: str, tmp_path: Path) -> None:
    storage = f"{scheme}:///{tmp_path}/copies"
    trials = run_study(STUDY, options(tmp_path, storage))
    first = stored(storage)
    run_study(STUDY, options(tmp_path, storage))
    copies = stored(storage)["tiny"]

    assert list(first) == ["tiny"]
    assert len(first["tiny"]) == len(copies) == 4
    assert [t.user_attrs["trial"] for t in copies] == trials["trial"].tolist()
    assert [t.user_attrs["status"] for t in copies] == trials["status"].tolist()
    assert {t.state for t in copies} == {TrialState.COMPLETE}
    assert [t.params["normalization"] for t in copies] == trials["normalization"].tolist()


def test_a_storage_that_is_named_late_gets_what_was_run_before(tmp_path: Path) -> None:
    run_study(STUDY, options(tmp_path, "sqlite://"))
    storage = f"sqlite:///{tmp_path}/late.db"
    run_study(STUDY, options(tmp_path, storage))

    assert len(stored(storage)["tiny"]) == 4


def test_a_trial_that_failed_and_then_finished_is_stored_as_both(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*args: Any, **kwargs: Any) -> None:
        raise RuntimeError("no kernel")

    storage = f"sqlite:///{tmp_path}/x.db"
    with monkeypatch.context() as patch:
        patch.setattr(units, "train", broken)
        run_study(STUDY, options(tmp_path, storage))
        run_study(STUDY, options(tmp_path, storage))
    run_study(STUDY, options(tmp_path, storage))

    assert [t.state.name for t in stored(storage)["tiny"]] == ["FAIL"] * 4 + ["COMPLETE"] * 4


def test_a_study_with_other_levels_is_stored_beside_the_first(tmp_path: Path) -> None:
    storage = f"sqlite:///{tmp_path}/x.db"
    run_study(STUDY.only({"learning_rate": ["0.05", "0.1"]}), options(tmp_path, storage))
    run_study(STUDY, options(tmp_path, storage))
    first, second = stored(storage).items()

    assert first[0] == "tiny"
    assert second[0].startswith("tiny ")
    assert (len(first[1]), len(second[1])) == (4, 2)


def test_a_search_is_stored_with_its_conditional_thresholds(tmp_path: Path) -> None:
    search = Search(
        name="search",
        question="?",
        space={"learning_rate": Range(0.01, 1, 0.1), "clipping": ("none", "value", "global_norm")},
        fixed={"dataset": TOY, "batch_size": 16, "epochs": 1},
        samplers=("tpe", "random"),
        trials=6,
        generation=3,
        confirm_seeds=(),
        checkpoints=4,
    )
    storage = f"sqlite:///{tmp_path}/x.db"
    run_search(search, options(tmp_path, storage))
    found = stored(storage)

    assert {name: len(trials) for name, trials in found.items()} == {
        "search/tpe": 6,
        "search/random": 6,
    }
    names = {name for trials in found.values() for trial in trials for name in trial.params}
    assert {"value.clipping_threshold", "global_norm.clipping_threshold"} <= names


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("nonsense", "cannot open the storage 'nonsense': Could not parse"),
        ("sqlite:////nowhere/at/all.db", "unable to open database file"),
        ("foo://me:hunter2@db/x", "cannot open the storage 'foo://me:\\*\\*\\*@db/x'"),
        ("postgresql+psycopg://me:hunter2@127.0.0.1:1/x", "storage 'postgresql.*me:\\*\\*\\*@127"),
        ("journal:////nowhere/at/all.log", "cannot open the storage 'journal"),
    ],
)
def test_a_storage_that_does_not_open_is_an_error_before_anything_is_written(
    url: str, words: str, tmp_path: Path
) -> None:
    if "psycopg" in url:
        pytest.importorskip("psycopg", reason="the extra 'cluster' is not installed")
    with pytest.raises(ValueError, match=words) as caught:
        run_study(STUDY, options(tmp_path / "new", url))

    assert "hunter2" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "new").exists()


class Gone(Exception):
    pass


def break_after(
    monkeypatch: pytest.MonkeyPatch, copies: int, failures: int = 10**9, late: bool = False
) -> None:
    """Let adding fail ``failures`` times after ``copies`` trials; with ``late``, after it took
    effect: the connection went away with the receipt."""
    real = optuna.Study.add_trial
    calls: list[Any] = []

    def add_trial(self: optuna.Study, trial: Any) -> None:
        calls.append(trial)
        fails = copies < len(calls) <= copies + failures
        if late or not fails:
            real(self, trial)
        if fails:
            raise Gone("server closed the connection; password=hunter2\nsecond line")

    monkeypatch.setattr(optuna.Study, "add_trial", add_trial)
    monkeypatch.setattr(mirror, "PAUSES", (0.0, 0.0))


def test_a_storage_that_goes_away_does_not_stop_the_study(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    storage = f"sqlite:///{tmp_path}/x.db"
    with monkeypatch.context() as patch:
        break_after(patch, copies=2)
        trials = run_study(STUDY, options(tmp_path, storage))
    warnings = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]

    assert len(trials) == 4
    assert len(warnings) == 1
    assert "the Optuna storage failed and gets no more trials; parquet has them all" in warnings[0]
    assert warnings[0].endswith("server closed the connection; password=***")
    assert len(stored(storage)["tiny"]) == 2
    run_study(STUDY, options(tmp_path, storage))
    assert [t.user_attrs["trial"] for t in stored(storage)["tiny"]] == trials["trial"].tolist()


@pytest.mark.parametrize("late", [False, True])
def test_a_copy_that_fails_for_a_moment_is_made_once(
    late: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    storage = f"sqlite:///{tmp_path}/x.db"
    with monkeypatch.context() as patch:
        break_after(patch, copies=1, failures=2 if not late else 1, late=late)
        run_study(STUDY, options(tmp_path, storage))

    assert not caplog.records
    assert len(stored(storage)["tiny"]) == 4


def test_a_storage_that_hangs_does_not_keep_the_run_from_ending(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    monkeypatch.setattr(mirror, "PATIENCE", 0.1)
    answered = threading.Event()
    monkeypatch.setattr(optuna.Study, "add_trial", lambda self, trial: answered.wait(600))
    began = time.monotonic()
    trials = run_study(STUDY, options(tmp_path, f"sqlite:///{tmp_path}/x.db"))
    answered.set()

    assert time.monotonic() - began < 600
    assert len(trials) == 4
    assert "the Optuna storage is slow and lacks the last trials" in caplog.text


def test_without_a_storage_nothing_is_told_that_nobody_sees() -> None:
    assert not Mirror(None).copies


# Passwords


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        ("postgresql://me:hunter2@db:5432/x", "postgresql://me:***@db:5432/x"),
        ("postgresql+psycopg://me:hun/t@er2@db/x", "postgresql+psycopg://me:***@db/x"),
        ("mysql://me:hunter%402@db/x?charset=utf8", "mysql://me:***@db/x?charset=utf8"),
        ("postgresql://me@db/x?password=hunter2&a=1", "postgresql://me@db/x?password=***&a=1"),
        ("host=db user=me password=hunter2 x", "host=db user=me password=*** x"),
        ("redis://:hunter2@db:6379/0", "redis://:***@db:6379/0"),
        (
            "--storage 'postgresql://me:hunter2@db/x' -n 2",
            "--storage 'postgresql://me:***@db/x' -n 2",
        ),
        ("sqlite:///results/studies.db", "sqlite:///results/studies.db"),
        ("dask://10.0.0.1:8786 and a@b.c", "dask://10.0.0.1:8786 and a@b.c"),
        ("postgresql://me@db/x", "postgresql://me@db/x"),
        ("", ""),
    ],
)
def test_passwords_are_hidden_and_nothing_else(text: str, hidden: str) -> None:
    assert hide_passwords(text) == hidden


@pytest.mark.parametrize("repeated", ["hunter%402", "hunter@2"])
def test_a_password_is_hidden_wherever_an_error_repeats_it(repeated: str) -> None:
    said = hide_passwords(f"no {repeated} for me", "postgresql://me:hunter%402@db/x")

    assert said == "no *** for me"


def test_a_recorded_command_has_no_password(monkeypatch: pytest.MonkeyPatch) -> None:
    given = ["studies/grid.py", "--storage", "postgresql://me:hunter 2@db/x", "--scale", "smoke"]
    monkeypatch.setattr(sys, "argv", given)

    assert command() == (
        "python -m benchmark run grid --storage 'postgresql://me:***@db/x' --scale smoke"
    )


def test_a_failing_command_prints_no_password(tmp_path: Path) -> None:
    pytest.importorskip("psycopg", reason="the extra 'cluster' is not installed")
    script = Path(__file__).with_name("tiny.py")
    storage = "postgresql+psycopg://me:hunter2@127.0.0.1:1/x"
    done = subprocess.run(
        [sys.executable, str(script), "--results", str(tmp_path), "--storage", storage],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 2
    assert done.stderr.startswith("error: cannot open the storage")
    assert "hunter2" not in done.stdout + done.stderr
    assert done.stderr.count("\n") == 1
