"""The rule that leaves a step out."""

from __future__ import annotations

import torch
from torch import Tensor

from benchmark.layout import Layout
from benchmark.strategies.clipping.rule import Clipped, Context, State

WINDOW = 128
FIRST_STEPS = 64


def none_accepted(layout: Layout, like: Tensor) -> State:
    """``accepted`` (2, 128): losses and norms of the last steps taken, and how many there were.

    In double precision, in which their squares fit.
    """
    count = torch.zeros((), dtype=torch.long, device=like.device)
    return {"accepted": like.new_zeros((2, WINDOW), dtype=torch.float64), "count": count}


def skip_outliers(gradient: Tensor, state: State, threshold: Tensor, context: Context) -> Clipped:
    """No update where the loss or the gradient's norm exceeds mean + k std of the last 128 taken.

    The gradient is passed on as it is; the flag says that the step is left out. std is that of a
    sample, with n - 1. Nothing is compared until 64 steps were taken; a step whose loss or norm
    is not finite is left out from the first on. A step left out does not enter the window, so
    that a loss that moves up for good is never accepted again.

    After Ai2's OLMo-core, ``SkipStepOptimizer``, which also skips steps as far below the mean.
    """
    accepted, count = state["accepted"], state["count"]
    values = torch.stack([context.loss.double(), context.norm.double()])
    places = torch.arange(WINDOW, device=accepted.device)
    filled = places < count
    number = count.clamp(min=2, max=WINDOW)
    mean = torch.where(filled, accepted, 0.0).sum(dim=1) / number
    offsets = torch.where(filled, accepted - mean.unsqueeze(1), 0.0)
    deviation = (offsets.square().sum(dim=1) / (number - 1)).sqrt()
    above = values > mean + threshold * deviation
    skipped = (above.any() & (count >= FIRST_STEPS)) | ~torch.isfinite(values).all()
    enters = (places == count % WINDOW) & ~skipped
    updated = {
        "accepted": torch.where(enters, values.unsqueeze(1), accepted),
        "count": count + ~skipped,
    }
    return gradient, updated, skipped
