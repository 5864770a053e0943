"""Diagnoses of made-up logs: every format, what is said of them, and what is refused."""

import base64
import csv
import json
import math
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from benchmark.__main__ import main
from benchmark.diagnosis import advice as advising
from benchmark.diagnosis.advice import advice, suggested, worth
from benchmark.diagnosis.columns import RunLog, Series, understand
from benchmark.diagnosis.detectors import WAIT
from benchmark.diagnosis.finding import diagnose
from benchmark.diagnosis.page import MOST, page, thinned
from benchmark.diagnosis.reading import LogError, read_rows
from benchmark.diagnosis.telling import facts
from benchmark.diagnosis.tensorboard import NotEvents, scalars
from benchmark.results import load_study
from benchmark.statistics import outcomes, percentile_rule, steadiest_product
from benchmark.status import STATUSES

ROOT = Path(__file__).resolve().parents[1]
NAN, INF = math.nan, math.inf

EVENTS = base64.b64decode(
    "SAAAAAAAAAD+kkidCWvucYfxwdpBGg1icmFpbi5FdmVudDoyUi4KLHRlbnNvcmJvYXJkLnN1bW1hcnkud3JpdGVyLmV2ZW50"
    "X2ZpbGVfd3JpdGVyr0if3iAAAAAAAAAAKe2pUAkAAAAAAADwPxABKhMKEQoKdHJhaW4vbG9zcxUAACBA0VlchyUAAAAAAAAA"
    "6rw28wkAAAAAAADwPxABKhgKFgoPdHJhaW4vZ3JhZF9ub3JtFQAAwD8kn64TOAAAAAAAAACjeX1XCQAAAAAAAPA/EAIqKwoR"
    "Cgp0cmFpbi9sb3NzFQAAAEAKFgoPdHJhaW4vZ3JhZF9ub3JtFQAAgD8xkFWeJQAAAAAAAADqvDbzCQAAAAAAAPA/EAMqGAoW"
    "Cgp0cmFpbi9sb3NzQggIASoEAADAP/1EIYkuAAAAAAAAAMXLV/oJAAAAAAAA8D8QAyohCh8KD3RyYWluL2dyYWRfbm9ybUIM"
    "CAIiCAAAAAAAAOg/FJoPxiAAAAAAAAAAKe2pUAkAAAAAAADwPxAEKhMKEQoKdHJhaW4vbG9zcxUAAMB/0gGqlw=="
)
"""What TensorBoard 2.21 wrote: losses of 2.5, 2, 1.5 (a tensor of floats) and NaN, norms of 1.5, 1
and 0.75 (a tensor of doubles)."""
LOSSES, NORMS = [2.5, 2.0, 1.5, NAN], [1.5, 1.0, 0.75]


def write(path, text):
    path.write_text(text, encoding="utf-8")
    return path


def log_of(path, **columns):
    return understand(read_rows(path), **columns)


def same(series, steps, values):
    assert series.steps.tolist() == steps
    assert np.array_equal(series.values, values, equal_nan=True)


# formats

CSV = "step,loss,grad_norm\n1,2.5,1.5\n2,2,1\n3,1.5,0.75\n4,nan,\n"
LIGHTNING = (
    "epoch,step,val_loss,train_loss_step,grad_2.0_norm_total\n"
    "0,1,,2.5,\n0,1,,,1.5\n0,2,,2.0,\n0,2,,,1.0\n0,2,0.9,,\n1,3,,1.5,0.75\n1,4,,nan,\n"
)
LINES = (
    '{"_step": 1, "train": {"loss": 2.5, "grad_norm": 1.5}}\n'
    '{"_step": 2, "train": {"loss": 2.0, "grad_norm": 1.0}, "eval": {"loss": 3.0}}\n'
    '{"_step": 3, "train": {"loss": 1.5, "grad_norm": 0.75}}\n\n'
    '{"_step": 4, "train": {"loss": NaN, "grad_norm": null}}\n'
)
TRAINER = json.dumps(
    {
        "global_step": 4,
        "log_history": [
            {"epoch": 0.1, "step": 1, "loss": 2.5, "grad_norm": 1.5, "learning_rate": 1e-4},
            {"epoch": 0.2, "step": 2, "loss": 2.0, "grad_norm": 1.0, "learning_rate": 1e-4},
            {"epoch": 0.2, "step": 2, "eval_loss": 9.0},
            {"epoch": 0.3, "step": 3, "loss": 1.5, "grad_norm": 0.75},
            {"epoch": 0.4, "step": 4, "loss": NAN},
            {"epoch": 0.4, "step": 4, "train_loss": 2.0, "train_runtime": 10.0},
        ],
    }
)
COLUMNS = (
    '{"step": [1, 2, 3, 4], "loss": [2.5, 2, 1.5, NaN], "gradient_norm": [1.5, 1, 0.75, null]}'
)
OBJECTS = '[{"iter": 1, "loss": 2.5, "gnorm": 1.5}, {"iter": 2, "loss": 2, "gnorm": 1},'
OBJECTS += ' {"iter": 3, "loss": 1.5, "gnorm": 0.75}, {"iter": 4, "loss": "nan"}]'


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("log.csv", CSV),
        ("log.txt", CSV.replace(",", ";")),
        ("log.tsv", CSV.replace(",", "\t")),
        ("bom.csv", "\ufeff" + CSV.replace("\n", "\r\n")),
        ("metrics.csv", LIGHTNING),
        ("log.jsonl", LINES),
        ("trainer_state.json", TRAINER),
        ("columns.json", COLUMNS),
        ("objects.json", OBJECTS),
    ],
    ids=lambda value: value if "." in value and len(value) < 20 else "",
)
def test_every_format_gives_the_same_run(tmp_path, name, text):
    found = log_of(write(tmp_path / name, text))
    same(found.loss, [1, 2, 3, 4], LOSSES)
    same(found.norm, [1, 2, 3], NORMS)


