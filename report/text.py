"""What comes from a result file is text: the one place where it is escaped for MyST and HTML.

A page is Markdown, which Sphinx reads as MyST. Whatever an expression gives there is escaped,
unless it is `Markdown` already: only the pages themselves and the functions below make that, so a
study's question or a device's name never becomes markup.
"""

from __future__ import annotations

import re
from typing import Any

from markupsafe import Markup

# after a word these mean nothing to Markdown; elsewhere they may begin a list, a rule, a heading,
# a comment or a target
_PLAIN = re.compile(r"(?<=\w)([.:=+-](?=\w)|[%':](?!:))")
_SPECIAL = re.compile(r"[\\`*_{}\[\]<>#+~|$&%^@=!\"':.-]")
# controls, and what turns the direction of writing: neither has a place in a sentence
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
# spaces of all kinds and line breaks, but not the space that forbids one
_SPACES = re.compile(r"[^\S\N{NO-BREAK SPACE}]+")
_RUN = re.compile(r"`+")


class Markdown(Markup):
    """Markdown that is meant as such; what is put into it, by any string method, is escaped.

    >>> Markdown("**{}** and {}").format("a*b", Markdown("*c*"))
    Markdown('**a&#42;b** and *c*')
    """

    @classmethod
    def escape(cls, value: Any, /) -> Markdown:
        """``value`` as text in one line: each character that could be markup as an entity."""
        if hasattr(value, "__html__"):
            return cls(value.__html__())
        line = _SPACES.sub(" ", _CONTROLS.sub("\N{REPLACEMENT CHARACTER}", str(value)))
        return cls(_SPECIAL.sub(_entity, line))


def _entity(match: re.Match[str]) -> str:
    found = match.group()
    return found if _PLAIN.match(match.string, match.start()) else f"&#{ord(found)};"


def code(value: object) -> Markdown:
    """``value`` as code within a line, whatever it holds.

    >>> code("a`b")
    Markdown('``a`b``')
    """
    line = re.sub(r"\s+", " ", _CONTROLS.sub("\N{REPLACEMENT CHARACTER}", str(value))).strip()
    if not line:
        return Markdown("")
    fence = "`" * (_longest(line) + 1)
    padding = " " if line[0] == "`" or line[-1] == "`" else ""
    return Markdown(f"{fence}{padding}{line}{padding}{fence}")


def block(lines: object, language: str = "text", **options: str) -> Markdown:
    """``lines`` as a block of code in ``language``, with the options of Sphinx's ``code-block``."""
    body = _CONTROLS.sub("\N{REPLACEMENT CHARACTER}", str(lines))
    named = [f":{key}: {value}" for key, value in options.items()]
    head = f"{{code-block}} {language}"
    return Markdown(fenced(head, "\n".join([*named, "", body] if named else [body])))


def fenced(head: str, body: str) -> str:
    """``body`` in a fence that nothing in it can close."""
    fence = "`" * max(3, _longest(body) + 1)
    return f"{fence}{head}\n{body}\n{fence}"


def _longest(text: str) -> int:
    return max(map(len, _RUN.findall(text)), default=0)
