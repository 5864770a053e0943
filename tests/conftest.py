"""What several test modules start from."""

import logging

import pytest
import torch
from hypothesis import settings

from benchmark.data import Dataset, tensor_dataset

# which test compiles kernels first depends on what was run before on this machine
logging.getLogger("benchmark.engine.kernels.compiling").setLevel(logging.ERROR)

# as training does: threads of several processes slow each other down on a busy machine
torch.set_num_threads(1)

# how long an example takes says how busy the machine is, not whether the code is right
settings.register_profile("without deadline", deadline=None)
settings.load_profile("without deadline")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if torch.cuda.is_available():
        return
    for item in items:
        # not a keyword, of which the name of a folder is one
        if item.get_closest_marker("gpu"):
            item.add_marker(pytest.mark.skip(reason="no GPU on this machine"))


def toy_split(examples: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Images of 4x4 pixels whose brightest quarter says which of three classes they are."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(examples) % 3
    images = torch.rand(examples, 4, 4, generator=generator)
    images[torch.arange(examples), labels, labels] += 2.0
    return images, labels


TOY = tensor_dataset(
    "toy", train=toy_split(96, 0), validation=toy_split(48, 1), test=toy_split(48, 2)
)


@pytest.fixture
def toy() -> Dataset:
    """A data set small enough for hundreds of trainings."""
    return TOY
