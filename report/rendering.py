"""From templates to MyST: a page is one file of prose, with each number an expression in its place.

Pages are Jinja templates, strict about names that are not defined. Beside Jinja's own tags they
have four:

``{% study "grid" %} ... {% endstudy %}``
    What rests on a study, which is ``study`` inside. Where it was not run, nothing stands there,
    and a page that is left with its title is no part of the book (`render_all`).
``{% lead %} ... {% endlead %}``
    A finding that stands alone. The page has it where it is, and the first page of a book of an
    incomplete folder repeats it.
``{% guard condition %} ... {% otherwise %} ... {% endguard %}``
    A statement that the data could contradict. On the reference results a condition that is false
    fails the build; on any others the alternative is shown, or nothing.
``{% figure "label", drawing, frame %} caption {% alt %} description {% endfigure %}``
    A numbered figure with its data as CSV, and where it comes from. It is drawn twice: for the
    page, and for the narrow column of a phone.

A page has the names of its own module, and every other page's module by that page's name.
"""

from __future__ import annotations

import functools
import gc
import html
import importlib
import importlib.util
import json
import multiprocessing
import re
import signal
import threading
import traceback
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, Future, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import jinja2
import numpy as np
import pandas as pd
from jinja2 import nodes
from jinja2.ext import Extension
from jinja2.parser import Parser
from matplotlib.figure import Figure

from benchmark import figures, schema, statistics, status
from benchmark.statistics import speed, where
from report import claims, comparison, evidence, linking, prose
from report.evidence import Evidence
from report.text import Markdown, block, code, fenced

SOURCE = Path(__file__).resolve().parent
PARTS = "parts.jinja"
"""Sentences that every page about a study has."""
MOST_ORIGINS = 3
"""Studies of a figure up to which its legend has the file, commits and command of each."""
TALL = 0.75
"""Height of a figure, in units of its width, from which two on a page of paper would be too small
to be read."""
APART = "\x1d"
"""Between a caption and its description; no text from a file holds it."""


MOST_LEADS = 2
"""Findings of one page that the first page repeats."""


class PageError(Exception):
    """A page that cannot be shown; the message names it and its line."""


class Lead(NamedTuple):
    """A finding that stands alone: a link to where it stands, and the sentence or two."""

    link: Markdown
    text: Markdown


