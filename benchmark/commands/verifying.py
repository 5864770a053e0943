"""``python -m benchmark verify``: a random sample of finished trials is trained again."""

from __future__ import annotations

import argparse

from benchmark.records.fields import DEVICE, SEED
from benchmark.results.differences import (
    ACCURACY_TOLERANCE,
    INITIAL_LOSS_TOLERANCE,
    REDUCED_PRECISION_TOLERANCE,
)
from benchmark.terminal import COUNT, Commands, folder_path, option, refuse

SAMPLE = 5
SHOWN = 5
"""Differences of a trial that are printed."""


def add_verify(commands: Commands) -> None:
    """``verify DIR``: train a sample again."""
    from benchmark.driver.places import EXECUTORS

    about = "train a random sample of finished trials again and compare"
    parser = commands.add_parser(
        "verify",
        help=about,
        description=f"{about.capitalize()}: on the same device and versions with the units they "
        "stood in and bit for bit, timings aside; elsewhere alone and within tolerances, which are "
        f"1 part in {1 / INITIAL_LOSS_TOLERANCE['float32']:,.0f} of the initial loss (float32) or "
        f"{1 / REDUCED_PRECISION_TOLERANCE:,.0f} (less precise), and {ACCURACY_TOLERANCE} of the "
        "final accuracy of stable trials. They also hold where the bits have changed with the "
        "sources of this package or the system. Exit status: 0 all agree, 1 some differ, 2 bad "
        "input.",
    )
    parser.add_argument(
        "results", type=folder_path, metavar="DIR", help="results/SCALE, or one study"
    )
    parser.add_argument(
        "--trials", type=COUNT, default=SAMPLE, metavar="N", help=f"sample size (default: {SAMPLE})"
    )
    parser.add_argument(
        "--seed", type=option(SEED, int), default=0, help="of the sample (default: 0)"
    )
    parser.add_argument("--device", type=option(DEVICE), default="auto")
    parser.add_argument(
        "--executor",
        default="processes",
        metavar="{" + ",".join(EXECUTORS) + "}",
        help="where the sample is trained, as of a study (default: processes)",
    )
    parser.add_argument(
        "--script",
        type=folder_path,
        metavar="FILE",
        help="import FILE, and train trials with custom objects that it defines",
    )
    parser.set_defaults(run=_verify)


def _verify(options: argparse.Namespace) -> int:
    from benchmark.driver.dispatch import LostExecutor
    from benchmark.driver.options import Options
    from benchmark.driver.scripts import parts_of
    from benchmark.driver.verifying import NO_PARTS, verify

    counts = {True: 0, False: 0}
    differing = 0
    where = Options(options.results, device=options.device, executor=options.executor)
    # never what a folder of results names: it may be another's
    parts = parts_of(options.script) if options.script else NO_PARTS
    checked = verify(where, sample=options.trials, seed=options.seed, parts=parts)
    try:
        for task, trial, exact, found in checked:
            counts[exact] += 1
            differing += bool(found)
            if found:
                more = f" (and {len(found) - SHOWN} more)" if len(found) > SHOWN else ""
                shown = f"{'; '.join(found[:SHOWN])}{more}"
                print(f"{task.unit.study} {trial} differs: {shown}", flush=True)
    except LostExecutor as error:
        return refuse(error)
    print(
        f"{sum(counts.values())} trials trained again, {counts[True]} compared bit for bit and "
        f"{counts[False]} within tolerances: "
        + (f"{differing} differ" if differing else "all agree")
    )
    return 1 if differing else 0