def test_events_of_tensorboard_give_the_same_run(tmp_path):
    (tmp_path / "events.out.tfevents.1.host").write_bytes(EVENTS)
    found = log_of(tmp_path)
    same(found.loss, [1, 2, 3, 4], LOSSES)
    same(found.norm, [1, 2, 3], NORMS)
    assert found.notes == []


def test_events_that_end_amid_a_record_are_read_up_to_it(tmp_path):
    (tmp_path / "events.out.tfevents.1.host").write_bytes(EVENTS[:-20])
    found = log_of(tmp_path)
    same(found.loss, [1, 2, 3], LOSSES[:3])
    assert "middle of a record" in found.notes[0]


@pytest.mark.parametrize("place", [0, 4, 9])
def test_bytes_that_are_no_events_are_refused(place):
    damaged = bytearray(EVENTS)
    damaged[place] ^= 1
    with pytest.raises(NotEvents, match="checksum"):
        scalars(bytes(damaged))


@pytest.mark.parametrize("name", ["trainer_state.json", "metrics.csv", "metrics.jsonl"])
def test_a_folder_stands_for_the_log_in_it(tmp_path, name):
    text = {"trainer_state.json": TRAINER, "metrics.csv": LIGHTNING, "metrics.jsonl": LINES}[name]
    write(tmp_path / name, text)
    same(log_of(tmp_path).loss, [1, 2, 3, 4], LOSSES)


def test_the_log_of_a_guard_can_be_read(tmp_path):
    text = "step,loss,norm,norm_after,clipped,threshold\n1,2.5,3,1,True,1\n2,2,0.5,0.5,False,1\n"
    found = log_of(write(tmp_path / "guard.csv", text))
    same(found.norm, [1, 2], [3.0, 0.5])
    same(found.clipped, [1, 2], [1.0, 0.0])


# columns, restarts, units


def test_columns_can_be_told(tmp_path):
    path = write(tmp_path / "a.csv", "n,x_loss,y_loss,g,c\n1,1,5,2,0\n2,1,4,2,100\n")
    found = log_of(path, step="n", loss="y_loss", norm="g", clipped="c")
    same(found.loss, [1, 2], [5, 4])
    same(found.norm, [1, 2], [2, 2])
    same(found.clipped, [1, 2], [0, 1])
    assert any("taken as %" in note for note in found.notes)


def test_steps_that_go_back_are_a_run_that_went_on_from_there(tmp_path):
    path = write(tmp_path / "a.csv", "step,loss\n1,5\n2,4\n3,nan\n4,nan\n3,3\n4,2\n5,1\n")
    found = log_of(path)
    same(found.loss, [1, 2, 3, 4, 5], [5, 4, 3, 2, 1])
    assert any("from 4 (where it was nan) to 3" in note for note in found.notes)


def test_a_second_run_in_the_same_file_is_the_one_that_counts(tmp_path):
    path = write(tmp_path / "a.csv", "step,loss\n1,5\n2,nan\nstep,loss\n1,6\n2,3\n")
    found = log_of(path)
    same(found.loss, [1, 2], [6, 3])
    assert any("header" in note for note in found.notes)


def test_a_counter_of_each_epoch_is_no_restart(tmp_path):
    path = write(tmp_path / "a.csv", "epoch,batch,loss\n0,0,5\n0,1,4\n1,0,3\n1,1,2\n")
    found = log_of(path)
    same(found.loss, [1, 2, 3, 4], [5, 4, 3, 2])
    assert any("starts again each epoch" in note for note in found.notes)


