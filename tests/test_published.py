"""Public numbers: when a measured one is the same, and what the page says of whatever was run."""

import dataclasses
import math
import runpy
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from pages import evidence_of, page, words

from benchmark import figures
from benchmark.records import Study
from benchmark.results import Results
from benchmark.statistics.published import (
    MEASURES,
    NOT_RUN,
    beside_published,
    edge_end,
    edge_rise,
    in_setting,
    solved,
)
from benchmark.statistics.replication import DIFFERS, REPRODUCED, UNTOLD
from report import evidence, published
from report.evidence import Evidence

ROOT = Path(__file__).resolve().parents[1]
NUMBERS = published.published()


# what stands in the table of published numbers


def design(name: str, scale: str = "paper") -> Study:
    return runpy.run_path(str(ROOT / "studies" / f"{name}.py"))["study"](scale)


def planned(name: str) -> pd.DataFrame:
    """The trials of a study at the scale of the publications, all of them at the end of it."""
    rows = pd.DataFrame([trial.row() for trial in design(name).trials()])
    return rows.assign(steps=rows["updates"].fillna(0))


PLANNED = {name: planned(name) for name in published.STUDIES}


@pytest.mark.parametrize("number", NUMBERS["name"])
def test_every_number_is_measured_at_the_scale_paper_on_five_seeds(number: str) -> None:
    (row,) = (row for _, row in NUMBERS.iterrows() if row["name"] == number)
    trials = in_setting(PLANNED[published.study_of(row["measure"])], row)
    assert trials["seed"].nunique() >= 5
    varied = {"gap": "batch_size", "solved": "clipping"}.get(row["measure"])
    assert varied is None or trials[varied].nunique() == 2
    rest = trials.drop(columns=["seed", *filter(None, [varied])])
    at_rates = published.study_of(row["measure"]) == "edge_of_stability"
    assert len(rest.drop(columns="learning_rate" if at_rates else []).drop_duplicates()) == 1


def test_every_source_is_in_the_bibliography_and_every_rule_is_known() -> None:
    text = (ROOT / "report" / "references.bib").read_text(encoding="utf-8")
    assert [key for key in NUMBERS["source"].unique() if f"{{{key}," not in text] == []
    assert set(NUMBERS["rule"]) == {"near", "factor", "more"}
    assert set(NUMBERS["measure"]) == set(MEASURES)
    assert NUMBERS["url"].str.startswith("https://").all()
    assert NUMBERS["name"].is_unique


# what is measured


def test_clipping_is_paired_by_seed() -> None:
    trials = pd.DataFrame(
        {
            "seed": [0, 0, 1, 1, 2],
            "clipping": ["none", "global_norm"] * 2 + ["none"],
            "accuracy": [0.5, 1.0, 1.0, 1.0, 0.2],
            "target_accuracy": 0.99,
        }
    )
    assert solved(trials, pd.DataFrame(), NUMBERS.iloc[0])[0] == pytest.approx(0.5)


def test_sharpness_is_held_against_two_over_the_rate() -> None:
    trials = pd.DataFrame({"trial": list("abc"), "seed": [0, 1, 2]})
    trials["learning_rate"] = [0.1, 0.2, 0.4]
    history = pd.DataFrame(
        {
            "trial": ["a", "a", "a", "b", "b", "c", "c"],
            "step": [0, 5, 10, 0, 10, 0, 10],
            "sharpness": [4.0, math.nan, 20.0, 2.0, 11.0, 7.5, 6.0],
        }
    )
    row = NUMBERS.iloc[0]
    assert edge_end(trials, history, row)[0] == pytest.approx((1.0 + 1.1 + 1.2) / 3)
    # at the smallest rate; the third begins above the edge, and falls
    assert edge_rise(trials, history, row)[0] == pytest.approx(0.8)
    assert math.isnan(edge_rise(trials[:0], history, row)[0])


# the page


def finished(name: str, accuracy: Callable[[dict], float], scale: str = "paper") -> Evidence:
    """A study whose trials are all done: with that test accuracy, and no more than is told here."""
    rows, history = [], []
    by_edge = name == "edge_of_stability"
    for trial in design(name, scale).trials():
        row = trial.row()
        draw = np.random.default_rng(int(trial.key, 16))
        steps = trial.updates or 400
        rows.append(
            {
                **row,
                "trial": trial.key,
                "cell": trial.cell,
                "status": "stable",
                "first_bad_step": None,
                "first_spike_step": None,
                "classes": 10,
                "target_accuracy": 0.99,
                "warm_up_steps": 0,
                "steps": steps,
                "samples": steps * trial.batch_size,
                "examples": 50_000,
                "test_accuracy": accuracy(row),
                "validation_accuracy": 0.9,
                "validation_loss": 0.3,
                "initial_loss": 2.3,
                "disturbed_step": None,
            }
        )
        for i in range(5):
            edge = (1 - 0.5 ** (1 + i)) * draw.uniform(0.95, 1.05)
            history.append(
                {
                    "trial": trial.key,
                    "step": 10 * i,
                    "sharpness": 2 * edge / trial.learning_rate if by_edge else math.nan,
                    "gradient_variance": 50.0 * draw.uniform(0.9, 1.1),
                    "gradient_squared": 1.0,
                }
            )
    made = evidence_of(name, pd.DataFrame(rows))
    results = Results(
        made.results.trials,
        pd.DataFrame(history),
        made.results.layers,
        made.results.trials,
        metadata=made.metadata,
    )
    return dataclasses.replace(made, results=results)


