"""The contracts: every registered entry keeps them, and whatever breaks one is told which."""

import dataclasses
import math

import pytest
import torch
from conftest import TOY
from torch import nn

from benchmark import Range, module_model
from benchmark.contracts import BrokenContract, check
from benchmark.contracts.checking import CONTRACTS
from benchmark.data import DATASETS, DataError
from benchmark.data.datasets import make_splits
from benchmark.engine import REGISTRIES
from benchmark.models import INITIALIZATIONS, MODELS
from benchmark.strategies.batch_policies import BATCH_POLICIES, Decision
from benchmark.strategies.clipping import CLIPPINGS, keep
from benchmark.strategies.losses import LOSSES
from benchmark.strategies.normalization import NORMALIZATIONS, ImpossiblePair
from benchmark.strategies.optimizers import OPTIMIZERS
from benchmark.strategies.precision import PRECISIONS
from benchmark.strategies.scaling import SCALINGS
from benchmark.strategies.schedules import SCHEDULES

ENTRIES = [
    pytest.param(entry, id=f"{field}-{name}")
    for field, registry in REGISTRIES.items()
    for name, entry in registry.items()
    if field != "dataset" or name == "digits"
]


@pytest.mark.parametrize("entry", ENTRIES)
def test_every_registered_entry_keeps_its_contract(entry):
    check(entry)


def test_there_is_a_contract_for_every_kind_of_choice():
    assert {field for field, _ in CONTRACTS.values()} == set(REGISTRIES)


def test_what_is_no_strategy_is_refused():
    with pytest.raises(ValueError, match="no contract for a str; allowed: BatchPolicy, Clipping"):
        check("global_norm")


def test_a_missing_file_is_no_broken_contract():
    with pytest.raises(DataError, match="no such file"):
        check(dataclasses.replace(TOY, name="gone", summary="-", load=lost))


def lost():
    raise DataError("no such file")


# one broken rule each


def changed(registry, entry, /, **fields):
    """A registered entry under another name, with something wrong."""
    return dataclasses.replace(registry[entry], **{"name": "mine"} | fields)


def branching(gradient, state, threshold, context):
    if gradient.norm() > threshold:
        return gradient * threshold / gradient.norm(), state, torch.tensor(True)
    return gradient, state, torch.tensor(False)


def sign(gradient, state, threshold, context):
    return threshold * gradient.sign(), state, (gradient.abs() > threshold).any()


def unguarded(gradient, state, threshold, context):
    norm = gradient.norm()
    return gradient * (threshold / norm).clamp(max=1), state, norm > threshold


def in_place(gradient, state, threshold, context):
    return gradient.mul_(0.5), state, (gradient != 0).any()


def half(gradient, state, threshold, context):
    return gradient.half(), state, torch.zeros((), dtype=torch.bool)


def silent(gradient, state, threshold, context):
    clipped, state, _ = CLIPPINGS["global_norm"].clip(gradient, state, threshold, context)
    return clipped, state, torch.zeros((), dtype=torch.bool)


def loud(gradient, state, threshold, context):
    return gradient, state, gradient.norm() > 0


def forgetful(gradient, state, threshold, context):
    return gradient, {"seen": gradient.norm()}, torch.zeros((), dtype=torch.bool)


def remembering(gradient, state, threshold, context):
    return gradient, {"sum": state["sum"] + gradient}, torch.zeros((), dtype=torch.bool)


def no_sum(layout, like):
    return {"sum": torch.zeros_like(like)}


