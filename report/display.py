"""Showing sentences and numbered figures on a page."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from pathlib import Path

from IPython.display import Markdown
from matplotlib.figure import Figure

from report import evidence, prose
from report.evidence import Evidence

FIGURES = Path("figures")
"""Beside the pages, where Sphinx finds them."""


def needs(study: str) -> Callable[[Callable[..., str]], Callable[..., Markdown]]:
    """Make a function of a study's evidence into a page's block.

    Where the study is absent the block says so and gives the command.
    """

    def block(make: Callable[..., str]) -> Callable[..., Markdown]:
        @functools.wraps(make)
        def shown(*arguments: object) -> Markdown:
            found = evidence.load(study)
            return Markdown(prose.not_run(study) if found is None else make(found, *arguments))

        return shown

    return block


def figure(
    source: Evidence,
    label: str,
    drawing: Figure,
    caption: str,
    alt: str,
    tables: Sequence[str] = ("trials",),
    also: Sequence[Evidence] = (),
) -> str:
    """A numbered figure of ``tables`` of ``source``, and of those of every study in ``also``."""
    origins = "; ".join(origin(study, tables) for study in (source, *also))
    return drawn(label, drawing, caption, alt, origins)


def origin(source: Evidence, tables: Sequence[str] = ("trials",)) -> str:
    """Where a figure comes from: study, files, commit and command."""
    files = ", ".join(f"`{source.file(name)}`" for name in tables)
    return (
        f"Study `{source.study}`; data {files}; commit {source.commit}; made by `{source.command}`"
    )


def drawn(label: str, drawing: Figure, caption: str, alt: str, origins: str) -> str:
    """``drawing`` saved as SVG and shown with its caption; ``origins`` say where it comes from."""
    FIGURES.mkdir(exist_ok=True)
    path = FIGURES / f"{label}.svg"
    # no date in the file: the same data give the same bytes
    drawing.savefig(path, metadata={"Date": None})
    lines = [
        f"```{{figure}} {path.as_posix()}",
        f":name: fig-{label}",
        f":alt: {' '.join(alt.split())}",
        ":width: 100%",
        "",
        caption,
        "",
        origins,
        "```",
    ]
    return "\n".join(lines)
