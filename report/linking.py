"""The name of each clipping, where a page has it first, leads to what the methods say of it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from benchmark.figures.phrases import phrase

FACTOR = "clipping"
CLIPPINGS = (
    *("value", "global_norm", "per_layer_norm", "adaptive", "autoclip", "zclip", "zclip_capped"),
    *("adagc", "update_rms", "normalized", "skip_step", "skip_step_all"),
    "rewind",
)
"""Those that have a row in the methods' table."""
HOME = "methods"
"""The page that has the table."""
_KEPT = re.compile(r"(`+).*?\1|\[[^\]]*\]\([^)]*\)|\$[^$]*\$|<[^>]*>|\{[^}]*\}")
"""Code, links, formulas, tags and roles, in which nothing may be linked."""
_FENCE = re.compile(r"(`{3,}|~{3,})")


def anchor(level: str) -> str:
    """The place of a clipping's row.

    >>> anchor("global_norm")
    'clipping-global-norm'
    """
    return f"{FACTOR}-{level.replace('_', '-')}"


def places() -> dict[str, str]:
    """What a sentence calls each clipping -> the place of its row."""
    return {phrase(FACTOR, level): anchor(level) for level in CLIPPINGS}


def link_first(text: str, targets: Mapping[str, str]) -> str:
    """A page's MyST, with the first mention of each of ``targets`` as a link to its place.

    In sentences, that is: headings, tables, figures, code and links stay as they are.

    >>> print(link_first("Capped ZClip helps, ZClip too.", {"ZClip": "a", "capped ZClip": "b"}))
    [Capped ZClip](#b) helps, [ZClip](#a) too.
    """
    left = {name.lower(): place for name, place in targets.items()}
    # the longest first, because a name may end as another one does
    names = sorted(map(re.escape, left), key=len, reverse=True)
    named = re.compile(rf"(?<![\w-])(?:{'|'.join(names)})(?![\w-])", re.IGNORECASE)

    def link(match: re.Match[str]) -> str:
        place = left.pop(match.group().lower(), None)
        return f"[{match.group()}](#{place})" if place else match.group()

    lines, fence = [], ""
    for line in text.split("\n"):
        if opened := _FENCE.match(line):
            if not fence:
                fence = opened.group()
            elif line.strip() == fence:
                fence = ""
        elif left and not fence and not line.startswith(("|", "#", ":::", "(")):
            line = _outside(line, named, link)
        lines.append(line)
    return "\n".join(lines)


def _outside(line: str, named: re.Pattern[str], link: Callable[[re.Match[str]], str]) -> str:
    """``line`` with what ``link`` makes of each name in its sentences."""
    parts, end = [], 0
    for kept in _KEPT.finditer(line):
        parts += [named.sub(link, line[end : kept.start()]), kept.group()]
        end = kept.end()
    return "".join([*parts, named.sub(link, line[end:])])
