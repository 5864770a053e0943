"""Custom strategies and data: what the example takes, and what came out of custom studies."""

from __future__ import annotations

import ast
import functools
from pathlib import Path

import pandas as pd

from benchmark.statistics import interval, mean, paired_comparison
from benchmark.status import FINISHED
from report import evidence
from report.evidence import ROOT, Evidence

EXAMPLE = ROOT / "docs" / "examples" / "custom_strategies.py"
COMMAND = "python -m benchmark run custom_strategies --scale quick"
KINDS = {
    "Clipping": "clipping",
    "Normalization": "normalization",
    "BatchPolicy": "batch policy",
    "Schedule": "schedule",
    "tensor_dataset": "data set",
}
"""What makes a strategy in the example, and what it is called here."""
BASELINES = {
    "clipping": "none",
    "normalization": "none",
    "batch_policy": "fixed",
    "schedule": "constant",
    "optimizer": "sgd",
    "learning_rate_scaling": "none",
    "precision": "float32",
    "disturbance": "none",
}
"""What the levels of a factor are compared with; of another factor, its first level."""
UNPAIRED = (
    *("dataset", "model", "depth", "width", "clipping_threshold", "batch_policy_parameter"),
    *("learning_rate", "momentum"),
)
"""Factors that are no remedy: what is compared is compared within each."""


def example() -> str:
    """The text of the example."""
    return EXAMPLE.read_text(encoding="utf-8")


def counted(path: Path = EXAMPLE) -> pd.DataFrame:
    """Columns ``kind``, ``name``, ``lines``: what every strategy of a file takes.

    Lines of code of its definition and of the functions and classes of the file that it uses;
    blank lines, comments and docstrings do not count.
    """
    text = path.read_text(encoding="utf-8")
    tree = ast.parse(text)
    defined = {
        node.name: node for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)
    }
    rows = []
    for node in tree.body:
        if not (isinstance(node, ast.Assign) and isinstance(node.value, ast.Call)):
            continue
        maker = node.value.func
        if not (isinstance(maker, ast.Name) and maker.id in KINDS):
            continue
        lines = _code_lines(text, node)
        for used in _used(node, defined):
            lines |= _code_lines(text, defined[used])
        label = node.value.args[0]
        assert isinstance(label, ast.Constant)
        rows.append((KINDS[maker.id], str(label.value), len(lines)))
    return pd.DataFrame(rows, columns=["kind", "name", "lines"])


def _used(node: ast.AST, defined: dict[str, ast.FunctionDef | ast.ClassDef]) -> set[str]:
    """Names of the file's own definitions that ``node`` uses, directly or not."""
    found: set[str] = set()
    waiting = [node]
    while waiting:
        for part in ast.walk(waiting.pop()):
            if isinstance(part, ast.Name) and part.id in defined and part.id not in found:
                found.add(part.id)
                waiting.append(defined[part.id])
    return found


def _code_lines(text: str, node: ast.AST) -> set[int]:
    """Numbers of the lines of ``node`` that hold code."""
    assert isinstance(node, ast.stmt)
    assert node.end_lineno is not None
    lines = text.splitlines()
    docstrings: set[int] = set()
    for part in ast.walk(node):
        if isinstance(part, ast.FunctionDef | ast.ClassDef) and ast.get_docstring(part):
            first = part.body[0]
            assert first.end_lineno is not None
            docstrings |= set(range(first.lineno, first.end_lineno + 1))
    return {
        number
        for number in range(node.lineno, node.end_lineno + 1)
        if number not in docstrings
        and (line := lines[number - 1].strip())
        and not line.startswith("#")
    }


def custom_studies() -> list[Evidence]:
    """Studies in the results folder that no script of the repository makes."""
    known = {path.stem for path in (ROOT / "studies").glob("*.py")}
    return [source for source in evidence.all_studies() if source.study not in known]


def unfinished(study: Evidence) -> int:
    """How many trials were skipped or failed."""
    return int((~study.results.trials["status"].isin(FINISHED)).sum())


@functools.lru_cache(8)
def compare(study: Evidence) -> pd.DataFrame:
    """Every level of every factor against its baseline, paired, within each data set.

    The columns of `paired_comparison`, with ``factor``, ``panel`` (the data set) and the level's
    mean ``accuracy``.
    """
    parts = []
    for dataset, rows in study.outcomes.groupby("dataset", sort=False):
        for factor in (f for f in study.factors if f not in UNPAIRED):
            baseline = BASELINES.get(factor, rows[factor].iloc[0])
            means = interval(rows, "accuracy", [factor], statistic=mean)
            means = means.rename(columns={factor: "level", "estimate": "accuracy"})
            found = paired_comparison(rows, factor, baseline).assign(factor=factor, panel=dataset)
            parts.append(found.merge(means[["level", "accuracy"]], on="level"))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()