CLIPPING = {
    "a name with a comma": (
        changed(CLIPPINGS, "value", name="a,b"),
        "name without blanks, commas and equality signs",
    ),
    "the name of another": (changed(CLIPPINGS, "value", name="zclip"), "registered already"),
    "no reference": (changed(CLIPPINGS, "value", reference=" "), "must have a reference"),
    "no summary": (changed(CLIPPINGS, "value", summary=""), "must have a summary"),
    "a lambda": (
        changed(CLIPPINGS, "none", clip=lambda *_: None),
        "define its functions at the top level of a module",
    ),
    "no range": (changed(CLIPPINGS, "value", threshold=(0, 1)), r"a `Range` or None as its thresh"),
    "an unknown stage": (changed(CLIPPINGS, "value", stage="later"), "stage among"),
    "a branch": (changed(CLIPPINGS, "global_norm", clip=branching), "vmap"),
    "a hidden NaN": (changed(CLIPPINGS, "value", clip=sign), "keep a NaN visible"),
    "a new NaN": (changed(CLIPPINGS, "global_norm", clip=unguarded), "make no new one"),
    "a changed argument": (changed(CLIPPINGS, "value", clip=in_place), "as they were"),
    "another type": (changed(CLIPPINGS, "none", clip=half), "type and shape"),
    "no flag": (changed(CLIPPINGS, "global_norm", clip=silent), "whose norm it made smaller"),
    "a false flag": (changed(CLIPPINGS, "none", clip=loud), "made nowhere smaller"),
    "another state": (changed(CLIPPINGS, "none", clip=forgetful), "state of the form"),
    "a spoilt memory": (
        changed(CLIPPINGS, "none", clip=remembering, init=no_sum),
        "nothing of it",
    ),
    "a wrong signature": (changed(CLIPPINGS, "none", clip=math.sqrt), "TypeError"),
    "a warm-up that is not one": (changed(CLIPPINGS, "global_norm", warm_up=5), "acts at step 1"),
    "too long a warm-up": (changed(CLIPPINGS, "zclip", warm_up=26), "acts at step 26"),
    "a hidden warm-up": (changed(CLIPPINGS, "zclip", warm_up=0), "declare a longer one"),
    "too short a warm-up": (changed(CLIPPINGS, "adagc", warm_up=98), "declare a longer one"),
    "another warm-up rule": (changed(CLIPPINGS, "adagc", warm_up_rule=keep), "acts at step 1 "),
    "a policy that acts too early": (
        changed(BATCH_POLICIES, "doubling", acts_from=0.5),
        "must change nothing before 0.5 of the budget",
    ),
    "a policy that never acts": (
        changed(BATCH_POLICIES, "doubling", acts_from=1.0),
        "must act from a share of the budget",
    ),
    "half a step": (changed(CLIPPINGS, "zclip", warm_up=2.5), "whole number of steps"),
}


class Shrinking(nn.Module):
    def forward(self, x):
        return x[:, :1]


class Dividing(nn.Module):
    def forward(self, x):
        return x / x.norm(dim=1, keepdim=True)


class Drawing(nn.Module):
    def forward(self, x):
        return x + torch.rand(x.shape).to(x.dtype)


def shrinking(features, spatial):
    return Shrinking()


def dividing(features, spatial):
    return Dividing()


def drawing(features, spatial):
    return Drawing()


def nowhere(features, spatial):
    raise ImpossiblePair("never")


def not_linear(linear):
    return nn.Sequential(linear)


NORMALIZATION = {
    "another shape": (changed(NORMALIZATIONS, "none", layer=shrinking), "keep shape and type"),
    "0 / 0": (changed(NORMALIZATIONS, "none", layer=dividing), "for inputs of zero too"),
    "random numbers": (changed(NORMALIZATIONS, "none", layer=drawing), "same at evaluation"),
    "never possible": (changed(NORMALIZATIONS, "none", layer=nowhere), "dense or in convolutional"),
    "no linear map": (changed(NORMALIZATIONS, "none", wrap=not_linear), "linear map of the same"),
    "no batch": (changed(NORMALIZATIONS, "none", smallest_batch=0), "at least 1, but has 0"),
    "too small a smallest batch": (
        changed(NORMALIZATIONS, "batch", smallest_batch=1),
        r"must take inputs \(1, 16\)",
    ),
}

CALLS = iter(range(1_000_000))


def halves(observation, parameter):
    return Decision(observation.batch_size / 2)