class Page:
    """What the tags of one page do: load studies, judge statements, save figures."""

    def __init__(
        self, name: str, folder: Path, *, strict: bool = False, others: Sequence[Page] = ()
    ) -> None:
        self.name, self.folder, self.strict = name, folder, strict
        self.others = others
        self.contradictions: list[str] = []
        self.leads: list[Lead] = []
        self.figures: list[Markdown] = []
        self._drawn: list[Figure] = []

    def load(self, study: str) -> Evidence | None:
        """A study of the results at hand, None where it was not run."""
        return evidence.load(study)

    def lead(self, link: Markdown | None = None, *, caller: Callable[[], str]) -> Markdown:
        """What a lead tag holds, remembered for the first page; ``link`` leads to where it stands.

        That is to this page unless one is given.
        """
        text = Markdown(caller())
        if said := " ".join(re.sub(r"\*\*|^- ", "", text.strip()).split()):
            self.leads.append(Lead(link or Markdown(f"[]({self.name}.md)"), Markdown(said)))
        return text

    def has(self, name: str) -> bool:
        """Whether the book has the page ``name``; without other pages at hand it is taken to."""
        return not self.others or name in {page.name for page in self.others}

    def findings(self) -> list[Lead]:
        """What the other pages lead with: one row a place, of at most `MOST_LEADS` of its leads."""
        places: dict[Markdown, list[Markdown]] = {}
        for lead in (lead for page in self.others for lead in page.leads):
            places.setdefault(lead.link, []).append(lead.text)
        joined = {place: " ".join(texts[:MOST_LEADS]) for place, texts in places.items()}
        return [Lead(place, Markdown(text)) for place, text in joined.items()]

    def borrowed(self, names: Sequence[str]) -> Markdown:
        """The first figure of the first of the pages ``names`` that has one, as one of this page.

        Nothing where none of them has a figure.
        """
        pages = {page.name: page for page in self.others}
        drawn = [pages[name].figures[0] for name in names if name in pages and pages[name].figures]
        named = re.sub(r"^:name: .*$", ":name: fig-first", "".join(drawn[:1]), count=1, flags=re.M)
        return Markdown(named)

    def judge(self, file: str, line: int, holds: object, values: Sequence[object]) -> bool:
        """Whether a statement may stand; where it must and may not, that is remembered."""
        if not isinstance(holds, bool | np.bool_):
            raise TypeError(f"the condition of a guard is {holds!r}, neither true nor false")
        if not holds and self.strict:
            rest = (SOURCE / file).read_text(encoding="utf-8").splitlines()[line - 1 :]
            found = re.search(r"\{%-?\s*guard\s(.*?)-?%\}(.*?)\{%", "\n".join(rest), re.S)
            condition, statement = found.groups() if found else ("", "")
            self.contradictions.append(
                f"{self.name}: {file}, line {line}: the data contradict the statement\n"
                f"  {' '.join(statement.split())}\n"
                f"  guard {' '.join(condition.split())}, with values "
                f"{', '.join(map(str, values)) or holds}"
            )
        return bool(holds)

    def keep(self, drawing: Figure) -> None:
        """Remember what a figure tag's expression has drawn."""
        self._drawn.append(drawing)

    def draw(self, label: str, caller: Callable[[], str]) -> Markdown:
        """Save a figure as it is on a page and, where that is wider, in a phone's column.

        Beside each lies the same in the colours of a dark page.

        Each time that it is called, ``caller`` draws the figure and gives it to `keep`.
        """
        path = self.folder / _path(label)
        path.parent.mkdir(exist_ok=True)
        caller()
        wide = self._drawn[-1]
        figures.save_svg(wide, path)
        figures.save_night_svg(path)
        if wide.get_figwidth() > figures.NARROW_WIDTH:
            with figures.narrow():
                caller()
            narrow = path.with_stem(f"{path.stem}-narrow")
            figures.save_svg(self._drawn.pop(), narrow)
            figures.save_night_svg(narrow)
        return Markdown("")

    def figure(
        self,
        label: str,
        data: pd.DataFrame,
        *,
        tables: Sequence[str] = ("trials",),
        sources: Sequence[Evidence] = (),
        place: str,
        function: str,
        caller: Callable[[], str],
    ) -> Markdown:
        """A numbered figure of ``data``, from ``tables`` of every study in ``sources``.

        ``place`` is the file and line that draw it, with a ``function`` of `benchmark.figures`.
        """
        caption, _, alt = caller().partition(APART)
        path, drawing = _path(label), self._drawn.pop()
        width, height = drawing.get_size_inches()
        data.to_csv((self.folder / path).with_suffix(".csv"), index=False, float_format="%.6g")
        plain = re.sub(r"[*`]", "", html.unescape(" ".join(alt.split())))
        sheet = path.with_suffix(".csv").as_posix()
        data_and_code = Markdown("Data: {{download}}`CSV <{}>`{}").format(
            Markdown(sheet), linked_code(function)
        )
        several = len(sources) > MOST_ORIGINS
        made = [origins(sources)] if several else [origin(study, tables) for study in sources]
        drawn = Markdown("drawn in {}").format(code(f"report/{place}"))
        legend = f"{data_and_code}\n\n{folded(Markdown('; ').join([*made, drawn]))}"
        body = [
            f":name: fig-{path.stem}",
            f":alt: {json.dumps(plain, ensure_ascii=False)}",
            ":width: 100%",
            *([":figclass: tall"] if height > TALL * width else []),
            "",
            " ".join(caption.split()),
            "",
            legend,
        ]
        made_of = Markdown(fenced(f"{{figure}} {path.as_posix()}", "\n".join(body)) + "\n")
        self.figures.append(made_of)
        return made_of


