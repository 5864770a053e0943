"""What a user might pick instead does the same work."""

import dataclasses

import pytest
from torch import nn

from benchmark.timing import comparison, peers
from benchmark.timing.plans import plan_of

pytest.importorskip("jax")


@pytest.mark.parametrize("name", ["mlp_digits", "cnn_digits"])
def test_jax_comes_as_far_as_the_engine(name: str) -> None:
    examples = 96
    trial = plan_of("smoke").workload(name).with_examples(examples, 300)
    # whole batches, in which the order of the examples does not matter
    trial = dataclasses.replace(trial, batch_size=examples, epochs=8, learning_rate=0.2)
    found = peers.with_jax(trial, [0, 1], together=2, checkpoints=1)
    expected = comparison.trained(trial, [0, 1], together=2, device="cpu")
    assert found == pytest.approx(expected, abs=1.5 / 300)
    assert min(found) > 0.3


def test_a_layer_that_the_peer_lacks_is_named() -> None:
    with pytest.raises(ValueError, match="has no layer Tanh"):
        peers._layers(nn.Sequential(nn.Linear(2, 2), nn.Tanh()))
