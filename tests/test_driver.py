"""The driver: every cell is asked of Optuna once and told in order; what is there is not redone."""

import dataclasses
import math
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pandas as pd
import pytest
from conftest import TOY
from optuna.trial import TrialState

from benchmark import Range, Search, Study, Trial
from benchmark.driver import Options, dispatch, grid, run_search, run_study, units
from benchmark.driver.asking import Asked, objective
from benchmark.driver.executors import InThisProcess
from benchmark.driver.mirror import Mirror
from benchmark.driver.samplers import PresetSampler, factorial_sampler
from benchmark.driver.search import ask_trial, best_of_grid, open_searches
from benchmark.driver.stopping import Stopped
from benchmark.driver.table import closing_table, next_lines
from benchmark.driver.units import Unit, make_units
from benchmark.engine import resolve
from benchmark.names import UnknownName
from benchmark.records import CONFIGURATION
from benchmark.results import ResultsError, StudyFolder, load_study

STUDY = Study(
    name="tiny",
    question="Does it run?",
    factors={
        "dataset": TOY,
        "clipping": ("none", "global_norm"),
        "normalization": ("none", "layer"),
        "learning_rate": (0.05, 1e4),
        "batch_size": 16,
        "epochs": 1,
    },
    seeds=(0, 1),
    checkpoints=4,
)
SEARCH = Search(
    name="search",
    question="Which is best?",
    space={
        "learning_rate": Range(1e-2, 1e2, default=0.1),
        "clipping": ("none", "value", "global_norm"),
        "batch_policy": ("fixed", "accumulate"),
    },
    each={"normalization": ("none", "layer")},
    fixed={"dataset": TOY, "batch_size": 16, "epochs": 1},
    samplers=("tpe", "quasi-random"),
    trials=4,
    generation=2,
    confirm_seeds=(100, 101),
    checkpoints=4,
)


def here(path: Path, **more: Any) -> Options:
    plain: dict[str, Any] = {"device": "cpu", "progress": False, "executor": "here"}
    return Options(results=path, **plain | more)


