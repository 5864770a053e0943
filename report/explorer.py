"""The data behind the page on which a reader chooses a configuration and sees what happened."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlencode

import numpy as np
import pandas as pd

from benchmark.figures import STATUS_COLOURS, night_colour, styles_of, titled
from benchmark.figures.style import COLOURS, GREY
from report import evidence
from report.evidence import Evidence
from report.prose import name
from report.text import Markdown

CHOICES = (
    *("study", "model", "dataset", "normalization", "clipping", "batch_policy", "learning_rate"),
    *("optimizer", "depth", "init_gain", "batch_size", "schedule", "disturbance", "budget"),
    *("clipping_threshold", "train_fraction", "width", "initialization", "precision"),
    *("momentum", "batch_policy_parameter", "learning_rate_scaling"),
)
"""What a reader chooses: a field each, where it varies within the chosen study."""
DETAILS = ("seed", "status", "steps", "first_bad_step", "accuracy")
"""What else is shown of a trial."""
HEADINGS = {
    **{"model": "network", "dataset": "data", "clipping_threshold": "threshold"},
    **{"init_gain": "gain", "steps": "updates", "accuracy": "test accuracy"},
    **{"train_fraction": "share of the data", "batch_policy_parameter": "policy's parameter"},
}
"""Words beside a field, where they are not the column's own."""
DIGITS = 3
"""Significant digits of a number that is not whole: as many as the tables of the book have."""
all_studies = evidence.all_studies
FIRST = "grid"
"""The study that the page opens with where none of `PRESETS` was run."""


def trials(studies: Sequence[Evidence]) -> pd.DataFrame:
    """The finished trials of all studies, with the columns that the page shows."""
    columns = [c for c in (*CHOICES, *DETAILS) if c not in ("study", "budget")]
    parts = [
        e.outcomes.reindex(columns=columns).assign(study=e.study, budget=_budgets(e.outcomes))
        for e in studies
    ]
    # those of the study of initialization are never trained
    parts = [part[part["steps"] > 0] for part in parts]
    rows = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)
    return rows.reindex(columns=[*CHOICES, *DETAILS])


def _budgets(rows: pd.DataFrame) -> list[str]:
    """What each trial was given, in words: updates, or passes over its data."""
    columns = rows.reindex(columns=["updates", "epochs"])
    return [
        f"{updates:,.0f} updates" if updates == updates else f"{epochs:g} epochs"
        for updates, epochs in columns.itertuples(index=False)
    ]


def packed(rows: pd.DataFrame) -> dict[str, object]:
    """A frame column by column: few ``levels``, and for each row the place of its own.

    >>> packed(pd.DataFrame({"model": ["mlp", "cnn", "mlp"]}))
    {'model': {'levels': ['MLP', 'CNN'], 'rows': [0, 1, 0]}}
    """
    found: dict[str, object] = {}
    for column in rows:
        codes, levels = pd.factorize(rows[column])
        found[str(column)] = {"levels": [_plain(level) for level in levels], "rows": codes.tolist()}
    return found


def _plain(level: object) -> float | str:
    """A number to a few digits, or a level in a reader's words."""
    if isinstance(level, int | float | np.number):
        number = float(level)
        return number if number.is_integer() else float(f"{number:.{DIGITS}g}")
    return name(level)


def _only(levels: Sequence[str]) -> str:
    return urlencode({"only": "|".join(map(name, levels))})


FEW = ("none", "global_norm", "per_layer_norm", "zclip")
"""Clippings that are singled out at first: lines of all would hide each other."""
PRESETS = {
    "disturbances": (
        "trouble midway",
        "model=MLP&dataset=Fashion-MNIST&normalization=none&optimizer=SGD&disturbance=rate+bump"
        f"&colour=clipping&{_only(FEW)}",
    ),
    "deep": (
        "ten layers, each clipping",
        f"normalization=none&schedule=constant&colour=clipping&{_only(FEW)}",
    ),
    "headline": (
        "clippings with batch normalization",
        f"model=MLP&dataset=Fashion-MNIST&normalization=batch&colour=clipping&{_only(FEW)}",
    ),
    "explosion": (
        "depth, without clipping or normalization",
        "normalization=none&clipping=none&init_gain=1&budget=500+updates&colour=depth",
    ),
    "optimizers": ("optimizers", "clipping=none&schedule=constant&colour=optimizer"),
}
"""Choices to start with: study, what it shows, and the address that makes it."""


def presets() -> list[Markdown]:
    """Links to `PRESETS` of the studies at hand, as HTML."""
    return [
        Markdown('<a href="#study={}&amp;{}">{}</a>').format(
            study, Markdown(choice.replace("&", "&amp;")), text
        )
        for study, (text, choice) in PRESETS.items()
        if evidence.load(study)
    ]


def first_choice() -> str:
    """The address that the page opens with: the first preset of a study at hand, else a study."""
    found = (f"study={s}&{choice}" for s, (_, choice) in PRESETS.items() if evidence.load(s))
    return next(found, f"study={FIRST}")


def looks(rows: pd.DataFrame) -> dict[str, list[object]]:
    """The colour of each level, by its words, and whether its line is dashed: as in the figures.

    >>> looks(pd.DataFrame({"clipping": ["none", "zclip_capped"], "seed": [0, 1]}))
    {'none': ['#666666', False], 'capped ZClip': ['#E69F00', True]}
    """
    named = (rows[column].dropna().unique() for column in rows)
    texts = (levels for levels in named if all(isinstance(level, str) for level in levels))
    return {
        name(level): [style.colour, style.line != "-"]
        for levels in texts
        for level, style in styles_of(levels).items()
    }


def write(folder: Path) -> None:
    """Write the data and the chart library to ``folder``, as scripts.

    Scripts, because a page that is opened from a disk may read no other files.
    """
    # here, because it takes a while to load and only building needs it
    import vl_convert

    found: dict[str, object] = {
        "choices": {column: HEADINGS.get(column, name(column)) for column in CHOICES},
        "details": {column: HEADINGS.get(column, name(column)) for column in DETAILS},
        "first": first_choice(),
        "questions": {name(e.study): e.question for e in evidence.all_studies()},
        "statuses": STATUS_COLOURS,
        "night": {c: night_colour(c) for c in (*COLOURS, GREY, *STATUS_COLOURS.values())},
    }
    with titled(evidence.titles()):
        rows = trials(evidence.all_studies())
        found["trials"], found["looks"] = packed(rows), looks(rows)
    text = json.dumps(found, separators=(",", ":"), allow_nan=False)
    (folder / "trials.js").write_text(f"window.EXPLORER = {text};\n", encoding="utf-8")
    library = vl_convert.javascript_bundle()  # type: ignore[call-arg]  # its stub is wrong
    (folder / "vega.js").write_text(f"(() => {{\n{library}\n}})();\n", encoding="utf-8")
