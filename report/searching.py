"""The search against the grid."""

from __future__ import annotations

import pandas as pd

from benchmark import figures
from benchmark.records import CONFIGURATION
from benchmark.statistics import best_so_far, bootstrap, interval, mean, paired, wilcoxon
from report import evidence, prose
from report.display import figure, needs
from report.evidence import Evidence
from report.prose import name

CONFIRM = "confirm:"
ANY = [c for c in CONFIGURATION if c not in ("dataset", "model", "seed", "arm")]
"""What two winners may differ in: everything that was searched."""


def grid_best() -> pd.DataFrame:
    """Columns ``model``, ``loss``, ``trials``: the grid's best cell by its mean objective."""
    grid = evidence.load("grid")
    if grid is None:
        return pd.DataFrame({"model": [], "loss": [], "trials": []})
    losses = grid.outcomes.groupby(["model", "cell"])["loss"].mean()
    counts = grid.outcomes.groupby("model").size()
    return pd.DataFrame({"loss": losses.groupby("model").min(), "trials": counts}).reset_index()


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
        "number of trials, by sampler; dashed, the best cell of the grid, mean over its seeds. A "
        "search sees one seed, so its line is optimistic: the next figure is the fair comparison."
    )
    drawing = figures.search_progress(rows, best)
    return figure(source, "progress", drawing, caption, f"{alt} nats.")


@needs("search")
def winners(source: Evidence) -> str:
    """The configurations that were confirmed."""
    rows = confirmed(source).drop_duplicates(["model", "source"])
    if rows.empty:
        return "No winner has been confirmed yet."
    shown = rows.assign(
        threshold=[
            "" if pd.isna(t) else f"{t:.3g}" for t in rows["clipping_threshold"].astype(float)
        ],
        learning_rate=rows["learning_rate"].map(lambda rate: f"{rate:.3g}"),
        **{c: rows[c].map(name) for c in ("model", "source")},
        **{c: rows[c].map(name) for c in ("clipping", "normalization", "batch_policy")},
    )
    columns = ["model", "source", "learning_rate", "clipping", "threshold"]
    columns += ["normalization", "batch_policy"]
    return prose.table(shown[columns], [name(c) for c in columns])


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

    Columns ``model``, ``level``, ``baseline``, ``effect``, ``low``, ``high``, ``p``, ``pairs``.
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
                out.append((model, level, "grid", *found, wilcoxon(gap), len(pairs)))
    columns = ["model", "level", "baseline", "effect", "low", "high", "p", "pairs"]
    return pd.DataFrame(out, columns=columns)


@needs("search")
def summary(source: Evidence) -> str:
    """Whether a search found better training than the grid."""
    rows = differences(source)
    if rows.empty:
        return (
            "The best cell of the grid was not trained again beside the winners, so the search "
            "has nothing to be compared with. Run the grid first: `python studies/grid.py`."
        )
    lines = [verdict(rows), ""]
    for model, each in rows.groupby("model", sort=False):
        parts = [
            f"{name(r['level'])} is {prose.against(r)} ({prose.points(r['effect'])}, "
            f"{prose.spread(r['low'], r['high'])}; {prose.p_value(r['p'])})"
            for r in each.to_dict("records")
        ]
        lines.append(f"- **{name(str(model))}**: {prose.listing(parts)}.")
    pairs = int(rows["pairs"].min())
    if pairs < 6:
        smallest = 2 / 2**pairs
        lines += [
            "",
            f"With {pairs} pairs the smallest p-value that the Wilcoxon test can give is "
            f"{smallest:.3f}, so only the intervals can decide here.",
        ]
    return "\n".join(lines)


def verdict(rows: pd.DataFrame) -> str:
    """One sentence: in how many comparisons a search beat the grid's best cell."""
    signs = rows.apply(prose.sign, axis=1)
    better, worse = int((signs > 0).sum()), int((signs < 0).sum())
    total = len(rows)
    if better > worse:
        judged = "a search finds better training than the grid's best cell"
    elif worse > better:
        judged = "the grid's best cell is not beaten by the searches"
    else:
        judged = "searches and grid find training of much the same accuracy"
    return (
        f"On fresh seeds, **{judged}**: of {prose.count(total, 'comparison')} (samplers by models) "
        f"the search's winner has the higher test accuracy in {better}, the lower in {worse}, and "
        f"is not distinguishable in {total - better - worse}."
    )


@needs("search")
def counted(source: Evidence) -> str:
    """How many trials each search made, and how many were impossible or exploded."""
    trials = source.results.trials
    rows = trials[~trials["arm"].str.startswith(CONFIRM)]
    skipped = (rows["status"] == "skipped").sum()
    part = source.outcomes[~source.outcomes["arm"].str.startswith(CONFIRM)]
    lines = [
        f"{prose.percent(r['exploded'])} for {name(r['arm'])}"
        for r in part.groupby("arm", sort=False)["exploded"].mean().reset_index().to_dict("records")
    ]
    per = rows.groupby(["model", "arm"]).size()
    return (
        f"Each search made {listing_of_sizes(per)}; {prose.count(int(skipped), 'trial')} asked for "
        f"an impossible combination and {'was' if skipped == 1 else 'were'} skipped. The share of "
        f"trials that exploded was {prose.listing(lines)}."
    )


def listing_of_sizes(sizes: pd.Series) -> str:
    """``40 trials``, or ``38 to 40 trials`` where searches differ."""
    low, high = int(sizes.min()), int(sizes.max())
    return prose.count(high, "trial") if low == high else f"{low} to {high} trials"
