"""The article's fourteen claims, and the rules that judge them, in the article's order.

Thresholds were set before any result of the present studies was looked at. They are the same
throughout: three tenths of the explosions; one point of test accuracy; a factor of two, 0.3
decades, for a range of rates; a tenth for a ratio. Three tenths are what ten seeds can tell: where
all of them agree, up to 28 % of other seeds may still do otherwise.
"""

from __future__ import annotations

from report.claims import (
    article,
    explosion,
    mini_batches,
    performance,
    problem,
    remedies,
    safety,
    schedules,
    vanishing,
)
from report.claims.records import (
    DECADES,
    FOLD,
    NATS,
    POINTS,
    SHARE,
    Claim,
    Limits,
    Measure,
    Measurement,
    Part,
    first_of,
)

MOST = Limits(SHARE, 0.5)
PREVENTED = Limits(SHARE, 0.3)
FEW = Limits(SHARE, 1 - problem.SOLVED)
ONE_POINT, WITHIN_ONE_POINT = Limits(POINTS, 0.01), Limits(POINTS, -0.01)
TWICE_THE_RANGE = Limits(DECADES, 0.3)
A_TENTH_MORE, TENTH_OF_A_NAT = Limits(FOLD, 1.1), Limits(NATS, 0.1)

MULTIPLES = (
    "at 1, 3 and 10 times each configuration's own best learning rate, which validation chooses on "
    "other seeds"
)
OF_EXPLODED = (
    f"Over the configurations without clipping of which a trial exploded, {MULTIPLES}, and that "
    "learn at their best rate, each counted once: the share in which most exploded trials {}; the "
    "interval is Wilson's over configurations."
)
NET = (
    "the explosions prevented less those added, as a share of the larger count of the two "
    "(negative where it adds more). Comparisons in which nothing explodes are left out. Three "
    "tenths is what ten seeds that all agree can tell from none."
)
AT_BEST = (
    "the difference in test accuracy, paired by seed, each side at its own best learning rate, "
    "which validation chooses on other seeds"
)

OF_SIZES = (
    "Each batch size stands at its own best learning rate, at equal examples and at equal updates; "
    "for every seed validation on the others says which size is worst and which best. "
)
FEW_EXPLODE = f"at most {100 * problem.SOLVED:g}% of the trials explode"
FEW_EXPLODE_RULE = (
    f"The share of trials that do not explode, {MULTIPLES}. Left out where neither these nor the "
    f"trials without it explode in more than {100 * problem.SOLVED:g}%: there is nothing to solve. "
    "That limit, too, is what ten seeds that all agree can show."
)
VANISHING_NETWORKS = (
    "Networks whose gain at initialization is below 1, and so small that theory lets the error "
    f"signal shrink to {vanishing.VANISHED:g} or less from the last hidden layer to the first, "
    "against the same networks at gain 1, paired by seed, without clipping and normalization, "
    "each at the learning rate that validation chooses on other seeds; depths at which gain 1 does "
    "not learn are left out. "
)


def _part(
    text: str,
    lead: str,
    limits: Limits,
    measured: str,
    measure: Measure,
    studies: str,
    *,
    exists: bool = False,
) -> Part:
    """A `Part` that is measured alike on the first of some studies that was run."""
    return Part(text, lead, limits, first_of(measured, measure, *studies.split()), exists)


def _claim(number: int, text: str, *parts: Part, aside: str = "") -> Claim:
    return Claim(number, text, parts, aside)