def follows_loss(observation, parameter):
    return Decision(round(32 / observation.train_loss))


def vanishing_rate(observation, parameter):
    return Decision(observation.batch_size, 0.0)


def counting(observation, parameter):
    return Decision(next(CALLS) + 1)


def bare(observation, parameter):
    return observation.batch_size


def none_at_all(parameter):
    return 0


def twice_the_set(batch_size, examples):
    return 2 * examples


POLICY = {
    "half an example": (changed(BATCH_POLICIES, "fixed", decide=halves), "a whole number"),
    "NaN": (changed(BATCH_POLICIES, "fixed", decide=follows_loss), "must decide"),
    "no rate": (changed(BATCH_POLICIES, "fixed", decide=vanishing_rate), "positive number"),
    "a memory of its own": (changed(BATCH_POLICIES, "fixed", decide=counting), "same on the same"),
    "a bare number": (changed(BATCH_POLICIES, "fixed", decide=bare), "return a `Decision`"),
    "no pieces": (changed(BATCH_POLICIES, "fixed", micro_batches=none_at_all), "cut a batch"),
    "more than there is": (changed(BATCH_POLICIES, "fixed", first=twice_the_set), "1 to 1000"),
}


def negative(progress):
    return 0.5 - progress


def zero(progress):
    return 0.0


def infinite(losses):
    return math.inf


def of_the_last(losses):
    return losses[-1]


SCHEDULE = {
    "below zero": (changed(SCHEDULES, "constant", factor=negative), "finite factors >= 0"),
    "zero": (changed(SCHEDULES, "constant", factor=zero), "0 throughout"),
    "infinite feedback": (changed(SCHEDULES, "constant", feedback=infinite), "finite feedback"),
    "no losses yet": (changed(SCHEDULES, "constant", feedback=of_the_last), "IndexError"),
}


def doubled(ratio):
    return 2 * ratio


def growing_state(gradient, state, context):
    return gradient, {**state, "steps": gradient.sum()}


def normal_direction(gradient, state, context):
    return gradient / gradient.norm(), state


def of_the_sum(gradient, state, context):
    return gradient.sum().sign() * gradient, state


def moving(gradient, state, context):
    return gradient, {"velocity": state["velocity"].add_(gradient)}


SCALING = {
    "not one number": (changed(CLIPPINGS, "value", scales=True), "must only scale by what"),
}


OPTIMIZER = {
    "another state": (changed(OPTIMIZERS, "sgd", direction=growing_state), "state of the form"),
    "0 / 0": (changed(OPTIMIZERS, "sgd", direction=normal_direction), "finite numbers"),
    "a changed state": (changed(OPTIMIZERS, "momentum", direction=moving), "as they were"),
    "no range": (changed(OPTIMIZERS, "sgd", learning_rate=0.1), "`Range` of learning rates"),
    "one momentum": (changed(OPTIMIZERS, "momentum", momentum=0.9), "`Range` or None as its mom"),
    "not by itself": (changed(OPTIMIZERS, "sgd", direction=of_the_sum), "number by itself"),
}


def averaged(logits, labels):
    return nn.functional.cross_entropy(logits, labels)


def of_the_batch(logits, labels):
    each = nn.functional.cross_entropy(logits, labels, reduction="none")
    return each / each.detach().mean().clamp(min=1e-12)


def exponential(logits, labels):
    return torch.logsumexp(logits.exp(), dim=1)


LOSS = {
    "a mean": (changed(LOSSES, "cross_entropy", value=averaged), "a number an example"),
    "of the batch": (changed(LOSSES, "cross_entropy", value=of_the_batch), "by itself"),
    "an overflow": (changed(LOSSES, "cross_entropy", value=exponential), "must be finite"),
}


def careless(weight, hidden, gain, generator):
    return gain * torch.randn(weight.shape), torch.zeros(len(weight))


def gainless(weight, hidden, gain, generator):
    return torch.randn(weight.shape, generator=generator), torch.zeros(len(weight))


