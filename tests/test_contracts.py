"""The contracts: every registered entry keeps them, and whatever breaks one is told which."""

import dataclasses
import math

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import TOY
from torch import nn

from benchmark import Range, Trial, module_model, train
from benchmark.contracts import BrokenContract, check
from benchmark.contracts.checking import CONTRACTS
from benchmark.contracts.optimizers import LAYOUT
from benchmark.contracts.policies import SAMPLES, observations
from benchmark.data import DATASETS, DataError, Dataset
from benchmark.data.datasets import make_splits
from benchmark.engine import REGISTRIES
from benchmark.models import INITIALIZATIONS, MODELS, Initialization, Model
from benchmark.strategies.batch_policies import BATCH_POLICIES, BatchPolicy, Decision
from benchmark.strategies.clipping import CLIPPINGS, Clipping, keep
from benchmark.strategies.disturbances import DISTURBANCES, Disturbance
from benchmark.strategies.losses import LOSSES, Loss
from benchmark.strategies.normalization import NORMALIZATIONS, ImpossiblePair, Normalization
from benchmark.strategies.optimizers import OPTIMIZERS, Optimizer
from benchmark.strategies.optimizers.elementwise import AdaptiveMoments
from benchmark.strategies.precision import PRECISIONS, Precision
from benchmark.strategies.scaling import SCALINGS, Scaling
from benchmark.strategies.schedules import SCHEDULES, Schedule

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
    with pytest.raises(ValueError, match=r"`strategy` must be one of BatchPolicy, .*'global_norm'"):
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
    "the name of another": (changed(CLIPPINGS, "value", name="zclip"), "registered already"),
    "no reference": (changed(CLIPPINGS, "value", reference=" "), "must have a reference"),
    "no summary": (changed(CLIPPINGS, "value", summary=""), "must have a summary"),
    "a lambda": (
        changed(CLIPPINGS, "none", clip=lambda *_: None),
        "define its functions at the top level of a module",
    ),
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
    "half an example": (changed(BATCH_POLICIES, "fixed", decide=halves), "finite number >= 1"),
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


# what a strategy gives back, where training takes it


def of_nothing(*arguments):
    return None


def summed(gradient, state, context):
    return gradient.sum(), state


def doubled_type(gradient, state, context):
    return gradient.double(), state


def alone(gradient, state, context):
    return gradient


def no_flag(gradient, state, threshold, context):
    return gradient, state


def plain_flag(gradient, state, threshold, context):
    return gradient, state, False


def cut(gradient, state, threshold, context):
    return gradient[:3], state, threshold < 0


def python_number(layout, like):
    return {"seen": 0.0}


def a_seen(layout, like):
    return {"seen": like.new_zeros(())}


def losing(gradient, state, threshold, context):
    return gradient, {}, threshold < 0


def seeing(gradient, state, threshold, context):
    return gradient, {"seen": state["seen"]}, threshold < 0


def to_text(*arguments):
    return "a"


def to_nan(*arguments):
    return math.nan


def never_positive(*arguments):
    return -1.0


def a_negative_size(observation, parameter):
    return Decision(-5)


def a_negative_rate(observation, parameter):
    return Decision(2, -1)


def a_nan_size(observation, parameter):
    return Decision(math.nan)


def one_number(weight, hidden, gain, generator):
    return torch.ones(()), torch.zeros(len(weight))


def first_image(images, labels, generator):
    return images[:1], labels


def build_nothing(image_shape, classes):
    return None


def build_too_wide(image_shape, classes):
    return nn.Sequential(nn.Flatten(), nn.Linear(99, classes))


