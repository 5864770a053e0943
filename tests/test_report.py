"""The report as a reader gets it: it builds, and it opens offline, in a browser and on a phone."""

import contextlib
import fcntl
import html
import html.parser
import json
import os
import re
import shutil
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from benchmark.results import StudyFolder, read, write
from benchmark.status import FINISHED
from report.build import chapters, main

ROOT = Path(__file__).resolve().parent.parent
CHROMIUM, CHROMEDRIVER = shutil.which("chromium"), shutil.which("chromedriver")
PAGES = chapters()
PATIENCE = 300.0
"""Seconds that a browser has to start, to answer and to draw."""
NARROWED = [
    *("--only", "clipping=none,global_norm"),
    *("--only", "normalization=none,batch"),
    *("--only", "batch_policy=fixed,doubling"),
]


BUILT = [
    *("index", "explorer", "introduction", "methods", "grid"),
    *("importance", "search_against_grid", "not_run"),
    *("extension", "figure_code", "reproducibility", "references"),
]
"""Pages that a book of the grid and a search has, whatever comes out."""
ALONE = [name for name in BUILT if name != "search_against_grid"]
"""Those of a book of the grid alone."""


def run(*arguments: str) -> str:
    """What the command prints; the test fails with all that it says where it fails."""
    return told(*arguments)[0]


def told(*arguments: str) -> tuple[str, str]:
    """The same, and what it tells the user beside."""
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout, done.stderr


