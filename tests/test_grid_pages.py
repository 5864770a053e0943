"""The pages about the grid and the search say what the data say, whatever these are."""

import dataclasses
import math
import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
from matplotlib.figure import Figure
from pages import evidence_of, page, words

from benchmark import statistics
from benchmark.engine import REGISTRIES
from benchmark.records import Trial
from benchmark.statistics import completeness
from report import article, claims, comparison, evidence, prose, search_against_grid

ROOT = Path(__file__).resolve().parent.parent
DEFAULTS = {
    "status": "stable",
    "status_reason": None,
    "first_bad_step": math.nan,
    "first_spike_step": math.nan,
    "classes": 10,
    "parameters": 1000,
    "initial_loss": 2.3,
    "validation_loss": 0.5,
    "validation_accuracy": 0.8,
    "test_accuracy": 0.8,
    "target_accuracy": 0.9,
    "warm_up_steps": 0,
    "clipped_fraction": 0.0,
    "gradient_norm_p90": 2.0,
    "gradient_norm_max": 4.0,
    "steps": 100,
    "samples": 3200,
    "examples": 1000,
    "gradient_norm_median": 1.0,
    "seconds": 1.0,
    "device": "cpu",
}
Outcome = Callable[[dict[str, Any]], Any]


def trials_of(study: str, configurations: list[dict[str, Any]], outcome: Outcome) -> pd.DataFrame:
    """A row for each configuration, with what ``outcome`` says of it; defaults elsewhere."""
    rows = []
    for configuration in configurations:
        trial = Trial(depth=1, **configuration)
        names = {"study": study, "trial": trial.key, "cell": trial.cell, **trial.row()}
        rows.append({**DEFAULTS, **names, **outcome(configuration)})
    return pd.DataFrame(rows)


FACTORIAL = [
    {"clipping": clipping, "model": model, "learning_rate": rate, "seed": seed}
    for clipping in ("none", "value")
    for model in ("mlp", "cnn")
    for rate in (0.1, 1.0)
    for seed in (0, 1)
]
Says = Callable[[str, Outcome], str]


@pytest.fixture
def says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Says:
    """What a page says of a grid of 16 trials with the outcome that a test gives."""
    monkeypatch.setattr(Figure, "savefig", lambda self, path, **_: path.write_text("svg"))

    def said(name: str, outcome: Outcome) -> str:
        found = {"grid": evidence_of("grid", trials_of("grid", FACTORIAL, outcome))}
        monkeypatch.setattr(evidence, "load", found.get)
        return words(page(name, tmp_path))

    return said


def test_a_page_opens_with_trials_seeds_updates_and_examples(says: Says) -> None:
    text = says("grid", lambda c: {})
    assert (
        "16 trials on digits, 2 seeds per configuration; each was trained for 100 updates on 3,200 "
        "examples, by plain SGD at a constant rate in batches of 32." in text
    )


def test_endings_are_counted(says: Says) -> None:
    text = says(
        "grid",
        lambda c: {"status": "nonfinite" if c["model"] == "cnn" else "recovered"},
    )
    assert (
        "Of 16 finished trials, 100% exploded at some step. Of these, 50.0% still learned."
    ) in text
    assert "| nonfinite | a loss, gradient or parameter stopped being finite | 8 | 50.0% |" in text


def test_endings_without_an_explosion(says: Says) -> None:
    text = says("grid", lambda c: {})
    assert "Of 16 finished trials, 0% exploded at some step. | status" in text


def test_the_breaking_rate_is_where_all_higher_rates_break(says: Says) -> None:
    text = says(
        "grid",
        lambda c: {
            "status": "dead" if c["model"] == "cnn" and c["learning_rate"] == 1 else "stable",
            "validation_accuracy": 0.1 if c["learning_rate"] == 1 else 0.8,
        },
    )
    assert (
        "- In the MLP without clipping, 0.1 is the most accurate learning rate (the edge of the "
        "grid), averaged over all other factors. Up to the largest rate of the grid at most half "
        "of its trials explode. - In the CNN without clipping, 0.1 is the most accurate learning "
        "rate (the edge of the grid), averaged over all other factors. More than half of its "
        "trials explode from 1 on, which is 10 times that rate."
    ) in text


