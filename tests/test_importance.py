"""What matters: how variance divides, what the best share, and what tuning is worth."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pages import page, words
from test_explosion_page import grid, lost, trials_of

from benchmark import figures, statistics
from benchmark.statistics.variance import MORE, SEED
from report import batch_updates, evidence, importance

RATES, RULES = (0.01, 0.1, 1.0, 10.0, 100.0), ("none", "value", None)
FACTORS = ["learning_rate", "clipping", "model"]


def factorial(value: Any, seeds: int = 2) -> pd.DataFrame:
    """A complete grid of three factors with ``value(decade, clipping, sign of model, seed)``."""
    return pd.DataFrame(
        [
            {
                "learning_rate": rate,
                "clipping": clipping,
                "model": model,
                "seed": seed,
                "y": value(math.log10(rate), clipping, sign, seed),
            }
            for rate in RATES
            for clipping in RULES
            for model, sign in (("mlp", -1), ("cnn", 1))
            for seed in range(seeds)
        ]
    )


def is_value(clipping: Any) -> float:
    return float(clipping == "value")


def sign_of(clipping: Any) -> int:
    """A contrast of the three clippings, of mean zero."""
    return (clipping == "none") - (clipping is None)


@pytest.mark.parametrize(
    ("value", "shares"),
    [
        # variances: of -2 .. 2 it is 2; of 3 at one of three levels 2
        (
            lambda rate, rule, *_: rate + 3 * is_value(rule),
            {("learning_rate", ""): 0.5, ("clipping", ""): 0.5},
        ),
        (lambda rate, rule, *_: rate * sign_of(rule), {("learning_rate", "clipping"): 1.0}),
        (lambda rate, rule, sign, _: rate * sign_of(rule) * sign, {(MORE, ""): 1.0}),
        # a seed's own shift, of variance 1 beside that of the model
        (lambda rate, rule, sign, seed: sign + 2 * seed, {("model", ""): 0.5, (SEED, ""): 0.5}),
        (lambda *_: 1.0, {}),
    ],
    ids=["additive", "pair", "three", "seed", "constant"],
)
def test_the_variance_of_a_grid_divides_exactly(
    value: Any, shares: dict[tuple[str, str], float]
) -> None:
    found = statistics.variance_shares(factorial(value), FACTORS, "y")
    parts = found.set_index(["factor", "other"])["estimate"]
    assert parts.index.tolist() == [
        *((factor, "") for factor in FACTORS),
        ("learning_rate", "clipping"),
        ("learning_rate", "model"),
        ("clipping", "model"),
        (MORE, ""),
        (SEED, ""),
    ]
    expected = [shares.get(key, 0.0) for key in parts.index]
    assert parts.tolist() == pytest.approx(expected, abs=1e-12)


def test_the_shares_of_any_grid_add_up_to_the_whole() -> None:
    generator = np.random.default_rng(0)
    frame = factorial(lambda *_: generator.normal(), seeds=3).sample(frac=1, random_state=1)
    found = statistics.variance_shares(frame, FACTORS, "y")
    assert found["estimate"].sum() == pytest.approx(1.0)
    assert (found["low"] <= found["estimate"]).all()
    assert (found["estimate"] <= found["high"]).all()
    assert found["low"].ge(0).all()
    assert found["high"].le(1).all()


def test_the_interval_of_a_share_is_over_seeds() -> None:
    # each seed by itself: the rate has all, the clipping has all
    frame = factorial(lambda rate, rule, _, seed: rate if seed else 2 * is_value(rule))
    found = statistics.variance_shares(frame, FACTORS, "y").set_index(["factor", "other"])
    # with one seed left the share is 0 or 1: a jackknife deviation of 1/2, and t(1) = 12.7
    assert found.loc[("learning_rate", ""), ["low", "high"]].tolist() == [0.0, 1.0]
    one = statistics.variance_shares(frame[frame["seed"] == 0], FACTORS, "y")
    assert one[["low", "high"]].isna().all(axis=None)


@pytest.mark.parametrize("spoil", [lambda f: f.iloc[1:], lambda f: pd.concat([f, f.head(1)])])
def test_a_grid_with_a_gap_or_a_double_is_refused(spoil: Any) -> None:
    frame = spoil(factorial(lambda rate, *_: rate))
    assert not statistics.complete_grid(frame, FACTORS)
    with pytest.raises(ValueError, match=r"one trial for each .* 60 in all, but got (59|61) "):
        statistics.variance_shares(frame, FACTORS, "y")


def test_the_exact_shares_are_those_of_optunas_forest() -> None:
    optuna = pytest.importorskip("optuna")
    frame = factorial(lambda rate, rule, sign, _: rate + 2 * is_value(rule) + sign * (rate > 0))
    exact = statistics.variance_shares(frame, FACTORS, "y").set_index("factor")["estimate"]
    codes = {factor: pd.factorize(frame[factor], use_na_sentinel=False)[0] for factor in FACTORS}
    spaces = {
        factor: optuna.distributions.FloatDistribution(-0.5, max(numbers) + 0.5)
        for factor, numbers in codes.items()
    }
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study()
    for i, value in enumerate(frame["y"]):
        params = {factor: float(numbers[i]) for factor, numbers in codes.items()}
        study.add_trial(optuna.trial.create_trial(params=params, distributions=spaces, value=value))
    forest = optuna.importance.FanovaImportanceEvaluator(n_trees=16, seed=0).evaluate(study)
    found = [forest[factor] / sum(forest.values()) for factor in FACTORS]
    singly = exact[FACTORS].groupby(level=0, sort=False).first()
    assert found == pytest.approx((singly / singly.sum()).tolist(), abs=0.06)


def random_trials(value: Any, count: int = 600) -> pd.DataFrame:
    """Trials of two factors that are drawn at random, on three seeds."""
    generator = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "learning_rate": 10 ** generator.uniform(-3, 2, count),
            "clipping": generator.choice([f"rule {i}" for i in range(12)], count),
            "seed": np.arange(count) % 3,
        }
    )
    return frame.assign(y=value(np.log10(frame["learning_rate"]), frame["clipping"], generator))


def test_main_effects_of_random_trials_are_free_of_chance() -> None:
    frame = random_trials(lambda rate, rule, generator: generator.normal(size=len(rate)))
    found = statistics.main_effects(frame, ["learning_rate", "clipping"], "y")
    # uncorrected, 12 levels of 600 trials would have 11 / 599 each by chance
    assert found["estimate"].tolist() == pytest.approx([0.0, 0.0], abs=0.02)
    assert (found["low"] < 0).all()
    assert (found["high"] > 0).all()


def test_main_effects_cut_continuous_rates_by_half_decades() -> None:
    frame = random_trials(lambda rate, *_: (rate > -0.5).astype(float))
    found = statistics.main_effects(frame, ["learning_rate", "clipping"], "y")
    # the step lies between two levels; linearly, nine tenths of the range would lie above it
    assert found["estimate"].tolist() == pytest.approx([1.0, 0.0], abs=0.05)


def test_main_effects_are_shares_of_the_variance() -> None:
    # 12 at one of twelve levels has the variance 144 / 12 (1 - 1 / 12) = 11, as has the noise
    frame = random_trials(
        lambda rate, rule, generator: (
            12.0 * (rule == "rule 0") + generator.normal(size=len(rate)) * 11**0.5
        ),
        count=6000,
    )
    found = statistics.main_effects(frame, ["clipping"], "y")
    assert found["estimate"].tolist() == pytest.approx([0.5], abs=0.04)


def test_ped_anova_finds_what_the_best_have_in_common() -> None:
    generator = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "clipping": np.tile(["none", "value", "adaptive", "global_norm"], 50),
            "other": np.repeat(["a", "b"], 100),
            "seed": np.arange(200) // 4 % 2,
        }
    )
    frame["y"] = generator.random(200) + 10 * (frame["clipping"] != "value")
    found = statistics.ped_anova(frame, ["other", "clipping"], "y")
    assert found["factor"].tolist() == ["other", "clipping"]
    assert found["estimate"].sum() == pytest.approx(1.0)
    assert found["estimate"].iloc[1] > 0.8


BASELINES = {"learning_rate": None, "clipping": "none", "normalization": "none"}


def tried(accuracy: Any, seeds: int = 3) -> pd.DataFrame:
    """Outcomes of a grid whose validation accuracy is a point above ``accuracy`` on test data."""
    rows = grid(
        learning_rate=(0.1, 1.0),
        clipping=("none", "value"),
        normalization=("none", "batch"),
        seed=range(seeds),
    )
    frame = pd.DataFrame(rows)
    frame["accuracy"] = [accuracy(row) for row in rows]
    return frame.assign(validation=frame["accuracy"] + 0.01, objective=0.0)


def test_the_path_tunes_what_gains_most_first() -> None:
    def accuracy(row: dict[str, Any]) -> float:
        right = row["learning_rate"] == 0.1
        gains = 0.4 * right + 0.02 * (row["normalization"] == "batch")
        # this clipping helps at the wrong rate alone
        return 0.3 + gains + (0.01 * row["seed"]) + 0.1 * (row["clipping"] == "value" and not right)

    found = statistics.tuning_path(tried(accuracy), BASELINES)
    assert found["factor"].tolist() == ["", "learning_rate", "normalization", "clipping"]
    assert found["configurations"].tolist() == [1, 2, 4, 8]
    # a rate that is drawn is right in half of the cases; seeds add 0.01 in the mean
    assert found["accuracy"].tolist() == pytest.approx([0.51, 0.71, 0.73, 0.73])
    assert found["effect"].tolist()[1:] == pytest.approx([0.2, 0.02, 0.0])


def test_levels_are_chosen_on_other_seeds_than_those_that_report_them() -> None:
    # each clipping is good on the seeds of its own: what two seeds choose fails on the third
    good = {0: "none", 1: "value", 2: "value"}
    frame = tried(lambda row: 0.9 if row["clipping"] == good[row["seed"]] else 0.5)
    found = statistics.tuned(frame, BASELINES, ["clipping"])
    # seed 0 is told by two, the others by a tie, of which the first in order is taken
    assert found["accuracy"].tolist() == [0.5, 0.5, 0.5]
    gain, low, high = statistics.tuning_gain(frame, BASELINES, [], ["clipping"])
    assert gain == pytest.approx(-0.4 / 3)
    assert low < gain < high


def test_one_seed_cannot_choose_and_report() -> None:
    assert statistics.tuned(tried(lambda row: 0.5, seeds=1), BASELINES, ["clipping"]).empty


LEVELS = {
    "learning_rate": (0.01, 0.1, 1.0),
    "clipping": ("none", "value"),
    "normalization": ("none", "batch"),
    "batch_policy": ("fixed", "doubling"),
    "seed": range(3),
}


def outcome(made: dict[str, Any]) -> dict[str, Any]:
    """Divergence at a rate of 1 without clipping; a tenth of a point is the seed's, or two."""
    if made["learning_rate"] == 1 and made["clipping"] == "none":
        return lost()
    accuracy = {0.01: 0.78, 0.1: 0.8, 1.0: 0.5}[made["learning_rate"]]
    accuracy += 0.001 * made["seed"]
    accuracy += (0.02 + 0.001 * made["seed"]) * (made["normalization"] == "batch")
    return {"validation_accuracy": accuracy, "test_accuracy": accuracy}


