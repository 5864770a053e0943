"""Where the studies are."""

from __future__ import annotations

from pathlib import Path

from benchmark.parquet import ResultsError
from benchmark.results.folder import StudyFolder
from benchmark.results.tables import Results


def studies_in(results: Path | str) -> list[Path]:
    """Study folders under ``results``, by name.

    Raises
    ------
    ResultsError
        If there is no such folder, or no study in it.
    """
    root = Path(results)
    if not root.is_dir():
        raise ResultsError(f"no results folder {str(root)!r}; run a study first (see README)")
    found = sorted(path for path in root.iterdir() if is_study(path))
    if not found:
        raise ResultsError(f"{str(root)!r} holds no study; run one with --results {root}")
    return found


def load_study(results: Path | str, study: str) -> Results | None:
    """Results of ``study`` under the folder ``results``, or None where it has not been run."""
    folder = StudyFolder(Path(results) / study)
    return folder.load() if is_study(folder.path) else None


def is_study(path: Path) -> bool:
    """Whether ``path`` holds a study: its plan, or rows of it where the plan was lost."""
    names = ("plan.parquet", "trials.parquet")
    return any((path / name).exists() for name in names) or any(path.glob("parts/*.trials.parquet"))