def test_the_rate_from_which_on_nothing_learns_and_the_level_that_learns_beyond(says: Says) -> None:
    def outcome(c: dict[str, Any]) -> dict[str, Any]:
        dies = c["model"] == "mlp" and c["learning_rate"] == 1 and c["clipping"] == "none"
        return {"status": "dead", "validation_accuracy": 0.1} if dies else {}

    text = says("grid", outcome)
    assert "Whatever the normalization, no trial learns from 1 on in the MLP. How" in text
    learn = (
        "Every trial learns up to 1 with value clipping in the MLP (with no clipping up to 0.1)."
    )
    assert learn in text


@pytest.mark.parametrize(
    ("shares", "expected"),
    [
        ([0.0, 0.6, 1.0], 1.0),
        ([0.6, 0.0, 1.0], 10.0),
        ([1.0, 1.0, 0.5], math.nan),
        ([1, 1, 1], 0.1),
    ],
)
def test_breaking_rate(shares: list[float], expected: float) -> None:
    rates = {"model": "mlp", "learning_rate": [0.1, 1.0, 10.0], "exploded": shares}
    (found,) = statistics.breaking_rate(pd.DataFrame(rates), ["model"])["rate"]
    assert found == pytest.approx(expected, nan_ok=True)


def test_onset_is_told_by_model(says: Says) -> None:
    bad = {"status": "dead", "first_bad_step": 12.0}
    # a collapse without a spike has a first bad step, and is no explosion
    fallen = {"status": "collapsed", "first_bad_step": 5.0, "validation_accuracy": 0.1}
    text = says(
        "grid",
        lambda c: {} if c["model"] == "mlp" else bad if c["seed"] else fallen,
    )
    assert (
        "In the CNN the median first bad step is step 12, the latest step 12; in 0% of the trials "
        "that explode it is among the first 10."
    ) in text


@pytest.mark.parametrize(
    ("gain", "expected"),
    [
        (0.1, "+10.0 | +9.5 to +10.5"),
        (0.0, "0.0 | −0.5 to +0.5"),
        (-0.1, "−10.0 | −10.5 to −9.5"),
    ],
)
def test_differences_of_a_factor_follow_the_data(says: Says, gain: float, expected: str) -> None:
    def outcome(c: dict[str, Any]) -> dict[str, Any]:
        clipped = c["clipping"] == "value"
        # seeds that agree to the last digit have no interval
        return {"test_accuracy": 0.5 + clipped * (gain + 0.0008 * (c["seed"] - 0.5))}

    text = says("grid", outcome)
    assert f"| value | 4 | {expected} |" in text
    assert "chosen by the same 2 seeds." in text


def test_a_gain_at_high_rates_is_none_at_the_best(says: Says) -> None:
    def outcome(c: dict[str, Any]) -> dict[str, Any]:
        saved = c["clipping"] == "value" and c["learning_rate"] == 1
        low = c["learning_rate"] == 0.1
        accuracy = 0.5 + saved * 0.001 * (c["seed"] - 0.5) if low or saved else 0.1
        return {"test_accuracy": accuracy, "validation_accuracy": 0.5 * low}

    text = says("grid", outcome)
    assert "| value | 4 | 0.0 |" in text
    assert "+20.0" not in text


def test_levels_that_tie_are_named_together() -> None:
    rows = pd.DataFrame({"level": ["a", "b", "c"], "effect": [0.03, 0.02, 0.01]})
    rows = rows.assign(low=[0.02, 0.01, 0.005], high=[0.04, 0.035, 0.015])
    assert list(comparison.tied(rows)["level"]) == ["a", "b"]


def test_the_table_of_a_factor_holds_the_effects(says: Says) -> None:
    text = says(
        "grid",
        lambda c: {
            "test_accuracy": 0.5 + (0.1 + 0.0008 * (c["seed"] - 0.5)) * (c["clipping"] == "value")
        },
    )
    assert "| value | 4 | +10.0 | +9.5 to +10.5 |" in text
    # no p-value where seeds are few
    assert "p (Holm)" not in text