STUDY = trials_of("grid", grid(model=["mlp", "cnn"], **LEVELS), outcome)


def test_fewer_rates_about_the_best_leave_less_to_the_rate() -> None:
    rows = importance.divided(STUDY)
    assert rows["scope"].unique().tolist() == [importance.ALL, importance.OWN]
    assert importance.narrowest(STUDY) == importance.ALL
    rate = rows[rows["part"].eq("learning rate")]
    assert rate["scope"].tolist() == [importance.ALL] * 2
    own = rows[rows["scope"].eq(importance.OWN) & rows["part"].eq("normalization")]
    # 0.021 between two levels, beside 0.001 and 0.002 between neighbouring seeds of each
    levels, seeds = 0.0105**2, (0.001**2 + 0.002**2) / 2 * 2 / 3
    assert own["estimate"].tolist() == pytest.approx([levels / (levels + seeds)] * 2)
    assert own["spread"].tolist() == pytest.approx([(levels + seeds) ** 0.5] * 2)


def test_cuts_are_in_decades_from_the_best_rate() -> None:
    rates = tuple(10 ** (k / 2) for k in range(-6, 4))
    made = grid(model=["mlp"], learning_rate=rates, clipping=("none", "value"), seed=range(2))

    def near_a_tenth(row: dict[str, Any]) -> dict[str, Any]:
        accuracy = 0.8 - 0.1 * abs(math.log10(row["learning_rate"]) + 1)
        return {"validation_accuracy": accuracy, "test_accuracy": accuracy}

    rows = importance.divided(trials_of("grid", made, near_a_tenth))
    assert rows["scope"].unique().tolist() == [
        "all rates",
        "within a decade and a half of the best",
        "within a decade of the best",
        "each at its own best rate",
    ]
    # of 7 and 5 rates half a decade, 0.05, apart
    spreads = rows.drop_duplicates("scope")["spread"].tolist()[1:]
    means = [[0.15, 0.1, 0.05], [0.1, 0.05]]
    expected = [float(np.std([0.0, *far, *far])) for far in means]
    assert spreads == pytest.approx([*expected, 0.0], abs=1e-9)


