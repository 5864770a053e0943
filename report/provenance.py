"""Where the numbers come from: the first page's and the last page's tables."""

from __future__ import annotations

import pandas as pd
from IPython.display import Markdown

from benchmark.schema import SCHEMA_VERSION, TABLES
from report import claims, evidence, prose
from report.comparisons import verdict
from report.searching import differences
from report.searching import verdict as search_verdict

KNOWN = ("grid", "search")
"""Studies that the pages are about."""
FOUND = {
    claims.SUPPORTED: "support {}",
    claims.REFUTED: "refute {}",
    claims.DEPENDS: "find {} to depend on the setting",
    claims.NOT_TESTED: "do not test {}",
}
SOFTWARE = ("python", "torch", "optuna", "numpy", "pandas", "pyarrow")


def abstract() -> Markdown:
    """The report in one paragraph, every number and verdict from the data."""
    parts = []
    grid, search = evidence.load("grid"), evidence.load("search")
    if grid is not None:
        frame = grid.outcomes
        parts.append(
            f"When does training explode, and what prevents it? We train "
            f"{prose.count(len(frame), 'network')} "
            f"({prose.names(frame['model'])}) on "
            f"{prose.names(frame['dataset'])} in a full factorial of "
            f"{prose.listing(prose.name(f) for f in grid.factors)}, with "
            f"{prose.count(frame['seed'].nunique(), 'seed')} a cell. Explosion is an outcome, not "
            f"a failure: {prose.percent(frame['exploded'].mean())} of the trials explode, "
            f"{prose.percent(frame['learned'].mean())} learn."
        )
        parts += [
            verdict(grid, factor)
            for factor in ("clipping", "normalization", "batch_policy")
            if grid.varies(factor)
        ]
    else:
        parts.append("The grid was not run, so its comparisons are missing here.")
    if search is not None and len(rows := differences(search)):
        parts.append(search_verdict(rows))
    words = claims.by_claim()["verdict"].value_counts()
    counted = [said.format(words[word]) for word, said in FOUND.items() if word in words]
    parts.append(
        f"Of the {len(claims.CLAIMS)} claims of the article that prompted this study, the data "
        f"{prose.listing(counted)}."
    )
    return Markdown("\n\n".join(parts))


def built_from() -> Markdown:
    """What this book was built from: folder, studies, commits, devices, versions and counts."""
    counts = evidence.completeness_of_all().set_index("study")
    rows = [
        (
            f"`{e.study}`",
            e.question,
            f"{counts.loc[e.study, 'present']:,} of {counts.loc[e.study, 'expected']:,}",
            e.scale,
            e.commit,
            str(e.metadata.get("device", "unknown")),
        )
        for e in evidence.all_studies()
    ]
    columns = ["study", "question", "trials", "scale", "commit", "device"]
    lines = [
        f"Built from the results in `{evidence.shown(evidence.default_folder())}`.",
        prose.table(pd.DataFrame(rows, columns=columns)),
        *(prose.not_run(study) for study in KNOWN if evidence.load(study) is None),
        _whole(int(counts["missing"].sum())),
    ]
    return Markdown("\n\n".join(lines))


def _whole(missing: int) -> str:
    if missing == 0:
        return "Every expected trial has a row."
    verb = "has" if missing == 1 else "have"
    return (
        f"**{prose.count(missing, 'expected trial')} {verb} no row**: the conclusions rest on an "
        "incomplete study. The same command continues it."
    )


def completeness() -> Markdown:
    """Expected, present, missing, finished, skipped and failed trials by study and arm."""
    rows = evidence.completeness_of_all(("study", "arm"))
    rows["arm"] = rows["arm"].replace("", "all")
    missing, failed = int(rows["missing"].sum()), int(rows["failed"].sum())
    text = _whole(missing) + (
        f" {prose.count(failed, 'trial')} failed." if failed else " No trial failed."
    )
    rows["arm"] = rows["arm"].str.replace(":", " ").map(prose.name)
    return Markdown(f"{text}\n\n{prose.table(rows)}")


def reasons() -> Markdown:
    """Why trials were skipped or failed."""
    lines = []
    for source in evidence.all_studies():
        trials = source.results.trials
        rows = trials[trials["status"].isin(["skipped", "failed"])]
        for (status, reason), group in rows.groupby(["status", "status_reason"]):
            lines.append(
                f"- `{source.study}`: {prose.count(len(group), 'trial')} {status}: {reason}."
            )
    return Markdown("\n".join(lines) or "No trial was skipped and none failed.")


def commands() -> Markdown:
    """The commands that make the files, and this book from them."""
    lines = [e.command for e in evidence.all_studies()]
    folder = evidence.shown(evidence.default_folder())
    lines.append(f"python report/build.py {folder}")
    return Markdown("```bash\n" + "\n".join(lines) + "\n```")


def hashes() -> Markdown:
    """SHA-256 of every file that was read."""
    lines = []
    for source in evidence.all_studies():
        for row in source.hashes().to_dict("records"):
            lines.append(f"{row['sha256']}  {row['file']}")
    return Markdown("```{code-block} text\n:class: hashes\n\n" + "\n".join(lines) + "\n```")


def environment() -> Markdown:
    """When, on what and with which versions every study ran."""
    rows = [
        (
            f"`{e.study}`",
            str(e.metadata.get("created", "unknown")).replace("T", " ").replace("+00:00", " UTC"),
            ", ".join(f"{p} {e.metadata.get(p, 'unknown')}" for p in SOFTWARE),
            str(e.metadata.get("platform", "unknown")),
        )
        for e in evidence.all_studies()
    ]
    columns = ["study", "last run begun", "versions", "platform"]
    return Markdown(prose.table(pd.DataFrame(rows, columns=columns)))


def schema() -> Markdown:
    """Columns of every table."""
    lines = [f"Schema version {SCHEMA_VERSION}."]
    lines += [f"**{table}**: {', '.join(columns)}." for table, columns in TABLES.items()]
    return Markdown("\n\n".join(lines).replace("_", "\\_"))


def claims_list() -> Markdown:
    """The claims as a numbered list."""
    return Markdown("\n".join(f"{c.number}. {c.text}" for c in claims.CLAIMS))


def claims_table() -> Markdown:
    """The claims with their verdicts."""
    rows = claims.by_claim()
    rows["verdict"] = "**" + rows["verdict"] + "**"
    return Markdown(prose.table(rows, ["", "claim", "verdict"]))


def headline() -> Markdown:
    """Which claims got which verdict."""
    rows = claims.by_claim()
    parts = []
    for word in claims.WORDS:
        numbers = [str(n) for n in rows.loc[rows["verdict"] == word, "claim"]]
        if numbers:
            noun = "claim" if len(numbers) == 1 else "claims"
            parts.append(f"**{word}**: {noun} {prose.listing(numbers)}")
    return Markdown(prose.opening("; ".join(parts)) + ".")