def test_robustness_shows_a_dash_where_there_is_no_rate(says: Says) -> None:
    text = says("grid", lambda c: {"status": "dead" if c["model"] == "cnn" else "stable"})
    assert "| none | MLP | 1 | 1 |" in text
    assert "| none | CNN | – | – |" in text
    assert "The same in every row: best rate 0.1 (edge); rates within a point 0.1 to 1." in text


def test_clipped_steps_and_the_percentile(says: Says) -> None:
    text = says(
        "grid",
        lambda c: {
            "clipped_fraction": 0.75 if c["model"] == "mlp" else 0.25,
            "clipping_threshold": 0.01,
        },
    )
    assert "| value | 50.0% | 50.0% |" in text
    assert (
        "In stable trials without clipping the median 90th percentile of the gradient norms is 2; "
        "in all of them it lies between 2 and 2."
    ) in text


def test_costs_are_ratios() -> None:
    configurations = [
        {"batch_policy": policy, "learning_rate": rate, "seed": seed}
        for policy in ("fixed", "doubling")
        for rate in (0.1, 1.0)
        for seed in (0, 1)
    ]

    def outcome(c: dict[str, Any]) -> dict[str, Any]:
        fixed = c["batch_policy"] == "fixed"
        return {"steps": 100 if fixed else 50}

    source = evidence_of("grid", trials_of("grid", configurations, outcome))
    (row,) = comparison.costs(source).to_dict("records")
    assert (row["model"], row["level"]) == ("mlp", "doubling")
    assert [row[c] for c in ("ratio", "low", "high")] == pytest.approx([0.5] * 3)


def searches(*winners: float) -> pd.DataFrame:
    """A search by TPE and one by random search on each seed, whose winner gains so much.

    Each has a winner at a rate of its own and a worse trial; the grid's best has 50 %.
    """
    gains = {0.3 + seed: gain for seed, gain in enumerate(winners)}
    configurations = [
        {"arm": arm, "seed": seed, "learning_rate": rate}
        for sampler in ("tpe", "random")
        for search, rate in enumerate(gains)
        for arm, seed, rate in [
            (sampler, search, rate),
            (sampler, search, 90.0),
            *((f"confirm:{sampler}", seed, rate) for seed in range(100, 105)),
        ]
    ]
    configurations += [
        {"arm": "confirm:grid", "seed": seed, "learning_rate": 0.1} for seed in range(100, 105)
    ]

    def outcome(c: dict[str, Any]) -> dict[str, Any]:
        rate = c["learning_rate"]
        gain = gains.get(rate, 0.0) + 1e-4 * (c["seed"] - 100) * (rate in gains)
        return {"test_accuracy": 0.5 + gain, "validation_loss": 2.0 if rate == 90 else 1.0}

    return trials_of("search", configurations, outcome)


@pytest.fixture
def search_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[pd.DataFrame], str]:
    monkeypatch.setattr(Figure, "savefig", lambda self, path, **_: path.write_text("svg"))

    def said(trials: pd.DataFrame) -> str:
        monkeypatch.setattr(evidence, "load", {"search": evidence_of("search", trials)}.get)
        return words(page("search_against_grid", tmp_path))

    return said


@pytest.mark.parametrize(
    ("gain", "expected"),
    [
        (0.1, "searches of 2 trials find more accurate training than the grid's best"),
        (-0.1, "none of these searches of 2 trials beats the grid's best configuration"),
        (-2e-4, "these searches of 2 trials and the grid do not differ significantly"),
    ],
)
def test_the_verdict_on_the_search_follows_the_data(
    search_says: Callable[[pd.DataFrame], str], gain: float, expected: str
) -> None:
    text = search_says(searches(gain))
    assert f"**On fresh seeds, {expected}" in text
    effect = re.escape(prose.signed(gain + 2e-4))
    assert re.search(rf"\| MLP \| TPE \| 1 \| [\d.]+ \| {effect} \|", text)
    assert "Each sampler was run once: this is about 2 winners, not about samplers." in text
    assert "random search" not in text


