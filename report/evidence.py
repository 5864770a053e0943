"""What the pages read: the studies of one results folder, and where each number comes from."""

from __future__ import annotations

import functools
import os
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from benchmark import results
from benchmark.figures import words
from benchmark.figures.phrases import kept
from benchmark.project import CHECKOUT
from benchmark.records import SELECT
from benchmark.records.rates import SHARED
from benchmark.results import origin
from benchmark.statistics import at_spike_level, completeness, outcomes, selection, share
from benchmark.statistics.multiples import MULTIPLES, in_relative_arms
from benchmark.statistics.selection import where
from report.prose import listing

ROOT = Path(__file__).resolve().parent.parent
REFERENCE = ROOT / "results" / "reference"
VARIABLE = "BENCHMARK_RESULTS"
COMMAND = "python -m benchmark run {study} --scale quick"
PAGES = {
    "learning_rate": "rates",
    "clipping": "thresholds",
    "normalization": "small_batches",
    "search": "search_against_grid",
    "edge_of_stability": "published",
    "critical_batch": "batch_updates",
    "full_batch": "batch_updates",
    **{
        study: study
        for study in (
            *("architectures", "article", "batch_updates", "deep", "disturbances", "explosion"),
            *("grid", "headline", "headroom", "initialization", "optimizers", "precision"),
            *("published", "scaling", "throughput"),
        )
    },
}
"""The page about each study."""
INITIAL = ("train_fraction", "initialization", "init_gain", "normalization", "precision", "loss")
"""Factors that have a part in the first gradients."""
IDLE = {("disturbance", "none"), ("learning_rate_scaling", "none")}
"""Levels of what most studies know nothing of."""


def default_folder() -> Path:
    """The results folder where none is given: the variable's, else reference, else quick."""
    if named := os.environ.get(VARIABLE):
        return Path(named)
    quick = (ROOT if CHECKOUT else Path()) / "results" / "quick"
    return REFERENCE if any(REFERENCE.glob("*/plan.parquet")) else quick


def folder() -> str:
    """The results folder, for a reader on another machine."""
    return shown(default_folder())


def shown(path: Path) -> str:
    """``path`` for a reader on another machine: from the project's root, else its last parts."""
    absolute = path.resolve()
    if absolute.is_relative_to(ROOT):
        return absolute.relative_to(ROOT).as_posix()
    return absolute.name


