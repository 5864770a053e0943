"""Several studies by one command: their workers, stopping, statuses; and MPS around them."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from benchmark.__main__ import main
from benchmark.driver import sharing_gpu, together
from benchmark.driver.sharing_gpu import CONTROL, mps, serves
from benchmark.driver.together import are_several, share
from benchmark.engine.machine import devices

COMMAND = [sys.executable, "-m", "benchmark", "run"]
SMALL = ["--scale", "smoke", "--device", "cpu"]


def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, **variables},
        timeout=240,
    )


@pytest.fixture
def control(tmp_path, monkeypatch):
    """A control program on the PATH that notes what it is asked, and fails where FAIL is set."""
    folder = tmp_path / "bin"
    folder.mkdir()
    program, log = folder / CONTROL, tmp_path / "asked"
    program.write_text(
        "#!/bin/sh\n"
        f'if [ "$1" = -d ]; then echo "start $CUDA_MPS_PIPE_DIRECTORY" >> {log}; '
        '[ -z "$FAIL" ]; exit; fi\n'
        f'read word rest; echo "$word $CUDA_MPS_PIPE_DIRECTORY" >> {log}\n'
        f'echo "devices: $CUDA_VISIBLE_DEVICES" >> {tmp_path / "devices"}\n'
        '[ -z "$STAYS" ]\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return log


def test_studies_at_once_are_all_there_and_the_same_command_finds_nothing_left(tmp_path):
    command = ["explosion", "clipping", "--at-once", "2", "--workers", "2", *SMALL]
    command += ["--results", str(tmp_path)]
    first = run(*command)
    assert first.returncode == 0, first.stdout + first.stderr
    assert first.stdout.splitlines()[-2:] == [
        f"{name}: finished" for name in sorted(["explosion", "clipping"], key=_end(first))
    ]
    # no bar, which is written over, in what is no terminal
    assert "\r" not in first.stdout
    assert re.search(r"^explosion: \d+ of \d+ trials \(100 %\) in \d+:\d\d", first.stdout, re.M)
    paths = [tmp_path / name / "trials.parquet" for name in ("explosion", "clipping")]
    made = [path.stat().st_mtime_ns for path in paths]
    assert run(*command).returncode == 0
    assert [path.stat().st_mtime_ns for path in paths] == made


def _end(ended: subprocess.CompletedProcess[str]):
    order = re.findall(r"^(\w+): finished$", ended.stdout, re.M)
    return order.index


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["grid", "explosin", "--at-once", "2"], "unknown study 'explosin'. Did you mean"),
        (
            ["grid", "explosion", "--at-once", "0"],
            "--at-once: must be a whole number >= 1, but got '0'",
        ),
        (["grid", "throughput", "--at-once", "2"], "unknown study 'throughput'"),
        (["grid", "explosion", "grid"], "grid is named twice"),
        (["grid", "explosion", "--workers", "1"], "--workers, which the studies share, must be"),
        (["grid", "explosion", "--scale", "fast"], "unknown scale 'fast'"),
        (["grid", "explosion", "--only", "model"], "--only"),
        (["grid", "explosion", "--mps", "--device", "cpu"], "--mps shares a GPU"),
        (["grid", "--mps", "--device", "cpu"], "--mps shares a GPU"),
        (["grid", "--mps", "--executor", "dask://h:1"], "--mps shares a GPU of this machine, but"),
        (["grid", "explosion", "--mps"], f"--mps needs the program {CONTROL}"),
    ],
)
def test_what_is_wrong_is_one_line_before_anything_begins(
    arguments, message, tmp_path, capsys, monkeypatch
):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    try:
        status = main(["run", *arguments])
    except SystemExit as end:
        status = end.code
    said = capsys.readouterr()
    assert status == 2
    assert said.out == ""
    assert len(said.err.splitlines()) == 1
    assert message in said.err
    assert not list(tmp_path.iterdir())


@pytest.fixture
def started(monkeypatch):
    """Studies are small programs: the text after ``-c``."""

    def choose(program: str) -> None:
        monkeypatch.setattr(together, "launcher", lambda: [sys.executable, "-u", "-c", program])

    return choose


def test_no_more_run_at_once_than_lanes_and_each_has_its_lanes_workers(started):
    started("import sys, time; print('workers', *sys.argv[2:]); time.sleep(0.4)")
    said = []
    lanes = share(3, 2, "cpu")
    statuses, stopped = together.run_all(list("abcd"), lanes, os.environ, said.append)
    assert (statuses, stopped) == (dict.fromkeys("abcd", 0), 0)
    begun = [line for line in said if line.endswith("begins")]
    assert begun == [f"{name} begins" for name in "abcd"]
    assert {line for line in said if line[0] in "ab"} - set(begun) == {
        "a: workers --workers 2",
        "b: workers --workers 1",
    }


@pytest.mark.parametrize(
    ("cores", "gpus", "shares"),
    [(4, 0, "22"), (1, 0, "11"), (16, 1, "88"), (64, 1, "88"), (64, 2, "1616"), (1, 1, "11")],
)
def test_unless_told_studies_share_the_cores_and_a_gpu(cores, gpus, shares, monkeypatch):
    monkeypatch.setattr(together, "cores", lambda: cores)
    monkeypatch.setattr(devices, "gpus", lambda: [f"cuda:{i}" for i in range(gpus)])
    assert "".join(each for _, each in share(None, 2, "auto")) == shares
    on_cpu = [each for _, each in share(None, 2, "cpu")]
    assert on_cpu == [str(max(cores // 2, 1))] * 2


@pytest.mark.parametrize(
    ("codes", "status"), [((0, 0), 0), ((1, 0), 1), ((2, 0), 1), ((2, 2), 2), ((0, -9), 1)]
)
def test_the_status_says_whether_a_study_failed(codes, status, started, monkeypatch, capsys):
    ends = dict(zip(["grid", "explosion"], codes, strict=True))
    started(
        "import os, sys\n"
        f"code = {ends}[sys.argv[1]]\n"
        "os.kill(os.getpid(), -code) if code < 0 else sys.exit(code)"
    )
    assert together.run_together(["grid", "explosion", "--workers", "2"], at_once=4) == status
    assert "grid: " in capsys.readouterr().out


LISTENS = """
import signal, sys, time
def stop(number, frame):
    print("landed", number, flush=True)
    sys.exit(128 + number)
