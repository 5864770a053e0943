"""What a clipping rule is, and what every rule keeps to.

A rule is written for one trial. It takes the flat gradient (D,), its own state, its threshold and
a `Context`; it returns the new gradient, the new state and whether it clipped. It never branches on
a value, so that `torch.func.vmap` lifts it over the trials of a unit.

- A gradient of zero stays zero, and is not clipped.
- Where a norm is not finite, a rule that scales by the norm leaves the gradient as it is, so that
  an infinity never turns into a quiet 0 * inf; and what the rule remembers stays as it was. The
  engine sees the norm *before* clipping and ends the trial there as ``nonfinite``.
- A norm is finite wherever its numbers are, although squares overflow in single precision long
  before: a rule takes `norm_of` for it, and where a gradient is too large for that the engine
  gives a rule on a CPU all its numbers in double.
- *Clipped* means that the gradient, or some tensor of it, was made smaller.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from benchmark.gpus import is_gpu
from benchmark.layout import Layout
from benchmark.names import quoted
from benchmark.records import Range
from benchmark.records.declarations import (
    RANGE_OR_NONE,
    SHOWN,
    Function,
    OneOf,
    check_declaration,
)
from benchmark.records.fields import FLAG, Whole, refused
from benchmark.records.fields import Rule as FieldRule

State = dict[str, Tensor]
"""What a strategy remembers of one trial between steps."""


class Context(NamedTuple):
    """What a rule may look at besides the gradient.

    ``parameters`` (D,) before the update; ``loss`` () of this batch; ``norm`` () of the gradient
    as it came from the loss.
    """

    parameters: Tensor
    loss: Tensor
    norm: Tensor
    layout: Layout


REWIND: Literal["rewind"] = "rewind"
"""The stage of a clipping that goes back to an earlier state."""
SNAPSHOT_EVERY = 100
"""Steps between the snapshots that a trial may go back to, of which two are kept."""
FIRST_RETURN = 2 * SNAPSHOT_EVERY
"""Steps until both are later than the start."""

Clipped = tuple[Tensor, State, Tensor]
Rule = Callable[[Tensor, State, Tensor, Context], Clipped]


def no_state(layout: Layout, like: Tensor) -> State:
    """State of a rule that remembers nothing."""
    return {}


def keep(gradient: Tensor, state: State, threshold: Tensor, context: Context) -> Clipped:
    """No clipping: g."""
    return gradient, state, torch.zeros((), dtype=torch.bool, device=gradient.device)


@dataclass(frozen=True)
class Clipping:
    """One clipping strategy.

    Parameters
    ----------
    clip
        ``(gradient (D,), state, threshold (), context) -> (gradient (D,), state, clipped ())``.
    threshold
        The one tunable number; None for a rule without.
    init
        ``(layout, like) -> state``, on the device and in the type of the tensor ``like``.
    stage
        ``"gradient"``: before the optimizer; ``"update"``: on the optimizer's direction;
        ``"step"``: before the optimizer, and a step that is flagged as clipped is not taken at
        all: parameters and the optimizer's state stay as they were; ``"rewind"``: the same, and
        both become what they were 100 to 199 steps before, as does what the rule remembers and
        what the network counts for itself (`benchmark.strategies.clipping.rewinding`).
    exempts_head
        Whether the rule treats the classifier's own tensors (``layout.head``) differently.
    warm_up
        Steps from the first on in which the rule cannot act yet, because it has not seen enough: a
        trial that ends within them says nothing about the rule. A norm that is not finite ends the
        trial, so that every step counts. At least 200 where the stage is ``"rewind"``: before,
        there is no snapshot to go back to.
    scales
        Whether the rule multiplies the whole gradient by one number, which follows from its norm
        (and the loss, the state and the threshold) alone. `benchmark.clip` then needs no copy of
        the gradient.
    warm_up_rule
        What is done in these steps instead; nothing, unless the source says otherwise.
    title
        What a reader sees instead of ``name``, where underscores as spaces do not do.
    formula
        What it does, in one line of plain characters: ``g <- g min(1, c / norm(g))``.

    Raises
    ------
    ValueError
        If a field is not what it has to be: a threshold that is no `Range`, say.
    """

    name: str
    clip: Rule
    threshold: Range | None
    reference: str
    summary: str
    init: Callable[[Layout, Tensor], State] = no_state
    stage: Literal["gradient", "update", "step", "rewind"] = "gradient"
    exempts_head: bool = False
    warm_up: int = 0
    warm_up_rule: Rule = keep
    scales: bool = False
    title: str = ""
    formula: str = ""

    def __post_init__(self) -> None:
        check_declaration("clipping", self, RULES)
        if self.stage == REWIND and self.warm_up < FIRST_RETURN:
            raise ValueError(
                f"clipping {self.name!r}: `warm_up` must be >= {FIRST_RETURN} where the stage is "
                f"{REWIND!r}, which has no snapshot to go back to before, but got {self.warm_up}"
            )


_RULE = Function("(gradient, state, threshold, context) -> (gradient, state, clipped)", 4)
RULES: dict[str, FieldRule] = {
    **SHOWN,
    "clip": _RULE,
    "threshold": RANGE_OR_NONE,
    "init": Function("(layout, like) -> state", 2),
    "stage": OneOf(("gradient", "update", "step", REWIND)),
    "exempts_head": FLAG,
    "warm_up": Whole(0),
    "warm_up_rule": _RULE,
    "scales": FLAG,
}
"""What each field of a `Clipping` may be."""


def threshold_of(clipping: Clipping, value: Any = None) -> float:
    """The threshold that ``value`` means: the published default of None, 0 of a rule without one.

    Raises
    ------
    ValueError
        If it is no number in the clipping's range, or the clipping takes none.
    """
    allowed = clipping.threshold
    if allowed is None:
        if value is not None:
            raise ValueError(f"{clipping.name!r} takes no threshold, but got {quoted(value)}")
        return 0.0
    found = allowed.default if value is None else value
    if not allowed.contains(found):
        raise ValueError(
            f"threshold of {clipping.name!r} must be in {allowed}, but got {quoted(value)}"
        )
    return float(found)


def norm_of(tensor: Tensor, dim: int | None = None) -> Tensor:
    """Root of the sum of squares, over all of ``tensor`` or one dimension, in its own type.

    On a GPU the squares are added in double precision, which takes no longer there.
    """
    dtype = torch.float64 if is_gpu(tensor.device) else None
    return torch.linalg.vector_norm(tensor, dim=dim, dtype=dtype).to(tensor.dtype)


def in_double(rule: Rule) -> Rule:
    """``rule`` with all that it is given in double precision; results in the type they came in."""

    def widened(gradient: Tensor, state: State, threshold: Tensor, context: Context) -> Clipped:
        kept = {k: v.double() if v.is_floating_point() else v for k, v in state.items()}
        seen = context._replace(
            parameters=context.parameters.double(),
            loss=context.loss.double(),
            norm=context.norm.double(),
        )
        clipped, after, flag = rule(gradient.double(), kept, threshold.double(), seen)
        states = {k: v.to(state[k].dtype) for k, v in after.items()}
        return clipped.to(gradient.dtype), states, flag

    return widened


def scale_to(norm: Tensor, limit: Tensor) -> tuple[Tensor, Tensor]:
    """The factor min(1, limit / norm), and whether ``norm`` is above the limit.

    A norm that is zero or not finite gives the factor 1.

    Raises
    ------
    ValueError
        If one of them is no tensor.

    >>> scale_to(torch.tensor(5.0), torch.tensor(1.0))
    (tensor(0.2000), tensor(True))
    """
    if not isinstance(norm, Tensor) or not isinstance(limit, Tensor):
        raise refused("norm", (norm, limit), "a tensor, as must `limit`")
    above = (norm > limit) & torch.isfinite(norm)
    safe = torch.where(above, norm, torch.ones_like(norm))
    return torch.where(above, limit / safe, torch.ones_like(norm)), above


def scale_tensors(vector: Tensor, factors: Tensor, layout: Layout) -> Tensor:
    """``vector`` (D,), each tensor multiplied by its own factor (T,).

    >>> layout = Layout(("weight", "bias"), ((2, 1), (1,)))
    >>> scale_tensors(torch.ones(3), torch.tensor([0.5, 2.0]), layout)
    tensor([0.5000, 0.5000, 2.0000])
    """
    pieces = zip(vector.split(layout.sizes), factors.unbind(), strict=True)
    return torch.cat([piece * factor for piece, factor in pieces])
