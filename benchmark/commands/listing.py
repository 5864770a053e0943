"""``python -m benchmark list``: everything that has a name."""

from __future__ import annotations

import argparse
import ast
import dataclasses
import shutil
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from benchmark.calling import program
from benchmark.project import scripts
from benchmark.records import Range
from benchmark.records.fields import TRIAL, Chosen
from benchmark.terminal import Commands, aligned, one_of, show

KINDS = (*(field for field, rule in TRIAL.items() if isinstance(rule, Chosen)), "study")
"""What can be listed: the fields of a trial that are chosen by name, and the studies."""
UNKNOWN, NARROWEST, WIDEST = 100, 60, 120
NOTHING = "-"
LEAST_ROOM = 36
"""Columns below which texts are not worth a place beside the cells."""


class Entry(NamedTuple):
    """A thing that has a name: its name and numbers in columns, and texts about it."""

    cells: list[str]
    texts: list[str]

    def joined(self) -> Entry:
        """The same with one text."""
        return self._replace(texts=[", ".join(self.texts)])


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
    width = terminal_width()
    show("\n\n".join(laid_out(entries(kind), width) for kind in kinds))
    return 0


def terminal_width() -> int:
    """Columns to fill: those of the terminal, within reason; `UNKNOWN` where there is none."""
    return min(max(shutil.get_terminal_size((UNKNOWN, 24)).columns, NARROWEST), WIDEST)


def laid_out(entries: Sequence[Entry], width: int) -> str:
    """Entries as text of ``width`` columns: a line each where all of them fit, or else texts one
    below the other beside the cells, and below them where that leaves too little room.

    No name is cut, and no reference within a word.

    >>> heading = Entry(["loss"], ["what it is", "reference"])
    >>> hinge = Entry(["hinge"], ["what a margin of 1 lacks", "Cortes, Vapnik 1995"])
    >>> print(laid_out([heading, hinge], 50))
    loss   what it is, reference
    hinge  what a margin of 1 lacks
           Cortes, Vapnik 1995
    """
    whole = aligned([*entry.cells, *entry.texts] for entry in entries)
    if max(map(len, whole.splitlines())) <= width:
        return whole
    cells = aligned([*entry.cells, ""] for entry in entries).splitlines()
    begin = max(map(len, cells)) + 2
    below = width - begin < LEAST_ROOM
    lines = []
    indent = " " * (4 if below else begin)
    heading, *others = entries
    for entry, line in zip([heading.joined(), *others], cells, strict=True):
        said = [text for text in entry.texts if text != NOTHING]
        texts = [part for text in said for part in _wrapped(text, width - len(indent))]
        if not below:
            line = f"{line:<{begin}}{texts.pop(0)}"
        lines += [line, *(indent + text for text in texts)]
    return "\n".join(lines)


def _wrapped(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False)


def entries(kind: str) -> list[Entry]:
    """Everything of one kind, the first of them the headings."""
    if kind == "study":
        heading = Entry(["study"], [f"question, answered by: {program()} run STUDY"])
        return [heading, *(Entry([n], [question(p)]) for n, p in scripts().items())]
    # torch, of which every strategy is made, takes seconds to import
    from benchmark.driver.search import TUNABLE
    from benchmark.engine import REGISTRIES

    registry = REGISTRIES[kind]
    numbers = {name: tunable_numbers(entry) for name, entry in registry.items()}
    columns = list(dict.fromkeys(label for found in numbers.values() for label in found))
    field, declared = TUNABLE.get(kind, ("", ""))
    headings = [field if column == declared else column for column in columns]
    rows = [
        Entry(
            [name, *(numbers[name].get(column, "-") for column in columns)],
            [entry.summary, entry.reference],
        )
        for name, entry in registry.items()
    ]
    return [Entry([kind, *headings], ["what it is", "reference"]), *rows]


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
