"""What the pages about single questions read off a study, on numbers one can check by hand."""

import math

import numpy as np
import pandas as pd
import pytest

from benchmark import statistics
from benchmark.records import Trial
from benchmark.statistics import (
    always_clipped,
    at_the_edge,
    best_products,
    best_thresholds,
    broken_beside,
    choices_of_single_seeds,
    equal_products,
    least_exploding_rate,
    least_loss_rate,
    missed_by_nan_test,
    noise_quartiles,
    norm_profiles,
    product_gaps,
    sharpness_over_edge,
    theoretical_growth,
    threshold_cells,
    tied_ranks,
    tied_with_best,
    with_edges,
)
from benchmark.statistics.spans import rate_spans
from benchmark.statistics.targets import (
    at_target,
    costs_to_target,
    critical_by_target,
    critical_size,
    crossing,
    scaled_rates,
    trade,
)

NAN = math.nan


def rated(accuracies: dict[float, list[float]]) -> pd.DataFrame:
    """Trials of one level: validation accuracies of every seed by rate; loss 1 - accuracy."""
    rows = [
        {
            "level": "a",
            "learning_rate": rate,
            "cell": f"cell {rate}",
            "seed": seed,
            "validation": value,
            "objective": 1 - value,
        }
        for rate, values in accuracies.items()
        for seed, value in enumerate(values)
    ]
    return pd.DataFrame(rows)


def test_spans_by_hand():
    frame = rated({0.01: [0.5, 0.5], 0.1: [0.9, 0.9], 1.0: [0.895, 0.895], 10.0: [0.1, 0.1]})
    (row,) = rate_spans(frame, ["level"]).to_dict("records")
    assert (row["best_rate"], row["low_rate"], row["high_rate"]) == (0.1, 0.1, 1.0)
    # the seeds agree: what is left is that the range ends somewhere between two rates
    assert (row["decades"], row["decades_low"], row["decades_high"]) == (1.0, 0.0, 2.0)
    assert (row["spacing"], row["edge"]) == (1.0, False)
    # mean loss (0.5 + 0.1 + 0.105 + 0.9) / 4 minus 0.1
    assert row["sensitivity"] == pytest.approx(0.30125)
    assert math.isnan(row["sensitivity_low"])
    assert row["rates"] == 4


def test_a_span_that_hangs_on_one_seed_has_a_wide_interval():
    # one seed of the middle rate fails: without it the range takes all three rates
    frame = rated({0.1: [0.9] * 3, 1.0: [0.9, 0.9, 0.5], 10.0: [0.9] * 3})
    (row,) = rate_spans(frame, ["level"]).to_dict("records")
    assert row["decades"] == 0.0
    # left out one by one 0, 0 and 2: variance 2/3 (4 - 4/3), t of two degrees of freedom
    assert row["decades_high"] == pytest.approx(4.30265 * math.sqrt(16 / 9), rel=1e-5)
    assert row["decades_low"] == 0.0


def test_a_gain_counts_data_sets_on_the_seeds_that_each_has():
    # a decade wider on three seeds of one data set, three on two of the other: one was lost
    rates = (1.0, 10.0, 100.0, 1000.0)
    rows = [
        {"dataset": dataset, "seed": seed, "schedule": schedule, "learning_rate": rate}
        | {"validation": 0.9 if place <= (gain if schedule == "cosine" else 0) else 0.1}
        for dataset, gain, seeds in (("mnist", 1, (3, 5, 7)), ("fashion-mnist", 3, (3, 5)))
        for seed in seeds
        for schedule in ("constant", "cosine")
        for place, rate in enumerate(rates)
    ]
    frame = pd.DataFrame([Trial().row() | row for row in rows])
    found = statistics.decades_gained(frame, "schedule", "cosine", "constant")
    assert found is not None
    ends, pairs, seeds = found
    # every seed leaves the same behind: what is left is the spacing of the rates
    assert ends == pytest.approx((2.0, 1.0, 3.0))
    assert (pairs, seeds) == (2, 3)