def test_several_searches_of_a_sampler_are_judged_together(
    search_says: Callable[[pd.DataFrame], str],
) -> None:
    text = search_says(searches(0.1, -0.1, 0.02))
    assert "**On fresh seeds, some of these searches of 2 trials beat the grid's best" in text
    assert (
        "Of 6 winners, 4 are more accurate than the grid's best and 2 are less accurate; 0" in text
    )
    assert "Averaged over 3 searches, the difference from the grid's best lies between" in text
    assert "Each sampler was run once" not in text
    # both samplers found the same
    assert (
        "No sampler differs significantly from random search; the differences are at most 0.0"
    ) in text


def test_an_interval_over_searches_holds_what_they_differ_by() -> None:
    study = evidence_of("search", searches(0.1, -0.1, 0.02))
    rows = search_against_grid.samplers(study).set_index("arm")
    alone = search_against_grid.differences(study).set_index(["arm", "search"])
    assert rows.loc["tpe", "estimate"] == pytest.approx(0.02 / 3 + 2e-4)
    assert rows.loc["tpe", ["better", "worse"]].tolist() == [2, 1]
    wide = rows.loc["tpe", "high"] - rows.loc["tpe", "low"]
    assert wide > 10 * (alone["high"] - alone["low"]).max()


def test_a_sampler_that_finds_more_is_told_from_random_search(
    search_says: Callable[[pd.DataFrame], str],
) -> None:
    trials = searches(0.1, 0.11, 0.12)
    worse = trials["arm"].eq("confirm:random")
    trials.loc[worse, "test_accuracy"] -= 0.05
    assert "Compared with random search, TPE gains +5.0 points" in search_says(trials)


def test_a_head_start_is_when_the_lowest_is_where_the_next_one_ends() -> None:
    losses = {"tpe": [0.9, 0.5, 0.3, 0.2], "random": [0.8, 0.7, 0.6, 0.4]}
    losses["grid configurations"] = [1.0] * 4
    rows = [
        {"model": "mlp", "arm": arm, "number": n, "estimate": loss}
        for arm, values in losses.items()
        for n, loss in enumerate(values, 1)
    ]
    (found,) = search_against_grid.head_starts(pd.DataFrame(rows)).to_dict("records")
    assert found == {"model": "mlp", "arm": "tpe", "number": 3, "other": "random", "most": 4}


def test_a_search_without_a_grid_has_nothing_to_beat(
    search_says: Callable[[pd.DataFrame], str],
) -> None:
    trials = searches(0.1)
    text = search_says(trials[trials["arm"] != "confirm:grid"])
    assert "nothing to be compared with" in text


def test_cells_of_the_grid_are_drawn_by_seed_within_the_budget_of_the_searches() -> None:
    rates = [{"arm": "random", "seed": 0, "learning_rate": 0.1 * k} for k in range(1, 5)]
    search = evidence_of(
        "search", trials_of("search", rates, lambda c: {"test_accuracy": c["learning_rate"]})
    )
    others = ({"epochs": 99}, {"width": 512}, {"schedule": "cosine"}, {"train_fraction": 0.5})
    cells = [
        {"seed": seed, "learning_rate": 0.1, **other} for seed in (0, 1) for other in ({}, *others)
    ]

    def outcome(c: dict[str, Any]) -> dict[str, Any]:
        # the better the further from what was searched
        better = 0.2 * any(
            c.get(name) == level for other in others for name, level in other.items()
        )
        return {"test_accuracy": 0.5 + 0.1 * c["seed"] + better, "validation_loss": 1 - better}

    grid = evidence_of("grid", trials_of("grid", cells, outcome))
    (best,) = search_against_grid.grid_best(search, grid).to_dict("records")
    assert (best["trials"], best["objective"]) == (2, 1.0)
    drawn = search_against_grid.drawn(search, grid)
    assert drawn.groupby("seed")["accuracy"].max().tolist() == pytest.approx([0.5, 0.6])
    assert drawn["number"].max() == 4
    found = search_against_grid.worth(search, grid).set_index("arm")
    assert found.loc["grid configurations", "estimate"] == pytest.approx(0.55)
    assert search_against_grid.progress(search, grid)["number"].max() == 4