def test_rows_of_another_phase_are_passed_over(tmp_path):
    path = write(tmp_path / "a.csv", "step,split,loss\n1,train,5\n1,val,9\n2,train,4\n2,val,8\n")
    same(log_of(path).loss, [1, 2], [5, 4])


def test_rows_are_numbered_where_no_column_counts_steps(tmp_path):
    found = log_of(write(tmp_path / "a.csv", "time,loss\n9,5\n10,4\n"))
    same(found.loss, [1, 2], [5, 4])
    assert any("numbered" in note for note in found.notes)


def test_a_step_that_comes_again_counts_once(tmp_path):
    found = log_of(write(tmp_path / "a.csv", "step,loss\n1,5\n1,4.5\n2,4\n"))
    same(found.loss, [1, 2], [4.5, 4])


@pytest.mark.parametrize(
    ("text", "steps", "losses"),
    [
        ("step;loss\n1;2,5\n2;-1,5e-1\n", [1, 2], [2.5, -0.15]),
        ('step,loss\n999,5\n"1,000",4\n"1,000,001",3\n', [999, 1000, 1000001], [5, 4, 3]),
        ('{"history": {"loss": [5, 4]}, "params": {"epochs": 2}}', [1, 2], [5, 4]),
        # in no order, as no restarted run is
        (
            "step,loss\n" + "".join(f"{n},{n}\n" for n in (3, 1, 5, 2, 6, 4, 8, 7)),
            [*range(1, 9)],
            0,
        ),
    ],
)
def test_what_is_plain_to_a_reader_is_read(text, steps, losses, tmp_path):
    same(log_of(write(tmp_path / "a.log", text)).loss, steps, losses or steps)


def test_json_lines_may_be_cut_short(tmp_path):
    found = log_of(write(tmp_path / "a.jsonl", '{"loss": 5}\n{"loss": 4}\n{"loss": 3, "gr'))
    assert found.loss.values.tolist() == [5, 4]
    assert any("cut short" in note for note in found.notes)


