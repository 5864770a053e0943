"""How pages are made: strict about names, guarded statements, and results that are only text."""

import html
import json
import math
import multiprocessing
import re
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path

import jinja2
import numpy as np
import pandas as pd
import pytest
import yaml
from docutils.core import publish_string
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure
from myst_parser.parsers.docutils_ import Parser
from pages import evidence_of

from benchmark.engine import REGISTRIES
from report import advice, evidence, figure_code, linking, prose, rendering
from report.build import ANSWER, contents, telling, too_long
from report.rendering import Page, PageError
from report.text import Markdown, block, code

HOSTILE = (
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "{include}`/etc/passwd`",
    "```{include} /etc/passwd\n```",
    "````",
    "(label)=\n# Heading",
    "[link](javascript:alert(1)) ![image](x)",
    "% a comment\n+++\n---",
    "$x^2$ | cell | `code`",
    "{{ 7 * 7 }} {% raw %}",
    "1. one\n- two\n> three",
    "&lt;b&gt; &#60; \\* _a_ **b**",
    "    indented",
    "\x00\x1d\u202e",
)
Render = Callable[..., str]


@pytest.fixture
def render(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Render:
    """Renders a template that a test gives, as the page named page."""
    source = tmp_path / "source"
    source.mkdir()
    (source / rendering.PARTS).write_text("", encoding="utf-8")
    monkeypatch.setattr(rendering, "SOURCE", source)
    monkeypatch.setattr(evidence, "load", lambda study: None)

    def made(text: str, *, page: Page | None = None, **names: object) -> str:
        (source / "page.md").write_text(text, encoding="utf-8")
        environment = rendering.environment(source)
        environment.globals |= names
        return rendering.render(page or Page("page", tmp_path), environment)

    return made


def strict(folder: Path) -> Page:
    return Page("page", folder, strict=True)


# --- values ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1234, "1,234"),
        (np.int64(3), "3"),
        (0.012345, "0.0123"),
        (np.float64("nan"), "–"),
        ("global norm", "global norm"),
        (Markdown("**bold**"), "**bold**"),
        ("**bold**", "&#42;&#42;bold&#42;&#42;"),
    ],
)
def test_an_expression_shows_its_value(render: Render, value: object, text: str) -> None:
    assert render("{{ value }}", value=value) == text


def test_a_page_reaches_the_facts_of_another_by_its_name(render: Render, tmp_path: Path) -> None:
    (tmp_path / "source" / "rates.md").write_text("", encoding="utf-8")
    assert render("{{ rates.NEAR }}") == "0.5"


@pytest.mark.parametrize("value", [None, True, np.True_, pd.DataFrame(), pd.Series([1]), [1], {}])
def test_an_object_that_is_no_text_is_an_error(render: Render, value: object) -> None:
    with pytest.raises(PageError, match=r"page\.md, line 2: TypeError: a page cannot show"):
        render("# Page\n{{ value }}", value=value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("# A\n\n{{ missing }}", "page.md, line 3: UndefinedError: 'missing' is undefined"),
        ("{{ found.name }}", "line 1: UndefinedError: 'dict object' has no attribute 'name'"),
        ("{{ 1 / 0 }}", "ZeroDivisionError"),
        ("{{ warn('beware') }}", "UserWarning: beware"),
        ("{{ 1 | nofilter }}", "No filter named 'nofilter'"),
        ("\n{% if %}", "line 2: "),
        ("{% guard 1 %}x{% endguard %}", "the condition of a guard is 1"),
    ],
)
def test_a_page_that_fails_is_named_with_its_line(render: Render, text: str, said: str) -> None:
    with pytest.raises(PageError) as raised:
        render(text, found={}, warn=warnings.warn)
    assert said in str(raised.value)
    assert "page.md" in str(raised.value)


# --- guarded statements ---------------------------------------------------------------------------

STATEMENT = """
# Page

{% guard best >= policy %}
No policy beats the best fixed size.
{% otherwise %}
A policy reaches {{ policy }}.
{% endguard %}
"""


