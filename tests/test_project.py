"""What stands around the package: the README's commands, pinned versions, links."""

import importlib
import importlib.metadata
import pkgutil
import re
import runpy
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import torch
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from benchmark import __version__, project
from benchmark.__main__ import main
from benchmark.driver import commandline
from benchmark.records import read_selection
from benchmark.results import load_study, read, write
from benchmark.schema import SCHEMA_VERSION, frame
from benchmark.statistics import speed
from benchmark.status import STATUSES

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
DISTRIBUTION = "gradient-stability-benchmark"
PAGES = [
    path
    for pattern in ("*.md", "docs/**/*.md", "results/README.md")
    for path in sorted(ROOT.glob(pattern))
]


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


COMMANDS = [
    shlex.split(re.sub(r"^[A-Z_]+=\S+ ", "", line), comments=True)
    for block in blocks("bash")
    for line in block.splitlines()
]


def shown(command):
    return " ".join(command)


# the README


def commands(*start):
    found = [c for c in COMMANDS if c[: len(start)] == list(start)]
    assert found, f"the README has no command {shown(start)}"
    return found


@pytest.mark.parametrize(
    "command", [c for c in COMMANDS if c[0] == "python" and "studies/" in c[1]], ids=shown
)
def test_study_commands_of_the_readme_are_accepted(command):
    script, arguments = ROOT / command[1], command[2:]
    options = commandline.make_parser("?").parse_args(arguments)
    study = runpy.run_path(str(script))[script.stem if script.stem == "search" else "study"]
    study(options.scale).only(read_selection(options.only))


@pytest.mark.parametrize("command", [c for c in COMMANDS if c[0] == "make"], ids=shown)
def test_make_targets_of_the_readme_exist(command):
    makefile = (ROOT / "Makefile").read_text()
    assert re.search(rf"^{command[1]}:", makefile, flags=re.MULTILINE)


def test_all_studies_are_trained_on_every_machine_in_the_same_order():
    makefile = (ROOT / "Makefile").read_text().replace("\\\n", "")
    (listed,) = re.findall(r"^STUDIES = (.+)$", makefile, flags=re.MULTILINE)
    on_a_gpu = runpy.run_path(str(ROOT / "studies" / "gpu_check.py"))["STUDIES"]
    assert listed.split() == list(on_a_gpu)
    scripts = (ROOT / "studies").glob("*.py")
    studies = {path.stem for path in scripts if "commandline import run\n" in path.read_text()}
    assert set(on_a_gpu) == studies


@pytest.mark.parametrize(
    "command", [c for c in COMMANDS if c[:4] == ["python", "-m", "benchmark", "list"]], ids=shown
)
def test_list_commands_of_the_readme_run(command, capsys):
    assert main(command[3:]) == 0


def test_every_command_of_the_readme_is_of_a_kind_that_is_checked():
    known = {"make", "python", "."}
    assert {command[0] for command in COMMANDS} <= known
    scripts = {c[1] for c in COMMANDS if c[0] == "python"} - {"-m"}
    assert all((ROOT / script).is_file() for script in scripts)


def test_the_readme_lists_every_option_of_a_study():
    options = set(re.findall(r"--[a-z]+", commandline.make_parser("?").format_usage()))
    listed = set(re.findall(r"^\| `(--[a-z]+)", README, flags=re.MULTILINE))
    assert listed == options


def test_the_readme_explains_every_scale_and_status():
    rows = dict(re.findall(r"^\| `(\w+)` \| (.+?) \|", README, flags=re.MULTILINE))
    assert {name: rows[name] for name in STATUSES} == STATUSES
    assert all(rows[scale].startswith(text) for scale, text in project.SCALES.items())


