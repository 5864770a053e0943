"""One trial's parameters as a flat vector, and back."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Layout:
    """Where each parameter tensor lies in a trial's flat vector of D numbers.

    Strategies see one trial's vector of shape (D,); those that act per tensor or per layer take
    it apart with `split`.

    Parameters
    ----------
    names, shapes
        Of every parameter tensor, in the order of ``module.named_parameters()``.
    head
        Names of the classifier's own tensors (those of the last linear layer).
    """

    names: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]
    head: frozenset[str] = frozenset()

    @classmethod
    def of(cls, module: nn.Module) -> Layout:
        """Layout of a module's parameters."""
        items = [(name, tuple(p.shape)) for name, p in module.named_parameters()]
        linear = [name for name, m in module.named_modules() if isinstance(m, nn.Linear)]
        last = linear[-1] if linear else None
        return cls(
            names=tuple(name for name, _ in items),
            shapes=tuple(shape for _, shape in items),
            head=frozenset(name for name, _ in items if name.rpartition(".")[0] == last),
        )

    @cached_property
    def sizes(self) -> list[int]:
        """Number of elements of each tensor."""
        return [math.prod(shape) for shape in self.shapes]

    @property
    def size(self) -> int:
        """D, the number of parameters."""
        return sum(self.sizes)

    def split(self, vector: Tensor) -> dict[str, Tensor]:
        """Views of ``vector`` (..., D) in the shapes (..., *shape) of the tensors.

        >>> layout = Layout(("weight", "bias"), ((2, 1), (2,)))
        >>> layout.split(torch.arange(4.0))["bias"]
        tensor([2., 3.])
        """
        front = vector.shape[:-1]
        pieces = vector.split(self.sizes, dim=-1)
        return {
            name: piece.view(*front, *shape)
            for name, shape, piece in zip(self.names, self.shapes, pieces, strict=True)
        }

    def join(self, tensors: Mapping[str, Tensor], batch_dims: int = 0) -> Tensor:
        """The vector (..., D) whose `split` gives ``tensors``."""
        flat = [tensors[name].flatten(start_dim=batch_dims) for name in self.names]
        return torch.cat(flat, dim=-1)
