"""Where the numbers come from: the first page's and the last page's tables."""

from __future__ import annotations

from IPython.display import Markdown

from benchmark.schema import SCHEMA_VERSION, TABLES
from report import claims, evidence, prose
from report.comparisons import verdict
from report.searching import differences
from report.searching import verdict as search_verdict

KNOWN = ("grid", "search")
"""Studies that the pages are about."""
SOFTWARE = ("python", "torch", "optuna", "numpy", "pandas", "pyarrow")


def abstract() -> Markdown:
    """The report in one paragraph, every number and verdict from the data."""
    parts = []
    grid, search = evidence.load("grid"), evidence.load("search")
    if grid is not None:
        frame = grid.outcomes
        parts.append(
            f"We train {prose.count(len(frame), 'network')} "
            f"({prose.listing(prose.name(m) for m in frame['model'].unique())}) on "
            f"{prose.listing(frame['dataset'].unique())} in a full factorial of "
            f"{prose.listing(prose.name(f) for f in grid.factors)}. "
            f"{prose.percent(frame['exploded'].mean())} of the trials explode."
        )
        parts += [verdict(grid, factor) for factor in ("clipping", "normalization")]
    else:
        parts.append("The grid was not run, so its comparisons are missing here.")
    if search is not None and len(rows := differences(search)):
        parts.append(search_verdict(rows))
    words = claims.verdicts()["verdict"].value_counts()
    counted = prose.listing(f"{n} {word}" for word, n in words.items())
    parts.append(
        f"Of the {len(claims.CLAIMS)} claims of the seed article, the data leave {counted}."
    )
    return Markdown(" ".join(parts))


def built_from() -> Markdown:
    """What this book was built from: folder, studies, commits, devices, versions and counts."""
    lines = [f"Built from the results in `{evidence.shown(evidence.default_folder())}`.", ""]
    counts = evidence.completeness_of_all().set_index("study")
    rows = ["| | " + " | ".join(f"`{e.study}`" for e in evidence.all_studies()) + " |"]
    rows.append("| --- |" + " --- |" * len(evidence.all_studies()))

    def add(label: str, values: list[str]) -> None:
        rows.append(f"| {label} | " + " | ".join(values) + " |")

    found = evidence.all_studies()
    add("question", [e.question for e in found])
    add("trials expected", [f"{counts.loc[e.study, 'expected']:,}" for e in found])
    add("trials present", [f"{counts.loc[e.study, 'present']:,}" for e in found])
    add("commit", [e.commit for e in found])
    add("device", [str(e.metadata.get("device", "unknown")) for e in found])
    add("made by", [f"`{e.command}`" for e in found])
    add("finished", [str(e.metadata.get("created", "unknown")) for e in found])
    for package in SOFTWARE:
        add(package, [str(e.metadata.get(package, "unknown")) for e in found])
    lines += rows
    for study in KNOWN:
        if evidence.load(study) is None:
            lines += ["", prose.not_run(study)]
    missing = int(counts["missing"].sum())
    lines += ["", _whole(missing)]
    return Markdown("\n".join(lines))


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
    return Markdown("```text\n" + "\n".join(lines) + "\n```")


def environment() -> Markdown:
    """Platform and versions of every study."""
    lines = ["| study | platform | package | schema |", "| --- | --- | --- | --- |"]
    for e in evidence.all_studies():
        data = e.metadata
        lines.append(
            f"| `{e.study}` | {data.get('platform', 'unknown')} | {data.get('package', 'unknown')} "
            f"| {data.get('schema_version', 'unknown')} |"
        )
    return Markdown("\n".join(lines))


def schema() -> Markdown:
    """Columns of every table."""
    lines = [f"Schema version {SCHEMA_VERSION}.", ""]
    for table, columns in TABLES.items():
        lines += [f"`{table}`", ":   " + ", ".join(f"`{c}`" for c in columns), ""]
    return Markdown("\n".join(lines))


def claims_list() -> Markdown:
    """The claims as a numbered list."""
    return Markdown("\n".join(f"{c.number}. {c.text}" for c in claims.CLAIMS))


def claims_table() -> Markdown:
    """The claims with their verdicts and reasons."""
    rows = claims.verdicts()
    rows["verdict"] = "**" + rows["verdict"] + "**"
    return Markdown(prose.table(rows, ["", "claim", "verdict", "why"]))


def headline() -> Markdown:
    """How many claims got which verdict."""
    rows = claims.verdicts()
    parts = []
    for word, group in rows.groupby("verdict", sort=False):
        numbers = prose.listing(str(n) for n in group["claim"])
        parts.append(f"**{word}**: {numbers}")
    return Markdown("Verdicts by claim: " + "; ".join(parts) + ".")