@contextlib.contextmanager
def one_at_a_time(path: Path) -> Iterator[None]:
    """Workers of one test run share what takes long to make."""
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real run of grid and search at the smoke scale, and two books: of both, and of the grid.

    Holds ``results``, ``alone`` (the grid only), ``book`` and ``book-alone``.
    """
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent
    folder = shared / "report"
    with one_at_a_time(shared / "report.lock"):
        if not (folder / "done").exists():
            shutil.rmtree(folder, ignore_errors=True)
            options = ["--scale", "smoke", "--results", str(folder / "results"), "--workers", "2"]
            for study in ("grid", "search"):
                run(f"studies/{study}.py", *options, "--device", "cpu", *NARROWED)
            shutil.copytree(folder / "results" / "grid", folder / "alone" / "grid")
            books = {"book": "results", "book-alone": "alone"}
            with ThreadPoolExecutor(2) as pool:
                done = [
                    pool.submit(
                        told, "report/build.py", str(folder / results), "--output", str(folder / b)
                    )
                    for b, results in books.items()
                ]
            assert [d.result()[0].strip() for d in done] == [
                str(folder / book / "html" / "index.html") for book in books
            ]
            (folder / "said-alone").write_text(done[1].result()[1], encoding="utf-8")
            (folder / "done").touch()
    return folder


@pytest.fixture(scope="session")
def book(built: Path) -> Path:
    return built / "book" / "html"


class Page(html.parser.HTMLParser):
    """What a page refers to: ``loads`` by itself, ``links`` for the reader, and its ``ids``."""

    LOADS = ("src", "srcset", "data", "poster")

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.links: list[str] = []
        self.ids: set[str] = set()
        self.images: list[dict[str, str | None]] = []
        self.formulas = 0
        text = path.read_text(encoding="utf-8")
        self.loads += re.findall(r"url\(\s*['\"]?([^'\")]+)", text)
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        if identifier := named.get("id"):
            self.ids.add(identifier)
        self.loads += [v for k, v in attrs if k in self.LOADS and v and tag != "a"]
        if tag == "link" and named.get("rel") not in (
            "next",
            "prev",
            "index",
            "search",
            "canonical",
        ):
            self.loads.append(named.get("href") or "")
        if tag == "a" and (target := named.get("href")):
            self.links.append(target)
        if tag == "img":
            self.images.append(named)
        self.formulas += tag == "math"


def page(book: Path, name: str) -> Page:
    return Page(book / f"{name}.html")


def is_external(target: str) -> bool:
    return urllib.parse.urlparse(target).scheme in ("http", "https", "ftp", "ws", "wss") or (
        target.startswith("//")
    )


def stylesheets(path: Path, seen: set[Path]) -> set[Path]:
    """A style sheet and those that it imports."""
    if path in seen or not path.exists():
        return seen
    seen.add(path)
    text = path.read_text(encoding="utf-8")
    for target in re.findall(r"@import\s+(?:url\()?['\"]?([^'\")]+)", text):
        stylesheets(path.parent / target, seen)
    return seen


every_page = pytest.mark.parametrize("name", BUILT)


@pytest.mark.parametrize("which", ["book", "book-alone"])
def test_every_page_of_the_contents_is_built(built: Path, which: str) -> None:
    listed = set(re.findall(r"file: (\w+)", (built / which / "pages" / "_toc.yml").read_text()))
    found = {path.stem for path in (built / which / "html").glob("*.html")}
    assert set(BUILT if which == "book" else ALONE) <= {*listed, "index"}
    assert listed | {"index"} <= found
    assert listed <= set(PAGES)


@pytest.mark.parametrize(
    ("which", "name"),
    [*(("book", name) for name in BUILT), *(("book-alone", name) for name in ALONE)],
)
def test_no_page_shows_an_error(built: Path, which: str, name: str) -> None:
    text = (built / which / "html" / f"{name}.html").read_text(encoding="utf-8")
    body = text[text.index("<article") : text.index("</article>")]
    assert "system-message" not in body
    assert "problematic" not in body
    # prose may speak of a test for NaN; a cell of a table that holds nothing else may not
    assert not re.search(r">\s*NaN%?\s*<", body)
    prose = re.sub(r"<(script|math|pre|code).*?</\1>", " ", body, flags=re.S)
    shown = re.sub(r"<[^>]+>", " ", prose)
    # what a number that is none, or a sentence that was not filled, would leave behind
    left = (
        r"Traceback|\w*Error:|\bnan%?\b|\bNone\b(?! of)|[{}]|object at 0x|IPython|-0\.0|\de\+\d\d"
        # an interval that is none is said in words
        r"|\binf\b|\bNaT\b|−0\.0(?!\d)|interval –|\(–\)"
    )
    assert re.findall(left, html.unescape(shown)) == []


@every_page
def test_internal_links_lead_somewhere(book: Path, name: str) -> None:
    broken = []
    for target in page(book, name).links:
        if is_external(target) or target.startswith("mailto:"):
            continue
        path, _, fragment = target.partition("#")
        to = book / urllib.parse.unquote(path) if path else book / f"{name}.html"
        if not to.exists() or (fragment and fragment not in Page(to).ids):
            broken.append(target)
    assert broken == []


@every_page
def test_a_page_loads_nothing_from_elsewhere(book: Path, name: str) -> None:
    assert [target for target in page(book, name).loads if is_external(target)] == []


@every_page
def test_what_a_page_loads_is_there(book: Path, name: str) -> None:
    local = [t.split("?")[0].split("#")[0] for t in page(book, name).loads]
    missing = [t for t in local if t and not t.startswith("data:") and not (book / t).exists()]
    assert missing == []


@every_page
def test_style_sheets_load_nothing_from_elsewhere(book: Path, name: str) -> None:
    sheets: set[Path] = set()
    for target in page(book, name).loads:
        if target.split("?")[0].endswith(".css"):
            stylesheets(book / target.split("?")[0], sheets)
    found = [
        target
        for sheet in sheets
        for target in re.findall(r"url\(\s*['\"]?([^'\")]+)", sheet.read_text(encoding="utf-8"))
    ]
    assert sheets
    assert [target for target in found if is_external(target)] == []


def test_formulas_need_no_script(book: Path) -> None:
    assert page(book, "methods").formulas > 20
    scripts = [t for t in page(book, "methods").loads if t.split("?")[0].endswith(".js")]
    assert [t for t in scripts if "mathjax" in t.lower() or "katex" in t.lower()] == []


@every_page
def test_every_picture_says_what_it_shows(book: Path, name: str) -> None:
    texts = [image.get("alt") or "" for image in page(book, name).images]
    assert [text for text in texts if len(text) < 20] == []


@every_page
def test_every_figure_has_a_second_drawing_for_a_phone(book: Path, name: str) -> None:
    text = (book / f"{name}.html").read_text(encoding="utf-8")
    for_page = re.findall(r'<a class="[^"]*image-reference"[^>]*><img [^>]*src="([^"]+)"', text)
    for_phone = re.findall(r'<img [^>]*class="narrow[^>]*>', text)
    expected = [f'src="{path.removesuffix(".svg")}-narrow.svg"' for path in for_page]
    assert [wanted for wanted in expected if not any(wanted in tag for tag in for_phone)] == []
    assert len(for_phone) == len(for_page)
    assert [tag for tag in for_phone if 'loading="lazy"' not in tag] == []
    sizes = [(book / path).stat().st_size for path in re.findall(r'src="([^"]+)"', str(for_phone))]
    assert [size for size in sizes if size < 1000] == []


@every_page
def test_every_drawing_has_another_one_for_a_dark_page(book: Path, name: str) -> None:
    text = (book / f"{name}.html").read_text(encoding="utf-8")
    tags = re.findall(r"<figure.*?</figure>", text, re.S)
    drawn = [re.findall(r'<img [^>]*src="([^"]+)\.svg"', tag) for tag in tags if "<img" in tag]
    paths = [(first, *rest) for first, *rest in drawn]
    ends = ("-narrow", "-night", "-narrow-night")
    assert [rest for first, *rest in paths if rest != [f"{first}{end}" for end in ends]] == []


@pytest.mark.parametrize(
    ("name", "figures"),
    [("grid", 6), ("search_against_grid", 2)],
)
def test_figures_name_study_file_commit_and_command(book: Path, name: str, figures: int) -> None:
    text = (book / f"{name}.html").read_text(encoding="utf-8")
    legends = re.findall(r'<div class="legend">(.*?)</div>', text, re.S)
    plain = [" ".join(re.sub(r"<[^>]+>", "", legend).split()) for legend in legends]
    pattern = (
        r"Data: CSV; code: \w+ study, commit, command ?"
        r"Study (grid|search), results/\1/\w+\.parquet.*, "
        r"commit [0-9a-f]{7}.*, made by python -m benchmark run \1 --scale smoke.*; "
        rf"drawn in report/{name}\.md, line \d+"
    )
    assert len(plain) == figures
    assert [legend for legend in plain if not re.match(pattern, legend)] == []


@every_page
def test_every_figure_links_to_its_code(book: Path, name: str) -> None:
    text = (book / f"{name}.html").read_text(encoding="utf-8")
    legends = re.findall(r'<div class="legend">(.*?)</div>', text, re.S)
    assert [legend for legend in legends if 'href="figure_code.html#code-' not in legend] == []


def test_the_book_says_what_it_was_built_from(built: Path, book: Path) -> None:
    first = (book / "index.html").read_text(encoding="utf-8")
    assert re.search(r'href="reproducibility\.html"[^>]*><[^>]*>commits, devices', first)
    text = (book / "reproducibility.html").read_text(encoding="utf-8")
    grid = StudyFolder(built / "results" / "grid").load()
    count = len(grid.plan)
    rows = re.findall(r"<tr[^>]*>(.*?)</tr>", text, re.S)
    found = [re.sub(r"<[^>]+>", "|", row).replace("\xa0", " ") for row in rows if ">grid<" in row]
    assert len([row for row in found if f"{count} of {count}" in row]) == 1
    assert "All at the scale smoke" in text
    # once below the table, where all studies have the same
    assert f"{grid.metadata['commit'][:7]}" in text
    assert grid.metadata["device"] in text


def test_the_list_of_pages_begins_with_a_summary(book: Path) -> None:
    text = (book / "grid.html").read_text(encoding="utf-8")
    first = re.search(
        r'<li class="toctree-l1[^>]*>\s*<a[^>]*href="index\.html"[^>]*>(.*?)</a>', text, re.S
    )
    assert first is not None
    assert re.sub(r"<[^>]+>|\s", "", first.group(1)) == "Summary"


def article(book: Path, name: str) -> str:
    """The article of a page, as it is read."""
    text = (book / f"{name}.html").read_text(encoding="utf-8")
    article = text[text.index("<article") : text.index("</article>")]
    return " ".join(html.unescape(re.sub(r"<[^>]+>", "", article)).split())


def test_what_was_not_run_is_listed_in_one_place_with_its_command(built: Path) -> None:
    alone = built / "book-alone" / "html"
    listed = article(alone, "not_run")
    assert "python -m benchmark run headline --scale smoke --results" in listed
    assert "search Search against grid Does a search of the joint space" in listed
    assert "grid The grid" not in listed
    others = [name for name in PAGES if name != "not_run" and (alone / f"{name}.html").exists()]
    said = [name for name in others if re.search(r"study \S+ was not run", article(alone, name))]
    assert said == []


@pytest.mark.parametrize("which", ["book", "book-alone"])
def test_a_page_about_what_was_not_run_is_left_out_everywhere(built: Path, which: str) -> None:
    folder = built / which / "html"
    gone = [name for name in PAGES if not (folder / f"{name}.html").exists()]
    assert {"headline", "deep", "throughput", "gpu"} <= set(gone)
    assert ("search_against_grid" in gone) is (which == "book-alone")
    for path in folder.glob("*.html"):
        links = {target.partition("#")[0] for target in Page(path).links}
        assert links & {f"{name}.html" for name in gone} == set(), path.name
    index = (folder / "searchindex.js").read_text(encoding="utf-8")
    assert [name for name in gone if f'"{name}"' in index.partition("envversion")[0]] == []


def test_the_first_page_has_a_finding_of_each_study_and_a_figure(book: Path) -> None:
    text = (book / "index.html").read_text(encoding="utf-8")
    found = text[text.index("What the studies of this folder found") : text.index("<figure")]
    assert {"grid.html", "search_against_grid.html"} <= set(re.findall(r'href="([^"#]+)', found))
    assert 'id="fig-first"' in text
    assert "At the scale smoke (seconds: does it run)" in article(book, "index")


def test_a_book_of_some_studies_ends_with_what_to_run_next(built: Path) -> None:
    (said,) = (built / "said-alone").read_text().splitlines()[-1:]
    assert said.startswith("This folder holds 1 of the 21 studies; next, the most worth knowing: ")
    assert "python -m benchmark run headline --scale smoke" in said


def test_building_leaves_the_sources_alone(built: Path) -> None:
    assert not (ROOT / "report" / "figures").exists()
    assert not (ROOT / "report" / "conf.py").exists()


# --- in a browser ---------------------------------------------------------------------------------


class Browser:
    """Headless Chromium, driven over the WebDriver protocol."""

    def __init__(self, address: str, profile: Path, width: int) -> None:
        flags = [
            *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
            *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
            f"--user-data-dir={profile}",
            f"--window-size={width},1000",
        ]
        options = {
            "goog:chromeOptions": {"args": flags, "binary": CHROMIUM},
            "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
        }
        self._address = address
        created = self._call("POST", "/session", {"capabilities": {"alwaysMatch": options}})
        self._session = f"/session/{created['sessionId']}"

    def _call(self, method: str, path: str, body: object = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self._address + path, data=data, method=method)
        request.add_header("Content-Type", "application/json")
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            return json.load(answer)["value"]

    def open(self, path: Path, fragment: str = "") -> None:
        self._call("POST", f"{self._session}/url", {"url": path.as_uri() + fragment})

    def evaluate(self, script: str) -> Any:
        body = {"script": f"return {script}", "args": []}
        return self._call("POST", f"{self._session}/execute/sync", body)

    def log(self, kind: str) -> list[dict[str, Any]]:
        return self._call("POST", f"{self._session}/se/log", {"type": kind})

    def requests(self) -> list[str]:
        messages = [json.loads(entry["message"])["message"] for entry in self.log("performance")]
        sent = [m["params"] for m in messages if m["method"] == "Network.requestWillBeSent"]
        return [parameters["request"]["url"] for parameters in sent]

    def close(self) -> None:
        self._call("DELETE", self._session)


@contextlib.contextmanager
def driver(folder: Path) -> Iterator[str]:
    """The address of a running chromedriver."""
    log = folder / "chromedriver.log"
    with log.open("w") as out:
        process = subprocess.Popen([str(CHROMEDRIVER), "--port=0"], stdout=out, stderr=out)
    try:
        deadline = time.monotonic() + PATIENCE
        while not (found := re.search(r"started successfully on port (\d+)", log.read_text())):
            assert time.monotonic() < deadline, log.read_text()
            assert process.poll() is None, log.read_text()
            time.sleep(0.1)
        yield f"http://127.0.0.1:{found.group(1)}"
    finally:
        process.terminate()
        process.wait()


@pytest.fixture(scope="module")
def browsers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[int, Browser]]:
    if CHROMIUM is None or CHROMEDRIVER is None:
        pytest.skip("no browser: chromium and chromedriver are not installed")
    folder = tmp_path_factory.mktemp("browser")
    with driver(folder) as address:
        opened = {w: Browser(address, folder / f"profile-{w}", w) for w in (1300, 420)}
        yield opened
        for browser in opened.values():
            browser.close()


@every_page
def test_a_page_opens_without_console_errors(
    book: Path, browsers: dict[int, Browser], name: str
) -> None:
    browser = browsers[1300]
    browser.log("browser")
    browser.requests()
    browser.open(book / f"{name}.html")
    said = [e["message"] for e in browser.log("browser") if e["level"] in ("SEVERE", "WARNING")]
    # the theme's own word at a browser's first visit, when no colour mode is stored yet
    assert [message for message in said if "invalid theme mode" not in message] == []
    requests = browser.requests()
    assert f"{(book / name).as_uri()}.html" in requests
    # chrome: is the browser's own first page
    assert [u for u in requests if not u.startswith(("file:", "data:", "chrome:"))] == []
    # a picture that did not load has no size
    # the drawing for the other width is not loaded before it is shown
    broken = "[...document.images].filter(i => i.offsetParent && !i.naturalWidth).length"
    assert browser.evaluate(broken) == 0


EXPLORED = "document.getElementById('explorer').dataset.ready"


def explore(browser: Browser, book: Path, choice: str = "") -> None:
    """Open the explorer with a choice in its address, and wait until it is drawn."""
    browser.open(book / "index.html")
    browser.open(book / "explorer.html", choice)
    deadline = time.monotonic() + PATIENCE
    while browser.evaluate(EXPLORED) != "true":
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_the_explorer_draws_every_trial(
    built: Path, book: Path, browsers: dict[int, Browser]
) -> None:
    browser = browsers[1300]
    explore(browser, book, "#study=grid")
    assert browser.evaluate("document.querySelectorAll('#explorer canvas').length") == 2
    grid = StudyFolder(built / "results" / "grid").load().trials
    finished = grid[grid["status"].isin(FINISHED)]
    said = browser.evaluate("document.querySelector('.explorer-count').textContent")
    assert said.startswith(f"{len(finished):,} trials match")
    shown = browser.evaluate("document.querySelectorAll('.explorer-table tbody tr').length")
    assert shown == min(len(finished), 50)
    assert not browser.evaluate("document.querySelector('.explorer-trials').open")


def test_the_explorer_averages_only_over_the_seeds_of_one_configuration(
    book: Path, browsers: dict[int, Browser]
) -> None:
    browser = browsers[1300]
    said = "document.querySelector('.explorer-means').textContent"
    explore(browser, book, "#study=grid&colour=normalization")
    assert "several levels are left of: " in browser.evaluate(said)
    assert "clipping" in browser.evaluate(said)
    one = "&".join(["#study=grid", "model=MLP", "clipping=none", "batch_policy=fixed"])
    explore(browser, book, f"{one}&colour=normalization")
    assert browser.evaluate(said).startswith("Lines are means over seeds")


def test_the_explorer_keeps_the_choice_in_its_address(
    built: Path, book: Path, browsers: dict[int, Browser]
) -> None:
    browser = browsers[1300]
    explore(browser, book, "#study=grid&clipping=global+norm")
    grid = StudyFolder(built / "results" / "grid").load().trials
    chosen = grid[grid["status"].isin(FINISHED) & grid["clipping"].eq("global_norm")]
    said = browser.evaluate("document.querySelector('.explorer-count').textContent")
    assert said.startswith(f"{len(chosen):,} trials match")
    # and nothing that was not chosen, the colours apart
    kept = browser.evaluate("location.hash").removeprefix("#").split("&")
    assert kept[:-1] == ["study=grid", "clipping=global+norm"]
    assert kept[-1].startswith("colour=")


def test_the_explorer_opens_with_a_choice_that_shows_something(
    book: Path, browsers: dict[int, Browser]
) -> None:
    browser = browsers[1300]
    explore(browser, book)
    link = "document.querySelector('#explorer a[href^=\"#study\"]')"
    first = browser.evaluate(f"({link} ?? {{hash: '#study=grid'}}).hash")
    chosen = set(first.removeprefix("#").split("&"))
    assert chosen <= set(browser.evaluate("location.hash").removeprefix("#").split("&"))


def test_levels_of_many_can_be_singled_out(book: Path, browsers: dict[int, Browser]) -> None:
    browser = browsers[1300]
    choice = ["#study=grid", "model=MLP", "colour=clipping", "only=value%7Cnone"]
    explore(browser, book, "&".join(choice))
    assert browser.evaluate("location.hash").split("&")[-1] == "only=value%7Cnone"
    field = "document.querySelector('.explorer-choices select[name=colour]')"
    change = f"({field}.value = 'model', {field}.dispatchEvent(new Event('change')))"
    browser.evaluate(change)
    assert "only=" not in browser.evaluate("location.hash")


def test_the_table_of_trials_sorts_and_filters(book: Path, browsers: dict[int, Browser]) -> None:
    browser = browsers[1300]
    explore(browser, book, "#study=grid")
    head = "document.querySelectorAll('.explorer-table th button')"
    rows = "[...document.querySelectorAll('.explorer-table tbody tr')]"
    place = browser.evaluate(f"[...{head}].findIndex(b => b.textContent === 'learning rate')")
    browser.evaluate(f"{head}[{place}].click()")
    rates = browser.evaluate(
        f"{rows}.map(r => Number(r.cells[{place}].textContent.replaceAll(',', '')))"
    )
    assert rates == sorted(rates)
    assert rates[0] < rates[-1]
    field = "document.querySelector('.explorer-filter')"
    browser.evaluate(f"({field}.value = 'doubling', {field}.dispatchEvent(new Event('input')))")
    kept = browser.evaluate(f"{rows}.map(r => r.textContent.includes('doubling'))")
    assert kept
    assert all(kept)


SHOWN = (
    "[...document.querySelectorAll('figure')].map(f => [...f.querySelectorAll('img')]"
    ".filter(i => i.getClientRects().length).map(i => [i.className, i.clientWidth]))"
)


@pytest.mark.parametrize(("width", "drawing"), [(1300, ""), (420, "narrow")])
def test_a_page_shows_one_drawing_of_each_figure(
    book: Path, browsers: dict[int, Browser], width: int, drawing: str
) -> None:
    browser = browsers[width]
    browser.open(book / "search_against_grid.html")
    shown = browser.evaluate(SHOWN)
    wanted = [[drawing] if drawing else []]
    assert [[name.split()[:1] for name, _ in images] for images in shown] == 2 * [wanted]
    # a window may be wider than it was asked to be
    assert max(images[0][1] for images in shown) <= browser.evaluate("innerWidth")


def test_the_page_of_all_chapters_shows_no_drawing_twice(
    book: Path, browsers: dict[int, Browser]
) -> None:
    browser = browsers[420]
    browser.open(book / "print.html")
    shown = browser.evaluate(SHOWN)
    assert {(len(images), images[0][0]) for images in shown} == {(1, "")}


HOSTILE = (
    "<script>document.title = 'owned'</script><img src=x onerror=\"document.title='owned'\"> "
    "{include}`/etc/passwd` ```{raw} html\n<b>raw</b>\n``` (label)= $x^2$ [a](javascript:b) | cell"
)


@pytest.fixture(scope="session")
def hostile(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A book from results whose every string is hostile."""
    shared = tmp_path_factory.mktemp("hostile")
    folder = shared / "results" / "grid"
    for table in ("plan", "trials", "history"):
        rows, metadata = read(table, built / "alone" / "grid" / f"{table}.parquet")
        for column in {"dataset", "model", "device", "status_reason", "schedule"} & set(rows):
            rows[column] = HOSTILE + rows[column].astype(str)
        for column in {"clipping", "normalization", "batch_policy"} & set(rows):
            rows[column] = rows[column].where(
                rows[column].isin(["none", "fixed"]), HOSTILE + rows[column].astype(str)
            )
        study = {**metadata["study"], "question": HOSTILE}
        said = dict.fromkeys(
            ("device", "commit", "platform", "created", "torch", "python"), HOSTILE
        )
        fields = dict.fromkeys(("title", "summary", "reference", "formula", "default"), HOSTILE)
        levels = {HOSTILE + "global_norm": fields, HOSTILE: HOSTILE}
        words = dict.fromkeys(("clipping", "schedule", "dataset", HOSTILE), levels)
        said |= {"study": study, "words": {**words, "loss": HOSTILE}}
        write(table, rows, folder / f"{table}.parquet", {**metadata, **said})
    run("report/build.py", str(folder.parent), "--output", str(shared / "book"))
    return shared / "book" / "html"


