"""A study from the options on its command line to what is printed at its end."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmark.driver.dispatch import LostExecutor
from benchmark.driver.dry_runs import dry_run
from benchmark.driver.grid import run_study
from benchmark.driver.options import Options
from benchmark.driver.search import run_search
from benchmark.driver.stopping import HOW_TO_RESUME, signals
from benchmark.driver.table import closing_table, failed_line, next_lines
from benchmark.engine import REGISTRIES
from benchmark.names import find
from benchmark.provenance import command
from benchmark.records import Search, Study, read_selection
from benchmark.records.narrowing import custom_objects


def carry_out(study: Study | Search, options: argparse.Namespace) -> int:
    """Run ``study`` with the parsed ``options`` of its command line; returns the exit status.

    Raises
    ------
    ValueError
        On an unknown name, a number out of range, or a folder that does not do.
    """
    if selection := read_selection(options.only):
        _check_names(study, selection)
        study = study.only(selection)
    chosen = Options(
        results=options.results or Path("results") / options.scale,
        device=options.device,
        workers=options.workers,
        storage=options.storage,
        executor=options.executor,
        retrain=options.retrain,
    )
    if options.dry_run:
        print(dry_run(study, chosen))
        return 0
    try:
        with signals(chosen.stopping):
            if isinstance(study, Study):
                trials = run_study(study, chosen)
            else:
                trials = run_search(study, chosen)
    except LostExecutor as error:
        print(f"error: {error}\n{HOW_TO_RESUME.format(command(typed=True))}", file=sys.stderr)
        return 1
    path = chosen.results / study.name
    print(closing_table(trials))
    for table in ("trials", "history", "layers"):
        if (file := path / f"{table}.parquet").exists():
            print(file)
    if failed := failed_line(trials):
        print(failed)
    else:
        print("\n".join(next_lines(chosen.results, study.name, options.scale)))
    return 1 if failed else 0


def _check_names(study: Study | Search, selection: Mapping[str, Sequence[str]]) -> None:
    """Whether each chosen name is registered or of a custom object of ``study``.

    A study that was narrowed to an unknown name no longer has the custom objects that it may mean.
    """
    custom = custom_objects(study.blocks())
    for factor in filter(REGISTRIES.__contains__, selection):
        own = {name: level for (of, name), level in custom.items() if of == factor}
        for name in selection[factor]:
            find(name, own | REGISTRIES[factor], factor)
