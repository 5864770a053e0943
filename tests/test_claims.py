"""Every claim's verdict follows the data: made to support it, to refute it, mixed, and absent."""

import functools
import math
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from pages import page as page_of
from pages import words

from benchmark import figures
from benchmark.records import Trial
from benchmark.results import Results
from benchmark.schema import frame
from benchmark.statistics import stable_range
from report import claims, evidence, prose
from report.claims import judging
from report.claims.effects import (
    decades_gained,
    difference,
    prevented,
    ratio,
    share_of,
    usable_decades,
)
from report.claims.judging import Judged, claim_verdict, frame_of, judge
from report.claims.records import (
    DECADES,
    DEPENDS,
    FOLD,
    NOT_TESTED,
    POINTS,
    REFUTED,
    SHARE,
    SUPPORTED,
    Effect,
    Found,
    Limits,
    Part,
    combined,
    ways,
)
from report.evidence import Evidence

Row = dict[str, Any]
Rows = list[Row]

SEEDS = (0, 1, 2)
NAN = math.nan
FIELDS = frozenset(Trial().row())
EXAMPLES, STEPS = 1000, 100
ENDS = {
    "stable": 0.9,
    "recovered": 0.9,
    "collapsed": 0.1,
    "dead": 0.1,
    "stalled": 0.1,
    "damaged": 0.25,
}
"""Accuracy at which a trial of each status ends, unless a test says otherwise."""


def trial(
    status: str = "stable",
    accuracy: float | None = None,
    norms: Sequence[float] = (),
    losses: Sequence[float] = (),
    **settings: Any,
) -> Row:
    """One trial's row; what is no field of `Trial` is an outcome. Its history goes with it."""
    settings = {"epochs": 1.0, **settings}
    made = Trial(**{k: v for k, v in settings.items() if k in FIELDS})
    reached = ENDS.get(status, NAN) if accuracy is None else accuracy
    return {
        **{"study": "made", "trial": made.key, "cell": made.cell, "unit": "unit", **made.row()},
        **{
            "status": status,
            "classes": 10,
            "target_accuracy": 0.9,
            "examples": EXAMPLES,
            "steps": STEPS,
        },
        **{"samples": EXAMPLES, "seconds": 1.0, "parameters": 1000, "initial_loss": 2.3},
        **{"validation_loss": 1 - reached, "validation_accuracy": reached},
        **{"test_accuracy": reached, "gradient_norm_max": 1.0},
        **{k: v for k, v in settings.items() if k not in FIELDS},
        **{"norms": norms, "losses": losses},
    }


def on_seeds(*arguments: Any, seeds: Sequence[int] = SEEDS, **settings: Any) -> Rows:
    """The same trial on several seeds."""
    return [trial(*arguments, seed=seed, **settings) for seed in seeds]


