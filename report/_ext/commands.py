"""Sphinx extension: a command that is too long for a line breaks between its words, not in them.

A browser may break ``--scale`` behind either of its hyphens. Options are marked as such here, and
the style sheet keeps what is marked in one piece.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pygments.lexers import BashLexer
from pygments.token import Name, Text
from sphinx.application import Sphinx


class CommandLexer(BashLexer):
    """Commands of a shell, whose options are attributes.

    >>> marked = CommandLexer().get_tokens("run grid --scale smoke")
    >>> [text for kind, text in marked if kind is Name.Attribute]
    ['--scale']
    """

    def get_tokens_unprocessed(
        self, text: str, stack: tuple[str, ...] = ("root",)
    ) -> Iterator[tuple[int, Any, str]]:
        """The words of ``text``, each with its place and kind."""
        for place, kind, word in super().get_tokens_unprocessed(text, stack):
            option = kind is Text and word.startswith("-")
            yield place, Name.Attribute if option else kind, word


def setup(app: Sphinx) -> dict[str, Any]:
    """Read blocks of ``bash`` so."""
    app.add_lexer("bash", CommandLexer)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