def _path(label: str) -> Path:
    return Path("figures") / f"{re.sub(r'[^a-z0-9]+', '-', label.lower()).strip('-')}.svg"


def origin(source: Evidence, tables: Sequence[str] = ("trials",)) -> Markdown:
    """Where numbers come from: study, files, commit and command."""
    files = Markdown(", ").join(code(source.file(name)) for name in tables)
    commits = "commits" if " and " in source.commit else "commit"
    return Markdown("study {}, {}, {} {}, made by {}").format(
        code(source.study), files, commits, source.commit, code(source.command)
    )


def origins(sources: Sequence[Evidence]) -> Markdown:
    """The studies that numbers come from, and the page that has the files of each."""
    studies = prose.listing(code(source.study) for source in sources)
    where_told = Markdown("[files, commits and commands](reproducibility.md)")
    return Markdown("studies {} ({})").format(studies, where_told)


def study_link(study: str) -> Markdown:
    """A study's name, as a link to the page about it."""
    page = evidence.PAGES.get(study)
    return Markdown(f"[{code(study)}]({page}.md)") if page else code(study)


def linked(text: object, target: str) -> Markdown:
    """``text`` as a link to a place of the book that has the name ``target``.

    >>> linked("claim 1", "claim-1")
    Markdown('[claim 1](#claim-1)')
    """
    return Markdown("[{}](#{})").format(text, Markdown(target))


def linked_code(function: str) -> Markdown:
    """A link to the source in the book of the function that draws a figure; empty without one.

    >>> linked_code("heat_maps")
    Markdown('; code: [`heat_maps`](#code-heat-maps)')
    """
    if not function:
        return Markdown("")
    return Markdown(f"; code: [{code(function)}](#code-{function.replace('_', '-')})")


def folded(said: Markdown) -> Markdown:
    """Where a figure comes from, behind a line that opens it.

    >>> print(folded(Markdown("study `grid`")))
    ~~~{raw} html
    <details class="origin"><summary>study, commit, command</summary>
    ~~~
    <BLANKLINE>
    Study `grid`.
    <BLANKLINE>
    ~~~{raw} html
    </details>
    ~~~
    """
    # tildes, because a fence of backticks would need a longer one around the figure
    parts = ('<details class="origin"><summary>study, commit, command</summary>', "</details>")
    opened, closed = (f"~~~{{raw}} html\n{part}\n~~~" for part in parts)
    return Markdown(f"{opened}\n\n{prose.opening(str(said))}.\n\n{closed}")


