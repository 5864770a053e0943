"""Public functions that are called by hand: what they were given by mistake is told in one line."""

import math

import pytest
import torch

from benchmark import Observation, RelativeRates
from benchmark.layout import Layout
from benchmark.records import plain_levels
from benchmark.records.arguments import takes
from benchmark.records.fields import POSITIVE
from benchmark.strategies import batch_policies, schedules
from benchmark.strategies.batch_policies import BATCH_POLICIES
from benchmark.strategies.schedules import SCHEDULES

LAYOUT = Layout(("w", "b"), ((2, 1), (2,)))
MISUSED = {
    "a schedule": (lambda: schedules.cosine("a"), "`progress` must be a share of the budget"),
    "a registered one": (lambda: SCHEDULES["step"].factor(None), "`progress` must be a share"),
    "losses": (lambda: SCHEDULES["plateau"].feedback(["a"]), "`losses[0]` must be a number"),
    "no losses": (lambda: SCHEDULES["plateau"].feedback(None), "`losses` must be a sequence of"),
    "an observation": (
        lambda: BATCH_POLICIES["dive"].decide(None, 1.0),
        "`observation` must be an Observation, but got None",
    ),
    "a parameter": (
        lambda: BATCH_POLICIES["doubling"].decide(observation=SEEN, parameter="two"),
        "`parameter` must be a number, but got 'two'",
    ),
    "an average": (
        lambda: batch_policies.moving_average([], 0.5),
        "`values` must be a sequence of numbers, but got []",
    ),
    "a power": (
        lambda: batch_policies.nearest_power_of_two(math.inf),
        "`value` must be a number, but got inf",
    ),
    "samples": (
        lambda: batch_policies.simple_noise_scale([1]),
        "`samples[0]` must be a GradientSample, but got 1",
    ),
    "no vector": (lambda: LAYOUT.split(None), "`vector` must be a tensor (..., 4), but got None"),
    "a short vector": (lambda: LAYOUT.split(torch.ones(3)), "`vector` must be a tensor (..., 4)"),
    "a lost tensor": (
        lambda: LAYOUT.join({"w": torch.ones(2, 1)}),
        "`tensors` must be a mapping with a tensor for each of w, b, but got",
    ),
    "levels": (lambda: plain_levels(None), "`block` must be a mapping of factors to levels"),
    "scores": (
        lambda: RelativeRates(low=0.1, high=1).best({0.1: ("a", 2)}),
        "`scores` must be a mapping of rates to scores",
    ),
    "no scores": (
        lambda: RelativeRates(low=0.1, high=1).best({}),
        "`scores` must have at least one rate, but got {}",
    ),
}
SEEN = Observation(32, 32, 1000, 0.25, 0.2, 1.0, 1.0)


@pytest.mark.parametrize("case", MISUSED)
def test_what_is_called_by_hand_says_what_it_takes(case: str) -> None:
    call, words = MISUSED[case]
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the words are compared below
        call()
    text = str(caught.value)
    assert text.isprintable()
    assert text.startswith(words)


@takes(rate=POSITIVE)
def over(rate: float, by: object = 1) -> float:
    if by == "break":
        raise KeyError("mean")
    return 1 / rate


@pytest.mark.parametrize(
    ("given", "named", "error"),
    [((1.0, "break"), {}, "'mean'"), ((), {}, "missing 1 required"), ((1, 2, 3), {}, "takes from")],
)
def test_a_failure_that_no_argument_explains_is_its_own(given, named, error) -> None:
    with pytest.raises((KeyError, TypeError), match=error):
        over(*given, **named)
    assert over(rate=4.0) == 0.25
