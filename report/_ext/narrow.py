"""Sphinx extension: beside a figure stand its other drawings: for a phone, and for a dark page.

``LABEL-narrow.svg``, ``LABEL-night.svg`` and ``LABEL-narrow-night.svg`` go with ``LABEL.svg``, each
where it lies beside it; the style sheet shows one.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform

DRAWINGS = (["night", "narrow"], ["night"], ["narrow"])
"""Classes of the further drawings of a figure, the last one first."""


class FurtherDrawings(SphinxTransform):
    """Adds the images of the further drawings behind the first."""

    default_priority = 210

    def apply(self, **options: Any) -> None:
        """Before images are collected, so that Sphinx copies the others as it does the first."""
        folder = Path(self.env.doc2path(self.env.docname)).parent
        for figure in self.document.findall(nodes.figure):
            image = figure[0]
            path = Path(image["uri"])
            for classes in DRAWINGS:
                other = path.with_stem("-".join([path.stem, *reversed(classes)]))
                if not (folder / other).exists():
                    continue
                drawn = image.deepcopy()
                # the link to a large image leads to the first; what is not shown is not loaded
                drawn["classes"] = [*classes, "no-scaled-link"]
                drawn["uri"], drawn["loading"] = other.as_posix(), "lazy"
                figure.insert(1, drawn)


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the transform."""
    app.add_transform(FurtherDrawings)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
