"""What a user might pick instead does the same work."""

import dataclasses

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from benchmark.timing import comparison, peers
from benchmark.timing.baseline import network
from benchmark.timing.plans import plan_of

pytest.importorskip("jax")


def test_jax_comes_as_far_as_the_engine() -> None:
    examples = 96
    trial = plan_of("smoke").workload("mlp_digits").with_examples(examples, 300)
    # whole batches, in which the order of the examples does not matter
    trial = dataclasses.replace(trial, batch_size=examples, epochs=8, learning_rate=0.2)
    found = peers.with_jax(trial, [0, 1], together=2, checkpoints=1)
    expected = comparison.trained(trial, [0, 1], together=2, device="cpu")
    assert found == pytest.approx(expected, abs=1.5 / 300)
    assert min(found) > 0.3


def test_its_convolutions_are_torch_s() -> None:
    # losses alone, because to compile their gradients takes seconds
    trial = plan_of("smoke").workload("cnn_digits").trial
    modules = [network(trial, seed) for seed in (0, 1)]
    images, labels = torch.randn(5, 1, 8, 8), torch.arange(5)
    _, measure = peers._compiled(peers._layers(modules[0]))
    each = [[p.detach().numpy() for p in module.parameters()] for module in modules]
    weights = [np.stack(tensors) for tensors in zip(*each, strict=True)]

    losses, _ = measure(weights, images.numpy(), labels.numpy())

    expected = [F.cross_entropy(module(images), labels).item() for module in modules]
    assert np.asarray(losses).tolist() == pytest.approx(expected, rel=1e-5)


def test_a_layer_that_the_peer_lacks_is_named() -> None:
    with pytest.raises(ValueError, match="has no layer Tanh"):
        peers._layers(nn.Sequential(nn.Linear(2, 2), nn.Tanh()))