def test_a_gain_without_the_only_seed_of_a_data_set_is_that_of_the_others():
    rates = (1.0, 10.0, 100.0)
    rows = [
        {"dataset": dataset, "seed": seed, "schedule": schedule, "learning_rate": rate}
        | {"validation": 0.9 if place <= (gain if schedule == "cosine" else 0) else 0.1}
        for dataset, seed, gain in (("mnist", 0, 0), ("fashion-mnist", 1, 2))
        for schedule in ("constant", "cosine")
        for place, rate in enumerate(rates)
    ]
    frame = pd.DataFrame([Trial().row() | row for row in rows])
    found = statistics.decades_gained(frame, "schedule", "cosine", "constant")
    assert found is not None
    # 1 on both; 2 and 0 with each left out: variance 1/2 (1 + 1), t of one degree of freedom
    assert found[0] == pytest.approx((1.0, 1 - 12.7062, 1 + 12.7062), rel=1e-4)


def test_a_single_seed_has_no_interval():
    (row,) = rate_spans(rated({0.1: [0.9], 1.0: [0.5]}), ["level"]).to_dict("records")
    assert row["decades"] == 0.0
    assert np.isnan([row["decades_low"], row["sensitivity_high"]]).all()


def reaching(size: int, rate: float, samples: list[float], seconds: float = 1.0) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "model": "mlp",
            "batch_size": size,
            "learning_rate": rate,
            "seed": range(len(samples)),
            "samples": 1000,
            "seconds": seconds,
            "samples_to_target": samples,
            "steps_to_target": [s / size for s in samples],
        }
    )


RUNS = pd.concat(
    [
        reaching(10, 0.1, [400.0, 200.0, 600.0], seconds=2.0),
        reaching(10, 1.0, [300.0, NAN, NAN]),
        reaching(20, 0.1, [800.0, 700.0, NAN]),
        reaching(40, 0.1, [NAN, NAN, 900.0]),
    ],
    ignore_index=True,
)


def test_what_was_not_reached_costs_infinity():
    costs = costs_to_target(RUNS)
    assert costs["samples"].tolist()[:4] == [400.0, 200.0, 600.0, 300.0]
    assert costs["seconds"].tolist()[:3] == pytest.approx([0.8, 0.4, 1.2])
    assert math.isinf(costs["steps"].iloc[4])


def test_the_trade_is_that_of_the_cheapest_rate_of_the_median_trial():
    found = trade(RUNS, ["model"])
    assert found["batch_size"].tolist() == [10, 20]
    first, second = found.to_dict("records")
    assert (first["learning_rate"], first["samples"], first["steps"]) == (0.1, 400.0, 40.0)
    # three seeds: one in nine draws has the same one at least twice
    assert (first["samples_low"], first["samples_high"], first["reached"]) == (200.0, 600.0, 1.0)
    assert (second["samples"], second["samples_high"]) == (800.0, math.inf)
    assert second["reached"] == pytest.approx(2 / 3)
    assert math.isnan(first["saved"])
    # at twice the size the same 40 updates: nothing is saved
    assert second["saved"] == 1.0


@pytest.mark.parametrize(
    ("samples", "size"),
    [
        # twice the least lies half-way between two sizes, in logarithms
        ([400, 400, 1600], 32.0),
        ([400, 800, 1600], 16.0),
        ([400, 700, 750], math.inf),
        # a size that takes too much before one that does not is noise
        ([400, 900, 700], math.inf),
        ([400, math.inf, math.inf], math.nan),
    ],
)
def test_beyond_the_critical_size_a_target_takes_twice_the_least(samples, size):
    sizes, budget = np.array([4.0, 16.0, 64.0]), np.full(3, 3200.0)
    found = crossing(sizes, np.array(samples, dtype=float), budget)
    assert found == pytest.approx(size, nan_ok=True)


@pytest.mark.parametrize(("budget", "size"), [(1600, 32.0), (800, math.inf), (700, math.inf)])
def test_a_size_that_missed_the_target_takes_more_than_its_budget(budget, size):
    # one of at most twice the least says nothing about how much a target would have taken
    sizes, samples = np.array([4.0, 16.0, 64.0]), np.array([400.0, 400.0, math.inf])
    assert crossing(sizes, samples, np.full(3, float(budget))) == pytest.approx(size)


