"""Where the studies are."""

from __future__ import annotations

from pathlib import Path

from benchmark.names import quoted
from benchmark.parquet import ResultsError, path_of
from benchmark.results.folder import StudyFolder
from benchmark.results.tables import Results


def studies_in(results: Path | str) -> list[Path]:
    """Study folders under ``results``, by name.

    Raises
    ------
    ResultsError
        If there is no such folder, or no study in it.
    """
    root = path_of("results", results)
    if root.exists() and not root.is_dir():
        raise ResultsError(f"{str(root)!r} is a file, and not a results folder")
    if not root.is_dir():
        raise ResultsError(f"no results folder {str(root)!r}; run a study first (see README)")
    found = sorted(path for path in root.iterdir() if is_study(path))
    if not found:
        raise ResultsError(f"{str(root)!r} holds no study; run one with --results {root}")
    return found


def load_study(results: Path | str, study: str) -> Results:
    """Results of ``study`` under the folder ``results``.

    Raises
    ------
    ResultsError
        If it was not run there, or a file of it is damaged.
    ValueError
        If an argument is no path, or no name.
    """
    found = find_study(results, study)
    if found is None:
        root = path_of("results", results)
        there = [path.name for path in studies_in(root)]
        raise ResultsError(
            f"study {quoted(study)} was not run in {str(root)!r}; there are: {', '.join(there)}"
        )
    return found


def find_study(results: Path | str, study: str) -> Results | None:
    """Results of ``study`` under the folder ``results``, or None where it has not been run."""
    folder = StudyFolder(path_of("results", results) / path_of("study", study))
    return folder.load() if is_study(folder.path) else None


def is_study(path: Path | str) -> bool:
    """Whether ``path`` holds a study: its plan, or rows of it where the plan was lost."""
    path = path_of("path", path)
    names = ("plan.parquet", "trials.parquet")
    return any((path / name).exists() for name in names) or any(path.glob("parts/*.trials.parquet"))
