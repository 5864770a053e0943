"""Every claim's verdict follows the data: made to support it, to refute it, mixed, and absent."""

import dataclasses
import functools
import math
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex, to_rgb
from pages import page as page_of
from pages import words

from benchmark import figures
from benchmark.records import Trial
from benchmark.results import Results
from benchmark.schema import frame
from benchmark.statistics.selection import where
from report import claims, evidence, headline, prose
from report.claims import explosion, judging, robustness
from report.claims.effects import (
    decades_gained,
    difference,
    prevented,
    ratio,
    share_of_configurations,
    share_of_trials,
)
from report.claims.frames import at_multiples, chosen
from report.claims.judging import Judged, claim_verdict, frame_of, judge
from report.claims.records import (
    DECADES,
    FOLD,
    MIXED,
    NO_EFFECT,
    NOT_TESTED,
    POINTS,
    REFUTED,
    SHARE,
    SUPPORTED,
    UNDECIDED,
    Effect,
    Found,
    Limits,
    Part,
    combined,
    first_of,
    found,
    pooled,
)
from report.evidence import Evidence

Row = dict[str, Any]
Rows = list[Row]

SEEDS = tuple(range(10))
"""As many as a comparison of the studies has: a rule must be decidable with them."""
SPREAD = 1e-4
"""How far a seed's accuracy, time and loss lie from what a builder asks for, at most: where all
agree to the last digit nothing is known of how they vary."""
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
    noise = SPREAD * (int(made.key[:4], 16) / 0x8000 - 1)
    reached = (ENDS.get(status, NAN) if accuracy is None else accuracy) + noise
    if "samples_to_target" in settings:
        settings["samples_to_target"] += made.seed
    for score in {"test_accuracy", "validation_accuracy"} & set(settings):
        settings[score] += noise
    return {
        **{"study": "made", "trial": made.key, "cell": made.cell, "unit": "unit", **made.row()},
        **{
            "status": status,
            "classes": 10,
            "target_accuracy": 0.9,
            "examples": EXAMPLES,
            "steps": STEPS,
        },
        **{"samples": EXAMPLES, "parameters": 1000, "initial_loss": 2.3},
        **{"validation_loss": 1 - reached, "validation_accuracy": reached},
        **{"test_accuracy": reached, "gradient_norm_max": 1.0},
        **{k: v for k, v in settings.items() if k not in FIELDS},
        **{"seconds": settings.get("seconds", 1.0) * (1 + noise)},
        **{"norms": norms, "losses": [loss * (1 + noise) for loss in losses]},
    }


def on_seeds(*arguments: Any, seeds: Sequence[int] = SEEDS, **settings: Any) -> Rows:
    """The same trial on several seeds."""
    return [trial(*arguments, seed=seed, **settings) for seed in seeds]


def steps_of(rows: Rows) -> pd.DataFrame:
    """The steps of the trials, as `detectors` logs them: a row a norm."""
    return pd.DataFrame(
        {
            **{c: row[c] for c in ("trial", "seed", "dataset", "schedule", "disturbance")},
            **{"outcome": "stable" if row["status"] == "stable" else "fatal", "step": step},
            **{"first_bad_step": row.get("first_bad_step"), "gradient_norm": norm},
            **{"status": row["status"], "loss": 2.0},
        }
        for row in rows
        for step, norm in enumerate(row["norms"], start=1)
    )


def made(study: str, rows: Rows) -> Evidence:
    """A study with these trials, kept to the schema."""
    history = []
    for row in rows:
        rates = len(row.get("rates", ()))
        checkpoints = max(len(row["norms"]), len(row["losses"]) - 1, rates - 1)
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
            if row.get("rates"):
                known["learning_rate"] = row["rates"][k]
            history.append(known)
    own = [{k: v for k, v in row.items() if k not in ("norms", "losses", "rates")} for row in rows]
    tracks = steps_of(rows) if study == "detectors" else frame("history", history)
    tables = frame("trials", own), tracks, frame("layers", []), frame("plan", [])
    return Evidence(study, Path("made") / study, Results(*tables))


# each builder makes, on one data set, the trials that speak for the claim or against it


def above(times: float, **own: Any) -> Row:
    """The settings of a trial at ``times`` its own best rate."""
    return {"arm": f"x{times:g}", "learning_rate": times, **own}


def grown(good: bool, dataset: str) -> Rows:
    """Configurations that explode, the norm a hundred times or twice that at the best rate."""
    out = []
    # two more than those of `stopped`: a page tells what all parts have alike only once
    for width in range(10, 22):
        own = {"dataset": dataset, "width": width}
        out += on_seeds(learning_rate=0.1, **own)
        peak = 100.0 if good else 2.0
        out += on_seeds("dead", learning_rate=1.0, gradient_norm_max=peak, **own)
    return out


def risen(good: bool, dataset: str) -> Rows:
    """Explosions after twenty steps whose norms rose threefold at the end, or stayed."""
    norms = [1.0] * 15 + [3.0 if good else 1.0] * 5
    own = {"dataset": dataset, "learning_rate": 1.0, "first_bad_step": 21, "norms": norms}
    return on_seeds("dead", **own)


def stopped(good: bool, dataset: str) -> Rows:
    """Configurations that explode, and die or recover."""
    out = []
    for width in range(10, 20):
        own = {"dataset": dataset, "width": width}
        out += on_seeds(learning_rate=0.1, **own)
        status, accuracy = ("dead", 0.1) if good else ("recovered", 0.8)
        out += on_seeds(status, accuracy, learning_rate=1.0, **own)
    return out


def cured(good: bool, dataset: str) -> Rows:
    """Configurations that explode at 10, and train or stall at 0.1."""
    out = []
    for width in range(10):
        own = {"dataset": dataset, "width": width}
        out += on_seeds("nonfinite", learning_rate=10.0, **own)
        out += on_seeds("stable" if good else "stalled", learning_rate=0.1, **own)
    return out


def scheduled(good: bool, dataset: str) -> Rows:
    """A constant rate that diverges from the third rate on, and a cosine later or as soon.

    On a seed or two a rate later: what all agree on has no interval.
    """
    out = []
    for place in range(7):
        own = {"dataset": dataset, "learning_rate": round(10 ** (place / 4), 4)}
        for schedule, edge, later in (("constant", 2, 1), ("cosine", 5 if good else 2, 2)):
            for seed in SEEDS:
                fine = place < edge + (seed < later)
                out.append(trial("stable" if fine else "dead", seed=seed, schedule=schedule, **own))
    return out


QUARTERS = [round(10 ** (k / 4), 4) for k in range(-8, 1)]


def widened(good: bool, dataset: str) -> Rows:
    """A constant rate that is good at 0.1 alone, and a cosine that is good at all rates or not."""
    out = []
    for rate in QUARTERS:
        own = {"dataset": dataset, "learning_rate": rate}
        out += on_seeds(accuracy=0.9 if rate == 0.1 else 0.5, **own)
        out += on_seeds(accuracy=0.9 if good or rate == 0.1 else 0.5, schedule="cosine", **own)
    return out


def reached(good: bool, dataset: str, **larger: Any) -> Rows:
    """A larger batch that diverges from the third rate on, and a smaller one later or as soon."""
    out = []
    for place in range(7):
        fine = place < (5 if good else 2)
        own = {"dataset": dataset, "learning_rate": round(10 ** (place / 4), 4)}
        out += on_seeds("stable" if place < 2 else "dead", **own, **larger)
        out += on_seeds("stable" if fine else "dead", batch_size=8, **own)
    return out


def mini_reaches_beyond_full(good: bool, dataset: str) -> Rows:
    """`reached` against the full batch."""
    return reached(good, dataset, batch_policy="full")


def mini_reaches_beyond_larger(good: bool, dataset: str) -> Rows:
    """`reached` against a fixed size."""
    return reached(good, dataset, batch_size=64)


def full_explodes(good: bool, dataset: str) -> Rows:
    """A full batch that explodes where a mini-batch does not, or where it explodes, too."""
    own = above(3, dataset=dataset, epochs=1500.0)
    return on_seeds("dead", batch_policy="full", **own) + on_seeds(
        "stable" if good else "dead", **own
    )


def normalized_sizes(good: bool, dataset: str) -> Rows:
    """Batch normalization as accurate at batches of 2 as at 32, or five points below."""
    own = {"dataset": dataset, "normalization": "batch"}
    small = on_seeds(accuracy=0.9 if good else 0.85, batch_size=2, **own)
    return small + on_seeds(batch_size=32, **own)


def normalized_explosions(good: bool, dataset: str) -> Rows:
    """Explosions without normalization; with it none, or as many."""
    own = above(3, dataset=dataset)
    rows = on_seeds("dead", **own)
    return rows + on_seeds("stable" if good else "dead", normalization="batch", **own)


def policy_accuracy(good: bool, dataset: str) -> Rows:
    """Doubling as accurate as the better of two fixed sizes, or five points below."""
    own = {"dataset": dataset}
    fixed = on_seeds(batch_size=32, **own) + on_seeds(accuracy=0.8, batch_size=128, **own)
    return fixed + on_seeds(accuracy=0.9 if good else 0.85, batch_policy="doubling", **own)


def lowering_policy(good: bool, dataset: str) -> Rows:
    """`policy_accuracy` of a policy that lowers the rate, too."""
    rows = policy_accuracy(good, dataset)
    return [row | {"rates": (0.1, 0.05) * (row["batch_policy"] == "doubling")} for row in rows]


def policy_explosions(good: bool, dataset: str) -> Rows:
    """Explosions at a fixed size; with doubling none, or as many."""
    own = above(3, dataset=dataset)
    rows = on_seeds("dead", **own)
    return rows + on_seeds("stable" if good else "dead", batch_policy="doubling", **own)


def mini_beats_full(good: bool, dataset: str) -> Rows:
    """A mini-batch five points above the full batch, or level with it."""
    own = {"dataset": dataset, "epochs": 1500.0}
    return on_seeds(accuracy=0.85 if good else 0.9, batch_policy="full", **own) + on_seeds(**own)


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
    """A larger batch five points below the smaller one, or level with it."""
    small = on_seeds(batch_size=8, dataset=dataset)
    return small + on_seeds(accuracy=0.85 if good else 0.9, batch_size=512, dataset=dataset)


def mini_costs(good: bool, dataset: str) -> Rows:
    """A mini-batch five points below the full batch, or level with it."""
    own = {"dataset": dataset, "epochs": 1500.0}
    return on_seeds(batch_policy="full", **own) + on_seeds(accuracy=0.85 if good else 0.9, **own)


def sizes(good: bool, dataset: str, factor: str, levels: tuple[float, float], **own: Any) -> Rows:
    """The larger level five points above the smaller, or level with it."""
    small = on_seeds(accuracy=0.85 if good else 0.9, dataset=dataset, **{factor: levels[0]}, **own)
    return small + on_seeds(dataset=dataset, **{factor: levels[1]}, **own)


def convolutions(good: bool, dataset: str) -> Rows:
    return sizes(good, dataset, "width", (4, 16), model="cnn", depth=2)


def models(good: bool, dataset: str) -> Rows:
    return sizes(good, dataset, "width", (16, 1024), model="mlp", depth=1)


def data(good: bool, dataset: str) -> Rows:
    own = {"model": "mlp", "depth": 1, "width": 256, "epochs": None, "updates": 100}
    return sizes(good, dataset, "train_fraction", (0.1, 1.0), **own)


def schedules_improve(good: bool, dataset: str) -> Rows:
    """A cosine five points above a constant rate, or level with it."""
    rows = on_seeds(accuracy=0.85 if good else 0.9, dataset=dataset)
    return rows + on_seeds(schedule="cosine", dataset=dataset)


def optimizers(good: bool, dataset: str) -> Rows:
    """SGD that loses all at three times its best rate, and Adam that does not, or does too."""
    adam = {"dataset": dataset, "optimizer": "adam"}
    rows = on_seeds(**above(1, dataset=dataset)) + on_seeds(**above(1, **adam))
    rows += on_seeds("dead", **above(3, dataset=dataset))
    return rows + on_seeds("stable" if good else "dead", **above(3, **adam))