def made(study: str, rows: Rows) -> Evidence:
    """A study with these trials, kept to the schema."""
    history = []
    for row in rows:
        checkpoints = max(len(row["norms"]), len(row["losses"]) - 1)
        for k in range(checkpoints + 1):
            known = {
                "study": "made",
                "trial": row["trial"],
                "step": STEPS * k // (checkpoints or 1),
            }
            known |= {"samples": EXAMPLES * k // (checkpoints or 1), "batch_size": 1}
            if k and len(row["norms"]):
                known["gradient_norm_median"] = row["norms"][k - 1]
            if len(row["losses"]):
                known["validation_loss"] = row["losses"][k]
            history.append(known)
    own = [{k: v for k, v in row.items() if k not in ("norms", "losses")} for row in rows]
    tables = frame("trials", own), frame("history", history), frame("layers", []), frame("plan", [])
    return Evidence(study, Path("made") / study, Results(*tables))


# each builder makes, on one data set, the trials that speak for the claim or against it


def grown(good: bool, dataset: str) -> Rows:
    """Cells that explode, the norm a hundred times or twice the largest stable one."""
    out = []
    for width in range(10):
        own = {"dataset": dataset, "width": width}
        out += on_seeds(learning_rate=0.1, **own)
        peak = 100.0 if good else 2.0
        out += on_seeds("dead", learning_rate=10.0, gradient_norm_max=peak, **own)
    return out


def risen(good: bool, dataset: str) -> Rows:
    """Cells that explode at step 90 after norms that double, or that stay."""
    norms = (1.0, 2.0, 4.0, 8.0, 99.0) if good else (1.0, 1.0, 1.0, 1.0, 99.0)
    return [
        row
        for width in range(10)
        for row in on_seeds("dead", first_bad_step=90, norms=norms, dataset=dataset, width=width)
    ]


def stopped(good: bool, dataset: str) -> Rows:
    """Cells that explode, and die or recover."""
    status = "dead" if good else "recovered"
    return [row for width in range(10) for row in on_seeds(status, dataset=dataset, width=width)]


def cured(good: bool, dataset: str) -> Rows:
    """Configurations that explode at 10, and train or stall at 0.1."""
    out = []
    for width in range(10):
        own = {"dataset": dataset, "width": width}
        out += on_seeds("nonfinite", learning_rate=10.0, **own)
        out += on_seeds("stable" if good else "stalled", learning_rate=0.1, **own)
    return out


def scheduled(good: bool, dataset: str) -> Rows:
    """A constant rate that explodes, and a cosine that does not, or does too."""
    out = []
    for rate in (1.0, 10.0):
        own = {"dataset": dataset, "learning_rate": rate}
        out += on_seeds("dead", **own)
        out += on_seeds("stable" if good else "dead", schedule="cosine", **own)
    return out


def widened(good: bool, dataset: str) -> Rows:
    """A constant rate that is good at 0.1 alone, and a cosine that is good at all three or not."""
    out = []
    for rate in (0.01, 0.1, 1.0):
        own = {"dataset": dataset, "learning_rate": rate}
        out += on_seeds(accuracy=0.9 if rate == 0.1 else 0.5, **own)
        out += on_seeds(accuracy=0.9 if good or rate == 0.1 else 0.5, schedule="cosine", **own)
    return out


def full_explodes(good: bool, dataset: str) -> Rows:
    """A full batch that explodes where a mini-batch does not, or the reverse."""
    own = {"dataset": dataset, "learning_rate": 1.0}
    full = on_seeds("dead" if good else "stable", batch_policy="full", **own)
    return full + on_seeds("stable" if good else "dead", **own)


def normalized_sizes(good: bool, dataset: str) -> Rows:
    """Batch normalization as accurate at batches of 2 as at 32, or five points below."""
    own = {"dataset": dataset, "normalization": "batch"}
    small = on_seeds(accuracy=0.9 if good else 0.85, batch_size=2, **own)
    return small + on_seeds(batch_size=32, **own)


def normalized_explosions(good: bool, dataset: str) -> Rows:
    """Explosions without normalization; with it none, or as many."""
    rows = on_seeds("dead", dataset=dataset)
    return rows + on_seeds("stable" if good else "dead", dataset=dataset, normalization="batch")


def policy_accuracy(good: bool, dataset: str) -> Rows:
    """Doubling as accurate as the better of two fixed sizes, or five points below."""
    own = {"dataset": dataset}
    fixed = on_seeds(batch_size=32, **own) + on_seeds(accuracy=0.8, batch_size=128, **own)
    return fixed + on_seeds(accuracy=0.9 if good else 0.85, batch_policy="doubling", **own)


def policy_explosions(good: bool, dataset: str) -> Rows:
    """Explosions at a fixed size; with doubling none, or as many."""
    rows = on_seeds("dead", dataset=dataset)
    return rows + on_seeds("stable" if good else "dead", dataset=dataset, batch_policy="doubling")


def mini_beats_full(good: bool, dataset: str) -> Rows:
    """A mini-batch five points above the full batch, or level with it."""
    full = on_seeds(accuracy=0.85 if good else 0.9, batch_policy="full", dataset=dataset)
    return full + on_seeds(dataset=dataset)


def mini_sizes(good: bool, dataset: str) -> Rows:
    """A small batch as accurate as a large one, or five points below."""
    small = on_seeds(accuracy=0.9 if good else 0.85, batch_size=2, dataset=dataset)
    return small + on_seeds(batch_size=64, dataset=dataset)


def vanished(good: bool, dataset: str, **better: Any) -> Rows:
    """Eight layers at gain 0.5 and at 1, of which the first is better, or the second."""
    own = {"model": "mlp_deep", "depth": 8, "dataset": dataset}
    worse = {"samples_to_target": 800, "losses": (2.3, 2.0, 1.5, 1.2, 1.0)}
    better = {"samples_to_target": 200, "losses": (2.3, 1.0, 0.8, 0.6, 0.5), **better}
    low, one = (better, worse) if good else (worse, better)
    return on_seeds(init_gain=0.5, **own, **low) + on_seeds(init_gain=1.0, **own, **one)


def vanished_cost(good: bool, dataset: str) -> Rows:
    """Eight layers whose accuracy at gain 0.5 is that of guessing, or that of gain 1."""
    own = {"model": "mlp_deep", "depth": 8, "dataset": dataset}
    status = "stalled" if good else "stable"
    return on_seeds(init_gain=1.0, **own) + on_seeds(status, init_gain=0.5, **own)


def faster_costs(good: bool, dataset: str) -> Rows:
    """A larger batch, four times as fast, five points below the smaller one or level with it."""
    small = on_seeds(batch_size=8, seconds=4.0, dataset=dataset)
    return small + on_seeds(accuracy=0.85 if good else 0.9, batch_size=512, dataset=dataset)


def mini_costs(good: bool, dataset: str) -> Rows:
    """A mini-batch five points below the full batch, or level with it."""
    full = on_seeds(batch_policy="full", dataset=dataset)
    return full + on_seeds(accuracy=0.85 if good else 0.9, dataset=dataset)


def sizes(good: bool, dataset: str, factor: str, levels: tuple[float, float], **own: Any) -> Rows:
    """The larger level five points above the smaller, or level with it."""
    small = on_seeds(accuracy=0.85 if good else 0.9, dataset=dataset, **{factor: levels[0]}, **own)
    return small + on_seeds(dataset=dataset, **{factor: levels[1]}, **own)


def convolutions(good: bool, dataset: str) -> Rows:
    return sizes(good, dataset, "width", (4, 16), model="cnn", depth=2)


def models(good: bool, dataset: str) -> Rows:
    return sizes(good, dataset, "width", (16, 1024), model="mlp", depth=1)


def data(good: bool, dataset: str) -> Rows:
    return sizes(good, dataset, "train_fraction", (0.1, 1.0), model="mlp", depth=1, width=256)


def schedules_improve(good: bool, dataset: str) -> Rows:
    """A cosine five points above a constant rate, or level with it."""
    rows = on_seeds(accuracy=0.85 if good else 0.9, dataset=dataset)
    return rows + on_seeds(schedule="cosine", dataset=dataset)


def computation(good: bool, dataset: str) -> Rows:
    """A hundred times the parameters in ten times the time, or in a hundred times."""
    out = []
    for normalization in ("none", "batch"):
        own = {"dataset": dataset, "model": "mlp", "depth": 1, "normalization": normalization}
        out += on_seeds(width=10, parameters=100, seconds=1.0, **own)
        slower = 10.0 if good else 100.0
        out += on_seeds(width=1000, parameters=10_000, seconds=slower, **own)
    return out


def optimizers(good: bool, dataset: str) -> Rows:
    """SGD and Adam at their best rates and at ten times those, where one of them explodes."""
    own = {"dataset": dataset}
    sgd, adam = ("dead", "stable") if good else ("stable", "dead")
    rows = on_seeds(learning_rate=0.1, **own)
    rows += on_seeds(sgd, 0.1 if good else 0.8, learning_rate=1.0, **own)
    rows += on_seeds(optimizer="adam", learning_rate=0.001, **own)
    return rows + on_seeds(adam, 0.8 if good else 0.1, optimizer="adam", learning_rate=0.01, **own)


def longer(good: bool, dataset: str) -> Rows:
    """Explosions in a short budget and none in a long one, or the reverse."""
    short, long = ("dead", "stable") if good else ("stable", "dead")
    return on_seeds(short, epochs=1.0, dataset=dataset) + on_seeds(
        long, epochs=4.0, dataset=dataset
    )


def guarded(good: bool, dataset: str) -> Rows:
    """Explosions without clipping; when steps are skipped none, or as many."""
    rows = on_seeds("dead", dataset=dataset)
    return rows + on_seeds("stable" if good else "dead", clipping="skip_step", dataset=dataset)


def guarded_training(good: bool, dataset: str) -> Rows:
    """Trials that train without clipping, and when steps are skipped too, or stall."""
    rows = on_seeds(dataset=dataset)
    return rows + on_seeds("stable" if good else "stalled", clipping="skip_step", dataset=dataset)


def own_networks(good: bool, dataset: str) -> Rows:
    """Ten seeds with the article's settings that train, or die."""
    own = {"optimizer": "adam", "learning_rate": 0.01, "batch_size": 128, "dataset": dataset}
    return on_seeds("stable" if good else "dead", seeds=range(10), **own)


Builder = Callable[[bool, str], Rows]
CASES: dict[tuple[int, int], Builder] = {
    (1, 0): grown,
    (1, 1): risen,
    (1, 2): stopped,
    (2, 0): cured,
    (3, 0): scheduled,
    (3, 1): widened,
    (4, 0): full_explodes,
    (5, 0): normalized_sizes,
    (5, 1): normalized_explosions,
    (6, 0): policy_accuracy,
    (6, 1): policy_explosions,
    (7, 0): mini_beats_full,
    (7, 1): mini_sizes,
    (7, 2): full_explodes,
    (8, 0): vanished,
    (8, 1): vanished,
    (8, 2): vanished_cost,
    (9, 0): faster_costs,
    (10, 0): mini_costs,
    (11, 0): convolutions,
    (11, 1): schedules_improve,
    (12, 0): models,
    (12, 1): data,
    (12, 2): computation,
    (13, 0): optimizers,
    (13, 1): longer,
    (13, 2): guarded,
    (13, 3): guarded_training,
    (14, 0): own_networks,
}
"""What makes trials for each part of each claim, by the claim's number and the part's place."""
LEANS = {
    SUPPORTED: {"digits": True},
    REFUTED: {"digits": False},
    DEPENDS: {"digits": True, "mnist": False},
}
"""Whether the trials on each data set speak for the claim, by the verdict that this must give."""

EVERY_PART = sorted(CASES)
EVERY_CLAIM = [claim.number for claim in claims.CLAIMS]


def part_of(number: int, place: int) -> Part:
    return claims.CLAIMS[number - 1].parts[place]


def trials_for(number: int, place: int, lean: str) -> Rows:
    return [
        row for dataset, good in LEANS[lean].items() for row in CASES[number, place](good, dataset)
    ]


@functools.cache
def judged(number: int, place: int, lean: str, study: str = "") -> Judged:
    part = part_of(number, place)
    source = made(study or part.ways[0].study, trials_for(number, place, lean))
    return judge(part, {source.study: source}.get)


def test_every_part_of_every_claim_has_its_cases() -> None:
    parts = {(c.number, k) for c in claims.CLAIMS for k in range(len(c.parts))}
    assert parts == set(CASES)


def test_there_are_fourteen_claims_in_order() -> None:
    assert list(range(1, 15)) == EVERY_CLAIM


@pytest.mark.parametrize("lean", [SUPPORTED, REFUTED])
@pytest.mark.parametrize(("number", "place"), EVERY_PART)
def test_a_part_follows_the_data(number: int, place: int, lean: str) -> None:
    found = judged(number, place, lean)
    assert found.verdict == lean, found.reason
    assert {found.part.verdict_on(e) for e in found.found.effects} == {lean}


@pytest.mark.parametrize(("number", "place"), EVERY_PART)
def test_data_that_disagree_make_a_part_depend(number: int, place: int) -> None:
    found = judged(number, place, DEPENDS)
    words = {found.part.verdict_on(e) for e in found.found.effects}
    assert words == {SUPPORTED, REFUTED}, found.reason
    assert found.verdict == (SUPPORTED if found.part.exists else DEPENDS)


@pytest.mark.parametrize(("number", "place"), EVERY_PART)
def test_an_interval_across_the_threshold_makes_a_part_depend(number: int, place: int) -> None:
    part = part_of(number, place)
    across = Effect(
        "", part.limits.enough, part.limits.smallest - 0.01, part.limits.enough + 0.01, ""
    )
    found = Judged(part, part.ways[0], None, Found((across,)))
    assert found.verdict == DEPENDS


@pytest.mark.parametrize("number", EVERY_CLAIM)
@pytest.mark.parametrize("lean", [SUPPORTED, REFUTED])
def test_a_claim_whose_parts_agree(number: int, lean: str) -> None:
    parts = [judged(*key, lean) for key in EVERY_PART if key[0] == number]
    assert claim_verdict(parts) == lean


@pytest.mark.parametrize("number", [c.number for c in claims.CLAIMS if len(c.parts) > 1])
def test_a_claim_whose_parts_disagree_depends(number: int) -> None:
    first, *rest = [key for key in EVERY_PART if key[0] == number]
    parts = [judged(*first, SUPPORTED), *(judged(*key, REFUTED) for key in rest)]
    assert claim_verdict(parts) == DEPENDS


@pytest.mark.parametrize(("number", "place"), EVERY_PART)
def test_without_the_study_a_part_is_not_tested(number: int, place: int) -> None:
    part = part_of(number, place)
    found = judge(part, lambda study: None)
    assert found.verdict == NOT_TESTED
    assert f"python studies/{part.ways[0].study}.py" in found.reason


@pytest.mark.parametrize(("number", "place"), EVERY_PART)
def test_a_study_that_varies_nothing_leaves_a_part_not_tested(number: int, place: int) -> None:
    part = part_of(number, place)
    study = part.ways[0].study
    found = judge(part, {study: made(study, on_seeds())}.get)
    assert found.verdict == NOT_TESTED
    assert f"In the study `{study}` " in found.reason
    assert f"python studies/{study}.py" in found.reason


SAME_ELSEWHERE = [
    (number, place, way.study)
    for number, place in EVERY_PART
    for way in part_of(number, place).ways[1:]
    if way.measure is part_of(number, place).ways[0].measure
]


@pytest.mark.parametrize(("number", "place", "study"), SAME_ELSEWHERE)
def test_another_study_stands_in_and_says_so(number: int, place: int, study: str) -> None:
    found = judged(number, place, REFUTED, study)
    own = part_of(number, place).ways[0].study
    assert found.verdict == REFUTED
    assert found.reason.startswith(f"The study `{own}` was not run; judged on the study `{study}`")


def test_no_other_study_stands_in_where_the_own_one_was_run() -> None:
    sources = {
        "explosion": made("explosion", on_seeds()),
        "grid": made("grid", trials_for(1, 0, SUPPORTED)),
    }
    assert judge(part_of(1, 0), sources.get).verdict == NOT_TESTED


@pytest.mark.parametrize("good", [True, False])
def test_the_grid_compares_a_cnn_with_an_mlp_in_place_of_complexities(good: bool) -> None:
    rows = on_seeds(accuracy=0.8, model="mlp", clipping="value")
    rows += on_seeds(model="mlp") + on_seeds(accuracy=0.95 if good else 0.9, model="cnn")
    found = judge(part_of(11, 0), {"grid": made("grid", rows)}.get)
    assert found.verdict == (SUPPORTED if good else REFUTED)


# what the effects count


def pairs(rows: Sequence[tuple[float, float]], strata: Sequence[int] | None = None) -> pd.DataFrame:
    out = pd.DataFrame(rows, columns=["treated", "control"])
    out["difference"] = out["treated"] - out["control"]
    return out.assign(stratum=strata or 0, seed=range(len(out)))


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([(0, 1), (0, 1)], (1.0, 1.0, 1.0)),
        ([(1, 1), (1, 1)], (0.0, 0.0, 0.0)),
        ([(1, 0), (1, 0)], (-1.0, -1.0, -1.0)),
        ([(0, 1), (0, 1), (0, 1), (1, 1)], (0.75, 0.25, 1.0)),
        ([(1, 0), (1, 1), (0, 0), (0, 0)], (-0.5, -1.0, 0.0)),
    ],
    ids=["all", "none", "only added", "three of four", "one added to one"],
)
def test_the_net_share_of_explosions_prevented(
    rows: list[tuple[float, float]], expected: tuple[float, float, float]
) -> None:
    found = prevented(pairs(rows), "")
    assert (found.estimate, found.low, found.high) == pytest.approx(expected)