def test_python_of_the_readme_runs(tmp_path, monkeypatch, capsys):
    notebook, attaching, chaining, reading, strategy, checking = blocks("python")
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(notebook.replace("trials = [Trial(", "trials = [Trial(epochs=0.5, "), names)
    record = names["record"]
    assert len(record.trials) == len(names["trials"]) == 4

    weight = torch.nn.Parameter(torch.ones(1))
    names["optimizer"] = torch.optim.SGD([weight], lr=0.1)
    exec(attaching.replace("\n...\n", "\noptimizer.zero_grad()\noptimizer.step()\n"), names)
    assert names["guard"].threshold == 2.5
    exec(chaining, names)
    weight.grad = torch.full((1,), 100.0)
    names["optimizer"].step()
    assert float(weight.grad) == 1.0, "capped by the chain"
    assert names["guard"].log["clipped"].tolist() == [True]

    metadata = {"schema_version": SCHEMA_VERSION}
    plan = frame("plan", [{"trial": key, "study": "grid"} for key in record.trials["trial"]])
    write("plan", plan, Path("results/quick/grid/plan.parquet"), metadata)
    write("trials", record.trials, Path("results/quick/grid/trials.parquet"), metadata)
    exec(reading, names)
    assert len(names["results"].trials) == 4

    Path("root_norm.py").write_text(strategy)
    monkeypatch.syspath_prepend(tmp_path)
    own = importlib.import_module("root_norm")
    exec(checking, vars(own))
    given = ["--scale", "smoke", "--only", "epochs=0.5", "--only", "seed=0", "--device", "cpu"]
    assert commandline.run(own.study, [*given, "--executor", "here"]) == 0
    trials = load_study("results/smoke", "root_norm").trials
    assert set(trials["clipping"]) == {"none", "global_norm", "root_norm"}
    assert (trials.loc[trials["clipping"] == "root_norm", "clipped_fraction"] > 0).any()


