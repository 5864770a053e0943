"""When training explodes and what a test for NaN misses, on made outcomes."""

import itertools
import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from pages import evidence_of, page, words
from test_grid_pages import DEFAULTS
from test_onset import steps_of

from benchmark import figures
from benchmark.records import Trial
from report import evidence, explosion, index

NAN = math.nan
RATES = (0.01, 0.1, 0.3, 1.0, 10.0)
SCHEDULES = ("constant", "warmup_cosine")


def trials_of(study, configurations, outcome):
    rows = []
    for made in configurations:
        trial = Trial(**{"depth": 1, "updates": 100, **made})
        names = {"study": study, "trial": trial.key, "cell": trial.cell}
        rows.append({**DEFAULTS, "examples": 1000, **names, **trial.row(), **outcome(made)})
    return evidence_of(study, pd.DataFrame(rows))


def grid(**levels):
    return [
        dict(zip(levels, combination, strict=True))
        for combination in itertools.product(*levels.values())
    ]


def lost(status="dead", bad=2.0):
    return {"status": status, "first_bad_step": bad, "test_accuracy": 0.1} | {
        "validation_accuracy": 0.1
    }


def best_at_a_tenth(made: dict[str, Any]) -> dict[str, Any]:
    """Best at the rate 0.1; from 0.3 on an overshoot, a loss and NaN, the further the worse."""
    rate = made["learning_rate"]
    if rate == 0.3:
        return {"status": "recovered", "first_bad_step": 2.0, "validation_accuracy": 0.7}
    if rate > 0.3:
        return lost("dead" if rate == 1 else "nonfinite")
    return {"validation_accuracy": 0.85 if rate == 0.1 else 0.75}


PLAIN = trials_of(
    "learning_rate", grid(model=["mlp"], learning_rate=RATES, seed=range(3)), best_at_a_tenth
)


def clipped_late(made: dict[str, Any]) -> dict[str, Any]:
    """Clipping keeps 1.0 from exploding and 10 finite; at 0.01 it is too slow to learn."""
    rate, clipped = made["learning_rate"], made["clipping"] == "global_norm"
    if clipped and not 0.1 <= rate <= 1:
        return {"status": "stalled", "test_accuracy": 0.1, "validation_accuracy": 0.1}
    if rate >= 1 and not clipped:
        return lost("nonfinite")
    return {"validation_accuracy": 0.8}


CLIPPED = trials_of(
    "explosion",
    grid(
        model=["mlp_deep"],
        clipping=["none", "global_norm"],
        learning_rate=(0.01, 0.1, 1.0, 10.0),
        seed=range(3),
    ),
    clipped_late,
)


def test_a_failure_without_a_spike_stands_beside_the_explosions():
    shares = explosion.by_clipping(CLIPPED).set_index("clipping")
    assert shares.loc["none", ["exploded", "unlearned"]].tolist() == [0.5, 0.5]
    assert shares.loc["global_norm", ["exploded", "unlearned"]].tolist() == [0.0, 0.5]


def test_networks_that_clipping_rescues_and_loses_are_told_apart_by_rate():
    found = explosion.swapped(CLIPPED, "global_norm")
    assert (found["rescued"], found["lost"], found["pairs"]) == (3, 3, 12)
    assert (found["rate"], found["low"], found["bare_low"]) == (0.1, 1.0, 0.0)
    assert found["high"] == pytest.approx(1 / 3)
    assert found["bare_high"] == pytest.approx(2 / 3)


def test_rates_are_placed_by_the_best_of_their_configuration():
    rows = explosion.placed(PLAIN).drop_duplicates("learning_rate")
    assert rows["times"].tolist() == pytest.approx([0.1, 1, 3, 10, 100])
    assert rows["band"].tolist() == [
        *["at most 3.5 ×"] * 3,
        "3.5 to 10 ×",
        "beyond 10 ×",
    ]


def test_arms_at_multiples_are_placed_by_their_arm():
    made = grid(learning_rate=[0.3], arm=["x1", "x3", "x10"], seed=[0, 1])
    rows = explosion.placed(trials_of("headline", made, lambda c: {}))
    assert rows["times"].tolist() == [1, 1, 3, 3, 10, 10]
    assert rows["band"].iloc[-1] == "3.5 to 10 ×"


