"""Batch-size policies: how many examples go into the next updates.

A policy decides on the host, at checkpoints, from an `Observation`; the budget is counted in
examples, so that all policies see the same data. What a paper measures at every step is measured
here at every checkpoint, and its averages run over checkpoints.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmark.names import quoted
from benchmark.records import Range
from benchmark.records.arguments import takes
from benchmark.records.declarations import (
    RANGE_OR_NONE,
    SHOWN,
    Function,
    Instance,
    Number,
    check_declaration,
)
from benchmark.records.fields import FLAG, POSITIVE, Real, Rule, Several, check_fields, whole_of


@dataclass(frozen=True)
class GradientSample:
    """How gradients scatter over examples, measured on one batch at one checkpoint.

    Parameters
    ----------
    small, big
        Sizes b and B: the batch of B examples is cut into B / b pieces of b.
    small_norm_squared
        norm(G_b)^2, averaged over all pieces.
    big_norm_squared
        norm(G_B)^2 of the whole batch.
    loss
        Mean over the batch.
    """

    small: float
    big: float
    small_norm_squared: float
    big_norm_squared: float
    loss: float

    def __post_init__(self) -> None:
        check_fields(self, SAMPLE_RULES)

    @property
    def variance(self) -> float:
        """S = (norm(G_b)^2 - norm(G_B)^2) / (1/b - 1/B): unbiased for the trace of the covariance
        of one example's gradient; with b = 1 the sum over parameters of the sample variance.

        May be negative: average several before clamping or dividing.
        """
        gap = 1 / self.small - 1 / self.big
        return (self.small_norm_squared - self.big_norm_squared) / gap

    @property
    def mean_squared(self) -> float:
        """G2 = (B norm(G_B)^2 - b norm(G_b)^2) / (B - b): unbiased for the squared norm of the
        expected gradient; may be negative."""
        b, big = self.small, self.big
        return (big * self.big_norm_squared - b * self.small_norm_squared) / (big - b)

    def norm_squared_at(self, size: int) -> float:
        """What norm(G)^2 of a batch of ``size`` is expected to be: G2 + S / size.

        For the size that was sampled it is the observed one.
        """
        return self.mean_squared + self.variance / size


_MEASURED = Number("a number, or NaN", measured=True)
SAMPLE_RULES: dict[str, Rule] = {
    "small": POSITIVE,
    "big": POSITIVE,
    "small_norm_squared": _MEASURED,
    "big_norm_squared": _MEASURED,
    "loss": _MEASURED,
}
"""What each field of a `GradientSample` may be."""


@dataclass(frozen=True)
class Observation:
    """What a policy knows at a checkpoint.

    Parameters
    ----------
    batch_size, first_batch_size
        Of the updates just made, and of the first update.
    examples
        Size of the training set.
    progress, previous_progress
        Share of the budget used, now and at the checkpoint before.
    learning_rate
        Of the last update.
    train_loss, gradient_norm
        Mean and median over the steps since the checkpoint before.
    samples
        Every `GradientSample` of this trial, oldest first; empty for a policy that asks for none.
    """

    batch_size: int
    first_batch_size: int
    examples: int
    progress: float
    previous_progress: float
    train_loss: float
    gradient_norm: float
    learning_rate: float = math.nan
    samples: Sequence[GradientSample] = ()

    def __post_init__(self) -> None:
        check_fields(self, OBSERVATION_RULES)


_SIZE = Number("a finite number >= 1", low=1)
SAMPLES = Several(Instance(GradientSample, "a GradientSample"), "gradient samples", least=0)
OBSERVATION_RULES: dict[str, Rule] = {
    "batch_size": _SIZE,
    "first_batch_size": _SIZE,
    "examples": _SIZE,
    "progress": _MEASURED,
    "previous_progress": _MEASURED,
    "train_loss": _MEASURED,
    "gradient_norm": _MEASURED,
    "learning_rate": _MEASURED,
    "samples": SAMPLES,
}
"""What each field of an `Observation` may be."""


@dataclass(frozen=True)
class Decision:
    """Size of the next batches, and what the learning rate is multiplied by from here on.

    A size beyond the training set, or beyond what is left of the budget, is cut to that.

    Raises
    ------
    ValueError
        If the size is no finite number of at least 1, or the factor no positive one.
    """

    batch_size: int
    learning_rate_factor: float = 1.0

    def __post_init__(self) -> None:
        check_fields(self, {"batch_size": _SIZE, "learning_rate_factor": POSITIVE})


OBSERVATION = Instance(Observation, "an Observation")
decides = takes(observation=OBSERVATION, parameter=Number())
"""What each rule that decides takes."""


@decides
def stay(observation: Observation, parameter: float) -> Decision:
    """Keep the size."""
    return Decision(observation.batch_size)


def one(parameter: float) -> int:
    """One micro-batch: the whole batch at once."""
    return 1


def as_given(batch_size: int, examples: int) -> int:
    """The trial's own batch size."""
    return batch_size


