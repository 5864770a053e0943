"""Rules whose limit follows the gradient norms seen so far.

A norm that is not finite leaves what a rule remembers as it was, and does not count as a step of
its warm-up.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from benchmark.layout import Layout
from benchmark.strategies.clipping.rule import (
    Clipped,
    Context,
    State,
    norm_of,
    scale_tensors,
    scale_to,
)

AUTOCLIP_HISTORY = 10_000
AUTOCLIP_WARMUP = 1


def empty_history(layout: Layout, like: Tensor) -> State:
    """No norms yet: ``recent`` (10,000,) in order of arrival, ``ranked`` the same in order of size.

    Infinity stands where no norm is yet, which is above any that may come.
    """
    empty = like.new_full((AUTOCLIP_HISTORY,), math.inf)
    count = torch.zeros((), dtype=torch.long, device=like.device)
    return {"recent": empty, "ranked": empty.clone(), "count": count}


def remember(norm: Tensor, state: State) -> State:
    """The history with ``norm`` () in the place of the oldest of the last 10,000.

    The ranked copy is kept in order without sorting: with a value inserted, each place holds the
    value clamped between its two old neighbours; with a value removed, all above it move down.
    """
    slot = (state["count"] % AUTOCLIP_HISTORY).unsqueeze(0)
    oldest = state["recent"].gather(0, slot)
    finite = torch.isfinite(norm)
    # the oldest in its own place changes nothing
    entry = torch.where(finite, norm, oldest)
    below = torch.cat([torch.zeros_like(oldest), state["ranked"]])
    above = torch.cat([state["ranked"], torch.full_like(oldest, math.inf)])
    inserted = torch.clamp(entry, below, above)
    ranked = torch.where(inserted[:-1] >= oldest, inserted[1:], inserted[:-1])
    recent = state["recent"].scatter(0, slot, entry)
    return {"recent": recent, "ranked": ranked, "count": state["count"] + finite}


def percentile(state: State, percent: Tensor) -> Tensor:
    """The percentile () of the history, linear between neighbours as in numpy; NaN without any."""
    last = (state["count"].clamp(max=AUTOCLIP_HISTORY) - 1).clamp(min=0)
    place = last * (percent / 100)
    low = place.long()
    neighbours = torch.stack([low, torch.minimum(low + 1, last)])
    value, following = state["ranked"].gather(0, neighbours).unbind()
    return value + (place - low) * (following - value)


def clip_by_percentile(
    gradient: Tensor, state: State, threshold: Tensor, context: Context
) -> Clipped:
    """AutoClip: global norm at the p-th percentile of all norms so far, this one included.

    The history is a ring of the last 10,000 norms. The warm-up is a single step: the first gradient
    is its own percentile and stays as it is. Where p percent of the norms are zero, the limit is
    zero. Seetharaman et al. 2020, 2007.14469.
    """
    norm = norm_of(gradient)
    state = remember(norm, state)
    factor, clipped = scale_to(norm, percentile(state, threshold))
    return gradient * factor, state, clipped


ZCLIP_WARMUP = 25
ZCLIP_DECAY = 0.97
ZCLIP_FLOOR = 1e-6
ZCLIP_CAP = 1.0


def cap_norm(gradient: Tensor, state: State, threshold: Tensor, context: Context) -> Clipped:
    """No norm above 1, whatever the threshold: what zclip_capped and adagc do in their warm-up."""
    norm = norm_of(gradient)
    factor, clipped = scale_to(norm, torch.ones_like(norm))
    return gradient * factor, state, clipped


def no_norms(layout: Layout, like: Tensor) -> State:
    """Mean and variance () of the norms, in which squares fit, and how many there were."""
    count = torch.zeros((), dtype=torch.long, device=like.device)
    zero = like.new_zeros((), dtype=torch.float64)
    return {"mean": zero, "variance": zero.clone(), "count": count}


def z_limit(norm: Tensor, state: State, threshold: Tensor) -> tuple[Tensor, State]:
    """Limit () of ZClip for a gradient of this norm, the norm itself where there is none."""
    mean, variance, count = state["mean"], state["variance"], state["count"]
    warming = count < ZCLIP_WARMUP
    value = norm.double()
    finite = torch.isfinite(value)
    deviation = variance.sqrt()
    z = (value - mean) / (deviation + ZCLIP_FLOOR)
    outlier = (z > threshold) & ~warming
    limit = torch.where(outlier, mean + threshold.square() * deviation / z, value)
    # with the weight 1/n and (x - m)(x - m_new): mean and population variance of all n so far
    weight = torch.where(warming, (count + 1).double().reciprocal(), 1 - ZCLIP_DECAY)
    off = limit - mean
    moved = mean + weight * off
    square = torch.where(warming, off, limit - moved) * (limit - moved)
    updated = {
        "mean": torch.where(finite, moved, mean),
        "variance": torch.where(finite, (1 - weight) * variance + weight * square, variance),
        "count": count + finite,
    }
    return limit.to(norm.dtype), updated


def clip_by_z_score(gradient: Tensor, state: State, threshold: Tensor, context: Context) -> Clipped:
    """ZClip: a norm of more than z0 standard deviations above the mean is brought near the mean.

    With m and v the exponential averages (0.97) of the norms after clipping and of their squared
    distance from m, and z = (norm - m) / (sqrt(v) + 1e-6): where z > z0, g is scaled to the norm
    m + z0^2 sqrt(v) / z. The first 25 norms only give m and v, their mean and population variance;
    nothing is clipped meanwhile. If all 25 were zero, so is every limit after them. Kumar et al.
    2025, 2504.02507.
    """
    norm = norm_of(gradient)
    limit, state = z_limit(norm, state, threshold)
    factor, clipped = scale_to(norm, limit)
    return gradient * factor, state, clipped


def clip_by_capped_z_score(
    gradient: Tensor, state: State, threshold: Tensor, context: Context
) -> Clipped:
    """ZClip, and no norm above 1, in the warm-up too.

    The averages follow the norms before the cap, as in the published code, whose default this is.
    """
    norm = norm_of(gradient)
    limit, state = z_limit(norm, state, threshold)
    factor, clipped = scale_to(norm, limit.clamp(max=ZCLIP_CAP))
    return gradient * factor, state, clipped


ADAGC_FIRST_STEP = 100
ADAGC_WARMUP = ADAGC_FIRST_STEP - 1
ADAGC_DECAY = 0.98


def no_tensor_norms(layout: Layout, like: Tensor) -> State:
    """``gamma`` (T,): infinite for a tensor that has no norm yet; and the number of steps."""
    steps = torch.zeros((), dtype=torch.long, device=like.device)
    return {"gamma": like.new_full((len(layout.names),), math.inf), "steps": steps}


def clip_by_tensor_history(
    gradient: Tensor, state: State, threshold: Tensor, context: Context
) -> Clipped:
    """AdaGC: each tensor's norm limited to c times an average of its own past norms.

    With gamma that average, g <- g min(1, c gamma / norm(g)) per tensor, and then
    gamma <- 0.98 gamma + 0.02 norm(g). In the steps t = 1 .. 99 the whole gradient is clipped to
    the norm 1 instead, and gamma is the least norm of the tensor so far. A norm of zero, or a
    step whose whole norm is not finite, does not count for that: at gamma = 0 the tensor would
    stay frozen for good. Wang et al. 2025, 2502.11034.
    """
    layout, gamma = context.layout, state["gamma"]
    norms = torch.stack([norm_of(p) for p in gradient.split(layout.sizes)])
    total = norm_of(norms)
    steps = state["steps"] + 1
    warming = steps < ADAGC_FIRST_STEP
    together, _ = scale_to(total, torch.ones_like(total))
    apart, _ = scale_to(norms, threshold * gamma)
    factors = torch.where(warming, together, apart)
    norms = norms * factors
    least = torch.minimum(gamma, torch.where(norms > 0, norms, math.inf))
    average = ADAGC_DECAY * gamma + (1 - ADAGC_DECAY) * norms
    followed = torch.where(warming | torch.isinf(gamma), least, average)
    finite = torch.isfinite(total)
    updated = {
        "gamma": torch.where(finite, followed, gamma),
        "steps": torch.where(finite, steps, state["steps"]),
    }
    return scale_tensors(gradient, factors, layout), updated, (factors < 1).any()
