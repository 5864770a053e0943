"""Earlier states of a training loop that a guard goes back to: parameters, and what goes with them.

When, and to which, is `benchmark.strategies.clipping.rewinding`'s to say.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from benchmark.clip.checkpoint import checked_state
from benchmark.names import quoted
from benchmark.strategies.clipping import State
from benchmark.strategies.clipping.rewinding import COUNTS, course, no_steps_since

PLACES = ("older", "newer")
PARTS = ("parameters", "optimizer", "buffers", "clipping")
"""What a snapshot has in a checkpoint."""


@dataclass(frozen=True)
class Snapshot:
    """What training goes back to; nothing in it is ever changed.

    Of each parameter in the optimizer's groups its values and what the optimizer has of it, by
    name; the model's buffers by name; and what the rule remembered.
    """

    parameters: dict[Tensor, Tensor]
    optimizer: dict[Tensor, dict[str, Any]]
    buffers: dict[str, Tensor]
    clipping: State

    def restore(self, optimizer: Optimizer, model: nn.Module | None) -> None:
        """Make all as it was, in the memory where it is.

        A parameter that the snapshot lacks stays as it is.
        """
        there = [p for p in parameters_of(optimizer) if p in self.parameters]
        for p in there:
            p.copy_(self.parameters[p])
            _restore_state(optimizer, p, self.optimizer[p])
        for name, buffer in _buffers(model):
            if name in self.buffers:
                buffer.copy_(self.buffers[name])


class Snapshots:
    """The older and the newer of the snapshots kept, and how many steps ago."""

    def __init__(self, optimizer: Optimizer, model: nn.Module | None) -> None:
        self._optimizer, self._model = optimizer, model
        self.counts = no_steps_since(torch.zeros(()))
        self.older = self.newer = self._now({})
        self._kept = False

    def go_back(self, flagged: Tensor, norm: Tensor, loss: Tensor | None) -> State | None:
        """To the older snapshot, where the rule ``flagged`` this step and that is due.

        Returns what the rule remembered then, None where training goes on. It waits for the device.
        """
        finite = torch.isfinite(norm)
        if loss is not None:
            finite = finite & torch.isfinite(loss)
        # a fused optimizer is given what a scaler found, and leaves such a step out itself
        overflow = getattr(self._optimizer, "found_inf", None)
        if overflow is not None:
            flagged = flagged & overflow.to(flagged.device).view(()).eq(0)
        told = torch.stack([flagged, finite]).cpu()
        after = course(told[0], told[1], self.counts)
        self.counts, self._kept = after.counts, bool(after.kept)
        if not after.returns:
            return None
        self.older.restore(self._optimizer, self._model)
        self.newer = self.older
        return self.older.clipping

    def after_step(self, remembered: State) -> None:
        """Keep what the step has come to, where it is time."""
        if self._kept:
            self.older, self.newer = self.newer, self._now(remembered)
        self._kept = False

    def include(self) -> None:
        """Parameters that came since: they go back to what they are now."""
        now = self._now({})

        def with_all(snapshot: Snapshot) -> Snapshot:
            return replace(
                snapshot,
                parameters=now.parameters | snapshot.parameters,
                optimizer=now.optimizer | snapshot.optimizer,
            )

        same = self.newer is self.older
        self.older = with_all(self.older)
        self.newer = self.older if same else with_all(self.newer)

    def _now(self, remembered: State) -> Snapshot:
        parameters = parameters_of(self._optimizer)
        return Snapshot(
            {p: p.detach().clone() for p in parameters},
            {p: _copied(self._optimizer, p) for p in parameters},
            {name: buffer.detach().clone() for name, buffer in _buffers(self._model)},
            dict(remembered),
        )

    def state_dict(self) -> dict[str, Any]:
        """Both for a checkpoint, parameters by their place in the optimizer's groups."""
        places = {id(p): i for i, p in enumerate(parameters_of(self._optimizer))}

        def by_place(values: Mapping[Tensor, Any]) -> dict[int, Any]:
            return {places[id(p)]: value for p, value in values.items() if id(p) in places}

        def told(snapshot: Snapshot) -> dict[str, Any]:
            return {
                "parameters": by_place(snapshot.parameters),
                "optimizer": by_place(snapshot.optimizer),
                "buffers": dict(snapshot.buffers),
                "clipping": dict(snapshot.clipping),
            }

        older = told(self.older)
        newer = older if self.newer is self.older else told(self.newer)
        return {**self.counts, "older": older, "newer": newer}

    def load_state_dict(self, state: object, form: State, like: Tensor) -> None:
        """Go on with those of a checkpoint, of a rule whose state has the ``form``.

        Raises
        ------
        ValueError
            If they are none, or of other parameters. Nothing is changed then.
        """
        found = _mapping("snapshots", state, (*COUNTS, *PLACES))
        whole = {name: torch.zeros((), dtype=torch.long) for name in COUNTS}
        counts = checked_state({k: found[k] for k in COUNTS}, 1, whole, torch.zeros(()))
        older, newer = (self._checked(place, found[place], form, like) for place in PLACES)
        self.counts, self.older = counts, older
        self.newer = older if found["newer"] is found["older"] else newer

    def _checked(self, place: str, state: object, form: State, like: Tensor) -> Snapshot:
        parts = _mapping(place, state, PARTS)
        known = dict(enumerate(parameters_of(self._optimizer)))
        values = _alike(f"{place} parameters", parts["parameters"], known)
        kept = _mapping(f"{place} optimizer", parts["optimizer"], tuple(values))
        buffers = _alike(f"{place} buffers", parts["buffers"], dict(_buffers(self._model)))
        return Snapshot(
            {known[i]: value for i, value in values.items()},
            {known[i]: dict(_mapping(f"{place} optimizer", kept[i])) for i in values},
            {str(name): buffer for name, buffer in buffers.items()},
            checked_state(parts["clipping"], 0, form, like),
        )