def test_searches_are_compared_with_as_many_cells_of_the_grid() -> None:
    """A search on each of three seeds, each with two trials, against grids of two cells."""
    made = grid_of(("tpe",), (0.1, 1.0))
    search = evidence_of("search", trials_of("search", made, better_by(0.02)))
    cells = evidence_of("grid", trials_of("grid", grid_of(("",), (0.1, 1.0)), better_by(0.0)))
    (row,) = search_against_grid.at_equal_cost(search, cells).to_dict("records")
    assert (row["model"], row["arm"]) == ("mlp", "tpe")
    assert row["estimate"] == pytest.approx(0.02)
    # both vary by 0.01 from seed to seed: a standard error of sqrt(2 / 3) of that, and t(4)
    half = 0.01 * math.sqrt(2 / 3) * 2.7764
    assert [row["low"], row["high"]] == pytest.approx([0.02 - half, 0.02 + half], abs=1e-5)
    assert not row["apart"]


def grid_of(arms: tuple[str, ...], rates: tuple[float, ...]) -> list[dict[str, Any]]:
    return [
        {"arm": arm, "seed": seed, "learning_rate": rate}
        for arm in arms
        for rate in rates
        for seed in range(3)
    ]


def better_by(gain: float) -> Outcome:
    """The rate 0.1 has the least validation loss, and this much accuracy more."""
    return lambda c: {
        "validation_loss": c["learning_rate"],
        "test_accuracy": 0.5 + 0.01 * c["seed"] + gain,
    }


def test_the_first_page_counts_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    source = evidence_of("grid", trials_of("grid", FACTORIAL, lambda _: {}))
    plan, trials = source.results.plan, source.results.trials.iloc[3:]
    plan = plan.drop(columns="status").assign(arm="")
    monkeypatch.setattr(evidence, "load", {"grid": source}.get)
    monkeypatch.setattr(evidence, "all_studies", lambda: [source])
    monkeypatch.setattr(
        evidence, "completeness_of_all", lambda by=("study",): completeness(plan, trials, by)
    )
    # what is judged is remembered for the whole process
    verdicts = pd.DataFrame({"claim": [1, 2, 3], "verdict": ["supported", "mixed", "not tested"]})
    monkeypatch.setattr(claims, "by_claim", lambda: verdicts)
    monkeypatch.setattr(claims, "part", lambda claim, place: SimpleNamespace(judging=[]))
    text = words(page("index", tmp_path))
    built = page("reproducibility", tmp_path)
    assert "All at the scale quick" in built
    assert "| `grid` | 13 of 16 | 0123456 | unknown |" in words(built)
    assert "**3 expected trials without a row**" in text
    assert "Of [a popular article's 3 claims](claims.md) 2 can be judged from `" in text


def test_settings_are_read_from_the_rows(says: Says) -> None:
    def outcome(c: dict[str, Any]) -> dict[str, Any]:
        return {"parameters": 7 if c["model"] == "mlp" else 9}

    text = says("methods", outcome)
    assert "the MLP has 1 hidden layer and 7 parameters and the CNN has" in text
    assert "networks (MLP and CNN) of 7 to 9 parameters" in says("grid", outcome)


METHODS = (ROOT / "report" / "methods.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "factor", ["clipping", "normalization", "batch_policy", "schedule", "optimizer"]
)
def test_the_methods_name_strategies_that_there_are_with_their_defaults(factor: str) -> None:
    head = f"| {prose.name(factor)} |"
    table = METHODS[METHODS.index(head) :].partition("\n{% endcall %}")[0]
    rows = {line.split(" | ")[0].removeprefix("| "): line for line in table.splitlines()[2:]}
    strategies = {prose.name(level): s for level, s in REGISTRIES[factor].items()}
    # others have a row of their own words where results have them: see test_describing.py
    assert set(rows) <= set(strategies)
    number = "threshold" if factor == "clipping" else "parameter"
    for name, line in rows.items():
        tunable = getattr(strategies[name], number, None)
        if tunable is not None:
            assert re.search(rf"\| \$\S+ = {tunable.default:g}\$ \|", line), line


