"""The search against the grid."""

from __future__ import annotations

import pandas as pd

from benchmark import figures
from benchmark.records import CONFIGURATION
from benchmark.statistics import (
    best_so_far,
    bootstrap,
    holm,
    interval,
    mean,
    paired,
    wilcoxon,
)
from report import evidence, prose
from report.comparisons import LEVEL_OF_TEST
from report.display import figure, needs
from report.evidence import Evidence
from report.prose import name

CONFIRM = "confirm:"
ANY = [c for c in CONFIGURATION if c not in ("dataset", "model", "seed", "arm")]
"""What two winners may differ in: everything that was searched."""
GRID_BEST = "the grid's best cell"


def grid_best() -> pd.DataFrame:
    """Columns ``model``, ``objective``, ``trials``: the grid's best cell by its mean objective."""
    grid = evidence.load("grid")
    if grid is None:
        return pd.DataFrame({"model": [], "objective": [], "trials": []})
    losses = grid.outcomes.groupby(["model", "cell"])["objective"].mean()
    counts = grid.outcomes.groupby("model").size()
    return pd.DataFrame(
        {"objective": losses.groupby("model").min(), "trials": counts}
    ).reset_index()


def confirmed(source: Evidence) -> pd.DataFrame:
    """The outcomes of the confirmations, with the column ``source`` (a sampler, or grid)."""
    rows = source.outcomes[source.outcomes["arm"].str.startswith(CONFIRM)]
    return rows.assign(source=rows["arm"].str.removeprefix(CONFIRM))


@needs("search")
def progress(source: Evidence) -> str:
    """Best objective so far for each sampler."""
    rows = best_so_far(source.results.plan, source.results.trials)
    rows = rows[~rows["arm"].str.startswith(CONFIRM)]
    best = grid_best()
    last = rows.groupby(["model", "arm"], sort=False).tail(1).to_dict("records")
    alt = "Step plot of the smallest validation loss so far. At the end: " + prose.listing(
        f"{name(r['model'])} with {name(r['arm'])} {prose.number(r['best'])}" for r in last
    )
    caption = (
        "Smallest validation loss so far (capped at the loss at initialization) against the "
        "number of trials, by sampler. Dashed: the best cell of the grid, its mean over seeds. A "
        "search sees a single seed, so its line is optimistic; the next figure compares fairly."
    )
    drawing = figures.search_progress(rows, best)
    return figure(source, "progress", drawing, caption, f"{alt} nats.")


@needs("search")
def winners(source: Evidence) -> str:
    """The configurations that were confirmed, and what they came to."""
    rows = confirmed(source)
    if rows.empty:
        return "No winner has been confirmed yet."
    found = interval(rows, "accuracy", ["model", "source"], statistic=mean)
    first = rows.drop_duplicates(["model", "source"]).merge(found, on=["model", "source"])
    shown = first.assign(
        **{c: first[c].map(name) for c in ("model", "source", "normalization")},
        accuracy=[f"{100 * a:.1f}" for a in first["estimate"]],
        rate=first["learning_rate"].map(prose.number),
        clipping=_with_number(first, "clipping", "clipping_threshold"),
        policy=_with_number(first, "batch_policy", "batch_policy_parameter"),
    )
    columns = ["model", "source", "accuracy", "rate", "clipping", "normalization", "policy"]
    headings = ["model", "winner of", "test accuracy (%)", "rate", "clipping, threshold"]
    return prose.table(shown[columns], [*headings, "normalization", "batch policy, parameter"])


def _with_number(rows: pd.DataFrame, named: str, number: str) -> list[str]:
    """Each row's strategy, followed by its number where it has one."""
    pairs = zip(rows[named], rows[number].astype(float), strict=True)
    return [name(n) if pd.isna(x) else f"{name(n)}, {prose.number(x)}" for n, x in pairs]


@needs("search")
def confirmed_figure(source: Evidence) -> str:
    """Test accuracy of the winners on fresh seeds."""
    rows = confirmed(source)
    if rows.empty:
        return ""
    summary = interval(rows, "accuracy", ["model", "source"], statistic=mean)
    alt = "Interval plot. Mean test accuracy: " + prose.listing(
        f"{name(r['model'])} {name(r['source'])} {prose.percent(r['estimate'])}"
        for r in summary.to_dict("records")
    )
    caption = (
        f"Test accuracy of the winners, trained again on {rows['seed'].nunique()} fresh seeds: "
        "points are means, bars 95% bootstrap intervals, ticks below them the seeds."
    )
    return figure(
        source, "confirmed", figures.confirmed_accuracy(rows, summary), caption, f"{alt}."
    )