def test_a_single_seed_has_no_interval() -> None:
    same = pairs([(0.5, 0.4), (0.7, 0.4)]).assign(seed=7)
    assert not any(effect(same, "").known for effect in (difference, ratio, prevented))


def test_a_study_of_one_seed_tests_no_comparison() -> None:
    rows = [row for row in trials_for(11, 1, SUPPORTED) if row["seed"] == 0]
    found = judge(part_of(11, 1), {"learning_rate": made("learning_rate", rows)}.get)
    assert found.verdict == NOT_TESTED
    assert "every comparison rests on a single seed" in found.reason


def test_differences_and_ratios_of_hand_made_pairs() -> None:
    gain = difference(pairs([(0.5, 0.4), (0.7, 0.4)]), "x")
    assert (gain.estimate, gain.low, gain.high) == pytest.approx((0.2, 0.1, 0.3))
    assert gain.basis == "2 pairs, 2 seeds"
    cost = difference(pairs([(0.5, 0.4), (0.7, 0.4)]), "x", -1)
    assert (cost.estimate, cost.low, cost.high) == pytest.approx((-0.2, -0.3, -0.1))
    times = ratio(pairs([(1.0, 2.0), (1.0, 8.0)]), "x")
    assert (times.estimate, times.low, times.high) == pytest.approx((4.0, 2.0, 8.0))


