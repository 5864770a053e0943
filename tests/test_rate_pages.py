"""What the pages of learning rates and of optimizers read off their studies, on made outcomes."""

import math

import pandas as pd
import pytest
from matplotlib.figure import Figure
from pages import page, words
from test_explosion_page import grid, lost, trials_of

from benchmark.statistics.spans import of_one_spacing
from report import architectures, disturbances, evidence, optimizers, rates

RATES = (0.01, 0.03, 0.1, 0.3, 1.0)


def wide_with_batch(made):
    """No level trains at the largest rate but batch normalization, which does at every rate."""
    normal, rate = made.get("normalization", "none"), made["learning_rate"]
    good = normal == "batch" or rate <= 0.03
    noise = 0.001 * ((made["seed"] * 7 + RATES.index(rate)) % 5)
    loss = 0.3 if normal == "batch" else 0.31 if good else 2.0
    accuracy = (0.8 if good else 0.3) + noise
    return {"validation_accuracy": accuracy, "validation_loss": loss + noise}


STUDY = trials_of(
    "learning_rate",
    grid(normalization=["none", "batch", "layer"], learning_rate=RATES, seed=range(5)),
    wide_with_batch,
)


def test_what_intervals_tell_apart_leads():
    (found,) = rates.resolved(STUDY)
    assert (found["factor"], found["model"], found["others"]) == ("normalization", "mlp", 2)
    assert found["base"]["level"] == "none"
    assert found["calmer"]["level"].tolist() == ["batch"]
    assert found["least"]["level"].tolist() == ["batch"]
    assert found["wider"]["level"].tolist() == ["batch"]


def test_a_star_marks_what_differs_from_the_baseline():
    rows = rates.starred(rates.spans(STUDY, "normalization")).set_index("level")
    assert rows["decades_star"].to_dict() == {"none": "", "batch": "*", "layer": ""}
    assert rows["sensitivity_star"].to_dict() == {"none": "", "batch": "*", "layer": ""}


def test_the_sensitivity_near_the_best_rate_does_not_depend_on_the_grid_beyond():
    """Ten times the best rate and less: what no level trains further up adds nothing."""
    further = trials_of(
        "learning_rate",
        grid(normalization=["none", "batch"], learning_rate=(*RATES, 10.0, 100.0), seed=range(5)),
        lambda made: (
            wide_with_batch(made | {"learning_rate": min(made["learning_rate"], 1.0)})
            | ({"validation_accuracy": 0.1} if made["learning_rate"] > 1 else {})
        ),
    )
    near, whole = (
        rates.spans(study, "normalization")
        .set_index("level")[["nearby", "sensitivity"]]
        .loc["none"]
        for study in (STUDY, further)
    )
    assert near["nearby"] == pytest.approx(whole["nearby"])
    assert near["sensitivity"] < whole["sensitivity"]


def test_all_levels_are_judged_at_the_same_rates():
    """Batch normalization is as good everywhere; its best rate lies higher by a hair."""
    ends = rates.windows(STUDY, "normalization")
    assert ends["nearby"].tolist() == [pytest.approx((0.001, 0.1))]
    rows = rates.spans(STUDY, "normalization").set_index("level")
    # losses of 0.31 at two of the three rates from 0.01 to 0.1, and of 2 at the other
    assert rows.loc["none", "nearby"] == pytest.approx(0.563, abs=0.01)
    assert rows.loc["batch", "nearby"] == pytest.approx(0.0, abs=0.01)
    (found,) = rates.resolved(STUDY)
    assert found["both"]["level"].tolist() == ["batch"]
    for window in rates.WINDOWS:
        assert found[window]["steeper"].empty
        assert found[window]["calmer"]["level"].tolist() == ["batch"]
    assert rows["shared"].tolist() == ["0.01 to 0.03", "0.01 to 1", "0.01 to 0.03"]


def test_levels_that_seeds_do_not_tell_apart_share_the_lead():
    def alike(made):
        return wide_with_batch(
            made | {"normalization": made["normalization"].replace("layer", "batch")}
        )

    study = trials_of(
        "learning_rate",
        grid(normalization=["none", "batch", "layer"], learning_rate=RATES, seed=range(5)),
        alike,
    )
    (found,) = rates.resolved(study)
    assert set(found["least"]["level"]) == {"batch", "layer"}


