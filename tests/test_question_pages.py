"""The pages about single questions: every block says something sound of whatever data there are.

The studies are the real ones; what came out of their trials is made up, so that nothing is trained.
"""

import dataclasses
import math
import re
import runpy
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from pages import page as page_of
from pages import words

from benchmark.driver.planning import design
from benchmark.engine.runs.run import PROBED_EXAMPLES
from benchmark.provenance import provenance
from benchmark.records import Range, Search, Study, Trial
from benchmark.results import Results, write
from benchmark.schema import frame
from benchmark.statistics import (
    restart_effect,
    restarts,
    sizes_near_best,
    speed,
    steadiest_product,
)
from benchmark.statistics.selection import where, without_repeats
from benchmark.statistics.targets import rule_holds
from report import (
    advice,
    architectures,
    batch_updates,
    disturbances,
    evidence,
    explosion,
    extension,
    headline,
    not_run,
    optimizers,
    rates,
    rendering,
)

ROOT = Path(__file__).resolve().parents[1]
PAGES = {
    "initialization": "initialization",
    "explosion": "explosion",
    "rates": "learning_rate",
    "thresholds": "clipping",
    "small_batches": "normalization",
    "batch_updates": "batch_updates",
    "optimizers": "optimizers",
    "precision": "precision",
    "scaling": "scaling",
    "article": "article",
    "architectures": "architectures",
}
"""Each page and its study."""
CHECKPOINTS, STEPS = 4, 40
Fate = Callable[[Trial, np.random.Generator], str]


def mixed(trial: Trial, draw: np.random.Generator) -> str:
    """Large rates end badly in every way there is."""
    if trial.learning_rate < 0.5:
        return "stable"
    if trial.learning_rate < 5:
        return str(draw.choice(["stable", "recovered", "collapsed"]))
    return str(draw.choice(["dead", "nonfinite"]))


def calm(trial: Trial, draw: np.random.Generator) -> str:
    """Nothing explodes."""
    return "stable"


def divergent(trial: Trial, draw: np.random.Generator) -> str:
    """Nothing stays finite."""
    return "nonfinite"


def rows_of(trial: Trial, fate: Fate, layers: bool) -> dict[str, list[dict]]:
    """Made-up rows of one trial, from its key alone."""
    draw = np.random.default_rng(int(trial.key, 16))
    status = "stalled" if trial.epochs == 0 else fate(trial, draw)
    scaled = trial.precision in ("float16_static", "float16_dynamic")
    good, finite = status in ("stable", "recovered"), status != "nonfinite"
    accuracy = (0.8 + 0.15 * draw.random() if good else 0.1) if finite else np.nan
    key = {"study": "made up", "trial": trial.key}
    samples = STEPS * trial.batch_size
    bad = None if status in ("stable", "stalled") else int(draw.integers(1, STEPS))
    outcome = {
        "status": status,
        "first_bad_step": bad,
        "first_spike_step": bad,
        "steps": STEPS,
        "samples": samples,
        "initial_loss": 2.3,
        "validation_loss": 1 - accuracy,
        "test_accuracy": accuracy,
        "validation_accuracy": accuracy,
        "gradient_norm_p90": float(draw.lognormal()) if finite else np.nan,
        **({"skipped_fraction": 0.2, "loss_scale": 1024.0} if scaled else {}),
        "clipped_fraction": None if trial.clipping == "none" else float(draw.random()),
        "samples_to_target": samples // 2 if good else None,
        "steps_to_target": STEPS // 2 if good else None,
        "seconds": 0.1 + draw.random(),
        "classes": 10,
        "target_accuracy": 0.9,
        "parameters": 1000,
        "examples": 1000,
    }
    history = [
        {
            **key,
            "step": STEPS * i // CHECKPOINTS,
            "samples": samples * i // CHECKPOINTS,
            "learning_rate": trial.learning_rate * 10.0 ** (6 * (i / CHECKPOINTS - 1)),
            "batch_size": trial.batch_size * (1 + i),
            "train_loss": 2.3 / (1 + i) if finite else np.nan,
            "gradient_norm_max": float(draw.lognormal()) if finite else np.inf,
            "noise_scale": float(draw.normal(20, 15)),
            "sharpness": float(draw.lognormal()) if finite else np.nan,
        }
        for i in range(CHECKPOINTS + 1)
    ]
    depth = trial.depth or 1
    own = [
        {
            **key,
            "step": 0,
            "layer": str(i),
            "layer_kind": "linear",
            "layer_index": i,
            "backprop_norm": trial.init_gain ** (depth - i) * draw.uniform(0.9, 1.1),
            "gradient_norm": draw.uniform(0.9, 1.1),
        }
        for i in range(1, depth + 2)
    ]
    row = {**key, "cell": trial.cell, "unit": trial.key, **trial.row()}
    return {
        "plan": [row],
        "trials": [row | outcome],
        "history": history,
        "layers": own if layers else [],
    }


def made_up(
    folder: Path,
    study: Study | Search,
    fate: Fate,
    keep: int = 1,
    trials: Sequence[Trial] | None = None,
) -> None:
    """Results of ``study`` in ``folder``; of the trials only one in ``keep`` has come to an end.

    The ``trials`` are those that the study plans, unless they are given: those of a search.
    """
    tables: dict[str, list[dict]] = {"plan": [], "trials": [], "history": [], "layers": []}
    for number, trial in enumerate(design(study).trials if trials is None else trials):
        rows = rows_of(trial, fate, getattr(study, "layers", False))
        for table in tables if number % keep == 0 else ("plan",):
            tables[table] += rows[table]
    metadata = provenance(device="none", study=study.definition())
    metadata |= {"command": f"python studies/{study.name}.py --scale quick"}
    for table, rows in tables.items():
        write(table, frame(table, rows), folder / study.name / f"{table}.parquet", metadata)


def real_study(name: str, scale: str) -> Study:
    return runpy.run_path(str(ROOT / "studies" / f"{name}.py"))["study"](scale)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty results folder that the pages read."""
    monkeypatch.setenv(evidence.VARIABLE, str(tmp_path / "results"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "results"


@pytest.fixture
def unrendered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures are made but not rendered, which takes most of the time."""
    monkeypatch.setattr(Figure, "savefig", lambda self, path, **_: path.write_text("svg"))


