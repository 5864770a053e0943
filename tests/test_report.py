"""The report: it builds, it opens offline, and its sentences say what the data say."""

import contextlib
import fcntl
import html.parser
import json
import math
import os
import re
import shutil
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from jupyter_cache import get_cache
from myst_nb.core.read import read_myst_markdown_notebook

from benchmark.engine import REGISTRIES
from benchmark.records import Trial
from benchmark.results import Results, StudyFolder
from benchmark.statistics import completeness
from report import comparisons, evidence, prose, provenance, searching, settings, training
from report.build import main
from report.evidence import Evidence
from report.running import PageError, run_page, run_pages

ROOT = Path(__file__).resolve().parent.parent
CHROMIUM, CHROMEDRIVER = shutil.which("chromium"), shutil.which("chromedriver")
TOC = yaml.safe_load((ROOT / "report" / "_toc.yml").read_text(encoding="utf-8"))
PAGES = [
    TOC["root"],
    *(chapter["file"] for part in TOC["parts"] for chapter in part["chapters"]),
]
NARROWED = [
    *("--only", "clipping=none,global_norm"),
    *("--only", "normalization=none,batch"),
    *("--only", "batch_policy=fixed,doubling"),
]


def run(*arguments: str) -> str:
    """What the command prints; the test fails with all that it says where it fails."""
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


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
                        run, "report/build.py", str(folder / results), "--output", str(folder / b)
                    )
                    for b, results in books.items()
                ]
            assert [d.result().strip() for d in done] == [
                str(folder / book / "html" / "index.html") for book in books
            ]
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


every_page = pytest.mark.parametrize("name", PAGES)


@pytest.mark.parametrize("which", ["book", "book-alone"])
def test_every_page_of_the_contents_is_built(built: Path, which: str) -> None:
    found = {path.stem for path in (built / which / "html").glob("*.html")}
    assert set(PAGES) <= found


@pytest.mark.parametrize("which", ["book", "book-alone"])
@every_page
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
    assert re.findall(r"Traceback|\w*Error:|\bnan%?\b|\bNone\b|[{}]", shown) == []


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


@pytest.mark.parametrize(
    ("name", "figures"),
    [("learning_rate", 3), ("clipping", 4), ("search_against_grid", 2), ("batch_policy", 4)],
)
def test_figures_name_study_file_commit_and_command(book: Path, name: str, figures: int) -> None:
    text = (book / f"{name}.html").read_text(encoding="utf-8")
    legends = re.findall(r'<div class="legend">(.*?)</div>', text, re.S)
    plain = [" ".join(re.sub(r"<[^>]+>", "", legend).split()) for legend in legends]
    pattern = (
        r"Study (grid|search); data results/\1/\w+\.parquet.*; commit [0-9a-f]{7}.*; "
        r"made by python studies/\1\.py --scale smoke"
    )
    assert len(plain) == figures
    assert [legend for legend in plain if not re.match(pattern, legend)] == []


def test_the_first_page_says_what_the_book_was_built_from(built: Path, book: Path) -> None:
    text = (book / "index.html").read_text(encoding="utf-8")
    grid = StudyFolder(built / "results" / "grid").load()
    count = len(grid.plan)
    rows = re.findall(r"<tr[^>]*>(.*?)</tr>", text, re.S)
    (row,) = [re.sub(r"<[^>]+>", "|", row) for row in rows if ">grid<" in row]
    assert f"{count} of {count}" in row
    assert "|smoke|" in row
    assert f"{grid.metadata['commit'][:7]}" in row
    assert grid.metadata["device"] in row


def test_a_study_that_was_not_run_is_named_with_its_command(built: Path) -> None:
    text = (built / "book-alone" / "html" / "search_against_grid.html").read_text(encoding="utf-8")
    plain = " ".join(re.sub(r"<[^>]+>", "", text).split())
    assert "The study search was not run. To run it: python studies/search.py" in plain


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
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)["value"]

    def open(self, path: Path) -> None:
        self._call("POST", f"{self._session}/url", {"url": path.as_uri()})

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
        deadline = time.monotonic() + 60
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
        opened = {w: Browser(address, folder / f"profile-{w}", w) for w in (1300, 500)}
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
    assert browser.evaluate("[...document.images].filter(i => !i.naturalWidth).length") == 0


