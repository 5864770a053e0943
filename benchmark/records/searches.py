"""A question, and a search of a space of trials that answers it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from benchmark.records.fields import check_checkpoints
from benchmark.records.levels import Levels, plain_levels
from benchmark.records.narrowing import custom_objects, selected
from benchmark.records.ranges import Range
from benchmark.records.trials import check_factors


@dataclass(frozen=True, kw_only=True)
class Search:
    """A question, and a search of a space of trials that answers it.

    The space is searched once for every combination of ``each`` and every sampler, in
    generations of fixed size that are told in trial order: a seed gives the same search
    whatever the number of workers. The winners, and the best cell of the grid where one lies
    beside this study, are then trained on fresh seeds.

    Parameters
    ----------
    space
        A `Range` or a sequence of levels for each searched field of `Trial`. Thresholds and
        parameters of strategies need not be named: each strategy's own declared range is
        searched when the strategy is drawn.
    each
        Factors for every combination of which a search of its own is made.
    fixed
        Values of the other fields.
    samplers
        Among ``"tpe"``, ``"random"``, ``"quasi-random"`` and ``"grid-random"``: the cells of a
        grid in random order (half-decades of a range, strategies at their defaults).
    trials
        Trials of each search.
    generation
        Trials asked before any of them is told.
    confirm_seeds
        Fresh seeds on which the winners are trained again.
    """

    name: str
    question: str
    space: Mapping[str, Any]
    each: Levels = field(default_factory=dict)
    fixed: Mapping[str, Any] = field(default_factory=dict)
    samplers: Sequence[str] = ("tpe", "random", "quasi-random", "grid-random")
    trials: int = 40
    generation: int = 8
    seed: int = 0
    confirm_seeds: Sequence[int] = (1000, 1001, 1002)
    checkpoints: int = 20

    def __post_init__(self) -> None:
        check_checkpoints(self.checkpoints)
        for mapping in (self.space, self.each, self.fixed):
            check_factors(mapping)

    def only(self, selection: Mapping[str, Sequence[str]]) -> Search:
        """This search with factors narrowed, or fixed to other values than its own."""
        custom = custom_objects([self.space, self.each, self.fixed])
        left = dict(selection)
        samplers = tuple(left.pop("arm", self.samplers))
        each = {
            k: selected(k, left.pop(k), custom) if k in left else v for k, v in self.each.items()
        }
        # a searched range narrowed to values becomes a choice among them
        space = {k: selected(k, left[k], custom) if k in left else v for k, v in self.space.items()}
        extra = {k: v for k, v in left.items() if k not in self.space}
        each = {**each, **{k: selected(k, v, custom) for k, v in extra.items()}}
        fixed = {k: v for k, v in self.fixed.items() if k not in extra}
        return dataclasses.replace(self, space=space, each=each, fixed=fixed, samplers=samplers)

    def definition(self) -> dict[str, Any]:
        """The whole search as plain values, for the metadata of its files."""
        space = {
            k: dataclasses.asdict(v) if isinstance(v, Range) else plain_levels({k: v})[k]
            for k, v in self.space.items()
        }
        return {
            "kind": "search",
            "name": self.name,
            "question": self.question,
            "space": space,
            "each": plain_levels(self.each),
            "fixed": plain_levels(self.fixed),
            "samplers": list(self.samplers),
            "trials": self.trials,
            "generation": self.generation,
            "seed": self.seed,
            "confirm_seeds": list(self.confirm_seeds),
            "checkpoints": self.checkpoints,
        }
