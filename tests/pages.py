"""Pages of made-up results, as text, for the tests of what they say."""

import html
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from benchmark.results import Results
from report import evidence, rendering
from report.evidence import Evidence

Load = Callable[[str], Evidence | None]


def page(name: str, folder: Path) -> str:
    """The MyST text of a page, its figures in ``folder``."""
    return rendering.render(rendering.Page(name, folder))


def words(text: str) -> str:
    """A text as it is read: one line, without entities and without the code of figures."""
    spaced = html.unescape(text).replace("\N{NO-BREAK SPACE}", " ")
    return " ".join(spaced.split())


def evidence_of(study: str, trials: pd.DataFrame) -> Evidence:
    """Evidence of trials that all have a row, without a history."""
    empty = pd.DataFrame({"trial": [], "step": []})
    metadata = {"command": f"python studies/{study}.py", "commit": "0123456789", "dirty": False}
    return Evidence(
        study,
        evidence.ROOT / "results" / study,
        Results(trials, empty, empty, trials, metadata=metadata),
    )