def test_the_share_of_the_rate_depends_on_where_the_decade_lies() -> None:
    """Flat up to 0.1, its best by a hair, and falling above; value clipping costs a point."""
    rates = tuple(10 ** (k / 2) for k in range(-6, 4))
    made = grid(model=["mlp"], learning_rate=rates, clipping=("none", "value"), seed=range(2))

    def falls_late(row: dict[str, Any]) -> dict[str, Any]:
        beyond = math.log10(row["learning_rate"]) + 1
        accuracy = 0.8 - 0.1 * max(beyond, 0) - 0.01 * (row["clipping"] == "value")
        accuracy += 0.001 * (abs(beyond) < 0.1)
        return {"validation_accuracy": accuracy, "test_accuracy": accuracy}

    rows = importance.by_centre(trials_of("grid", made, falls_late))
    assert rows["centre"].tolist() == pytest.approx([10**-1.5, 0.1, 10**-0.5])
    assert rows["best"].tolist() == [False, True, False]
    assert rows["estimate"].is_monotonic_increasing
    assert rows["estimate"].iloc[0] < 0.98 < rows["estimate"].iloc[2]
    assert rows["leads"].all()
    assert rows["top"].unique().tolist() == ["learning rate"]
    assert rows["top_share"].tolist() == pytest.approx(list(rows["estimate"]))