def test_seeds_are_resampled_within_their_stratum() -> None:
    found = difference(pairs([(1, 0), (1, 0), (0, 0), (0, 0)], [0, 0, 1, 1]), "")
    assert (found.estimate, found.low, found.high) == (0.5, 0.5, 0.5)


def test_a_share_of_groups_has_a_width_where_all_agree() -> None:
    found = share_of(pd.Series([True] * 10), "cell", "")
    assert (found.estimate, found.low, found.high) == pytest.approx((1.0, 0.7225, 1.0), abs=1e-4)
    assert found.basis == "10 cells"


RATES = np.array([0.01, 0.1, 1.0, 10.0])


@pytest.mark.parametrize(
    "accuracy",
    [
        [0.1, 0.9, 0.895, 0.1],
        [0.9, 0.5, 0.9, 0.9],
        [0.89, 0.9, 0.9, 0.9],
        [0.1, 0.1, 0.1, 0.9],
    ],
)
def test_usable_decades_are_those_of_the_stable_range(accuracy: list[float]) -> None:
    rows = pd.DataFrame(
        {"arm": "x", "learning_rate": RATES, "validation": accuracy, "objective": 1.0}
    )
    expected = stable_range(rows.assign(objective=1.0), ["arm"])["decades"].item()
    assert usable_decades(np.array([accuracy]), RATES).tolist() == pytest.approx([expected])