@every_page
def test_a_page_fits_a_phone(book: Path, browsers: dict[int, Browser], name: str) -> None:
    browser = browsers[500]
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


NOTEBOOK = """---
jupytext:
  text_representation:
    extension: .md
    format_name: myst
kernelspec:
  display_name: Python 3
  name: python3
---

# A page

```{code-cell} python3
from IPython.display import Markdown

answer = 42
```

```{code-cell} python3
CODE
```
"""


@pytest.fixture
def pages(tmp_path: Path) -> Callable[[str], Path]:
    def write(code: str) -> Path:
        folder = tmp_path / "pages"
        folder.mkdir()
        (folder / "plain.md").write_text("# No code\n", encoding="utf-8")
        (folder / "page.md").write_text(NOTEBOOK.replace("CODE", code), encoding="utf-8")
        return folder

    return write


def test_cells_are_run_into_jupyters_cache(pages: Callable[[str], Path], tmp_path: Path) -> None:
    folder = pages("Markdown(f'{answer}')")
    run_pages(folder, tmp_path / "results", tmp_path / "cache")
    notebook = read_myst_markdown_notebook((folder / "page.md").read_text(encoding="utf-8"))
    _, merged = get_cache(tmp_path / "cache").merge_match_into_notebook(notebook)
    (output,) = [o for cell in merged.cells if cell.cell_type == "code" for o in cell.outputs]
    assert output.data["text/markdown"] == "42"


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("1 / 0", "ZeroDivisionError"),
        ("import warnings; warnings.warn('beware')", "beware"),
        ("import sys; print('aside', file=sys.stderr)", "aside"),
    ],
)
def test_a_page_that_fails_is_named(pages: Callable[[str], Path], code: str, said: str) -> None:
    with pytest.raises(PageError, match=r"^page\.md:\n") as raised:
        run_page(pages(code) / "page.md")
    assert code in str(raised.value)
    assert said in str(raised.value)


# --- sentences ------------------------------------------------------------------------------------

DEFAULTS = {
    "status": "stable",
    "status_reason": None,
    "first_bad_step": math.nan,
    "first_spike_step": math.nan,
    "warm_up_steps": 0,
    "classes": 10,
    "target_accuracy": 0.9,
    "parameters": 1000,
    "initial_loss": 2.3,
    "validation_loss": 0.5,
    "validation_accuracy": 0.8,
    "test_accuracy": 0.8,
    "clipped_fraction": 0.0,
    "gradient_norm_p90": 2.0,
    "gradient_norm_max": 4.0,
    "steps": 100,
    "seconds": 1.0,
}


def trials_of(
    study: str, configurations: list[dict[str, Any]], outcome: Callable[[dict[str, Any]], Any]
) -> pd.DataFrame:
    """A row for each configuration, with what ``outcome`` says of it; defaults elsewhere."""
    rows = []
    for configuration in configurations:
        trial = Trial(depth=1, **configuration)
        names = {"study": study, "trial": trial.key, "cell": trial.cell, **trial.row()}
        rows.append({**DEFAULTS, **names, **outcome(configuration)})
    return pd.DataFrame(rows)


def evidence_of(study: str, trials: pd.DataFrame) -> Evidence:
    empty = pd.DataFrame({"trial": [], "step": []})
    metadata = {"command": f"python studies/{study}.py", "commit": "0123456789", "dirty": False}
    return Evidence(
        study, ROOT / "results" / study, Results(trials, empty, empty, trials, metadata)
    )