def test_the_critical_size_lies_below_sizes_that_all_miss_the_target():
    reach = {8: 200.0, 16: 300.0, 32: NAN, 64: NAN}
    runs = pd.concat([reaching(size, 0.1, [samples] * 3) for size, samples in reach.items()])
    (row,) = critical_size(runs, ["model"]).to_dict("records")
    # 400 on the line from 300 at 16 to at least 1000 at 32
    found = 16 * 2 ** (math.log(4 / 3) / math.log(10 / 3))
    assert (row["estimate"], row["low"], row["high"]) == pytest.approx((found,) * 3)


def test_savings_are_those_of_the_draws_in_which_both_sizes_reach_the_target():
    runs = pd.concat([reaching(size, 0.1, [400.0, 400.0, NAN]) for size in (10, 20)])
    (_, row) = trade(runs, ["model"]).to_dict("records")
    assert (row["saved"], row["saved_low"], row["saved_high"]) == (2.0, 2.0, 2.0)


def test_a_rate_that_a_rule_meets_but_for_the_last_bit_is_one_that_was_run():
    # 0.1 * 3 is a little more than 0.3
    ranges = pd.DataFrame({"batch_size": [10, 30], "best_rate": [0.1, 0.3]})
    rows = [(10, 0.1, 0.9), (30, 0.1, 0.5), (30, 0.3, 0.9)]
    scores = pd.DataFrame(rows, columns=["batch_size", "learning_rate", "validation"])
    assert scaled_rates(ranges, scores)["linear_good"].tolist() == [True, True]


def test_the_critical_size_has_an_interval_over_seeds_in_which_rates_are_chosen_anew():
    # at 20 one seed is as cheap as at 10, and two seeds take twice or four times as much
    runs = pd.concat([reaching(10, 0.1, [100.0] * 3), reaching(20, 0.1, [100.0, 200.0, 400.0])])
    (row,) = critical_size(runs, ["model"]).to_dict("records")
    assert (row["estimate"], row["low"], row["high"]) == (
        math.inf,
        pytest.approx(200**0.5),
        math.inf,
    )
    # a rate that no seed of the larger size likes changes nothing
    more = pd.concat([runs, reaching(20, 1.0, [NAN] * 3)])
    assert critical_size(more, ["model"]).to_dict("records") == [row]
    assert critical_size(reaching(10, 0.1, [100.0]), ["model"])["estimate"].isna().all()


def test_both_rules_start_at_the_best_rate_of_the_smallest_batch():
    ranges = pd.DataFrame({"batch_size": [64, 4, 16], "best_rate": [0.5, 0.125, 0.25]})
    good = {4: [0.125], 16: [0.25], 64: [0.5, 1.0]}
    scores = pd.DataFrame(
        {"batch_size": size, "learning_rate": rate, "validation": 0.8 if rate in fine else 0.7}
        for size, fine in good.items()
        for rate in (0.125, 0.25, 0.5, 1.0)
    )
    found = scaled_rates(ranges, scores)
    assert found["batch_size"].tolist() == [4, 16, 64]
    assert found["linear"].tolist() == [0.125, 0.5, 2.0]
    assert found["root"].tolist() == [0.125, 0.25, 0.5]
    assert found["linear_good"].tolist() == [True, False, False]
    assert found["root_good"].tolist() == [True, True, True]


@pytest.mark.parametrize(("half", "good"), [(0.795, True), (0.77, False)])
def test_between_two_rates_the_accuracy_of_a_rule_is_interpolated(half, good):
    ranges = pd.DataFrame({"batch_size": [1, 2], "best_rate": [1.0, 2.0]})
    scores = pd.DataFrame(
        {"batch_size": [1, 2, 2], "learning_rate": [1.0, 1.0, 2.0], "validation": [0.8, half, 0.8]}
    )
    # the root of two lies half way between one and two
    found = scaled_rates(ranges, scores)
    assert found["root_good"].tolist() == [True, good]