def test_a_statement_stands_where_the_data_bear_it(render: Render, tmp_path: Path) -> None:
    page = strict(tmp_path)
    text = render(STATEMENT, page=page, best=0.9, policy=0.8)
    assert "No policy beats the best fixed size." in text
    assert "reaches" not in text
    assert page.contradictions == []


def test_data_that_contradict_a_statement_show_the_alternative(render: Render) -> None:
    text = render(STATEMENT, best=0.7, policy=0.8)
    assert "No policy" not in text
    assert "A policy reaches 0.8." in text


def test_a_statement_without_an_alternative_leaves_nothing(render: Render) -> None:
    assert render("a{% guard best > 1 %}b{% endguard %}c", best=0.7) == "ac"


def test_on_the_reference_a_contradicted_statement_is_named(render: Render, tmp_path: Path) -> None:
    page = strict(tmp_path)
    render(STATEMENT, page=page, best=0.7, policy=0.8)
    (said,) = page.contradictions
    assert said.startswith("page: page.md, line 4: the data contradict the statement")
    assert "No policy beats the best fixed size." in said
    assert "guard best >= policy, with values 0.7, 0.8" in said


# --- studies and figures --------------------------------------------------------------------------


def test_nothing_stands_where_a_study_was_not_run(render: Render) -> None:
    section = '{% study "grid" %}\n## A heading\n{{ study.outcomes }}\n{% endstudy %}\n'
    assert render(section + section).strip() == ""


BOOK = {
    "index": "# First\n{% for lead in page.findings() %}\n- {{ lead.link }}: {{ lead.text }}\n"
    '{% endfor %}\n{{ page.borrowed(["lost", "full"]) }}',
    "full": "# Full\n(here)=\n{% lead %}\n- **A finding** of {{ 2 }}.\n{% endlead %}\n"
    '{% lead "[elsewhere](#here)"|safe %}\nAnother one.\n{% endlead %}\n'
    "{% lead %}\n{% guard 1 > 2 %}\nNo finding.\n{% endguard %}\n{% endlead %}\n"
    "See [](lost.md), [words](lost.md), [a place](#there), [](#here) and "
    "[this](#here) ([](lost.md)).\n"
    "`[code](lost.md)`\n\n```text\n[](lost.md)\n```\n"
    '{% figure "a", figures.comparison_forest(data, "points"), data, sources=[] %}\n'
    "Of [](lost.md).\n{% alt %}\nDescription.\n{% endfigure %}\n\nAfter it [](lost.md).\n",
    "lost": '# Lost\n(there)=\n{% study "grid" %}\n## A heading\nText.\n{% endstudy %}\n',
    "not_run": "# What was not run\n\n[](lost.md)\n",
}


@pytest.fixture
def made_book(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[rendering.Book, dict[str, str]]]:
    """Renders the pages of `BOOK`, one of which says nothing, and reads what was written."""
    source, folder = tmp_path / "source", tmp_path / "pages"
    source.mkdir()
    folder.mkdir()
    for name, text in {**BOOK, rendering.PARTS.removesuffix(".jinja"): ""}.items():
        end = "jinja" if f"{name}.jinja" == rendering.PARTS else "md"
        (source / f"{name}.{end}").write_text(text, encoding="utf-8")
    monkeypatch.setattr(rendering, "SOURCE", source)
    monkeypatch.setattr(evidence, "load", lambda study: None)
    columns = ["panel", "level", "effect", "low", "high"]
    data = pd.DataFrame([["grid", "value", 0.5, 0.4, 0.6]], columns=columns)
    environment = rendering.environment(source)
    environment.globals["data"] = data
    monkeypatch.setattr(rendering, "environment", lambda: environment)

    def made(*, strict: bool = False) -> tuple[rendering.Book, dict[str, str]]:
        book = rendering.render_all(list(BOOK), folder, strict=strict)
        return book, {path.stem: path.read_text() for path in folder.glob("*.md")}

    return made