CLAIMS = (
    _claim(
        1,
        "In an explosion gradients grow through training until it slows and stops.",
        _part(
            "gradients grow",
            "the share of exploded configurations whose gradients grew",
            MOST,
            OF_EXPLODED.format(
                f"had a gradient norm at least {explosion.GROWTH:g} times the largest of the "
                "same configuration and seed at its best rate"
            ),
            explosion.growth,
            "explosion headline grid",
        ),
        _part(
            "they grow through training rather than jump",
            "the share of exploded configurations whose gradients rose through training",
            MOST,
            OF_EXPLODED.format(
                f"showed a rise before the first bad step: over at least "
                f"{explosion.CHECKPOINTS} checkpoints, the median norm of the last at least "
                f"{explosion.RISE:g} times that of the first, and a rank correlation with the "
                f"step (Spearman) of at least {explosion.CORRELATION:g}"
            ),
            explosion.rise,
            "explosion headline grid",
        ),
        _part(
            "training stops",
            "the share of exploded configurations that do not learn",
            MOST,
            OF_EXPLODED.format("did not learn"),
            explosion.stop,
            "explosion headline grid",
        ),
    ),
    _claim(
        2,
        "Adjusting the learning rate prevents gradient explosion.",
        _part(
            "a lower rate trains without an explosion",
            "the share of exploding configurations that a lower rate cures",
            MOST,
            "Over the configurations (all factors but the learning rate) that explode at some "
            "rate, each counted once, the share that at some lower rate of the study train "
            "and never spike, on every seed; the interval is Wilson's over configurations.",
            explosion.cured,
            "explosion headline grid",
        ),
    ),
    _claim(
        3,
        "Dynamic learning rates prevent gradient explosion.",
        _part(
            "fewer trials explode",
            "the net share of the explosions that the schedule prevents",
            PREVENTED,
            f"For each schedule against the constant rate, without clipping, {MULTIPLES}: {NET}",
            schedules.prevent_explosions,
            "optimizers learning_rate grid",
        ),
        _part(
            "more rates can be used",
            "the gain in the range of usable peak rates",
            TWICE_THE_RANGE,
            "For each schedule, without clipping: by how many decades the run of neighbouring "
            "peak rates within one point of the best validation accuracy is longer than with "
            "a constant rate, on the rates that both were run at; the interval reaches at "
            "least one step of these rates to either side.",
            schedules.widen,
            "learning_rate grid",
        ),
    ),
    _claim(
        4,
        "Training in mini-batches prevents gradient explosion.",
        _part(
            "fewer trials explode than with the full or the largest batch",
            "the net share of the explosions that the mini-batch prevents",
            PREVENTED,
            "For each mini-batch size against the full batch and the largest mini-batch, "
            f"without clipping and normalization, at equal examples and at equal updates, "
            f"{MULTIPLES}: {NET}",
            mini_batches.prevent_explosions,
            "batch_updates",
        ),
    ),
    _claim(
        5,
        "Batch normalization solves the batch-update problem.",
        _part(
            "every batch size is as accurate as the best",
            "the difference in test accuracy of the worst batch size from the best",
            WITHIN_ONE_POINT,
            f"{OF_SIZES}Measured: test accuracy of the worst size with batch "
            "normalization minus that of the best size, with it or without, paired by seed.",
            remedies.normalized_sizes,
            "normalization grid",
        ),
        Part(
            FEW_EXPLODE,
            "the share of trials with batch normalization that do not explode",
            FEW,
            first_of(FEW_EXPLODE_RULE, remedies.normalized_explosions, "headline", "grid"),
        ),
    ),
    _claim(
        6,
        "Dynamic batch sizes solve the batch-update problem.",
        _part(
            "they are as accurate as the best fixed size",
            "the difference in test accuracy from the best fixed size",
            WITHIN_ONE_POINT,
            "For each policy that changes the size during training, at equal examples and at "
            "equal updates: test accuracy, paired by seed, minus that of the best fixed size, "
            "which starts alike. Validation on other seeds chooses each side's learning rate, "
            "the policy's scaling rule and the fixed size.",
            remedies.policies_as_accurate,
            "batch_updates grid",
        ),
        Part(
            FEW_EXPLODE,
            "the share of trials with the policy that do not explode",
            FEW,
            first_of(FEW_EXPLODE_RULE, remedies.policies_explosions, "batch_updates", "grid"),
        ),
    ),
    _claim(
        7,
        "Mini-batches solve the batch-update problem.",
        _part(
            "they are more accurate than the full batch",
            "the gain in test accuracy over the full batch",
            ONE_POINT,
            "Test accuracy at the mini-batch size that validation chooses, on other seeds, "
            "minus that of the full batch, paired by seed, at equal updates and at equal "
            "examples where both were run, without clipping and normalization, each at its "
            "own best rate.",
            mini_batches.beat_full,
            "batch_updates",
        ),
        _part(
            "every mini-batch size is as accurate as the best",
            "the difference in test accuracy of the worst mini-batch size from the best",
            WITHIN_ONE_POINT,
            f"{OF_SIZES}Measured: test accuracy of the worst mini-batch size minus "
            "that of the best, paired by seed, without clipping and normalization.",
            mini_batches.size_matters,
            "normalization batch_updates",
        ),
        _part(
            FEW_EXPLODE,
            "the share of trials with mini-batches that do not explode",
            FEW,
            FEW_EXPLODE_RULE,
            mini_batches.hardly_explode,
            "batch_updates",
        ),
    ),
    _claim(
        8,
        "Vanishing gradients train faster but less accurately.",
        _part(
            "they reach the target sooner",
            "the gain in speed to the target",
            A_TENTH_MORE,
            f"{VANISHING_NETWORKS}Measured: examples to the target accuracy at gain 1, divided "
            "by those at the smaller gain (geometric mean); a trial that does not reach it "
            "counts at its whole budget, and pairs in which neither does are left out.",
            vanishing.sooner,
            "explosion",
        ),
        _part(
            "their loss falls faster",
            "the lead in the fall of the validation loss at a quarter of the budget",
            TENTH_OF_A_NAT,
            f"{VANISHING_NETWORKS}Measured: how far the validation loss has fallen after a "
            "quarter of the budget, minus the same at gain 1.",
            vanishing.early_loss,
            "explosion",
        ),
        _part(
            "they are less accurate",
            "the cost of vanishing gradients in test accuracy",
            ONE_POINT,
            f"{VANISHING_NETWORKS}Measured: test accuracy at gain 1 minus that at the smaller "
            "gain.",
            vanishing.cost,
            "explosion",
        ),
    ),
    _claim(
        9,
        "Faster updates cost accuracy.",
        _part(
            "larger, faster updates are less accurate",
            "the cost of the larger batch in test accuracy",
            ONE_POINT,
            "For each fixed batch size that takes at least "
            f"{mini_batches.FASTER:g} times as many examples a second as the smallest, without "
            "clipping and normalization, at equal examples and at equal updates: test accuracy "
            "of the smallest size minus that of the larger, paired by seed, each at its own "
            "best learning rate.",
            mini_batches.faster_costs,
            "normalization batch_updates",
        ),
    ),
    _claim(
        10,
        "Mini-batches update many parameters at once but may cost accuracy.",
        _part(
            "a mini-batch may be less accurate than the full batch",
            "the cost of the mini-batch in test accuracy",
            ONE_POINT,
            "For each mini-batch size, without clipping and normalization, at equal updates "
            "and at equal examples where both were run: test accuracy of the full batch minus "
            "that of the mini-batch, paired by seed, each at its own best rate.",
            mini_batches.cost,
            "batch_updates",
            exists=True,
        ),
        aside=(
            "That an update changes all parameters at once holds by construction, whatever the "
            "batch size, and is not judged."
        ),
    ),
    _claim(
        11,
        "More complex convolutions and dynamic rates improve performance.",
        Part(
            "more complex convolutions are more accurate",
            "the gain in test accuracy",
            ONE_POINT,
            (
                Measurement(
                    "scaling",
                    "The convolutional network with the most channels against the one with the "
                    "fewest, and the one with the most convolutions in a row against the one with "
                    f"the fewest: {AT_BEST}, and with the normalization that it chooses.",
                    performance.convolutions,
                ),
                Measurement(
                    "grid",
                    "The convolutional against the dense network: the difference in test accuracy, "
                    "paired by seed, each at the cell of the grid that validation chooses.",
                    performance.convolutions_against_dense,
                ),
            ),
        ),
        _part(
            "dynamic rates are more accurate",
            "the gain in test accuracy over a constant rate",
            ONE_POINT,
            f"For each schedule against the constant rate, without clipping: {AT_BEST}.",
            schedules.improve,
            "optimizers learning_rate grid",
        ),
    ),
    _claim(
        12,
        "Larger models, more data and more efficient computation scale.",
        _part(
            "larger models are more accurate",
            "the gain in test accuracy",
            ONE_POINT,
            f"In each family, the largest width or depth against the smallest: {AT_BEST}, and "
            "with the normalization that it chooses.",
            performance.larger_models,
            "scaling",
        ),
        _part(
            "more data is more accurate",
            "the gain in test accuracy",
            ONE_POINT,
            "For each network, the largest share of the training set against the smallest, at "
            "equal passes over what there is (so that more data is also more updates) and at "
            f"equal updates: {AT_BEST}, and with the normalization that it chooses.",
            performance.more_data,
            "scaling",
        ),
        _part(
            "computation becomes more efficient with size",
            "the gain in work per second",
            A_TENTH_MORE,
            "For the dense networks, whose work is parameters times examples: the work done a "
            "second at the largest size divided by that at the smallest (geometric mean over "
            "what is timed apart: normalizations, and the search for the best rate).",
            performance.cheaper_computation,
            "scaling",
        ),
    ),
    _claim(
        13,
        "More reliable optimizers, more epochs and stricter safety make training safer.",
        _part(
            "other optimizers explode less than SGD",
            "the net share of the explosions that the optimizer prevents",
            PREVENTED,
            f"For each optimizer against plain SGD, without clipping, {MULTIPLES}: {NET}",
            safety.reliable_optimizers,
            "optimizers",
        ),
        _part(
            "longer training explodes less",
            "the net share of the explosions that longer training prevents",
            PREVENTED,
            f"The longest budget against the shortest, without clipping, {MULTIPLES}: {NET}",
            safety.longer_training,
            "optimizers",
        ),
        _part(
            "guards prevent explosions",
            "the net share of the explosions that the guard prevents",
            PREVENTED,
            f"For each clipping that could act, against none, {MULTIPLES}: {NET}",
            safety.guards_prevent,
            "headline optimizers grid",
        ),
        _part(
            "guards save accuracy when something goes wrong",
            "the accuracy that the guard saves",
            ONE_POINT,
            "For each clipping that could act and each disturbance in the middle of training "
            "that goes well otherwise: the test accuracy lost without clipping minus that lost "
            "with it, each against the same seed without the disturbance, paired by seed.",
            safety.guards_save,
            "disturbances",
        ),
        _part(
            "guards cost no accuracy",
            "the difference in test accuracy from no clipping",
            WITHIN_ONE_POINT,
            f"For each clipping that could act against none: {AT_BEST}.",
            safety.guards_cost,
            "headline optimizers grid",
        ),
    ),
    _claim(
        14,
        "The article's own network and its convolutional twin train (Adam, rate 0.01, batches of "
        "128).",
        _part(
            "they train",
            "the share of trials with the article's own settings that learn",
            MOST,
            "For each of the two networks, repaired so that its code runs, with Adam, a "
            "constant rate of 0.01, batches of 128, no clipping and no normalization, after "
            "its 100 updates and, where they were run, after more: the share of seeds that "
            "learn; the interval is Wilson's over seeds.",
            article.own_networks,
            "article",
        ),
        aside="The article's code does not run as printed; what is judged is its repaired form.",
    ),
)
"""All claims, in the article's order."""