def test_configurations_that_no_rate_trains_stand_apart():
    made = grid(model=["mlp_deep"], depth=[2, 20], learning_rate=[0.1, 1.0], seed=[0, 1])
    source = trials_of("explosion", made, lambda c: lost() if c["depth"] == 20 else {})
    bands = explosion.placed(source).groupby("depth")["band"].unique()
    assert explosion.NO_RATE in bands[20]
    assert explosion.NO_RATE not in bands[2]


def test_a_single_rate_has_no_place():
    source = trials_of("grid", grid(learning_rate=[0.1], seed=[0, 1]), lambda c: {})
    assert explosion.placed(source)[["times", "band"]].isna().all(axis=None)


def test_clipped_disturbed_and_range_tests_are_not_placed():
    kinds = [{"clipping": "value"}, {"disturbance": "bad_batch"}, {"schedule": "range_test"}, {}]
    made = [kind | rest for kind in kinds for rest in grid(learning_rate=RATES, seed=[0])]
    rows = explosion.placed(trials_of("learning_rate", made, best_at_a_tenth))
    assert len(rows) == len(RATES)


def test_bands_say_how_explosions_end():
    rows = explosion.by_band(PLAIN).set_index("band")
    assert rows["exploded"].tolist() == [3, 3, 3]
    assert rows["learned"].tolist() == [1, 0, 0]
    assert rows["share"].tolist() == pytest.approx([1 / 3] * 3)
    assert rows["early"].tolist() == [1, 1, 1]


@pytest.fixture
def load(monkeypatch):
    """Make pages find these studies, and steps where there are any."""

    def made(*sources, steps=None):
        found = {source.study: source for source in sources}
        monkeypatch.setattr(evidence, "load", found.get)
        monkeypatch.setattr(evidence, "all_studies", lambda: list(sources))
        table = None if steps is None else (evidence_of("detectors", pd.DataFrame()), steps)
        monkeypatch.setattr(evidence, "load_table", lambda *names: table)

    return made


def test_what_is_missed_is_counted_for_every_band(load):
    load(PLAIN)
    rows = explosion.missed_by_network()
    assert rows[["band", "said"]].values.tolist() == [
        ["at most 3.5 ×", "3 healed"],
        ["3.5 to 10 ×", "3 of 3"],
        ["beyond 10 ×", "0 of 3"],
        ["no rate trains", "–"],
    ]


def test_a_trial_of_two_studies_is_counted_once_and_scaled_weights_are_not(load):
    made = grid(learning_rate=RATES, seed=range(3))
    scaled = [row | {"init_gain": 2.0} for row in made]
    again = trials_of("headline", made, best_at_a_tenth)
    load(trials_of("grid", [*made, *scaled], best_at_a_tenth), again)
    rows = explosion.missed_by_network()
    assert rows["study"].unique().tolist() == ["headline"]
    assert rows["diverged"].sum() == 6


def test_what_acts_later_makes_no_second_divergence_of_a_network(load):
    """Schedules, policies and budgets count once, as at a constant rate; another size counts."""
    budgets = [{"updates": 500}, {"updates": None, "epochs": 1.0}]
    kinds = [{"schedule": "cosine"}, {"batch_policy": "doubling"}, *budgets, {"batch_size": 16}]
    made = grid(learning_rate=RATES, seed=range(3))

    def outcome(row):
        finite = row.get("schedule") == "cosine"
        return best_at_a_tenth(row) | ({"status": "dead"} if finite else {})

    again = [row | kind for kind in kinds for row in made]
    load(trials_of("headline", [*made, *again], outcome), trials_of("grid", made, best_at_a_tenth))
    rows = explosion.missed_by_network().set_index(["network", "band"])
    # of three seeds, with batches of 32 and of 16
    assert rows.loc[("mlp", "3.5 to 10 ×"), "said"] == "6 of 6"
    assert rows.loc[("mlp", "beyond 10 ×"), "said"] == "0 of 6"
    assert rows["study"].unique().tolist() == ["headline"]


def test_normalized_networks_have_no_part_in_it(load):
    made = grid(normalization=["batch"], learning_rate=RATES, seed=[0])
    load(trials_of("grid", made, best_at_a_tenth))
    assert explosion.missed_by_network().empty


def test_nothing_that_was_not_run_is_counted(load):
    load()
    assert explosion.missed_by_network().empty
    assert explosion.by_schedule().empty
    assert explosion.before() is None


