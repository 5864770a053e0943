"""The wheel in an empty environment, away from the repository: what its commands do there."""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import zipfile
from pathlib import Path

import pytest

from benchmark import __version__
from benchmark.project import EXAMPLES, STUDIES
from benchmark.results import load_study

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
SMALL = ["--device", "cpu", "--executor", "here", "--only", "updates=8", "--only", "seed=0"]


def run(*command: str, cwd: Path, **more: str) -> subprocess.CompletedProcess[str]:
    kept = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "BENCHMARK_RESULTS")}
    return subprocess.run(
        command, cwd=cwd, env=kept | more, capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built in a copy of what it is made of, because building leaves folders behind."""
    copy, out = (tmp_path_factory.mktemp(name) for name in ("sources", "wheel"))
    for name in ("benchmark", "studies", "report", "docs/examples"):
        ignored = shutil.ignore_patterns("_build", "__pycache__", "*.egg-info")
        shutil.copytree(ROOT / name, copy / name, ignore=ignored)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    build = "import sys; from setuptools.build_meta import build_wheel; build_wheel(sys.argv[1])"
    done = run(sys.executable, "-c", build, str(out), cwd=copy)
    assert done.returncode == 0, done.stderr
    (found,) = out.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of an environment that has the wheel, and libraries from this one."""
    environment = tmp_path_factory.mktemp("environment")
    done = run(sys.executable, "-m", "venv", "--without-pip", str(environment), cwd=environment)
    assert done.returncode == 0, done.stderr
    python = environment / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet"]
    done = run(*pip, "--no-deps", "--no-index", str(wheel), cwd=environment)
    assert done.returncode == 0, done.stderr
    (packages,) = environment.glob("lib/python*/site-packages")
    # a line of a .pth file adds the folder, but not what its own .pth files name: the repository
    paths = {sysconfig.get_path(name) for name in ("purelib", "platlib")}
    (packages / "libraries.pth").write_text("\n".join(paths) + "\n", encoding="utf-8")
    return environment / "bin"


def test_the_wheel_has_every_package_and_what_lies_beside_them(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    sources = {path.relative_to(ROOT).as_posix() for path in (ROOT / "benchmark").rglob("*.py")}
    project = {
        f"benchmark/_project/{path.relative_to(ROOT).as_posix()}"
        for folder in ("studies", "report", "docs/examples")
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and not {"_build", "__pycache__"} & set(path.parts)
    }
    others = {n for n in names if not n.startswith("benchmark") and ".dist-info/" not in n}

    assert sources | project | {"benchmark/py.typed"} <= names
    assert not others, "a top level of its own would meet other packages' names"
    assert {n for n in names if "_build" in n} == set()


def test_the_wheel_says_what_it_is(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as file:
        name = next(n for n in file.namelist() if n.endswith("METADATA"))
        metadata = file.read(name).decode()

    assert f"\nVersion: {__version__}\n" in metadata
    assert "\nClassifier: Typing :: Typed\n" in metadata
    assert "\nLicense-Expression: MIT\n" in metadata
    assert set(PROJECT["project"]["scripts"]) == {"benchmark"}


def test_a_study_its_report_and_an_example_without_the_repository(
    installed: Path, tmp_path: Path
) -> None:
    where = "import benchmark; print(benchmark.__version__, benchmark.__file__)"
    version, file = run(str(installed / "python"), "-c", where, cwd=tmp_path).stdout.split()
    assert version == __version__
    assert Path(file).is_relative_to(installed.parent)

    command = [str(installed / "benchmark"), "run"]
    narrow = ["--only", "model=mlp", "--only", "clipping=none", "--only", "batch_policy=fixed"]
    done = run(*command, "grid", "--scale", "smoke", *SMALL, *narrow, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    results = load_study(tmp_path / "results" / "smoke", "grid")
    assert results is not None
    assert results.metadata["commit"] == "unknown"
    # pasted in another folder it goes on, with nothing left to do
    pasted = results.metadata["command"].split()
    assert pasted[:6] == ["python", "-m", "benchmark", "run", "grid", "--scale"]
    (tmp_path / "elsewhere").mkdir()
    there = ["--results", str(tmp_path / "results" / "smoke")]
    done = run(str(installed / "python"), *pasted[1:], *there, cwd=tmp_path / "elsewhere")
    assert done.returncode == 0, done.stderr

    # custom objects, which worker processes import from the script
    two = ["--workers", "2", "--scale", "smoke", *SMALL[:2], *SMALL[4:]]
    done = run(*command, "custom_strategies", *two, cwd=tmp_path)
    assert done.returncode == 0, done.stderr

    done = run(str(installed / "benchmark"), "report", "results/smoke", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [str(tmp_path / "report" / "html" / "index.html")]
    page = (tmp_path / "report" / "html" / "extension.html").read_text(encoding="utf-8")
    assert "python -m benchmark run custom_strategies" in re.sub("<[^>]+>", "", page)


def test_every_folder_of_the_project_is_packaged() -> None:
    packaged = set(PROJECT["tool"]["setuptools"]["packages"])
    packages = {
        ".".join(path.parent.relative_to(ROOT).parts)
        for path in (ROOT / "benchmark").rglob("__init__.py")
    }

    assert {name for name in packaged if not name.startswith("benchmark._project")} == packages
    assert {STUDIES, EXAMPLES} == {ROOT / "studies", ROOT / "docs" / "examples"}