@pytest.mark.parametrize(
    ("text", "values"),
    [
        # as pandas writes it
        ("step,loss,norm\n1,5,1\n2,4,1\n3,,\n4,,\n", [5, 4, NAN, NAN]),
        ('{"step": 1, "loss": 5}\n{"step": 2, "loss": 4}\n{"step": 3, "loss": null}', [5, 4, NAN]),
        # evaluations, and what a trainer sums up at its end
        ("step,loss,val_loss\n1,5,\n2,4,\n2,,4.5\n", [5, 4]),
        ("step,loss,norm\n1,5,1\n1,,\n2,4,1\n3,,\n", [5, 4]),
        ('{"step": 1, "loss": 5}\n{"step": 2, "loss": 4}\n{"step": 2, "runtime": 9}', [5, 4]),
    ],
)
def test_losses_that_are_empty_to_the_end_were_nan(tmp_path, text, values):
    found = log_of(write(tmp_path / "a.log", text))
    assert np.array_equal(found.loss.values, values, equal_nan=True)
    assert any("taken as NaN" in note for note in found.notes) == (NAN in values)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ["empty"]),
        ("   \n", ["empty"]),
        ("step,loss\n", ["no rows"]),
        ("1,2.5\n2,2.0\n", ["first line", "name the columns"]),
        ("step,loss,loss\n1,2,3\n", ["two columns", "'loss'"]),
        ("step,loss\n1,2,3\n", ["line 2", "3 cells", "2 columns"]),
        ("step,loss\n1,abc\n2,3\n", ["'loss'", "numbers", "'abc'"]),
        ("step,loss\n1,12%\n2,11%\n", ["'loss'", "numbers", "'12%'"]),
        ("step,loss\n0.5,5\n1,4\n", ["'step'", "whole", "'0.5'", "row 1", "--step none"]),
        ("step,loss\n-1,5\n1,4\n", ["'step'", "'-1'"]),
        ("step,loss\nx,5\n1,4\n", ["'step'", "'x'"]),
        ("step,loss\n1,5\n1e300,4\n", ["'step'", "'1e300'"]),
        ("step,loss\n1,5\nnan,4\n", ["'step'", "'nan'"]),
        ("step,loss\n7,5\n7,4\n7,3\n", ["'step'", "same in all rows"]),
        ("step,loss\n1,5\n", ["fewer than two"]),
        ("step,accuracy\n1,0.5\n", ["--loss", "'accuracy'"]),
        ("step,x_loss,y_loss\n1,1,5\n2,1,4\n", ["--loss", "'x_loss'", "'y_loss'"]),
        ("step,loss,grad_norm\n1,5,-2\n2,4,1\n", ["'grad_norm'", "-2", "logarithm"]),
        ("step,loss\n1,-5\n2,-6\n", ["first loss", "positive", "-5", "--spike", "--start"]),
        ("step,loss\n1,0\n2,1\n", ["first loss", "positive"]),
        ('{"loss": 5}\nnot json\n{"loss": 4}\n', ["line 2", "no JSON", "'not json'"]),
        ('{"loss": 5}\n[1]\n', ["row 2", "object", "[1]"]),
        ('{"loss": [5, 4], "step": [1]}', ["equally long"]),
        ('{"log_history": []}', ["no rows"]),
        ("[" * 100_000, ["a.log"]),
        ("\x00\x01\x02", ["no text"]),
        ("epoch 1 loss 2.5\nepoch 2 loss 2\n", ["no columns", "'epoch 1 loss 2.5'", "CSV, JSON"]),
        ("[12:00:01] loss=2.5\n", ["line 1", "no JSON", "allowed: CSV, JSON lines"]),
        ("step,loss\n1,True\n2,True\n", ["'loss'", "numbers", "'True'"]),
        ('step,loss\n1,"2,5"\n2,2\n', ["'loss'", "numbers with a decimal point", "'2,5'"]),
    ],
)
def test_what_cannot_be_understood_is_refused_in_one_line(tmp_path, capsys, text, words):
    path = write(tmp_path / "a.log", text)
    page = tmp_path / "page.html"
    assert main(["diagnose", str(path), "--html", str(page)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert all(word in err for word in words), err
    assert not page.exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--loss", "los"], ["'los'", "Did you mean 'loss'?"]),
        (["--norm", "gradnorm"], ["'gradnorm'", "'grad_norm'"]),
        (["--step", "epochs"], ["'epochs'"]),
        (["--loss", "none"], ["'none'"]),
        (["--start", "-1"], ["--start", "'-1'", "positive"]),
        (["--spike", "high"], ["--spike", "'high'"]),
        (["--threshold", "nan"], ["--threshold", "'nan'"]),
        (["--html", "nowhere/page.html"], ["cannot write", "nowhere/page.html"]),
    ],
)
def test_options_that_do_not_fit_are_refused_in_one_line(tmp_path, capsys, arguments, words):
    path = write(tmp_path / "a.csv", CSV)
    try:
        status = main(["diagnose", str(path), *arguments])
    except SystemExit as end:
        status = end.code
    out, err = capsys.readouterr()
    assert status == 2
    assert out == ""
    assert err.count("\n") == 1
    assert all(word in err for word in words), err


@pytest.mark.parametrize("name", ["missing.csv", "folder"])
def test_a_log_that_is_not_there_is_named(tmp_path, capsys, name):
    (tmp_path / "folder").mkdir()
    assert main(["diagnose", str(tmp_path / name)]) == 2
    assert name in capsys.readouterr().err


# what is said

CALM = np.linspace(2.0, 0.5, 200)


def run_of(losses, norms=None, clipped=None, rates=None):
    def series(name, values):
        values = np.asarray(values, dtype=float)
        return Series(name, np.arange(len(values)) + 1, values)

    norm = None if norms is None else series("norm", norms)
    clips = None if clipped is None else series("c", clipped)
    return RunLog(
        series("loss", losses), norm, clips, rates if rates is None else series("lr", rates)
    )


AFTER = np.full(2 * WAIT, 0.5)


@pytest.mark.parametrize(
    ("losses", "status", "first_bad", "lost"),
    [
        (CALM, "stable", None, None),
        ([*CALM, NAN], "nonfinite", 201, 201),
        ([*CALM, 12, NAN, NAN], "nonfinite", 201, 202),
        ([*CALM, 12, 12, *AFTER], "recovered", 201, None),
        ([*CALM, 12, NAN, 12, *AFTER], "recovered", 201, None),
        ([*CALM, 12, *np.full(2 * WAIT, 1.5)], "damaged", 201, 200 + WAIT),
        ([*CALM, *np.full(2 * WAIT, 2.0)], "collapsed", 201, 200 + WAIT),
        ([*CALM, 12, *np.full(2 * WAIT, 2.0)], "collapsed", 201, 200 + WAIT),
        ([2.0, 12, *np.full(2 * WAIT, 2.0)], "dead", 2, WAIT),
        (np.full(2 * WAIT, 2.0), "stalled", None, None),
        # the log ends amid the trouble, or is short
        ([*CALM, 12, 12], "collapsed", 201, None),
        (np.linspace(2.0, 0.5, 10), "stable", None, None),
        ([2.0, 12, NAN], "nonfinite", 2, 3),
    ],
)
def test_the_status_is_told_in_the_words_of_the_suite(losses, status, first_bad, lost):
    found = diagnose(run_of(losses))
    assert (found.status, found.first_bad_step, found.lost_step) == (status, first_bad, lost)
    assert status in STATUSES