RETURNED = {
    "optimizer: scalar": (
        {"optimizer": changed(OPTIMIZERS, "sgd", direction=summed, elementwise=False)},
        r"optimizer 'mine': direction must have the shape \(D,\) = \(\d+,\), but has \(\)",
    ),
    "optimizer: scalar of all": (
        {"optimizer": changed(OPTIMIZERS, "sgd", direction=summed)},
        r"direction must have the shape \(K, D\) = \(2, \d+\), but has \(\)",
    ),
    "optimizer: type": (
        {"optimizer": changed(OPTIMIZERS, "sgd", direction=doubled_type)},
        r"must have the type torch.float32, but has torch.float64",
    ),
    "optimizer: one": (
        {"optimizer": changed(OPTIMIZERS, "sgd", direction=alone)},
        r"direction must return \(direction, state\), but gave a tensor of the shape",
    ),
    "clipping: one": (
        {"clipping": changed(CLIPPINGS, "none", clip=of_nothing)},
        r"clipping 'mine': clip must return \(gradient, state, clipped\), but gave None",
    ),
    "clipping: two": (
        {"clipping": changed(CLIPPINGS, "none", clip=no_flag)},
        "but gave 2 values",
    ),
    "clipping: flag": (
        {"clipping": changed(CLIPPINGS, "none", clip=plain_flag)},
        r"clipped must be a tensor \(\) of booleans, such as `norm > threshold`, but is False",
    ),
    "clipping: shape": (
        {"clipping": changed(CLIPPINGS, "none", clip=cut)},
        r"gradient must have the shape \(D,\) = \(\d+,\), but has \(3,\)",
    ),
    "clipping: state": (
        {"clipping": changed(CLIPPINGS, "none", clip=losing, init=a_seen)},
        r"state must have what it had, \['seen'\], but has \[\]",
    ),
    "clipping: no state": (
        {"clipping": changed(CLIPPINGS, "none", init=of_nothing)},
        "init must return a dict of tensors, but gave None",
    ),
    "clipping: a number": (
        {"clipping": changed(CLIPPINGS, "none", init=python_number)},
        "init must return a dict of tensors, but 'seen' is 0.0",
    ),
    "clipping: not there": (
        {"clipping": changed(CLIPPINGS, "none", clip=seeing)},
        r"a rule reads 'seen' of its state, which has \[\]: its `init` must make it",
    ),
    "policy: samples": (
        {"batch_policy": changed(BATCH_POLICIES, "norm_test", samples=False, per_example=False)},
        "batch policy 'mine': decide looks for a sample, and there is none; with samples=True",
    ),
    "normalization: none": (
        {"normalization": changed(NORMALIZATIONS, "none", layer=of_nothing)},
        r"normalization 'mine': layer\(\d+, False\) must return a torch module, but gave None",
    ),
    "normalization: shape": (
        {"normalization": changed(NORMALIZATIONS, "none", layer=shrinking)},
        r"its layer must take and give \(2, \d+\), but gave \(2, 1\)",
    ),
    "normalization: wrap": (
        {"normalization": changed(NORMALIZATIONS, "none", wrap=not_linear)},
        "wrap must return an nn.Linear or nn.Conv2d, but gave Sequential",
    ),
    "policy: a number": (
        {"batch_policy": changed(BATCH_POLICIES, "fixed", decide=bare)},
        r"batch policy 'mine': decide must return a Decision, such as Decision\(64\), but gave 4",
    ),
    "policy: size": (
        {"batch_policy": changed(BATCH_POLICIES, "fixed", decide=a_negative_size)},
        "batch policy 'mine': `batch_size` must be a finite number >= 1, but got -5",
    ),
    "policy: NaN": (
        {"batch_policy": changed(BATCH_POLICIES, "fixed", decide=a_nan_size)},
        "`batch_size` must be a finite number >= 1, but got nan",
    ),
    "policy: rate": (
        {"batch_policy": changed(BATCH_POLICIES, "fixed", decide=a_negative_rate)},
        "`learning_rate_factor` must be a positive number, but got -1",
    ),
    "policy: pieces": (
        {"batch_policy": changed(BATCH_POLICIES, "fixed", micro_batches=none_at_all)},
        r"micro_batches\(0\) must return a whole number >= 1, but gave 0",
    ),
    "policy: first": (
        {"batch_policy": changed(BATCH_POLICIES, "fixed", first=of_nothing)},
        r"first\(4, \d+\) must return a whole number >= 1, but gave None",
    ),
    "schedule: negative": (
        {"schedule": changed(SCHEDULES, "constant", factor=never_positive)},
        "schedule 'mine': a factor must be a finite number >= 0, but got -1.0",
    ),
    "schedule: NaN": (
        {"schedule": changed(SCHEDULES, "constant", factor=to_nan)},
        "a factor must be a finite number >= 0, but got nan",
    ),
    "schedule: text": (
        {"schedule": changed(SCHEDULES, "constant", factor=to_text)},
        "a factor must be a finite number >= 0, but got 'a'",
    ),
    "schedule: feedback": (
        {"schedule": changed(SCHEDULES, "constant", feedback=of_nothing)},
        "feedback of schedule 'mine': a factor must be a finite number >= 0, but got None",
    ),
    "scaling": (
        {"learning_rate_scaling": changed(SCALINGS, "linear", factor=to_nan)},
        "scaling 'mine': a factor must be a finite number >= 0, but got nan",
    ),
    "loss": (
        {"loss": changed(LOSSES, "cross_entropy", value=averaged)},
        r"loss 'mine': value must return the loss of every example, \(N,\) = \(2,\), but gave",
    ),
    "initialization": (
        {"initialization": changed(INITIALIZATIONS, "he", draw=one_number)},
        r"initialization 'mine': draw must return a weight \(\d+, \d+\) and a bias",
    ),
    "disturbance: batch": (
        {"disturbance": changed(DISTURBANCES, "bad_batch", batch=first_image, updates=1)},
        "disturbance 'mine': batch must return images",
    ),
    "disturbance: rate": (
        {"disturbance": changed(DISTURBANCES, "rate_bump", rate=to_nan, updates=1)},
        "rate of disturbance 'mine': a factor must be a finite number >= 0, but got nan",
    ),
    "model: none": (
        {"model": own_model(build_nothing), "initialization": "own"},
        "model 'mine': build must return a torch module, but gave None",
    ),
    "model: input": (
        {"model": own_model(build_too_wide), "initialization": "own"},
        r"model 'mine' must map images \(B, 1, .*\) to logits .*, but RuntimeError: mat1 and mat2",
    ),
}


