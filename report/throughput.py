"""How fast the engine is: the page of throughput."""

from __future__ import annotations

from IPython.display import Markdown

from report import prose


def answer() -> Markdown:
    """What the measurement of speed came to."""
    return Markdown(prose.not_run("throughput"))