@dataclass(frozen=True, eq=False)
class Evidence:
    """One study: its tables, its folder and what the pages say of it."""

    study: str
    folder: Path
    results: results.Results
    spike_level: tuple[float, float] | None = None
    any_failure: bool = False

    @cached_property
    def outcomes(self) -> pd.DataFrame:
        """Finished trials with accuracy, loss, exploded and learned.

        Those by which a best rate was found have done their part, and are reported nowhere.
        """
        trials, history = self.results.trials, self.results.history
        rows = outcomes(trials[trials["arm"] != SELECT])
        if self.spike_level:
            rows = at_spike_level(rows, history, self.spike_level)
        return rows.assign(diverged=1 - rows["learned"]) if self.any_failure else rows

    def of_any_failure(self) -> Evidence:
        """The same study, in which whatever does not learn counts as diverged, spike or none."""
        return replace(self, any_failure=True)

    def at_spike_level(self, level: tuple[float, float]) -> Evidence:
        """The same study with explosions at another level of a spike (`at_spike_level`)."""
        # of steps alone, or not run, nothing says how high its losses went
        known = "train_loss_max" in self.results.history
        return replace(self, spike_level=level) if known else self

    @cached_property
    def looked(self) -> pd.DataFrame:
        """Finished trials of the arm by which the best learning rates were found."""
        return outcomes(where(self.results.trials, arm=SELECT))

    @property
    def tried(self) -> pd.DataFrame:
        """Finished trials over learning rates: those that looked for the best, where there are any.

        They say what lies on the edge of the rates that were tried.
        """
        return self.looked if len(self.looked) else self.outcomes

    @cached_property
    def relative(self) -> pd.DataFrame:
        """The outcomes at multiples of each configuration's best rate, with ``times``.

        They are of fresh seeds, that had no part in choosing the rate.
        """
        return self._at("")

    @cached_property
    def shared(self) -> pd.DataFrame:
        """The outcomes at multiples of the baseline's best rate, with ``times``.

        Of all configurations at one and the same rate; the baseline's own are those of `relative`.
        """
        return self._at(SHARED)

    def _at(self, prefix: str) -> pd.DataFrame:
        rows = in_relative_arms(self.outcomes, prefix)
        return rows[rows["times"].isin(MULTIPLES)].astype({"times": int})

    @cached_property
    def mapped(self) -> pd.DataFrame:
        """The outcomes of no arm: of a map, at rates that are the same for all."""
        return self.outcomes[self.outcomes["arm"].fillna("").eq("")]

    @property
    def metadata(self) -> dict[str, Any]:
        """What the files say about their making."""
        return self.results.metadata

    @property
    def command(self) -> str:
        """The command that made the files, for a reader on another machine."""
        made = str(self.metadata.get("command", COMMAND.format(study=self.study)))
        return origin.command_for(made, shown(self.folder.parent))

    @property
    def commit(self) -> str:
        """Seven digits of each maker's commit, marked where the sources had been changed."""
        return listing(origin.commits(self.results.makers))

    @property
    def device(self) -> str:
        """On what each maker trained."""
        return listing(origin.devices(self.results.makers))

    @property
    def scale(self) -> str:
        """The scale that the command asked for; ``unknown`` where it was no study script."""
        return origin.scale_of(self.command)

    @cached_property
    def seeds(self) -> tuple[int, int]:
        """The fewest and the most seeds of a configuration."""
        return selection.seeds_of_configurations(self.outcomes)

    @property
    def question(self) -> str:
        """The question that the study asks."""
        return str(self.metadata.get("study", {}).get("question", ""))

    def varies(self, factor: str) -> bool:
        """Whether the finished trials have more than one level of ``factor``."""
        return self.outcomes[factor].nunique(dropna=False) > 1

    @cached_property
    def factors(self) -> list[str]:
        """The factors that vary among the finished trials by themselves: `varying_alone`."""
        return selection.varying_alone(self.outcomes)

    @property
    def missing(self) -> int:
        """How many planned trials have no row."""
        return len(set(self.results.plan["trial"]) - set(self.results.trials["trial"]))

    @cached_property
    def not_varied(self) -> dict[str, str]:
        """What is the same in all trials: factor -> what a sentence says of it."""
        fixed = selection.not_varied(self.outcomes)
        return {factor: kept(factor, level) for factor, level in fixed.items()}

    @property
    def alike(self) -> list[str]:
        """Of `not_varied` what is not said of data and networks anyway, and had a part in training.

        Or in the initialization, where nothing was trained.
        """
        fixed = selection.not_varied(self.outcomes)
        told = {f: said for f, said in self.not_varied.items() if f not in ("dataset", "model")}
        if not self.outcomes["steps"].max():
            return [said for factor, said in told.items() if factor in INITIAL]
        return [said for factor, said in told.items() if (factor, str(fixed[factor])) not in IDLE]

    def file(self, table: str) -> str:
        """Name of a table's file as the pages write it."""
        folder = shown(self.folder)
        prefix = f"{shown(self.folder.parent)}/" if "/" not in folder else ""
        return f"{prefix}{folder}/{table}.parquet"

    @property
    def hashes(self) -> str:
        """SHA-256 and path of every parquet file, from the folder of results, a line each."""
        top = default_folder().resolve()
        absolute = self.folder.resolve()
        within = absolute.relative_to(top) if absolute.is_relative_to(top) else Path(self.study)
        found = origin.hashes(self.folder)
        paths = {table: (within / f"{table}.parquet").as_posix() for table in found}
        return "\n".join(f"{digest}  {paths[table]}" for table, digest in found.items())


