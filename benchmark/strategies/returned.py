"""What a strategy gives back, checked where it is taken.

A direction of the shape () would be broadcast over all parameters, and a trial that learns nothing
would pass for a finding about the strategy. Shapes and types do not change from step to step, so
that the first step tells; see `checked_once`. Whether a gradient is finite is no matter of these
checks: that of an explosion is not.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmark.names import quoted
from benchmark.records.fields import number_of
from benchmark.strategies.clipping.rule import Clipping, State
from benchmark.strategies.losses import Loss
from benchmark.strategies.optimizers.rule import Optimizer


def checked_once(function: Callable[..., Any], check: Callable[..., None]) -> Callable[..., Any]:
    """``function``, whose first result goes to ``check(result, *arguments)`` too.

    Its second argument is a state: to look there for what ``init`` does not make is an error too.
    """
    checked = False

    def first_checked(*arguments: Any) -> Any:
        nonlocal checked
        try:
            returned = function(*arguments)
        except KeyError as error:
            if checked or error.args[0] in arguments[1]:
                raise
            raise ValueError(
                f"a rule reads {quoted(error.args[0])} of its state, which has "
                f"{quoted(sorted(arguments[1]))}: its `init` must make it"
            ) from error
        if not checked:
            check(returned, *arguments)
            checked = True
        return returned

    return first_checked


def check_clipped(clipping: Clipping, returned: Any, gradient: Tensor, state: State) -> None:
    """What a rule made of ``gradient`` (D,) and ``state``.

    Raises
    ------
    ValueError
        If it is not a gradient of that shape and type, a state of that form and a flag ().
    """
    owner = f"clipping {clipping.name!r}"
    if not isinstance(returned, tuple | list) or len(returned) != 3:
        raise ValueError(
            f"{owner}: clip must return (gradient, state, clipped), but gave {_told(returned)}"
        )
    changed, after, flag = returned
    _check_vector(owner, "gradient", changed, gradient)
    _check_state(owner, after, state)
    if not isinstance(flag, Tensor) or flag.dtype != torch.bool or flag.shape != ():
        raise ValueError(
            f"{owner}: clipped must be a tensor () of booleans, such as `norm > threshold`, "
            f"but is {_told(flag)}"
        )


def check_direction(optimizer: Optimizer, returned: Any, gradient: Tensor, state: State) -> None:
    """What an optimizer made of ``gradient`` (D,), or (K, D) of all trials, and its ``state``.

    Raises
    ------
    ValueError
        If it is not a direction of that shape and type and a state of that form.
    """
    owner = f"optimizer {optimizer.name!r}"
    if not isinstance(returned, tuple | list) or len(returned) != 2:
        raise ValueError(
            f"{owner}: direction must return (direction, state), but gave {_told(returned)}"
        )
    _check_vector(owner, "direction", returned[0], gradient)
    _check_state(owner, returned[1], state)


def check_evaluated(optimizer: Optimizer, returned: Any, parameters: Tensor) -> None:
    """What an optimizer evaluates in place of ``parameters`` (D,)."""
    _check_vector(f"optimizer {optimizer.name!r}", "evaluated parameters", returned, parameters)


def check_initial(owner: str, state: Any) -> State:
    """The state before the first step, if it is tensors by name.

    Raises
    ------
    ValueError
        If it is not, because a number is a Python number, say.
    """
    if not isinstance(state, dict):
        raise ValueError(f"{owner}: init must return a dict of tensors, but gave {_told(state)}")
    for name, value in state.items():
        if not isinstance(name, str) or not isinstance(value, Tensor):
            raise ValueError(
                f"{owner}: init must return a dict of tensors, but {quoted(name)} is {_told(value)}"
            )
    return state


def check_losses(loss: Loss, classes: int, dtype: torch.dtype) -> None:
    """The loss of two examples is two numbers.

    Raises
    ------
    ValueError
        If it is not, but their mean, say.
    """
    labels = torch.zeros(2, dtype=torch.long, device="cpu")
    returned = loss.value(torch.zeros(2, classes, dtype=dtype, device="cpu"), labels)
    if not isinstance(returned, Tensor) or returned.shape != (2,):
        raise ValueError(
            f"loss {loss.name!r}: value must return the loss of every example, (N,) = (2,), but "
            f"gave {_told(returned)}"
        )


def check_factors(owner: str, factors: Any) -> np.ndarray:
    """What learning rates are multiplied by, as doubles.

    Raises
    ------
    ValueError
        If one is no finite number >= 0.

    >>> check_factors("schedule 's'", [1.0, -1.0])
    Traceback (most recent call last):
        ...
    ValueError: schedule 's': a factor must be a finite number >= 0, but got -1.0
    """
    try:
        found = np.asarray(factors)
        plain = found.dtype.kind in "iuf" and found.ndim == 1
    except (ValueError, TypeError, RuntimeError):
        plain = False
    if not plain or not (np.isfinite(found) & (found >= 0)).all():
        wrong = next((f for f in factors if not _is_factor(f)), factors)
        raise ValueError(f"{owner}: a factor must be a finite number >= 0, but got {quoted(wrong)}")
    return found.astype(float)


def _is_factor(value: Any) -> bool:
    number = number_of(value)
    return number is not None and math.isfinite(number) and number >= 0


def _check_vector(owner: str, what: str, value: Any, like: Tensor) -> None:
    axes = "(D,)" if like.dim() == 1 else "(K, D)"
    if not isinstance(value, Tensor):
        raise ValueError(f"{owner}: {what} must be a tensor {axes}, but is {_told(value)}")
    if value.shape != like.shape:
        raise ValueError(
            f"{owner}: {what} must have the shape {axes} = {tuple(like.shape)}, "
            f"but has {tuple(value.shape)}"
        )
    if value.dtype != like.dtype:
        raise ValueError(f"{owner}: {what} must have the type {like.dtype}, but has {value.dtype}")


def _check_state(owner: str, after: Any, before: State) -> None:
    if not isinstance(after, dict):
        raise ValueError(f"{owner}: state must be a dict of tensors, but is {_told(after)}")
    if after.keys() != before.keys():
        raise ValueError(
            f"{owner}: state must have what it had, {quoted(sorted(before))}, "
            f"but has {quoted(sorted(after, key=str))}"
        )
    for name, value in after.items():
        if not isinstance(value, Tensor) or value.shape != before[name].shape:
            raise ValueError(
                f"{owner}: {quoted(name)} of the state must be a tensor of the shape "
                f"{tuple(before[name].shape)}, but is {_told(value)}"
            )


def _told(value: Any) -> str:
    if isinstance(value, Tensor):
        return f"a tensor of the shape {tuple(value.shape)} and the type {value.dtype}"
    if isinstance(value, tuple | list):
        return f"{len(value)} values"
    return quoted(value)