def longer(good: bool, dataset: str) -> Rows:
    """A short budget that diverges from the third rate on, and a long one later or as soon.

    On a seed or two a rate later: what all agree on has no interval.
    """
    out = []
    for place in range(7):
        own = {"dataset": dataset, "learning_rate": round(10 ** (place / 4), 4), "epochs": None}
        for updates, edge, later in ((100, 2, 1), (400, 5 if good else 2, 2)):
            for seed in SEEDS:
                fine = place < edge + (seed < later)
                out.append(trial("stable" if fine else "dead", seed=seed, updates=updates, **own))
    return out


def guarded(good: bool, dataset: str) -> Rows:
    """Explosions without clipping; when steps are skipped none, or as many."""
    own = above(3, dataset=dataset)
    rows = on_seeds("dead", **own)
    return rows + on_seeds("stable" if good else "dead", clipping="zclip", **own)


def disturbed(good: bool, dataset: str) -> Rows:
    """Ten points lost to bad batches without clipping; when steps are skipped none, or as many."""
    out = []
    for clipping in ("none", "zclip"):
        own = {"dataset": dataset, "clipping": clipping}
        lost = 0.8 if clipping == "none" or not good else 0.9
        out += on_seeds(**own)
        out += on_seeds(accuracy=lost, disturbance="bad_batch", **own)
    return out


def guarded_accuracy(good: bool, dataset: str) -> Rows:
    """Trials as accurate when steps are skipped as without clipping, or five points below."""
    rows = on_seeds(dataset=dataset)
    return rows + on_seeds(accuracy=0.9 if good else 0.85, clipping="zclip", dataset=dataset)


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
    (4, 0): mini_reaches_beyond_full,
    (4, 1): mini_reaches_beyond_larger,
    (5, 0): normalized_sizes,
    (5, 1): normalized_explosions,
    (6, 0): lowering_policy,
    (6, 1): policy_accuracy,
    (6, 2): policy_explosions,
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
    (13, 0): optimizers,
    (13, 1): longer,
    (13, 2): guarded,
    (13, 3): disturbed,
    (13, 4): guarded_accuracy,
    (14, 0): own_networks,
}
"""What makes trials for each part of each claim, by the claim's number and the part's place."""
FOR, AGAINST, BOTH = "for", "against", "both"
LEANS = {FOR: {"digits": True}, AGAINST: {"digits": False}, BOTH: {"digits": True, "mnist": False}}
"""Whether the trials on each data set speak for the claim."""
OTHER_WAY = {(8, 0), (8, 1)}
"""Parts whose trials against them show an effect the other way, and not none."""


def verdict_against(number: int, place: int) -> str:
    """What trials that do not speak for a part must give: no effect, where that is an outcome."""
    limits = part_of(number, place).limits
    none = limits.none != limits.enough and (number, place) not in OTHER_WAY
    return NO_EFFECT if none else REFUTED


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
    source = made(study or part.measurements[0].study, trials_for(number, place, lean))
    return judge(part, {source.study: source}.get)


def test_every_part_of_every_claim_has_its_cases() -> None:
    parts = {(c.number, k) for c in claims.CLAIMS for k in range(len(c.parts))}
    assert parts == set(CASES)


def test_there_are_fourteen_claims_in_order() -> None:
    assert list(range(1, 15)) == EVERY_CLAIM


@pytest.mark.parametrize("lean", [FOR, AGAINST])
@pytest.mark.parametrize(("number", "place"), EVERY_PART)
def test_a_part_follows_the_data(number: int, place: int, lean: str) -> None:
    found = judged(number, place, lean)
    expected = SUPPORTED if lean == FOR else verdict_against(number, place)
    assert found.verdict == expected, found.aside
    assert found.words == [expected]


@pytest.mark.parametrize(("number", "place"), EVERY_PART)
def test_data_that_disagree_are_seen_in_the_comparisons(number: int, place: int) -> None:
    found = judged(number, place, BOTH)
    # where rules are judged, that on all comparisons of the one rule comes first
    pooled_first = found.part.by_rule and len(found.found.effects) > 1
    apart = {found.part.verdict_on(e) for e in found.found.effects[int(pooled_first) :]}
    assert apart == {SUPPORTED, verdict_against(number, place)}, found.aside
    if found.part.exists:
        assert found.verdict == SUPPORTED
    elif SUPPORTED in found.words_that_judge and not found.part.by_rule:
        assert found.verdict == MIXED


@pytest.mark.parametrize(("number", "place"), EVERY_PART)
def test_an_interval_across_the_threshold_leaves_a_part_undecided(number: int, place: int) -> None:
    part = part_of(number, place)
    across = Effect(
        *((), part.limits.enough, part.limits.smallest - 0.01, part.limits.enough + 0.01, ""),
        freedom=math.inf,
    )
    found = Judged(part, part.measurements[0], None, Found((across,)))
    assert found.verdict == UNDECIDED


@pytest.mark.parametrize("number", EVERY_CLAIM)
def test_a_claim_whose_parts_agree(number: int) -> None:
    parts = [judged(*key, FOR) for key in EVERY_PART if key[0] == number]
    assert claim_verdict(parts) == SUPPORTED


@pytest.mark.parametrize("number", [c.number for c in claims.CLAIMS if len(c.parts) > 1])
def test_a_claim_of_which_a_part_holds_and_another_does_not_is_mixed(number: int) -> None:
    first, *rest = [key for key in EVERY_PART if key[0] == number]
    parts = [judged(*first, FOR), *(judged(*key, AGAINST) for key in rest)]
    assert claim_verdict(parts) == MIXED


@pytest.mark.parametrize(("number", "place"), EVERY_PART)
def test_without_the_study_a_part_is_not_tested(number: int, place: int) -> None:
    part = part_of(number, place)
    found = judge(part, lambda study: None)
    assert found.verdict == NOT_TESTED
    assert f"python -m benchmark run {part.measurements[0].study}" in found.aside


@pytest.mark.parametrize(("number", "place"), EVERY_PART)
def test_a_study_that_varies_nothing_leaves_a_part_not_tested(number: int, place: int) -> None:
    part = part_of(number, place)
    study = part.measurements[0].study
    found = judge(part, {study: made(study, on_seeds())}.get)
    assert found.verdict == NOT_TESTED
    assert f"In the study `{study}` " in found.aside
    assert f"python -m benchmark run {study}" in found.aside


SAME_ELSEWHERE = [
    (number, place, measurement.study)
    for number, place in EVERY_PART
    for measurement in part_of(number, place).measurements[1:]
    if measurement.measure is part_of(number, place).measurements[0].measure
]


@pytest.mark.parametrize(("number", "place", "study"), SAME_ELSEWHERE)
def test_another_study_stands_in_and_says_so(number: int, place: int, study: str) -> None:
    found = judged(number, place, AGAINST, study)
    own = part_of(number, place).measurements[0].study
    assert found.verdict == verdict_against(number, place)
    assert f"Judged on the study `{study}`, which stands in for `{own}`." in found.aside


def test_no_other_study_stands_in_where_the_own_one_was_run() -> None:
    sources = {
        "explosion": made("explosion", on_seeds()),
        "grid": made("grid", trials_for(1, 0, FOR)),
    }
    assert judge(part_of(1, 0), sources.get).verdict == NOT_TESTED


@pytest.mark.parametrize("good", [True, False])
def test_the_grid_compares_a_cnn_with_an_mlp_in_place_of_complexities(good: bool) -> None:
    rows = on_seeds(accuracy=0.8, model="mlp", clipping="value")
    rows += on_seeds(model="mlp") + on_seeds(accuracy=0.95 if good else 0.9, model="cnn")
    found = judge(part_of(11, 0), {"grid": made("grid", rows)}.get)
    assert found.verdict == (SUPPORTED if good else NO_EFFECT)


# what the effects count


def pairs(rows: Sequence[tuple[float, float]]) -> pd.DataFrame:
    out = pd.DataFrame(rows, columns=["treated", "control"])
    out["difference"] = out["treated"] - out["control"]
    return out.assign(seed=range(len(out)))


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        # all agree: Wilson's bound of 0 of 10, (0, 0.2775), to either side of what may be otherwise
        ([(0, 1)] * 10, (1.0, 1 - 2 * 0.27753, 1.0)),
        ([(1, 1)] * 10, (0.0, -0.27753, 0.27753)),
        ([(1, 0)] * 10, (-1.0, -1.0, 2 * 0.27753 - 1)),
        # left out one by one: three times 2/3, and once 1; t(3 degrees of freedom) is 3.182
        ([(0, 1), (0, 1), (0, 1), (1, 1)], (0.75, 0.75 - 3.18245 / 4, 1.0)),
    ],
    ids=["all", "none", "only added", "three of four"],
)
def test_the_net_share_of_explosions_prevented(
    rows: list[tuple[float, float]], expected: tuple[float, float, float]
) -> None:
    found = prevented(pairs(rows), ())
    assert (found.estimate, found.low, found.high) == pytest.approx(expected, abs=1e-4)


def test_the_share_prevented_has_a_wide_interval_where_one_seed_exploded() -> None:
    found = prevented(pairs([(0, 1)] + [(0, 0)] * 9), ())
    assert found.low == pytest.approx(1 - 2 * 0.79346, abs=1e-4)


def test_where_nothing_happened_nothing_was_prevented_or_added() -> None:
    found = prevented(pairs([(0, 0)] * 10), ())
    assert math.isnan(found.estimate)
    assert not found.known


def test_a_single_seed_has_no_interval() -> None:
    same = pairs([(0.5, 0.4), (0.7, 0.4)]).assign(seed=7)
    assert not any(effect(same, ()).known for effect in (difference, ratio, prevented))


def test_a_study_of_one_seed_tests_no_comparison() -> None:
    rows = [row for row in trials_for(11, 1, FOR) if row["seed"] == 0]
    found = judge(part_of(11, 1), {"optimizers": made("optimizers", rows)}.get)
    assert found.verdict == NOT_TESTED
    assert "no comparison has an interval" in found.aside


def test_differences_and_ratios_of_hand_made_pairs() -> None:
    # two values have the mean plus and minus half their distance times t(1 degree of freedom)
    half = 0.1 * 12.7062
    gain = difference(pairs([(0.5, 0.4), (0.7, 0.4)]), ("x",))
    assert (gain.estimate, gain.low, gain.high) == pytest.approx((0.2, 0.2 - half, 0.2 + half))
    assert (gain.label, gain.basis) == ("x", "2 pairs, 2 seeds")
    cost = difference(pairs([(0.5, 0.4), (0.7, 0.4)]), ("x",), -1)
    assert (cost.estimate, cost.low, cost.high) == pytest.approx((-0.2, -0.2 - half, half - 0.2))
    # t(0.975) + t(0.8) standard errors
    assert gain.detectable == pytest.approx(0.1 * (12.7062 + 1.3764), rel=1e-4)
    times = ratio(pairs([(1.0, 2.0), (1.0, 8.0)]), ("x",))
    assert times.estimate == pytest.approx(4.0)
    assert math.log(times.high / 4) == pytest.approx(math.log(2) * 12.7062, rel=1e-4)


def test_pairs_that_share_a_seed_count_once() -> None:
    two = pairs([(0.5, 0.4), (0.7, 0.4)])
    doubled = pd.concat([two, two], ignore_index=True)
    assert difference(doubled, ()).low == pytest.approx(difference(two, ()).low)


def test_a_pooled_effect_has_the_mean_of_the_ends() -> None:
    found = pooled([effect(0.2, 0.1, 0.3, freedom=9), effect(0.4, 0.0, 0.8, freedom=2)])
    assert found is not None
    assert (found.estimate, found.low, found.high) == pytest.approx((0.3, 0.05, 0.55))
    # as little as that of the least known one
    assert found.freedom == 2
    ratios = pooled([effect(2.0, 1.0, 4.0), effect(8.0, 4.0, 16.0)], geometric=True)
    assert ratios is not None
    assert (ratios.estimate, ratios.low, ratios.high) == pytest.approx((4.0, 2.0, 8.0))
    assert pooled([]) is None


def test_a_pooled_interval_covers_however_its_comparisons_depend_on_each_other() -> None:
    # three comparisons that are one and the same
    one = difference(pairs([(0.5, 0.4), (0.7, 0.4), (0.6, 0.4)]), ())
    found = pooled([one] * 3)
    assert found is not None
    assert (found.low, found.high) == pytest.approx((one.low, one.high))


