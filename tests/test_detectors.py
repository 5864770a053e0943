"""Detectors of lost runs: what each one raises an alarm at, from the past alone, and its scores."""

import io
import itertools
import math
import runpy
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from pages import page, words

from benchmark.diagnosis.detectors import (
    DETECTORS,
    SHARE,
    WAIT,
    Detector,
    first_alarm,
    unhealed,
)
from benchmark.parquet import read, write
from benchmark.schema import TABLES, frame
from benchmark.spikes import loss_spikes
from benchmark.statistics.detection import alarms, best, diagnosed_right, outcome, scores
from benchmark.strategies.clipping.history import no_norms, z_limit
from report import evidence

NAN, INF = math.nan, math.inf
ROOT = Path(__file__).resolve().parents[1]
SCRIPT = runpy.run_path(str(ROOT / "studies" / "detectors.py"))


def random_run(seed, steps=400):
    """A falling loss with a jump and spikes, and norms of many sizes."""
    draw = np.random.default_rng(seed)
    losses = 2.3 * np.exp(-np.arange(steps) / 80) + 0.1 * draw.random(steps)
    losses[200:] += 2.5 * (seed % 2)
    losses[draw.integers(steps, size=4)] *= 30
    return losses, draw.lognormal(0, 1, steps)


def alarm_of(name, losses, norms=None):
    norms = np.ones(len(losses)) if norms is None else norms
    return first_alarm(DETECTORS[name], losses, norms)


# the past alone


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("detector", DETECTORS.values(), ids=lambda detector: detector.name)
def test_an_alarm_knows_only_the_past(detector, seed):
    losses, norms = random_run(seed)
    draw = np.random.default_rng(seed)
    watch = detector.start()
    raised = [watch(*pair) for pair in zip(losses, norms, strict=True)]
    cut = int(draw.integers(100, 300))
    order = np.concatenate([np.arange(cut), cut + draw.permutation(len(losses) - cut)])
    # another future: the same steps in another order, and some that are not finite
    again = detector.start()
    future = np.where(draw.random(len(losses)) < 0.1, NAN, losses[order])
    mixed = np.where(np.arange(len(losses)) < cut, losses, future)
    shuffled = [again(*pair) for pair in zip(mixed, norms[order], strict=True)]
    assert shuffled[:cut] == raised[:cut]
    assert shuffled[cut:] != raised[cut:], "this future is another one"


@pytest.mark.parametrize("name", DETECTORS)
@pytest.mark.parametrize("pair", [(NAN, 1.0), (INF, 1.0), (1.0, NAN), (1.0, INF)])
def test_every_detector_raises_an_alarm_at_what_is_not_finite(name, pair):
    losses, norms = zip((1.0, 1.0), pair, strict=True)
    assert alarm_of(name, losses, norms) == 2


@pytest.mark.parametrize("name", DETECTORS)
def test_two_runs_share_nothing(name):
    first, second = DETECTORS[name].start(), DETECTORS[name].start()
    losses, norms = random_run(1)
    one = [first(*pair) for pair in zip(losses, norms, strict=True)]
    assert [second(*pair) for pair in zip(losses, norms, strict=True)] == one


@pytest.mark.parametrize("name", DETECTORS)
def test_a_calm_run_raises_no_alarm(name):
    losses = np.linspace(2.0, 0.5, 300)
    assert alarm_of(name, losses, np.full(300, 3.0)) is None


# each rule


@pytest.mark.parametrize(
    ("name", "losses", "norms", "step"),
    [
        ("spike_level", [2.0, 10.0, 10.1], [1, 1, 1], 3),
        ("spike_level", [5.0, 20.0, 20.1], [1, 1, 1], 3),
        ("norm_multiple", [1] * 12, [*[1] * 10, 10, 10.1], 12),
        ("norm_multiple", [1] * 10, [*[1] * 9, 100], None),
        ("norm_z_score", [1] * 27, [*[1, 3] * 12, 2, 4, 5], 27),
        ("loss_spike", [*[1, 3] * 5, 8.9, 30], [1] * 12, 12),
    ],
)
def test_a_rule_by_hand(name, losses, norms, step):
    assert alarm_of(name, losses, norms) == step