@pytest.mark.parametrize(("fields", "rule"), RETURNED.values(), ids=RETURNED.keys())
def test_what_a_strategy_gives_back_is_refused_in_one_line(fields, rule):
    small = {"dataset": TOY, "epochs": 2, "batch_size": 4}
    trials = [Trial(**small, seed=seed, **fields) for seed in range(2)]
    with pytest.raises(ValueError, match=rule) as caught:
        train(trials, device="cpu", checkpoints=4)
    assert "\n" not in str(caught.value)


def test_the_normalization_of_a_module_class_of_torch_is_refused_where_it_is_written():
    with pytest.raises(ValueError, match=r"normalization 'mine': `layer` must be a function \(fea"):
        changed(NORMALIZATIONS, "none", layer=nn.BatchNorm1d)


WRITTEN = {
    "a name with a comma": (Clipping, {"name": "a,b"}, "name without blanks, commas and equal"),
    "a name with a blank": (Clipping, {"name": "my clip"}, "clipping 'my clip': `name` must be"),
    "no name": (Clipping, {"name": None}, "but got None"),
    "a threshold": (Clipping, {"threshold": 1.0}, r"a Range\(low, .*\) or None, but got 1.0"),
    "a stage": (
        Clipping,
        {"stage": "grad"},
        "'gradient', 'update', 'step', 'rewind', but got 'gra",
    ),
    "an early return": (
        Clipping,
        {"stage": "rewind", "warm_up": 64},
        "`warm_up` must be >= 200 where the stage is 'rewind', which .* but got 64",
    ),
    "half a step": (Clipping, {"warm_up": 2.5}, "a whole number >= 0, but got 2.5"),
    "before the first": (Clipping, {"warm_up": -1}, "a whole number >= 0, but got -1"),
    "one argument": (Clipping, {"clip": math.sqrt}, r"but got sqrt\(x, /\)"),
    "no function": (Clipping, {"clip": None}, "must be a function .*, but got None"),
    "two lines": (Clipping, {"title": "a\nb"}, "`title` must be one line of text"),
    "no reference": (Clipping, {"reference": None}, "`reference` must be text"),
    "a rate": (Optimizer, {"learning_rate": 0.1}, r"`learning_rate` must be a Range\(low, "),
    "a momentum": (Optimizer, {"momentum": 0.9}, r"`momentum` must be a Range\(low, .* or None"),
    "no batch": (Normalization, {"smallest_batch": 0}, "a whole number >= 1, but got 0"),
    "a module": (Normalization, {"layer": nn.Identity()}, r"but got Identity\(\)"),
    "a late policy": (BatchPolicy, {"acts_from": 2}, r"a share of the budget in 0\.\.1, but got 2"),
    "a late disturbance": (Disturbance, {"at": 1.0}, r"a share of the budget in \(0, 1\)"),
    "half an update": (Disturbance, {"updates": 1.5}, "a whole number >= 0, but got 1.5"),
    "one class": (Dataset, {"classes": 1}, "a whole number >= 2, but got 1"),
    "percent": (Dataset, {"target_accuracy": 90}, r"a number in 0\.\.1, but got 90"),
    "no factor": (Schedule, {"factor": 0.5}, r"a function \(progress\) -> factor, but got 0.5"),
    "bounds": (Model, {"depths": (3, 2)}, r"smallest and largest or None, but got \(3, 2\)"),
    "no type": (Precision, {"dtype": "float32"}, "a torch.dtype, but got 'float32'"),
    "no draw": (Initialization, {"draw": 1}, "or None, but got 1"),
    "no losses": (Loss, {"value": None}, r"a function \(logits, labels\) -> losses"),
    "no ratio": (Scaling, {"factor": "linear"}, "but got 'linear'"),
}
ENTRY = {type(entry): entry for registry in REGISTRIES.values() for entry in registry.values()}


