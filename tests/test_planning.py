"""What a study would train, and how long that would take, without training it."""

import re
import runpy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from conftest import TOY

from benchmark import Range, RelativeRates, Search, Study, Trial, project
from benchmark.driver import (
    Options,
    commandline,
    dry_runs,
    estimating,
    planning,
    run_search,
    run_study,
)
from benchmark.driver.estimating import (
    Cost,
    Estimate,
    evaluated,
    moments,
    predicted,
    telling_order,
)
from benchmark.driver.planning import design, planned_updates, too_few_seeds
from benchmark.engine import resolve

ROOT = Path(__file__).resolve().parents[1]
SCRIPTS = sorted(
    path
    for path in (ROOT / "studies").glob("*.py")
    if "commandline import run\n" in path.read_text(encoding="utf-8")
)
"""Those that are a study, as others measure something else."""
STUDY = Study(
    name="planned",
    question="What would be?",
    factors={
        "dataset": TOY,
        "normalization": ("none", "layer"),
        "learning_rate": RelativeRates(low=0.1, high=1.0, multiples=(1, 3), seeds=(7,)),
        "batch_size": 16,
        "updates": 4,
    },
    seeds=(0, 1),
    checkpoints=4,
)
SEARCH = Search(
    name="planned",
    question="What would be?",
    space={"learning_rate": Range(0.01, 0.1, default=0.1), "clipping": ("none", "value")},
    fixed={"dataset": TOY, "batch_size": 16, "updates": 4},
    trials=4,
    generation=2,
    confirm_seeds=(100, 101),
    checkpoints=4,
)


def here(path: Path) -> Options:
    return Options(results=path, device="cpu", progress=False, executor="here")


# what would be trained


@pytest.mark.parametrize(
    ("factors", "updates"),
    [
        ({"updates": 7}, 7),
        ({"epochs": 2}, 12),
        ({"epochs": 0}, 0),
        ({"epochs": 1, "train_fraction": 0.5}, 3),
        ({"epochs": 3, "batch_policy": "full"}, 3),
        # skipped: a batch of one has no statistics
        ({"updates": 7, "batch_size": 1, "normalization": "batch"}, 0),
    ],
)
def test_planned_updates(factors: dict[str, Any], updates: int) -> None:
    trial = resolve(Trial(**{"dataset": TOY, "batch_size": 16} | factors))
    assert planned_updates(trial) == updates


def test_the_design_of_a_study_with_stages() -> None:
    planned = design(STUDY)
    # for each normalization 3 half-decades and 2 quarters on a seed, then 2 multiples on 2 seeds
    assert len(planned.trials) == 2 * (3 + 2 + 2 * 2)
    assert planned.cells == 2 * (3 + 2 + 2)
    assert planned.updates == 4 * len(planned.trials)
    assert str(planned) == "14 cells, 18 trials, 72 updates"


def test_the_packing_of_a_study_with_stages() -> None:
    # each normalization is a unit of 3, then of 2 and of 4 trials, all of 4 updates
    packing = design(STUDY).packing("cuda", STUDY.checkpoints)
    assert str(packing) == "6 units, mean width 3.0, 24 steps of units"


def test_a_generation_of_a_search_is_a_stage() -> None:
    assert [len(stage) for stage in design(SEARCH).stages] == [8, 8, 8]


def test_a_study_trains_at_least_what_its_design_says(tmp_path: Path) -> None:
    trials = run_study(STUDY, here(tmp_path))
    planned = design(STUDY)
    assert {t.key for t in planned.trials if t.arm == "select"} & set(trials["trial"])
    later = trials[trials["arm"] != "select"]
    assert len(later) == sum(t.arm != "select" for t in planned.trials)
    assert len(trials) >= len(planned.trials)


def test_the_design_of_a_search_has_as_many_trials_as_the_search(tmp_path: Path) -> None:
    trials = run_search(SEARCH, here(tmp_path))
    assert len(design(SEARCH).trials) == len(trials) == 4 * (4 + 2)