@pytest.mark.parametrize("seed", range(3))
def test_the_loss_spike_is_that_of_the_spike_score(seed):
    losses, norms = random_run(seed)
    watch = DETECTORS["loss_spike"].start()
    raised = [watch(*pair) for pair in zip(losses, norms, strict=True)]
    assert raised == loss_spikes(losses).tolist()
    assert any(raised)


def test_the_z_score_is_that_of_the_clipping():
    _, norms = random_run(3)
    watch = DETECTORS["norm_z_score"].start()
    raised = [watch(1.0, float(norm)) for norm in norms]
    states = itertools.accumulate(
        torch.tensor(norms),
        lambda state, norm: z_limit(norm, state, torch.tensor(2.5))[1],
        initial=no_norms(None, torch.zeros((), dtype=torch.float64)),
    )
    limits = [
        float(z_limit(norm, state, torch.tensor(2.5))[0])
        for norm, state in zip(torch.tensor(norms), states, strict=False)
    ]
    assert raised == (np.array(limits) < norms).tolist()
    assert sum(raised) > 10


CALM = np.linspace(2.0, 0.5, 2 * WAIT).tolist()
LOST = [0.999 * 2.0] * WAIT


@pytest.mark.parametrize(
    ("losses", "step"),
    [
        # it had learned, then not any more
        ([*CALM, *LOST], len(CALM) + WAIT),
        # a single loss that is low enough begins the wait again
        ([*CALM, *LOST[1:], 0.9, *LOST], len(CALM) + 2 * WAIT),
        ([*CALM, *LOST[1:], 0.9, *LOST[1:]], None),
        # a spike, and nothing learned
        ([2.0, 11.0, *LOST], WAIT),
        ([2.0, 9.0, *LOST, *LOST], None),
        # never learned, never spiked
        ([2.0] * 5 * WAIT, None),
        # just below the share
        ([*CALM, *[2 * SHARE - 1e-9] * 3 * WAIT], None),
        ([*CALM, *[2 * SHARE] * WAIT], len(CALM) + WAIT),
    ],
)
def test_what_has_not_healed(losses, step):
    assert alarm_of("unhealed", losses) == step


def test_a_start_stands_for_the_first_loss():
    losses = [9.0, 40.0, *[2.3] * WAIT]
    assert alarm_of("unhealed", losses) is None
    told = Detector("told", lambda: unhealed(start=2.3), "")
    assert first_alarm(told, losses, np.ones(len(losses))) == WAIT


# labels and scores


@pytest.mark.parametrize(
    ("status", "losses", "expected"),
    [
        ("stable", [2.0, 9.9], "stable"),
        ("stable", [2.0, 10.1], "healing"),
        ("recovered", [2.0, 10.1, 1.0], "healing"),
        ("damaged", [2.0, 10.1], "fatal"),
        ("dead", [2.0, 10.1], "fatal"),
        ("collapsed", [2.0, 1.0, 2.0], "fatal"),
        ("nonfinite", [2.0, NAN], "fatal"),
        ("stalled", [2.0, 2.0], "stalled"),
    ],
)
def test_the_label_of_a_trial(status, losses, expected):
    assert outcome(status, np.array(losses)) == expected


def rows_of(*cases):
    rows = [
        {"detector": name, "trial": f"{i}", "outcome": kind, "first_bad_step": bad, "alarm": alarm}
        | {"status": status, "diagnosed": said}
        for i, (name, kind, bad, alarm, status, said) in enumerate(cases)
    ]
    return frame("alarms", rows)