def differences(source: Evidence) -> pd.DataFrame:
    """Each sampler's winner against the grid's, by model, paired by fresh seed.

    Columns ``model``, ``level``, ``effect``, ``low``, ``high``, ``p_holm`` (corrected for all
    comparisons), ``pairs``.
    """
    out = []
    for model, rows in confirmed(source).groupby("model", sort=False):
        for level in rows["source"].drop_duplicates():
            if level == "grid":
                continue
            pairs = paired(rows, "arm", f"{CONFIRM}{level}", f"{CONFIRM}grid", "accuracy", ANY)
            if len(pairs):
                gap = pairs["difference"].to_numpy()
                found = bootstrap(gap, pairs["stratum"].to_numpy(), mean)
                out.append((model, level, *found, wilcoxon(gap), len(pairs)))
    columns = ["model", "level", "effect", "low", "high", "p_holm", "pairs"]
    rows = pd.DataFrame(out, columns=columns)
    return rows.assign(p_holm=holm(rows["p_holm"].to_numpy(dtype=float)))


@needs("search")
def summary(source: Evidence) -> str:
    """Whether a search found better training than the grid."""
    rows = differences(source)
    if rows.empty:
        return (
            "The best cell of the grid was not trained again beside the winners, so the search "
            "has nothing to be compared with. Run the grid first: `python studies/grid.py`."
        )
    table = pd.DataFrame(
        {
            "model": rows["model"].map(name),
            "winner of": rows["level"].map(name),
            "pairs": rows["pairs"],
            "difference": rows["effect"].map(prose.signed),
            "95% interval": prose.intervals(rows),
            "p (Holm)": rows["p_holm"].map(lambda p: f"{p:.3f}"),
        }
    )
    lines = [
        verdict(rows),
        prose.table(table),
        f"Differences in test accuracy of each search's winner from {GRID_BEST}, in percentage "
        "points, paired by fresh seed.",
    ]
    pairs = int(rows["pairs"].min())
    if 2 / 2**pairs > LEVEL_OF_TEST:
        lines.append(
            f"With {pairs} pairs the Wilcoxon test cannot give a p-value below "
            f"{prose.number(2 / 2**pairs)}, even without the correction, so only the intervals can "
            "decide here."
        )
    return "\n\n".join(lines)


def verdict(rows: pd.DataFrame) -> str:
    """One sentence: in how many comparisons a search beat the grid's best cell."""
    signs = rows.apply(prose.sign, axis=1)
    better, worse = int((signs > 0).sum()), int((signs < 0).sum())
    total = len(rows)
    if better and worse:
        judged = f"it depends on the model and the sampler whether a search beats {GRID_BEST}"
    elif better:
        judged = f"a search finds better training than {GRID_BEST}"
    elif worse:
        judged = f"the searches do not beat {GRID_BEST}"
    else:
        judged = "searches and grid find training whose accuracies cannot be told apart"
    return (
        f"On fresh seeds, **{judged}**: in {prose.count(total, 'comparison')} (samplers by models) "
        f"the search's winner is more accurate in {better:,}, less accurate in {worse:,} and not "
        f"distinguishable in {total - better - worse:,}."
    )


@needs("search")
def counted(source: Evidence) -> str:
    """How many trials each search made, and how many were impossible or exploded."""
    trials = source.results.trials
    rows = trials[~trials["arm"].str.startswith(CONFIRM)]
    skipped = int((rows["status"] == "skipped").sum())
    part = source.outcomes[~source.outcomes["arm"].str.startswith(CONFIRM)]
    shares = part.groupby("arm", sort=False)["exploded"].mean()
    lines = [f"{prose.percent(share)} of {name(arm)}" for arm, share in shares.items()]
    per = rows.groupby(["model", "arm"]).size()
    impossible = (
        f"{prose.count(skipped, 'trial')} asked for an impossible combination and "
        f"{'was' if skipped == 1 else 'were'} skipped"
        if skipped
        else "none asked for an impossible combination"
    )
    return (
        f"Each search made {listing_of_sizes(per)}; {impossible}. Of the "
        f"trials, by sampler, {prose.listing(lines)} search exploded."
    )


def listing_of_sizes(sizes: pd.Series) -> str:
    """``40 trials``, or ``38 to 40 trials`` where searches differ."""
    low, high = int(sizes.min()), int(sizes.max())
    return prose.count(high, "trial") if low == high else f"{low} to {high} trials"
