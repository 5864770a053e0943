"""Strategies and data of one's own: the example, what it takes, and what comes out."""

from __future__ import annotations

import ast
from pathlib import Path

import pandas as pd
from IPython.display import Markdown

from benchmark.figures.effects import effect_rows
from benchmark.statistics import interval, mean, paired_comparison, status_shares
from benchmark.status import FINISHED
from report import evidence, prose
from report.display import figure
from report.evidence import ROOT, Evidence
from report.prose import name
from report.remembering import once

EXAMPLE = ROOT / "docs" / "examples" / "own_strategies.py"
COMMAND = "python docs/examples/own_strategies.py --scale quick"
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
}
"""What the levels of a factor are compared with; of another factor, its first level."""
UNPAIRED = ("dataset", "model", "depth", "width", "clipping_threshold", "batch_policy_parameter")
"""Factors that are no remedy: what is compared is compared within each."""


def example() -> Markdown:
    """The text of the example."""
    text = EXAMPLE.read_text(encoding="utf-8")
    where = EXAMPLE.relative_to(ROOT).as_posix()
    return Markdown(f"```{{code-block}} python\n:caption: {where}\n\n{text}\n```")


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


def lines() -> Markdown:
    """How many lines each strategy takes, and the whole."""
    rows = counted()
    shown = rows.assign(name="`" + rows["name"] + "`")
    total = int(rows["lines"].sum())
    return Markdown(
        "Lines of code, without blank lines, comments and docstrings; none is outside the file:\n\n"
        f"{prose.table(shown, ['what', 'name', 'lines'])}\n\nTogether {total}."
    )


def own_studies() -> list[Evidence]:
    """Studies in the results folder that are none of the repository's."""
    known = {path.stem for path in (ROOT / "studies").glob("*.py")}
    return [source for source in evidence.all_studies() if source.study not in known]


def results() -> Markdown:
    """What came out of every study of one's own in the results folder."""
    found = own_studies()
    if not found:
        return Markdown(
            ":::{note}\nThe results folder holds no study of one's own. To run that of the "
            f"example: `{COMMAND}`.\n:::"
        )
    return Markdown("\n\n".join(_study(source) for source in found))


def _study(source: Evidence) -> str:
    frame = source.outcomes
    trials = source.results.trials
    left = int((~trials["status"].isin(FINISHED)).sum())
    shares = status_shares(trials, ["study"])
    ends = prose.listing(
        f"{count:,} {status}"
        for status, count in zip(shares["status"], shares["count"], strict=True)
        if count
    )
    text = [
        f"### {prose.opening(name(source.study))}",
        f"*{source.question}* {prose.opening(prose.count(len(frame), 'trial'))}: {ends}"
        + (f"; {prose.count(left, 'trial')} skipped or failed." if left else "."),
        f"Made by `{source.command}`.",
    ]
    compared = compare(source)
    if compared.empty:
        return "\n\n".join([*text, "It varies nothing that could be compared."])
    return "\n\n".join([*text, _forest(source, compared), _table(source, compared)])


@once
def compare(source: Evidence) -> pd.DataFrame:
    """Every level of every factor against its baseline, paired, within each data set.

    The columns of `paired_comparison`, with ``factor`` and ``panel`` (the data set).
    """
    parts = []
    for dataset, rows in source.outcomes.groupby("dataset", sort=False):
        for factor in source.factors:
            if factor in UNPAIRED or factor == "learning_rate":
                continue
            baseline = BASELINES.get(factor, rows[factor].iloc[0])
            found = paired_comparison(rows, factor, baseline)
            parts.append(found.assign(factor=factor, panel=str(dataset)))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def _labels(compared: pd.DataFrame) -> list[str]:
    pairs = zip(compared["factor"], compared["level"], strict=True)
    return [f"{name(factor)}: {name(level)}" for factor, level in pairs]


def _forest(source: Evidence, compared: pd.DataFrame) -> str:
    best = compared.sort_values("effect").iloc[-1]
    caption = (
        "Paired differences in test accuracy from each factor's baseline, over all learning rates. "
        "Points are means, bars 95% bootstrap intervals."
    )
    alt = (
        f"Forest plot. The largest difference: {name(best['factor'])} {name(best['level'])} on "
        f"{best['panel']}, {prose.points(best['effect'])}."
    )
    rows = compared.assign(row=[name(level) for level in compared["level"]])
    drawing = effect_rows(rows, "factor", "difference in test accuracy (percentage points)")
    return figure(source, f"own-{source.study.replace('_', '-')}", drawing, caption, alt)


def _table(source: Evidence, compared: pd.DataFrame) -> str:
    frame = source.outcomes
    accuracy = {
        (factor, dataset, level): estimate
        for factor in compared["factor"].unique()
        for dataset, level, estimate in interval(
            frame, "accuracy", ["dataset", factor], statistic=mean
        )[["dataset", factor, "estimate"]].itertuples(index=False)
    }
    keys = zip(compared["factor"], compared["panel"], compared["level"], strict=True)
    shown = pd.DataFrame(
        {
            "data": compared["panel"],
            "level": _labels(compared),
            "pairs": compared["pairs"],
            "mean accuracy (%)": [f"{100 * accuracy[key]:.1f}" for key in keys],
            "difference (points)": compared["effect"].map(prose.signed),
            "95% interval": prose.intervals(compared),
        }
    )
    return prose.table(shown)