def parameters_of(optimizer: Optimizer) -> list[Tensor]:
    """All parameters of the groups, those that are frozen too, in their order."""
    return [p for group in optimizer.param_groups for p in group["params"]]


def _buffers(model: nn.Module | None) -> Iterator[tuple[str, Tensor]]:
    return iter(()) if model is None else model.named_buffers()


def _copied(optimizer: Optimizer, parameter: Tensor) -> dict[str, Any]:
    state = optimizer.state.get(parameter, {})
    return {name: _copy(value) for name, value in state.items()}


def _copy(value: Any) -> Any:
    return value.detach().clone() if isinstance(value, Tensor) else copy.copy(value)


def _restore_state(optimizer: Optimizer, parameter: Tensor, kept: dict[str, Any]) -> None:
    if not kept:
        # as an optimizer knows a parameter that it has not moved yet
        optimizer.state.pop(parameter, None)
        return
    state = optimizer.state[parameter]
    for name in state.keys() - kept.keys():
        del state[name]
    for name, value in kept.items():
        now = state.get(name)
        alike = isinstance(now, Tensor) and isinstance(value, Tensor) and now.shape == value.shape
        if alike:
            now.copy_(value)
        else:
            state[name] = _copy(value)


def _mapping(name: str, value: object, keys: Sequence[object] = ()) -> Mapping[Any, Any]:
    if not isinstance(value, Mapping) or any(key not in value for key in keys):
        raise ValueError(
            f"{name!r} of the checkpoint must be a mapping with {quoted(list(keys))}, "
            f"but is {quoted(value if not isinstance(value, Mapping) else list(value))}"
        )
    return value


def _alike(name: str, value: object, known: Mapping[Any, Tensor]) -> dict[Any, Tensor]:
    """The tensors by name or place, each on the device and in the type of what it is of."""
    found = {}
    for key, tensor in _mapping(name, value).items():
        own = known.get(key)
        if own is None or not isinstance(tensor, Tensor) or tensor.shape != own.shape:
            wanted = "no such tensor" if own is None else f"the shape {tuple(own.shape)}"
            raise ValueError(
                f"{name!r} of the checkpoint: {quoted(key)} must be a tensor that this loop has, "
                f"which has {wanted}, but is {quoted(tensor)}"
            )
        found[key] = tensor.detach().to(own.device, own.dtype, copy=True)
    return found
