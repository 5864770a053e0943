"""The article's fourteen claims, and the rules that judge them, in the article's order.

The limits are the same throughout: three tenths of the trials that diverge; one point of test
accuracy; a factor of two, 0.3 decades, for a range of rates; a tenth for a ratio. Three tenths are
what ten seeds can tell: where all of them agree, up to 28 % of other seeds may still do otherwise.
They were set before any result of the present studies was looked at. Which comparisons judge a part
and which are only shown was decided later, in answer to reviews of verdicts; so was some of what is
measured, as the page says.
"""

from __future__ import annotations

from benchmark.statistics import onset
from benchmark.statistics.budgets import ENOUGH_UPDATES
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

MOST, PREVENTED = Limits(SHARE, 0.5), Limits(SHARE, 0.3, 0.0)
FEW = Limits(SHARE, 1 - problem.SOLVED)
ONE_POINT, WITHIN_ONE_POINT = Limits(POINTS, 0.01, 0.0), Limits(POINTS, -0.01)
TWICE_THE_RATE = Limits(DECADES, 0.3, 0.0)
A_TENTH_MORE, TENTH_OF_A_NAT = Limits(FOLD, 1.1, 1.0), Limits(NATS, 0.1, 0.0)
UPDATES = "at equal updates"

AT_MULTIPLES = "at 1, 3 and 10 times each one's own best learning rate"
OF_EXPLODED = (
    f"Of configurations without clipping that learn at their best rate, {AT_MULTIPLES}, by "
    "normalization: the share in which most exploded trials {}."
)
NET = "the divergence prevented."
AT_BEST = "the accuracy gained"
VARIANTS = "Skip step, this suite's own stricter variant of a published rule, is shown."
PLAIN = "without clipping and normalization"
AT_SHARED_RATES = (
    f"{PLAIN}, at the same rates and equal examples: the decades by which the rates without "
    "divergence reach farther. No interval is narrower than the steps of the rates allow."
)
FULL_ENOUGH = f"The larger batch makes at least {ENOUGH_UPDATES:,} updates."
OF_SIZES = "test accuracy of the worst size minus that of the best, both by other seeds' validation"
AS_ACCURATE = (
    "Each policy {} against the best fixed size, whose rate may decay, at equal examples, with "
    "what each side chooses on validation: the accuracy gained."
)
FEW_DIVERGE = f"at least {100 * (1 - problem.SOLVED):g}% of the trials do not diverge"
FEW_DIVERGE_RULE = (
    f"The share of trials that do not diverge, at 1 and {problem.USABLE:g} times the best rate. "
    "What they do at 10 times is shown."
)
VANISHING_NETWORKS = "Against gain 1, each at its best rate: "
VANISHING_GAIN = (
    "Networks whose gain lets the error signal shrink, by theory, to "
    f"{vanishing.VANISHED:g} or less through the layers. "
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
    beside: str = "",
    by_rule: bool = False,
    own_rates: bool = True,
) -> Part:
    """A `Part` that is measured alike on the first of some studies that was run."""
    measurements = first_of(measured, measure, *studies.split())
    return Part(text, lead, limits, measurements, exists, beside, by_rule, own_rates)


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
                f"had a gradient norm at least {explosion.GROWTH:g} times the largest at the best "
                "rate"
            ),
            explosion.growth,
            "explosion headline grid",
        ),
        Part(
            "they grow through training rather than jump",
            "the share of explosions before which the gradients rose",
            MOST,
            (
                Measurement(
                    "detectors",
                    "Of explosions at a constant rate that came late enough to show it: the "
                    f"share before which the largest gradient norm of the last {onset.LAST} steps "
                    f"was at least {onset.GREW:g} times the median of those before.",
                    explosion.rise_by_step,
                ),
                *first_of(
                    OF_EXPLODED.format(
                        f"showed a rise of the gradient norm, {explosion.RISE:g}-fold or more, "
                        f"over at least {explosion.CHECKPOINTS} checkpoints before the first bad "
                        "step; others could not show one, and do not count"
                    ),
                    explosion.rise,
                    *("explosion", "headline", "grid"),
                ),
            ),
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
            "a lower rate trains without divergence",
            "the share of diverging configurations that a lower rate cures",
            MOST,
            "Over the configurations that diverge at some rate, with each normalization and "
            "clipping: the share that learn at some lower rate on every seed. To learn is to come "
            "half way from chance to the target.",
            explosion.cured,
            "explosion headline grid",
        ),
    ),
    _claim(
        3,
        "Dynamic learning rates prevent gradient explosion.",
        _part(
            "higher peak rates do not diverge",
            "the rise of the rate from which trials diverge",
            TWICE_THE_RATE,
            "Each schedule against the constant rate, without clipping, at equal peak rates: "
            "the number of rates without divergence, in decades, more than at the constant rate.",
            schedules.prevent_divergence,
            "learning_rate grid",
            by_rule=True,
        ),
        _part(
            "more rates can be used",
            "the gain in the range of usable peak rates",
            TWICE_THE_RATE,
            "The same: the decades by which the range of rates whose validation accuracy is no "
            "more than a point below the constant rate's best is longer; an interval reaches at "
            "least one step of the rates to either side.",
            schedules.widen,
            "learning_rate grid",
            by_rule=True,
        ),
    ),
    _claim(
        4,
        "Training in mini-batches prevents gradient explosion.",
        _part(
            "they train at higher rates than the full batch",
            "the rise of the rate from which trials diverge",
            TWICE_THE_RATE,
            f"Each size against the full batch, {AT_SHARED_RATES}",
            mini_batches.below_full,
            "full_batch batch_updates",
            beside=UPDATES,
            own_rates=False,
        ),
        _part(
            "they train at higher rates than larger batches",
            "the rise of the rate from which trials diverge",
            TWICE_THE_RATE,
            f"Each size against the largest, {AT_SHARED_RATES}",
            mini_batches.below_largest,
            "critical_batch batch_updates",
            beside=UPDATES,
            own_rates=False,
        ),
    ),
    _claim(
        5,
        "Batch normalization solves the batch-update problem.",
        _part(
            "every batch size is as accurate as the best",
            "the difference in test accuracy of the worst batch size from the best",
            WITHIN_ONE_POINT,
            f"With batch normalization, at equal examples: {OF_SIZES}, the best with it or "
            "without.",
            remedies.normalized_sizes,
            "normalization grid",
            beside=UPDATES,
        ),
        _part(
            FEW_DIVERGE,
            "the share of trials with batch normalization that do not diverge",
            FEW,
            FEW_DIVERGE_RULE,
            remedies.normalized_divergence,
            "headline grid",
        ),
    ),
    _claim(
        6,
        "Dynamic batch sizes solve the batch-update problem.",
        _part(
            "those that also lower the rate are as accurate as the best fixed size",
            "the difference in test accuracy from the best fixed size",
            WITHIN_ONE_POINT,
            AS_ACCURATE.format("that changes the size and lowers the learning rate"),
            remedies.policies_that_lower,
            "batch_updates grid",
            beside=UPDATES,
            by_rule=True,
        ),
        _part(
            "those that change the size alone are as accurate as the best fixed size",
            "the difference in test accuracy from the best fixed size",
            WITHIN_ONE_POINT,
            AS_ACCURATE.format("that changes the size and not the learning rate"),
            remedies.policies_of_size_alone,
            "batch_updates grid",
            beside=UPDATES,
            by_rule=True,
        ),
        _part(
            FEW_DIVERGE,
            "the share of trials with the policy that do not diverge",
            FEW,
            FEW_DIVERGE_RULE,
            remedies.policies_divergence,
            "batch_updates grid",
            by_rule=True,
        ),
    ),
    _claim(
        7,
        "Mini-batches solve the batch-update problem.",
        _part(
            "they are more accurate than the full batch",
            "the gain in test accuracy over the full batch",
            ONE_POINT,
            f"The best mini-batch size against the full batch, {PLAIN}, at equal examples: "
            f"{AT_BEST}. {FULL_ENOUGH}",
            mini_batches.beat_full,
            "batch_updates",
            beside=UPDATES,
        ),
        _part(
            "every mini-batch size is as accurate as the best",
            "the difference in test accuracy of the worst mini-batch size from the best",
            WITHIN_ONE_POINT,
            f"At equal examples, {PLAIN}: {OF_SIZES}.",
            mini_batches.size_matters,
            "critical_batch normalization batch_updates",
            beside=UPDATES,
        ),
        _part(
            FEW_DIVERGE,
            "the share of trials with mini-batches that do not diverge",
            FEW,
            FEW_DIVERGE_RULE,
            mini_batches.hardly_diverge,
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
            f"{VANISHING_GAIN}{VANISHING_NETWORKS}examples to the target accuracy at gain 1, "
            "divided by those at the smaller gain, which counts at its whole budget where it does "
            "not reach it.",
            vanishing.sooner,
            "explosion",
        ),
        _part(
            "their loss falls faster",
            "the lead in the fall of the validation loss at a quarter of the budget",
            TENTH_OF_A_NAT,
            f"{VANISHING_NETWORKS}by how much more the validation loss has fallen after a quarter "
            "of the budget.",
            vanishing.early_loss,
            "explosion",
        ),
        _part(
            "they are less accurate",
            "the cost of vanishing gradients in test accuracy",
            ONE_POINT,
            f"{VANISHING_NETWORKS}test accuracy at gain 1 minus that at the smaller gain.",
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
            "The largest batch size, which passes over the data in the fewest updates, against "
            f"the smallest, {PLAIN}, at equal examples: the accuracy lost.",
            mini_batches.faster_costs,
            "critical_batch normalization batch_updates",
            beside=UPDATES,
        ),
    ),
    _claim(
        10,
        "Mini-batches update many parameters at once but may cost accuracy.",
        _part(
            "a mini-batch may be less accurate than the full batch",
            "the cost of the mini-batch in test accuracy",
            ONE_POINT,
            f"The full batch against each mini-batch size, {PLAIN}, at equal examples: {AT_BEST}. "
            f"{FULL_ENOUGH}",
            mini_batches.cost,
            "batch_updates",
            exists=True,
            beside=UPDATES,
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
                    "The most channels against the fewest, and the most convolutions in a row "
                    f"against the fewest: {AT_BEST}.",
                    performance.convolutions,
                ),
                Measurement(
                    "grid",
                    "The convolutional against the dense network, each at the cell of the grid "
                    "that validation chooses: the difference in test accuracy.",
                    performance.convolutions_against_dense,
                ),
            ),
        ),
        _part(
            "dynamic rates are more accurate",
            "the gain in test accuracy over a constant rate",
            ONE_POINT,
            f"Each schedule against the constant rate, without clipping: {AT_BEST}.",
            schedules.improve,
            "optimizers learning_rate grid",
            by_rule=True,
        ),
    ),
    _claim(
        12,
        "Larger models, more data and more efficient computation scale.",
        _part(
            "larger models are more accurate",
            "the gain in test accuracy",
            ONE_POINT,
            f"In each family, the largest width or depth against the smallest: {AT_BEST}.",
            performance.larger_models,
            "scaling",
        ),
        _part(
            "more data is more accurate",
            "the gain in test accuracy",
            ONE_POINT,
            "The largest share of the training set against the smallest, at equal updates: "
            f"{AT_BEST}.",
            performance.more_data,
            "scaling",
            beside="at equal passes",
        ),
        aside=(
            "That computation becomes more efficient with size is not judged: the trainings shared "
            "a device, on which equal trainings were timed up to 1.8-fold apart."
        ),
    ),
    _claim(
        13,
        "More reliable optimizers, more epochs and stricter safety make training safer.",
        _part(
            "other optimizers lose less accuracy than SGD above the best rate",
            "the share of what SGD loses that the optimizer does not lose",
            PREVENTED,
            "Each optimizer against plain SGD, without clipping, at the lowest multiple of each "
            "one's own best rate at which a trial of either diverges: the net share of the test "
            "accuracy that SGD loses against its best rate and the optimizer does not. The "
            "interval holds for each rate of SGD that validation has within half a point of its "
            "best.",
            safety.reliable_optimizers,
            "optimizers",
            by_rule=True,
        ),
        _part(
            "longer training diverges less",
            "the rise of the rate from which trials diverge",
            TWICE_THE_RATE,
            "The longest budget of SGD against the shortest, without clipping, at the same rates: "
            "the number of rates without divergence, in decades, more than in the shortest.",
            safety.longer_training,
            "optimizers",
            own_rates=False,
        ),
        _part(
            "guards prevent divergence",
            "the net share of the divergence that the guard prevents",
            PREVENTED,
            "Each clipping against none, at the same rate, 3 and 10 times the best without (at "
            f"multiples of each one's own best rate where only these were run): {NET} {VARIANTS}",
            safety.guards_prevent,
            "headline optimizers grid",
            by_rule=True,
        ),
        _part(
            "guards save accuracy when something goes wrong",
            "the gain in test accuracy over no guard after the disturbance",
            ONE_POINT,
            "Each clipping under plain SGD at each disturbance that costs a point of test accuracy "
            "or more without clipping: test accuracy at the end minus that with none, both "
            "disturbed and at the same rate, so that what a guard costs undisturbed counts against "
            f"it. Guards that ran at another rate are shown. {VARIANTS}",
            safety.guards_save,
            "disturbances",
            by_rule=True,
        ),
        _part(
            "guards cost less than a point of accuracy",
            "the difference in test accuracy from no clipping",
            WITHIN_ONE_POINT,
            f"Each clipping against none, with each normalization: {AT_BEST}. {VARIANTS}",
            safety.guards_cost,
            "headline optimizers grid",
            by_rule=True,
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
            "Each of the two networks at the article's settings, after its 100 updates and after "
            "more, where these were run: the share of seeds that learn.",
            article.own_networks,
            "article",
        ),
        aside="The article's code does not run as printed; what is judged is its repaired form.",
    ),
)
"""All claims, in the article's order."""