def sound(name: str) -> str:
    """A page as text, after a look at all that could be wrong with it."""
    text = page_of(name, Path())
    assert "nan" not in re.findall(r"\w+", text.lower().replace("for nan", ""))
    read = words(re.sub(r"```.*?```", "", text, flags=re.DOTALL))
    assert (
        re.findall(r"\bNone\b(?! of)|\binf\b|(?<!\.)\.\.(?!\.)|-0\.0|<[A-Z]|\w e\+\d| ,|\(\)", read)
        == []
    )
    for figure in re.findall(r"```\{figure\} (\S+)\n", text):
        assert Path(figure).stat().st_size > 0
        assert Path(figure).with_suffix(".csv").stat().st_size > 0
    for alt in re.findall(r":alt: (.*)", text):
        assert alt.endswith('."')
        assert len(alt) > 20
    labels = re.findall(r":name: (\S+)", text)
    assert len(labels) == len(set(labels))
    return text


@pytest.mark.parametrize(("page", "study"), PAGES.items(), ids=PAGES)
class TestEveryPage:
    def test_with_a_whole_study(self, page: str, study: str, folder: Path) -> None:
        whole = real_study(study, "quick")
        made_up(folder, dataclasses.replace(whole, seeds=(0, 1)), mixed)
        # half precision has no more to show than a table does
        assert ("| --- |" if page == "precision" else "```{figure}") in sound(page)

    @pytest.mark.usefixtures("unrendered")
    @pytest.mark.parametrize("fate", [mixed, calm, divergent], ids=lambda fate: fate.__name__)
    def test_with_a_single_seed_of_few_trials(
        self, page: str, study: str, folder: Path, fate: Fate
    ) -> None:
        made_up(folder, real_study(study, "smoke"), fate)
        sound(page)

    @pytest.mark.usefixtures("unrendered")
    def test_with_half_of_the_trials_missing(self, page: str, study: str, folder: Path) -> None:
        made_up(folder, real_study(study, "smoke"), mixed, keep=2)
        assert "without a row" in sound(page)

    def test_without_its_study(self, page: str, study: str, folder: Path) -> None:
        # a page that is left with its title is left out of the book
        assert re.fullmatch(r"# [^\n]+\s*", sound(page))
        assert f"python -m benchmark run {study} --scale quick" in sound("not_run")


# what the sentences say


def says(name: str) -> str:
    """A page as it is read."""
    return words(page_of(name, Path()))


def test_a_growth_rate_that_is_as_theory_says_is_said_to_be_so(folder: Path) -> None:
    made_up(folder, real_study("initialization", "quick").only({"seed": ["0", "1"]}), mixed)
    text = says("initialization")
    # made up as gain to the power of the layers, squared: theory itself, give or take a tenth
    assert "explode above initialization gain 1 and vanish below it" in text
    assert re.search(
        r"Over 16 combinations .* differs from the theoretical one by at most \d", text
    )


def test_the_page_says_on_how_many_images_layers_are_measured() -> None:
    text = (ROOT / "report" / "initialization.md").read_text(encoding="utf-8")
    assert f"of one batch of at most {PROBED_EXAMPLES} images" in text


def test_no_explosion_is_said_to_be_none(folder: Path) -> None:
    made_up(folder, real_study("explosion", "smoke"), calm)
    assert "None of 8 trials exploded." in says("explosion")


def test_the_range_test_is_no_level_of_a_comparison(folder: Path) -> None:
    made_up(folder, real_study("learning_rate", "smoke"), mixed)
    source = evidence.load("learning_rate")
    assert source is not None
    rows = rates.compared(source, "clipping")
    assert set(rows["schedule"]) == {"constant"}
    assert set(rows["normalization"]) == {"none"}
    assert list(rows["clipping"].unique()) == ["none", "global_norm"]


def test_policies_are_paired_with_the_best_fixed_size(folder: Path) -> None:
    made_up(folder, real_study("batch_updates", "quick").only({"seed": ["0", "1", "2"]}), mixed)
    source = evidence.load("batch_updates")
    assert source is not None
    rows, chosen = batch_updates.against_fixed(source), batch_updates.arms(source)
    # equal examples and equal updates are two questions
    assert set(rows["model"]) == {"MLP at equal examples", "MLP at equal updates"}
    rows = rows[rows["model"] == "MLP at equal updates"].set_index("level")
    chosen = chosen[chosen["model"] == "MLP at equal updates"]
    gap = [
        float(chosen.loc[chosen["batch_policy"] == policy, "accuracy"].mean())
        for policy in ("doubling", "fixed")
    ]
    assert rows.loc["doubling", "pairs"] == 3
    assert rows.loc["doubling", "effect"] == pytest.approx(gap[0] - gap[1])


def test_sizes_and_policies_are_compared_on_one_share_of_the_data(folder: Path) -> None:
    study = real_study("batch_updates", "quick")
    half = Study(
        name="batch_updates",
        question=study.question,
        factors=[*study.blocks(), {"train_fraction": 0.5, "learning_rate": (0.1, 1.0)}],
        seeds=study.seeds,
    )
    made_up(folder, half, lambda trial, draw: "stable")
    source = evidence.load("batch_updates")
    assert source is not None
    assert set(source.outcomes["train_fraction"]) == {0.25, 0.5, 1.0}
    assert set(batch_updates.arms(source)["train_fraction"]) == {1.0}
    sizes = batch_updates.sizes_compared(source)
    assert set(sizes["train_fraction"]) == {1.0}
    assert not sizes["arm"].str.startswith("x").any()


def test_clippings_are_compared_on_the_networks_that_all_were_run_on(folder: Path) -> None:
    study = real_study("explosion", "smoke")
    plain = {"model": "mlp_deep", "depth": 5, "updates": 16, "learning_rate": (0.1, 10.0)}
    both = Study(
        name="explosion",
        question=study.question,
        factors=[*study.blocks(), plain],
        seeds=(0,),
    )
    made_up(folder, both, lambda trial, draw: "dead" if trial.depth == 5 else "stable")
    source = evidence.load("explosion")
    assert source is not None
    shares = explosion.by_clipping(source).set_index("clipping")["exploded"]
    assert set(shares.index) == {"none", "global_norm"}
    assert shares.eq(0).all()


