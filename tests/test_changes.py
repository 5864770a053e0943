"""Custom objects that change: rows do not outlive what their names stood for."""

import functools
import linecache
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FunctionType
from typing import Any

import pandas as pd
import pytest
import torch
from conftest import TOY, toy_split
from torch import nn

from benchmark import Clipping, Range, Study, Trial, module_model, tensor_dataset
from benchmark.__main__ import main
from benchmark.driver import Options, dispatch, run_study, verifying
from benchmark.driver.commandline import run
from benchmark.driver.digests import custom_digests, digest
from benchmark.driver.executors import InThisProcess, WorkerPool
from benchmark.driver.scripts import parts_of
from benchmark.driver.units import Unit
from benchmark.results import ResultsError, load_study


def cell(source: str, number: int = 0, **names: Any) -> Any:
    """What a cell of a notebook defines as ``made``."""
    source = textwrap.dedent(source)
    file = f"<cell {number}>"
    linecache.cache[file] = len(source), None, source.splitlines(True), file
    space: dict[str, Any] = {"__name__": "__main__", **names}
    exec(compile(source, file, "exec"), space)
    return space["made"]


FUNCTION = """
def made(x):
    return x * 1.0
"""
PAIRS = {
    "a constant": (FUNCTION, FUNCTION.replace("1.0", "0.001")),
    "a name of the module": (
        "factor = 1.0\ndef made(x): return x * factor",
        "factor = 0.001\ndef made(x): return x * factor",
    ),
    "a function that is called": (
        "def scaled(x): return x * 1.0\ndef made(x): return scaled(x)",
        "def scaled(x): return x * 0.001\ndef made(x): return scaled(x)",
    ),
    "a closure": (
        "def outer(c):\n    def inner(x): return c * x\n    return inner\nmade = outer(1.0)",
        "def outer(c):\n    def inner(x): return c * x\n    return inner\nmade = outer(0.001)",
    ),
    "a default": ("def made(x, c=1.0): return c * x", "def made(x, c=0.001): return c * x"),
    "a lambda": ("made = lambda x: x * 1.0", "made = lambda x: x * 0.001"),
    "one of two lambdas": (
        "made, other = lambda x: x * 1.0, lambda x: x * 2.0",
        "made, other = lambda x: x * 0.001, lambda x: x * 2.0",
    ),
    "a partial": (
        "from functools import partial\nfrom operator import mul\nmade = partial(mul, 1.0)",
        "from functools import partial\nfrom operator import mul\nmade = partial(mul, 0.001)",
    ),
    "a method": (
        "class Kind:\n    def run(self, x): return x * 1.0\nmade = Kind().run",
        "class Kind:\n    def run(self, x): return x * 0.001\nmade = Kind().run",
    ),
    "a property": (
        "class Kind:\n    @property\n    def c(self): return 1.0\nmade = Kind()",
        "class Kind:\n    @property\n    def c(self): return 0.001\nmade = Kind()",
    ),
    "a base class": (
        "class Base:\n    c = 1.0\nclass made(Base): pass",
        "class Base:\n    c = 0.001\nclass made(Base): pass",
    ),
    "a field": (
        "from dataclasses import dataclass\n@dataclass\nclass K:\n    c: float\nmade = K(1.0)",
        "from dataclasses import dataclass\n@dataclass\nclass K:\n    c: float\nmade = K(0.001)",
    ),
    "an attribute": (
        "class Kind:\n    def __init__(self, c): self.c = c\nmade = Kind(1.0)",
        "class Kind:\n    def __init__(self, c): self.c = c\nmade = Kind(0.001)",
    ),
    "a tensor": (
        "import torch\nc = torch.ones(3)\ndef made(x): return c * x",
        "import torch\nc = torch.zeros(3)\ndef made(x): return c * x",
    ),
    "an array": (
        "import numpy as np\nc = np.ones(3)\ndef made(x): return c * x",
        "import numpy as np\nc = np.zeros(3)\ndef made(x): return c * x",
    ),
    "an inner function's name": (
        "c = 1.0\ndef made(x):\n    def inner(): return c * x\n    return inner()",
        "c = 0.001\ndef made(x):\n    def inner(): return c * x\n    return inner()",
    ),
    "a mapping": (
        "table = {'c': 1.0}\ndef made(x): return table['c'] * x",
        "table = {'c': 0.001}\ndef made(x): return table['c'] * x",
    ),
}
pairs = pytest.mark.parametrize("pair", PAIRS.values(), ids=list(PAIRS))


