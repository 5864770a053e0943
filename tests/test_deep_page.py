"""The page on a deep network at too high a rate, on made outcomes."""

import math
from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest
from matplotlib.figure import Figure
from pages import evidence_of, page, words
from test_grid_pages import DEFAULTS

from benchmark.records import Trial
from report import advice, deep, evidence

RATES = (0.01, 0.1, 1.0)
REMEDIES: tuple[dict[str, str], ...] = (
    {},
    {"clipping": "value"},
    {"clipping": "global_norm"},
    {"schedule": "warmup_cosine"},
    {"normalization": "batch"},
)
LOST = {"status": "dead", "test_accuracy": 0.1, "validation_accuracy": 0.1}


def study_of(
    outcome: Callable[[dict[str, Any]], dict[str, Any]],
    depths=(10,),
    remedies=REMEDIES,
    rates=RATES,
):
    rows = []
    for depth in depths:
        for change in remedies:
            for rate in rates:
                for seed in range(4):
                    made = {"learning_rate": rate, "seed": seed, **change}
                    trial = Trial(**{"model": "mlp_deep", "depth": depth, "updates": 100, **made})
                    names = {"study": "deep", "trial": trial.key, "cell": trial.cell}
                    known = {**DEFAULTS, "examples": 1000, **names, **trial.row()}
                    row = {**known, **outcome(made | {"depth": depth})}
                    rows.append(row)
    return evidence_of("deep", pd.DataFrame(rows))


def lost_at_one(made: dict[str, Any]) -> dict[str, Any]:
    """Plain networks and one seed with warm-up are lost at the rate 1, late where it warms up."""
    known = 0.8 + 0.01 * made["seed"] - (0.3 if made["learning_rate"] == 1 else 0)
    fine = {"test_accuracy": known, "validation_accuracy": known}
    if made["learning_rate"] < 1:
        return fine | {"validation_accuracy": 0.7 if made["learning_rate"] == 0.01 else 0.8}
    if "schedule" in made:
        return LOST | {"first_bad_step": 30.0} if made["seed"] == 0 else fine
    if "clipping" in made:
        more = 0.2 if made["clipping"] == "global_norm" else 0.0
        return {name: value + more for name, value in fine.items()}
    return fine if "normalization" in made else LOST | {"first_bad_step": 2.0}


STUDY = study_of(lost_at_one)


def test_each_remedy_changes_one_thing() -> None:
    rows = deep.remedies(STUDY)[deep.KEYS].drop_duplicates()
    assert rows.values.tolist() == [
        ["", "", "no remedy"],
        ["clipping", "value", "value clipping"],
        ["clipping", "global_norm", "global-norm clipping"],
        ["schedule", "warmup_cosine", "the warm-up cosine schedule"],
        ["normalization", "batch", "batch normalization"],
    ]


def test_two_remedies_at_once_are_left_out() -> None:
    rows = STUDY.outcomes.assign(clipping="value")
    both = evidence_of("deep", pd.concat([rows, STUDY.outcomes]))
    assert len(deep.remedies(both)) == len(STUDY.outcomes) + 3 * 12


def test_the_least_depth_is_meant_unless_one_is_named() -> None:
    both = study_of(lost_at_one, depths=(20, 10))
    assert deep.depths(both) == [10, 20]
    assert set(deep.remedies(both)["depth"]) == {10}
    assert set(deep.remedies(both, 20)["depth"]) == {20}


def test_a_rate_is_too_high_where_most_plain_networks_diverge() -> None:
    assert deep.too_high(STUDY) == 1.0
    assert math.isnan(deep.too_high(study_of(lambda made: {})))


def test_the_lower_rate_is_chosen_by_validation() -> None:
    best = deep.plain_best(STUDY)
    assert (best["learning_rate"], best["safe"]) == (0.1, 0.1)
    assert best["accuracy"] == pytest.approx(0.815)


def test_remedies_are_paired_with_the_lower_rate() -> None:
    rows = deep.at_rate(STUDY, 1.0).set_index("remedy")
    assert rows.index[0] == "global-norm clipping"
    assert rows.loc["global-norm clipping", "effect"] == pytest.approx(-0.1)
    assert rows.loc["value clipping", "effect"] == pytest.approx(-0.3)
    warm = rows.loc["the warm-up cosine schedule"]
    assert (warm["diverged"], warm["began"], warm["safe"]) == (0.25, 30.0, 0.1)
    assert 0 < warm["diverged_low"] < 0.25 < warm["diverged_high"] < 1


def test_clippings_under_which_trials_diverge_do_not_lead() -> None:
    def outcome(made: dict[str, Any]) -> dict[str, Any]:
        lost = made.get("clipping") == "global_norm" and made["seed"] == 0
        return LOST | {"first_bad_step": 2.0} if lost else lost_at_one(made)

    assert deep.leaders(study_of(outcome), 1.0)["level"].tolist() == ["value"]


def test_a_remedy_that_was_run_later_stands_with_its_kind() -> None:
    late = ({"normalization": "batch"}, {}, {"schedule": "cosine"}, {"clipping": "value"})
    rows = deep.remedies(study_of(lost_at_one, remedies=(*late, {"schedule": "warmup"})))
    assert rows["level"].drop_duplicates().tolist()[1:] == ["value", "cosine", "warmup", "batch"]


def test_schedules_stand_at_rates_at_which_one_explodes() -> None:
    rows = deep.by_schedule(STUDY)
    assert rows[["schedule", "learning_rate", "began", "steps"]].values.tolist() == [
        ["constant", 1.0, 2.0, "2 (median of 4)"],
        ["warmup_cosine", 1.0, 30.0, "30"],
    ]


