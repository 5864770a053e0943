"""What the pages read: the studies of one results folder, and where each number comes from."""

from __future__ import annotations

import functools
import hashlib
import os
import re
import shlex
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from benchmark import results
from benchmark.figures import words
from benchmark.project import CHECKOUT
from benchmark.records import CONFIGURATION, SELECT
from benchmark.records.rates import SHARED
from benchmark.statistics import at_spike_level, completeness, outcomes, share
from benchmark.statistics.multiples import MULTIPLES, in_relative_arms
from report.prose import listing

ROOT = Path(__file__).resolve().parent.parent
REFERENCE = ROOT / "results" / "reference"
VARIABLE = "BENCHMARK_RESULTS"
COMMAND = "python -m benchmark run {study} --scale quick"
PAGES = {
    "grid": "learning_rate",
    "learning_rate": "rates",
    "clipping": "thresholds",
    "normalization": "small_batches",
    "search": "search_against_grid",
    "edge_of_stability": "published",
    "critical_batch": "batch_updates",
    **{
        study: study
        for study in (
            *("architectures", "article", "batch_updates", "deep", "disturbances", "explosion"),
            *("headline", "initialization", "optimizers", "precision", "published", "scaling"),
            *("throughput",),
        )
    },
}
"""The page about each study."""
FILES = ("plan", "trials", "history", "layers", "labelled_steps", "alarms", "measurements")
"""Tables that a study may have, in the order in which their hashes are listed."""
ABSOLUTE = re.compile(r"(--results[ =])('/[^']*'|/\S*)")
"""A results folder as a path of the machine that the study ran on."""
DEFAULT_SCALE = "quick"
"""Of a study script, where its command line names none."""

SETTINGS = [c for c in CONFIGURATION if c not in ("seed", "arm")]
OWNERS = {
    "depth": "model",
    "width": "model",
    "clipping_threshold": "clipping",
    "momentum": "optimizer",
    "batch_policy_parameter": "batch_policy",
    "batch_size": "batch_policy",
}
"""Factors that have a level of their own only within one of another's."""


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

    @cached_property
    def outcomes(self) -> pd.DataFrame:
        """Finished trials with accuracy, loss, exploded and learned.

        Those by which a best rate was found have done their part, and are reported nowhere.
        """
        trials = self.results.trials
        return outcomes(trials[trials["arm"] != SELECT])

    def at_spike_level(self, level: tuple[float, float]) -> Evidence:
        """The same study with explosions at another level of a spike (`at_spike_level`)."""
        if "train_loss_max" not in self.results.history:
            # of steps alone, or not run: nothing says how high its losses went
            return self
        other = replace(self)
        # where the cached property looks first
        other.__dict__["outcomes"] = at_spike_level(self.outcomes, self.results.history, level)
        return other

    @cached_property
    def looked(self) -> pd.DataFrame:
        """Finished trials of the arm by which the best learning rates were found."""
        trials = self.results.trials
        return outcomes(trials[trials["arm"] == SELECT])

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
        folder = shlex.quote(shown(self.folder.parent))
        return ABSOLUTE.sub(lambda found: found.group(1) + folder, made)

    @property
    def commit(self) -> str:
        """Seven digits of each maker's commit, marked where the sources had been changed."""
        changed = {True: " with local changes", False: ""}
        commits = [
            f"{str(m.get('commit', 'unknown'))[:7]}{changed[bool(m.get('dirty'))]}"
            for m in self.results.makers
        ]
        return listing(dict.fromkeys(commits))

    @property
    def device(self) -> str:
        """On what each maker trained."""
        return listing(dict.fromkeys(str(m.get("device", "unknown")) for m in self.results.makers))

    @property
    def scale(self) -> str:
        """The scale that the command asked for; ``unknown`` where it was no study script."""
        words = shlex.split(self.command)
        named = re.search(r"--scale[ =](\S+)", self.command)
        if named:
            return named.group(1)
        by_script = words[1:4] == ["-m", "benchmark", "run"] or "studies/" in "".join(words[1:2])
        return DEFAULT_SCALE if by_script else "unknown"

    @cached_property
    def seeds(self) -> tuple[int, int]:
        """The fewest and the most seeds of a configuration."""
        groups = self.outcomes.groupby([*SETTINGS, "arm"], dropna=False)["seed"].nunique()
        return int(groups.min()), int(groups.max())

    @property
    def question(self) -> str:
        """The question that the study asks."""
        return str(self.metadata.get("study", {}).get("question", ""))

    def varies(self, factor: str) -> bool:
        """Whether the finished trials have more than one level of ``factor``."""
        return self.outcomes[factor].nunique(dropna=False) > 1

    @cached_property
    def factors(self) -> list[str]:
        """The factors that vary among the finished trials, the seed and the arm apart.

        A number that another factor brings with it (the default threshold of a clipping, the depth
        of a model) is none of its own.
        """
        return [c for c in SETTINGS if self._varies_alone(c)]

    def _varies_alone(self, column: str) -> bool:
        frame = self.outcomes
        if column not in OWNERS:
            return self.varies(column)
        within = frame.groupby(OWNERS[column], dropna=False)[column].nunique()
        return bool((within > 1).any())

    @property
    def missing(self) -> int:
        """How many planned trials have no row."""
        return len(set(self.results.plan["trial"]) - set(self.results.trials["trial"]))

    @cached_property
    def not_varied(self) -> list[str]:
        """What is the same in all trials, with its value; what no trial has is left out."""
        owned = [c for c in OWNERS if self.varies(c)]
        fixed = [c for c in SETTINGS if c not in self.factors and c not in owned]
        values = {c: self.outcomes[c].iloc[0] for c in fixed if c not in OWNERS}
        return [f"{words(c)} {words(v)}" for c, v in values.items() if not pd.isna(v)]

    def file(self, table: str) -> str:
        """Name of a table's file as the pages write it."""
        folder = shown(self.folder)
        prefix = f"{shown(self.folder.parent)}/" if "/" not in folder else ""
        return f"{prefix}{folder}/{table}.parquet"

    @property
    def hashes(self) -> str:
        """SHA-256 and name of every parquet file of the study, a line each."""
        files = [path for t in FILES if (path := self.folder / f"{t}.parquet").exists()]
        return "\n".join(
            f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {self.file(path.stem)}"
            for path in files
        )


