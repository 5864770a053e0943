"""Rates relative to each configuration's own best one: found first, then multiplied."""

import dataclasses
import math
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from conftest import TOY

from benchmark import RelativeRates, Study
from benchmark.driver import Options, run_study, units
from benchmark.driver.executors import InThisProcess
from benchmark.driver.staged import Stages
from benchmark.driver.stopping import Stopped
from benchmark.records import SELECT
from benchmark.records.rates import rate_at
from benchmark.results import load_study
from benchmark.statistics import chosen_rates, outcomes

RATES = RelativeRates(low=0.1, high=1.0, multiples=(1, 10), seeds=(7, 8))
STUDY = Study(
    name="staged",
    question="How far beyond the best rate?",
    factors={
        "dataset": TOY,
        "normalization": ("none", "layer"),
        "learning_rate": RATES,
        "batch_size": 16,
        "epochs": 1,
    },
    seeds=(0, 1, 2),
    checkpoints=4,
)


def here(path: Path, **more: Any) -> Options:
    plain: dict[str, Any] = {"device": "cpu", "progress": False, "executor": "here"}
    return Options(results=path, **plain | more)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of the study, uninterrupted; not to be changed."""
    path = tmp_path_factory.mktemp("staged")
    run_study(STUDY, here(path))
    return path


def tables(path: Path) -> dict[str, pd.DataFrame]:
    found = load_study(path, "staged")
    assert found is not None
    return {
        name: frame.drop(columns=[c for c in frame if c.endswith("seconds")])
        for name in ("plan", "trials", "history")
        for frame in [getattr(found, name)]
    }


def assert_same(one: Path, other: Path) -> None:
    first, second = tables(one), tables(other)
    pd.testing.assert_frame_equal(first["plan"], second["plan"], check_exact=True)
    pd.testing.assert_frame_equal(first["trials"], second["trials"], check_exact=True)
    pd.testing.assert_frame_equal(first["history"], second["history"], check_exact=True)


# which rates are tried


def tried(rates: RelativeRates, peak: float) -> tuple[list[list[float]], float]:
    """Rates by stage, and the one chosen, where accuracy falls with the decades from ``peak``."""
    scores: dict[float, tuple[float, float]] = {}
    stages = []
    while more := rates.wanted(scores):
        stages.append(more)
        scores |= {rate: (-abs(math.log10(rate / peak)), 0.0) for rate in more}
    return stages, rates.best(scores)


@pytest.mark.parametrize(
    ("peak", "stages", "best"),
    [
        # between two of the first rates: the two quarter-decades beside the better one
        (0.4, [[0.1, 0.3162, 1.0], [0.1778, 0.5623]], 0.3162),
        (0.5, [[0.1, 0.3162, 1.0], [0.1778, 0.5623]], 0.5623),
        # at an edge: half-decades beyond it until one is worse
        (0.09, [[0.1, 0.3162, 1.0], [0.03162], [0.05623, 0.1778]], 0.1),
        (3.0, [[0.1, 0.3162, 1.0], [3.162], [10.0], [1.778, 5.623]], 3.162),
        # far beyond it: two at most
        (1e6, [[0.1, 0.3162, 1.0], [3.162], [10.0], [5.623, 17.78]], 17.78),
        (1e-6, [[0.1, 0.3162, 1.0], [0.03162], [0.01], [0.005623, 0.01778]], 0.005623),
    ],
)
def test_the_rates_that_are_tried(peak: float, stages: list[list[float]], best: float) -> None:
    assert tried(RATES, peak) == (stages, best)


def test_without_extensions_an_edge_stays_one() -> None:
    rates = RelativeRates(low=0.1, high=1.0, extensions=0)
    assert tried(rates, 1e6) == ([[0.1, 0.3162, 1.0], [0.5623, 1.778]], 1.778)


def test_of_equal_rates_the_smallest_is_the_best() -> None:
    same = dict.fromkeys((0.1, 0.3162, 1.0), (0.8, -0.5))
    assert RATES.best(same) == 0.1
    # no better than the rest, the first is on the edge
    assert RATES.wanted(same) == [0.03162]


def test_of_equal_accuracies_the_smaller_loss_is_better() -> None:
    assert RATES.best({0.1: (0.8, -0.5), 0.3162: (0.8, -0.4)}) == 0.3162


def test_four_quarters_are_a_decade() -> None:
    assert [rate_at(k) for k in range(-4, 1)] == [0.1, 0.1778, 0.3162, 0.5623, 1.0]


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"low": 0.2}, "`low` must be a half-decade.*0.2"),
        ({"high": -1.0}, "`high` must be a positive number, but got -1.0"),
        ({"low": 1.0, "high": 1.0}, r"`low < high` must hold.*low=1.0, high=1.0"),
        ({"multiples": ()}, "`multiples` must have a number where `baseline` is None"),
        ({"multiples": 3}, "`multiples` must be a sequence of positive numbers"),
        ({"multiples": (1, 0)}, r"`multiples\[1\]` must be a positive number, but got 0"),
        ({"seeds": ()}, "`seeds` must be a sequence"),
        ({"extensions": -1}, "`extensions` must be a whole number in 0..100, but got -1"),
        ({"baseline": "none"}, r"`baseline` must be None or a factor .* but got 'none'"),
        ({"baseline": ("clip", "none")}, r"`baseline` must be a factor .* but got 'clip'"),
        ({"baseline": ("seed", 1)}, r"`baseline` must be a factor .* but got 'seed'"),
        ({"baseline": ("batch_size", 0)}, "`batch_size` must be .* but got 0"),
        ({"baseline_arm": "select"}, "`baseline_arm` must be a word .* but got 'select'"),
        ({"baseline_arm": "x3"}, "`baseline_arm` must be a word .* but got 'x3'"),
        ({"baseline_multiples": (0,)}, "`baseline_multiples.*` must be .* but got 0"),
    ],
)
def test_relative_rates_that_make_no_sense_are_refused(wrong: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        RelativeRates(**{"low": 0.1, "high": 1.0} | wrong)


def test_a_rate_is_not_chosen_on_the_seeds_that_are_reported() -> None:
    with pytest.raises(ValueError, match="on other seeds than the study's, but both have 0"):
        Study(
            name="s",
            question="?",
            factors={"learning_rate": RelativeRates(low=1, high=10, seeds=[0])},
        )


# the study


def test_the_multiples_of_the_best_rate_are_trained_on_fresh_seeds(whole: Path) -> None:
    trials = tables(whole)["trials"]
    chosen = chosen_rates(outcomes(trials[trials["arm"] == SELECT]), ["normalization"])
    later = trials[trials["arm"] != SELECT]

    assert set(trials.loc[trials["arm"] == SELECT, "seed"]) == {7, 8}
    assert later.groupby(["normalization", "arm"])["seed"].apply(list).tolist() == [[0, 1, 2]] * 4
    at = later.groupby(["normalization", "arm"], sort=False)["learning_rate"].unique().explode()
    for normalization, best in zip(chosen["normalization"], chosen["best_rate"], strict=True):
        assert at[normalization, "x1"] == best
        assert at[normalization, "x10"] == pytest.approx(10 * best, rel=1e-3)


def test_all_that_was_trained_is_planned_and_expected(whole: Path) -> None:
    found = load_study(whole, "staged")
    assert found is not None
    assert found.plan["trial"].tolist() == found.trials["trial"].tolist()
    assert found.metadata["expected"] == len(found.trials)


@pytest.mark.parametrize("calls", [2, 4, 5, 7])
def test_a_stopped_study_goes_on_to_the_same_rows(calls: int, whole: Path, tmp_path: Path) -> None:
    class StopsAfter(InThisProcess):
        left = calls

        def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
            self.left -= 1
            if not self.left:
                raise Stopped
            return super().submit(fn, *args, **kwargs)

    with pytest.raises(Stopped):
        run_study(STUDY, here(tmp_path, executor=StopsAfter()))
    run_study(STUDY, here(tmp_path))

    assert_same(whole, tmp_path)


def test_the_rows_do_not_depend_on_the_workers(whole: Path, tmp_path: Path) -> None:
    run_study(STUDY, here(tmp_path, executor="processes", workers=2))
    assert_same(whole, tmp_path)


def test_what_is_impossible_is_a_row_and_has_no_best_rate(tmp_path: Path) -> None:
    study = STUDY.only({"normalization": ["none", "batch"], "batch_size": ["1"], "epochs": ["0.2"]})
    trials = run_study(study, here(tmp_path))
    found = load_study(tmp_path, "staged")

    skipped = trials[trials["normalization"] == "batch"]
    assert set(skipped["status"]) == {"skipped"}
    assert set(skipped["arm"]) == {SELECT}
    assert {"x1", "x10"} < set(trials.loc[trials["normalization"] == "none", "arm"])
    assert found is not None
    assert found.metadata["expected"] == found.plan_metadata["expected"] == len(trials)


def test_what_failed_goes_no_further_until_it_is_retried(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = units.train

    def broken(trials: Any, **more: Any) -> Any:
        if trials[0].normalization == "layer":
            raise RuntimeError("no such kernel")
        return real(trials, **more)

    with monkeypatch.context() as patch:
        patch.setattr(units, "train", broken)
        trials = run_study(STUDY, here(tmp_path))
    assert set(trials.loc[trials["normalization"] == "layer", "arm"]) == {SELECT}
    assert set(trials.loc[trials["normalization"] == "none", "arm"]) == {SELECT, "x1", "x10"}

    again = run_study(STUDY, here(tmp_path))
    expected = tables(whole)["trials"]
    assert set(again["trial"]) == set(expected["trial"])


def test_a_rate_on_the_command_line_replaces_the_best_one(tmp_path: Path) -> None:
    trials = run_study(STUDY.only({"learning_rate": ["0.2"]}), here(tmp_path))
    assert trials["learning_rate"].tolist() == [0.2] * 6
    assert set(trials["arm"]) == {""}


def test_plain_trials_of_the_same_study_are_trained_beside(tmp_path: Path) -> None:
    (block,) = STUDY.blocks()
    plain = {**block, "normalization": "none", "learning_rate": (0.1, 0.2)}
    study = Study(name="staged", question="?", factors=[block, plain], seeds=(0,), checkpoints=4)
    trials = run_study(study, here(tmp_path))
    assert trials.loc[trials["arm"] == "", "learning_rate"].tolist() == [0.1, 0.2]


def test_a_block_may_have_seeds_of_its_own() -> None:
    own = {"clipping": "value", "seed": (5, 6)}
    study = Study(name="s", question="?", factors=[{"clipping": "none"}, own], seeds=(0,))
    assert [(t.clipping, t.seed) for t in study.trials()] == [
        ("none", 0),
        ("value", 5),
        ("value", 6),
    ]
    assert {t.seed for t in study.only({"seed": ["3"]}).trials()} == {3}


# at the baseline's rates

COMPARED = RelativeRates(
    low=0.1,
    high=1.0,
    multiples=(1,),
    seeds=(7, 8),
    baseline=("normalization", "none"),
    baseline_multiples=(3, 10),
)


def shared(path: Path, normalizations: tuple[str, ...]) -> pd.DataFrame:
    factors = dict(STUDY.factors) | {"normalization": normalizations, "learning_rate": COMPARED}
    study = Study(name="staged", question="?", factors=factors, seeds=(0, 1), checkpoints=4)
    trials = run_study(study, here(path))
    return trials[trials["arm"].str.startswith("shared")]


def test_others_are_trained_at_multiples_of_the_baselines_best_rate(tmp_path: Path) -> None:
    trials = shared(tmp_path, ("layer", "none"))
    tried = tables(tmp_path)["trials"].query("arm == @SELECT")
    best = chosen_rates(outcomes(tried), ["normalization"]).set_index("normalization")["best_rate"]
    found = trials[["arm", "normalization", "learning_rate", "seed"]].values.tolist()
    assert found == [
        [arm, "layer", float(f"{times * best['none']:.4g}"), seed]
        for arm, times in (("shared_x3", 3), ("shared_x10", 10))
        for seed in (0, 1)
    ]


def test_without_the_baseline_nothing_is_trained_at_its_rates(tmp_path: Path) -> None:
    assert shared(tmp_path, ("layer", "batch")).empty


def test_without_multiples_no_best_rate_but_the_baselines_is_looked_for(tmp_path: Path) -> None:
    rates = dataclasses.replace(COMPARED, baseline=None)
    at_its_rates = dataclasses.replace(COMPARED, multiples=())
    factors = [
        dict(STUDY.factors) | {"normalization": level, "learning_rate": asked}
        for level, asked in (("none", rates), ("layer", at_its_rates))
    ]
    study = Study(name="staged", question="?", factors=factors, seeds=(0, 1), checkpoints=4)
    assert {trial.normalization for trial in study.trials()} == {"none"}
    assert sum(t.normalization == "layer" for t in Stages(study).stand_ins()) == 2 * 2

    trials = run_study(study, here(tmp_path))
    arms = trials.groupby("normalization")["arm"].agg(set).to_dict()
    assert arms["layer"] == {"shared_x3", "shared_x10"}
    rate = trials.query("arm == 'x1'")["learning_rate"].unique().item()
    raised = trials.query("arm == 'shared_x10'")["learning_rate"].unique().item()
    assert raised == pytest.approx(10 * rate)


def test_a_baseline_that_cannot_be_is_one_line() -> None:
    rates = dataclasses.replace(COMPARED, baseline=("clipping", "no"))
    factors = dict(STUDY.factors) | {"clipping": "value", "clipping_threshold": 0.1}
    study = Study(name="s", question="?", factors=factors | {"learning_rate": rates})
    words = r"`baseline` .* suits no trial of this study: unknown clipping 'no'"
    with pytest.raises(ValueError, match=words):
        Stages(study)


def test_a_baseline_has_the_numbers_of_its_own_level() -> None:
    def planned(rates: RelativeRates, **network: Any) -> list[dict[str, Any]]:
        base = dict(STUDY.factors) | {"normalization": "none", "model": "mlp"}
        of_baseline = base | {"learning_rate": dataclasses.replace(COMPARED, baseline=None)}
        return [of_baseline, base | network | {"learning_rate": rates}]

    # four layers are no depth of the baseline's
    rates = dataclasses.replace(COMPARED, baseline=("model", "mlp"), multiples=())
    factors = planned(rates, model="mlp_deep", depth=4)
    stages = Stages(Study(name="s", question="?", factors=factors, seeds=(0, 1)))
    assert sum(t.model == "mlp_deep" for t in stages.stand_ins()) == 2 * 2


def test_each_threshold_is_trained_at_the_rate_of_a_baseline_that_has_none(tmp_path: Path) -> None:
    unclipped = dataclasses.replace(COMPARED, baseline=None, multiples=(1, 10))
    lent = dataclasses.replace(
        COMPARED,
        multiples=(),
        baseline=("clipping", "none"),
        baseline_multiples=(10,),
        baseline_arm="threshold",
    )
    bare = dict(STUDY.factors) | {"normalization": "none", "learning_rate": unclipped}
    clipped = bare | {"clipping": "value", "clipping_threshold": (0.01, 0.1), "learning_rate": lent}
    factors = [clipped, bare]
    study = Study(name="staged", question="?", factors=factors, seeds=(0, 1), checkpoints=4)

    trials = run_study(study, here(tmp_path))
    (rate,) = trials.loc[trials["arm"] == "x10", "learning_rate"].unique()
    columns = ["arm", "learning_rate", "clipping_threshold", "seed"]
    assert trials.loc[trials["clipping"] == "value", columns].values.tolist() == [
        ["threshold_x10", rate, threshold, seed] for threshold in (0.01, 0.1) for seed in (0, 1)
    ]


def test_trials_at_the_baselines_rates_are_planned() -> None:
    def planned(rates: RelativeRates) -> int:
        factors = dict(STUDY.factors) | {"learning_rate": rates}
        return Stages(Study(name="s", question="?", factors=factors, seeds=(0, 1))).expected

    alone = dataclasses.replace(COMPARED, baseline=None)
    assert planned(COMPARED) - planned(alone) == 2 * 2