def test_where_nothing_is_told_apart_nothing_leads():
    same = trials_of(
        "learning_rate",
        grid(clipping=["none", "value"], learning_rate=RATES, seed=range(3)),
        lambda made: {"validation_loss": 0.3 + 0.01 * made["seed"] * made["learning_rate"]},
    )
    (found,) = rates.resolved(same)
    assert [len(found[name]) for name in ("calmer", "least", "wider")] == [0, 0, 0]


def test_intervals_of_one_step_of_the_grid_are_marked():
    rows = pd.DataFrame(
        {
            "decades": [0.5, 0.5, 0.5],
            "decades_low": [0.25, 0.1, math.nan],
            "decades_high": [0.75, 0.9, math.nan],
            "spacing": [0.25, 0.25, 0.25],
        }
    )
    assert of_one_spacing(rows).tolist() == [True, False, False]


def far_above(made):
    """SGD is lost at ten times its best rate unless clipped, Adam is not; Lion spikes and heals."""
    far = made["arm"] == "x10"
    accuracy = 0.8 + 0.002 * made["seed"] - (0.02 if far else 0)
    if far and made["optimizer"] == "sgd" and made["clipping"] == "none":
        return {"status": "dead", "first_bad_step": 2.0, "test_accuracy": 0.1}
    healed = {"status": "recovered", "first_bad_step": 2.0}
    return {"test_accuracy": accuracy} | (healed if far and made["optimizer"] == "lion" else {})


MULTIPLES = [
    made | {"learning_rate": (0.2 if made["clipping"] == "value" else 0.1) * times, "arm": arm}
    for made in grid(optimizer=["sgd", "adam", "lion"], clipping=["none", "value"], seed=range(4))
    for arm, times in (("x1", 1), ("x3", 3), ("x10", 10))
    if made["optimizer"] != "lion" or made["clipping"] == "none"
]
OPTIMIZERS = trials_of("optimizers", MULTIPLES, far_above)


def test_the_rate_that_was_used_is_the_one_that_is_named():
    rows = optimizers.multiples(OPTIMIZERS)
    used = rows.groupby("clipping")["rate"].unique()
    assert used.map(list).to_dict() == {"none": [0.1], "value": [0.2]}
    assert rows["clipping"].iloc[0] == "none"


def test_where_nothing_explodes_a_cell_is_a_dash():
    rows = optimizers.multiples(OPTIMIZERS)
    calm = rows["exploded"].eq(0)
    assert calm.any()
    assert not calm.all()
    assert rows.loc[calm, "ended"].eq("–").all()
    assert rows.loc[~calm, "ended"].str.fullmatch(r"\d+% \(\d+%\)").all()


def test_a_best_rate_that_was_chosen_too_low_is_named():
    """At three times its best rate the clipped RNN is 5 points better; the plain one 1 worse."""
    gain = {("none", "x3"): -0.01, ("global_norm", "x3"): 0.05}

    def ended(made):
        found = 0.7 + gain.get((made["clipping"], made["arm"]), 0.0) + 0.001 * made["seed"]
        noise = 0.001 * (made["seed"] == 1) * (made["arm"] == "x3")
        return {"test_accuracy": found + noise, "train_loss": found}

    made = grid(model=["rnn"], clipping=["none", "global_norm"], arm=["x1", "x3"], seed=range(4))
    rows = architectures.misplaced(trials_of("architectures", made, ended))
    assert rows[["network", "clipping", "level"]].values.tolist() == [["RNN", "global_norm", 3]]
    assert rows["effect"].tolist() == [pytest.approx(0.05025)]