def test_random_trials_of_a_search_are_known_beforehand(tmp_path: Path) -> None:
    trials = run_search(SEARCH, here(tmp_path))
    known = {t.key for t in design(SEARCH).trials if t.arm in ("random", "quasi-random")}
    drawn = trials["arm"].isin(["random", "quasi-random"])
    assert known == set(trials.loc[drawn, "trial"])


# how long it would take


def test_what_was_not_timed_is_predicted_from_what_it_shares() -> None:
    # log time = sum over features: twice for b, ten times for y
    features = [[("a",), ("x",)], [("b",), ("x",)], [("a",), ("y",)], [("b",), ("y",)]]
    found = predicted(features, {0: 1.0, 1: 2.0, 2: 10.0})
    assert found[:3] == [1.0, 2.0, 10.0]
    assert found[3] == pytest.approx(20.0, rel=0.1)


def test_the_most_telling_is_timed_first() -> None:
    groups = [([("a",), ("x",)], 1), ([("b",), ("x",)], 50), ([("b",), ("y",)], 5)]
    assert telling_order(groups) == [1, 2, 0]


def test_costs_are_told_apart_by_what_they_grow_with(monkeypatch: pytest.MonkeyPatch) -> None:
    def linear(self: Estimate, trials: list[Trial], *, measuring: bool = False) -> float:
        fixed = 30.0 + 7.0 * measuring * moments(4, layers=False)
        return sum(2.0 * t.updates + 0.25 * evaluated(t, 4) + fixed for t in map(resolve, trials))

    monkeypatch.setattr(Estimate, "_seconds", linear)
    trial = resolve(Trial(dataset=TOY, batch_size=16, updates=100))
    estimate = Estimate([trial], checkpoints=8)
    # 48 validation examples at the start and 8 times, and 48 test examples
    assert evaluated(trial, 8) == 48 * 10
    assert estimate.seconds(trial) == pytest.approx(200 + 0.25 * 480 + 30)
    # and at initialization and each quarter the curvature
    with_sharpness = Estimate([trial], checkpoints=8, sharpness=True)
    assert with_sharpness.seconds(trial) == pytest.approx(200 + 0.25 * 480 + 30 + 5 * 7)


def test_batches_that_grow_cost_what_they_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Estimate, "_time", lambda self, group: Cost(1.0, 0.0, 0.0, 0.0))
    settings = {"dataset": TOY, "batch_size": 8, "updates": 8}
    fixed, doubling = (
        resolve(Trial(**settings, batch_policy=policy)) for policy in ("fixed", "doubling")
    )
    estimate = Estimate([fixed, doubling], checkpoints=4)
    assert estimate.seconds(fixed) == 8
    # two updates each of 8, 16, 32 and 64 examples
    assert estimate.seconds(doubling) == 2 * (1 + 2 + 4 + 8)


def test_timing_stops_when_its_time_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Estimate, "_seconds", lambda self, trials, measuring=False: 1.0)
    trials = [
        resolve(Trial(dataset=TOY, batch_size=b, updates=5, normalization=n))
        for b in (8, 16, 32)
        for n in ("none", "layer")
    ]
    assert Estimate(trials, checkpoints=4, seconds=-1).timed == 1
    whole = Estimate(trials, checkpoints=4, seconds=60)
    assert whole.timed == whole.kinds == 6


@pytest.mark.parametrize(
    "factors",
    [
        {"disturbance": "bad_batch"},
        {"batch_policy": "full"},
        {"learning_rate": 1e12},
        {"batch_policy": "norm_test"},
    ],
)
def test_every_kind_of_trial_can_be_timed(factors: dict[str, Any]) -> None:
    trial = resolve(Trial(**{"dataset": TOY, "batch_size": 16, "updates": 60} | factors))
    cost = Estimate([trial], checkpoints=4)
    assert 0.001 < cost.seconds(trial) < 10


def test_a_dry_run_trains_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(estimating, "SECONDS", -1.0)
    given = ["--dry-run", "--results", str(tmp_path), "--device", "cpu", "--workers", "2"]
    assert commandline.run(lambda scale: STUDY, given) == 0
    text = capsys.readouterr().out
    assert "14 cells, 18 trials, 72 updates" in text
    assert "on a GPU: 6 units, mean width 3.0, 24 steps of units" in text
    assert "has 0 trials" in text
    assert "2 processes" in text
    assert "at most 2 seeds a configuration: too few for any difference" in text
    assert not list(tmp_path.iterdir())