def test_a_classifier_that_starts_high_is_held_against_chance():
    # dead at log(10), which is below half of its first loss
    losses = [6.0, 30.0, *np.full(2 * WAIT, 2.3)]
    assert diagnose(run_of(losses)).status == "recovered"
    assert diagnose(run_of(losses), start=math.log(10)).status == "dead"


def test_spikes_are_told_apart_and_whether_each_healed():
    losses = np.array([*CALM, *AFTER, *AFTER])
    losses[250:253] = 3.0, 4.0, 3.0
    losses[300:] = 5.0
    first, second = diagnose(run_of(losses)).spikes
    assert (first.step, first.peak_step, first.peak, first.healed) == (251, 252, 4.0, 254)
    assert first.before == pytest.approx(np.median(losses[150:250]))
    assert (second.step, second.healed) == (301, None)


@pytest.mark.parametrize("largest", [300.0, 1e300])
def test_a_spike_among_the_rows_before_makes_no_later_one_heal(largest):
    losses = np.array([*CALM, *AFTER, *AFTER])
    losses[280] = largest
    losses[300:] = 12.0
    assert [spike.healed for spike in diagnose(run_of(losses)).spikes] == [282, None]


def test_norms_are_told_of_the_rows_before_trouble():
    norms = np.array([*np.arange(1.0, 201.0), 1e6, INF])
    found = diagnose(run_of([*CALM, 12, NAN], norms))
    assert found.norms_before.tolist() == np.arange(1.0, 201.0).tolist()
    usual = np.median(np.arange(91.0, 191.0))
    assert found.growth == pytest.approx(200 / usual)


HEALED_THEN_LOST = np.array([*CALM, *AFTER, *np.full(20, NAN)])
HEALED_THEN_LOST[59] = 30.0


def test_what_ended_a_run_comes_before_what_healed():
    norms = np.ones(len(HEALED_THEN_LOST))
    norms[-30:-20], norms[59] = 6561.0, 50.0
    found = diagnose(run_of(HEALED_THEN_LOST, norms))
    lost = len(HEALED_THEN_LOST) - 19
    assert (found.first_bad_step, found.fatal_step) == (60, lost)
    assert len(found.norms_before) == lost - 1
    said = dict(facts(found))
    assert list(said)[1:3] == ["the end", "first bad"]
    assert said["the end"].startswith(f"began at step {lost} and never healed")
    assert "largest 6561 before the end" in said["norms"]
    assert f"before the update of step {lost - 1} and clip" in advice(found).sentence
    assert f">the end {lost}<" in page("a", "CSV", found)


def test_an_early_spike_that_healed_makes_no_late_end_an_early_one():
    losses = [2.0, 2.0, 30.0, *CALM, *AFTER, NAN]
    assert "checkpoint" in advice(diagnose(run_of(losses))).sentence
    assert "by ten" in advice(diagnose(run_of(losses[:3]))).sentence


@pytest.mark.parametrize(
    ("losses", "words"),
    [
        ([2.0, 12.0, NAN], "not finite, and stays so"),
        ([*CALM, 12, *np.full(2 * WAIT, 1.5)], f"{WAIT} losses in a row"),
    ],
)
def test_the_alarm_says_what_raised_it(losses, words):
    assert words in dict(facts(diagnose(run_of(losses))))["alarm"]


@pytest.mark.parametrize(
    ("second", "words"),
    [
        ([0.5, 0.5], "one: step 281, from 0.5 to 3, healed by 282"),
        ([3.0, 0.5], "2, all of which healed: step 281"),
        ([3.0, 3.0], "2, of which 1 healed: step 281"),
    ],
)
def test_spikes_are_counted_in_words(second, words):
    losses = np.array([*CALM, *AFTER])
    losses[280], losses[350], losses[351:] = 3.0, *second
    assert dict(facts(diagnose(run_of(losses))))["jumps"].startswith(words)


@pytest.mark.parametrize(
    ("end", "bad", "spike"),
    [
        # above what was usual a step before the level of an explosion
        (
            [4.0, 30.0, 4e4, NAN, NAN],
            "step 402, rising from step 401: loss above 10 at step 402; not finite from step 404 "
            "on",
            "one: step 401, from 0.5 to 4e+04 at step 403 and not finite, never healed",
        ),
        (
            [NAN, NAN],
            "step 401: not finite from step 401 on",
            "one: step 401, from 0.5, not finite, never healed",
        ),
    ],
)
def test_one_event_is_told_as_one(end, bad, spike):
    told = dict(facts(diagnose(run_of([*CALM, *AFTER, *end]))))
    assert (told["first bad"], told["jumps"]) == (bad, spike)