def test_decades_gained_count_only_rates_that_both_sides_were_run_at() -> None:
    rows = [
        row
        for rate in (0.1, 1.0)
        for schedule in ("constant", "cosine")
        for row in on_seeds(learning_rate=rate, schedule=schedule)
    ]
    rows += on_seeds(learning_rate=100.0, schedule="cosine")
    source = made("learning_rate", rows)
    found = decades_gained(source.outcomes, "schedule", "cosine", "constant", "")
    assert found is not None
    assert (found.estimate, found.low, found.high) == (0.0, 0.0, 0.0)


# what the rules look at


def effect_of(number: int, place: int, rows: Rows, study: str = "") -> Effect:
    part = part_of(number, place)
    source = made(study or part.ways[0].study, rows)
    (effect,) = judge(part, {source.study: source}.get).found.effects
    return effect


def test_rates_are_chosen_on_validation_and_reported_on_test() -> None:
    rows = on_seeds(accuracy=0.8)
    rows += on_seeds(
        validation_accuracy=0.9, test_accuracy=0.7, schedule="cosine", learning_rate=0.1
    )
    rows += on_seeds(
        validation_accuracy=0.8, test_accuracy=0.99, schedule="cosine", learning_rate=1.0
    )
    assert effect_of(11, 1, rows).estimate == pytest.approx(-0.1)


def test_the_worst_and_the_best_batch_size_are_chosen_on_validation() -> None:
    own = {"normalization": "batch"}
    rows = on_seeds(validation_accuracy=0.5, test_accuracy=0.9, batch_size=2, **own)
    rows += on_seeds(validation_accuracy=0.9, test_accuracy=0.8, batch_size=32, **own)
    rows += on_seeds(validation_accuracy=0.7, test_accuracy=0.1, batch_size=8, **own)
    effect = effect_of(5, 0, rows)
    assert effect.estimate == pytest.approx(0.1)
    assert effect.label == "batches of 2 against batches of 32, MLP on digits"


def test_the_best_size_may_be_one_without_batch_normalization() -> None:
    rows = normalized_sizes(True, "digits") + on_seeds(accuracy=0.95, batch_size=8)
    rows += on_seeds(accuracy=0.2, batch_size=2)
    found = judge(part_of(5, 0), {"normalization": made("normalization", rows)}.get)
    assert found.verdict == REFUTED
    assert found.found.effects[0].estimate == pytest.approx(-0.05)
    assert "−75.0 points (batches of 2 against batches of 8" in found.found.notes[0]


