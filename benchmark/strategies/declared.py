"""Names and ranges of what is registered, read from the sources instead of imported.

Who asks a study script for help needs the names of its levels, and torch, which takes seconds to
import, for nothing. A registry is a dict literal at the end of its module, from which both can be
read; a test holds them against the registries themselves.
"""

from __future__ import annotations

import ast
import functools
from pathlib import Path

from benchmark.records import Range

REGISTRIES = {
    "clipping": ("clipping/registry.py", "CLIPPINGS"),
    "disturbance": ("disturbances.py", "DISTURBANCES"),
    "normalization": ("normalization.py", "NORMALIZATIONS"),
}
"""By factor, where its registry is, and what that is called there."""


@functools.cache
def _entries(factor: str) -> dict[str, ast.expr]:
    file, name = REGISTRIES[factor]
    for node in ast.parse((Path(__file__).parent / file).read_text(encoding="utf-8")).body:
        if not isinstance(node, ast.AnnAssign) or not isinstance(node.value, ast.Dict):
            continue
        if ast.unparse(node.target) == name:
            keys = [ast.literal_eval(key) for key in node.value.keys if key is not None]
            return dict(zip(keys, node.value.values, strict=True))
    raise AssertionError(f"{file} has no dict literal {name}")


def names_of(factor: str) -> tuple[str, ...]:
    """Names that are registered for ``factor``, one of `REGISTRIES`, in their order.

    >>> names_of("disturbance")
    ('none', 'bad_batch', 'rate_bump', 'corrupt_example')
    """
    return tuple(_entries(factor))


def range_of(factor: str, name: str) -> Range | None:
    """The range that an entry declares for its one tunable number, or None.

    >>> range_of("clipping", "global_norm")
    Range(low=0.01, high=100.0, default=1.0, log=True, integer=False)
    """
    for node in ast.walk(_entries(factor)[name]):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "Range":
            named = {str(word.arg): ast.literal_eval(word.value) for word in node.keywords}
            return Range(*map(ast.literal_eval, node.args), **named)
    return None


ELSEWHERE = ("skip_step_all", "rewind")
COMPARED = tuple(name for name in names_of("clipping") if name not in ELSEWHERE)
"""Clippings that studies compare unless they say otherwise: one of each kind of rule.

A variant is compared with its rule alone, and what takes hundreds of steps to begin where trouble
comes late (`studies/disturbances`).
"""