signal.signal(signal.SIGINT, stop)
signal.signal(signal.SIGTERM, stop)
print("ready", flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_reaches_every_study_and_no_other_begins(number, started):
    started(LISTENS)
    said = []

    def say(line: str) -> None:
        said.append(line)
        if sum(line.endswith("ready") for line in said) == 2 and line.endswith("ready"):
            os.kill(os.getpid(), number)

    before = signal.getsignal(number)
    statuses, stopped = together.run_all(list("abc"), [[], []], os.environ, say)
    assert (statuses, stopped) == ({"a": 128 + number, "b": 128 + number}, number)
    assert {f"{name}: landed {number}" for name in "ab"} <= set(said)
    assert "c begins" not in said
    assert signal.getsignal(number) == before


def test_each_line_has_the_name_of_its_study_once(started):
    started("import sys; print(sys.argv[1] + ': 0 of 4 trials'); print(); print('note', end='')")
    said = []
    together.run_all(["grid"], [[]], os.environ, said.append)
    assert said == ["grid begins", "grid: 0 of 4 trials", "grid: note"]


@pytest.mark.parametrize(
    ("arguments", "several"),
    [
        (["grid"], False),
        (["grid", "--scale", "smoke"], False),
        (["grid", "explosion"], True),
        (["grid", "--at-once", "2"], True),
        (["grid", "--at-once=2"], True),
        (["grid", "--mps"], True),
        (["gpu_check", "widths", "limits"], False),
    ],
)
def test_several_are_named_or_asked_for(arguments, several):
    assert are_several(arguments) == several


def test_mps_runs_within_and_is_stopped_whatever_happens(control):
    pipes = []

    def fails() -> None:
        with mps() as variables:
            pipes.append(variables["CUDA_MPS_PIPE_DIRECTORY"])
            assert Path(pipes[0]).is_dir()
            assert control.read_text().splitlines() == [f"start {pipes[0]}"]
            raise RuntimeError("mine")

    with pytest.raises(RuntimeError, match="mine"):
        fails()
    (pipe,) = pipes
    assert control.read_text().splitlines() == [f"start {pipe}", f"quit {pipe}"]
    assert not Path(pipe).exists()


def test_studies_find_the_mps_that_runs_for_them(control, started, capsys):
    started("import os; print(os.environ['CUDA_MPS_PIPE_DIRECTORY'])")
    assert together.run_together(["grid", "explosion", "--mps", "--workers", "2"], at_once=4) == 0
    start, end = control.read_text().splitlines()
    pipe = start.removeprefix("start ")
    assert end == f"quit {pipe}"
    assert {f"grid: {pipe}", f"explosion: {pipe}"} <= set(capsys.readouterr().out.splitlines())


def test_an_mps_that_does_not_start_is_one_line_and_nothing_begins(control, started, monkeypatch):
    monkeypatch.setenv("FAIL", "1")
    started("raise SystemExit(7)")
    with pytest.raises(ValueError, match=f"--mps: {CONTROL} failed"):
        together.run_together(["grid", "explosion", "--mps", "--workers", "2"], at_once=4)


def test_mps_has_all_gpus_and_its_processes_choose(control, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    with mps() as variables:
        assert "CUDA_VISIBLE_DEVICES" not in variables
    assert (control.parent / "devices").read_text() == "devices: \n"


def test_an_mps_that_does_not_stop_is_a_note(control, monkeypatch, caplog):
    monkeypatch.setenv("STAYS", "1")
    with mps():
        pass
    assert "MPS was not stopped" in caplog.text


@pytest.mark.parametrize(
    ("program", "found"),
    [
        ("import os; assert os.path.isdir(os.environ['CUDA_MPS_PIPE_DIRECTORY'])", True),
        ("raise SystemExit('CUDA error 805: MPS client failed to connect')", False),
    ],
)
def test_mps_serves_where_a_process_finds_its_gpu_through_it(control, program, found, monkeypatch):
    monkeypatch.setattr(sharing_gpu, "PROBE", program)
    assert serves() == found
    assert [line.split()[0] for line in control.read_text().splitlines()] == ["start", "quit"]


def test_where_there_is_no_mps_none_serves(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert not serves()


def test_the_control_program_may_lie_beside_the_driver(control, monkeypatch, tmp_path):
    monkeypatch.setattr(sharing_gpu, "PLACES", (str(control.parent / "bin"),))
    monkeypatch.setenv("PATH", str(tmp_path))
    assert sharing_gpu.control() == str(control.parent / "bin" / CONTROL)