@pytest.mark.parametrize("name", ["normalization", "scaling", "batch_updates"])
def test_a_best_rate_on_the_edge_is_marked_on_its_page(folder: Path, name: str) -> None:
    rates = real_study(name, "quick").only({"learning_rate": ["0.1", "1", "10"]})
    made_up(folder, rates, lambda trial, draw: "stable" if trial.learning_rate < 0.5 else "dead")
    page = {"normalization": "small_batches"}.get(name, name)
    assert re.search(r"\d(?: \(|, )edge\)", words(page_of(page, folder)))


@pytest.mark.parametrize("inner", [True, False])
def test_an_edge_is_explained_where_an_entry_is_marked(folder: Path, inner: bool) -> None:
    rates = real_study("normalization", "quick").only({"learning_rate": ["0.1", "1", "10"]})
    good = 1.0 if inner else 0.1
    made_up(folder, rates, lambda trial, _: "stable" if trial.learning_rate == good else "dead")
    text = words(page_of("small_batches", folder))
    assert bool(re.search(r"\d, edge\)", text)) is not inner
    assert ("a better one may lie beyond those that were tried" in text) is not inner


def test_what_broke_before_a_disturbance_is_not_its_doing() -> None:
    rows = pd.DataFrame(
        [
            ("none", math.nan, math.nan, "stable"),
            ("bad_batch", math.nan, math.nan, "stable"),
            ("bad_batch", 50.0, 50.0, "recovered"),
            ("bad_batch", 60.0, 60.0, "nonfinite"),
            ("bad_batch", 2.0, 2.0, "nonfinite"),
        ],
        columns=["disturbance", "first_bad_step", "first_spike_step", "status"],
    )
    study: Any = SimpleNamespace(outcomes=rows.assign(disturbed_step=50.0))
    found = advice.after_disturbances(study)
    assert found == {"trials": 3, "spiked": 2, "nonfinite": 1}


def test_mini_batches_that_are_ahead_cost_nothing() -> None:
    cost: Any = rendering.environment().get_template("answers.jinja").module
    lead = SimpleNamespace(high=-0.001, shortfall="0.2 points (0.1 to 0.3)")
    open_ = SimpleNamespace(high=0.001, pooled_words="−0.2 points (−0.5 to 0.1)")
    nothing = "the mini-batches cost nothing: they are 0.2 points (0.1 to 0.3) ahead"
    assert str(cost.cost(lead)) == nothing
    assert str(cost.cost(lead, ahead=True)) == "they are 0.2 points (0.1 to 0.3) ahead"
    assert str(cost.cost(open_)) == "the cost of the mini-batches is −0.2 points (−0.5 to 0.1)"


def test_which_clipping_to_use_rests_on_both_kinds_of_trouble(monkeypatch):
    monkeypatch.setenv(evidence.VARIABLE, str(ROOT / "results" / "reference"))
    high, trouble = evidence.load("headline"), evidence.load("disturbances")
    assert high is not None
    assert trouble is not None
    rows = advice.which().set_index("clipping")
    raised = headline.raised(high, same_rate=True)
    late = raised.too_late.query("model == 'mlp' and normalization == 'none'")["level"]
    assert rows.index[rows["late"]].tolist() == ["skip_step"] == late.tolist()
    by_rate = disturbances.by_rate(trouble, model="mlp", normalization="none")
    once = by_rate.query("times == 0.3").set_index("clipping")["effect"]
    # over more rates the least is no more
    known = rows["disturbed"].dropna()
    assert (known <= once[known.index] + 1e-9).all()
    assert (known < once[known.index]).any()
    assert disturbances.safe(trouble)["clipping"].isin(known.index[known > 0]).all()


def test_a_custom_study_is_compared_on_its_page(folder: Path) -> None:
    study = Study(
        name="mine",
        question="Is it any good?",
        factors={"clipping": ("none", "value"), "learning_rate": (0.1, 0.2)},
        seeds=(0, 1),
        checkpoints=4,
    )
    made_up(folder, study, calm)
    text = says("extension")
    assert "### Mine" in text
    assert "*Is it any good?* 8 trials: 8 stable." in text
    assert re.search(
        r"\*\*digits, each at its best rate\*\*[ |]+clipping: value \| none \| 2 \|", text
    )
    assert re.search(r"\*\*digits, over all rates\*\*[ |]+clipping: value \| none \| 4 \|", text)


def custom(**factors: object) -> Study:
    """A custom study of these factors, on two seeds."""
    levels = {"learning_rate": (0.1, 1.0, 10.0)} | factors
    return Study(name="mine", question="Is it any good?", factors=levels, seeds=(0, 1))


@pytest.mark.usefixtures("unrendered")
def test_a_factor_without_its_usual_baseline_is_compared_with_its_first_level(folder: Path) -> None:
    made_up(folder, custom(optimizer=("lion", "adamw"), schedule=("cosine", "step")), calm)
    text = says("extension")
    assert "Differences in test accuracy from Lion (optimizer) and cosine (schedule)." in text
    assert "| optimizer: AdamW | Lion |" in text
    assert "| schedule: step | cosine |" in text


@pytest.mark.usefixtures("unrendered")
@pytest.mark.parametrize(
    ("factors", "row"),
    [
        ({"clipping": "value", "clipping_threshold": (0.1, 1.0)}, "clipping threshold: 1 | 0.1"),
        ({"model": ("mlp", "cnn")}, "model: CNN | MLP"),
    ],
    ids=["threshold", "model"],
)
def test_whatever_a_custom_study_varies_is_compared(folder: Path, factors: dict, row: str) -> None:
    made_up(folder, custom(**factors), calm)
    assert f"| {row} |" in says("extension")


@pytest.mark.usefixtures("unrendered")
def test_factors_that_change_together_are_named_as_not_compared(folder: Path) -> None:
    blocks = [{"optimizer": "lion", "schedule": "cosine"}, {"optimizer": "adam"}]
    study = Study(name="mine", question="Which?", factors=blocks, seeds=(0, 1))
    made_up(folder, study, calm)
    assert (
        "No two trials differ in one factor alone, so that optimizer and schedule cannot be "
        "compared pair by pair." in says("extension")
    )