def sizes_at(*limits: tuple[int, int], **own: Any) -> Rows:
    """Batch sizes, each with how many of five rates, a decade apart, all of its seeds train at."""
    return [
        row
        for size, trained in limits
        for place in range(5)
        for row in on_seeds(
            "stable" if place < trained else "dead",
            batch_size=size,
            learning_rate=10.0 ** (place - 4),
            **own,
        )
    ]


def test_limits_on_which_all_seeds_agree_are_known_to_the_step_of_the_rates() -> None:
    effect = effect_of(4, 1, sizes_at((8, 2), (64, 4)), "critical_batch")
    # the difference of two places in steps of a decade: all but a twentieth of a triangle
    apart = 1 - 0.05**0.5
    assert (effect.estimate, effect.low, effect.high) == pytest.approx((-2, -2 - apart, -2 + apart))


def test_steps_of_the_rates_cancel_out_in_part_where_sizes_are_pooled() -> None:
    source = made("critical_batch", sizes_at((8, 1), (16, 2), (32, 3), (64, 4)))
    found = judge(part_of(4, 1), {"critical_batch": source}.get)
    assert [e.estimate for e in found.judging] == pytest.approx([-3.0, -2.0, -1.0])
    assert found.pooled is not None
    assert found.pooled.estimate == pytest.approx(-2.0)
    # three limits that err by themselves, and the one of the largest
    assert -2.0 - found.low == pytest.approx((1 - 0.05**0.5) * (2 / 3) ** 0.5)
    assert found.verdict == REFUTED


def test_at_equal_updates_sizes_are_shown_and_do_not_judge() -> None:
    rows = sizes_at((8, 2), (64, 4)) + sizes_at((8, 4), (64, 2), epochs=None, updates=100)
    found = judge(part_of(4, 1), {"critical_batch": made("critical_batch", rows)}.get)
    assert [e.estimate for e in found.judging] == pytest.approx([-2.0])
    assert [e.estimate for e in found.among("at equal updates").judging] == pytest.approx([2.0])


def test_what_is_compared_at_the_same_rates_says_nothing_of_best_ones() -> None:
    found = judge(
        part_of(4, 1), {"critical_batch": made("critical_batch", sizes_at((8, 1), (64, 2)))}.get
    )
    assert "edge" not in found.aside
    assert "goes up by −1.00 decades" in found.aside


def test_divergence_within_the_updates_of_the_largest_size_is_counted() -> None:
    rows = [
        {**row, "first_bad_step": 2 if row["batch_size"] == 64 else 100}
        for row in sizes_at((8, 2), (64, 4))
    ]
    found = judge(part_of(4, 1), {"critical_batch": made("critical_batch", rows)}.get)
    # one pass over 1,000 examples
    assert "Of 40 divergences 10 begin within 15 updates" in found.aside


def on_every_seed(rows: pd.DataFrame) -> pd.Series:
    return rows.groupby("configuration")["fine"].all()


def configurations(count: int, bad: dict[int, int]) -> pd.DataFrame:
    """So many configurations on ten seeds, those of ``bad`` not fine on one seed each."""
    rows = [(k, seed, bad.get(k) != seed) for k in range(count) for seed in SEEDS]
    return pd.DataFrame(rows, columns=["configuration", "seed", "fine"])


@pytest.mark.parametrize("count", [1, 10])
def test_a_share_of_configurations_has_a_width_where_all_agree(count: int) -> None:
    found = share_of_configurations(configurations(count, {}), (), on_every_seed)
    # Wilson's interval of ten that agree: of ten seeds, be the configurations fewer
    assert (found.estimate, found.low, found.high) == pytest.approx((1.0, 0.7225, 1.0), abs=1e-4)
    assert found.freedom == math.inf
    assert found.basis == f"{prose.count(count, 'configuration')}, 10 seeds"


def test_a_share_of_configurations_is_as_wide_as_its_seeds_disagree() -> None:
    """Four of a hundred that each fail on a seed of their own, and four that do on the same."""
    apart, same = (
        share_of_configurations(configurations(100, bad), (), on_every_seed)
        for bad in ({k: k for k in range(4)}, dict.fromkeys(range(4), 0))
    )
    assert apart.estimate == same.estimate == 0.96
    assert same.low < apart.low < 0.96
    assert apart.freedom == same.freedom == 9
    # many configurations are no more certain than their seeds
    assert same.low < 0.85


def test_a_configuration_of_two_budgets_counts_once() -> None:
    rows = cured(True, "digits")
    again = [
        row
        for settings in ({"learning_rate": 10.0}, {"learning_rate": 0.1})
        for row in on_seeds("nonfinite", width=3, epochs=9.0, dataset="digits", **settings)
    ]
    found = judge(part_of(2, 0), {"explosion": made("explosion", rows + again)}.get)
    assert found.pooled is not None
    assert (found.units, found.units_with, found.pooled.estimate) == (10, 10, 1.0)


def test_what_counts_as_learned_is_half_way_from_chance_to_the_target() -> None:
    assert claims.learned_from(made("explosion", on_seeds())) == "50%"
    other = on_seeds() + on_seeds(width=5, target_accuracy=0.7)
    assert claims.learned_from(made("explosion", other)) == "40% to 50%"


def gained(rates: dict[str, Sequence[float]]) -> Effect | None:
    """The gain of a cosine over a constant rate, all accurate, each at these rates."""
    rows = [
        row
        for schedule, own in rates.items()
        for rate in own
        for row in on_seeds(learning_rate=rate, schedule=schedule)
    ]
    frame = made("learning_rate", rows).outcomes
    return decades_gained(frame, "schedule", "cosine", "constant", ())


def test_a_range_is_measured_by_the_best_of_the_baseline() -> None:
    # within a point of the constant rate's best the cosine is at three rates, of its own at one
    rows = [
        row
        for rate, constant, cosine in ((0.1, 0.85, 0.86), (1.0, 0.8, 0.9), (10.0, 0.5, 0.85))
        for row in (
            *on_seeds(accuracy=constant, learning_rate=rate),
            *on_seeds(accuracy=cosine, learning_rate=rate, schedule="cosine"),
        )
    ]
    frame = made("learning_rate", rows).outcomes
    found = decades_gained(frame, "schedule", "cosine", "constant", ())
    assert found is not None
    assert found.estimate == pytest.approx(2.0)


def test_decades_gained_count_only_rates_that_both_sides_were_run_at() -> None:
    found = gained({"constant": (0.1, 1.0), "cosine": (0.1, 1.0, 100.0)})
    assert found is not None
    # a range ends somewhere between two rates, here a decade apart
    assert (found.estimate, found.low, found.high) == (0.0, -1.0, 1.0)
    # Student's interval of ten seeds
    assert found.freedom == 9


@pytest.mark.parametrize(
    ("fine", "freedom"), [((1, 0, 1, 1, 1, 1), 2), ((1, 0, 1, 0, 1, 0), math.inf)]
)
def test_a_share_is_as_free_as_the_spread_of_its_seeds(fine: tuple[int, ...], freedom) -> None:
    frame = pd.DataFrame({"seed": [0, 0, 1, 1, 2, 2], "fine": fine})
    # where each seed has the same share, its interval is a normal one
    assert share_of_trials(frame, (), "fine").freedom == freedom


def test_no_decades_are_gained_on_a_single_rate() -> None:
    assert gained({"constant": (0.1, 1.0), "cosine": (0.1, 10.0)}) is None


# at multiples of the best rate


def test_multiples_are_the_arms_of_a_study_that_looked_for_the_best_rates() -> None:
    rows = on_seeds(**above(1)) + on_seeds("dead", **above(3)) + on_seeds(**above(0.3))
    frame = at_multiples(made("headline", rows))
    assert sorted(frame["times"].unique()) == [1.0, 3.0]
    assert frame.loc[frame["times"] == 3, "exploded"].eq(1).all()


def test_multiples_in_a_grid_are_the_nearest_rates_to_those_of_the_best() -> None:
    rows = [
        row
        for rate, accuracy in ((0.03, 0.8), (0.1, 0.9), (0.3162, 0.7), (1.0, 0.2), (1.3, 0.1))
        for row in on_seeds(accuracy=accuracy, learning_rate=rate)
    ]
    found = at_multiples(made("grid", rows)).groupby("times")["learning_rate"].unique()
    assert {times: list(rates) for times, rates in found.items()} == {
        1.0: [0.1],
        3.0: [0.3162],
        10.0: [1.0],
    }


def test_a_grid_without_a_rate_near_a_multiple_has_none() -> None:
    rows = on_seeds(learning_rate=0.1) + on_seeds(accuracy=0.1, learning_rate=0.6)
    assert at_multiples(made("grid", rows))["times"].unique().tolist() == [1.0]


def test_where_a_best_rate_was_looked_for_the_map_of_the_same_configuration_is_left_out() -> None:
    mapped = on_seeds(accuracy=0.5, learning_rate=0.1, seeds=(0, 1, 2))
    mapped += on_seeds(batch_size=64, learning_rate=0.1, seeds=(0, 1, 2))
    frame = at_multiples(made("batch_updates", mapped + on_seeds(**above(1))))
    sizes = frame.groupby("batch_size")["arm"].unique()
    assert sizes[64].tolist() == [""]
    assert sizes[Trial().batch_size].tolist() == ["x1"]


def test_batch_sizes_of_a_map_are_not_compared_with_those_on_more_seeds() -> None:
    rows = [
        row
        for size in (8, 64)
        for row in on_seeds(accuracy=0.5 + size / 1000, batch_size=size, **above(1))
    ]
    mapped = on_seeds(accuracy=0.2, batch_size=2048, learning_rate=0.1, seeds=(0, 1, 2))
    assert effect_of(7, 1, rows + mapped, "batch_updates").estimate == pytest.approx(
        -0.056, abs=1e-3
    )


@pytest.mark.parametrize(
    ("claim", "part", "other"),
    [(7, 1, {"batch_size": 64}), (7, 2, {"batch_size": 64})],
)
def test_sizes_are_judged_at_a_constant_rate(claim, part, other) -> None:
    rows = on_seeds("dead", accuracy=0.5, **above(1)) + on_seeds(accuracy=0.7, **above(1, **other))
    decays = on_seeds(accuracy=0.9, **above(1, schedule="cosine"))
    with_decay, without = (
        effect_of(claim, part, r, "batch_updates") for r in (rows + decays, rows)
    )
    assert with_decay == without


FULL = [(7, 0, mini_beats_full), (10, 0, mini_costs)]
"""Parts that are measured against the full batch, with their trials for 1,500 of its updates."""


@pytest.mark.parametrize(("number", "place", "builder"), FULL)
def test_a_full_batch_that_hardly_trained_is_no_baseline(number, place, builder) -> None:
    rows = [{**row, "epochs": 48.0} for row in builder(True, "digits")]
    part = part_of(number, place)
    found = judge(part, {"batch_updates": made("batch_updates", rows)}.get)
    assert found.verdict == NOT_TESTED
    (effect,) = found.not_judging.judging
    assert "48 updates of" in effect.label
    assert "fewer than 1,500" in found.aside
    assert part.verdict_on(effect) == SUPPORTED


def test_equal_examples_may_be_stated_in_updates() -> None:
    own = {"epochs": None, "batch_policy": "fixed"}
    rows = on_seeds(accuracy=0.8, **own | {"batch_policy": "full", "updates": 1500})
    rows += on_seeds(accuracy=0.81, updates=1500, **own)
    # 1,500 updates of 1,000 examples, by 32
    rows += on_seeds(accuracy=0.85, updates=46_875, **own)
    found = judge(part_of(7, 0), {"batch_updates": made("batch_updates", rows)}.get)
    assert [e.estimate for e in found.judging] == pytest.approx([0.05], abs=1e-3)
    beside = found.among("at equal updates").judging
    assert [e.estimate for e in beside] == pytest.approx([0.01], abs=1e-3)


def test_a_size_at_chosen_rates_alone_is_compared_where_it_has_all_seeds() -> None:
    rows = [{**row, "arm": "x1"} for row in mini_beats_full(True, "digits")]
    rows = [{**row, "arm": ""} if row["batch_policy"] == "fixed" else row for row in rows]
    assert effect_of(7, 0, rows, "batch_updates").estimate == pytest.approx(0.05, abs=1e-3)