class _Tags(Extension):
    """The tags of this module."""

    tags = {"study", "guard", "lead", "figure"}  # noqa: RUF012  (Jinja's own way of declaring them)

    def parse(self, parser: Parser) -> nodes.Node | list[nodes.Node]:
        tag = next(parser.stream)
        return getattr(self, f"_parse_{tag.value}")(parser, tag.lineno)

    def _call(self, method: str, *arguments: nodes.Expr, **named: nodes.Expr) -> nodes.Call:
        keywords = [nodes.Keyword(key, value) for key, value in named.items()]
        target = nodes.Getattr(nodes.Name("page", "load"), method, "load")
        return nodes.Call(target, list(arguments), keywords, None, None)

    def _parse_study(self, parser: Parser, line: int) -> list[nodes.Node]:
        name = parser.parse_expression()
        body = parser.parse_statements(("name:endstudy",), drop_needle=True)
        loaded = nodes.Assign(nodes.Name("study", "store"), self._call("load", name))
        branch = nodes.If(nodes.Name("study", "load"), body, [], [])
        return [node.set_lineno(line) for node in (loaded, branch)]

    def _parse_lead(self, parser: Parser, line: int) -> nodes.Node:
        given = parser.stream.current.type != "block_end"
        link = [parser.parse_expression()] if given else []
        body = parser.parse_statements(("name:endlead",), drop_needle=True)
        return nodes.CallBlock(self._call("lead", *link), [], [], body).set_lineno(line)

    def _parse_guard(self, parser: Parser, line: int) -> nodes.Node:
        condition = parser.parse_expression()
        body = parser.parse_statements(("name:otherwise", "name:endguard"))
        other: list[nodes.Node] = []
        if next(parser.stream).value == "otherwise":
            other = parser.parse_statements(("name:endguard",), drop_needle=True)
        compared = [condition] if isinstance(condition, nodes.Compare) else []
        compared += condition.find_all(nodes.Compare)
        sides = [side for c in compared for side in (c.expr, *(o.expr for o in c.ops))]
        values = nodes.List([side for side in sides if not isinstance(side, nodes.Const)])
        test = self._call("judge", nodes.Const(parser.name), nodes.Const(line), condition, values)
        return nodes.If(test, body, [], other).set_lineno(line)

    def _parse_figure(self, parser: Parser, line: int) -> list[nodes.Node]:
        arguments: list[nodes.Expr] = []
        named: dict[str, nodes.Expr] = {}
        while parser.stream.current.type != "block_end":
            if arguments or named:
                parser.stream.expect("comma")
            if parser.stream.current.type == "name" and parser.stream.look().type == "assign":
                key = next(parser.stream).value
                next(parser.stream)
                named[key] = parser.parse_expression()
            else:
                arguments.append(parser.parse_expression())
        named.setdefault("sources", nodes.List([nodes.Name("study", "load")]))
        named["place"] = nodes.Const(f"{parser.name}, line {line}")
        label, drawing, *rest = arguments
        named["function"] = nodes.Const(_function_of(drawing))
        caption = parser.parse_statements(("name:alt",), drop_needle=True)
        alt = parser.parse_statements(("name:endfigure",), drop_needle=True)
        body = [*caption, nodes.Output([nodes.TemplateData(APART)]), *alt]
        # a block can be called more than once, where an expression would have one value
        keep = nodes.ExprStmt(self._call("keep", drawing))
        blocks = (
            nodes.CallBlock(self._call("draw", label), [], [], [keep]),
            nodes.CallBlock(self._call("figure", label, *rest, **named), [], [], body),
        )
        return [block.set_lineno(line) for block in blocks]


def _function_of(drawing: nodes.Expr) -> str:
    """The name of the function of `benchmark.figures` that makes a drawing; empty of any other."""
    called = drawing.node if isinstance(drawing, nodes.Call) else drawing
    return called.attr if isinstance(called, nodes.Getattr) else ""


def environment(source: Path = SOURCE) -> jinja2.Environment:
    """The environment that pages are rendered in."""
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(source),
        undefined=jinja2.StrictUndefined,
        finalize=prose.shown,
        # what macros return counts as Markdown; everything else `shown` escapes
        autoescape=True,
        extensions=[_Tags, "jinja2.ext.do", "jinja2.ext.loopcontrols"],
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    made.filters |= prose.FORMATS | {
        **{f.__name__: f for f in (prose.opening, prose.listing, prose.names, prose.records)},
        **{f.__name__: f for f in (prose.told, prose.table, prose.count)},
        **{f.__name__: f for f in (prose.first_sentence, prose.in_points)},
        "block": block,
        "coded": prose.coded,
        "load_study": evidence.load,
        "where": where,
        "linked": linked,
        "study_link": study_link,
    }
    made.globals |= {
        **{f.__name__: f for f in (prose.between, prose.bounds, origin)},
        **{path.stem: facts for path in source.glob("*.md") if (facts := module_of(path.stem))},
        "claims": claims,
        "comparison": comparison,
        "evidence": evidence,
        "figures": figures,
        "fixed2": prose.FORMATS["fixed2"],
        "hundredths": prose.FORMATS["hundredths"],
        "schema": schema,
        "speed": speed,
        "statistics": statistics,
        "statuses": status.STATUSES,
    }
    return made


