"""Networks that several tests train."""

import math

from torch import Tensor, nn

from benchmark import module_model


class Dropping(nn.Module):
    """A network that cannot be lifted over trials, because it draws numbers."""

    def __init__(self, shape: tuple[int, int, int], classes: int) -> None:
        super().__init__()
        self.layer = nn.Linear(math.prod(shape), classes)

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.dropout(self.layer(x.flatten(1)), 0.5, self.training)


DROPPING = {
    "model": module_model("dropping", Dropping),
    "initialization": "own",
    "width": None,
}
"""Fields of a trial of it."""
