"""The words of a strategy stand beside it, and reach the report with the results."""

import dataclasses
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from conftest import TOY
from pages import page, words

from benchmark import Clipping, Range, Search, Study, figures
from benchmark.driver import Options, run_study
from benchmark.driver.describing import with_earlier, words_of
from benchmark.driver.digests import digest
from benchmark.engine import REGISTRIES
from benchmark.models import MODELS
from benchmark.results import StudyFolder
from benchmark.strategies.clipping import CLIPPINGS
from report import evidence, prose


def halve(gradient: Any, state: Any, threshold: Any, context: Any) -> Any:
    """Half of a gradient whose norm is above c."""
    large = context.norm > threshold
    return gradient / (1 + large.to(gradient.dtype)), state, large


HALF = Clipping(
    "half_norm",
    halve,
    Range(0.1, 10, default=1.5),
    reference="Doe 2026, an unheard-of rule",
    summary="half of a gradient that is too large",
    title="HalfNorm",
    formula="g <- g / 2 where |g| > c",
)


def study_of(*clippings: Any, **more: Any) -> Study:
    factors = {"dataset": TOY, "clipping": clippings, "model": "mlp", "epochs": 1, **more}
    return Study(name="grid", question="Which?", factors=factors, seeds=(0, 1), checkpoints=4)


def test_words_are_those_of_every_level_that_is_no_number() -> None:
    found = words_of(study_of("none", HALF, learning_rate=(0.1, 1.0)))

    assert found["clipping"]["half_norm"] == {
        "title": "HalfNorm",
        "summary": "half of a gradient that is too large",
        "reference": "Doe 2026, an unheard-of rule",
        "formula": "g <- g / 2 where |g| > c",
        "default": "1.5",
    }
    assert found["clipping"]["none"]["summary"] == CLIPPINGS["none"].summary
    assert set(found) == {"dataset", "clipping", "model"}


def test_words_of_a_search_are_those_of_all_that_it_may_draw() -> None:
    search = Search(
        name="s",
        question="?",
        space={"learning_rate": Range(0.1, 1, default=0.1), "clipping": ("value", HALF)},
        each={"model": ("mlp", "cnn")},
        fixed={"dataset": "digits"},
    )

    found = words_of(search)

    assert {factor: list(levels) for factor, levels in found.items()} == {
        "clipping": ["value", "half_norm"],
        "model": ["mlp", "cnn"],
        "dataset": ["digits"],
    }


@pytest.mark.parametrize("factor", REGISTRIES)
def test_every_registered_level_has_words(factor: str) -> None:
    names = tuple(REGISTRIES[factor])
    found = words_of(Study(name="s", question="?", factors={factor: names}, seeds=(0,)))[factor]

    assert list(found) == list(names)
    assert all(said["summary"] and said["reference"] for said in found.values())


@pytest.mark.parametrize(
    ("earlier", "expected"),
    [
        (None, {"clipping": {"a": {"title": "new"}}}),
        ("damaged", {"clipping": {"a": {"title": "new"}}}),
        (
            {"clipping": {"a": {"title": "old"}, "b": {}}, "model": {"m": {}}},
            {"clipping": {"a": {"title": "new"}, "b": {}}, "model": {"m": {}}},
        ),
    ],
)
def test_words_of_earlier_runs_are_kept(earlier: Any, expected: Any) -> None:
    assert with_earlier(earlier, {"clipping": {"a": {"title": "new"}}}) == expected


def test_words_are_no_part_of_what_a_strategy_does() -> None:
    assert digest(dataclasses.replace(HALF, title="", formula="", summary="-")) == digest(HALF)


@pytest.fixture(scope="module", params=["custom", "registered"])
def results(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of a clipping that no page knows: a custom one, and one more in the registry."""
    path = tmp_path_factory.mktemp(request.param)
    options = Options(path, device="cpu", progress=False, executor="here")
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "registered":
            patch.setitem(CLIPPINGS, HALF.name, HALF)
        named = HALF.name if request.param == "registered" else HALF
        run_study(study_of("none", "global_norm", learning_rate=(0.1, 10.0)), options)
        run_study(study_of("none", named, learning_rate=(0.1, 10.0)), options)
    return path


@pytest.fixture
def shown(results: Path, monkeypatch: pytest.MonkeyPatch) -> pd.DataFrame:
    """The report is about these results."""
    monkeypatch.setenv(evidence.VARIABLE, str(results))
    study = evidence.load("grid")
    assert study is not None
    return study.outcomes


def test_results_have_the_words_of_all_their_rows(results: Path) -> None:
    said = StudyFolder(results / "grid").load().metadata["words"]

    assert set(said["clipping"]) == {"none", "global_norm", "half_norm"}
    assert said["model"]["mlp"]["summary"] == MODELS["mlp"].summary


@pytest.mark.usefixtures("shown")
def test_the_methods_have_a_row_of_a_clipping_that_they_do_not_know(tmp_path: Path) -> None:
    text = words(page("methods", tmp_path))

    assert (
        "| HalfNorm | half of a gradient that is too large (`g <- g / 2 where \\|g\\| > c`) "
        "| 1.5 | Doe 2026, an unheard-of rule |"
    ) in text
    assert text.count("| [global norm]{#clipping-global-norm} |") == 1
    assert f"| model | MLP | {MODELS['mlp'].summary} |" in text


def test_legends_and_sentences_call_it_by_its_title(shown: pd.DataFrame, tmp_path: Path) -> None:
    with figures.titled(evidence.titles()):
        drawn = figures.accuracy_against_rate(shown, "clipping")
    legend = [text.get_text() for text in drawn.legends[0].get_texts()]

    assert legend == ["none", "global norm", "HalfNorm"]
    said = words(page("grid", tmp_path))
    assert said.count("HalfNorm") >= 2
    assert "half norm" not in said
    assert prose.name("half_norm") == "half norm"


def test_results_of_earlier_versions_have_no_words(
    shown: pd.DataFrame, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    study = evidence.load("grid")
    assert study is not None
    plain = {k: v for k, v in study.metadata.items() if k != "words"}
    old = dataclasses.replace(study, results=dataclasses.replace(study.results, metadata=plain))
    monkeypatch.setattr(evidence, "load", {"grid": old}.get)

    assert evidence.described() == {}
    text = page("methods", tmp_path)
    assert "HalfNorm" not in text
    assert "What else the trials here are made of" not in text
    assert "half norm" in page("grid", tmp_path)