def test_what_clippings_cost_leaves_out_best_rates_that_were_chosen_too_low():
    """Value clipping costs two points in the RNN; the global norm ten, at too low a rate."""
    cost = {"none": 0.0, "value": 0.02, "global_norm": 0.1}

    def ended(made):
        gain = 0.05 * (made["clipping"] == "global_norm" and made["arm"] == "x3")
        noise = 0.001 * (made["seed"] == 1) * ((made["clipping"] != "none") + (made["arm"] == "x3"))
        found = 0.7 - cost[made["clipping"]] + gain + noise
        return {"test_accuracy": found, "train_loss": found}

    made = grid(model=["rnn", "mlp"], clipping=list(cost), arm=["x1", "x3"], seed=range(4))
    rows = architectures.costly(trials_of("architectures", made, ended))
    assert rows[["network", "level"]].values.tolist() == [["RNN", "value"]]
    assert rows["effect"].tolist() == [pytest.approx(-0.01975)]


def test_spikes_that_heal_stand_beside_divergence():
    rows = optimizers.plainly(OPTIMIZERS).set_index(["optimizer", "times"])
    assert set(rows["clipping"]) == {"none"}
    assert rows.loc[("sgd", 10), ["diverged", "exploded"]].tolist() == [1.0, 1.0]
    assert rows.loc[("lion", 10), ["diverged", "exploded"]].tolist() == [0.0, 1.0]
    assert rows.loc[("sgd", 3), ["diverged", "exploded"]].tolist() == [0.0, 0.0]


def test_optimizers_that_keep_most_come_first():
    rows = optimizers.kept(OPTIMIZERS)
    assert rows["optimizer"].iloc[-1] == "sgd"
    assert rows["lost"].tolist() == pytest.approx([0.02, 0.02, 0.703])


def test_guards_are_compared_far_above_the_best_rate():
    rows = optimizers.guards(OPTIMIZERS)
    found = rows.set_index(["panel", "row"])["effect"]
    assert found["diverged trials", "sgd"] == -1
    assert found["diverged trials", "adam"] == 0
    assert found["test accuracy", "sgd"] == pytest.approx(0.683)


def test_guards_of_few_optimizers_are_not_compared_with_those_of_all():
    few = [
        row | {"clipping": "adagc"}
        for row in MULTIPLES
        if (row["optimizer"], row["clipping"]) == ("adam", "value")
    ]
    rows = optimizers.guards(trials_of("optimizers", MULTIPLES + few, far_above))
    assert rows["level"].unique().tolist() == ["value"]


SHARED = trials_of(
    "optimizers",
    MULTIPLES
    + [
        {"optimizer": "adam", "clipping": "value", "seed": seed, "learning_rate": 0.1 * times}
        | {"arm": f"shared_x{times}", "clipping_threshold": 0.5}
        for seed in range(4)
        for times in (3, 10)
    ],
    lambda row: {"test_accuracy": 0.7 + 0.002 * row["seed"] + 0.01 * (row["arm"] == "shared_x10")},
)


def test_clippings_of_an_optimizer_are_compared_at_the_rate_without():
    found = optimizers.clipped_alike(SHARED).set_index(["optimizer", "level", "times"])["effect"]
    assert found.to_dict() == pytest.approx({("adam", "value", 3): 0, ("adam", "value", 10): 0.01})
    assert optimizers.relative(SHARED)
    assert optimizers.clipped_alike(OPTIMIZERS).empty


def test_multiples_beyond_those_of_all_comparisons_stand_apart():
    """At 30 times the best rate value clipping learns where none does, and no page moves."""

    def ended(made):
        if made["learning_rate"] < 3:
            return far_above(made)
        return {} if made["clipping"] == "value" else lost()

    far = [
        {"optimizer": "adam", "clipping": clipping, "seed": seed, "learning_rate": 3.0}
        | {"arm": f"{arm}x30"}
        for clipping, arm in (("none", ""), ("value", "shared_"))
        for seed in range(4)
    ]
    study = trials_of("optimizers", MULTIPLES + far, ended)
    (found,) = optimizers.far_above(study).to_dict("records")
    assert (found["optimizer"], found["level"], found["times"]) == ("adam", "value", 30)
    assert (found["learned"], found["bare_learned"]) == (1.0, 0.0)
    assert (found["diverged"], found["bare_diverged"]) == (0.0, 1.0)
    assert optimizers.relative(study)
    pd.testing.assert_frame_equal(optimizers.kept(study), optimizers.kept(OPTIMIZERS))
    assert optimizers.far_above(OPTIMIZERS).empty