FACTORIAL = [
    {"clipping": clipping, "model": model, "learning_rate": rate, "seed": seed}
    for clipping in ("none", "value")
    for model in ("mlp", "cnn")
    for rate in (0.1, 1.0)
    for seed in (0, 1)
]
Say = Callable[[Callable[[dict[str, Any]], Any]], None]


@pytest.fixture
def grid_says(monkeypatch: pytest.MonkeyPatch) -> Say:
    """Makes the pages read a grid of 16 trials with the outcome that a test gives."""

    def say(outcome: Callable[[dict[str, Any]], Any]) -> None:
        found = {"grid": evidence_of("grid", trials_of("grid", FACTORIAL, outcome))}
        monkeypatch.setattr(evidence, "load", found.get)

    return say


def text_of(block: Any) -> str:
    return str(block.data)


def test_endings_are_counted(grid_says: Say) -> None:
    grid_says(lambda c: {"status": "nonfinite" if c["model"] == "cnn" else "recovered"})
    text = text_of(training.endings())
    assert text.startswith(
        "Of 16 finished trials, 100% exploded at some step. Of these 50.0% learned all the "
        "same, and 50.0% ended with a number that was not finite: a test for NaN alone would have "
        "missed 50.0% of the explosions."
    )
    assert "| nonfinite | a loss, gradient or parameter stopped being finite | 8 | 50.0% |" in text


def test_endings_without_an_explosion(grid_says: Say) -> None:
    grid_says(lambda c: {})
    text = text_of(training.endings())
    assert text.startswith("Of 16 finished trials, 0% exploded at some step.\n")


def test_the_breaking_rate_is_where_all_higher_rates_break(grid_says: Say) -> None:
    grid_says(
        lambda c: {
            "status": "dead" if c["model"] == "cnn" and c["learning_rate"] == 1 else "stable",
            "validation_accuracy": 0.1 if c["learning_rate"] == 1 else 0.8,
        }
    )
    assert text_of(training.by_rate()) == (
        "Without clipping, the MLP is most accurate at the learning rate 0.1 (chosen on "
        "validation); at the largest rate of the grid no more than half of its trials explode. "
        "Without clipping, the CNN is most accurate at the learning rate 0.1 (chosen on "
        "validation); from 1 on, 10 times that rate, more than half of its trials explode."
    )


@pytest.mark.parametrize(
    ("shares", "expected"),
    [([0.0, 0.6, 1.0], 1.0), ([0.6, 0.0, 1.0], 10.0), ([1.0, 1.0, 0.5], None), ([1, 1, 1], 0.1)],
)
def test_breaking_rate(shares: list[float], expected: float | None) -> None:
    assert training.breaking_rate(pd.Series(shares, index=[0.1, 1.0, 10.0])) == expected


def test_onset_is_told_by_model(grid_says: Say) -> None:
    bad = {"status": "dead", "first_bad_step": 12.0}
    grid_says(lambda c: bad if c["model"] == "cnn" and c["seed"] else {})
    assert text_of(training.onset()).endswith(
        "In the CNN, 4 trials of 8 had one. Their first came at step 12 in the median, at the "
        "earliest at step 12 and at the latest at step 12; in 0% of them it came within the first "
        "10 steps."
    )


@pytest.mark.parametrize(
    ("gain", "expected"),
    [
        (
            0.1,
            "**Value clipping** gains most test accuracy over no clipping: +10.0 points (95% "
            "interval +10.0 to +10.0) with every configuration at its best learning rate and +10.0 "
            "points (95% interval +10.0 to +10.0) over all learning rates of the grid.",
        ),
        (
            -0.1,
            "Neither with every configuration at its best learning rate nor over all learning "
            "rates of the grid does any other clipping gain test accuracy over no clipping.",
        ),
        (
            0.0,
            "Neither with every configuration at its best learning rate nor over all learning "
            "rates of the grid does any other clipping gain test accuracy over no clipping.",
        ),
    ],
)
def test_the_verdict_on_a_factor_follows_the_data(
    grid_says: Say, gain: float, expected: str
) -> None:
    grid_says(lambda c: {"test_accuracy": 0.5 + gain * (c["clipping"] == "value")})
    assert text_of(comparisons.short("clipping")) == expected