FOUND = rows_of(
    ("a", "fatal", 100, 90, "dead", "dead"),
    ("a", "fatal", 100, 110, "nonfinite", "nonfinite"),
    ("a", "fatal", 3, 3, "damaged", "recovered"),
    ("a", "fatal", 3, None, "collapsed", "dead"),
    ("a", "healing", 3, 5, "recovered", "recovered"),
    ("a", "healing", 3, None, "recovered", "stable"),
    ("a", "stable", None, None, "stable", "stable"),
    ("b", "fatal", 100, 90, "dead", "dead"),
    ("b", "healing", 3, None, "recovered", "recovered"),
    ("b", "stable", None, None, "stable", "stable"),
)


def test_scores_by_hand():
    row = scores(FOUND).set_index("detector").loc["a"]
    assert (row["fatal"], row["healing"], row["stable"], row["late"]) == (0.75, 0.5, 0.0, 1.0)
    assert (row["fatal_n"], row["healing_n"], row["late_n"], row["stalled_n"]) == (4, 2, 2, 0)
    assert row["separation"] == pytest.approx(0.75 - 0.25)
    assert (row["lead"], row["lead_low"], row["lead_high"]) == (0.0, -5.0, 5.0)
    assert row["fatal_low"] < 0.75 < row["fatal_high"]
    assert math.isnan(row["stalled"])
    assert best(FOUND) == "b"


def test_a_diagnosis_is_right_where_it_says_fatal_of_what_is():
    assert diagnosed_right(FOUND) == (9, 10)


def test_alarms_are_raised_trial_by_trial():
    steps = [
        {"trial": trial, "status": status, "outcome": kind, "first_bad_step": bad, "seed": 0}
        | {"step": i, "loss": loss, "gradient_norm": 1.0}
        for trial, status, kind, bad, losses in (
            ("x", "nonfinite", "fatal", 3, [2.0, 1.9, NAN]),
            ("y", "stable", "stable", None, [2.0, 1.0, 0.5]),
        )
        for i, loss in reversed(list(enumerate(losses, 1)))
    ]
    found = alarms(frame("labelled_steps", steps), [DETECTORS["not_finite"]])
    assert found["alarm"].fillna(0).tolist() == [3, 0]
    assert found["diagnosed"].tolist() == ["nonfinite", "stable"]
    assert list(found) == list(TABLES["alarms"])


# the page


@pytest.fixture
def told(tmp_path, monkeypatch):
    """The page of alarms as text."""

    def show(found):
        made_of = {"commit": "0123456789", "dirty": False, "command": "python studies/detectors.py"}
        write("alarms", found, tmp_path / "detectors" / "alarms.parquet", made_of)
        monkeypatch.setenv("BENCHMARK_RESULTS", str(tmp_path))
        return words(page("detectors", tmp_path))

    return show


def all_of(fatal, healing, stable, names=tuple(DETECTORS)):
    """Each detector with an alarm, or none, at a trial of each outcome."""
    cases = [("dead", "fatal", fatal), ("recovered", "healing", healing)]
    cases += [("stable", "stable", stable)]
    return pd.concat(
        [
            rows_of(*[(name, kind, 100, alarm, status, status) for status, kind, alarm in cases])
            for name in names
        ],
        ignore_index=True,
    ).assign(group="reporting")


def test_the_page_names_the_detector_that_separates_best(told):
    ours = all_of(140, None, None, ["unhealed"])
    tried = all_of(140, None, None, [f"unhealed {WAIT} {SHARE:g}"]).assign(group="choosing")
    others = all_of(90, 90, 90, [name for name in DETECTORS if name != "unhealed"])
    text = told(pd.concat([others, ours, tried], ignore_index=True))
    assert "Wait and see whether the loss comes back." in text
    assert "the median alarm comes 40 steps after the first bad one" in text
    assert "among 1 pairs" in text
    assert "No other networks were trained" in text