CLIPPED = ("none", "value", "global_norm", "adaptive")


@pytest.mark.parametrize(
    ("clippings", "seeds", "told"),
    [
        (CLIPPED[:1], 1, None),
        (CLIPPED[:2], 5, "at most 5 seeds .* any difference to be significant, which takes 6$"),
        (CLIPPED[:2], 6, None),
        (CLIPPED, 1, r"at most 1 seed .* takes 6 \(7 for 3 levels of clipping against another\)$"),
        (CLIPPED, 6, "at most 6 seeds .* of 3 levels of clipping against another, which takes 7$"),
        (CLIPPED, 7, None),
    ],
)
def test_too_few_seeds_for_a_verdict_are_told(
    clippings: tuple[str, ...], seeds: int, told: str | None
) -> None:
    made = Study(name="s", question="?", factors={"clipping": clippings}, seeds=range(seeds))
    found = too_few_seeds(list(made.trials()))
    assert (found is None) == (told is None)
    assert re.search(told or "", found or "")


def test_a_search_is_not_told_that_its_seeds_are_few(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(estimating, "SECONDS", -1.0)
    assert "at most" not in dry_runs.dry_run(SEARCH, here(tmp_path))


def test_a_dry_run_says_what_keeps_the_units_of_a_search_narrow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(estimating, "SECONDS", -1.0)
    told = "units have one level of clipping: wide ones come of --only clipping=LEVEL"
    assert told in dry_runs.dry_run(SEARCH, here(tmp_path))
    narrowed = SEARCH.only({"clipping": ["value"]})
    assert "wide ones" not in dry_runs.dry_run(narrowed, here(tmp_path))
    assert "wide ones" not in dry_runs.dry_run(STUDY, here(tmp_path))


def test_a_dry_run_says_what_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(
        Estimate, "_seconds", lambda self, trials, measuring=False: float(len(trials))
    )
    trials = run_study(STUDY, here(tmp_path))
    given = ["--dry-run", "--results", str(tmp_path), "--device", "cpu"]
    commandline.run(lambda scale: STUDY, given)
    text = capsys.readouterr().out
    assert f"has {len(trials)} trials; left 0.00 core-hours" in text


# what the scripts say


def stated(script: Path) -> dict[str, tuple[int, int]]:
    """Trials and updates at each scale, as a script's docstring says."""
    text = script.read_text(encoding="utf-8")
    rows = re.findall(r"^(\w+) +([\d,]+) trials +([\d,]+) updates +\S+ core-hours$", text, re.M)
    return {s: (int(t.replace(",", "")), int(u.replace(",", ""))) for s, t, u in rows}


EXAMPLES = {"digits": 1079, "mnist": 50_000, "fashion-mnist": 50_000, "temporal-order": 50_000}
EXAMPLES |= {"mnist-60k": 60_000, "fashion-mnist-60k": 60_000}
"""Training examples of the data sets that scripts name, which need not be there for a count."""


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_a_script_states_what_it_trains_at_each_scale(
    script: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def sized(dataset: str) -> SimpleNamespace:
        return SimpleNamespace(train_labels=range(EXAMPLES[dataset]))

    monkeypatch.setattr(planning, "load", sized)
    names = runpy.run_path(str(script))
    make = names["search"] if script.stem == "search" else names["study"]
    found = {scale: design(make(scale)) for scale in project.SCALES}
    assert stated(script) == {s: (len(d.trials), d.updates) for s, d in found.items()}


def test_the_page_of_experiments_says_what_the_scripts_say() -> None:
    text = (ROOT / "docs" / "experiments.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \| `(\w+)` \| [\d,]+ \| ([\d,]+) \| ([\d,]+) \|", text, re.M)
    of_page = {(n, s): (int(t.replace(",", "")), int(u.replace(",", ""))) for n, s, t, u in rows}
    of_scripts = {(p.stem, s): counts for p in SCRIPTS for s, counts in stated(p).items()}
    assert of_page == of_scripts