@pytest.mark.parametrize(("kind", "fields", "rule"), WRITTEN.values(), ids=WRITTEN.keys())
def test_a_field_is_refused_where_it_is_written(kind, fields, rule):
    with pytest.raises(ValueError, match=rule) as caught:
        dataclasses.replace(ENTRY[kind], **{"name": "mine"} | fields)
    assert "\n" not in str(caught.value)


BAD = [
    *("", "a\nb", b"x", None, True, math.nan, math.inf, -1, 0, 0.5, [], [1, 2], {}, object()),
    *(10**400, int, np.arange(3), torch.ones(2), pd.DataFrame({"a": [1]})),
]


def refusal(record, field, value):
    try:
        dataclasses.replace(record, **{field: value})
    except ValueError as error:
        return str(error)
    return None


RECORDS = [
    *(*ENTRY.values(), Decision(8), SAMPLES[0], next(observations())),
    *(AdaptiveMoments(), LAYOUT),
]


@pytest.mark.parametrize(
    ("record", "field"),
    [
        pytest.param(record, f.name, id=f"{type(record).__name__}-{f.name}")
        for record in RECORDS
        for f in dataclasses.fields(record)
    ],
)
def test_any_value_of_any_field_is_taken_or_refused_in_one_line(record, field):
    said = [text for value in BAD if (text := refusal(record, field, value)) is not None]
    assert said
    assert [text for text in said if "must be" not in text] == []
    assert [text for text in said if "\n" in text or len(text) > 400] == []


def test_a_module_for_a_model_is_refused_where_it_is_written():
    with pytest.raises(ValueError, match=r"model 'mine': `build` must be a function \(image_shape"):
        own_model(nn.Linear(64, 10))


def test_a_range_of_which_the_default_is_no_part_cannot_be_made():
    with pytest.raises(ValueError, match="low <= default <= high"):
        Range(1.0, 2.0, default=3.0)


def test_digits_pass_under_their_registered_name_alone():
    with pytest.raises(BrokenContract, match="registered already"):
        check(dataclasses.replace(DATASETS["digits"], classes=11))