def test_a_network_whose_grid_has_a_gap_is_left_out() -> None:
    made = [row for row in grid(model=["mlp", "cnn"], **LEVELS) if row != GAP]
    rows = importance.divided(trials_of("grid", made, outcome))
    assert rows["model"].unique().tolist() == ["mlp"]


GAP = grid(model=["cnn"], **LEVELS)[5]


def test_a_share_leads_where_its_interval_lies_above_all_others() -> None:
    rows = pd.DataFrame(
        {
            "model": [*"aabb"],
            "part": [*"xyxy"],
            "estimate": [0.5, 0.1, 0.2, 0.3],
            "low": [0.4, 0.0, 0.1, 0.2],
            "high": [0.6, 0.2, 0.3, 0.4],
        }
    )
    found = importance.leading(rows)
    assert found[["model", "part", "apart"]].values.tolist() == [
        ["a", "x", True],
        ["b", "y", False],
    ]


def test_a_rate_that_misses_the_best_is_told_by_its_ratio() -> None:
    rows = importance.misses(STUDY)
    assert rows["times"].tolist() == pytest.approx([0.1, 10.0] * 2)
    # 0.8 and a seed's share of 0.001 in the mean, against 0.1 where it is lost
    assert rows["effect"].tolist() == pytest.approx([-0.02, -0.701] * 2)


def test_configurations_near_the_best_are_counted() -> None:
    rows = importance.near_best(STUDY)
    # the two lower rates of three, and all at the best
    assert rows[["drawn", "own"]].values.tolist() == [pytest.approx([2 / 3, 1.0])] * 2


def test_nothing_matters_where_all_trials_are_equally_good() -> None:
    frame = factorial(lambda *_: 1.0)
    found = statistics.ped_anova(frame, FACTORS, "y")
    assert found["estimate"].tolist() == [0.0, 0.0, 0.0]


