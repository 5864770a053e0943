"""Digests of custom objects: whether a strategy, a model or a data set is still what it was.

Rows name these objects, and a name outlives what it named: a factor in a function that was 1 and
is 0.001, a data set with other contents. A digest is made of the source of functions and classes
(without comments and docstrings, so that a cell of a notebook that is run again gives the same), of
what they close over, import or find in modules, however deep these lie in a package, and of the
values of everything else. What comes from the standard library, an installed package or this one
counts by its name. What a function finds only while it runs (`importlib.import_module` or `getattr`
of a name that it computes, a file that it reads) cannot be seen.
"""

from __future__ import annotations

import ast
import dataclasses
import dis
import enum
import functools
import hashlib
import importlib
import importlib.util
import inspect
import sys
import textwrap
import types
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import torch

from benchmark.engine import REGISTRIES
from benchmark.records import Range, Search, Study
from benchmark.records.narrowing import custom_objects

DESCRIPTIVE = frozenset({"name", "reference", "summary", "title", "formula"})
"""Fields that say what an object is called, and not what it does."""

Digests = Mapping[tuple[str, str], str]
"""Digest of each custom object, by factor and name."""


def custom_digests(study: Study | Search) -> dict[tuple[str, str], str]:
    """Digest of every object among the levels of ``study`` that is not a registered one."""
    blocks = study.blocks()
    return {
        (factor, name): digest(level)
        for (factor, name), level in custom_objects(blocks).items()
        if name not in REGISTRIES.get(factor, ())
    }


def digest(value: Any) -> str:
    """Twelve hexadecimal digits, the same in every process where ``value`` does the same.

    >>> digest(functools.partial(pow, 2)) == digest(functools.partial(pow, 2))
    True
    >>> digest(functools.partial(pow, 2)) == digest(functools.partial(pow, 3))
    False
    """
    return _Digester().of(value)[:12]


