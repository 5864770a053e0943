"""A question, and a search of a space of trials that answers it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from benchmark.names import UnknownName, unknown
from benchmark.records.fields import (
    CHECKPOINTS,
    QUESTION,
    SEED,
    STUDY_NAME,
    TEXT,
    TRIAL,
    Real,
    Rule,
    Several,
    Whole,
    check_fields,
    refused,
)
from benchmark.records.levels import Levels, checked_block, checked_levels, plain_levels
from benchmark.records.narrowing import BUDGETS, checked_selection, custom_objects, selected
from benchmark.records.ranges import Range
from benchmark.records.trials import NUMERIC_FACTORS

SAMPLERS = ("tpe", "random", "quasi-random", "grid-random")
"""What a search may draw its trials by."""


@dataclass(frozen=True, kw_only=True)
class Search:
    """A question, and a search of a space of trials that answers it.

    The space is searched once for every combination of ``each`` and every sampler, in
    generations of fixed size that are told in trial order: a seed gives the same search
    whatever the number of workers. The winners, and the best cell of the grid where one lies
    beside this study, are then trained on fresh seeds.

    Parameters
    ----------
    name
        Folder of its results, as that of a `Study`.
    space
        A `Range` or a sequence of levels for each searched field of `Trial`. Thresholds and
        parameters of strategies need not be named: each strategy's own declared range is
        searched when the strategy is drawn.
    each
        Factors for every combination of which a separate search is made. With several seeds each
        sampler searches several times, on each seed by other draws: only that tells a
        sampler from its luck.
    fixed
        Values of the other fields.
    samplers
        Among `SAMPLERS`, of which ``"grid-random"`` takes the cells of a grid in random order
        (half-decades of a range, strategies at their defaults).
    trials
        Trials of each search.
    generation
        Trials asked before any of them is told.
    confirm_seeds
        Fresh seeds on which the winners are trained again.

    Raises
    ------
    ValueError
        For the first field, factor or level that is not allowed.
    """

    name: str
    question: str
    space: Mapping[str, Any]
    each: Levels = field(default_factory=dict)
    fixed: Mapping[str, Any] = field(default_factory=dict)
    samplers: Sequence[str] = SAMPLERS
    trials: int = 40
    generation: int = 8
    seed: int = 0
    confirm_seeds: Sequence[int] = (1000, 1001, 1002)
    checkpoints: int = 20

    def __post_init__(self) -> None:
        check_fields(self, RULES)
        names = [*self.space, *self.each, *self.fixed]
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise ValueError(f"`{twice}` stands in two of `space`, `each` and `fixed`")

    def parting(self) -> list[str]:
        """Searched fields that keep trials apart: those of one unit have one level of each.

        All of several levels but the numbers that change no tensor's shape. Where each has one
        value, in ``fixed`` or in ``each``, a generation of all samplers and seeds is one unit.

        >>> space = {"learning_rate": Range(0.1, 1.0, default=0.1), "clipping": ("none", "value")}
        >>> Search(name="s", question="Which is best?", space=space).parting()
        ['clipping']
        """
        return [
            name
            for name, levels in self.space.items()
            if name not in NUMERIC_FACTORS and (isinstance(levels, Range) or len(levels) > 1)
        ]

    def blocks(self) -> list[Levels]:
        """All levels that may stand in a trial of this search, in blocks as those of a `Study`."""
        return [self.space, self.each, self.fixed]

    def only(self, selection: Mapping[str, Sequence[str]]) -> Search:
        """This search with factors narrowed, or fixed to other values than its own.

        Raises
        ------
        ValueError
            If it is no mapping of factors to values, or a number is none.
        """
        custom = custom_objects(self.blocks())
        left = checked_selection(selection)
        samplers = tuple(left.pop("arm", self.samplers))
        each = {
            k: selected(k, left.pop(k), custom) if k in left else v for k, v in self.each.items()
        }
        # a searched range narrowed to values becomes a choice among them
        space = {k: selected(k, left[k], custom) if k in left else v for k, v in self.space.items()}
        extra = {k: v for k, v in left.items() if k not in self.space}
        each = {**each, **{k: selected(k, v, custom) for k, v in extra.items()}}
        # a budget takes the place of one in the other unit
        gone = {*extra, *(BUDGETS[k] for k in selection if k in BUDGETS)}
        fixed = {k: v for k, v in self.fixed.items() if k not in gone}
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


def _factors(field: str, value: Any, *, empty: bool = True) -> dict[str, Any]:
    block = checked_block(field, value, empty=empty)
    if "arm" in block:
        raise ValueError("`arm` is no factor of a search: it says which sampler drew a trial")
    return block


def _space(field: str, value: Any) -> dict[str, Any]:
    block = _factors(field, value, empty=False)
    return {name: _searched(name, levels) for name, levels in block.items()}


def _searched(factor: str, levels: Any) -> Any:
    if not isinstance(levels, Range):
        return checked_levels(factor, levels)
    rule = TRIAL[factor]
    if not isinstance(rule, Whole | Real):
        raise refused(factor, levels, "levels to choose from")
    if isinstance(rule, Whole) and not levels.integer:
        raise refused(factor, levels, "a Range with integer=True")
    for end in (levels.low, levels.high):
        rule(factor, end)
    return levels


def _each(field: str, value: Any) -> dict[str, Any]:
    return {name: checked_levels(name, levels) for name, levels in _factors(field, value).items()}


def _fixed(field: str, value: Any) -> dict[str, Any]:
    return {name: TRIAL[name](name, level) for name, level in _factors(field, value).items()}


def _samplers(field: str, value: Any) -> tuple[str, ...]:
    names = (value,) if isinstance(value, str) else value
    return Several(_sampler, "names of samplers")(field, names)


def _sampler(field: str, value: Any) -> str:
    name = TEXT(field, value)
    if name not in SAMPLERS:
        raise UnknownName(unknown("sampler", name, SAMPLERS))
    return name


RULES: dict[str, Rule] = {
    "name": STUDY_NAME,
    "question": QUESTION,
    "space": _space,
    "each": _each,
    "fixed": _fixed,
    "samplers": _samplers,
    "trials": Whole(1),
    "generation": Whole(1),
    "seed": SEED,
    "confirm_seeds": Several(SEED, "whole numbers >= 0", least=0),
    "checkpoints": CHECKPOINTS,
}
"""What each field of a `Search` may be."""