def test_levels_are_compared_at_the_best_rate_and_where_they_differ_most() -> None:
    rows = importance.levels_apart(STUDY, "clipping")
    assert rows["at_best"].tolist() == pytest.approx([0.0, 0.0], abs=1e-12)
    assert rows["rate"].tolist() == [1.0, 1.0]
    assert rows["most"].tolist() == pytest.approx([0.5115 - 0.1] * 2)


GAINS = {"cosine": 0.02, "step": 0.01, "warmup": 0.04, "value": -0.001, "batch": 0.002}


def one_gains(made: dict[str, Any], gains: dict[str, float]) -> dict[str, Any]:
    """0.8 at the best rate, 0.3 elsewhere; a level's gain is that of its name."""
    accuracy = 0.8 if made["learning_rate"] == 0.1 else 0.3
    levels = (made.get(factor) for factor in ("schedule", "clipping", "normalization"))
    accuracy += sum(gains.get(str(level), 0.0) for level in levels) * (1 + 0.1 * made["seed"])
    return {"validation_accuracy": accuracy, "test_accuracy": accuracy}


def each_by_itself(**gains: float) -> evidence.Evidence:
    """A study of the rate that varies schedule, clipping and normalization, one at a time."""
    common = {"model": ["mlp"], "learning_rate": (0.1, 1.0), "seed": range(3)}
    made = [
        *grid(**common, schedule=("constant", "cosine", "step", "warmup")),
        *grid(**common, clipping=("value",)),
        *grid(**common, normalization=("batch",)),
    ]
    return trials_of("learning_rate", made, lambda row: one_gains(row, GAINS | gains))


def test_what_one_more_factor_adds_to_a_tuned_rate() -> None:
    rows = importance.beyond_rate_singly(each_by_itself()).set_index("factor")
    # the mean of 1, 1.1 and 1.2 times each gain; warm-up alone, the best, is no decay, and a
    # clipping that costs is not chosen
    assert rows["effect"].to_dict() == pytest.approx(
        {"schedule": 0.022, "clipping": 0.0, "normalization": 0.0022}
    )
    assert rows["tried"].to_dict() == {"schedule": 2, "clipping": 1, "normalization": 1}
    assert rows[["seeds", "updates"]].drop_duplicates().values.tolist() == [[3, 100]]
    decay = importance.decay_gain(each_by_itself())
    assert decay["factor"].tolist() == ["schedule"]
    assert 0 < decay["low"].iloc[0] < 0.022 < decay["high"].iloc[0]


def test_each_schedule_is_judged_alone() -> None:
    rows = importance.schedules_singly(each_by_itself(step=-0.03)).set_index("schedule")
    # the mean of 1, 1.1 and 1.2 times each; validation keeps a constant rate where one costs
    assert rows["effect"].to_dict() == pytest.approx({"warmup": 0.044, "cosine": 0.022, "step": 0})
    assert rows["adds"].to_dict() == {"warmup": True, "cosine": True, "step": False}


def averaged(made: dict[str, Any]) -> dict[str, Any]:
    """Averaging adds two points at the best rate of each, which are 0.1 and 1."""
    best = {"sgd": 0.1, "schedule_free_sgd": 1.0, "adam": 0.1}[made["optimizer"]]
    accuracy = 0.8 if made["learning_rate"] == best else 0.3
    accuracy += 0.02 * (made["optimizer"] == "schedule_free_sgd") * (1 + 0.1 * made["seed"])
    return {"validation_accuracy": accuracy, "test_accuracy": accuracy}


@pytest.mark.parametrize(
    ("others", "effects"), [(("schedule_free_sgd",), [0.022]), (("adam",), [])]
)
def test_averaging_is_compared_at_best_rates(others: tuple[str, ...], effects: list[float]) -> None:
    made = grid(model=["mlp"], learning_rate=(0.1, 1.0), seed=range(3), optimizer=("sgd", *others))
    rows = importance.averaging_gain(trials_of("optimizers", made, averaged))
    assert rows.get("effect", pd.Series(dtype=float)).tolist() == pytest.approx(effects)


def test_without_its_policy_a_grid_has_the_gains_of_the_others() -> None:
    def doubled(made: dict[str, Any]) -> dict[str, Any]:
        accuracy = 0.7 + 0.03 * (made["batch_policy"] == "doubling")
        accuracy += 0.01 * (made["normalization"] == "batch")
        return {"validation_accuracy": accuracy, "test_accuracy": accuracy}

    study = trials_of("grid", grid(model=["mlp"], **LEVELS), doubled)
    assert importance.beyond_rate(study)["effect"].tolist() == pytest.approx([0.04])
    assert importance.without_policy(study)["effect"].tolist() == pytest.approx([0.01])