def test_a_gain_at_high_rates_only(grid_says: Say) -> None:
    def outcome(c: dict[str, Any]) -> dict[str, Any]:
        saved = c["clipping"] == "value" and c["learning_rate"] == 1
        low = c["learning_rate"] == 0.1
        return {"test_accuracy": 0.5 if low or saved else 0.1, "validation_accuracy": 0.5 * low}

    grid_says(outcome)
    assert text_of(comparisons.short("clipping")) == (
        "With every configuration at its best learning rate, nothing gains test accuracy over no "
        "clipping. Over all learning rates of the grid, **value clipping** gains most test "
        "accuracy over no clipping: +20.0 points (95% interval +20.0 to +20.0)."
    )


def test_the_table_of_a_factor_holds_the_effects(grid_says: Say) -> None:
    grid_says(lambda c: {"test_accuracy": 0.5 + 0.1 * (c["clipping"] == "value")})
    text = text_of(comparisons.summary("clipping"))
    interval = "+10.0 to +10.0".replace(" ", "\N{NO-BREAK SPACE}")
    assert f"| value | the best | 4 | +10.0 | {interval} | 0.125 | 1.00 |" in text
    assert f"| value | all | 8 | +10.0 | {interval} | 0.008 | 1.00 |" in text
    # four pairs cannot give a p below 0.125 though all of them agree
    assert "disagree for value clipping at the best rates" in text


def test_explosions_are_told_with_their_direction(grid_says: Say) -> None:
    grid_says(
        lambda c: {
            "status": "dead" if c["clipping"] == "none" or c["learning_rate"] == 1 else "stable"
        }
    )
    assert text_of(comparisons.explosions("clipping")) == (
        "With no clipping, 100% of the trials explode. Value clipping lowers that share by 50.0 "
        "points (95% interval 50.0 to 50.0).\n\n"
        "With no clipping, 0% of the trials learn. Value clipping raises that share by 50.0 "
        "points (95% interval 50.0 to 50.0)."
    )


def test_robustness_shows_a_dash_where_there_is_no_rate(grid_says: Say) -> None:
    grid_says(lambda c: {"status": "dead" if c["model"] == "cnn" else "stable"})
    text = text_of(comparisons.robustness("clipping"))
    assert "| MLP | none | 0.1 | 0.1 to 1 | 1 | 1 | 0.00 |" in text
    assert "| CNN | none | 0.1 | 0.1 to 1 | – | – | 0.00 |" in text
    assert text.endswith("(–: at no rate of the grid).")


def test_importance_names_the_factor_that_matters(grid_says: Say) -> None:
    grid_says(lambda c: {"test_accuracy": 0.5 + 0.2 * (c["model"] == "cnn")})
    text = text_of(training.importance())
    assert text.startswith("On the grid, **model** explains the largest share")
    assert "model 100% (100% to 100%)" in text
    assert text.endswith("share the remaining 0%.")


def test_clipped_steps_and_the_percentile(grid_says: Say) -> None:
    def outcome(c: dict[str, Any]) -> dict[str, Any]:
        return {"clipped_fraction": 0.75 if c["model"] == "mlp" else 0.25}

    grid_says(lambda c: outcome(c) | {"clipping_threshold": 0.01})
    assert text_of(training.clipped_steps()) == (
        "- **Value clipping** (threshold 0.01) changes the gradient in 50.0% of the steps of the "
        "median trial, and in more than half of the steps in 50.0% of the trials.\n"
        "- The 90th percentile of the gradient norms, which practice suggests as the threshold of "
        "global-norm clipping, is 2 in the median stable trial without clipping, and lies between "
        "2 and 2 in all of them."
    )


