"""Effects with their intervals, and what they cost."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from benchmark.figures.style import canvas, markers, palette, words
from benchmark.statistics import interval, mean


def comparison_forest(comparisons: pd.DataFrame, unit: str, scale: float = 100.0) -> Figure:
    """Effects against a baseline as points with 95% intervals, a row each, a facet a panel.

    ``comparisons`` has the columns ``panel``, ``level``, ``baseline``, ``effect``, ``low`` and
    ``high``, as `benchmark.statistics.paired_comparison` gives them; ``scale`` turns effects into
    ``unit``, the words on the axis.
    """
    panels, levels = list(comparisons["panel"].unique()), list(comparisons["level"].unique())
    colours = palette(levels)
    figure, axes = canvas(1, len(panels), 0.6 + 0.36 * len(levels), sharey=True)
    for axis, panel in zip(axes[0], panels, strict=True):
        rows = comparisons[comparisons["panel"] == panel]
        for y, level in enumerate(levels):
            for row in rows[rows["level"] == level].to_dict("records"):
                effect, low, high = (scale * row[c] for c in ("effect", "low", "high"))
                axis.errorbar(
                    effect,
                    y,
                    xerr=[[max(effect - low, 0.0)], [max(high - effect, 0.0)]],
                    fmt="o",
                    color=colours[level],
                    capsize=3,
                    markersize=5.5,
                    linewidth=1.6,
                )
        axis.axvline(0, color="black", linewidth=0.9)
        axis.set(title=panel, ylim=(len(levels) - 0.5, -0.5))
        axis.grid(visible=False, axis="y")
        axis.set_yticks(range(len(levels)), labels=[words(level) for level in levels])
    baseline = words(str(comparisons["baseline"].iloc[0]))
    figure.supxlabel(f"difference from {baseline}: {unit}", fontsize=10.5)
    return figure


def cost_against_batch_size(frame: pd.DataFrame, factor: str = "batch_policy") -> Figure:
    """Updates and seconds a trial against its final batch size, by ``factor`` and model.

    Points are means over trials with 95% bootstrap intervals. Seconds are a trial's share of the
    time of the unit that it trained in.
    """
    models, levels = list(frame["model"].unique()), list(frame[factor].unique())
    colours, shapes = palette(levels), markers(models)
    panels = {"steps": "updates a trial", "seconds": "time a trial (s)"}
    figure, axes = canvas(1, 2, 2.9)
    for axis, (value, label) in zip(axes[0], panels.items(), strict=True):
        by = ["model", factor, "final_batch_size"]
        summary = interval(frame, value, by, statistic=mean)
        for row in summary.to_dict("records"):
            level, estimate = row[factor], row["estimate"]
            axis.errorbar(
                row["final_batch_size"],
                estimate,
                yerr=[[estimate - row["low"]], [row["high"] - estimate]],
                fmt=shapes[row["model"]],
                color=colours[level],
                markersize=6,
                capsize=3,
                label=f"{words(row['model'])}, {words(level)}",
            )
        sizes = sorted(frame["final_batch_size"].unique())
        axis.set(xscale="log", xlabel="batch size at the end (examples)", ylabel=label)
        axis.set_ylim(bottom=0)
        axis.set_xticks(sizes, labels=[f"{size:g}" for size in sizes])
        axis.minorticks_off()
        axis.margins(x=0.2)
    handles, labels = axes[0][0].get_legend_handles_labels()
    unique = dict(zip(labels, handles, strict=True))
    figure.legend(
        list(unique.values()),
        list(unique),
        loc="outside lower center",
        ncols=min(len(unique), 4),
        frameon=False,
    )
    return figure