@pairs
def test_a_change_changes_the_digest(pair: tuple[str, str]) -> None:
    one, other = (cell(source, number) for number, source in enumerate(pair))

    assert digest(one) != digest(other)


@pairs
def test_the_same_cell_run_again_has_the_same_digest(pair: tuple[str, str]) -> None:
    one, again = cell(pair[0], 1), cell(pair[0], 2)

    assert one is not again
    assert digest(one) == digest(again)


USES = {
    "a dotted name": "import {0}.inner.norms\ndef made(x): return {0}.inner.norms.factor(x)",
    "a module of a package": "from {0}.inner import norms\ndef made(x): return norms.factor(x)",
    "an import of a name within": (
        "def made(x):\n    from {0}.inner.norms import factor\n    return factor(x)"
    ),
    "an import of a module within": (
        "def made(x):\n    import {0}.inner.norms as n\n    return n.factor(x)"
    ),
    "an import within a function within": (
        "def made(x):\n    def f():\n        from {0}.inner import norms\n"
        "        return norms.factor(x)\n    return f()"
    ),
    "a module that is closed over": (
        "def outer():\n    import {0}.inner.norms as n\n    return lambda x: n.factor(x)\n"
        "made = outer()"
    ),
    "a module that an object has": (
        "from {0}.inner import norms\nclass Kind:\n    def __init__(self): self.lib = norms\n"
        "    def run(self, x): return self.lib.factor(x)\nmade = Kind().run"
    ),
    "a decorator": ("from {0}.inner.norms import decorated\n@decorated\ndef made(x): return x"),
    "a relative import in what is called": (
        "import {0}.inner.asking\ndef made(x): return {0}.inner.asking.asked(x)"
    ),
}
NORMS = """
import functools
def factor(x): return x * 1.0
def decorated(function):
    @functools.wraps(function)
    def wrapper(x): return function(x) * 1.0
    return wrapper
"""
ASKING = """
def asked(x):
    from .norms import factor
    return factor(x)
"""


def in_package(root: Path, name: str, norms: str, use: str) -> Any:
    """What ``use`` defines as ``made``, with a package of that ``name`` beside it."""
    inner = root / name / "inner"
    inner.mkdir(parents=True)
    (root / name / "__init__.py").touch()
    (inner / "__init__.py").touch()
    (inner / "norms.py").write_text(norms, encoding="utf-8")
    (inner / "asking.py").write_text(ASKING, encoding="utf-8")
    made = cell(use.format(name))
    # as a process of its own would have it: the next one finds the other package
    found = digest(made)
    for module in [module for module in sys.modules if module.partition(".")[0] == name]:
        del sys.modules[module]
    return found


