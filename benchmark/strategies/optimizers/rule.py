"""What an optimizer is: from a gradient to the direction that the learning rate multiplies.

Written for one trial: ``(gradient (D,), state, context) -> (direction (D,), state)``; the engine
then moves the parameters by ``-learning_rate * direction``. As clippings do, an optimizer gives its
state back instead of changing it, never branches on a tensor's value, and takes the vectors apart
with the context's layout where it acts on matrices.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor

from benchmark.layout import Layout
from benchmark.records import Range
from benchmark.records.declarations import (
    RANGE,
    RANGE_OR_NONE,
    SHOWN,
    Function,
    check_declaration,
)
from benchmark.records.fields import FLAG, Rule
from benchmark.strategies.clipping import State


class UpdateContext(NamedTuple):
    """What an optimizer may look at besides the gradient.

    ``parameters`` (D,) before the update; ``learning_rate`` () of this update, schedule included;
    ``momentum`` () of the trial, 0 where the optimizer declares none.
    """

    parameters: Tensor
    learning_rate: Tensor
    momentum: Tensor
    layout: Layout


Directed = tuple[Tensor, State]
Direction = Callable[[Tensor, State, UpdateContext], Directed]


def no_memory(layout: Layout, like: Tensor) -> State:
    """State of an optimizer that remembers nothing."""
    return {}


@dataclass(frozen=True)
class Optimizer:
    """One optimizer.

    Parameters
    ----------
    direction
        ``(gradient (D,), state, context) -> (direction (D,), state)``.
    learning_rate
        The one tunable number: the range that a search looks in.
    init
        ``(layout, like) -> state``, on the device and in the type of the tensor ``like`` (D,).
    momentum
        The range and the default of `Trial.momentum`; None for an optimizer without.
    evaluated
        ``(parameters (D,), state) -> parameters (D,)`` that are evaluated in place of those that
        gradients are taken at; at the start the same. None where these are evaluated.
    elementwise
        Whether each number of the direction follows from the numbers at its own place alone (and
        from those that a trial has one of). The trials of a unit then take their steps as one.
    title, formula
        As of a `Clipping`.

    Raises
    ------
    ValueError
        If a field is not what it has to be.
    """

    name: str
    direction: Direction
    learning_rate: Range
    reference: str
    summary: str
    init: Callable[[Layout, Tensor], State] = no_memory
    momentum: Range | None = None
    elementwise: bool = False
    evaluated: Callable[[Tensor, State], Tensor] | None = None
    title: str = ""
    formula: str = ""

    def __post_init__(self) -> None:
        check_declaration("optimizer", self, RULES)


RULES: dict[str, Rule] = {
    **SHOWN,
    "direction": Function("(gradient, state, context) -> (direction, state)", 3),
    "learning_rate": RANGE,
    "init": Function("(layout, like) -> state", 2),
    "momentum": RANGE_OR_NONE,
    "elementwise": FLAG,
    "evaluated": Function("(parameters, state) -> parameters", 2, optional=True),
}
"""What each field of an `Optimizer` may be."""