def test_beyond_the_rates_that_were_run_no_rule_is_good():
    ranges = pd.DataFrame({"batch_size": [1, 4], "best_rate": [1.0, 1.5]})
    scores = pd.DataFrame(
        {"batch_size": [1, 4, 4], "learning_rate": [1.0, 1.0, 1.5], "validation": 0.8}
    )
    assert scaled_rates(ranges, scores)["root_good"].tolist() == [True, False]


def test_noise_that_is_not_positive_is_too_large_to_be_measured():
    history = pd.DataFrame({"model": [*"aabbb"], "noise_scale": [2.0, NAN, -1.0, 3.0, -5.0]})
    found = noise_quartiles(history, ["model"]).set_index("model")
    assert found["noise"].tolist() == [2.0, math.inf]
    assert found.loc["b", "noise_low"] == 3.0


def clipped(threshold: float, rate: float, rule: str, **columns: object) -> dict[str, object]:
    cell = {"model": "mlp", "clipping": rule, "clipping_threshold": threshold}
    ends = {"accuracy": 0.5, "validation": 0.5, "exploded": 0, "learned": 1, "optimizer": "sgd"}
    return cell | ends | {"learning_rate": rate, "clipped_fraction": 1.0} | columns


def test_cells_of_one_product_are_found():
    rows = [
        clipped(threshold, rate, rule)
        for rule in ("global_norm", "normalized")
        for threshold in (0.1, 1.0)
        for rate in (0.1, 1.0)
    ]
    # neither rules that bound no whole norm, nor those that seldom act, nor other optimizers
    rows += [
        clipped(1.0, 1.0, "value"),
        clipped(10.0, 1.0, "global_norm", clipped_fraction=0.5),
        clipped(10.0, 1.0, "normalized", optimizer="adam"),
    ]
    found = equal_products(pd.DataFrame(rows))
    # of 0.01, 0.1 (twice for each rule) and 1 all have two cells, 0.1 has four
    assert dict(zip(found["product"], found["cells"], strict=True)) == {0.01: 2, 0.1: 4, 1.0: 2}


def test_gaps_of_equal_products_are_told_for_each_rule():
    cells = {
        "value": [(1.0, 0.1, 0.4), (0.1, 1.0, 0.7), (1.0, 1.0, 0.1)],
        "global_norm": [(1.0, 0.1, 0.8), (0.1, 1.0, 0.79)],
        "adagc": [(1.0, 1.0, 0.5)],
    }
    rows = [clipped(c, r, rule, accuracy=a) for rule, each in cells.items() for r, c, a in each]
    found = product_gaps(pd.DataFrame(rows)).set_index("clipping")
    assert list(found.index) == ["global_norm", "value", "adagc"]
    assert found["products"].tolist() == [1, 1, 0]
    assert found["most"].tolist() == pytest.approx([0.01, 0.3, NAN], nan_ok=True)
    assert found["at"].tolist() == pytest.approx([0.1, 0.1, NAN], nan_ok=True)


def test_the_best_product_is_none_of_those_on_an_edge():
    rows = [
        clipped(product / rate, rate, "global_norm", validation=validation)
        for rate in (0.1, 1.0)
        for product, validation in ((0.05, 0.5), (0.2, 0.8), (1.0, 0.1))
    ]
    # at the third rate the smallest threshold is best: a better one may lie beyond
    rows += [clipped(c, 10.0, "global_norm", validation=v) for c, v in ((0.02, 0.8), (0.1, 0.1))]
    (found,) = best_products(pd.DataFrame(rows)).to_dict("records")
    assert (found["product"], found["alike"], found["rates"]) == (0.2, 2, 3)
    assert found["others"]["learning_rate"].tolist() == [10.0]


def test_products_of_rate_and_threshold_come_by_clipping_to_three_digits():
    rows = [clipped(1 / 3, 0.1, "normalized"), clipped(0.2, 1.0, "global_norm")]
    found = statistics.threshold_products(pd.DataFrame(rows), ["global_norm", "normalized"])
    assert found["product"].tolist() == [0.2, 0.0333]


