"""How this program was called, and what a user types to call it again from the same place.

What ``python`` stands for, or whether ``benchmark`` is found, depends on where it is typed: in an
environment that is not activated neither is this program's.
"""

from __future__ import annotations

import re
import shlex
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmark.project import REPORT, script_name

NAME = "benchmark"
"""Of the package, and of the command that is installed with it."""
TAKE_VALUES = ("-W", "-X", "--check-hash-based-pycs")
"""Options of Python that are followed by a value."""


@dataclass(frozen=True)
class _Call:
    """What was typed for the program itself, its script if that is one, and the arguments."""

    program: str
    script: str
    arguments: list[str]


def interpreter() -> str:
    """This process's Python, as it was typed."""
    return shlex.quote((sys.orig_argv or [sys.executable])[0])


def program() -> str:
    """What calls this package: ``benchmark`` or a module of a Python, as it was typed.

    A Python that was told to do something else can do this as well.
    """
    call = _call()
    return call.program if call and not call.script else f"{interpreter()} -m {NAME}"


def script_program() -> str:
    """What calls the script that runs: a packaged one by its name, where that was typed."""
    script = Path(sys.argv[0] if sys.argv else "")
    call = _call()
    if call and call.script:
        return call.program
    if script == REPORT:
        return f"{program()} report"
    name = script_name(script)
    return program() if name is None else f"{program()} run {name}"


def typed(hide: Callable[[str], str] = lambda argument: argument) -> str | None:
    """The command of this process as it was typed; None where something else was, as in a console.

    Parameters
    ----------
    hide
        What an argument is shown as.
    """
    call = _call()
    if call is None:
        return None
    script, *own = sys.argv or [""]
    given = call.arguments
    if given[len(given) - len(own) :] != own or call.script not in ("", script):
        return None
    return " ".join([call.program, *(shlex.quote(hide(argument)) for argument in given)])


def here(recorded: str) -> str:
    """A command that a file has, to be typed where this process was called.

    >>> here("make studies")
    'make studies'
    """
    for start, now in ((f"python -m {NAME}", program()), ("python", interpreter())):
        if recorded == start or recorded.startswith(f"{start} "):
            return now + recorded.removeprefix(start)
    return recorded


def _call() -> _Call | None:
    words = sys.orig_argv[1:]
    while words:
        word = words.pop(0)
        if re.fullmatch("-[A-Za-z]*m", word) and words[:1] == [NAME]:
            return _Call(f"{interpreter()} -m {NAME}", "", words[1:])
        if re.fullmatch("-[A-Za-z]*[mc]|-", word):
            return None
        if word in TAKE_VALUES:
            del words[:1]
        elif not word.startswith("-"):
            return _of_script(word, words)
    return None


def _of_script(script: str, arguments: list[str]) -> _Call:
    if Path(script).name != NAME:
        return _Call(f"{interpreter()} {shlex.quote(script)}", script, arguments)
    found = shutil.which(NAME)
    short = found is not None and Path(found).absolute() == Path(script).absolute()
    return _Call(NAME if short else shlex.quote(script), "", arguments)
