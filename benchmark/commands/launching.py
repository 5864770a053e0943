"""``python -m benchmark run`` and ``report``: packaged scripts by name, as if they were typed."""

from __future__ import annotations

import argparse
import runpy
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmark.names import UnknownName, unknown
from benchmark.project import CHECKOUT, PACKAGE, REPORT, scripts
from benchmark.terminal import Commands, refuse

EXTRA = "pip install 'gradient-stability-benchmark[report]'"
AT_ONCE = 4
"""Studies at once unless told otherwise."""


def add_run(commands: Commands) -> None:
    """``run STUDY ... [OPTION ...]``: studies or examples by name."""
    about = "run studies, or examples, by name, with the options of every study"
    parser = commands.add_parser(
        "run",
        help=about,
        description=f"{about[0].upper()}{about[1:]}. Several run at once: `run STUDY STUDY ... "
        f"--at-once N` (up to {AT_ONCE} unless given), where --workers are shared among "
        "those that run, and --mps lets the processes use one GPU side by side (NVIDIA's MPS, "
        "stopped at the end).",
    )
    parser.add_argument(
        "script", metavar="STUDY", help=f"one of {', '.join(scripts())}; `run STUDY --help`"
    )
    parser.add_argument(
        "arguments", nargs=argparse.REMAINDER, metavar="...", help="more studies; their options"
    )
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    known = scripts()
    if options.script not in known:
        raise UnknownName(unknown("study", options.script, known))
    from benchmark.driver import together

    arguments = [options.script, *options.arguments]
    if together.are_several(arguments):
        return together.run_together(arguments, AT_ONCE)
    return run_script(known[options.script], options.arguments)


def add_report(commands: Commands) -> None:
    """``report [RESULTS] [--output DIR] [--pdf]``: build the book."""
    about = "build the report from a folder of results"
    # the script has the options: here none is one, not even where it comes first
    parser = commands.add_parser("report", help=about, add_help=False, prefix_chars="\0")
    parser.add_argument("arguments", nargs="*")
    parser.set_defaults(run=_report)


def _report(options: argparse.Namespace) -> int:
    try:
        return run_script(REPORT, options.arguments)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] in ("benchmark", "report"):
            raise
        return refuse(f"the report needs {error.name}: {EXTRA}")


def run_script(path: Path, arguments: Sequence[str]) -> int:
    """Run the script at ``path`` in this process as its main module; returns its exit status.

    Worker processes import it as they do a script that was typed, and find this package where this
    process did, installed or not.
    """
    argv, paths = sys.argv, list(sys.path)
    sys.argv = [str(path), *arguments]
    # as for a typed script, whose own folder comes first
    sys.path[0] = str(path.parent)
    if CHECKOUT and str(PACKAGE.parent) not in sys.path:
        sys.path.append(str(PACKAGE.parent))
    try:
        runpy.run_path(str(path), run_name="__main__")
    except SystemExit as end:
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
            return 1
        return int(end.code or 0)
    finally:
        sys.argv, sys.path[:] = argv, paths
    return 0
