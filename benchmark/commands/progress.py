"""``python -m benchmark status``: how far the studies of a folder have got."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

from benchmark.calling import here
from benchmark.results import StudyFolder, is_study, studies_in
from benchmark.status import exploded
from benchmark.terminal import Commands, aligned, folder_path, show


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


@dataclass(frozen=True)
class StudyProgress:
    """How far one study has got: trials by what became of them, and what is to be done."""

    study: str
    counts: dict[str, int]
    notes: list[str]


def progress(folder: Path) -> StudyProgress:
    """Progress of the study in ``folder``.

    Raises
    ------
    ResultsError
        If a file is damaged or was written by another schema version.
    """
    # scipy takes half a second to import
    from benchmark.statistics import completeness

    found = StudyFolder(folder).load()
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
        command = here(str(metadata.get("command", "the same command")))
        notes.append(f"{folder.name} goes on with: {command}")
    return StudyProgress(folder.name, counts, notes)
