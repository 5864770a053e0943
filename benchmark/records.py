"""The plain records that everything else passes around: no torch, no files."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import itertools
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable


@runtime_checkable
class Named(Protocol):
    """Anything that has a name: a clipping, a normalization, a data set of one's own."""

    @property
    def name(self) -> str:
        """What rows and command lines call it."""
        ...


Choice = str | Named
"""A strategy, model or data set: the name of a registered one, or the object itself."""


def name_of(choice: Choice) -> str:
    """Name under which ``choice`` is recorded."""
    return choice if isinstance(choice, str) else choice.name


@dataclass(frozen=True)
class Range:
    """Interval ``[low, high]`` of one tunable number, with the default that its source gives.

    ``log`` says that a search draws its logarithm uniformly; ``integer`` that only whole
    numbers are allowed.

    Raises
    ------
    ValueError
        If ``low <= default <= high`` does not hold, or ``log`` is asked of ``low <= 0``.

    >>> Range(1e-2, 1e2, default=1.0).contains(5.0)
    True
    """

    low: float
    high: float
    default: float
    log: bool = True
    integer: bool = False

    def __post_init__(self) -> None:
        if not self.low <= self.default <= self.high:
            raise ValueError(
                "`low <= default <= high` must hold, "
                f"but got (low={self.low}, default={self.default}, high={self.high})"
            )
        if self.log and self.low <= 0:
            raise ValueError(f"`low > 0` must hold with log=True, but got low={self.low}")

    def contains(self, value: float) -> bool:
        """Whether ``value`` is allowed."""
        whole = not self.integer or float(value).is_integer()
        return whole and self.low <= value <= self.high

    def __str__(self) -> str:
        return f"{self.low:g}..{self.high:g}"


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One configuration with one seed.

    Strategies, the model and the data set are given by name, or as objects of one's own.
    ``None`` stands for the default of the strategy or model and is filled in by
    `benchmark.engine.resolve`, so that a recorded trial is always explicit.

    Parameters
    ----------
    depth, width
        Number of hidden layers, and features of the first; only models that can vary them take
        another than their own.
    initialization, init_gain
        Where the weights are drawn from, and what multiplies the hidden weights.
    train_fraction
        Share of the training set that is used, in (0, 1]: its first examples.
    loss
        What is minimized.
    learning_rate
        Rate before the schedule's factor.
    learning_rate_scaling
        How the rate follows the batch size when a policy changes it.
    clipping_threshold, batch_policy_parameter
        The one tunable number of the clipping and of the batch policy.
    batch_size
        Examples in the first update, unless the policy sets its own.
    epochs
        Budget, in passes over the training set; 0 measures the network as it was initialized.
    precision
        In which the arithmetic is done.
    seed
        Fixes the initial weights and the order of the data, whatever the strategy.
    arm
        Part of the study that asked for this trial (a sampler's name, say); empty in a grid.
    """

    dataset: Choice = "digits"
    train_fraction: float = 1.0
    model: Choice = "mlp"
    depth: int | None = None
    width: int | None = None
    initialization: Choice = "he"
    init_gain: float = 1.0
    normalization: Choice = "none"
    loss: Choice = "cross_entropy"
    optimizer: Choice = "sgd"
    learning_rate: float = 0.1
    learning_rate_scaling: Choice = "none"
    schedule: Choice = "constant"
    clipping: Choice = "none"
    clipping_threshold: float | None = None
    batch_policy: Choice = "fixed"
    batch_policy_parameter: float | None = None
    batch_size: int = 32
    epochs: float = 5.0
    precision: Choice = "float32"
    seed: int = 0
    arm: str = ""

    def row(self) -> dict[str, Any]:
        """The configuration as plain values, one a column."""
        return {name: _plain(getattr(self, name)) for name in CONFIGURATION}

    @functools.cached_property
    def key(self) -> str:
        """Twelve hexadecimal digits that identify this trial in every file and on every machine."""
        return _digest(self.row())

    @functools.cached_property
    def cell(self) -> str:
        """Identifies the configuration without its seed."""
        row = self.row()
        del row["seed"]
        return _digest(row)


CONFIGURATION: tuple[str, ...] = tuple(f.name for f in dataclasses.fields(Trial))
"""Names of the columns that say what a trial is, as opposed to what came out."""

WHOLE_NUMBERS = ("depth", "width", "batch_size", "seed")
REAL_NUMBERS = (
    *("train_fraction", "init_gain", "learning_rate", "clipping_threshold"),
    *("batch_policy_parameter", "epochs"),
)
"""The fields of a `Trial` that are numbers; the others are names."""

NUMERIC_FACTORS = frozenset({"learning_rate", "clipping_threshold", "init_gain", "seed"})
"""Factors in which the trials of one unit may differ: numbers that change no tensor's shape."""


def _digest(row: Mapping[str, Any]) -> str:
    # 1 and 1.0 are the same configuration: every number is written as a float
    plain = {k: float(v) if isinstance(v, int | float) else v for k, v in row.items()}
    text = json.dumps(plain, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


Levels = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Study:
    """A question, and the full factorial of trials that answers it.

    Parameters
    ----------
    name
        Folder of its results.
    question
        One sentence that ends in a question mark.
    factors
        Levels of each `Trial` field that is varied or fixed: a sequence of levels, or one value.
        A list of such mappings is the union of their factorials (thresholds that belong to
        one clipping only, say).
    seeds
        Every cell is run once with each.
    checkpoints
        Rows of history a trial, evenly spaced over the budget (a multiple of 4, so that
        batch policies with quarter milestones decide on time).
    layers
        Whether per-layer rows are recorded at every checkpoint.
    sharpness
        Whether the largest Hessian eigenvalue is measured at each quarter of the checkpoints.

    >>> study = Study(name="demo", question="Which rate?", factors={"learning_rate": [0.1, 1.0]})
    >>> len(list(study.trials()))
    2
    """

    name: str
    question: str
    factors: Levels | Sequence[Levels]
    seeds: Sequence[int] = (0,)
    checkpoints: int = 20
    layers: bool = False
    sharpness: bool = False

    def __post_init__(self) -> None:
        check_checkpoints(self.checkpoints)
        for block in self.blocks():
            check_factors(block)

    def blocks(self) -> list[Levels]:
        """The factorials whose union this study is."""
        return [self.factors] if isinstance(self.factors, Mapping) else list(self.factors)

    def trials(self) -> Iterator[Trial]:
        """Every expected trial once, the seed varying fastest."""
        seen = set()
        for block in self.blocks():
            names = [name for name in block if name != "seed"]
            for values in itertools.product(*(levels_of(block[name]) for name in names)):
                for seed in self.seeds:
                    trial = Trial(**dict(zip(names, values, strict=True)), seed=seed)
                    if trial.key not in seen:
                        seen.add(trial.key)
                        yield trial

    def only(self, selection: Mapping[str, Sequence[str]]) -> Study:
        """This study with factors narrowed, or fixed to other values than its own.

        A value that some block has keeps the trials with it; one that none has is set in all.

        Raises
        ------
        ValueError
            If a number is none, or the arm is named, which only a search has.

        >>> study = Study(
        ...     name="demo",
        ...     question="Which threshold?",
        ...     factors=[{"clipping": "none"}, {"clipping": "value", "clipping_threshold": 0.1}],
        ... )
        >>> [trial.clipping for trial in study.only({"clipping": ["value"]}).trials()]
        ['value']
        """
        if "arm" in selection:
            raise ValueError(f"`arm` narrows a search, but {self.name!r} has no arms")
        blocks = self.blocks()
        own = own_objects(blocks)
        for name, texts in selection.items():
            if name != "seed":
                blocks = _narrowed(blocks, name, _chosen(name, texts, own))
        seeds = _typed("seed", selection["seed"]) if "seed" in selection else self.seeds
        return dataclasses.replace(self, factors=blocks, seeds=tuple(seeds))

    def definition(self) -> dict[str, Any]:
        """The whole study as plain values, for the metadata of its files."""
        return {
            "kind": "study",
            "name": self.name,
            "question": self.question,
            "factors": [plain_levels(block) for block in self.blocks()],
            "seeds": list(self.seeds),
            "checkpoints": self.checkpoints,
            "layers": self.layers,
            "sharpness": self.sharpness,
        }


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
        Among ``"tpe"``, ``"random"`` and ``"quasi-random"``.
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
    samplers: Sequence[str] = ("tpe", "random", "quasi-random")
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
        own = own_objects([self.space, self.each, self.fixed])
        left = dict(selection)
        samplers = tuple(left.pop("arm", self.samplers))
        each = {k: _chosen(k, left.pop(k), own) if k in left else v for k, v in self.each.items()}
        # a searched range narrowed to values becomes a choice among them
        space = {k: _chosen(k, left[k], own) if k in left else v for k, v in self.space.items()}
        extra = {k: v for k, v in left.items() if k not in self.space}
        each = {**each, **{k: _chosen(k, v, own) for k, v in extra.items()}}
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


def levels_of(value: Any) -> list[Any]:
    """The levels of a factor: one value counts as a single level."""
    if isinstance(value, str) or not isinstance(value, Iterable):
        return [value]
    return list(value)


def plain_levels(block: Levels) -> dict[str, list[Any]]:
    """A block of levels as plain values."""
    return {name: [_plain(v) for v in levels_of(value)] for name, value in block.items()}


Own = Mapping[tuple[str, str], Named]
"""Objects of the user's own by factor and name."""


def own_objects(blocks: Iterable[Levels]) -> Own:
    """The objects among the levels of ``blocks``: a command line chooses them by their names."""
    return {
        (factor, level.name): level
        for block in blocks
        for factor, levels in block.items()
        for level in levels_of(levels)
        if isinstance(level, Named)
    }


def _narrowed(blocks: Sequence[Levels], name: str, chosen: list[Any]) -> list[Levels]:
    """The blocks that have a level among ``chosen``, with only these of the factor."""
    default = Trial.__dataclass_fields__[name].default
    levels = [[_plain(v) for v in levels_of(block.get(name, default))] for block in blocks]
    new = [v for v in chosen if not any(_plain(v) in had for had in levels)]
    kept = [[v for v in chosen if v in new or _plain(v) in had] for had in levels]
    return [{**block, name: left} for block, left in zip(blocks, kept, strict=True) if left]


def _plain(level: Any) -> Any:
    # not isinstance: to check a protocol takes longer than all else that is done with a trial
    return getattr(level, "name", level)


def _chosen(name: str, texts: Sequence[str], own: Own) -> list[Any]:
    return [own.get((name, value), value) for value in _typed(name, texts)]


def _typed(name: str, texts: Sequence[str]) -> list[Any]:
    """Values of a command line in the type of the field, or one clear error."""
    number = int if name in WHOLE_NUMBERS else float if name in REAL_NUMBERS else str
    try:
        return [number(text) for text in texts]
    except ValueError:
        wanted = "whole numbers" if number is int else "numbers"
        raise ValueError(f"{name} takes {wanted}, but got {','.join(texts)!r}") from None


def check_factors(block: Mapping[str, Any]) -> None:
    """Raise a ValueError that names the first key that is no field of `Trial`."""
    for name in block:
        if name not in CONFIGURATION:
            raise ValueError(f"unknown factor {name!r}; allowed: {', '.join(CONFIGURATION)}")


def check_checkpoints(checkpoints: int) -> None:
    """Raise a ValueError unless the number of checkpoints is a positive multiple of 4."""
    if checkpoints < 4 or checkpoints % 4:
        raise ValueError(f"`checkpoints` must be a positive multiple of 4, but got {checkpoints}")


def is_finite(value: float | None) -> bool:
    """Whether ``value`` is a number that is neither NaN nor infinite."""
    return value is not None and math.isfinite(value)