def late_with_warm_up(made):
    found = best_at_a_tenth(made)
    warm = made.get("schedule") in explosion.WARM
    return found | {"first_bad_step": 40.0} if warm and "first_bad_step" in found else found


SCHEDULED = trials_of(
    "learning_rate",
    grid(schedule=reversed(SCHEDULES), learning_rate=RATES, seed=range(8)),
    late_with_warm_up,
)


def test_schedules_that_warm_up_stand_last(load):
    load(SCHEDULED)
    rows = explosion.by_schedule()
    assert rows["schedule"].tolist() == list(SCHEDULES)
    assert rows[["early", "began", "exploded", "trials"]].values.tolist() == [
        [1.0, 2.0, 24, 40],
        [0.0, 40.0, 24, 40],
    ]


def test_schedules_of_the_same_explosions_have_one_row(load):
    """A step decays too late to matter; a cosine keeps a seed from it, and one cycle is a row."""

    def outcome(made):
        spared = made["schedule"] == "cosine" and made["seed"] == 0
        return {"validation_accuracy": 0.75} if spared else late_with_warm_up(made)

    schedules = ("step", "one_cycle", "cosine", "constant", "warmup")
    made = grid(schedule=schedules, learning_rate=RATES, seed=range(3))
    load(trials_of("learning_rate", made, outcome))
    rows = explosion.by_schedule()
    assert rows[["schedule", "schedules", "exploded", "alike"]].values.tolist() == [
        ["constant", "constant and step", 9, 2],
        ["cosine", "cosine", 6, 1],
        ["one_cycle", "one cycle and warm-up", 9, 2],
    ]


def with_warm_up_alone(outcome):
    schedules = ("warmup", *SCHEDULES)
    made = grid(schedule=schedules, learning_rate=RATES, seed=range(8))
    return trials_of("learning_rate", made, outcome)


def half_prevented(made):
    """Warm-up alone keeps every other seed from exploding."""
    spared = made["schedule"] == "warmup" and made["seed"] % 2
    return {"validation_accuracy": 0.75} if spared else late_with_warm_up(made)


def test_warm_up_alone_stands_beside_a_constant_rate(load):
    load(with_warm_up_alone(half_prevented))
    rows = explosion.warm_alone(explosion.by_schedule())
    columns = ["schedule", "exploded", "exploded_bare", "early", "early_bare"]
    assert rows[columns].values.tolist() == [["warmup", 12, 24, 0.0, 1.0]]
    load(SCHEDULED)
    assert explosion.warm_alone(explosion.by_schedule()).empty


@pytest.mark.parametrize(
    ("outcome", "said"),
    [
        (
            late_with_warm_up,
            "**Warm-up alone delays explosions and prevents few:** there are 24 instead of 24",
        ),
        (half_prevented, "With warm-up alone there are 12 explosions instead of 24 in the MLP."),
    ],
)
def test_the_page_says_what_warm_up_alone_does(load, tmp_path, monkeypatch, outcome, said):
    monkeypatch.setattr(Figure, "savefig", lambda self, path, **_: path.write_text("svg"))
    load(CLIPPED, with_warm_up_alone(outcome))
    assert said in words(page("explosion", tmp_path))


def test_at_gain_one_the_ends_of_the_depths_are_told():
    rows = pd.DataFrame(
        [
            ("none", 2.0, 1.0, 1.0),
            ("none", 20.0, 1.0, 0.3),
            ("none", 8.0, 1.0, 0.5),
            ("none", 20.0, 2.0, 9.0),
            ("batch", 2.0, 1.0, NAN),
            ("batch", 20.0, 1.0, 3.0),
        ],
        columns=["normalization", "depth", "init_gain", "rate"],
    )
    assert explosion.at_gain_one(rows).to_dict("records") == [
        {"normalization": "none", "least": 2.0, "most": 20.0, "shallow": 1.0, "deep": 0.3}
    ]


RISING = steps_of(
    *[("fatal", 13, [1.0] * 11 + [4.0, 50.0])] * 6, *[("stable", NAN, [1.0] * 20)] * 6
)


def to_its_end(made: dict[str, Any]) -> dict[str, Any]:
    """At 1.0 an early explosion, a late one and a collapse without a spike, by seed."""
    if "updates" not in made or made["learning_rate"] < 1:
        return {}
    if made["seed"] == 2:
        return lost("collapsed", 700.0) | {"train_loss": 2.5}
    return lost(bad=(2.0, 500.0)[made["seed"]]) | {"first_spike_step": 2.0}