def high_rates_explode(trial: Trial, draw: np.random.Generator) -> str:
    """Rates of 10 diverge, and those of 1 heal where they are clipped."""
    healed = "recovered" if trial.clipping == "value" else "dead"
    return {0.1: "stable", 1.0: healed}.get(trial.learning_rate, "nonfinite")


@pytest.mark.usefixtures("unrendered")
def test_the_page_of_a_custom_study_says_what_exploded_at_which_rate(folder: Path) -> None:
    made_up(folder, custom(clipping=("none", "value")), high_rates_explode)
    text = says("extension")
    assert " trials 66.7% exploded: 50.0% diverged, and 16.7% healed" in text
    head = "| level | no trial diverges up to | every trial learns up to "
    assert head + "| rate 0.1 | rate 1 | rate 10 |" in text
    assert "| none | 0.1 | 0.1 | 0% / 0% | 100% / 100% | 100% / 100% |" in text
    assert "| value | 1 | 1 | 0% / 0% | 100% / 0% | 100% / 100% |" in text


@pytest.mark.usefixtures("unrendered")
def test_two_seeds_are_said_to_be_too_few_for_a_verdict(folder: Path) -> None:
    made_up(folder, custom(clipping=("none", "value", "global_norm")), calm)
    assert "No verdict is possible on 2 seeds of clipping (7 are needed)" in says("extension")


@pytest.mark.usefixtures("unrendered")
def test_a_custom_search_shows_its_winners_their_confirmation_and_the_samplers(
    folder: Path,
) -> None:
    search = Search(
        name="hunt",
        question="Which is best?",
        space={"learning_rate": Range(0.01, 100.0, default=0.1), "optimizer": ("adam", "lion")},
        samplers=("tpe", "random"),
    )
    tried = [
        Trial(arm=arm, learning_rate=rate, optimizer=optimizer)
        for arm, optimizer in (("tpe", "lion"), ("random", "adam"))
        for rate in (0.1, 1.0, 10.0)
    ]
    again = [
        dataclasses.replace(trial, arm=f"confirm:{trial.arm}", seed=seed)
        for trial in tried
        if trial.learning_rate == 0.1
        for seed in (1000, 1001, 1002)
    ]
    made_up(folder, search, high_rates_explode, trials=[*tried, *again])
    text = says("extension")
    head = "| found by | on seed | optimizer | learning rate | accuracy there (&#37;) |"
    assert words(head) in text
    assert re.search(r"\| TPE \| 0 \| Lion \| 0\.1 \| [\d.]+ \| [\d.]+ \| .+? \| 3 \|", text)
    assert re.search(r"\| random \| 0 \| Adam \| 0\.1 \|", text)
    assert re.search(r"\| TPE \| 1 \| [\d.]+ \| [^|]+ \| random \| [+−]?[\d.]+ \|", text)
    assert "each sampler searched once" in text
    assert "Smallest validation loss so far. At the end: TPE" in page_of("extension", Path())


def test_a_custom_study_of_relative_rates_is_compared_at_each_multiple():
    rows = pd.DataFrame(
        [
            {"clipping": clipping, "learning_rate": rate * times, "times": times, "seed": seed}
            for clipping, rate in (("none", 0.1), ("value", 0.3))
            for times in (1, 10)
            for seed in (0, 1)
        ]
    )
    rows = rows.assign(dataset="digits", arm=rows["times"].map("x{}".format))
    rows["accuracy"] = 0.5 + 0.1 * rows["clipping"].eq("value") * rows["times"].eq(10)
    study = Mock(factors=["clipping"], relative=rows, outcomes=rows, metadata={})
    found = extension.compare(study)
    assert found[["at", "level", "pairs"]].values.tolist() == [
        ["each at its best rate", "value", 2],
        ["each at 10 times its best rate", "value", 2],
    ]
    assert found["effect"].tolist() == pytest.approx([0.0, 0.1])


def test_the_first_page_of_a_custom_study_leads_to_it(folder: Path) -> None:
    study = Study(name="mine", question="Is it any good?", factors={"clipping": "none"})
    made_up(folder, study, calm)
    text = words(page_of("index", folder))
    assert "- [Mine](#custom-mine): Is it any good?" in text
    assert "It holds none of the suite's own studies" in text
    assert "questions" not in text
    assert "(custom-mine)=" in words(page_of("extension", folder))


def test_without_a_custom_study_the_page_gives_the_command(folder: Path) -> None:
    made_up(folder, real_study("explosion", "smoke"), calm)
    assert extension.COMMAND in says("extension")


def test_nothing_that_the_reference_holds_is_called_not_run(monkeypatch):
    folder = ROOT / "results" / "reference"
    monkeypatch.setenv(evidence.VARIABLE, str(folder))
    assert not_run.all_missing() == []


def test_a_product_of_rate_and_threshold_is_named_with_how_often_it_is_best() -> None:
    rules = pd.DataFrame({"learning_rate": [0.1, 1.0, 10.0], "best_threshold": [9.0, 0.2, 0.02]})
    assert steadiest_product(rules) == {"product": pytest.approx(0.2), "alike": 2, "rates": 3}


def deep_trials(
    accuracies: dict[tuple[str, float], float], seeds: int = 2, **changed: object
) -> pd.DataFrame:
    """Seeds of a ten-layer network for each clipping and rate, around an accuracy."""
    rows = [
        {"clipping": c, "learning_rate": rate, "seed": seed, "accuracy": value + 0.002 * seed}
        for (c, rate), value in accuracies.items()
        for seed in range(seeds)
    ]
    whole = {"depth": 10.0, "normalization": "none", "init_gain": 1.0, "schedule": "constant"}
    whole |= {"epochs": np.nan, "updates": 500.0, "steps": 500, "clipping_threshold": 1.0}
    whole |= {"dataset": "fashion-mnist", "model": "mlp_deep", "train_fraction": 1.0}
    found = pd.DataFrame(rows).assign(**{**whole, **changed})
    same = {"validation": found["accuracy"], "objective": 1 - found["accuracy"]}
    return found.assign(
        **same, trial=np.arange(len(found)), exploded=0.0, diverged=0.0, could_act=1.0
    )


CASE = {
    **{("none", 0.05): 0.8, ("none", 0.5): 0.1, ("value", 0.5): 0.7},
    **{("global_norm", 0.05): 0.6, ("value", 0.05): 0.6, ("global_norm", 0.5): 0.75},
}


