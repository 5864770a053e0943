"""One trial's parameters as a flat vector, and back."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor, nn

from benchmark.names import quoted
from benchmark.records.fields import TEXT, Rule, Several, Whole, check_fields, refused


def linear_maps(model: nn.Module) -> dict[str, nn.Linear | nn.Conv2d]:
    """The layers of a network: every linear map and convolution, in the order of registration.

    The last is taken for the classifier.
    """
    return {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear | nn.Conv2d)
    }


@dataclass(frozen=True)
class Layout:
    """Where each parameter tensor lies in a trial's flat vector of D numbers.

    Strategies see one trial's vector of shape (D,); those that act per tensor or per layer take
    it apart with `split`.

    Parameters
    ----------
    names, shapes
        Of every parameter tensor that requires a gradient, in the order of
        ``module.named_parameters()``.
    head
        Names of the classifier's own tensors (those of the last layer).
    layers
        Names of each layer's own tensors: weight, bias, and whatever else the linear map is made
        of. A tensor that two layers share is named by both.

    Raises
    ------
    ValueError
        If a field is not what it has to be.
    """

    names: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]
    head: frozenset[str] = frozenset()
    layers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_fields(self, RULES)
        if len(self.names) != len(self.shapes):
            raise ValueError(
                f"`shapes` must be as many as `names`, {len(self.names)}, but got "
                f"{quoted(self.shapes)}"
            )

    @classmethod
    def of(cls, module: nn.Module) -> Layout:
        """Layout of a module's parameters.

        Raises
        ------
        ValueError
            If it is no module.
        """
        if not isinstance(module, nn.Module):
            raise refused("module", module, "a torch module")
        trained = {name: p for name, p in module.named_parameters() if p.requires_grad}
        names = {id(p): name for name, p in trained.items()}
        layers = {
            layer: tuple(names[id(p)] for p in linear.parameters() if id(p) in names)
            for layer, linear in linear_maps(module).items()
        }
        return cls(
            names=tuple(trained),
            shapes=tuple(tuple(p.shape) for p in trained.values()),
            head=frozenset(list(layers.values())[-1]) if layers else frozenset(),
            layers=layers,
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

        Raises
        ------
        ValueError
            If it is no such tensor.

        >>> layout = Layout(("weight", "bias"), ((2, 1), (2,)))
        >>> layout.split(torch.arange(4.0))["bias"]
        tensor([2., 3.])
        """
        try:
            front = vector.shape[:-1]
            pieces = vector.split(self.sizes, dim=-1)
        except (AttributeError, TypeError, RuntimeError) as error:
            if isinstance(vector, Tensor) and vector.shape[-1:] == (self.size,):
                raise
            raise refused("vector", vector, f"a tensor (..., {self.size})") from error
        return {
            name: piece.view((*front, *shape))
            for name, shape, piece in zip(self.names, self.shapes, pieces, strict=True)
        }

    def join(self, tensors: Mapping[str, Tensor], batch_dims: int = 0) -> Tensor:
        """The vector (..., D) whose `split` gives ``tensors``.

        Raises
        ------
        ValueError
            If one of the tensors is missing.
        """
        try:
            found = [tensors[name] for name in self.names]
        except (KeyError, TypeError) as error:
            wanted = f"a mapping with a tensor for each of {', '.join(self.names)}"
            raise refused("tensors", tensors, wanted) from error
        # and not `flatten`, which a tensor without further dimensions does not have
        flat = [t.reshape(*t.shape[:batch_dims], -1) for t in found]
        return torch.cat(flat, dim=-1)


def _head(field: str, value: object) -> frozenset[str]:
    if isinstance(value, frozenset | set) and all(isinstance(name, str) for name in value):
        return frozenset(value)
    raise refused(field, value, "a set of names")


def _layers(field: str, value: object) -> Mapping[str, tuple[str, ...]]:
    if isinstance(value, Mapping) and all(isinstance(name, str) for name in value):
        return {name: _NAMES(field, names) for name, names in value.items()}
    raise refused(field, value, "a mapping of layers to names")


_NAMES = Several(TEXT, "names", least=0)
RULES: dict[str, Rule] = {
    "names": _NAMES,
    "shapes": Several(Several(Whole(0), "sizes", least=0), "shapes", least=0),
    "head": _head,
    "layers": _layers,
}
"""What each field of a `Layout` may be."""