def test_a_size_that_batch_normalization_cannot_take_is_mentioned() -> None:
    rows = normalized_sizes(True, "digits")
    rows += on_seeds("skipped", normalization="batch", batch_size=1)
    found = judge(part_of(5, 0), {"normalization": made("normalization", rows)}.get)
    assert found.found.notes[-1] == "Batch normalization is not defined for batches of 1."


def test_an_exploded_trial_counts_at_chance() -> None:
    own = {"model": "mlp_deep", "depth": 8}
    rows = on_seeds(init_gain=1.0, **own) + on_seeds("nonfinite", init_gain=0.5, **own)
    assert effect_of(8, 2, rows).estimate == pytest.approx(0.9 - 1 / 10)


def test_a_target_that_is_missed_counts_at_the_whole_budget() -> None:
    own = {"model": "mlp_deep", "depth": 8, "epochs": 2.0}
    rows = on_seeds(init_gain=1.0, samples_to_target=500, **own) + on_seeds(init_gain=0.5, **own)
    # two epochs of 1,000 examples against 500
    assert effect_of(8, 0, rows).estimate == pytest.approx(0.25)


def test_networks_that_do_not_train_at_gain_one_show_nothing_of_vanishing() -> None:
    own = {"model": "mlp_deep", "depth": 8}
    rows = on_seeds("stalled", init_gain=1.0, **own) + on_seeds("stalled", init_gain=0.5, **own)
    assert judge(part_of(8, 2), {"explosion": made("explosion", rows)}.get).verdict == NOT_TESTED


@pytest.mark.parametrize(("gain", "tested"), [(0.5, True), (0.9, False), (2.0, False)])
def test_gradients_vanish_where_theory_says_so(gain: float, tested: bool) -> None:
    own = {"model": "mlp_deep", "depth": 8}
    rows = on_seeds(init_gain=1.0, **own) + on_seeds("stalled", init_gain=gain, **own)
    found = judge(part_of(8, 2), {"explosion": made("explosion", rows)}.get)
    assert (found.verdict == SUPPORTED) == tested


def test_an_explosion_before_three_checkpoints_has_jumped() -> None:
    early = on_seeds("dead", first_bad_step=30, norms=(1.0, 2.0, 4.0, 8.0, 16.0))
    found = judge(part_of(1, 1), {"explosion": made("explosion", early)}.get)
    assert found.found.effects[0].estimate == 0.0
    assert "100% of the 3 exploded trials left the rails before the 3" in found.found.notes[0]


def test_exploded_trials_without_a_stable_rate_are_counted() -> None:
    rows = grown(True, "digits") + on_seeds("dead", width=99, learning_rate=10.0)
    found = judge(part_of(1, 0), {"explosion": made("explosion", rows)}.get)
    assert found.found.notes == (
        "3 exploded trials that no learning rate of the study makes stable are left out here.",
    )


def test_a_lower_rate_that_stalls_on_one_seed_cures_nothing() -> None:
    rows = on_seeds("dead", learning_rate=10.0)
    rows += on_seeds(learning_rate=0.1, seeds=(0, 1)) + on_seeds(
        "stalled", learning_rate=0.1, seeds=(2,)
    )
    assert effect_of(2, 0, rows).estimate == 0.0


def test_a_higher_rate_is_no_lower_one() -> None:
    rows = on_seeds("dead", learning_rate=0.1) + on_seeds(learning_rate=1.0)
    assert effect_of(2, 0, rows).estimate == 0.0


@pytest.mark.parametrize(("number", "place"), [(5, 1), (6, 1), (7, 2)])
def test_where_hardly_anything_explodes_there_is_nothing_to_solve(number: int, place: int) -> None:
    rows = on_seeds() + on_seeds(normalization="batch")
    rows += on_seeds(batch_policy="doubling") + on_seeds(batch_policy="full")
    study = part_of(number, place).ways[0].study
    found = judge(part_of(number, place), {study: made(study, rows)}.get)
    assert found.verdict == NOT_TESTED
    assert "nothing to solve" in found.reason


def test_one_batch_size_that_costs_accuracy_is_enough_for_a_claim_of_may() -> None:
    rows = mini_costs(True, "digits") + on_seeds(batch_size=64)
    found = judge(part_of(10, 0), {"batch_updates": made("batch_updates", rows)}.get)
    assert len(found.found.effects) == 2
    assert found.verdict == SUPPORTED


def test_a_batch_that_is_no_faster_costs_nothing_by_being_faster() -> None:
    rows = on_seeds(batch_size=8) + on_seeds(accuracy=0.5, batch_size=512)
    found = judge(part_of(9, 0), {"batch_updates": made("batch_updates", rows)}.get)
    assert found.verdict == NOT_TESTED
    assert "no larger batch is 1.1 times as fast" in found.reason


def test_a_policy_is_compared_at_rates_that_the_fixed_sizes_were_run_at() -> None:
    rows = on_seeds(accuracy=0.8, learning_rate=0.1)
    rows += on_seeds(accuracy=0.99, learning_rate=1.0)
    rows += on_seeds(accuracy=0.8, learning_rate=0.1, batch_policy="doubling")
    assert effect_of(6, 0, rows).estimate == pytest.approx(0.0)


def test_optimizers_are_judged_above_their_own_best_rates() -> None:
    effect = effect_of(13, 0, optimizers(True, "digits"))
    assert effect.estimate == pytest.approx(1.0)


