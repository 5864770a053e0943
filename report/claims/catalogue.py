"""The article's fourteen claims, and the rules that judge them, in the article's order.

Thresholds were set before any result was looked at. They are the same throughout: half of the
explosions for "prevents" and a tenth for an effect at all; one point of test accuracy; five points
of exploded trials; a factor of two, 0.3 decades, for a range of rates; a tenth for a ratio.
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
    Part,
    Way,
    ways,
)

MOST = Limits(SHARE, 0.5)
PREVENTED = Limits(SHARE, 0.5, smallest=0.1)
SOME_PREVENTED = Limits(SHARE, 0.1)
HARDLY_ANY = Limits(SHARE, 1 - problem.SOLVED)
ONE_POINT, WITHIN_ONE_POINT = Limits(POINTS, 0.01), Limits(POINTS, -0.01)
FEWER_EXPLODE, NO_FEWER_TRAIN = Limits(POINTS, 0.05), Limits(POINTS, -0.05)
TWICE_THE_RANGE = Limits(DECADES, 0.3)
A_TENTH_MORE, TENTH_OF_A_NAT = Limits(FOLD, 1.1), Limits(NATS, 0.1)

OF_EXPLODED = (
    "Over the cells without clipping in which a trial exploded, each counted once, the share in "
    "which most exploded trials {}; the interval is Wilson's over cells."
)
AT_BEST = (
    "the difference in test accuracy, paired by seed, each side at the learning rate that "
    "validation chooses for it"
)

EXPLOSION = Claim(
    1,
    "In an explosion gradients grow through training until it slows and stops.",
    (
        Part(
            "gradients grow",
            "the share of exploded cells whose gradients grew",
            MOST,
            ways(
                OF_EXPLODED.format(
                    f"had a gradient norm at least {explosion.GROWTH:g} times the largest of the "
                    "same configuration and seed at its largest stable rate"
                ),
                explosion.growth,
                "explosion",
                "grid",
            ),
        ),
        Part(
            "they grow through training rather than jump",
            "the share of exploded cells whose gradients rose through training",
            MOST,
            ways(
                OF_EXPLODED.format(
                    f"showed a rise before the first bad step: over at least "
                    f"{explosion.CHECKPOINTS} checkpoints, the median norm of the last at least "
                    f"{explosion.RISE:g} times that of the first, and a rank correlation with the "
                    f"step (Spearman) of at least {explosion.CORRELATION:g}"
                ),
                explosion.rise,
                "explosion",
                "grid",
            ),
        ),
        Part(
            "training stops",
            "the share of exploded cells that do not learn",
            MOST,
            ways(
                OF_EXPLODED.format("did not learn"),
                explosion.stop,
                "explosion",
                "grid",
            ),
        ),
    ),
)

LEARNING_RATE = Claim(
    2,
    "Adjusting the learning rate prevents gradient explosion.",
    (
        Part(
            "a lower rate trains without an explosion",
            "the share of exploding configurations that a lower rate cures",
            MOST,
            ways(
                "Over the configurations (all factors but the learning rate) that explode at some "
                "rate, each counted once, the share that at some lower rate of the study train "
                "and never spike, on every seed; the interval is Wilson's over configurations.",
                explosion.cured,
                "explosion",
                "grid",
            ),
        ),
    ),
)

SCHEDULES = Claim(
    3,
    "Dynamic learning rates prevent gradient explosion.",
    (
        Part(
            "fewer trials explode",
            "the net share of the explosions that the schedule prevents",
            PREVENTED,
            ways(
                "For each schedule, against the constant rate at the same peak rate and seed, "
                "without clipping: the explosions prevented less those added, as a share of the "
                "larger count of the two (negative where the schedule adds more).",
                schedules.prevent_explosions,
                "learning_rate",
                "optimizers",
                "grid",
            ),
        ),
        Part(
            "more rates can be used",
            "the gain in the range of usable peak rates",
            TWICE_THE_RANGE,
            ways(
                "For each schedule, without clipping: by how many decades the run of neighbouring "
                "peak rates within one point of the best validation accuracy is longer than with "
                "a constant rate.",
                schedules.widen,
                "learning_rate",
                "optimizers",
                "grid",
            ),
        ),
    ),
)

MINI_BATCHES_PREVENT = Claim(
    4,
    "Training in mini-batches prevents gradient explosion.",
    (
        Part(
            "fewer trials explode than with the full or the largest batch",
            "the reduction in the share of exploded trials",
            FEWER_EXPLODE,
            ways(
                "For each mini-batch size, without clipping and normalization, at the same "
                "learning rate, seed and number of examples: the exploded share of the full "
                "batch, and of the largest mini-batch, minus that of the mini-batch (negative "
                "where the mini-batch, which makes more updates, explodes more). Pairs of sizes "
                "of which neither ever explodes are left out.",
                mini_batches.prevent_explosions,
                "batch_updates",
                "normalization",
                "grid",
            ),
        ),
    ),
)

SIZE_IS_SETTLED = (
    "Each batch size stands at the learning rate that validation chooses for it, at equal numbers "
    "of examples; validation says which size is worst and which best. "
)
FEW_EXPLODE = f"at most {100 * problem.SOLVED:g}% of the trials explode"
HARDLY_EXPLODES = (
    "The share of trials, over all learning rates and sizes of the study, that do not explode. "
    f"Not tested where neither these nor the trials without it explode in more than "
    f"{100 * problem.SOLVED:g}%."
)

BATCH_NORMALIZATION = Claim(
    5,
    "Batch normalization solves the batch-update problem.",
    (
        Part(
            "every batch size is as accurate as the best",
            "the difference in test accuracy of the worst batch size from the best",
            WITHIN_ONE_POINT,
            ways(
                f"{SIZE_IS_SETTLED}Measured: test accuracy of the worst size with batch "
                "normalization minus that of the best size, with it or without, paired by seed.",
                remedies.normalized_sizes,
                "normalization",
                "grid",
            ),
        ),
        Part(
            FEW_EXPLODE,
            "the share of trials with batch normalization that do not explode",
            HARDLY_ANY,
            ways(HARDLY_EXPLODES, remedies.normalized_explosions, "normalization", "grid"),
        ),
    ),
)

DYNAMIC_BATCHES = Claim(
    6,
    "Dynamic batch sizes solve the batch-update problem.",
    (
        Part(
            "they are as accurate as the best fixed size",
            "the difference in test accuracy from the best fixed size",
            WITHIN_ONE_POINT,
            ways(
                "For each policy that changes the size during training: test accuracy, paired by "
                "seed, minus that of the best fixed size. Validation chooses the policy's "
                "learning rate and scaling rule, and the fixed batch's size and learning rate, "
                "among the rates that both were run at.",
                remedies.policies_as_accurate,
                "batch_updates",
                "grid",
            ),
        ),
        Part(
            FEW_EXPLODE,
            "the share of trials with the policy that do not explode",
            HARDLY_ANY,
            ways(HARDLY_EXPLODES, remedies.policies_explosions, "batch_updates", "grid"),
        ),
    ),
)

MINI_BATCHES_SOLVE = Claim(
    7,
    "Mini-batches solve the batch-update problem.",
    (
        Part(
            "they are more accurate than the full batch",
            "the gain in test accuracy over the full batch",
            ONE_POINT,
            ways(
                "Test accuracy at the mini-batch size that validation chooses minus that of the "
                "full batch, paired by seed, at equal numbers of examples, without clipping and "
                "normalization; both choose among the rates that both were run at.",
                mini_batches.beat_full,
                "batch_updates",
                "grid",
            ),
        ),
        Part(
            "every mini-batch size is as accurate as the best",
            "the difference in test accuracy of the worst mini-batch size from the best",
            WITHIN_ONE_POINT,
            ways(
                f"{SIZE_IS_SETTLED}Measured: test accuracy of the worst mini-batch size minus "
                "that of the best, paired by seed, without clipping and normalization.",
                mini_batches.size_matters,
                "batch_updates",
                "normalization",
                "grid",
            ),
        ),
        Part(
            FEW_EXPLODE,
            "the share of trials with mini-batches that do not explode",
            HARDLY_ANY,
            ways(
                HARDLY_EXPLODES,
                mini_batches.hardly_explode,
                "batch_updates",
                "normalization",
                "grid",
            ),
        ),
    ),
)

VANISHING_NETWORKS = (
    "Networks whose gain at initialization is below 1, and so small that theory lets the error "
    f"signal shrink to {vanishing.VANISHED:g} or less from the last hidden layer to the first, "
    "against the same networks at gain 1, paired by seed, without clipping and normalization, "
    "each at the learning rate that validation chooses; depths at which gain 1 does not train "
    "are left out. "
)

VANISHING = Claim(
    8,
    "Vanishing gradients train faster but less accurately.",
    (
        Part(
            "they reach the target sooner",
            "the gain in speed to the target",
            A_TENTH_MORE,
            ways(
                f"{VANISHING_NETWORKS}Measured: examples to the target accuracy at gain 1, divided "
                "by those at the smaller gain (geometric mean); a trial that does not reach it "
                "counts at its whole budget, and pairs in which neither does are left out.",
                vanishing.sooner,
                "explosion",
            ),
        ),
        Part(
            "their loss falls faster",
            "the lead in the fall of the validation loss at a quarter of the budget",
            TENTH_OF_A_NAT,
            ways(
                f"{VANISHING_NETWORKS}Measured: how far the validation loss has fallen after a "
                "quarter of the budget, minus the same at gain 1.",
                vanishing.early_loss,
                "explosion",
            ),
        ),
        Part(
            "they are less accurate",
            "the cost of vanishing gradients in test accuracy",
            ONE_POINT,
            ways(
                f"{VANISHING_NETWORKS}Measured: test accuracy at gain 1 minus that at the smaller "
                "gain.",
                vanishing.cost,
                "explosion",
            ),
        ),
    ),
)

FASTER = Claim(
    9,
    "Faster updates cost accuracy.",
    (
        Part(
            "fewer, larger updates are less accurate",
            "the cost of the larger batch in test accuracy",
            ONE_POINT,
            ways(
                "For each fixed batch size that goes through the same examples at least "
                f"{mini_batches.FASTER:g} times as fast as the smallest, without clipping and "
                "normalization: test accuracy of the smallest size minus that of the larger, "
                "paired by seed, each at the learning rate that validation chooses.",
                mini_batches.faster_costs,
                "batch_updates",
                "normalization",
                "grid",
            ),
        ),
    ),
)

MINI_BATCHES_COST = Claim(
    10,
    "Mini-batches update many parameters at once but may cost accuracy.",
    (
        Part(
            "a mini-batch may be less accurate than the full batch",
            "the cost of the mini-batch in test accuracy",
            ONE_POINT,
            ways(
                "For each mini-batch size, without clipping and normalization, at equal numbers of "
                "examples: test accuracy of the full batch minus that of the mini-batch, paired "
                "by seed, each at the best of the rates that both were run at.",
                mini_batches.cost,
                "batch_updates",
                "grid",
            ),
            exists=True,
        ),
    ),
    "That an update changes all parameters at once holds by construction, whatever the batch "
    "size, and is not judged.",
)

IMPROVEMENT = Claim(
    11,
    "More complex convolutions and dynamic rates improve performance.",
    (
        Part(
            "more complex convolutions are more accurate",
            "the gain in test accuracy",
            ONE_POINT,
            (
                Way(
                    "scaling",
                    "The convolutional network with the most channels against the one with the "
                    "fewest, and the one with the most convolutions in a row against the one with "
                    f"the fewest: {AT_BEST}, and with the normalization that it chooses.",
                    performance.convolutions,
                ),
                Way(
                    "grid",
                    "The convolutional against the dense network: the difference in test accuracy, "
                    "paired by seed, each at the cell of the grid that validation chooses.",
                    performance.convolutions_against_dense,
                ),
            ),
        ),
        Part(
            "dynamic rates are more accurate",
            "the gain in test accuracy over a constant rate",
            ONE_POINT,
            ways(
                f"For each schedule against the constant rate, without clipping: {AT_BEST}.",
                schedules.improve,
                "learning_rate",
                "optimizers",
                "grid",
            ),
        ),
    ),
)

SCALING = Claim(
    12,
    "Larger models, more data and more efficient computation scale.",
    (
        Part(
            "larger models are more accurate",
            "the gain in test accuracy",
            ONE_POINT,
            ways(
                f"In each family, the largest width or depth against the smallest: {AT_BEST}, and "
                "with the normalization that it chooses.",
                performance.larger_models,
                "scaling",
                "grid",
            ),
        ),
        Part(
            "more data is more accurate",
            "the gain in test accuracy",
            ONE_POINT,
            ways(
                "For each network, the largest share of the training set against the smallest, at "
                f"equal epochs (so that more data is also more updates): {AT_BEST}, and with the "
                "normalization that it chooses.",
                performance.more_data,
                "scaling",
                "grid",
            ),
        ),
        Part(
            "computation becomes more efficient with size",
            "the gain in work per second",
            A_TENTH_MORE,
            ways(
                "For the dense networks, whose work is parameters times examples: the work done a "
                "second at the largest size divided by that at the smallest (geometric mean over "
                "normalizations, which are timed apart).",
                performance.cheaper_computation,
                "scaling",
                "grid",
            ),
        ),
    ),
)

SAFETY = Claim(
    13,
    "More reliable optimizers, more epochs and stricter safety make training safer.",
    (
        Part(
            "other optimizers explode less than SGD",
            "the reduction in the share of exploded trials",
            FEWER_EXPLODE,
            ways(
                "For each optimizer, without clipping, at the learning rates above its own best "
                f"one (by validation) and up to {safety.MARGIN:g} times it: the exploded "
                "share with plain SGD minus that with the optimizer, paired by seed.",
                safety.reliable_optimizers,
                "optimizers",
                "grid",
            ),
        ),
        Part(
            "more epochs explode less",
            "the net share of the explosions that more epochs prevent",
            SOME_PREVENTED,
            ways(
                "The longest budget against the shortest, without clipping, at the same learning "
                "rate and seed: the explosions prevented less those added, as a share of the "
                "larger count of the two.",
                safety.more_epochs,
                "optimizers",
                "grid",
            ),
        ),
        Part(
            "guards prevent explosions",
            "the net share of the explosions that the guard prevents",
            SOME_PREVENTED,
            ways(
                "For each clipping of the study against none, at the same learning rate and seed: "
                "the explosions prevented less those added, as a share of the larger count of the "
                "two.",
                safety.guards_prevent,
                "optimizers",
                "grid",
            ),
        ),
        Part(
            "guards do not keep trials from training",
            "the difference in the share of trials that learn",
            NO_FEWER_TRAIN,
            ways(
                "For each clipping of the study against none, at the same learning rate and seed: "
                "the share of trials that learn minus that without clipping.",
                safety.guards_train,
                "optimizers",
                "grid",
            ),
        ),
    ),
)

OWN_NETWORK = Claim(
    14,
    "The article's own network and its convolutional twin train (Adam, rate 0.01, batches of 128).",
    (
        Part(
            "they train",
            "the share of trials with the article's own settings that learn",
            MOST,
            ways(
                "For each of the two networks, repaired so that its code runs, with Adam, a "
                "constant rate of 0.01, batches of 128, no clipping and no normalization: the "
                "share of seeds that learn; the interval is Wilson's over seeds.",
                article.own_networks,
                "article",
                "grid",
            ),
        ),
    ),
    "The article's code does not run as printed; what is judged is its repaired form.",
)

CLAIMS = (
    *(EXPLOSION, LEARNING_RATE, SCHEDULES, MINI_BATCHES_PREVENT, BATCH_NORMALIZATION),
    *(DYNAMIC_BATCHES, MINI_BATCHES_SOLVE, VANISHING, FASTER, MINI_BATCHES_COST),
    *(IMPROVEMENT, SCALING, SAFETY, OWN_NETWORK),
)
"""All claims, in the article's order."""
