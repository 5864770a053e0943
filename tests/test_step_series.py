"""Per-step losses, norms and clippings: the numbers that history and trials summarize."""

import math

import numpy as np
import pandas as pd
import pytest

from benchmark import Trial, train
from benchmark.measurements import summarize_steps
from benchmark.schema import TABLES

TRIALS = [
    Trial(learning_rate=rate, epochs=2, clipping="global_norm", batch_size=128)
    for rate in (0.1, 1.0, 1e30)
]


@pytest.fixture(scope="module")
def record():
    return train(TRIALS, device="cpu", checkpoints=4, steps=True, study="s")


def test_every_step_that_was_taken_has_a_row(record):
    counts = record.steps.groupby("trial", sort=False)["step"].agg(["size", "min", "max"])
    steps = record.trials.set_index("trial")["steps"]
    assert counts["size"].to_dict() == counts["max"].to_dict() == steps.to_dict()
    assert counts["min"].eq(1).all()
    assert list(record.steps) == list(TABLES["steps"])
    assert set(record.steps["study"]) == {"s"}


def test_history_summarizes_the_steps_between_checkpoints(record):
    rows = record.history[record.history["step"] > 0].copy()
    # each step belongs to the next checkpoint of its trial
    joined = pd.merge_asof(
        record.steps.sort_values("step"),
        rows[["trial", "step"]].assign(checkpoint=rows["step"]).sort_values("step"),
        on="step",
        by="trial",
        direction="forward",
    )
    groups = joined.sort_values("step").groupby(["trial", "checkpoint"])
    columns = ["loss", "gradient_norm", "clipped"]
    found = groups[columns].apply(
        lambda part: pd.Series(summarize_steps(*(part[c].to_numpy() for c in columns)))
    )
    expected = rows.set_index(["trial", "step"])[list(found)].sort_index()
    assert np.array_equal(found.sort_index().to_numpy(), expected.to_numpy(), equal_nan=True)


def test_a_trial_that_broke_ends_with_the_step_at_which_it_did(record):
    broken = record.trials[record.trials["status"] == "nonfinite"].iloc[0]
    last = record.steps[record.steps["trial"] == broken["trial"]].iloc[-1]
    assert last["step"] == broken["first_bad_step"]
    assert not math.isfinite(last["loss"]) or not math.isfinite(last["gradient_norm"])


def test_steps_are_recorded_only_where_they_are_asked_for(toy):
    found = train(Trial(dataset=toy, epochs=1), device="cpu", checkpoints=4)
    assert found.steps.empty
    assert list(found.steps) == list(TABLES["steps"])


def test_recording_steps_changes_nothing(record):
    again = train(TRIALS, device="cpu", checkpoints=4, study="s")
    pd.testing.assert_frame_equal(again.history, record.history)
