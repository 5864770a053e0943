"""Sphinx extension: formulas as native MathML, so that pages need no script from elsewhere."""

from __future__ import annotations

import re
from typing import Any

from docutils import nodes
from latex2mathml.converter import convert
from sphinx.application import Sphinx

BARS = "&#x02016;"
THIN = '<mspace width="0.167em"/>'


def formula(latex: str, display: str = "inline") -> str:
    """MathML of ``latex``, with the spacing that TeX would give it.

    Bars of a norm stay as tall as a letter, and min and max stand close to their parenthesis.
    """
    text = convert(latex, display=display)
    text = re.sub(rf"<mo[^>]*>({BARS}|‖)</mo>", r'<mo stretchy="false">‖</mo>', text)
    # an identifier has no space of its own; under a subscript it must stay a single element
    text = re.sub(r"(?<!<msub>)<mo[^>]*>(min|max)</mo>", rf"{THIN}<mi>\1</mi>", text)
    return re.sub(r"<mo[^>]*>(min|max)</mo>", r"<mi>\1</mi>", text)


def visit_inline(translator: Any, node: nodes.Element) -> None:
    """Write one formula into the line."""
    translator.body.append(formula(node.astext()))
    raise nodes.SkipNode


def visit_display(translator: Any, node: nodes.Element) -> None:
    """Write one formula as a paragraph of its own."""
    block = formula(node.astext(), display="block")
    translator.body.append(f'<div class="formula">{block}</div>')
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the renderer under the name ``mathml``."""
    app.add_html_math_renderer("mathml", (visit_inline, None), (visit_display, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