def everywhere(weight, hidden, gain, generator):
    return gain * torch.randn(weight.shape, generator=generator), torch.zeros(len(weight))


def double(weight, hidden, gain, generator):
    return gain * torch.randn(weight.shape, generator=generator).double(), torch.zeros(len(weight))


INITIALIZATION = {
    "torch's own generator": (changed(INITIALIZATIONS, "he", draw=careless), "generator alone"),
    "no gain": (changed(INITIALIZATIONS, "he", draw=gainless), "hidden weights by the gain"),
    "a gain on the classifier": (
        changed(INITIALIZATIONS, "he", draw=everywhere),
        "not multiply the classifier",
    ),
    "another type": (changed(INITIALIZATIONS, "he", draw=double), "float32 on the CPU"),
}


def three_labels():
    pair = torch.rand(6, 4, 4, generator=torch.Generator().manual_seed(0)), torch.arange(6) % 3
    return make_splits(train=pair, validation=pair, test=pair)


DATASET = {
    "one class": (
        dataclasses.replace(TOY, name="mine", summary="-", classes=1),
        "2 classes or more",
    ),
    "another shape": (
        dataclasses.replace(TOY, name="mine", summary="-", image_shape=(1, 2, 8)),
        "images of the shape",
    ),
    "a target at chance": (
        dataclasses.replace(TOY, name="mine", summary="-", target_accuracy=1 / 3),
        "above chance",
    ),
    "a label too many": (
        dataclasses.replace(TOY, name="mine", summary="-", classes=2, load=three_labels),
        r"labels in 0\.\.1",
    ),
    "no summary": (dataclasses.replace(TOY, name="mine", summary=""), "must have a summary"),
}


def build_wide(image_shape, classes):
    return nn.Sequential(nn.Flatten(), nn.LazyLinear(classes + 1))


class WithNoise(nn.Module):
    def __init__(self, features, classes):
        super().__init__()
        self.linear = nn.Linear(features, classes)

    def forward(self, x):
        return self.linear(x.flatten(1)) + torch.rand(1)


def build_noisy(image_shape, classes):
    return WithNoise(math.prod(image_shape), classes)


def own_model(build):
    return module_model("mine", build, summary="-")


MODEL = {
    "logits of another class": (own_model(build_wide), "logits"),
    "numbers drawn in passing": (own_model(build_noisy), "draw no numbers"),
    "a depth outside its range": (
        dataclasses.replace(MODELS["mlp_deep"], name="mine", depth=99),
        r"default depth within \(2, 30\), but has 99",
    ),
}

OTHERS = {
    "a scaling that is not 1": (changed(SCALINGS, "linear", factor=doubled), "must be 1"),
    "whole numbers": (changed(PRECISIONS, "float32", dtype=torch.int32), "real numbers"),
}

BROKEN = {
    "clipping": CLIPPING,
    "scaling": SCALING,
    "normalization": NORMALIZATION,
    "batch policy": POLICY,
    "schedule": SCHEDULE,
    "optimizer": OPTIMIZER,
    "loss": LOSS,
    "initialization": INITIALIZATION,
    "dataset": DATASET,
    "model": MODEL,
    "other": OTHERS,
}
CASES = [
    pytest.param(strategy, rule, id=f"{kind}: {what}")
    for kind, cases in BROKEN.items()
    for what, (strategy, rule) in cases.items()
]


@pytest.mark.parametrize(("strategy", "rule"), CASES)
def test_a_broken_rule_is_named(strategy, rule):
    with pytest.raises(BrokenContract, match=rule) as caught:
        check(strategy)
    assert repr(strategy.name) in str(caught.value)


def test_a_range_of_which_the_default_is_no_part_cannot_be_made():
    with pytest.raises(ValueError, match="low <= default <= high"):
        Range(1.0, 2.0, default=3.0)


def test_digits_pass_under_their_registered_name_alone():
    with pytest.raises(BrokenContract, match="registered already"):
        check(dataclasses.replace(DATASETS["digits"], classes=11))
