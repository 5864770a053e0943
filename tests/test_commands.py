"""Command lines: what they answer to good and to bad input."""

import os
import re
import runpy
import signal
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from benchmark import project
from benchmark.__main__ import main
from benchmark.commands import launching
from benchmark.driver import commandline
from benchmark.driver.together import studies
from benchmark.engine import REGISTRIES
from benchmark.records import Trial
from benchmark.results import write
from benchmark.schema import SCHEMA_VERSION, frame

ROOT = Path(__file__).resolve().parents[1]
GRID = runpy.run_path(str(ROOT / "studies" / "grid.py"))["study"]


@pytest.fixture(autouse=True)
def _signals_stay():
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


def status_of(command, arguments):
    """Exit status, whether it was returned or raised."""
    try:
        return command(arguments)
    except SystemExit as end:
        return end.code


# studies


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--only", "clipping=globl_norm"], ["'globl_norm'", "Did you mean 'global_norm'?"]),
        (["--only", "clippng=none"], ["'clippng'", "Did you mean 'clipping'?"]),
        (["--only", "clipping"], ["'clipping'", "FACTOR=VALUE"]),
        (["--only", "clipping="], ["'clipping='", "FACTOR=VALUE"]),
        (["--only", "learning_rate=fast"], ["learning_rate", "'fast'", "numbers"]),
        (["--only", "learning_rate=-1"], ["learning_rate", "-1", "positive"]),
        (["--only", "batch_size=2.5"], ["batch_size", "'2.5'", "whole numbers"]),
        (["--only", "seed=a"], ["seed", "'a'", "whole numbers"]),
        (["--only", "arm=tpe"], ["`arm`", "'grid'"]),
        (
            ["--only", "clipping=value", "--only", "clipping_threshold=7"],
            ["clipping_threshold", "'value'", "0.0001..1", "7"],
        ),
        (["--workers", "0"], ["--workers", ">= 1, but got '0'"]),
        (["--workers", "two"], ["--workers", "'two'"]),
        (["--scale", "quik"], ["'quik'", "Did you mean 'quick'?", "smoke, quick, standard, paper"]),
        (["--device", "gpu"], ["'gpu'", "auto, cpu, cuda"]),
        (["--storage", "nosuch://x"], ["storage", "nosuch"]),
        (["--colour"], ["--colour"]),
        (["--work", "1"], ["--work"]),
    ],
)
def test_a_study_answers_bad_input_in_one_line(tmp_path, capsys, arguments, words):
    folder = tmp_path / "results"
    given = ["--scale", "smoke", "--results", str(folder), *arguments]
    status = status_of(lambda a: commandline.run(GRID, a), given)
    out, err = capsys.readouterr()
    assert status == 2
    assert out == ""
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert all(word in err for word in words), err
    assert not folder.exists()


def test_a_folder_that_cannot_be_made_is_named(tmp_path, capsys):
    (tmp_path / "file").write_text("kept")
    given = ["--scale", "smoke", "--results", str(tmp_path / "file" / "below")]
    assert commandline.run(GRID, given) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert str(tmp_path / "file" / "below") in err
    assert (tmp_path / "file").read_text() == "kept"