MICRO_BATCHES = 4
"""Pieces of a `GradientSample` that is not per example."""


@dataclass(frozen=True)
class BatchPolicy:
    """One batch-size policy.

    Parameters
    ----------
    decide
        ``(observation, parameter) -> decision``, called at every checkpoint but the last.
    micro_batches
        ``parameter -> k``: an update's gradient is the average, weighted by size, over k forward
        and backward passes on a k-th of the batch each.
    first
        ``(batch_size, examples) -> B`` of the first update.
    samples
        Whether a `GradientSample` is measured before each decision.
    per_example
        Whether its pieces are single examples; impossible with batch statistics.
    acts_from
        Share of the budget before which neither the size nor the rate changes: its warm-up. It
        ends no earlier than the first checkpoint.
    title, formula
        As of a `Clipping`.

    Raises
    ------
    ValueError
        If a field is not what it has to be.
    """

    name: str
    parameter: Range | None
    reference: str
    summary: str
    decide: Callable[[Observation, float], Decision] = stay
    micro_batches: Callable[[float], int] = one
    first: Callable[[int, int], int] = as_given
    samples: bool = False
    per_example: bool = False
    acts_from: float = 0.0
    title: str = ""
    formula: str = ""

    def __post_init__(self) -> None:
        check_declaration("batch policy", self, RULES)

    def first_size(self, batch_size: int, examples: int) -> int:
        """Examples in the first update.

        Raises
        ------
        ValueError
            If ``first`` gives no whole number of at least 1.
        """
        return self._whole("first", (batch_size, examples), self.first(batch_size, examples))

    def pieces(self, parameter: float) -> int:
        """Micro-batches that an update is made of.

        Raises
        ------
        ValueError
            If ``micro_batches`` gives no whole number of at least 1.
        """
        return self._whole("micro_batches", (parameter,), self.micro_batches(parameter))

    def _whole(self, function: str, given: tuple[float, ...], found: object) -> int:
        asked = f"{function}({', '.join(map(str, given))})"
        try:
            return whole_of(function, found, 1)
        except ValueError:
            raise ValueError(
                f"batch policy {self.name!r}: {asked} must return a whole number >= 1, but gave "
                f"{quoted(found)}"
            ) from None

    def decided(self, observation: Observation, parameter: float) -> Decision:
        """What ``decide`` says.

        Raises
        ------
        ValueError
            If it is no `Decision`, or one that is not allowed; or asks for samples that the policy
            does not have measured.
        """
        try:
            decision = self.decide(observation, parameter)
        except ValueError as error:
            raise ValueError(f"batch policy {self.name!r}: {error}") from error
        except IndexError as error:
            if observation.samples:
                raise
            raise ValueError(
                f"batch policy {self.name!r}: decide looks for a sample, and there is none; with "
                "samples=True they are measured"
            ) from error
        if not isinstance(decision, Decision):
            raise ValueError(
                f"batch policy {self.name!r}: decide must return a Decision, such as "
                f"Decision(64), but gave {quoted(decision)}"
            )
        return decision

    def first_decision(self, checkpoints: int) -> int | None:
        """The first of ``checkpoints`` at which it may change anything; None if it never does.

        >>> [BATCH_POLICIES[name].first_decision(20) for name in ("doubling", "cabs", "fixed")]
        [5, 1, None]
        """
        if self.decide is stay:
            return None
        return max(1, math.ceil(self.acts_from * checkpoints))


RULES: dict[str, Rule] = {
    **SHOWN,
    "parameter": RANGE_OR_NONE,
    "decide": Function("(observation, parameter) -> Decision", 2),
    "micro_batches": Function("(parameter) -> k", 1),
    "first": Function("(batch_size, examples) -> B", 2),
    "samples": FLAG,
    "per_example": FLAG,
    "acts_from": Real("a share of the budget in 0..1", low=0.0, high=1.0),
}
"""What each field of a `BatchPolicy` may be."""