class _Digester:
    """Digests values by the values that they are made of; one that holds itself is seen once."""

    def __init__(self) -> None:
        self._known: dict[int, str] = {}
        # an object that is gone gives its id to another
        self._alive: list[Any] = []

    def of(self, value: Any) -> str:
        if id(value) in self._known:
            return self._known[id(value)]
        self._alive.append(value)
        self._known[id(value)] = "within itself"
        hashed = hashlib.sha256()
        for piece in self._pieces(value):
            data = piece.encode() if isinstance(piece, str) else piece
            hashed.update(f"{len(data)} ".encode())
            hashed.update(data)
        self._known[id(value)] = hashed.hexdigest()
        return self._known[id(value)]

    def _each(self, values: Iterable[Any]) -> Iterator[str]:
        return (self.of(value) for value in values)

    def _pieces(self, value: Any) -> Iterator[str | bytes]:
        if value is None or isinstance(value, bool | int | float | complex | str | bytes):
            yield from (type(value).__name__, repr(value))
        elif isinstance(value, enum.Enum):
            yield from ("enum", type(value).__qualname__, value.name)
        elif isinstance(value, torch.Tensor):
            yield from self._tensor(value)
        elif isinstance(value, np.ndarray | np.generic):
            array = np.asarray(value)
            plain = array.dtype != object
            yield from ("array", str(array.dtype), str(array.shape))
            yield array.tobytes() if plain else self.of(array.tolist())
        elif isinstance(value, list | tuple):
            yield from ("sequence", *self._each(value))
        elif isinstance(value, set | frozenset):
            yield from ("set", *sorted(self._each(value)))
        elif isinstance(value, Mapping):
            pairs = sorted((self.of(key), self.of(item)) for key, item in value.items())
            yield from ("mapping", *(text for pair in pairs for text in pair))
        else:
            yield from self._object(value)

    def _tensor(self, value: torch.Tensor) -> Iterator[str | bytes]:
        yield from ("tensor", str(value.dtype), str(tuple(value.shape)))
        if value.layout == torch.strided and value.device.type != "meta":
            flat = value.detach().cpu().resolve_conj().resolve_neg().contiguous().reshape(-1)
            yield flat.view(torch.uint8).numpy().tobytes()

    def _object(self, value: Any) -> Iterator[str | bytes]:
        if isinstance(value, functools.partial):
            yield from ("partial", *self._each([value.func, value.args, value.keywords]))
        elif isinstance(value, types.MethodType):
            yield from ("method", *self._each([value.__func__, value.__self__]))
        elif isinstance(value, staticmethod | classmethod):
            yield from (type(value).__name__, self.of(value.__func__))
        elif isinstance(value, property):
            yield from ("property", *self._each([value.fget, value.fset]))
        elif isinstance(value, types.FunctionType):
            yield from self._named(value) if _is_library(value) else self._function(value)
        elif isinstance(value, type):
            yield from self._named(value) if _is_library(value) else self._class(value)
        elif isinstance(value, types.ModuleType):
            yield from ("module", value.__name__)
            # which of its names are used, nothing says here
            if not _is_library(value) and (source := _parsed(value)):
                yield source
        elif callable(value) and hasattr(value, "__wrapped__"):
            yield from ("wrapper", self.of(value.__wrapped__))
        elif callable(value) and isinstance(value, types.BuiltinFunctionType):
            yield from self._named(value)
        elif isinstance(value, Range):
            # it bounds the number; which number a row has stands in the row
            yield "range"
        else:
            yield from ("instance", self.of(type(value)), *self._state(value))

    def _named(self, value: Any) -> Iterator[str]:
        yield f"{value.__module__}.{value.__qualname__}"

    def _state(self, value: Any) -> Iterator[str]:
        if dataclasses.is_dataclass(value):
            fields = [f.name for f in dataclasses.fields(value) if f.compare]
            names = [name for name in fields if name not in DESCRIPTIVE]
        else:
            slots = (getattr(kind, "__slots__", ()) for kind in type(value).__mro__)
            named = {n for s in slots for n in ([s] if isinstance(s, str) else s)}
            names = sorted(named | getattr(value, "__dict__", {}).keys())
        for name in names:
            if name.startswith("__") or not hasattr(value, name):
                continue
            yield from (name, self.of(getattr(value, name)))

    def _function(self, function: types.FunctionType) -> Iterator[str | bytes]:
        source = _source(function)
        code = function.__code__
        yield "function"
        if source is None:
            yield from self._code(code)
        else:
            yield source
        yield from self._each([function.__defaults__, function.__kwdefaults__])
        for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
            try:
                yield from self._called(name, cell.cell_contents, code)
            except ValueError:
                # a name that is bound later
                yield from (name, "unbound")
        for name in sorted(set(_names(code))):
            if name in function.__globals__:
                yield from self._called(name, function.__globals__[name], code)
        # all first: a package has its submodules once they are imported
        modules = {name: _imported(name) for name in sorted(set(_imports(function)))}
        for name, module in modules.items():
            yield from ("import", name) if module is None else self._called("", module, code)

    def _called(self, label: str, value: Any, code: types.CodeType) -> Iterator[str | bytes]:
        """What ``code`` knows as ``label``: a value, or of a module whatever it uses of that.

        Without a label it is a module that the code imports, by whatever name.
        """
        if not isinstance(value, types.ModuleType) or _is_library(value):
            yield from (label, self.of(value))
            return
        used, dotted = sorted(set(_names(code))), set(_dotted(code))
        left, seen = [(label, value)], {value.__name__}
        while left:
            label, module = left.pop()
            for name in used:
                found = getattr(module, name, None)
                if not isinstance(found, types.ModuleType):
                    if hasattr(module, name):
                        yield from (f"{label}.{name}", self.of(found))
                    continue
                # whether a package has a submodule depends on who else has imported it by now
                meant = not label or (label.rpartition(".")[2], name) in dotted
                if meant and not _is_library(found) and found.__name__ not in seen:
                    seen.add(found.__name__)
                    left.append((f"{label}.{name}", found))

    def _code(self, code: types.CodeType) -> Iterator[str | bytes]:
        yield code.co_code
        yield from code.co_names
        for constant in code.co_consts:
            if isinstance(constant, types.CodeType):
                yield from self._code(constant)
            else:
                yield self.of(constant)

    def _class(self, kind: type) -> Iterator[str | bytes]:
        yield from ("class", kind.__qualname__, *self._each(kind.__bases__))
        for name, member in sorted(vars(kind).items()):
            special = name.startswith("__") or name.startswith("_abc_")
            written = isinstance(member, types.FunctionType | classmethod | staticmethod)
            if special and not written:
                continue
            if isinstance(member, types.MemberDescriptorType | types.GetSetDescriptorType):
                continue
            # what `dataclass` and its like make from the fields is in no file
            if getattr(getattr(member, "__code__", None), "co_filename", "") == "<string>":
                continue
            yield from (name, self.of(member))