def module_of(name: str) -> ModuleType | None:
    """The module of a page's facts, which has the page's name; None where it needs none."""
    whole = f"report.{name}"
    return importlib.import_module(whole) if importlib.util.find_spec(whole) else None


def render(page: Page, made: jinja2.Environment | None = None) -> str:
    """The MyST text of a page, its figures saved beside it.

    Raises
    ------
    PageError
        If an expression fails, warns or gives what a page cannot show.
    """
    with figures.titled(evidence.titles()):
        return _rendered(page, made or environment())


def _rendered(page: Page, made: jinja2.Environment) -> str:
    module = module_of(page.name)
    facts = {k: v for k, v in vars(module).items() if k[0] != "_"} if module else {}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            parts = made.get_template(PARTS).module
            shared = {k: getattr(parts, k) for k in dir(parts) if k[0] != "_"}
            text = made.get_template(f"{page.name}.md").render(**shared, **facts, page=page)
    except jinja2.TemplateSyntaxError as error:
        raise PageError(f"{error.filename or page.name}, line {error.lineno}: {error}") from None
    except Exception as error:
        raise PageError(f"{_place(error, page)}: {type(error).__name__}: {error}") from error
    return prose.signed_alike(re.sub(r"\n{3,}", "\n\n", text))


def _place(error: Exception, page: Page) -> str:
    """The line of the page, or of the parts, at which an error arose."""
    lines = [
        f"{Path(frame.filename).name}, line {frame.lineno}"
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename.endswith((".md", ".jinja"))
    ]
    return " < ".join(reversed(lines)) or f"{page.name}.md"


@contextmanager
def rarely_collecting() -> Iterator[None]:
    """Within it, reference cycles (figures are full of them) are seldom looked for."""
    before = gc.get_threshold()
    gc.set_threshold(100_000, 20, 50)
    try:
        yield
    finally:
        gc.set_threshold(*before)


@dataclass(frozen=True)
class Book:
    """The pages that say something of the results, in their order, and what the data contradict."""

    pages: list[str]
    contradictions: list[str]


def escaped_twice(name: str, text: str) -> list[str]:
    """The lines of a page that show a reader the name of a character in place of it.

    Of texts that a template took for plain ones and escaped again.

    >>> escaped_twice("grid", "It gains &#38;&#35;43;1.0 points.")
    ['grid: escaped twice: It gains &#38;&#35;43;1.0 points.']
    >>> escaped_twice("grid", "It gains &#43;1.0 points.")
    []
    """
    lines = re.findall(r".*&#38;&#35;\d+;.*", text)
    return [f"{name}: escaped twice: {line.strip()}" for line in lines]


def render_all(
    names: Sequence[str],
    folder: Path,
    *,
    strict: bool,
    telling: Callable[[Sequence[str]], Iterable[str]] = iter,
    processes: int = 1,
) -> Book:
    """Write the text of every page to ``folder``, but of those that have nothing to say.

    The first page is made last, because it repeats what the others find. ``telling`` goes through
    the names, and may say how far that is. With several ``processes`` this one is the first of
    them; the book is the same.
    """
    first, *rest = names
    pages: list[Page] = []
    texts: dict[str, str] = {}
    contradictions: list[str] = []
    with _Hands(folder, strict, rest, processes) as hands:
        for name in telling([*rest, first]):
            page, text = hands.made(name) if name != first else hands.make(name, pages)
            contradictions += page.contradictions + (escaped_twice(name, text) if strict else [])
            if says_something(text):
                pages.append(page)
                texts[name] = text
    gone = {name: title(name) for name in names if name not in texts}
    anchors = linking.anchors(texts.values())
    listed = [name for name in gone if f"({name}.md)" in texts.get(linking.ABSENT, "")]
    for name, text in texts.items():
        if name != linking.HOME:
            text = linking.link_first(text, linking.places())
        if not strict:
            # of the reference every link must lead somewhere, which Sphinx looks after
            text = linking.without(text, gone, anchors, () if name == linking.ABSENT else listed)
        (folder / f"{name}.md").write_text(text, encoding="utf-8")
    return Book([name for name in names if name in texts], contradictions)