def test_a_lower_rate_stands_beside_every_clipping_at_the_rate_that_is_asked_for() -> None:
    found = advice.deep(Mock(outcomes=deep_trials(CASE)))
    assert (found["exact"], found["bare"]) == (True, pytest.approx(0.101))
    assert found["lower"]["learning_rate"] == 0.05
    assert list(found["rows"]["clipping"]) == ["global_norm", "value"]
    assert found["rows"]["effect"].tolist() == pytest.approx([-0.05, -0.1])
    # two seeds tell nothing apart
    assert found["rows"]["alike"].tolist() == [True, True]
    rows = deep_trials(CASE, seeds=10)
    uneven = 0.001 * (rows["seed"] % 3).where(rows["clipping"] == "value", 0)
    found = advice.deep(Mock(outcomes=rows.assign(accuracy=rows["accuracy"] + uneven)))
    assert found["rows"]["alike"].tolist() == [True, False]


def test_a_longer_budget_does_not_lend_its_accuracy_to_the_lower_rate() -> None:
    longer = deep_trials({("none", 0.16): 0.95}).assign(updates=3000.0, trial=[90, 91])
    found = advice.deep(Mock(outcomes=pd.concat([deep_trials(CASE), longer])))
    assert found["lower"]["learning_rate"] == 0.05


def test_where_no_clipping_was_run_there_is_nothing_to_say_of_it() -> None:
    assert advice.deep(Mock(outcomes=deep_trials({("none", 0.5): 0.1}))) is None


def test_a_restart_is_compared_with_clipping_at_the_old_rate_by_the_same_seed() -> None:
    levels = {("none", 1.0): 0.1, ("none", 0.1): 0.8, ("global_norm", 1.0): 0.5}
    rows = deep_trials(levels, dataset="digits", model="mlp_deep", learned=1.0)
    gone = rows["clipping"].eq("none") & rows["learning_rate"].eq(1.0)
    rows = rows.assign(exploded=gone.astype(float), first_bad_step=np.where(gone, 3.0, np.nan))
    rows = rows.assign(status=np.where(gone & rows["seed"].eq(0), "nonfinite", "dead"))
    again = restarts(rows)
    assert again["accuracy"].tolist() == pytest.approx([0.8, 0.802])
    assert again["nonfinite"].tolist() == [True, False]
    assert set(again["trial"]) == set(rows.loc[gone, "trial"])
    found = restart_effect(again)
    assert (found["effect"], found["pairs"]) == (pytest.approx(0.3), 2)


def test_restarts_after_a_nan_are_counted_by_the_old_rate(monkeypatch) -> None:
    """Three networks at each rate; of those at 10 a tenth saves none, and one was not run lower."""
    rows = pd.DataFrame({"old": np.repeat([0.316, 1.0, 10.0], 3), "trial": [*"abcdefghi"]})
    rows = rows.assign(nonfinite=True, init_gain=1.0, learned=[1, 1, 1, 1, 1, 0, 0, 0, 0])
    others = pd.DataFrame({"old": [1.0, 1.0], "trial": [*"xy"], "learned": 1, "init_gain": [2, 1]})
    others = others.assign(nonfinite=[True, False])
    tenth = pd.concat([rows, others])
    runs = {0.1: tenth, 0.01: tenth.assign(learned=1).query("trial != 'i'")}
    monkeypatch.setattr(advice, "restarted", lambda study, factor: runs[factor])
    found = advice.gone_by_rate(Mock())
    assert found["old"].tolist() == [0.316, 1.0, 10.0]
    assert found["tenth"].tolist() == [3, 2, 0]
    assert found["hundredth"].tolist() == [3, 3, 2]
    assert found["networks"].tolist() == [3, 3, 2]
    assert found["usual"].tolist() == [True, True, False]


def test_batch_sizes_that_come_close_to_the_best_are_told_by_budget() -> None:
    values = {8: 0.795, 16: 0.8, 32: 0.7}
    rows = [
        {"batch_size": size, "learning_rate": rate, "seed": seed, "accuracy": value - slow}
        for size, value in values.items()
        for rate, slow in ((0.1 * (size / 8) ** 0.5, 0.0), (0.1 * size / 8 + 1, 0.3))
        for seed in (0, 1)
    ]
    made = pd.DataFrame(rows).assign(model="mlp", dataset="digits", updates=np.nan, epochs=1.0)
    made = made.assign(validation=made["accuracy"], objective=1 - made["accuracy"], cell=0)
    (row,) = sizes_near_best(made).to_dict("records")
    assert (row["scarce"], row["best"], row["least"], row["most"]) == ("examples", 16, 8, 16)
    assert (row["beyond"], row["effect"]) == (32, pytest.approx(-0.1))
    assert (row["root_until"], row["linear_until"]) == (32, 8)


def test_sizes_are_surely_close_up_to_the_first_whose_interval_is_not() -> None:
    """Of 32 the interval reaches below a point; 64 is close again, but behind it."""
    wide = {8: 0.0, 16: 0.0005, 32: 0.02, 64: 0.0005}
    rows = [
        {"batch_size": size, "seed": seed, "accuracy": 0.8 - 0.001 * (size > 8) - spread * seed}
        for size, spread in wide.items()
        for seed in (-1, 0, 1)
    ]
    made = pd.DataFrame(rows).assign(learning_rate=0.1, model="mlp", dataset="digits", cell=0)
    made = made.assign(updates=np.nan, epochs=1.0, validation=0.8 - made["batch_size"] / 1000)
    (row,) = sizes_near_best(made.assign(objective=1 - made["validation"])).to_dict("records")
    assert (row["best"], row["least"], row["most"]) == (8, 8, 64)
    assert (row["sure_least"], row["sure_most"]) == (8, 16)


