"""Sphinx extension: lets pages be read side by side.

The numbering of chapters comes with sphinx-external-toc and patches a collector that runs after
all pages have been read; it only forgets to say that it is safe beside parallel reading, and Sphinx
then reads the pages one after the other, with a warning.
"""

from __future__ import annotations

from typing import Any

from sphinx.application import Sphinx


def declare_safe(app: Sphinx, config: object) -> None:
    """Say so in its stead."""
    if extension := app.extensions.get("sphinx_multitoc_numbering"):
        extension.parallel_read_safe = True


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect to the moment when all extensions are loaded."""
    app.connect("config-inited", declare_safe)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
