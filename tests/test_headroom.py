"""How far up the learning rate may go with each remedy, on trials whose limits are plain."""

import math
from pathlib import Path

import pandas as pd
import pytest
from matplotlib.figure import Figure
from pages import page, words
from test_explosion_page import grid, lost, trials_of

from benchmark.statistics import breaking_rate
from report import evidence, headroom

RATES = (0.1, 0.3, 1.0, 3.0, 10.0)
GOOD = {("none", "none"): 0.1, ("none", "global_norm"): 0.3, ("batch", "none"): 1.0}
"""Up to which rate each is good; with both remedies 1, too."""
SAFE = {("none", "none"): 0.3, ("none", "global_norm"): 1.0, ("batch", "none"): 1.0}
"""Beyond it all networks are lost; with both remedies none is."""


def outcome(made):
    key, rate = (made["normalization"], made["clipping"]), made["learning_rate"]
    if rate > SAFE.get(key, math.inf):
        return lost()
    accuracy = (0.9 if rate <= GOOD.get(key, 1.0) else 0.7) + 0.001 * made["seed"]
    return {"validation_accuracy": accuracy, "test_accuracy": accuracy}


LEVELS = {"normalization": ("none", "batch"), "clipping": ("none", "global_norm")}
STUDY = trials_of(
    "headroom", grid(model=["mlp"], learning_rate=RATES, seed=range(3), **LEVELS), outcome
)


def test_limits_are_read_off_rates_that_all_share() -> None:
    rows = headroom.rate_limits(STUDY).set_index("remedy")
    assert rows["good"].to_dict() == {
        "neither": 0.1,
        "global-norm clipping": 0.3,
        "batch normalization": 1.0,
        "both": 1.0,
    }
    assert rows["good_times"].tolist() == pytest.approx([1, 3, 10, 10])
    assert rows["safe"].tolist() == [0.3, 1.0, 1.0, 10.0]
    assert rows["lost"].tolist() == pytest.approx([1.0, 3.0, 3.0, math.nan], nan_ok=True)
    assert not rows["good_edge"].any()


@pytest.mark.parametrize(("good", "apart"), [(1.0, True), (0.3, False)])
def test_batch_normalization_stands_apart_beyond_a_step_of_the_grid(
    monkeypatch: pytest.MonkeyPatch, good: float, apart: bool
) -> None:
    monkeypatch.setitem(GOOD, ("batch", "none"), good)
    made = grid(model=["mlp"], learning_rate=RATES, seed=range(3), **LEVELS)
    rows = headroom.moved(trials_of("headroom", made, outcome))
    assert rows["apart"].tolist() == [apart]
    assert rows[["clipped_good", "both_good"]].values.tolist() == [pytest.approx([3, 10])]


def test_a_plateau_that_does_not_end_says_so() -> None:
    below = trials_of("headroom", grid(learning_rate=RATES[:2], seed=[0, 1], **LEVELS), outcome)
    rows = headroom.rate_limits(below).set_index("remedy")
    assert rows["good_edge"].to_dict() == {
        "neither": False,
        "global-norm clipping": True,
        "batch normalization": True,
        "both": True,
    }


def test_clipping_is_judged_where_batch_normalization_is_lost() -> None:
    (row,) = headroom.saved_beyond(STUDY).to_dict("records")
    assert (row["learning_rate"], row["level"]) == (3.0, "global_norm")
    assert row["effect"] == pytest.approx(0.6, abs=0.01)
    there = headroom.at_the_loss(STUDY, headroom.NEITHER).set_index("remedy")
    assert there["diverged"].to_dict() == {
        "neither": 1.0,
        "global-norm clipping": 0.0,
        "batch normalization": 0.0,
        "both": 0.0,
    }


@pytest.mark.parametrize(("outcome", "rate"), [("exploded", 0.1), ("diverged", 1.0)])
def test_the_breaking_rate_is_that_of_an_outcome(outcome: str, rate: float) -> None:
    frame = pd.DataFrame({"model": "mlp", "learning_rate": [0.1, 1.0], "exploded": 1})
    frame = frame.assign(diverged=[0, 1])
    assert breaking_rate(frame, ["model"], outcome)["rate"].tolist() == [rate]


def test_the_page_says_what_moves_the_limits(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(Figure, "savefig", lambda self, path, **_: path.write_text("svg"))
    monkeypatch.setattr(evidence, "load", {"headroom": STUDY}.get)
    text = words(page("headroom", tmp_path))
    assert (
        "**Which remedy extends the usable learning rates further depends on the network.**" in text
    )
    assert "At a rate of 3 most MLPs with batch normalization diverge." in text
    assert "saves 60.1 points there (95% interval" in text