def test_what_explodes_late_is_counted_once_among_what_went_well_for_long(monkeypatch) -> None:
    """A run and its longer copy, which explodes; others are too short, disturbed or decaying."""
    calm: dict[str, Any] = {"exploded": 0.0, "first_bad_step": None, "first_spike_step": None}
    late = {"exploded": 1.0, "first_bad_step": 2600, "first_spike_step": 2500}
    early = late | {"first_spike_step": 900}
    made = [
        (Trial(updates=1500), 1500, calm),
        (Trial(updates=3000), 3000, late),
        (Trial(learning_rate=1.0, updates=3000), 3000, early),
        (Trial(learning_rate=0.5, updates=3000), 3000, calm),
        # a collapse without a spike is no explosion
        (Trial(learning_rate=0.4, updates=3000), 3000, calm | {"first_bad_step": 2000}),
        (Trial(learning_rate=0.3, updates=1000), 1000, calm),
        (Trial(disturbance="rate_bump", updates=3000), 3000, late),
        (Trial(schedule="cosine", updates=3000), 3000, late),
    ]
    rows = pd.DataFrame([trial.row() | {"steps": n} | fate for trial, n, fate in made])
    monkeypatch.setattr(evidence, "all_studies", lambda: [Mock(outcomes=rows)])
    found = advice.fine_for_long()
    assert sorted(found["learning_rate"]) == [0.1, 0.4, 0.5]
    assert found["began"].dropna().tolist() == [2500]


def test_networks_that_the_best_clipping_rescues_are_counted(monkeypatch) -> None:
    same = {"model": "mlp", "dataset": "digits", "normalization": "none", "times": 10}
    chosen = pd.DataFrame([{**same, "level": "value"}])
    monkeypatch.setattr(headline, "elsewhere", lambda study: chosen)
    same |= {"learning_rate": 5.0}
    bare = pd.DataFrame([{**same, "clipping": "none", "learned": k} for k in (0, 0, 1)])
    other = pd.DataFrame([{**same, "clipping": "zclip", "learned": 0}])
    clipped = pd.DataFrame([{**same, "clipping": "value", "learned": 1}] * 2)
    # 0.5 is best, and 0.2 half a point worse; 2 is far worse
    looked = pd.DataFrame({"learning_rate": [0.2, 0.5, 2.0], "validation": [0.895, 0.9, 0.7]})
    setting = {key: same[key] for key in ("model", "dataset", "normalization")}
    looked = looked.assign(clipping="none", objective=1.0, seed=0, learned=1, **setting)
    study = Mock(relative=bare, shared=pd.concat([clipped, other]), looked=looked)
    (row,) = advice.rescued(study, "none").to_dict("records")
    assert (row["bare"], row["bare_trials"]) == (1, 3)
    assert (row["clipped"], row["clipped_trials"]) == (2, 2)
    assert (row["rate"], row["tenfold"]) == ("5", "2 to 5")


def test_the_cost_of_a_clipping_is_that_in_a_loop_whose_step_is_long() -> None:
    rows = [
        {"workload": workload, "arm": arm, "cpu_seconds": cost * base, "baseline_cpu_seconds": base}
        for workload, base in (("mlp_digits", 0.01), ("mlp_fashion", 0.2))
        for arm, cost in (("value", 1.25), ("none", 1.1), ("bare", 0.75))
        for _ in range(6)
    ]
    whole = {"what": "guards", "factor": "clipping", "trials_together": 1, "device": "cpu"}
    timings = pd.DataFrame(rows).assign(**whole, steps=100, baseline_steps=100, processes=1)
    found = speed.attached(timings)
    # against 1.5 ms without clipping, as 2 ms with torch's own and 2.5 with value clipping are
    assert list(found["arm"]) == [speed.TORCH, "value"]
    assert found["milliseconds"].tolist() == pytest.approx([0.5, 1.0])
    assert found["step"].tolist() == pytest.approx([1 / 3, 2 / 3])
    assert found["base"].tolist() == pytest.approx([1.5, 1.5])
    # where that was not timed, against torch's own
    beside = speed.attached(timings[timings["arm"] != "bare"])
    assert beside["milliseconds"].tolist() == pytest.approx([0.5])


def test_the_interval_of_what_clipping_costs_has_the_spread_of_both_ratios() -> None:
    rows = [
        {"arm": arm, "cpu_seconds": cost * spread, "baseline_cpu_seconds": 1.0}
        for arm, cost in (("bare", 0.5), ("value", 1.0))
        for spread in (0.8, 0.9, 1.0, 1.0, 1.1, 1.25)
    ]
    whole = {"what": "guards", "factor": "clipping", "trials_together": 1, "device": "cpu"}
    timings = pd.DataFrame(rows).assign(**whole, workload="mlp_fashion", steps=100, processes=1)
    usual, value = speed.attached(timings.assign(baseline_steps=100)).to_dict("records")
    assert [usual["step"], value["step"]] == pytest.approx([1.0, 1.0])
    # torch's own was timed against itself
    assert [usual["low"], usual["high"]] == pytest.approx([0.6, 1.5])
    wide = math.hypot(math.log(1.25), math.log(1.25))
    assert value["high"] == pytest.approx(2 * math.exp(wide) - 1)


@pytest.mark.parametrize(
    ("made", "shown"),
    [
        ("run grid --results /scratch/r --seeds 3", "run grid --results results/kept --seeds 3"),
        ("run grid --results='/a b/r' --seeds 3", "run grid --results=results/kept --seeds 3"),
        ("run grid --results results/mine", "run grid --results results/mine"),
    ],
)
def test_commands_name_no_folder_of_the_machine_they_ran_on(made: str, shown: str) -> None:
    empty = pd.DataFrame()
    found = Results(empty, empty, empty, empty, metadata={"command": made})
    folder = evidence.ROOT / "results" / "kept" / "grid"
    assert evidence.Evidence("grid", folder, found).command == shown


def test_optimizers_are_ranked_at_the_budget_that_all_of_them_had() -> None:
    rows = pd.DataFrame(
        [("sgd", 10, 0.5), ("sgd", 90, 0.9), ("lion", 10, 0.6)],
        columns=["optimizer", "updates", "accuracy"],
    ).assign(
        **{
            "model": "mlp",
            "epochs": np.nan,
            "clipping": "none",
            "schedule": "constant",
            "seed": 0,
            "arm": "",
        },
        **{"learning_rate": 0.1, "validation": 0.5, "objective": 1.0, "exploded": 0},
    )
    study: Any = SimpleNamespace(outcomes=rows)
    assert optimizers.shared(study)["updates"].tolist() == [10, 10]
    found = optimizers.ranked(study, optimizers.bare(study.outcomes), ["optimizer"])
    assert dict(zip(found["optimizer"], found["accuracy"], strict=True)) == {
        "lion": 0.6,
        "sgd": 0.5,
    }