def test_costs_are_ratios(monkeypatch: pytest.MonkeyPatch) -> None:
    configurations = [
        {"batch_policy": policy, "learning_rate": rate, "seed": seed}
        for policy in ("fixed", "doubling")
        for rate in (0.1, 1.0)
        for seed in (0, 1)
    ]

    def outcome(c: dict[str, Any]) -> dict[str, Any]:
        fixed = c["batch_policy"] == "fixed"
        return {"steps": 100 if fixed else 50, "seconds": 2.0 if fixed else 1.5}

    found = {"grid": evidence_of("grid", trials_of("grid", configurations, outcome))}
    monkeypatch.setattr(evidence, "load", found.get)
    assert text_of(training.cost_sentences()) == (
        "- MLP: doubling takes 0.50 times the updates of a fixed batch size, and 0.75 times the "
        "time (95% interval over cells 0.75 to 0.75)."
    )


def confirmations(gain: float) -> pd.DataFrame:
    configurations = [
        {"arm": f"confirm:{arm}", "seed": seed, "learning_rate": rate}
        for arm, rate in (("tpe", 0.3), ("grid", 0.1))
        for seed in range(5)
    ]
    return trials_of(
        "search", configurations, lambda c: {"test_accuracy": 0.5 + gain * ("tpe" in c["arm"])}
    )


@pytest.mark.parametrize(
    ("gain", "expected"),
    [
        (0.1, "a search finds better training than the grid's best cell"),
        (-0.1, "the searches do not beat the grid's best cell"),
        (0.0, "searches and grid find training whose accuracies cannot be told apart"),
    ],
)
def test_the_verdict_on_the_search_follows_the_data(
    monkeypatch: pytest.MonkeyPatch, gain: float, expected: str
) -> None:
    monkeypatch.setattr(evidence, "load", lambda _: evidence_of("search", confirmations(gain)))
    text = text_of(searching.summary())
    assert f"**{expected}**" in text
    assert f"| MLP | TPE | 5 | {prose.signed(gain)} |" in text
    assert "With 5 pairs the Wilcoxon test cannot give a p-value below 0.0625" in text


def test_a_search_that_wins_here_and_loses_there_depends() -> None:
    rows = pd.DataFrame({"effect": [0.1, -0.1, 0.0], "low": [0.05, -0.2, -0.1]})
    rows["high"] = rows["low"] + 0.15
    text = searching.verdict(rows)
    assert "**it depends on the model and the sampler whether a search beats" in text
    assert "more accurate in 1, less accurate in 1 and not distinguishable in 1" in text


def test_a_search_without_a_grid_has_nothing_to_beat(monkeypatch: pytest.MonkeyPatch) -> None:
    trials = confirmations(0.1)
    alone = trials[trials["arm"] != "confirm:grid"]
    monkeypatch.setattr(evidence, "load", lambda _: evidence_of("search", alone))
    assert "nothing to be compared with" in text_of(searching.summary())


def test_the_first_page_counts_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    source = evidence_of("grid", trials_of("grid", FACTORIAL, lambda _: {}))
    plan, trials = source.results.plan, source.results.trials.iloc[3:]
    counted = completeness(plan.drop(columns="status"), trials)
    monkeypatch.setattr(evidence, "load", {"grid": source}.get)
    monkeypatch.setattr(evidence, "all_studies", lambda: [source])
    monkeypatch.setattr(evidence, "completeness_of_all", lambda: counted)
    text = text_of(provenance.built_from())
    assert "| `grid` |  | 13 of 16 | quick | 0123456 | unknown |" in text
    assert "**3 expected trials have no row**" in text
    assert "The study `search` was not run." in text


def test_settings_are_read_from_the_rows(grid_says: Say) -> None:
    grid_says(lambda c: {"parameters": 7 if c["model"] == "mlp" else 9})
    assert text_of(settings.levels()).startswith(
        "The grid is the full factorial of model (MLP, CNN), learning rate (0.1, 1) and clipping "
        "(none, value), each cell with 2 seeds. Held fixed: dataset digits"
    )
    assert "networks of up to 9 parameters" in text_of(settings.limits())
    assert "the MLP has 1 hidden layer and 7 parameters" in text_of(settings.networks())


