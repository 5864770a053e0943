"""What is said of columns, lists and levels that a statistic cannot use."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from benchmark import figures, statistics
from benchmark.records import Trial

ROOT = Path(__file__).resolve().parents[1]
TRIALS = pd.DataFrame(
    [
        {**Trial(clipping=clipping, model=model, seed=seed).row(), "status": "stable"}
        for clipping in ("none", "global_norm", "value")
        for model in ("mlp", "cnn")
        for seed in range(3)
    ]
)
ROWS = TRIALS.assign(accuracy=0.5 + 0.1 * TRIALS["clipping"].eq("value") + 0.01 * TRIALS["seed"])


def compare(*args: Any, **kw: Any) -> pd.DataFrame:
    return statistics.paired_comparison(ROWS, *args, **kw)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (
            lambda: compare("cliping", "none"),
            "unknown column in `factor` 'cliping'. Did you mean 'clipping'? Allowed: ",
        ),
        (
            lambda: compare("clipping", "none", "acuracy"),
            "unknown column in `value` 'acuracy'. Did you mean 'accuracy'?",
        ),
        (
            lambda: compare("clipping", "none", by="model"),
            "`by` must be a list of columns, but got 'model'; write ['model']",
        ),
        (
            lambda: compare("clipping", "none", by=["modl"]),
            "unknown column in `by` 'modl'. Did you mean 'model'?",
        ),
        (
            lambda: compare("clipping", "none", ignore="learning_rate"),
            "`ignore` must be a list of columns, but got 'learning_rate'; write ['learning_rate']",
        ),
        (
            lambda: compare("clipping", "globl_norm"),
            "unknown level of 'clipping' 'globl_norm'. Did you mean 'global_norm'? "
            "Allowed: none, global_norm, value.",
        ),
        (
            lambda: compare("clipping", "nope", by=["model"]),
            "unknown level of 'clipping' 'nope'. Did you mean 'none'? Allowed: none, global_norm, ",
        ),
        (
            lambda: statistics.interval(ROWS, "accuracy", "clipping"),
            "`by` must be a list of columns, but got 'clipping'; write ['clipping']",
        ),
        (
            lambda: statistics.paired_comparison(TRIALS, "clipping", "none"),
            "these trials have no column 'accuracy' yet; `outcomes(trials)` adds it",
        ),
        (
            lambda: statistics.largest_safe_rate(TRIALS, ["clipping"]),
            "these trials have no column 'diverged' yet; `outcomes(trials)` adds it",
        ),
        (
            lambda: statistics.interval([1.0], "accuracy", ["clipping"]),  # type: ignore[arg-type]
            "`frame` must be a DataFrame, but got [1.0]",
        ),
        (
            lambda: figures.comparison_forest(ROWS, "difference"),
            "`comparisons` must have the column 'level'",
        ),
    ],
)
def test_a_mistake_is_told_in_one_line_with_what_is_allowed(
    call: Callable[[], object], said: str
) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(said)}") as error:
        call()
    assert "\n" not in str(error.value)


def test_a_baseline_of_the_suite_may_be_missing_from_a_narrowed_study() -> None:
    rows = ROWS[ROWS["clipping"] != "none"]
    assert statistics.paired_comparison(rows, "clipping", "none").empty


def test_what_is_not_there_need_not_be_ignored() -> None:
    rows = ROWS.drop(columns="arm")
    assert len(statistics.paired_comparison(rows, "clipping", "none", ignore=["arm"])) == 2


@pytest.mark.parametrize(
    ("by", "titles"), [([], [""]), (["model"], ["MLP", "CNN"])], ids=["whole", "by model"]
)
def test_the_forest_takes_what_a_comparison_gives(by: list[str], titles: list[str]) -> None:
    figure = figures.comparison_forest(compare("clipping", "none", by=by), "difference (points)")
    assert [axis.get_title() for axis in figure.axes] == titles


def test_the_readme_leads_from_results_to_a_figure(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (ROOT / "results" / "README.md").read_text(encoding="utf-8")
    (block,) = [b for b in re.findall(r"```python\n(.*?)```", text, re.S) if "savefig" in b]
    saved: list[str] = []
    monkeypatch.setattr(Figure, "savefig", lambda self, path: saved.append(path))
    monkeypatch.chdir(ROOT)
    names: dict[str, Any] = {}
    exec(block, names)
    assert saved == ["clippings.pdf"]
    assert "verdict" in capsys.readouterr().out
    assert (
        len(names["figure"].axes) == names["found"][["dataset", "model"]].drop_duplicates().shape[0]
    )


@pytest.mark.parametrize(("levels", "seeds"), [(1, 6), (3, 7), (12, 9)])
def test_fewer_seeds_than_needed_have_no_verdict(levels: int, seeds: int) -> None:
    assert statistics.seeds_needed(levels) == seeds
    least = [min(1.0, levels * statistics.sign_flip(np.ones(n))) for n in (seeds - 1, seeds)]
    assert least[0] >= 0.05 > least[1]