@takes(values=Several(_MEASURED, "numbers"), decay=POSITIVE)
def moving_average(values: Sequence[float], decay: float) -> float:
    """Exponential moving average of ``values``, oldest first, corrected for its start at zero.

    >>> moving_average([2.0], 0.99), round(moving_average([1.0, 3.0], 0.5), 4)
    (2.0, 2.3333)
    """
    weights = [decay ** (len(values) - 1 - i) for i in range(len(values))]
    return sum(w * v for w, v in zip(weights, values, strict=True)) / sum(weights)


NOISE_DECAY = 0.99


@takes(samples=SAMPLES)
def simple_noise_scale(samples: Sequence[GradientSample]) -> float:
    """B_simple = EMA(S) / EMA(G2), decay 0.99; NaN without samples.

    Single estimates may be negative, so both are averaged first and nothing is clamped: the
    result may itself be negative while there are few (McCandlish et al. 2018, 1812.06162).
    """
    if not samples:
        return math.nan
    variance = moving_average([s.variance for s in samples], NOISE_DECAY)
    mean_squared = moving_average([s.mean_squared for s in samples], NOISE_DECAY)
    return variance / mean_squared if mean_squared else math.inf


def full_batch(batch_size: int, examples: int) -> int:
    """The whole training set."""
    return examples


@takes(observation=OBSERVATION)
def milestones_passed(observation: Observation, milestones: Sequence[float]) -> int:
    """How many of ``milestones`` lie in (previous progress, progress]."""
    before, now = observation.previous_progress, observation.progress
    return sum(before < milestone <= now for milestone in milestones)


ADABATCH_RATE_FACTOR = 0.75
QUARTERS = (0.25, 0.5, 0.75)


@decides
def double_at_quarters(observation: Observation, parameter: float) -> Decision:
    """At 1/4, 1/2 and 3/4 of the budget: B <- 2 B (or another factor), eta <- 0.75 eta.

    The size never exceeds the training set; once it stays, so does the rate.

    >>> seen = Observation(32, 32, 1000, 0.25, 0.2, 1.0, 1.0)
    >>> double_at_quarters(seen, 2.0)
    Decision(batch_size=64, learning_rate_factor=0.75)
    """
    size, factor = observation.batch_size, 1.0
    for _ in range(milestones_passed(observation, QUARTERS)):
        grown = min(round(size * parameter), observation.examples)
        if grown > size:
            size, factor = grown, factor * ADABATCH_RATE_FACTOR
    return Decision(size, factor)


STEP_MILESTONES = (0.5, 0.75)
LARGEST_SHARE = 10


