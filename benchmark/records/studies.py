"""A question, and the full factorial of trials that answers it."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmark.records.fields import (
    CHECKPOINTS,
    FLAG,
    QUESTION,
    SEEDS,
    STUDY_NAME,
    TRIAL,
    Rule,
    check_fields,
    refused,
    sequence,
)
from benchmark.records.levels import Levels, checked_block, checked_levels, levels_of, plain_levels
from benchmark.records.narrowing import checked_selection, custom_objects, narrowed, selected, typed
from benchmark.records.rates import SELECT, RelativeRates
from benchmark.records.trials import Trial


@dataclass(frozen=True, kw_only=True)
class Study:
    """A question, and the full factorial of trials that answers it.

    Parameters
    ----------
    name
        Folder of its results: letters, digits, ``_``, ``-`` and ``.``, at most 64.
    question
        One sentence that ends in a question mark.
    factors
        Levels of each `Trial` field that is varied or fixed: a sequence of levels, or one value.
        A list of such mappings is the union of their factorials (thresholds that belong to
        one clipping only, say). A level of the learning rate may be `RelativeRates`: the
        configuration's own best rate and its multiples.
    seeds
        Every cell is run once with each, unless its block has the factor ``seed``; a best rate
        is found on other seeds.
    checkpoints
        Rows of history a trial, evenly spaced over the budget (a multiple of 4, so that
        batch policies with quarter milestones decide on time).
    layers
        Whether per-layer rows are recorded at every checkpoint.
    sharpness
        Whether the largest Hessian eigenvalue is measured at each quarter of the checkpoints.

    Raises
    ------
    ValueError
        For the first field, factor or level that is not allowed.

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
        check_fields(self, RULES)
        for block in self.blocks():
            for rates in _relative(block):
                if shared := set(rates.seeds) & set(self._seeds(block)):
                    raise ValueError(
                        "best rates must be found on other seeds than the study's, "
                        f"but both have {', '.join(map(str, sorted(shared)))}"
                    )

    def blocks(self) -> list[Levels]:
        """The factorials whose union this study is."""
        return [self.factors] if isinstance(self.factors, Mapping) else list(self.factors)

    def trials(self) -> Iterator[Trial]:
        """Every trial that is expected from the start, once, the seed varying fastest.

        Of relative rates these are the trials over the first half-decades; which others follow
        depends on what comes out of them.
        """
        seen = set()
        for rates, cell, seeds in self._cells(lambda r: r.start() if r.searches else []):
            if rates is not None:
                cell, seeds = dataclasses.replace(cell, disturbance="none"), tuple(rates.seeds)
            for seed in seeds:
                trial = dataclasses.replace(cell, seed=seed)
                if trial.key not in seen:
                    seen.add(trial.key)
                    yield trial

    def configurations(self) -> Iterator[tuple[RelativeRates, Trial, tuple[int, ...]]]:
        """Every configuration at multiples of a best rate, and the seeds of these."""
        for rates, cell, seeds in self._cells(lambda rates: rates.start()[:1]):
            if rates is not None:
                yield rates, cell, seeds

    def _cells(
        self, first: Callable[[RelativeRates], list[float]]
    ) -> Iterator[tuple[RelativeRates | None, Trial, tuple[int, ...]]]:
        """Every cell and its seeds; ``first`` says which rates relative ones stand for."""
        for block in self.blocks():
            seeds = self._seeds(block)
            names = [name for name in block if name != "seed"]
            for values in itertools.product(*(levels_of(block[name]) for name in names)):
                chosen = dict(zip(names, values, strict=True))
                rates = chosen.get("learning_rate")
                if not isinstance(rates, RelativeRates):
                    yield None, Trial(**chosen), seeds
                    continue
                chosen |= {"arm": SELECT}
                for rate in first(rates):
                    yield rates, Trial(**chosen | {"learning_rate": rate}), seeds

    def _seeds(self, block: Levels) -> tuple[int, ...]:
        return tuple(levels_of(block.get("seed", self.seeds)))

    def only(self, selection: Mapping[str, Sequence[str]]) -> Study:
        """This study with factors narrowed, or fixed to other values than its own.

        A value that some block has keeps the trials with it; one that none has is set in all.

        Raises
        ------
        ValueError
            If it is no mapping of factors to values, a number is none, or the arm is named, which
            only a search has.

        >>> study = Study(
        ...     name="demo",
        ...     question="Which threshold?",
        ...     factors=[{"clipping": "none"}, {"clipping": "value", "clipping_threshold": 0.1}],
        ... )
        >>> [trial.clipping for trial in study.only({"clipping": ["value"]}).trials()]
        ['value']
        """
        selection = checked_selection(selection)
        if "arm" in selection:
            raise ValueError(f"`arm` narrows a search, but {self.name!r} has no arms")
        blocks = self.blocks()
        custom = custom_objects(blocks)
        for name, texts in selection.items():
            if name != "seed":
                blocks = narrowed(blocks, name, selected(name, texts, custom))
        seeds = self.seeds
        if "seed" in selection:
            seeds = typed("seed", selection["seed"])
            blocks = [{k: seeds if k == "seed" else v for k, v in b.items()} for b in blocks]
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


def _factors(field: str, value: Any) -> Levels | list[Levels]:
    if isinstance(value, Mapping):
        return _levels(field, value)
    blocks = sequence(value)
    if not blocks:
        raise refused(field, value, "a mapping of factors to levels, or a sequence of such")
    return [_levels(f"{field}[{i}]", block) for i, block in enumerate(blocks)]


def _levels(field: str, block: Any) -> Levels:
    block = checked_block(field, block, empty=False)
    return {name: checked_levels(name, v, _RATES.get(name)) for name, v in block.items()}


def _rate(field: str, value: Any) -> float | RelativeRates:
    return value if isinstance(value, RelativeRates) else TRIAL[field](field, value)


_RATES = {"learning_rate": _rate}

RULES: dict[str, Rule] = {
    "name": STUDY_NAME,
    "question": QUESTION,
    "factors": _factors,
    "seeds": SEEDS,
    "checkpoints": CHECKPOINTS,
    "layers": FLAG,
    "sharpness": FLAG,
}
"""What each field of a `Study` may be."""


def _relative(block: Levels) -> list[RelativeRates]:
    return [r for r in levels_of(block.get("learning_rate", ())) if isinstance(r, RelativeRates)]
