"""Each normalization against torch's functions and its definition."""

import pytest
import torch
from torch.nn import functional as F

from benchmark.data import DATASETS
from benchmark.engine import impossible, resolve
from benchmark.models import MODELS
from benchmark.records import Trial
from benchmark.strategies.normalization import NORMALIZATIONS, ImpossiblePair, Normalization

FLAT = torch.randn(6, 16, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
IMAGES = torch.randn(6, 16, 3, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)

REFERENCES = {
    "none": lambda x: x,
    "batch": lambda x: F.batch_norm(x, None, None, training=True, eps=1e-5),
    "layer": lambda x: F.layer_norm(x, x.shape[1:], eps=1e-5),
    "group": lambda x: F.group_norm(x, 8, eps=1e-5),
}


def build(model: str, normalization: Normalization) -> torch.nn.Module:
    digits = DATASETS["digits"]
    return MODELS[model].build(
        digits.image_shape, digits.classes, MODELS[model].depth, MODELS[model].width, normalization
    )


@pytest.mark.parametrize("normalization", NORMALIZATIONS.values(), ids=NORMALIZATIONS)
class TestEveryNormalization:
    @pytest.mark.parametrize("x", [FLAT, IMAGES], ids=["dense", "spatial"])
    def test_equals_torch(self, normalization: Normalization, x: torch.Tensor) -> None:
        layer = normalization.layer(16, x.dim() == 4).double()
        torch.testing.assert_close(layer(x), REFERENCES[normalization.name](x))

    def test_is_described(self, normalization: Normalization) -> None:
        assert NORMALIZATIONS[normalization.name] is normalization
        assert normalization.reference
        assert normalization.summary

    @pytest.mark.parametrize("model", MODELS)
    def test_every_model_trains_with_it_or_says_why_not(
        self, normalization: Normalization, model: str
    ) -> None:
        digits = DATASETS["digits"]
        if (model, normalization.name) == ("mlp_wide", "group"):  # layers of 500 and 100
            with pytest.raises(ImpossiblePair):
                build(model, normalization)
            return
        network = build(model, normalization)
        assert network(torch.zeros(4, *digits.image_shape)).shape == (4, digits.classes)


def test_group_of_indivisible_features_is_impossible() -> None:
    with pytest.raises(ImpossiblePair, match="divisible by 8, but a layer has 12"):
        NORMALIZATIONS["group"].layer(12, True)


@pytest.mark.parametrize(
    ("trial", "reason"),
    [
        (Trial(normalization="batch", batch_size=1), "at least 2 examples at once"),
        (
            Trial(normalization="batch", batch_policy="accumulate", batch_size=4),
            "at least 2 examples at once",
        ),
        (Trial(batch_policy="accumulate", batch_size=2), "cannot be cut into 4 micro-batches"),
        (Trial(batch_size=2000), "exceeds the 1078 training examples"),
        (Trial(batch_size=512, epochs=0.25), "hold no full batch of 512"),
    ],
)
def test_impossible_combinations_give_their_reason(trial: Trial, reason: str) -> None:
    assert reason in (impossible(resolve(trial), 1078) or "")


def test_possible_combinations_give_none() -> None:
    assert impossible(resolve(Trial(normalization="batch", batch_size=2)), 1078) is None
