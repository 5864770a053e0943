"""What a checkpoint of a guard has, checked before any of it is taken."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from benchmark.names import quoted
from benchmark.records.fields import TEXT, Real, Rule, Whole, refused
from benchmark.strategies.clipping import State

CHECKPOINT = ("clipping", "threshold", "steps", "state")
"""What `Guard.state_dict` has."""
TAKEN_WITH: dict[str, Rule] = {"clipping": TEXT, "threshold": Real(), "steps": Whole(0)}
"""What the first three of these may be."""


def checked_checkpoint(state: object, clipping: str, threshold: float) -> tuple[int, Any]:
    """Steps and state of a checkpoint of a guard with this clipping and threshold.

    Raises
    ------
    ValueError
        If it is none, or of another clipping or threshold.
    """
    if not isinstance(state, Mapping):
        raise refused("state", state, "what `state_dict` of a guard gives")
    if missing := [key for key in CHECKPOINT if key not in state]:
        raise ValueError(
            f"the checkpoint must have {', '.join(CHECKPOINT)}, as `state_dict` of a guard "
            f"gives them, but lacks {', '.join(missing)}: it has {quoted(list(state))}"
        )
    meant = {name: rule(name, state[name]) for name, rule in TAKEN_WITH.items()}
    for name, value in {"clipping": clipping, "threshold": threshold}.items():
        if meant[name] != value:
            raise ValueError(
                f"the checkpoint was taken with {name}={quoted(state[name])}, but this guard "
                f"has {value!r}"
            )
    return meant["steps"], state["state"]


def checked_state(state: object, steps: int, form: State, like: Tensor) -> State:
    """What a checkpoint after ``steps`` remembers, of the ``form`` that the rule has.

    Raises
    ------
    ValueError
        If it has another form, or a negative count.
    """
    if not isinstance(state, Mapping):
        raise refused("state", state, "a mapping of names to tensors")
    if not steps and not state:
        return {}
    if form.keys() != state.keys():
        raise ValueError(
            f"`state` of the checkpoint must have {quoted(sorted(form))}, "
            f"but has {quoted(sorted(state, key=str))}"
        )
    found = {}
    for name, wanted in form.items():
        value = state[name]
        alike = isinstance(value, Tensor) and value.shape == wanted.shape
        if not alike or value.is_floating_point() != wanted.is_floating_point():
            raise ValueError(
                f"{name!r} of the checkpoint must be a tensor of the shape "
                f"{tuple(wanted.shape)} and the type {wanted.dtype}, but is {quoted(value)}"
            )
        if not wanted.is_floating_point() and bool((value < 0).any()):
            raise ValueError(
                f"{name!r} of the checkpoint must not be negative, but is {quoted(value)}"
            )
        found[name] = value.detach().clone().to(like.device, wanted.dtype)
    return found
