"""The blocks of the page on the claims: the table, the figure, and a section a claim."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from IPython.display import Markdown

from benchmark import figures
from report import evidence, prose
from report.claims.catalogue import CLAIMS
from report.claims.judging import (
    FEW,
    Judged,
    all_judged,
    by_claim,
    claim_verdict,
    verdicts,
)
from report.claims.records import DEPENDS, NOT_TESTED, REFUTED, SUPPORTED, WORDS, Effect, Part
from report.display import figure


def table() -> Markdown:
    """The verdict on every claim, and under it that on each of its parts."""
    rows = []
    for claim, parts in all_judged():
        verdict = f"**{claim_verdict(parts)}**"
        alone = len(parts) == 1
        effect, studies = (_effects(parts[0]), _study(parts[0])) if alone else ("", "")
        rows.append((str(claim.number), claim.text, verdict, effect, studies))
        if not alone:
            rows += [("", f"… {j.part.text}", j.verdict, _effects(j), _study(j)) for j in parts]
    columns = ["", "claim", "verdict", "effect (95% interval)", "study"]
    return Markdown(prose.table(pd.DataFrame(rows, columns=columns)))


def _study(judged: Judged) -> str:
    return f"`{judged.way.study}`"


def _effects(judged: Judged) -> str:
    effects = judged.found.effects
    if not effects:
        return "–"
    ordered = sorted(effects, key=lambda effect: effect.estimate)
    ends = dict.fromkeys((ordered[0], ordered[-1]))
    return " up to ".join(_short(judged.part, effect) for effect in ends)


def _short(part: Part, effect: Effect) -> str:
    return f"{part.unit.words(effect.estimate)} ({part.unit.spread(effect.low, effect.high)})"


COUNTED = {
    SUPPORTED: ("{} is supported", "{} are supported"),
    REFUTED: ("{} is refuted", "{} are refuted"),
    DEPENDS: ("on {} it depends", "on {} it depends"),
    NOT_TESTED: ("{} is not tested", "{} are not tested"),
}


def headline() -> Markdown:
    """How many claims got which verdict, and what was not tested."""
    words = by_claim()["verdict"].tolist()
    counts = [
        said[amount > 1].format(amount)
        for word, said in COUNTED.items()
        if (amount := words.count(word))
    ]
    untested = [
        f"{claim.number} ({j.part.text})"
        for claim, parts in all_judged()
        for j in parts
        if j.verdict == NOT_TESTED and claim_verdict(parts) != NOT_TESTED
    ]
    text = f"Of {prose.count(len(CLAIMS), 'claim')} {prose.listing(counts)}."
    if untested:
        text += f" Judged without a part that was not tested: {prose.listing(untested)}."
    return Markdown(text)


def reading() -> Markdown:
    """What intervals and p-values can say with the seeds at hand."""
    sources = {j.source.study: j.source for _, parts in all_judged() for j in parts if j.source}
    counts = {study: source.outcomes["seed"].nunique() for study, source in sources.items()}
    if not counts:
        return Markdown("No study that judges a claim was run.")
    fewest = min(counts.values())
    which = prose.listing(f"`{study}`" for study, n in counts.items() if n == fewest)
    if fewest == 1:
        return Markdown(
            f"With a single seed ({which}) nothing varies within a cell: paired comparisons have "
            "no interval there, and test nothing."
        )
    least = 2.0 ** (1 - fewest)
    return Markdown(
        f"The fewest seeds are {fewest} ({which}). Over the seeds of a single cell Wilcoxon's "
        f"signed-rank test can then give no p below {least:.2g}, and an interval, which cannot "
        f"reach beyond the {fewest} values, holds the median of other seeds in at most "
        f"{prose.percent(1 - least, 0)} of cases rather than 95%. So no verdict rests on a "
        "p-value; those on few pairs are the ones to repeat with more seeds."
    )


def section(number: int) -> Markdown:
    """A claim: its verdict, and of each part the rule, the sentence and the effects."""
    (claim, parts) = next(entry for entry in all_judged() if entry[0].number == number)
    lines = [f"{claim.text} **{prose.opening(claim_verdict(parts))}.**"]
    if claim.aside:
        lines.append(claim.aside)
    for j in parts:
        lines += [f"**{prose.opening(j.part.text)}: {j.verdict}.** {j.reason}"]
        if j.found.effects:
            lines += j.found.notes
        lines.append(f"*Rule.* {j.rule}")
        if len(j.found.effects) > FEW:
            lines.append(_table_of(j.part, j.found.effects))
    return Markdown("\n\n".join(lines))


def _table_of(part: Part, effects: Sequence[Effect]) -> str:
    rows = [
        (
            effect.label,
            *(part.unit.figure(value) for value in (effect.estimate, effect.low, effect.high)),
            effect.basis,
            part.verdict_on(effect),
        )
        for effect in effects
    ]
    columns = ["comparison", f"effect ({part.unit.name})", "95% low", "95% high", "on", "verdict"]
    return prose.table(pd.DataFrame(rows, columns=columns))


def forest() -> Markdown:
    """All effects as a figure."""
    rows = verdicts()
    shown = rows.dropna(subset=["effect"])
    if shown.empty:
        return Markdown("No claim was tested, so there is nothing to draw.")
    counts = shown["verdict"].value_counts()
    split = prose.listing(f"{counts[word]} {word}" for word in WORDS if word in counts)
    caption = (
        "Every effect that a claim rests on, with its 95% interval, in the colour of the verdict "
        "on it; effects are turned so that larger speaks for the claim. The black stroke is what "
        "would be enough to support the part, the grey one the smallest effect of interest where "
        "that is less."
    )
    verdict_of = "; ".join(
        f"claim {row['claim']} {row['verdict']}" for row in by_claim().to_dict("records")
    )
    alt = (
        f"Forest plot of {prose.count(len(shown), 'effect')} by claim: {split}. "
        f"The verdicts on the claims: {verdict_of}."
    )
    first, *also = [
        source for study in shown["study"].unique() if (source := evidence.load(study)) is not None
    ]
    drawing = figures.claims_forest(rows)
    return Markdown(figure(first, "claims", drawing, caption, alt, also=also))
