"""Rules that leave a step out, after Ai2's OLMo-core, ``SkipStepOptimizer``.

The published rule compares a step with the last 128, whatever became of them: where the loss moves
up for good, the window follows and training resumes. The stricter one compares with the last 128
that were taken. Both skip only what is too large here, where OLMo-core also skips what is as far
below the mean.
"""

from __future__ import annotations

import torch
from torch import Tensor

from benchmark.layout import Layout
from benchmark.strategies.clipping.rule import Clipped, Context, State

WINDOW = 128
FIRST_STEPS = 64


def no_steps(layout: Layout, like: Tensor) -> State:
    """``window`` (2, 128): losses and norms of earlier steps, and how many there were.

    In double precision, in which their squares fit.
    """
    count = torch.zeros((), dtype=torch.long, device=like.device)
    return {"window": like.new_zeros((2, WINDOW), dtype=torch.float64), "count": count}


def skip_outliers(gradient: Tensor, state: State, threshold: Tensor, context: Context) -> Clipped:
    """No update where the loss or the gradient's norm exceeds mean + k std of the last 128.

    The gradient is passed on as it is; the flag says that the step is left out. std is that of a
    sample, with n - 1. Nothing is compared before 64 steps; a step whose loss or norm is not finite
    is left out from the first on, and does not enter the window.
    """
    values, skipped = _compared(state, threshold, context)
    return gradient, _with(state, values, torch.isfinite(values).all()), skipped


def skip_outliers_of_taken(
    gradient: Tensor, state: State, threshold: Tensor, context: Context
) -> Clipped:
    """`skip_outliers` with a window of the last 128 steps that were taken.

    A step left out does not enter the window, so that a loss that moves up for good is never
    accepted again.
    """
    values, skipped = _compared(state, threshold, context)
    return gradient, _with(state, values, ~skipped), skipped


def _compared(state: State, threshold: Tensor, context: Context) -> tuple[Tensor, Tensor]:
    """Loss and norm (2,) of this step, and whether it is left out."""
    window, count = state["window"], state["count"]
    values = torch.stack([context.loss.double(), context.norm.double()])
    filled = torch.arange(WINDOW, device=window.device) < count
    number = count.clamp(min=2, max=WINDOW)
    mean = torch.where(filled, window, 0.0).sum(dim=1) / number
    offsets = torch.where(filled, window - mean.unsqueeze(1), 0.0)
    deviation = (offsets.square().sum(dim=1) / (number - 1)).sqrt()
    above = values > mean + threshold * deviation
    return values, (above.any() & (count >= FIRST_STEPS)) | ~torch.isfinite(values).all()


def _with(state: State, values: Tensor, enters: Tensor) -> State:
    """The window with ``values`` (2,) in the place of the oldest where the step ``enters``."""
    window, count = state["window"], state["count"]
    place = torch.arange(WINDOW, device=window.device) == count % WINDOW
    return {
        "window": torch.where(place & enters, values.unsqueeze(1), window),
        "count": count + enters,
    }