def test_rates_that_are_as_good_as_the_best_are_its_plateau():
    scores = {0.01: 0.8, 0.03: 0.846, 0.1: 0.85, 0.3: 0.849, 1.0: 0.5}
    made = grid(optimizer=["sgd"], learning_rate=RATES, seed=[100, 101], arm=["select"])
    tried = trials_of(
        "optimizers", made, lambda row: {"validation_accuracy": scores[row["learning_rate"]]}
    )
    (found,) = optimizers.plateaus(tried).to_dict("records")
    assert found == {
        "optimizer": "sgd",
        "low_rate": 0.03,
        "high_rate": 0.3,
        "seeds": 2,
        "best": 0.1,
    }


def test_no_interval_of_a_difference_of_shares_exceeds_all_trials():
    """Of three seeds one diverges without the guard: Student's interval reaches to -177%."""

    def ended(made):
        return lost() if made["clipping"] == "none" and made["seed"] == 0 else {}

    made = [row for row in MULTIPLES if row["arm"] == "x10" and row["seed"] < 3]
    rows = optimizers.guards(trials_of("optimizers", made, ended))
    shares = rows[rows["panel"] == "diverged trials"]
    assert shares["effect"].tolist() == pytest.approx([-1 / 3] * len(shares))
    assert shares["low"].tolist() == [-1.0] * len(shares)


def test_what_guards_do_under_one_optimizer_says_nothing_of_another():
    """Value clipping saves 20 of 30 points under SGD; under Adam 2 are lost, and it costs 3."""
    lose = {"sgd": {"none": 0.3, "value": 0.1}, "adam": {"none": 0.02, "value": 0.0}}
    price = {("adam", "value"): 0.03}

    def ended(made):
        hit, which = made["disturbance"] != "none", (made["optimizer"], made["clipping"])
        noise = 0.001 * made["seed"] * (made["clipping"] == "none")
        accuracy = 0.8 - hit * (lose[which[0]][which[1]] + noise) - price.get(which, 0.0)
        return {"test_accuracy": accuracy, "train_loss": accuracy, "clipped_fraction": 0.5}

    made = grid(
        optimizer=["sgd", "adam"],
        clipping=["none", "value"],
        disturbance=["none", "bad_batch"],
        seed=range(3),
    )
    study = trials_of("disturbances", made, ended)
    (sgd,) = disturbances.best_guards(study).to_dict("records")
    (adam,) = disturbances.best_guards(study, "adam").to_dict("records")
    assert [sgd["effect"], sgd["premium"]] == pytest.approx([0.201, 0.0])
    both = disturbances.by_rate(study).set_index("rate")
    # every guard ran at a rate of its own alone, which is the one rate
    assert list(both.index) == ["one rate", "own rates"]
    own = both.loc["own rates", ["effect", "most", "calm"]].tolist()
    assert own == pytest.approx([0.201, 0.201, 0.0])
    assert [adam["effect"], adam["premium"]] == pytest.approx([-0.009, 0.03])
    (beside,) = disturbances.beside_sgd(study, "adam").to_dict("records")
    assert [beside["lost"], beside["sgd"]] == pytest.approx([0.021, 0.301])


def test_the_best_at_a_constant_rate_is_compared_with_others_at_their_best_schedule():
    gains = {"sgd": 0.01, "adam": 0.02, "lion": 0.1}
    made = [
        row | {"schedule": schedule, "arm": "x1"}
        for row in grid(optimizer=list(gains), clipping=["none"], seed=range(4))
        for schedule in ("constant", "step", "cosine")
        if row["optimizer"] != "lion" or schedule == "constant"
    ]
    more = {"constant": 0.0, "step": 0.03, "cosine": 0.05}
    study = trials_of(
        "optimizers",
        made,
        lambda row: dict.fromkeys(
            ("test_accuracy", "validation_accuracy"),
            0.7 + gains[row["optimizer"]] + more[row["schedule"]] + 0.001 * row["seed"],
        ),
    )
    found = optimizers.with_other_schedules(study).set_index("level")["effect"]
    assert found.to_dict() == pytest.approx({"sgd": -0.04, "adam": -0.03})
    assert optimizers.with_other_schedules(OPTIMIZERS).empty