def test_what_single_changes_do_to_the_article_s_networks() -> None:
    own = {"optimizer": "adam", "learning_rate": 0.01, "batch_size": 128}
    # seeds that agree to the last digit have no interval
    rows = [trial(accuracy=0.799 + seed / 1000, seed=seed, **own) for seed in SEEDS]
    rows += on_seeds(accuracy=0.9, schedule="cosine", **own)
    rows += on_seeds(accuracy=0.8, clipping="value", **own)
    rows += on_seeds("dead", **{**own, "learning_rate": 1.0})
    notes = judge(part_of(14, 0), {"article": made("article", rows)}.get).found.notes
    assert notes[0] == "The mean test accuracy is 80.0% (MLP on digits)."
    assert "Of 3 single changes, 1 raises the test accuracy by a point or more: " in notes[1]
    assert "schedule cosine (+10.0 points)" in notes[1]
    assert "1 lowers it by as much: learning rate 1 (−70.0" in notes[1]


# rules, words and frames


@pytest.mark.parametrize(
    ("low", "high", "word"),
    [
        (0.5, 0.9, SUPPORTED),
        (0.49, 0.9, DEPENDS),
        (0.2, 0.3, DEPENDS),
        (0.0, 0.1, DEPENDS),
        (0.0, 0.09, REFUTED),
    ],
)
def test_a_verdict_is_where_the_interval_lies(low: float, high: float, word: str) -> None:
    part = Part("", "", Limits(SHARE, 0.5, 0.1), ways("", lambda source: Found(), "grid"))
    assert part.verdict_on(Effect("", (low + high) / 2, low, high, "")) == word


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([SUPPORTED, SUPPORTED], SUPPORTED),
        ([REFUTED], REFUTED),
        ([SUPPORTED, REFUTED], DEPENDS),
        ([SUPPORTED, DEPENDS], DEPENDS),
        ([REFUTED, DEPENDS], DEPENDS),
        ([SUPPORTED, NOT_TESTED], SUPPORTED),
        ([NOT_TESTED, NOT_TESTED], NOT_TESTED),
        ([], NOT_TESTED),
    ],
)
def test_verdicts_of_parts_combine(words: list[str], expected: str) -> None:
    assert combined(words) == expected


@pytest.mark.parametrize(
    ("unit", "value", "words"),
    [
        (POINTS, 0.0123, "+1.2 points"),
        (POINTS, -0.0001, "0.0 points"),
        (SHARE, -0.25, "−25.0%"),
        (DECADES, 0.5, "+0.50 decades"),
        (FOLD, 12.345, "12.35-fold"),
        (FOLD, math.inf, "∞-fold"),
    ],
)
def test_effects_in_words(unit: Any, value: float, words: str) -> None:
    assert unit.words(value) == words


@pytest.mark.parametrize(("number", "place"), EVERY_PART)
def test_a_rule_states_its_own_thresholds(number: int, place: int) -> None:
    part = part_of(number, place)
    for way in part.ways:
        rule = part.rule(way)
        assert f"at or above {part.unit.words(part.limits.enough)}," in rule
        assert f"below {part.unit.words(part.limits.smallest)};" in rule
        assert rule.startswith(way.measured)
        assert "interval" in rule


@pytest.mark.parametrize(("number", "place"), EVERY_PART)
def test_reasons_are_sentences_with_interval_unit_and_basis(number: int, place: int) -> None:
    found = judged(number, place, DEPENDS)
    assert found.reason.endswith(".")
    assert found.reason[0].isupper()
    assert "95% interval" in found.reason
    assert "on digits" in found.reason
    assert "on MNIST" in found.reason
    assert found.part.unit.suffix.strip() in found.reason
    assert not any(bad in found.reason for bad in ("nan", "None", "  ", "_"))


def test_many_effects_are_told_by_their_ends_and_counts() -> None:
    rows = [
        row
        for gain, name in enumerate(("cosine", "step", "one_cycle", "plateau"))
        for row in on_seeds(accuracy=0.8 + 0.05 * gain, schedule=name)
    ]
    source = made("learning_rate", rows + on_seeds(accuracy=0.85))
    found = judge(part_of(11, 1), {"learning_rate": source}.get)
    assert found.reason == (
        "The gain in test accuracy over a constant rate lies, over 4 comparisons, between −5.0 "
        "points (cosine, MLP on digits; 95% interval −5.0 to −5.0; 3 pairs, 3 seeds) and +10.0 "
        "points (plateau, MLP on digits; 95% interval +10.0 to +10.0; 3 pairs, 3 seeds); "
        "2 support the claim and 2 refute it."
    )


@pytest.fixture(scope="module")
def mixed() -> list[tuple[Any, list[Judged]]]:
    return [(c, [judged(c.number, k, DEPENDS) for k in range(len(c.parts))]) for c in claims.CLAIMS]