def test_a_page_that_says_nothing_is_no_part_of_the_book(made_book) -> None:
    book, texts = made_book()
    assert book.pages == ["index", "full", "not_run"]
    assert set(texts) == set(book.pages)


def test_what_would_lead_to_a_page_left_out_leads_nowhere(made_book) -> None:
    full = made_book()[1]["full"]
    assert (
        "See [Lost](not_run.md), words, a place, [](#here) and [this](#here).\n"
        "`[code](lost.md)`\n\n```text\n[](lost.md)\n```\n"
    ) in full
    assert "\nOf [Lost](not_run.md).\n" in full
    assert "\nAfter it [Lost](not_run.md).\n" in full
    # the list itself names the page
    assert "\nLost\n" in made_book()[1]["not_run"]


def test_of_the_reference_no_link_is_changed(made_book) -> None:
    assert (
        "See [](lost.md), [words](lost.md), [a place](#there)" in made_book(strict=True)[1]["full"]
    )


def test_text_of_the_reference_that_was_escaped_twice_is_named(made_book, monkeypatch) -> None:
    text = "# Full\n\nIt gains &#38;&#35;43;1 point.\n"
    monkeypatch.setattr(rendering, "render", lambda page, made: text)
    said = made_book(strict=True)[0].contradictions
    assert "full: escaped twice: It gains &#38;&#35;43;1 point." in said
    assert made_book()[0].contradictions == []


def test_the_first_page_repeats_what_the_others_lead_with(made_book) -> None:
    index = made_book()[1]["index"]
    assert "- [](full.md): A finding of 2.\n- [elsewhere](#here): Another one.\n" in index
    assert "No finding" not in index


def test_the_first_page_borrows_the_first_figure_of_a_page(made_book) -> None:
    _, texts = made_book()
    assert ":name: fig-a\n" in texts["full"]
    borrowed = texts["full"][texts["full"].index("```{figure}") :].partition("\nAfter it")[0]
    assert borrowed.replace("fig-a", "fig-first").strip() in texts["index"]


@pytest.fixture
def one_study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """Writes pages about a folder of results that holds one study, and returns their texts."""
    study = Path(__file__).parents[1] / "results" / "reference" / "precision"
    shutil.copytree(study, tmp_path / "results" / study.name)
    monkeypatch.setenv(evidence.VARIABLE, str(tmp_path / "results"))

    def made(*names: str, processes: int) -> list[str]:
        folder = tmp_path / f"pages-{processes}"
        folder.mkdir()
        book = rendering.render_all(names, folder, strict=False, processes=processes)
        return [(folder / f"{name}.md").read_text(encoding="utf-8") for name in book.pages]

    return made


def test_several_processes_make_the_same_book(one_study) -> None:
    names = ("introduction", "precision", "figure_code", "references")
    alone, together = (one_study(*names, processes=count) for count in (1, 3))
    assert len(alone) == len(names)
    assert together == alone


def test_pages_of_a_process_that_is_killed_are_made_by_this_one(one_study, monkeypatch) -> None:
    names = ("introduction", "precision", "figure_code", "references")
    render = rendering.render

    def killing(page: Page, made: jinja2.Environment) -> str:
        for child in multiprocessing.active_children():
            child.kill()
        return render(page, made)

    alone = one_study(*names, processes=1)
    monkeypatch.setattr(rendering, "render", killing)
    assert one_study(*names, processes=2) == alone


def test_an_error_in_another_process_is_told_as_one_in_this(one_study) -> None:
    with pytest.raises(PageError, match="no_such_page") as failed:
        one_study("index", "introduction", "methods", "no_such_page", processes=2)
    # the last page is the other's first
    assert "_make_elsewhere" in str(failed.value.__cause__)
    assert not multiprocessing.active_children()


def test_the_contents_have_no_part_without_a_page() -> None:
    whole = yaml.safe_load(contents(["index", "grid", "references"]))
    assert whole["root"] == "index"
    assert [[c["file"] for c in part["chapters"]] for part in whole["parts"]] == [
        ["grid"],
        ["references"],
    ]