def at_two_rates():
    """Value clipping costs 5 points at the slow rate; at each rate ZClip saves 10 of 20 points."""

    def ended(made):
        hit, noise = made["disturbance"] != "none", 0.001 * made["seed"]
        saved = {"none": 0.0, "zclip": 0.1, "value": 0.04}[made["clipping"]]
        slow = 0.05 * (made["clipping"] == "value" and made["arm"] == "shared_x0.3")
        acted = {"train_loss": saved + noise, "clipped_fraction": 0.5}
        lost = 0.2 - saved + noise * (made["clipping"] == "none")
        return {"test_accuracy": 0.8 - hit * lost - slow, **acted}

    made = [
        row | {"arm": arm, "learning_rate": rate}
        for row in grid(
            clipping=["none", "value", "zclip"], disturbance=["none", "bad_batch"], seed=range(3)
        )
        for arm, rate in (("x0.3", 0.03), ("x1", 0.1), ("shared_x0.3", 0.03), ("shared_x1", 0.1))
        if arm.startswith("shared") == (row["clipping"] != "none")
    ]
    return trials_of("disturbances", made, ended)


def test_a_guard_is_advised_that_helps_at_each_rate():
    study = at_two_rates()
    assert disturbances.safe(study)[["clipping", "effect", "calm"]].values.tolist() == [
        ["zclip", pytest.approx(0.101), pytest.approx(0.0)]
    ]
    where = disturbances.compared_in(study).values.tolist()
    assert where == [["digits", "mlp", "none"]]
    (value,) = disturbances.partly(study).to_dict("records")
    assert value == {
        "clipping": "value",
        "only": "at the best unclipped rate",
        "elsewhere": "at 0.3 times the best unclipped rate",
        "name": "value clipping",
        "effect": pytest.approx(-0.009),
        "calm": pytest.approx(-0.05),
    }
    first = disturbances.first_by_rate(study)
    assert first.to_dict("records") == [{"clipping": "zclip", "at": "at a common rate"}]
    # where two rates have as many trials, the page compares at the first
    assert disturbances.multiple(study) == 0.3
    value = disturbances.ended(study).query("level == 'value'").set_index("panel")["effect"]
    assert value.to_dict() == pytest.approx({"undisturbed": -0.05, "bad batch": -0.009})
    elsewhere = disturbances.at_other_rates(study)
    assert elsewhere["rate"].unique().tolist() == ["best rate"]