@pytest.fixture
def on_pages(mixed: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (judging, claims):
        monkeypatch.setattr(module, "all_judged", lambda: mixed)
    monkeypatch.setattr(evidence, "load", lambda study: made(study, on_seeds()))


@pytest.fixture(scope="module")
def page(mixed: Any, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The page on the claims, each of which depends but one, as it is read."""
    folder = tmp_path_factory.mktemp("claims")
    with pytest.MonkeyPatch.context() as patch:
        for module in (judging, claims):
            patch.setattr(module, "all_judged", lambda: mixed)
        patch.setattr(evidence, "load", lambda study: made(study, on_seeds()))
        text = words(page_of("claims", folder))
    assert (folder / "figures" / "claims.svg").exists()
    assert (folder / "figures" / "claims.csv").exists()
    return text


def test_the_frame_has_a_row_an_effect_in_its_unit(mixed: Any) -> None:
    rows = frame_of(mixed)
    assert list(rows.columns) == list(judging.COLUMNS)
    assert len(rows) == sum(len(j.found.effects) for _, parts in mixed for j in parts)
    points = rows[(rows["claim"] == 9) & (rows["verdict"] == SUPPORTED)].iloc[0]
    assert points["effect"] == pytest.approx(5.0)
    assert (points["unit"], points["enough"]) == ("percentage points", 1.0)
    assert points["study"] == "batch_updates"


def test_a_part_that_is_not_tested_has_one_row_without_an_effect() -> None:
    claim = claims.CLAIMS[0]
    rows = frame_of([(claim, [judge(part, lambda study: None) for part in claim.parts])])
    assert rows["verdict"].tolist() == [NOT_TESTED] * 3
    assert rows[["effect", "low", "high"]].isna().all(axis=None)


@pytest.mark.usefixtures("on_pages")
def test_one_row_a_claim() -> None:
    rows = claims.by_claim()
    assert rows["claim"].tolist() == EVERY_CLAIM
    assert set(rows.loc[rows["claim"] != 10, "verdict"]) == {DEPENDS}
    assert rows.loc[rows["claim"] == 10, "verdict"].item() == SUPPORTED


@pytest.mark.parametrize("number", EVERY_CLAIM)
def test_a_section_shows_rule_verdict_and_reason_of_every_part(
    page: str, mixed: Any, number: int
) -> None:
    text = page[page.index(f"## Claim {number}: ") :].partition(" ## ")[0]
    parts = {c.number: parts for c, parts in mixed}[number]
    assert claims.CLAIMS[number - 1].text in text
    for j in parts:
        assert f"**{prose.opening(j.part.text)}: {j.verdict}.** {j.reason}" in text
        assert f"*Rule.* {j.rule}" in text


def test_the_table_has_every_claim_and_part(page: str) -> None:
    table = page[page.index("| | claim |") :].partition(" ## ")[0]
    parts = [c.parts for c in claims.CLAIMS if len(c.parts) > 1]
    assert table.count("| | … ") == sum(map(len, parts))
    assert (
        "| 1 | In an explosion gradients grow through training until it slows and stops. | "
        "**depends** |"
    ) in table
    assert [f"| {number} | " in table for number in EVERY_CLAIM] == [True] * 14


def test_the_table_counts_the_comparisons_in_favour(page: str, mixed: Any) -> None:
    ((_, parts),) = [entry for entry in mixed if entry[0].number == 3]
    assert re.fullmatch(r"\d+ of \d+", parts[0].agreeing)
    assert f"| {parts[0].agreeing} | {parts[0].ends} |" in page


def test_the_headline_counts_the_claims(page: str) -> None:
    assert "Of 14 claims, by the rules below: 1 supported and 13 depends." in page


def test_the_page_says_what_few_seeds_cannot_show(page: str) -> None:
    assert "The fewest seeds are 3 (`" in page
    assert "no p below 0.25" in page
    assert "at most 75% of cases" in page


def test_the_figure_has_its_words(page: str) -> None:
    assert ':alt: "Forest plot of ' in page
    assert "claim 10 supported" in page
    assert "study `explosion`, `" in page


def test_effects_are_drawn_in_the_colours_of_their_verdicts(mixed: Any) -> None:
    rows = frame_of(mixed)
    drawing = figures.claims_forest(rows)
    labels = [axis.get_xlabel() for axis in drawing.axes]
    assert [label.split(",")[0].rstrip(")") for label in labels] == [
        f"effect ({unit}" for unit in rows["unit"].unique()
    ]
    first = rows[rows["unit"] == rows["unit"].iloc[0]]
    points = [bars.lines[0] for bars in drawing.axes[0].containers]
    assert [p.get_xdata()[0] for p in points] == pytest.approx(first["effect"].tolist())
    assert [to_hex(p.get_color()) for p in points] == [
        to_hex(figures.VERDICT_LOOKS[word].colour) for word in first["verdict"]
    ]


def test_ratios_stand_on_a_logarithmic_axis_with_plain_numbers(mixed: Any) -> None:
    rows = frame_of(mixed).iloc[:2]
    rows = rows.assign(unit="ratio", effect=[0.8, 2.1], low=[0.76, 2.09], high=[0.86, 2.11])
    (axis,) = figures.claims_forest(rows.assign(enough=1.1, smallest=1.1)).axes
    axis.figure.canvas.draw()
    low, high = axis.get_xlim()
    shown = [t.get_text() for t in axis.get_xticklabels() if low <= t.get_position()[0] <= high]
    assert axis.get_xscale() == "log"
    assert {"1", "2"} <= set(shown)
    assert not any(label.get_text() for label in axis.get_xticklabels(minor=True))
