"""The environment that `make` sets up: which Python it is made with, and when it is made again.

Scripts stand for Pythons, so that nothing is installed.
"""

import shutil
import subprocess
from pathlib import Path

import pytest

from benchmark.project import WORTH

MAKEFILE = Path(__file__).resolve().parents[1] / "Makefile"
PYTHON = """#!/bin/sh
# answers as Python {version} would
case "$1 $2" in
"-c "*base_prefix*) echo "{version} of /somewhere" ;;
"-c "*) exit {old} ;;
"-m venv") rm -rf "$4"; mkdir -p "$4/bin"; cp "$0" "$4/bin/python" ;;
"-m pip") echo installed for {version} ;;
esac
"""

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="no make")


@pytest.fixture
def clone(tmp_path):
    for name in ("pyproject.toml", "constraints.txt"):
        (tmp_path / name).touch()
    for version in ("3.10.0", "3.11.2", "3.12.1"):
        path = tmp_path / f"python-{version}"
        path.write_text(PYTHON.format(version=version, old=int(version == "3.10.0")))
        path.chmod(0o755)
    return tmp_path


def make(clone, *given, target=".venv/.installed-for-report"):
    done = subprocess.run(
        ["make", "-f", str(MAKEFILE), "-C", str(clone), "--no-print-directory", target, *given],
        capture_output=True,
        text=True,
        env={"PATH": "/usr/local/bin:/usr/bin:/bin"},
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("kind", ["report", "tests"])
def test_another_python_makes_the_environment_again(clone, kind):
    target = f".venv/.installed-for-{kind}"
    status, first = make(clone, "PYTHON=./python-3.11.2", target=target)
    assert (status, "again" in first, "installed for 3.11.2" in first) == (0, False, True)
    status, second = make(clone, "PYTHON=./python-3.12.1", target=target)
    assert "Making .venv again with ./python-3.12.1: its Python was 3.11.2 of /" in second
    assert (status, "installed for 3.12.1" in second) == (0, True)


@pytest.mark.parametrize("given", [["PYTHON=./python-3.11.2"], []])
def test_the_same_python_or_none_makes_nothing_again(clone, given):
    make(clone, "PYTHON=./python-3.11.2")
    status, said = make(clone, *given)
    assert (status, "installed for" in said, "again" in said) == (0, False, False)


def test_an_environment_whose_python_is_gone_is_made_again(clone):
    make(clone, "PYTHON=./python-3.11.2")
    (clone / ".venv" / "bin" / "python").unlink()
    status, said = make(clone, "PYTHON=./python-3.11.2")
    assert (status, "its Python was none that still runs" in said) == (0, True)


@pytest.mark.parametrize("python", ["./python-3.10.0", "./nowhere"])
def test_a_python_that_cannot_be_used_leaves_the_environment_as_it_is(clone, python):
    make(clone, "PYTHON=./python-3.11.2")
    status, said = make(clone, f"PYTHON={python}")
    assert status == 2
    assert f"error: Python 3.11 or newer is needed; tried: {python}." in said
    assert "3.11.2" in (clone / ".venv" / "bin" / "python").read_text()


def test_studies_run_in_the_order_of_their_worth():
    text = MAKEFILE.read_text(encoding="utf-8").replace("\\\n", " ")
    (line,) = [line for line in text.splitlines() if line.startswith("STUDIES = ")]
    assert tuple(line.removeprefix("STUDIES = ").split()) == WORTH
