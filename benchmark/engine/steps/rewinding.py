"""Snapshots of K trials, and the return to them.

They are tensors beside the population's others, of which every step chooses by the trial's own
flag and count: nothing waits for a GPU. On a CPU, where a flag may be looked at, a step in which no
trial goes back or keeps anything copies nothing.
"""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from benchmark.engine.networks.one_by_one import RANDOM_STATE
from benchmark.engine.steps.population import Population
from benchmark.strategies.clipping import State
from benchmark.strategies.clipping.rewinding import COUNTS, course, no_steps_since

KEPT = ("clipping", "optimizer", "buffers")
"""What a snapshot has besides parameters. A loss scale goes on, and so do random numbers."""
OLDER, NEWER = "older", "newer"


def at_the_start(population: Population) -> State:
    """Snapshots of trials that have taken no step: the start, twice."""
    now, trials = _state(population), len(population.parameters)
    counts = no_steps_since(population.parameters)
    found = {name: count.expand(trials).clone() for name, count in counts.items()}
    for place in (OLDER, NEWER):
        found |= {f"{place}.{name}": tensor.clone() for name, tensor in now.items()}
    return found


def rewound(moved: Population, flagged: Tensor, finite: Tensor) -> tuple[Population, Tensor]:
    """``moved`` (K trials after a step), or what it goes back to; and who goes back (K,).

    Parameters
    ----------
    flagged
        (K,), whether the rule flagged the step.
    finite
        (K,), whether loss and norm of the step are finite.
    """
    held = moved.snapshots
    following = course(flagged, finite, {name: held[name] for name in COUNTS})
    returns, kept = following.returns, following.kept
    if returns.device.type == "cpu" and not (returns | kept).any():
        return dataclasses.replace(moved, snapshots=held | following.counts), returns
    now = _state(moved)
    older, newer = ({name: held[f"{p}.{name}"] for name in now} for p in (OLDER, NEWER))
    back = _where(returns, older, now)
    snapshots = {
        **following.counts,
        **_named(OLDER, _where(kept, newer, older)),
        **_named(NEWER, _where(kept, now, _where(returns, older, newer))),
    }
    return _with(moved, back, snapshots), returns


def _state(population: Population) -> State:
    """What a snapshot has of each trial, by name: tensors (K, ...)."""
    found = {"parameters": population.parameters}
    for field in KEPT:
        part: State = getattr(population, field)
        found |= {f"{field}.{k}": v for k, v in part.items() if k != RANDOM_STATE}
    return found


def _with(population: Population, state: State, snapshots: State) -> Population:
    def part(name: str, before: State) -> State:
        return {k: state.get(f"{name}.{k}", v) for k, v in before.items()}

    return dataclasses.replace(
        population,
        parameters=state["parameters"],
        clipping=part("clipping", population.clipping),
        optimizer=part("optimizer", population.optimizer),
        buffers=part("buffers", population.buffers),
        snapshots=snapshots,
    )


def _named(place: str, state: State) -> State:
    return {f"{place}.{name}": tensor for name, tensor in state.items()}


def _where(which: Tensor, some: State, others: State) -> State:
    """``some`` of the trials ``which`` (K,), else ``others``.

    In memory of its own, because running statistics change in place.
    """
    return {
        name: torch.where(which.view(-1, *[1] * (new.dim() - 1)), new, others[name])
        for name, new in some.items()
    }
