"""Custom strategies and data: what the example takes, and what came out of custom studies."""

from __future__ import annotations

import ast
import functools
import io
import tokenize
from collections.abc import Mapping
from itertools import chain
from pathlib import Path

import pandas as pd

from benchmark.statistics import interval, mean, paired_comparison
from report import evidence
from report.evidence import ROOT, Evidence, per_group

EXAMPLE = ROOT / "docs" / "examples" / "custom_strategies.py"
COMMAND = "python -m benchmark run custom_strategies --scale quick"
BEGINNING = (tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT)
"""Tokens before a statement."""
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


def counted(path: Path = EXAMPLE) -> pd.DataFrame:
    """Columns ``kind``, ``name``, ``lines``: what every strategy of a file takes.

    Lines of code of its definition and of the functions and classes of the file that it uses;
    blank lines, comments and docstrings do not count.
    """
    text = path.read_text(encoding="utf-8")
    tree, code = ast.parse(text), _lines_of_code(text)
    defined = {n.name: n for n in tree.body if isinstance(n, ast.FunctionDef | ast.ClassDef)}
    rows = []
    for node in tree.body:
        match node:
            case ast.Assign(value=ast.Call(func=ast.Name(id=maker), args=[label, *_])):
                if maker in KINDS and isinstance(label, ast.Constant):
                    spans = [range(n.lineno, n.end_lineno + 1) for n in _used(node, defined)]
                    rows.append((KINDS[maker], str(label.value), len(code & set(chain(*spans)))))
    return pd.DataFrame(rows, columns=["kind", "name", "lines"])


def _used(node: ast.stmt, defined: Mapping[str, ast.stmt]) -> list[ast.stmt]:
    """``node`` and the file's own definitions that it uses, directly or not."""
    found = [node]
    for part in found:
        names = {name.id for name in ast.walk(part) if isinstance(name, ast.Name)}
        found += [defined[name] for name in names & defined.keys() if defined[name] not in found]
    return found


def _lines_of_code(text: str) -> set[int]:
    """Numbers of the lines that hold code: neither blank, nor of a comment or a docstring."""
    lines: set[int] = set()
    before = tokenize.NEWLINE
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type in (tokenize.COMMENT, tokenize.NL):
            continue
        # a string by itself begins a statement
        if token.type != tokenize.STRING or before not in BEGINNING:
            lines |= set(range(token.start[0], token.end[0] + 1)) if token.string.strip() else set()
        before = token.type
    return lines


def custom_studies() -> list[Evidence]:
    """Studies in the results folder that no script of the repository makes."""
    known = {path.stem for path in (ROOT / "studies").glob("*.py")}
    return [source for source in evidence.all_studies() if source.study not in known]


@functools.lru_cache(8)
def compare(study: Evidence) -> pd.DataFrame:
    """Every level of every factor against its baseline, paired, within each data set.

    The columns of `paired_comparison`, with ``factor``, ``panel`` (the data set) and the level's
    mean ``accuracy``.
    """
    parts = []
    for factor in (f for f in study.factors if f not in UNPAIRED):
        baseline = BASELINES.get(factor, study.outcomes[factor].iloc[0])
        means = interval(study.outcomes, "accuracy", ["dataset", factor], statistic=mean)
        means = means.rename(columns={factor: "level", "estimate": "accuracy"})
        found = per_group(study.outcomes, ["dataset"], paired_comparison, factor, baseline)
        found = found.merge(means[["dataset", "level", "accuracy"]], on=["dataset", "level"])
        parts.append(found.assign(factor=factor, panel=found["dataset"]))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()
