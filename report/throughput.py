"""How fast the engine is: timings, beside what was aimed at."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import pandas as pd

from benchmark.statistics import speed
from report import evidence
from report.evidence import Evidence
from report.prose import fixed

STUDY, TABLE = "throughput", "measurements"
WORKLOADS = speed.WORKLOADS
ARMS = {"baseline": "(a) DataLoader", "tensors": "(b) tensors"}
WIDE = {"jax": "(e) JAX,", "torch_kernels": "(f) torch's kernels,"}


def timed(within: str = "") -> tuple[Evidence, pd.DataFrame] | None:
    """Where the timings come from, and the timings; None where they were not taken."""
    return evidence.load_table(STUDY, TABLE, within)


def throughput(timings: pd.DataFrame) -> pd.DataFrame:
    """`speed.throughput` with the ``label`` of each arm."""
    rows = speed.throughput(timings)
    labels = [
        ARMS.get(arm, f"{WIDE.get(arm, '(c)' if k == 1 else '(d)')} K = {int(k)}")
        for arm, k in zip(rows["arm"], rows["trials_together"], strict=True)
    ]
    several = rows["threads"].gt(1).map({True: ", several threads", False: ""})
    return rows.assign(label=pd.Series(labels, index=rows.index) + several)


def peers(timings: pd.DataFrame) -> pd.DataFrame:
    """`speed.relative` with words: of its arm, the ``named`` workload, the ratios and the width.

    ``ratio`` is of processor time, ``hourly_ratio`` of trials an hour; ``place`` is an arm's in
    the list of all.
    """
    rows = speed.relative(timings)
    alone = rows["arm"].ne("engine") & ~rows["arm"].isin(WIDE)
    return rows.assign(
        words=rows["arm"].map(speed.ARMS),
        place=rows["arm"].map(list(speed.ARMS).index),
        named=rows["workload"].map(WORKLOADS),
        width=rows["trials_together"].map("{:g}".format).mask(alone, "–"),
        ratio=[_ratio(row, "cpu") for row in rows.to_dict("records")],
        hourly_ratio=[_ratio(row, "hourly") for row in rows.to_dict("records")],
    )


def _ratio(row: dict[Hashable, Any], value: str) -> str:
    middle, low, high = (fixed(row[value + end], 2) for end in ("", "_low", "_high"))
    return middle + (f" ({low} to {high})" if low != high else "")


def arms(timings: pd.DataFrame) -> pd.DataFrame:
    """`speed.ways_of_note`, with labels."""
    return speed.ways_of_note(throughput(timings))


def machine(timings: pd.DataFrame) -> pd.DataFrame:
    """The engine's best with the machine's own rates, and the workload in ``words``."""
    best = speed.best_ways(speed.throughput(timings))
    found = speed.with_machine_rates(best, timings)
    return found.assign(words=found["workload"].map(WORKLOADS))


def units(rows: pd.DataFrame) -> list[str]:
    """Workload and width of each row."""
    pairs = zip(rows["workload"], rows["trials_together"], strict=True)
    return [f"{speed.WORKLOADS[w]}: {f'K = {k:.0f}' if k > 1 else 'alone'}" for w, k in pairs]


def overheads(timings: pd.DataFrame, factor: str) -> pd.DataFrame:
    """Added time of one factor's levels: ``panel``, ``level``, ``effect``, ``low``, ``high``."""
    rows = speed.overheads(timings, "strategies")
    rows = rows[rows["factor"] == factor]
    # batch sizes differ, so that a step is not the same thing
    value = "examples" if factor == "batch_policy" else "step"
    named = {value: "effect", f"{value}_low": "low", f"{value}_high": "high", "arm": "level"}
    # all are of 8x8 digits, as the caption says
    panels = [unit.replace(" on 8x8 digits:", ",") for unit in units(rows)]
    return rows.rename(columns=named).assign(panel=panels)[["panel", *named.values()]]


def step_names(timings: pd.DataFrame, rows: pd.DataFrame) -> list[str]:
    """The workload of each row, with how long a step of a loop in torch with its clipping takes."""
    took = speed.loop_steps(timings)
    return [f"{WORKLOADS[w]} ({fixed(1000 * took[w], 2)} ms)" for w in rows["workload"]]


def diagnostics(timings: pd.DataFrame) -> pd.DataFrame:
    """`speed.overheads` of each measurement, with the ``unit`` that it is added to."""
    rows = speed.overheads(timings, "diagnostics")
    plain = [unit.replace(":", ",") for unit in units(rows)]
    return rows.assign(unit=plain)


def targets(timings: pd.DataFrame) -> pd.DataFrame:
    """Every target in a reader's words, with its ``answer``, yes or no."""
    rows = speed.targets(timings)
    split = [text.partition(":") for text in rows["target"]]
    words = [f"{speed.WORKLOADS.get(head, head)}{colon}{rest}" for head, colon, rest in split]
    return rows.assign(target=words, answer=rows["met"].map({True: "yes", False: "no"}))
