"""What is set around `train` changes nothing in it, and is as it was afterwards."""

import contextlib
import functools
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import pandas as pd
import pytest
import torch
from conftest import toy_split
from torch import nn

from benchmark import Trial, module_model, tensor_dataset, train
from benchmark.data import Dataset


@contextlib.contextmanager
def gradients_off() -> Iterator[None]:
    before = torch.is_grad_enabled()
    torch.set_grad_enabled(False)
    try:
        yield
    finally:
        torch.set_grad_enabled(before)


def precision_of(*path: str) -> Callable[[], AbstractContextManager[None]]:
    @contextlib.contextmanager
    def rounded() -> Iterator[None]:
        switch = torch.backends
        for name in path:
            switch = getattr(switch, name)
        before, lower = switch.fp32_precision, "bf16" if path[0] == "mkldnn" else "tf32"
        switch.fp32_precision = lower
        try:
            yield
            assert switch.fp32_precision == lower
        finally:
            switch.fp32_precision = before

    return rounded


SURROUNDINGS = {
    "gradients off": gradients_off,
    "no_grad": torch.no_grad,
    "inference mode": torch.inference_mode,
    "autocast": lambda: torch.autocast("cpu", torch.bfloat16),
    "anomaly detection": lambda: torch.autograd.set_detect_anomaly(True, check_nan=True),
    "TF32 products": precision_of("cuda", "matmul"),
    "TF32 convolutions": precision_of("cudnn", "conv"),
    "bfloat16 products on a CPU": precision_of("mkldnn", "matmul"),
    "bfloat16 convolutions on a CPU": precision_of("mkldnn", "conv"),
}


def scaled(image_shape: tuple[int, int, int], classes: int) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(16, 8), nn.LeakyReLU(), nn.Linear(8, classes))


NETWORKS = {
    "dense": {"model": "mlp"},
    "convolutional": {"model": "cnn", "normalization": "batch"},
    "custom": {"model": module_model("leaky", scaled), "initialization": "own"},
}


def trained(toy: Dataset, network: str) -> pd.DataFrame:
    trials = [
        Trial(
            dataset=toy,
            learning_rate=rate,
            batch_size=32,
            epochs=1,
            seed=seed,
            **NETWORKS[network],
        )
        for seed, rate in enumerate((0.1, 1e20))
    ]
    return train(trials, device="cpu", checkpoints=4).trials.drop(columns="seconds")


trained_as_usual = functools.cache(trained)


@pytest.mark.filterwarnings("ignore:Anomaly Detection has been enabled")
@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("surrounding", SURROUNDINGS)
def test_training_does_not_depend_on_what_is_set_around_it(
    toy: Dataset, surrounding: str, network: str
) -> None:
    expected = trained_as_usual(toy, network)
    assert "nonfinite" in expected["status"].tolist()
    with SURROUNDINGS[surrounding]():
        modes = torch.is_grad_enabled(), torch.is_inference_mode_enabled()
        found = trained(toy, network)
        assert (torch.is_grad_enabled(), torch.is_inference_mode_enabled()) == modes
    pd.testing.assert_frame_equal(found, expected, check_exact=True)


def test_data_made_in_inference_mode_can_be_trained_on(toy: Dataset) -> None:
    with torch.inference_mode():
        splits = [toy_split(n, seed) for seed, n in enumerate((96, 48, 48))]
        made = tensor_dataset("toy", train=splits[0], validation=splits[1], test=splits[2])
        found = trained(made, "dense")
    pd.testing.assert_frame_equal(found, trained_as_usual(toy, "dense"), check_exact=True)