METHODS = (ROOT / "report" / "methods.md").read_text()


@pytest.mark.parametrize(
    "factor", ["clipping", "normalization", "batch_policy", "schedule", "optimizer"]
)
def test_the_methods_name_every_strategy_and_its_default(factor: str) -> None:
    head = f"| {prose.name(factor)} |"
    table = METHODS[METHODS.index(head) :].partition("\n\n")[0]
    rows = {line.split(" | ")[0].removeprefix("| "): line for line in table.splitlines()[2:]}
    strategies = {prose.name(level): s for level, s in REGISTRIES[factor].items()}
    assert set(rows) == set(strategies) - {"range test"}
    number = "threshold" if factor == "clipping" else "parameter"
    for name, line in rows.items():
        tunable = getattr(strategies[name], number, None)
        if tunable is not None:
            assert re.search(rf"\| \$\S+ = {tunable.default:g}\$ \|", line), line


def test_a_default_threshold_is_no_factor() -> None:
    def threshold(c: dict[str, Any]) -> dict[str, Any]:
        return {"clipping_threshold": 0.01 if c["clipping"] == "value" else math.nan}

    source = evidence_of("grid", trials_of("grid", FACTORIAL, threshold))
    assert source.factors == ["model", "learning_rate", "clipping"]
    several = trials_of("grid", FACTORIAL, lambda c: {"clipping_threshold": 1.0 + c["seed"]})
    assert "clipping_threshold" in evidence_of("grid", several).factors


@pytest.mark.parametrize(
    ("command", "scale"),
    [
        ("python studies/grid.py --scale full --device cuda", "full"),
        ("python studies/grid.py --scale=smoke", "smoke"),
        ("python studies/grid.py", "quick"),
        ("ipython", "unknown"),
    ],
)
def test_scale_is_read_from_the_command(command: str, scale: str) -> None:
    source = evidence_of("grid", trials_of("grid", FACTORIAL, lambda _: {}))
    source.results.metadata["command"] = command
    assert source.scale == scale


def test_a_changed_tree_is_no_clean_commit() -> None:
    source = evidence_of("grid", trials_of("grid", FACTORIAL, lambda _: {}))
    assert source.commit == "0123456"
    source.results.metadata["dirty"] = True
    assert source.commit == "0123456 with local changes"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (1.0, "1"),
        (0.012345, "0.0123"),
        (12345.6, "12,346"),
        (2.33e10, "2.33e+10"),
        (1e-7, "1.00e-07"),
        (math.nan, "–"),
        (math.inf, "∞"),
    ],
)
def test_numbers_have_no_more_digits_than_mean_something(value: float, text: str) -> None:
    assert prose.number(value) == text


@pytest.mark.parametrize(
    ("row", "text"),
    [
        (
            {"effect": -0.1, "low": -0.2, "high": -0.05},
            "lowers it by 10.0 points (95% interval 5.0",
        ),
        (
            {"effect": 0.1, "low": 0.05, "high": 0.2},
            "raises it by 10.0 points (95% interval 5.0 to",
        ),
        ({"effect": 0.1, "low": -0.1, "high": 0.2}, "does not measurably change it (+10.0 points"),
        (
            {"effect": 0.1, "low": math.nan, "high": math.nan},
            "does not measurably change it (+10.0",
        ),
    ],
)
def test_a_change_is_told_by_its_interval(row: dict[str, float], text: str) -> None:
    assert prose.change(row, "it").startswith(text)


def test_numbers_of_a_table_are_aligned() -> None:
    frame = pd.DataFrame({"a": ["x|y", "z"], "b": [1.5, math.nan], "c": ["+1.0", "−2.0"]})
    assert prose.table(frame) == (
        "| a | b | c |\n| --- | ---: | ---: |\n| x\\|y | 1.5 | +1.0 |\n| z | – | −2.0 |"
    )
