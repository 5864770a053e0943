"""The state of K trials, and functions of one trial's tensors lifted over all of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.func import vmap

from benchmark.strategies.clipping import State

Lifted = Callable[..., Any]


def lift(function: Lifted, trials: int) -> Lifted:
    """``function`` of one trial's tensors, as a function of tensors with a leading axis K.

    Arguments and results are tensors, dicts of tensors, or tuples of these.
    """
    if trials > 1:
        return vmap(function)

    def alone(*arguments: Any) -> Any:
        return _tree(lambda t: t.unsqueeze(0), function(*_tree(lambda t: t[0], arguments)))

    return alone


def _tree(change: Callable[[Tensor], Tensor], value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _tree(change, v) for k, v in value.items()}
    if isinstance(value, tuple):
        return tuple(_tree(change, v) for v in value)
    return change(value)


@dataclass(frozen=True)
class Population:
    """The state of K trials: every tensor's first axis is the trial.

    ``parameters`` (K, D), ``buffers`` (K, ...) by name, ``learning_rate``, ``threshold`` and
    ``momentum`` (K,). ``loss_scale`` has the ``scale`` (K,) of the loss, where the precision scales
    it, and ``snapshots`` what trials may go back to, where the clipping rewinds.
    """

    parameters: Tensor
    buffers: dict[str, Tensor]
    clipping: State
    optimizer: State
    loss_scale: State
    learning_rate: Tensor
    threshold: Tensor
    momentum: Tensor
    snapshots: State = field(default_factory=dict)

    def take(self, index: Sequence[int]) -> Population:
        """The trials at ``index``; a copy."""
        where = torch.as_tensor(index, device=self.parameters.device)
        values = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        return Population(**{k: _tree(lambda t: t[where], v) for k, v in values.items()})

    def part(self, k: int) -> Population:
        """Trial ``k`` alone; a view."""
        values = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        return Population(**{n: _tree(lambda t: t[k : k + 1], v) for n, v in values.items()})

    @staticmethod
    def join(pieces: Sequence[Population], index: Sequence[Sequence[int]]) -> Population:
        """The population whose trials at ``index[i]`` are those of ``pieces[i]``."""
        flat = [k for part in index for k in part]
        back = sorted(range(len(flat)), key=flat.__getitem__)

        def merge(values: Sequence[Any]) -> Any:
            if isinstance(values[0], dict):
                return {k: merge([v[k] for v in values]) for k in values[0]}
            return torch.cat(list(values))

        names = [f.name for f in dataclasses.fields(Population)]
        whole = Population(**{n: merge([getattr(p, n) for p in pieces]) for n in names})
        return whole.take(back)