def by_budget(frame: pd.DataFrame) -> pd.DataFrame:
    """``frame`` with the kind of budget in the name of the ``model``, where there are both kinds.

    Equal examples and equal updates are two questions, whose answers stand side by side.
    """
    updates = frame["updates"].notna()
    if updates.all() or not updates.any():
        return frame
    kinds = updates.map({True: "at equal updates", False: "at equal examples"})
    return frame.assign(model=frame["model"].map(words) + " " + kinds)


def where(frame: pd.DataFrame, **levels: object) -> pd.DataFrame:
    """The rows that have these levels, by column: a value each, or a list of values.

    >>> where(pd.DataFrame({"a": [1, 2, 3], "b": [*"xxy"]}), a=[2, 3], b="x")
       a  b
    1  2  x
    """
    for column, level in levels.items():
        wanted = level if isinstance(level, list) else [level]
        frame = frame[frame[column].isin(wanted)]
    return frame


def share_of(events: pd.Series, seeds: pd.Series) -> dict[str, float]:
    """The share of ``events`` that are true as a row: ``share``, and its interval over seeds."""
    return dict(zip(("share", "low", "high"), share(events, seeds), strict=True))


@functools.cache
def _results(folder: Path, study: str) -> results.Results | None:
    """The tables of a study, read once; None where it was not run."""
    return results.load_study(folder, study)


@functools.cache
def load(study: str) -> Evidence | None:
    """The study's evidence in the chosen results folder; None where it was not run."""
    folder = default_folder()
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
    none = results.Results(*[pd.DataFrame()] * 4, metadata=metadata)
    return Evidence(folder.name, folder, none), rows


STEPS = "labelled_steps"
"""The table of a study that logged every step, and has no other rows of its trials."""


@functools.cache
def load_steps(study: str) -> Evidence | None:
    """A study that is a table of steps, as its evidence: its history has a row for each of them."""
    if (table := load_table(study, STEPS)) is None:
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


def described() -> dict[str, dict[str, dict[str, str]]]:
    """What the results say of their strategies: factor, name of a level and what of it.

    ``title``, ``summary``, ``reference``, ``formula`` and ``default``, each where it is there;
    results of earlier versions say nothing, nor does a folder without a study.
    """
    found: dict[str, dict[str, dict[str, str]]] = {}
    folder = default_folder()
    # a folder of timings alone holds no study
    if not folder.is_dir() or not any(map(results.is_study, folder.iterdir())):
        return found
    for study in all_studies():
        for factor, levels in _mapping(study.metadata.get("words")).items():
            for level, words_ in _mapping(levels).items():
                said = {k: str(text) for k, text in _mapping(words_).items()}
                found.setdefault(factor, {}).setdefault(level, said)
    return found


def _mapping(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


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