@pytest.mark.parametrize(
    ("factor", "level"),
    [
        (factor, level)
        for factor in ("clipping", "normalization", "batch_policy", "schedule")
        for level in REGISTRIES[factor]
        if level != "none"
    ],
)
def test_a_strategy_has_the_same_name_in_sentences_and_in_tables(factor: str, level: str) -> None:
    said = prose.FORMATS[factor](level)
    assert isinstance(said, str)
    assert prose.name(level).replace("-", " ") in said.replace("-", " ")


def test_a_default_threshold_is_no_factor() -> None:
    def threshold(c: dict[str, Any]) -> dict[str, Any]:
        return {"clipping_threshold": 0.01 if c["clipping"] == "value" else math.nan}

    source = evidence_of("grid", trials_of("grid", FACTORIAL, threshold))
    assert source.factors == ["model", "learning_rate", "clipping"]
    several = trials_of("grid", FACTORIAL, lambda c: {"clipping_threshold": 1.0 + c["seed"]})
    assert "clipping_threshold" in evidence_of("grid", several).factors


@pytest.mark.parametrize(
    ("command", "scale"),
    [
        ("python studies/grid.py --scale full --device cuda", "full"),
        ("python studies/grid.py --scale=smoke", "smoke"),
        ("python studies/grid.py", "quick"),
        ("python -m benchmark run grid", "quick"),
        ("python -m benchmark run grid --scale paper", "paper"),
        ("ipython", "unknown"),
    ],
)
def test_scale_is_read_from_the_command(command: str, scale: str) -> None:
    source = evidence_of("grid", trials_of("grid", FACTORIAL, lambda _: {}))
    source.results.metadata["command"] = command
    assert source.scale == scale


def test_a_changed_tree_is_no_clean_commit() -> None:
    source = evidence_of("grid", trials_of("grid", FACTORIAL, lambda _: {}))
    assert source.commit == "0123456"
    source.results.metadata["dirty"] = True
    assert source.commit == "0123456 with local changes"