def test_what_a_guard_gains_is_told_by_its_worst_case():
    """Of the rates and settings at which it was run, the looser threshold of another among them."""
    study = at_two_rates()
    worst = disturbances.least_above(study)
    assert worst["clipping"] == "zclip"
    assert worst["effect"] == pytest.approx(0.101)
    loose = pd.DataFrame(
        {
            "clipping": ["value", "value", "zclip"],
            "published": [False, True, False],
            "sure": [True, True, True],
            "effect": [0.03, 0.01, 0.02],
            "low": 0.001,
            "high": 0.1,
            "calm": -0.02,
            "calm_low": -0.03,
            "calm_high": -0.01,
        }
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(disturbances, "by_threshold", lambda study: loose)
        worst = disturbances.least_above(study)
        calm = disturbances.least_above(study, disturbed=False)
    assert calm[["clipping", "effect", "low"]].tolist() == ["value", -0.02, -0.03]
    # neither a default that is not safe at each rate, nor another threshold of a rule that is
    assert worst[["clipping", "effect"]].tolist() == ["value", 0.03]


def test_what_a_disturbance_costs_most_is_told_with_the_guards_that_met_it_there():
    """Guards met the slow rate alone; at the best one the disturbance costs twice as much."""

    def ended(made):
        lost = 0.0 if made["disturbance"] == "none" else 0.2 if made["arm"] == "x0.3" else 0.4
        saved = 0.1 if made["clipping"] == "zclip" and lost else 0.0
        found = 0.8 - lost + saved + 0.001 * made["seed"]
        return {"test_accuracy": found, "train_loss": found, "clipped_fraction": 0.5}

    made = [
        row | {"arm": arm, "learning_rate": rate}
        for row in grid(
            clipping=["none", "zclip"], disturbance=["none", "bad_batch"], seed=range(3)
        )
        for arm, rate in (("x0.3", 0.03), ("x1", 0.1))
        if row["clipping"] == "none" or arm == "x0.3"
    ]
    study = trials_of("disturbances", made, ended)
    found = disturbances.dearest(study)
    assert found["times"].tolist() == [1.0, 0.3]
    assert found["lost"].tolist() == pytest.approx([0.4, 0.2])
    assert found["guards"].tolist() == [{"none"}, {"none", "zclip"}]
    assert disturbances.not_at_dearest(study, ["zclip"])["times"].tolist() == [1.0]
    assert disturbances.not_at_dearest(study, ["zclip", "none"]).empty


@pytest.mark.parametrize(("lost", "told"), [([0.02] * 9 + [0.7], 1), ([0.088] * 10, 0)])
def test_a_mean_that_one_seed_makes_is_told_with_the_median(lost, told):
    def ended(made):
        hit = made["disturbance"] != "none"
        return {"test_accuracy": 0.8 - (lost[made["seed"]] if hit else 0.0), "train_loss": 0.5}

    made = grid(clipping=["none"], disturbance=["none", "rate_bump"], seed=range(10))
    rows = disturbances.lopsided(trials_of("disturbances", made, ended))
    assert len(rows) == told
    for row in rows.to_dict("records"):
        assert (row["lost_all"], row["seeds"]) == (1, 10)
        assert (row["lost"], row["median"]) == pytest.approx((0.088, 0.02))


def test_rules_that_differ_under_a_disturbance_alone_are_no_copies():
    """Undisturbed, both rules for outliers have nothing to do; capped ZClip never differs."""

    def ended(made):
        same = {"skip_step_all": "skip_step", "zclip_capped": "global_norm"}
        rule = same.get(made["clipping"], made["clipping"])
        if made["disturbance"] != "none" and made["clipping"] == "skip_step_all":
            rule = "skip_step_all"
        rules = ["none", "global_norm", "skip_step", "skip_step_all"]
        loss = rules.index(rule) + 0.1 * made["seed"]
        return {"train_loss": loss, "clipped_fraction": float(rule != "none")}

    clippings = ["none", "global_norm", "zclip_capped", "skip_step", "skip_step_all"]
    trouble = ["none", "rate_bump"]
    study = trials_of(
        "disturbances", grid(clipping=clippings, disturbance=trouble, seed=range(3)), ended
    )
    assert disturbances.no_guards(study) == {"zclip_capped": "global_norm"}


def test_the_published_rule_is_compared_where_it_met_every_disturbance():
    """In the CNN it met one of two disturbances; in the MLP it gains more after the other."""
    gains = {"none": 0.0, "zclip": 0.02, "skip_step_all": 0.01}

    def ended(made):
        gain = gains[made["clipping"]] * (2 if made["disturbance"] == "rate_bump" else 1)
        found = 0.7 + gain + 0.001 * made["seed"]
        return {"test_accuracy": found, "train_loss": found, "clipped_fraction": 0.5}

    made = grid(
        model=["mlp", "cnn"],
        clipping=list(gains),
        disturbance=["none", "bad_batch", "rate_bump"],
        seed=range(3),
    )
    lone = {"model": "cnn", "clipping": "skip_step_all", "disturbance": "bad_batch"}
    some = [row for row in made if not lone.items() <= row.items()]
    rows = disturbances.window_of_all(trials_of("disturbances", some, ended))
    assert rows[["baseline", "model", "disturbance"]].values.tolist() == [
        ["none", "mlp", "bad_batch"],
        ["none", "mlp", "rate_bump"],
        ["zclip", "mlp", "bad_batch"],
        ["zclip", "mlp", "rate_bump"],
    ]
    assert rows["effect"].tolist() == pytest.approx([0.01, 0.02, -0.01, -0.02])
    plain = [row for row in made if row["clipping"] != "skip_step_all"]
    assert disturbances.window_of_all(trials_of("disturbances", plain, ended)).empty


def test_going_back_is_compared_with_leaving_steps_out_where_there_is_something_to_save():
    """A bump costs a fifth, and going back saves half of it; a corrupt example costs nothing."""
    saved = {"none": 0.0, "skip_step_all": 0.05, "rewind": 0.1}

    def ended(made):
        lost = (0.2 + 0.001 * made["seed"]) * (made["disturbance"] == "rate_bump")
        gain = saved[made["clipping"]] * (1 + 0.1 * made["seed"])
        gain *= made["disturbance"] == "rate_bump"
        found = 0.7 - lost + gain
        often = {"rewind": 0.004, "skip_step_all": 0.5, "none": 0.0}[made["clipping"]]
        # two rules that did the same would be one
        return {"test_accuracy": found, "train_loss": found + often, "clipped_fraction": often}

    made = grid(
        clipping=list(saved),
        disturbance=["none", "rate_bump", "corrupt_example"],
        seed=range(3),
        updates=[1500],
    )
    study = trials_of("disturbances", made, lambda row: ended(row) | {"steps": 1500})
    rows = disturbances.rewound(study)
    columns = ["against", "disturbance", "returns", "sure"]
    assert rows[columns].values.tolist() == [
        ["no guard", "rate_bump", 6.0, True],
        ["full-window skip", "rate_bump", 6.0, True],
    ]
    assert rows["effect"].tolist() == pytest.approx([0.11, 0.055])
    without = [row for row in made if row["clipping"] != "rewind"]
    assert disturbances.rewound(trials_of("disturbances", without, ended)).empty


def test_who_learns_with_a_clipping_stands_beside_who_learns_without():
    """Clipping saves two of three plain ResNets, and loses all normalized ones."""

    def ended(made):
        plain, clipped = made["normalization"] == "none", made["clipping"] != "none"
        return {} if (made["seed"] < 2 if clipped else False) is plain else lost()

    made = grid(
        model=["resnet"],
        normalization=["none", "batch"],
        clipping=["none", "global_norm"],
        arm=["x10"],
        seed=range(3),
    )
    study = trials_of("architectures", made, ended)
    found = architectures.learners(study, "global_norm", 10)
    (rate,) = study.outcomes["learning_rate"].unique()
    assert found.values.tolist() == [
        ["ResNet", 2, 3, rate, 0, rate],
        ["ResNet with batch normalization", 1, 3, rate, 3, rate],
    ]
    assert architectures.learners(study, "value", 10).empty


def test_what_clipping_does_to_a_network_is_not_read_off_unlike_rates():
    """None of a learns unclipped, at half or twice the rate; fewer of b learn with it, likewise."""
    columns = ["network", "learned", "trials", "rate", "bare", "bare_rate"]
    rows = pd.DataFrame(
        [
            ("a, raised", 8, 10, 2.0, 0, 1.0),
            ("a, lowered", 8, 10, 0.5, 0, 1.0),
            ("b, raised", 0, 10, 2.0, 6, 1.0),
            ("b, at one rate", 0, 10, 1.0, 6, 1.0),
            ("c", 1, 10, 1.0, 0, 1.0),
        ],
        columns=columns,
    )
    found = architectures.fates(rows)
    assert {fate: some["network"].tolist() for fate, some in found.items()} == {
        "rescued": ["a, raised"],
        "hardly": ["c"],
        "harmed": ["b, at one rate"],
        "unlike": ["a, lowered", "b, raised"],
    }


@pytest.fixture
def says(monkeypatch, tmp_path):
    """What a page says of a study."""
    monkeypatch.setattr(Figure, "savefig", lambda self, path, **_: path.write_text("svg"))

    def said(study, name):
        monkeypatch.setattr(evidence, "load", {study.study: study}.get)
        return words(page(name, tmp_path))

    return said


def test_the_page_of_optimizers_says_who_still_trains(says):
    text = says(OPTIMIZERS, "optimizers")
    assert "rates Adam and Lion still train; SGD loses 70 points.**" in text
    assert "| Lion | 80.3 | 80.3 | 78.3 | 0% (100%) |" in text
    assert "these differ by up to 2 times within one optimizer" in text


def test_a_study_without_multiples_says_so(says):
    made = grid(optimizer=["sgd", "adam"], learning_rate=RATES, seed=range(3))
    text = says(trials_of("optimizers", made, lambda made: {}), "optimizers")
    assert "The study was not run at multiples of best rates" in text
