"""Trials an hour by how many train together."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from benchmark.figures.curves import Measure, draw_lines, facet_axes, leftmost, legend_of, plain_log
from benchmark.figures.layout import panel_title
from benchmark.figures.style import BLACK, GREY
from benchmark.statistics.speed import WORKLOADS

TOGETHER = Measure("trials_together", "trials together (K)", log=True)
TIMES = Measure("times_alike", "times the baseline loop", log=True)


def throughput_by_width(summary: pd.DataFrame) -> Figure:
    """The engine's trials an hour over the baseline loop's, against the width of its units.

    ``summary`` comes from `benchmark.statistics.speed.throughput`: a facet for each workload, a
    line for each number of processes, with intervals; dashed, the loop with tensors in one
    process.
    """
    workloads = list(summary["workload"].unique())
    figure, axes = facet_axes(len(workloads), 2.5, sharey=False)
    counts = sorted(summary["processes"].unique())
    words = {n: "1 process" if n == 1 else f"{n} processes" for n in counts}
    ends = {f"{TIMES.column}_{end}": end for end in ("low", "high")}
    renamed = {TIMES.column: "estimate", **ends}
    for axis, workload in zip(axes, workloads, strict=True):
        rows = summary[summary["workload"] == workload]
        engine = rows[rows["arm"] == "engine"].rename(columns=renamed)
        engine = engine.assign(line=engine["processes"].map(words))
        draw_lines(axis, engine, TOGETHER, TIMES, list(words.values()), "line")
        tensors = rows[(rows["arm"] == "tensors") & (rows["processes"] == 1)]["times_alike"].iloc[0]
        axis.axhline(tensors, color=GREY, linestyle="--", linewidth=1.2, label="loop with tensors")
        axis.axhline(1, color=BLACK, linewidth=0.9, label="baseline loop")
        plain_log(axis)
        axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.set_title(panel_title(WORKLOADS[workload], 3), fontsize=10)
    for axis in leftmost(axes):
        axis.set_ylabel(TIMES.label)
    legend_of(figure, axes, "")
    return figure
