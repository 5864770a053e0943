"""Imports point one way: each layer uses those above it, and there is no cycle."""

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from benchmark.provenance import TRAINING

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("benchmark", "studies", "report")

LAYERS = (
    ("plain", ("benchmark",)),
    (
        "tensors",
        (
            *("benchmark.data", "benchmark.models", "benchmark.strategies"),
            *("benchmark.layout", "benchmark.measurements", "benchmark.clip", "benchmark.norms"),
            "benchmark.gpus",
        ),
    ),
    ("engine", ("benchmark.engine",)),
    ("contracts", ("benchmark.contracts",)),
    ("driver", ("benchmark.driver",)),
    ("commands", ("benchmark.commands", "benchmark.__main__")),
    ("timing", ("benchmark.timing",)),
)
"""Each layer may import itself and those before it. The longest prefix of a module's name decides,
so that a new module directly in the package is plain (no torch) unless it is named here."""

ENGINE = "benchmark.engine"
ROOMS = {
    "training": {"runs", "steps", "trials", "machine", "settings"},
    "runs": {"steps", "trials", "machine", "settings"},
    "steps": {"networks", "kernels", "trials", "machine"},
    "networks": {"kernels"},
    "kernels": set(),
    "trials": {"machine", "settings"},
    "machine": {"settings"},
    "settings": set(),
}
"""What the parts of the engine import of each other: its two modules and its rooms."""

NAMELESS = {"utils", "util", "helpers", "helper", "common", "misc"}


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {
    module_name(path): path
    for folder in FOLDERS
    for path in sorted((ROOT / folder).rglob("*.py"))
    if not any(part.startswith("_build") for part in path.parts)
}
FACADE = "benchmark"
"""The package's own `__init__` names what users import, from any layer; nothing in the repository
imports through it but studies and pages."""


def imported(module: str, *, at_once: bool = False) -> set[str]:
    """Full names of the modules that ``module`` imports, wherever in the file, or ``at_once``."""
    found = set()
    tree = ast.parse(MODULES[module].read_text(encoding="utf-8"))
    for node in tree.body if at_once else ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} has a relative import; write the whole name"
            assert node.module is not None
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                found.add(whole if whole in MODULES else node.module)
    return found


def layer_of(module: str) -> int:
    def match(prefix: str) -> bool:
        return module == prefix or module.startswith(f"{prefix}.")

    prefixes = [(len(p), i) for i, (_, own) in enumerate(LAYERS) for p in own if match(p)]
    return max(prefixes)[1]


def of_folder(folder: str) -> list[str]:
    return [m for m in MODULES if m.partition(".")[0] == folder and m != FACADE]


@pytest.mark.parametrize("module", of_folder("benchmark"))
def test_a_module_imports_only_from_its_own_layer_and_those_before(module):
    own = [name for name in imported(module) if name.partition(".")[0] in FOLDERS]
    later = [name for name in own if name == FACADE or layer_of(name) > layer_of(module)]
    outside = [name for name in own if name.partition(".")[0] != "benchmark"]
    assert not later, f"{module} ({LAYERS[layer_of(module)][0]}) imports {later}"
    assert not outside, f"the package imports {outside} in {module}"


def room_of(module: str) -> str | None:
    """The part of the engine that ``module`` is of; None elsewhere, and for what its face names."""
    return module.removeprefix(f"{ENGINE}.").partition(".")[0] if module != ENGINE else None


def test_the_rooms_of_the_engine_import_as_drawn():
    inside = [m for m in MODULES if m.startswith(f"{ENGINE}.")]
    found: dict[str, set[str]] = {room_of(module): set() for module in inside}
    for module in inside:
        others = {room_of(name) for name in imported(module) if name in inside}
        found[room_of(module)] |= others - {room_of(module)}
    assert found == ROOMS
    # no two rooms are of each other
    assert list(TopologicalSorter(found).static_order())


def test_a_row_s_code_is_that_of_all_tensors_that_training_may_meet():
    (tensors,) = (modules for name, modules in LAYERS if name == "tensors")
    hashed = {f"benchmark.{name.removesuffix('.py')}" for name in TRAINING}
    # guards are for other loops than this package's
    assert set(tensors) - hashed == {"benchmark.clip"}


@pytest.mark.parametrize("module", [m for m in of_folder("benchmark") if layer_of(m) == 0])
def test_plain_modules_do_without_torch(module):
    assert "torch" not in {name.partition(".")[0] for name in imported(module)}


@pytest.mark.parametrize(
    "module", [m for m in of_folder("benchmark") if LAYERS[layer_of(m)][0] == "commands"]
)
def test_a_command_imports_torch_only_where_it_runs(module):
    names = {name for name in imported(module, at_once=True) if name.startswith("benchmark.")}
    later = [name for name in names if 0 < layer_of(name) < layer_of(module)]
    assert not later, f"{module} imports {later} for whoever asks for help"


@pytest.mark.parametrize("module", of_folder("report"))
def test_the_report_reads_results_and_trains_nothing(module):
    names = imported(module)
    own = [name for name in names if name.partition(".")[0] == "benchmark"]
    assert all(layer_of(name) == 0 for name in own), f"{module} imports {own}"
    assert not {name.partition(".")[0] for name in names} & {"torch", "studies"}


@pytest.mark.parametrize("module", of_folder("studies"))
def test_a_study_script_imports_the_package_and_no_other_script(module):
    roots = {name.partition(".")[0] for name in imported(module)}
    assert "benchmark" in roots
    assert not roots & {"studies", "report"}


def test_there_is_no_cycle():
    graph = {m: {n for n in imported(m) if n in MODULES} for m in MODULES if m != FACADE}
    try:
        order = list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))
    assert set(graph) <= set(order)


@pytest.mark.parametrize("module", MODULES)
def test_a_module_is_named_for_its_concept(module):
    assert not NAMELESS & set(module.split("."))