def test_a_share_of_the_data_is_named_with_what_it_was_given() -> None:
    rows = [{**row, "train_fraction": 0.1} for row in policy_accuracy(True, "digits")]
    found = judge(part_of(6, 1), {"batch_updates": made("batch_updates", rows)}.get)
    assert "On a share of the data (MLP on 10% of digits: 1 pass)." in found.aside


def test_the_fixed_size_takes_the_rate_that_accumulated_micro_batches_found() -> None:
    rows = on_seeds(accuracy=0.8, **above(1)) + on_seeds(batch_policy="doubling", **above(1))
    more = on_seeds(accuracy=0.85, **above(1, batch_policy="accumulate", learning_rate=0.5))
    before, after = (effect_of(6, 1, r, "batch_updates").estimate for r in (rows, rows + more))
    assert (before, after) == pytest.approx((0.1, 0.05), abs=1e-3)


def test_what_a_guard_costs_is_that_of_all_its_comparisons() -> None:
    rows = []
    for norm, lost in (("none", 0.05), ("batch", 0.0)):
        rows += on_seeds(normalization=norm)
        rows += on_seeds(accuracy=0.9 - lost, normalization=norm, clipping="zclip")
    found = judge(part_of(13, 4), {"headline": made("headline", rows)}.get)
    told = {e.about[1]: e.estimate for e in found.found.effects}
    assert told == pytest.approx(
        {"2 comparisons": -0.025, "no normalization": -0.05, "batch normalization": 0.0}, abs=1e-3
    )
    assert [e.about for e in found.judging] == [("ZClip", "2 comparisons")]
    assert found.verdict == REFUTED


@pytest.mark.parametrize(("lean", "named"), [(AGAINST, ["ZClip"]), (BOTH, [])])
def test_what_prevents_less_than_a_share_is_named(lean: str, named: list[str]) -> None:
    assert judged(13, 2, lean).below(0.5) == named


@pytest.mark.parametrize(("lean", "named"), [(BOTH, ["ZClip"]), (AGAINST, [])])
def test_what_prevents_more_than_nothing_is_named(lean: str, named: list[str]) -> None:
    assert judged(13, 2, lean).above(0) == named


def test_trials_at_the_best_rate_of_another_configuration_have_none_of_their_own() -> None:
    rows = on_seeds(learning_rate=0.1, arm="x1") + on_seeds(learning_rate=1.0, arm="x10")
    more = {"learning_rate": 1.0, "clipping": "value", "clipping_threshold": 0.1}
    rows += on_seeds(arm="threshold_x10", **more) + on_seeds(arm="shared_x10", **more)
    assert set(at_multiples(made("headline", rows))["clipping"]) == {"none"}


def test_the_best_rate_of_a_seed_is_chosen_on_the_others() -> None:
    # by its own accuracy, the last seed would take 1.0
    rows = on_seeds(accuracy=0.8, learning_rate=0.1)
    rows += on_seeds(accuracy=0.5, learning_rate=1.0, seeds=SEEDS[:-1])
    rows += on_seeds(accuracy=0.99, learning_rate=1.0, seeds=SEEDS[-1:])
    frame = at_multiples(made("grid", rows))
    assert frame.loc[frame["times"] == 1, "learning_rate"].eq(0.1).all()
    assert len(frame[frame["times"] == 1]) == len(SEEDS)


def test_a_best_rate_on_the_edge_of_those_tried_is_mentioned() -> None:
    rows = on_seeds(accuracy=0.5, learning_rate=0.1) + on_seeds(learning_rate=1.0)
    rows += on_seeds(schedule="cosine", learning_rate=1.0)
    rows += on_seeds(accuracy=0.5, schedule="cosine", learning_rate=0.1)
    found = judge(part_of(11, 1), {"optimizers": made("optimizers", rows)}.get)
    assert found.notes[-1] == (
        "Of 2 best rates in the study 2 lie on the edge of the rates that were tried."
    )


def test_rules_that_could_not_act_are_left_out_and_counted() -> None:
    rows = guarded(True, "digits")
    late = above(3, dataset="digits", clipping="adagc", warm_up_steps=STEPS)
    rows += on_seeds("dead", **late)
    found = judge(part_of(13, 2), {"headline": made("headline", rows)}.get)
    assert [e.about[0] for e in found.found.effects] == ["ZClip"]
    assert found.notes[-1] == (
        "10 trials that ended within the warm-up of the clipping (AdaGC) are left out."
    )


def test_what_ends_before_its_batch_policy_may_act_is_compared_with_nothing_and_counted() -> None:
    late = {"batch_policy": "doubling", "policy_warm_up_steps": STEPS}
    rows = on_seeds(**above(10)) + on_seeds("nonfinite", **above(10, **late))
    rows += on_seeds(**above(1)) + on_seeds(accuracy=0.5, **above(1, **late))
    load = {"batch_updates": made("batch_updates", rows)}.get
    assert judge(part_of(6, 1), load).verdict == NOT_TESTED
    shares = judge(part_of(6, 2), load)
    # what it could not prevent it did not solve
    assert [effect.estimate for effect in shares.found.effects] == [0.0]
    assert not shares.judging
    assert shares.found.notes[-1] == (
        "Counted as what they are: 20 trials that ended within the warm-up of the batch policy "
        "(doubling)."
    )


def test_a_policy_that_keeps_its_first_size_is_no_comparison() -> None:
    rows = on_seeds(accuracy=0.8) + on_seeds(batch_policy="doubling")
    rows += on_seeds(batch_policy="dive", samples=STEPS * Trial().batch_size)
    found = judge(part_of(6, 1), {"batch_updates": made("batch_updates", rows)}.get)
    assert [effect.about[0] for effect in found.judging] == ["doubling"]
    assert "because it kept its first size in most trials: DIVE" in found.notes[-1]


def test_policies_that_lower_the_rate_too_are_told_apart() -> None:
    rows = on_seeds(accuracy=0.8, losses=[1.0, 0.5, 0.4])
    rows += on_seeds(batch_policy="doubling", samples=2 * EXAMPLES, losses=[1.0, 0.5, 0.4])
    rows += on_seeds(
        *("stable", 0.7), batch_policy="norm_test", samples=2 * EXAMPLES, losses=[1.0, 0.5, 0.4]
    )
    source = made("batch_updates", rows)
    halved = {row["trial"] for row in rows if row["batch_policy"] == "doubling"}
    late = source.results.history["step"] > 0
    of_halved = source.results.history["trial"].isin(halved)
    history = source.results.history.assign(learning_rate=0.1 - 0.05 * (late & of_halved))
    source = dataclasses.replace(
        source, results=dataclasses.replace(source.results, history=history)
    )
    assert claims.lowering(source) == ["doubling"]
    both, alone = (judge(part_of(6, k), {"batch_updates": source}.get) for k in (0, 1))
    assert [effect.about[0] for effect in both.judging] == ["doubling"]
    assert [effect.about[0] for effect in alone.judging] == [
        prose.phrase("batch_policy", "norm_test")
    ]
    assert (both.verdict, alone.verdict) == (SUPPORTED, REFUTED)


def test_policies_meet_the_best_fixed_size_with_whatever_schedule() -> None:
    rows = on_seeds(accuracy=0.8) + on_seeds(accuracy=0.9, schedule="step")
    rows += on_seeds(accuracy=0.85, batch_policy="doubling")
    found = judge(part_of(6, 1), {"batch_updates": made("batch_updates", rows)}.get)
    assert found.verdict == REFUTED
    assert found.pooled is not None
    assert found.pooled.estimate == pytest.approx(-0.05, abs=1e-3)
    assert found.notes[:2] == (
        "The best fixed size is that of 32, at equal examples, with the step schedule.",
        "Against the best fixed size at a constant rate the median policy's is +5.0 points "
        "(+5.0 to +5.0).",
    )


def test_a_fixed_size_that_is_best_at_both_budgets_is_named_once() -> None:
    rows = []
    for budget in ({}, {"epochs": None, "updates": 100}):
        rows += on_seeds(accuracy=0.8, **budget)
        rows += on_seeds(accuracy=0.85, batch_policy="doubling", **budget)
    found = judge(part_of(6, 1), {"batch_updates": made("batch_updates", rows)}.get)
    assert found.notes[0] == (
        "The best fixed size is that of 32, at equal examples and at equal updates, with a "
        "constant rate."
    )


def test_of_settings_that_tie_one_is_chosen_for_all_seeds() -> None:
    # without seed 0 the large batch is the better, without each of the others the small one
    rows = [
        trial(seed=seed, batch_size=size, validation_accuracy=v, accuracy=size / 100)
        for seed in range(5)
        for size, v in ((8, 0.9 if seed else 1.0), (32, 0.912))
    ]
    source = made("made", rows)
    best = chosen(source.outcomes, ["dataset"], ["batch_size"])
    assert best.groupby("batch_size")["seed"].nunique().to_dict() == {8: 5}


def test_equal_examples_and_equal_updates_are_two_comparisons() -> None:
    rows = sizes(True, "digits", "train_fraction", (0.1, 1.0), model="mlp")
    own = {"model": "mlp", "epochs": None, "updates": 100}
    rows += sizes(False, "digits", "train_fraction", (0.1, 1.0), **own)
    found = judge(part_of(12, 1), {"scaling": made("scaling", rows)}.get)
    verdicts = {e.about[1]: found.part.verdict_on(e) for e in found.found.effects}
    assert verdicts == {"at equal passes": SUPPORTED, "at equal updates": NO_EFFECT}
    assert found.verdict == NO_EFFECT


# what the rules look at


def effect_of(number: int, place: int, rows: Rows, study: str = "") -> Effect:
    part = part_of(number, place)
    source = made(study or part.measurements[0].study, rows)
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
    assert effect_of(11, 1, rows).estimate == pytest.approx(-0.1, abs=SPREAD)


def test_the_worst_and_the_best_batch_size_are_chosen_on_validation() -> None:
    own = {"normalization": "batch"}
    rows = on_seeds(validation_accuracy=0.5, test_accuracy=0.9, batch_size=2, **own)
    rows += on_seeds(validation_accuracy=0.9, test_accuracy=0.8, batch_size=32, **own)
    rows += on_seeds(validation_accuracy=0.7, test_accuracy=0.1, batch_size=8, **own)
    effect = effect_of(5, 0, rows)
    assert effect.estimate == pytest.approx(0.1, abs=1e-3)
    assert effect.label == "batches of 2 against batches of 32, at equal examples, MLP on digits"


def test_the_best_size_may_be_one_without_batch_normalization() -> None:
    rows = normalized_sizes(True, "digits") + on_seeds(accuracy=0.95, batch_size=8)
    rows += on_seeds(accuracy=0.2, batch_size=2)
    found = judge(part_of(5, 0), {"normalization": made("normalization", rows)}.get)
    assert found.verdict == REFUTED
    assert found.found.effects[0].estimate == pytest.approx(-0.05, abs=1e-3)
    assert "−75.0 points (batches of 2 against batches of 8" in found.found.notes[0]


def test_a_size_that_batch_normalization_cannot_take_is_mentioned() -> None:
    rows = normalized_sizes(True, "digits")
    rows += on_seeds("skipped", normalization="batch", batch_size=1)
    found = judge(part_of(5, 0), {"normalization": made("normalization", rows)}.get)
    assert found.found.notes[-1] == "Batch normalization is not defined for batches of 1."


def test_an_exploded_trial_counts_at_chance() -> None:
    own = {"model": "mlp_deep", "depth": 8}
    rows = on_seeds(init_gain=1.0, **own) + on_seeds("nonfinite", init_gain=0.5, **own)
    assert effect_of(8, 2, rows).estimate == pytest.approx(0.9 - 1 / 10, abs=1e-3)


@pytest.mark.parametrize("budget", [{"epochs": 2.0}, {"epochs": None, "updates": 100}])
def test_a_target_that_is_missed_counts_at_the_whole_budget(budget: Row) -> None:
    own = {"model": "mlp_deep", "depth": 8, "samples": 2000, **budget}
    rows = on_seeds(init_gain=1.0, samples_to_target=500, **own) + on_seeds(init_gain=0.5, **own)
    # 2,000 examples against 500 and some
    assert effect_of(8, 0, rows).estimate == pytest.approx(0.25, abs=0.005)


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


