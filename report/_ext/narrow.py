"""Sphinx extension: beside a figure stands its second drawing, for the narrow column of a phone.

``LABEL-narrow.svg`` goes with ``LABEL.svg``, where it lies beside it; the style sheet shows one.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform


class SecondDrawings(SphinxTransform):
    """Adds the image of the second drawing behind the first."""

    default_priority = 210

    def apply(self, **options: Any) -> None:
        """Before images are collected, so that Sphinx copies the second as it does the first."""
        folder = Path(self.env.doc2path(self.env.docname)).parent
        for figure in self.document.findall(nodes.figure):
            image = figure[0]
            path = Path(image["uri"])
            second = path.with_stem(f"{path.stem}-narrow")
            if (folder / second).exists():
                drawn = image.deepcopy()
                # the link to a large image leads to the first
                drawn["classes"] = ["narrow", "no-scaled-link"]
                drawn["uri"], drawn["loading"] = second.as_posix(), "lazy"
                figure.insert(1, drawn)


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the transform."""
    app.add_transform(SecondDrawings)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