def test_a_threshold_on_the_edge_of_those_that_were_tried_is_marked():
    accuracies = {1.0: 0.9, 2.0: 0.5, 3.0: 0.4}
    rows = [clipped(c, 0.1, "zclip", validation=value) for c, value in accuracies.items()]
    rows += [clipped(c, 1.0, "zclip", validation=1 - (c - 2) ** 2) for c in accuracies]
    found = best_thresholds(threshold_cells(pd.DataFrame(rows))).set_index("learning_rate")
    assert found["clipping_threshold"].to_dict() == {0.1: 1.0, 1.0: 2.0}
    assert found["edge"].to_dict() == {0.1: True, 1.0: False}


def test_thresholds_that_always_clip_cost_unlike_much():
    cells = [(1.0, 0.95, 0.8), (0.1, 1.0, 0.5), (3.0, 0.5, 0.85)]
    rows = [
        clipped(c, 0.1, "global_norm", clipped_fraction=f, accuracy=a, validation=a)
        for c, f, a in cells
    ]
    rows += [clipped(c, 1.0, "global_norm", accuracy=0.8, validation=0.8) for c in (1.0, 0.1)]
    bare = {"clipped_fraction": 0.0, "validation": 0.9}
    rows += [clipped(np.nan, r, "none", accuracy=a, **bare) for r, a in ((0.1, 0.9), (1.0, 0.1))]
    (row,) = always_clipped(threshold_cells(pd.DataFrame(rows))).to_dict("records")
    assert (row["learning_rate"], row["thresholds"]) == (0.1, 2)
    assert (row["gentlest"], row["strictest"]) == (1.0, 0.1)
    assert (row["least"], row["most"]) == (pytest.approx(0.1), pytest.approx(0.4))


def test_a_rate_on_the_edge_of_those_that_its_group_was_tried_at_is_marked():
    tried = pd.DataFrame({"model": [*"aaab"], "learning_rate": [0.1, 1.0, 10.0, 1.0]})
    rows = pd.DataFrame({"model": [*"aaaab"], "learning_rate": [0.1, 1.0, 10.0, 30.0, 1.0]})
    found = with_edges(rows, tried, ["model"])
    assert found["edge"].tolist() == ["low", "", "high", "high", ""]


@pytest.mark.parametrize(
    ("cell", "rate"),
    [
        (("none", 2.0, "he"), 4.0),
        (("none", 2.0, "glorot"), 2.0),
        (("none", 3.0, "torch"), 1.5),
        (("weight_norm", 2.0, "orthogonal"), 4.0),
        (("batch", 5.0, "torch"), np.pi / (np.pi - 1)),
    ],
)
def test_theory_by_hand(cell: tuple[str, float, str], rate: float):
    assert theoretical_growth(*cell) == pytest.approx(rate)


def test_the_edge_of_stability_is_read_off_stable_trials_and_the_start():
    trials = pd.DataFrame(
        {
            "trial": [*"abc"],
            "learning_rate": [0.1, 1.0, 1.0],
            "normalization": "none",
            "status": ["stable", "stable", "dead"],
        }
    )
    cells = [("a", 0, 10.0), ("a", 9, 24.0), ("b", 0, 4.0), ("b", 9, 1.5), ("c", 0, 8.0)]
    cells += [("c", 9, math.inf), ("a", 5, NAN)]
    history = pd.DataFrame(cells, columns=["trial", "step", "sharpness"])
    rows = sharpness_over_edge(history, trials, ["normalization", "status"])
    assert rows["edge"].tolist() == pytest.approx([0.5, 1.2, 2.0, 0.75, 4.0])
    (row,) = at_the_edge(rows, ["normalization"]).to_dict("records")
    assert (row["trials"], row["above"], row["from_rate"]) == (2, 0.5, 1.0)
    assert row["edge"] == pytest.approx((1.2 + 0.75) / 2)