def answer(**facts: Any) -> str:
    """What is said of a critical batch size and its updates, between sizes of 8 and 512."""
    costs = pd.DataFrame({"batch_size": [8, 512], "samples": facts.pop("samples", [100, 900])})
    row = {"model": "mlp", "target": 0.8, "below": 1.9, "beyond": 1.2, "noise": np.nan}
    parts: Any = rendering.environment().get_template(rendering.PARTS).module
    row |= {"costs": costs} | facts
    return words(f"{parts.batch_answer(row)} {parts.saved_answer(row)}")


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        (
            {"critical": 101.0, "low": 58.0, "high": 151.0},
            "about 100** (95% interval 58 to 150): there 80% validation accuracy takes twice the "
            "examples that it takes at the cheapest size, 8. Batches below 8 were not run; if one "
            "were cheaper, the critical size would be smaller. Each doubling of the batch cuts "
            "the updates to 80% by 1.90×",
        ),
        (
            {"critical": 101.0, "low": 58.0, "high": 151.0, "samples": [900, 100]},
            "at the cheapest size, 512. Each doubling",
        ),
        (
            {"critical": 101.0, "low": 58.0, "high": np.inf},
            "about 100** (95% interval 58 to more than 512)",
        ),
        (
            {"critical": np.inf, "low": 9.0, "high": np.inf},
            "critical batch size lies beyond 512**: even the largest batches",
        ),
        ({"critical": np.nan}, "too few batch sizes reached 80%"),
        (
            {"critical": 9.0, "low": 8.0, "high": 9.0, "below": np.nan},
            "Beyond the critical size each doubling",
        ),
    ],
)
def test_a_critical_size_is_said_as_closely_as_it_is_known(facts: dict, said: str) -> None:
    assert said in answer(**facts)


def failing_from(limit: float, times: float = 10) -> Callable[[Any, Any], str]:
    """Trials of the full batch that diverge from ``times`` the rate of the others on."""
    return lambda trial, draw: (
        "dead"
        if trial.learning_rate >= limit * (times if trial.batch_policy == "full" else 1)
        else "stable"
    )


def test_the_rate_from_which_training_fails_is_told_by_batch_size(folder: Path) -> None:
    made_up(folder, real_study("full_batch", "quick"), failing_from(1.0))
    source = evidence.load("full_batch")
    assert source is not None
    found = batch_updates.failing(source)
    assert found.groupby("panel")["scarce"].first().to_dict() == {
        "MLP, 25% of the images, 60 passes": "examples",
        "MLP, 25% of the images, 60 updates": "updates",
        "MLP, all images, 60 updates": "updates",
    }
    found = found[found["panel"] != "MLP, all images, 60 updates"]
    assert found["full"].tolist() == [False, True] * 2
    assert found["rate"].tolist() == pytest.approx([10**-0.5, 10**0.5] * 2)
    assert found["times"].tolist() == pytest.approx([1.0, 10.0] * 2)
    facts = batch_updates.divergences(batch_updates.failing_of_all())
    assert (facts["lost"], facts["early"], facts["silent"]) == (30, 30, 0)
    page = words(page_of("batch_updates", folder))
    assert "**At the same rate, small batches diverge first.**" in page
    assert "diverges from a rate of 0.32 on at batches of 32 and of 3.2 at" in page
    assert "**The full batch does not diverge at a lower rate.**" in page


def test_how_near_to_its_limit_each_size_trains_is_told_at_equal_updates(folder: Path) -> None:
    """Every fixed size is best at the smallest rate, and diverges from half a decade below 1 on."""
    made_up(folder, real_study("full_batch", "quick"), failing_from(1.0))
    source = evidence.load("full_batch")
    assert source is not None
    found = batch_updates.rooms_at_equal_updates("mlp")
    assert (found["updates"] == 60).all()
    limits = where(batch_updates.failing(source), panel="MLP, all images, 60 updates")
    assert found["batch_size"].tolist() == limits["batch_size"].tolist()
    assert (found["room"] * found["best_rate"]).tolist() == pytest.approx(list(limits["rate"]))
    assert batch_updates.rooms_at_equal_updates("cnn").empty


def failing_by_size(clipped: float) -> Callable[[Any, Any], str]:
    """Small batches fail at all rates and others at none, or ``clipped`` times as early if clipped.

    The rates are a decade apart, so that nothing less is a significant change.
    """

    def fate(trial: Any, draw: Any) -> str:
        bare = trial.clipping == "none"
        times = (1000 if bare else clipped) if trial.batch_size > 32 else 1
        # the rates of clipped trials are ten times as high
        return "dead" if trial.learning_rate >= (0.1 if bare else 10) * times else "stable"

    return fate


def test_the_page_says_whether_clipping_takes_away_what_the_batch_size_does(folder: Path) -> None:
    made_up(folder, real_study("full_batch", "quick"), failing_by_size(clipped=1))
    source = evidence.load("full_batch")
    assert source is not None
    rows = batch_updates.dependence(source).set_index("remedy")
    assert rows["times"].to_dict() == pytest.approx({"no clipping": 100.0, "clipped at 1": 1.0})
    assert rows.loc["clipped at 1", "change"] == pytest.approx(0.01)
    page = words(page_of("batch_updates", folder))
    assert "**Clipping the global norm takes away most of this.**" in page
    assert "rises 100-fold without clipping, not at all clipped at 1" in page


def test_a_clipping_that_leaves_sizes_as_they_are_is_not_said_to_help(folder: Path) -> None:
    made_up(folder, real_study("full_batch", "quick"), failing_by_size(clipped=10))
    page = words(page_of("batch_updates", folder))
    assert "takes away most of this" not in page
    assert "takes away a part of this" not in page
    assert "these trials do not settle" in page