def test_explosions_that_come_too_soon_show_no_rise_nor_its_absence() -> None:
    rows = on_seeds("dead", first_bad_step=3, norms=(1.0, 9.0))
    rows += on_seeds("dead", learning_rate=1.0, first_bad_step=21, norms=[1.0] * 19 + [4.0])
    rows += on_seeds(learning_rate=0.2, norms=[1.0] * 30)
    found = judge(part_of(1, 1), {"detectors": made("detectors", rows)}.get)
    assert found.pooled is not None
    assert found.pooled.estimate == 1.0
    assert found.found.notes == (
        "10 of the 20 explosions at a constant rate came too early to be observed.",
        "Of stable trials 0% show such a rise over the same steps.",
    )


@pytest.mark.parametrize("rising", [True, False])
def test_without_every_step_a_rise_is_looked_for_at_checkpoints(rising: bool) -> None:
    norms = (1.0, 2.0, 4.0, 8.0, 99.0) if rising else (1.0, 1.0, 1.0, 1.0, 99.0)
    rows = on_seeds(learning_rate=0.1)
    rows += on_seeds("dead", learning_rate=1.0, first_bad_step=90, norms=norms)
    found = judge(part_of(1, 1), {"explosion": made("explosion", rows)}.get)
    assert [effect.estimate for effect in found.found.effects] == [float(rising)]


def test_an_explosion_before_three_checkpoints_shows_nothing() -> None:
    rows = on_seeds(learning_rate=0.1)
    rows += on_seeds("dead", learning_rate=1.0, first_bad_step=30, norms=(1.0, 2.0, 4.0, 8.0, 16.0))
    found = explosion.rise(made("explosion", rows))
    assert found == Found((), ("no trial had 3 checkpoints before its first bad step",))


def test_configurations_that_no_rate_trains_are_counted() -> None:
    rows = grown(True, "digits") + on_seeds("dead", width=99, learning_rate=1.0)
    found = judge(part_of(1, 0), {"explosion": made("explosion", rows)}.get)
    assert found.found.notes == ("Left out: 1 configuration that no rate trains.",)


def test_a_lower_rate_that_stalls_on_one_seed_cures_nothing() -> None:
    rows = on_seeds("dead", learning_rate=10.0)
    rows += on_seeds(learning_rate=0.1, seeds=(0, 1)) + on_seeds(
        "stalled", learning_rate=0.1, seeds=(2,)
    )
    assert effect_of(2, 0, rows).estimate == 0.0


def test_a_higher_rate_is_no_lower_one() -> None:
    rows = on_seeds("dead", learning_rate=0.1) + on_seeds(learning_rate=1.0)
    assert effect_of(2, 0, rows).estimate == 0.0


@pytest.mark.parametrize(("number", "place"), [(5, 1), (6, 2), (7, 2)])
def test_where_hardly_anything_explodes_there_is_nothing_to_solve(number: int, place: int) -> None:
    rows = on_seeds() + on_seeds(normalization="batch")
    rows += on_seeds(batch_policy="doubling") + on_seeds(batch_policy="full")
    study = part_of(number, place).measurements[0].study
    found = judge(part_of(number, place), {study: made(study, rows)}.get)
    assert found.verdict == NOT_TESTED
    assert "nothing to solve" in found.aside


def test_one_batch_size_that_costs_accuracy_is_enough_for_a_claim_of_may() -> None:
    rows = mini_costs(True, "digits") + on_seeds(batch_size=64, epochs=1500.0)
    found = judge(part_of(10, 0), {"batch_updates": made("batch_updates", rows)}.get)
    assert len(found.found.effects) == 2
    assert found.verdict == SUPPORTED


def test_the_largest_batch_is_judged_against_the_smallest() -> None:
    rows = on_seeds(batch_size=8) + on_seeds(accuracy=0.89, batch_size=64)
    rows += on_seeds(accuracy=0.5, batch_size=512)
    found = judge(part_of(9, 0), {"critical_batch": made("critical_batch", rows)}.get)
    assert [e.about[0] for e in found.judging] == ["batches of 512 against 8"]
    assert found.pooled is not None
    assert found.pooled.estimate == pytest.approx(0.4, abs=1e-3)


def test_longer_training_is_judged_at_equal_rates() -> None:
    # ten times the best rate is another rate for each budget, and says nothing
    rows = on_seeds("dead", updates=100, **above(10, epochs=None))
    rows += on_seeds("stable", updates=400, **above(10, epochs=None) | {"learning_rate": 5.0})
    found = judge(part_of(13, 1), {"optimizers": made("optimizers", rows)}.get)
    assert found.verdict == NOT_TESTED
    equal = judge(
        part_of(13, 1), {"optimizers": made("optimizers", rows + longer(False, "digits"))}.get
    )
    assert equal.verdict == NO_EFFECT
    assert "After 100 and after 400 updates there diverge" in equal.notes[0]


def test_a_policy_and_the_fixed_sizes_are_compared_each_at_its_own_best_rate() -> None:
    rows = on_seeds(accuracy=0.8, learning_rate=0.1)
    rows += on_seeds(accuracy=0.9, learning_rate=1.0)
    rows += on_seeds(accuracy=0.85, learning_rate=0.1, batch_policy="doubling")
    rows += on_seeds(accuracy=0.1, learning_rate=1.0, batch_policy="doubling")
    assert effect_of(6, 1, rows).estimate == pytest.approx(-0.05, abs=1e-3)


def test_optimizers_are_judged_above_their_own_best_rates() -> None:
    effect = effect_of(13, 0, optimizers(True, "digits"))
    assert effect.estimate == pytest.approx(1.0, abs=1e-3)
    assert effect.about == ("Adam", "at 3 times the best rate", "MLP on digits")


@pytest.mark.parametrize(("validation", "low"), [(0.896, 0.0), (0.894, 1.0)])
def test_a_verdict_on_optimizers_holds_for_each_rate_as_good_as_the_best(
    validation: float, low: float
) -> None:
    """At three times a third of the best rate, SGD loses no more than Adam: half a point counts."""
    best = {"learning_rate": 0.3, "accuracy": 0.9, "seed": 100, "arm": "select"}
    as_good = {**best, "learning_rate": 0.1, "validation_accuracy": validation}
    rows = optimizers(True, "digits") + on_seeds(accuracy=0.9, learning_rate=0.3)
    rows += [trial(**best), trial(**as_good)]
    found = judge(part_of(13, 0), {"optimizers": made("optimizers", rows)}.get).found
    (effect,) = found.effects
    assert effect.estimate == pytest.approx(1.0, abs=1e-3)
    assert effect.low == pytest.approx(low, abs=0.02) if low else effect.low <= 0
    assert any("within half a point" in note for note in found.notes) == (low == 0)


def test_what_a_guard_saves_is_how_far_above_none_it_ends() -> None:
    rows = on_seeds(accuracy=0.9) + on_seeds(accuracy=0.7, disturbance="bad_batch")
    own = {"clipping": "zclip"}
    rows += on_seeds(accuracy=0.88, **own) + on_seeds(accuracy=0.83, disturbance="bad_batch", **own)
    # it ends at 83% where training without it ends at 70%
    effect = effect_of(13, 3, rows)
    assert (effect.estimate, effect.judges) == (pytest.approx(0.13, abs=2 * SPREAD), True)


def test_a_guard_at_another_rate_does_not_judge() -> None:
    rows = on_seeds(accuracy=0.9) + on_seeds(accuracy=0.7, disturbance="bad_batch")
    own = {"clipping": "zclip", "learning_rate": 0.3}
    rows += on_seeds(**own) + on_seeds(accuracy=0.8, disturbance="bad_batch", **own)
    found = judge(part_of(13, 3), {"disturbances": made("disturbances", rows)}.get)
    assert [e.judges for e in found.found.effects] == [False]


def test_what_was_run_at_the_rate_without_a_guard_judges_alone() -> None:
    bare = {"arm": "x0.3"}
    rows = on_seeds(accuracy=0.9, **bare) + on_seeds(accuracy=0.7, disturbance="bad_batch", **bare)
    # five points are lost at that rate, ten at the guard's own
    for arm, rate, lost in (("shared_x0.3", 0.1, 0.85), ("x0.3", 0.3, 0.8)):
        own = {"arm": arm, "clipping": "zclip", "learning_rate": rate}
        rows += on_seeds(accuracy=0.9, **own)
        rows += on_seeds(accuracy=lost, disturbance="bad_batch", **own)
    effect = effect_of(13, 3, rows)
    assert (effect.estimate, effect.judges) == (pytest.approx(0.15, abs=2 * SPREAD), True)


def test_the_price_of_a_guard_counts_against_what_it_makes_up() -> None:
    """Nothing is lost by what costs 15 points where nothing happens: it ends five above."""
    rows = on_seeds(accuracy=0.9) + on_seeds(accuracy=0.7, disturbance="bad_batch")
    rows += on_seeds(accuracy=0.75, clipping="zclip")
    rows += on_seeds(accuracy=0.75, clipping="zclip", disturbance="bad_batch")
    # what happens under another optimizer says nothing of plain SGD
    adam = {"optimizer": "adam", "learning_rate": 0.001}
    rows += on_seeds(**adam) + on_seeds(accuracy=0.5, disturbance="bad_batch", **adam)
    rows += on_seeds(clipping="zclip", **adam)
    rows += on_seeds(clipping="zclip", disturbance="bad_batch", **adam)
    effect = effect_of(13, 3, rows)
    assert effect.estimate == pytest.approx(0.05, abs=2 * SPREAD)


def test_where_less_than_a_point_is_lost_there_is_nothing_to_save() -> None:
    rows = on_seeds(accuracy=0.9) + on_seeds(accuracy=0.895, disturbance="bad_batch")
    rows += on_seeds(clipping="zclip") + on_seeds(disturbance="bad_batch", clipping="zclip")
    found = judge(part_of(13, 3), {"disturbances": made("disturbances", rows)}.get)
    assert "no disturbance costs a point" in found.aside


def disturbed(saved: dict[str, float], *settings: str) -> list[dict[str, Any]]:
    """Guards that save so much of 30 points, in each data set."""
    rows = []
    for dataset in settings:
        for clipping, much in ({"none": 0.0} | saved).items():
            rows += on_seeds(accuracy=0.9, clipping=clipping, dataset=dataset)
            hit = {"clipping": clipping, "disturbance": "bad_batch", "dataset": dataset}
            rows += on_seeds(accuracy=0.6 + much, **hit)
    return rows


def test_guards_are_judged_by_rule_and_the_middle_one_speaks() -> None:
    rules = {"zclip": 0.2, "adagc": 0.1, "value": -0.4}
    rows = disturbed(rules | {"skip_step": -0.5}, "digits", "mnist")
    found = judge(part_of(13, 3), {"disturbances": made("disturbances", rows)}.get)
    told = {e.about[:2]: e.estimate for e in found.judging}
    # the suite's own variant of a rule is shown, and judges nothing
    assert told == {
        ("ZClip", "2 comparisons"): pytest.approx(0.2, abs=1e-3),
        ("AdaGC", "2 comparisons"): pytest.approx(0.1, abs=1e-3),
        ("value clipping", "2 comparisons"): pytest.approx(-0.4, abs=1e-3),
    }
    assert found.pooled is not None
    assert found.pooled.about[0] == "AdaGC"
    assert (found.verdict, found.agreeing) == (SUPPORTED, "2 of 3")
    shown = [e.about[0] for e in found.found.effects if not e.judges]
    assert sorted(set(shown)) == ["AdaGC", "ZClip", "skip step", "value clipping"]


def test_one_rule_more_far_off_moves_no_verdict_on_the_others() -> None:
    rows = disturbed({"zclip": 0.2, "adagc": 0.1, "autoclip": 0.15}, "digits", "mnist")
    found = judge(part_of(13, 3), {"disturbances": made("disturbances", rows)}.get)
    assert found.pooled is not None
    assert found.verdict == SUPPORTED
    assert found.pooled.estimate == pytest.approx(0.15, abs=1e-3)


def test_guards_are_compared_at_one_rate_where_that_was_run() -> None:
    own = {"learning_rate": 1.0, "clipping": "zclip"}
    rows = on_seeds("dead", **above(10, learning_rate=1.0))
    rows += on_seeds(arm="shared_x10", **own) + on_seeds("dead", arm="x10", **own)
    assert effect_of(13, 2, rows).estimate == 1.0


