"""Where the studies, the examples and the report lie: in a checkout, or in an installed wheel.

A wheel has them as they are, in a folder of the package (`pyproject.toml` says which goes where),
so that the same commands work from any folder: ``python -m benchmark run grid``.
"""

from __future__ import annotations

from pathlib import Path

VERSION = "0.1.0"
PACKAGE = Path(__file__).resolve().parent
CHECKOUT = (PACKAGE.parent / "pyproject.toml").is_file()
"""Whether this is a checkout of the repository, and not an installed wheel."""
ROOT = PACKAGE.parent if CHECKOUT else PACKAGE / "_project"
STUDIES = ROOT / "studies"
EXAMPLES = ROOT / "docs" / "examples"
REPORT = ROOT / "report" / "build.py"
WORTH = (
    *("headline", "headroom", "explosion", "deep", "disturbances", "clipping", "batch_updates"),
    *("critical_batch", "full_batch", "learning_rate", "initialization", "normalization"),
    *("optimizers", "scaling", "article", "architectures", "precision", "published"),
    *("edge_of_stability", "grid", "search"),
)
"""The studies that ``make studies`` runs, the most worth knowing first.

The grid comes before the search, which trains the grid's best cell again beside its own.
"""
SCALES = {
    "smoke": "seconds: does it run",
    "quick": "a few minutes on two cores",
    "standard": "at most half an hour on two cores",
    "paper": "hours on two cores",
    "full": "one GPU",
}
"""What each scale of a study is meant for."""


def scripts() -> dict[str, Path]:
    """The scripts that can be run by name: the studies, then the examples.

    >>> scripts()["grid"].name
    'grid.py'
    """
    found = [*sorted(STUDIES.glob("[!_]*.py")), *sorted(EXAMPLES.glob("[!_]*.py"))]
    return {path.stem: path for path in found}


def script_name(path: Path) -> str | None:
    """What ``python -m benchmark run`` calls the script at ``path``; None where it does not.

    A script of another copy of the repository is known by the same name.
    """
    known = scripts().get(path.stem)
    if known is None:
        return None
    same = known.resolve() == path.resolve()
    return path.stem if same or path.parent.name == known.parent.name == STUDIES.name else None
