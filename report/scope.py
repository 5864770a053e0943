"""How a page about a study opens and ends: the question, and what its data leave open."""

from __future__ import annotations

from IPython.display import Markdown

from report import evidence, prose
from report.evidence import Evidence
from report.settings import held_fixed


def question(study: str) -> Markdown:
    """The question as the study puts it, and how many trials answer it."""
    source = evidence.load(study)
    if source is None:
        return Markdown(prose.not_run(study))
    return Markdown(f"*{source.question}* {trials_of(source)}")


def trials_of(source: Evidence) -> str:
    """How many trials there are, on what, and which have no row."""
    frame, plan = source.outcomes, source.results.plan
    text = (
        f"{prose.opening(prose.count(len(frame), 'trial'))} on "
        f"{prose.names(frame['dataset'])}, "
        f"{prose.count(frame['seed'].nunique(), 'seed')} a cell."
    )
    missing = len(set(plan["trial"]) - set(source.results.trials["trial"]))
    if missing:
        text += f" **{prose.count(missing, 'expected trial')} without a row.**"
    return text


def limits(study: str, *notes: str) -> Markdown:
    """What the data of ``study`` cannot say: what did not vary, and ``notes`` of the page."""
    source = evidence.load(study)
    if source is None:
        return Markdown("")
    frame = source.outcomes
    low, high = int(frame["parameters"].min()), int(frame["parameters"].max())
    size = f"{high:,}" if low == high else f"{low:,} to {high:,}"
    sentences = [
        f"These results are for {prose.names(frame['dataset'])} and for "
        f"networks ({prose.names(frame['model'])}) of {size} "
        f"parameters, at the scale `{source.scale}`.",
        f"Not varied: {prose.listing(held_fixed(source))}.",
        "Intervals cover the choice of the seed and nothing else.",
        *notes,
    ]
    return Markdown(" ".join(sentences))