def by_budget(frame: pd.DataFrame) -> pd.DataFrame:
    """``frame`` with the kind of budget in the name of the ``model``, where there are both kinds.

    Equal examples and equal updates are two questions, whose answers stand side by side.
    """
    updates = frame["updates"].notna()
    if updates.all() or not updates.any():
        return frame
    kinds = updates.map({True: "at equal updates", False: "at equal examples"})
    return frame.assign(model=frame["model"].map(words) + " " + kinds)


def share_of(events: pd.Series, seeds: pd.Series) -> dict[str, float]:
    """The share of ``events`` that are true as a row: ``share``, and its interval over seeds."""
    return dict(zip(("share", "low", "high"), share(events, seeds), strict=True))


@functools.cache
def _results(folder: Path, study: str) -> results.Results | None:
    """The tables of a study, read once; None where it was not run."""
    return results.find_study(folder, study)


def load(study: str) -> Evidence | None:
    """The study's evidence in the chosen results folder; None where it was not run."""
    return _load(default_folder(), study)


@functools.cache
def _load(folder: Path, study: str) -> Evidence | None:
    found = _results(folder, study)
    if found is None or found.trials.empty:
        return None
    return Evidence(study, folder / study, found)


def load_table(study: str, table: str, within: str = "") -> tuple[Evidence, pd.DataFrame] | None:
    """A study that is one table, and no trials: where it comes from, and the table; None without.

    ``within`` is a folder of the results that holds a study of its own, of a GPU for one.
    """
    return _load_table(default_folder() / within / study, table)


@functools.lru_cache(8)
def _load_table(folder: Path, table: str) -> tuple[Evidence, pd.DataFrame] | None:
    path = folder / f"{table}.parquet"
    if not path.exists():
        return None
    rows, metadata = results.read(table, path)
    none = pd.DataFrame()
    tables = results.Results(none, none, none, none, metadata=metadata)
    return Evidence(folder.name, folder, tables), rows


STEPS = "labelled_steps"
"""The table of a study that logged every step, and has no other rows of its trials."""


def load_steps(study: str) -> Evidence | None:
    """A study that is a table of steps, as its evidence: its history has a row for each of them."""
    return _load_steps(default_folder() / study)


@functools.cache
def _load_steps(folder: Path) -> Evidence | None:
    if (table := _load_table(folder, STEPS)) is None:
        return None
    source, steps = table
    trials = steps.drop_duplicates("trial").reset_index(drop=True)
    made = replace(source, results=replace(source.results, trials=trials, history=steps))
    # there is nothing to say of how these trials ended but what the steps say
    made.__dict__["outcomes"] = trials
    return made


def all_studies() -> list[Evidence]:
    """Every study in the chosen results folder that has a trial, by name."""
    names = [path.name for path in results.studies_in(default_folder())]
    return [e for e in map(load, names) if e is not None]


def described() -> origin.Words:
    """What the results say of their strategies: factor, name of a level and what of it."""
    folder = default_folder()
    # a folder of timings alone holds no study
    holds = folder.is_dir() and any(map(results.is_study, folder.iterdir()))
    return origin.strategies_in(study.metadata for study in (all_studies() if holds else []))


def titles() -> dict[str, str]:
    """The titles that the results give their strategies, by name."""
    return {
        level: said["title"]
        for levels in described().values()
        for level, said in levels.items()
        if said.get("title")
    }


def dated() -> str:
    """The day on which the newest of the results were finished."""
    days = [str(e.metadata.get("created", ""))[:10] for e in all_studies()]
    return max(days, default="") or "an unknown day"


def completeness_of_all(by: tuple[str, ...] = ("study",)) -> pd.DataFrame:
    """Expected, present, missing, finished, skipped and failed trials of every planned study."""
    folder = default_folder()
    read = (_results(folder, path.name) for path in results.studies_in(folder))
    counts = [completeness(f.plan, f.trials, by) for f in read if f is not None]
    return pd.concat(counts, ignore_index=True)
