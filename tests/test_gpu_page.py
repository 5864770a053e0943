"""The page about a GPU says what the tables of studies/gpu_check.py say."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from pages import page, words

from benchmark.timing.on_gpu import ROUNDED, SMALL, SMALL_ROUNDED, TOLERANCE
from report import evidence

CORRECT = [
    ("mlp clipping=value K=1", True, ""),
    ("mlp clipping=value K=3", True, ""),
    ("cnn batch K=33, twice", True, ""),
]
WIDTHS = [("mlp", 1, 0.7, 700.0), ("mlp", 16, 1.6, 100.0), ("mlp", 64, 6.1, 95.0)]
Says = Callable[..., str]


@pytest.fixture
def says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Says:
    """What the page says of the rows of some stages."""
    monkeypatch.setenv(evidence.VARIABLE, str(tmp_path))
    monkeypatch.setattr(evidence, "all_studies", list)

    def said(**stages: pd.DataFrame) -> str:
        (tmp_path / "gpu").mkdir()
        for name, rows in stages.items():
            rows.to_csv(tmp_path / "gpu" / f"{name}.csv", index=False)
        return words(page("gpu", tmp_path))

    return said


def correctness(*rows: tuple[str, bool, str]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["case", "agrees", "differ"])


def test_without_a_check_there_is_one_note(says: Says) -> None:
    text = says()
    assert evidence.COMMAND.format(study="gpu_check") in text
    assert "##" not in text


def test_cases_that_agree_are_counted_by_what_they_check(says: Says) -> None:
    text = says(correctness=correctness(*CORRECT))
    assert "**They are**: all 3 cases agree." in text
    assert "| clipping | 2 | 2 |" in text
    assert "| the same bits when repeated | 1 | 1 |" in text


def test_a_case_that_differs_is_shown_with_what_differs(says: Says) -> None:
    text = says(correctness=correctness(*CORRECT, ("cnn loss=x K=1", False, "trials.loss: 0.2")))
    assert "**1 of 4 cases differ**" in text
    assert "| loss | 1 | cnn loss=x K=1 |" in text


def test_a_case_that_broke_is_shown_without_the_program_s_message(says: Says) -> None:
    broken = ("cnn normalization=x K=3", False, "RuntimeError: NYI: something of torch's")
    text = says(correctness=correctness(*CORRECT, broken))
    assert "| stopped with an error | 1 | cnn normalization=x K=3 |" in text
    assert "NYI" not in text


def test_a_graph_that_slows_a_step_is_said_to(says: Says) -> None:
    columns = ["model", "together", "equal", "differ", "graphs"]
    columns += ["milliseconds", "milliseconds_graphs", "ratio"]
    rows = [("mlp", 4, True, "", 2, 2.0, 0.2, 10.0), ("mlp", 256, True, "", 2, 2.2, 2.4, 0.92)]
    text = says(graphs=pd.DataFrame(rows, columns=columns))
    assert "up to 10.0 times as fast with them (MLP, 4 together)" in text
    assert "with 256 MLPs together it makes a step slower (2.40 against 2.20 ms)" in text


def test_the_page_has_the_tolerances_of_the_check(says: Says) -> None:
    text = says(correctness=correctness(*CORRECT))
    exponent = f"{TOLERANCE:.0e}".partition("e-0")[2]
    assert f"$10^{{-{exponent}}}$" in text
    assert f"differences of up to {ROUNDED:g} of a column's largest number" in text
    assert pytest.approx((0.01, 1.0)) == (SMALL, SMALL_ROUNDED)
    assert "smaller than a hundredth of its column's largest number" in text


def test_the_best_width_is_told_with_what_it_gains(says: Says) -> None:
    columns = ["model", "together", "milliseconds", "microseconds_a_trial"]
    text = says(widths=pd.DataFrame(WIDTHS, columns=columns))
    assert "**MLP: 16 together.** A step then takes 100 µs per network, 7.0 times less" in text


def test_a_stage_that_was_not_run_has_no_section(says: Says) -> None:
    text = says(correctness=correctness(*CORRECT))
    assert text.count("## ") == 2
    assert "## Limits" in text
