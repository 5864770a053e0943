"""The command line that every study script shares."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Callable, Sequence

from benchmark.driver.places import EXECUTORS
from benchmark.driver.stopping import HOW_TO_RESUME, Stopped
from benchmark.driver.workers import end_if_starting
from benchmark.names import quoted
from benchmark.project import SCALES
from benchmark.provenance import command, in_notebook
from benchmark.records import Search, Study
from benchmark.records.fields import DEVICE, TEXT, Several, refused
from benchmark.terminal import COUNT, Parser, folder_path, one_of, option, refuse, show_notes

log = logging.getLogger(__name__)

Make = Callable[[str], Study | Search] | Study | Search
"""What a study is run from: a function of the scale, or the study itself, the same at each."""


def run(make: Make, arguments: Sequence[str] | None = None) -> int:
    """Run the study that ``make`` gives for the scale on the command line; returns the exit status.

    ``make`` may be the study itself, which is then the same at every scale.

    0: finished; 1: not finished, as the program failed on some trials or the cluster was lost;
    2: bad input; 130 or 143: stopped by Ctrl-C or by a termination signal. After 1, 130 and 143
    the same command continues. In a notebook the arguments of its kernel are left alone:
    without ``arguments`` the defaults are taken.

    >>> run(lambda scale: Study(name="../x", question="?", factors={"seed": 0}), [])
    2
    """
    end_if_starting()
    show_notes()
    try:
        parser = make_parser(defined(make, "quick").question)
        try:
            if arguments is not None:
                arguments = Several(TEXT, "texts", least=0)("arguments", arguments)
            options = parser.parse_args(given(arguments))
        except SystemExit as end:
            return int(end.code or 0)
        study = defined(make, options.scale)
        # only here, because torch takes seconds to import: not for whoever asks for help
        from benchmark.driver.execution import carry_out

        return carry_out(study, options)
    except ValueError as error:
        return refuse(error)
    except KeyboardInterrupt as error:
        print(f"\ninterrupted\n{HOW_TO_RESUME.format(command(typed=True))}", file=sys.stderr)
        return error.status if isinstance(error, Stopped) else 130


def defined(make: Make, scale: str) -> Study | Search:
    """The study that ``make`` gives for ``scale``.

    Raises
    ------
    ValueError
        If its definition is a mistake.
    """
    if isinstance(make, Study | Search):
        return make
    if not callable(make):
        raise refused("make", make, "a Study, a Search or a function of the scale")
    try:
        study = make(scale)
    except KeyError as error:
        if error.args != (scale,):
            raise
        raise ValueError(f"this study has no scale {scale!r}") from error
    except TypeError as error:
        # a name that is no field of a record; any other is an error of the script's program
        if not re.match(r"(Study|Search|Trial|Range|RelativeRates)\.__init__\(\) ", str(error)):
            raise
        raise ValueError(str(error)) from error
    if not isinstance(study, Study | Search):
        raise ValueError(f"a study must be a Study or a Search, but got {quoted(study)}")
    return study


def given(arguments: Sequence[str] | None) -> Sequence[str] | None:
    """``arguments``, but none where they would be those of a notebook's kernel."""
    if arguments is not None or not in_notebook():
        return arguments
    log.warning(
        "a notebook has no command line: the defaults are taken; for others give them as in "
        "run(study, ['--scale', 'smoke'])"
    )
    return []


def make_parser(question: str) -> Parser:
    """The options of every study."""
    parser = Parser(description=question)
    scales = "; ".join(f"{name}: {meaning}" for name, meaning in SCALES.items())
    parser.add_argument(
        "--scale",
        type=one_of("scale", SCALES),
        default="quick",
        metavar="{" + ",".join(SCALES) + "}",
        help=f"{scales} (default: quick)",
    )
    parser.add_argument(
        "--results", type=folder_path, metavar="DIR", help="where results go (results/SCALE)"
    )
    parser.add_argument(
        "--device",
        type=option(DEVICE),
        default="auto",
        metavar="{auto,cpu,cuda,cuda:N}",
        help="auto takes all GPUs where there are some",
    )
    parser.add_argument(
        "--workers", type=COUNT, metavar="N", help="processes (one a core; 8 a GPU)"
    )
    parser.add_argument(
        "--executor",
        default="processes",
        metavar="{" + ",".join(EXECUTORS) + "}",
        help="; ".join(f"{name}: {meaning}" for name, meaning in EXECUTORS.items()),
    )
    parser.add_argument(
        "--storage", metavar="URL", help="Optuna storage that gets a copy of finished trials"
    )
    parser.add_argument(
        "--retrain",
        action="store_true",
        help="train again what custom objects that have changed were trained in; old rows are kept "
        "beside the new ones",
    )
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="train nothing; say what would be, how long it would take where it trains, what is "
        "there and whether its seeds are too few for a difference to be significant",
    )
    parser.add_argument(
        "--only",
        action="append",
        default=[],
        metavar="FACTOR=VALUE[,VALUE]",
        help="narrow the study; may be repeated",
    )
    return parser