LONG = trials_of(
    "explosion",
    [
        *grid(model=["mlp_deep"], learning_rate=RATES, seed=range(3)),
        *grid(model=["mlp_deep"], learning_rate=(0.1, 1.0), updates=[3000], seed=range(3)),
    ],
    to_its_end,
)


def test_what_comes_late_is_counted_by_rate_and_a_collapse_without_a_spike_apart():
    assert explosion.survivors(LONG).values.tolist() == [[0.1, 3, 3, 0, 0], [1.0, 3, 2, 1, 1]]


def test_collapses_without_a_spike_are_found_in_every_study(load):
    load(LONG, PLAIN)
    found = explosion.silent_collapses()
    columns = ["study", "normalization", "trials", "low_rate", "high_rate", "high_loss"]
    assert found[columns].values.tolist() == [["explosion", "none", 1, 1.0, 1.0, 2.5]]
    assert found["guessing"].iloc[0] == pytest.approx(math.log(10))
    assert not found["repeats"].any()


def test_the_page_tells_of_a_death_without_a_spike(load, monkeypatch, tmp_path):
    monkeypatch.setattr(Figure, "savefig", lambda self, path, **_: path.write_text("svg"))
    load(LONG)
    text = words(page("explosion", tmp_path))
    assert "**A network can die without a spike.** 1 trial learned" in text
    assert "Of the 5 that had not exploded after 100 updates, 1 exploded later, and 1 fell" in text


def test_unobserved_explosions_alone_show_nothing(load):
    load(steps=steps_of(("fatal", 3, [1.0, 1.0, 50.0]), ("stable", NAN, [1.0] * 20)))
    assert explosion.before() is None


def test_the_page_says_when_and_after_what(load, monkeypatch, tmp_path):
    monkeypatch.setattr(Figure, "savefig", lambda self, path, **_: path.write_text("svg"))
    made = grid(model=["mlp_deep"], depth=[2, 20], learning_rate=RATES, seed=range(4))
    load(trials_of("explosion", made, best_at_a_tenth), SCHEDULED, steps=RISING)
    text = words(page("explosion", tmp_path))
    assert "**At a constant rate most explosions begin within 10 updates; with warm-up most" in text
    assert "**With a constant rate most explosions announce themselves:** the norm at" in text
    assert "at least doubles before 100% of them" in text
    assert "die without a spike" not in text
    assert "| constant | 6 | 6 | 100% (" in text
    assert "misses 8 of 8 deep networks that diverge, and 8 of 8 shallow ones" in text
    assert "| explosion | deep MLP | 8 healed | 8 of 8 | 0 of 8 |" in text
    assert "33% lie at more than ten times the configuration's best rate" in text


def test_norms_are_drawn_by_schedule_with_their_controls(load):
    load(steps=RISING)
    found = explosion.before()
    assert found is not None
    _, rises, curves = found
    assert rises["grew"].tolist() == [1.0]
    figure = figures.norms_before_explosion(curves, "schedule")
    lines = figure.axes[0].get_lines()
    assert np.asarray(lines[0].get_ydata())[-1] == 4.0
    assert np.asarray(lines[1].get_ydata())[-1] == 1.0
    assert figure.axes[0].get_title() == "constant (6 explosions)"


def test_rows_come_down_to_trials_that_differ(monkeypatch):
    """Two of four trials are in the study twice, by arm, and one of them in another study, too."""
    twice = grid(learning_rate=[0.1, 0.2], seed=[0, 1], arm=["x1"])
    twice += grid(learning_rate=[0.1], seed=[0, 1], arm=["shared_x1"])
    tuned = grid(learning_rate=[0.1], seed=[100], arm=["select"])
    first = trials_of("headline", twice + tuned, lambda made: {})
    second = trials_of("grid", grid(learning_rate=[0.1, 0.3], seed=[0]), lambda made: {})
    measured = trials_of("initialization", grid(seed=[0]), lambda made: {"steps": 0})
    others = trials_of("published", grid(seed=[0, 1]), lambda made: {})
    monkeypatch.setattr(evidence, "all_studies", lambda: [first, second, measured, others])
    assert index.counted() == {
        "rows": 12,
        "skipped": 0,
        "tuning": 1,
        "untrained": 1,
        "repeated": 2,
        "trained": 8,
        "distinct": 5,
        "within": 2,
    }