def test_a_spike_that_heals_has_no_part_in_when_training_diverged() -> None:
    """At the rate 1 one trial spikes at once and learns, another is lost at step 728."""

    def outcome(made: dict[str, Any]) -> dict[str, Any]:
        found = lost_at_one(made)
        if made["learning_rate"] < 1 or "schedule" in made or "clipping" in made:
            return found
        fine = {"test_accuracy": 0.8, "validation_accuracy": 0.8}
        cases = {
            0: fine | {"first_bad_step": 2.0, "status": "recovered"},
            1: LOST | {"first_bad_step": 728.0},
        }
        return cases.get(made["seed"], fine)

    row = deep.by_schedule(study_of(outcome)).query("schedule == 'constant'").iloc[0]
    assert (row["steps"], row["lost"], row["exploded"]) == ("728", 1, 0.5)


def test_schedules_of_the_same_explosions_have_one_row_of_the_table() -> None:
    """A step is lost with the constant rate; warm-up at a later step."""
    changes = ({}, {"schedule": "step"}, {"schedule": "warmup"})

    def outcome(made: dict[str, Any]) -> dict[str, Any]:
        warm = made.get("schedule") == "warmup"
        plain = {name: level for name, level in made.items() if name != "schedule"}
        found = lost_at_one(plain)
        return found | {"first_bad_step": 30.0} if warm and "first_bad_step" in found else found

    study = study_of(outcome, remedies=changes)
    rows = deep.alike_in_one_row(study)
    assert rows[["schedules", "lost", "steps"]].values.tolist() == [
        ["constant and step", 4, "2 (median of 4)"],
        ["warm-up", 4, "30 (median of 4)"],
    ]
    assert len(deep.by_schedule(study)) == 3


def test_a_late_divergence_is_that_of_a_rate_that_did_not_rise() -> None:
    """Lost at step 728 under a constant rate and a step, and in and after a warm-up of 200."""
    warm = {"schedule": "warmup", "updates": 2000}
    changes: Any = ({}, {"schedule": "step"}, warm, {"normalization": "batch"})
    steps = {"warmup": [190.0, 205.0, 210.0], "constant": [728.0, 50.0], "step": [728.0]}

    def outcome(made: dict[str, Any]) -> dict[str, Any]:
        best = made["learning_rate"] == 0.1
        fine = {"test_accuracy": 0.9, "validation_accuracy": 0.9 if best else 0.8}
        lost = steps[made.get("schedule", "constant")]
        if made["learning_rate"] < 0.3 or made["seed"] >= len(lost):
            return fine
        return LOST | {"first_bad_step": lost[made["seed"]]}

    study = study_of(outcome, remedies=changes, rates=(0.01, 0.1, 0.3))
    rows = advice.late_without_cause(study)
    assert rows[["schedule", "seed", "first_bad_step"]].values.tolist() == [
        ["constant", 0, 728.0],
        ["warmup", 1, 205.0],
        ["warmup", 2, 210.0],
    ]


@pytest.fixture
def says(monkeypatch, tmp_path):
    """What the page says of a study."""
    monkeypatch.setattr(Figure, "savefig", lambda self, path, **_: path.write_text("svg"))

    def said(study):
        monkeypatch.setattr(evidence, "load", {"deep": study}.get)
        return words(page("deep", tmp_path))

    return said


def test_the_page_says_what_to_do(says) -> None:
    text = says(STUDY)
    assert (
        "**At the rate 1, 10 times the best one, no remedy, clippings at their defaults, "
        "significantly beats the plain network" in text
    )
    assert "at 0.1.** Of the clippings at 1, each at its default threshold," in text
    assert "after correction for comparing them all" in text
    assert "Without a remedy 100% of the trials diverge at 1. At its best rate, 0.1," in text
    assert "of the trials diverge with linear warm-up over a tenth" in text


SCHEDULES = tuple({"schedule": name} for name in ("cosine", "warmup", "warmup_cosine"))


@pytest.mark.parametrize(("spared", "told"), [((), True), (("warmup",), False)])
def test_warm_up_alone_is_told_from_warm_up_and_decay(
    says, spared: tuple[str, ...], told: bool
) -> None:
    def outcome(made: dict[str, Any]) -> dict[str, Any]:
        schedule, late = made.get("schedule", "constant"), made.get("schedule", "")[:6] == "warmup"
        safe = schedule in ("warmup_cosine", *spared)
        if made["learning_rate"] < 1 or (made["learning_rate"] == 1 and safe):
            return {}
        return LOST | {"first_bad_step": 60.0 if late else 2.0}

    text = says(study_of(outcome, remedies=({}, *SCHEDULES), rates=(0.1, 1.0, 3.0)))
    bold = "**Warm-up alone puts them off; followed by a decay it prevents most at 1.**"
    assert (bold in text) is told
    assert f"With warm-up alone {'100' if told else '0'}% diverge" in text
    assert "with the cosine alone 100%, at step 2 (median of 4)." in text
    assert (
        "At 3 warm-up only puts them off: they explode at step 60 (median of 4) with the warm-up "
        "schedule and 60 (median of 4) with the warm-up cosine schedule, instead of 2" in text
    )


def test_a_remedy_above_the_lower_rate_is_told(says) -> None:
    def outcome(made: dict[str, Any]) -> dict[str, Any]:
        found = lost_at_one(made)
        if made["learning_rate"] == 1 and "normalization" in made:
            return {"test_accuracy": 0.95 + 0.01 * made["seed"] / 2}
        return found

    assert (
        "**At the rate 1, batch normalization is significantly more accurate than the plain "
        "network at 0.1.**" in says(study_of(outcome))
    )


def test_the_page_says_so_where_nothing_diverges(says) -> None:
    assert "At no rate that was run most trials of the plain network diverge." in says(
        study_of(lambda made: {})
    )
