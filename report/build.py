"""Build the report: ``python -m benchmark report [RESULTS] [--output DIR] [--pdf]``.

The results folder is RESULTS, else $BENCHMARK_RESULTS, else results/reference where that holds a
study, else results/quick. Exit status: 0 built, 1 a page or the printing failed, 2 bad input
(nothing is built).
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import yaml

SOURCE = Path(__file__).resolve().parent
ROOT = SOURCE.parent
if str(ROOT) not in sys.path:
    # the script's own folder comes first otherwise, and `report` is the folder itself
    sys.path.insert(0, str(ROOT))

from benchmark.machine import cores  # noqa: E402
from benchmark.project import CHECKOUT  # noqa: E402
from benchmark.results import ResultsError, find_study, studies_in  # noqa: E402
from benchmark.terminal import Parser  # noqa: E402
from report import explorer, not_run  # noqa: E402
from report.evidence import REFERENCE, VARIABLE, default_folder, shown  # noqa: E402
from report.printing import PrintError, combine, to_pdf  # noqa: E402
from report.rendering import PageError, rarely_collecting, render_all  # noqa: E402

TELL_SECONDS = 3.0
"""How often it is said which page is being written."""
OUTPUT = SOURCE / "_build" if CHECKOUT else Path("report")
"""Where the book goes unless another place is named."""
PROCESSES = 4
"""Most that make pages at once: with more of them, each reads the studies for a few pages alone."""
ABSTRACT = 200
"""Words that the abstract may have; on the reference results a longer one is an error."""
ANSWER = 25
"""Words that an answer may have on the first page; likewise."""
SPHINX = "import gc, sys; gc.disable(); from sphinx.cmd.build import main; sys.exit(main())"
"""Sphinx without looking for reference cycles, which takes it two fifths of its time: a book's
trees of nodes stay until it ends, and take some 100 MB more."""
TOC = "_toc.yml"
MARKS = {"pages": TOC, "html": ".buildinfo"}
"""What lies in each folder of a book, and tells it from a folder of someone else's."""


def check(folder: Path) -> None:
    """Raise a ResultsError unless ``folder`` holds a study that reads and has a trial."""
    if all(
        (found := find_study(folder, path.name)) is None or found.trials.empty
        for path in studies_in(folder)
    ):
        raise ResultsError(f"{str(folder)!r} holds no finished trial; run a study first")


def clear(output: Path) -> None:
    """Remove an earlier book from ``output``, and nothing else.

    Raises
    ------
    ResultsError
        If a folder in the way is none of a book's.
    """
    for name, mark in MARKS.items():
        folder = output / name
        if folder.exists() and any(folder.iterdir()) and not (folder / mark).exists():
            raise ResultsError(
                f"{str(folder)!r} is in the way and was not built by this command; give another "
                "--output"
            )
    for name in (*MARKS, "doctrees"):
        shutil.rmtree(output / name, ignore_errors=True)


def chapters() -> list[str]:
    """The names of all pages that a book may have, the first one first."""
    whole = yaml.safe_load((SOURCE / TOC).read_text(encoding="utf-8"))
    parts = [chapter["file"] for part in whole["parts"] for chapter in part["chapters"]]
    return [whole["root"], *parts]


def say(step: str) -> None:
    """Tell a user who waits what is being done."""
    print(f"{step} ...", file=sys.stderr, flush=True)


def telling(names: Sequence[str]) -> Iterator[str]:
    """``names``, of which one is told every few seconds.

    >>> list(telling(["index", "methods"]))
    ['index', 'methods']
    """
    told = time.monotonic()
    for number, name in enumerate(names, 1):
        if time.monotonic() - told >= TELL_SECONDS:
            say(f"page {number} of {len(names)}: {name}")
            told = time.monotonic()
        yield name


def abstract(page: str) -> list[str]:
    r"""The words of the first page's abstract, as they are read, without the figure below it.

    >>> abstract("# Title\n## Abstract\nWe *train* [networks](a.md).\n```{figure} a.svg\n## More\n")
    ['We', '*train*', 'networks.']
    """
    _, _, rest = page.partition("## Abstract\n")
    text = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", re.split(r"\n## |\n```", rest)[0])
    return text.split()