def test_norms_by_layer_are_root_mean_squares_over_the_last_hidden_one():
    trials = pd.DataFrame({"trial": [*"ab"], "init_gain": 1.0, "depth": 2})
    layers = pd.DataFrame(
        {
            "trial": [*"aaabbb", "a"],
            "step": [0] * 6 + [7],
            "layer_index": [1, 2, 3] * 2 + [1],
            "backprop_norm": [6.0, 1.0, 9.0, 8.0, 1.0, 9.0, 100.0],
        }
    )
    found = norm_profiles(layers, trials, ["init_gain"], ["backprop_norm"])
    assert found["layer_index"].tolist() == [1, 2]
    assert found["backprop_norm"].tolist() == pytest.approx([math.sqrt(50), 1.0])


def test_losses_that_a_test_for_nan_misses_are_counted_and_healed_ones_apart():
    rows = pd.DataFrame(
        {
            "clipping": ["none"] * 4 + ["value", "adagc"],
            "status": ["dead", "nonfinite", "nonfinite", "recovered", "stable", "recovered"],
            "seed": [0, 0, 1, 1, 0, 0],
        }
    )
    rows = rows.assign(
        exploded=rows["status"].ne("stable").astype(int),
        diverged=rows["status"].isin(["dead", "nonfinite"]).astype(int),
    )
    adagc, none = missed_by_nan_test(rows, ["clipping"]).to_dict("records")
    counts = ["clipping", "missed", "diverged", "healed", "trials"]
    assert [none[c] for c in counts] == ["none", 1, 3, 1, 4]
    assert none["share"] == pytest.approx(1 / 3)
    assert 0 <= none["low"] < none["share"] < none["high"] <= 1
    assert [adagc[c] for c in counts] == ["adagc", 0, 0, 1, 1]
    assert math.isnan(adagc["share"])


def test_the_least_rate_at_which_half_explode():
    rates = {0.1: [0, 0], 1.0: [0, 1], 10.0: [1, 1]}
    rows = [("none", r, e) for r, ends in rates.items() for e in ends]
    rows += [("batch", r, 0) for r in rates]
    frame = pd.DataFrame(rows, columns=["normalization", "learning_rate", "exploded"])
    found = least_exploding_rate(frame, ["normalization"])
    assert found["rate"].tolist() == pytest.approx([1.0, NAN], nan_ok=True)


def test_the_rate_of_the_least_median_loss():
    rows = [(0.1, 2.0), (0.1, 4.0), (1.0, 1.0), (1.0, 3.0), (10.0, math.inf), (10.0, 1.5)]
    history = pd.DataFrame(rows, columns=["learning_rate", "train_loss"]).assign(model="mlp")
    assert least_loss_rate(history, ["model"])["learning_rate"].tolist() == [10.0]
    finite = history[history["learning_rate"] < 10]
    assert least_loss_rate(finite, ["model"])["learning_rate"].tolist() == [1.0]


def test_what_breaks_beside_a_baseline_that_stays_finite_is_counted():
    ends = {
        "float32": ["stable", "nonfinite", "stable"],
        "bfloat16": ["stable", "stable", "nonfinite"],
        "float16": ["nonfinite", "nonfinite", "nonfinite"],
    }
    rows = [(p, seed, end) for p, every in ends.items() for seed, end in enumerate(every)]
    frame = pd.DataFrame(rows, columns=["precision", "seed", "status"])
    found = broken_beside(frame, "precision", "float32", ["seed"]).set_index("precision")
    assert found["trials"].to_dict() == {"bfloat16": 2, "float16": 2}
    assert found["broke"].to_dict() == {"bfloat16": 1, "float16": 2}
    assert broken_beside(frame, "precision", "tf32", ["seed"]).empty


def scored(scores: dict[str, list[float]]) -> pd.DataFrame:
    rows = [(level, seed, x) for level, own in scores.items() for seed, x in enumerate(own)]
    return pd.DataFrame(rows, columns=["clipping", "seed", "accuracy"])