@pytest.mark.parametrize(
    "name", ["index", "reproducibility", "grid", "importance", "methods", "claims"]
)
def test_hostile_results_are_only_text(
    hostile: Path, browsers: dict[int, Browser], name: str
) -> None:
    browser = browsers[1300]
    browser.open(hostile / f"{name}.html")
    assert browser.evaluate("document.title") != "owned"
    assert browser.evaluate("document.querySelectorAll('article [onerror]').length") == 0
    assert browser.evaluate("document.querySelectorAll('article script').length") == 0
    assert browser.evaluate("document.querySelectorAll('article [href^=javascript]').length") == 0
    assert "root:" not in browser.evaluate("document.body.textContent")


@pytest.mark.parametrize("name", ["index", "reproducibility", "methods"])
def test_hostile_strings_are_shown_as_they_are(hostile: Path, name: str) -> None:
    text = (hostile / f"{name}.html").read_text(encoding="utf-8")
    assert "{include}`/etc/passwd`" in html.unescape(re.sub(r"<[^>]+>", "", text))


@every_page
def test_a_page_fits_a_phone(book: Path, browsers: dict[int, Browser], name: str) -> None:
    browser = browsers[420]
    browser.open(book / f"{name}.html")
    width, view = browser.evaluate("[document.documentElement.scrollWidth, innerWidth]")
    assert width <= view, "the page scrolls sideways"


# --- the command ----------------------------------------------------------------------------------


def test_a_folder_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path / "nowhere")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: no results folder")
    assert "nowhere" in line


def test_a_folder_without_a_study(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert "holds no study" in line
    assert list(tmp_path.iterdir()) == []


def test_a_study_without_a_trial(
    built: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "grid").mkdir()
    shutil.copy(built / "results" / "grid" / "plan.parquet", tmp_path / "grid")
    assert main([str(tmp_path)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "holds no finished trial" in line


def test_a_damaged_file_is_named(
    built: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(built / "alone", tmp_path / "results")
    trials = tmp_path / "results" / "grid" / "trials.parquet"
    trials.write_bytes(trials.read_bytes()[:1000])
    assert main([str(tmp_path / "results")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "trials.parquet" in line


def test_a_folder_of_someone_elses_is_left_alone(
    built: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "html").mkdir()
    (tmp_path / "html" / "mine.html").touch()
    assert main([str(built / "results"), "--output", str(tmp_path)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "was not built by this command" in line
    assert (tmp_path / "html" / "mine.html").exists()
    assert not (tmp_path / "pages").exists()
