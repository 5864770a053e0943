"""The source of every function that draws a figure."""

from __future__ import annotations

import inspect
from pathlib import Path

from benchmark import figures
from benchmark.project import PACKAGE


def functions() -> list[dict[str, str]]:
    """Each function of `benchmark.figures` with its ``name``, ``anchor``, ``file`` and ``source``.

    Those that make a figure: others are of use to these only.
    """
    found = []
    for name in figures.__all__:
        function = getattr(figures, name)
        if inspect.isfunction(function) and function.__annotations__["return"] == "Figure":
            path = Path(inspect.getfile(function)).resolve().relative_to(PACKAGE.parent).as_posix()
            source = inspect.getsource(function)
            anchor = name.replace("_", "-")
            found.append({"name": name, "anchor": anchor, "file": path, "source": source})
    return found