def test_what_is_said_on_a_condition_is_left_out_without_it(render: Render) -> None:
    assert render('good{{ ", very" if x }}{{ ", not" if not x }}', x=True) == "good, very"


def test_a_figure_has_caption_description_data_and_origin(render: Render, tmp_path: Path) -> None:
    text = render(
        '{% figure "A label", drawing, data, sources=[] %}\nCaption of\n{{ kind }}.\n'
        '{% alt %}\nSays "so" of {{ kind }}.\n{% endfigure %}\n',
        drawing=Figure(),
        data=pd.DataFrame({"x": [1.23456789], "y": ["a"]}),
        kind="value_a",
    )
    assert text.startswith("```{figure} figures/a-label.svg\n:name: fig-a-label\n")
    assert "\nCaption of value&#95;a.\n" in text
    alt = json.dumps('Says "so" of value_a.')
    assert f":alt: {alt}\n" in text
    assert "{download}`CSV <figures/a-label.csv>`" in text
    assert (tmp_path / "figures" / "a-label.svg").read_text().startswith("<?xml")
    assert (tmp_path / "figures" / "a-label.csv").read_text() == "x,y\n1.23457,a\n"


@pytest.mark.parametrize(
    ("size", "tall"), [((7.6, 5.0), False), ((7.6, 6.5), True), ((7.6, 9.0), True)]
)
def test_a_figure_that_would_be_too_small_on_half_a_page_has_a_page_on_paper(
    render: Render, size: tuple[float, float], tall: bool
) -> None:
    text = render(
        '{% figure "a", drawing, data, sources=[] %}\nCaption.\n{% alt %}\nx\n{% endfigure %}\n',
        drawing=Figure(figsize=size),
        data=pd.DataFrame({"x": [1.0]}),
    )
    assert ("\n:figclass: tall\n" in text) is tall


def test_a_figure_links_to_the_code_that_draws_it(render: Render) -> None:
    columns = ["panel", "level", "effect", "low", "high"]
    text = render(
        '\n{% figure "a", figures.comparison_forest(data, "points"), data, sources=[] %}\n'
        "Caption.\n"
        "{% alt %}\nDescription.\n{% endfigure %}\n",
        data=pd.DataFrame([["grid", "value", 0.5, 0.4, 0.6]], columns=columns),
    )
    head, _, origin = text.partition("<details")
    assert head.endswith(
        "; code: [`comparison_forest`](#code-comparison-forest)\n\n~~~{raw} html\n"
    )
    assert "\nDrawn in `report/page.md, line 2`.\n" in origin


def test_the_code_of_every_function_that_draws_is_in_the_book() -> None:
    (found,) = [f for f in figure_code.functions() if f["name"] == "comparison_forest"]
    assert found["source"].startswith("def comparison_forest(")
    assert (found["anchor"], found["file"]) == (
        "comparison-forest",
        "benchmark/figures/comparisons.py",
    )


# --- results are text -----------------------------------------------------------------------------


def document(text: str) -> str:
    """What MyST makes of a text, as pseudo-XML."""
    settings = {
        "myst_enable_extensions": ["colon_fence", "dollarmath", "deflist"],
        "output_encoding": "unicode",
        "report_level": 5,
    }
    return str(
        publish_string(text, parser=Parser(), writer_name="pseudoxml", settings_overrides=settings)
    )


@pytest.mark.parametrize("hostile", HOSTILE)
def test_a_string_from_a_file_is_one_paragraph_of_text(render: Render, hostile: str) -> None:
    shown = document(render("{{ value }}", value=hostile)).splitlines()
    assert [line.strip() for line in shown[1:2]] == ["<paragraph>"]
    text = " ".join(" ".join(line.strip() for line in shown[2:]).split())
    plain = " ".join(hostile.replace("\x00", "\ufffd").replace("\x1d", "\ufffd").split())
    assert text == plain.replace("\u202e", "\ufffd")