def test_a_script_ends_with_the_status_of_its_run():
    command = [sys.executable, "studies/grid.py", "--scale", "smoke"]
    command += ["--only", "clipping=globl_norm"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert "'global_norm'" in done.stderr


def test_what_needs_no_torch_does_not_wait_for_its_import(tmp_path):
    make_study(tmp_path / "grid", ["stable"])
    commands = [["--help"], ["verify", "--help"], ["list", "study"], ["status", str(tmp_path)]]
    commands += [["run", "gird"], ["report", "nowhere"]]
    # the example defines strategies, which are functions of torch's
    for name in studies().keys() - {"custom_strategies"}:
        commands += [["run", name, "--help"], ["run", name, "--scale", "larg"]]
    program = f"""
import contextlib, sys
from benchmark.__main__ import main
for arguments in {commands}:
    with contextlib.suppress(SystemExit):
        main(arguments)
    if found := sorted({{"torch", "optuna"}} & sys.modules.keys()):
        sys.exit(f"{{arguments}} imports {{found}}")
print("none does")
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "none does"


# python -m benchmark list


def listed(out):
    """What `list` printed of one kind: name -> all of its words."""
    blocks = re.split(r"\n(?=\S)", out.rstrip("\n"))
    return {block.split()[0]: " ".join(block.split()) for block in blocks}


@pytest.mark.parametrize("columns", ["80", "100", "400"])
@pytest.mark.parametrize("kind", REGISTRIES)
def test_list_shows_every_registered_thing_with_its_reference(kind, columns, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", columns)
    assert main(["list", kind]) == 0
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= min(int(columns), 120)
    found = listed(out)
    assert list(found) == [kind, *REGISTRIES[kind]]
    assert "what it is" in found[kind]
    for name, entry in REGISTRIES[kind].items():
        assert entry.summary in found[name]
        assert entry.reference == "-" or found[name].endswith(entry.reference)


@pytest.mark.parametrize("columns", ["60", "120"])
def test_list_shows_numbers_with_default_and_range(columns, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", columns)
    main(["list", "clipping"])
    lines = capsys.readouterr().out.splitlines()
    column = lines[0].index("clipping_threshold")
    named = [line for line in lines if not line.startswith(" ")]
    cells = {line.split()[0]: line[column:].partition("  ")[0] for line in named}
    assert cells["global_norm"] == "1 (0.01..100)"
    assert cells["none"] == "-"


def test_list_shows_the_depths_that_a_model_allows(capsys):
    main(["list", "model"])
    found = listed(capsys.readouterr().out)
    assert "10 (2..30)" in found["mlp_deep"]
    assert found["mlp_wide"].split()[1:3] == ["3", "1000"]


def test_list_without_a_kind_shows_all_kinds(capsys):
    assert main(["list"]) == 0
    blocks = capsys.readouterr().out.split("\n\n")
    assert [block.split()[0] for block in blocks] == [*REGISTRIES, "study"]


def test_studies_are_read_and_not_run(tmp_path, monkeypatch, capsys):
    (tmp_path / "good.py").write_text('"""Does it work?\n\nMore."""\nraise SystemExit(9)\n')
    (tmp_path / "broken.py").write_text('"""Is it Python?"""\ndef (\n')
    (tmp_path / "_shared.py").write_text("")
    monkeypatch.setattr(project, "STUDIES", tmp_path)
    monkeypatch.setattr(project, "EXAMPLES", tmp_path / "none")
    assert main(["list", "study"]) == 0
    found = listed(capsys.readouterr().out)
    assert found["good"] == "good Does it work?"
    assert found["study"].endswith("-m benchmark run STUDY")
    assert "cannot be read" in found["broken"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["list", "cliping"], ["'cliping'", "Did you mean 'clipping'?"]),
        (["lits"], ["'lits'", "list"]),
        ([], ["COMMAND"]),
        (["status"], ["DIR"]),
    ],
)
def test_a_bad_command_is_answered_in_one_line(capsys, arguments, words):
    assert status_of(main, arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert all(word in err for word in words), err


def test_a_reader_that_stops_early_is_no_error():
    command = [sys.executable, "-m", "benchmark", "list"]
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        command, cwd=ROOT, stdout=writing, stderr=subprocess.PIPE, text=True, check=False
    )
    os.close(writing)
    assert done.stderr == ""
    assert done.returncode == 0


# python -m benchmark status


def make_study(folder, statuses, *, expected=0):
    """A study of one planned trial a status; None for one without a row."""
    rows, plan = [], []
    for seed, status in enumerate(statuses):
        trial = Trial(seed=seed)
        row = {"study": folder.name, "trial": trial.key, "cell": trial.cell, "unit": "u"}
        plan.append(row | trial.row())
        if status is not None:
            reason = "RuntimeError: out of luck" if status == "failed" else None
            rows.append(row | trial.row() | {"status": status, "status_reason": reason})
    metadata = {"schema_version": SCHEMA_VERSION, "command": f"python studies/{folder.name}.py"}
    metadata["expected"] = expected or len(statuses)
    write("plan", frame("plan", plan), folder / "plan.parquet", metadata)
    write("trials", frame("trials", rows), folder / "trials.parquet", metadata)


def counted(out):
    """The table that `status` printed, as study -> column -> number."""
    table, _, _ = out.partition("\n\n")
    heading, *lines = (line.split() for line in table.splitlines())
    return pd.DataFrame(lines, columns=heading).set_index("study").astype(int)


def test_status_counts_trials_by_what_became_of_them(tmp_path, capsys):
    make_study(tmp_path / "whole", ["stable", "nonfinite", "dead", "stalled", "skipped"])
    make_study(tmp_path / "other", ["stable"])
    assert main(["status", str(tmp_path)]) == 0
    table = counted(capsys.readouterr().out)
    assert list(table.index) == ["other", "whole"]
    assert table.loc["whole"].to_dict() == {
        "expected": 5,
        "done": 4,
        "exploded": 2,
        "failed": 0,
        "skipped": 1,
        "missing": 0,
    }


@pytest.mark.parametrize(
    ("statuses", "expected", "failed", "missing"),
    [
        (["stable", None, None], 0, 0, 2),
        (["stable", "failed"], 0, 1, 0),
        (["stable", "failed", None], 0, 1, 1),
        # a search that was stopped expects more than it has planned
        (["stable"], 4, 0, 3),
        ([None], 0, 0, 1),
    ],
)
def test_status_says_what_is_missing_and_how_to_go_on(
    tmp_path, capsys, statuses, expected, failed, missing
):
    make_study(tmp_path / "grid", statuses, expected=expected)
    assert main(["status", str(tmp_path)]) == 1
    out = capsys.readouterr().out
    row = counted(out).loc["grid"]
    assert (row["failed"], row["missing"]) == (failed, missing)
    assert row["expected"] == row["done"] + row["failed"] + row["skipped"] + row["missing"]
    assert "python studies/grid.py" in out
    assert ("out of luck" in out) == bool(failed)


def test_status_of_a_single_study(tmp_path, capsys):
    make_study(tmp_path / "grid", ["stable"])
    assert main(["status", str(tmp_path / "grid")]) == 0
    assert counted(capsys.readouterr().out).loc["grid", "done"] == 1


def damaged(folder):
    make_study(folder / "grid", ["stable"])
    (folder / "grid" / "trials.parquet").write_bytes(b"PAR1")


def foreign(folder):
    make_study(folder / "grid", ["stable"])
    pd.DataFrame({"a": [1]}).to_parquet(folder / "grid" / "trials.parquet")


def no_study(folder):
    (folder / "notes.txt").write_text("nothing here")


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (damaged, ["trials.parquet", "not a readable parquet file"]),
        (foreign, ["trials.parquet", "not written by this benchmark"]),
        (no_study, ["holds no study"]),
        (os.rmdir, ["no results folder"]),
    ],
)
def test_status_of_an_unusable_folder(tmp_path, capsys, spoil, words):
    folder = tmp_path / "results"
    folder.mkdir()
    spoil(folder)
    assert main(["status", str(folder)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert str(folder) in err
    assert all(word in err for word in words), err


# python -m benchmark run, and report


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run", "gird"], "unknown study 'gird'. Did you mean 'grid'?"),
        (["run", "custom_strategy"], "Did you mean 'custom_strategies'?"),
        (["run", "grid", "--scale", "quik"], "unknown scale 'quik'. Did you mean 'quick'?"),
        (["run", "grid", "--only", "momentum=0.9"], "takes no momentum, but got 0.9"),
        (["report", "nowhere"], "nowhere"),
        (["report", "--pdf", "nowhere"], "nowhere"),
    ],
)
def test_a_script_by_a_bad_name_is_one_line(arguments, words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    before = list(sys.argv), list(sys.path)
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert words in err
    assert (sys.argv, sys.path) == before
    assert not list(tmp_path.iterdir())


def test_a_report_without_its_libraries_says_what_to_install(tmp_path, monkeypatch, capsys):
    script = tmp_path / "build.py"
    script.write_text("import no_such_library")
    monkeypatch.setattr(launching, "REPORT", script)
    assert main(["report"]) == 2
    assert "needs no_such_library: pip install" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("end", "status"), [("sys.exit(3)", 3), ("sys.exit('broken')", 1), ("sys.exit()", 0), ("", 0)]
)
def test_a_script_by_name_ends_with_its_own_status(end, status, tmp_path, monkeypatch):
    (tmp_path / "mine.py").write_text(f"import sys\n{end}\n")
    monkeypatch.setattr(project, "STUDIES", tmp_path)
    assert main(["run", "mine"]) == status
