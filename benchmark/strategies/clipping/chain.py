"""Clippings one after another, as one clipping."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import torch
from torch import Tensor

from benchmark.layout import Layout
from benchmark.names import quoted
from benchmark.records.fields import TEXT
from benchmark.strategies.clipping.rule import Clipped, Clipping, Context, State, threshold_of


def chain(
    first: Clipping, *others: Clipping | tuple[Clipping, float], name: str, summary: str = ""
) -> Clipping:
    """``first``, then each of ``others`` on what it left, as one clipping called ``name``.

    The tunable number is that of ``first``; the others have theirs fixed, at their defaults or as
    ``(clipping, threshold)``. A step counts as clipped where any of them clipped. Each sees the
    loss and the norm of the gradient as it came from the loss, and remembers what it was given. The
    chain can act as soon as one of them can.

    Raises
    ------
    ValueError
        If they do not all act at one place (on the gradient, on the update or on the step), or a
        fixed threshold is outside its range.

    >>> from benchmark.strategies.clipping import CLIPPINGS
    >>> both = chain(CLIPPINGS["autoclip"], (CLIPPINGS["global_norm"], 10.0), name="both")
    >>> both.summary
    'autoclip, then global_norm at 10'
    """
    links = [(first, None)] + [c if isinstance(c, tuple) else (c, None) for c in others]
    if wrong := [rule for rule, _ in links if not isinstance(rule, Clipping)]:
        raise ValueError(f"a chain must be of clippings, but got {quoted(wrong[0])}")
    fixed = [threshold_of(clipping, value) for clipping, value in links[1:]]
    stages = {clipping.stage for clipping, _ in links}
    if len(stages) > 1:
        places = ", ".join(f"{clipping.name} ({clipping.stage})" for clipping, _ in links)
        raise ValueError(f"clippings in a chain must act at one place, but got {places}")
    rules = tuple(clipping for clipping, _ in links)
    at = [
        f"{clipping.name} at {value:g}" if clipping.threshold else clipping.name
        for clipping, value in zip(rules[1:], fixed, strict=True)
    ]
    warming = tuple(dataclasses.replace(rule, clip=rule.warm_up_rule) for rule in rules)
    return Clipping(
        name=name,
        clip=_ClipInTurn(rules, tuple(fixed)),
        threshold=first.threshold,
        reference="; ".join(dict.fromkeys(rule.reference for rule in rules)),
        summary=TEXT("summary", summary) or ", then ".join([first.name, *at]),
        init=_InitInTurn(rules),
        stage=first.stage,
        exempts_head=any(rule.exempts_head for rule in rules),
        warm_up=min(rule.warm_up for rule in rules),
        warm_up_rule=_ClipInTurn(warming, tuple(fixed)),
        scales=all(rule.scales for rule in rules),
    )


# classes that compare by value, because functions inside a function do not reach worker processes
@dataclass(frozen=True)
class _InitInTurn:
    rules: tuple[Clipping, ...]

    def __call__(self, layout: Layout, like: Tensor) -> State:
        return {
            f"{i}.{key}": value
            for i, rule in enumerate(self.rules)
            for key, value in rule.init(layout, like).items()
        }


@dataclass(frozen=True)
class _ClipInTurn:
    """All but the first of ``rules`` have the thresholds ``fixed``."""

    rules: tuple[Clipping, ...]
    fixed: tuple[float, ...]

    def __call__(
        self, gradient: Tensor, state: State, threshold: Tensor, context: Context
    ) -> Clipped:
        limits = [threshold, *(torch.full_like(threshold, value) for value in self.fixed)]
        after: State = {}
        flags = []
        for i, (rule, limit) in enumerate(zip(self.rules, limits, strict=True)):
            own = {k.partition(".")[2]: v for k, v in state.items() if k.startswith(f"{i}.")}
            gradient, own, clipped = rule.clip(gradient, own, limit, context)
            after |= {f"{i}.{key}": value for key, value in own.items()}
            flags.append(clipped)
        return gradient, after, torch.stack(flags).any()