@pytest.mark.parametrize("hostile", HOSTILE)
def test_a_string_from_a_file_stays_in_its_cell(render: Render, hostile: str) -> None:
    shown = document(
        render("{{ rows|table({'a': '{a}', 'b': '{a:code}', 'c': 'x'}) }}", rows=[{"a": hostile}])
    )
    assert shown.count("<row>") == 2
    assert shown.count("<entry") == 6
    assert not [tag for tag in ("<raw", "<image", "<reference", "<math") if tag in shown]


@pytest.mark.parametrize("hostile", HOSTILE)
def test_a_string_from_a_file_stays_in_its_code(hostile: str) -> None:
    shown = document(f"{code(hostile)} after\n\n{block(hostile)}")
    assert shown.count("<paragraph>") == 1
    assert shown.count("<literal_block") + shown.count("<literal>") in (1, 2)
    assert "<raw" not in shown


@given(st.text())
def test_whatever_the_string_it_stays_one_paragraph(text: str) -> None:
    head, *shown = document(f"x{Markdown.escape(text)}x").splitlines()
    assert head.startswith("<document")
    assert shown[0].strip() == "<paragraph>"
    found = " ".join(" ".join(shown[1:]).split())
    assert re.sub(r"\W", "", found) == re.sub(r"\W", "", f"x{text}x")


def test_what_is_put_into_markdown_is_escaped() -> None:
    assert Markdown("**{}**").format("*") == "**&#42;**"
    assert Markdown(", ").join(["*", Markdown("*a*")]) == "&#42;, *a*"
    assert prose.told([{"a": "*"}, {"a": "b"}], "**{a}**") == "**&#42;** and **b**"
    assert not hasattr(prose.listing(["*"]), "__html__")


def test_a_space_that_forbids_a_break_stays_and_others_are_one() -> None:
    assert Markdown.escape("1\N{NO-BREAK SPACE}point \n\t of") == "1\N{NO-BREAK SPACE}point of"


def test_a_sign_of_a_heading_stays_with_its_number() -> None:
    rows = [{"times": 10, "seeds": 3}]
    heads = prose.table(rows, {}, "times", {"at × {times}, K = {times}": "{seeds}"}).splitlines()[0]
    assert (
        html.unescape(heads)
        == "| at ×\N{NO-BREAK SPACE}10, K\N{NO-BREAK SPACE}=\N{NO-BREAK SPACE}10 |"
    )


@pytest.mark.parametrize(("count", "whole"), [(3, True), (4, False)])
def test_the_legend_of_many_studies_names_them_and_the_page_that_has_their_files(
    tmp_path: Path, count: int, whole: bool
) -> None:
    sources = [evidence_of(f"study{i}", pd.DataFrame({"seed": [0]})) for i in range(count)]
    (tmp_path / "figures").mkdir()
    page = Page("page", tmp_path)
    page.keep(Figure())
    shown = page.figure(
        "a",
        pd.DataFrame(),
        sources=sources,
        place="page.md, line 1",
        function="heat_maps",
        caller=lambda: "Caption.",
    )
    assert all(f"`{source.study}`" in shown for source in sources)
    assert ("made by" in shown) is whole
    assert ("[files, commits and commands](reproducibility.md)" in shown) is not whole


def test_a_pattern_reaches_columns_only() -> None:
    with pytest.raises(KeyError):
        prose.filled("{a.__class__}", {"a": 1})


def test_names_that_are_not_defined_are_errors() -> None:
    assert rendering.environment().undefined is jinja2.StrictUndefined


# --- numbers --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (1.0, "1"),
        (-0.5, "−0.5"),
        (0.012345, "0.0123"),
        (0.00012, "0.00012"),
        (12345.6, "12,346"),
        (2.33e10, "2.3 × 10¹⁰"),
        (1.31e17, "1.3 × 10¹⁷"),
        (1e-7, "1.0 × 10⁻⁷"),
        (math.nan, "–"),
        (None, "–"),
        (math.inf, "∞"),
        (-math.inf, "−∞"),
    ],
)
def test_numbers_have_no_more_digits_than_mean_something(value: float, text: str) -> None:
    assert prose.number(value) == text