def untimed(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.drop(columns=[c for c in rows if c.endswith("seconds")])


def assert_same_rows(one: Path, other: Path, study: str) -> None:
    first, second = load_study(one, study), load_study(other, study)
    assert first is not None
    assert second is not None
    for table in ("plan", "trials", "history", "layers"):
        pd.testing.assert_frame_equal(
            untimed(getattr(first, table)), untimed(getattr(second, table)), check_exact=True
        )


@pytest.fixture(scope="module")
def gridded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of the grid, uninterrupted; not to be changed."""
    path = tmp_path_factory.mktemp("grid")
    run_study(STUDY, here(path))
    return path


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of the search, uninterrupted; not to be changed."""
    path = tmp_path_factory.mktemp("search")
    run_search(SEARCH, here(path))
    return path


@pytest.fixture(scope="module")
def ran_grid(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of `GRID`; not to be changed."""
    path = tmp_path_factory.mktemp("cells")
    run_study(GRID, here(path))
    return path


def trials_in(path: Path, study: str) -> pd.DataFrame:
    found = load_study(path, study)
    assert found is not None
    return found.trials


@pytest.fixture
def studies_made(monkeypatch: pytest.MonkeyPatch) -> list[optuna.Study]:
    """Every in-memory Optuna study that the driver makes."""
    made: list[optuna.Study] = []

    class Spied(Asked):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args)
            made.append(self.study)

    monkeypatch.setattr(grid, "Asked", Spied)
    return made


# The full factorial


def test_a_grid_has_every_expected_cell_once(gridded: Path) -> None:
    trials = trials_in(gridded, "tiny")
    results = load_study(gridded, "tiny")

    assert results is not None
    assert trials["trial"].tolist() == [resolve(t).key for t in STUDY.trials()]
    assert results.plan["trial"].tolist() == trials["trial"].tolist()
    assert set(results.history["trial"]) == set(trials["trial"])
    assert results.metadata["expected"] == len(trials) == 16
    assert results.metadata["study"]["name"] == "tiny"


def test_every_cell_is_asked_of_optuna_and_told(
    tmp_path: Path, studies_made: list[optuna.Study]
) -> None:
    trials = run_study(STUDY, here(tmp_path))
    (study,) = studies_made
    varied = ["clipping", "clipping_threshold", "normalization", "learning_rate", "seed"]

    assert [t.user_attrs["trial"] for t in study.trials] == trials["trial"].tolist()
    assert {tuple(t.params) for t in study.trials} == {
        tuple(name for name in CONFIGURATION if name in varied)
    }
    assert [t.params["clipping"] for t in study.trials] == trials["clipping"].tolist()
    assert {t.state for t in study.trials} == {TrialState.COMPLETE}
    assert np.isfinite([t.value for t in study.trials]).all()
    exploded = trials["status"].eq("nonfinite")
    assert exploded.any()
    assert [study.trials[i].value for i in exploded[exploded].index] == pytest.approx(
        trials.loc[exploded, "initial_loss"].tolist()
    )


def test_optunas_grid_sampler_is_not_used(
    tmp_path: Path, studies_made: list[optuna.Study], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("GridSampler")

    monkeypatch.setattr(optuna.samplers.GridSampler, "__init__", refuse)
    run_study(STUDY.only({"clipping": ["none"]}), here(tmp_path))

    assert isinstance(studies_made[0].sampler, PresetSampler)


def test_an_impossible_combination_is_a_row_with_its_reason(
    tmp_path: Path, studies_made: list[optuna.Study]
) -> None:
    factors = {"dataset": TOY, "normalization": ("none", "batch"), "batch_size": 1, "epochs": 0.1}
    study = Study(name="tiny", question="?", factors=factors, checkpoints=4)
    trials = run_study(study, here(tmp_path)).set_index("normalization")

    assert trials["status"]["batch"] == "skipped"
    assert "batch normalization needs at least 2" in trials["status_reason"]["batch"]
    assert [t.state.name for t in studies_made[0].trials] == ["COMPLETE", "PRUNED"]


def test_a_failure_of_the_program_is_a_row_and_is_tried_again(
    tmp_path: Path, studies_made: list[optuna.Study], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*args: Any, **kwargs: Any) -> None:
        raise RuntimeError("no such kernel\nsecond line")

    with monkeypatch.context() as patch:
        patch.setattr(units, "train", broken)
        trials = run_study(STUDY, here(tmp_path))
    again = run_study(STUDY, here(tmp_path))

    assert trials["status"].eq("failed").all()
    assert trials["status_reason"].eq("RuntimeError: no such kernel").all()
    assert {t.state.name for t in studies_made[0].trials} == {"FAIL"}
    assert not again["status"].eq("failed").any()
    assert len(again) == len(trials)


@pytest.mark.parametrize(
    ("validation_loss", "initial_loss", "told"),
    [
        (0.5, 2.3, 0.5),
        (7.0, 2.3, 2.3),
        (math.nan, 2.3, 2.3),
        (math.inf, 2.3, 2.3),
        (None, 2.3, 2.3),
        (math.nan, math.nan, 10.0),
        (math.inf, math.inf, 10.0),
        (None, None, 10.0),
        (12.0, math.nan, 10.0),
    ],
)
def test_the_objective_is_finite_and_capped(
    validation_loss: float | None, initial_loss: float | None, told: float
) -> None:
    row = {"validation_loss": validation_loss, "initial_loss": initial_loss}

    assert objective(row) == told


def test_trials_are_told_in_the_order_of_asking_whatever_finished_first() -> None:
    trials = [Trial(seed=seed) for seed in range(3)]
    asked = Asked("s", factorial_sampler([{}] * 3), Mirror(None))
    for trial in trials:
        asked.remember(asked.ask(), trial)
    row = {"status": "stable", "first_bad_step": None, "seed": 0, "validation_accuracy": 0.5}
    row |= {"validation_loss": 0.5, "initial_loss": 2.0}
    rows = {trials[2].key: row, trials[1].key: row}
    asked.tell_ready(rows)
    first = [t.state.name for t in asked.study.trials]
    asked.tell_ready(rows | {trials[0].key: row})

    assert first == ["RUNNING"] * 3
    assert [t.state.name for t in asked.study.trials] == ["COMPLETE"] * 3
    assert [trial for trial, _ in asked.told] == trials


@pytest.mark.parametrize(
    ("study", "error", "message"),
    [
        (STUDY.only({"clipping": ["globl_norm"]}), UnknownName, "Did you mean 'global_norm'"),
        (STUDY.only({"clipping_threshold": ["1e9"]}), ValueError, "clipping_threshold"),
    ],
)
def test_a_mistake_is_found_before_anything_is_written(
    study: Study, error: type[Exception], message: str, tmp_path: Path
) -> None:
    with pytest.raises(error, match=message):
        run_study(study, here(tmp_path / "new"))
    assert not (tmp_path / "new").exists()


# Units


def units_of(*trials: Trial) -> list[Unit]:
    resolved = [resolve(trial) for trial in trials]
    return make_units("s", resolved, checkpoints=4, layers=False, sharpness=False, device="cpu")


def test_units_share_a_shape_and_hold_every_trial_once() -> None:
    trials = [resolve(trial) for trial in STUDY.trials()]
    units = units_of(*trials)

    assert [unit.id for unit in units] == [unit.id for unit in units_of(*trials)]
    assert sorted(t.key for u in units for t in u.trials) == sorted(t.key for t in trials)
    assert [len({(t.clipping, t.normalization) for t in u.trials}) for u in units] == [1] * 4


def test_the_most_work_goes_first_and_in_the_smallest_units() -> None:
    long = [Trial(model="cnn_2c2d", epochs=300, seed=seed) for seed in range(3)]
    short = [Trial(epochs=1, seed=seed) for seed in range(70)]
    units = units_of(*short, *long)

    assert [(u.trials[0].model, len(u.trials)) for u in units] == [
        *[("cnn_2c2d", 1)] * 3,
        *[("mlp", 35)] * 2,
    ]


@pytest.mark.parametrize("done", range(4))
def test_trials_that_were_planned_together_stay_together(
    done: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # 14 in units of at most 4 are cut 3, 4, 3, 4; the 11 that are left after the first would be
    # cut 3, 4, 4, and round otherwise
    monkeypatch.setattr(units, "unit_size", lambda trial, device, checkpoints: 4)
    made = units_of(*(Trial(epochs=1, seed=seed) for seed in range(14)))
    planned = {trial.key: unit.id for unit in made for trial in unit.trials}
    left = made[:done] + made[done + 1 :]
    again = make_units(
        "s",
        [resolve(Trial(epochs=1, seed=20)), *(t for unit in left for t in unit.trials)],
        checkpoints=4,
        layers=False,
        sharpness=False,
        device="cpu",
        planned=planned,
    )

    assert {unit.id for unit in left} < {unit.id for unit in again}
    assert [len(u.trials) for u in again if u.trials[0].seed == 20] == [1]


def test_the_halves_of_a_unit_are_its_trials() -> None:
    unit = Unit("s", tuple(Trial(seed=s) for s in range(5)), 4, False, False, "cpu")
    first, second = unit.halves()

    assert (first.trials + second.trials, len(first.trials)) == (unit.trials, 2)
    assert len({unit.id, first.id, second.id}) == 3


# What a run finds in its folder


def count_training(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Keys of the trials that are trained from now on."""
    trained: list[str] = []
    real = dispatch.train_unit

    def counting(unit: Unit) -> Any:
        trained.extend(trial.key for trial in unit.trials)
        return real(unit)

    monkeypatch.setattr(dispatch, "train_unit", counting)
    return trained


def test_a_finished_study_is_not_trained_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_study(STUDY, here(tmp_path))
    before = (tmp_path / "tiny" / "trials.parquet").read_bytes()
    trained = count_training(monkeypatch)
    run_study(STUDY, here(tmp_path))

    assert not trained
    assert (tmp_path / "tiny" / "trials.parquet").read_bytes() == before


def test_a_wider_study_trains_only_what_is_new(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    narrow = run_study(STUDY.only({"clipping": ["none"]}), here(tmp_path))
    trained = count_training(monkeypatch)
    wide = run_study(STUDY, here(tmp_path))
    results = load_study(tmp_path, "tiny")

    assert len(trained) == 8
    assert set(trained) == set(wide["trial"]) - set(narrow["trial"])
    assert results is not None
    assert len(results.plan) == len(results.trials) == 16
    assert results.metadata["study"]["factors"][0]["clipping"] == ["none", "global_norm"]
    (earlier,) = results.metadata["earlier_studies"]
    assert earlier["factors"][0]["clipping"] == ["none"]


def test_a_narrower_study_says_what_else_the_folder_holds(tmp_path: Path, caplog: Any) -> None:
    run_study(STUDY, here(tmp_path))
    caplog.clear()
    run_study(STUDY.only({"clipping": ["none"]}), here(tmp_path))
    results = load_study(tmp_path, "tiny")

    assert "also holds 8 trials that this command did not ask for, 0 of them not run" in caplog.text
    assert results is not None
    assert len(results.trials) == 16


@pytest.mark.parametrize(
    "change", [{"checkpoints": 8}, {"layers": True}, {"sharpness": True}], ids=str
)
def test_a_study_that_measures_otherwise_cannot_share_a_folder(
    change: dict[str, Any], tmp_path: Path
) -> None:
    small = STUDY.only({"clipping": ["none"], "seed": ["0"]})
    run_study(small, here(tmp_path))
    (name,) = change

    with pytest.raises(ResultsError, match=f"with {name}=.*, and this has {name}=.*--results"):
        run_study(dataclasses.replace(small, **change), here(tmp_path))


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        (dataclasses.replace(SEARCH, name="tiny"), "a study, and this is a search"),
        (dataclasses.replace(SEARCH, generation=1), "with generation=2, and this has generation=1"),
        (dataclasses.replace(SEARCH, each={}), "for each of"),
        (SEARCH.only({"learning_rate": ["0.1"]}), "with space="),
    ],
)
def test_a_search_of_another_space_cannot_share_a_folder(
    other: Search, reason: str, tmp_path: Path
) -> None:
    short = dataclasses.replace(SEARCH, trials=2, samplers=("random",), confirm_seeds=())
    run_search(short, here(tmp_path))
    run_study(STUDY.only({"clipping": ["none"], "seed": ["0"]}), here(tmp_path))

    with pytest.raises(ResultsError, match=f"holds another study: .*{reason}"):
        run_search(other, here(tmp_path))


def test_a_longer_search_goes_on_where_a_shorter_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_search(dataclasses.replace(SEARCH, trials=2, confirm_seeds=()), here(tmp_path / "a"))
    trained = count_training(monkeypatch)
    longer = run_search(dataclasses.replace(SEARCH, confirm_seeds=()), here(tmp_path / "a"))

    assert len(longer) == 16
    assert len(trained) == 8


def test_a_damaged_unit_is_trained_again_to_the_same_rows(
    gridded: Path, tmp_path: Path, caplog: Any
) -> None:
    with pytest.raises(Stopped):
        run_study(STUDY, here(tmp_path, executor=StopsAfter(4)))
    part = next((tmp_path / "tiny" / "parts").glob("*.history.parquet"))
    part.write_bytes(part.read_bytes()[:100])
    run_study(STUDY, here(tmp_path))

    assert "its unit runs again" in caplog.text
    assert_same_rows(gridded, tmp_path, "tiny")
    assert len(list((tmp_path / "tiny" / "parts").iterdir())) == 2


class StopsAfter(InThisProcess):
    """Stops the run at call number ``calls``."""

    def __init__(self, calls: int) -> None:
        self.left = calls

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        self.left -= 1
        if not self.left:
            raise Stopped
        return super().submit(fn, *args, **kwargs)


def test_merged_history_that_was_moved_away_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = STUDY.only({"clipping": ["none"]})
    run_study(small, here(tmp_path))
    before = load_study(tmp_path, "tiny")
    (tmp_path / "tiny" / "history.parquet").unlink()
    trained = count_training(monkeypatch)
    run_study(small, here(tmp_path))
    after = load_study(tmp_path, "tiny")

    assert len(trained) == 8
    assert before is not None
    assert after is not None
    pd.testing.assert_frame_equal(before.history, after.history, check_exact=True)


def test_a_full_disk_stops_the_run_and_loses_nothing(
    gridded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = StudyFolder.append
    calls = []

    def full(self: StudyFolder, unit: str, *more: Any) -> None:
        calls.append(unit)
        if len(calls) == 3:
            raise ResultsError("cannot write x: No space left on device")
        real(self, unit, *more)

    with monkeypatch.context() as patch:
        patch.setattr(StudyFolder, "append", full)
        with pytest.raises(ResultsError, match="No space left"):
            run_study(STUDY, here(tmp_path))
    assert len(trials_in(tmp_path, "tiny")) == 8
    run_study(STUDY, here(tmp_path))

    assert_same_rows(gridded, tmp_path, "tiny")


# Searches


def test_a_search_is_the_same_whatever_the_workers(searched: Path, tmp_path: Path) -> None:
    run_search(SEARCH, here(tmp_path, executor="processes", workers=2))

    assert_same_rows(searched, tmp_path, "search")


@pytest.mark.parametrize("calls", [4, 12])
def test_a_search_that_was_stopped_goes_on_to_the_same_rows(
    calls: int, searched: Path, tmp_path: Path
) -> None:
    with pytest.raises(Stopped):
        run_search(SEARCH, here(tmp_path, executor=StopsAfter(calls)))
    run_search(SEARCH, here(tmp_path))

    assert_same_rows(searched, tmp_path, "search")


def test_a_search_has_its_arms_and_confirms_its_winners_on_fresh_seeds(searched: Path) -> None:
    trials = trials_in(searched, "search")
    drawn = trials[~trials["arm"].str.startswith("confirm:")]
    confirmed = trials[trials["arm"].str.startswith("confirm:")]

    assert drawn.groupby(["arm", "normalization"]).size().tolist() == [4] * 4
    assert set(drawn["seed"]) == {0}
    assert set(confirmed["seed"]) == {100, 101}
    assert len(confirmed) == 8
    results = load_study(searched, "search")
    assert results is not None
    assert results.metadata["expected"] == len(results.plan) == len(trials) == 24


def test_each_seed_is_searched_by_other_draws_and_a_shared_winner_counts_once(
    tmp_path: Path,
) -> None:
    budget: dict[str, Any] = {"dataset": "digits", "updates": 4, "batch_size": 16}
    grid = Study(name="grid", question="Which cell?", factors=budget, seeds=(0,), checkpoints=4)
    run_study(grid, here(tmp_path))
    search = dataclasses.replace(
        SEARCH, samplers=("random",), each={"seed": (0, 1)}, fixed=budget, checkpoints=4
    )
    trials = run_search(search, here(tmp_path))

    drawn = trials[trials["arm"] == "random"]
    assert drawn.groupby("seed").size().to_dict() == {0: 4, 1: 4}
    assert drawn["learning_rate"].is_unique
    # the best cell of the grid is the same for both seeds
    assert trials.groupby("arm").size()["confirm:grid"] == 2
    results = load_study(tmp_path, "search")
    assert results is not None
    assert results.metadata["expected"] == len(results.plan) == len(trials) == 14


def test_a_generation_of_one_shape_is_one_unit(tmp_path: Path) -> None:
    search = dataclasses.replace(SEARCH, each={"seed": (0, 1)}, confirm_seeds=())
    assert search.parting() == ["clipping", "batch_policy"]
    one = search.only({"clipping": ["value"], "batch_policy": ["fixed"]})
    assert one.parting() == []
    trials = run_search(one, here(tmp_path))

    # both generations: two trials of each of two samplers on two seeds, thresholds their own
    assert trials.groupby("unit").size().to_list() == [8, 8]
    assert trials["clipping_threshold"].is_unique


GRID = Study(
    name="grid",
    question="Which cell?",
    factors=[
        {"dataset": TOY, "updates": 4, "batch_size": 16, "learning_rate": (0.001, 0.05)},
        # far better, but not what the search is about
        {"dataset": TOY, "updates": 60, "batch_size": 16, "learning_rate": 0.05},
        {"dataset": TOY, "updates": 4, "batch_size": 16, "learning_rate": 0.05, "width": 512},
        {"dataset": TOY, "updates": 4, "batch_size": 16, "learning_rate": 0.05, "schedule": "step"},
        {"dataset": TOY, "updates": 4, "batch_size": 16, "learning_rate": 0.05, "init_gain": 1.5},
    ],
    seeds=(0,),
    checkpoints=4,
)


@pytest.mark.parametrize(
    ("fixed", "space", "best"),
    [
        ({}, {}, {"updates": 4, "width": 256, "schedule": "constant", "init_gain": 1.0}),
        ({"width": 512}, {}, {"width": 512, "updates": 4}),
        ({"init_gain": 1.5}, {}, {"width": 256, "init_gain": 1.5}),
        ({}, {"schedule": ("step", "cosine")}, {"width": 256, "init_gain": 1.0}),
        ({"epochs": 3, "updates": None}, {}, None),
    ],
)
def test_a_cell_of_the_grid_competes_where_it_differs_in_nothing_but_what_is_searched(
    ran_grid: Path, fixed: dict[str, Any], space: dict[str, Any], best: dict[str, Any] | None
) -> None:
    budget = {"dataset": TOY, "updates": 4, "batch_size": 16} | fixed
    search = dataclasses.replace(SEARCH, space=SEARCH.space | space, each={}, fixed=budget)
    found = best_of_grid(here(ran_grid), search, Trial(**budget))
    if best is None:
        assert found is None
    else:
        assert found is not None
        assert {name: getattr(found, name) for name in best} == best
        # a data set of the search's, which no name finds
        assert (found.dataset, found.learning_rate) == (TOY, 0.05)


@pytest.mark.parametrize(
    ("space", "said"),
    [
        (
            {"clipping": ("global_norm", "value"), "clipping_threshold": Range(0.5, 50, default=1)},
            "clipping_threshold of 'value' must be in",
        ),
        ({"clipping_threshold": Range(0.5, 50, default=1)}, "no 'clipping' of this search takes"),
        ({"clipping_threshold": (0.5, 1.0), "clipping": "none"}, "no 'clipping' of this search"),
        ({"model": ("mlp_deep", "cnn"), "depth": (2, 5)}, "depth of model 'cnn' must be 2"),
    ],
)
def test_a_number_is_checked_with_every_level_that_it_may_be_drawn_with(
    tmp_path: Path, space: dict[str, Any], said: str
) -> None:
    search = dataclasses.replace(SEARCH, space=space, each={})
    with pytest.raises(ValueError, match=said):
        run_search(search, here(tmp_path / "new"))
    assert not (tmp_path / "new").exists()


def test_a_search_in_the_order_of_a_shuffled_grid(tmp_path: Path) -> None:
    search = dataclasses.replace(SEARCH, samplers=("grid-random",), each={}, confirm_seeds=())
    trials = run_search(search, here(tmp_path))

    assert trials["arm"].tolist() == ["grid-random"] * 4
    assert set(np.log10(trials["learning_rate"]).round(1) * 2 % 1) == {0.0}
    # 5 half-decades, 3 clippings and 2 policies: no cell of the grid comes twice
    factors = ["learning_rate", "clipping", "batch_policy"]
    assert len(trials.drop_duplicates(factors)) == 4
    assert trials.loc[trials["clipping"] == "global_norm", "clipping_threshold"].eq(1.0).all()


def test_thresholds_are_searched_in_the_range_of_their_strategy(searched: Path) -> None:
    trials = trials_in(searched, "search")
    by = trials.groupby("clipping")["clipping_threshold"]

    assert by.count().get("none", 0) == 0
    assert by.min()["value"] >= 1e-4
    assert by.max()["value"] <= 1
    assert by.nunique()["global_norm"] > 1


@pytest.mark.parametrize("named", [True, False])
def test_momentum_is_searched_where_the_space_names_it(named: bool) -> None:
    space: dict[str, Any] = {"optimizer": ("sgd", "momentum")}
    space |= {"momentum": Range(0.5, 0.99, default=0.9, log=False)} if named else {}
    search = dataclasses.replace(SEARCH, space=space, each={}, samplers=("random",), fixed={})
    with Mirror(None) as mirror:
        ((base, asked),) = open_searches(search, mirror)
        trials = [ask_trial(search, base, asked) for _ in range(12)]
    momenta = {t.momentum for t in trials if t.optimizer == "momentum"}

    assert {t.momentum for t in trials if t.optimizer == "sgd"} == {None}
    assert len(momenta) > 2 if named else momenta == {0.9}
    assert all(m is not None and 0.5 <= m <= 0.99 for m in momenta)


# The cost of asking


def test_the_work_of_asking_a_trial_does_not_grow(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = {"trials": 0}
    real = optuna.storages.InMemoryStorage.get_all_trials

    def counting(self: Any, *args: Any, **kwargs: Any) -> Any:
        found = real(self, *args, **kwargs)
        calls["trials"] += len(found)
        return found

    monkeypatch.setattr(optuna.storages.InMemoryStorage, "get_all_trials", counting)
    trials = [Trial(seed=s, learning_rate=r) for s in range(20) for r in (0.1, 1.0)]
    asked = grid.ask_for_all(
        Asked("s", factorial_sampler(grid.parameters(trials)), Mirror(None)), trials
    )
    row = {"status": "stable", "first_bad_step": None, "seed": 0, "validation_accuracy": 0.5}
    row |= {"validation_loss": 0.5, "initial_loss": 2.0}
    rows = {}
    for trial in trials:
        rows[trial.key] = row
        asked.tell_ready(rows)

    assert len(asked.told) == 40
    # no look at all the trials that were asked before
    assert calls["trials"] == 0


def cells(trials: Sequence[Trial], **columns: object) -> pd.DataFrame:
    """Made-up rows of trials that ended well, their cells called a, b, c and so on."""
    rows = pd.DataFrame([trial.row() for trial in trials])
    made = {"status": "stable", "cell": [*"abcdefgh"[: len(rows)]], "steps": 20}
    return rows.assign(
        **made | dict.fromkeys(("warm_up_steps", "policy_warm_up_steps"), 0) | columns
    )


def test_what_could_not_act_is_named_and_is_none_of_the_best_cells() -> None:
    rows = cells(
        [Trial(), Trial(clipping="zclip"), Trial(batch_policy="doubling")],
        warm_up_steps=[0, 25, 0],
        policy_warm_up_steps=[0, 0, 20],
        validation_accuracy=[0.5, 0.8, 0.9],
    )
    counts, *said, best = closing_table(rows).split("\n", 3)
    assert counts == "3 trials: 3 stable"
    assert said == [
        "1 trial ended before the clipping could act: zclip",
        "1 trial ended before the batch policy could act: doubling",
    ]
    assert "0.5" in best
    assert "0.8" not in best
    assert "0.9" not in best


def test_the_best_cells_are_told_apart_by_every_factor_that_varies() -> None:
    made = [Trial(optimizer=o, schedule=s) for o in ("adam", "adamw") for s in ("constant", "line")]
    lines = closing_table(cells(made, validation_accuracy=[0.5, 0.6, 0.7, 0.8])).splitlines()
    assert lines[2].split() == ["optimizer", "schedule", "seeds", "validation", "accuracy"]
    assert lines[3].split() == ["adamw", "line", "1", "0.8"]


def test_what_does_not_vary_is_no_column_of_the_best_cells() -> None:
    made = [Trial(learning_rate=rate) for rate in (0.1, 1.0)]
    lines = closing_table(cells(made, validation_accuracy=[0.5, 0.6])).splitlines()
    assert lines[2].split() == ["learning_rate", "seeds", "validation", "accuracy"]


def test_a_run_ends_with_the_book_and_with_what_is_most_worth_running_next(tmp_path: Path) -> None:
    (tmp_path / "headline").mkdir()
    (tmp_path / "headline" / "plan.parquet").touch()
    book, following = next_lines(tmp_path, "grid", "quick")
    assert book.endswith(f" report {tmp_path}")
    assert following.endswith(f" run headroom --scale quick --results {tmp_path}")
    # a study of one's own is not followed by those of the suite
    assert next_lines(tmp_path, "mine", "quick") == [book]