def _is_library(value: Any) -> bool:
    """Whether ``value`` is of this package, of the standard library or of an installed package."""
    name = value.__name__ if isinstance(value, types.ModuleType) else value.__module__ or ""
    root = name.partition(".")[0]
    if root in ("benchmark", "builtins"):
        return True
    if root == "__main__":
        return False
    file = getattr(sys.modules.get(name), "__file__", None) or ""
    installed = "site-packages" in file or "dist-packages" in file
    return installed or root in sys.stdlib_module_names


def _names(code: types.CodeType) -> Iterator[str]:
    for part in _within(code):
        yield from part.co_names


def _within(code: types.CodeType) -> Iterator[types.CodeType]:
    """``code`` and that of all functions in it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _within(constant)


def _dotted(code: types.CodeType) -> Iterator[tuple[str, str]]:
    """Pairs of names that a dot joins: of ``a.b.c`` (a, b) and (b, c)."""
    for part in _within(code):
        last = ""
        for step in dis.get_instructions(part):
            name = step.argval[-1] if isinstance(step.argval, tuple) else step.argval
            named = isinstance(name, str)
            if named and step.opname in ("LOAD_ATTR", "LOAD_METHOD"):
                yield last, name
            last = name if named and step.opname.startswith("LOAD_") else ""


def _imports(function: types.FunctionType) -> Iterator[str]:
    """Full names that the instructions of ``function`` import, modules and what is in them."""
    package = function.__globals__.get("__package__") or ""
    for code in _within(function.__code__):
        steps = list(dis.get_instructions(code))
        for place, step in enumerate(steps):
            if step.opname != "IMPORT_NAME":
                continue
            # its arguments were loaded before it: how many dots, and what is taken from it
            dots, taken = (before.argval for before in steps[place - 2 : place])
            name = f"{'.' * dots if isinstance(dots, int) else ''}{step.argval}"
            try:
                whole = importlib.util.resolve_name(name, package or None)
            except ImportError:
                continue
            yield whole
            # which may be a submodule
            yield from (f"{whole}.{name}" for name in taken or () if name != "*")


def _imported(name: str) -> types.ModuleType | None:
    """The module of that name, imported if it was not; None where it is a library's or missing."""
    root = name.partition(".")[0]
    if root == "benchmark" or root in sys.stdlib_module_names:
        return None
    try:
        first = importlib.import_module(root)
        return None if _is_library(first) else importlib.import_module(name)
    # whatever a module does when it is imported: training says what is wrong with it
    except Exception:
        return None


def _source(function: types.FunctionType) -> str | None:
    """Source without comments, docstrings and layout; None where there is none."""
    try:
        if function.__name__ == "<lambda>":
            node = _lambda(function)
            return None if node is None else ast.unparse(node)
    except (OSError, TypeError, SyntaxError, ValueError):
        return None
    # of the function itself: one that wraps another is asked for its own lines
    return _parsed(function.__code__)


def _parsed(written: types.CodeType | types.ModuleType) -> str | None:
    """Source of code or of a module as `_source` has it."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(written)))
    except (OSError, TypeError, SyntaxError, ValueError):
        return None
    for part in ast.walk(tree):
        kinds = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Module
        if isinstance(part, kinds) and part.body:
            first = part.body[0]
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                part.body = part.body[1:] or [ast.Pass()]
    return ast.unparse(tree)


def _lambda(function: types.FunctionType) -> ast.Lambda | None:
    """Where ``function`` stands in its file: the smallest lambda around its instructions."""
    code = function.__code__
    lines, _ = inspect.findsource(function)
    places = [
        (line, column, end_line, end_column)
        for line, end_line, column, end_column in code.co_positions()
        if None not in (line, end_line, column, end_column) and end_column
    ]
    around = [
        node
        for node in ast.walk(ast.parse("".join(lines)))
        if isinstance(node, ast.Lambda)
        and node.lineno == code.co_firstlineno
        and all(
            (node.body.lineno, node.body.col_offset) <= (line, column)
            and (end_line, end_column) <= (node.body.end_lineno, node.body.end_col_offset)
            for line, column, end_line, end_column in places
        )
    ]
    return max(around, key=lambda n: (n.body.lineno, n.body.col_offset), default=None)