def test_limits_that_saturate_are_told_by_a_law_and_others_by_where_they_level_off(
    monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    made_up(folder, real_study("critical_batch", "quick"), failing_from(1.0))
    row = {"worst": 0.3, "error": 0.05, "power_error": 0.1, "root_error": 0.13, "sizes": 7}
    row |= {"most": 1.0, "most_low": 0.9, "most_high": 1.2, "half": 29.0, "half_low": 20.0}
    row |= {"half_high": 42.0, "model": "mlp", "study": "critical_batch"}

    def says(**facts: Any) -> str:
        source = evidence.load("critical_batch")
        assert source is not None
        panel = batch_updates.at_shared_rates(source)["panel"].iloc[0]
        law = pd.DataFrame([row | facts | {"panel": panel}])
        monkeypatch.setattr(batch_updates, "laws", lambda: law)
        return words(page_of("batch_updates", folder))

    law = "Of three laws one fits the 7 sizes best"
    assert law in says()
    assert "29 (20 to 42) examples" in says()
    assert "by 0.05 decades, a power of the size by 0.10 and its square root by 0.13" in (says())
    assert law not in says(error=0.12)
    assert law not in says(error=0.2)


def test_a_full_batch_that_diverges_first_is_not_said_to_diverge_last(folder: Path) -> None:
    made_up(folder, real_study("full_batch", "quick"), failing_from(10.0, 0.1))
    page = words(page_of("batch_updates", folder))
    assert "diverges from no lower a rate" not in page
    assert "**The full batch may diverge from a lower rate than smaller batches.**" in page


def test_sizes_that_diverge_alike_have_no_first(folder: Path) -> None:
    def alike(trial: Any, draw: Any) -> str:
        return "dead" if trial.learning_rate >= 1.0 else "stable"

    made_up(folder, real_study("full_batch", "quick"), alike)
    page = words(page_of("batch_updates", folder))
    assert "small batches diverge first" not in page
    assert "no batch size is significantly the first to diverge" in page


def test_a_rule_for_the_rate_is_good_up_to_the_first_size_at_which_it_is_not() -> None:
    rows = pd.DataFrame(
        {
            "batch_size": [8, 16, 32],
            "root_good": [True, True, True],
            "linear_good": [True, False, True],
        }
    )
    assert rule_holds(rows, "root")["last"] == 32
    assert rule_holds(rows, "linear") == {"last": 8, "first": 16}


def test_small_batches_repeat_no_trial_under_another_name() -> None:
    rows = pd.DataFrame(
        [
            (norm, size, *budget, steps, accuracy)
            for norm, accuracy in (("batch", 0.5), ("ghost_batch", 0.5), ("none", 0.4))
            for size, budget, steps in (
                *((4, (1.0, np.nan), 80), (4, (np.nan, 10.0), 10)),
                *((32, (1.0, np.nan), 10), (32, (np.nan, 10.0), 10)),
                *((64, (1.0, np.nan), 5), (64, (np.nan, 10.0), 10)),
            )
        ],
        columns=["normalization", "batch_size", "epochs", "updates", "steps", "accuracy"],
    ).assign(samples=lambda rows: rows["steps"] * rows["batch_size"])
    settings = {name: value for name, value in Trial().row().items() if name not in rows}
    rows = rows.assign(**settings)
    # two ghosts in a batch are another normalization
    rows.loc[rows["normalization"].eq("ghost_batch") & rows["batch_size"].eq(64), "accuracy"] = 0.6
    found = without_repeats(rows)
    none = found[found["normalization"] == "none"]
    assert none.groupby("batch_size").size().to_dict() == {4: 2, 32: 1, 64: 2}
    assert none.loc[none["batch_size"] == 32, "epochs"].tolist() == [1.0]
    ghosts = found[found["normalization"] == "ghost_batch"]
    assert set(ghosts["batch_size"]) == {64}
    # what another clipping, optimizer or schedule did repeats nothing
    others = [rows.assign(**{name: "other"}) for name in ("clipping", "optimizer", "schedule")]
    every = without_repeats(pd.concat([rows, *others], ignore_index=True))
    assert len(every) == 4 * len(found)


def test_policies_are_compared_with_a_rate_that_decays(folder: Path) -> None:
    study = real_study("batch_updates", "quick")
    decays = {"batch_size": 32, "schedule": ("step", "cosine"), "learning_rate": (0.1, 0.2)}
    both = Study(
        name="batch_updates",
        question=study.question,
        factors=[*study.blocks(), {**decays, "epochs": 8}],
        seeds=study.seeds,
    )
    made_up(folder, both, calm)
    source = evidence.load("batch_updates")
    assert source is not None
    assert batch_updates.decays(source) == ["step decay", "cosine decay"]
    # the best fixed size has a constant rate
    arms = batch_updates.arms(source)
    assert set(arms.loc[arms["batch_policy"] == "fixed", "schedule"]) == {"constant"}
    found = batch_updates.against_decay(source)
    chosen = str(found["baseline"].iloc[0])
    means = (
        arms[arms["model"] == "MLP at equal examples"].groupby("batch_policy")["accuracy"].mean()
    )
    (row,) = found[found["level"] == "doubling"].to_dict("records")
    assert row["effect"] == pytest.approx(means["doubling"] - means[chosen])
    assert "rate that decays" in words(page_of("batch_updates", folder))


def test_the_edge_of_the_thresholds_is_a_star_on_the_page(folder: Path) -> None:
    made_up(folder, real_study("clipping", "smoke"), calm)
    assert re.search(r"Those of the global norm: \d\.?\d*\* at the rate", says("thresholds"))


def test_an_interval_that_reaches_a_gain_does_not_say_that_there_is_none() -> None:
    rows = pd.DataFrame(
        {"low": [0.02, -0.01, -0.005], "high": [0.04, 0.04, 0.005], "network": ["a", "b", "c"]}
    ).assign(times=1, normalization="none")
    found = architectures.carried(rows, 1, plain=True)
    assert found == {"more": ["a"], "lose": [], "alike": ["b", "c"], "open": ["b"]}


def test_schedules_that_are_tied_with_the_chosen_one_are_told() -> None:
    values = {"cosine": (0.80, 0.81), "one_cycle": (0.81, 0.80), "step": (0.50, 0.51)}
    made = {"constant": (0.60, 0.61)} | values
    rows = pd.DataFrame(
        [
            {"schedule": name, "seed": seed, "accuracy": value, "validation": value}
            for name, pair in made.items()
            for seed, value in enumerate(4 * pair)
        ]
    ).assign(learning_rate=0.1, objective=0.5, depth=10, cell=0)
    lower = rows[rows["schedule"] == "constant"]
    found = advice._planned(rows, lower)
    assert found is not None
    assert {found["level"], *found["alike"]} == {"cosine", "one_cycle"}
