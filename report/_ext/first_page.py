"""Sphinx extension: the first page is called "Summary" in the list of all pages.

The theme calls it by its heading, which is the title of the book and stands above the list.
"""

from __future__ import annotations

from typing import Any

from sphinx.application import Sphinx

TITLE = "Summary"


def name_first_page(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: Any
) -> None:
    """Replace the title that the theme has given."""
    context["root_title"] = TITLE


def setup(app: Sphinx) -> dict[str, Any]:
    """Register it behind the theme's own."""
    app.connect("html-page-context", name_first_page, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