@pytest.mark.parametrize(("low", "disguised"), [(-0.01, ["doubling"]), (0.01, [])])
def test_a_policy_that_beats_a_decaying_rate_is_none_in_disguise(
    monkeypatch: pytest.MonkeyPatch, low: float, disguised: list[str]
) -> None:
    lowered = {"model": "mlp", "batch_policy": ["doubling", "cabs"], "ratio": [0.4, 0.7]}
    beside = {"level": ["doubling", "cabs"], "low": [low, -0.01], "seeds": 10}
    monkeypatch.setattr(batch_updates, "lowered_rates", lambda study: pd.DataFrame(lowered))
    monkeypatch.setattr(batch_updates, "against_decay", lambda study: pd.DataFrame(beside))
    # cabs is no policy of the grid
    found = importance.decays_in_disguise(STUDY, STUDY)
    assert found["batch_policy"].tolist() == disguised


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """What the page says of a grid."""

    def say(study: evidence.Evidence, **others: evidence.Evidence) -> str:
        monkeypatch.setattr(evidence, "load", {"grid": study, **others}.get)
        return words(page("importance", tmp_path))

    monkeypatch.setattr(figures, "save_svg", lambda figure, path: path.write_text("svg"))
    return say


def test_the_page_says_what_to_tune_first(said: Any) -> None:
    text = said(STUDY)
    assert "**The learning rate matters most.**" in text
    assert "**the learning rate and clipping act together most**" in text
    assert "| learning rate | 3 |" in text
    assert "| normalization | 6 | 82.2 | +2.1 |" in text
    assert "In it the rate comes first, then normalization; " in text
    assert "then let it decay" not in text


@pytest.mark.parametrize(("gain", "told"), [(0.02, True), (-0.02, False), (0.0021, False)])
def test_the_page_says_let_the_rate_decay_only_where_that_adds_most(
    said: Any, gain: float, told: bool
) -> None:
    rated = each_by_itself(cosine=gain, step=-0.03)
    text = said(STUDY, learning_rate=rated)
    assert ("**Tune the rate, then let it decay.**" in text) is told
    assert "3 seeds of 100 updates" in text


def test_the_page_names_no_winner_that_the_data_do_not(said: Any) -> None:
    def by_normalization(made: dict[str, Any]) -> dict[str, Any]:
        accuracy = 0.5 + 0.3 * (made["normalization"] == "batch") + 0.001 * made["seed"]
        return {"validation_accuracy": accuracy, "test_accuracy": accuracy}

    text = said(trials_of("grid", grid(model=["mlp"], **LEVELS), by_normalization))
    assert "The learning rate matters most" not in text
    assert "most is due to normalization by itself in the MLP (" in text
    assert "Normalization comes first." in text


@pytest.mark.parametrize(
    "levels",
    [{"learning_rate": (0.1, 1.0)}, {"clipping": ("none", "value")}],
    ids=["rates alone", "clippings alone"],
)
def test_the_page_says_where_there_is_nothing_to_divide(said: Any, levels: dict[str, Any]) -> None:
    made = grid(model=["mlp"], seed=range(2), **levels)
    assert "there is no variance to divide" in said(trials_of("grid", made, outcome_at_all))


def outcome_at_all(made: dict[str, Any]) -> dict[str, Any]:
    return {"test_accuracy": 0.8}


def test_numbers_stand_beside_intervals_and_off_those_that_fill_the_panel() -> None:
    rows = pd.DataFrame(
        {
            "model": "mlp",
            "scope": "all rates",
            "part": ["rate", "rule", "seed"],
            "estimate": [0.75, 0.042, 0.5],
            "low": [0.7, 0.04, 0.0],
            "high": [0.95, 0.05, 1.0],
        }
    )
    drawn = figures.variance_parts(rows)
    texts = {text.get_text(): text for text in drawn.axes[0].texts}
    assert {text: found.get_ha() for text, found in texts.items()} == {
        "75": "right",
        "4.2": "left",
        "50": "center",
    }