@decides
def grow_instead_of_decay(observation: Observation, parameter: float) -> Decision:
    """At 1/2 and 3/4 of the budget: B <- f B up to n / 10; what is left of f divides eta.

    >>> seen = Observation(32, 32, 1000, 0.5, 0.45, 1.0, 1.0)
    >>> grow_instead_of_decay(seen, 5.0)
    Decision(batch_size=100, learning_rate_factor=0.625)
    """
    size, factor = observation.batch_size, 1.0
    largest = max(observation.examples // LARGEST_SHARE, 1)
    for _ in range(milestones_passed(observation, STEP_MILESTONES)):
        grown = max(size, min(round(size * parameter), largest))
        factor *= grown / size / parameter
        size = grown
    return Decision(size, factor)


@takes(value=Number())
def nearest_power_of_two(value: float) -> int:
    """The power of two nearest ``value`` on a logarithmic scale, at least 1.

    >>> [nearest_power_of_two(v) for v in (0.3, 5, 6, 100)]
    [1, 4, 8, 128]
    """
    return 1 if value <= 1 else 2 ** round(math.log2(value))


@decides
def follow_noise_scale(observation: Observation, parameter: float) -> Decision:
    """B <- the power of two nearest c B_simple; unchanged while B_simple is not positive."""
    scale = parameter * simple_noise_scale(observation.samples)
    if not (math.isfinite(scale) and scale > 0):
        return Decision(observation.batch_size)
    return Decision(min(nearest_power_of_two(scale), observation.examples))


@decides
def norm_test(observation: Observation, parameter: float) -> Decision:
    """Where V / B > theta^2 norm(g_B)^2: B <- ceil(V / (theta^2 norm(g_B)^2)); never shrinks.

    V is the sum over parameters of the sample variance of per-example gradients. Where fewer
    examples were sampled than a batch holds, norm(g_B)^2 is what they let expect of a batch of B.
    Where one of the two is not finite the size stays.
    """
    size = observation.batch_size
    sample = observation.samples[-1]
    allowed = parameter**2 * sample.norm_squared_at(size)
    if not (math.isfinite(allowed) and math.isfinite(sample.variance)):
        return Decision(size)
    needed = sample.variance / allowed if allowed > 0 else math.inf
    if not needed > size:
        return Decision(size)
    return Decision(observation.examples if math.isinf(needed) else math.ceil(needed))


CABS_DECAY, CABS_SMALLEST, CABS_LARGEST = 0.95, 16, 2048


@decides
def couple_to_rate(observation: Observation, parameter: float) -> Decision:
    """B <- clip(round(scale eta xi / F), 16, 2048), xi the sum of the variances of per-example
    gradients and F the loss, both averaged with decay 0.95."""
    xi = moving_average([s.variance for s in observation.samples], CABS_DECAY)
    loss = moving_average([s.loss for s in observation.samples], CABS_DECAY)
    wanted = parameter * observation.learning_rate * xi / loss if loss > 0 else math.inf
    if math.isnan(wanted):
        return Decision(observation.batch_size)
    return Decision(round(min(max(wanted, CABS_SMALLEST), CABS_LARGEST)))


DIVE_LARGEST = 2048


@decides
def follow_diversity(observation: Observation, parameter: float) -> Decision:
    """B <- min(B_max, max(B, d n D)), D = sum norm(g_i)^2 / norm(sum g_i)^2, B_max = 2048.

    For n examples n D is the mean of norm(g_i)^2 over the squared norm of the mean gradient. The
    paper sums over an epoch; here both are averaged over the checkpoints so far, the second by
    its unbiased estimate, because a batch of B alone can show no n D above B.
    """
    size = observation.batch_size
    mean_squared = moving_average([s.mean_squared for s in observation.samples], NOISE_DECAY)
    each = moving_average([s.small_norm_squared for s in observation.samples], NOISE_DECAY)
    wanted = parameter * each / mean_squared if mean_squared > 0 else math.nan
    if not wanted > size:
        return Decision(size)
    return Decision(max(size, round(min(wanted, DIVE_LARGEST, observation.examples))))


BATCH_POLICIES: dict[str, BatchPolicy] = {
    "fixed": BatchPolicy("fixed", None, "-", "B throughout"),
    "full": BatchPolicy(
        "full",
        None,
        "Cauchy 1847, Comptes rendus 25",
        "B = n: the whole training set in every update",
        first=full_batch,
    ),
    "accumulate": BatchPolicy(
        "accumulate",
        Range(2, 16, default=4, integer=True),
        "Goyal et al. 2017, arXiv:1706.02677",
        "k micro-batches of B / k, averaged into one update",
        micro_batches=int,
    ),
    "doubling": BatchPolicy(
        "doubling",
        Range(1.5, 8, default=2),
        "Devarakonda et al. 2017, arXiv:1712.02029",
        "B x 2 and rate x 0.75 at each quarter of the budget",
        decide=double_at_quarters,
        acts_from=QUARTERS[0],
    ),
    "grow_instead_of_decay": BatchPolicy(
        "grow_instead_of_decay",
        Range(1.5, 10, default=5),
        "Smith et al. 2018, arXiv:1711.00489",
        "B x 5 where a step schedule divides the rate, up to n / 10",
        decide=grow_instead_of_decay,
        acts_from=STEP_MILESTONES[0],
    ),
    "noise_scale": BatchPolicy(
        "noise_scale",
        Range(0.1, 10, default=1),
        "McCandlish et al. 2018, arXiv:1812.06162",
        "B = the power of two nearest c B_simple",
        decide=follow_noise_scale,
        samples=True,
    ),
    "norm_test": BatchPolicy(
        "norm_test",
        Range(0.1, 2, default=0.5),
        "Byrd et al. 2012, doi:10.1007/s10107-012-0572-5; Lau et al. 2024, arXiv:2402.11215",
        "B grows until the gradient's variance is theta^2 of its norm",
        decide=norm_test,
        samples=True,
        per_example=True,
    ),
    "cabs": BatchPolicy(
        "cabs",
        Range(0.1, 10, default=1),
        "Balles, Romero, Hennig 2017, arXiv:1612.05086",
        "B = rate x variance / loss, in 16..2048",
        decide=couple_to_rate,
        samples=True,
        per_example=True,
    ),
    "dive": BatchPolicy(
        "dive",
        Range(0.01, 10, default=0.1),
        "Chen et al. 2025, arXiv:2509.16173",
        "B grows to d n times the gradient diversity",
        decide=follow_diversity,
        samples=True,
        per_example=True,
    ),
}