@pytest.mark.parametrize("write", [prose.fixed, prose.signed, prose.percent, prose.number])
@pytest.mark.parametrize("value", [-0.0, -0.00001])
def test_zero_has_no_sign(write: Callable[[float], str], value: float) -> None:
    assert write(round(value, 3)).strip("%") in ("0", "0.0")
    assert "-" not in write(value)


def test_numbers_of_a_table_are_aligned() -> None:
    frame = pd.DataFrame({"a": ["x|y", "z"], "b": [1.5, math.nan], "c": [0.01, -0.02]})
    assert prose.table(frame, {"a": "{a}", "b": "{b}", "in points": "{c:signed}"}) == (
        "| a | b | in points |\n| --- | ---: | ---: |\n"
        "| x&#124;y | 1.5 | &#43;1.0 |\n| z | – | −2.0 |\n"
    )


@pytest.mark.parametrize(
    ("cells", "rule"),
    [
        (["0.1 to 0.3", "–"], "---:"),
        (["46% (33% to 60%)", "100%"], "---:"),
        (["0.1", "10 (edge)"], "---:"),
        (["< 0.001", "1.3 × 10¹⁷"], "---:"),
        (["0.1", "10 seeds"], "---"),
        (["5 of 6", "1 of 2"], "---:"),
        (["+4.5*", "−0.1", "0.25 to 0.75†"], "---:"),
        (["0 / 2 / 0", "1 / 0 / 0"], "---:"),
    ],
)
def test_a_column_of_numbers_and_ranges_is_one_of_numbers(cells: list[str], rule: str) -> None:
    table = prose.table([{"a": cell} for cell in cells], {"a": "{a}"})
    assert table.splitlines()[1] == f"| {rule} |"


def test_rows_of_a_group_stand_together_under_its_name() -> None:
    rows = [
        {"network": "mlp", "level": "none", "n": 1},
        {"network": "cnn", "level": "none", "n": 2},
        {"network": "mlp", "level": "value", "n": 3},
    ]
    assert prose.table(rows, {"a": "{level:name}", "n": "{n}"}, group="{network:name}") == (
        "| a | n |\n| --- | ---: |\n"
        "| **MLP** |  |\n| none | 1 |\n| value | 3 |\n| **CNN** |  |\n| none | 2 |\n"
    )


def test_lines_that_are_alike_stay_apart_in_two_groups() -> None:
    rows = [{"g": g, "a": "x", "k": k, "n": 10 * g + k} for g in (1, 2) for k in (1, 2)]
    told = prose.table(rows, {"a": "{a}"}, "k", {"at {k}": "{n}"}, group="group {g}")
    assert told.splitlines()[2:] == [
        *("| **group 1** |  |  |", "| x | 11 | 12 |"),
        *("| **group 2** |  |  |", "| x | 21 | 22 |"),
    ]


def test_a_column_that_is_empty_in_every_row_is_left_out() -> None:
    columns = {"a": "{a}", "what differs": "{b}", "none": "{c:number}"}
    rows = [{"a": "x", "b": "", "c": math.nan}, {"a": "y", "b": "", "c": math.nan}]
    assert prose.table(rows, columns).splitlines()[0] == "| a |"
    rows[1]["b"] = "z"
    assert prose.table(rows, columns).splitlines()[0] == "| a | what differs |"


def test_a_build_tells_now_and_then_which_page_it_writes(monkeypatch, capsys):
    clock = iter([0.0, 1.0, 4.0, 4.0, 5.0])
    monkeypatch.setattr("report.build.time.monotonic", lambda: next(clock))
    assert list(telling(["index", "methods", "deep"])) == ["index", "methods", "deep"]
    assert capsys.readouterr().err == "page 2 of 3: methods ...\n"


