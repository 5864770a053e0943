"""Convolutions as products of unfolded patches: the same as torch's, with every derivative."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from benchmark.engine.networks import unfolded_convolution as module
from benchmark.engine.networks.batched import forward
from benchmark.engine.networks.unfolded_convolution import (
    _UnfoldedConvolution,
    unfolded_convolution,
)

SHAPES = {
    "one channel": (3, 4, 1, 6, 8, 5, 3),
    "alone": (1, 4, 3, 5, 5, 2, 3),
    "five": (2, 3, 4, 7, 6, 3, 5),
    "one pixel": (2, 3, 4, 7, 6, 3, 1),
}
"""Trials, examples, channels, height, width, features, size of the kernel."""


def drawn(trials, examples, channels, height, width, features, size):
    generator = torch.Generator().manual_seed(0)
    shapes = [
        (trials, examples, channels, height, width),
        (trials, features, channels, size, size),
        (trials, features),
    ]
    return [torch.randn(s, generator=generator, dtype=torch.float64) for s in shapes]


def by_torch(x, weight, bias):
    return torch.stack(
        [F.conv2d(*one, padding="same") for one in zip(x, weight, bias, strict=True)]
    )


def with_gradients(function, tensors):
    leaves = [t.clone().requires_grad_(True) for t in tensors]
    outputs = function(*leaves)
    gradients = torch.autograd.grad(outputs.sin().sum(), leaves)
    return [outputs.detach(), *gradients]


@pytest.fixture(params=["at once", "in turns", "unfolded again"])
def bounds(request, monkeypatch):
    if request.param != "at once":
        monkeypatch.setattr(module, "UNFOLDED", 1)
    if request.param == "unfolded again":
        monkeypatch.setattr(module, "KEPT", 1)


@pytest.mark.parametrize("shape", SHAPES.values(), ids=list(SHAPES))
def test_outputs_and_gradients_are_those_of_torch(shape, bounds):
    tensors = drawn(*shape)
    found, wanted = (with_gradients(f, tensors) for f in (_UnfoldedConvolution.apply, by_torch))
    torch.testing.assert_close(found, wanted, rtol=1e-12, atol=1e-12)


def test_second_derivatives_are_right():
    leaves = [t.requires_grad_(True) for t in drawn(2, 2, 2, 3, 3, 2, 3)]
    assert torch.autograd.gradgradcheck(_UnfoldedConvolution.apply, leaves)


def test_inputs_that_all_trials_share_are_unfolded_once(monkeypatch, bounds):
    x, weight, bias = drawn(*SHAPES["one channel"])
    shared = x[:1].expand(3, *x.shape[1:])
    taken = []
    pad = F.pad
    monkeypatch.setattr(F, "pad", lambda t, edges: taken.append(t.shape[0]) or pad(t, edges))
    leaves = [t.requires_grad_(True) for t in (weight, bias)]
    outputs = _UnfoldedConvolution.apply(shared, *leaves)
    found = [outputs.detach(), *torch.autograd.grad(outputs.sin().sum(), leaves)]
    assert set(taken) == {1}
    wanted = by_torch(shared, *leaves)
    wanted = [wanted.detach(), *torch.autograd.grad(wanted.sin().sum(), leaves)]
    torch.testing.assert_close(found, wanted, rtol=1e-12, atol=1e-12)


def test_a_trial_does_not_depend_on_those_beside_it(bounds):
    tensors = [t.float() for t in drawn(*SHAPES["one channel"])]
    together = with_gradients(_UnfoldedConvolution.apply, tensors)
    alone = with_gradients(_UnfoldedConvolution.apply, [t[1:2] for t in tensors])
    torch.testing.assert_close([t[1:2] for t in together], alone, rtol=1e-6, atol=1e-6)


def test_on_a_cpu_it_is_left_alone():
    x, weight, bias = drawn(*SHAPES["one channel"])
    tensors = {"weight": weight, "bias": bias}
    assert unfolded_convolution(nn.Conv2d(1, 5, 3, padding=1), tensors, x) is None


OTHERS = {
    "stride": {"stride": 2, "padding": 1},
    "no padding": {},
    "dilation": {"dilation": 2, "padding": 1},
    "reflected edge": {"padding": 1, "padding_mode": "reflect"},
    "groups": {"groups": 2, "padding": 1},
}


@pytest.mark.parametrize("change", OTHERS.values(), ids=list(OTHERS))
def test_other_convolutions_are_left_to_torch(change):
    assert not module._fits(nn.Conv2d(2, 4, 3, **change))
    assert module._fits(nn.Conv2d(2, 4, 3, padding=1))


def test_any_other_module_behind_it_gets_maps_in_the_usual_order():
    """As on a GPU, whose batch normalization asks for the order in memory, within vmap too."""
    seen = []

    class Look(nn.Module):
        def forward(self, x):
            seen.append(x.stride())
            return x

    maps = torch.empty(2, 3, 4, 5, 6, device="meta").permute(0, 1, 4, 2, 3)
    forward(Look(), {}, maps)
    assert seen == [(6 * 4 * 5, 4 * 5, 5, 1)]