def as_published(row: dict) -> float:
    """What was published of a trial's setting, give or take a tenth of a point."""
    off = 0.0002 * (row["seed"] % 5 - 2)
    if row["model"] == "rnn":
        return 1.0 if row["clipping"] != "none" or row["learning_rate"] < 0.05 else 0.25
    trial = pd.DataFrame([row | {"steps": row["updates"] or 0}])
    here = NUMBERS[NUMBERS["measure"] == "accuracy"]
    return next((r["value"] + off for _, r in here.iterrows() if len(in_setting(trial, r))), 0.5)


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, Evidence]:
    """The studies that the page finds, by name."""
    studies: dict[str, Evidence] = {}
    monkeypatch.setattr(published, "load", studies.get)
    monkeypatch.setattr(Figure, "savefig", lambda self, path, **_: path.write_text("svg"))
    monkeypatch.chdir(tmp_path)
    return studies


def test_numbers_that_come_out_are_said_to(given: dict[str, Evidence]) -> None:
    given |= {name: finished(name, as_published) for name in published.STUDIES}
    rows = published.measured().set_index("name")
    text = words(page("published", Path()))
    assert "**Of 17 numbers that others have published" in text
    assert "15 are reproduced, 0 are close, 1 differs, and 1 cannot be told either way**" in text
    assert rows.loc["2c2d: SGD at 0.1", "estimate"] == pytest.approx(0.858)
    assert rows.loc["F1: small minus large batches", "estimate"] == pytest.approx(0.0022)
    # both solve it at the small rate
    assert rows.loc["temporal order: clipping minus none at 0.01", "verdict"] == UNTOLD
    assert rows.loc["temporal order: clipping minus none at 0.1", "verdict"] == REPRODUCED
    assert rows.loc["MNIST: noise scale at the start", "verdict"] == REPRODUCED
    assert rows.loc["MNIST: noise scale over training", "verdict"] == DIFFERS
    assert "One differs: MNIST: noise scale over training." in text
    assert text.count("{figure}") == 2


def test_numbers_that_do_not_come_out_are_named(given: dict[str, Evidence]) -> None:
    given["published"] = finished("published", lambda row: 0.5 + 0.001 * row["seed"])
    text = words(page("published", Path()))
    assert "edge_of_stability" not in text
    assert "were not run in that setting" not in text
    assert "differ: 2c2d: SGD at 0.01, 2c2d: SGD at 0.0398, 2c2d: SGD at 0.1, " in text
    assert "explanations that are left" in text


def test_what_stands_in_for_other_data_is_not_compared(given: dict[str, Evidence]) -> None:
    given |= {name: finished(name, as_published, "smoke") for name in published.STUDIES}
    assert set(published.measured()["verdict"]) == {NOT_RUN}
    text = words(page("published", Path()))
    assert "0 of 17" not in text
    assert "{figure}" not in text


def test_without_any_study_the_page_is_left_with_its_title(
    given: dict[str, Evidence], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert page("published", Path()).split("\n", 1)[1].isspace()
    monkeypatch.setenv("BENCHMARK_RESULTS", str(tmp_path))
    listed = page("not_run", tmp_path)
    for study in published.STUDIES:
        assert listed.count(f"| `{study}` | [](published.md) |") == 1
        assert listed.count(evidence.COMMAND.format(study=study)) == 1


def test_the_figure_has_a_point_and_a_band_for_each_number(given: dict[str, Evidence]) -> None:
    given["published"] = finished("published", as_published)
    rows = published.measured()
    drawn = published.drawn(rows[rows["measure"] == "accuracy"], multiples=False)
    assert drawn["estimate"].abs().max() == pytest.approx(0.0, abs=1e-9)
    axis = figures.against_published(drawn, "points").axes[0]
    bands = [patch for patch in axis.patches if isinstance(patch, Rectangle)]
    assert len(bands) == len(drawn)
    first = bands[0]
    assert (first.get_x(), first.get_width()) == pytest.approx((-2.0, 4.0))
    labels = [tick.get_text() for tick in axis.get_yticklabels()]
    assert labels == list(drawn["name"])


def test_noise_that_is_a_factor_is_drawn_as_one() -> None:
    row = NUMBERS[NUMBERS["name"] == "MNIST: noise scale over training"]
    found = row.assign(estimate=450.0, low=300.0, high=600.0)
    drawn = published.drawn(found, multiples=True).iloc[0]
    assert drawn[["value", "from", "to", "estimate"]].tolist() == [1.0, 0.5, 2.0, 0.5]
    assert drawn["name"] == "MNIST: noise scale over training (900)"


@pytest.mark.parametrize(
    ("rate", "value", "verdict"),
    [(0.1, 0.81, REPRODUCED), (0.1, 0.7, DIFFERS), (0.1, 0.83, UNTOLD), (0.2, 0.81, NOT_RUN)],
)
def test_a_number_is_measured_in_the_trials_of_its_setting(
    rate: float, value: float, verdict: str
) -> None:
    accuracies = [0.8, 0.81, 0.82]
    trials = pd.DataFrame({"seed": range(3), "accuracy": accuracies, "learning_rate": 0.1})
    trials = trials.assign(samples=2000, examples=1000)
    number = {"measure": "accuracy", "value": value, "rule": "near", "noise": 0.03, "updates": None}
    asked = pd.DataFrame([number | {"learning_rate": rate}])
    (found,) = beside_published(asked, trials, pd.DataFrame()).to_dict("records")
    assert found["verdict"] == verdict
    assert found["seeds"] == (0 if verdict == NOT_RUN else 3)
    assert found["estimate"] == pytest.approx(0.81 if found["seeds"] else math.nan, nan_ok=True)
    assert found["passes"] == pytest.approx(2.0 if found["seeds"] else math.nan, nan_ok=True)