def test_a_run_that_was_never_finite_has_no_numbers():
    told = dict(facts(diagnose(run_of([NAN] * 20))))
    assert told["loss"] == "never finite"
    assert told["jumps"] == "one: step 1, not finite, never healed"
    assert "before any update" in told["try first"]
    assert "threshold" not in told


@pytest.mark.parametrize(("count", "words"), [(4, "Wait for more losses"), (5, "Raise the rate")])
def test_few_losses_say_nothing_about_learning(count, words):
    found = diagnose(run_of([2.3] * count))
    assert found.status == "stalled"
    assert advice(found).sentence.startswith(words)
    assert (found.notes == ["4 finite losses are too few to be sure of anything"]) == (count < 5)


def test_a_rate_is_raised_only_where_nothing_jumped():
    losses = [2.27, *np.full(19, 2.28), 8.48, *np.full(80, 2.31)]
    found = diagnose(run_of(losses))
    said = dict(facts(found))
    assert found.status == "stalled"
    assert said["status"].endswith("jumped, below the level of a spike, and did not come back")
    assert said["try first"].startswith("Divide the learning rate by ten: the loss jumped at")


def test_a_loss_that_rose_in_a_run_without_a_jump_is_no_cause_to_raise_the_rate():
    losses = [2.3, *np.linspace(2.3, 5.0, 50), *np.linspace(5.0, 2.3, 50), *np.full(50, 2.3)]
    assert advice(diagnose(run_of(losses))).sentence.startswith("Divide the learning rate by ten")


def test_a_run_near_its_largest_rate_is_not_told_that_all_is_well():
    losses = [2.2, *np.linspace(2.2, 4.4, 50), *np.linspace(4.4, 1.0, 150)]
    found = diagnose(run_of(losses))
    assert found.status == "stable"
    said = advice(found).sentence
    assert said.startswith("Try a third of the rate: the loss rose to 2 times what it started from")
    assert advice(diagnose(run_of(CALM))).sentence.startswith("Nothing has to be done")


@pytest.mark.parametrize(
    ("norms", "blamed"),
    [([1.0, NAN, NAN], "Divide the learning rate"), ([NAN] * 3, "Check data, labels")],
)
def test_a_gradient_that_was_never_finite_has_nothing_to_do_with_the_rate(norms, blamed):
    assert advice(diagnose(run_of([2.3, NAN, NAN], norms))).sentence.startswith(blamed)


def test_a_threshold_is_told_only_where_clipping_is_advised():
    late = dict(facts(diagnose(run_of([*CALM, 12, NAN], np.ones(202), rates=np.full(202, 0.5)))))
    assert "of its norms before exceed" in late["threshold"]
    assert "threshold" not in dict(facts(diagnose(run_of([2.0, 12, NAN], np.ones(3)))))


