"""All chapters on one page, and the PDF that is made of it."""

import re
import shutil
from pathlib import Path

import pytest

from report import printing
from report.printing import PrintError, combine, to_pdf

TEXTS = {
    "one": '<h1 id="top">One</h1><a href="two.html#top">there</a> <a href="#top">up</a>'
    '<a href="https://example.org/two.html">elsewhere</a>',
    "two": '<h1 id="top">Two</h1><a href="one.html">back</a><a href="explorer.html">play</a>'
    '<label for="top">x</label><img src="a.svg"/><img class="narrow" src="b.svg"/>'
    '<img class="night" src="c.svg"/>'
    '<details class="origin"><summary>study</summary>grid</details>',
    "explorer": "<p>scripts</p>",
}


@pytest.fixture
def book(tmp_path: Path) -> Path:
    for name, text in TEXTS.items():
        whole = (
            '<html><head><link href="a.css"><script src="b.js"></script></head>'
            "<body><nav>menu</nav>"
            f'<article class="bd-article">{text}</article></body></html>'
        )
        (tmp_path / f"{name}.html").write_text(whole, encoding="utf-8")
    return tmp_path


@pytest.fixture
def combined(book: Path) -> str:
    return combine(book, list(TEXTS)).read_text(encoding="utf-8")


def test_chapters_stand_in_their_order_without_what_needs_a_screen(combined: str) -> None:
    assert re.findall(r'<section class="chapter" id="(\w+)">', combined) == ["one", "two"]
    assert "scripts" not in combined
    assert "menu" not in combined
    assert "<script" not in combined
    assert '<link href="a.css">' in combined


def test_on_paper_each_figure_has_one_drawing(combined: str) -> None:
    assert re.findall(r'<img [^>]*src="([^"]+)"', combined) == ["a.svg"]


def test_on_paper_each_figure_says_where_it_comes_from(combined: str) -> None:
    assert '<details class="origin" open><summary>study</summary>grid' in combined


def test_anchors_stay_apart_and_links_lead_within_the_page(combined: str) -> None:
    ids = re.findall(r'\bid="([^"]+)"', combined)
    assert len(ids) == len(set(ids))
    targets = re.findall(r'<a href="#([^"]+)"', combined)
    assert targets == ["two--top", "one--top", "one"]
    assert set(targets) <= set(ids)
    assert 'for="two--top"' in combined


def test_links_out_of_the_book_stay_as_they_are(combined: str) -> None:
    assert 'href="https://example.org/two.html"' in combined
    assert 'href="explorer.html"' in combined


def test_without_a_browser_one_line_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(PrintError, match=r"no Chromium is installed \(tried chromium, .*print it"):
        to_pdf(tmp_path / "print.html", tmp_path / "report.pdf")


def test_a_browser_that_fails_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: "false")
    with pytest.raises(PrintError, match="printed nothing"):
        to_pdf(tmp_path / "print.html", tmp_path / "report.pdf")


@pytest.mark.skipif(
    not any(map(shutil.which, printing.BROWSERS)), reason="no Chromium is installed"
)
def test_a_browser_prints_the_page(book: Path, tmp_path: Path) -> None:
    pdf = tmp_path / "report.pdf"
    to_pdf(combine(book, list(TEXTS)), pdf)
    assert pdf.read_bytes().startswith(b"%PDF")
