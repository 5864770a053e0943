"""Digests of custom objects: whether a strategy, a model or a data set is still what it was.

Rows name these objects, and a name outlives what it named: a factor in a function that was 1 and
is 0.001, a data set with other contents. A digest is made of the source of functions and classes
(without comments and docstrings, so that a cell of a notebook that is run again gives the same), of
what they close over or find in their module, and of the values of everything else. What comes from
the standard library, an installed package or this one counts by its name.
"""

from __future__ import annotations

import ast
import dataclasses
import enum
import functools
import hashlib
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
                yield from (name, self.of(cell.cell_contents))
            except ValueError:
                # a name that is bound later
                yield from (name, "unbound")
        names = sorted(set(_names(code)))
        for name in names:
            if name not in function.__globals__:
                continue
            found = function.__globals__[name]
            if isinstance(found, types.ModuleType) and not _is_library(found):
                for used in names:
                    if hasattr(found, used):
                        yield from (f"{name}.{used}", self.of(getattr(found, used)))
            else:
                yield from (name, self.of(found))

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
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _names(constant)


def _source(function: types.FunctionType) -> str | None:
    """Source without comments, docstrings and layout; None where there is none."""
    try:
        if function.__name__ == "<lambda>":
            node = _lambda(function)
            return None if node is None else ast.unparse(node)
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, TypeError, SyntaxError, ValueError):
        return None
    for part in ast.walk(tree):
        if isinstance(part, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
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