def test_a_log_in_utf_16_is_read(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text(CSV, encoding="utf-16")
    same(log_of(path).loss, [1, 2, 3, 4], LOSSES)


def test_steps_that_are_too_large_are_told_the_limit(tmp_path):
    path = write(tmp_path / "log.csv", "step,loss\n9,2.3\n100000000000000001,2.3\n")
    with pytest.raises(LogError, match="whole steps from 0 to 9,007,199,254,740,99"):
        log_of(path)


@pytest.mark.parametrize("checkout", [True, False])
def test_only_a_page_that_is_at_hand_is_named(checkout, monkeypatch):
    monkeypatch.setattr(advising, "CHECKOUT", checkout)
    place = advice(diagnose(run_of([2.3] * 9))).place
    assert place.endswith("in the built report advice.html#advice-batch")
    assert ("report/advice.md" in place) is checkout


def test_a_run_that_exploded_and_came_back_is_told_so():
    losses = np.array([*CALM, *AFTER])
    losses[100] = 14.0
    said = advice(diagnose(run_of(losses))).sentence
    assert "exploded at step 101 and then learned all the same" in said
    losses[100] = 5.0
    assert "below the level of an explosion" in advice(diagnose(run_of(losses))).sentence


@pytest.mark.parametrize(
    "name", ["lr", "learning_rate", "train/lr", "lr-Adam/pg1", "optimizer_learning_rate"]
)
def test_the_learning_rate_of_the_log_is_read(tmp_path, name):
    text = f"step,loss,{name}\n" + "".join(f"{i},2,{0.1 if i < 3 else 0.2}\n" for i in range(1, 6))
    found = log_of(write(tmp_path / "a.csv", text))
    same(found.rate, [1, 2, 3, 4, 5], [0.1, 0.1, 0.2, 0.2, 0.2])
    assert log_of(tmp_path / "a.csv", rate="none").rate is None


def test_the_rate_is_the_one_before_trouble():
    rates = np.full(202, 0.4)
    rates[200:] = 0.1
    assert diagnose(run_of([*CALM, 0.5, NAN], rates=rates)).rate == 0.1
    assert diagnose(run_of([*CALM[:-1], NAN, NAN, NAN], rates=rates)).rate == 0.4
    assert math.isnan(diagnose(run_of(CALM)).rate)


def test_norms_that_are_not_finite_for_a_step_are_those_of_a_loss_scaler():
    norms = np.ones(len(CALM))
    norms[50] = INF
    found = diagnose(run_of(CALM, norms))
    assert found.status == "stable"
    assert any("loss scaler" in note for note in found.notes)


@pytest.mark.parametrize("rows", [1, 5, WAIT - 1])
def test_nor_do_they_break_a_run_at_the_end_of_its_log(rows):
    norms = np.ones(len(CALM))
    norms[-rows:] = INF
    found = diagnose(run_of(CALM, norms))
    assert (found.status, found.broken_step) == ("stable", None)
    assert any("loss scaler" in note and note.startswith(f"{rows} ") for note in found.notes)


def test_norms_that_stay_not_finite_break_a_run():
    norms = np.ones(len(CALM))
    norms[-WAIT:] = INF
    found = diagnose(run_of(CALM, norms))
    assert (found.status, found.broken_step) == ("nonfinite", len(CALM) - WAIT + 1)


@pytest.mark.parametrize("last", [NAN, 1e30])
def test_a_norm_at_the_end_breaks_a_run_whose_loss_is_no_longer_usual(last):
    losses, norms = [*CALM[:-1], last], np.ones(len(CALM))
    norms[-1] = INF
    found = diagnose(run_of(losses, norms))
    assert (found.status, found.broken_step) == ("nonfinite", len(CALM))


def test_a_loss_of_zero_beside_a_norm_of_nan_was_nan():
    losses, norms = [2.0, 1.5, 0.0, 0.0], [1.0, 1.0, NAN, NAN]
    found = diagnose(run_of(losses, norms))
    assert (found.status, found.first_bad_step) == ("nonfinite", 3)
    assert any("taken as NaN" in note for note in found.notes)
    # all of it, as of a run in half precision whose labels were all masked
    assert diagnose(run_of([0.0, 0.0], [NAN, NAN])).status == "nonfinite"
    # without norms a loss of zero may be one
    assert diagnose(run_of([2.0, *CALM, 0.0])).status == "stable"


def test_a_first_loss_that_is_not_finite_is_not_what_others_are_held_against():
    found = diagnose(run_of([NAN, *CALM]))
    assert (found.status, found.start, found.level) == ("stable", 2.0, 10.0)
    assert [(spike.step, spike.healed is None) for spike in found.spikes] == [(1, False)]


@pytest.mark.parametrize(
    ("clipped", "threshold", "share"),
    [([0, 1, 1, 1], None, 0.75), (None, 2.0, 0.25), (None, None, NAN)],
)
def test_the_clipped_share_is_logged_or_follows_from_a_threshold(clipped, threshold, share):
    log = run_of([2.0, 1.5, 1.0, 0.8], [1.0, 2.0, 3.0, 1.0], clipped)
    assert diagnose(log, threshold=threshold).clipped == pytest.approx(share, nan_ok=True)


CASES = {
    "early": (run_of([2.0, 12, NAN]), "advice-nan"),
    "late": (run_of([*CALM, 12, NAN], np.ones(202)), "advice-threshold"),
    "late without norms": (run_of([*CALM, 12, NAN]), "advice-late"),
    "clipped": (run_of(CALM, np.ones(200), np.ones(200)), "advice-threshold"),
    "collapsed": (run_of([*CALM, *np.full(2 * WAIT, 2.0)]), "advice-late"),
    "healed": (run_of([*CALM, 12, *AFTER], np.ones(321)), "advice-threshold"),
    "stalled": (run_of(np.full(100, 2.0)), "advice-batch"),
    "stable": (run_of(CALM), "advice-cost"),
}


@pytest.mark.parametrize("case", CASES)
def test_what_to_try_first_leads_to_a_place_of_the_report(case):
    log, anchor = CASES[case]
    found = advice(diagnose(log))
    assert found.anchor == anchor
    page = (ROOT / "report" / "advice.md").read_text(encoding="utf-8")
    assert f"({found.anchor})=" in page


def test_the_worth_of_a_threshold_is_that_of_the_results_at_hand(tmp_path, monkeypatch):
    found = diagnose(run_of([*CALM, 12, NAN], np.ones(202), rates=np.full(202, 0.5)))
    monkeypatch.setattr(advising, "product", advising.product.__wrapped__)
    monkeypatch.setattr("benchmark.diagnosis.advice.RESULTS", tmp_path)
    assert "python -m benchmark run clipping gives some" in worth(found)
    assert suggested(found) is None
    assert "a threshold that you tune" in advice(found).sentence

    rules = pd.DataFrame(
        {
            "learning_rate": [0.1, 1.0, 2.0],
            "best_threshold": [9.0, 0.3, 0.15],
            "regret": [0.001, 0.25, 0.01],
            "low": [-0.01, 0.2, NAN],
            "high": [0.01, 0.3, NAN],
        }
    )
    some = SimpleNamespace(trials=pd.DataFrame())
    monkeypatch.setattr("benchmark.diagnosis.advice.find_study", lambda *names: some)
    monkeypatch.setattr("benchmark.statistics.outcomes", lambda trials: trials)
    monkeypatch.setattr("benchmark.statistics.percentile_rule", lambda trials: rules)
    said = worth(found)
    assert "starting at 0.3, hence a threshold of 0.6 at this run's rate of 0.5" in said
    assert "best at 2 of 3 rates" in said
    assert said.endswith("loses up to 25.0 points where training explodes")
    assert "clip the global norm at 0.6;" in advice(found).sentence
    without = diagnose(run_of([*CALM, 12, NAN], np.ones(202)))
    assert "clip the global norm at 0.3 / rate;" in advice(without).sentence


def test_the_advice_is_that_of_the_page():
    best = advising.product()
    study = load_study(ROOT / "results" / "reference", "clipping")
    rules = percentile_rule(outcomes(study.trials))
    assert best == steadiest_product(rules) | {"lost": rules[rules["low"] > 0.01]["regret"].max()}
    source = (ROOT / "report" / "decisions.jinja").read_text(encoding="utf-8")
    assert "statistics.steadiest_product(rules)" in source


def test_a_negative_loss_needs_both_levels():
    log = run_of([-5.0, -6.0, 40.0, -6.0])
    with pytest.raises(LogError, match="--spike"):
        diagnose(log, spike=10.0)
    assert diagnose(log, spike=10.0, start=1.0).first_bad_step == 3


# the command


def hostile_log(path):
    names = ["step", "loss</text><script>alert(1)</script>", "grad_norm"]
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(names)
        rows.writerows([i, loss, 1.0] for i, loss in enumerate([*CALM, 12, NAN], 1))
    return path


def test_half_a_page_says_it_all(tmp_path, capsys):
    losses = [*CALM, 12, 12, *AFTER]
    text = "step,loss,norm\n" + "".join(f"{i},{x},1\n" for i, x in enumerate(losses, 1))
    assert main(["diagnose", str(write(tmp_path / "run.csv", text))]) == 0
    out = capsys.readouterr().out
    assert len(out.splitlines()) <= 25
    assert all(len(line) <= 100 for line in out.splitlines())
    told = " ".join(out.split())
    assert f"recovered: {STATUSES['recovered']}" in told
    assert "first bad step 201" in told
    assert "one: step 201, from 0.873 to 12, healed by 203" in told
    assert "alarm" not in told


def test_the_page_is_one_file_that_asks_nothing_of_the_network(tmp_path, capsys):
    page = tmp_path / "page.html"
    log = hostile_log(tmp_path / "run.csv")
    assert main(["diagnose", str(log), "--html", str(page)]) == 0
    text = page.read_text(encoding="utf-8")
    assert text.count("<svg") == 2
    assert "<script" not in text
    assert not re.search(r"(src|href|url|@import|http)", text.replace("http-equiv", ""))
    assert "first bad step 201" in text
    assert capsys.readouterr().out.endswith(f"{page}\n")


def test_long_curves_keep_their_extremes():
    values = np.zeros(100_000)
    values[77_777] = 9.0
    steps, kept = thinned(np.arange(100_000), values)
    assert len(kept) <= 2 * MOST
    assert steps[kept.argmax()] == 77_777


def test_a_diagnosis_imports_no_torch(tmp_path):
    path = write(tmp_path / "a.csv", CSV)
    code = "import sys; from benchmark.__main__ import main; main(sys.argv[1:]); "
    code += "sys.exit('torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code, "diagnose", str(path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "nonfinite" in done.stdout