def test_an_answer_on_the_first_page_has_at_most_so_many_words() -> None:
    page = "## Abstract\nIt *is* so.\n## Questions\n[Why?](#a)\n: {}\n"
    long = page.format(" ".join(["because"] * (ANSWER + 1)))
    assert list(too_long(page.format(" ".join(["[so much](a.md)"] * (ANSWER // 2))))) == []
    (said,) = too_long(long)
    assert said.endswith(f"has {ANSWER + 1} words, not {ANSWER}")


def test_the_page_of_decisions_has_a_place_for_every_question() -> None:
    text = (rendering.SOURCE / "advice.md").read_text(encoding="utf-8")
    places = re.findall(r"^\((advice-[a-z]+)\)=\n## (.*)$", text, re.M)
    assert places == [(a, f'{{{{ QUESTIONS["{a}"] }}}}') for a in advice.QUESTIONS]


LOST = [(0.002, 0.001, 0.003), (0.034, -0.01, 0.05), (-0.01, -0.02, 0.0)]


@pytest.mark.parametrize(
    ("write", "intervals"),
    [
        ("hundredths", ["0.1 to 0.3", "−1.0 to 5.0", "−2.0 to 0.0"]),
        ("signed", ["+0.1 to +0.3", "−1.0 to +5.0", "−2.0 to 0.0"]),
    ],
)
def test_an_interval_in_a_table_is_signed_as_the_number_before_it(write, intervals) -> None:
    rows = [{"lost": lost, "low": low, "high": high} for lost, low, high in LOST]
    table = prose.table(rows, {"lost": f"{{lost:{write}}}", "95%": "{row:interval}"})
    lines = table.unescape().splitlines()[2:]
    assert [line.split(" | ")[1].strip(" |") for line in lines] == intervals


def test_an_interval_of_something_else_than_the_number_before_it_keeps_its_signs() -> None:
    rows = [{"accuracy": 84.3, "low": 0.001, "high": 0.003}]
    table = prose.table(rows, {"accuracy": "{accuracy:fixed}", "gains": "{row:interval}"})
    assert "| 84.3 | +0.1 to +0.3 |" in table.unescape()


def test_what_is_the_same_in_every_row_is_told_below_the_table() -> None:
    rows = [{"model": "mlp", "rate": rate, "n": 2 * rate} for rate in (0.1, 0.2, 0.3)]
    columns = {"network": "{model:name}", "rate": "{rate:g}", "twice": "{n:g}"}
    assert prose.table(rows, columns).splitlines()[0] == "| rate | twice |"
    assert prose.table(rows, columns).endswith("\n\nThe same in every row: network MLP.\n")
    # two rows may be alike by chance, and a table keeps something to compare
    assert prose.table(rows[:2], columns).splitlines()[0] == "| network | rate | twice |"
    assert prose.table(rows, {"network": "{model:name}"}).splitlines()[0] == "| network |"


# --- names that lead to the methods ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("**ZClip** and ZClip.", "**[ZClip](#z)** and ZClip."),
        ("# ZClip\n\n| ZClip |\n\nZClip", "# ZClip\n\n| ZClip |\n\n[ZClip](#z)"),
        ("```{figure} a\nZClip\n~~~\nZClip\n```\nZClip", None),
        ("`ZClip` [ZClip](a.md) $ZClip$ ZClipped", "`ZClip` [ZClip](a.md) $ZClip$ ZClipped"),
        (":::{dropdown} ZClip\nzclip\n:::", ":::{dropdown} ZClip\n[zclip](#z)\n:::"),
    ],
)
def test_the_first_mention_in_a_sentence_is_a_link(text: str, expected: str | None) -> None:
    found = linking.link_first(text, {"ZClip": "z"})
    assert found == (f"{text.removesuffix('ZClip')}[ZClip](#z)" if expected is None else expected)


def test_every_clipping_has_a_place_in_the_methods() -> None:
    assert set(linking.CLIPPINGS) == set(REGISTRIES["clipping"]) - {"none"}
    table = (rendering.SOURCE / "methods.md").read_text(encoding="utf-8")
    heads = {line.split(" | ")[0] for line in table.splitlines()}
    assert {f"| {prose.name(level)}" for level in linking.CLIPPINGS} <= heads
