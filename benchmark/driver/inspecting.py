"""The command ``benchmark``, and what it says of strategies and of a folder of results.

A subcommand is a function from its options to an exit status, added to a parser by a function of
its own; `main` lists them.
"""

from __future__ import annotations

import argparse
import ast
import dataclasses
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from benchmark.diagnosis.commandline import add_diagnose
from benchmark.driver.commandline import USER_ERRORS, show_notes
from benchmark.driver.launching import add_report, add_run
from benchmark.driver.search import TUNABLE
from benchmark.driver.verifying import add_verify
from benchmark.engine import REGISTRIES
from benchmark.project import scripts
from benchmark.records import Range
from benchmark.results import StudyFolder, is_study, studies_in
from benchmark.statistics import completeness
from benchmark.status import exploded
from benchmark.terminal import Commands, answer, folder_path, one_of, show

KINDS = (*REGISTRIES, "study")

Row = Sequence[str]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the subcommand that is named on the command line; returns the exit status."""
    show_notes()
    commands = (add_run, add_report, add_list, add_status, add_verify, add_diagnose)
    return answer(commands, arguments, USER_ERRORS)


def add_list(commands: Commands) -> None:
    """``list [KIND ...]``: everything that has a name."""
    about = "strategies, models, data sets and studies, with ranges, defaults and references"
    parser = commands.add_parser("list", help=about, description=about)
    parser.add_argument(
        "kinds",
        nargs="*",
        type=one_of("kind", KINDS),
        metavar="KIND",
        help=f"one or more of {', '.join(KINDS)} (default: all)",
    )
    parser.set_defaults(run=_list)


def _list(options: argparse.Namespace) -> int:
    kinds = options.kinds or KINDS
    show("\n\n".join(aligned(entries(kind)) for kind in kinds))
    return 0


def add_status(commands: Commands) -> None:
    """``status DIR``: how far each study in a folder of results has got."""
    about = "how many trials of each study are done, exploded, failed, skipped and missing"
    parser = commands.add_parser(
        "status",
        help=about,
        description=f"Tell {about}. Exploded trials are done: an explosion is an outcome. "
        "Exit status: 0 all there, 1 something is missing or failed, 2 bad input.",
    )
    parser.add_argument(
        "results", type=folder_path, metavar="DIR", help="results/SCALE, or one study"
    )
    parser.set_defaults(run=_status)


def _status(options: argparse.Namespace) -> int:
    root = options.results
    found = [progress(folder) for folder in ([root] if is_study(root) else studies_in(root))]
    names = list(found[0].counts)
    rows = [["study", *names]]
    rows += [[p.study, *(f"{p.counts[name]:,}" for name in names)] for p in found]
    notes = [note for p in found for note in p.notes]
    show("\n\n".join(filter(None, [aligned(rows, right=True), "\n".join(notes)])))
    return 1 if notes else 0


@dataclasses.dataclass(frozen=True)
class Progress:
    """How far one study has got: trials by what became of them, and what is to be done."""

    study: str
    counts: dict[str, int]
    notes: list[str]


def progress(folder: Path) -> Progress:
    """Progress of the study in ``folder``.

    Raises
    ------
    ResultsError
        If a file is damaged or was written by another schema version.
    """
    results = StudyFolder(folder)
    found = results.load()
    plan, metadata, trials = found.plan, found.plan_metadata, found.trials
    counted = completeness(plan, trials)[["present", "finished", "failed", "skipped"]].sum()
    # a search that was stopped has not planned all that it will ask for
    expected = max(len(plan), int(metadata.get("expected", 0)))
    counts = {
        "expected": expected,
        "done": int(counted["finished"]),
        "exploded": int(exploded(trials).sum()),
        "failed": int(counted["failed"]),
        "skipped": int(counted["skipped"]),
        "missing": expected - int(counted["present"]),
    }
    notes = []
    reasons = trials.loc[trials["status"] == "failed", "status_reason"].value_counts()
    notes += [f"{folder.name}: {n:,} failed: {reason}" for reason, n in reasons.items()]
    if counts["missing"] or counts["failed"]:
        notes.append(f"{folder.name} goes on with: {metadata.get('command', 'the same command')}")
    return Progress(folder.name, counts, notes)


def entries(kind: str) -> list[Row]:
    """Everything of one kind as rows of text, the first of them the headings."""
    if kind == "study":
        heading = ["study", "question", "command"]
        command = "python -m benchmark run"
        return [heading, *([n, question(p), f"{command} {n}"] for n, p in scripts().items())]
    registry = REGISTRIES[kind]
    numbers = {name: tunable_numbers(entry) for name, entry in registry.items()}
    columns = list(dict.fromkeys(label for found in numbers.values() for label in found))
    field, declared = TUNABLE.get(kind, ("", ""))
    headings = [field if column == declared else column for column in columns]
    rows = [
        [
            name,
            *(numbers[name].get(column, "-") for column in columns),
            entry.summary,
            entry.reference,
        ]
        for name, entry in registry.items()
    ]
    return [[kind, *headings, "what it is", "reference"], *rows]


def tunable_numbers(entry: Any) -> dict[str, str]:
    """The numbers that a registered thing lets one choose: name -> default and range.

    Those are its fields that hold a `Range`, and those whose bounds stand in a field of the
    plural's name (a model's ``depth`` and ``depths``).

    >>> tunable_numbers(REGISTRIES["optimizer"]["adam"])
    {'learning_rate': '0.001 (1e-05..1)'}
    """
    values = {field.name: getattr(entry, field.name) for field in dataclasses.fields(entry)}
    found = {}
    for name, value in values.items():
        if isinstance(value, Range):
            found[name] = f"{value.default:g} ({value})"
        elif f"{name}s" in values:
            bounds = values[f"{name}s"]
            found[name] = f"{value:g}" + (" ({:g}..{:g})".format(*bounds) if bounds else "")
    return found


def question(script: Path) -> str:
    """First line of a study script's docstring, read without running it."""
    try:
        docstring = ast.get_docstring(ast.parse(script.read_text(encoding="utf-8")))
    except (OSError, SyntaxError, UnicodeDecodeError) as error:
        return f"(cannot be read: {error})"
    return (docstring or "(no docstring)").splitlines()[0]


def aligned(rows: Iterable[Row], *, right: bool = False) -> str:
    """Rows as columns of equal width; with ``right``, all but the first flush right.

    >>> print(aligned([["a", "b"], ["one", "2"]], right=True))
    a    b
    one  2
    """
    table = list(rows)
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = []
    for row in table:
        first, *others = (f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True))
        if right:
            others = [f"{cell:>{width}}" for cell, width in zip(row[1:], widths[1:], strict=True)]
        lines.append("  ".join([first, *others]).rstrip())
    return "\n".join(lines)
