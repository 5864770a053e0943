"""Links that pages get after they are made, and those that they lose.

The name of each clipping, where a page has it first, leads to what the methods say of it. In a book
without some of the pages (`report.rendering.render_all`), what would lead there leads nowhere: the
name of a page leads to the list of what was not run where it is listed there, other words lose
their link, and a bracket that holds nothing but such a link is left out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping

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
ABSENT = "not_run"
"""The page that lists what was not run."""
_CAPTIONED = "{figure}"
"""What is fenced and yet has links, in its caption."""
_LINK = r"\[(?P<words>[^\]]*)\]\((?:(?P<page>[\w-]+)\.md)?(?:#(?P<anchor>[\w-]+))?\)"
_LINK_OR_CODE = re.compile(
    rf"(?P<code>(?P<ticks>`+).*?(?P=ticks))|(?P<bracket> \()?{_LINK}(?(bracket)\))"
)
_ANCHOR = re.compile(r"^\(([\w-]+)\)=$|^:name: ([\w-]+)$|^#+ (.*)$", re.M)


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


def anchors(texts: Iterable[str]) -> set[str]:
    r"""The places of pages that a link may lead to: named ones, figures and headings.

    >>> sorted(anchors(["(why)=\n## How it ends\n", ":name: fig-a\n"]))
    ['fig-a', 'how-it-ends', 'why']
    """
    found = [match.groups(default="") for text in texts for match in _ANCHOR.finditer(text)]
    headings = {re.sub(r"\W+", "-", heading.lower()).strip("-") for *_, heading in found}
    return {name for named in found for name in named[:2] if name} | headings - {""}


def without(
    text: str, gone: Mapping[str, str], known: Collection[str], listed: Collection[str] = ()
) -> str:
    """A page's MyST without links to pages that are not in the book, or to places on them.

    Parameters
    ----------
    text
        The page.
    gone
        The pages that are left out, with their titles.
    known
        The `anchors` of all others.
    listed
        Those of the pages left out that the page `ABSENT` has a line about.

    >>> said = "See [](deep.md) and [claim 1](#claim-1) ([](deep.md))."
    >>> without(said, {"deep": "A deep network"}, {}, ["deep"])
    'See [A deep network](not_run.md) and claim 1.'
    """

    def plain(match: re.Match[str]) -> str:
        words, page, anchor = match["words"], match["page"], match["anchor"]
        lost = page in gone or (page is None and anchor is not None and anchor not in known)
        if match["code"] or not lost:
            return match.group()
        if match["bracket"] and not words:
            return ""
        said = words or gone.get(page or "", "")
        if not words and page in listed:
            said = f"[{said}]({ABSENT}.md)"
        return f" ({said})" if match["bracket"] else said

    lines: list[str] = []
    open_fences: list[tuple[str, bool]] = []
    for line in text.split("\n"):
        fence, of_code = open_fences[-1] if open_fences else ("", False)
        if fence and line.strip() == fence:
            open_fences.pop()
        elif not of_code and (opened := _FENCE.match(line)):
            open_fences.append((opened.group(), _CAPTIONED not in line))
        elif not of_code:
            line = _LINK_OR_CODE.sub(plain, line)
        lines.append(line)
    return "\n".join(lines)
