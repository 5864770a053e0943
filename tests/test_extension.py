"""The example of custom strategies: one file outside the package, run as a user runs it."""

import ast
import importlib.util
import os
import re
import subprocess
import sys
from html import unescape
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest
from pages import page, words

from benchmark.contracts import check
from benchmark.project import SCALES
from benchmark.results import load_study
from benchmark.status import FINISHED

ROOT = Path(__file__).resolve().parents[1]
EXAMPLE = ROOT / "docs" / "examples" / "custom_strategies.py"
CUSTOM = (
    *("SIGN", "AVERAGE", "MEAN_ABSOLUTE", "STEADY", "LINE"),
    *("SIGNUM", "TWO_PATHS", "STRIPES"),
)
NARROWED = ("--only", "dataset=stripes", "--only", "learning_rate=0.1")


def example() -> ModuleType:
    """The file as a module, which `pickle` then finds too."""
    name = "custom_strategies"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, EXAMPLE)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    return sys.modules[name]


def run(script: Path, *arguments: str, cwd: Path = ROOT) -> str:
    """What a command prints; the test fails with all that it says where it fails."""
    done = subprocess.run(
        [sys.executable, str(script), *arguments],
        cwd=cwd,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def trained(folder: Path, *arguments: str) -> pd.DataFrame:
    """Run the example from another folder, as a user's own file is run; its trials."""
    folder.mkdir(parents=True, exist_ok=True)
    options = ["--scale", "smoke", "--results", str(folder), "--device", "cpu", "--workers", "2"]
    run(EXAMPLE, *options, *NARROWED, *arguments, cwd=folder)
    found = load_study(folder, "custom_strategies")
    assert found is not None
    return found.trials


@pytest.mark.parametrize("name", CUSTOM)
def test_everything_in_the_example_keeps_its_contract(name: str) -> None:
    check(getattr(example(), name))


def test_every_scale_has_custom_strategies_beside_built_in_ones() -> None:
    study = example().study
    for scale in SCALES:
        rows = pd.DataFrame([trial.row() for trial in study(scale).trials()])
        assert {"none", "global_norm", "sign"} <= set(rows["clipping"])
        assert {"none", "layer", "mean_absolute"} <= set(rows["normalization"])
        assert {"fixed", "doubling", "steady"} <= set(rows["batch_policy"])
        assert {"constant", "cosine", "line"} <= set(rows["schedule"])
        assert {"sgd", "lion", "signum"} <= set(rows["optimizer"])
        assert {"mlp", "two_paths"} <= set(rows["model"])
        assert set(rows["dataset"]) == {"digits", "stripes"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("custom")
    trained(path)
    return path


def test_it_runs_in_worker_processes_and_every_trial_finishes(folder: Path) -> None:
    found = load_study(folder, "custom_strategies")
    assert found is not None
    assert found.trials["trial"].tolist() == found.plan["trial"].tolist()
    assert found.trials["status"].isin(FINISHED).all()
    # twelve levels that are not the baseline's, and the baseline once
    assert len(found.trials) == 13
    assert found.trials["clipping"].eq("sign").sum() == 1


def test_a_custom_strategy_changes_what_is_trained(folder: Path) -> None:
    found = load_study(folder, "custom_strategies")
    assert found is not None
    losses = found.trials.set_index("clipping")["train_loss"]
    assert losses["sign"] != losses["global_norm"]
    sizes = found.trials.set_index("batch_policy")["final_batch_size"]
    assert sizes["steady"] > 32


def test_the_same_command_trains_nothing_again(folder: Path) -> None:
    before = load_study(folder, "custom_strategies")
    assert before is not None
    pd.testing.assert_frame_equal(trained(folder), before.trials)


def test_only_finds_it_by_its_name_and_goes_on_in_the_same_folder(tmp_path: Path) -> None:
    first = trained(tmp_path, "--only", "clipping=sign")
    assert first["clipping"].tolist() == ["sign"]
    both = trained(tmp_path, "--only", "clipping=sign,none", "--only", "normalization=none")
    assert set(both["clipping"]) == {"sign", "none"}
    again = both[both["clipping"] == "sign"].reset_index(drop=True)
    pd.testing.assert_frame_equal(again, first)


def text_of(page: Path) -> str:
    """A page as it is read, on one line."""
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", page.read_text(encoding="utf-8"))).split())


def test_a_report_can_be_built_from_it(folder: Path, tmp_path: Path) -> None:
    run(ROOT / "report" / "build.py", str(folder), "--output", str(tmp_path / "book"))
    html = tmp_path / "book" / "html"
    page = (html / "extension.html").read_text(encoding="utf-8")
    assert re.search(r"<h3[^>]*>Custom strategies", page)
    assert "mean absolute" in page
    assert "custom_strategies" in (html / "index.html").read_text(encoding="utf-8")
    methods = text_of(html / "methods.html")
    row = "sign descent c times the sign of each element ( g <- c sign(g) ) 0.01 Bernstein et al."
    assert row in methods
    assert "steady B grows along a line 3 this example" in methods
    assert "dataset stripes stripes in six directions, under noise custom" in methods


# custom data in a notebook


def test_ten_statements_in_a_notebook_make_a_study_of_custom_data_and_its_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = (ROOT / "report" / "extension.md").read_text(encoding="utf-8")
    section = shown.partition("## Custom data in a notebook")[2]
    cell, command = re.findall(r"```(?:python|bash)\n(.*?)```", section, re.S)[:2]
    assert len(ast.parse(cell).body) + len(command.splitlines()) == 10
    generator = np.random.default_rng(0)
    names = np.array(["cat", "dog", "eel"])[np.arange(600) % 3]
    images = generator.normal(size=(600, 6, 7)) + (np.arange(600) % 3).reshape(-1, 1, 1)
    np.savez(tmp_path / "mine.npz", images=images, labels=names)
    monkeypatch.chdir(tmp_path)
    small = cell.replace("range(3)", "range(1), checkpoints=4")
    exec(small.replace('"results/mine"]', '"results/mine", "--executor", "here"]'), {})

    results = load_study("results/mine", "mine")
    assert results is not None
    assert len(results.trials) == 9
    assert set(results.trials["dataset"]) == {"mine"}
    assert results.trials["validation_accuracy"].max() > 0.9
    # the command's page, without drawing all others of the book
    assert command == "python -m benchmark report results/mine\n"
    monkeypatch.setenv("BENCHMARK_RESULTS", str(tmp_path / "results" / "mine"))
    (tmp_path / "figures").mkdir()
    text = page("extension", tmp_path)
    assert "*Which clipping suits these images?*" in text
    assert "clipping: ZClip" in words(text)