def test_the_page_does_not_claim_what_the_alarms_contradict(told):
    ours = all_of(None, 90, None, ["unhealed"])
    tried = all_of(140, None, None, ["unhealed 7 0.1"]).assign(group="choosing")
    others = all_of(90, 90, 90, ["spike_level"])
    better = all_of(90, None, None, ["loss_spike"])
    text = told(pd.concat([others, better, ours, tried], ignore_index=True))
    assert "Loss spike separates them best." in text
    assert "Wait and see" not in text
    assert "on these the best pair is `unhealed 7 0.1`" in text


def test_without_alarms_the_page_is_left_with_its_title(tmp_path, monkeypatch):
    monkeypatch.setenv("BENCHMARK_RESULTS", str(tmp_path))
    assert page("detectors", tmp_path).split("\n", 1)[1].isspace()
    assert evidence.COMMAND.format(study="detectors") in page("not_run", tmp_path)


# the study


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Exit status, folder and output of the study, cut down to a few short trials."""
    results = tmp_path_factory.mktemp("results")
    names = SCRIPT["main"].__globals__
    few = [({"model": "mlp"}, 0.1, 0.2), ({"model": "mlp", "clipping": "global_norm"}, 1e3, 1e4)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(names, "UPDATES", 40)
        patch.setitem(names, "DENSE", few)
        patch.setitem(names, "UNSEEN", few[:1])
        patch.setitem(names, "SIZES", {"smoke": (("digits",), 4, 2)})
        # not the builtin, which numba looks up where it compiles first
        with redirect_stdout(io.StringIO()) as said:
            status = SCRIPT["main"](
                ["--scale", "smoke", "--results", str(results), "--device", "cpu"]
            )
    return status, results, said.getvalue()


def test_the_study_makes_labelled_steps(made):
    status, results, said = made
    assert status == 0
    steps, metadata = read("labelled_steps", results / "detectors" / "labelled_steps.parquet")
    trials = steps.drop_duplicates("trial")
    assert trials["group"].value_counts().to_dict() == {"choosing": 4, "reporting": 4, "unseen": 2}
    assert trials["seed"].is_unique
    assert steps.groupby("trial")["step"].max().max() == 40
    assert {"commit", "command", "device"} <= set(metadata)
    assert "Share with an alarm, %, on group unseen" in said
    digits = steps["loss"].map(lambda x: f"{x:.4g}").astype(float)
    assert np.array_equal(digits, steps["loss"], equal_nan=True)


def test_the_study_keeps_what_it_has_and_scores_a_custom_detector(made, tmp_path, capsys):
    _, results, _ = made
    files = sorted((results / "detectors").glob("*.parquet"))
    before = [file.read_bytes() for file in files]
    (tmp_path / "mine.py").write_text("def always():\n    return lambda loss, norm: True\n")
    given = ["--scale", "smoke", "--results", str(results)]
    assert SCRIPT["main"]([*given, "--detector", f"{tmp_path / 'mine.py'}:always"]) == 0
    line = next(x for x in capsys.readouterr().out.splitlines() if x.split()[:1] == ["always"])
    assert "100" in line
    assert len(files) == 2
    assert [file.read_bytes() for file in files] == before


@pytest.mark.parametrize(
    ("detector", "words"),
    [
        ("nowhere.py:rule", ["FILE:NAME", "'nowhere.py'"]),
        ("rule", ["FILE:NAME"]),
        (f"{__file__}:nothing", ["'nothing'"]),
    ],
)
def test_a_detector_that_is_not_there_is_refused_before_training(tmp_path, capsys, detector, words):
    given = ["--scale", "smoke", "--results", str(tmp_path / "r"), "--detector", detector]
    assert SCRIPT["main"](given) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert all(word in err for word in words), err
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize("scale", SCRIPT["SIZES"])
def test_no_two_trials_share_a_seed_and_halves_are_equal(scale):
    asked = list(SCRIPT["groups"](scale))
    seeds = [trial.seed for _, trial in asked]
    assert len(set(seeds)) == len(seeds)
    counts = pd.Series([group for group, _ in asked]).value_counts()
    assert counts["choosing"] == counts["reporting"]