def test_levels_that_cannot_be_told_from_the_best_share_its_rank():
    top = [0.9, 0.91, 0.92, 0.93, 0.94, 0.95, 0.96, 0.97]
    swapped = [top[place ^ 1] for place in range(8)]
    scores = {"a": top, "b": swapped, "c": [x - 0.2 for x in top], "d": [0.1] * 8}
    # all seeds agree by how much c is worse than a: there is no interval, and no doubt
    assert tied_ranks(scored(scores), "clipping", [*"abcd"]) == [1, 1, 3, 4]
    # of three seeds no test says anything
    few = {level: own[:3] for level, own in scores.items()}
    assert tied_ranks(scored(few), "clipping", [*"abcd"]) == [1, 1, 1, 1]


def test_one_rule_says_what_is_best_and_what_ties_with_it():
    top = [0.9, 0.92, 0.91, 0.94, 0.93, 0.95]
    # worse by its interval; among three comparisons six seeds are too few for the corrected test
    others = {level: [x - 0.2 - 0.001 * i for i, x in enumerate(top)] for level in "bcd"}
    frame = scored({"a": top} | others)
    assert tied_with_best(frame, "clipping") == ["a", "b", "c", "d"]
    assert tied_ranks(frame, "clipping", [*"abcd"]) == [1, 1, 1, 1]
    frame = frame[frame["clipping"].isin(["a", "b"])]
    assert tied_with_best(frame, "clipping") == ["a"]
    assert tied_ranks(frame, "clipping", ["a", "b"]) == [1, 2]


def test_how_far_the_rates_lie_apart_that_single_seeds_choose():
    best = {"alike": [1.0, 1.0], "near": [1.0, 10**0.25], "far": [1.0, 10.0]}
    rows = [
        (level, seed, rate, float(np.isclose(rate, own[seed])))
        for level, own in best.items()
        for seed in (0, 1)
        for rate in {*own}
    ]
    frame = pd.DataFrame(rows, columns=["clipping", "seed", "learning_rate", "validation"])
    found = choices_of_single_seeds(frame.assign(objective=1.0), ["clipping"])
    assert (found.seeds, found.configurations) == (2, 3)
    assert (found.same, found.near) == pytest.approx((1 / 3, 2 / 3))
    assert found.most == pytest.approx(10.0)


def passing(size: int, samples: dict[float, float]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Three like trials of a batch size and their history: the examples to each accuracy."""
    runs = reaching(size, 0.1, [0.0] * 3).assign(trial=[f"{size}-{seed}" for seed in range(3)])
    rows = [
        {"trial": trial, "step": int(seen), "samples": seen, "validation_accuracy": accuracy}
        for trial in runs["trial"]
        for accuracy, seen in ({0.1: 0.0, 0.2: 10.0} | samples).items()
    ]
    return runs, pd.DataFrame(rows).assign(noise_scale=np.arange(len(rows), dtype=float))


def test_the_critical_size_has_a_row_for_each_target():
    """Half of the accuracy is as cheap at 40 as at 10; more of it takes four times as much."""
    sides = [
        passing(10, {0.5: 100.0, 0.8: 200.0}),
        passing(40, {0.5: 100.0, 0.8: 800.0, 0.9: 900.0}),
    ]
    runs, history = (pd.concat(frames, ignore_index=True) for frames in zip(*sides, strict=True))
    found = critical_by_target(runs, history, ["model"], [0.2, 0.5, 0.8, 0.9])
    # one size reaches the last of them, which has no critical one
    assert found["target"].tolist() == [0.2, 0.5, 0.8]
    assert found["critical"].tolist() == pytest.approx([math.inf, math.inf, 20.0])
    assert found["cheapest"].tolist() == [10.0, 10.0, 10.0]
    assert found["samples"].tolist() == [10.0, 100.0, 200.0]
    assert found["checkpoints"].tolist() == [1.0, 10.0, 20.0]
    assert found["largest"].tolist() == [40.0] * 3


def test_what_misses_a_target_has_no_costs():
    runs, history = passing(10, {0.5: 100.0})
    missed = at_target(runs, history, 0.6)
    assert missed[["steps_to_target", "samples_to_target"]].isna().all(axis=None)
    assert at_target(runs, history, 0.5)["samples_to_target"].tolist() == [100.0] * 3
