"""Runs the pages ahead of Sphinx, into Jupyter's own cache.

A kernel of its own for every page takes longer to start, and to import what the pages share, than
most pages take to run. So the cells are run here, one process a core; Sphinx finds their outputs
in the cache, and would start a kernel only for a page that is not there.
"""

from __future__ import annotations

import ast
import contextlib
import io
import multiprocessing
import os
import traceback
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import nbformat
from jupyter_cache import get_cache
from jupyter_cache.base import CacheBundleIn
from myst_nb.core.read import is_myst_markdown_notebook, read_myst_markdown_notebook
from nbformat.v4 import new_output

from report.evidence import VARIABLE


class PageError(Exception):
    """A cell that failed; the message names its page and shows it."""


def cores() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run_pages(pages: Path, folder: Path, cache: Path) -> None:
    """Run every page in ``pages`` on the results in ``folder``; the outputs go to ``cache``.

    Raises
    ------
    PageError
        If a cell raises, warns or writes to standard error.
    """
    paths = [
        p for p in sorted(pages.glob("*.md")) if is_myst_markdown_notebook(p.read_text("utf-8"))
    ]
    kept = get_cache(cache)
    with ProcessPoolExecutor(
        min(cores(), len(paths)),
        # not forked: a fork of a process with threads of its own may hang
        mp_context=multiprocessing.get_context("spawn"),
        initializer=prepare,
        initargs=(pages, folder),
    ) as pool:
        try:
            for path, text in zip(paths, pool.map(run_page, paths), strict=True):
                notebook = nbformat.reads(text, as_version=4)
                bundle = CacheBundleIn(notebook, path)
                kept.cache_notebook_bundle(bundle, check_validity=False, overwrite=True)
        except BrokenProcessPool:
            raise PageError("a process that ran pages was ended; is there memory left?") from None


def prepare(pages: Path, folder: Path) -> None:
    """Make this process one that runs pages."""
    os.environ[VARIABLE] = str(folder)
    # figures land beside the pages
    os.chdir(pages)


def run_page(path: Path) -> str:
    """The notebook of one page with its outputs, as JSON."""
    notebook = read_myst_markdown_notebook(path.read_text("utf-8"), path=path)
    namespace: dict[str, Any] = {"__name__": path.stem}
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    for number, cell in enumerate(code, start=1):
        cell.execution_count = number
        cell.outputs = run_cell(path.name, cell.source, namespace, number)
    return nbformat.writes(notebook)


def run_cell(page: str, source: str, namespace: dict[str, Any], number: int) -> list[Any]:
    """Outputs of one cell: the Markdown that its last expression gives, if it gives one."""
    heard = io.StringIO()
    with contextlib.redirect_stderr(heard):
        try:
            value = last_value(source, namespace)
        except Exception:
            raise PageError(f"{page}:\n{source}\n{traceback.format_exc()}") from None
    if heard.getvalue():
        raise PageError(f"{page}:\n{source}\n{heard.getvalue()}")
    if value is None:
        return []
    data = {"text/markdown": value.data, "text/plain": repr(value)}
    return [new_output("execute_result", data=data, execution_count=number)]


def last_value(source: str, namespace: dict[str, Any]) -> Any:
    """Run ``source``; the value of its last line where that is an expression, else None.

    >>> last_value("x = 2\\nx + 1", {})
    3
    """
    body = ast.parse(source).body
    last = body.pop() if body and isinstance(body[-1], ast.Expr) else None
    exec(compile(ast.Module(body, type_ignores=[]), "<page>", "exec"), namespace)
    if last is None:
        return None
    return eval(compile(ast.Expression(last.value), "<page>", "eval"), namespace)