@pytest.mark.parametrize("task", [["check"], ["format", "--check"]], ids=shown)
def test_the_strategy_of_the_readme_passes_the_projects_own_checks(task):
    command = [sys.executable, "-m", "ruff", *task, "--stdin-filename", "root_norm.py", "-"]
    strategy = blocks("python")[4]
    done = subprocess.run(command, cwd=ROOT, input=strategy, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_what_building_a_wheel_leaves_is_ignored_and_cleaned():
    ignored = (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()
    assert {"/build/", "/*.whl", "*.egg-info/"} <= set(ignored)
    (clean,) = re.findall(r"^clean:\n\trm -rf (.+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert {"build", "*.egg-info"} <= set(clean.split())


def timings():
    return read("measurements", ROOT / "results/reference/throughput/measurements.parquet")[0]


def test_the_readme_has_the_reports_costs_of_clippings():
    rows = speed.overheads(timings(), "guards")
    rows = rows[rows["workload"] == "mlp_fashion"].set_index("arm")
    usual, others = rows.loc["global_norm"], rows.drop(["none", "bare", "global_norm"])["step"]
    bare = 1 / (1 + rows.loc["bare", "step"]) - 1
    told = " ".join(README.split())
    assert f"`clip_grad_norm_` adds {bare:.0%}" in told
    assert (
        f"{usual['step']:.0%} more ({usual['step_low']:.0%} to {usual['step_high']:.0%}), "
        f"with the others {others.min():.0%} to {others.max():.0%} more"
    ) in told


def test_the_readme_has_the_reports_comparison_with_other_programs():
    times = speed.relative(timings()).set_index(["arm", "workload"])["cpu"]
    jax, tensors, baseline, plain = (
        times[arm] for arm in ("jax", "tensors", "baseline", "torch_kernels")
    )
    told = " ".join(README.split())
    assert (
        f"JAX needs {jax['mlp_fashion']:.2f} times its processor time on an MLP of 784-256-10, "
        f"{jax['mlp_base']:.2f} times at batches of 32, {jax['mlp_digits']:.2f} on the digits "
        f"and {jax['cnn_fashion']:.1f} on the small CNN ({jax['cnn_digits']:.1f} on the digits), "
        f"the loop over tensors {tensors.min():.1f} to {tensors.max():.1f} times, "
        f"the baseline loop {baseline.min():.1f} to {baseline.max():.0f} times."
    ) in told
    assert f"the engine needs {plain.min():.1f} to {plain.max():.1f} times the time" in told


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
        assert "://" in target or (page.parent / target).exists(), target


NAMED = re.compile(r"`{1,2}([\w.-]+(?:/[\w.-]+)*(?:/|\.(?:py|md|toml|txt|yml|csv)))`{1,2}")
"""What is written as a file or a folder; whole paths, so that a reader finds them."""
NOT_HERE = {"root_norm.py", "metrics.csv", "set_aside/"}
"""The reader's own files, and what a study writes."""
FOLDERS = ("benchmark", "studies", "report", "docs", "tests")


TODAY = [page for page in PAGES if page.name != "CHANGELOG.md"]
"""Pages that speak of what is there now."""


@pytest.mark.parametrize("page", TODAY, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_files_and_folders_that_a_page_names_are_there(page):
    named = set(NAMED.findall(page.read_text(encoding="utf-8"))) - NOT_HERE
    gone = [n for n in sorted(named) if not ((ROOT / n).exists() or (page.parent / n).exists())]
    assert not gone


def sources():
    found = [path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py"))]
    return [path for path in found if not any(p.startswith("_build") for p in path.parts)]


def test_files_that_the_code_names_are_there():
    gone = [
        f"{path.relative_to(ROOT)}: {name}"
        for path in sources()
        for name in NAMED.findall(path.read_text(encoding="utf-8"))
        if name.startswith(tuple(f"{folder}/" for folder in FOLDERS))
        if not (ROOT / name).exists()
    ]
    assert not gone


def modules_named():
    """Dotted names of the package in backticks, and the first file that has each."""
    pages = [*TODAY, *sorted((ROOT / "report").glob("*.md")), *sources()]
    found = {}
    for path in pages:
        for name in re.findall(r"`(benchmark(?:\.\w+)+)`", path.read_text(encoding="utf-8")):
            found.setdefault(name, path.relative_to(ROOT).as_posix())
    return found


@pytest.mark.parametrize(("name", "path"), modules_named().items())
def test_modules_that_a_text_names_are_there(name, path):
    assert pkgutil.resolve_name(name) is not None, path


def test_the_changelog_says_which_results_are_comparable():
    row = f"| {__version__} | {SCHEMA_VERSION} |"
    assert row in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


# versions


def pins():
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    found = [Requirement(line) for line in lines if line and not line.startswith("#")]
    return {canonicalize_name(pin.name): pin for pin in found}


def required(extras=("report", "fast", "test", "cluster")):
    """Every requirement of the project and of what it requires, on this platform."""
    waiting, seen, found = [(DISTRIBUTION, extras)], set(), []
    while waiting:
        name, wanted = waiting.pop()
        if (name, wanted) in seen:
            continue
        seen.add((name, wanted))
        try:
            texts = importlib.metadata.requires(name) or []
        except importlib.metadata.PackageNotFoundError:
            # an extra of ours that is not installed here
            continue
        for requirement in map(Requirement, texts):
            environments = [{"extra": extra} for extra in wanted or ("",)]
            marker = requirement.marker
            if marker is None or any(map(marker.evaluate, environments)):
                found.append((name, requirement))
                waiting.append((canonicalize_name(requirement.name), tuple(requirement.extras)))
    return found


def test_every_version_is_pinned_or_fixed_by_what_requires_it():
    # a CUDA build of torch fixes the versions of its libraries itself
    loose = {
        f"{requirement} (of {name})"
        for name, requirement in required()
        if canonicalize_name(requirement.name) not in pins()
        and not any(spec.operator == "==" for spec in requirement.specifier)
    }
    assert not loose


def test_pins_are_exact_and_within_the_ranges():
    assert all(re.fullmatch(r"==[^*]+", str(pin.specifier)) for pin in pins().values())
    for name, requirement in required():
        pin = pins().get(canonicalize_name(requirement.name))
        if pin is not None:
            version = next(iter(pin.specifier)).version
            assert requirement.specifier.contains(version, prereleases=True), (name, requirement)


PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
MINORS = [
    entry.removeprefix("Programming Language :: Python :: ") for entry in PROJECT["classifiers"]
]
PYTHONS = [f"{minor}.0" for minor in MINORS if re.fullmatch(r"3\.\d+", minor)]
"""The first release of each that the project says it runs on."""


def refused(python):
    """The pins that pip would not install there, of those that are installed here."""
    for name, pin in pins().items():
        try:
            metadata = importlib.metadata.metadata(name)
        except importlib.metadata.PackageNotFoundError:
            continue
        allowed = SpecifierSet(metadata.get("Requires-Python") or "")
        if pin.specifier.contains(metadata["Version"]) and not allowed.contains(python):
            yield f"{pin} needs Python {allowed}"


@pytest.mark.parametrize("python", PYTHONS)
def test_pins_can_be_installed_from_the_first_release_of_each_python(python):
    assert SpecifierSet(PROJECT["requires-python"]).contains(python)
    assert not list(refused(python))


LOOK = """
import sys, benchmark
print(set(benchmark.__all__) <= set(dir(benchmark)), "torch" in sys.modules)
print(benchmark.clip.attach.__name__, all(hasattr(benchmark, n) for n in benchmark.__all__))
"""


def test_public_names_are_listed_before_any_is_imported() -> None:
    done = subprocess.run([sys.executable, "-c", LOOK], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "False", "attach", "True"]
