"""``python -m benchmark list``: everything that has a name."""

from __future__ import annotations

import argparse
import ast
import dataclasses
from pathlib import Path
from typing import Any

from benchmark.project import scripts
from benchmark.records import Range
from benchmark.records.fields import TRIAL, Chosen
from benchmark.terminal import Commands, Row, aligned, one_of, show

KINDS = (*(field for field, rule in TRIAL.items() if isinstance(rule, Chosen)), "study")
"""What can be listed: the fields of a trial that are chosen by name, and the studies."""


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


def entries(kind: str) -> list[Row]:
    """Everything of one kind as rows of text, the first of them the headings."""
    if kind == "study":
        heading = ["study", "question", "command"]
        command = "python -m benchmark run"
        return [heading, *([n, question(p), f"{command} {n}"] for n, p in scripts().items())]
    # torch, of which every strategy is made, takes seconds to import
    from benchmark.driver.search import TUNABLE
    from benchmark.engine import REGISTRIES

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

    >>> from benchmark.engine import REGISTRIES
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