@pytest.mark.parametrize("use", USES.values(), ids=list(USES))
def test_a_change_is_seen_through_modules_and_imports(
    use: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []
    for number, factor in enumerate(("1.0", "1.0", "0.001")):
        with monkeypatch.context() as patched:
            patched.syspath_prepend(tmp_path / str(number))
            norms = NORMS.replace("1.0", factor)
            found.append(in_package(tmp_path / str(number), "mylib", norms, use))

    assert found[0] == found[1]
    assert found[0] != found[2]


def test_an_import_that_fails_is_left_to_training() -> None:
    made = cell("def made(x):\n    import no_such_module_here\n    return x")
    assert digest(made) == digest(
        cell("def made(x):\n    import no_such_module_here\n    return x")
    )


def test_comments_docstrings_and_layout_are_no_change() -> None:
    plain = cell(FUNCTION, 1)
    written = cell("\n\ndef made(x):\n    '''Once.'''\n    # as it is\n    return (x*1.0)")

    assert digest(plain) == digest(written)


def test_without_source_the_instructions_count() -> None:
    def bare(factor: str) -> FunctionType:
        space: dict[str, Any] = {"__name__": "__main__"}
        exec(f"def made(x): return x * {factor}", space)
        return space["made"]

    assert digest(bare("1.0")) == digest(bare("1.0"))
    assert digest(bare("1.0")) != digest(bare("0.001"))


def test_what_holds_itself_has_a_digest() -> None:
    looped: list[Any] = [1]
    looped.append(looped)
    source = "def made(x): return made(x - 1) if x else other(x)\ndef other(x): return made(x)"

    assert digest(looped) != digest([1])
    assert digest(cell(source)) == digest(cell(source))


def scaled(factor: float, **more: Any) -> Clipping:
    """g times a constant."""

    def scale(gradient: Any, state: Any, threshold: Any, context: Any) -> Any:
        return factor * gradient, state, gradient.new_zeros((), dtype=torch.bool)

    plain: dict[str, Any] = {"threshold": None, "reference": "custom", "summary": "scaled"}
    return Clipping("scaled", scale, **plain | more)


def test_how_it_is_described_and_bounded_is_no_change() -> None:
    bounded = scaled(1.0, threshold=Range(0.1, 1.0, default=0.5), summary="other words")
    wider = scaled(1.0, threshold=Range(0.01, 1.0, default=0.5), reference="elsewhere")

    assert digest(bounded) == digest(wider)
    assert digest(bounded) != digest(scaled(0.001, threshold=bounded.threshold))


def data(offset: float = 0.0) -> Any:
    images, labels = toy_split(48, 1)
    part = images + offset * torch.arange(4.0), labels
    return tensor_dataset("mine", train=part, validation=part, test=part)


def model(hidden: int) -> Any:
    def build(image_shape: Any, classes: int) -> nn.Module:
        return nn.Sequential(nn.Flatten(), nn.Linear(16, hidden), nn.ReLU(), nn.Linear(hidden, 3))

    return module_model("mine", build)


KINDS: dict[str, tuple[Any, Any, Any]] = {
    "clipping": (scaled(1.0), scaled(0.001), scaled(1.0)),
    "dataset": (data(), data(1.0), data()),
    "model": (model(8), model(9), model(8)),
}


def study(factor: str, level: Any, *more: str) -> Study:
    common = {"dataset": TOY, "batch_size": 16, "epochs": 1.0, "learning_rate": 0.05}
    return Study(
        name="tiny",
        question="Is it the same?",
        factors=common | {factor: (level, *more)},
        seeds=(0, 1),
        checkpoints=4,
        layers=True,
    )


def here(path: Path, **more: Any) -> Options:
    return Options(path, device="cpu", progress=False, executor="here", **more)


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Keys of the trials that are trained."""
    keys: list[str] = []
    real = dispatch.train_unit

    def counting(unit: Unit) -> Any:
        keys.extend(trial.key for trial in unit.trials)
        return real(unit)

    monkeypatch.setattr(dispatch, "train_unit", counting)
    return keys


kinds = pytest.mark.parametrize("kind", KINDS)


@kinds
def test_a_changed_object_is_refused_and_nothing_is_changed(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before, after, _ = KINDS[kind]
    run_study(study(kind, before), here(tmp_path))
    files = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}

    def make(scale: str) -> Study:
        return study(kind, after)

    options = ["--results", str(tmp_path), "--device", "cpu", "--executor", "here"]
    status = run(make, options)
    (said,) = [line for line in capsys.readouterr().err.splitlines() if "error: " in line]

    assert status == 2
    assert f"{kind} {before.name!r} has changed since 2 trials of it were trained" in said
    assert "--retrain" in said
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == files
    assert run(make, [*options, "--retrain"]) == 0


@kinds
def test_the_same_object_made_again_keeps_its_rows(
    kind: str, tmp_path: Path, trained: list[str]
) -> None:
    before, _, again = KINDS[kind]
    run_study(study(kind, before), here(tmp_path))
    trained.clear()
    run_study(study(kind, again), here(tmp_path))

    assert again is not before
    assert not trained


def test_changed_objects_are_trained_again_and_their_old_rows_are_set_aside(
    tmp_path: Path, trained: list[str], caplog: Any
) -> None:
    run_study(study("clipping", scaled(1.0), "none"), here(tmp_path / "a"))
    old = load_study(tmp_path / "a", "tiny")
    run_study(study("clipping", scaled(0.001), "none"), here(tmp_path / "b"))
    new = load_study(tmp_path / "b", "tiny")
    trained.clear()
    run_study(study("clipping", scaled(0.001), "none"), here(tmp_path / "a", retrain=True))
    now = load_study(tmp_path / "a", "tiny")
    aside = load_study(tmp_path / "a" / "tiny" / "set_aside", "1")

    assert old is not None
    assert new is not None
    assert now is not None
    assert aside is not None
    mine = old.trials["clipping"] == "scaled"
    assert sorted(trained) == sorted(old.trials.loc[mine, "trial"])
    assert "their old rows are in" in caplog.text
    same = functools.partial(pd.testing.assert_frame_equal, check_exact=True)
    same(aside.trials, old.trials[mine].reset_index(drop=True))
    same(now.history, new.history)
    same(now.layers, new.layers)
    same(now.trials.drop(columns="seconds"), new.trials.drop(columns="seconds"))
    same(now.plan, new.plan)


def test_only_what_is_trained_again_is_set_aside(
    tmp_path: Path, trained: list[str], caplog: Any
) -> None:
    run_study(study("clipping", scaled(1.0), "none"), here(tmp_path))
    old = load_study(tmp_path, "tiny").trials
    changed = study("clipping", scaled(0.001), "none")
    trained.clear()
    seed = str(old["seed"].iloc[0])
    run_study(changed.only({"seed": [seed]}), here(tmp_path, retrain=True))
    now = load_study(tmp_path, "tiny").trials

    mine = old["clipping"].eq("scaled") & old["seed"].eq(int(seed))
    assert trained == old.loc[mine, "trial"].tolist()
    # nothing is missing, and what was not asked for is what it was
    assert now["trial"].tolist() == old["trial"].tolist()
    kept = now[~mine.to_numpy()].reset_index(drop=True)
    pd.testing.assert_frame_equal(kept, old[~mine].reset_index(drop=True), check_dtype=False)
    assert "1 that this command does not ask for keep their old rows" in caplog.text

    # the rest is still noticed, and the same part is not
    run_study(changed.only({"seed": [seed]}), here(tmp_path))
    with pytest.raises(ResultsError, match="has changed since 1 trial of it"):
        run_study(changed, here(tmp_path))


def test_a_kill_while_rows_are_set_aside_loses_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from benchmark.results import folder as folder_module

    run_study(study("clipping", scaled(1.0)), here(tmp_path))
    real: Callable[..., Any] = folder_module.write

    def killed(table: str, rows: Any, path: Path, *more: Any, **options: Any) -> str:
        if path.name == "layers.parquet" and path.parent.name == "tiny":
            raise KeyboardInterrupt
        return real(table, rows, path, *more, **options)

    with monkeypatch.context() as patch:
        patch.setattr(folder_module, "write", killed)
        with pytest.raises(KeyboardInterrupt):
            run_study(study("clipping", scaled(0.001)), here(tmp_path, retrain=True))
    assert len(load_study(tmp_path / "tiny" / "set_aside", "1").trials) == 2
    run_study(study("clipping", scaled(0.001)), here(tmp_path))
    found = load_study(tmp_path, "tiny")

    assert found is not None
    assert len(found.trials) == 2
    assert not found.layers.duplicated(["trial", "step", "layer"]).any()


def test_rows_without_a_digest_count_as_unchanged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trained: list[str]
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("benchmark.driver.running.custom_digests", lambda study: {})
        run_study(study("clipping", scaled(1.0)), here(tmp_path))
    trained.clear()
    run_study(study("clipping", scaled(0.001)), here(tmp_path))

    assert not trained


def test_built_in_objects_have_no_digest(tmp_path: Path) -> None:
    assert not custom_digests(study("clipping", "value").only({"dataset": ["digits"]}))
    trials = run_study(study("clipping", "value", "none"), here(tmp_path))

    assert trials["custom"].str.fullmatch(r"dataset:\w{12}").all()
    assert Trial(clipping="value").clipping == "value"


def test_a_change_for_one_factor_says_which(tmp_path: Path) -> None:
    run_study(study("clipping", scaled(1.0), "none"), here(tmp_path))

    with pytest.raises(ResultsError, match="clipping 'scaled' has changed since 2 trials") as said:
        run_study(study("clipping", scaled(0.001), "none"), here(tmp_path))
    assert "dataset" not in str(said.value)


SCRIPT = """
import torch
from benchmark import Clipping, Study

FACTOR = 1.0

def scale(gradient, state, threshold, context):
    return FACTOR * gradient, state, gradient.new_zeros((), dtype=torch.bool)

def study(scale_):
    clipping = Clipping("scripted", scale, None, reference="custom", summary="scaled")
    return Study(
        name="scripted",
        question="Is it the same?",
        factors={"clipping": (clipping, "none"), "epochs": 0.1, "learning_rate": 0.05},
        checkpoints=4,
    )
"""


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A script of a study with a custom clipping, which has been run."""
    path = tmp_path / "scripted_study.py"
    path.write_text(SCRIPT)
    monkeypatch.setattr(sys, "path", list(sys.path))
    here_ = WorkerPool(InThisProcess(), lambda: 0)
    monkeypatch.setattr(verifying, "open_pool", lambda *_: here_)
    parts_of(path)
    run_study(sys.modules["scripted_study"].study("smoke"), here(tmp_path / "results"))
    yield path
    sys.modules.pop("scripted_study", None)


def test_custom_parts_are_verified_where_their_script_is_named(
    script: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: Any
) -> None:
    verify = ["verify", str(tmp_path / "results"), "--device", "cpu"]

    assert main([*verify, "--script", str(script)]) == 0
    assert "2 trials trained again, 2 compared bit for bit" in capsys.readouterr().out
    assert main(verify) == 0
    assert "1 trials trained again" in capsys.readouterr().out
    assert "1 trials have custom parts, and are left out; name the script" in caplog.text


def test_a_script_that_has_changed_is_not_taken_for_what_was_trained(
    script: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: Any
) -> None:
    del sys.modules["scripted_study"]
    script.write_text(SCRIPT.replace("FACTOR = 1.0", "FACTOR = 0.001"))

    arguments = ["verify", str(tmp_path / "results"), "--device", "cpu", "--script", str(script)]
    assert main(arguments) == 0
    assert "1 trials have custom parts, and are left out" in caplog.text


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("nowhere.py", None, "no script"),
        ("broken_script.py", "1 / 0", "cannot be imported: ZeroDivisionError"),
        ("leaving_script.py", "raise SystemExit(3)", "cannot be imported: SystemExit: 3"),
        ("json.py", "", "has the name of another module"),
        ("notes.txt", "", "is no Python script"),
    ],
)
def test_a_script_that_cannot_be_had_is_named_in_one_line(
    name: str, content: str | None, words: str, tmp_path: Path, capsys: Any
) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_text(content)

    assert main(["verify", str(tmp_path), "--script", str(path)]) == 2
    said = capsys.readouterr().err
    assert words in said
    assert said.count("\n") == 1