def test_a_clipping_that_acted_on_no_step_is_no_comparison() -> None:
    rows = guarded(True, "digits")
    rows += on_seeds("dead", clipping="update_rms", clipped_fraction=0.0, **above(3))
    found = judge(part_of(13, 2), {"headline": made("headline", rows)}.get)
    assert [e.about[0] for e in found.found.effects] == ["ZClip"]


def test_prevention_is_judged_at_the_lowest_rate_at_which_a_trial_diverges() -> None:
    rows = []
    for times in (1, 3, 10):
        rows += on_seeds("dead" if times > 1 else "stable", **above(times))
        own = above(times, clipping="zclip")
        rows += on_seeds("dead" if times > 3 else "stable", **own)
    found = judge(part_of(13, 2), {"headline": made("headline", rows)}.get)
    assert [(e.about[1], e.judges) for e in found.found.effects] == [
        ("at 3 times the best rate", True),
        ("at 10 times the best rate", False),
    ]


def test_a_spike_that_heals_is_no_divergence() -> None:
    rows = on_seeds("recovered", **above(3)) + on_seeds(clipping="zclip", **above(3))
    found = judge(part_of(13, 2), {"headline": made("headline", rows)}.get)
    assert "no trial diverged on either side" in found.aside


def test_schedules_leave_the_rate_of_the_first_spike_where_it_is_and_heal_it() -> None:
    rows = [
        row | {"status": "dead"} if row["status"] == "dead" else row
        for row in scheduled(False, "digits")
    ]
    for row in rows:
        if row["schedule"] == "cosine" and row["status"] == "dead" and row["learning_rate"] < 20:
            row |= {"status": "recovered", "test_accuracy": 0.9, "validation_accuracy": 0.9}
    found = judge(part_of(3, 0), {"learning_rate": made("learning_rate", rows)}.get)
    assert found.verdict == SUPPORTED
    assert (
        found.notes[0]
        == "The rate from which the loss spikes goes up by +0.02 decades (the cosine schedule)."
    )