def answers(page: str) -> list[str]:
    r"""The answers on the first page, as they are read.

    >>> answers("## Questions\n[Why?](#a)\n: So [it](b.md) is.\n\n[How?](#b)\n: Thus.\n")
    ['So it is.', 'Thus.']
    """
    lines = re.findall(r"^: (.*)$", page, re.M)
    return [re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", line) for line in lines]


def too_long(page: str) -> Iterator[str]:
    """What the first page says in too many words: its abstract, or an answer."""
    words = len(abstract(page))
    if words > ABSTRACT:
        yield f"index: the abstract has {words} words, not {ABSTRACT}"
    for answer in answers(page):
        if len(answer.split()) > ANSWER:
            yield f"index: {answer!r} has {len(answer.split())} words, not {ANSWER}"


def stage(pages: Path) -> None:
    """Copy what goes with the pages to ``pages``, so that building leaves the sources alone."""
    pages.mkdir(parents=True)
    for pattern in ("*.bib", "_*.yml"):
        for path in SOURCE.glob(pattern):
            shutil.copy(path, pages)
    for folder in ("_ext", "_extra", "_static"):
        shutil.copytree(SOURCE / folder, pages / folder, ignore=shutil.ignore_patterns("__*"))


def contents(kept: Sequence[str]) -> str:
    """The table of contents with the pages ``kept`` alone, without parts that have none."""
    whole = yaml.safe_load((SOURCE / TOC).read_text(encoding="utf-8"))
    for part in whole["parts"]:
        part["chapters"] = [page for page in part["chapters"] if page["file"] in kept]
    whole["parts"] = [part for part in whole["parts"] if part["chapters"]]
    return str(yaml.safe_dump(whole, sort_keys=False))


def build(folder: Path, output: Path, *, pdf: bool = False, processes: int = 1) -> int:
    """Build the book about ``folder`` in ``output``/html; returns the exit status.

    With ``pdf`` also ``output``/report.pdf, of all chapters. Several ``processes`` are for programs
    whose main module can be imported, as Python's `multiprocessing` asks.
    """
    clear(output)
    say(f"writing pages about {shown(folder)}")
    pages, html = output / "pages", output / "html"
    stage(pages)
    os.environ[VARIABLE] = str(folder.resolve())
    strict = folder.resolve() == REFERENCE.resolve()
    try:
        with rarely_collecting():
            book = render_all(
                chapters(), pages, strict=strict, telling=telling, processes=processes
            )
        (pages / TOC).write_text(contents(book.pages), encoding="utf-8")
        contradictions = book.contradictions
        if strict:
            contradictions += too_long((pages / "index.md").read_text(encoding="utf-8"))
        explorer.write(pages / "_extra" / "explorer")
    except PageError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    if contradictions:
        print("\n".join(contradictions), file=sys.stderr)
        return 1
    paths = [str(pages / "_ext"), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
    jupyter_book = [sys.executable, "-c", "from jupyter_book.cli.main import main; main()"]
    commands = [
        [*jupyter_book, "config", "sphinx", str(pages)],
        [
            *[sys.executable, "-c", SPHINX, "-b", "html", "-q", "-W", "--keep-going"],
            *["-d", str(output / "doctrees"), str(pages), str(html)],
        ],
    ]
    say(f"making the book of {len(book.pages)} pages")
    for command in commands:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            print(done.stdout + done.stderr, file=sys.stderr)
            return 1
    page = combine(html, book.pages)
    print(html / "index.html", flush=True)
    if step := not_run.next_step():
        print(step, file=sys.stderr)
    if pdf:
        say("printing it")
        try:
            to_pdf(page, output / "report.pdf")
        except (PrintError, subprocess.TimeoutExpired) as error:
            print(f"error: {error}", file=sys.stderr)
            return 1
        print(output / "report.pdf")
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the command line and build; returns the exit status."""
    parser = Parser(description="Build the report from a folder of results.")
    parser.add_argument("results", nargs="?", type=Path, metavar="RESULTS")
    parser.add_argument(
        "--output",
        type=Path,
        default=OUTPUT,
        metavar="DIR",
        help=f"where to ({shown(OUTPUT)})",
    )
    parser.add_argument("--pdf", action="store_true", help="print the book to report.pdf too")
    options = parser.parse_args(arguments)
    folder = options.results or default_folder()
    try:
        check(folder)
        many = min(cores(), PROCESSES)
        return build(folder, options.output.resolve(), pdf=options.pdf, processes=many)
    except (ResultsError, OSError) as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
