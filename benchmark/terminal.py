"""What every command line of this project has in common: one-line errors, and exit status 2."""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from tqdm import tqdm

from benchmark.calling import program, script_program
from benchmark.names import unknown
from benchmark.records.fields import Rule, Whole


def refuse(error: Exception | str) -> int:
    """Say in one line what is wrong with the input; returns the exit status 2."""
    print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
    return 2


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line, as all errors of bad input are."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**{"allow_abbrev": False, "prog": script_program(), **settings})

    def error(self, message: str) -> NoReturn:
        """Say what is wrong and exit with status 2."""
        self.exit(refuse(f"{message} (--help lists the options)"))


Row = Sequence[str]

Commands = argparse._SubParsersAction  # the only name that argparse has for it
Add = Callable[[Commands], None]
"""Adds one subcommand: a parser whose default ``run`` goes from its options to an exit status."""


def answer(commands: Iterable[Add], arguments: Sequence[str] | None) -> int:
    """Run the one of ``commands`` that ``arguments`` name; returns the exit status.

    A ValueError is what bad input raises: it is shown as one line, with exit status 2.
    """
    parser = Parser(
        prog=program(),
        description="Run studies and build the report; what there is to choose from, how far "
        "studies have got, and what became of a run.",
    )
    added = parser.add_subparsers(required=True, metavar="COMMAND")
    for add in commands:
        add(added)
    options = parser.parse_args(arguments)
    try:
        return options.run(options)
    except ValueError as error:
        return refuse(error)


def one_of(kind: str, allowed: Iterable[str]) -> Callable[[str], str]:
    """An argument's type: one of the names ``allowed``; the error has the nearest of them.

    >>> one_of("scale", ["quick", "full"])("quik")
    Traceback (most recent call last):
        ...
    argparse.ArgumentTypeError: unknown scale 'quik'. Did you mean 'quick'? Allowed: quick, full.
    """
    names = tuple(allowed)

    def check(text: str) -> str:
        if text not in names:
            raise argparse.ArgumentTypeError(unknown(kind, text, names))
        return text

    return check


def option(rule: Rule, read: Callable[[str], Any] = str) -> Callable[[str], Any]:
    """An argument's type: what ``rule`` allows, of the values that ``read`` makes of texts.

    >>> option(Whole(1), int)("many")
    Traceback (most recent call last):
        ...
    argparse.ArgumentTypeError: must be a whole number >= 1, but got 'many'
    """

    def meant(text: str) -> Any:
        with contextlib.suppress(ValueError):
            return rule(_IT, read(text))
        try:
            # as it was typed
            return rule(_IT, text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error).removeprefix(f"`{_IT}` ")) from None

    return meant


_IT = "it"
COUNT = option(Whole(1), int)
"""The type of an argument that counts something."""


def folder_path(text: str) -> Path:
    """An argument's type: a path, where ``~`` is the home folder, which no shell puts after =."""
    try:
        return Path(text).expanduser()
    except RuntimeError:
        raise argparse.ArgumentTypeError(f"no home folder is known for {text!r}") from None


def show(text: str) -> None:
    """Print ``text``; a reader who stops early (``| head``) has seen enough and is no error."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        # what is still buffered goes nowhere, or Python complains when it exits
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


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


def show_notes() -> None:
    """Print what the package has to say beside results, one line each."""
    logging.basicConfig(format="note: %(message)s", handlers=[_BesideTheBar()])


class _BesideTheBar(logging.Handler):
    """Prints messages without tearing the progress bar apart."""

    def emit(self, record: logging.LogRecord) -> None:
        tqdm.write(self.format(record), file=sys.stderr)
