"""``python -m benchmark diagnose LOG``: what became of a run, in half a page."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from benchmark.diagnosis import columns
from benchmark.diagnosis.finding import diagnose
from benchmark.diagnosis.page import page
from benchmark.diagnosis.reading import FORMATS, LogError, read_rows
from benchmark.diagnosis.telling import told
from benchmark.records.fields import POSITIVE
from benchmark.terminal import Commands, folder_path, option, show


def add_diagnose(commands: Commands) -> None:
    """``diagnose LOG``: status, first bad step, spikes, norms and what to try first."""
    about = "what became of a training run, from its log of losses and gradient norms"
    parser = commands.add_parser(
        "diagnose",
        help=about,
        description=f"Tell {about}: {FORMATS}. Columns are found by their names, or told. "
        "Exit status: 0 told, 2 bad input.",
    )
    parser.add_argument("log", type=folder_path, metavar="LOG", help="a file, or its folder")
    for role, what in (
        ("step", "the step ('none': rows are numbered)"),
        ("loss", "the training loss"),
        ("norm", "the gradient norm before clipping ('none': there is none)"),
        ("clipped", "whether, or how often, the gradient was clipped"),
        ("rate", "the learning rate ('none': there is none)"),
    ):
        parser.add_argument(f"--{role}", metavar="COLUMN", help=f"column of {what}")
    parser.add_argument(
        "--threshold",
        type=option(POSITIVE, float),
        metavar="NORM",
        help="at which norms were clipped",
    )
    parser.add_argument(
        "--start",
        type=option(POSITIVE, float),
        metavar="LOSS",
        help="of a model that knows nothing: log(classes) for a classifier (default: the first)",
    )
    parser.add_argument(
        "--spike",
        type=option(POSITIVE, float),
        metavar="LOSS",
        help="above which the run spiked (default: the larger of 10 and 4 times the first)",
    )
    parser.add_argument(
        "--html", type=folder_path, metavar="FILE", help="write a page with both curves too"
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Read, diagnose and tell; returns the exit status.

    Raises
    ------
    LogError
        If the log cannot be read or understood, or the page cannot be written.
    """
    rows = read_rows(options.log)
    given = {role: getattr(options, role) for role in columns.NAMES}
    log = columns.understand(rows, **given)
    found = diagnose(log, start=options.start, spike=options.spike, threshold=options.threshold)
    name = options.log.name or str(options.log)
    if options.html is not None:
        write_whole(options.html, page(name, rows.kind, found))
    show(told(name, rows.kind, found))
    if options.html is not None:
        show(str(options.html))
    return 0


def write_whole(path: Path, text: str) -> None:
    """Write ``text`` to ``path`` whole or not at all."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_text(text, encoding="utf-8")
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise LogError(f"cannot write {path}: {error.strerror or error}") from None