@pytest.mark.parametrize(("level", "changed"), [((10.0, 4.0), []), ((20.0, 8.0), [13])])
def test_verdicts_at_another_level_of_a_spike(
    level: tuple[float, float], changed: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = guarded(True, "digits")
    source = made("headline", rows)
    peaks = {row["trial"]: 15.0 if row["status"] == "dead" else 2.0 for row in rows}
    history = source.results.history.assign(train_loss_max=lambda h: h["trial"].map(peaks))
    source = Evidence(
        "headline", source.folder, dataclasses.replace(source.results, history=history)
    )
    monkeypatch.setattr(evidence, "load", {"headline": source}.get)
    monkeypatch.setattr(evidence, "load_steps", lambda study: None)
    load = {"headline": source}.get
    whole = [(claim, [judge(part, load) for part in claim.parts]) for claim in claims.CLAIMS]
    monkeypatch.setattr(judging, "all_judged", lambda: whole)
    found = judging.at_spike_level.__wrapped__(level)
    assert found["claim"].tolist() == changed


# rules, words and frames


def effect(
    estimate: float, low: float, high: float, *about: str, freedom: float = math.inf, **rest: Any
) -> Effect:
    return Effect(about, estimate, low, high, "", freedom=freedom, **rest)


def made_part(**settings: Any) -> Part:
    settings = {"limits": Limits(POINTS, 0.01, 0.0), **settings}
    return Part("", "", measurements=first_of("", lambda source: Found(), "grid"), **settings)


def lying(low: float, high: float, **settings: Any) -> Effect:
    return effect((low + high) / 2, low, high, **settings)


@pytest.mark.parametrize(
    ("low", "high", "word"),
    [
        (0.01, 0.03, SUPPORTED),
        # surely positive, perhaps too small to matter: that refutes nothing
        (0.002, 0.02, UNDECIDED),
        (0.002, 0.007, NO_EFFECT),
        (-0.007, 0.009, NO_EFFECT),
        (-0.007, -0.002, NO_EFFECT),
        (-0.03, 0.005, UNDECIDED),
        (-0.03, -0.002, REFUTED),
        (-0.03, 0.03, UNDECIDED),
    ],
)
def test_a_verdict_is_where_the_interval_lies(low: float, high: float, word: str) -> None:
    assert made_part().verdict_on(lying(low, high)) == word


@pytest.mark.parametrize(
    ("low", "high", "word"),
    [(0.5, 0.9, SUPPORTED), (0.49, 0.9, UNDECIDED), (0.2, 0.49, REFUTED)],
)
def test_a_share_of_most_is_refuted_below_it(low: float, high: float, word: str) -> None:
    assert made_part(limits=Limits(SHARE, 0.5)).verdict_on(lying(low, high)) == word


@pytest.mark.parametrize(
    ("low", "high", "word"),
    # within a tenth, as a ratio, to either side
    [(0.92, 1.08, NO_EFFECT), (0.90, 0.99, REFUTED), (0.90, 1.08, UNDECIDED)],
)
def test_limits_of_a_ratio_are_a_ratio_apart(low: float, high: float, word: str) -> None:
    assert made_part(limits=Limits(FOLD, 1.1, 1.0)).verdict_on(lying(low, high)) == word


@pytest.mark.parametrize(
    ("low", "high"), [(0.01, 0.03), (-0.03, 0.0), (-0.01, 0.002), (-0.002, 0.01)]
)
@pytest.mark.parametrize("freedom", [9, math.inf])
def test_the_test_of_a_verdict_is_as_strict_as_its_interval(
    low: float, high: float, freedom: float
) -> None:
    # a hair inside of where it decides
    low, high = (low + 1e-9, high - 1e-9)
    assert made_part().p_value(lying(low, high, freedom=freedom)) == pytest.approx(0.05, abs=1e-4)


def test_verdicts_on_comparisons_are_corrected_for_how_many_there_are() -> None:
    close, sure = lying(0.0101, 0.03), lying(0.03, 0.031)
    part = made_part()
    assert part.corrected([close]) == [SUPPORTED]
    assert part.corrected([sure, close, lying(0.0, 0.02)]) == [SUPPORTED, UNDECIDED, UNDECIDED]


@pytest.mark.parametrize(
    ("effects", "exists", "word"),
    [
        # together they reach a point, though one alone does not
        ([(0.015, 0.03), (0.007, 0.012)], False, SUPPORTED),
        ([(0.03, 0.04), (-0.04, -0.03)], False, MIXED),
        ([(0.03, 0.04), (-0.04, -0.03)], True, SUPPORTED),
        ([(-0.04, -0.03), (-0.02, -0.005)], True, REFUTED),
        ([], False, NOT_TESTED),
    ],
)
def test_a_part_is_judged_by_all_its_comparisons_together(
    effects: list[tuple[float, float]], exists: bool, word: str
) -> None:
    part = made_part(exists=exists)
    all_of_them = [lying(*ends) for ends in effects]
    assert part.verdict(all_of_them, part.corrected(all_of_them)) == word


def test_what_stands_beside_does_not_judge() -> None:
    part = made_part(beside="at equal updates")
    effects = [
        dataclasses.replace(lying(0.02, 0.03), about=("at equal examples",)),
        dataclasses.replace(lying(0.02, 0.03), about=("at equal updates",)),
        lying(0.02, 0.03, judges=False),
    ]
    assert part.judging(effects) == effects[:1]


def test_a_part_with_comparisons_beside_alone_is_not_tested_and_says_so() -> None:
    rows = on_seeds("dead", **above(10)) + on_seeds(normalization="batch", **above(10))
    found = judge(part_of(5, 1), {"headline": made("headline", rows)}.get)
    assert (found.verdict, len(found.found.effects)) == (NOT_TESTED, 1)
    assert "no comparison of the study `headline` judges it. In 1 comparison beside" in found.aside


def test_a_pool_of_unanimous_comparisons_is_no_narrower_than_independent_ones() -> None:
    # in one all ten seeds are saved, in the other none: left out one by one they show no spread
    saved, lost = (prevented(pairs([(end, 1)] * 10), ()) for end in (0, 1))
    found = pooled([saved, lost])
    assert found is not None
    half = math.hypot(2 * 0.27753, 0.27753) / 2
    assert (found.estimate, found.low) == pytest.approx((0.5, 0.5 - half), abs=1e-4)
    assert found.high == pytest.approx(0.5 + 0.27753 / 2, abs=1e-4)


def test_effects_of_the_same_seeds_are_pooled_over_the_seeds() -> None:
    one = difference(pairs([(0.5, 0.4), (0.7, 0.4), (0.6, 0.4)]), ())
    other = difference(pairs([(0.7, 0.4), (0.5, 0.4), (0.6, 0.4)]), ())
    found = pooled([one, other])
    assert found is not None
    # what one gains on a seed the other loses: the mean has no spread, and the ends are averaged
    assert (found.estimate, found.low) == pytest.approx((0.2, one.low))
    third = difference(pairs([(0.7, 0.4), (0.6, 0.4), (0.6, 0.4)]), ())
    found = pooled([one, third])
    assert found is not None
    assert found.high - found.low < one.high - one.low


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([SUPPORTED, SUPPORTED], SUPPORTED),
        ([REFUTED], REFUTED),
        ([NO_EFFECT, NO_EFFECT], NO_EFFECT),
        ([NO_EFFECT, REFUTED], REFUTED),
        ([SUPPORTED, REFUTED], MIXED),
        ([SUPPORTED, NO_EFFECT], MIXED),
        ([MIXED, UNDECIDED], MIXED),
        ([REFUTED, UNDECIDED], UNDECIDED),
        ([SUPPORTED, UNDECIDED], UNDECIDED),
        ([SUPPORTED, REFUTED, UNDECIDED], MIXED),
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


def test_many_effects_are_told_by_their_sides() -> None:
    rows = [
        row
        for gain, name in enumerate(("cosine", "step", "one_cycle", "plateau"))
        for row in on_seeds(accuracy=0.8 + 0.05 * gain, schedule=name)
    ]
    source = made("optimizers", rows + on_seeds(accuracy=0.85))
    found = judge(part_of(11, 1), {"optimizers": source}.get)
    # the middle one of four, the lower of two
    assert found.pooled_words == "0.0 points (0.0 to 0.0)"
    assert found.aside.startswith(
        "Supported: the one cycle schedule and the plateau schedule. Refuted: the cosine schedule. "
        "No effect: the step schedule."
    )
    assert (found.verdict, found.agreeing, found.sides) == (NO_EFFECT, "2 of 4", "2 / 1 / 1 / 0")
    assert found.told(0).endswith("and −5.0 points (the cosine schedule)")


def mixed_up(**more: Any) -> Judged:
    """Two schedules on two networks, of which one pair supports and the other refutes."""
    rows = []
    for name, gain in (("cosine", 0.05), ("step", 0.0)):
        for model in ("mlp", "cnn"):
            lean = gain if model == "mlp" or not more else 0.05 - gain
            rows += on_seeds(accuracy=0.8 + lean, schedule=name, model=model)
    rows += on_seeds(accuracy=0.8, model="mlp") + on_seeds(accuracy=0.8, model="cnn")
    found = judge(part_of(11, 1), {"optimizers": made("optimizers", rows)}.get)
    # each by itself, and not a schedule's together
    return found.on(e for e in found.found.effects if e.setting == e.about)


def test_what_it_depends_on_is_named_where_one_factor_tells() -> None:
    sides = "Supported: the cosine schedule. No effect: the step schedule."
    assert mixed_up().aside.startswith(sides)


def test_what_it_depends_on_is_listed_where_no_single_factor_tells() -> None:
    assert mixed_up(crossed=True).aside.startswith(
        "Supported: the cosine schedule, MLP on digits; and the step schedule, CNN on digits. "
        "No effect: the step schedule, MLP on digits; and the cosine schedule, CNN on digits."
    )


def test_a_part_can_be_judged_on_some_of_its_comparisons() -> None:
    whole = mixed_up()
    cosine = whole.among("cosine")
    assert [whole.count(SUPPORTED), whole.count(NO_EFFECT), whole.sides] == [2, 2, "2 / 0 / 2 / 0"]
    assert [cosine.verdict, cosine.sides] == [SUPPORTED, "2 / 0 / 0 / 0"]
    assert cosine.in_brackets == "+5.0 points, +5.0 to +5.0"
    assert whole.among("plateau").verdict == NOT_TESTED


def test_a_comparison_without_spread_is_counted_and_not_judged() -> None:
    effects = [effect(0.1, 0.05, 0.2, "x"), effect(0.1, NAN, NAN, "y")]
    assert found(effects).notes[0].startswith("Not counted: 1 in which all seeds agree")


@pytest.mark.parametrize(
    ("spread", "label"),
    [(0.0, "batches of 2 against batches of 32"), (0.2, "the worst size against the best")],
)
def test_the_worst_and_the_best_size_are_named_where_nothing_ties(
    spread: float, label: str
) -> None:
    rows = [
        trial(accuracy=0.8 + spread * math.sin(7 * seed + size), seed=seed, batch_size=size)
        for size in (8, 16)
        for seed in SEEDS
    ]
    rows += on_seeds(accuracy=0.7, batch_size=2) + on_seeds(accuracy=0.82, batch_size=32)
    found = judge(part_of(7, 1), {"normalization": made("normalization", rows)}.get)
    assert [e.about[0] for e in found.found.effects] == [label]


@pytest.fixture(scope="module")
def mixed() -> list[tuple[Any, list[Judged]]]:
    return [(c, [judged(c.number, k, BOTH) for k in range(len(c.parts))]) for c in claims.CLAIMS]


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
    assert points["effect"] == pytest.approx(5.0, abs=0.1)
    assert (points["unit"], points["enough"]) == ("percentage points", 1.0)
    assert points["study"] == "critical_batch"


def test_a_part_that_is_not_tested_has_one_row_without_an_effect() -> None:
    claim = claims.CLAIMS[0]
    rows = frame_of([(claim, [judge(part, lambda study: None) for part in claim.parts])])
    assert rows["verdict"].tolist() == [NOT_TESTED] * 3
    assert rows[["effect", "low", "high"]].isna().all(axis=None)


@pytest.mark.usefixtures("on_pages")
def test_one_row_a_claim(mixed: Any) -> None:
    rows = claims.by_claim()
    assert rows["claim"].tolist() == EVERY_CLAIM
    expected = [claim_verdict(parts) for _, parts in mixed]
    assert rows["verdict"].tolist() == expected
    assert len(set(expected)) > 2


@pytest.mark.parametrize("number", EVERY_CLAIM)
def test_a_section_shows_every_part_with_verdict_effect_and_measure(
    page: str, mixed: Any, number: int
) -> None:
    text = page[page.index(f"## Claim {number}: ") :].partition(" ## ")[0]
    parts = {c.number: parts for c, parts in mixed}[number]
    for j in parts:
        assert f"| {prose.opening(j.part.text)} | **{j.verdict}** | {j.pooled_words} |" in text
        assert f"{j.measurement.measured} {j.aside}".strip() in text


def test_the_table_has_every_claim_with_its_verdict_and_what_its_section_says_first(
    page: str, mixed: Any
) -> None:
    table = page[page.index("| | claim |") :].partition(" ## ")[0]
    for claim, parts in mixed:
        row = f"| {claim.number} | [{claim.text}](#claim-{claim.number}) | "
        short = table.partition(f"{row}**{claim_verdict(parts)}** | ")[2].partition(" |")[0]
        section = page.partition(f"(claim-{claim.number})= ")[2].partition(" (claim-")[0]
        assert short in section or short == ", ".join(j.verdict for j in parts)
        assert short
        assert f"(claim-{claim.number})=" in page


def test_the_headline_counts_the_claims(page: str, mixed: Any) -> None:
    verdicts = [claim_verdict(parts) for _, parts in mixed]
    assert f"by the rules below, {verdicts.count(SUPPORTED)} " in page
    assert f"{verdicts.count(MIXED)} are mixed" in page


def test_the_page_says_what_few_seeds_cannot_show(page: str) -> None:
    assert "The fewest seeds are 10. " in page
    # Wilson's bound of none of ten
    assert "up to 28% of other seeds may behave differently" in page


def test_the_figure_has_its_words(page: str) -> None:
    assert ':alt: "Forest plot of ' in page
    assert "claim 10 supported" in page
    assert "Studies `explosion`, `" in page


def test_effects_are_drawn_in_the_colours_of_their_verdicts(mixed: Any) -> None:
    rows = frame_of(mixed)
    drawing = figures.claims_forest(rows)
    labels = [axis.get_xlabel() for axis in drawing.axes]
    assert [re.split("[,;]", label)[0].rstrip(")") for label in labels] == [
        f"effect ({unit}" for unit in rows["unit"].unique()
    ]
    first = rows[rows["unit"] == rows["unit"].iloc[0]]
    points = [bars.lines[0] for bars in drawing.axes[0].containers]
    assert [p.get_xdata()[0] for p in points] == pytest.approx(first["effect"].tolist())
    assert [to_hex(p.get_color()) for p in points] == [
        to_hex(figures.VERDICT_STYLES[word].colour) for word in first["verdict"]
    ]


def test_the_comparisons_of_a_claim_have_their_names_where_they_are_not_many(mixed: Any) -> None:
    rows = frame_of([entry for entry in mixed if entry[0].number == 9])
    drawing = figures.claim_comparisons(rows)
    (axis,) = drawing.axes
    assert axis.get_title() == rows["part"].iloc[0]
    shown = [tick.get_text().replace("\n", " ") for tick in axis.get_yticklabels()]
    assert shown == rows["comparison"].tolist()
    many = pd.concat([rows] * 20)
    (axis,) = figures.claim_comparisons(many).axes
    # of many, those that begin alike stand under one name
    levels = list(dict.fromkeys(many["comparison"].str.partition(", ")[0]))
    assert sorted(t.get_text().replace("\n", " ") for t in axis.get_yticklabels()) == sorted(levels)
    assert len(axis.containers) == len(many)


def test_what_all_names_of_a_part_end_in_stands_in_its_title(mixed: Any) -> None:
    rows = frame_of([entry for entry in mixed if entry[0].number == 4])[:2]
    names = ["Adam, at 10 times the best rate, MLP", "Lion, at 10 times the best rate, MLP"]
    (axis,) = figures.claim_comparisons(rows.assign(comparison=names, part="few diverge")).axes
    assert [tick.get_text() for tick in axis.get_yticklabels()] == ["Adam", "Lion"]
    title = "few diverge (at 10 times the best rate, MLP)"
    assert axis.get_title().replace("\n", " ") == title


def test_parts_in_one_unit_have_one_scale(mixed: Any) -> None:
    rows = frame_of([entry for entry in mixed if entry[0].number == 13])
    drawing = figures.claim_comparisons(rows)
    units = rows.drop_duplicates("part")["unit"].tolist()
    scales = {(unit, axis.get_xlim()) for unit, axis in zip(units, drawing.axes, strict=True)}
    assert len(scales) == len(set(units)) < len(units)


@pytest.mark.parametrize(
    "seen",
    # deuteranopia and protanopia of linear RGB (Machado, Oliveira and Fernandes 2009)
    [
        [[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]],
        [[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]],
    ],
)
def test_colours_of_verdicts_differ_for_colour_blind_readers(seen: list[list[float]]) -> None:
    colours = np.array([to_rgb(style.colour) for style in figures.VERDICT_STYLES.values()])
    shown = np.clip(colours**2.2 @ np.array(seen).T, 0, 1) ** (1 / 2.2)
    gaps = np.linalg.norm(shown[:, None] - shown, axis=-1)
    assert gaps[np.triu_indices(len(shown), 1)].min() > 0.2


def test_the_figure_of_all_claims_has_one_effect_a_part(mixed: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(judging, "all_judged", lambda: mixed)
    rows = claims.by_part()
    assert len(rows) == len(EVERY_PART)
    assert list(rows.columns) == list(judging.COLUMNS)
    assert rows["comparison"].iloc[0] == mixed[0][1][0].agreeing
    # one comparison supports by 100%, the other refutes at 0%: in the mean a half
    assert rows["effect"].iloc[0] == pytest.approx(50.0)


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


def test_the_page_of_experiments_names_the_studies_that_judge_each_claim() -> None:
    text = (Path(__file__).parents[1] / "docs" / "experiments.md").read_text(encoding="utf-8")
    named: dict[int, set[str]] = {}
    for number, studies in re.findall(
        r"^\| (\d+) \| [^|]+ \| ([^|]+) \|", text, flags=re.MULTILINE
    ):
        named.setdefault(int(number), set()).update(re.findall(r"`(\w+)`", studies))
    assert named == {
        claim.number: {part.measurements[0].study for part in claim.parts}
        for claim in claims.CLAIMS
    }


# clippings at one and the same rate


def at_ten_times(same_rate: bool) -> Evidence:
    """No clipping fails at ten times its best rate; clippings do at ten times their own alone."""
    rows = on_seeds(accuracy=0.1, learning_rate=1.0, arm="x10")
    rows += on_seeds(accuracy=0.9, learning_rate=0.1, arm="x1")
    for clipping in ("global_norm", "adaptive"):
        rows += on_seeds(accuracy=0.1, learning_rate=3.0, arm="x10", clipping=clipping)
        if same_rate:
            rows += on_seeds(accuracy=0.8, learning_rate=1.0, arm="shared_x10", clipping=clipping)
    return made("headline", rows)


def test_what_clipping_saves_is_told_at_the_rate_that_all_share() -> None:
    study = at_ten_times(same_rate=True)
    (found,) = headline.far_above(study, "none")
    assert found["sets"]["effect"].tolist() == [pytest.approx(0.7, abs=2 * SPREAD)]
    # neither is the winner where they tie
    assert set(str(found["names"]).split(" and ")) == {"global-norm clipping", "adaptive clipping"}
    own = headline.against_none(study).set_index("level")["effect"]
    assert own.abs().max() < 2 * SPREAD


def on_two_data_sets(accuracies: dict[str, tuple[float, float]], **more: Any) -> Evidence:
    """No clipping and others at ten times its best rate: accuracy on either data set by name."""
    rows: Rows = []
    for place, dataset in enumerate(("mnist", "fashion-mnist")):
        rows += on_seeds(accuracy=0.9, learning_rate=0.1, arm="x1", dataset=dataset)
        for clipping, each in accuracies.items():
            arm = "x10" if clipping == "none" else "shared_x10"
            made_of = {"arm": arm, "clipping": clipping, "dataset": dataset, **more}
            rows += on_seeds(accuracy=each[place], learning_rate=1.0, **made_of)
    return made("headline", rows)


def test_what_raising_the_rate_costs_is_told_against_the_best_rate() -> None:
    study = on_two_data_sets({"none": (0.1, 0.2), "value": (0.8, 0.7)})
    cost = headline.raised(study, same_rate=True).cost.set_index(["level", "dataset"])["effect"]
    expected = {
        ("none", "mnist"): -0.8,
        ("none", "fashion-mnist"): -0.7,
        ("value", "mnist"): -0.1,
        ("value", "fashion-mnist"): -0.2,
    }
    assert cost.to_dict() == pytest.approx(expected, abs=2 * SPREAD)


def test_the_best_clipping_is_reported_where_it_was_not_chosen() -> None:
    study = on_two_data_sets({"none": (0.1, 0.1), "value": (0.8, 0.3), "adagc": (0.5, 0.6)})
    found = headline.elsewhere(study).set_index("chosen_on")
    assert found["level"].to_dict() == {"mnist": "value", "fashion-mnist": "adagc"}
    assert found["effect"].to_dict() == pytest.approx(
        {"mnist": 0.2, "fashion-mnist": 0.4}, abs=2 * SPREAD
    )
    assert found["cost"].to_dict() == pytest.approx(
        {"mnist": -0.6, "fashion-mnist": -0.4}, abs=2 * SPREAD
    )


def test_rules_that_cannot_be_told_apart_share_their_rank() -> None:
    accuracies = {"none": (0.1, 0.1), "value": (0.8, 0.8), "adagc": (0.8, 0.8), "zclip": (0.5, 0.5)}
    study = on_two_data_sets(accuracies)
    found = where(headline.rules(study), times=10)
    places = found.set_index("level")["place"].to_dict()
    assert places == {"value": 1, "adagc": 1, "zclip": 3, "none": 4}


def test_rules_that_do_the_same_are_named_together() -> None:
    study = on_two_data_sets({"none": (0.1, 0.1), "global_norm": (0.8, 0.7)})
    rows = study.results.trials
    rows = rows.assign(train_loss=[float(place) for place in range(len(rows))])
    copied = where(rows, clipping="global_norm").assign(clipping="zclip_capped")
    copied["trial"] = "copy of " + copied["trial"]
    results = dataclasses.replace(study.results, trials=pd.concat([rows, copied]))
    study = dataclasses.replace(study, results=results)
    found = where(headline.rules(study), times=10)
    assert list(found["rule"]) == ["global norm and capped ZClip", "none"]


@pytest.mark.parametrize(("share", "named"), [(0.0, ["update_rms"]), (0.01, [])])
def test_a_rule_that_changed_no_step_is_not_ranked(share: float, named: list[str]) -> None:
    accuracies = {"none": (0.1, 0.1), "update_rms": (0.1, 0.1)}
    study = on_two_data_sets(accuracies, clipped_fraction=share)
    found = headline.raised(study, same_rate=True).idle
    assert list(found["level"]) == named
    assert ("update_rms" in set(headline.rules(study)["level"])) != bool(named)


def test_without_trials_at_shared_rates_each_stands_at_its_own() -> None:
    (found,) = headline.far_above(at_ten_times(same_rate=False), "none")
    assert (found["model"], "names" in found) == ("mlp", False)


def test_data_sets_on_which_clipping_saves_unlike_much_stand_apart() -> None:
    study = on_two_data_sets({"none": (0.1, 0.5), "value": (0.9, 0.8), "adagc": (0.3, 0.6)})
    (found,) = headline.far_above(study, "none")
    saved = found["sets"].set_index("dataset")["effect"].to_dict()
    assert saved == pytest.approx({"mnist": 0.8, "fashion-mnist": 0.3}, abs=2 * SPREAD)


@pytest.mark.parametrize(("device", "share"), [("a CPU", 0.0), ("a GPU", 1 / 4)])
def test_pairs_of_two_devices_are_counted(device: str, share: float) -> None:
    study = on_two_data_sets({"none": (0.6, 0.6), "value": (0.8, 0.8)})
    rows = study.results.trials
    rows = rows.assign(device=rows["clipping"].map({"none": "a CPU"}).fillna(device))
    study = dataclasses.replace(study, results=dataclasses.replace(study.results, trials=rows))
    assert headline.mixed_devices(study) == pytest.approx(share)


# at tuned thresholds


def with_further_thresholds() -> Evidence:
    """Value clipping is the worse at its default threshold, and the better at another one."""
    study = on_two_data_sets({"none": (0.1, 0.2), "value": (0.5, 0.5), "global_norm": (0.7, 0.7)})
    default = {"value": 0.01, "global_norm": 1.0}
    trials = study.results.trials
    trials = trials.assign(clipping_threshold=trials["clipping"].map(default))
    rows = [trials]
    for clipping, threshold, accuracy in (
        ("value", 0.001, 0.88),
        ("value", 0.0001, 0.3),
        ("global_norm", 0.1, 0.6),
    ):
        more = where(trials, clipping=clipping)
        gained = accuracy - {"value": 0.5, "global_norm": 0.7}[clipping]
        arm, trial = "threshold_x10", f"{clipping} {threshold} " + more["trial"]
        at = more.assign(arm=arm, trial=trial, clipping_threshold=threshold)
        columns = ["test_accuracy", "validation_accuracy"]
        rows.append(at.assign(**{c: at[c] + gained for c in columns}))
    results = dataclasses.replace(study.results, trials=pd.concat(rows, ignore_index=True))
    return dataclasses.replace(study, results=results)


def test_clippings_are_ranked_at_thresholds_that_other_seeds_choose() -> None:
    found = headline.tuned_rules(with_further_thresholds())
    rows = found.drop_duplicates("level").set_index("level")
    assert rows["place"].to_dict() == {"value": 1, "global_norm": 2}
    assert rows["threshold"].to_dict() == {"value": 0.001, "global_norm": 1.0}
    assert rows["edge"].to_dict() == {"value": "", "global_norm": "high"}
    assert rows["cost"].to_dict() == pytest.approx(
        {"value": -0.02, "global_norm": -0.2}, abs=2 * SPREAD
    )
    assert rows["default_cost"].to_dict() == pytest.approx(
        {"value": -0.4, "global_norm": -0.2}, abs=2 * SPREAD
    )


def test_further_thresholds_are_not_taken_for_the_default() -> None:
    study, same = with_further_thresholds(), {"same_rate": True}
    saved = headline.raised(study, **same).saved.set_index(["level", "dataset"])["effect"]
    assert saved["value", "mnist"] == pytest.approx(0.4, abs=2 * SPREAD)
    assert len(study.shared) == len(where(headline.every_trial(study, **same), **OF_DEFAULTS))


OF_DEFAULTS = {
    "series": "10 ×, default threshold",
    "level": ["value (0.01)", "global norm (1)"],
}


def test_the_rule_that_is_best_when_tuned_is_drawn_first() -> None:
    rows = headline.every_trial(with_further_thresholds(), same_rate=True)
    assert list(rows["series"].unique())[-1] == "10 ×, tuned threshold"
    assert list(rows["level"].unique()) == ["value (0.01)", "global norm (1)", "none"]


def test_without_further_thresholds_nothing_is_tuned() -> None:
    study = on_two_data_sets({"none": (0.1, 0.2), "value": (0.5, 0.5)})
    assert headline.tuned(study) is None
    assert headline.tuned_rules(study).empty


def test_who_learns_far_above_the_best_rate_is_counted() -> None:
    study = on_two_data_sets({"none": (0.1, 0.9)})
    found = headline.survival(study).set_index("dataset")
    assert found["learned"].to_dict() == {"mnist": 0.0, "fashion-mnist": 1.0}
    assert (found["best"] == 0.1).all()
    assert (found["raised"] == 1.0).all()
    assert 0 < found["learned_high"]["mnist"] < 0.6


def test_a_study_names_all_that_made_its_rows() -> None:
    earlier = {"commit": "b" * 40, "dirty": True, "device": "a GPU"}
    metadata = {"commit": "a" * 40, "device": "a CPU", "earlier_makers": [earlier]}
    source = made("grid", on_seeds())
    source = Evidence("grid", source.folder, dataclasses.replace(source.results, metadata=metadata))
    assert source.commit == "aaaaaaa and bbbbbbb with local changes"
    assert source.device == "a CPU and a GPU"


def test_accuracy_is_told_by_the_number_of_updates() -> None:
    own = {"optimizer": "adam", "learning_rate": 0.01, "batch_size": 128, "updates": 100}
    rows = on_seeds(accuracy=0.9, **own)
    rows += on_seeds(accuracy=0.95, **own | {"updates": 1500, "steps": 1500})
    found = judge(part_of(14, 0), {"article": made("article", rows)}.get)
    said = re.findall(r"(9\d)\.\d% \(.*?, ([\d,]+) updates\)", found.found.notes[0])
    assert said == [("90", "100"), ("95", "1,500")] or said == [("89", "100"), ("94", "1,500")]


# verdicts by other rules


@pytest.mark.parametrize(
    ("limits", "half", "double"),
    [
        (Limits(POINTS, 0.01, 0.0), 0.005, 0.02),
        (Limits(POINTS, -0.01), -0.005, -0.02),
        (Limits(SHARE, 0.3, 0.0), 0.15, 0.6),
        # odds of 1 / 1
        (Limits(SHARE, 0.5), 1 / 3, 2 / 3),
        (Limits(FOLD, 1.44, 1.0), 1.2, 1.44**2),
    ],
)
def test_limits_halved_and_doubled(limits: Limits, half: float, double: float) -> None:
    ends = [robustness.scaled(limits, times) for times in (0.5, 1.0, 2.0)]
    assert [end.enough for end in ends] == pytest.approx([half, limits.enough, double])
    moved = limits.none == limits.enough
    assert ends[2].none == pytest.approx(double if moved else limits.none)


def planted(*effects: Effect, **settings: Any) -> Judged:
    part = made_part(**settings)
    return Judged(part, part.measurements[0], None, Found(effects))


def test_other_rules_find_what_the_rules_in_force_leave_out() -> None:
    judged = planted(
        effect(0.03, 0.021, 0.04, "a", "MLP"),
        effect(0.03, 0.015, 0.04, "b", "CNN"),
        effect(-0.3, -0.31, -0.29, "c", "at equal updates", "MLP"),
        effect(0.0, -0.001, 0.001, "d", "MLP", judges=False),
        beside="at equal updates",
    )
    found = {words: other.verdict for words, other in robustness.by_other_rules(judged)}
    assert judged.verdict == SUPPORTED
    assert found == {
        "limit halved": SUPPORTED,
        # the mean of the lower ends is 1.8 points
        "limit doubled": UNDECIDED,
        "every comparison judges": MIXED,
        "at equal updates alone": REFUTED,
        "what is only shown alone": NO_EFFECT,
        "MLP alone": SUPPORTED,
        "CNN alone": SUPPORTED,
    }


def test_a_part_on_one_network_has_its_limits_alone_as_alternatives() -> None:
    judged = planted(effect(0.03, 0.021, 0.04, "a", "MLP"))
    assert [words for words, _ in robustness.by_other_rules(judged)] == [
        "limit halved",
        "limit doubled",
    ]


def test_a_silent_failure_counts_where_any_failure_does() -> None:
    source = made("headline", [trial("stalled"), trial("dead", seed=1), trial(seed=2)])
    assert source.outcomes["diverged"].tolist() == [0.0, 1.0, 0.0]
    assert source.of_any_failure().outcomes["diverged"].tolist() == [1.0, 1.0, 0.0]


def test_verdicts_under_alternatives_are_counted_by_part() -> None:
    rows = [
        (1, 1, "a", SUPPORTED, "limit halved", SUPPORTED),
        (1, 1, "a", SUPPORTED, "limit doubled", UNDECIDED),
        (1, 2, "b", SUPPORTED, "limit halved", NO_EFFECT),
        (2, 1, "c", UNDECIDED, "limit halved", SUPPORTED),
        (2, 2, "d", SUPPORTED, "limit halved", SUPPORTED),
    ]
    found = robustness.by_part(pd.DataFrame(rows, columns=list(robustness.COLUMNS)))
    assert found["agree"].tolist() == [1, 0, 0, 1]
    assert found["of"].tolist() == [2, 1, 1, 1]
    assert found["turned"].tolist() == [False, True, False, False]
    assert found["changes"].tolist() == [
        "undecided: limit doubled",
        "no effect: limit halved",
        "supported: limit halved",
        "",
    ]


def test_what_a_larger_batch_costs_has_beside_it_one_that_makes_many_updates() -> None:
    """At equal examples 512 makes few updates and costs five points; 32 makes enough, and none."""
    own: Any = {"dataset": "digits", "epochs": 50.0}
    sizes_run = {8: 0.9, 32: 0.9, 512: 0.85}
    rows = [on_seeds(accuracy=found, batch_size=size, **own) for size, found in sizes_run.items()]
    part = part_of(9, 0)
    source = made(part.measurements[0].study, [row for some in rows for row in some])
    found = judge(part, {source.study: source}.get)
    (judging,), (beside,) = found.judging, found.not_judging.judging
    assert [e.about[0] for e in (judging, beside)] == [
        "batches of 512 against 8",
        "batches of 32 against 8",
    ]
    assert [judging.estimate, beside.estimate] == pytest.approx([0.05, 0.0], abs=0.001)
    for effect, size in ((judging, 512), (beside, 32)):
        many, most = effect.about[1].replace(",", "").split(" updates in place of ")
        assert int(most) / int(many) == pytest.approx(size / 8, rel=0.1)


def test_another_study_that_measures_the_same_is_an_alternative(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    other = made("normalization", faster_costs(False, "digits"))
    monkeypatch.setattr(evidence, "load", {"normalization": other}.get)
    monkeypatch.setattr(evidence, "load_steps", lambda study: None)
    own = judged(9, 0, FOR)
    assert own.verdict == SUPPORTED
    assert {words: j.verdict for words, j in robustness.on_other_studies(own)} == {
        "on the study normalization": NO_EFFECT,
        "on the study batch_updates": NOT_TESTED,
    }
