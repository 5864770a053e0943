"""Narrowing a study from the command line: which trials are left."""

import dataclasses

import pytest
from conftest import TOY

from benchmark import Range, Search, Study
from benchmark.driver import commandline
from benchmark.strategies.clipping import CLIPPINGS
from benchmark.strategies.schedules import SCHEDULES

SIGN = dataclasses.replace(CLIPPINGS["value"], name="sign")
WARM = dataclasses.replace(SCHEDULES["cosine"], name="warm")

STUDY = Study(
    name="narrow",
    question="What is left?",
    factors=[
        {"dataset": ("digits", TOY), "clipping": ("none", "value", SIGN)},
        {"clipping": "global_norm", "clipping_threshold": (0.1, 10.0), "learning_rate": 0.5},
        {"schedule": ("cosine", WARM)},
    ],
    seeds=(0, 1),
)


def left(**selection):
    narrowed = STUDY.only({k: v.split(",") for k, v in selection.items()})
    return {
        (t.row()["dataset"], t.row()["clipping"], t.row()["schedule"]) for t in narrowed.trials()
    }


@pytest.mark.parametrize(
    ("selection", "trials"),
    [
        ({"clipping": "value"}, {("digits", "value", "constant"), ("toy", "value", "constant")}),
        ({"clipping": "global_norm"}, {("digits", "global_norm", "constant")}),
        (
            {"clipping": "none", "dataset": "digits"},
            {("digits", "none", s) for s in ("constant", "cosine", "warm")},
        ),
        ({"dataset": "toy"}, {("toy", c, "constant") for c in ("none", "value", "sign")}),
        ({"schedule": "warm"}, {("digits", "none", "warm")}),
        (
            {"schedule": "step", "clipping": "sign"},
            {("digits", "sign", "step"), ("toy", "sign", "step")},
        ),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)
def test_only_the_trials_with_the_chosen_levels_are_left(selection, trials):
    assert left(**selection) == trials


def test_a_level_that_no_block_has_is_set_in_all():
    narrowed = STUDY.only({"learning_rate": ["0.25", "0.5"]})
    rates = {(t.clipping, t.learning_rate) for t in narrowed.trials()}
    assert ("none", 0.25) in rates
    assert ("none", 0.5) not in rates
    assert ("global_norm", 0.5) in rates


def test_an_object_is_chosen_by_its_name():
    (chosen,) = {t.clipping for t in STUDY.only({"clipping": ["sign"]}).trials()}
    assert chosen is SIGN
    (data,) = {t.dataset for t in STUDY.only({"dataset": ["toy"]}).trials()}
    assert data is TOY


def test_an_object_of_a_search_is_chosen_by_its_name():
    search = Search(
        name="search",
        question="?",
        space={"learning_rate": Range(0.1, 1.0, default=0.5), "clipping": ("none", SIGN)},
        each={"dataset": ("digits", TOY)},
        fixed={"schedule": WARM},
    )
    narrowed = search.only({"clipping": ["sign"], "dataset": ["toy"], "schedule": ["warm"]})
    assert narrowed.space["clipping"] == [SIGN]
    assert narrowed.each == {"dataset": [TOY], "schedule": [WARM]}
    assert narrowed.fixed == {}


def test_the_seed_is_no_factor():
    assert {t.seed for t in STUDY.only({"seed": ["7"]}).trials()} == {7}


@pytest.mark.parametrize(
    ("made", "given", "meant"),
    [
        (STUDY, "clipping=sgn", "sign"),
        (STUDY, "dataset=tyo", "toy"),
        (STUDY, "schedule=cosin", "cosine"),
        (
            Search(name="s", question="?", space={"clipping": (SIGN, "none")}, trials=2),
            "clipping=sing",
            "sign",
        ),
    ],
)
def test_a_mistyped_name_is_looked_for_among_those_of_the_study_too(
    made, given, meant, tmp_path, capsys
):
    assert commandline.run(made, ["--only", given, "--results", str(tmp_path / "r")]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert f"Did you mean {meant!r}? Allowed: " in err
    assert meant in err.partition("Allowed: ")[2]
    assert not (tmp_path / "r").exists()
