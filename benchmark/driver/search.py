"""Running a search: generations asked together, told in order, winners confirmed."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping
from typing import Any

import optuna
import pandas as pd

from benchmark.driver.asking import Asked, objective
from benchmark.driver.mirror import Mirror
from benchmark.driver.options import Options
from benchmark.driver.running import open_run, resolve_all
from benchmark.driver.samplers import GRID_RANDOM, Space, make_sampler
from benchmark.driver.units import trial_of
from benchmark.engine import REGISTRIES, resolve
from benchmark.names import find
from benchmark.records import (
    CONFIGURATION,
    OWNERS,
    Range,
    Search,
    Trial,
    levels_of,
    numbers_of,
    rates_between,
)
from benchmark.records.levels import plain
from benchmark.results import find_study
from benchmark.statistics.seeds import DECIMALS
from benchmark.status import FINISHED

DECLARED = {
    "clipping_threshold": "threshold",
    "batch_policy_parameter": "parameter",
    "momentum": "momentum",
}
"""Number of a strategy -> the field in which the strategy declares its range."""
ON_REQUEST = ("momentum",)
"""Numbers that are searched only where the space names them."""
TUNABLE = {OWNERS[n]: (n, declared) for n, declared in DECLARED.items() if n not in ON_REQUEST}
"""Field of a strategy -> field of its tunable number, and where the strategy declares its range."""


def run_search(search: Search, options: Options) -> pd.DataFrame:
    """Search ``search``'s space, then train the winners on fresh seeds; returns the trials table.

    All searches advance together, a generation at a time. A finished trial is never trained
    again: the samplers are replayed against the rows in the folder.

    Raises
    ------
    ValueError
        On an unknown name or a number out of range, before anything is written.
    ResultsError
        If the folder cannot be written, or another run holds it.
    """
    with Mirror(options.storage) as mirror:
        return _search(search, options, open_searches(search, mirror))


def _search(search: Search, options: Options, searches: list[tuple[Trial, Asked]]) -> pd.DataFrame:
    check_space(search, [base for base, _ in searches])
    most = len(search.confirm_seeds) * (len(searches) + len(_bases(search)))
    with open_run(search, options, expected=len(searches) * search.trials + most) as run:
        for start in range(0, search.trials, search.generation):
            size = min(search.generation, search.trials - start)
            generation = [
                ask_trial(search, base, asked) for base, asked in searches for _ in range(size)
            ]
            run.train(generation)
            for _, asked in searches:
                asked.tell_ready(run.rows)
        winners = [
            dataclasses.replace(best, arm=f"confirm:{best.arm}")
            for _, asked in searches
            if (best := asked.best()) is not None
        ]
        winners += [
            dataclasses.replace(best, arm="confirm:grid")
            for base in _bases(search)
            if (best := best_of_grid(options, search, base)) is not None
        ]
        # two searches may choose the same trial, and all but for their seeds share the grid's best
        confirmed = {
            trial.key: trial
            for winner in winners
            for seed in search.confirm_seeds
            for trial in [dataclasses.replace(winner, seed=seed)]
        }
        run.set_expected(len(searches) * search.trials + len(confirmed))
        run.train(list(confirmed.values()))
    return run.folder.load(trials_only=True).trials


def _bases(search: Search) -> list[Trial]:
    """What stays the same within one search: one trial for every combination of ``each``."""
    names = list(search.each)
    values = itertools.product(*(levels_of(search.each[name]) for name in names))
    return [
        Trial(**{"seed": search.seed, **search.fixed, **dict(zip(names, v, strict=True))})
        for v in values
    ]


def open_searches(search: Search, mirror: Mirror) -> list[tuple[Trial, Asked]]:
    """One search for each combination of ``each`` and sampler, and what all of its trials share."""
    space = Space(len(search.space) + len(TUNABLE), grid_of(search.space))
    out = []
    for base in _bases(search):
        row = base.row()
        label = "/".join(f"{name}={row[name]}" for name in search.each)
        for name in search.samplers:
            sampler = make_sampler(name, search.seed, search.trials, space, label)
            study = "/".join(filter(None, [search.name, name, label]))
            out.append((dataclasses.replace(base, arm=name), Asked(study, sampler, mirror)))
    return out


def check_space(search: Search, bases: list[Trial]) -> None:
    """Resolve every corner of the space, so that a mistake raises before anything is trained."""
    for base in bases:
        resolve_all([base])
        for name, levels in search.space.items():
            ends = [levels.low, levels.high] if isinstance(levels, Range) else levels_of(levels)
            owners = _owners(search, base, name)
            corners = [{**owner, name: end} for owner in owners for end in ends]
            resolve_all([dataclasses.replace(base, **corner) for corner in corners])


def _owners(search: Search, base: Trial, name: str) -> list[dict[str, Any]]:
    """What a searched field may be drawn beside that it belongs to: field and level of each.

    Of a number that strategies declare, those that do: the others are drawn without it.
    """
    if name not in OWNERS:
        return [{}]
    owner = OWNERS[name]
    levels = levels_of(search.space.get(owner, getattr(base, owner)))
    if name in DECLARED:
        levels = [level for level in levels if _range_of(name, level) is not None]
        if not levels:
            raise ValueError(f"`space` has {name!r}, but no {owner!r} of this search takes one")
    return [{owner: level} for level in levels]


def _range_of(number: str, level: Any) -> Range | None:
    """The range that a strategy, or the one of that name, declares for a number; None for none."""
    owner = OWNERS[number]
    declared: Range | None = getattr(find(level, REGISTRIES[owner], owner), DECLARED[number])
    return declared


def grid_of(space: Mapping[str, Any]) -> dict[str, list[Any]]:
    """Levels of each searched field but the strategies' own numbers; half-decades of a range.

    >>> grid_of({"learning_rate": Range(0.1, 1.0, default=0.1), "clipping": ("none", "value")})
    {'learning_rate': ['0.1', '0.3162', '1.0'], 'clipping': ['none', 'value']}
    """
    found = {name: levels for name, levels in space.items() if name not in DECLARED}
    return {name: list(_by_text(_grid_levels(levels))) for name, levels in found.items()}


def _grid_levels(levels: Any) -> Any:
    if not isinstance(levels, Range):
        return levels
    if levels.log:
        return rates_between(levels.low, levels.high)
    return [levels.low + i / 4 * (levels.high - levels.low) for i in range(5)]


def ask_trial(search: Search, base: Trial, asked: Asked) -> Trial:
    """The next trial of one of the searches that `open_searches` gave."""
    optuna_trial = asked.ask()
    on_grid = base.arm == GRID_RANDOM
    values = {
        name: suggest(optuna_trial, name, _grid_levels(levels) if on_grid else levels)
        for name, levels in search.space.items()
        if name not in DECLARED
    }
    trial = dataclasses.replace(base, **values)
    for number in DECLARED:
        if number in ON_REQUEST and number not in search.space:
            continue
        level = getattr(trial, OWNERS[number])
        allowed = _range_of(number, level)
        if on_grid or allowed is None or getattr(base, number) is not None:
            continue
        # a threshold means something else for each strategy: each has a parameter of its own
        label = f"{plain(level)}.{number}"
        levels = search.space.get(number, allowed)
        trial = dataclasses.replace(trial, **{number: suggest(optuna_trial, label, levels)})
    trial = resolve(trial)
    asked.remember(optuna_trial, trial)
    return trial


def suggest(trial: optuna.Trial, name: str, levels: Any) -> Any:
    """A value of ``levels``: a `Range`, or a sequence to choose from."""
    if isinstance(levels, Range):
        if levels.integer:
            return trial.suggest_int(name, int(levels.low), int(levels.high), log=levels.log)
        return trial.suggest_float(name, levels.low, levels.high, log=levels.log)
    objects = _by_text(levels)
    return objects[trial.suggest_categorical(name, list(objects))]


def _by_text(levels: Any) -> dict[str, Any]:
    return {str(getattr(v, "name", v)): v for v in levels_of(levels)}


def best_of_grid(options: Options, search: Search, base: Trial) -> Trial | None:
    """The best cell of the grid beside this study, by its mean objective over seeds.

    Only cells count that differ from ``base``, one of the trials of ``search`` before anything is
    drawn, in nothing but what it searches; None where there are none.
    """
    grid = find_study(options.results, "grid")
    if grid is None:
        return None
    tuned = [n for n in DECLARED if n not in ON_REQUEST and getattr(base, n) is None]
    of_levels = [number for name in search.space for number in numbers_of(name)]
    free = {*search.space, *tuned, *of_levels, "seed", "arm"}
    base = resolve(base)
    given = {name: getattr(base, name) for name in CONFIGURATION if name not in free}
    trials = grid.trials[grid.trials["status"].isin(FINISHED)]
    for name, value in given.items():
        same = trials[name].isna() if value is None else trials[name] == plain(value)
        trials = trials[same]
    if trials.empty:
        return None
    trials = trials.assign(objective=[objective(r) for r in trials.to_dict("records")])
    cell = trials.groupby("cell", sort=False)["objective"].mean().round(DECIMALS).idxmin()
    found = trial_of(trials[trials["cell"] == cell].iloc[0].to_dict())
    # a row has names, of which a custom strategy or data set is found by none
    chosen = {name: _by_text(v) for name, v in search.space.items() if not isinstance(v, Range)}
    drawn = {name: getattr(found, name) for name in chosen}
    named = {name: chosen[name].get(str(level), level) for name, level in drawn.items()}
    return dataclasses.replace(found, **given, **named)
