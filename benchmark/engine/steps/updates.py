"""What a step does to K trials' parameters at once, without lifting the strategies.

Lifting a strategy with `torch.func.vmap` costs some 0.2 ms a step whatever the strategy does, a
fifth of a step of sixteen digits MLPs. Optimizers that work element by element are functions
of all trials' numbers as they are of one's; and of the clippings the
commonest have a form for all trials here. Any other strategy is lifted.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from benchmark.layout import Layout
from benchmark.strategies.clipping import Clipping, State, scale_to
from benchmark.strategies.clipping.fixed import clip_by_global_norm
from benchmark.strategies.clipping.rule import keep
from benchmark.strategies.optimizers import Optimizer, UpdateContext
from benchmark.strategies.returned import check_direction, checked_once

Tensors = dict[str, Tensor]
Change = Callable[[Tensor, State, State, Tensors], tuple[Tensor, State, State, Tensor]]
"""``(gradient (K, D), clipping's state, optimizer's state, values) -> (parameters (K, D), both
states, clipped (K,))``. Values are ``parameters`` (K, D), and (K,) each ``loss``, ``norm`` (of the
gradient), ``threshold``, ``momentum`` and ``rate``."""

_Limit = Callable[[Tensor, Tensors], tuple[Tensor, Tensor]]


def keep_all(gradient: Tensor, values: Tensors) -> tuple[Tensor, Tensor]:
    """No clipping, of K gradients (K, D)."""
    return gradient, torch.zeros_like(values["norm"], dtype=torch.bool)


def limit_global_norms(gradient: Tensor, values: Tensors) -> tuple[Tensor, Tensor]:
    """Each of K gradients (K, D) scaled to its trial's threshold."""
    factor, clipped = scale_to(values["norm"], values["threshold"])
    return gradient * factor.unsqueeze(1), clipped


LIMITS: dict[Callable[..., object], _Limit] = {
    keep: keep_all,
    clip_by_global_norm: limit_global_norms,
}
"""The form for all trials of a clipping's rule, which remembers nothing."""


def at_once(clipping: Clipping, optimizer: Optimizer, layout: Layout) -> Change | None:
    """The change of all trials together, or None where the strategies have to be lifted.

    >>> from benchmark.strategies.clipping import CLIPPINGS
    >>> from benchmark.strategies.optimizers import OPTIMIZERS
    >>> layout = Layout(("weight",), ((2, 1),))
    >>> at_once(CLIPPINGS["zclip"], OPTIMIZERS["sgd"], layout) is None
    True
    """
    limit = LIMITS.get(clipping.clip)
    if limit is None or clipping.stage != "gradient" or not optimizer.elementwise:
        return None
    directed = checked_once(
        optimizer.direction, lambda found, *given: check_direction(optimizer, found, *given[:2])
    )

    def change(
        gradient: Tensor, clip_state: State, memory: State, values: Tensors
    ) -> tuple[Tensor, State, State, Tensor]:
        # a trial's single number stands beside all of its parameters
        parameters, rate = values["parameters"], values["rate"].unsqueeze(1)
        context = UpdateContext(parameters, rate, values["momentum"].unsqueeze(1), layout)
        direction, clipped = limit(gradient, values)
        columns = {k: v.unsqueeze(1) if v.dim() == 1 else v for k, v in memory.items()}
        direction, columns = directed(direction, columns, context)
        remembered = {k: v.view(memory[k].shape) for k, v in columns.items()}
        moved = torch.addcmul(parameters, direction, rate, value=-1)
        return moved, clip_state, remembered, clipped

    return change