class _Hands:
    """Makes pages, several at a time: this process from the first on, others from the last on.

    This one has then at hand what the first pages of a book, which sum it up, rest on, and so does
    the very first.
    """

    def __init__(self, folder: Path, strict: bool, names: Sequence[str], processes: int) -> None:
        self._folder, self._strict, self._made = folder, strict, environment()
        self._left = deque(names)
        self._found: dict[str, Future[tuple[Page, str]]] = {name: Future() for name in names}
        self._pool: ProcessPoolExecutor | None = None
        self._feeding: list[threading.Thread] = []
        others = min(processes, len(names)) - 1
        if others > 0:
            # a copy of this process would have its locks, but not the threads that hold them
            context = multiprocessing.get_context("spawn")
            # an interruption reaches them too, and is this process's to tell
            ignoring = (signal.SIGINT, signal.SIG_IGN)
            self._pool = ProcessPoolExecutor(others, context, signal.signal, ignoring)
            self._feeding = [
                threading.Thread(target=self._feed, daemon=True) for _ in range(others)
            ]
            for thread in self._feeding:
                thread.start()

    def _feed(self) -> None:
        """Give another process page after page, one at a time, so that this one has the rest."""
        assert self._pool is not None
        while self._left:
            try:
                name = self._left.pop()
            except IndexError:
                return
            try:
                page = self._pool.submit(_make_elsewhere, name, self._folder, self._strict)
                self._found[name].set_result(page.result())
            except Exception as error:
                self._found[name].set_exception(error)
                if isinstance(error, BrokenExecutor):
                    return

    def __enter__(self) -> _Hands:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._left.clear()
        if self._pool is None:
            return
        if kind is not None:
            # whose pages nobody reads any more
            for child in multiprocessing.active_children():
                child.kill()
        for thread in self._feeding:
            thread.join()
        self._pool.shutdown()

    def made(self, name: str) -> tuple[Page, str]:
        """The next page and its text, in the order of the names; raises what `render` does."""
        try:
            self._left.popleft()
        except IndexError:
            pass
        else:
            return self.make(name)
        try:
            return self._found[name].result()
        except BrokenExecutor:
            # the system has ended the other process, for want of memory perhaps
            return self.make(name)

    def make(self, name: str, others: Sequence[Page] = ()) -> tuple[Page, str]:
        """The same, made by this process; ``others`` are the pages that it may repeat."""
        page = Page(name, self._folder, strict=self._strict, others=tuple(others))
        return page, render(page, self._made)


def _make_elsewhere(name: str, folder: Path, strict: bool) -> tuple[Page, str]:
    page = Page(name, folder, strict=strict)
    with rarely_collecting():
        return page, render(page, _environment_of_process())


@functools.cache
def _environment_of_process() -> jinja2.Environment:
    return environment()


def says_something(text: str) -> bool:
    r"""Whether there is more on a page than headings and names of places.

    >>> says_something("(a)=\n# The grid\n"), says_something("# The grid\n\nIt is complete.")
    (False, True)
    """
    return any(not re.match(r"#|\(.*\)=$", line) for line in text.splitlines() if line.strip())


def title(name: str) -> str:
    """The heading of a page, as its template has it."""
    template = (SOURCE / f"{name}.md").read_text(encoding="utf-8")
    found = re.search(r"^# (.*)$", template, re.M)
    return found.group(1) if found else name