def test_clippings_are_compared_at_multiples_of_the_best_rate(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(Figure, "savefig", lambda self, path, **_: path.write_text("svg"))
    configurations = [
        {"arm": arm, "clipping": clipping, "learning_rate": times * best, "seed": seed}
        for arm, times in (("select", 1), ("x1", 1), ("x3", 3), ("x10", 10))
        for clipping, best in (("none", 0.1), ("value", 0.2))
        for seed in range(3)
    ]

    def outcome(c: dict[str, Any]) -> dict[str, Any]:
        saved = c["clipping"] == "value" and c["arm"] == "x10"
        acted = float(c["clipping"] == "value")
        return {
            "test_accuracy": 0.5 + saved * (0.2 + 0.001 * c["seed"]),
            "clipped_fraction": acted,
            "train_loss": 1 + acted,
        }

    trials = trials_of("headline", configurations, outcome)
    monkeypatch.setattr(evidence, "load", {"headline": evidence_of("headline", trials)}.get)
    text = words(page("headline", tmp_path))
    # one rate was tried for each, so that a better one may lie beyond
    assert "0.2 (edge)" in text
    assert "| **MLP, no normalization** | | | | | |" in text
    assert "| value | 0.2 (edge) | 0.0 | 0.0 | +20.1* |" in text
    # nothing was trained at shared rates
    assert "## At the same rate" not in text
    assert "Of 1 comparison, 0 show an improvement and 0 a loss" in text


def test_guards_are_compared_by_where_they_end(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(Figure, "savefig", lambda self, path, **_: path.write_text("svg"))
    configurations = [
        {"disturbance": disturbance, "clipping": clipping, "seed": seed}
        for disturbance in ("none", "bad_batch")
        for clipping in ("none", "global_norm", "skip_step", "value")
        for seed in range(3)
    ]
    # of the disturbance, and where nothing happens: value clipping has less to lose, and is worse
    costs = {"none": 0.3, "global_norm": 0.1, "skip_step": 0.6, "value": 0.0}
    prices = {"none": 0.0, "global_norm": 0.0, "skip_step": 0.0, "value": 0.35}

    def outcome(c: dict[str, Any]) -> dict[str, Any]:
        clipping, seed = c["clipping"], 0.001 * c["seed"]
        cost = costs[clipping] and costs[clipping] + seed * (1 + (clipping != "none"))
        price = prices[clipping] and prices[clipping] + 2 * seed
        hit = c["disturbance"] != "none"
        acted = {"train_loss": cost, "clipped_fraction": 0.5, "disturbed_step": math.nan}
        return {
            **acted,
            "test_accuracy": 0.8 - hit * cost - price,
            **({"disturbed_step": 50} if hit else {}),
        }

    trials = trials_of("disturbances", configurations, outcome)
    history = pd.DataFrame(
        {"trial": trial, "step": step, "samples": 32 * step, "validation_accuracy": 0.8}
        for trial in trials["trial"]
        for step in (25, 100)
    )
    source = evidence_of("disturbances", trials)
    source = dataclasses.replace(
        source, results=dataclasses.replace(source.results, history=history)
    )
    monkeypatch.setattr(evidence, "load", {"disturbances": source}.get)
    text = words(page("disturbances", tmp_path))
    assert "| MLP | no normalization | 30.1 (29.9 to 30.3) |" in text
    assert "**This helps against trouble midway: global-norm clipping.**" in text
    assert "by 19.9 to 19.9 points, at each of the rates at which they are compared" in text
    assert (
        "value clipping saves at least 100% of each loss, and ends 5.1 points below no guard"
    ) in text
    # at worst and at best over one case, at the shared rate and at its own
    assert "| value | −35.2 | −35.2 | −5.1 to −5.1 | −5.1 to −5.1 |" in text
    assert "| global norm | 0.0 | 0.0 | +19.9 to +19.9* | +19.9 to +19.9* |" in text
    assert "**Some rules do damage at their defaults:**" in text
    assert "which without a guard and without normalization peaks at 4 times its median" in text
    assert "skip step ends up to 30.1 points below no guard (bad batch, MLP); and value" in text
    assert "| global norm | 0.0 (–) | +19.9 (+19.7 to +20.1) |" in text
    # all are back at what they would be
    assert "In 4 of 4 combinations of network, guard and disturbance every trial recovered" in text


def test_what_sees_more_examples_stands_apart_from_the_other_remedies(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(Figure, "savefig", lambda self, path, **_: path.write_text("svg"))
    settings = {k: v for k, v in article.OWN.items() if k not in ("normalization", "batch_size")}
    configurations = [
        {**settings, "normalization": norm, "batch_size": size, "seed": seed, "updates": updates}
        for norm, size in (("none", 128), ("batch", 128), ("none", 512))
        for updates in (100, 1500)
        for seed in range(3)
    ]

    def outcome(c: dict[str, Any]) -> dict[str, Any]:
        gain = 0.03 * (c["normalization"] == "batch") + 0.08 * (c["batch_size"] == 512)
        accuracy = 0.8 + gain * (1 + 0.01 * c["seed"]) + 0.1 * (c["updates"] == 1500)
        return {"test_accuracy": accuracy, "samples": c["updates"] * c["batch_size"]}

    trials = trials_of("article", configurations, outcome)
    monkeypatch.setattr(evidence, "load", {"article": evidence_of("article", trials)}.get)
    text = words(page("article", tmp_path))
    # of the article's budget alone
    assert "**With the article's settings every network learns, and 1 single change of a" in text
    assert "| batch normalization | MLP on digits +3.0 |" in text
    assert "After 1,500 updates the same is true of batch normalization." in text
    assert "| **100 updates** | | | batch size 512 | +8.1 (+7.9 to +8.3); 4× |" in text
    assert "All 2 comparisons on as many examples" in text
    assert "| **1,500 updates** | | | batch normalization | +3.0 (+3.0 to +3.1) |" in text
