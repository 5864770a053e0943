"""All chapters on one page, and that page as a PDF where a Chromium is installed."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

PAGE = "print.html"
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
"""Names under which a headless Chromium may be installed."""
SECONDS = 300
SCREEN_ONLY = ("explorer", "figure_code")
"""Pages that are of no use on paper."""


class PrintError(Exception):
    """A book that cannot be printed; the message says why."""


def combine(html: Path, names: Sequence[str]) -> Path:
    """Write the chapters of the book in ``html``, in their order, to one page; returns its path.

    An anchor becomes ``chapter--anchor``, and links between chapters lead within the page.
    """
    kept = [name for name in names if name not in SCREEN_ONLY]
    first = (html / f"{kept[0]}.html").read_text(encoding="utf-8")
    head = first[: first.index("<body")]
    head = re.sub(r"<script\b.*?</script>", "", head, flags=re.S)
    parts = [_chapter((html / f"{n}.html").read_text(encoding="utf-8"), n, kept) for n in kept]
    body = f'<body class="all-chapters"><main class="bd-article">{"".join(parts)}</main></body>'
    path = html / PAGE
    path.write_text(f"{head}{body}</html>\n", encoding="utf-8")
    return path


def _chapter(text: str, name: str, names: Sequence[str]) -> str:
    """The article of one page, its anchors and links made fit for a page of all."""
    article = text[text.index("<article") : text.index("</article>") + len("</article>")]
    # nothing unfolds on paper
    article = article.replace('<details class="origin">', '<details class="origin" open>')
    # paper is wide, and white
    article = re.sub(r'<img\b[^>]*\bclass="[^"]*\b(?:narrow|night)\b[^>]*>', "", article)
    article = re.sub(r'\b(id|for)="([^"]+)"', rf'\1="{name}--\2"', article)

    def follow(match: re.Match[str]) -> str:
        page, anchor = match.group(1), match.group(2)
        if page and page not in names:
            return match.group()
        target = page or name
        return f'href="#{target}--{anchor}"' if anchor else f'href="#{target}"'

    article = re.sub(r'href="(?:([\w-]+)\.html)?(?:#([^"]*))?"', follow, article)
    return f'<section class="chapter" id="{name}">{article}</section>\n'


def to_pdf(page: Path, pdf: Path) -> None:
    """Print ``page`` to ``pdf`` with headless Chromium.

    Raises
    ------
    PrintError
        If none is installed, or it prints nothing.
    """
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        raise PrintError(
            f"no Chromium is installed (tried {', '.join(BROWSERS)}); open {page} in any browser "
            "and print it to a PDF"
        )
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--no-pdf-header-footer"]
    command = [browser, *options, f"--print-to-pdf={pdf}", page.as_uri()]
    pdf.unlink(missing_ok=True)
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=SECONDS)
    if done.returncode or not pdf.exists():
        said = " ".join(done.stderr.split()[-40:])
        raise PrintError(f"{browser} printed nothing (exit status {done.returncode}): {said}")
